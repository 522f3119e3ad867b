-- What must be so after every turn, each with a query for what is not. `sbx ledger check` runs all of them.

-- name: check_counters
-- a module's counters are its tasks, counted
SELECT * FROM (
    SELECT mo.name,
           mo.ready - count(CASE WHEN t.state = 'READY' THEN 1 END) AS ready,
           mo.leased - count(CASE WHEN t.state = 'LEASED' THEN 1 END) AS leased,
           mo.running - count(CASE WHEN t.state = 'RUNNING' THEN 1 END) AS running,
           mo.succeeded - count(CASE WHEN t.state = 'SUCCEEDED' THEN 1 END) AS succeeded,
           mo.failed - count(CASE WHEN t.state = 'FAILED' THEN 1 END) AS failed,
           mo.cancelled - count(CASE WHEN t.state = 'CANCELLED' THEN 1 END) AS cancelled
      FROM module AS mo LEFT JOIN task AS t ON t.module_id = mo.module_id GROUP BY mo.module_id) AS counted
 WHERE ready <> 0 OR leased <> 0 OR running <> 0 OR succeeded <> 0 OR failed <> 0 OR cancelled <> 0;

-- name: check_attempts
-- a task counts its attempts, and numbers them without a gap
SELECT t.task_id, t.attempts, count(a.attempt_id), max(a.attempt)
  FROM task AS t LEFT JOIN attempt AS a ON a.task_id = t.task_id GROUP BY t.task_id, t.attempts
HAVING t.attempts <> count(a.attempt_id) OR coalesce(max(a.attempt), 0) <> t.attempts;

-- name: check_leases
-- a lease has one attempt
SELECT task_id, lease_epoch, lease_n, count(*) FROM attempt
 GROUP BY task_id, lease_epoch, lease_n HAVING count(*) > 1;

-- name: check_success
-- a task that succeeded has one success in its generation, and its last attempt is it
SELECT t.task_id, t.generation, a.attempt, a.outcome FROM task AS t
  LEFT JOIN attempt AS a ON a.task_id = t.task_id AND a.attempt = t.attempts
 WHERE t.state = 'SUCCEEDED'
   AND (coalesce(a.outcome, '') <> 'SUCCEEDED' OR 1 <> (SELECT count(*) FROM attempt AS b
        WHERE b.task_id = t.task_id AND b.generation = t.generation AND b.outcome = 'SUCCEEDED'));

-- name: check_once
-- nothing succeeds twice in one generation
SELECT task_id, generation, count(*) FROM attempt WHERE outcome = 'SUCCEEDED'
 GROUP BY task_id, generation HAVING count(*) > 1;

-- name: check_causes
-- an attempt explains itself
SELECT a.attempt_id, a.outcome, a.cause FROM attempt AS a LEFT JOIN agent AS g ON g.agent_id = a.agent_id
 WHERE (a.outcome = 'SUCCEEDED') <> (a.cause = '') OR g.agent_id IS NULL OR a.leased_us IS NULL
    OR a.leased_us > a.recorded_us;

-- name: check_holders
-- a lease is in the hands of an agent that lives, exactly while the task is held
SELECT t.task_id, t.state, t.agent_id, g.ended_us FROM task AS t LEFT JOIN agent AS g ON g.agent_id = t.agent_id
 WHERE (t.state IN ('LEASED', 'RUNNING')) <> (t.agent_id IS NOT NULL)
    OR (t.agent_id IS NOT NULL AND g.ended_us IS NOT NULL);

-- name: check_lapses
-- a lapsed task is READY and its lapse has a row
SELECT t.task_id, t.state FROM task AS t WHERE t.lapsed = 1 AND (t.state <> 'READY' OR NOT EXISTS
  (SELECT 1 FROM attempt AS a WHERE a.task_id = t.task_id AND a.lease_epoch = t.lease_epoch
      AND a.lease_n = t.lease_n AND a.reported = 0));

-- name: check_members
-- a part counts its members
SELECT p.part_id, p.members, count(m.message_id) FROM part AS p
  LEFT JOIN message AS m ON m.part_id = p.part_id AND m.live = 1
 GROUP BY p.part_id, p.members HAVING p.members <> count(m.message_id);

-- name: check_sizes
-- a part has no more members than its size
SELECT part_id, size, members FROM part WHERE members > size;

-- name: check_sent
-- a success sent as many messages as it says, or has chunks that wait
SELECT a.attempt_id, a.messages_sent, count(m.message_id) FROM attempt AS a
  LEFT JOIN message AS m ON m.sender = a.attempt_id
 WHERE a.outcome = 'SUCCEEDED'
   AND NOT EXISTS (SELECT 1 FROM chunk AS c WHERE c.attempt_id = a.attempt_id)
 GROUP BY a.attempt_id, a.messages_sent HAVING a.messages_sent <> count(m.message_id);

-- name: check_bodies
-- a task and its message know each other
SELECT t.task_id FROM task AS t LEFT JOIN message AS m ON m.message_id = t.message_id
 WHERE coalesce(m.task_id, 0) <> t.task_id;

-- name: check_allocations
-- an allocation is over exactly when no try of it is open
SELECT a.allocation_id, a.ended_us, count(*)
  FROM allocation AS a JOIN try AS t ON t.allocation_id = a.allocation_id
 GROUP BY a.allocation_id, a.ended_us
HAVING (a.ended_us IS NULL)
    <> (count(CASE WHEN t.state IN ('PLANNED', 'SUBMITTING', 'QUEUED', 'ACTIVE') THEN 1 END) > 0);

-- name: check_places
-- whatever names a run, module, pool, try or task names one that there is
SELECT 'module', module_id FROM module AS x WHERE NOT EXISTS (SELECT 1 FROM run AS r WHERE r.run_id = x.run_id)
UNION ALL
SELECT 'pool', pool_id FROM pool AS x WHERE NOT EXISTS (SELECT 1 FROM run AS r WHERE r.run_id = x.run_id)
UNION ALL
SELECT 'allocation', allocation_id FROM allocation AS x
 WHERE NOT EXISTS (SELECT 1 FROM pool AS p WHERE p.pool_id = x.pool_id)
UNION ALL
SELECT 'try', try_id FROM try AS x
 WHERE NOT EXISTS (SELECT 1 FROM allocation AS a WHERE a.allocation_id = x.allocation_id)
UNION ALL
SELECT 'agent', agent_id FROM agent AS x WHERE NOT EXISTS (SELECT 1 FROM try AS t WHERE t.try_id = x.try_id)
UNION ALL
SELECT 'task', task_id FROM task AS x
 WHERE NOT EXISTS (SELECT 1 FROM module AS m WHERE m.module_id = x.module_id)
UNION ALL
SELECT 'message', message_id FROM message AS x
 WHERE NOT EXISTS (SELECT 1 FROM module AS m WHERE m.module_id = x.module_id)
UNION ALL
SELECT 'attempt', attempt_id FROM attempt AS x
 WHERE NOT EXISTS (SELECT 1 FROM task AS t WHERE t.task_id = x.task_id)
UNION ALL
SELECT 'output', attempt_id FROM output AS x
 WHERE NOT EXISTS (SELECT 1 FROM attempt AS a WHERE a.attempt_id = x.attempt_id);

-- name: check_senders
-- a message was sent by an attempt, a part or a seed that there is
SELECT m.message_id, m.sender FROM message AS m
 WHERE (m.sender > 0 AND NOT EXISTS (SELECT 1 FROM attempt AS a WHERE a.attempt_id = m.sender))
    OR (m.sender < 0 AND NOT EXISTS (SELECT 1 FROM part AS p WHERE p.part_id = -m.sender));
