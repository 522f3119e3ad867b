"""Makes a transfer ready: finds its sites, opens both ends, and chooses what their link needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from scalebox_hpc.domain.site import Site
from scalebox_hpc.transfer.copy import Move, Order
from scalebox_hpc.transfer.ends import Known, reach
from scalebox_hpc.transfer.link import Link
from scalebox_hpc.transfer.plan import Way, pays_to_compress
from scalebox_hpc.transfer.progress import Watch
from scalebox_hpc.transfer.streams import Streams

_SHRINKS: Final = 0.8  # a sample that becomes smaller than this share of it is worth the work

Finder = Callable[[str], Site]


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person or a module says about how, where the site files say something too."""

    limit_mib_s: float | None = None  # of the whole transfer
    streams: int | None = None
    stays: bool = False  # connections, for the next transfer


@contextmanager
def opened(order: Order, find_site: Finder, watch: Watch, wish: Wish = Wish()) -> Iterator[Move]:
    """The transfer, ready to be done; its links are closed after it. Raises TransferFailed, UsageError."""
    ends = [end_at(place.site, find_site, wish.stays) for place in (order.source, order.target)]
    source, target = ends if ends[0].key != ends[1].key else (ends[0], ends[0])
    sites = {end.key: end.site for end in (source, target) if end.site is not None}
    streams = min([each.transfers.streams for each in sites.values()] or [order.streams])
    order = replace(order, streams=min(streams, wish.streams or streams))
    limit_mib_s = _limit_mib_s(sites.values(), wish, order.streams)
    slots = Streams({name: site.transfers.streams for name, site in sites.items()})
    link = Link(source, target, limit_mib_s)
    try:
        for end in (target, source):
            end.open()
        move = Move(order, link, slots, watch)
        link.asked_to_compress = lambda: _compresses(move, limit_mib_s)
        yield move
    finally:
        link.stop()
        for end in ends:
            end.close()


def end_at(name: str, find_site: Finder, stays: bool = False) -> Known:
    """The end at a site; "" is this machine."""
    return reach(find_site(name) if name else None, stays)


def _limit_mib_s(sites: Iterable[Site], wish: Wish, streams: int) -> float | None:
    """What one stream may carry: the least of what the sites say of one, and its share of the wish."""
    said = [site.transfers.bandwidth_mib_s for site in sites]
    said.append(wish.limit_mib_s / streams if wish.limit_mib_s is not None else None)
    return min((each for each in said if each is not None), default=None)


def _compresses(move: Move, limit_mib_s: float | None) -> bool:
    """Whether the link is likely slower than zstd, and a sample of the source becomes smaller."""
    if move.link.way in (Way.HERE, Way.WITHIN):
        return False
    if not pays_to_compress(limit_mib_s, move.delay_s):
        return False
    return float(move.source.ask("sample", move.source_path)) < _SHRINKS
