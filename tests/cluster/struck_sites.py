"""A run over two sites that a fault falls into: primes are counted at b while data is copied to it.

The compute part is started and judged as in `recovery`; here is what is particular to b and to copies.
"""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from tests.cluster.box import Site, wait_until
from tests.cluster.recovery import (
    PROPERTY,
    Fault,
    Recovery,
    Tell,
    home_id,
    judge,
    measure,
    now,
    start,
    until_done,
)
from tests.cluster.site_faults import processes, relays
from tests.cluster.trees import differences, make_tree
from tests.cluster.two_sites import TwoSites
from tests.scenarios.lab import Lab, Row

BIG_BYTES = 12 << 20
SMALL_FILES, SMALL_BYTES = 300, 8192
SLACK_BYTES = 3 << 20  # what is under way when a link breaks, and all that is no copy

FAR_POOL = """
[pools.far]
site = "b"
slots = 4
idle = "2s"
"""
FAR = """
site = "b"
pool = "far"
"""
COPY = """
[modules.copy]
use = "copy"
seed = [{sources}]
env = {{ TO = "{to}", LIMIT = "{limit}" }}
"""


@dataclass
class Copying:
    """A tree and one large file on their way from a to b."""

    two: TwoSites
    source: Path  # as the test sees it
    to: str  # the directory at b, as b names it
    sent: int = 0  # what had come to b's login host when it began

    @property
    def target(self) -> Path:
        """The directory at b, as the test sees it."""
        b = self.two.b
        if self.to.startswith("/scratch/"):
            return b.scratch / Path(self.to).relative_to("/scratch")
        return b.home / Path(self.to).relative_to(b.home_inside)

    def table(self, limit: str = "2M") -> str:
        """The module that copies, for a pipeline."""
        inside = self.two.a.inside(self.source)
        sources = ", ".join(f'"{inside}/{name}"' for name in ("tree", "big"))
        return COPY.format(sources=sources, to=f"b:{self.to}", limit=limit)

    def arrived_bytes(self) -> int:
        """What of the large file is at b, under whichever name."""
        sizes = [0]
        for path in [self.target / "big", *self.target.glob(".sbx-*/*")]:
            with suppress(FileNotFoundError):
                sizes.append(path.stat().st_size)
        return max(sizes)

    def until_arrived(self, size_bytes: int, deadline_s: float = 60.0) -> None:
        """Wait until b has more of the large file than that."""
        wait_until(lambda: self.arrived_bytes() > size_bytes, deadline_s, f"{size_bytes} bytes at b")

    def check(self) -> None:
        """All is equal byte for byte, modes and times too, and nothing else is there."""
        assert differences(self.source, self.target) == []


@contextmanager
def copying(two: TwoSites, to: str = "") -> Iterator[Copying]:
    """Something to copy, below a's /scratch; gone afterwards, at both ends."""
    name = f"struck-{uuid.uuid4().hex[:8]}"
    source = two.a.scratch / name
    tree = make_tree(source / "tree", files=SMALL_FILES, size_bytes=SMALL_BYTES)
    big = make_tree(source / "made", files=1, size_bytes=BIG_BYTES, seed=2) / "d0000" / "f000000"
    big.rename(source / "big")
    shutil.rmtree(source / "made")
    assert tree.is_dir()
    found = Copying(two, source, f"{to or '/scratch'}/{name}")
    two.b.run(two.b.login, f"mkdir {found.to}")
    found.sent = received_bytes(two.b)
    try:
        yield found
    finally:
        shutil.rmtree(source, ignore_errors=True)
        shutil.rmtree(found.target, ignore_errors=True)


def received_bytes(site: Site) -> int:
    """What has come over the login host's cable since it was booted."""
    lines = site.run(site.login, "cat /proc/net/dev").stdout.splitlines()[2:]
    return sum(int(line.split(":")[1].split()[0]) for line in lines if line.split(":")[0].strip() != "lo")


def start_both(
    lab: Lab, copies: Copying | None = None, *, tasks: int = 200, pause: str = "0.4", done: int = 12
) -> None:
    """Start primes that are counted at b, and copies to it; wait until both are in their middle."""
    more = copies.table() if copies is not None else ""
    start(lab, tasks=tasks, pause=pause, pool=FAR_POOL, count=FAR + more)
    until_done(lab, done)
    if copies is not None:
        copies.until_arrived(BIG_BYTES // 4)


def site_b(lab: Lab) -> dict[str, Any]:
    """What `sbx status` says of b."""
    return next(site for site in lab.status()["sites"] if site["site"] == "b")


def until_paused(lab: Lab, todo: str | None = None) -> dict[str, Any]:
    """Wait until it says that b is paused, and, if given, what to type; return that."""

    def paused() -> dict[str, Any]:
        found = site_b(lab)
        return found if found["state"] == "paused" and todo in (None, found["todo"]) else {}

    told = lab.wait(paused, 40, "word of the lost link")
    assert told["reason"]
    return told


def judge_both(lab: Lab, two: TwoSites, fault: Fault, tell: Tell, copies: Copying | None = None) -> list[Row]:
    """All of `judge`, and of the copies; nothing is left at b."""
    if copies is not None:
        measure_copy(copies, fault, tell)
    rows = judge(lab, fault, tell, deadline_s=60.0)
    assert {row["site"] for row in rows if row["module"] == "count"} == {"b"}
    if copies is not None:
        check_copies(copies, rows)
    check_nothing_left_at(two.b, home_id(lab))
    return rows


def measure_copy(copies: Copying, fault: Fault, tell: Tell) -> None:
    """How long after the fault more bytes of the large file came to b."""
    had = copies.arrived_bytes()
    assert had < BIG_BYTES, "the fault came too late for the copy"
    copies.until_arrived(had)
    after_s = (now() - fault.over_at).total_seconds()
    tell(PROPERTY, astuple(Recovery(f"{fault.name}: a copy", 0, "more bytes", after_s)))


def tell_recovery(rows: list[Row], fault: Fault, tell: Tell) -> None:
    """Tell how long it took to the first result after a fault."""
    tell(PROPERTY, astuple(measure(rows, fault)))


def check_copies(copies: Copying, rows: list[Row], *, resumed: bool = True) -> None:
    """Each copy was one attempt, whole at its end; what had arrived before the fault was not sent again."""
    made = [row for row in rows if row["module"] == "copy"]
    assert [row["outcome"] for row in made] == ["SUCCEEDED"] * 2, made
    copies.check()
    assert list(copies.target.rglob(".sbx-*")) == []
    if resumed:
        came = received_bytes(copies.two.b) - copies.sent
        assert came < BIG_BYTES + SMALL_FILES * SMALL_BYTES + SLACK_BYTES, came


def check_nothing_left_at(site: Site, home: str, *, of_run: bool = True) -> None:
    """No job, no process, and no file but our programs and logs: what a home leaves at a site that it used.

    `of_run`: neither what tasks of the run shared, which is kept of a run that did not succeed.
    """
    queue = "squeue --me --noheader --array --format='%i %T %j'"
    wait_until(lambda: home not in site.run(site.login, queue).stdout, 60, "an empty queue at b")
    wait_until(lambda: not relays(site), 60, "the end of the relay, which nobody needs")
    for host in (site.login, *site.nodes):
        wait_until(lambda host=host: not processes(site, host, home), 30, f"the end of all on {host}")
    shared = site.home / ".sbx" / "shared" / f"sbx-{home}"
    if of_run:
        wait_until(lambda: list(shared.glob("runs/*")) == [], 30, "the end of the run's folder")
    left = [path for path in shared.rglob("*") if path.name.startswith((".", "relay.sock"))]
    assert left == [], left


def resume_nodes(site: Site) -> None:
    """Have Slurm use all its nodes again, of which it lost sight: what an administrator types then."""
    resume = f"scontrol update nodename={','.join(site.nodes)} state=resume"
    site.run(site.login, resume, root=True, check=False)  # those that came back by themselves are refused
    states, served = "sinfo --noheader --Node --format=%T", {"idle", "mixed", "allocated", "completing"}
    wait_until(lambda: set(site.run(site.login, states).stdout.split()) <= served, 60, "all nodes")
