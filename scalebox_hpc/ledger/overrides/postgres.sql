-- The few statements that Postgres needs in words of its own; all others are those of SQLite.

-- name: held_tasks
-- What recording plain successes needs to know of the tasks whose ids are in a JSON list.
SELECT t.task_id, t.state, t.lease_epoch, t.lease_n, t.module_id, t.agent_id, t.attempts, t.created_us, t.ready_us,
       t.leased_us, m.headers, m.inherited
  FROM task AS t JOIN message AS m USING (message_id)
 WHERE t.task_id = ANY (CAST(translate(?, '[]', '{}') AS BIGINT[]));

-- name: succeed_tasks
-- They succeeded.
UPDATE task SET state = 'SUCCEEDED', cause = '', attempts = attempts + 1, lapsed = 0, agent_id = NULL
 WHERE task_id = ANY (CAST(translate(?, '[]', '{}') AS BIGINT[]));

-- name: claim
-- Lease up to :count tasks of a module that are due and fit, oldest first, and tell them in that order.
WITH due AS MATERIALIZED (
    SELECT task_id, ready_us FROM task
     WHERE module_id = :module AND state = 'READY' AND ready_us <= :now
       AND (memory_mib IS NULL OR memory_mib <= :memory_mib)
       AND (CAST(:site AS TEXT) IS NULL OR site IN ('', :site))
     ORDER BY ready_us, task_id LIMIT :count),
leased AS (
    UPDATE task AS t
       SET state = 'LEASED', lease_epoch = :epoch, lease_n = t.lease_n + 1, leased_us = :now,
           agent_id = :agent, lapsed = 0
      FROM due WHERE t.task_id = due.task_id
    RETURNING due.ready_us, t.task_id, t.n, t.lease_n, t.attempts, t.memory_mib, t.generation, t.message_id)
SELECT l.task_id, l.n, l.lease_n, l.attempts, l.memory_mib, l.generation, m.body, m.headers, m.inherited
  FROM leased AS l JOIN message AS m USING (message_id) ORDER BY l.ready_us, l.task_id;
