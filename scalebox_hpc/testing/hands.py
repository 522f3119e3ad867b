"""What the hands of a simulated daemon do: ask the batch system, look at it, remove files.

They act at once and in order, unless they are told how long things take. Then a site's hand does one
thing after the other, word of it comes late, and what had begun when the daemon was killed happens
all the same while nobody hears of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scalebox_hpc.daemon.clearing import Folders, clear, measured
from scalebox_hpc.daemon.desk import (
    Cancel,
    Clear,
    Command,
    Compare,
    Connect,
    Fetch,
    Measure,
    Observe,
    Publish,
    Remove,
    Submit,
)
from scalebox_hpc.daemon.events import Reply, Told
from scalebox_hpc.errors import SbxError, SubmitLimited, SubmitRefused, SubmitUnconfirmed
from scalebox_hpc.relay.folder import remove
from scalebox_hpc.sites.depot import LocalDepot
from scalebox_hpc.testing.batch import Crash

if TYPE_CHECKING:
    from scalebox_hpc.testing.world import World

KINDS = ((SubmitRefused, "refused"), (SubmitLimited, "limited"), (SubmitUnconfirmed, "unconfirmed"))

Pace = Callable[[Command], tuple[float, float]]
"""How long a command takes until it has its effect, and from there until word of it is there."""


@dataclass(slots=True)
class Hands:
    """Carries out what turns want done. Each act is a point of `faults` before and after."""

    world: World
    pace: Pace | None = None  # None: at once
    _free_s: float = 0.0  # when the site's hand has done what it was given

    def carry_out(self, command: Command) -> None:
        """Do it, or have it done when it is its turn. Raises Crash where the daemon dies of it."""
        if self.pace is None or not isinstance(command, Submit | Observe | Cancel):
            self._act(command, self.world.daemon.tell)
            return
        clock, life = self.world.clock, self.world.daemon.lives
        effect_s, answer_s = self.pace(command)
        begins_s = max(clock.mono_s, self._free_s)
        self._free_s = begins_s + effect_s + answer_s
        clock.after(begins_s + effect_s - clock.mono_s, lambda: self._late(command, life, begins_s, answer_s))

    def start(self) -> None:
        """Be the hands of a new daemon: what the last one's had not begun is never done."""
        self._free_s = self.world.clock.mono_s

    def _late(self, command: Command, life: int, begins_s: float, answer_s: float) -> None:
        world, daemon = self.world, self.world.daemon
        if daemon.lives != life and begins_s > daemon.ended_s:
            return

        def tell(told: Told) -> None:
            world.clock.after(answer_s, lambda: daemon.tell(told) if daemon.lives == life else None)

        try:
            self._act(command, tell)
        except Crash:
            world.crash()

    def _act(self, command: Command, tell: Callable[[Told], None]) -> None:
        point = self.world.faults.point
        match command:
            case Submit():
                point("before submit")
                self._submit(command, tell)
                point("after submit")
            case Observe():
                point("before observe")
                listing = self.world.batch.observe(command.expected)
                point("after observe")
                endings = list(self.world.ended_files.items())
                tell(Told("listing", {"site": command.site, "listing": listing, "endings": endings}))
            case Cancel():
                point("before cancel")
                self._cancel(command, tell)
                point("after cancel")
            case Remove():
                point("before remove")
                if self.world.ended_files.pop(command.path, None) is None:
                    remove(command.path)
            case Clear():
                point("before clear")
                clear(self._folders(), command)
                point("after clear")
                tell(Told("cleared", {"order": command}))
            case Connect() | Fetch():
                self._act_at_site(command, tell)
            case _:
                self._answer(command, tell)

    def _answer(self, command: Command, tell: Callable[[Told], None]) -> None:
        """Do what changes nothing in the world."""
        match command:
            case Publish():
                tell(Told("published"))
            case Measure():
                reply = Reply(200, measured(self._folders(), command))
                tell(Told("answer", {"call": command.call, "reply": reply}))
            case Compare():
                tell(Told("compared", {"call": command.call, "sites": self.world.site_facts(command.sites)}))

    def _folders(self) -> Folders:
        return Folders(self.world.folder, (LocalDepot(str(self.world.folder / "shared")),))

    def _act_at_site(self, command: Connect | Fetch, tell: Callable[[Told], None]) -> None:
        if isinstance(command, Connect):
            self.world.faults.point("before connect")
            tell(Told("link", self.world.link_news()))
        else:
            self.world.faults.point("before fetch")
            tell(Told("fetched", {"incarnation": command.incarnation, "lines": self._spool(command)}))

    def _spool(self, command: Fetch) -> list[Any] | None:
        """What the spool of a remote agent holds; None where nobody can tell now."""
        if self.world.network.is_cut or command.incarnation in self.world.unreadable:
            self.world.saw("unreadable", command.incarnation)
            return None
        return list(self.world.spools.get(command.incarnation, []))

    def _submit(self, command: Submit, tell: Callable[[Told], None]) -> None:
        name, data = command.request.name, {"name": command.request.name, "site": command.site}
        try:
            job_id = self.world.batch.submit(command.request)
        except SbxError as error:
            kind = next((word for of, word in KINDS if isinstance(error, of)), "failed")
            tell(Told(kind, {**data, "why": error.fact}))
            self.world.saw("submit", name, kind)
        else:
            tell(Told("submitted", {**data, "job_id": job_id}))
            self.world.saw("submit", name, f"{command.request.elements} elements, job {job_id}")
        finally:
            if name in self.world.batch.tries:
                self.world.enqueue(name)

    def _cancel(self, command: Cancel, tell: Callable[[Told], None]) -> None:
        names = tuple(target.name for target in command.targets)
        try:
            self.world.batch.cancel(command.targets)
        except SbxError as error:
            tell(Told("cancel failed", {"names": names, "why": error.fact}))
        for target in command.targets:
            self.world.saw("cancel", target.name, target.elements or "all")
            self.world.terminate(target.name)


def describe(command: Command) -> Any:
    """A command in few words, for a trace."""
    match command:
        case Submit():
            return f"submit {command.request.name}"
        case Observe():
            return f"observe {len(command.expected)} tries"
        case Cancel():
            return "cancel " + " ".join(target.name for target in command.targets)
        case Remove():
            return f"remove {command.path.rsplit('/', 1)[-1]}"
    return type(command).__name__.lower()
