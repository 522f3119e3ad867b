BEGIN TRANSACTION;
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
INSERT INTO "agent" VALUES(1,'0000000000000001',1,0,0,1,'sim','node0','1000','{"room": [2, 4096, 0, 1048576], "nodes": 1, "python": "3.11", "version": "0"}',1800001001010000,1800001009410000,'agent_lost');
INSERT INTO "agent" VALUES(2,'0000000000000002',2,0,0,2,'sim','node0','1001','{"room": [2, 4096, 0, 1048576], "nodes": 1, "python": "3.11", "version": "0"}',1800001011010000,1800001017051003,'agent_lost');
INSERT INTO "agent" VALUES(3,'0000000000000003',3,0,0,2,'sim','node0','1002','{"room": [2, 4096, 0, 1048576], "nodes": 1, "python": "3.11", "version": "0"}',1800001013060000,1800001017051003,'agent_lost');
INSERT INTO "agent" VALUES(4,'0000000000000004',4,0,0,3,'sim','node0','1003','{"room": [2, 4096, 0, 1048576], "nodes": 1, "python": "3.11", "version": "0"}',1800001021010000,1800001024130000,'agent_lost');
INSERT INTO "agent" VALUES(5,'0000000000000005',5,0,0,3,'sim','node0','1004','{"room": [2, 4096, 0, 1048576], "nodes": 1, "python": "3.11", "version": "0"}',1800001023060000,1800001024140000,'agent_lost');
INSERT INTO "agent" VALUES(6,'0000000000000006',6,0,0,4,'sim','node0','1005','{"room": [2, 4096, 0, 1048576], "nodes": 1, "python": "3.11", "version": "0"}',1800001026010000,NULL,'');
INSERT INTO "agent" VALUES(7,'0000000000000007',7,0,0,4,'sim','node0','1006','{"room": [2, 4096, 0, 1048576], "nodes": 1, "python": "3.11", "version": "0"}',1800001028310000,NULL,'');
CREATE TABLE allocation (
    allocation_id INTEGER PRIMARY KEY,
    pool_id    INTEGER NOT NULL REFERENCES pool,
    request    TEXT NOT NULL,               -- elements, resources and walltime asked for, JSON
    elements   INTEGER NOT NULL,
    created_us INTEGER NOT NULL,
    ended_us   INTEGER,
    given_back TEXT NOT NULL DEFAULT '[]'   -- elements that we cancel, JSON
);
INSERT INTO "allocation" VALUES(1,1,'{"elements": 1, "shape": [2, 4096, 0], "walltime_s": 7200.0}',1,1800001000000000,1800001010000000,'[]');
INSERT INTO "allocation" VALUES(2,2,'{"elements": 1, "shape": [2, 4096, 0], "walltime_s": 7200.0}',1,1800001010000000,1800001020000000,'[]');
INSERT INTO "allocation" VALUES(3,2,'{"elements": 1, "shape": [2, 4096, 0], "walltime_s": 7200.0}',1,1800001012050000,1800001020000000,'[]');
INSERT INTO "allocation" VALUES(4,3,'{"elements": 1, "shape": [2, 4096, 0], "walltime_s": 7200.0}',1,1800001020000000,1800001025000000,'[0]');
INSERT INTO "allocation" VALUES(5,3,'{"elements": 1, "shape": [2, 4096, 0], "walltime_s": 7200.0}',1,1800001022050000,1800001025000000,'[0]');
INSERT INTO "allocation" VALUES(6,4,'{"elements": 1, "shape": [2, 4096, 0], "walltime_s": 7200.0}',1,1800001025000000,NULL,'[]');
INSERT INTO "allocation" VALUES(7,4,'{"elements": 1, "shape": [2, 4096, 0], "walltime_s": 7200.0}',1,1800001027300000,NULL,'[]');
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
INSERT INTO "attempt" VALUES(1,1,1,1,1,'00000001',1,1,'SUCCEEDED','','',0,NULL,'',1,0,1800001000000000,1800001000000000,1800001001030000,1800001001040000,NULL,NULL,NULL,1800001001040000,1800001002040000,NULL,1800001002040000,1800001002130000,0.0,0.0,0.0,0,0,12,'count','','','','');
INSERT INTO "attempt" VALUES(2,2,1,1,1,'00000001',1,1,'SUCCEEDED','','',0,NULL,'',1,0,1800001002130000,1800001002130000,1800001002130000,1800001002140000,NULL,NULL,NULL,1800001002140000,1800001003140000,NULL,1800001003140000,1800001003150000,0.0,0.0,0.0,0,0,1,'total','','','','');
INSERT INTO "attempt" VALUES(3,3,1,1,1,'00000001',1,1,'SUCCEEDED','','',0,NULL,'',1,0,1800001002130000,1800001002130000,1800001002130000,1800001002140000,NULL,NULL,NULL,1800001002140000,1800001003140000,NULL,1800001003140000,1800001003170000,0.0,0.0,0.0,0,0,1,'total','','','','');
INSERT INTO "attempt" VALUES(4,4,1,1,1,'00000001',1,1,'SUCCEEDED','','',0,NULL,'',1,0,1800001002130000,1800001002130000,1800001003150000,1800001003160000,NULL,NULL,NULL,1800001003160000,1800001004160000,NULL,1800001004160000,1800001004170000,0.0,0.0,0.0,0,0,1,'total','','','','');
INSERT INTO "attempt" VALUES(5,5,1,1,1,'00000001',1,1,'SUCCEEDED','','',0,NULL,'',1,0,1800001002130000,1800001002130000,1800001003150000,1800001003160000,NULL,NULL,NULL,1800001003160000,1800001004160000,NULL,1800001004160000,1800001004190000,0.0,0.0,0.0,0,0,1,'total','','','','');
INSERT INTO "attempt" VALUES(6,6,1,1,1,'00000001',1,1,'SUCCEEDED','','',0,NULL,'',1,0,1800001002130000,1800001002130000,1800001003170000,1800001004160000,NULL,NULL,NULL,1800001004160000,1800001005160000,NULL,1800001005160000,1800001005170000,0.0,0.0,0.0,0,0,1,'total','','','','');
INSERT INTO "attempt" VALUES(7,7,1,1,1,'00000001',1,1,'SUCCEEDED','','',0,NULL,'',1,0,1800001002130000,1800001002130000,1800001004170000,1800001004180000,NULL,NULL,NULL,1800001004180000,1800001005180000,NULL,1800001005180000,1800001005190000,0.0,0.0,0.0,0,0,1,'total','','','','');
INSERT INTO "attempt" VALUES(8,8,1,1,1,'00000001',1,1,'SUCCEEDED','','',0,NULL,'',1,0,1800001002130000,1800001002130000,1800001004190000,1800001005160000,NULL,NULL,NULL,1800001005160000,1800001006160000,NULL,1800001006160000,1800001006170000,0.0,0.0,0.0,0,0,1,'total','','','','');
INSERT INTO "attempt" VALUES(9,9,1,1,1,'00000001',1,1,'SUCCEEDED','','',0,NULL,'',1,0,1800001002130000,1800001002130000,1800001005170000,1800001005180000,NULL,NULL,NULL,1800001005180000,1800001006180000,NULL,1800001006180000,1800001006190000,0.0,0.0,0.0,0,0,1,'total','','','','');
INSERT INTO "attempt" VALUES(10,10,1,1,1,'00000001',1,1,'SUCCEEDED','','',0,NULL,'',1,0,1800001002130000,1800001002130000,1800001005190000,1800001006160000,NULL,NULL,NULL,1800001006160000,1800001007160000,NULL,1800001007160000,1800001007170000,0.0,0.0,0.0,0,0,1,'total','','','','');
INSERT INTO "attempt" VALUES(11,11,1,1,1,'00000001',1,1,'SUCCEEDED','','',0,NULL,'',1,0,1800001002130000,1800001002130000,1800001006170000,1800001006180000,NULL,NULL,NULL,1800001006180000,1800001007180000,NULL,1800001007180000,1800001007190000,0.0,0.0,0.0,0,0,1,'total','','','','');
INSERT INTO "attempt" VALUES(12,12,1,1,1,'00000001',1,1,'SUCCEEDED','','',0,NULL,'',1,0,1800001002130000,1800001002130000,1800001006190000,1800001007160000,NULL,NULL,NULL,1800001007160000,1800001008160000,NULL,1800001008160000,1800001008170000,0.0,0.0,0.0,0,0,1,'total','','','','');
INSERT INTO "attempt" VALUES(13,13,1,1,1,'00000001',1,1,'SUCCEEDED','','',0,NULL,'',1,0,1800001002130000,1800001002130000,1800001007170000,1800001007180000,NULL,NULL,NULL,1800001007180000,1800001008180000,NULL,1800001008180000,1800001008190000,0.0,0.0,0.0,0,0,1,'total','','','','');
INSERT INTO "attempt" VALUES(14,14,1,1,1,'00000001',1,1,'SUCCEEDED','','',0,NULL,'',1,0,1800001008190000,1800001008190000,1800001008190000,1800001008360000,NULL,NULL,NULL,1800001008360000,1800001009360000,NULL,1800001009360000,1800001009370000,0.0,0.0,0.0,0,0,0,'','78','','','');
INSERT INTO "attempt" VALUES(15,15,2,1,1,'00000001',1,1,'SUCCEEDED','','',0,NULL,'',2,0,1800001010000000,1800001010000000,1800001011030000,1800001011040000,NULL,NULL,NULL,1800001011040000,1800001012040000,NULL,1800001012040000,1800001012050000,0.0,0.0,0.0,0,0,4,'count','','','','');
INSERT INTO "attempt" VALUES(16,16,2,1,1,'00000001',1,1,'SUCCEEDED','','',0,NULL,'',2,0,1800001012050000,1800001012050000,1800001012050000,1800001012060000,NULL,NULL,NULL,1800001012060000,1800001013060000,NULL,1800001013060000,1800001013070000,0.0,0.0,0.0,0,0,1,'total','','','','');
INSERT INTO "attempt" VALUES(17,17,2,1,1,'00000001',1,1,'FAILED','exit','0',3,NULL,'',2,0,1800001012050000,1800001012050000,1800001012050000,1800001012060000,NULL,NULL,NULL,1800001012060000,1800001013060000,NULL,1800001013060000,1800001013090000,0.0,0.0,0.0,0,0,0,'','it''s \ "bad"; née','','','');
INSERT INTO "attempt" VALUES(18,18,2,1,1,'00000001',1,1,'SUCCEEDED','','',0,NULL,'',2,0,1800001012050000,1800001012050000,1800001013070000,1800001013080000,NULL,NULL,NULL,1800001013080000,1800001014080000,NULL,1800001014080000,1800001014090000,0.0,0.0,0.0,0,0,1,'total','','','','');
INSERT INTO "attempt" VALUES(19,19,2,1,1,'00000001',1,1,'SUCCEEDED','','',0,NULL,'',2,0,1800001012050000,1800001012050000,1800001013070000,1800001013080000,NULL,NULL,NULL,1800001013080000,1800001014080000,NULL,1800001014080000,1800001014110000,0.0,0.0,0.0,0,0,1,'total','','','','');
INSERT INTO "attempt" VALUES(20,17,2,2,1,'00000001',2,1,'FAILED','exit','0',3,NULL,'',2,0,1800001012050000,1800001014010914,1800001014010914,1800001014080000,NULL,NULL,NULL,1800001014080000,1800001015080000,NULL,1800001015080000,1800001015090000,0.0,0.0,0.0,0,0,0,'','it''s \ "bad"; née','','','');
INSERT INTO "attempt" VALUES(21,17,2,3,1,'00000001',3,1,'FAILED','exit','',3,NULL,'',2,0,1800001012050000,1800001015991003,1800001015991003,1800001016001003,NULL,NULL,NULL,1800001016001003,1800001017001003,NULL,1800001017001003,1800001017011003,0.0,0.0,0.0,0,0,0,'','it''s \ "bad"; née','','','');
INSERT INTO "attempt" VALUES(22,21,3,1,1,'00000001',1,1,'SUCCEEDED','','',0,NULL,'',4,0,1800001020000000,1800001020000000,1800001021030000,1800001021040000,NULL,NULL,NULL,1800001021040000,1800001022040000,NULL,1800001022040000,1800001022050000,0.0,0.0,0.0,0,0,5,'count','','','','');
INSERT INTO "attempt" VALUES(23,22,3,1,1,'00000001',1,1,'SUCCEEDED','','',0,NULL,'',4,0,1800001022050000,1800001022050000,1800001022050000,1800001022060000,NULL,NULL,NULL,1800001022060000,1800001023060000,NULL,1800001023060000,1800001023070000,0.0,0.0,0.0,0,0,1,'total','','','','');
INSERT INTO "attempt" VALUES(24,23,3,1,1,'00000001',1,1,'FAILED','exit','',3,NULL,'',4,0,1800001022050000,1800001022050000,1800001022050000,1800001022060000,NULL,NULL,NULL,1800001022060000,1800001023060000,NULL,1800001023060000,1800001023090000,0.0,0.0,0.0,0,0,0,'','it''s \ "bad"; née','','','');
INSERT INTO "attempt" VALUES(25,24,3,1,1,'00000001',1,1,'SUCCEEDED','','',0,NULL,'',4,0,1800001022050000,1800001022050000,1800001023070000,1800001023080000,NULL,NULL,NULL,1800001023080000,1800001024080000,NULL,1800001024080000,1800001024090000,0.0,0.0,0.0,0,0,1,'total','','','','');
INSERT INTO "attempt" VALUES(26,25,3,1,1,'00000001',1,0,'CANCELLED','cancelled','',NULL,NULL,'',4,NULL,1800001022050000,1800001022050000,1800001023070000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1800001024090000,NULL,NULL,NULL,0,0,0,'','','','','');
INSERT INTO "attempt" VALUES(27,26,3,1,1,'00000001',1,0,'CANCELLED','cancelled','',NULL,NULL,'',5,NULL,1800001022050000,1800001022050000,1800001023080000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1800001024090000,NULL,NULL,NULL,0,0,0,'','','','','');
INSERT INTO "attempt" VALUES(28,27,4,1,1,'00000001',1,1,'SUCCEEDED','','',0,NULL,'',6,0,1800001025000000,1800001025000000,1800001026030000,1800001026040000,NULL,NULL,NULL,1800001026040000,1800001027040000,NULL,1800001027040000,1800001027110000,0.0,0.0,0.0,0,0,9,'count','','','','');
INSERT INTO "attempt" VALUES(29,28,4,1,1,'00000001',1,1,'SUCCEEDED','','',0,NULL,'',6,0,1800001027110000,1800001027110000,1800001027110000,1800001027120000,NULL,NULL,NULL,1800001027120000,1800001028120000,NULL,1800001028120000,1800001028130000,0.0,0.0,0.0,0,0,1,'total','','','','');
INSERT INTO "attempt" VALUES(30,29,4,1,1,'00000001',1,1,'SUCCEEDED','','',0,NULL,'',6,0,1800001027110000,1800001027110000,1800001027110000,1800001027120000,NULL,NULL,NULL,1800001027120000,1800001028120000,NULL,1800001028120000,1800001028150000,0.0,0.0,0.0,0,0,1,'total','','','','');
INSERT INTO "attempt" VALUES(31,30,4,1,1,'00000001',1,1,'FAILED','exit','0',3,NULL,'',6,0,1800001027110000,1800001027110000,1800001028130000,1800001028140000,NULL,NULL,NULL,1800001028140000,1800001029140000,NULL,1800001029140000,1800001029150000,0.0,0.0,0.0,0,0,0,'','it''s \ "bad"; née','','','');
INSERT INTO "attempt" VALUES(32,31,4,1,1,'00000001',1,1,'SUCCEEDED','','',0,NULL,'',6,0,1800001027110000,1800001027110000,1800001028130000,1800001028140000,NULL,NULL,NULL,1800001028140000,1800001029140000,NULL,1800001029140000,1800001029170000,0.0,0.0,0.0,0,0,1,'total','','','','');
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
CREATE TABLE event (
    event_id INTEGER PRIMARY KEY,
    at_us    INTEGER NOT NULL,
    thing    TEXT NOT NULL,                 -- 'run', 'allocation', 'agent'
    thing_id INTEGER NOT NULL,
    what     TEXT NOT NULL,
    detail   TEXT NOT NULL DEFAULT ''
);
INSERT INTO "event" VALUES(1,1800001000000000,'run',1,'LOADING','');
INSERT INTO "event" VALUES(2,1800001000000000,'run',1,'RUNNING','');
INSERT INTO "event" VALUES(3,1800001000000000,'allocation',1,'SUBMITTING','sbx-run-1-default.0123456789abcdef.00000001.1.1');
INSERT INTO "event" VALUES(4,1800001000000000,'allocation',1,'QUEUED','sbx-run-1-default.0123456789abcdef.00000001.1.1');
INSERT INTO "event" VALUES(5,1800001001010000,'agent',1,'hello','node0');
INSERT INTO "event" VALUES(6,1800001001010000,'allocation',1,'ACTIVE','sbx-run-1-default.0123456789abcdef.00000001.1.1');
INSERT INTO "event" VALUES(7,1800001009370000,'run',1,'SUCCEEDED','');
INSERT INTO "event" VALUES(8,1800001009410000,'agent',1,'ended','agent_lost');
INSERT INTO "event" VALUES(9,1800001010000000,'allocation',1,'ENDED','sbx-run-1-default.0123456789abcdef.00000001.1.1');
INSERT INTO "event" VALUES(10,1800001010000000,'run',2,'LOADING','');
INSERT INTO "event" VALUES(11,1800001010000000,'run',2,'RUNNING','');
INSERT INTO "event" VALUES(12,1800001010000000,'allocation',2,'SUBMITTING','sbx-run-2-default.0123456789abcdef.00000001.2.1');
INSERT INTO "event" VALUES(13,1800001010000000,'allocation',2,'QUEUED','sbx-run-2-default.0123456789abcdef.00000001.2.1');
INSERT INTO "event" VALUES(14,1800001011010000,'agent',2,'hello','node0');
INSERT INTO "event" VALUES(15,1800001011010000,'allocation',2,'ACTIVE','sbx-run-2-default.0123456789abcdef.00000001.2.1');
INSERT INTO "event" VALUES(16,1800001012050000,'allocation',3,'SUBMITTING','sbx-run-2-default.0123456789abcdef.00000001.3.1');
INSERT INTO "event" VALUES(17,1800001012050000,'allocation',3,'QUEUED','sbx-run-2-default.0123456789abcdef.00000001.3.1');
INSERT INTO "event" VALUES(18,1800001013060000,'agent',3,'hello','node0');
INSERT INTO "event" VALUES(19,1800001013060000,'allocation',3,'ACTIVE','sbx-run-2-default.0123456789abcdef.00000001.3.1');
INSERT INTO "event" VALUES(20,1800001017011003,'run',2,'FAILED','');
INSERT INTO "event" VALUES(21,1800001017051003,'agent',2,'ended','agent_lost');
INSERT INTO "event" VALUES(22,1800001017051003,'agent',3,'ended','agent_lost');
INSERT INTO "event" VALUES(23,1800001020000000,'allocation',2,'ENDED','sbx-run-2-default.0123456789abcdef.00000001.2.1');
INSERT INTO "event" VALUES(24,1800001020000000,'allocation',3,'ENDED','sbx-run-2-default.0123456789abcdef.00000001.3.1');
INSERT INTO "event" VALUES(25,1800001020000000,'run',3,'LOADING','');
INSERT INTO "event" VALUES(26,1800001020000000,'run',3,'RUNNING','');
INSERT INTO "event" VALUES(27,1800001020000000,'allocation',4,'SUBMITTING','sbx-run-3-default.0123456789abcdef.00000001.4.1');
INSERT INTO "event" VALUES(28,1800001020000000,'allocation',4,'QUEUED','sbx-run-3-default.0123456789abcdef.00000001.4.1');
INSERT INTO "event" VALUES(29,1800001021010000,'agent',4,'hello','node0');
INSERT INTO "event" VALUES(30,1800001021010000,'allocation',4,'ACTIVE','sbx-run-3-default.0123456789abcdef.00000001.4.1');
INSERT INTO "event" VALUES(31,1800001022050000,'allocation',5,'SUBMITTING','sbx-run-3-default.0123456789abcdef.00000001.5.1');
INSERT INTO "event" VALUES(32,1800001022050000,'allocation',5,'QUEUED','sbx-run-3-default.0123456789abcdef.00000001.5.1');
INSERT INTO "event" VALUES(33,1800001023060000,'agent',5,'hello','node0');
INSERT INTO "event" VALUES(34,1800001023060000,'allocation',5,'ACTIVE','sbx-run-3-default.0123456789abcdef.00000001.5.1');
INSERT INTO "event" VALUES(35,1800001024090000,'run',3,'CANCELLED','');
INSERT INTO "event" VALUES(36,1800001024130000,'agent',4,'ended','agent_lost');
INSERT INTO "event" VALUES(37,1800001024140000,'agent',5,'ended','agent_lost');
INSERT INTO "event" VALUES(38,1800001025000000,'allocation',4,'ENDED','sbx-run-3-default.0123456789abcdef.00000001.4.1');
INSERT INTO "event" VALUES(39,1800001025000000,'allocation',5,'ENDED','sbx-run-3-default.0123456789abcdef.00000001.5.1');
INSERT INTO "event" VALUES(40,1800001025000000,'run',4,'LOADING','');
INSERT INTO "event" VALUES(41,1800001025000000,'run',4,'RUNNING','');
INSERT INTO "event" VALUES(42,1800001025000000,'allocation',6,'SUBMITTING','sbx-run-4-default.0123456789abcdef.00000001.6.1');
INSERT INTO "event" VALUES(43,1800001025000000,'allocation',6,'QUEUED','sbx-run-4-default.0123456789abcdef.00000001.6.1');
INSERT INTO "event" VALUES(44,1800001026010000,'agent',6,'hello','node0');
INSERT INTO "event" VALUES(45,1800001026010000,'allocation',6,'ACTIVE','sbx-run-4-default.0123456789abcdef.00000001.6.1');
INSERT INTO "event" VALUES(46,1800001027300000,'allocation',7,'SUBMITTING','sbx-run-4-default.0123456789abcdef.00000001.7.1');
INSERT INTO "event" VALUES(47,1800001027300000,'allocation',7,'QUEUED','sbx-run-4-default.0123456789abcdef.00000001.7.1');
INSERT INTO "event" VALUES(48,1800001028310000,'agent',7,'hello','node0');
INSERT INTO "event" VALUES(49,1800001028310000,'allocation',7,'ACTIVE','sbx-run-4-default.0123456789abcdef.00000001.7.1');
CREATE TABLE home (
    home_id    TEXT NOT NULL PRIMARY KEY,   -- 16 hex digits
    path       TEXT NOT NULL,               -- where it was when last started
    epoch      TEXT NOT NULL,               -- of the last daemon start, 8 hex digits
    created_us INTEGER NOT NULL
);
INSERT INTO "home" VALUES('0123456789abcdef','@FOLDER@','00000001',1800001000000000);
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
INSERT INTO "message" VALUES(1,0,0,1,'12',NULL,NULL,1,NULL,1);
INSERT INTO "message" VALUES(2,1,0,2,'1',NULL,NULL,2,NULL,1);
INSERT INTO "message" VALUES(3,1,1,2,'2',NULL,NULL,3,NULL,1);
INSERT INTO "message" VALUES(4,1,2,2,'3',NULL,NULL,4,NULL,1);
INSERT INTO "message" VALUES(5,1,3,2,'4',NULL,NULL,5,NULL,1);
INSERT INTO "message" VALUES(6,1,4,2,'5',NULL,NULL,6,NULL,1);
INSERT INTO "message" VALUES(7,1,5,2,'6',NULL,NULL,7,NULL,1);
INSERT INTO "message" VALUES(8,1,6,2,'7',NULL,NULL,8,NULL,1);
INSERT INTO "message" VALUES(9,1,7,2,'8',NULL,NULL,9,NULL,1);
INSERT INTO "message" VALUES(10,1,8,2,'9',NULL,NULL,10,NULL,1);
INSERT INTO "message" VALUES(11,1,9,2,'10',NULL,NULL,11,NULL,1);
INSERT INTO "message" VALUES(12,1,10,2,'11',NULL,NULL,12,NULL,1);
INSERT INTO "message" VALUES(13,1,11,2,'12',NULL,NULL,13,NULL,1);
INSERT INTO "message" VALUES(14,2,0,3,'1',NULL,NULL,NULL,1,1);
INSERT INTO "message" VALUES(15,3,0,3,'2',NULL,NULL,NULL,1,1);
INSERT INTO "message" VALUES(16,4,0,3,'3',NULL,NULL,NULL,1,1);
INSERT INTO "message" VALUES(17,5,0,3,'4',NULL,NULL,NULL,1,1);
INSERT INTO "message" VALUES(18,6,0,3,'5',NULL,NULL,NULL,1,1);
INSERT INTO "message" VALUES(19,7,0,3,'6',NULL,NULL,NULL,1,1);
INSERT INTO "message" VALUES(20,8,0,3,'7',NULL,NULL,NULL,1,1);
INSERT INTO "message" VALUES(21,9,0,3,'8',NULL,NULL,NULL,1,1);
INSERT INTO "message" VALUES(22,10,0,3,'9',NULL,NULL,NULL,1,1);
INSERT INTO "message" VALUES(23,11,0,3,'10',NULL,NULL,NULL,1,1);
INSERT INTO "message" VALUES(24,12,0,3,'11',NULL,NULL,NULL,1,1);
INSERT INTO "message" VALUES(25,13,0,3,'12',NULL,NULL,NULL,1,1);
INSERT INTO "message" VALUES(26,-1,0,3,'all',NULL,NULL,14,NULL,1);
INSERT INTO "message" VALUES(27,0,0,4,'4',NULL,NULL,15,NULL,1);
INSERT INTO "message" VALUES(28,0,1,4,'4',NULL,NULL,15,NULL,0);
INSERT INTO "message" VALUES(29,15,0,5,'1',NULL,NULL,16,NULL,1);
INSERT INTO "message" VALUES(30,15,1,5,'2',NULL,NULL,17,NULL,1);
INSERT INTO "message" VALUES(31,15,2,5,'3',NULL,NULL,18,NULL,1);
INSERT INTO "message" VALUES(32,15,3,5,'4',NULL,NULL,19,NULL,1);
INSERT INTO "message" VALUES(33,16,0,6,'1',NULL,NULL,NULL,2,1);
INSERT INTO "message" VALUES(34,18,0,6,'3',NULL,NULL,NULL,2,1);
INSERT INTO "message" VALUES(35,19,0,6,'4',NULL,NULL,NULL,2,1);
INSERT INTO "message" VALUES(36,-2,0,6,'all',NULL,NULL,20,NULL,1);
INSERT INTO "message" VALUES(37,0,0,7,'5',NULL,NULL,21,NULL,1);
INSERT INTO "message" VALUES(38,22,0,8,'1',NULL,NULL,22,NULL,1);
INSERT INTO "message" VALUES(39,22,1,8,'2',NULL,NULL,23,NULL,1);
INSERT INTO "message" VALUES(40,22,2,8,'3',NULL,NULL,24,NULL,1);
INSERT INTO "message" VALUES(41,22,3,8,'4',NULL,NULL,25,NULL,1);
INSERT INTO "message" VALUES(42,22,4,8,'5',NULL,NULL,26,NULL,1);
INSERT INTO "message" VALUES(43,23,0,9,'1',NULL,NULL,NULL,3,1);
INSERT INTO "message" VALUES(44,25,0,9,'3',NULL,NULL,NULL,3,1);
INSERT INTO "message" VALUES(45,0,0,10,'9',NULL,NULL,27,NULL,1);
INSERT INTO "message" VALUES(46,28,0,11,'1',NULL,NULL,28,NULL,1);
INSERT INTO "message" VALUES(47,28,1,11,'2',NULL,NULL,29,NULL,1);
INSERT INTO "message" VALUES(48,28,2,11,'3',NULL,NULL,30,NULL,1);
INSERT INTO "message" VALUES(49,28,3,11,'4',NULL,NULL,31,NULL,1);
INSERT INTO "message" VALUES(50,28,4,11,'5',NULL,NULL,32,NULL,1);
INSERT INTO "message" VALUES(51,28,5,11,'6',NULL,NULL,33,NULL,1);
INSERT INTO "message" VALUES(52,28,6,11,'7',NULL,NULL,34,NULL,1);
INSERT INTO "message" VALUES(53,28,7,11,'8',NULL,NULL,35,NULL,1);
INSERT INTO "message" VALUES(54,28,8,11,'9',NULL,NULL,36,NULL,1);
INSERT INTO "message" VALUES(55,29,0,12,'1',NULL,NULL,NULL,4,1);
INSERT INTO "message" VALUES(56,30,0,12,'2',NULL,NULL,NULL,4,1);
INSERT INTO "message" VALUES(57,32,0,12,'4',NULL,NULL,NULL,4,1);
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
INSERT INTO "module" VALUES(1,1,'scatter','digest of scatter','{"name": "scatter", "digest": "digest of scatter", "site": "sim", "kind": "task", "nodes": 1, "ntasks": 1, "words": [["true"]], "text": "", "values": [], "shell": [], "files": [], "bin": [], "env": {}, "params": {}, "container": null, "to": ["count"], "modules": ["scatter", "count", "total"], "gathers": {}, "is_gather": false, "forward": false, "output_limit": 65536, "message_limit": 1000000, "pipeline": "/nowhere", "module": 1, "run": "run-1", "results": "/results", "shared": "@FOLDER@/shared/runs/run-1/shared"}',2,0,0,0,1,0,0,0,0,'',0,'');
INSERT INTO "module" VALUES(2,1,'count','digest of count','{"name": "count", "digest": "digest of count", "site": "sim", "kind": "task", "nodes": 1, "ntasks": 1, "words": [["true"]], "text": "", "values": [], "shell": [], "files": [], "bin": [], "env": {}, "params": {}, "container": null, "to": ["total"], "modules": ["scatter", "count", "total"], "gathers": {"total": {"by": "all", "pattern": "", "sized": false}}, "is_gather": false, "forward": false, "output_limit": 65536, "message_limit": 1000000, "pipeline": "/nowhere", "module": 2, "run": "run-1", "results": "/results", "shared": "@FOLDER@/shared/runs/run-1/shared"}',13,0,0,0,12,0,0,0,0,'',0,'');
INSERT INTO "module" VALUES(3,1,'total','digest of total','{"name": "total", "digest": "digest of total", "site": "sim", "kind": "task", "nodes": 1, "ntasks": 1, "words": [["true"]], "text": "", "values": [], "shell": [], "files": [], "bin": [], "env": {}, "params": {}, "container": null, "to": [], "modules": ["scatter", "count", "total"], "gathers": {}, "is_gather": true, "forward": false, "output_limit": 65536, "message_limit": 1000000, "pipeline": "/nowhere", "module": 3, "run": "run-1", "results": "/results", "shared": "@FOLDER@/shared/runs/run-1/shared"}',2,0,0,0,1,0,0,0,0,'',0,'');
INSERT INTO "module" VALUES(4,2,'scatter','digest of scatter','{"name": "scatter", "digest": "digest of scatter", "site": "sim", "kind": "task", "nodes": 1, "ntasks": 1, "words": [["true"]], "text": "", "values": [], "shell": [], "files": [], "bin": [], "env": {}, "params": {}, "container": null, "to": ["count"], "modules": ["scatter", "count", "total"], "gathers": {}, "is_gather": false, "forward": false, "output_limit": 65536, "message_limit": 1000000, "pipeline": "/nowhere", "module": 4, "run": "run-2", "results": "/results", "shared": "@FOLDER@/shared/runs/run-2/shared"}',2,0,0,0,1,0,0,1,0,'',0,'');
INSERT INTO "module" VALUES(5,2,'count','digest of count','{"name": "count", "digest": "digest of count", "site": "sim", "kind": "task", "nodes": 1, "ntasks": 1, "words": [["true"]], "text": "", "values": [], "shell": [], "files": [], "bin": [], "env": {}, "params": {}, "container": null, "to": ["total"], "modules": ["scatter", "count", "total"], "gathers": {"total": {"by": "all", "pattern": "", "sized": false}}, "is_gather": false, "forward": false, "output_limit": 65536, "message_limit": 1000000, "pipeline": "/nowhere", "module": 5, "run": "run-2", "results": "/results", "shared": "@FOLDER@/shared/runs/run-2/shared"}',5,0,0,0,3,1,0,0,0,'',0,'');
INSERT INTO "module" VALUES(6,2,'total','digest of total','{"name": "total", "digest": "digest of total", "site": "sim", "kind": "task", "nodes": 1, "ntasks": 1, "words": [["true"]], "text": "", "values": [], "shell": [], "files": [], "bin": [], "env": {}, "params": {}, "container": null, "to": [], "modules": ["scatter", "count", "total"], "gathers": {}, "is_gather": true, "forward": false, "output_limit": 65536, "message_limit": 1000000, "pipeline": "/nowhere", "module": 6, "run": "run-2", "results": "/results", "shared": "@FOLDER@/shared/runs/run-2/shared"}',2,0,0,0,0,1,0,0,0,'',0,'');
INSERT INTO "module" VALUES(7,3,'scatter','digest of scatter','{"name": "scatter", "digest": "digest of scatter", "site": "sim", "kind": "task", "nodes": 1, "ntasks": 1, "words": [["true"]], "text": "", "values": [], "shell": [], "files": [], "bin": [], "env": {}, "params": {}, "container": null, "to": ["count"], "modules": ["scatter", "count", "total"], "gathers": {}, "is_gather": false, "forward": false, "output_limit": 65536, "message_limit": 1000000, "pipeline": "/nowhere", "module": 7, "run": "run-3", "results": "/results", "shared": "@FOLDER@/shared/runs/run-3/shared"}',2,0,0,0,1,0,0,0,0,'',0,'');
INSERT INTO "module" VALUES(8,3,'count','digest of count','{"name": "count", "digest": "digest of count", "site": "sim", "kind": "task", "nodes": 1, "ntasks": 1, "words": [["true"]], "text": "", "values": [], "shell": [], "files": [], "bin": [], "env": {}, "params": {}, "container": null, "to": ["total"], "modules": ["scatter", "count", "total"], "gathers": {"total": {"by": "all", "pattern": "", "sized": false}}, "is_gather": false, "forward": false, "output_limit": 65536, "message_limit": 1000000, "pipeline": "/nowhere", "module": 8, "run": "run-3", "results": "/results", "shared": "@FOLDER@/shared/runs/run-3/shared"}',6,0,0,0,2,1,2,0,0,'',0,'');
INSERT INTO "module" VALUES(9,3,'total','digest of total','{"name": "total", "digest": "digest of total", "site": "sim", "kind": "task", "nodes": 1, "ntasks": 1, "words": [["true"]], "text": "", "values": [], "shell": [], "files": [], "bin": [], "env": {}, "params": {}, "container": null, "to": [], "modules": ["scatter", "count", "total"], "gathers": {}, "is_gather": true, "forward": false, "output_limit": 65536, "message_limit": 1000000, "pipeline": "/nowhere", "module": 9, "run": "run-3", "results": "/results", "shared": "@FOLDER@/shared/runs/run-3/shared"}',1,0,0,0,0,0,0,0,0,'',0,'');
INSERT INTO "module" VALUES(10,4,'scatter','digest of scatter','{"name": "scatter", "digest": "digest of scatter", "site": "sim", "kind": "task", "nodes": 1, "ntasks": 1, "words": [["true"]], "text": "", "values": [], "shell": [], "files": [], "bin": [], "env": {}, "params": {}, "container": null, "to": ["count"], "modules": ["scatter", "count", "total"], "gathers": {}, "is_gather": false, "forward": false, "output_limit": 65536, "message_limit": 1000000, "pipeline": "/nowhere", "module": 10, "run": "run-4", "results": "/results", "shared": "@FOLDER@/shared/runs/run-4/shared"}',2,0,0,0,1,0,0,0,0,'',0,'');
INSERT INTO "module" VALUES(11,4,'count','digest of count','{"name": "count", "digest": "digest of count", "site": "sim", "kind": "task", "nodes": 1, "ntasks": 1, "words": [["true"]], "text": "", "values": [], "shell": [], "files": [], "bin": [], "env": {}, "params": {}, "container": null, "to": ["total"], "modules": ["scatter", "count", "total"], "gathers": {"total": {"by": "all", "pattern": "", "sized": false}}, "is_gather": false, "forward": false, "output_limit": 65536, "message_limit": 1000000, "pipeline": "/nowhere", "module": 11, "run": "run-4", "results": "/results", "shared": "@FOLDER@/shared/runs/run-4/shared"}',10,1,1,4,3,0,0,0,0,'',0,'');
INSERT INTO "module" VALUES(12,4,'total','digest of total','{"name": "total", "digest": "digest of total", "site": "sim", "kind": "task", "nodes": 1, "ntasks": 1, "words": [["true"]], "text": "", "values": [], "shell": [], "files": [], "bin": [], "env": {}, "params": {}, "container": null, "to": [], "modules": ["scatter", "count", "total"], "gathers": {}, "is_gather": true, "forward": false, "output_limit": 65536, "message_limit": 1000000, "pipeline": "/nowhere", "module": 12, "run": "run-4", "results": "/results", "shared": "@FOLDER@/shared/runs/run-4/shared"}',1,0,0,0,0,0,0,0,0,'',0,'');
CREATE TABLE output (
    attempt_id INTEGER PRIMARY KEY REFERENCES attempt,
    stdout     TEXT NOT NULL,
    stderr     TEXT NOT NULL,
    stdout_cut INTEGER NOT NULL,
    stderr_cut INTEGER NOT NULL
);
INSERT INTO "output" VALUES(1,'one
two, née
','',0,0);
INSERT INTO "output" VALUES(2,'','it''s \ bad',0,1);
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
INSERT INTO "part" VALUES(1,3,X'757DD64017070556678D5FEBB7649493','all',1,NULL,12,'{}','fired',14,1,0);
INSERT INTO "part" VALUES(2,6,X'757DD64017070556678D5FEBB7649493','all',1,NULL,3,'{}','fired',20,1,1);
INSERT INTO "part" VALUES(3,9,X'757DD64017070556678D5FEBB7649493','all',1,NULL,2,'{}','open',NULL,0,0);
INSERT INTO "part" VALUES(4,12,X'757DD64017070556678D5FEBB7649493','all',1,NULL,3,'{}','open',NULL,0,0);
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
INSERT INTO "pool" VALUES(1,1,'default','sim','ok','',0);
INSERT INTO "pool" VALUES(2,2,'default','sim','ok','',0);
INSERT INTO "pool" VALUES(3,3,'default','sim','ok','',0);
INSERT INTO "pool" VALUES(4,4,'default','sim','ok','',0);
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
INSERT INTO "run" VALUES(1,'run-1','SUCCEEDED','',0,'{"pipeline": {"name": "sums", "title": "", "directory": "/nowhere", "site": "sim", "params": {}, "modules": {"scatter": {"name": "scatter", "command": {"words": [["true"]], "text": "", "values": [], "shell": []}, "to": ["count"], "pool": "default", "image": null, "stored": null, "container": {"reuse": "agent", "runtime": "", "args": []}, "binds": [], "kind": "task", "seed": null, "resources": {"cpus": 1, "memory_mib": 1000, "gpus": 0, "scratch_mib": 0, "time_s": 60.0, "nodes": 1, "ntasks": 1}, "retry": [], "gather": null, "env": {}, "files": [], "repeat": "refuse", "output_limit_bytes": 65536, "forward": false, "digest": "digest of scatter"}, "count": {"name": "count", "command": {"words": [["true"]], "text": "", "values": [], "shell": []}, "to": ["total"], "pool": "default", "image": null, "stored": null, "container": {"reuse": "agent", "runtime": "", "args": []}, "binds": [], "kind": "task", "seed": null, "resources": {"cpus": 1, "memory_mib": 1000, "gpus": 0, "scratch_mib": 0, "time_s": 60.0, "nodes": 1, "ntasks": 1}, "retry": [], "gather": null, "env": {}, "files": [], "repeat": "refuse", "output_limit_bytes": 65536, "forward": false, "digest": "digest of count"}, "total": {"name": "total", "command": {"words": [["true"]], "text": "", "values": [], "shell": []}, "to": [], "pool": "default", "image": null, "stored": null, "container": {"reuse": "agent", "runtime": "", "args": []}, "binds": [], "kind": "task", "seed": null, "resources": {"cpus": 1, "memory_mib": 1000, "gpus": 0, "scratch_mib": 0, "time_s": 60.0, "nodes": 1, "ntasks": 1}, "retry": [], "gather": {"by": "all", "pattern": "", "size": null, "missing": "fail"}, "env": {}, "files": [], "repeat": "refuse", "output_limit_bytes": 65536, "forward": false, "digest": "digest of total"}}, "pools": {"default": {"name": "default", "site": "sim", "machine": null, "slots": 4, "walltime_s": 7200.0, "idle_s": 5.0}}, "bin": [], "file": ""}, "sites": {"sim": {"site": {"name": "sim", "batch": "slurm_cli", "python": "python3", "prologue": [], "env": {}, "shared": null, "scratch": null, "images": null, "advertise": [], "ports": null, "interval_s": 5.0, "lost_after_s": 120.0, "limits": {"elements": null, "array_size": null, "submissions_per_minute": 10}, "containers": {"runtime": "", "binds": [], "args": [], "local_copy": "no"}, "machines": {"cpu": {"name": "cpu", "cpus": 2, "memory_mib": 4096, "gpus": 0, "partition": null, "account": null, "qos": null, "constraint": null, "exclusive": false, "sbatch": [], "default": true}}}, "launch": {"home": "0123456789abcdef", "shared": "@FOLDER@/shared", "python": "python3", "prologue": [], "scratch": null}, "array_limit": 1001, "cpus": null, "memory_mib": null}}, "shared": {"sim": "@FOLDER@/shared/runs/run-1/shared"}}','sim','/results','@FOLDER@/run-1.1.jsonl',-1,1,1800001000000000,1800001000000000,1800001009370000);
INSERT INTO "run" VALUES(2,'run-2','FAILED','',0,'{"pipeline": {"name": "sums", "title": "", "directory": "/nowhere", "site": "sim", "params": {}, "modules": {"scatter": {"name": "scatter", "command": {"words": [["true"]], "text": "", "values": [], "shell": []}, "to": ["count"], "pool": "default", "image": null, "stored": null, "container": {"reuse": "agent", "runtime": "", "args": []}, "binds": [], "kind": "task", "seed": null, "resources": {"cpus": 1, "memory_mib": 1000, "gpus": 0, "scratch_mib": 0, "time_s": 60.0, "nodes": 1, "ntasks": 1}, "retry": [], "gather": null, "env": {}, "files": [], "repeat": "refuse", "output_limit_bytes": 65536, "forward": false, "digest": "digest of scatter"}, "count": {"name": "count", "command": {"words": [["true"]], "text": "", "values": [], "shell": []}, "to": ["total"], "pool": "default", "image": null, "stored": null, "container": {"reuse": "agent", "runtime": "", "args": []}, "binds": [], "kind": "task", "seed": null, "resources": {"cpus": 1, "memory_mib": 1000, "gpus": 0, "scratch_mib": 0, "time_s": 60.0, "nodes": 1, "ntasks": 1}, "retry": [{"on": ["exit"], "retries": 2, "delay_s": 1.0, "backoff": 1.0, "memory_factor": 1.0}], "gather": null, "env": {}, "files": [], "repeat": "refuse", "output_limit_bytes": 65536, "forward": false, "digest": "digest of count"}, "total": {"name": "total", "command": {"words": [["true"]], "text": "", "values": [], "shell": []}, "to": [], "pool": "default", "image": null, "stored": null, "container": {"reuse": "agent", "runtime": "", "args": []}, "binds": [], "kind": "task", "seed": null, "resources": {"cpus": 1, "memory_mib": 1000, "gpus": 0, "scratch_mib": 0, "time_s": 60.0, "nodes": 1, "ntasks": 1}, "retry": [], "gather": {"by": "all", "pattern": "", "size": null, "missing": "fail"}, "env": {}, "files": [], "repeat": "refuse", "output_limit_bytes": 65536, "forward": false, "digest": "digest of total"}}, "pools": {"default": {"name": "default", "site": "sim", "machine": null, "slots": 4, "walltime_s": 7200.0, "idle_s": 5.0}}, "bin": [], "file": ""}, "sites": {"sim": {"site": {"name": "sim", "batch": "slurm_cli", "python": "python3", "prologue": [], "env": {}, "shared": null, "scratch": null, "images": null, "advertise": [], "ports": null, "interval_s": 5.0, "lost_after_s": 120.0, "limits": {"elements": null, "array_size": null, "submissions_per_minute": 10}, "containers": {"runtime": "", "binds": [], "args": [], "local_copy": "no"}, "machines": {"cpu": {"name": "cpu", "cpus": 2, "memory_mib": 4096, "gpus": 0, "partition": null, "account": null, "qos": null, "constraint": null, "exclusive": false, "sbatch": [], "default": true}}}, "launch": {"home": "0123456789abcdef", "shared": "@FOLDER@/shared", "python": "python3", "prologue": [], "scratch": null}, "array_limit": 1001, "cpus": null, "memory_mib": null}}, "shared": {"sim": "@FOLDER@/shared/runs/run-2/shared"}}','sim','/results','@FOLDER@/run-2.2.jsonl',-1,2,1800001010000000,1800001010000000,1800001017011003);
INSERT INTO "run" VALUES(3,'run-3','CANCELLED','',0,'{"pipeline": {"name": "sums", "title": "", "directory": "/nowhere", "site": "sim", "params": {}, "modules": {"scatter": {"name": "scatter", "command": {"words": [["true"]], "text": "", "values": [], "shell": []}, "to": ["count"], "pool": "default", "image": null, "stored": null, "container": {"reuse": "agent", "runtime": "", "args": []}, "binds": [], "kind": "task", "seed": null, "resources": {"cpus": 1, "memory_mib": 1000, "gpus": 0, "scratch_mib": 0, "time_s": 60.0, "nodes": 1, "ntasks": 1}, "retry": [], "gather": null, "env": {}, "files": [], "repeat": "refuse", "output_limit_bytes": 65536, "forward": false, "digest": "digest of scatter"}, "count": {"name": "count", "command": {"words": [["true"]], "text": "", "values": [], "shell": []}, "to": ["total"], "pool": "default", "image": null, "stored": null, "container": {"reuse": "agent", "runtime": "", "args": []}, "binds": [], "kind": "task", "seed": null, "resources": {"cpus": 1, "memory_mib": 1000, "gpus": 0, "scratch_mib": 0, "time_s": 60.0, "nodes": 1, "ntasks": 1}, "retry": [], "gather": null, "env": {}, "files": [], "repeat": "refuse", "output_limit_bytes": 65536, "forward": false, "digest": "digest of count"}, "total": {"name": "total", "command": {"words": [["true"]], "text": "", "values": [], "shell": []}, "to": [], "pool": "default", "image": null, "stored": null, "container": {"reuse": "agent", "runtime": "", "args": []}, "binds": [], "kind": "task", "seed": null, "resources": {"cpus": 1, "memory_mib": 1000, "gpus": 0, "scratch_mib": 0, "time_s": 60.0, "nodes": 1, "ntasks": 1}, "retry": [], "gather": {"by": "all", "pattern": "", "size": null, "missing": "run"}, "env": {}, "files": [], "repeat": "refuse", "output_limit_bytes": 65536, "forward": false, "digest": "digest of total"}}, "pools": {"default": {"name": "default", "site": "sim", "machine": null, "slots": 4, "walltime_s": 7200.0, "idle_s": 5.0}}, "bin": [], "file": ""}, "sites": {"sim": {"site": {"name": "sim", "batch": "slurm_cli", "python": "python3", "prologue": [], "env": {}, "shared": null, "scratch": null, "images": null, "advertise": [], "ports": null, "interval_s": 5.0, "lost_after_s": 120.0, "limits": {"elements": null, "array_size": null, "submissions_per_minute": 10}, "containers": {"runtime": "", "binds": [], "args": [], "local_copy": "no"}, "machines": {"cpu": {"name": "cpu", "cpus": 2, "memory_mib": 4096, "gpus": 0, "partition": null, "account": null, "qos": null, "constraint": null, "exclusive": false, "sbatch": [], "default": true}}}, "launch": {"home": "0123456789abcdef", "shared": "@FOLDER@/shared", "python": "python3", "prologue": [], "scratch": null}, "array_limit": 1001, "cpus": null, "memory_mib": null}}, "shared": {"sim": "@FOLDER@/shared/runs/run-3/shared"}}','sim','/results','@FOLDER@/run-3.3.jsonl',-1,1,1800001020000000,1800001020000000,1800001024090000);
INSERT INTO "run" VALUES(4,'run-4','RUNNING','',0,'{"pipeline": {"name": "sums", "title": "", "directory": "/nowhere", "site": "sim", "params": {}, "modules": {"scatter": {"name": "scatter", "command": {"words": [["true"]], "text": "", "values": [], "shell": []}, "to": ["count"], "pool": "default", "image": null, "stored": null, "container": {"reuse": "agent", "runtime": "", "args": []}, "binds": [], "kind": "task", "seed": null, "resources": {"cpus": 1, "memory_mib": 1000, "gpus": 0, "scratch_mib": 0, "time_s": 60.0, "nodes": 1, "ntasks": 1}, "retry": [], "gather": null, "env": {}, "files": [], "repeat": "refuse", "output_limit_bytes": 65536, "forward": false, "digest": "digest of scatter"}, "count": {"name": "count", "command": {"words": [["true"]], "text": "", "values": [], "shell": []}, "to": ["total"], "pool": "default", "image": null, "stored": null, "container": {"reuse": "agent", "runtime": "", "args": []}, "binds": [], "kind": "task", "seed": null, "resources": {"cpus": 1, "memory_mib": 1000, "gpus": 0, "scratch_mib": 0, "time_s": 60.0, "nodes": 1, "ntasks": 1}, "retry": [{"on": ["exit"], "retries": 2, "delay_s": 1.0, "backoff": 1.0, "memory_factor": 1.0}], "gather": null, "env": {}, "files": [], "repeat": "refuse", "output_limit_bytes": 65536, "forward": false, "digest": "digest of count"}, "total": {"name": "total", "command": {"words": [["true"]], "text": "", "values": [], "shell": []}, "to": [], "pool": "default", "image": null, "stored": null, "container": {"reuse": "agent", "runtime": "", "args": []}, "binds": [], "kind": "task", "seed": null, "resources": {"cpus": 1, "memory_mib": 1000, "gpus": 0, "scratch_mib": 0, "time_s": 60.0, "nodes": 1, "ntasks": 1}, "retry": [], "gather": {"by": "all", "pattern": "", "size": null, "missing": "fail"}, "env": {}, "files": [], "repeat": "refuse", "output_limit_bytes": 65536, "forward": false, "digest": "digest of total"}}, "pools": {"default": {"name": "default", "site": "sim", "machine": null, "slots": 4, "walltime_s": 7200.0, "idle_s": 5.0}}, "bin": [], "file": ""}, "sites": {"sim": {"site": {"name": "sim", "batch": "slurm_cli", "python": "python3", "prologue": [], "env": {}, "shared": null, "scratch": null, "images": null, "advertise": [], "ports": null, "interval_s": 5.0, "lost_after_s": 120.0, "limits": {"elements": null, "array_size": null, "submissions_per_minute": 10}, "containers": {"runtime": "", "binds": [], "args": [], "local_copy": "no"}, "machines": {"cpu": {"name": "cpu", "cpus": 2, "memory_mib": 4096, "gpus": 0, "partition": null, "account": null, "qos": null, "constraint": null, "exclusive": false, "sbatch": [], "default": true}}}, "launch": {"home": "0123456789abcdef", "shared": "@FOLDER@/shared", "python": "python3", "prologue": [], "scratch": null}, "array_limit": 1001, "cpus": null, "memory_mib": null}}, "shared": {"sim": "@FOLDER@/shared/runs/run-4/shared"}}','sim','/results','@FOLDER@/run-4.4.jsonl',-1,1,1800001025000000,1800001025000000,NULL);
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
INSERT INTO "task" VALUES(1,1,1,'SUCCEEDED','',1,X'68F978FE50ACA8EE91E0E1F94618C62F',1800001000000000,'00000001',1,1800001001030000,NULL,0,1,1,'',NULL,1800001000000000);
INSERT INTO "task" VALUES(2,2,1,'SUCCEEDED','',2,X'CEA3878A334B240469D159FF840B6434',1800001002130000,'00000001',1,1800001002130000,NULL,0,1,1,'',NULL,1800001002130000);
INSERT INTO "task" VALUES(3,2,2,'SUCCEEDED','',3,X'4129E2A8044A57CE7635FD6023661CD6',1800001002130000,'00000001',1,1800001002130000,NULL,0,1,1,'',NULL,1800001002130000);
INSERT INTO "task" VALUES(4,2,3,'SUCCEEDED','',4,X'C3585B60B755FB13E6E65A16D20F1230',1800001002130000,'00000001',1,1800001003150000,NULL,0,1,1,'',NULL,1800001002130000);
INSERT INTO "task" VALUES(5,2,4,'SUCCEEDED','',5,X'C33CEDCE35493FC82DFAD8EE5206E23E',1800001002130000,'00000001',1,1800001003150000,NULL,0,1,1,'',NULL,1800001002130000);
INSERT INTO "task" VALUES(6,2,5,'SUCCEEDED','',6,X'6152BC863269F1D04B4D21185D6BB25E',1800001002130000,'00000001',1,1800001003170000,NULL,0,1,1,'',NULL,1800001002130000);
INSERT INTO "task" VALUES(7,2,6,'SUCCEEDED','',7,X'D4C0473FECA7A8DA3A323D15BA6ED8A1',1800001002130000,'00000001',1,1800001004170000,NULL,0,1,1,'',NULL,1800001002130000);
INSERT INTO "task" VALUES(8,2,7,'SUCCEEDED','',8,X'9E287F590D2DCBBF387BFB70928E621D',1800001002130000,'00000001',1,1800001004190000,NULL,0,1,1,'',NULL,1800001002130000);
INSERT INTO "task" VALUES(9,2,8,'SUCCEEDED','',9,X'96E23F7B90AC8163D14936FBAB23CB64',1800001002130000,'00000001',1,1800001005170000,NULL,0,1,1,'',NULL,1800001002130000);
INSERT INTO "task" VALUES(10,2,9,'SUCCEEDED','',10,X'C71C3E57D858543B15064B65D8C7E8C8',1800001002130000,'00000001',1,1800001005190000,NULL,0,1,1,'',NULL,1800001002130000);
INSERT INTO "task" VALUES(11,2,10,'SUCCEEDED','',11,X'6AA2BADA80CED406B77991CBB7C8CC3E',1800001002130000,'00000001',1,1800001006170000,NULL,0,1,1,'',NULL,1800001002130000);
INSERT INTO "task" VALUES(12,2,11,'SUCCEEDED','',12,X'E6B4F544E1E6A0B584960A7923FCB2E6',1800001002130000,'00000001',1,1800001006190000,NULL,0,1,1,'',NULL,1800001002130000);
INSERT INTO "task" VALUES(13,2,12,'SUCCEEDED','',13,X'68F978FE50ACA8EE91E0E1F94618C62F',1800001002130000,'00000001',1,1800001007170000,NULL,0,1,1,'',NULL,1800001002130000);
INSERT INTO "task" VALUES(14,3,1,'SUCCEEDED','',26,NULL,1800001008190000,'00000001',1,1800001008190000,NULL,0,1,1,'',NULL,1800001008190000);
INSERT INTO "task" VALUES(15,4,1,'SUCCEEDED','',27,X'C33CEDCE35493FC82DFAD8EE5206E23E',1800001010000000,'00000001',1,1800001011030000,NULL,0,1,1,'',NULL,1800001010000000);
INSERT INTO "task" VALUES(16,5,1,'SUCCEEDED','',29,X'CEA3878A334B240469D159FF840B6434',1800001012050000,'00000001',1,1800001012050000,NULL,0,1,1,'',NULL,1800001012050000);
INSERT INTO "task" VALUES(17,5,2,'FAILED','exit',30,X'4129E2A8044A57CE7635FD6023661CD6',1800001015991003,'00000001',3,1800001015991003,NULL,0,3,1,'{"0": 2}',NULL,1800001012050000);
INSERT INTO "task" VALUES(18,5,3,'SUCCEEDED','',31,X'C3585B60B755FB13E6E65A16D20F1230',1800001012050000,'00000001',1,1800001013070000,NULL,0,1,1,'',NULL,1800001012050000);
INSERT INTO "task" VALUES(19,5,4,'SUCCEEDED','',32,X'C33CEDCE35493FC82DFAD8EE5206E23E',1800001012050000,'00000001',1,1800001013070000,NULL,0,1,1,'',NULL,1800001012050000);
INSERT INTO "task" VALUES(20,6,1,'FAILED','incomplete',36,NULL,1800001017011003,'',0,NULL,NULL,0,0,1,'',NULL,1800001017011003);
INSERT INTO "task" VALUES(21,7,1,'SUCCEEDED','',37,X'6152BC863269F1D04B4D21185D6BB25E',1800001020000000,'00000001',1,1800001021030000,NULL,0,1,1,'',NULL,1800001020000000);
INSERT INTO "task" VALUES(22,8,1,'SUCCEEDED','',38,X'CEA3878A334B240469D159FF840B6434',1800001022050000,'00000001',1,1800001022050000,NULL,0,1,1,'',NULL,1800001022050000);
INSERT INTO "task" VALUES(23,8,2,'FAILED','exit',39,X'4129E2A8044A57CE7635FD6023661CD6',1800001022050000,'00000001',1,1800001022050000,NULL,0,1,1,'',NULL,1800001022050000);
INSERT INTO "task" VALUES(24,8,3,'SUCCEEDED','',40,X'C3585B60B755FB13E6E65A16D20F1230',1800001022050000,'00000001',1,1800001023070000,NULL,0,1,1,'',NULL,1800001022050000);
INSERT INTO "task" VALUES(25,8,4,'CANCELLED','cancelled',41,X'C33CEDCE35493FC82DFAD8EE5206E23E',1800001022050000,'00000001',2,1800001023070000,NULL,0,1,1,'',NULL,1800001022050000);
INSERT INTO "task" VALUES(26,8,5,'CANCELLED','cancelled',42,X'6152BC863269F1D04B4D21185D6BB25E',1800001022050000,'00000001',2,1800001023080000,NULL,0,1,1,'',NULL,1800001022050000);
INSERT INTO "task" VALUES(27,10,1,'SUCCEEDED','',45,X'C71C3E57D858543B15064B65D8C7E8C8',1800001025000000,'00000001',1,1800001026030000,NULL,0,1,1,'',NULL,1800001025000000);
INSERT INTO "task" VALUES(28,11,1,'SUCCEEDED','',46,X'CEA3878A334B240469D159FF840B6434',1800001027110000,'00000001',1,1800001027110000,NULL,0,1,1,'',NULL,1800001027110000);
INSERT INTO "task" VALUES(29,11,2,'SUCCEEDED','',47,X'4129E2A8044A57CE7635FD6023661CD6',1800001027110000,'00000001',1,1800001027110000,NULL,0,1,1,'',NULL,1800001027110000);
INSERT INTO "task" VALUES(30,11,3,'READY','',48,X'C3585B60B755FB13E6E65A16D20F1230',1800001030277215,'00000001',1,1800001028130000,NULL,0,1,1,'{"0": 1}',NULL,1800001027110000);
INSERT INTO "task" VALUES(31,11,4,'SUCCEEDED','',49,X'C33CEDCE35493FC82DFAD8EE5206E23E',1800001027110000,'00000001',1,1800001028130000,NULL,0,1,1,'',NULL,1800001027110000);
INSERT INTO "task" VALUES(32,11,5,'RUNNING','',50,X'6152BC863269F1D04B4D21185D6BB25E',1800001027110000,'00000001',1,1800001028150000,6,0,0,1,'',NULL,1800001027110000);
INSERT INTO "task" VALUES(33,11,6,'RUNNING','',51,X'D4C0473FECA7A8DA3A323D15BA6ED8A1',1800001027110000,'00000001',1,1800001028330000,7,0,0,1,'',NULL,1800001027110000);
INSERT INTO "task" VALUES(34,11,7,'RUNNING','',52,X'9E287F590D2DCBBF387BFB70928E621D',1800001027110000,'00000001',1,1800001028330000,7,0,0,1,'',NULL,1800001027110000);
INSERT INTO "task" VALUES(35,11,8,'RUNNING','',53,X'96E23F7B90AC8163D14936FBAB23CB64',1800001027110000,'00000001',1,1800001029150000,6,0,0,1,'',NULL,1800001027110000);
INSERT INTO "task" VALUES(36,11,9,'LEASED','',54,X'C71C3E57D858543B15064B65D8C7E8C8',1800001027110000,'00000001',1,1800001029170000,6,0,0,1,'',NULL,1800001027110000);
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
INSERT INTO "try" VALUES(1,1,1,'sbx-run-1-default.0123456789abcdef.00000001.1.1','ENDED','1000','',1,1800001000000000);
INSERT INTO "try" VALUES(2,2,1,'sbx-run-2-default.0123456789abcdef.00000001.2.1','ENDED','1001','',1,1800001010000000);
INSERT INTO "try" VALUES(3,3,1,'sbx-run-2-default.0123456789abcdef.00000001.3.1','ENDED','1002','',1,1800001012050000);
INSERT INTO "try" VALUES(4,4,1,'sbx-run-3-default.0123456789abcdef.00000001.4.1','ENDED','1003','',1,1800001020000000);
INSERT INTO "try" VALUES(5,5,1,'sbx-run-3-default.0123456789abcdef.00000001.5.1','ENDED','1004','',1,1800001022050000);
INSERT INTO "try" VALUES(6,6,1,'sbx-run-4-default.0123456789abcdef.00000001.6.1','ACTIVE','1005','',1,1800001025000000);
INSERT INTO "try" VALUES(7,7,1,'sbx-run-4-default.0123456789abcdef.00000001.7.1','ACTIVE','1006','',1,1800001027300000);
CREATE INDEX allocation_open ON allocation (pool_id) WHERE ended_us IS NULL;
CREATE INDEX try_live ON try (state) WHERE state NOT IN ('ENDED', 'REFUSED');
CREATE INDEX agent_live ON agent (try_id, element) WHERE ended_us IS NULL;
CREATE UNIQUE INDEX task_n ON task (module_id, n);
CREATE UNIQUE INDEX task_key ON task (module_id, key_digest) WHERE key_digest IS NOT NULL;
CREATE INDEX task_ready ON task (module_id, ready_us) WHERE state = 'READY';
CREATE INDEX task_held ON task (agent_id) WHERE agent_id IS NOT NULL;
CREATE INDEX task_bad ON task (module_id, n) WHERE state IN ('FAILED', 'CANCELLED');
CREATE UNIQUE INDEX message_sender ON message (sender, position) WHERE sender > 0;
CREATE INDEX message_part ON message (part_id) WHERE part_id IS NOT NULL;
CREATE INDEX part_waiting ON part (module_id) WHERE state <> 'fired';
CREATE INDEX chunk_waiting ON chunk (attempt_id, seq, slice) WHERE attempt_id IS NOT NULL;
CREATE UNIQUE INDEX attempt_lease ON attempt (task_id, lease_epoch, lease_n);
CREATE INDEX attempt_run ON attempt (run_id, attempt_id);
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
CREATE VIEW task_seen AS
SELECT t.task_id, mo.run_id, mo.name AS module, t.n, t.state, t.cause, m.body, m.headers, m.inherited, t.attempts,
       t.lease_epoch, t.lease_n, t.ready_us, t.created_us, g.incarnation, t.generation
  FROM task AS t
  JOIN module AS mo ON mo.module_id = t.module_id
  JOIN message AS m USING (message_id)
  LEFT JOIN agent AS g ON g.agent_id = t.agent_id;
COMMIT;
PRAGMA user_version = 1;
