"""What squeue, sacct and scontrol print, read into our words. Pure text: asks nobody."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from scalebox_hpc.batch.base import belongs
from scalebox_hpc.batch.slurm_states import meaning_of
from scalebox_hpc.domain.allocation import ElementSeen, Phase, TrySeen

SQUEUE_FORMAT: Final = "%F|%K|%A|%T|%N|%r|%j"
"""Array's job id, indices, own job id, state, nodes, reason; the name, which may hold anything, last."""

SACCT_FORMAT: Final = "JobID,JobIDRaw,State,NodeList,JobName"

_RANGE = re.compile(r"(\d+)(?:-(\d+)(?::(\d+))?)?")
_ACCOUNTED = re.compile(r"(\d+)(?:_\[?([^\]]+)\]?)?")
_RANK: Final = {Phase.ACTIVE: 3, Phase.UNKNOWN: 2, Phase.PENDING: 1, Phase.ENDED: 0}


class UnreadableListing(Exception):
    """A line is not of the form that was asked for; the listing is not to be relied on."""


@dataclass(slots=True)
class _Try:
    job_id: str
    elements: dict[int, ElementSeen] = field(default_factory=dict)


def indices(expression: str) -> tuple[int, ...]:
    """Read the array indices of one line, as compact as Slurm writes them.

    >>> indices("7"), indices("1,3,5-8%4"), indices("0-6:2"), indices("N/A")
    ((7,), (1, 3, 5, 6, 7, 8), (0, 2, 4, 6), (0,))
    """
    text = expression.strip().strip("[]").split("%")[0]
    if text in {"", "N/A"}:
        return (0,)
    found: list[int] = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise UnreadableListing(f"array indices {expression!r}")
        first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
        found.extend(range(first, last + 1, step))
    return tuple(found)


def from_squeue(text: str, home: str) -> dict[str, TrySeen]:
    """Read `squeue --format=SQUEUE_FORMAT --noheader`. Raises UnreadableListing."""
    return collect(_squeue_rows(text.splitlines(), home))


def from_sacct(text: str, home: str) -> dict[str, TrySeen]:
    """Read `sacct --parsable2 --noheader --format=SACCT_FORMAT`: endings only.

    What accounting holds for alive is passed over, for it may never have been told of the end.
    Raises UnreadableListing.
    """
    return collect(_sacct_rows(text.splitlines(), home))


def config_values(text: str) -> Mapping[str, str]:
    """Read the `KEY = value` lines of `scontrol show config`.

    >>> config_values("MaxArraySize            = 1001\\nSLURM_VERSION = 24.11.5")["MaxArraySize"]
    '1001'
    """
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


Row = tuple[str, str, tuple[int, ...], ElementSeen]
"""Name of a try, job id of its array, indices of elements, and how these are doing."""


def _squeue_rows(lines: Iterable[str], home: str) -> Iterator[Row]:
    for line in lines:
        fields = line.split("|", 6)
        if len(fields) != 7:
            if belongs(line, home):
                raise UnreadableListing(f"squeue line {line!r}")
            continue  # the rest of somebody's job name that holds a line break
        array, expression, own, state, node, reason, name = (item.strip() for item in fields)
        if belongs(name, home):
            yield name, array, indices(expression), seen_as(state, reason, node, own)


def _sacct_rows(lines: Iterable[str], home: str) -> Iterator[Row]:
    for line in lines:
        fields = line.split("|", 4)
        if len(fields) != 5 or not belongs(fields[4], home):
            continue
        job, own, state, node, name = (item.strip() for item in fields)
        match = _ACCOUNTED.fullmatch(job)
        if match is None:
            raise UnreadableListing(f"sacct line {line!r}")
        seen = seen_as(state, "", node, own)
        if seen.phase is Phase.ENDED:
            yield name, match[1], indices(match[2] or ""), seen


def seen_as(state: str, reason: str, node: str, job_id: str) -> ElementSeen:
    """Put into our words how Slurm describes one element."""
    phase, ending = meaning_of(state)
    shown = "" if reason in {"None", "(null)"} else reason
    return ElementSeen(
        phase, state, reason=shown, node="" if node == "None assigned" else node, ending=ending, job_id=job_id
    )


def collect(rows: Iterable[Row]) -> dict[str, TrySeen]:
    """Join the lines of each try. An element listed twice is as alive as its liveliest line."""
    tries: dict[str, _Try] = {}
    for name, array, found, seen in rows:
        one = tries.setdefault(name, _Try(array))
        for index in found:
            before = one.elements.get(index)
            if before is None or _RANK[seen.phase] >= _RANK[before.phase]:
                one.elements[index] = seen
    return {name: TrySeen(one.job_id, one.elements) for name, one in tries.items()}
