"""What a daemon has once it holds its home: all that the engine is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Protocol

from scalebox_hpc.daemon.contact import Contact
from scalebox_hpc.daemon.events import Call, Told
from scalebox_hpc.daemon.home import Home
from scalebox_hpc.daemon.keys import Keys
from scalebox_hpc.daemon.lock import Lock


@dataclass(frozen=True, slots=True)
class Premises:
    """The home, held and listening."""

    home: Home
    lock: Lock  # `still_held()` before each commit
    keys: Keys  # tokens of tries and incarnations
    contact: Contact  # `open_shared(site)` when a run is accepted
    inbox: SimpleQueue[Call | Told]
    address: str  # "127.0.0.1:40123"
    started_us: int
    takeover: bool = False  # the user has said that other daemons of this home are gone


class Engine(Protocol):
    """The wheel, as its thread sees it. Made and run in one thread; the others are thread-safe."""

    @property
    def interrupted(self) -> Sequence[str]:
        """The runs that `interrupt` left to be resumed; read after `run` returned."""

    def run(self) -> None:
        """Work until told to stop, idle for too long, or unable to go on, which is raised."""

    def stop(self) -> None:
        """Make `run` return soon; runs stay as they are and agents go on. Idempotent."""

    def interrupt(self) -> None:
        """Make `run` return once agents had their grace: allocations cancelled, runs INTERRUPTED."""


EngineMaker = Callable[[Premises], Engine]
