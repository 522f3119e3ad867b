"""This machine as a batch system: each element is a detached process group that outlives the daemon.

What is known of an element stands in files of the home, written by the element's own script, so a
restarted daemon goes on from them. Decides nothing about how much may run at once.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from scalebox_hpc.batch.base import belongs
from scalebox_hpc.batch.element import element_script
from scalebox_hpc.batch.local_process import (
    NEVER,
    REGISTER,
    Claim,
    boot_id,
    is_alive,
    is_reaped,
    kill_marked,
    send,
    start,
)
from scalebox_hpc.batch.surroundings import stripped
from scalebox_hpc.disk import open_private
from scalebox_hpc.domain.allocation import (
    AllocationRequest,
    CancelTarget,
    ElementSeen,
    Ending,
    Listing,
    Phase,
    TrySeen,
)
from scalebox_hpc.errors import BatchProblem

START_GRACE_S: Final = 10.0
"""How long an element that another daemon started may take to claim its place."""

PENDING: Final = ElementSeen(Phase.PENDING, "STARTING")


@dataclass(slots=True)
class _Element:
    """One element, as far as this daemon knows it. Times are monotonic seconds."""

    path: Path  # its files, without the suffix
    known_s: float
    child: int | None = None  # its pid, where this daemon started it and has not reaped it
    started: bool = False  # by this daemon
    claim: Claim | None = None
    cancelled: bool = False
    told_s: float | None = None  # when TERM was sent
    ended: ElementSeen | None = None

    def file(self, suffix: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{suffix}")


@dataclass(slots=True)
class _Try:
    directory: Path
    elements: dict[int, _Element] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        return all(element.ended and element.child is None for element in self.elements.values())


class LocalBatch:
    """The BatchSystem of one home and site on this machine. It has no job ids.

    `clock` gives monotonic seconds; `kill_after_s` is the time from TERM to KILL.
    """

    def __init__(
        self,
        home_dir: Path,
        home_id: str,
        *,
        site: str = "local",
        environ: Mapping[str, str] | None = None,
        kill_after_s: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root = home_dir.absolute() / ("local" if site == "local" else f"local-{site}")
        self._home = home_id
        self._environ = stripped(os.environ if environ is None else environ)
        self._kill_after_s = kill_after_s
        self._clock = clock
        self._boot = boot_id()
        self._host = os.uname().nodename
        self._tries: dict[str, _Try] | None = None

    @property
    def array_limit(self) -> int | None:
        """None: there is none. See BatchSystem."""
        return None

    def submit(self, request: AllocationRequest) -> str:
        """Start the elements that do not run yet. See BatchSystem."""
        known = self._known()
        directory = self._root / request.name
        try:
            self._write_script(directory, request)
        except OSError as error:
            raise BatchProblem(f"{directory} cannot be written: {error.strerror}") from error
        one = known.setdefault(request.name, _Try(directory))
        for index in range(request.elements):
            if index not in one.elements:
                one.elements[index] = self._start(directory, index, request.launch.shared)
        return ""

    def verify(self, request: AllocationRequest) -> None:
        """Take any request: what fits this machine is the engine's to decide."""

    def observe(self, expected: Collection[str]) -> Listing:
        """Look at each element's process; forget what ended and is not expected. See BatchSystem."""
        began = self._clock()
        known = self._known()
        for one in known.values():
            for element in one.elements.values():
                self._look(element)
        for name in [name for name, one in known.items() if one.over and name not in expected]:
            shutil.rmtree(known.pop(name).directory, ignore_errors=True)
        tries = {name: TrySeen("", self._seen(one)) for name, one in known.items()}
        return Listing(complete=True, tries=tries, duration_s=self._clock() - began)

    def cancel(self, targets: Collection[CancelTarget]) -> None:
        """Send TERM; a later look sends KILL to what is left. See BatchSystem."""
        known = self._known()
        for target in targets:
            if (one := known.get(target.name)) is None:
                continue
            for index in target.elements or tuple(one.elements):
                if (element := one.elements.get(index)) is None or element.ended is not None:
                    continue
                if target.only_pending and self._read_claim(element):
                    continue
                element.cancelled = True
                with suppress(FileNotFoundError):
                    element.file("cancelled").touch()
                self._look(element)

    def _known(self) -> dict[str, _Try]:
        """Return all tries, at first from the files that an earlier daemon left."""
        if self._tries is None:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            names = [entry.name for entry in os.scandir(self._root) if belongs(entry.name, self._home)]
            self._tries = {name: self._adopt(self._root / name) for name in names}
        return self._tries

    def _adopt(self, directory: Path) -> _Try:
        try:
            count = int(json.loads((directory / "try.json").read_text())["elements"])
        except FileNotFoundError:  # the daemon died before it started anything
            count = 0
        now = self._clock()
        elements = {index: _Element(directory / f"element-{index}", now) for index in range(count)}
        for element in elements.values():
            element.cancelled = element.file("cancelled").exists()
        return _Try(directory, elements)

    def _write_script(self, directory: Path, request: AllocationRequest) -> None:
        """Write what an element runs, and last the number of elements, by which a try is known."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        (Path(request.launch.shared) / "tries" / request.name).mkdir(mode=0o700, parents=True, exist_ok=True)
        launch = replace(request.launch, python=request.launch.python or sys.executable)
        text = element_script(
            replace(request, launch=launch),
            element="$1",
            restart="0",
            register=f"sbx_dir=${{0%/*}}\n{REGISTER}",
        )
        _replace(directory / "element.sh", text)
        _replace(directory / "try.json", json.dumps({"elements": request.elements}))

    def _start(self, directory: Path, index: int, shared: str) -> _Element:
        """Start one element; where that fails it is one that ended before it began."""
        element = _Element(directory / f"element-{index}", self._clock())
        log = Path(shared) / "tries" / directory.name / f"element-{index}.log"
        try:
            element.child = start(["/bin/sh", str(directory / "element.sh"), str(index)], log, self._environ)
            element.started = True
        except OSError as error:
            self._never(element, f"NOT STARTED: {error.strerror}")
        return element

    def _look(self, element: _Element) -> None:
        """Bring what we know of one element up to date, and end what was told to end."""
        if element.child is not None and is_reaped(element.child):
            element.child = None
        if element.ended is not None or (element.claim is None and not self._read_claim(element)):
            return
        claim = element.claim
        if claim is None or claim.host != self._host:
            return
        if is_alive(claim):
            if element.cancelled:
                self._press(element, claim)
        elif (status := _read(element.file("ended"))) is not None:
            element.ended = self._ending(element, int(status))
        elif claim.boot != self._boot:
            element.ended = replace(
                self._ending(element, 1), ending=Ending.NODE_LOST, native_state="REBOOTED"
            )
        elif kill_marked(claim.incarnation) == 0:  # else once more at the next look
            element.ended = replace(self._ending(element, 137), native_state="KILLED")

    def _read_claim(self, element: _Element) -> bool:
        """Learn which process the element is. False while, or because, there is none."""
        text = _read(element.file("pid"))
        if text is None:
            late = not element.started and self._clock() - element.known_s > START_GRACE_S
            gone = element.started and element.child is None
            if not (element.cancelled or gone or late):
                return False
            return self._never(element, "NOT STARTED")
        element.claim = Claim.parse(text)
        if element.claim is None:
            element.ended = self._ending(element, 125)
        return element.claim is not None

    def _never(self, element: _Element, why: str) -> bool:
        """Claim a place in the element's stead, so that it never starts. True if it was faster."""
        fresh, claimed = element.file("never"), element.file("pid")
        try:
            fresh.write_text(NEVER)
            os.link(fresh, claimed)
        except FileExistsError:
            return self._read_claim(element)
        except FileNotFoundError:
            pass  # without its directory it cannot claim a place either
        except OSError:
            return False  # no room on the disk, say: once more at the next look
        finally:
            fresh.unlink(missing_ok=True)
        element.ended = replace(self._ending(element, 125), native_state=why)
        return False

    def _press(self, element: _Element, claim: Claim) -> None:
        """TERM first, KILL once it had its time."""
        now = self._clock()
        if element.told_s is None:
            element.told_s = now
            send(claim, signal.SIGTERM)
        elif now - element.told_s >= self._kill_after_s:
            send(claim, signal.SIGKILL)
            kill_marked(claim.incarnation)

    def _ending(self, element: _Element, status: int) -> ElementSeen:
        ending = Ending.CANCELLED if element.cancelled else Ending.DONE if status == 0 else Ending.FAILED
        return ElementSeen(Phase.ENDED, f"EXIT {status}", node=self._host, ending=ending)

    def _seen(self, one: _Try) -> dict[int, ElementSeen]:
        return {index: self._element_seen(element) for index, element in one.elements.items()}

    def _element_seen(self, element: _Element) -> ElementSeen:
        if element.ended is not None:
            return element.ended
        if element.claim is None:
            return PENDING
        if element.claim.host != self._host:
            return ElementSeen(
                Phase.UNKNOWN, "ELSEWHERE", f"it runs on {element.claim.host}", element.claim.host
            )
        return ElementSeen(Phase.ACTIVE, "RUNNING", node=self._host)


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all; a shell that reads the old one goes on reading that."""
    fresh = path.with_name(f"{path.name}.new")
    with open_private(fresh) as file:
        file.write(text)
    fresh.replace(path)
