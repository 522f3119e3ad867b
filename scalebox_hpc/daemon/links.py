"""The links to remote sites: when one is wanted, and what waits while it is down.

A site whose link is down is paused: nothing is asked of it, nothing of it lapses (see `silence`), and all
goes on by itself once the link is back. A hand keeps the link up; it is only told whether it is wanted.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from scalebox_hpc.daemon.desk import Connect, Desk, Disconnect
from scalebox_hpc.daemon.looking import SiteBook, touch
from scalebox_hpc.daemon.state import ACTIVE
from scalebox_hpc.engine.elements import OPEN
from scalebox_hpc.units import show_duration

AGAIN_S: Final = 15.0  # before a link that could not be begun is tried again
HOPELESS_S: Final = 300.0  # the same where it seems of no use, and too often may lock the user out


def keep(desk: Desk, books: dict[str, SiteBook]) -> None:
    """Ask for the links that are wanted, and let go of the others."""
    remote = {site: facts for site, facts in desk.sites.items() if facts.is_remote}
    wanted = _wanted(desk, books) if remote else set()
    for site, facts in remote.items():
        book, way = books.setdefault(site, SiteBook()), facts.site.way
        if book.linked and book.way != way:  # its file says otherwise since: the hand begins anew
            book.linked = book.link_up = False
        if site in wanted and not book.linked and desk.now.mono_s >= book.link_again_s:
            book.linked, book.way = True, way
            desk.commands.append(Connect(site))
        elif site not in wanted and (book.linked or book.link_up):
            book.linked = book.link_up = False
            book.link_why, book.link_todo, book.link_lost_s = "", "", None
            desk.commands.append(Disconnect(site))


def _wanted(desk: Desk, books: Mapping[str, SiteBook]) -> set[str]:
    """The sites of which something may be heard, or is to be asked."""
    world = desk.world
    wanted = {pool.spec.site for pool in world.pools.values() if pool.run.phase in ACTIVE or pool.allocations}
    wanted |= {agent.pool.spec.site for agent in world.agents.values()}
    open_tries = [each for each in world.tries.values() if each.state in OPEN]
    wanted |= {world.pools[world.allocations[each.allocation_id].pool_id].spec.site for each in open_tries}
    return wanted | {site for site, book in books.items() if book.asked}


def told(desk: Desk, books: dict[str, SiteBook], news: Mapping[str, Any]) -> None:
    """A link came up, or went down."""
    site = news["site"]
    if site not in desk.sites:
        return  # told before memory was read again, of a site that is of the past
    book = books.setdefault(site, SiteBook())
    _note_return(desk, book, news)
    book.link_up, book.link_why, book.link_todo = news["up"], news["why"], news["todo"]
    if news["up"]:
        book.heard_s = desk.now.mono_s
        book.looked_s = -1e9  # look at once: much may have happened there
    if not news["begun"]:
        book.linked = False
        book.link_again_s = desk.now.mono_s + (HOPELESS_S if news["hopeless"] else AGAIN_S)
    if news["up"]:
        desk.tell("site.up", site=site)
    else:
        desk.tell("site.down", site=site, why=news["why"], todo=news["todo"])
    touch(desk, site)


def _note_return(desk: Desk, book: SiteBook, news: Mapping[str, Any]) -> None:
    """Keep for people how long a site was away, with the runs that waited for it."""
    if not news["up"]:
        book.link_lost_s = desk.now.mono_s if book.link_lost_s is None else book.link_lost_s
        return
    if book.link_lost_s is None:
        return
    away_s, book.link_lost_s = desk.now.mono_s - book.link_lost_s, None
    until, site = datetime.fromtimestamp(desk.now.wall_us / 1e6, UTC), news["site"]
    note = f"site {site} could not be reached for {show_duration(away_s)}, until {until:%F %T} UTC"
    for pool in desk.world.pools.values():
        if pool.spec.site == site and pool.run.phase in ACTIVE:
            pool.run.note(f"{note}: {book.link_why}")


def is_away(desk: Desk, books: Mapping[str, SiteBook], site: str) -> bool:
    """Whether a site is remote and its link is not known to be up."""
    facts = desk.sites.get(site)
    if facts is None or not facts.is_remote:
        return False
    book = books.get(site)
    return book is None or not book.link_up


def reason(desk: Desk, books: Mapping[str, SiteBook], site: str) -> str:
    """Why a site waits, and what to do about it, in a sentence or two; "" where it does not."""
    book = books.get(site)
    if not is_away(desk, books, site) or book is None or not book.link_why:
        return ""
    todo = f" Type: {book.link_todo}" if book.link_todo else ""
    return f"site {site} cannot be reached: {book.link_why}.{todo}"


def next_due_s(desk: Desk, books: Mapping[str, SiteBook]) -> list[float]:
    """When a link is to be tried again, monotonic."""
    waiting = [site for site in books if is_away(desk, books, site) and not books[site].linked]
    wanted = _wanted(desk, books) if waiting else ()
    return [books[site].link_again_s for site in waiting if site in wanted]
