-- Attempts and what they said.

-- name: add_attempt
-- One try at a task: all columns, in the order of the table.
INSERT INTO attempt VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: drop_attempt
-- A lapse's row makes room for the report that came after all.
DELETE FROM attempt WHERE attempt_id = ?;

-- name: add_output
-- The tails of an attempt's output.
INSERT INTO output (attempt_id, stdout, stderr, stdout_cut, stderr_cut) VALUES (?, ?, ?, ?, ?);

-- name: attempts_page
-- Attempts of a run in order of recording, a page.
SELECT * FROM attempt_seen WHERE run_id = ? AND attempt_id > ? AND attempt_id <= ? ORDER BY attempt_id LIMIT ?;

-- name: attempts_of_task
-- The attempts of a task in order of recording.
SELECT * FROM attempt_seen WHERE task_id = ? ORDER BY attempt_id;

-- name: last_attempt
-- The newest attempt of a run.
SELECT max(attempt_id) FROM attempt WHERE run_id = ?;

-- name: tasks_page
-- Tasks of a run, a page, perhaps of one module, state or cause.
SELECT * FROM task_seen
 WHERE run_id = :run AND task_id > :after
   AND (CAST(:module AS TEXT) IS NULL OR module = :module) AND (CAST(:state AS TEXT) IS NULL OR state = :state)
   AND (CAST(:cause AS TEXT) IS NULL OR cause = :cause)
 ORDER BY task_id LIMIT :limit;

-- name: task_row
-- One task as `tasks_page` shows it.
SELECT * FROM task_seen WHERE task_id = ?;

-- name: sender_of_task
-- Which task sent the message that a task is.
SELECT sm.name, st.n FROM task AS t JOIN message AS m USING (message_id)
  JOIN attempt AS a ON a.attempt_id = m.sender
  JOIN task AS st ON st.task_id = a.task_id
  JOIN module AS sm ON sm.module_id = st.module_id
 WHERE t.task_id = ?;

-- name: sent_by_task
-- How many messages the attempts of a task sent.
SELECT coalesce(sum(messages_sent), 0) FROM attempt WHERE task_id = ?;

-- name: logs_of_task
-- Where the output of a task's attempts is, and at which site.
SELECT a.attempt, a.logs, COALESCE(g.site, '') FROM attempt AS a LEFT JOIN agent AS g USING (agent_id)
 WHERE a.task_id = ? ORDER BY a.attempt_id;

-- name: live_attempt
-- The attempt that is under way: number, incarnation, pool, lease.
SELECT t.attempts + 1, g.incarnation, g.pool_id, t.lease_epoch, t.lease_n, t.task_id
  FROM task AS t JOIN agent AS g USING (agent_id) WHERE t.task_id = ? AND t.state IN ('LEASED', 'RUNNING');
