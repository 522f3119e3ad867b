"""What we ask a batch system for, and what it says back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from scalebox_hpc.domain.pipeline import Ranks
from scalebox_hpc.domain.site import Machine


@dataclass(frozen=True, slots=True)
class Launch:
    """How an element's script starts an agent."""

    home: str  # the home's id, 16 hex digits
    shared: str  # the shared folder, absolute
    python: str
    prologue: tuple[str, ...] = ()
    scratch: str | None = None
    verb: str = "run"  # or "probe": the agent only looks around, and tells no daemon of its end


@dataclass(frozen=True, slots=True)
class AllocationRequest:
    """One try at one job array: `elements` equal places, each of which will run one agent."""

    name: str  # ours, of this try, unique for ever; the batch system carries it as the job name
    elements: int  # array indices 0 .. elements - 1
    cpus: int  # per element
    memory_mib: int  # per element; with ranks: on each node
    gpus: int  # likewise
    walltime_s: float  # of each element, from its start
    machine: Machine
    launch: Launch
    ranks: Ranks | None = None  # what an element is for, where it serves a module of kind "mpi"


class Phase(StrEnum):
    """How an element is doing, in our words."""

    PENDING = "pending"
    ACTIVE = "active"
    ENDED = "ended"
    UNKNOWN = "unknown"  # a word we have not learnt; never an ending


class Ending(StrEnum):
    """Why an element ended, as far as the batch system says; the cause of the attempts it held."""

    DONE = "done"
    WALLTIME = "walltime"
    PREEMPTED = "preempted"
    NODE_LOST = "node_lost"
    OOM = "oom"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ElementSeen:
    """What the batch system said of one element, and how it put it."""

    phase: Phase
    native_state: str
    reason: str = ""  # the batch system's pending reason, or why it ended
    node: str = ""
    restarts: int = 0
    ending: Ending | None = None  # set when phase is ENDED
    job_id: str = ""  # of this element, where it differs from the array's


@dataclass(frozen=True, slots=True)
class TrySeen:
    """What the batch system said of one try."""

    job_id: str
    elements: Mapping[int, ElementSeen] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listing:
    """One look at the batch system.

    `tries` holds every try of this home that it listed, expected or not. A name that is missing
    was not seen, which is no news of its end. `complete` is False where the answer may be partial.
    """

    complete: bool
    tries: Mapping[str, TrySeen]
    duration_s: float = 0.0
    problem: str = ""  # why it is not complete, in the batch system's words


@dataclass(frozen=True, slots=True)
class CancelTarget:
    """What to give back: a try by name and job id together, whole or some of its elements."""

    name: str
    job_id: str  # "" where we never learnt it: then by name alone
    elements: tuple[int, ...] = ()  # empty: all
    only_pending: bool = False  # leave alone what has started meanwhile
