"""How far running tasks are by their own word, and what several of them amount to. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import NamedTuple


class Progress(NamedTuple):
    """What the program of one task says, or what those of several say together."""

    done: float
    total: float = 0  # 0: not known
    rate: float = 0  # a second; 0: not known
    unit: str = ""  # "": bytes

    @property
    def left_s(self) -> float | None:
        """The time left at this rate; None where that cannot be told.

        >>> Progress(20, 100, 4).left_s, Progress(20, 0, 4).left_s
        (20.0, None)
        """
        if not (self.total and self.rate):
            return None
        return max(0.0, (self.total - self.done) / self.rate)


def together(parts: Collection[Progress]) -> Progress | None:
    """The sum of those in the unit that most of them have; its total is known if that of each one is.

    >>> together([Progress(1, 10, 2), Progress(2, 20, 3), Progress(7, unit="files")])
    Progress(done=3, total=30, rate=5, unit='')
    """
    if not parts:
        return None
    unit = Counter(part.unit for part in parts).most_common(1)[0][0]
    alike = [part for part in parts if part.unit == unit]
    total = sum(part.total for part in alike) if all(part.total for part in alike) else 0
    return Progress(sum(part.done for part in alike), total, sum(part.rate for part in alike), unit)
