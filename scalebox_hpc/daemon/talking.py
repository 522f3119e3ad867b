"""The daemon's part of the conversation with agents: hello, sync, chunks, sheets, the end.

Each function takes one decoded message, changes ledger and memory, and says what the answer is.
Answers leave only after the turn is on disk.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from scalebox_hpc.daemon import cancelling, disks, leasing, recording, spooled
from scalebox_hpc.daemon.desk import Desk, Fetch
from scalebox_hpc.daemon.events import Call
from scalebox_hpc.daemon.loading import come_back
from scalebox_hpc.daemon.state import (
    ACTIVE,
    AgentState,
    AllocationState,
    Parting,
    Poll,
    PoolState,
    TryState,
)
from scalebox_hpc.domain.task import Cause
from scalebox_hpc.engine import elements
from scalebox_hpc.engine.dispatch import Room
from scalebox_hpc.engine.elements import TryEvent
from scalebox_hpc.wire import codec
from scalebox_hpc.wire.messages import Chunk, Ended, Hello, Sync

POLL_S = 25.0
SPOOL_AFTER_S = 60.0
PREFETCH_S = 2.0
LEFT = "left"  # that of one that ended in order: no attempt was lost with it, unless it forgot one
SILENT = "silent"  # the ending of an agent that was given up for its silence alone


def hello(desk: Desk, call: Call, token_of: Callable[[str], str]) -> None:
    """An agent is there: its try has arrived, whatever the batch system lists."""
    said = codec.hello(call.args)
    attempt = desk.world.tries.get(said.try_name)
    if attempt is None or attempt.state in ("SUPERSEDED", "REFUSED"):
        if attempt is not None:
            move_try(desk, attempt, TryEvent.HELLO)
        _send_away(desk, call, "this allocation is no longer wanted")
        return
    allocation = desk.world.allocations[attempt.allocation_id]
    pool = desk.world.pools[allocation.pool_id]
    agent = desk.world.agents.get(said.incarnation) or come_back(desk, said.incarnation, SILENT)
    if agent is not None and (agent.try_id, agent.element) != (attempt.try_id, said.element):
        _send_away(desk, call, "this incarnation belongs to another allocation")
        return
    if agent is None:
        if not _is_newest(desk, attempt, said) or _is_over(desk, said.incarnation):
            _send_away(desk, call, "another agent has this element")
            return
        agent = _welcome(desk, pool, allocation, attempt, said)
    agent.heard(desk.now.mono_s)
    desk.answer(call, {"do": "work", "token": token_of(said.incarnation), **_terms(desk, pool, agent)})


def _send_away(desk: Desk, call: Call, reason: str) -> None:
    desk.answer(call, {"do": "leave", "reason": reason})


def _terms(desk: Desk, pool: PoolState, agent: AgentState) -> dict[str, Any]:
    """How an agent is to work, and with what."""
    return {
        "reason": "",
        "resources": {
            "cpus": agent.room.cpus,
            "memory_mib": agent.room.memory_mib,
            "gpus": agent.room.gpus,
            "scratch_mib": agent.room.scratch_mib,
        },
        "idle_s": pool.spec.idle_s,
        "lost_after_s": desk.sites[pool.spec.site].site.lost_after_s,
        "spool_after_s": SPOOL_AFTER_S,
        "poll_s": POLL_S,
        "prefetch_s": PREFETCH_S,
    }


def _is_over(desk: Desk, incarnation: str) -> bool:
    row = desk.store.one("agent_by_incarnation", (incarnation,))
    return row is not None and row[5] is not None


def _is_newest(desk: Desk, attempt: TryState, said: Hello) -> bool:
    """At equal restart counts the first to say hello stays; a higher count replaces it."""
    for other in desk.world.agents_of(attempt.try_id, said.element):
        if said.restart <= other.restart:
            return False
        end_agent(desk, other, elements.RESTARTED, "its element was started again")
    return True


def _welcome(
    desk: Desk, pool: PoolState, allocation: AllocationState, attempt: TryState, said: Hello
) -> AgentState:
    request = allocation.request
    room = Room(request.cpus, request.memory_mib, request.gpus, said.total.scratch_mib)
    facts = {"room": list(room_tuple(room)), "nodes": said.nodes}
    facts |= {"python": said.python, "version": said.version}
    agent = AgentState(
        agent_id=desk.ids.take("agent"),
        incarnation=said.incarnation,
        pool=pool,
        try_id=attempt.try_id,
        allocation_id=allocation.allocation_id,
        element=said.element,
        restart=said.restart,
        node=said.node,
        room=room,
        heard_s=desk.now.mono_s,
    )
    job_id = said.job_id or attempt.job_id
    desk.store.run(
        "add_agent",
        (
            *(agent.agent_id, said.incarnation, attempt.try_id, said.element, said.restart, pool.pool_id),
            *(pool.spec.site, said.node, job_id, json.dumps(facts), desk.now.wall_us),
        ),
    )
    desk.world.agents[said.incarnation] = agent
    desk.event("agent", agent.agent_id, "hello", said.node)
    attempt.hellos.add(said.element)
    attempt.ended.pop(said.element, None)
    attempt.heard = True
    if pool.run.phase in ACTIVE and said.element in allocation.cancelled:  # it may as well work
        cancelling.keep(desk, allocation, said.element)
    move_try(desk, attempt, TryEvent.HELLO)
    if pool.hello_less:
        pool.hello_less = 0
        desk.store.run("save_pool", (pool.state, pool.reason, 0, pool.pool_id))
    pool.run.touched = True
    return agent


def room_tuple(room: Room) -> tuple[int, int, int, int]:
    """A room as it is kept with the agent."""
    return (room.cpus, room.memory_mib, room.gpus, room.scratch_mib)


def move_try(desk: Desk, attempt: TryState, event: TryEvent) -> None:
    """Move a try by its table and write it."""
    state = elements.advance(elements.TryState(attempt.state), event, attempt.name)
    if state != attempt.state:
        desk.event("allocation", attempt.allocation_id, state, attempt.name)
    attempt.state = state
    save_try(desk, attempt)


def save_try(desk: Desk, attempt: TryState) -> None:
    """Write what is known of a try."""
    about = (attempt.state, attempt.job_id, attempt.reason, int(attempt.heard))
    desk.store.run("save_try", (*about, attempt.try_id))


def sync(desk: Desk, call: Call) -> None:
    """Take in what an agent holds and what came of it; answer at once or park."""
    said = codec.sync(call.args)
    agent = desk.world.agents.get(said.incarnation) or come_back(desk, said.incarnation, SILENT)
    if agent is None:
        _answer_ended(desk, call, said)
        return
    reported = [each.lease.text() for each in said.results]
    stays = said.leaving is None
    heard = agent.session.hear(said.number, said.took, said.held, reported, takes_more=stays)
    if heard.stale:
        desk.answer(call, _superseded(said.number))
        return
    release(desk, agent)
    agent.heard(desk.now.mono_s)
    agent.walltime_left_s, agent.walltime_at_s = said.walltime_left_s, desk.now.mono_s
    agent.free = Room(said.free.cpus, said.free.memory_mib, said.free.gpus, said.free.scratch_mib)
    disks.take_in(desk, agent, said)
    agent.prefetch, agent.leaving = said.prefetch, not stays
    agent.dead = {lease for lease in agent.dead if lease in said.held}
    leasing.take_in(desk, agent, heard)
    agent.session.progressed(said.progress)
    recording.record(desk, agent, said.results)
    for lease in agent.acks.get("refused", ()):  # current, but its chunks are not all here
        leasing.give_back(desk, agent, lease)
    if said.results and any(result.outcome == "ok" for result in said.results):
        agent.pool.went_well()
    leasing.weigh_node(desk, agent, said.results)
    agent.parked = (call, said.number, desk.now.mono_s + POLL_S)
    desk.world.polls.append(Poll(desk.now.mono_s + POLL_S, agent, said.number))
    desk.world.stir(agent)
    agent.full_for = frozenset()
    agent.answer_now = bool(said.results) or not said.wait or bool(agent.dead) or agent.leaving


def _superseded(number: int) -> dict[str, Any]:
    return {"sync": number, "superseded": True}


def _answer_ended(desk: Desk, call: Call, said: Sync) -> None:
    """An incarnation that is over: its results are judged alike, it gets nothing and leaves."""
    row = desk.store.one("agent_by_incarnation", (said.incarnation,))
    recorded: list[str] = []
    refused: list[str] = []
    for result in said.results:
        verdict = recording.record_one(desk, row[0], result) if row is not None else "refuse"
        (refused if verdict == "refuse" else recorded).append(result.lease.text())
    desk.answer(
        call,
        {
            "sync": said.number,
            "offers": [],
            "recorded": recorded,
            "refused": refused,
            "dead": list(said.held),
            "do": "leave",
            "reason": "this incarnation was given up",
        },
    )


def release(desk: Desk, agent: AgentState) -> None:
    """Close an agent's parked poll: a newer sync came, or the agent is over."""
    if agent.parked is not None:
        call, number, _ = agent.parked
        desk.answer(call, _superseded(number))
        agent.parked = None


def answer_parked(desk: Desk, agent: AgentState, turn: int) -> None:
    """Answer a waiting sync if there is news, or its time is up."""
    if agent.parked is None:
        return
    call, number, deadline_s = agent.parked
    told = "drain" if is_over(agent.pool) else agent.told
    news = told != agent.told
    agent.told = told
    unheard = leasing.offer_again(desk, agent)
    offers = unheard + leasing.grant(desk, agent, turn)
    due = desk.now.mono_s >= deadline_s
    if not (offers or news or agent.answer_now or agent.acks or agent.dead or due):
        return
    agent.session.answered(number)
    desk.answer(
        call,
        {
            "sync": number,
            "offers": offers,
            "recorded": agent.acks.get("recorded", []),
            "refused": agent.acks.get("refused", []),
            "dead": sorted(agent.dead),
            "do": told,
            "reason": "",
        },
    )
    agent.parked, agent.acks, agent.answer_now = None, {}, False


def is_over(pool: PoolState) -> bool:
    """Tell whether nothing can come for a pool any more, so that its agents are to leave."""
    run = pool.run
    return run.phase not in ACTIVE or all(
        module.spec.name in run.closed or module.broken or pool.spec.site in module.given_up
        for module in pool.modules
    )


def chunk(desk: Desk, call: Call) -> None:
    """Stage messages sent ahead of their report, in slices that one turn can take."""
    said: Chunk = codec.chunk(call.args)
    agent = desk.world.agents.get(said.incarnation)
    if agent is not None:
        agent.heard(desk.now.mono_s)
        agent_id = agent.agent_id
    else:
        row = desk.store.one("agent_by_incarnation", (said.incarnation,))
        agent_id = row[0] if row is not None else 0
    reason = recording.stage(desk, agent_id, said)
    desk.answer(call, {"staged": not reason, **({"reason": reason} if reason else {})})


def sheet(desk: Desk, call: Call) -> None:
    """Tell an agent what a module runs."""
    said = codec.sheet_request(call.args)
    module = desk.world.modules.get(said.module)
    if module is None:
        desk.answer(call, {"error": f"no module {said.module}"}, 404)
        return
    agent = desk.world.agents.get(said.incarnation)
    desk.answer(call, module.sheet_at(agent.pool.spec.site if agent is not None else ""))


def ended(desk: Desk, call: Call) -> None:
    """The wrapper's word: an incarnation is over and nothing of it runs any more."""
    incarnation_over(desk, codec.ended(call.args))
    desk.answer(call, {})


def incarnation_over(desk: Desk, said: Ended) -> None:
    """Take the wrapper's word, by the network or by its file."""
    agent = desk.world.agents.get(said.incarnation) or come_back(desk, said.incarnation, SILENT)
    if agent is not None and _is_of_another_try(desk, agent, said.try_name):
        return
    if agent is not None:  # given up for its silence or not: its spool may hold results
        ending = "" if said.status else LEFT
        end_agent(desk, agent, Cause.AGENT_LOST, elements.last_word(said.status), ending=ending)
    attempt = desk.world.tries.get(said.try_name)
    # A late word may be about an older incarnation than the one that lives.
    others = desk.world.agents_of(attempt.try_id, said.element) if attempt is not None else []
    if attempt is not None and all(each.parting for each in others):
        attempt.ended[said.element] = None


def _is_of_another_try(desk: Desk, agent: AgentState, try_name: str) -> bool:
    """Whether the word is of a try that may not speak for this agent."""
    own = next((each.name for each in desk.world.tries.values() if each.try_id == agent.try_id), try_name)
    return own != try_name


def end_agent(desk: Desk, agent: AgentState, cause: Cause, why: str, *, ending: str = "") -> None:
    """An incarnation is over: its spool is taken in, then its leases lapse. `ending`: where not the cause.

    `why` is noted with each attempt that it held.
    A spool that is there but cannot be read postpones that; an absent one does not. That of a remote site
    is fetched first, and this is done once more when it is there.
    """
    lines = _spool(desk, agent, Parting(cause, why, ending, desk.now.mono_s))
    if lines is None:
        return
    spooled.take_in(desk, agent, lines)
    share = _walltime_share(desk, agent) if cause is Cause.WALLTIME else 0.0
    leasing.lapse_all(desk, agent, cause, why, walltime_share=share)
    release(desk, agent)
    desk.world.agents.pop(agent.incarnation, None)
    desk.store.run("end_agent", (desk.now.wall_us, ending or cause, agent.agent_id))
    desk.event("agent", agent.agent_id, "ended", ending or cause)
    agent.pool.run.touched = True


def _spool(desk: Desk, agent: AgentState, parting: Parting) -> list[Any] | None:
    """What an agent left in its spool; None where it cannot be read now, or has to be fetched first."""
    facts = desk.sites[agent.pool.spec.site]
    if facts.is_remote:
        if agent.fetched is None and agent.parting is None:
            desk.commands.append(Fetch(agent.pool.spec.site, agent.incarnation))
        if agent.fetched is None:
            agent.parting = parting
        return agent.fetched
    try:
        return desk.depot_of(facts.launch.shared).spool(agent.incarnation)
    except OSError:
        return None


def fetched(desk: Desk, incarnation: str, lines: list[Any] | None) -> None:
    """The spool of a remote agent is here, or cannot be read now: then what is due is done another time.

    An agent that was held for over because of its silence alone may have spoken meanwhile.
    """
    agent = desk.world.agents.get(incarnation)
    if agent is None or agent.parting is None:
        return
    parting, agent.parting = agent.parting, None
    if lines is None or (parting.ending == SILENT and agent.heard_s > parting.since_s):
        return
    agent.fetched = lines
    end_agent(desk, agent, parting.cause, parting.why, ending=parting.ending)


def _walltime_share(desk: Desk, agent: AgentState) -> float:
    """The share of its walltime for which the longest held task can have run: at most since the hello."""
    row = desk.store.one("oldest_lease", (agent.agent_id,))
    if row is None or row[0] is None:
        return 0.0
    return float((desk.now.wall_us - row[0]) / 1e6 / agent.pool.spec.walltime_s)
