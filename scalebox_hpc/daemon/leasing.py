"""Leases: granted, given back, lapsed, held again.

A lease has no clock of its own. It lapses when the incarnation that holds it is known to be over,
or has been silent for too long while this daemon was there to hear it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scalebox_hpc.daemon import placing, recording
from scalebox_hpc.daemon.desk import Desk
from scalebox_hpc.daemon.headers import read_headers
from scalebox_hpc.daemon.state import ACTIVE, AgentState, ModuleState, PoolState
from scalebox_hpc.domain.stage import CHOSEN
from scalebox_hpc.domain.task import HELD, Cause, Lease, TaskState, parse_lease, revives
from scalebox_hpc.engine.dispatch import Candidate, Room, fits, shares, take
from scalebox_hpc.engine.launches import SHUN_TELL_S, Shun, on_trial, shun
from scalebox_hpc.engine.retry import write_spent
from scalebox_hpc.engine.session import Heard, Offer
from scalebox_hpc.wire.messages import Outcome, Result

MOST_OFFERS = 2000  # of one answer
AVOID_S = 2.0  # for which another agent of the node may try what would not start here


def grant(desk: Desk, agent: AgentState, turn: int) -> list[dict[str, Any]]:
    """Lease what an agent has room for; return the new offers as the wire has them."""
    pool = agent.pool
    if agent.leaving or agent.told != "work" or pool.run.phase not in ACTIVE:
        return []
    work = with_work(desk, pool)
    candidates = [
        _candidate(desk, pool, module) for module in pool.modules if _can_serve(desk, agent, module, work)
    ]
    if not candidates:
        return []
    offers: list[dict[str, Any]] = []
    prefetch = _prefetch(agent, candidates)
    for share in shares(_room_left(agent), prefetch, _walltime_left(desk, agent), candidates, turn):
        module = desk.world.modules[share.module_id]
        count = min(share.count, MOST_OFFERS - len(offers))
        shunned = _shunned(desk, agent, module)
        offers += (taken := _claim(desk, agent, module, min(count, 1) if shunned else count))
        if taken and shunned:
            pool.shuns[module.module_id, agent.node] = on_trial(shunned, desk.now.mono_s)
    if not offers and len(candidates) == len(work):
        agent.full_for = work
    return offers


def with_work(desk: Desk, pool: PoolState) -> frozenset[int]:
    """The modules of a pool that have tasks to be leased now; none while the pool waits."""
    now = desk.now
    if pool.holds(now.mono_s):
        return frozenset()
    return frozenset(
        module.module_id
        for module in pool.modules
        if module.counts[TaskState.READY]
        and module.due_us <= now.wall_us
        and not module.broken
        and pool.spec.site not in module.given_up
        and (not module.placed or placing.ready_at(desk, pool, module))
    )


def _prefetch(agent: AgentState, candidates: list[Candidate]) -> Mapping[int, int]:
    """What the agent would hold beside what fits; of modules farther downstream one room full at least.

    Otherwise what waits in the agent already would keep it from what lies farther downstream.
    """
    waiting = agent.session.unstarted
    depths = [agent.pool.run.depth_of(module_id) for module_id, count in waiting.items() if count > 0]
    if not depths:
        return agent.prefetch
    prefetch = dict(agent.prefetch)
    for candidate in candidates:
        if candidate.depth > min(depths):
            more = fits(agent.room, candidate.needs) - waiting[candidate.module_id]
            prefetch[candidate.module_id] = max(prefetch.get(candidate.module_id, 0), more)
    return prefetch


def _can_serve(desk: Desk, agent: AgentState, module: ModuleState, work: frozenset[int]) -> bool:
    if module.module_id not in work:
        return False
    if agent.avoids.get(module.module_id, 0.0) > desk.now.mono_s:
        return False
    shunned = _shunned(desk, agent, module)
    return shunned is None or shunned.until_s <= desk.now.mono_s


def _shunned(desk: Desk, agent: AgentState, module: ModuleState) -> Shun | None:
    """What keeps a module from an agent's node; nothing does where no other node serves it."""
    shunned = agent.pool.shuns.get((module.module_id, agent.node))
    return shunned if shunned is not None and desk.world.serves_elsewhere(module, agent.node) else None


def weigh_node(desk: Desk, agent: AgentState, results: Sequence[Result]) -> None:
    """Leave what would not start here to others for a while; trust the node again once it works."""
    shuns = agent.pool.shuns
    shunned = any(node == agent.node for _, node in shuns)
    telling = [
        result
        for result in results
        if result.cause == Cause.LAUNCH or (shunned and result.outcome is Outcome.OK)
    ]
    for result in telling:
        task = recording.load_task(desk, result.lease.task_id)
        if task is not None and result.outcome is Outcome.OK:
            shuns.pop((task.module.module_id, agent.node), None)
        elif task is not None:
            _avoid(desk, agent, task.module)


def _avoid(desk: Desk, agent: AgentState, module: ModuleState) -> None:
    """Leave a module to other nodes, or to other agents of this one, where there are any."""
    pool, now_s = agent.pool, desk.now.mono_s
    if desk.world.serves_elsewhere(module, agent.node):
        key = (module.module_id, agent.node)
        pool.shuns[key] = shun(pool.shuns.get(key), now_s)
        if pool.shuns[key].for_s >= SHUN_TELL_S:
            pool.run.note(f"{module.spec.name} does not start on {agent.node}: other nodes go on with it")
    elif any(other is not agent and other.pool is pool for other in desk.world.agents.values()):
        agent.avoids[module.module_id] = now_s + AVOID_S


def _candidate(desk: Desk, pool: PoolState, module: ModuleState) -> Candidate:
    time_s = module.spec.resources.time_s
    return Candidate(
        module.module_id,
        module.run.run_id,
        module.depth,
        placing.ready_at(desk, pool, module),
        module.needs(),
        time_s,
    )


def _room_left(agent: AgentState) -> Room:
    room = agent.free
    for offer in agent.session.offers.values():
        if not offer.confirmed:
            room = take(room, Room(offer.cpus, offer.memory_mib, offer.gpus, offer.scratch_mib), 1)
    return room


def _walltime_left(desk: Desk, agent: AgentState) -> float | None:
    if agent.walltime_left_s is None:
        return None
    return agent.walltime_left_s - (desk.now.mono_s - agent.walltime_at_s)


def _claim(desk: Desk, agent: AgentState, module: ModuleState, count: int) -> list[dict[str, Any]]:
    if count <= 0:
        return []
    before = placing.stocks(desk, module.feeds) if module.feeds is not None else []
    rows = desk.store.rows(
        "claim",
        {
            "epoch": desk.epoch,
            "now": desk.now.wall_us,
            "agent": agent.agent_id,
            "module": module.module_id,
            "count": count,
            "memory_mib": agent.room.memory_mib,
            "site": agent.pool.spec.site if module.spec.bound else None,
        },
    )
    if rows:
        module.moved(TaskState.READY, TaskState.LEASED, len(rows))
    if len(rows) < count:
        due = desk.store.one("next_due", (module.module_id,))
        at_us = due[0] if due is not None and due[0] is not None else 0
        module.due_us = at_us if at_us > desk.now.wall_us else 0  # else: what is due does not fit here
    placed = (
        placing.bind(desk, module, rows, before) if module.feeds is not None else [(row, "") for row in rows]
    )
    return [_lease_out(desk, agent, module, row, site) for row, site in placed]


def _lease_out(
    desk: Desk, agent: AgentState, module: ModuleState, row: tuple[Any, ...], site: str
) -> dict[str, Any]:
    """Note a new lease in the agent's session and write its offer."""
    lease = Lease(row[0], desk.epoch, row[2]).text()
    needs = module.needs(row[4])
    agent.session.add(
        Offer(lease, needs.cpus, needs.memory_mib, needs.gpus, needs.scratch_mib, module.module_id)
    )
    return _offer(desk, module, lease, row, site)


def _offer(desk: Desk, module: ModuleState, lease: str, row: tuple[Any, ...], site: str) -> dict[str, Any]:
    """Write an offer for the wire. `site`: to which one of several a transfer is to bring files."""
    task_id, n, _, attempts, memory_mib, generation, body, headers, inherited = row
    told = read_headers(inherited, headers)
    if module.feeds is not None:
        told[CHOSEN] = site
    return {
        "lease": lease,
        "module": module.module_id,
        "task": f"{module.spec.name}.{n}",
        "attempt": attempts + 1,
        "depth": module.depth,
        "body": body,
        "headers": told,
        "resources": module.resources(memory_mib),
        "gather": _gathered(desk, module, task_id, generation),
    }


def _gathered(desk: Desk, module: ModuleState, task_id: int, generation: int) -> dict[str, int] | None:
    if module.gather is None:
        return None
    row = desk.store.one("part_of_task", (task_id,))
    assert row is not None, "a gather task has a part"
    return {"members": row[2], "missing": row[3], "generation": generation}


def offer_again(desk: Desk, agent: AgentState) -> list[dict[str, Any]]:
    """Write again the offers that the agent has neither confirmed nor given back."""
    again = []
    for offer in agent.session.to_offer():
        module = desk.world.modules.get(offer.module_id)
        row = desk.store.one("offer_again", (parse_lease(offer.lease).task_id,))
        if row is not None and module is not None:
            again.append(_offer(desk, module, offer.lease, row[:-1], row[-1]))
    return again


def take_in(desk: Desk, agent: AgentState, heard: Heard) -> None:
    """Carry out what a sync said of the leases in the agent's hands."""
    for offer in heard.given_back:
        give_back(desk, agent, offer.lease)
    for offer in heard.started:
        _start(desk, parse_lease(offer.lease))
    for lease_text, started in heard.strange:
        _hold_again(desk, agent, lease_text, started=started)


def give_back(desk: Desk, agent: AgentState, lease_text: str) -> None:
    """A lease that its holder never started: READY again, no attempt, no budget."""
    lease = parse_lease(lease_text)
    task = recording.load_task(desk, lease.task_id)
    if task is None or task.lease != lease or task.state not in HELD or task.agent_id != agent.agent_id:
        return
    desk.store.run("give_back_task", lease)
    task.module.moved(task.state, TaskState.READY)
    task.module.due_us = 0


def _start(desk: Desk, lease: Lease) -> None:
    task = recording.load_task(desk, lease.task_id)
    if task is not None and task.lease == lease and task.state is TaskState.LEASED:
        desk.store.run("start_task", (lease.task_id,))
        task.module.moved(TaskState.LEASED, TaskState.RUNNING)


def _hold_again(desk: Desk, agent: AgentState, lease_text: str, *, started: bool) -> None:
    """An agent lists a lease that we do not count as its own: it holds it again, or it is dead."""
    lease = parse_lease(lease_text)
    task = recording.load_task(desk, lease.task_id)
    standing = recording.standing_of(desk, task, lease, agent.agent_id)
    if task is None or not revives(standing, lease):
        agent.dead.add(lease_text)
        return
    recording.take_back_lapse(desk, task, lease)
    spent = write_spent(task.spent)
    desk.store.run("revive_task", (agent.agent_id, task.attempts, spent, lease.task_id))
    task.module.moved(TaskState.READY, TaskState.RUNNING)
    needs = task.module.needs(task.memory_mib)
    agent.session.add(
        Offer(
            lease_text,
            *(needs.cpus, needs.memory_mib, needs.gpus, needs.scratch_mib, task.module.module_id),
            confirmed=True,
            started=started,
        )
    )


def lapse_all(desk: Desk, agent: AgentState, cause: Cause, why: str, *, walltime_share: float = 0.0) -> None:
    """Every lease of an incarnation that is over lapses; what was never sent to it is given back."""
    pool, worked = agent.pool, False
    for offer in list(agent.session.offers.values()):
        if not offer.confirmed and offer.first_answer is None and agent.session.last_sync:
            give_back(desk, agent, offer.lease)
            continue
        worked = True
        lease = parse_lease(offer.lease)
        task = recording.load_task(desk, lease.task_id)
        if task is not None and task.lease == lease and task.state in HELD:
            recording.lapse(desk, task, agent, cause, why, walltime_share=walltime_share)
    agent.session.clear()
    if worked and pool.agent_lost(desk.now.mono_s):
        wait_s = round(pool.hold_until_s - desk.now.mono_s)
        pool.run.note(f"pool {pool.spec.name} waits {wait_s} s: agent after agent ended at work, by {cause}")
