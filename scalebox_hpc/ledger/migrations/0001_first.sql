-- The first ledger. Times are UTC microseconds. States and causes are the words of the program.

CREATE TABLE home (
    home_id    TEXT NOT NULL PRIMARY KEY,   -- 16 hex digits
    path       TEXT NOT NULL,               -- where it was when last started
    epoch      TEXT NOT NULL,               -- of the last daemon start, 8 hex digits
    created_us INTEGER NOT NULL
);

CREATE TABLE run (
    run_id      INTEGER PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,       -- readable: primes-7f3a
    state       TEXT NOT NULL,
    reason      TEXT NOT NULL DEFAULT '',   -- why it is in that state, where that needs saying
    open        INTEGER NOT NULL DEFAULT 0, -- waits for more messages until closed by hand
    pipeline    TEXT NOT NULL,              -- the checked pipeline, JSON
    site        TEXT NOT NULL,
    results     TEXT NOT NULL,
    seed_path   TEXT NOT NULL,              -- spooled seeds, JSON Lines
    seed_offset INTEGER NOT NULL DEFAULT 0, -- bytes of it already turned into messages; -1: all
    seed_count  INTEGER NOT NULL DEFAULT 0, -- messages already made of it
    created_us  INTEGER NOT NULL,
    started_us  INTEGER,
    ended_us    INTEGER
);

CREATE TABLE module (
    module_id INTEGER PRIMARY KEY,
    run_id    INTEGER NOT NULL REFERENCES run,
    name      TEXT NOT NULL,
    digest    TEXT NOT NULL,                -- of image, command, files, env, parameters, to, gather
    sheet     TEXT NOT NULL,                -- what agents are told of it, JSON
    next_n    INTEGER NOT NULL DEFAULT 1,   -- the n of the next task
    ready     INTEGER NOT NULL DEFAULT 0,   -- tasks in each state
    leased    INTEGER NOT NULL DEFAULT 0,
    running   INTEGER NOT NULL DEFAULT 0,
    succeeded INTEGER NOT NULL DEFAULT 0,
    failed    INTEGER NOT NULL DEFAULT 0,
    cancelled INTEGER NOT NULL DEFAULT 0,
    ignored   INTEGER NOT NULL DEFAULT 0,   -- messages with a key that was there already
    launches  INTEGER NOT NULL DEFAULT 0,   -- launch failures since the last success
    launch_node   TEXT    NOT NULL DEFAULT '', -- of the first of them
    launch_spread INTEGER NOT NULL DEFAULT 0,  -- another node had one too
    broken    TEXT NOT NULL DEFAULT '',     -- why the module as a whole failed
    UNIQUE (run_id, name)
);

CREATE TABLE pool (
    pool_id INTEGER PRIMARY KEY,
    run_id  INTEGER NOT NULL REFERENCES run,
    name    TEXT NOT NULL,
    site    TEXT NOT NULL,
    state   TEXT NOT NULL DEFAULT 'ok',     -- or 'paused'
    reason  TEXT NOT NULL DEFAULT '',
    hello_less INTEGER NOT NULL DEFAULT 0,  -- elements ended without a hello, none with one between
    UNIQUE (run_id, name)
);

CREATE TABLE allocation (
    allocation_id INTEGER PRIMARY KEY,
    pool_id    INTEGER NOT NULL REFERENCES pool,
    request    TEXT NOT NULL,               -- elements, resources and walltime asked for, JSON
    elements   INTEGER NOT NULL,
    created_us INTEGER NOT NULL,
    ended_us   INTEGER,
    given_back TEXT NOT NULL DEFAULT '[]'   -- elements that we cancel, JSON
);
CREATE INDEX allocation_open ON allocation (pool_id) WHERE ended_us IS NULL;

-- "try" is a reserved word in no database we use, but quoting it everywhere is worse than this name.
CREATE TABLE try (
    try_id        INTEGER PRIMARY KEY,
    allocation_id INTEGER NOT NULL REFERENCES allocation,
    try_n         INTEGER NOT NULL,
    name          TEXT NOT NULL UNIQUE,     -- ends in .<home>.<epoch>.<allocation>.<try>
    state         TEXT NOT NULL,
    job_id        TEXT NOT NULL DEFAULT '',
    reason        TEXT NOT NULL DEFAULT '',
    heard         INTEGER NOT NULL DEFAULT 0,  -- a hello came under this name
    created_us    INTEGER NOT NULL,
    UNIQUE (allocation_id, try_n)
);
CREATE INDEX try_live ON try (state) WHERE state NOT IN ('ENDED', 'REFUSED');

CREATE TABLE agent (
    agent_id    INTEGER PRIMARY KEY,
    incarnation TEXT NOT NULL UNIQUE,       -- 16 hex digits
    try_id      INTEGER NOT NULL REFERENCES try,
    element     INTEGER NOT NULL,
    restart     INTEGER NOT NULL,
    pool_id     INTEGER NOT NULL REFERENCES pool,
    site        TEXT NOT NULL,
    node        TEXT NOT NULL,
    job_id      TEXT NOT NULL DEFAULT '',
    facts       TEXT NOT NULL DEFAULT '{}', -- what it said at hello, JSON
    hello_us    INTEGER NOT NULL,
    ended_us    INTEGER,
    ending      TEXT NOT NULL DEFAULT ''    -- the cause its attempts got
);
CREATE INDEX agent_live ON agent (try_id, element) WHERE ended_us IS NULL;

CREATE TABLE task (
    task_id        INTEGER PRIMARY KEY,
    module_id      INTEGER NOT NULL REFERENCES module,
    n              INTEGER NOT NULL,        -- its id within the run is <module>.<n>
    state          TEXT NOT NULL,
    cause          TEXT NOT NULL DEFAULT '',
    message_id     INTEGER NOT NULL,        -- body and headers
    key_digest     BLOB,                    -- what makes it the same as another; NULL: nothing does
    ready_us       INTEGER NOT NULL,        -- since when, or from when on, it may be leased
    lease_epoch    TEXT NOT NULL DEFAULT '',
    lease_n        INTEGER NOT NULL DEFAULT 0,
    leased_us      INTEGER,
    agent_id       INTEGER,                 -- the holder, while LEASED or RUNNING
    lapsed         INTEGER NOT NULL DEFAULT 0,
    attempts       INTEGER NOT NULL DEFAULT 0,
    generation     INTEGER NOT NULL DEFAULT 1,
    spent          TEXT NOT NULL DEFAULT '', -- retries used, JSON: rule number or "infra" to count
    memory_mib     INTEGER,                 -- when a retry raised it
    created_us     INTEGER NOT NULL
);
CREATE UNIQUE INDEX task_n ON task (module_id, n);
CREATE UNIQUE INDEX task_key ON task (module_id, key_digest) WHERE key_digest IS NOT NULL;
CREATE INDEX task_ready ON task (module_id, ready_us) WHERE state = 'READY';
CREATE INDEX task_held ON task (agent_id) WHERE agent_id IS NOT NULL;
CREATE INDEX task_bad ON task (module_id, n) WHERE state IN ('FAILED', 'CANCELLED');

CREATE TABLE message (
    message_id INTEGER PRIMARY KEY,
    sender     INTEGER NOT NULL,            -- attempt_id; 0: a seed; negative: minus the part_id that fired
    position   INTEGER NOT NULL,
    module_id  INTEGER NOT NULL REFERENCES module,
    body       TEXT NOT NULL,
    headers    TEXT,                        -- written by the sender, JSON; NULL: none
    inherited  TEXT,                        -- "_" headers of the sender's task, JSON; NULL: none
    task_id    INTEGER,                     -- the task it became, or that had its key already
    part_id    INTEGER,                     -- the part it is a member of
    live       INTEGER NOT NULL DEFAULT 1   -- 0: ignored, or a member replaced by a later success
);
CREATE UNIQUE INDEX message_sender ON message (sender, position) WHERE sender > 0;
CREATE INDEX message_part ON message (part_id) WHERE part_id IS NOT NULL;

CREATE TABLE part (
    part_id      INTEGER PRIMARY KEY,
    module_id    INTEGER NOT NULL REFERENCES module,
    group_digest BLOB NOT NULL,
    group_text   TEXT NOT NULL,
    part         INTEGER NOT NULL,
    size         INTEGER,                   -- NULL: whole at closing
    members      INTEGER NOT NULL DEFAULT 0,
    agreed       TEXT NOT NULL DEFAULT '{}', -- "_" headers on which all members agree, JSON
    state        TEXT NOT NULL,             -- 'open', 'fired', or 'changed' since it fired
    task_id      INTEGER,
    generation   INTEGER NOT NULL DEFAULT 0,
    missing      INTEGER NOT NULL DEFAULT 0, -- of its last firing: tasks that failed upstream
    UNIQUE (module_id, group_digest, part)
);
CREATE INDEX part_waiting ON part (module_id) WHERE state <> 'fired';

CREATE TABLE chunk (
    task_id     INTEGER NOT NULL,
    lease_epoch TEXT NOT NULL,
    lease_n     INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    slice       INTEGER NOT NULL,           -- a chunk is kept in slices that one turn can take
    module_id   INTEGER NOT NULL,           -- of the sender
    messages    TEXT NOT NULL,              -- JSON
    count       INTEGER NOT NULL,
    first       INTEGER NOT NULL DEFAULT 0, -- position of its first message, once recorded
    attempt_id  INTEGER,                    -- set when its report was recorded: it waits to be turned
    PRIMARY KEY (task_id, lease_epoch, lease_n, seq, slice)
) WITHOUT ROWID;
CREATE INDEX chunk_waiting ON chunk (attempt_id, seq, slice) WHERE attempt_id IS NOT NULL;

CREATE TABLE attempt (
    attempt_id    INTEGER PRIMARY KEY,
    task_id       INTEGER NOT NULL REFERENCES task,
    run_id        INTEGER NOT NULL,
    attempt       INTEGER NOT NULL,         -- 1, 2, ... per task
    generation    INTEGER NOT NULL DEFAULT 1,
    lease_epoch   TEXT NOT NULL,
    lease_n       INTEGER NOT NULL,
    reported      INTEGER NOT NULL,         -- 0: written by a lapse; a report may still come
    outcome       TEXT NOT NULL,            -- SUCCEEDED, FAILED, CANCELLED
    cause         TEXT NOT NULL DEFAULT '',
    spent         TEXT NOT NULL DEFAULT '', -- the budget it drew on, to be given back by a late report
    exit_code     INTEGER,
    signal        INTEGER,
    note          TEXT NOT NULL DEFAULT '',
    agent_id      INTEGER NOT NULL,
    slot          INTEGER,
    created_us    INTEGER NOT NULL,
    ready_us      INTEGER NOT NULL,
    leased_us     INTEGER,
    received_us   INTEGER,
    setup_us      INTEGER,
    check_us      INTEGER,
    container_us  INTEGER,
    started_us    INTEGER,
    ended_us      INTEGER,
    collected_us  INTEGER,
    reported_us   INTEGER,
    recorded_us   INTEGER NOT NULL,
    cpu_user_s    REAL,
    cpu_system_s  REAL,
    max_rss_mib   REAL,
    input_bytes   INTEGER NOT NULL DEFAULT 0,
    output_bytes  INTEGER NOT NULL DEFAULT 0,
    messages_sent INTEGER NOT NULL DEFAULT 0,
    sent_to       TEXT NOT NULL DEFAULT '', -- module names, comma separated
    user_text     TEXT NOT NULL DEFAULT '',
    user_times    TEXT NOT NULL DEFAULT '', -- label to ISO 8601, JSON
    image         TEXT NOT NULL DEFAULT '',
    logs          TEXT NOT NULL DEFAULT ''  -- [path, start, end, path, start, end], JSON
);
CREATE UNIQUE INDEX attempt_lease ON attempt (task_id, lease_epoch, lease_n);
CREATE INDEX attempt_run ON attempt (run_id, attempt_id);

CREATE TABLE output (
    attempt_id INTEGER PRIMARY KEY REFERENCES attempt,
    stdout     TEXT NOT NULL,
    stderr     TEXT NOT NULL,
    stdout_cut INTEGER NOT NULL,
    stderr_cut INTEGER NOT NULL
);

CREATE TABLE event (
    event_id INTEGER PRIMARY KEY,
    at_us    INTEGER NOT NULL,
    thing    TEXT NOT NULL,                 -- 'run', 'allocation', 'agent'
    thing_id INTEGER NOT NULL,
    what     TEXT NOT NULL,
    detail   TEXT NOT NULL DEFAULT ''
);

-- An attempt as people see it, with what its task, agent and outputs say.
CREATE VIEW attempt_seen AS
SELECT a.attempt_id, a.run_id, a.task_id, mo.name AS module, t.n, a.attempt, m.body, m.headers, m.inherited,
       a.outcome, a.cause, a.exit_code, a.signal, g.site, g.node, a.slot, tr.name AS allocation, g.job_id, g.element,
       a.lease_epoch, a.lease_n, a.created_us, a.ready_us, a.leased_us, a.received_us, a.setup_us, a.check_us,
       a.container_us, a.started_us, a.ended_us, a.collected_us, a.reported_us, a.recorded_us, a.cpu_user_s,
       a.cpu_system_s, a.max_rss_mib, a.input_bytes, a.output_bytes, a.messages_sent, a.sent_to, a.user_text,
       a.user_times, a.image, o.stdout, o.stderr, o.stdout_cut, o.stderr_cut, a.note, a.logs, a.generation,
       a.reported, g.incarnation
  FROM attempt AS a
  JOIN task AS t USING (task_id)
  JOIN module AS mo ON mo.module_id = t.module_id
  JOIN message AS m USING (message_id)
  LEFT JOIN agent AS g ON g.agent_id = a.agent_id
  LEFT JOIN try AS tr ON tr.try_id = g.try_id
  LEFT JOIN output AS o ON o.attempt_id = a.attempt_id;

-- A task as people see it, with its message and its holder.
CREATE VIEW task_seen AS
SELECT t.task_id, mo.run_id, mo.name AS module, t.n, t.state, t.cause, m.body, m.headers, m.inherited, t.attempts,
       t.lease_epoch, t.lease_n, t.ready_us, t.created_us, g.incarnation, t.generation
  FROM task AS t
  JOIN module AS mo ON mo.module_id = t.module_id
  JOIN message AS m USING (message_id)
  LEFT JOIN agent AS g ON g.agent_id = t.agent_id;
