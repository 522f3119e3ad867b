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
SELECT a.attempt_id, mo.name, t.n, a.attempt, m.body, m.headers, m.inherited, a.outcome, a.cause, a.exit_code, a.signal,
       g.site, g.node, a.slot, tr.name, g.job_id, g.element, a.lease_epoch, a.lease_n,
       a.created_us, a.ready_us, a.leased_us, a.received_us, a.setup_us, a.check_us, a.container_us, a.started_us,
       a.ended_us, a.collected_us, a.reported_us, a.recorded_us, a.cpu_user_s, a.cpu_system_s, a.max_rss_mib,
       a.input_bytes, a.output_bytes, a.messages_sent, a.sent_to, a.user_text, a.user_times, a.image,
       o.stdout, o.stderr, o.stdout_cut, o.stderr_cut, a.note, a.logs, a.generation, a.reported, g.incarnation
  FROM attempt AS a
  JOIN task AS t USING (task_id)
  JOIN module AS mo ON mo.module_id = t.module_id
  JOIN message AS m USING (message_id)
  LEFT JOIN agent AS g ON g.agent_id = a.agent_id
  LEFT JOIN try AS tr ON tr.try_id = g.try_id
  LEFT JOIN output AS o USING (attempt_id)
 WHERE a.run_id = ? AND a.attempt_id > ? AND a.attempt_id <= ? ORDER BY a.attempt_id LIMIT ?;

-- name: attempts_of_task
-- The same, of one task.
SELECT a.attempt_id, mo.name, t.n, a.attempt, m.body, m.headers, m.inherited, a.outcome, a.cause, a.exit_code, a.signal,
       g.site, g.node, a.slot, tr.name, g.job_id, g.element, a.lease_epoch, a.lease_n,
       a.created_us, a.ready_us, a.leased_us, a.received_us, a.setup_us, a.check_us, a.container_us, a.started_us,
       a.ended_us, a.collected_us, a.reported_us, a.recorded_us, a.cpu_user_s, a.cpu_system_s, a.max_rss_mib,
       a.input_bytes, a.output_bytes, a.messages_sent, a.sent_to, a.user_text, a.user_times, a.image,
       o.stdout, o.stderr, o.stdout_cut, o.stderr_cut, a.note, a.logs, a.generation, a.reported, g.incarnation
  FROM attempt AS a
  JOIN task AS t USING (task_id)
  JOIN module AS mo ON mo.module_id = t.module_id
  JOIN message AS m USING (message_id)
  LEFT JOIN agent AS g ON g.agent_id = a.agent_id
  LEFT JOIN try AS tr ON tr.try_id = g.try_id
  LEFT JOIN output AS o USING (attempt_id)
 WHERE a.task_id = ? ORDER BY a.attempt_id;

-- name: last_attempt
-- The newest attempt of a run.
SELECT max(attempt_id) FROM attempt WHERE run_id = ?;

-- name: tasks_page
-- Tasks of a run, a page, perhaps of one module, state or cause.
SELECT t.task_id, mo.name, t.n, t.state, t.cause, m.body, m.headers, m.inherited, t.attempts, t.lease_epoch, t.lease_n,
       t.ready_us, t.created_us, g.incarnation, t.generation
  FROM task AS t
  JOIN module AS mo ON mo.module_id = t.module_id
  JOIN message AS m USING (message_id)
  LEFT JOIN agent AS g ON g.agent_id = t.agent_id
 WHERE mo.run_id = :run AND t.task_id > :after
   AND (:module IS NULL OR mo.name = :module) AND (:state IS NULL OR t.state = :state)
   AND (:cause IS NULL OR t.cause = :cause)
 ORDER BY t.task_id LIMIT :limit;

-- name: task_row
-- One task as `tasks_page` shows it.
SELECT t.task_id, mo.name, t.n, t.state, t.cause, m.body, m.headers, m.inherited, t.attempts, t.lease_epoch, t.lease_n,
       t.ready_us, t.created_us, g.incarnation, t.generation
  FROM task AS t
  JOIN module AS mo ON mo.module_id = t.module_id
  JOIN message AS m USING (message_id)
  LEFT JOIN agent AS g ON g.agent_id = t.agent_id
 WHERE t.task_id = ?;

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
-- Where the output of a task's attempts is.
SELECT attempt, logs FROM attempt WHERE task_id = ? ORDER BY attempt_id;

-- name: live_attempt
-- The attempt that is under way: number, incarnation, pool, lease.
SELECT t.attempts + 1, g.incarnation, g.pool_id, t.lease_epoch, t.lease_n, t.task_id
  FROM task AS t JOIN agent AS g USING (agent_id) WHERE t.task_id = ? AND t.state IN ('LEASED', 'RUNNING');
