CREATE SCHEMA @SCHEMA@;
CREATE TABLE @SCHEMA@.agent (
    agent_id bigint NOT NULL,
    incarnation text NOT NULL,
    try_id bigint NOT NULL,
    element bigint NOT NULL,
    restart bigint NOT NULL,
    pool_id bigint NOT NULL,
    site text NOT NULL,
    node text NOT NULL,
    job_id text DEFAULT ''::text NOT NULL,
    facts text DEFAULT '{}'::text NOT NULL,
    hello_us bigint NOT NULL,
    ended_us bigint,
    ending text DEFAULT ''::text NOT NULL
);
CREATE TABLE @SCHEMA@.allocation (
    allocation_id bigint NOT NULL,
    pool_id bigint NOT NULL,
    request text NOT NULL,
    elements bigint NOT NULL,
    created_us bigint NOT NULL,
    ended_us bigint,
    given_back text DEFAULT '[]'::text NOT NULL
);
CREATE TABLE @SCHEMA@.attempt (
    attempt_id bigint NOT NULL,
    task_id bigint NOT NULL,
    run_id bigint NOT NULL,
    attempt bigint NOT NULL,
    generation bigint DEFAULT 1 NOT NULL,
    lease_epoch text NOT NULL,
    lease_n bigint NOT NULL,
    reported bigint NOT NULL,
    outcome text NOT NULL,
    cause text DEFAULT ''::text NOT NULL,
    spent text DEFAULT ''::text NOT NULL,
    exit_code bigint,
    signal bigint,
    note text DEFAULT ''::text NOT NULL,
    agent_id bigint NOT NULL,
    slot bigint,
    created_us bigint NOT NULL,
    ready_us bigint NOT NULL,
    leased_us bigint,
    received_us bigint,
    setup_us bigint,
    check_us bigint,
    container_us bigint,
    started_us bigint,
    ended_us bigint,
    collected_us bigint,
    reported_us bigint,
    recorded_us bigint NOT NULL,
    cpu_user_s double precision,
    cpu_system_s double precision,
    max_rss_mib double precision,
    input_bytes bigint DEFAULT 0 NOT NULL,
    output_bytes bigint DEFAULT 0 NOT NULL,
    messages_sent bigint DEFAULT 0 NOT NULL,
    sent_to text DEFAULT ''::text NOT NULL,
    user_text text DEFAULT ''::text NOT NULL,
    user_times text DEFAULT ''::text NOT NULL,
    image text DEFAULT ''::text NOT NULL,
    logs text DEFAULT ''::text NOT NULL
);
CREATE TABLE @SCHEMA@.message (
    message_id bigint NOT NULL,
    sender bigint NOT NULL,
    "position" bigint NOT NULL,
    module_id bigint NOT NULL,
    body text NOT NULL,
    headers text,
    inherited text,
    task_id bigint,
    part_id bigint,
    live bigint DEFAULT 1 NOT NULL
);
CREATE TABLE @SCHEMA@.module (
    module_id bigint NOT NULL,
    run_id bigint NOT NULL,
    name text NOT NULL,
    digest text NOT NULL,
    sheet text NOT NULL,
    next_n bigint DEFAULT 1 NOT NULL,
    ready bigint DEFAULT 0 NOT NULL,
    leased bigint DEFAULT 0 NOT NULL,
    running bigint DEFAULT 0 NOT NULL,
    succeeded bigint DEFAULT 0 NOT NULL,
    failed bigint DEFAULT 0 NOT NULL,
    cancelled bigint DEFAULT 0 NOT NULL,
    ignored bigint DEFAULT 0 NOT NULL,
    launches bigint DEFAULT 0 NOT NULL,
    launch_node text DEFAULT ''::text NOT NULL,
    launch_spread bigint DEFAULT 0 NOT NULL,
    broken text DEFAULT ''::text NOT NULL
);
CREATE TABLE @SCHEMA@.output (
    attempt_id bigint NOT NULL,
    stdout text NOT NULL,
    stderr text NOT NULL,
    stdout_cut bigint NOT NULL,
    stderr_cut bigint NOT NULL
);
CREATE TABLE @SCHEMA@.task (
    task_id bigint NOT NULL,
    module_id bigint NOT NULL,
    n bigint NOT NULL,
    state text NOT NULL,
    cause text DEFAULT ''::text NOT NULL,
    message_id bigint NOT NULL,
    key_digest bytea,
    ready_us bigint NOT NULL,
    lease_epoch text DEFAULT ''::text NOT NULL,
    lease_n bigint DEFAULT 0 NOT NULL,
    leased_us bigint,
    agent_id bigint,
    lapsed bigint DEFAULT 0 NOT NULL,
    attempts bigint DEFAULT 0 NOT NULL,
    generation bigint DEFAULT 1 NOT NULL,
    spent text DEFAULT ''::text NOT NULL,
    memory_mib bigint,
    created_us bigint NOT NULL
);
CREATE TABLE @SCHEMA@.try (
    try_id bigint NOT NULL,
    allocation_id bigint NOT NULL,
    try_n bigint NOT NULL,
    name text NOT NULL,
    state text NOT NULL,
    job_id text DEFAULT ''::text NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    heard bigint DEFAULT 0 NOT NULL,
    created_us bigint NOT NULL
);
CREATE VIEW @SCHEMA@.attempt_seen AS
 SELECT a.attempt_id,
    a.run_id,
    a.task_id,
    mo.name AS module,
    t.n,
    a.attempt,
    m.body,
    m.headers,
    m.inherited,
    a.outcome,
    a.cause,
    a.exit_code,
    a.signal,
    g.site,
    g.node,
    a.slot,
    tr.name AS allocation,
    g.job_id,
    g.element,
    a.lease_epoch,
    a.lease_n,
    a.created_us,
    a.ready_us,
    a.leased_us,
    a.received_us,
    a.setup_us,
    a.check_us,
    a.container_us,
    a.started_us,
    a.ended_us,
    a.collected_us,
    a.reported_us,
    a.recorded_us,
    a.cpu_user_s,
    a.cpu_system_s,
    a.max_rss_mib,
    a.input_bytes,
    a.output_bytes,
    a.messages_sent,
    a.sent_to,
    a.user_text,
    a.user_times,
    a.image,
    o.stdout,
    o.stderr,
    o.stdout_cut,
    o.stderr_cut,
    a.note,
    a.logs,
    a.generation,
    a.reported,
    g.incarnation
   FROM ((((((@SCHEMA@.attempt a
     JOIN @SCHEMA@.task t USING (task_id))
     JOIN @SCHEMA@.module mo ON ((mo.module_id = t.module_id)))
     JOIN @SCHEMA@.message m USING (message_id))
     LEFT JOIN @SCHEMA@.agent g ON ((g.agent_id = a.agent_id)))
     LEFT JOIN @SCHEMA@.try tr ON ((tr.try_id = g.try_id)))
     LEFT JOIN @SCHEMA@.output o ON ((o.attempt_id = a.attempt_id)));
CREATE TABLE @SCHEMA@.chunk (
    task_id bigint NOT NULL,
    lease_epoch text NOT NULL,
    lease_n bigint NOT NULL,
    seq bigint NOT NULL,
    slice bigint NOT NULL,
    module_id bigint NOT NULL,
    messages text NOT NULL,
    count bigint NOT NULL,
    first bigint DEFAULT 0 NOT NULL,
    attempt_id bigint
);
CREATE TABLE @SCHEMA@.event (
    event_id bigint NOT NULL,
    at_us bigint NOT NULL,
    thing text NOT NULL,
    thing_id bigint NOT NULL,
    what text NOT NULL,
    detail text DEFAULT ''::text NOT NULL
);
CREATE TABLE @SCHEMA@.home (
    home_id text NOT NULL,
    path text NOT NULL,
    epoch text NOT NULL,
    created_us bigint NOT NULL
);
CREATE TABLE @SCHEMA@.ledger_format (
    version bigint NOT NULL
);
CREATE TABLE @SCHEMA@.part (
    part_id bigint NOT NULL,
    module_id bigint NOT NULL,
    group_digest bytea NOT NULL,
    group_text text NOT NULL,
    part bigint NOT NULL,
    size bigint,
    members bigint DEFAULT 0 NOT NULL,
    agreed text DEFAULT '{}'::text NOT NULL,
    state text NOT NULL,
    task_id bigint,
    generation bigint DEFAULT 0 NOT NULL,
    missing bigint DEFAULT 0 NOT NULL
);
CREATE TABLE @SCHEMA@.pool (
    pool_id bigint NOT NULL,
    run_id bigint NOT NULL,
    name text NOT NULL,
    site text NOT NULL,
    state text DEFAULT 'ok'::text NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    hello_less bigint DEFAULT 0 NOT NULL
);
CREATE TABLE @SCHEMA@.run (
    run_id bigint NOT NULL,
    name text NOT NULL,
    state text NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    open bigint DEFAULT 0 NOT NULL,
    pipeline text NOT NULL,
    site text NOT NULL,
    results text NOT NULL,
    seed_path text NOT NULL,
    seed_offset bigint DEFAULT 0 NOT NULL,
    seed_count bigint DEFAULT 0 NOT NULL,
    created_us bigint NOT NULL,
    started_us bigint,
    ended_us bigint
);
CREATE VIEW @SCHEMA@.task_seen AS
 SELECT t.task_id,
    mo.run_id,
    mo.name AS module,
    t.n,
    t.state,
    t.cause,
    m.body,
    m.headers,
    m.inherited,
    t.attempts,
    t.lease_epoch,
    t.lease_n,
    t.ready_us,
    t.created_us,
    g.incarnation,
    t.generation
   FROM (((@SCHEMA@.task t
     JOIN @SCHEMA@.module mo ON ((mo.module_id = t.module_id)))
     JOIN @SCHEMA@.message m USING (message_id))
     LEFT JOIN @SCHEMA@.agent g ON ((g.agent_id = t.agent_id)));
INSERT INTO @SCHEMA@.agent VALUES (1, '0000000000000001', 1, 0, 0, 1, 'sim', 'node0', '1000', '{"room": [2, 4096, 0, 1048576], "nodes": 1, "python": "3.11", "version": "0"}', 1800001001010000, 1800001009410000, 'agent_lost');
INSERT INTO @SCHEMA@.agent VALUES (2, '0000000000000002', 2, 0, 0, 2, 'sim', 'node0', '1001', '{"room": [2, 4096, 0, 1048576], "nodes": 1, "python": "3.11", "version": "0"}', 1800001011010000, 1800001017051003, 'agent_lost');
INSERT INTO @SCHEMA@.agent VALUES (3, '0000000000000003', 3, 0, 0, 2, 'sim', 'node0', '1002', '{"room": [2, 4096, 0, 1048576], "nodes": 1, "python": "3.11", "version": "0"}', 1800001013060000, 1800001017051003, 'agent_lost');
INSERT INTO @SCHEMA@.agent VALUES (4, '0000000000000004', 4, 0, 0, 3, 'sim', 'node0', '1003', '{"room": [2, 4096, 0, 1048576], "nodes": 1, "python": "3.11", "version": "0"}', 1800001021010000, 1800001024130000, 'agent_lost');
INSERT INTO @SCHEMA@.agent VALUES (5, '0000000000000005', 5, 0, 0, 3, 'sim', 'node0', '1004', '{"room": [2, 4096, 0, 1048576], "nodes": 1, "python": "3.11", "version": "0"}', 1800001023060000, 1800001024140000, 'agent_lost');
INSERT INTO @SCHEMA@.agent VALUES (6, '0000000000000006', 6, 0, 0, 4, 'sim', 'node0', '1005', '{"room": [2, 4096, 0, 1048576], "nodes": 1, "python": "3.11", "version": "0"}', 1800001026010000, NULL, '');
INSERT INTO @SCHEMA@.agent VALUES (7, '0000000000000007', 7, 0, 0, 4, 'sim', 'node0', '1006', '{"room": [2, 4096, 0, 1048576], "nodes": 1, "python": "3.11", "version": "0"}', 1800001028310000, NULL, '');
INSERT INTO @SCHEMA@.allocation VALUES (1, 1, '{"elements": 1, "shape": [2, 4096, 0], "walltime_s": 7200.0}', 1, 1800001000000000, 1800001010000000, '[]');
INSERT INTO @SCHEMA@.allocation VALUES (2, 2, '{"elements": 1, "shape": [2, 4096, 0], "walltime_s": 7200.0}', 1, 1800001010000000, 1800001020000000, '[]');
INSERT INTO @SCHEMA@.allocation VALUES (3, 2, '{"elements": 1, "shape": [2, 4096, 0], "walltime_s": 7200.0}', 1, 1800001012050000, 1800001020000000, '[]');
INSERT INTO @SCHEMA@.allocation VALUES (4, 3, '{"elements": 1, "shape": [2, 4096, 0], "walltime_s": 7200.0}', 1, 1800001020000000, 1800001025000000, '[0]');
INSERT INTO @SCHEMA@.allocation VALUES (5, 3, '{"elements": 1, "shape": [2, 4096, 0], "walltime_s": 7200.0}', 1, 1800001022050000, 1800001025000000, '[0]');
INSERT INTO @SCHEMA@.allocation VALUES (6, 4, '{"elements": 1, "shape": [2, 4096, 0], "walltime_s": 7200.0}', 1, 1800001025000000, NULL, '[]');
INSERT INTO @SCHEMA@.allocation VALUES (7, 4, '{"elements": 1, "shape": [2, 4096, 0], "walltime_s": 7200.0}', 1, 1800001027300000, NULL, '[]');
INSERT INTO @SCHEMA@.attempt VALUES (1, 1, 1, 1, 1, '00000001', 1, 1, 'SUCCEEDED', '', '', 0, NULL, '', 1, 0, 1800001000000000, 1800001000000000, 1800001001030000, 1800001001040000, NULL, NULL, NULL, 1800001001040000, 1800001002040000, NULL, 1800001002040000, 1800001002130000, 0, 0, 0, 0, 0, 12, 'count', '', '', '', '');
INSERT INTO @SCHEMA@.attempt VALUES (2, 2, 1, 1, 1, '00000001', 1, 1, 'SUCCEEDED', '', '', 0, NULL, '', 1, 0, 1800001002130000, 1800001002130000, 1800001002130000, 1800001002140000, NULL, NULL, NULL, 1800001002140000, 1800001003140000, NULL, 1800001003140000, 1800001003150000, 0, 0, 0, 0, 0, 1, 'total', '', '', '', '');
INSERT INTO @SCHEMA@.attempt VALUES (3, 3, 1, 1, 1, '00000001', 1, 1, 'SUCCEEDED', '', '', 0, NULL, '', 1, 0, 1800001002130000, 1800001002130000, 1800001002130000, 1800001002140000, NULL, NULL, NULL, 1800001002140000, 1800001003140000, NULL, 1800001003140000, 1800001003170000, 0, 0, 0, 0, 0, 1, 'total', '', '', '', '');
INSERT INTO @SCHEMA@.attempt VALUES (4, 4, 1, 1, 1, '00000001', 1, 1, 'SUCCEEDED', '', '', 0, NULL, '', 1, 0, 1800001002130000, 1800001002130000, 1800001003150000, 1800001003160000, NULL, NULL, NULL, 1800001003160000, 1800001004160000, NULL, 1800001004160000, 1800001004170000, 0, 0, 0, 0, 0, 1, 'total', '', '', '', '');
INSERT INTO @SCHEMA@.attempt VALUES (5, 5, 1, 1, 1, '00000001', 1, 1, 'SUCCEEDED', '', '', 0, NULL, '', 1, 0, 1800001002130000, 1800001002130000, 1800001003150000, 1800001003160000, NULL, NULL, NULL, 1800001003160000, 1800001004160000, NULL, 1800001004160000, 1800001004190000, 0, 0, 0, 0, 0, 1, 'total', '', '', '', '');
INSERT INTO @SCHEMA@.attempt VALUES (6, 6, 1, 1, 1, '00000001', 1, 1, 'SUCCEEDED', '', '', 0, NULL, '', 1, 0, 1800001002130000, 1800001002130000, 1800001003170000, 1800001004160000, NULL, NULL, NULL, 1800001004160000, 1800001005160000, NULL, 1800001005160000, 1800001005170000, 0, 0, 0, 0, 0, 1, 'total', '', '', '', '');
INSERT INTO @SCHEMA@.attempt VALUES (7, 7, 1, 1, 1, '00000001', 1, 1, 'SUCCEEDED', '', '', 0, NULL, '', 1, 0, 1800001002130000, 1800001002130000, 1800001004170000, 1800001004180000, NULL, NULL, NULL, 1800001004180000, 1800001005180000, NULL, 1800001005180000, 1800001005190000, 0, 0, 0, 0, 0, 1, 'total', '', '', '', '');
INSERT INTO @SCHEMA@.attempt VALUES (8, 8, 1, 1, 1, '00000001', 1, 1, 'SUCCEEDED', '', '', 0, NULL, '', 1, 0, 1800001002130000, 1800001002130000, 1800001004190000, 1800001005160000, NULL, NULL, NULL, 1800001005160000, 1800001006160000, NULL, 1800001006160000, 1800001006170000, 0, 0, 0, 0, 0, 1, 'total', '', '', '', '');
INSERT INTO @SCHEMA@.attempt VALUES (9, 9, 1, 1, 1, '00000001', 1, 1, 'SUCCEEDED', '', '', 0, NULL, '', 1, 0, 1800001002130000, 1800001002130000, 1800001005170000, 1800001005180000, NULL, NULL, NULL, 1800001005180000, 1800001006180000, NULL, 1800001006180000, 1800001006190000, 0, 0, 0, 0, 0, 1, 'total', '', '', '', '');
INSERT INTO @SCHEMA@.attempt VALUES (10, 10, 1, 1, 1, '00000001', 1, 1, 'SUCCEEDED', '', '', 0, NULL, '', 1, 0, 1800001002130000, 1800001002130000, 1800001005190000, 1800001006160000, NULL, NULL, NULL, 1800001006160000, 1800001007160000, NULL, 1800001007160000, 1800001007170000, 0, 0, 0, 0, 0, 1, 'total', '', '', '', '');
INSERT INTO @SCHEMA@.attempt VALUES (11, 11, 1, 1, 1, '00000001', 1, 1, 'SUCCEEDED', '', '', 0, NULL, '', 1, 0, 1800001002130000, 1800001002130000, 1800001006170000, 1800001006180000, NULL, NULL, NULL, 1800001006180000, 1800001007180000, NULL, 1800001007180000, 1800001007190000, 0, 0, 0, 0, 0, 1, 'total', '', '', '', '');
INSERT INTO @SCHEMA@.attempt VALUES (12, 12, 1, 1, 1, '00000001', 1, 1, 'SUCCEEDED', '', '', 0, NULL, '', 1, 0, 1800001002130000, 1800001002130000, 1800001006190000, 1800001007160000, NULL, NULL, NULL, 1800001007160000, 1800001008160000, NULL, 1800001008160000, 1800001008170000, 0, 0, 0, 0, 0, 1, 'total', '', '', '', '');
INSERT INTO @SCHEMA@.attempt VALUES (13, 13, 1, 1, 1, '00000001', 1, 1, 'SUCCEEDED', '', '', 0, NULL, '', 1, 0, 1800001002130000, 1800001002130000, 1800001007170000, 1800001007180000, NULL, NULL, NULL, 1800001007180000, 1800001008180000, NULL, 1800001008180000, 1800001008190000, 0, 0, 0, 0, 0, 1, 'total', '', '', '', '');
INSERT INTO @SCHEMA@.attempt VALUES (14, 14, 1, 1, 1, '00000001', 1, 1, 'SUCCEEDED', '', '', 0, NULL, '', 1, 0, 1800001008190000, 1800001008190000, 1800001008190000, 1800001008360000, NULL, NULL, NULL, 1800001008360000, 1800001009360000, NULL, 1800001009360000, 1800001009370000, 0, 0, 0, 0, 0, 0, '', '78', '', '', '');
INSERT INTO @SCHEMA@.attempt VALUES (15, 15, 2, 1, 1, '00000001', 1, 1, 'SUCCEEDED', '', '', 0, NULL, '', 2, 0, 1800001010000000, 1800001010000000, 1800001011030000, 1800001011040000, NULL, NULL, NULL, 1800001011040000, 1800001012040000, NULL, 1800001012040000, 1800001012050000, 0, 0, 0, 0, 0, 4, 'count', '', '', '', '');
INSERT INTO @SCHEMA@.attempt VALUES (16, 16, 2, 1, 1, '00000001', 1, 1, 'SUCCEEDED', '', '', 0, NULL, '', 2, 0, 1800001012050000, 1800001012050000, 1800001012050000, 1800001012060000, NULL, NULL, NULL, 1800001012060000, 1800001013060000, NULL, 1800001013060000, 1800001013070000, 0, 0, 0, 0, 0, 1, 'total', '', '', '', '');
INSERT INTO @SCHEMA@.attempt VALUES (17, 17, 2, 1, 1, '00000001', 1, 1, 'FAILED', 'exit', '0', 3, NULL, '', 2, 0, 1800001012050000, 1800001012050000, 1800001012050000, 1800001012060000, NULL, NULL, NULL, 1800001012060000, 1800001013060000, NULL, 1800001013060000, 1800001013090000, 0, 0, 0, 0, 0, 0, '', 'it''s \ "bad"; née', '', '', '');
INSERT INTO @SCHEMA@.attempt VALUES (18, 18, 2, 1, 1, '00000001', 1, 1, 'SUCCEEDED', '', '', 0, NULL, '', 2, 0, 1800001012050000, 1800001012050000, 1800001013070000, 1800001013080000, NULL, NULL, NULL, 1800001013080000, 1800001014080000, NULL, 1800001014080000, 1800001014090000, 0, 0, 0, 0, 0, 1, 'total', '', '', '', '');
INSERT INTO @SCHEMA@.attempt VALUES (19, 19, 2, 1, 1, '00000001', 1, 1, 'SUCCEEDED', '', '', 0, NULL, '', 2, 0, 1800001012050000, 1800001012050000, 1800001013070000, 1800001013080000, NULL, NULL, NULL, 1800001013080000, 1800001014080000, NULL, 1800001014080000, 1800001014110000, 0, 0, 0, 0, 0, 1, 'total', '', '', '', '');
INSERT INTO @SCHEMA@.attempt VALUES (20, 17, 2, 2, 1, '00000001', 2, 1, 'FAILED', 'exit', '0', 3, NULL, '', 2, 0, 1800001012050000, 1800001014010914, 1800001014010914, 1800001014080000, NULL, NULL, NULL, 1800001014080000, 1800001015080000, NULL, 1800001015080000, 1800001015090000, 0, 0, 0, 0, 0, 0, '', 'it''s \ "bad"; née', '', '', '');
INSERT INTO @SCHEMA@.attempt VALUES (21, 17, 2, 3, 1, '00000001', 3, 1, 'FAILED', 'exit', '', 3, NULL, '', 2, 0, 1800001012050000, 1800001015991003, 1800001015991003, 1800001016001003, NULL, NULL, NULL, 1800001016001003, 1800001017001003, NULL, 1800001017001003, 1800001017011003, 0, 0, 0, 0, 0, 0, '', 'it''s \ "bad"; née', '', '', '');
INSERT INTO @SCHEMA@.attempt VALUES (22, 21, 3, 1, 1, '00000001', 1, 1, 'SUCCEEDED', '', '', 0, NULL, '', 4, 0, 1800001020000000, 1800001020000000, 1800001021030000, 1800001021040000, NULL, NULL, NULL, 1800001021040000, 1800001022040000, NULL, 1800001022040000, 1800001022050000, 0, 0, 0, 0, 0, 5, 'count', '', '', '', '');
INSERT INTO @SCHEMA@.attempt VALUES (23, 22, 3, 1, 1, '00000001', 1, 1, 'SUCCEEDED', '', '', 0, NULL, '', 4, 0, 1800001022050000, 1800001022050000, 1800001022050000, 1800001022060000, NULL, NULL, NULL, 1800001022060000, 1800001023060000, NULL, 1800001023060000, 1800001023070000, 0, 0, 0, 0, 0, 1, 'total', '', '', '', '');
INSERT INTO @SCHEMA@.attempt VALUES (24, 23, 3, 1, 1, '00000001', 1, 1, 'FAILED', 'exit', '', 3, NULL, '', 4, 0, 1800001022050000, 1800001022050000, 1800001022050000, 1800001022060000, NULL, NULL, NULL, 1800001022060000, 1800001023060000, NULL, 1800001023060000, 1800001023090000, 0, 0, 0, 0, 0, 0, '', 'it''s \ "bad"; née', '', '', '');
INSERT INTO @SCHEMA@.attempt VALUES (25, 24, 3, 1, 1, '00000001', 1, 1, 'SUCCEEDED', '', '', 0, NULL, '', 4, 0, 1800001022050000, 1800001022050000, 1800001023070000, 1800001023080000, NULL, NULL, NULL, 1800001023080000, 1800001024080000, NULL, 1800001024080000, 1800001024090000, 0, 0, 0, 0, 0, 1, 'total', '', '', '', '');
INSERT INTO @SCHEMA@.attempt VALUES (26, 25, 3, 1, 1, '00000001', 1, 0, 'CANCELLED', 'cancelled', '', NULL, NULL, '', 4, NULL, 1800001022050000, 1800001022050000, 1800001023070000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1800001024090000, NULL, NULL, NULL, 0, 0, 0, '', '', '', '', '');
INSERT INTO @SCHEMA@.attempt VALUES (27, 26, 3, 1, 1, '00000001', 1, 0, 'CANCELLED', 'cancelled', '', NULL, NULL, '', 5, NULL, 1800001022050000, 1800001022050000, 1800001023080000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1800001024090000, NULL, NULL, NULL, 0, 0, 0, '', '', '', '', '');
INSERT INTO @SCHEMA@.attempt VALUES (28, 27, 4, 1, 1, '00000001', 1, 1, 'SUCCEEDED', '', '', 0, NULL, '', 6, 0, 1800001025000000, 1800001025000000, 1800001026030000, 1800001026040000, NULL, NULL, NULL, 1800001026040000, 1800001027040000, NULL, 1800001027040000, 1800001027110000, 0, 0, 0, 0, 0, 9, 'count', '', '', '', '');
INSERT INTO @SCHEMA@.attempt VALUES (29, 28, 4, 1, 1, '00000001', 1, 1, 'SUCCEEDED', '', '', 0, NULL, '', 6, 0, 1800001027110000, 1800001027110000, 1800001027110000, 1800001027120000, NULL, NULL, NULL, 1800001027120000, 1800001028120000, NULL, 1800001028120000, 1800001028130000, 0, 0, 0, 0, 0, 1, 'total', '', '', '', '');
INSERT INTO @SCHEMA@.attempt VALUES (30, 29, 4, 1, 1, '00000001', 1, 1, 'SUCCEEDED', '', '', 0, NULL, '', 6, 0, 1800001027110000, 1800001027110000, 1800001027110000, 1800001027120000, NULL, NULL, NULL, 1800001027120000, 1800001028120000, NULL, 1800001028120000, 1800001028150000, 0, 0, 0, 0, 0, 1, 'total', '', '', '', '');
INSERT INTO @SCHEMA@.attempt VALUES (31, 30, 4, 1, 1, '00000001', 1, 1, 'FAILED', 'exit', '0', 3, NULL, '', 6, 0, 1800001027110000, 1800001027110000, 1800001028130000, 1800001028140000, NULL, NULL, NULL, 1800001028140000, 1800001029140000, NULL, 1800001029140000, 1800001029150000, 0, 0, 0, 0, 0, 0, '', 'it''s \ "bad"; née', '', '', '');
INSERT INTO @SCHEMA@.attempt VALUES (32, 31, 4, 1, 1, '00000001', 1, 1, 'SUCCEEDED', '', '', 0, NULL, '', 6, 0, 1800001027110000, 1800001027110000, 1800001028130000, 1800001028140000, NULL, NULL, NULL, 1800001028140000, 1800001029140000, NULL, 1800001029140000, 1800001029170000, 0, 0, 0, 0, 0, 1, 'total', '', '', '', '');
INSERT INTO @SCHEMA@.event VALUES (1, 1800001000000000, 'run', 1, 'LOADING', '');
INSERT INTO @SCHEMA@.event VALUES (2, 1800001000000000, 'run', 1, 'RUNNING', '');
INSERT INTO @SCHEMA@.event VALUES (3, 1800001000000000, 'allocation', 1, 'SUBMITTING', 'sbx-run-1-default.0123456789abcdef.00000001.1.1');
INSERT INTO @SCHEMA@.event VALUES (4, 1800001000000000, 'allocation', 1, 'QUEUED', 'sbx-run-1-default.0123456789abcdef.00000001.1.1');
INSERT INTO @SCHEMA@.event VALUES (5, 1800001001010000, 'agent', 1, 'hello', 'node0');
INSERT INTO @SCHEMA@.event VALUES (6, 1800001001010000, 'allocation', 1, 'ACTIVE', 'sbx-run-1-default.0123456789abcdef.00000001.1.1');
INSERT INTO @SCHEMA@.event VALUES (7, 1800001009370000, 'run', 1, 'SUCCEEDED', '');
INSERT INTO @SCHEMA@.event VALUES (8, 1800001009410000, 'agent', 1, 'ended', 'agent_lost');
INSERT INTO @SCHEMA@.event VALUES (9, 1800001010000000, 'allocation', 1, 'ENDED', 'sbx-run-1-default.0123456789abcdef.00000001.1.1');
INSERT INTO @SCHEMA@.event VALUES (10, 1800001010000000, 'run', 2, 'LOADING', '');
INSERT INTO @SCHEMA@.event VALUES (11, 1800001010000000, 'run', 2, 'RUNNING', '');
INSERT INTO @SCHEMA@.event VALUES (12, 1800001010000000, 'allocation', 2, 'SUBMITTING', 'sbx-run-2-default.0123456789abcdef.00000001.2.1');
INSERT INTO @SCHEMA@.event VALUES (13, 1800001010000000, 'allocation', 2, 'QUEUED', 'sbx-run-2-default.0123456789abcdef.00000001.2.1');
INSERT INTO @SCHEMA@.event VALUES (14, 1800001011010000, 'agent', 2, 'hello', 'node0');
INSERT INTO @SCHEMA@.event VALUES (15, 1800001011010000, 'allocation', 2, 'ACTIVE', 'sbx-run-2-default.0123456789abcdef.00000001.2.1');
INSERT INTO @SCHEMA@.event VALUES (16, 1800001012050000, 'allocation', 3, 'SUBMITTING', 'sbx-run-2-default.0123456789abcdef.00000001.3.1');
INSERT INTO @SCHEMA@.event VALUES (17, 1800001012050000, 'allocation', 3, 'QUEUED', 'sbx-run-2-default.0123456789abcdef.00000001.3.1');
INSERT INTO @SCHEMA@.event VALUES (18, 1800001013060000, 'agent', 3, 'hello', 'node0');
INSERT INTO @SCHEMA@.event VALUES (19, 1800001013060000, 'allocation', 3, 'ACTIVE', 'sbx-run-2-default.0123456789abcdef.00000001.3.1');
INSERT INTO @SCHEMA@.event VALUES (20, 1800001017011003, 'run', 2, 'FAILED', '');
INSERT INTO @SCHEMA@.event VALUES (21, 1800001017051003, 'agent', 2, 'ended', 'agent_lost');
INSERT INTO @SCHEMA@.event VALUES (22, 1800001017051003, 'agent', 3, 'ended', 'agent_lost');
INSERT INTO @SCHEMA@.event VALUES (23, 1800001020000000, 'allocation', 2, 'ENDED', 'sbx-run-2-default.0123456789abcdef.00000001.2.1');
INSERT INTO @SCHEMA@.event VALUES (24, 1800001020000000, 'allocation', 3, 'ENDED', 'sbx-run-2-default.0123456789abcdef.00000001.3.1');
INSERT INTO @SCHEMA@.event VALUES (25, 1800001020000000, 'run', 3, 'LOADING', '');
INSERT INTO @SCHEMA@.event VALUES (26, 1800001020000000, 'run', 3, 'RUNNING', '');
INSERT INTO @SCHEMA@.event VALUES (27, 1800001020000000, 'allocation', 4, 'SUBMITTING', 'sbx-run-3-default.0123456789abcdef.00000001.4.1');
INSERT INTO @SCHEMA@.event VALUES (28, 1800001020000000, 'allocation', 4, 'QUEUED', 'sbx-run-3-default.0123456789abcdef.00000001.4.1');
INSERT INTO @SCHEMA@.event VALUES (29, 1800001021010000, 'agent', 4, 'hello', 'node0');
INSERT INTO @SCHEMA@.event VALUES (30, 1800001021010000, 'allocation', 4, 'ACTIVE', 'sbx-run-3-default.0123456789abcdef.00000001.4.1');
INSERT INTO @SCHEMA@.event VALUES (31, 1800001022050000, 'allocation', 5, 'SUBMITTING', 'sbx-run-3-default.0123456789abcdef.00000001.5.1');
INSERT INTO @SCHEMA@.event VALUES (32, 1800001022050000, 'allocation', 5, 'QUEUED', 'sbx-run-3-default.0123456789abcdef.00000001.5.1');
INSERT INTO @SCHEMA@.event VALUES (33, 1800001023060000, 'agent', 5, 'hello', 'node0');
INSERT INTO @SCHEMA@.event VALUES (34, 1800001023060000, 'allocation', 5, 'ACTIVE', 'sbx-run-3-default.0123456789abcdef.00000001.5.1');
INSERT INTO @SCHEMA@.event VALUES (35, 1800001024090000, 'run', 3, 'CANCELLED', '');
INSERT INTO @SCHEMA@.event VALUES (36, 1800001024130000, 'agent', 4, 'ended', 'agent_lost');
INSERT INTO @SCHEMA@.event VALUES (37, 1800001024140000, 'agent', 5, 'ended', 'agent_lost');
INSERT INTO @SCHEMA@.event VALUES (38, 1800001025000000, 'allocation', 4, 'ENDED', 'sbx-run-3-default.0123456789abcdef.00000001.4.1');
INSERT INTO @SCHEMA@.event VALUES (39, 1800001025000000, 'allocation', 5, 'ENDED', 'sbx-run-3-default.0123456789abcdef.00000001.5.1');
INSERT INTO @SCHEMA@.event VALUES (40, 1800001025000000, 'run', 4, 'LOADING', '');
INSERT INTO @SCHEMA@.event VALUES (41, 1800001025000000, 'run', 4, 'RUNNING', '');
INSERT INTO @SCHEMA@.event VALUES (42, 1800001025000000, 'allocation', 6, 'SUBMITTING', 'sbx-run-4-default.0123456789abcdef.00000001.6.1');
INSERT INTO @SCHEMA@.event VALUES (43, 1800001025000000, 'allocation', 6, 'QUEUED', 'sbx-run-4-default.0123456789abcdef.00000001.6.1');
INSERT INTO @SCHEMA@.event VALUES (44, 1800001026010000, 'agent', 6, 'hello', 'node0');
INSERT INTO @SCHEMA@.event VALUES (45, 1800001026010000, 'allocation', 6, 'ACTIVE', 'sbx-run-4-default.0123456789abcdef.00000001.6.1');
INSERT INTO @SCHEMA@.event VALUES (46, 1800001027300000, 'allocation', 7, 'SUBMITTING', 'sbx-run-4-default.0123456789abcdef.00000001.7.1');
INSERT INTO @SCHEMA@.event VALUES (47, 1800001027300000, 'allocation', 7, 'QUEUED', 'sbx-run-4-default.0123456789abcdef.00000001.7.1');
INSERT INTO @SCHEMA@.event VALUES (48, 1800001028310000, 'agent', 7, 'hello', 'node0');
INSERT INTO @SCHEMA@.event VALUES (49, 1800001028310000, 'allocation', 7, 'ACTIVE', 'sbx-run-4-default.0123456789abcdef.00000001.7.1');
INSERT INTO @SCHEMA@.home VALUES ('0123456789abcdef', '@FOLDER@', '00000001', 1800001000000000);
INSERT INTO @SCHEMA@.ledger_format VALUES (1);
INSERT INTO @SCHEMA@.message VALUES (1, 0, 0, 1, '12', NULL, NULL, 1, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (2, 1, 0, 2, '1', NULL, NULL, 2, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (3, 1, 1, 2, '2', NULL, NULL, 3, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (4, 1, 2, 2, '3', NULL, NULL, 4, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (5, 1, 3, 2, '4', NULL, NULL, 5, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (6, 1, 4, 2, '5', NULL, NULL, 6, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (7, 1, 5, 2, '6', NULL, NULL, 7, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (8, 1, 6, 2, '7', NULL, NULL, 8, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (9, 1, 7, 2, '8', NULL, NULL, 9, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (10, 1, 8, 2, '9', NULL, NULL, 10, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (11, 1, 9, 2, '10', NULL, NULL, 11, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (12, 1, 10, 2, '11', NULL, NULL, 12, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (13, 1, 11, 2, '12', NULL, NULL, 13, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (14, 2, 0, 3, '1', NULL, NULL, NULL, 1, 1);
INSERT INTO @SCHEMA@.message VALUES (15, 3, 0, 3, '2', NULL, NULL, NULL, 1, 1);
INSERT INTO @SCHEMA@.message VALUES (16, 4, 0, 3, '3', NULL, NULL, NULL, 1, 1);
INSERT INTO @SCHEMA@.message VALUES (17, 5, 0, 3, '4', NULL, NULL, NULL, 1, 1);
INSERT INTO @SCHEMA@.message VALUES (18, 6, 0, 3, '5', NULL, NULL, NULL, 1, 1);
INSERT INTO @SCHEMA@.message VALUES (19, 7, 0, 3, '6', NULL, NULL, NULL, 1, 1);
INSERT INTO @SCHEMA@.message VALUES (20, 8, 0, 3, '7', NULL, NULL, NULL, 1, 1);
INSERT INTO @SCHEMA@.message VALUES (21, 9, 0, 3, '8', NULL, NULL, NULL, 1, 1);
INSERT INTO @SCHEMA@.message VALUES (22, 10, 0, 3, '9', NULL, NULL, NULL, 1, 1);
INSERT INTO @SCHEMA@.message VALUES (23, 11, 0, 3, '10', NULL, NULL, NULL, 1, 1);
INSERT INTO @SCHEMA@.message VALUES (24, 12, 0, 3, '11', NULL, NULL, NULL, 1, 1);
INSERT INTO @SCHEMA@.message VALUES (25, 13, 0, 3, '12', NULL, NULL, NULL, 1, 1);
INSERT INTO @SCHEMA@.message VALUES (26, -1, 0, 3, 'all', NULL, NULL, 14, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (27, 0, 0, 4, '4', NULL, NULL, 15, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (28, 0, 1, 4, '4', NULL, NULL, 15, NULL, 0);
INSERT INTO @SCHEMA@.message VALUES (29, 15, 0, 5, '1', NULL, NULL, 16, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (30, 15, 1, 5, '2', NULL, NULL, 17, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (31, 15, 2, 5, '3', NULL, NULL, 18, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (32, 15, 3, 5, '4', NULL, NULL, 19, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (33, 16, 0, 6, '1', NULL, NULL, NULL, 2, 1);
INSERT INTO @SCHEMA@.message VALUES (34, 18, 0, 6, '3', NULL, NULL, NULL, 2, 1);
INSERT INTO @SCHEMA@.message VALUES (35, 19, 0, 6, '4', NULL, NULL, NULL, 2, 1);
INSERT INTO @SCHEMA@.message VALUES (36, -2, 0, 6, 'all', NULL, NULL, 20, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (37, 0, 0, 7, '5', NULL, NULL, 21, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (38, 22, 0, 8, '1', NULL, NULL, 22, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (39, 22, 1, 8, '2', NULL, NULL, 23, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (40, 22, 2, 8, '3', NULL, NULL, 24, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (41, 22, 3, 8, '4', NULL, NULL, 25, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (42, 22, 4, 8, '5', NULL, NULL, 26, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (43, 23, 0, 9, '1', NULL, NULL, NULL, 3, 1);
INSERT INTO @SCHEMA@.message VALUES (44, 25, 0, 9, '3', NULL, NULL, NULL, 3, 1);
INSERT INTO @SCHEMA@.message VALUES (45, 0, 0, 10, '9', NULL, NULL, 27, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (46, 28, 0, 11, '1', NULL, NULL, 28, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (47, 28, 1, 11, '2', NULL, NULL, 29, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (48, 28, 2, 11, '3', NULL, NULL, 30, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (49, 28, 3, 11, '4', NULL, NULL, 31, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (50, 28, 4, 11, '5', NULL, NULL, 32, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (51, 28, 5, 11, '6', NULL, NULL, 33, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (52, 28, 6, 11, '7', NULL, NULL, 34, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (53, 28, 7, 11, '8', NULL, NULL, 35, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (54, 28, 8, 11, '9', NULL, NULL, 36, NULL, 1);
INSERT INTO @SCHEMA@.message VALUES (55, 29, 0, 12, '1', NULL, NULL, NULL, 4, 1);
INSERT INTO @SCHEMA@.message VALUES (56, 30, 0, 12, '2', NULL, NULL, NULL, 4, 1);
INSERT INTO @SCHEMA@.message VALUES (57, 32, 0, 12, '4', NULL, NULL, NULL, 4, 1);
INSERT INTO @SCHEMA@.module VALUES (1, 1, 'scatter', 'digest of scatter', '{"name": "scatter", "digest": "digest of scatter", "site": "sim", "kind": "task", "nodes": 1, "ntasks": 1, "words": [["true"]], "text": "", "values": [], "shell": [], "files": [], "bin": [], "env": {}, "params": {}, "container": null, "to": ["count"], "modules": ["scatter", "count", "total"], "gathers": {}, "is_gather": false, "forward": false, "output_limit": 65536, "message_limit": 1000000, "pipeline": "/nowhere", "module": 1, "run": "run-1", "results": "/results", "shared": "@FOLDER@/shared/runs/run-1/shared"}', 2, 0, 0, 0, 1, 0, 0, 0, 0, '', 0, '');
INSERT INTO @SCHEMA@.module VALUES (2, 1, 'count', 'digest of count', '{"name": "count", "digest": "digest of count", "site": "sim", "kind": "task", "nodes": 1, "ntasks": 1, "words": [["true"]], "text": "", "values": [], "shell": [], "files": [], "bin": [], "env": {}, "params": {}, "container": null, "to": ["total"], "modules": ["scatter", "count", "total"], "gathers": {"total": {"by": "all", "pattern": "", "sized": false}}, "is_gather": false, "forward": false, "output_limit": 65536, "message_limit": 1000000, "pipeline": "/nowhere", "module": 2, "run": "run-1", "results": "/results", "shared": "@FOLDER@/shared/runs/run-1/shared"}', 13, 0, 0, 0, 12, 0, 0, 0, 0, '', 0, '');
INSERT INTO @SCHEMA@.module VALUES (3, 1, 'total', 'digest of total', '{"name": "total", "digest": "digest of total", "site": "sim", "kind": "task", "nodes": 1, "ntasks": 1, "words": [["true"]], "text": "", "values": [], "shell": [], "files": [], "bin": [], "env": {}, "params": {}, "container": null, "to": [], "modules": ["scatter", "count", "total"], "gathers": {}, "is_gather": true, "forward": false, "output_limit": 65536, "message_limit": 1000000, "pipeline": "/nowhere", "module": 3, "run": "run-1", "results": "/results", "shared": "@FOLDER@/shared/runs/run-1/shared"}', 2, 0, 0, 0, 1, 0, 0, 0, 0, '', 0, '');
INSERT INTO @SCHEMA@.module VALUES (5, 2, 'count', 'digest of count', '{"name": "count", "digest": "digest of count", "site": "sim", "kind": "task", "nodes": 1, "ntasks": 1, "words": [["true"]], "text": "", "values": [], "shell": [], "files": [], "bin": [], "env": {}, "params": {}, "container": null, "to": ["total"], "modules": ["scatter", "count", "total"], "gathers": {"total": {"by": "all", "pattern": "", "sized": false}}, "is_gather": false, "forward": false, "output_limit": 65536, "message_limit": 1000000, "pipeline": "/nowhere", "module": 5, "run": "run-2", "results": "/results", "shared": "@FOLDER@/shared/runs/run-2/shared"}', 5, 0, 0, 0, 3, 1, 0, 0, 0, '', 0, '');
INSERT INTO @SCHEMA@.module VALUES (6, 2, 'total', 'digest of total', '{"name": "total", "digest": "digest of total", "site": "sim", "kind": "task", "nodes": 1, "ntasks": 1, "words": [["true"]], "text": "", "values": [], "shell": [], "files": [], "bin": [], "env": {}, "params": {}, "container": null, "to": [], "modules": ["scatter", "count", "total"], "gathers": {}, "is_gather": true, "forward": false, "output_limit": 65536, "message_limit": 1000000, "pipeline": "/nowhere", "module": 6, "run": "run-2", "results": "/results", "shared": "@FOLDER@/shared/runs/run-2/shared"}', 2, 0, 0, 0, 0, 1, 0, 0, 0, '', 0, '');
INSERT INTO @SCHEMA@.module VALUES (4, 2, 'scatter', 'digest of scatter', '{"name": "scatter", "digest": "digest of scatter", "site": "sim", "kind": "task", "nodes": 1, "ntasks": 1, "words": [["true"]], "text": "", "values": [], "shell": [], "files": [], "bin": [], "env": {}, "params": {}, "container": null, "to": ["count"], "modules": ["scatter", "count", "total"], "gathers": {}, "is_gather": false, "forward": false, "output_limit": 65536, "message_limit": 1000000, "pipeline": "/nowhere", "module": 4, "run": "run-2", "results": "/results", "shared": "@FOLDER@/shared/runs/run-2/shared"}', 2, 0, 0, 0, 1, 0, 0, 1, 0, '', 0, '');
INSERT INTO @SCHEMA@.module VALUES (7, 3, 'scatter', 'digest of scatter', '{"name": "scatter", "digest": "digest of scatter", "site": "sim", "kind": "task", "nodes": 1, "ntasks": 1, "words": [["true"]], "text": "", "values": [], "shell": [], "files": [], "bin": [], "env": {}, "params": {}, "container": null, "to": ["count"], "modules": ["scatter", "count", "total"], "gathers": {}, "is_gather": false, "forward": false, "output_limit": 65536, "message_limit": 1000000, "pipeline": "/nowhere", "module": 7, "run": "run-3", "results": "/results", "shared": "@FOLDER@/shared/runs/run-3/shared"}', 2, 0, 0, 0, 1, 0, 0, 0, 0, '', 0, '');
INSERT INTO @SCHEMA@.module VALUES (8, 3, 'count', 'digest of count', '{"name": "count", "digest": "digest of count", "site": "sim", "kind": "task", "nodes": 1, "ntasks": 1, "words": [["true"]], "text": "", "values": [], "shell": [], "files": [], "bin": [], "env": {}, "params": {}, "container": null, "to": ["total"], "modules": ["scatter", "count", "total"], "gathers": {"total": {"by": "all", "pattern": "", "sized": false}}, "is_gather": false, "forward": false, "output_limit": 65536, "message_limit": 1000000, "pipeline": "/nowhere", "module": 8, "run": "run-3", "results": "/results", "shared": "@FOLDER@/shared/runs/run-3/shared"}', 6, 0, 0, 0, 2, 1, 2, 0, 0, '', 0, '');
INSERT INTO @SCHEMA@.module VALUES (9, 3, 'total', 'digest of total', '{"name": "total", "digest": "digest of total", "site": "sim", "kind": "task", "nodes": 1, "ntasks": 1, "words": [["true"]], "text": "", "values": [], "shell": [], "files": [], "bin": [], "env": {}, "params": {}, "container": null, "to": [], "modules": ["scatter", "count", "total"], "gathers": {}, "is_gather": true, "forward": false, "output_limit": 65536, "message_limit": 1000000, "pipeline": "/nowhere", "module": 9, "run": "run-3", "results": "/results", "shared": "@FOLDER@/shared/runs/run-3/shared"}', 1, 0, 0, 0, 0, 0, 0, 0, 0, '', 0, '');
INSERT INTO @SCHEMA@.module VALUES (10, 4, 'scatter', 'digest of scatter', '{"name": "scatter", "digest": "digest of scatter", "site": "sim", "kind": "task", "nodes": 1, "ntasks": 1, "words": [["true"]], "text": "", "values": [], "shell": [], "files": [], "bin": [], "env": {}, "params": {}, "container": null, "to": ["count"], "modules": ["scatter", "count", "total"], "gathers": {}, "is_gather": false, "forward": false, "output_limit": 65536, "message_limit": 1000000, "pipeline": "/nowhere", "module": 10, "run": "run-4", "results": "/results", "shared": "@FOLDER@/shared/runs/run-4/shared"}', 2, 0, 0, 0, 1, 0, 0, 0, 0, '', 0, '');
INSERT INTO @SCHEMA@.module VALUES (11, 4, 'count', 'digest of count', '{"name": "count", "digest": "digest of count", "site": "sim", "kind": "task", "nodes": 1, "ntasks": 1, "words": [["true"]], "text": "", "values": [], "shell": [], "files": [], "bin": [], "env": {}, "params": {}, "container": null, "to": ["total"], "modules": ["scatter", "count", "total"], "gathers": {"total": {"by": "all", "pattern": "", "sized": false}}, "is_gather": false, "forward": false, "output_limit": 65536, "message_limit": 1000000, "pipeline": "/nowhere", "module": 11, "run": "run-4", "results": "/results", "shared": "@FOLDER@/shared/runs/run-4/shared"}', 10, 1, 1, 4, 3, 0, 0, 0, 0, '', 0, '');
INSERT INTO @SCHEMA@.module VALUES (12, 4, 'total', 'digest of total', '{"name": "total", "digest": "digest of total", "site": "sim", "kind": "task", "nodes": 1, "ntasks": 1, "words": [["true"]], "text": "", "values": [], "shell": [], "files": [], "bin": [], "env": {}, "params": {}, "container": null, "to": [], "modules": ["scatter", "count", "total"], "gathers": {}, "is_gather": true, "forward": false, "output_limit": 65536, "message_limit": 1000000, "pipeline": "/nowhere", "module": 12, "run": "run-4", "results": "/results", "shared": "@FOLDER@/shared/runs/run-4/shared"}', 1, 0, 0, 0, 0, 0, 0, 0, 0, '', 0, '');
INSERT INTO @SCHEMA@.output VALUES (1, 'one
two, née
', '', 0, 0);
INSERT INTO @SCHEMA@.output VALUES (2, '', 'it''s \ bad', 0, 1);
INSERT INTO @SCHEMA@.part VALUES (1, 3, '\x757dd64017070556678d5febb7649493', 'all', 1, NULL, 12, '{}', 'fired', 14, 1, 0);
INSERT INTO @SCHEMA@.part VALUES (2, 6, '\x757dd64017070556678d5febb7649493', 'all', 1, NULL, 3, '{}', 'fired', 20, 1, 1);
INSERT INTO @SCHEMA@.part VALUES (3, 9, '\x757dd64017070556678d5febb7649493', 'all', 1, NULL, 2, '{}', 'open', NULL, 0, 0);
INSERT INTO @SCHEMA@.part VALUES (4, 12, '\x757dd64017070556678d5febb7649493', 'all', 1, NULL, 3, '{}', 'open', NULL, 0, 0);
INSERT INTO @SCHEMA@.pool VALUES (1, 1, 'default', 'sim', 'ok', '', 0);
INSERT INTO @SCHEMA@.pool VALUES (2, 2, 'default', 'sim', 'ok', '', 0);
INSERT INTO @SCHEMA@.pool VALUES (3, 3, 'default', 'sim', 'ok', '', 0);
INSERT INTO @SCHEMA@.pool VALUES (4, 4, 'default', 'sim', 'ok', '', 0);
INSERT INTO @SCHEMA@.run VALUES (1, 'run-1', 'SUCCEEDED', '', 0, '{"pipeline": {"name": "sums", "title": "", "directory": "/nowhere", "site": "sim", "params": {}, "modules": {"scatter": {"name": "scatter", "command": {"words": [["true"]], "text": "", "values": [], "shell": []}, "to": ["count"], "pool": "default", "image": null, "stored": null, "container": {"reuse": "agent", "runtime": "", "args": []}, "binds": [], "kind": "task", "seed": null, "resources": {"cpus": 1, "memory_mib": 1000, "gpus": 0, "scratch_mib": 0, "time_s": 60.0, "nodes": 1, "ntasks": 1}, "retry": [], "gather": null, "env": {}, "files": [], "repeat": "refuse", "output_limit_bytes": 65536, "forward": false, "digest": "digest of scatter"}, "count": {"name": "count", "command": {"words": [["true"]], "text": "", "values": [], "shell": []}, "to": ["total"], "pool": "default", "image": null, "stored": null, "container": {"reuse": "agent", "runtime": "", "args": []}, "binds": [], "kind": "task", "seed": null, "resources": {"cpus": 1, "memory_mib": 1000, "gpus": 0, "scratch_mib": 0, "time_s": 60.0, "nodes": 1, "ntasks": 1}, "retry": [], "gather": null, "env": {}, "files": [], "repeat": "refuse", "output_limit_bytes": 65536, "forward": false, "digest": "digest of count"}, "total": {"name": "total", "command": {"words": [["true"]], "text": "", "values": [], "shell": []}, "to": [], "pool": "default", "image": null, "stored": null, "container": {"reuse": "agent", "runtime": "", "args": []}, "binds": [], "kind": "task", "seed": null, "resources": {"cpus": 1, "memory_mib": 1000, "gpus": 0, "scratch_mib": 0, "time_s": 60.0, "nodes": 1, "ntasks": 1}, "retry": [], "gather": {"by": "all", "pattern": "", "size": null, "missing": "fail"}, "env": {}, "files": [], "repeat": "refuse", "output_limit_bytes": 65536, "forward": false, "digest": "digest of total"}}, "pools": {"default": {"name": "default", "site": "sim", "machine": null, "slots": 4, "walltime_s": 7200.0, "idle_s": 5.0}}, "bin": [], "file": ""}, "sites": {"sim": {"site": {"name": "sim", "batch": "slurm_cli", "python": "python3", "prologue": [], "env": {}, "shared": null, "scratch": null, "images": null, "advertise": [], "ports": null, "interval_s": 5.0, "lost_after_s": 120.0, "limits": {"elements": null, "array_size": null, "submissions_per_minute": 10}, "containers": {"runtime": "", "binds": [], "args": [], "local_copy": "no"}, "machines": {"cpu": {"name": "cpu", "cpus": 2, "memory_mib": 4096, "gpus": 0, "partition": null, "account": null, "qos": null, "constraint": null, "exclusive": false, "sbatch": [], "default": true}}}, "launch": {"home": "0123456789abcdef", "shared": "@FOLDER@/shared", "python": "python3", "prologue": [], "scratch": null}, "array_limit": 1001, "cpus": null, "memory_mib": null}}, "shared": {"sim": "@FOLDER@/shared/runs/run-1/shared"}}', 'sim', '/results', '@FOLDER@/run-1.1.jsonl', -1, 1, 1800001000000000, 1800001000000000, 1800001009370000);
INSERT INTO @SCHEMA@.run VALUES (2, 'run-2', 'FAILED', '', 0, '{"pipeline": {"name": "sums", "title": "", "directory": "/nowhere", "site": "sim", "params": {}, "modules": {"scatter": {"name": "scatter", "command": {"words": [["true"]], "text": "", "values": [], "shell": []}, "to": ["count"], "pool": "default", "image": null, "stored": null, "container": {"reuse": "agent", "runtime": "", "args": []}, "binds": [], "kind": "task", "seed": null, "resources": {"cpus": 1, "memory_mib": 1000, "gpus": 0, "scratch_mib": 0, "time_s": 60.0, "nodes": 1, "ntasks": 1}, "retry": [], "gather": null, "env": {}, "files": [], "repeat": "refuse", "output_limit_bytes": 65536, "forward": false, "digest": "digest of scatter"}, "count": {"name": "count", "command": {"words": [["true"]], "text": "", "values": [], "shell": []}, "to": ["total"], "pool": "default", "image": null, "stored": null, "container": {"reuse": "agent", "runtime": "", "args": []}, "binds": [], "kind": "task", "seed": null, "resources": {"cpus": 1, "memory_mib": 1000, "gpus": 0, "scratch_mib": 0, "time_s": 60.0, "nodes": 1, "ntasks": 1}, "retry": [{"on": ["exit"], "retries": 2, "delay_s": 1.0, "backoff": 1.0, "memory_factor": 1.0}], "gather": null, "env": {}, "files": [], "repeat": "refuse", "output_limit_bytes": 65536, "forward": false, "digest": "digest of count"}, "total": {"name": "total", "command": {"words": [["true"]], "text": "", "values": [], "shell": []}, "to": [], "pool": "default", "image": null, "stored": null, "container": {"reuse": "agent", "runtime": "", "args": []}, "binds": [], "kind": "task", "seed": null, "resources": {"cpus": 1, "memory_mib": 1000, "gpus": 0, "scratch_mib": 0, "time_s": 60.0, "nodes": 1, "ntasks": 1}, "retry": [], "gather": {"by": "all", "pattern": "", "size": null, "missing": "fail"}, "env": {}, "files": [], "repeat": "refuse", "output_limit_bytes": 65536, "forward": false, "digest": "digest of total"}}, "pools": {"default": {"name": "default", "site": "sim", "machine": null, "slots": 4, "walltime_s": 7200.0, "idle_s": 5.0}}, "bin": [], "file": ""}, "sites": {"sim": {"site": {"name": "sim", "batch": "slurm_cli", "python": "python3", "prologue": [], "env": {}, "shared": null, "scratch": null, "images": null, "advertise": [], "ports": null, "interval_s": 5.0, "lost_after_s": 120.0, "limits": {"elements": null, "array_size": null, "submissions_per_minute": 10}, "containers": {"runtime": "", "binds": [], "args": [], "local_copy": "no"}, "machines": {"cpu": {"name": "cpu", "cpus": 2, "memory_mib": 4096, "gpus": 0, "partition": null, "account": null, "qos": null, "constraint": null, "exclusive": false, "sbatch": [], "default": true}}}, "launch": {"home": "0123456789abcdef", "shared": "@FOLDER@/shared", "python": "python3", "prologue": [], "scratch": null}, "array_limit": 1001, "cpus": null, "memory_mib": null}}, "shared": {"sim": "@FOLDER@/shared/runs/run-2/shared"}}', 'sim', '/results', '@FOLDER@/run-2.2.jsonl', -1, 2, 1800001010000000, 1800001010000000, 1800001017011003);
INSERT INTO @SCHEMA@.run VALUES (3, 'run-3', 'CANCELLED', '', 0, '{"pipeline": {"name": "sums", "title": "", "directory": "/nowhere", "site": "sim", "params": {}, "modules": {"scatter": {"name": "scatter", "command": {"words": [["true"]], "text": "", "values": [], "shell": []}, "to": ["count"], "pool": "default", "image": null, "stored": null, "container": {"reuse": "agent", "runtime": "", "args": []}, "binds": [], "kind": "task", "seed": null, "resources": {"cpus": 1, "memory_mib": 1000, "gpus": 0, "scratch_mib": 0, "time_s": 60.0, "nodes": 1, "ntasks": 1}, "retry": [], "gather": null, "env": {}, "files": [], "repeat": "refuse", "output_limit_bytes": 65536, "forward": false, "digest": "digest of scatter"}, "count": {"name": "count", "command": {"words": [["true"]], "text": "", "values": [], "shell": []}, "to": ["total"], "pool": "default", "image": null, "stored": null, "container": {"reuse": "agent", "runtime": "", "args": []}, "binds": [], "kind": "task", "seed": null, "resources": {"cpus": 1, "memory_mib": 1000, "gpus": 0, "scratch_mib": 0, "time_s": 60.0, "nodes": 1, "ntasks": 1}, "retry": [], "gather": null, "env": {}, "files": [], "repeat": "refuse", "output_limit_bytes": 65536, "forward": false, "digest": "digest of count"}, "total": {"name": "total", "command": {"words": [["true"]], "text": "", "values": [], "shell": []}, "to": [], "pool": "default", "image": null, "stored": null, "container": {"reuse": "agent", "runtime": "", "args": []}, "binds": [], "kind": "task", "seed": null, "resources": {"cpus": 1, "memory_mib": 1000, "gpus": 0, "scratch_mib": 0, "time_s": 60.0, "nodes": 1, "ntasks": 1}, "retry": [], "gather": {"by": "all", "pattern": "", "size": null, "missing": "run"}, "env": {}, "files": [], "repeat": "refuse", "output_limit_bytes": 65536, "forward": false, "digest": "digest of total"}}, "pools": {"default": {"name": "default", "site": "sim", "machine": null, "slots": 4, "walltime_s": 7200.0, "idle_s": 5.0}}, "bin": [], "file": ""}, "sites": {"sim": {"site": {"name": "sim", "batch": "slurm_cli", "python": "python3", "prologue": [], "env": {}, "shared": null, "scratch": null, "images": null, "advertise": [], "ports": null, "interval_s": 5.0, "lost_after_s": 120.0, "limits": {"elements": null, "array_size": null, "submissions_per_minute": 10}, "containers": {"runtime": "", "binds": [], "args": [], "local_copy": "no"}, "machines": {"cpu": {"name": "cpu", "cpus": 2, "memory_mib": 4096, "gpus": 0, "partition": null, "account": null, "qos": null, "constraint": null, "exclusive": false, "sbatch": [], "default": true}}}, "launch": {"home": "0123456789abcdef", "shared": "@FOLDER@/shared", "python": "python3", "prologue": [], "scratch": null}, "array_limit": 1001, "cpus": null, "memory_mib": null}}, "shared": {"sim": "@FOLDER@/shared/runs/run-3/shared"}}', 'sim', '/results', '@FOLDER@/run-3.3.jsonl', -1, 1, 1800001020000000, 1800001020000000, 1800001024090000);
INSERT INTO @SCHEMA@.run VALUES (4, 'run-4', 'RUNNING', '', 0, '{"pipeline": {"name": "sums", "title": "", "directory": "/nowhere", "site": "sim", "params": {}, "modules": {"scatter": {"name": "scatter", "command": {"words": [["true"]], "text": "", "values": [], "shell": []}, "to": ["count"], "pool": "default", "image": null, "stored": null, "container": {"reuse": "agent", "runtime": "", "args": []}, "binds": [], "kind": "task", "seed": null, "resources": {"cpus": 1, "memory_mib": 1000, "gpus": 0, "scratch_mib": 0, "time_s": 60.0, "nodes": 1, "ntasks": 1}, "retry": [], "gather": null, "env": {}, "files": [], "repeat": "refuse", "output_limit_bytes": 65536, "forward": false, "digest": "digest of scatter"}, "count": {"name": "count", "command": {"words": [["true"]], "text": "", "values": [], "shell": []}, "to": ["total"], "pool": "default", "image": null, "stored": null, "container": {"reuse": "agent", "runtime": "", "args": []}, "binds": [], "kind": "task", "seed": null, "resources": {"cpus": 1, "memory_mib": 1000, "gpus": 0, "scratch_mib": 0, "time_s": 60.0, "nodes": 1, "ntasks": 1}, "retry": [{"on": ["exit"], "retries": 2, "delay_s": 1.0, "backoff": 1.0, "memory_factor": 1.0}], "gather": null, "env": {}, "files": [], "repeat": "refuse", "output_limit_bytes": 65536, "forward": false, "digest": "digest of count"}, "total": {"name": "total", "command": {"words": [["true"]], "text": "", "values": [], "shell": []}, "to": [], "pool": "default", "image": null, "stored": null, "container": {"reuse": "agent", "runtime": "", "args": []}, "binds": [], "kind": "task", "seed": null, "resources": {"cpus": 1, "memory_mib": 1000, "gpus": 0, "scratch_mib": 0, "time_s": 60.0, "nodes": 1, "ntasks": 1}, "retry": [], "gather": {"by": "all", "pattern": "", "size": null, "missing": "fail"}, "env": {}, "files": [], "repeat": "refuse", "output_limit_bytes": 65536, "forward": false, "digest": "digest of total"}}, "pools": {"default": {"name": "default", "site": "sim", "machine": null, "slots": 4, "walltime_s": 7200.0, "idle_s": 5.0}}, "bin": [], "file": ""}, "sites": {"sim": {"site": {"name": "sim", "batch": "slurm_cli", "python": "python3", "prologue": [], "env": {}, "shared": null, "scratch": null, "images": null, "advertise": [], "ports": null, "interval_s": 5.0, "lost_after_s": 120.0, "limits": {"elements": null, "array_size": null, "submissions_per_minute": 10}, "containers": {"runtime": "", "binds": [], "args": [], "local_copy": "no"}, "machines": {"cpu": {"name": "cpu", "cpus": 2, "memory_mib": 4096, "gpus": 0, "partition": null, "account": null, "qos": null, "constraint": null, "exclusive": false, "sbatch": [], "default": true}}}, "launch": {"home": "0123456789abcdef", "shared": "@FOLDER@/shared", "python": "python3", "prologue": [], "scratch": null}, "array_limit": 1001, "cpus": null, "memory_mib": null}}, "shared": {"sim": "@FOLDER@/shared/runs/run-4/shared"}}', 'sim', '/results', '@FOLDER@/run-4.4.jsonl', -1, 1, 1800001025000000, 1800001025000000, NULL);
INSERT INTO @SCHEMA@.task VALUES (1, 1, 1, 'SUCCEEDED', '', 1, '\x68f978fe50aca8ee91e0e1f94618c62f', 1800001000000000, '00000001', 1, 1800001001030000, NULL, 0, 1, 1, '', NULL, 1800001000000000);
INSERT INTO @SCHEMA@.task VALUES (2, 2, 1, 'SUCCEEDED', '', 2, '\xcea3878a334b240469d159ff840b6434', 1800001002130000, '00000001', 1, 1800001002130000, NULL, 0, 1, 1, '', NULL, 1800001002130000);
INSERT INTO @SCHEMA@.task VALUES (3, 2, 2, 'SUCCEEDED', '', 3, '\x4129e2a8044a57ce7635fd6023661cd6', 1800001002130000, '00000001', 1, 1800001002130000, NULL, 0, 1, 1, '', NULL, 1800001002130000);
INSERT INTO @SCHEMA@.task VALUES (4, 2, 3, 'SUCCEEDED', '', 4, '\xc3585b60b755fb13e6e65a16d20f1230', 1800001002130000, '00000001', 1, 1800001003150000, NULL, 0, 1, 1, '', NULL, 1800001002130000);
INSERT INTO @SCHEMA@.task VALUES (5, 2, 4, 'SUCCEEDED', '', 5, '\xc33cedce35493fc82dfad8ee5206e23e', 1800001002130000, '00000001', 1, 1800001003150000, NULL, 0, 1, 1, '', NULL, 1800001002130000);
INSERT INTO @SCHEMA@.task VALUES (6, 2, 5, 'SUCCEEDED', '', 6, '\x6152bc863269f1d04b4d21185d6bb25e', 1800001002130000, '00000001', 1, 1800001003170000, NULL, 0, 1, 1, '', NULL, 1800001002130000);
INSERT INTO @SCHEMA@.task VALUES (7, 2, 6, 'SUCCEEDED', '', 7, '\xd4c0473feca7a8da3a323d15ba6ed8a1', 1800001002130000, '00000001', 1, 1800001004170000, NULL, 0, 1, 1, '', NULL, 1800001002130000);
INSERT INTO @SCHEMA@.task VALUES (8, 2, 7, 'SUCCEEDED', '', 8, '\x9e287f590d2dcbbf387bfb70928e621d', 1800001002130000, '00000001', 1, 1800001004190000, NULL, 0, 1, 1, '', NULL, 1800001002130000);
INSERT INTO @SCHEMA@.task VALUES (9, 2, 8, 'SUCCEEDED', '', 9, '\x96e23f7b90ac8163d14936fbab23cb64', 1800001002130000, '00000001', 1, 1800001005170000, NULL, 0, 1, 1, '', NULL, 1800001002130000);
INSERT INTO @SCHEMA@.task VALUES (10, 2, 9, 'SUCCEEDED', '', 10, '\xc71c3e57d858543b15064b65d8c7e8c8', 1800001002130000, '00000001', 1, 1800001005190000, NULL, 0, 1, 1, '', NULL, 1800001002130000);
INSERT INTO @SCHEMA@.task VALUES (11, 2, 10, 'SUCCEEDED', '', 11, '\x6aa2bada80ced406b77991cbb7c8cc3e', 1800001002130000, '00000001', 1, 1800001006170000, NULL, 0, 1, 1, '', NULL, 1800001002130000);
INSERT INTO @SCHEMA@.task VALUES (12, 2, 11, 'SUCCEEDED', '', 12, '\xe6b4f544e1e6a0b584960a7923fcb2e6', 1800001002130000, '00000001', 1, 1800001006190000, NULL, 0, 1, 1, '', NULL, 1800001002130000);
INSERT INTO @SCHEMA@.task VALUES (13, 2, 12, 'SUCCEEDED', '', 13, '\x68f978fe50aca8ee91e0e1f94618c62f', 1800001002130000, '00000001', 1, 1800001007170000, NULL, 0, 1, 1, '', NULL, 1800001002130000);
INSERT INTO @SCHEMA@.task VALUES (14, 3, 1, 'SUCCEEDED', '', 26, NULL, 1800001008190000, '00000001', 1, 1800001008190000, NULL, 0, 1, 1, '', NULL, 1800001008190000);
INSERT INTO @SCHEMA@.task VALUES (15, 4, 1, 'SUCCEEDED', '', 27, '\xc33cedce35493fc82dfad8ee5206e23e', 1800001010000000, '00000001', 1, 1800001011030000, NULL, 0, 1, 1, '', NULL, 1800001010000000);
INSERT INTO @SCHEMA@.task VALUES (16, 5, 1, 'SUCCEEDED', '', 29, '\xcea3878a334b240469d159ff840b6434', 1800001012050000, '00000001', 1, 1800001012050000, NULL, 0, 1, 1, '', NULL, 1800001012050000);
INSERT INTO @SCHEMA@.task VALUES (18, 5, 3, 'SUCCEEDED', '', 31, '\xc3585b60b755fb13e6e65a16d20f1230', 1800001012050000, '00000001', 1, 1800001013070000, NULL, 0, 1, 1, '', NULL, 1800001012050000);
INSERT INTO @SCHEMA@.task VALUES (19, 5, 4, 'SUCCEEDED', '', 32, '\xc33cedce35493fc82dfad8ee5206e23e', 1800001012050000, '00000001', 1, 1800001013070000, NULL, 0, 1, 1, '', NULL, 1800001012050000);
INSERT INTO @SCHEMA@.task VALUES (17, 5, 2, 'FAILED', 'exit', 30, '\x4129e2a8044a57ce7635fd6023661cd6', 1800001015991003, '00000001', 3, 1800001015991003, NULL, 0, 3, 1, '{"0": 2}', NULL, 1800001012050000);
INSERT INTO @SCHEMA@.task VALUES (20, 6, 1, 'FAILED', 'incomplete', 36, NULL, 1800001017011003, '', 0, NULL, NULL, 0, 0, 1, '', NULL, 1800001017011003);
INSERT INTO @SCHEMA@.task VALUES (21, 7, 1, 'SUCCEEDED', '', 37, '\x6152bc863269f1d04b4d21185d6bb25e', 1800001020000000, '00000001', 1, 1800001021030000, NULL, 0, 1, 1, '', NULL, 1800001020000000);
INSERT INTO @SCHEMA@.task VALUES (22, 8, 1, 'SUCCEEDED', '', 38, '\xcea3878a334b240469d159ff840b6434', 1800001022050000, '00000001', 1, 1800001022050000, NULL, 0, 1, 1, '', NULL, 1800001022050000);
INSERT INTO @SCHEMA@.task VALUES (23, 8, 2, 'FAILED', 'exit', 39, '\x4129e2a8044a57ce7635fd6023661cd6', 1800001022050000, '00000001', 1, 1800001022050000, NULL, 0, 1, 1, '', NULL, 1800001022050000);
INSERT INTO @SCHEMA@.task VALUES (24, 8, 3, 'SUCCEEDED', '', 40, '\xc3585b60b755fb13e6e65a16d20f1230', 1800001022050000, '00000001', 1, 1800001023070000, NULL, 0, 1, 1, '', NULL, 1800001022050000);
INSERT INTO @SCHEMA@.task VALUES (25, 8, 4, 'CANCELLED', 'cancelled', 41, '\xc33cedce35493fc82dfad8ee5206e23e', 1800001022050000, '00000001', 2, 1800001023070000, NULL, 0, 1, 1, '', NULL, 1800001022050000);
INSERT INTO @SCHEMA@.task VALUES (26, 8, 5, 'CANCELLED', 'cancelled', 42, '\x6152bc863269f1d04b4d21185d6bb25e', 1800001022050000, '00000001', 2, 1800001023080000, NULL, 0, 1, 1, '', NULL, 1800001022050000);
INSERT INTO @SCHEMA@.task VALUES (27, 10, 1, 'SUCCEEDED', '', 45, '\xc71c3e57d858543b15064b65d8c7e8c8', 1800001025000000, '00000001', 1, 1800001026030000, NULL, 0, 1, 1, '', NULL, 1800001025000000);
INSERT INTO @SCHEMA@.task VALUES (28, 11, 1, 'SUCCEEDED', '', 46, '\xcea3878a334b240469d159ff840b6434', 1800001027110000, '00000001', 1, 1800001027110000, NULL, 0, 1, 1, '', NULL, 1800001027110000);
INSERT INTO @SCHEMA@.task VALUES (29, 11, 2, 'SUCCEEDED', '', 47, '\x4129e2a8044a57ce7635fd6023661cd6', 1800001027110000, '00000001', 1, 1800001027110000, NULL, 0, 1, 1, '', NULL, 1800001027110000);
INSERT INTO @SCHEMA@.task VALUES (33, 11, 6, 'RUNNING', '', 51, '\xd4c0473feca7a8da3a323d15ba6ed8a1', 1800001027110000, '00000001', 1, 1800001028330000, 7, 0, 0, 1, '', NULL, 1800001027110000);
INSERT INTO @SCHEMA@.task VALUES (34, 11, 7, 'RUNNING', '', 52, '\x9e287f590d2dcbbf387bfb70928e621d', 1800001027110000, '00000001', 1, 1800001028330000, 7, 0, 0, 1, '', NULL, 1800001027110000);
INSERT INTO @SCHEMA@.task VALUES (32, 11, 5, 'RUNNING', '', 50, '\x6152bc863269f1d04b4d21185d6bb25e', 1800001027110000, '00000001', 1, 1800001028150000, 6, 0, 0, 1, '', NULL, 1800001027110000);
INSERT INTO @SCHEMA@.task VALUES (30, 11, 3, 'READY', '', 48, '\xc3585b60b755fb13e6e65a16d20f1230', 1800001030277215, '00000001', 1, 1800001028130000, NULL, 0, 1, 1, '{"0": 1}', NULL, 1800001027110000);
INSERT INTO @SCHEMA@.task VALUES (35, 11, 8, 'RUNNING', '', 53, '\x96e23f7b90ac8163d14936fbab23cb64', 1800001027110000, '00000001', 1, 1800001029150000, 6, 0, 0, 1, '', NULL, 1800001027110000);
INSERT INTO @SCHEMA@.task VALUES (31, 11, 4, 'SUCCEEDED', '', 49, '\xc33cedce35493fc82dfad8ee5206e23e', 1800001027110000, '00000001', 1, 1800001028130000, NULL, 0, 1, 1, '', NULL, 1800001027110000);
INSERT INTO @SCHEMA@.task VALUES (36, 11, 9, 'LEASED', '', 54, '\xc71c3e57d858543b15064b65d8c7e8c8', 1800001027110000, '00000001', 1, 1800001029170000, 6, 0, 0, 1, '', NULL, 1800001027110000);
INSERT INTO @SCHEMA@.try VALUES (1, 1, 1, 'sbx-run-1-default.0123456789abcdef.00000001.1.1', 'ENDED', '1000', '', 1, 1800001000000000);
INSERT INTO @SCHEMA@.try VALUES (2, 2, 1, 'sbx-run-2-default.0123456789abcdef.00000001.2.1', 'ENDED', '1001', '', 1, 1800001010000000);
INSERT INTO @SCHEMA@.try VALUES (3, 3, 1, 'sbx-run-2-default.0123456789abcdef.00000001.3.1', 'ENDED', '1002', '', 1, 1800001012050000);
INSERT INTO @SCHEMA@.try VALUES (4, 4, 1, 'sbx-run-3-default.0123456789abcdef.00000001.4.1', 'ENDED', '1003', '', 1, 1800001020000000);
INSERT INTO @SCHEMA@.try VALUES (5, 5, 1, 'sbx-run-3-default.0123456789abcdef.00000001.5.1', 'ENDED', '1004', '', 1, 1800001022050000);
INSERT INTO @SCHEMA@.try VALUES (6, 6, 1, 'sbx-run-4-default.0123456789abcdef.00000001.6.1', 'ACTIVE', '1005', '', 1, 1800001025000000);
INSERT INTO @SCHEMA@.try VALUES (7, 7, 1, 'sbx-run-4-default.0123456789abcdef.00000001.7.1', 'ACTIVE', '1006', '', 1, 1800001027300000);
ALTER TABLE ONLY @SCHEMA@.agent
    ADD CONSTRAINT agent_incarnation_key UNIQUE (incarnation);
ALTER TABLE ONLY @SCHEMA@.agent
    ADD CONSTRAINT agent_pkey PRIMARY KEY (agent_id);
ALTER TABLE ONLY @SCHEMA@.allocation
    ADD CONSTRAINT allocation_pkey PRIMARY KEY (allocation_id);
ALTER TABLE ONLY @SCHEMA@.attempt
    ADD CONSTRAINT attempt_pkey PRIMARY KEY (attempt_id);
ALTER TABLE ONLY @SCHEMA@.chunk
    ADD CONSTRAINT chunk_pkey PRIMARY KEY (task_id, lease_epoch, lease_n, seq, slice);
ALTER TABLE ONLY @SCHEMA@.event
    ADD CONSTRAINT event_pkey PRIMARY KEY (event_id);
ALTER TABLE ONLY @SCHEMA@.home
    ADD CONSTRAINT home_pkey PRIMARY KEY (home_id);
ALTER TABLE ONLY @SCHEMA@.message
    ADD CONSTRAINT message_pkey PRIMARY KEY (message_id);
ALTER TABLE ONLY @SCHEMA@.module
    ADD CONSTRAINT module_pkey PRIMARY KEY (module_id);
ALTER TABLE ONLY @SCHEMA@.module
    ADD CONSTRAINT module_run_id_name_key UNIQUE (run_id, name);
ALTER TABLE ONLY @SCHEMA@.output
    ADD CONSTRAINT output_pkey PRIMARY KEY (attempt_id);
ALTER TABLE ONLY @SCHEMA@.part
    ADD CONSTRAINT part_module_id_group_digest_part_key UNIQUE (module_id, group_digest, part);
ALTER TABLE ONLY @SCHEMA@.part
    ADD CONSTRAINT part_pkey PRIMARY KEY (part_id);
ALTER TABLE ONLY @SCHEMA@.pool
    ADD CONSTRAINT pool_pkey PRIMARY KEY (pool_id);
ALTER TABLE ONLY @SCHEMA@.pool
    ADD CONSTRAINT pool_run_id_name_key UNIQUE (run_id, name);
ALTER TABLE ONLY @SCHEMA@.run
    ADD CONSTRAINT run_name_key UNIQUE (name);
ALTER TABLE ONLY @SCHEMA@.run
    ADD CONSTRAINT run_pkey PRIMARY KEY (run_id);
ALTER TABLE ONLY @SCHEMA@.task
    ADD CONSTRAINT task_pkey PRIMARY KEY (task_id);
ALTER TABLE ONLY @SCHEMA@.try
    ADD CONSTRAINT try_allocation_id_try_n_key UNIQUE (allocation_id, try_n);
ALTER TABLE ONLY @SCHEMA@.try
    ADD CONSTRAINT try_name_key UNIQUE (name);
ALTER TABLE ONLY @SCHEMA@.try
    ADD CONSTRAINT try_pkey PRIMARY KEY (try_id);
CREATE INDEX agent_live ON @SCHEMA@.agent USING btree (try_id, element) WHERE (ended_us IS NULL);
CREATE INDEX allocation_open ON @SCHEMA@.allocation USING btree (pool_id) WHERE (ended_us IS NULL);
CREATE UNIQUE INDEX attempt_lease ON @SCHEMA@.attempt USING btree (task_id, lease_epoch, lease_n);
CREATE INDEX attempt_run ON @SCHEMA@.attempt USING btree (run_id, attempt_id);
CREATE INDEX chunk_waiting ON @SCHEMA@.chunk USING btree (attempt_id, seq, slice) WHERE (attempt_id IS NOT NULL);
CREATE INDEX message_part ON @SCHEMA@.message USING btree (part_id, message_id) WHERE (part_id IS NOT NULL);
CREATE UNIQUE INDEX message_sender ON @SCHEMA@.message USING btree (sender, "position") WHERE (sender > 0);
CREATE INDEX part_waiting ON @SCHEMA@.part USING btree (module_id, part_id) WHERE (state <> 'fired'::text);
CREATE INDEX task_bad ON @SCHEMA@.task USING btree (module_id, n) WHERE (state = ANY (ARRAY['FAILED'::text, 'CANCELLED'::text]));
CREATE INDEX task_held ON @SCHEMA@.task USING btree (agent_id) WHERE (agent_id IS NOT NULL);
CREATE UNIQUE INDEX task_key ON @SCHEMA@.task USING btree (module_id, key_digest) WHERE (key_digest IS NOT NULL);
CREATE UNIQUE INDEX task_n ON @SCHEMA@.task USING btree (module_id, n);
CREATE INDEX task_ready ON @SCHEMA@.task USING btree (module_id, ready_us, task_id) WHERE (state = 'READY'::text);
CREATE INDEX try_live ON @SCHEMA@.try USING btree (state) WHERE (state <> ALL (ARRAY['ENDED'::text, 'REFUSED'::text]));
