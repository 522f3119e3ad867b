-- Runs can be removed. What belongs to one must be found without reading what belongs to others.

ALTER TABLE run ADD COLUMN removing TEXT NOT NULL DEFAULT ''; -- 'run', or 'results': it is to go, these too

-- What attempts sent is found by its sender; this is the rest: seeds, and what parts fired.
CREATE INDEX message_made ON message (module_id) WHERE sender <= 0;
CREATE INDEX allocation_pool ON allocation (pool_id);
CREATE INDEX agent_try ON agent (try_id);
CREATE INDEX event_thing ON event (thing, thing_id);
