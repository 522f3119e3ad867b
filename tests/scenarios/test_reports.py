"""What the report holds of each attempt. S50, S51, S52, S53."""

import io
import json
import sqlite3
from contextlib import closing
from datetime import datetime

import pandas

from tests.scenarios.lab import Lab

S50 = """#!/bin/bash
set -euo pipefail
cat > task-exec.json <<'END'
{"statusCode": 0, "inputBytes": 9999, "outputBytes": 999, "userText": "looked at 42 sources",
 "timestamps": {"fourth": "2024-05-06T07:08:12Z", "fifth": "2024-05-06T07:08:13.25+00:00"}}
END
cat > timestamps.txt <<'END'
first,2024-05-06T07:08:09Z
second,2024-05-06T07:08:10.5Z
third,2024-05-06T07:08:11,125Z
END
"""


def test_s50_bytes_text_and_times_of_the_user_are_reported(lab: Lab) -> None:
    lab.pipeline(one_module('["./work.sh", "{body}"]'), work_sh=S50)
    lab.run()
    [row] = lab.rows()
    assert (row["input_bytes"], row["output_bytes"]) == ("9999", "999")
    assert row["user_text"] == "looked at 42 sources"
    times = {label: at(text) for label, text in json.loads(row["user_timestamps"]).items()}
    assert times == {
        "first": at("2024-05-06T07:08:09Z"),
        "second": at("2024-05-06T07:08:10.500Z"),
        "third": at("2024-05-06T07:08:11.125Z"),
        "fourth": at("2024-05-06T07:08:12Z"),
        "fifth": at("2024-05-06T07:08:13.250Z"),
    }


S51 = """#!/bin/bash
set -euo pipefail
cd "$SBX_SHARED"
head -c 1000 /dev/zero > in-a
head -c 200 /dev/zero > in-b
head -c 70 /dev/zero > out-a
head -c 5 /dev/zero > out-b
echo kept > bystander
cd "$SBX_WORK"
printf '%s\\n' "$SBX_SHARED/in-a" "$SBX_SHARED/in-b" > input-files.txt
printf '%s\\n' "$SBX_SHARED/out-a" "$SBX_SHARED/out-b" > output-files.txt
printf '%s\\n' "$SBX_SHARED/in-b" "$SBX_SHARED/out-b" > removed-files.txt
echo "all of them at once" > custom-out.txt
echo "done,2024-05-06T07:08:09Z" > timestamps.txt
cat > messages.txt <<'END'
one
two,{"size": 24}
right,three
right,four,{"_band": "L", "ok": true}

END
cat > messages.jsonl <<'END'
{"body": "five"}
{"to": "right", "body": "six"}
{"to": "left", "body": "left,seven", "headers": {"a": "b"}}
END
"""


def test_s51_all_interface_files_at_once(lab: Lab) -> None:
    lab.pipeline(
        one_module('["./work.sh", "{body}"]', 'to = ["left", "right"]')
        + '[modules.left]\nrun = ["echo", "{body}"]\n'
        + '[modules.right]\nrun = "ls $SBX_SHARED; : {body}"\n',
        work_sh=S51,
    )
    lab.run()
    sent = {
        (task["module"], task["body"], json.dumps(task["headers"], sort_keys=True)) for task in lab.tasks()
    }
    assert sent == {
        ("work", "go", "{}"),
        ("left", "one", "{}"),
        ("left", "two", '{"size": "24"}'),
        ("right", "three", "{}"),
        ("right", "four", '{"_band": "L", "ok": "true"}'),
        ("left", "five", "{}"),
        ("right", "six", "{}"),
        ("left", "left,seven", '{"a": "b"}'),
    }
    rows = lab.rows()
    [work] = [row for row in rows if row["module"] == "work"]
    assert (work["input_bytes"], work["output_bytes"], work["messages_sent"]) == ("1200", "75", "7")
    assert work["user_text"].strip() == "all of them at once"
    assert list(json.loads(work["user_timestamps"])) == ["done"]
    seen = {name for row in rows if row["module"] == "right" for name in row["stdout"].split()}
    assert {"in-a", "out-a", "bystander"} <= seen


def test_s51_listed_files_are_removed_and_nothing_else(lab: Lab) -> None:
    lab.pipeline(one_module('["./work.sh", "{body}"]'), work_sh=S51_RESULTS)
    lab.run()
    [row] = lab.rows()
    assert (row["input_bytes"], row["output_bytes"]) == ("30", "7")
    lab.wait(lambda: sorted(path.name for path in lab.results().iterdir()) == ["a", "c"], 30, "removal of b")


S51_RESULTS = """#!/bin/bash
set -euo pipefail
printf '%010d' 1 > "$SBX_RESULTS/a"
printf '%020d' 1 > "$SBX_RESULTS/b"
printf '%07d' 1 > "$SBX_RESULTS/c"
printf '%s\\n' "$SBX_RESULTS/a" "$SBX_RESULTS/b" > input-files.txt
echo "$SBX_RESULTS/c" > output-files.txt
echo "$SBX_RESULTS/b" > removed-files.txt
"""


def test_s52_a_failure_keeps_the_end_of_its_output_and_the_log_keeps_all(lab: Lab) -> None:
    lab.pipeline(
        one_module('["./work.sh", "{body}"]', 'output_limit = "64K"'),
        work_sh='#!/bin/bash\nfor i in $(seq -w 0 9999); do echo "line $i"; done\nexit 3\n',
    )
    lab.run(exit_code=1)
    whole = "".join(f"line {number:04d}\n" for number in range(10_000))
    [row] = lab.rows()
    assert len(row["stdout"]) == 65536
    assert row["stdout"] == whole[-65536:]
    assert row["stdout_cut"].lower() in {"true", "1"}
    assert row["stderr_cut"].lower() in {"false", "0", ""}
    log = lab.sbx("log", row["task"])
    assert log.exit_code == 0, str(log)
    assert whole in log.stdout


def test_s53_the_csv_has_a_row_for_each_attempt_and_loads_in_pandas(lab: Lab) -> None:
    bodies = ["plain", "a,b", 'say "hi"', "semi;colon 'quoted'", "naïve ☃"]
    lab.pipeline(
        one_module('["./work.sh", "{body}"]', "retry = [{ on = [5], retries = 2 }]", seed=json.dumps(bodies)),
        work_sh='#!/bin/bash\nprintf \'%s\\nsecond, "line"\\n\' "$1"\n[ "$1" != plain ] || exit 5\n',
    )
    lab.run(exit_code=1)
    frame = pandas.read_csv(io.StringIO(lab.csv()))
    assert sorted(frame["body"]) == sorted(["plain", "plain", *bodies])
    assert all(frame["stdout"] == frame["body"] + '\nsecond, "line"\n')
    assert list(frame.columns)[:12] == [
        *["run", "module", "task", "attempt", "key", "body", "headers"],
        *["outcome", "cause", "exit_code", "signal", "site"],
    ]
    assert len(frame) == attempts_in_ledger(lab)


def attempts_in_ledger(lab: Lab) -> int:
    """How many attempts the ledger holds, read once its daemon is gone."""
    assert lab.sbx("daemon", "stop").exit_code == 0
    lab.wait(lambda: not (lab.home / "daemon.json").exists(), 30, "the end of the daemon")
    with closing(sqlite3.connect(lab.home / "ledger.db")) as ledger:
        [(count,)] = ledger.execute("SELECT count(*) FROM attempt").fetchall()
    return int(count)


def one_module(run: str, more: str = "", seed: str = '["go"]') -> str:
    """A pipeline of one module called `work`."""
    return f'sbx = 1\n[pipeline]\nname = "one"\n[modules.work]\nrun = {run}\nseed = {seed}\n{more}\n'


def at(text: str) -> datetime:
    """A time from its text."""
    return datetime.fromisoformat(text)
