"""What every batch system must do: simulated, this machine, and Slurm by its commands and by pyslurm.

Slurm is played by small scripts on PATH and a small pyslurm here; tests/cluster asks a real one the same.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Protocol

import pytest

from scalebox_hpc.batch.base import BatchSystem
from scalebox_hpc.batch.local import LocalBatch
from scalebox_hpc.batch.runner import RemoteRunner
from scalebox_hpc.batch.slurm_api import SlurmApi
from scalebox_hpc.batch.slurm_cli import SlurmCli
from scalebox_hpc.domain.allocation import AllocationRequest, CancelTarget, Ending, Launch, Listing, Phase
from scalebox_hpc.domain.site import Machine
from scalebox_hpc.testing.batch import SimulatedBatch
from scalebox_hpc.testing.site import FakeSite

HOME = "00112233445566aa"
OTHER = "ffffffffffffffff"
FAKES = Path(__file__).parent / "fake_slurm"
FAKE_PYSLURM = Path(__file__).parent / "fake_pyslurm"

AGENT = """
import os, signal, sys
words = sys.argv[1:]
if words[0] == "run":
    name, element = words[words.index("--try") + 1], words[words.index("--element") + 1]
    os.read(os.open(f"{words[2]}/{name}.{element}", os.O_RDONLY), 1)
"""
"""Stands for the agent: runs until a test lets it end, through a FIFO, or TERM ends it."""


def eventually(condition: Callable[[], bool], deadline_s: float = 15.0) -> None:
    """Wait until the condition holds; fail when it does not in time."""
    pause = threading.Event()
    for _ in range(int(deadline_s / 0.02)):
        if condition():
            return
        pause.wait(0.02)
    raise AssertionError("did not come about in time")


def nothing_left(batch: BatchSystem) -> bool:
    return not batch.observe([]).tries


class Stage(Protocol):
    """A batch system with a hand on what happens in it."""

    has_job_ids: bool
    shared: Path

    def batch(self, home: str = HOME) -> BatchSystem: ...
    def start(self, name: str) -> None: ...
    def finish(self, name: str, element: int) -> None: ...
    def close(self) -> None: ...


class SimulatedStage:
    has_job_ids = True

    def __init__(self, directory: Path) -> None:
        self.shared = directory
        self.world = SimulatedBatch(HOME)

    def batch(self, home: str = HOME) -> BatchSystem:
        self.world.home_id = home
        return self.world

    def start(self, name: str) -> None:
        self.world.activate(name)

    def finish(self, name: str, element: int) -> None:
        self.world.end(name, Ending.DONE, element)

    def close(self) -> None:
        pass


class LocalStage:
    has_job_ids = False

    def __init__(self, directory: Path) -> None:
        self.home = directory / "home"
        self.shared = directory / "a shared folder"
        self.shared.mkdir()
        (self.shared / "agent.pyz").write_text(AGENT)

    def batch(self, home: str = HOME) -> BatchSystem:
        return LocalBatch(self.home, home, kill_after_s=1.0)

    def start(self, name: str) -> None:
        batch = self.batch()
        eventually(
            lambda: all(phase is Phase.ACTIVE for phase in phases(batch.observe([name]), name).values())
        )

    def finish(self, name: str, element: int) -> None:
        os.close(self._open(name, element))

    def _open(self, name: str, element: int) -> int:
        found: list[int] = []

        def opened() -> bool:
            try:
                found.append(os.open(self.shared / f"{name}.{element}", os.O_WRONLY | os.O_NONBLOCK))
            except OSError as error:
                if error.errno != errno.ENXIO:  # the agent does not listen yet
                    raise
            return bool(found)

        eventually(opened)
        return found[0]

    def close(self) -> None:
        for home in (HOME, OTHER):
            batch = self.batch(home)
            names = list(batch.observe([]).tries)
            batch.cancel([CancelTarget(name, "") for name in names])
            eventually(partial(nothing_left, batch))


class SlurmStage:
    has_job_ids = True

    def __init__(self, directory: Path) -> None:
        self.shared = directory
        self.environ = {"PATH": f"{FAKES}:{os.environ['PATH']}", "FAKE_SLURM": str(directory)}

    def batch(self, home: str = HOME) -> BatchSystem:
        return SlurmCli(home, environ=self.environ)

    def start(self, name: str) -> None:
        self._change(name, lambda index: "RUNNING")

    def finish(self, name: str, element: int) -> None:
        self._change(name, lambda index: "COMPLETED" if index == element else None)

    def _change(self, name: str, new: Callable[[int], str | None]) -> None:
        path = self.shared / "jobs.json"
        jobs = json.loads(path.read_text())
        for facts in jobs.values():
            if facts["name"] == name:
                for index, state in facts["elements"].items():
                    facts["elements"][index] = new(int(index)) or state
        path.write_text(json.dumps(jobs))

    def close(self) -> None:
        pass


class RemoteSlurmStage(SlurmStage):
    def batch(self, home: str = HOME) -> BatchSystem:
        runner = RemoteRunner("b", FakeSite("b", self.shared, self.environ), os.getuid())
        return SlurmCli(home, runner=runner)


class PyslurmStage(SlurmStage):
    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.environ["PYTHONPATH"] = str(FAKE_PYSLURM)
        self.made: list[SlurmApi] = []

    def batch(self, home: str = HOME) -> BatchSystem:
        self.made.append(SlurmApi(home, only=True, environ=self.environ))
        return self.made[-1]

    def close(self) -> None:
        for batch in self.made:
            batch.close()


STAGES: dict[str, Callable[[Path], Stage]] = {
    "simulated": SimulatedStage,
    "local": LocalStage,
    "slurm_cli": SlurmStage,
    "slurm_cli over a transport": RemoteSlurmStage,
    "slurm_api": PyslurmStage,
}


@pytest.fixture(params=list(STAGES))
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    made = STAGES[request.param](tmp_path)
    yield made
    made.close()


def ask(stage: Stage, name: str = f"sbx-primes.{HOME}.0001.1.1", elements: int = 3) -> AllocationRequest:
    launch = Launch(home=HOME, shared=str(stage.shared), python=sys.executable)
    for index in range(elements):
        fifo = stage.shared / f"{name}.{index}"
        if not fifo.exists():
            os.mkfifo(fifo)
    return AllocationRequest(name, elements, 1, 100, 0, 60.0, Machine("m"), launch)


def phases(listing: Listing, name: str) -> dict[int, Phase]:
    return {index: seen.phase for index, seen in listing.tries[name].elements.items()}


def test_what_was_submitted_is_listed_under_the_name_we_gave_it(stage: Stage) -> None:
    request, batch = ask(stage), stage.batch()
    job_id = batch.submit(request)
    listing = batch.observe([request.name])
    assert listing.complete
    assert list(listing.tries) == [request.name]
    assert listing.tries[request.name].job_id == job_id
    assert bool(job_id) is stage.has_job_ids
    assert set(listing.tries[request.name].elements) == {0, 1, 2}
    assert set(phases(listing, request.name).values()) <= {Phase.PENDING, Phase.ACTIVE}


def test_what_was_never_submitted_is_absent_rather_than_ended(stage: Stage) -> None:
    listing = stage.batch().observe([f"sbx-never.{HOME}.0001.1.1"])
    assert listing.complete
    assert listing.tries == {}


def test_what_carries_our_id_is_listed_though_nobody_expects_it(stage: Stage) -> None:
    request, batch = ask(stage), stage.batch()
    batch.submit(request)
    assert request.name in batch.observe([]).tries


def test_what_carries_the_id_of_another_home_is_not_listed(stage: Stage) -> None:
    request = ask(stage, f"sbx-primes.{OTHER}.0001.1.1")
    stage.batch(OTHER).submit(request)
    assert stage.batch().observe([request.name]).tries == {}


def test_a_restarted_daemon_sees_what_its_predecessor_started(stage: Stage) -> None:
    request = ask(stage)
    stage.batch().submit(request)
    stage.start(request.name)
    listing = stage.batch().observe([])
    assert set(phases(listing, request.name).values()) == {Phase.ACTIVE}


def test_elements_end_one_by_one(stage: Stage) -> None:
    request, batch = ask(stage), stage.batch()
    batch.submit(request)
    stage.start(request.name)
    stage.finish(request.name, 1)
    eventually(lambda: phases(batch.observe([request.name]), request.name)[1] is Phase.ENDED)
    seen = batch.observe([request.name]).tries[request.name].elements
    assert seen[1].ending is Ending.DONE
    assert seen[0].phase is seen[2].phase is Phase.ACTIVE


def test_a_whole_try_is_given_back(stage: Stage) -> None:
    request, batch = ask(stage), stage.batch()
    job_id = batch.submit(request)
    stage.start(request.name)
    batch.cancel([CancelTarget(request.name, job_id)])
    eventually(lambda: set(phases(batch.observe([request.name]), request.name).values()) == {Phase.ENDED})
    endings = {seen.ending for seen in batch.observe([request.name]).tries[request.name].elements.values()}
    assert endings == {Ending.CANCELLED}


def test_several_tries_are_given_back_at_once(stage: Stage) -> None:
    batch = stage.batch()
    requests = [ask(stage, f"sbx-primes.{HOME}.0001.{number}.1", 1) for number in (1, 2, 3)]
    jobs = {request.name: batch.submit(request) for request in requests}
    unknown = {requests[2].name: ""}
    batch.cancel([CancelTarget(name, job_id) for name, job_id in (jobs | unknown).items()])

    def all_ended() -> bool:  # all of them expected: others may be forgotten
        seen = batch.observe(list(jobs))
        return all(phases(seen, name) == {0: Phase.ENDED} for name in jobs)

    eventually(all_ended)


def test_what_has_not_started_is_given_back_too(stage: Stage) -> None:
    request, batch = ask(stage), stage.batch()
    job_id = batch.submit(request)
    batch.cancel([CancelTarget(request.name, job_id)])
    eventually(lambda: set(phases(batch.observe([request.name]), request.name).values()) == {Phase.ENDED})


def test_some_elements_are_given_back_and_the_others_go_on(stage: Stage) -> None:
    request, batch = ask(stage), stage.batch()
    job_id = batch.submit(request)
    stage.start(request.name)
    batch.cancel([CancelTarget(request.name, job_id, (0, 2))])
    expected = {0: Phase.ENDED, 1: Phase.ACTIVE, 2: Phase.ENDED}
    eventually(lambda: phases(batch.observe([request.name]), request.name) == expected)


def test_what_has_started_meanwhile_is_left_alone_where_only_the_pending_are_given_back(stage: Stage) -> None:
    request, batch = ask(stage), stage.batch()
    job_id = batch.submit(request)
    stage.start(request.name)
    batch.cancel([CancelTarget(request.name, job_id, (0, 2), only_pending=True)])
    batch.cancel([CancelTarget(request.name, job_id, (1,))])
    expected = {0: Phase.ACTIVE, 1: Phase.ENDED, 2: Phase.ACTIVE}
    eventually(lambda: phases(batch.observe([request.name]), request.name) == expected)


def test_a_try_whose_job_id_was_never_learnt_is_given_back_by_its_name(stage: Stage) -> None:
    request, batch = ask(stage), stage.batch()
    batch.submit(request)
    batch.cancel([CancelTarget(request.name, "")])
    eventually(lambda: set(phases(batch.observe([request.name]), request.name).values()) == {Phase.ENDED})


def test_cancelling_leaves_other_tries_alone(stage: Stage) -> None:
    one, other, batch = ask(stage), ask(stage, f"sbx-primes.{HOME}.0001.2.1"), stage.batch()
    job_id = batch.submit(one)
    batch.submit(other)
    batch.cancel([CancelTarget(one.name, job_id)])
    eventually(lambda: set(phases(batch.observe([one.name]), one.name).values()) == {Phase.ENDED})
    assert Phase.ENDED not in phases(batch.observe([]), other.name).values()


def test_cancelling_what_is_unknown_or_ended_is_passed_over(stage: Stage) -> None:
    request, batch = ask(stage), stage.batch()
    job_id = batch.submit(request)
    targets = [CancelTarget(request.name, job_id), CancelTarget(f"sbx-never.{HOME}.0001.1.1", "")]
    batch.cancel(targets)
    batch.cancel(targets)


def test_asking_whether_a_request_would_be_taken_makes_none(stage: Stage) -> None:
    batch = stage.batch()
    batch.verify(ask(stage))
    assert batch.observe([]).tries == {}
