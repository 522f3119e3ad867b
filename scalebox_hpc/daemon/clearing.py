"""The files of runs that go, and old logs: counted and deleted, in the home and in its shared folders.

Nothing outside these is touched but a results directory, and that only under a run's own name. What a
path was when a run began does not count: a home may have been moved, or be a copy.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from scalebox_hpc.daemon.desk import Clear, Measure
from scalebox_hpc.relay.clearing import Gone, is_name, sizes_of, sweep_part
from scalebox_hpc.relay.folder import remove
from scalebox_hpc.sites.depot import Depot


class Folders(NamedTuple):
    """Where the files of a home's runs may be."""

    home: Path
    shared: Sequence[Depot]


def clear(folders: Folders, order: Clear) -> None:
    """Delete what an order names; what is gone or resists is passed over. Raises what a Depot raises."""
    for path in _places(folders.home, order):
        remove(str(path))
    for depot in folders.shared:
        depot.clear(gone(order))


def measured(folders: Folders, asked: Measure) -> dict[str, Any]:
    """The answer to who asks what would go: with each run how many files it has, and of how many bytes."""
    sizes = [_sizes(folders, order) for order in asked.orders]
    runs = [
        {**run, "files": len(each), "bytes": sum(each)}
        for run, each in zip(asked.body["runs"], sizes, strict=True)
    ]
    return {**asked.body, "runs": runs}


def _sizes(folders: Folders, order: Clear) -> list[int]:
    found = [size for path in _places(folders.home, order) for size in sizes_of(path)]
    return found + [size for depot in folders.shared for size in depot.sizes(gone(order))]


def gone(order: Clear) -> Gone:
    """What an order is about, of a shared folder."""
    incarnations = [incarnation for _, incarnation in order.agents]
    return Gone(order.run, bool(order.results), incarnations, [name for _, name in order.tries])


def _places(home: Path, order: Clear) -> Iterator[Path]:
    """The files and directories of an order that are in no shared folder; they need not exist."""
    for local in home.glob("local*"):
        yield from (local / name for _, name in order.tries if is_name(name))
    if is_name(order.run):
        yield home / "seeds" / f"{order.run}.jsonl"
        results = Path(order.results)
        if results.is_absolute() and (results.parent.name, results.name) == ("results", order.run):
            yield results


def sweep(folders: Folders, before_s: float, spare: Collection[str]) -> int:
    """Delete logs of agents and directories of tries that nobody has written to since; return how many."""
    count = sum(depot.sweep(before_s, spare) for depot in folders.shared)
    return count + sum(sweep_part(local, before_s, spare) for local in folders.home.glob("local*"))
