"""First steps: hello, primes, repeated keys. S01, S10, S12, S94."""

import json

import pytest

from tests.scenarios.lab import Lab


def test_s01_hello_prints_its_body(lab: Lab) -> None:
    lab.example("hello")
    lab.run()
    [row] = lab.rows()
    assert (row["outcome"], row["exit_code"], row["stdout"]) == ("SUCCEEDED", "0", "Hello from scalebox\n")
    assert [task["state"] for task in lab.tasks()] == ["SUCCEEDED"]


def test_s10_primes_up_to_1000_in_10_ranges(lab: Lab) -> None:
    lab.example("primes")
    lab.run("-p", "limit=1000", "-p", "step=100")
    counts = {row["body"]: int(row["stdout"]) for row in lab.rows() if row["module"] == "count"}
    in_order = [counts[body] for body in sorted(counts, key=lambda body: int(body.split()[0]))]
    assert in_order == [25, 21, 16, 16, 17, 14, 16, 14, 15, 14]
    assert lab.states("count") == {"SUCCEEDED": 10}
    assert lab.result("total.txt") == "168\n"


@pytest.mark.parametrize(("limit", "ranges", "total"), [(100_000, 10, 9592), (1_000_000, 100, 78498)])
def test_s12_primes_scatter_count_gather(lab: Lab, limit: int, ranges: int, total: int) -> None:
    lab.example("primes")
    lab.run("-p", f"limit={limit}")
    assert lab.states("count") == {"SUCCEEDED": ranges}
    assert lab.result("total.txt") == f"{total}\n"


def test_s12_primes_as_100_000_tasks(lab: Lab) -> None:
    lab.example("primes-100k")
    lab.run("--quiet", timeout_s=900.0)
    count = lab.module("count")
    assert (count["succeeded"], count["total"], count["failed"]) == (100_000, 100_000, 0)
    assert lab.result("total.txt") == "78498\n"


REPEAT = """
sbx = 1
[pipeline]
name = "repeat"
[modules.source]
run = ["cp", "sends.jsonl", "messages.jsonl"]
files = ["sends.jsonl"]
seed = ["go"]
to = ["sink"]
[modules.sink]
run = ["echo", "{body}", "{headers.v}"]
repeat = "REPEAT"
"""

# One key three times: other content, then the first content again.
SENDS = "".join(json.dumps({"body": "a", "headers": {"v": value}}) + "\n" for value in ("1", "2", "1"))


@pytest.mark.parametrize(
    ("repeat", "states", "ignored", "exit_code"),
    [
        ("ignore", {"SUCCEEDED": 1}, 2, 0),
        # The second is refused as a task that has failed; the third equals the first, which the key means.
        ("refuse", {"SUCCEEDED": 1, "FAILED": 1}, 1, 1),
        # The key means the second by then, so the third is again other content.
        ("again", {"SUCCEEDED": 3}, 0, 0),
    ],
)
def test_s94_a_repeated_key(
    lab: Lab, repeat: str, states: dict[str, int], ignored: int, exit_code: int
) -> None:
    lab.pipeline(REPEAT.replace("REPEAT", repeat))
    lab.file("sends.jsonl", SENDS)
    lab.run(exit_code=exit_code)
    assert lab.states("sink") == states
    assert lab.module("sink")["ignored"] == ignored
    assert lab.states("source") == {"SUCCEEDED": 1}


def test_s94_equal_partial_counts_sent_to_a_gather_all_count(lab: Lab) -> None:
    lab.pipeline(
        """
        sbx = 1
        [pipeline]
        name = "equal"
        [modules.count]
        run = "echo 7 > messages.txt; : {body}"
        seed = ["a", "b", "c"]
        to = ["total"]
        [modules.total]
        run = ["wc", "-l", "{bodies}"]
        gather = { by = "all" }
        """
    )
    lab.run()
    [total] = [row for row in lab.rows() if row["module"] == "total"]
    assert total["stdout"].split()[0] == "3"
