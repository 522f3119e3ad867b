"""A run of primes that a fault falls into: started, judged, and how long it took to recover, measured.

**Recovery time** is counted from the moment when the fault is over, or, where it has no length (a kill),
from the moment when it struck, to the first result that is recorded of an attempt begun after that: of a task
that had lost an attempt, where one did; else of any. Both ends are wall clock times of one machine; the
second comes from the CSV report (`leased`, `recorded`), so no polling is in it.
"""

import json
import re
from collections.abc import Callable, Set
from dataclasses import astuple, dataclass, field
from datetime import UTC, datetime

from tests.scenarios.lab import Lab, Row, attempts_of

PRIMES_BELOW_A_MILLION = 78498
PROPERTY = "recovery"
Tell = Callable[[str, object], None]  # pytest's record_property

PRIMES = """
sbx = 1
[pipeline]
name = "struck"
[pools.default]
slots = {slots}
idle = "2s"
{pool}
[modules.scatter]
run = ["python3", "scatter.py", "{{body}}", "{step}"]
seed = ["1000000"]
to = ["count"]
resources = {{ memory = "200M", time = "{time}" }}
[modules.count]
run = "{before}sleep {pause}; python3 count.py {{body}}"
to = ["total"]
resources = {{ memory = "200M", time = "{time}" }}
{count}
[modules.total]
run = ["python3", "total.py", "{{bodies}}"]
gather = {{ by = "all" }}
resources = {{ memory = "200M", time = "{time}" }}
"""
"""No rule allows a retry: a fault that spends what is the user's fails the run."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What was done to a run, and what may come of it."""

    name: str  # as the table calls it
    over_at: datetime  # when it was over, or struck, where it has no length
    causes: Set[str]  # by what attempts may have ended, besides in success
    loses: bool = True  # whether it surely ended attempts
    lost_by: Set[str] = field(default_factory=frozenset)  # causes by which some attempt surely ended


@dataclass(frozen=True, slots=True)
class Recovery:
    """How a run came back: a line of the table that the session prints at its end."""

    fault: str
    lost: int  # attempts that did not succeed
    of: str  # what the first result was of
    after_s: float


def now() -> datetime:
    """The wall clock, which box and tests share."""
    return datetime.now(UTC)


def start(
    lab: Lab,
    *args: str,
    tasks: int = 120,
    pause: str = "0.3",
    slots: int = 4,
    pool: str = "",
    count: str = "",
    before: str = "",
    time: str = "20s",
) -> None:
    """Start `tasks` ranges of primes, each of `pause` seconds and some.

    `pool`, `count`: more lines of these tables, and further tables.
    """
    lab.example("primes")
    step = -(-1_000_000 // tasks)
    words = {"slots": slots, "pool": pool, "step": step, "pause": pause, "before": before, "time": time}
    lab.pipeline(PRIMES.format(**words, count=count))
    lab.run("--detach", *args)


def until_done(lab: Lab, count: int) -> None:
    """Wait until so many ranges are counted."""
    lab.wait(lambda: lab.module("count")["succeeded"] >= count, 60, f"{count} ranges counted")


def judge(lab: Lab, fault: Fault, tell: Tell, *, deadline_s: float = 60.0) -> list[Row]:
    """Wait for the end; all is exact, explained, and given back. Returns the rows of the report."""
    status = lab.wait_for_end(deadline_s)
    assert status["state"] == "SUCCEEDED", json.dumps(status, indent=1)
    assert lab.result("total.txt") == f"{PRIMES_BELOW_A_MILLION}\n"
    rows = lab.rows()
    check_counts(rows)
    lost = [row for row in rows if row["outcome"] != "SUCCEEDED"]
    assert {row["cause"] for row in lost} <= set(fault.causes), lost
    assert {row["cause"] for row in lost} >= set(fault.lost_by), lost
    assert lost or not fault.loses, "the fault ended no attempt"
    check_explained(lab, lost)
    check_nothing_left(lab)
    recovery = measure(rows, fault)
    tell(PROPERTY, astuple(recovery))  # plain: it may go to another process
    return rows


def check_counts(rows: list[Row]) -> None:
    """Each task succeeded once, by its last attempt; the sum of what succeeded is the known one."""
    assert len({(row["task"], row["lease"]) for row in rows}) == len(rows)
    for task, attempts in attempts_of(rows).items():
        outcomes = [row["outcome"] for row in attempts]
        assert outcomes.count("SUCCEEDED") == 1, (task, attempts)
        assert outcomes[-1] == "SUCCEEDED", (task, attempts)
        assert [int(row["attempt"]) for row in attempts] == list(range(1, len(attempts) + 1)), task
    counted = [row for row in rows if row["module"] == "count" and row["outcome"] == "SUCCEEDED"]
    ranges = sorted(tuple(map(int, row["body"].split())) for row in counted)
    assert [first for first, _ in ranges] == [0, *(last for _, last in ranges[:-1])]
    assert sum(int(row["stdout"]) for row in counted) == PRIMES_BELOW_A_MILLION


def check_explained(lab: Lab, lost: list[Row]) -> None:
    """`sbx show` has a line for a lost attempt that names its cause; one task for each cause is asked."""
    for row in {row["cause"]: row for row in lost}.values():
        shown = lab.sbx("show", row["task"])
        assert shown.exit_code == 0, str(shown)
        line = re.compile(rf"^ *{row['attempt']} .*\b{row['cause']}\b", re.MULTILINE)
        assert line.search(shown.stdout), str(shown)


def check_nothing_left(lab: Lab) -> None:
    """Slurm lists nothing of this home any more, once its agents have left."""
    home = home_id(lab)

    def left() -> list[str]:
        listed = lab.shell("command -p squeue --me --noheader --array --format='%i %T %j'")
        assert listed.exit_code == 0, str(listed)
        return [line for line in listed.stdout.splitlines() if home in line]

    lab.wait(lambda: not left(), 30, "an empty queue")


def home_id(lab: Lab) -> str:
    """The id of the lab's home, which is part of every job's name."""
    return str(json.loads((lab.home / "home.json").read_text())["id"])


def measure(rows: list[Row], fault: Fault) -> Recovery:
    """The time from the fault's end to the first result of lost work begun again, or else of any work."""
    lost = [row for row in rows if row["outcome"] != "SUCCEEDED"]
    again = {row["task"] for row in lost}
    results = [
        datetime.fromisoformat(row["recorded"])
        for row in rows
        if row["outcome"] == "SUCCEEDED" and (row["task"] in again or not again)
        if datetime.fromisoformat(row["leased"]) > fault.over_at
    ]
    assert results, f"no result after {fault.over_at}: the fault came too late"
    after_s = (min(results) - fault.over_at).total_seconds()
    return Recovery(fault.name, len(lost), "lost work" if again else "any work", after_s)


def table(found: list[Recovery]) -> list[str]:
    """The recoveries of a session of tests, a line each."""
    width = max(len(each.fault) for each in found)
    head = f"{'fault':<{width}}  attempts lost  first result of  after"
    return [
        head,
        *(f"{each.fault:<{width}}  {each.lost:>13}  {each.of:<15}  {each.after_s:4.1f} s" for each in found),
    ]
