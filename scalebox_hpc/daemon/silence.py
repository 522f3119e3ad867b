"""When an agent that says nothing is given up.

Silence counts only while this daemon ran and heard something of that site, never while its link is
known to be down, and it is no proof of an end: an agent that was given up for it alone may come back
(see `loading.come_back`).
"""

from __future__ import annotations

from scalebox_hpc.daemon import talking
from scalebox_hpc.daemon.desk import Desk
from scalebox_hpc.daemon.looking import SiteBook
from scalebox_hpc.daemon.state import AgentState
from scalebox_hpc.domain.task import Cause
from scalebox_hpc.units import show_duration

SITE_QUIET_S = 60.0  # a site of which nothing was heard for so long, or two intervals, is not heard


def lost_agents(desk: Desk, books: dict[str, SiteBook]) -> None:
    """Give up agents that were silent for too long while we could have heard them."""
    by_site: dict[str, list[AgentState]] = {}
    for agent in desk.world.agents.values():
        by_site.setdefault(agent.pool.spec.site, []).append(agent)
    for name, agents in by_site.items():
        facts, book = desk.sites[name], books.setdefault(name, SiteBook())
        is_away = facts.is_remote and not book.link_up
        _excuse(desk, agents, book, facts.site.interval_s, is_away=is_away)
        for agent in agents:
            _judge(desk, agent, name)


def _excuse(
    desk: Desk, agents: list[AgentState], book: SiteBook, interval_s: float, *, is_away: bool
) -> None:
    """The time for which a whole site was silent, or its link was down, counts against none of its agents."""
    now_s = desk.now.mono_s
    since_s, book.checked_s = book.checked_s, now_s
    heard_s = max(book.heard_s, *(agent.heard_s for agent in agents))
    if since_s is not None and (is_away or now_s - heard_s > max(SITE_QUIET_S, 2 * interval_s)):
        for agent in agents:
            agent.excused_s += now_s - since_s


def _judge(desk: Desk, agent: AgentState, site: str) -> None:
    facts = desk.sites[site]
    silent_s = desk.now.mono_s - agent.heard_s
    if silent_s - agent.excused_s >= facts.site.lost_after_s:
        why = f"nothing was heard of its agent for {show_duration(facts.site.lost_after_s)}"
        talking.end_agent(desk, agent, Cause.AGENT_LOST, why, ending=talking.SILENT)
