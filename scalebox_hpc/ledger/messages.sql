-- Messages, the parts they fill, and the chunks they wait in.

-- name: add_message
-- A message: id, sender, position, module, body, headers, inherited, task, part, live.
INSERT INTO message (message_id, sender, position, module_id, body, headers, inherited, task_id, part_id, live)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: newest_part
-- The part that the next member of a group joins.
SELECT part_id, part, size, members, agreed, state, task_id, generation FROM part
 WHERE module_id = ? AND group_digest = ? ORDER BY part DESC LIMIT 1;

-- name: changed_parts
-- Parts of a group that lost members to a later success.
SELECT part_id, part, size, members, agreed, state, task_id, generation FROM part
 WHERE module_id = ? AND state = 'changed' AND group_digest = ? ORDER BY part;

-- name: add_part
-- A new part: id, module, digest, text, part, size, members, agreed, state.
INSERT INTO part (part_id, module_id, group_digest, group_text, part, size, members, agreed, state)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: fill_part
-- Members joined.
UPDATE part SET size = ?, members = ?, agreed = ?, state = ? WHERE part_id = ?;

-- name: fire_part
-- It fired, or was found incomplete.
UPDATE part SET state = 'fired', task_id = ?, generation = ?, missing = ? WHERE part_id = ?;

-- name: waiting_parts
-- Parts of a module that have something to fire, a page after a part; those whose task is at work have to wait.
SELECT part_id, part, size, members, agreed, state, task_id, generation, group_text FROM part
 WHERE module_id = ? AND part_id > ? AND state <> 'fired' AND NOT EXISTS
       (SELECT 1 FROM task WHERE task.task_id = part.task_id AND task.state IN ('READY', 'LEASED', 'RUNNING'))
 ORDER BY part_id LIMIT ?;

-- name: count_waiting_parts
-- How many parts have something to fire.
SELECT count(*) FROM part WHERE module_id = ? AND state <> 'fired';

-- name: any_part
-- Whether a module ever had a part.
SELECT 1 FROM part WHERE module_id = ? LIMIT 1;

-- name: part_of_task
-- The part that a gather task works on.
SELECT part_id, group_text, members, missing, generation, state FROM part WHERE part_id =
       (SELECT -m.sender FROM task AS t JOIN message AS m USING (message_id) WHERE t.task_id = ?);

-- name: change_part
-- An incomplete part is to be looked at again at the next closing.
UPDATE part SET state = 'changed' WHERE part_id = ? AND state = 'fired';

-- name: incomplete_parts
-- The parts behind a module's incomplete tasks.
UPDATE part SET state = 'changed'
 WHERE state = 'fired' AND part_id IN
       (SELECT -m.sender FROM task AS t JOIN message AS m USING (message_id)
         WHERE t.module_id = ? AND t.state IN ('FAILED', 'CANCELLED') AND t.cause = 'incomplete');

-- name: group_size
-- The size that the members of a group agreed on.
SELECT size FROM part WHERE module_id = ? AND group_digest = ? LIMIT 1;

-- name: members_page
-- Members of a part, a page: (id, position, sender's task, body, headers written, inherited).
SELECT m.message_id, m.position, coalesce(sm.name || '.' || st.n, ''), m.body, m.headers, m.inherited
  FROM message AS m
  LEFT JOIN attempt AS a ON a.attempt_id = m.sender
  LEFT JOIN task AS st ON st.task_id = a.task_id
  LEFT JOIN module AS sm ON sm.module_id = st.module_id
 WHERE m.part_id = ? AND m.live = 1 AND m.message_id > ? ORDER BY m.message_id LIMIT ?;

-- name: member_headers
-- All `_` headers of a part's members, to work out anew on which they agree.
SELECT headers, inherited FROM message WHERE part_id = ? AND live = 1;

-- name: earlier_members
-- Members that earlier successes of a task sent: how many to which part.
SELECT m.part_id, count(*) FROM message AS m
 WHERE m.sender IN (SELECT attempt_id FROM attempt WHERE task_id = :task AND outcome = 'SUCCEEDED')
   AND m.part_id IS NOT NULL AND m.live = 1 GROUP BY m.part_id;

-- name: drop_earlier_members
-- They are replaced by a later success.
UPDATE message SET live = 0
 WHERE sender IN (SELECT attempt_id FROM attempt WHERE task_id = :task AND outcome = 'SUCCEEDED')
   AND part_id IS NOT NULL AND live = 1;

-- name: shrink_part
-- It lost members.
UPDATE part SET members = members - ?, state = 'changed' WHERE part_id = ?;

-- name: part_state
-- The state and module of a part.
SELECT state, module_id FROM part WHERE part_id = ?;

-- name: stage_chunk
-- Messages sent ahead of their report; a resent slice is ignored.
INSERT INTO chunk (task_id, lease_epoch, lease_n, seq, slice, module_id, messages, count)
VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING;

-- name: chunks_of_lease
-- What is staged under a lease, in order.
SELECT seq, slice, count FROM chunk WHERE task_id = ? AND lease_epoch = ? AND lease_n = ? ORDER BY seq, slice;

-- name: chunk_messages
-- The text of one staged slice.
SELECT messages FROM chunk WHERE task_id = ? AND lease_epoch = ? AND lease_n = ? AND seq = ? AND slice = ?;

-- name: release_chunk
-- Its report is recorded: it waits to be turned into tasks.
UPDATE chunk SET attempt_id = ?, first = ?
 WHERE task_id = ? AND lease_epoch = ? AND lease_n = ? AND seq = ? AND slice = ?;

-- name: waiting_chunk
-- The next slice to be turned.
SELECT c.task_id, c.lease_epoch, c.lease_n, c.seq, c.slice, c.module_id, c.messages, c.first, c.attempt_id,
       m.headers, m.inherited, t.generation
  FROM chunk AS c JOIN task AS t USING (task_id) JOIN message AS m USING (message_id)
 WHERE c.attempt_id IS NOT NULL ORDER BY c.attempt_id, c.seq, c.slice LIMIT 1;

-- name: drop_chunk
-- It was turned.
DELETE FROM chunk WHERE task_id = ? AND lease_epoch = ? AND lease_n = ? AND seq = ? AND slice = ?;

-- name: waiting_chunks
-- How many slices wait, per sending module.
SELECT module_id, count(*) FROM chunk WHERE attempt_id IS NOT NULL GROUP BY module_id;

-- name: dead_chunks
-- A slice of those whose lease can no longer be recorded.
DELETE FROM chunk WHERE (task_id, lease_epoch, lease_n, seq, slice) IN
    (SELECT c.task_id, c.lease_epoch, c.lease_n, c.seq, c.slice FROM chunk AS c JOIN task AS t USING (task_id)
      WHERE c.attempt_id IS NULL
        AND (t.lease_epoch <> c.lease_epoch OR t.lease_n <> c.lease_n OR t.state NOT IN ('LEASED', 'RUNNING', 'READY')
             OR (t.state = 'READY' AND t.lapsed = 0))
      LIMIT ?);
