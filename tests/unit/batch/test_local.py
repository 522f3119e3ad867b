"""Elements on this machine, when the daemon or an element dies at the wrong moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from scalebox_hpc.batch.local import START_GRACE_S, LocalBatch
from scalebox_hpc.batch.local_process import Claim, is_alive
from scalebox_hpc.domain.allocation import (
    AllocationRequest,
    CancelTarget,
    ElementSeen,
    Ending,
    Launch,
    Phase,
)
from scalebox_hpc.domain.site import Machine

HOME = "00112233445566aa"
NAME = f"sbx-primes.{HOME}.e1.3.1"

AGENT = """
import os, signal, sys
words = sys.argv[1:]
if words[0] == "run":
    if os.path.exists(words[2] + "/deaf"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("agent runs", os.getpid(), os.environ.get("SLURM_JOB_ID"), flush=True)
    if not os.path.exists(words[2] + "/quick"):
        while True:
            signal.pause()
"""


def eventually(condition: Callable[[], bool], deadline_s: float = 15.0) -> None:
    pause = threading.Event()
    for _ in range(int(deadline_s / 0.02)):
        if condition():
            return
        pause.wait(0.02)
    raise AssertionError("did not come about in time")


@dataclass
class World:
    directory: Path
    now: float = 0.0
    batches: list[LocalBatch] = field(default_factory=list)

    @property
    def shared(self) -> Path:
        return self.directory / "shared"

    def daemon(self, site: str = "local") -> LocalBatch:
        """A back end as a daemon that has just started makes it."""
        environ = {**os.environ, "SLURM_JOB_ID": "7"}
        clock = lambda: self.now  # noqa: E731
        made = LocalBatch(self.directory, HOME, site=site, environ=environ, kill_after_s=15.0, clock=clock)
        self.batches.append(made)
        return made

    def request(self, elements: int = 1) -> AllocationRequest:
        launch = Launch(HOME, str(self.shared), "")
        return AllocationRequest(NAME, elements, 1, 100, 0, 3600.0, Machine("m"), launch)

    def seen(self, batch: LocalBatch, index: int = 0) -> ElementSeen:
        return batch.observe([NAME]).tries[NAME].elements[index]

    def running(self, batch: LocalBatch, index: int = 0) -> int:
        """Wait until the element's agent runs; return its pid."""
        eventually(lambda: "agent runs" in self.log(index))
        eventually(lambda: self.seen(batch, index).phase is Phase.ACTIVE)
        return int(self.log(index).split()[2])

    def log(self, index: int = 0) -> str:
        path = self.shared / "tries" / NAME / f"element-{index}.log"
        return path.read_text() if path.exists() else ""

    def file(self, suffix: str, index: int = 0) -> Path:
        return self.directory / "local" / NAME / f"element-{index}.{suffix}"

    def claim(self, index: int = 0) -> Claim:
        made = Claim.parse(self.file("pid", index).read_text())
        assert made is not None
        return made


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.shared.mkdir()
    (made.shared / "agent.pyz").write_text(AGENT)
    yield made
    batch = made.daemon()
    batch.cancel([CancelTarget(name, "") for name in batch.observe([]).tries])
    made.now += 1000

    def all_gone() -> bool:
        return not any([each.observe([]).tries for each in made.batches])

    eventually(all_gone)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_an_element_is_a_session_of_its_own_and_knows_nothing_of_a_surrounding_job(world: World) -> None:
    batch = world.daemon()
    batch.submit(world.request())
    world.running(batch)
    assert os.getsid(world.claim().pid) == world.claim().pid
    assert world.log().split()[3] == "None"


def test_submitting_again_starts_no_second_element(world: World) -> None:
    batch = world.daemon()
    batch.submit(world.request())
    agent = world.running(batch)
    batch.submit(world.request())
    restarted = world.daemon()
    restarted.submit(world.request())
    assert world.seen(restarted).phase is Phase.ACTIVE
    assert world.log().count("agent runs") == 1
    assert not gone(agent)


def test_of_two_starts_of_one_element_one_gives_way(world: World) -> None:
    batch = world.daemon()
    batch.submit(world.request())
    world.running(batch)
    script = world.directory / "local" / NAME / "element.sh"
    second = subprocess.run(["/bin/sh", str(script), "0"], timeout=20, check=False)
    assert second.returncode == 125
    assert world.log().count("agent runs") == 1
    assert world.seen(batch).phase is Phase.ACTIVE


def test_an_element_that_ended_while_no_daemon_ran_is_seen_to_have_ended(world: World) -> None:
    (world.shared / "quick").touch()
    world.daemon().submit(world.request())
    eventually(world.file("ended").exists)
    restarted = world.daemon()
    eventually(lambda: world.seen(restarted).phase is Phase.ENDED)
    assert world.seen(restarted).ending is Ending.DONE


def test_a_killed_script_is_an_ending_and_its_agent_goes_with_it(world: World) -> None:
    batch = world.daemon()
    batch.submit(world.request())
    agent = world.running(batch)
    os.kill(world.claim().pid, signal.SIGKILL)
    eventually(lambda: world.seen(batch).phase is Phase.ENDED)
    assert world.seen(batch).ending is Ending.FAILED
    assert gone(agent)


def test_a_killed_agent_ends_its_element(world: World) -> None:
    batch = world.daemon()
    batch.submit(world.request())
    os.kill(world.running(batch), signal.SIGKILL)
    eventually(lambda: world.seen(batch).phase is Phase.ENDED)
    assert world.seen(batch).native_state == "EXIT 137"


def test_a_pid_that_another_process_has_now_is_not_our_element(world: World) -> None:
    claim = Claim(os.getpid(), "1", Path("/proc/sys/kernel/random/boot_id").read_text().strip(), "h", "i")
    assert not is_alive(claim)


def test_an_element_of_before_a_reboot_was_lost_with_its_node(world: World) -> None:
    batch = world.daemon()
    batch.submit(world.request())
    world.running(batch)
    true_claim = world.file("pid").read_text()
    world.file("pid").write_text(true_claim.replace(world.claim().boot, "another-boot"))
    assert world.seen(world.daemon()).ending is Ending.NODE_LOST
    world.file("pid").write_text(true_claim)


def test_an_element_on_another_login_node_is_unknown_and_never_ended(world: World) -> None:
    batch = world.daemon()
    batch.submit(world.request())
    world.running(batch)
    true_claim = world.file("pid").read_text()
    world.file("pid").write_text(true_claim.replace(f" {os.uname().nodename} ", " login2 "))
    seen = world.seen(world.daemon())
    world.batches.pop()  # it lives on that other machine
    assert (seen.phase, seen.node) == (Phase.UNKNOWN, "login2")
    world.file("pid").write_text(true_claim)


def test_a_deaf_element_is_killed_after_its_grace_and_no_earlier(world: World) -> None:
    (world.shared / "deaf").touch()
    batch = world.daemon()
    batch.submit(world.request())
    agent = world.running(batch)
    batch.cancel([CancelTarget(NAME, "")])
    world.now += 14.9
    assert world.seen(batch).phase is Phase.ACTIVE
    world.now += 0.2
    eventually(lambda: world.seen(batch).phase is Phase.ENDED)
    assert world.seen(batch).ending is Ending.CANCELLED
    assert gone(agent)


def test_a_restarted_daemon_goes_on_cancelling(world: World) -> None:
    (world.shared / "deaf").touch()
    batch = world.daemon()
    batch.submit(world.request())
    agent = world.running(batch)
    batch.cancel([CancelTarget(NAME, "")])
    restarted = world.daemon()
    assert world.seen(restarted).phase is Phase.ACTIVE
    world.now += 15.0
    eventually(lambda: world.seen(restarted).phase is Phase.ENDED)
    assert gone(agent)


def unstarted(world: World) -> Path:
    """Files as a daemon leaves them that dies after it wrote them and before it started the element."""
    directory = world.directory / "local" / NAME
    directory.mkdir(parents=True)
    (directory / "element.sh").write_text("exit 0\n")
    (directory / "try.json").write_text('{"elements": 1}')
    return directory


def test_an_element_that_was_never_started_ends_after_a_grace(world: World) -> None:
    unstarted(world)
    batch = world.daemon()
    assert world.seen(batch).phase is Phase.PENDING
    world.now += START_GRACE_S + 0.1
    assert world.seen(batch).ending is Ending.FAILED


def test_an_element_given_up_before_it_started_can_start_no_more(world: World) -> None:
    batch = world.daemon()
    batch.submit(world.request())
    batch.cancel([CancelTarget(NAME, "")])
    eventually(lambda: world.seen(batch).phase is Phase.ENDED)
    assert world.seen(batch).ending is Ending.CANCELLED
    script = world.directory / "local" / NAME / "element.sh"
    again = subprocess.run(["/bin/sh", str(script), "0"], timeout=20, check=False)
    assert again.returncode == 125


def test_a_daemon_that_died_before_it_wrote_anything_left_a_try_without_elements(world: World) -> None:
    (world.directory / "local" / NAME).mkdir(parents=True)
    batch = world.daemon()
    assert batch.observe([NAME]).tries[NAME].elements == {}
    assert batch.observe([]).tries == {}


def test_a_script_that_cannot_start_ends_its_element(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = world.daemon()
    request = world.request()

    def no_more_processes(*_: object, **__: object) -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "posix_spawn", no_more_processes)
    batch.submit(request)
    assert world.seen(batch).native_state == "NOT STARTED: Resource temporarily unavailable"


def test_what_ended_is_forgotten_once_nobody_expects_it(world: World) -> None:
    (world.shared / "quick").touch()
    batch = world.daemon()
    batch.submit(world.request())
    eventually(lambda: world.seen(batch).phase is Phase.ENDED)
    assert NAME in batch.observe([NAME]).tries
    eventually(lambda: not batch.observe([]).tries)
    assert not (world.directory / "local" / NAME).exists()
    assert world.log()  # of which the shared folder keeps the log


def test_two_sites_of_one_machine_know_nothing_of_each_other(world: World) -> None:
    (world.shared / "quick").touch()
    batch, other = world.daemon(), world.daemon("b")
    batch.submit(world.request())
    eventually(lambda: world.seen(batch).phase is Phase.ENDED)
    for one in (other, world.daemon("b")):
        assert one.observe([]).tries == {}
    assert world.seen(batch).phase is Phase.ENDED


def test_an_element_survives_the_daemon_that_started_it(world: World) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from scalebox_hpc.batch.local import LocalBatch\n"
        "from scalebox_hpc.domain.allocation import *\n"
        "from scalebox_hpc.domain.site import Machine\n"
        f"launch = Launch({HOME!r}, {str(world.shared)!r}, '')\n"
        f"request = AllocationRequest({NAME!r}, 1, 1, 100, 0, 3600.0, Machine('m'), launch)\n"
        f"LocalBatch(Path({str(world.directory)!r}), {HOME!r}).submit(request)\n"
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    died = subprocess.run([sys.executable, "-c", program], timeout=30, check=False)
    assert died.returncode == -signal.SIGKILL
    agent = world.running(world.daemon())
    assert not gone(agent)
