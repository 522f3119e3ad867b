-- Tasks of a module with several sites go with their files: a task is bound to the site where these were brought.

ALTER TABLE task ADD COLUMN site TEXT NOT NULL DEFAULT ''; -- of a transfer while held: where it brings files; '': any
