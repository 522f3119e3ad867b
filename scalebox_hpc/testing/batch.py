"""A batch system that lives in memory, does what a test says, and can be made to misbehave.

It passes the same contract suite as the real ones. It starts no agents.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from scalebox_hpc.batch.base import belongs
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

NATIVE: Final = {
    Ending.DONE: "COMPLETED",
    Ending.WALLTIME: "TIMEOUT",
    Ending.PREEMPTED: "PREEMPTED",
    Ending.NODE_LOST: "NODE_FAIL",
    Ending.OOM: "OUT_OF_MEMORY",
    Ending.CANCELLED: "CANCELLED",
    Ending.FAILED: "FAILED",
}


class Crash(BaseException):
    """The daemon process died here. Not an Exception, so no handler can soften it."""


@dataclass(slots=True)
class SimulatedTry:
    """One try as the batch system has it."""

    request: AllocationRequest
    job_id: str
    elements: dict[int, ElementSeen]


@dataclass(slots=True)
class SimulatedBatch:
    """Takes everything at once and lets it wait, unless told otherwise. Outlives the daemon of a test."""

    home_id: str
    tries: dict[str, SimulatedTry] = field(default_factory=dict)
    submitted: list[AllocationRequest] = field(default_factory=list)  # also those that were not taken
    cancelled: list[CancelTarget] = field(default_factory=list)
    looks: int = 0

    before_submit: BaseException | None = None  # raised once, instead of taking the request
    after_submit: BaseException | None = None  # raised once, the request is taken
    refusal: BaseException | None = None  # raised by every submit and verify until it is taken away
    cancel_problem: BaseException | None = None  # raised by every cancel until it is taken away
    hidden: set[str] = field(default_factory=set)  # names that no listing shows
    out_of_sight: set[str] = field(default_factory=set)  # nor is an order to cancel them taken
    incomplete: str = ""  # why looks fail, until it is taken away
    partial: bool = False  # looks show every other try, and say so
    stale: Listing | None = None  # what looks show, however long ago it was so
    reason: str = "Priority"  # of pending elements
    array_limit: int | None = None
    next_job_id: int = 1000

    def submit(self, request: AllocationRequest) -> str:
        """Take the request, or fail as told. See BatchSystem."""
        self.submitted.append(request)
        fault, self.before_submit = self.before_submit, None
        if fault is not None or self.refusal is not None:
            raise fault or self.refusal or AssertionError
        job_id = self._take(request)
        fault, self.after_submit = self.after_submit, None
        if fault is not None:
            raise fault
        return job_id

    def verify(self, request: AllocationRequest) -> None:
        """See BatchSystem."""
        if self.refusal is not None:
            raise self.refusal

    def observe(self, expected: Collection[str]) -> Listing:
        """List all tries of the home but the hidden ones. See BatchSystem."""
        self.looks += 1
        if self.incomplete:
            return Listing(complete=False, tries={}, problem=self.incomplete)
        if self.stale is not None:
            return self.stale
        shown = {
            name: TrySeen(one.job_id, {index: _as_told(seen) for index, seen in one.elements.items()})
            for name, one in self.tries.items()
            if belongs(name, self.home_id) and name not in self.hidden | self.out_of_sight
        }
        if self.partial:
            shown = {name: shown[name] for name in sorted(shown)[::2]}
            return Listing(complete=False, tries=shown, problem="cut off")
        return Listing(complete=True, tries=shown)

    def freeze(self) -> None:
        """Let looks show for ever, or until `stale` is taken away, what is so now."""
        self.stale = self.observe(())

    def cancel(self, targets: Collection[CancelTarget]) -> None:
        """End what lives of the targets at once, or fail as told. See BatchSystem."""
        if self.cancel_problem is not None:
            raise self.cancel_problem
        for target in targets:
            if target.name in self.out_of_sight:
                raise BatchProblem(f"{target.name}: no such job")
            self.cancelled.append(target)
            one = self.tries.get(target.name)
            if one is None or target.job_id not in ("", one.job_id):
                continue
            if target.elements and not target.job_id:
                continue
            for index in target.elements or tuple(one.elements):
                seen = one.elements.get(index)
                if not target.only_pending or (seen is not None and seen.phase is Phase.PENDING):
                    self.end(target.name, Ending.CANCELLED, index)

    def activate(self, name: str, *indices: int) -> None:
        """Let elements start, all of them where none is named."""
        for index in self._some(name, indices):
            restarts = self.tries[name].elements[index].restarts
            seen = ElementSeen(Phase.ACTIVE, "RUNNING", node=f"node{index}", restarts=restarts)
            self._set(name, index, seen)

    def end(self, name: str, ending: Ending = Ending.DONE, *indices: int) -> None:
        """Let living elements end, all of them where none is named."""
        for index in self._some(name, indices):
            before = self.tries[name].elements.get(index)
            if before is not None and before.phase is not Phase.ENDED:
                ended = replace(
                    before, phase=Phase.ENDED, native_state=NATIVE[ending], ending=ending, reason=""
                )
                self._set(name, index, ended)

    def requeue(self, name: str, *indices: int) -> None:
        """Put elements back in the queue, as after a preemption."""
        for index in self._some(name, indices):
            restarts = self.tries[name].elements[index].restarts + 1
            self._set(name, index, ElementSeen(Phase.PENDING, "PENDING", "BeginTime", restarts=restarts))

    def forget(self, name: str) -> None:
        """Lose a try without a trace, as a restarted controller may."""
        self.tries.pop(name, None)

    def alive(self) -> dict[str, int]:
        """Return how many living elements each try has, for tries that have any."""
        counts = {
            name: sum(seen.phase is not Phase.ENDED for seen in one.elements.values())
            for name, one in self.tries.items()
        }
        return {name: count for name, count in counts.items() if count}

    def _take(self, request: AllocationRequest) -> str:
        job_id, self.next_job_id = str(self.next_job_id), self.next_job_id + 1
        waiting = ElementSeen(Phase.PENDING, "PENDING", self.reason)
        self.tries[request.name] = SimulatedTry(
            request, job_id, dict.fromkeys(range(request.elements), waiting)
        )
        return job_id

    def _some(self, name: str, indices: Iterable[int]) -> list[int]:
        return list(indices) or list(self.tries[name].elements)

    def _set(self, name: str, index: int, seen: ElementSeen) -> None:
        self.tries[name].elements[index] = seen


def _as_told(seen: ElementSeen) -> ElementSeen:
    """An element as squeue lists it, which tells not how often it was started again."""
    return replace(seen, restarts=0)
