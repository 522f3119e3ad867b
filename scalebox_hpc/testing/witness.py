"""Watches a simulated world: keeps a trace that a person can read, and checks what must always be so."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from scalebox_hpc.daemon.events import Call, Reply, Told
from scalebox_hpc.testing.agent import SimulatedAgent
from scalebox_hpc.testing.invariants import EVERY_TURN, NOW_AND_THEN, WHEN_KILLED, Problems, Scene

OFTEN = 25  # turns between two looks at what costs more
SPINS = 1000  # so many turns within a second of virtual time


class Violation(AssertionError):
    """Something was not so that must always be so."""


class Enough(Exception):
    """As many turns were made as somebody wanted to see."""


@dataclass(slots=True)
class Watch:
    """See `Witness`. Raises Violation in the turn that broke something."""

    scene: Scene
    most_turns: int | None = None
    trace: list[tuple[float, str, str]] = field(default_factory=list)  # virtual time, what, more
    turns: int = 0
    commits: int = 0  # of the daemons, up to the turn that was checked last
    newest: dict[str, int] = field(default_factory=dict)  # by incarnation: its highest sync that arrived
    spooled: set[str] = field(default_factory=set)  # leases
    since: tuple[float, int] = (0.0, 0)  # a virtual second, and how many turns there were before it
    is_due: bool = False  # to look at what costs more, after something unusual

    def saw(self, what: str, *details: Any) -> None:
        """Keep it, and learn from it what the daemon was told and what it promised."""
        match what:
            case "call":
                self._called(details[0])
            case "answer":
                self._answered(*details)
            case "start":
                self.scene.started_s, self.is_due = self.scene.world.clock.mono_s, True
                self.scene.listed.clear()
            case "full":
                self.is_due = True
            case "crash" | "leave" if self.scene.world.core is not None:
                self.scene.turn()  # what a turn that was cut short left on disk
                self.check(WHEN_KILLED)
            case "told" if details[0].kind == "listing":
                self.scene.listed.update(details[0].data["listing"].tries)
            case "unreadable":
                self.scene.postponed.add(details[0])
            case "spool":
                self.spooled.add(details[1])
            case "agent" if details[1] == "is over":
                self._left(details[0])
        self.note(what, " ".join(_shown(each) for each in details))

    def note(self, what: str, text: str) -> None:
        """Write a line of the trace."""
        self.trace.append((self.scene.world.clock.mono_s, what, text))

    def turned(self) -> None:
        """Check what a turn has made of everything."""
        self.turns += 1
        self._does_not_spin()
        commits = self.scene.world.faults.commits
        if commits != self.commits:  # else it changed nothing
            self.commits = commits
            self.scene.turn()
            self.check(EVERY_TURN)
        if self.is_due or self.turns % OFTEN == 0:
            self.is_due = False
            self.check(NOW_AND_THEN)
        if self.most_turns is not None and self.turns >= self.most_turns:
            raise Enough

    def _does_not_spin(self) -> None:
        now_s, (since_s, before) = self.scene.world.clock.mono_s, self.since
        if now_s - since_s > 1.0:
            self.since = (now_s, self.turns)
        elif self.turns - before > SPINS:
            raise Violation(f"the_daemon_does_not_spin: {SPINS} turns within a second")

    def check(self, rules: Iterable[Callable[[Scene], Problems]]) -> None:
        """Raise Violation where one of them is broken."""
        for rule in rules:
            if found := list(rule(self.scene)):
                raise Violation(f"{rule.__name__}: {'; '.join(found[:5])}")

    def _called(self, call: Call) -> None:
        self.scene.is_cancelled = self.scene.is_cancelled or call.verb == "run.cancel"
        incarnation, number = str(call.args.get("incarnation", "")), int(call.args.get("sync", 0))
        newest = self.newest.get(incarnation, 0)
        if call.verb in ("agent.hello", "agent.chunk") or number > newest:  # else it is an old copy
            self.scene.heard_s[incarnation] = self.scene.world.clock.mono_s
            self.newest[incarnation] = max(number, newest)
        for result in call.args.get("results", ()):
            self.scene.asked[result["lease"]] = result["outcome"]

    def _answered(self, call: Call, reply: Reply) -> None:
        scene = self.scene
        for lease in reply.body.get("recorded", ()):
            scene.recorded[lease] = scene.asked[lease]
            scene.new.append(lease)
        for lease in reply.body.get("refused", ()):
            scene.refused.add(lease)
            if lease in scene.recorded:
                raise Violation(f"recorded_is_never_refused: {lease} was recorded, and refused later")

    def _left(self, agent: SimulatedAgent) -> None:
        """An agent that ends by itself has told all its results, or left them in its spool."""
        kept = self.spooled.union(agent.acknowledged, agent.judged)
        lost = agent.results.keys() - kept
        if lost and not agent.killed:
            raise Violation(f"agents_keep_results: {agent.incarnation} ended and lost {sorted(lost)}")


def _shown(thing: Any) -> str:
    """One thing in a trace, in few words."""
    match thing:
        case Told():
            listed = thing.data.get("listing")
            return f"{thing.kind} {listed.problem or len(listed.tries) if listed else ''}"
        case Call():
            return f"{thing.verb} {_args(thing.args)}"
        case Reply(body={"module": module, "run": run}):
            return f"sheet {module} of {run}"
        case Reply():
            return f"{thing.status if thing.status != 200 else ''} {_args(thing.body)}".strip()
        case SimulatedAgent():
            return f"{_short(thing.incarnation)} of {thing.try_name}[{thing.element}] on {thing.node}"
        case {"lease": lease, "outcome": outcome}:
            return f"{lease} {outcome}"
    return str(thing)


def _short(incarnation: str) -> str:
    return f"agent {incarnation.lstrip('0')}"


def _args(args: Any) -> str:
    said = []
    for key in ("sync", "took", "try", "element", "restart", "run", "lease", "seq", "do", "leaving", "error"):
        if args.get(key) not in (None, ""):
            said.append(f"{key}={args[key]}")
    if "held" in args:
        said.append("held=" + ",".join(f"{lease}{'*' if started else ''}" for lease, started in args["held"]))
    if args.get("results"):
        said.append("results=" + ",".join(f"{each['lease']}:{each['outcome']}" for each in args["results"]))
    if args.get("offers"):
        said.append("offers=" + ",".join(each["lease"] for each in args["offers"]))
    for key in ("recorded", "refused", "dead"):
        if args.get(key):
            said.append(f"{key}={','.join(args[key])}")
    if args.get("superseded"):
        said.append("superseded")
    who = [_short(str(args["incarnation"]))] if args.get("incarnation") else []
    return " ".join([*who, *said])
