-- Tasks and their leases.

-- name: claim
-- Lease up to :count tasks of a module that are due and fit, oldest first. The partial index makes the
-- cost independent of how many tasks there are. With :site only those that are bound to it, or to none: few are
-- READY at other sites, for few are brought ahead.
UPDATE task
   SET state = 'LEASED', lease_epoch = :epoch, lease_n = lease_n + 1, leased_us = :now,
       agent_id = :agent, lapsed = 0
 WHERE task_id IN (SELECT task_id FROM task
                    WHERE module_id = :module AND state = 'READY' AND ready_us <= :now
                      AND (memory_mib IS NULL OR memory_mib <= :memory_mib)
                      AND (:site IS NULL OR site IN ('', :site))
                    ORDER BY ready_us, task_id LIMIT :count)
RETURNING task_id, n, lease_n, attempts, memory_mib, generation,
          (SELECT body FROM message WHERE message.message_id = task.message_id),
          (SELECT headers FROM message WHERE message.message_id = task.message_id),
          (SELECT inherited FROM message WHERE message.message_id = task.message_id);

-- name: bind_task
-- Say at which site a task is to run, or to which a transfer is to bring files.
UPDATE task SET site = ? WHERE task_id = ?;

-- name: lying
-- How many tasks of a module wait at each site with their files: that are due, and in all.
SELECT site, count(CASE WHEN ready_us <= :now THEN 1 END), count(*) FROM task
 WHERE module_id = :module AND state = 'READY' GROUP BY site;

-- name: coming
-- For how many messages an agent is bringing files as a transfer, by site.
SELECT site, count(*) FROM task WHERE agent_id = ? AND module_id = ? GROUP BY site;

-- name: could_leave
-- Tasks that wait at a site and need more memory than this, each with the transfer that brought its files; the newest first.
SELECT t.task_id, c.task_id, c.module_id FROM task AS t JOIN message AS m ON m.message_id = t.message_id
  JOIN attempt AS a ON a.attempt_id = m.sender JOIN task AS c ON c.task_id = a.task_id
 WHERE t.module_id = ? AND t.state = 'READY' AND t.site = ? AND coalesce(t.memory_mib, 0) > ? AND c.state = 'SUCCEEDED'
 ORDER BY t.task_id DESC LIMIT ?;

-- name: bring_again
-- A transfer goes round once more, to bring the same files elsewhere.
UPDATE task SET state = 'READY', ready_us = ?, generation = generation + 1, site = ''
 WHERE task_id = ? AND state = 'SUCCEEDED';

-- name: brought_for
-- The task for which a transfer has brought files.
SELECT t.task_id, t.site, t.memory_mib FROM attempt AS a JOIN message AS m ON m.sender = a.attempt_id
  JOIN task AS t ON t.task_id = m.task_id
 WHERE a.task_id = ? AND m.sender > 0 AND m.live = 1 ORDER BY m.message_id LIMIT 1;

-- name: task_of_attempt
-- Whose attempt it was.
SELECT task_id FROM attempt WHERE attempt_id = ?;

-- name: bind_again
-- Its files were brought to another site before it started where they were.
UPDATE task SET message_id = ?, site = ? WHERE task_id = ? AND state = 'READY';

-- name: fail_waiting
-- Nobody holds it, and what it needs cannot be had.
UPDATE task SET state = 'FAILED', cause = ?, lapsed = 0 WHERE task_id = ? AND state = 'READY';

-- name: next_due
-- When the next task of a module may be leased.
SELECT min(ready_us) FROM task WHERE module_id = ? AND state = 'READY';

-- name: held_by_agents
-- Every lease that is out, at a start of the daemon.
SELECT t.task_id, t.lease_epoch, t.lease_n, t.state, t.module_id, t.agent_id, t.memory_mib
  FROM task AS t WHERE t.agent_id IS NOT NULL;

-- name: offer_again
-- What an offer says of a task that is leased already, and its site.
SELECT t.task_id, t.n, t.lease_n, t.attempts, t.memory_mib, t.generation, m.body, m.headers, m.inherited, t.site
  FROM task AS t JOIN message AS m USING (message_id) WHERE t.task_id = ?;

-- name: task_standing
-- What judging a report, and recording it, needs to know of a task.
SELECT t.state, t.lease_epoch, t.lease_n, t.lapsed, t.module_id, t.n, t.attempts, t.generation, t.spent,
       t.memory_mib, t.created_us, t.ready_us, t.leased_us, t.agent_id, m.headers, m.inherited, m.body
  FROM task AS t JOIN message AS m USING (message_id) WHERE t.task_id = ?;

-- name: lease_reported
-- Whether an attempt row of a lease is there, whether a report made it, and whose the lease was.
SELECT attempt_id, reported, attempt, spent, agent_id FROM attempt WHERE task_id = ? AND lease_epoch = ? AND lease_n = ?;

-- name: start_task
-- The holder says that it started.
UPDATE task SET state = 'RUNNING' WHERE task_id = ? AND state = 'LEASED';

-- name: revive_task
-- The holder of a lapsed lease is back.
UPDATE task SET state = 'RUNNING', lapsed = 0, agent_id = ?, attempts = ?, spent = ?
 WHERE task_id = ? AND state = 'READY' AND lapsed = 1;

-- name: give_back_task
-- The holder never started it.
UPDATE task SET state = 'READY', agent_id = NULL, leased_us = NULL
 WHERE task_id = ? AND lease_epoch = ? AND lease_n = ? AND state IN ('LEASED', 'RUNNING');

-- name: settle_task
-- An attempt is over: state, cause, ready_us, attempts, spent, memory_mib, lapsed.
UPDATE task SET state = ?, cause = ?, ready_us = ?, attempts = ?, spent = ?, memory_mib = ?, lapsed = ?,
       agent_id = NULL
 WHERE task_id = ?;

-- name: add_task
-- A new task; a key that is there already adds nothing.
INSERT INTO task (task_id, module_id, n, state, cause, message_id, key_digest, ready_us, created_us)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING;

-- name: tasks_between
-- Which of a range of new tasks came in.
SELECT task_id FROM task WHERE task_id BETWEEN ? AND ?;

-- name: task_by_key
-- The task that a key means.
SELECT t.task_id, m.body, m.headers FROM task AS t JOIN message AS m USING (message_id)
 WHERE t.module_id = ? AND t.key_digest = ?;

-- name: release_key
-- A further task takes the key over.
UPDATE task SET key_digest = NULL WHERE task_id = ?;

-- name: refire_task
-- A gather task goes round with the members it has now.
UPDATE task SET state = 'READY', cause = '', message_id = ?, ready_us = ?, generation = ?, lapsed = 0
 WHERE task_id = ?;

-- name: fail_gather_task
-- A gather task whose members are incomplete, again.
UPDATE task SET state = 'FAILED', cause = 'incomplete', message_id = ?, generation = ? WHERE task_id = ?;

-- name: task_state
-- The state of one task.
SELECT state FROM task WHERE task_id = ?;

-- name: fail_ready
-- A slice of the READY tasks of a module that failed as a whole.
UPDATE task SET state = 'FAILED', cause = 'launch', lapsed = 0
 WHERE task_id IN (SELECT task_id FROM task WHERE module_id = ? AND state = 'READY' LIMIT ?);

-- name: cancel_ready
-- Everything of a module that nobody holds.
UPDATE task SET state = 'CANCELLED', cause = 'cancelled', lapsed = 0, lease_n = lease_n + 1
 WHERE module_id = ? AND state = 'READY';

-- name: cancel_held
-- A held task; raising the number makes its lease void.
UPDATE task SET state = 'CANCELLED', cause = 'cancelled', agent_id = NULL, lease_n = lease_n + 1, attempts = attempts + 1
 WHERE task_id = ? AND state IN ('LEASED', 'RUNNING');

-- name: requeue_task
-- Send one finished task round again with fresh budgets.
UPDATE task SET state = 'READY', cause = '', spent = '', ready_us = ?, memory_mib = NULL, lapsed = 0
 WHERE task_id = ? AND state IN ('FAILED', 'CANCELLED');

-- name: requeue_module
-- Send everything of a module that failed or was cancelled round again, but what was refused or incomplete.
UPDATE task SET state = 'READY', cause = '', spent = '', ready_us = ?, memory_mib = NULL, lapsed = 0
 WHERE module_id = ? AND state IN ('FAILED', 'CANCELLED') AND state = ? AND cause NOT IN ('incomplete', 'refused');

-- name: bad_tasks
-- Failed and cancelled tasks of a module, a page, with the exit code of their last attempt.
SELECT t.task_id, t.n, t.state, t.cause, m.body, m.headers, m.inherited,
       (SELECT exit_code FROM attempt AS a WHERE a.task_id = t.task_id ORDER BY a.attempt_id DESC LIMIT 1)
  FROM task AS t JOIN message AS m USING (message_id)
 WHERE t.module_id = ? AND t.state IN ('FAILED', 'CANCELLED') AND t.n > ? ORDER BY t.n LIMIT ?;

-- name: missing_page
-- What a gather lacks of a module, which is named first, a page: (id, n, task, body, headers written, inherited, cause).
SELECT t.task_id, t.n, ? || '.' || t.n, m.body, m.headers, m.inherited,
       CASE t.cause WHEN '' THEN lower(t.state) ELSE t.cause END
  FROM task AS t JOIN message AS m USING (message_id)
 WHERE t.module_id = ? AND t.state IN ('FAILED', 'CANCELLED') AND t.n > ? ORDER BY t.n LIMIT ?;

-- name: place_of_task
-- Where a task stands among those of its module.
SELECT module_id, n FROM task WHERE task_id = ?;

-- name: task_by_n
-- One task by its id within the run.
SELECT task_id FROM task WHERE module_id = ? AND n = ?;

-- name: causes
-- Why the bad tasks of a module are bad.
SELECT cause, count(*) FROM task WHERE module_id = ? AND state IN ('FAILED', 'CANCELLED') GROUP BY cause;

-- name: oldest_lease
-- Since when an agent has held the lease that it has held longest.
SELECT min(leased_us) FROM task WHERE agent_id = ?;

-- name: done_by_site
-- How many attempts of a module succeeded at each site.
SELECT g.site, count(*) FROM task AS t JOIN attempt AS a USING (task_id) JOIN agent AS g ON g.agent_id = a.agent_id
 WHERE t.module_id = ? AND a.outcome = 'SUCCEEDED' GROUP BY g.site;

-- name: oldest_running
-- Since when the longest held task of a module has been held.
SELECT min(t.leased_us) FROM agent AS g JOIN task AS t ON t.agent_id = g.agent_id
 WHERE g.ended_us IS NULL AND t.module_id = ? AND t.state = 'RUNNING';

-- name: task_cause
-- Why one task is bad.
SELECT cause FROM task WHERE task_id = ?;

-- name: raised_memory
-- The most that a retry gave to an open task of a module.
SELECT max(memory_mib) FROM task WHERE module_id = ? AND state IN ('READY', 'LEASED', 'RUNNING');

-- name: held_tasks
-- What recording plain successes needs to know of the tasks whose ids are in a JSON list.
SELECT t.task_id, t.state, t.lease_epoch, t.lease_n, t.module_id, t.agent_id, t.attempts, t.created_us, t.ready_us,
       t.leased_us, m.headers, m.inherited
  FROM json_each(?) AS wanted CROSS JOIN task AS t ON t.task_id = wanted.value JOIN message AS m USING (message_id);

-- name: succeed_tasks
-- They succeeded.
UPDATE task SET state = 'SUCCEEDED', cause = '', attempts = attempts + 1, lapsed = 0, agent_id = NULL
 WHERE task_id IN (SELECT value FROM json_each(?));
