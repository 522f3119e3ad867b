"""How many tasks to hold unstarted: from the room there is and measured run times, per module. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from scalebox_hpc.agent.lease import PREPARING, Amounts, Held, fits, take, width

CAP = 1000  # leases of one module held unstarted beside those that have room
SHARE_NEW = 0.2  # of the newest run time in the running mean
SHORTEST_S = 1e-4


def room(
    left: list[int], waiting: Mapping[int, Iterable[Held]], held: Iterable[Held]
) -> tuple[list[int], dict[int, int]]:
    """Return what is free of `left` beside all leases that have room, and how many have none, per module.

    Those that wait have room first, then those of `held` that are being prepared.
    """
    left, surplus = list(left), {}
    for module, queue in waiting.items():
        heads = iter(queue)
        without = 0
        for one in heads:
            if not fits(one.need, left):
                without = 1 + sum(1 for _ in heads)
                break
            take(one.need, left)
        surplus[module] = without
    for one in held:
        if one.state == PREPARING and fits(one.need, left):
            take(one.need, left)
    return [max(0, amount) for amount in left], surplus


class RunTimes:
    """The running mean of each module's run time here, and what follows from it."""

    def __init__(self) -> None:
        self._run_s: dict[int, float] = {}
        self._need: dict[int, Amounts] = {}  # of the newest ended task

    def note(self, module: int, need: Amounts, run_s: float) -> None:
        """Take in one ended task."""
        known = self._run_s.get(module, run_s)
        self._run_s[module] = known + SHARE_NEW * (run_s - known)
        self._need[module] = need

    def wanted(self, surplus: dict[int, int], total: Amounts, ahead_s: float) -> dict[str, int]:
        """Return how many more of each module fit in the next `ahead_s`, beside the `surplus` held already.

        A module of which nothing has ended yet gets none.
        """
        wanted = {}
        busy = max(1, sum(1 for module in self._run_s if surplus.get(module)))
        for module, run_s in self._run_s.items():
            abreast = width(self._need[module], total)
            fitting = int(ahead_s * abreast / max(run_s, SHORTEST_S) / busy)
            more = min(CAP, fitting) - surplus.get(module, 0)
            if more > 0:
                wanted[str(module)] = more
        return wanted
