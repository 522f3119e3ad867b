-- Homes, runs, modules, pools.

-- name: last_ids
-- The highest number in use, of each kind.
SELECT (SELECT coalesce(max(task_id), 0) FROM task), (SELECT coalesce(max(message_id), 0) FROM message),
       (SELECT coalesce(max(attempt_id), 0) FROM attempt), (SELECT coalesce(max(part_id), 0) FROM part),
       (SELECT coalesce(max(allocation_id), 0) FROM allocation), (SELECT coalesce(max(run_id), 0) FROM run),
       (SELECT coalesce(max(agent_id), 0) FROM agent), (SELECT coalesce(max(try_id), 0) FROM try),
       (SELECT coalesce(max(module_id), 0) FROM module), (SELECT coalesce(max(pool_id), 0) FROM pool);

-- name: newest_time
-- The newest time that was written.
SELECT coalesce(max(at_us), 0) FROM (
    SELECT (SELECT at_us FROM event ORDER BY event_id DESC LIMIT 1) AS at_us
    UNION ALL SELECT (SELECT created_us FROM task ORDER BY task_id DESC LIMIT 1)
    UNION ALL SELECT (SELECT recorded_us FROM attempt ORDER BY attempt_id DESC LIMIT 1)
    UNION ALL SELECT (SELECT max(leased_us) FROM task WHERE agent_id IS NOT NULL)) AS newest;

-- name: home
-- Whose ledger this is.
SELECT home_id, path, epoch, created_us FROM home;

-- name: add_home
-- A new home.
INSERT INTO home (home_id, path, epoch, created_us) VALUES (?, ?, ?, ?);

-- name: open_home
-- A daemon start.
UPDATE home SET path = ?, epoch = ?;

-- name: add_run
-- A run as it was accepted.
INSERT INTO run (run_id, name, state, pipeline, site, results, seed_path, created_us, started_us)
VALUES (:run_id, :name, 'LOADING', :pipeline, :site, :results, :seed_path, :now, :now);

-- name: add_module
-- One of its modules.
INSERT INTO module (module_id, run_id, name, digest, sheet) VALUES (?, ?, ?, ?, ?);

-- name: add_pool
-- One of its pools.
INSERT INTO pool (pool_id, run_id, name, site) VALUES (?, ?, ?, ?);

-- name: runs
-- All runs, newest first.
SELECT run_id, name, state, reason, open, pipeline, site, results, seed_path, seed_offset, seed_count,
       created_us, started_us, ended_us FROM run WHERE removing = '' ORDER BY run_id DESC;

-- name: active_runs
-- Runs that a daemon start continues or waits with.
SELECT run_id, name, state, reason, open, pipeline, site, results, seed_path, seed_offset, seed_count,
       created_us, started_us, ended_us FROM run WHERE state IN ('LOADING', 'RUNNING', 'PAUSED', 'INTERRUPTED')
 ORDER BY run_id;

-- name: run_by_name
-- One run.
SELECT run_id, name, state, reason, open, pipeline, site, results, seed_path, seed_offset, seed_count,
       created_us, started_us, ended_us FROM run WHERE name = ? AND removing = '';

-- name: run_names
-- The names that are taken, also by runs that are to go.
SELECT name FROM run;

-- name: newest_run
-- The newest run.
SELECT run_id, name, state, reason, open, pipeline, site, results, seed_path, seed_offset, seed_count,
       created_us, started_us, ended_us FROM run WHERE removing = '' ORDER BY run_id DESC LIMIT 1;

-- name: run_totals
-- Tasks of every run: in all, succeeded, failed.
SELECT run_id, sum(ready + leased + running + succeeded + failed + cancelled), sum(succeeded), sum(failed)
  FROM module GROUP BY run_id;

-- name: modules
-- The modules of a run in their order.
SELECT module_id, name, digest, sheet, next_n, ready, leased, running, succeeded, failed, cancelled, ignored,
       launches, launch_node, launch_spread, broken FROM module WHERE run_id = ? ORDER BY module_id;

-- name: pools
-- The pools of a run.
SELECT pool_id, name, site, state, reason, hello_less FROM pool WHERE run_id = ? ORDER BY pool_id;

-- name: save_module
-- Counters and what else changed in a turn.
UPDATE module SET next_n = ?, ready = ?, leased = ?, running = ?, succeeded = ?, failed = ?, cancelled = ?, ignored = ?,
       launches = ?, launch_node = ?, launch_spread = ?, broken = ? WHERE module_id = ?;

-- name: save_run
-- Where a run stands.
UPDATE run SET state = ?, reason = ?, ended_us = ? WHERE run_id = ?;

-- name: save_seeding
-- How far the seeds are turned.
UPDATE run SET seed_offset = ?, seed_count = ? WHERE run_id = ?;

-- name: save_pool
-- Whether a pool may submit.
UPDATE pool SET state = ?, reason = ?, hello_less = ? WHERE pool_id = ?;

-- name: add_event
-- What happened to a run, an allocation or an agent.
INSERT INTO event (event_id, at_us, thing, thing_id, what, detail)
VALUES ((SELECT coalesce(max(event_id), 0) + 1 FROM event), ?, ?, ?, ?, ?);

-- name: run_of_pool
-- The run that a pool belongs to.
SELECT r.run_id, r.name, r.state, r.reason, r.open, r.pipeline, r.site, r.results, r.seed_path, r.seed_offset,
       r.seed_count, r.created_us, r.started_us, r.ended_us FROM run AS r JOIN pool AS p USING (run_id)
 WHERE p.pool_id = ?;

-- name: run_of_module
-- The run that a module belongs to.
SELECT r.run_id, r.name, r.state, r.reason, r.open, r.pipeline, r.site, r.results, r.seed_path, r.seed_offset,
       r.seed_count, r.created_us, r.started_us, r.ended_us FROM run AS r JOIN module AS m USING (run_id)
 WHERE m.module_id = ?;

-- name: adopt_home
-- A copy of a home goes on under an id of its own.
UPDATE home SET home_id = ?;

-- name: disown_tasks
-- What agents of the original hold is not ours: it goes round again.
UPDATE task SET state = 'READY', agent_id = NULL, lapsed = 0, lease_n = lease_n + 1 WHERE agent_id IS NOT NULL;

-- name: disown_agents
-- Nor are its agents.
UPDATE agent SET ended_us = ?, ending = 'copied' WHERE ended_us IS NULL;

-- name: disown_tries
-- Nor its submissions.
UPDATE try SET state = 'ENDED', reason = 'copied' WHERE state NOT IN ('ENDED', 'REFUSED');

-- name: disown_allocations
-- Nor its allocations.
UPDATE allocation SET ended_us = ? WHERE ended_us IS NULL;

-- name: recount_modules
-- The counters of every module, counted anew.
UPDATE module SET
    ready = (SELECT count(*) FROM task AS t WHERE t.module_id = module.module_id AND t.state = 'READY'),
    leased = 0, running = 0 WHERE leased > 0 OR running > 0;

-- name: freeze_run
-- The pipeline and the sites that a run goes on with.
UPDATE run SET pipeline = ? WHERE run_id = ?;
