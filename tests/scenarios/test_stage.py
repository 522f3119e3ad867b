"""Files that go with messages between two sites of this machine, whose shared folders are apart."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.lab import Lab

UPPER = """
sbx = 1
[pipeline]
name = "stage"
[modules.make]
run = ["./make.sh", "{body}"]
seed = ["one", "two", "three"]
to = ["upper"]
[modules.upper]
site = "b"
run = ["./upper.sh"]
stage = { in = ["{body}", "{headers.also}"], out = ["*.up", "deep/**/*.txt"] }
to = ["join"]
[modules.join]
run = "cat {members} > $SBX_RESULTS/members.jsonl; sort $(cat {bodies}) > $SBX_RESULTS/all.txt"
gather = { by = "all" }
"""

MAKE = r"""#!/bin/bash
set -eu
echo "$1" > "$SBX_SHARED/$1.txt"
echo also > "$SBX_SHARED/also-$1"
h="{\"also\": \"$SBX_SHARED/also-$1\", \"_name\": \"$1\", \"sbx_key\": \"key-$1\"}"
echo "$SBX_SHARED/$1.txt,$h" > messages.txt
"""

SEES = r"""#!/bin/bash
set -eu
[ "$SBX_STAGED" = "$SBX_HEADER__NAME.txt
also-$SBX_HEADER__NAME" ]
[ -L "$SBX_HEADER__NAME.txt" ]
[ "${SBX_BODY##*/}" = "$SBX_HEADER__NAME.txt" ]
[[ "$SBX_HEADERS" != *sbx_staged* ]]
cat $SBX_STAGED | tr a-z A-Z > "$SBX_HEADER__NAME.up"
mkdir -p deep/er; echo "$SBX_SITE" > deep/er/site.txt
echo "$SBX_HEADER__NAME.up,{\"site\": \"deep/er/site.txt\", \"kept\": \"$SBX_HEADER_ALSO\"}" > messages.txt
"""


@pytest.fixture
def two(lab: Lab) -> Lab:
    """A lab with a site b beside its own, which has a shared folder of its own."""
    lab.file("site-configs/b.toml", f'batch = "local"\n[paths]\nshared = "{lab.directory}/at-b"\n')
    return lab


def shared(lab: Lab) -> Path:
    """The directory of the newest run at b."""
    (found,) = (lab.directory / "at-b").glob(f"sbx-*/runs/{lab.status()['run']}/shared")
    return found


def members(lab: Lab) -> list[dict[str, Any]]:
    """What came to `join`, by name."""
    lines = map(json.loads, lab.result("members.jsonl").splitlines())
    return sorted(lines, key=lambda each: each["headers"]["_name"])


def told(lab: Lab) -> list[tuple[str, str, str, list[str], str]]:
    """The same in short: contents instead of paths where files have other places in each run."""
    return [
        (
            each["headers"]["_name"],
            Path(each["body"]).read_text(),
            Path(each["headers"]["site"]).name,
            sorted(Path(path).name for path in json.loads(each["headers"]["sbx_files"])),
            Path(each["headers"]["kept"]).name,
        )
        for each in members(lab)
    ]


def test_a_module_at_another_site_gets_its_files_and_sends_its_own_home(two: Lab) -> None:
    two.pipeline(UPPER, make_sh=MAKE, upper_sh=SEES)
    two.run()
    elsewhere = told(two)
    assert two.result("all.txt").split() == ["ALSO", "ALSO", "ALSO", "ONE", "THREE", "TWO"]
    modules = {each["module"] for each in two.status()["modules"]}
    assert modules == {"make", "upper-in", "upper", "upper-out", "join"}
    for each in members(two):
        assert Path(each["body"]).parent.parent == two.results()
        assert Path(each["headers"]["site"]).read_text() == "b\n"
    keys = {row["key"] for row in csv.DictReader(io.StringIO(two.csv())) if row["module"] == "upper"}
    assert keys == {"key-one", "key-two", "key-three"}
    two.pipeline(UPPER.replace('site = "b"\n', ""), make_sh=MAKE, upper_sh=SEES)
    two.run()
    assert {each["module"] for each in two.status()["modules"]} == {"make", "upper", "join"}
    assert told(two) == elsewhere, "where a module runs changes nothing else"


FAILING = """
sbx = 1
[pipeline]
name = "fails"
[modules.upper]
site = "b"
run = ["./upper.sh"]
seed = ["good.in", "bad.in", "torn.in", "missing.in"]
stage = { in = ["{body}"], out = ["*.up"] }
retry = [{ on = 7, retries = 1 }, { on = "output", retries = 1 }]
to = ["join"]
[modules.join]
run = "cat {bodies} > $SBX_RESULTS/bodies.txt; cat $SBX_MISSING > $SBX_RESULTS/missing.jsonl"
gather = { by = "all", missing = "run" }
"""

MAY_FAIL = r"""#!/bin/bash
set -eu
cp "$SBX_STAGED" "${SBX_STAGED%.in}.up"
case "$SBX_STAGED" in
  bad.in) [ -e "$SBX_PIPELINE/mended" ] || exit 7 ;;
  torn.in) [ "$SBX_ATTEMPT" != 1 ] || rm torn.up ;;
esac
echo "${SBX_STAGED%.in}.up" > messages.txt
"""


def test_what_fails_sends_nothing_home_and_keeps_its_files_for_another_try(two: Lab) -> None:
    two.pipeline(FAILING, upper_sh=MAY_FAIL, good_in="good", bad_in="bad", torn_in="torn")
    two.run(exit_code=1)
    assert sorted(Path(body).name for body in two.result("bodies.txt").split()) == ["good.up", "torn.up"]
    missing = [json.loads(line) for line in two.result("missing.jsonl").splitlines()]
    assert {(each["module"], each["body"]) for each in missing} == {
        ("upper-in", "missing.in"),
        ("upper", "bad.in"),
    }
    attempts = {(row["module"], row["body"], row["outcome"]) for row in two.rows()}
    assert {
        ("upper", "bad.in", "FAILED"),
        ("upper", "torn.in", "FAILED"),
        ("upper", "torn.in", "SUCCEEDED"),
    } < attempts
    (lost,) = [row for row in two.rows() if row["body"] == "missing.in"]
    assert "missing.in" in lost["stderr"]
    at_b = shared(two)
    staged = "staged files to be removed"
    two.wait(lambda: [each.name for each in at_b.glob("stage/*/*")] == ["bad.in"], 20, staged)
    assert [path for path in at_b.rglob("*") if path.is_file() and "stage-out" in path.parts] == []
    two.file("mended", "")
    two.file("missing.in", "found")
    assert two.sbx("retry").exit_code == 0
    assert two.wait_for_end()["state"] == "SUCCEEDED"
    names = sorted(Path(body).name for body in two.result("bodies.txt").split())
    assert names == ["bad.up", "good.up", "missing.up", "torn.up"]
    assert sorted(path.name for path in two.results().glob("upper.*/*")) == names


MANY = """
sbx = 1
[pipeline]
name = "many"
[modules.upper]
site = "b"
run = 'sleep 0.1; tr a-z A-Z < "$SBX_STAGED" > out.up; echo out.up > messages.txt'
seed = { glob = "in/*" }
stage = { in = ["{body}"], out = ["out.up"] }
to = ["join"]
[modules.join]
run = "sort $(cat {bodies}) > $SBX_RESULTS/all.txt"
gather = { by = "all" }
"""


def test_a_killed_daemon_and_killed_agents_lose_and_double_no_file(two: Lab) -> None:
    count = 24
    two.pipeline(MANY)
    for number in range(count):
        two.file(f"in/{number:02}", f"file {number:02}\n")
    two.sbx("run", "pipeline.toml", "--detach")
    two.wait(lambda: two.module("upper-out")["succeeded"] >= 2, 60, "the first results")
    two.kill_daemon()
    two.sbx("daemon", "start")
    two.wait(lambda: two.module("upper-out")["succeeded"] >= 4, 60, "more results")
    two.kill_all()
    two.sbx("daemon", "start")
    assert two.wait_for_end()["state"] == "SUCCEEDED"
    assert two.result("all.txt").splitlines() == [f"FILE {number:02}" for number in range(count)]
    assert two.module("upper")["succeeded"] == two.module("upper-out")["succeeded"] == count


AGAIN = """
sbx = 1
[pipeline]
name = "again"
[modules.source]
run = "[ {body} = 1 ] || [ -e $SBX_PIPELINE/mended ]; echo {body} > messages.txt"
seed = ["1", "2"]
to = ["count"]
[modules.count]
site = "b"
gather = { by = "all", missing = "run" }
run = "wc -l < {bodies} > count.txt; echo count.txt > messages.txt"
stage = { out = ["count.txt"] }
to = ["total"]
[modules.total]
gather = { by = "all", missing = "run" }
run = "cat $(cat {bodies}) > $SBX_RESULTS/total.txt"
"""


def test_what_a_gather_elsewhere_leaves_once_more_takes_the_place_of_the_former(two: Lab) -> None:
    two.pipeline(AGAIN)
    two.run(exit_code=1)
    assert two.result("total.txt") == "1\n"
    two.file("mended", "")
    assert two.sbx("retry").exit_code == 0
    assert two.wait_for_end()["state"] == "SUCCEEDED"
    assert two.result("total.txt") == "2\n"
    assert [task["task"] for task in two.tasks("count-out")] == ["count-out.1"]


REPEAT = """
sbx = 1
[pipeline]
name = "repeat"
[pools.transfers]
slots = 1
[modules.source]
run = ["cp", "sends.jsonl", "messages.jsonl"]
files = ["sends.jsonl"]
seed = ["go"]
to = ["sink"]
[modules.sink]
site = "b"
run = ["cat", "file"]
stage = { in = ["{headers.v}/file"] }
repeat = "REPEAT"
"""


@pytest.mark.parametrize(
    ("repeat", "states", "ignored"),
    [
        ("ignore", {"SUCCEEDED": 1}, 2),
        ("refuse", {"SUCCEEDED": 1, "FAILED": 1}, 1),
        ("again", {"SUCCEEDED": 3}, 0),
    ],
)
def test_a_repeated_key_means_what_it_means_without_a_transfer(
    two: Lab, repeat: str, states: dict[str, int], ignored: int
) -> None:
    two.pipeline(REPEAT.replace("REPEAT", repeat))
    sent = [json.dumps({"body": "a", "headers": {"v": str(two.directory / v)}}) + "\n" for v in "121"]
    two.file("sends.jsonl", "".join(sent))
    for v in "12":
        two.file(f"{v}/file", v)
    two.run(exit_code=int("FAILED" in states))
    assert two.states("sink") == states
    assert two.module("sink")["ignored"] == ignored
    assert two.states("sink-in") == {"SUCCEEDED": 3}


MUTE = """
sbx = 1
[pipeline]
name = "mute"
[modules.direct]
run = "touch $SBX_PIPELINE/results/$SBX_RUN/count.1; printf 'total,2\\\\ncount,x\\\\n' > messages.txt"
seed = ["go"]
to = ["total", "count"]
[modules.count]
site = "b"
gather = { by = "all" }
run = "wc -l < {bodies} > count.txt; echo 1 > messages.txt"
stage = { out = ["count.txt"] }
to = ["total"]
[modules.total]
gather = { regex = "([0-9]+)" }
run = "cat {bodies}"
"""


def test_what_did_not_come_home_may_be_missing_in_any_group(two: Lab) -> None:
    """A file lies where the results of `count.1` should go; the group of that name is not its own."""
    two.pipeline(MUTE)
    two.run(exit_code=1)
    assert two.states("count-out") == {"FAILED": 1}
    assert [(task["body"], task["cause"]) for task in two.tasks("total")] == [("2", "incomplete")]
