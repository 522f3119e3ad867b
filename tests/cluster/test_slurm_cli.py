"""Slurm by its commands, against a real one: what the fakes only promise.

Each step runs in a process of its own on the login host, as a restarted daemon would.
"""

import json
import shlex
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.box import Site, wait_until

HOME = "00112233445566aa"

DRIVER = """
import json, os, sys
from dataclasses import replace
from scalebox_hpc.batch.slurm_api import SlurmApi
from scalebox_hpc.batch.slurm_cli import SlurmCli
from scalebox_hpc.domain.allocation import AllocationRequest, CancelTarget, Launch
from scalebox_hpc.domain.site import Machine
from scalebox_hpc.errors import SbxError

verb, args = sys.argv[1], json.loads(sys.argv[2])
home = args.get("home", "00112233445566aa")
batch = SlurmApi(home, only=True) if args["kind"] == "slurm_api" else SlurmCli(home)
launch = Launch(home, args.get("shared", "/tmp"), "python3")

def request():
    machine = Machine("m", **args.get("machine", {}))
    cpus, walltime_s = args.get("cpus", 1), args.get("walltime_s", 300.0)
    return AllocationRequest(args["name"], args["elements"], cpus, 100, 0, walltime_s, machine, launch)

def listing():
    seen = batch.observe(args["expected"])
    tries = {
        name: {
            "job_id": one.job_id,
            "phases": {index: each.phase for index, each in one.elements.items()},
            "endings": {index: each.ending for index, each in one.elements.items()},
            "reasons": sorted({each.reason for each in one.elements.values()}),
        }
        for name, one in seen.tries.items()
    }
    return {"complete": seen.complete, "problem": seen.problem, "tries": tries}

def cancel():
    targets = [CancelTarget(name, job, tuple(some)) for name, job, some in args["targets"]]
    batch.cancel([replace(target, only_pending=args.get("only_pending", False)) for target in targets])

verbs = {
    "submit": lambda: batch.submit(request()),
    "verify": lambda: batch.verify(request()),
    "observe": listing,
    "cancel": cancel,
    "facts": lambda: [batch.array_limit, batch.facts().version],
}
try:
    print(json.dumps({"answer": verbs[verb]()}))
except SbxError as error:
    print(json.dumps({"error": type(error).__name__, "fact": error.fact, "hint": error.hint}))
"""

AGENT = """
import json, os, resource, sys, time
words = sys.argv[1:]
shared, element = words[words.index("--shared") + 1], words[words.index("--element") + 1]
name, restart = words[words.index("--try") + 1], words[words.index("--restart") + 1]
umask = os.umask(0o22)
os.umask(umask)
names = [each for each in dir(resource) if each.startswith("RLIMIT_")]
limits = {each: resource.getrlimit(getattr(resource, each)) for each in names}
with open(f"{shared}/{words[0]}-{name}-{element}-{restart}.new", "w") as file:
    json.dump({"environ": dict(os.environ), "limits": limits, "umask": umask}, file)
os.rename(file.name, file.name[:-4])
if words[0] == "run":
    while not os.path.exists(f"{shared}/finish-{name}-{element}"):
        time.sleep(0.1)
"""


@dataclass
class Desk:
    """A daemon's hand on one site's Slurm, and the agents' folder."""

    site: Site
    shared: Path
    kind: str = "slurm_cli"
    environ: str = ""
    made: list[str] = field(default_factory=list)

    def ask(self, verb: str, **args: Any) -> dict[str, Any]:
        python = Path(self.site.sbx).with_name("python")
        text = shlex.quote(json.dumps({"kind": self.kind, "shared": self.site.inside(self.shared), **args}))
        command = f"{self.environ} {python} {self.inside('driver.py')} {verb} {text}"
        done = self.site.run(self.site.login, command)
        return dict(json.loads(done.stdout))

    def inside(self, name: str) -> str:
        """A file of the shared folder, as a word of a command line there."""
        return shlex.quote(self.site.inside(self.shared / name))

    def submit(self, name: str, elements: int = 2, **more: Any) -> str:
        self.site.run(self.site.login, f"mkdir -p {self.inside('tries')}/{name}")
        self.made.append(name)
        return str(self.ask("submit", name=name, elements=elements, **more)["answer"])

    def listing(self, *expected: str) -> dict[str, Any]:
        return dict(self.ask("observe", expected=list(expected))["answer"])

    def phases(self, name: str) -> dict[int, str]:
        tries = self.listing(name)["tries"]
        return {int(index): phase for index, phase in tries[name]["phases"].items()} if name in tries else {}

    def until(self, name: str, wanted: Callable[[dict[int, str]], bool], what: str) -> None:
        wait_until(lambda: wanted(self.phases(name)), 60, what)

    def all_are(self, name: str, phase: str) -> None:
        self.until(name, lambda found: set(found.values()) == {phase}, f"all elements {phase}")

    def finish(self, name: str, element: int) -> None:
        self.site.write(self.shared / f"finish-{name}-{element}", "")


def desk_at(site: Site, label: str, kind: str = "slurm_cli") -> Iterator[Desk]:
    shared = site.home / f"agents' folder {label}"  # with what a path may hold
    site.write(shared / "agent.pyz", AGENT)
    site.write(shared / "driver.py", DRIVER)
    made = Desk(site, shared, kind)
    yield made
    made.environ = ""
    made.ask("cancel", targets=[[name, "", []] for name in made.made])


@pytest.fixture
def desk(site: Site, request: pytest.FixtureRequest) -> Iterator[Desk]:
    yield from desk_at(site, request.node.name)


@pytest.fixture
def accounted(site_dbd: Site, request: pytest.FixtureRequest) -> Iterator[Desk]:
    yield from desk_at(site_dbd, request.node.name)


def named(number: int, home: str = HOME) -> str:
    return f"sbx-real.{home}.e1.{number}.1"


def test_elements_start_run_and_end(desk: Desk) -> None:
    name = named(1)
    job_id = desk.submit(name, 3)
    assert job_id.isdecimal()
    desk.all_are(name, "active")
    desk.finish(name, 1)
    desk.until(name, lambda found: found.get(1) == "ended", "the end of element 1")
    seen = desk.listing(name)["tries"][name]
    assert seen["job_id"] == job_id
    assert seen["phases"] == {"0": "active", "1": "ended", "2": "active"}
    assert seen["endings"]["1"] == "done"
    assert (desk.shared / f"ended-{name}-1-0").exists()


def test_pending_elements_are_read_however_compact_slurm_writes_them(desk: Desk) -> None:
    name = named(2)
    job_id = desk.submit(name, 200, machine={"sbatch": ["--hold"]})
    desk.ask("cancel", targets=[[name, job_id, list(range(0, 200, 3))]])
    wanted = {index: "ended" if index % 3 == 0 else "pending" for index in range(200)}

    def split() -> bool:
        found = desk.phases(name)
        return [index for index in found if found[index] == "pending"] == [
            index for index in range(200) if wanted[index] == "pending"
        ]

    wait_until(split, 30, "a third of the elements cancelled")
    assert desk.listing(name)["tries"][name]["reasons"] != [""]


def test_running_and_pending_elements_are_cancelled_by_name_and_id(desk: Desk) -> None:
    name, other = named(3), named(4)
    job_id, other_id = desk.submit(name, 3), desk.submit(other, 1)
    desk.all_are(name, "active")
    desk.ask("cancel", targets=[[name, other_id, []], [other, job_id, []], [name, job_id, [0, 2]]])
    desk.until(name, lambda found: found == {0: "ended", 1: "active", 2: "ended"}, "two cancelled")
    assert desk.listing(name)["tries"][name]["endings"]["0"] == "cancelled"


def test_only_what_is_pending_is_cancelled_where_only_that_is_meant(desk: Desk) -> None:
    name = named(3)
    job_id = desk.submit(name, 3, machine={"sbatch": ["--array=0-2%1"]})  # the others wait for the first
    desk.until(name, lambda found: found.get(0) == "active", "the start of element 0")
    desk.ask("cancel", targets=[[name, job_id, [0, 1]]], only_pending=True)
    desk.until(name, lambda found: found == {0: "active", 1: "ended", 2: "pending"}, "one cancelled")


def test_a_try_is_cancelled_by_name_alone(desk: Desk) -> None:
    name, other = named(5), named(6)
    desk.submit(name, 2)
    desk.submit(other, 1)
    desk.ask("cancel", targets=[[name, "", []]])
    desk.all_are(name, "ended")
    assert set(desk.phases(other).values()) <= {"pending", "active"}


def test_several_tries_are_cancelled_at_once(desk: Desk) -> None:
    jobs = {name: desk.submit(name, 1) for name in (named(18), named(19))}
    nameless = named(5)
    desk.submit(nameless, 1)
    desk.ask("cancel", targets=[[name, job_id, []] for name, job_id in {**jobs, nameless: ""}.items()])
    for name in (*jobs, nameless):
        desk.all_are(name, "ended")


def test_cancelling_what_is_over_or_unknown_is_no_problem(desk: Desk) -> None:
    name = named(6)
    desk.submit(name, 1)
    desk.ask("cancel", targets=[[name, "", []]])
    desk.all_are(name, "ended")
    desk.ask("cancel", targets=[[name, "", []], [named(99), "", []], [named(98), "999999", []]])


def test_a_requeued_element_waits_again_and_comes_back_with_a_higher_count(desk: Desk) -> None:
    name = named(7)
    job_id = desk.submit(name, 1)
    desk.all_are(name, "active")
    desk.site.run(desk.site.login, f"scontrol requeue {job_id}_0")
    desk.until(name, lambda found: found == {0: "pending"}, "the element waits again")
    wait_until((desk.shared / f"run-{name}-0-1").exists, 60, "its second incarnation")


def test_other_homes_are_not_listed(desk: Desk) -> None:
    name = named(8, "ffffffffffffffff")
    desk.submit(name, 1, home="ffffffffffffffff")
    assert name not in desk.listing(name)["tries"]
    desk.ask("cancel", home="ffffffffffffffff", targets=[[name, "", []]])


@pytest.mark.parametrize(
    ("request_", "words", "verbs"),
    [
        ({"machine": {"partition": "nowhere"}}, "partition", ("verify", "submit")),
        ({"cpus": 500}, "node configuration is not available", ("verify",)),  # Slurm 25.11 lets it wait
        ({"elements": 20_002}, "Invalid job array specification", ("verify", "submit")),
    ],
)
def test_refusals_are_told_in_slurms_words(
    desk: Desk, request_: dict[str, Any], words: str, verbs: tuple[str, ...]
) -> None:
    for verb in verbs:
        told = desk.ask(verb, **{"name": named(9), "elements": 1, **request_})
        assert told["error"] == "SubmitRefused"
        assert words in told["fact"]
        assert told["hint"]


def test_a_trial_makes_no_allocation(desk: Desk) -> None:
    assert desk.ask("verify", name=named(10), elements=4) == {"answer": None}
    assert named(10) not in desk.listing(named(10))["tries"]


def test_the_array_limit_is_the_most_elements_that_slurm_takes(desk: Desk) -> None:
    limit, version = desk.ask("facts")["answer"]
    assert version >= [20, 11]
    desk.submit(named(11), limit, machine={"sbatch": ["--hold"]})
    assert len(desk.phases(named(11))) == limit


def test_a_surrounding_job_and_habits_change_nothing(desk: Desk) -> None:
    desk.environ = (
        "SLURM_JOB_ID=1 SBATCH_PARTITION=nowhere SQUEUE_FORMAT=%i SQUEUE_STATES=CD LC_ALL=de_DE.UTF-8"
    )
    name = named(12)
    desk.submit(name, 2)
    desk.all_are(name, "active")


def test_a_controller_that_cannot_be_reached_ends_nothing(desk: Desk) -> None:
    elsewhere = desk.inside("slurm.conf")
    desk.site.run(
        desk.site.login,
        f"sed '/^SlurmctldPort/d; $a SlurmctldPort=1\\nMessageTimeout=2' /etc/slurm/slurm.conf >{elsewhere}",
    )
    desk.environ = f"SLURM_CONF={elsewhere}"
    listing = desk.listing(named(13))
    assert not listing["complete"]
    assert listing["problem"]
    told = desk.ask("submit", name=named(13), elements=1)
    assert told["error"] in ("BatchProblem", "SubmitUnconfirmed")


def forgetful(desk: Desk) -> None:
    """Put a squeue in the way that has forgotten everything, as Slurm has minutes after an end."""
    desk.site.write(desk.shared / "bin" / "squeue", "#!/bin/sh\n", mode=0o755)
    desk.environ = f"PATH={desk.inside('bin')}:$PATH"


def test_accounting_tells_how_forgotten_elements_ended(accounted: Desk) -> None:
    name = named(14)
    job_id = accounted.submit(name, 3)
    accounted.all_are(name, "active")
    accounted.finish(name, 0)
    accounted.ask("cancel", targets=[[name, job_id, [1]]])
    accounted.until(name, lambda found: found == {0: "ended", 1: "ended", 2: "active"}, "two ends")
    forgetful(accounted)

    def endings() -> bool:
        tries = accounted.listing(name)["tries"]
        return name in tries and tries[name]["endings"] == {"0": "done", "1": "cancelled"}

    wait_until(endings, 30, "endings from accounting, and of the running element nothing")


def test_without_accounting_what_is_forgotten_is_absent_and_nothing_fails(desk: Desk) -> None:
    name = named(15)
    desk.submit(name, 1)
    forgetful(desk)
    assert desk.listing(name) == {"complete": True, "problem": "", "tries": {}}


def test_with_accounting_elements_start_run_and_end_too(accounted: Desk) -> None:
    name = named(16)
    accounted.submit(name, 2)
    accounted.all_are(name, "active")
    accounted.finish(name, 0)
    accounted.finish(name, 1)
    accounted.all_are(name, "ended")


def test_the_script_is_plain_text(desk: Desk) -> None:
    name = named(17)
    job_id = desk.submit(name, 1)
    text = desk.site.run(desk.site.login, f"scontrol write batch_script {job_id} -").stdout
    assert text.startswith("#!/bin/sh\n")
    assert "token" not in textwrap.dedent(text)
