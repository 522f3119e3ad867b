-- An index of SQLite ends with the number of the row, and its rows come in that order; Postgres is to be told.
DROP INDEX task_ready;
CREATE INDEX task_ready ON task (module_id, ready_us, task_id) WHERE state = 'READY';
DROP INDEX message_part;
CREATE INDEX message_part ON message (part_id, message_id) WHERE part_id IS NOT NULL;
DROP INDEX part_waiting;
CREATE INDEX part_waiting ON part (module_id, part_id) WHERE state <> 'fired';
