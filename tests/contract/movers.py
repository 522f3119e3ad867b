"""What the tests of transfers share: two login nodes, and a mover for each way between places."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from scalebox_hpc.domain.site import Site
from scalebox_hpc.transfer.copy import Move, Order, Outcome, copy
from scalebox_hpc.transfer.ends import reach
from scalebox_hpc.transfer.link import Link, Piece
from scalebox_hpc.transfer.place import Place
from scalebox_hpc.transfer.progress import Watch
from scalebox_hpc.transfer.removal import remove_source
from scalebox_hpc.transfer.streams import Streams

WAYS = {"here": ("", ""), "push": ("", "b"), "pull": ("b", ""), "through": ("b", "c"), "within": ("b", "b")}


class Mover:
    """Moves data on one way; `after_each` may do harm between an rsync and its verification."""

    def __init__(self, sites: Mapping[str, Site], way: str, locks: Path) -> None:
        self.way = way
        self._names = WAYS[way]
        source, target = (reach(sites[name] if name else None) for name in self._names)
        self.link = Link(source, target)
        self._locks = locks

    def __call__(
        self,
        source: Path,
        target: Path,
        after_each: Callable[[Piece], None] | None = None,
        limit_mib_s: float | None = None,
        **more: Any,
    ) -> Outcome:
        near, far = self._names
        order = Order(Place(near, str(source)), Place(far, str(target)), **{"patience_s": 0.0, **more})
        link = Harmed(self.link, after_each, limit_mib_s)
        move = Move(order, link, Streams({"b": 4, "c": 4}, self._locks), Watch())
        outcome = copy(move)
        if not order.keep_source:
            remove_source(move, outcome)
        return outcome

    def close(self) -> None:
        """End what it keeps open."""
        self.link.source.close()
        self.link.target.close()


class Harmed(Link):
    """A link after whose every rsync something happens."""

    def __init__(
        self, whole: Link, after_each: Callable[[Piece], None] | None, limit_mib_s: float | None
    ) -> None:
        super().__init__(whole.source, whole.target, limit_mib_s)
        self._after_each = after_each

    def move(self, piece: Piece, told: Callable[[int], None]) -> None:
        super().move(piece, told)
        if self._after_each is not None:
            self._after_each(piece)
