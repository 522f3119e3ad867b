"""Carries the messages between agents and the daemon, or loses, doubles, delays them. It reads none."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from scalebox_hpc.daemon.events import Call, Reply

if TYPE_CHECKING:
    from scalebox_hpc.testing.agent import Answered, Json
    from scalebox_hpc.testing.world import World

LATENCY_S = 0.01


@dataclass(slots=True)
class Network:
    """Each message arrives after LATENCY_S, but for those that something else is foreseen for."""

    mischief: list[Sequence[float]] = field(default_factory=list)  # per message: a delay for each copy
    deaf: set[str] = field(default_factory=set)  # incarnations whose messages are lost, both ways
    is_cut: bool = False  # all of them are: the link to the site is down
    weather: Callable[[], Sequence[float]] | None = None  # the same as one of `mischief`, for every message

    def copies(self, incarnation: str) -> Sequence[float]:
        """Return the delay of each copy of the next message; none where it is lost."""
        if self.is_cut or incarnation in self.deaf:
            return ()
        if self.mischief:
            return self.mischief.pop(0)
        return self.weather() if self.weather is not None else (LATENCY_S,)

    def carry(self, world: World, verb: str, args: Json, answered: Answered, timeout_s: float) -> None:
        """Bring a request to the daemon and what it answers back, as World.ask says."""
        incarnation, came = str(args.get("incarnation", "")), [False]
        body = json.dumps(args)  # as it is now, and as it looks after the wire

        def back(reply: Reply) -> None:
            copies = self.copies(incarnation)
            if len(copies) != 1:
                world.saw("network", f"answer to {verb} of {incarnation}", len(copies))
            for delay_s in copies:
                world.clock.after(delay_s, partial(deliver, reply.status, json.dumps(reply.body)))

        def deliver(status: int, text: str) -> None:
            came[0] = True
            answered(status, json.loads(text))

        def give_up() -> None:
            if not came[0]:
                deliver(0, "{}")

        copies = self.copies(incarnation)
        if len(copies) != 1:
            world.saw("network", f"{verb} of {incarnation}", len(copies))
        for delay_s in copies:
            world.clock.after(delay_s, lambda: world.daemon.arrive(Call(verb, json.loads(body), back)))
        world.clock.after(timeout_s, give_up)
