-- Allocations, tries and agents.

-- name: add_allocation
-- What we are about to ask for.
INSERT INTO allocation (allocation_id, pool_id, request, elements, created_us) VALUES (?, ?, ?, ?, ?);

-- name: add_try
-- The intent, written before we ask.
INSERT INTO try (try_id, allocation_id, try_n, name, state, created_us) VALUES (?, ?, ?, ?, 'SUBMITTING', ?);

-- name: save_try
-- Where a try stands.
UPDATE try SET state = ?, job_id = ?, reason = ?, heard = ? WHERE try_id = ?;

-- name: end_allocation
-- Nothing of it is left.
UPDATE allocation SET ended_us = ? WHERE allocation_id = ?;

-- name: open_allocations
-- Allocations that are not over.
SELECT allocation_id, pool_id, request, given_back FROM allocation WHERE ended_us IS NULL;

-- name: sites_asked
-- Sites of which something was asked since then, each as the newest run that did so knows it.
SELECT newest.site, run.pipeline
  FROM (SELECT site, max(run_id) AS run_id FROM pool JOIN allocation USING (pool_id)
         WHERE created_us >= ? GROUP BY site) AS newest
  JOIN run USING (run_id);

-- name: give_back_elements
-- Which of its elements we cancel, written before we do.
UPDATE allocation SET given_back = ? WHERE allocation_id = ?;

-- name: tries_of
-- The tries of an allocation.
SELECT try_id, try_n, name, state, job_id, reason, heard, created_us FROM try WHERE allocation_id = ?;

-- name: ended_elements
-- Elements of a try whose agents are known to be over, newest incarnation each.
SELECT element, max(restart) FROM agent WHERE try_id = ? GROUP BY element
HAVING count(*) = count(ended_us) AND count(CASE WHEN ending = 'silent' THEN 1 END) = 0;

-- name: hello_elements
-- Elements of a try that ever said hello.
SELECT DISTINCT element FROM agent WHERE try_id = ?;

-- name: add_agent
-- An incarnation said hello.
INSERT INTO agent (agent_id, incarnation, try_id, element, restart, pool_id, site, node, job_id, facts, hello_us)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: end_agent
-- An incarnation is over.
UPDATE agent SET ended_us = ?, ending = ? WHERE agent_id = ? AND ended_us IS NULL;

-- name: silent_agent
-- An incarnation that was given up for its silence alone.
SELECT agent_id, incarnation, try_id, element, restart, pool_id, node, facts FROM agent
 WHERE incarnation = ? AND ending = ?;

-- name: silent_agent_back
-- It speaks again.
UPDATE agent SET ended_us = NULL, ending = '' WHERE agent_id = ?;

-- name: live_agents
-- Incarnations that are not known to be over.
SELECT agent_id, incarnation, try_id, element, restart, pool_id, node, facts FROM agent WHERE ended_us IS NULL;

-- name: node_of_agent
-- Where an agent runs, or ran.
SELECT node, site FROM agent WHERE agent_id = ?;

-- name: agent_by_incarnation
-- An incarnation, over or not.
SELECT agent_id, try_id, element, restart, pool_id, ended_us, ending FROM agent WHERE incarnation = ?;
