"""Site files read anew: what they say holds for all runs at a site, unless it would cut off its agents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from scalebox_hpc.daemon.desk import Desk, SiteFacts
from scalebox_hpc.daemon.state import ACTIVE
from scalebox_hpc.errors import ConflictError


def take_in(desk: Desk, sites: Mapping[str, SiteFacts]) -> dict[str, SiteFacts]:
    """Go on with sites as their files were just read, in whatever order that is told; return how they are.

    Raises ConflictError, with nothing done.
    """
    for site, facts in sites.items():
        _must_stay_in_place(desk, site, facts)
    taken = {site: _newer(desk, desk.sites.get(site), facts) for site, facts in sites.items()}
    desk.sites.update(taken)
    return taken


def _newer(desk: Desk, known: SiteFacts | None, facts: SiteFacts) -> SiteFacts:
    if known is None:
        return replace(facts, read_us=desk.now.wall_us)
    if facts.read_s < known.read_s:
        return known  # hands that make runs ready overtake each other
    return replace(facts, read_us=max(desk.now.wall_us, known.read_us + 1))  # clocks may be set back


def _must_stay_in_place(desk: Desk, site: str, facts: SiteFacts) -> None:
    """Agents elsewhere learn from a file in the shared folder, as they know it, where we are."""
    known = desk.sites.get(site)
    if known is None or not known.is_remote or not _is_at_work(desk, site):
        return
    before, now = known.launch.shared, facts.launch.shared
    if before != now:
        raise ConflictError(
            f"site {site}: its shared folder is {now} now, but runs at work there use {before}",
            "set `paths.shared` in the site file back, or wait until these runs are over (`sbx ps`)",
        )


def _is_at_work(desk: Desk, site: str) -> bool:
    """Whether a run has, or may soon have, agents there."""
    pools = [pool for pool in desk.world.pools.values() if pool.spec.site == site]
    return desk.world.has_agents(site) or any(pool.allocations or pool.run.phase in ACTIVE for pool in pools)
