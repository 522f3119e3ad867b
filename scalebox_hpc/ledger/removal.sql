-- Runs that are to go, and what belongs to them, a slice at a time. Each statement may be asked again.

-- name: removing_runs
-- Runs that are to go.
SELECT run_id, name, results, removing FROM run WHERE removing <> '' ORDER BY run_id;

-- name: remove_run
-- The intent: a run is to go, and is not seen any more.
UPDATE run SET removing = ? WHERE run_id = ? AND removing = '';

-- name: ended_runs
-- Runs that are over, the newest end first: id, name, state, end.
SELECT run_id, name, state, ended_us FROM run
 WHERE removing = '' AND state IN ('SUCCEEDED', 'FAILED', 'CANCELLED') ORDER BY ended_us DESC, run_id DESC;

-- name: count_tasks
-- How many tasks a run has.
SELECT coalesce(sum(ready + leased + running + succeeded + failed + cancelled), 0) FROM module WHERE run_id = ?;

-- name: sites_of_run
-- The sites at which a run had pools.
SELECT DISTINCT site FROM pool WHERE run_id = ? ORDER BY site;

-- name: module_ids
-- The modules of a run.
SELECT module_id FROM module WHERE run_id = ?;

-- name: remove_messages
-- A slice of what the oldest attempts of a run sent.
DELETE FROM message WHERE message_id IN
    (SELECT m.message_id
       FROM (SELECT attempt_id FROM attempt WHERE run_id = :run ORDER BY attempt_id LIMIT :attempts) AS a
      CROSS JOIN message AS m WHERE m.sender = a.attempt_id AND m.sender > 0 LIMIT :most);

-- name: remove_outputs
-- What the oldest attempts of a run printed.
DELETE FROM output WHERE attempt_id IN
    (SELECT attempt_id FROM attempt WHERE run_id = :run ORDER BY attempt_id LIMIT :attempts);

-- name: remove_attempts
-- The oldest attempts of a run.
DELETE FROM attempt WHERE attempt_id IN
    (SELECT attempt_id FROM attempt WHERE run_id = :run ORDER BY attempt_id LIMIT :attempts);

-- name: remove_chunks
-- What the first tasks of a module sent ahead.
DELETE FROM chunk WHERE task_id IN (SELECT task_id FROM task WHERE module_id = ? ORDER BY n LIMIT ?);

-- name: remove_tasks
-- The first tasks of a module.
DELETE FROM task WHERE task_id IN (SELECT task_id FROM task WHERE module_id = ? ORDER BY n LIMIT ?);

-- name: remove_made
-- A slice of the messages to a module that no attempt sent.
DELETE FROM message WHERE message_id IN
    (SELECT message_id FROM message WHERE module_id = ? AND sender <= 0 LIMIT ?);

-- name: remove_parts
-- A slice of the parts of a module.
DELETE FROM part WHERE part_id IN (SELECT part_id FROM part WHERE module_id = ? LIMIT ?);

-- name: some_agents
-- Some agents of a run: id, incarnation.
SELECT g.agent_id, g.incarnation FROM allocation AS a CROSS JOIN try AS t CROSS JOIN agent AS g
 WHERE t.allocation_id = a.allocation_id AND g.try_id = t.try_id
   AND a.pool_id IN (SELECT pool_id FROM pool WHERE run_id = ?) LIMIT ?;

-- name: some_tries
-- Some tries of a run: id, name.
SELECT t.try_id, t.name FROM pool AS p CROSS JOIN allocation AS a CROSS JOIN try AS t
 WHERE a.pool_id = p.pool_id AND t.allocation_id = a.allocation_id AND p.run_id = ? LIMIT ?;

-- name: remove_agent
-- An agent whose files are gone.
DELETE FROM agent WHERE agent_id = ?;

-- name: remove_try
-- A try whose files are gone.
DELETE FROM try WHERE try_id = ?;

-- name: some_allocations
-- Some allocations of a run.
SELECT allocation_id FROM allocation WHERE pool_id IN (SELECT pool_id FROM pool WHERE run_id = ?) LIMIT ?;

-- name: remove_allocation
-- An allocation without tries.
DELETE FROM allocation WHERE allocation_id = ?;

-- name: remove_events
-- What happened to a run, an allocation or an agent.
DELETE FROM event WHERE thing = ? AND thing_id = ?;

-- name: remove_modules
-- The modules of a run.
DELETE FROM module WHERE run_id = ?;

-- name: remove_pools
-- Its pools.
DELETE FROM pool WHERE run_id = ?;

-- name: forget_run
-- The run itself, last of all.
DELETE FROM run WHERE run_id = ?;
