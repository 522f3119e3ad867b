"""What must be so after every turn of the daemon, whatever happened. Each is a function and a sentence.

They look at the ledger, at the daemon's memory, and at what really happened in the world, which the
daemon cannot see. They change nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from scalebox_hpc.agent.lease import RUNNING
from scalebox_hpc.daemon import loading
from scalebox_hpc.daemon.desk import Desk, Ids
from scalebox_hpc.daemon.state import ACTIVE
from scalebox_hpc.daemon.state import World as Memory
from scalebox_hpc.domain.allocation import Phase, TrySeen
from scalebox_hpc.domain.task import Lease, TaskState
from scalebox_hpc.engine.retry import INFRA_BUDGET
from scalebox_hpc.ledger.check import broken
from scalebox_hpc.testing.agent import Json

if TYPE_CHECKING:
    from scalebox_hpc.testing.programs import Message
    from scalebox_hpc.testing.world import World

Row = tuple[Any, ...]
Problems = Iterator[str]


@dataclass(slots=True)
class Scene:
    """A world after a turn, with all that its witness knows of it."""

    world: World
    sent: dict[str, list[Message]]  # by lease: what the program sent
    recorded: dict[str, str] = field(default_factory=dict)  # by lease, acknowledged: outcome as reported
    refused: set[str] = field(default_factory=set)  # leases whose report was refused
    asked: dict[str, str] = field(default_factory=dict)  # by lease: outcome in the last report
    new: list[str] = field(default_factory=list)  # leases acknowledged since the last turn
    heard_s: dict[str, float] = field(default_factory=dict)  # by incarnation: when its last word arrived
    listed: dict[str, TrySeen] = field(default_factory=dict)  # what this start of the daemon was shown
    given_back: dict[str, set[int]] = field(default_factory=dict)  # elements, by try
    is_cancelled: bool = False  # a person asked for it since the last turn
    leased: set[str] = field(default_factory=set)  # leases that were held
    lapsed: set[str] = field(default_factory=set)  # and those that were held before; they may be held again
    postponed: set[str] = field(default_factory=set)  # agents whose spool could not be read when it was time
    started_s: float = 0.0  # when the daemon started
    ended: set[int] = field(default_factory=set)  # agents that the ledger held for over
    just_ended: list[Row] = field(default_factory=list)  # and those that it does since this turn

    def rows(self, query: str, params: Row = ()) -> list[Row]:
        """Ask the ledger, as it is on disk."""
        assert self.world.core is not None
        store: Any = self.world.core.store
        found: list[Row] = store.store._db.execute(query, params).fetchall()
        return found

    @property
    def desk(self) -> Desk:
        assert self.world.core is not None
        return self.world.core.desk

    def turn(self) -> None:
        """Find out who was given up in this turn."""
        query = (
            "SELECT agent_id, incarnation, try_id, element, restart, ending FROM agent WHERE ended_us NOTNULL"
        )
        now = self.rows(query)
        self.just_ended = [row for row in now if row[0] not in self.ended]
        self.ended = {row[0] for row in now}


def counters_are_exact(scene: Scene) -> Problems:
    """The counters of a module, in memory and in its row, are its tasks, counted."""
    counted: dict[int, dict[str, int]] = {}
    for module_id, state, count in scene.rows("SELECT module_id, state, count(*) FROM task GROUP BY 1, 2"):
        counted.setdefault(module_id, {})[state] = count
    kept = {row[0]: row[1:] for row in scene.rows(f"SELECT module_id, {_STATES} FROM module")}
    for module_id, module in scene.desk.world.modules.items():
        real = [counted.get(module_id, {}).get(state, 0) for state in TaskState]
        memory = [module.counts[state] for state in TaskState]
        if not real == memory == list(kept[module_id]):
            yield f"{module.spec.name}: {real} tasks, memory says {memory}, its row {kept[module_id]}"


def what_was_acknowledged_is_kept(scene: Scene) -> Problems:
    """A report that was answered `recorded` has its attempt, with that outcome; nothing takes it away."""
    leases, scene.new = scene.new, []
    for lease in leases:
        yield from _acknowledged(scene, lease)


def _acknowledged(scene: Scene, lease: str) -> Problems:
    task, epoch, number = lease.split(".")
    query = (
        "SELECT outcome FROM attempt WHERE task_id = ? AND lease_epoch = ? AND lease_n = ? AND reported = 1"
    )
    found = [row[0] for row in scene.rows(query, (int(task), epoch, int(number)))]
    said = scene.recorded[lease]
    if len(found) != 1 or (found[0] == "SUCCEEDED" and said != "ok"):
        yield f"{lease} was acknowledged as {said}; its attempts are {found}"
    if lease in scene.refused:
        yield f"{lease} was recorded and refused"


def held_leases_are_in_memory(scene: Scene) -> Problems:
    """Whoever holds a lease by the ledger holds it in memory, and nobody holds another."""
    query = (
        "SELECT incarnation, task_id || '.' || lease_epoch || '.' || lease_n"
        " FROM task JOIN agent USING (agent_id) WHERE state IN ('LEASED', 'RUNNING')"
    )
    ledger = set(scene.rows(query))
    memory = {
        (incarnation, lease)
        for incarnation, agent in scene.desk.world.agents.items()
        for lease in agent.session.offers
    }
    if ledger - memory:
        yield f"held by nobody in memory: {sorted(ledger - memory)}"
    if memory - ledger:
        yield f"held in memory alone: {sorted(memory - ledger)}"


def leases_are_of_runs_that_go_on(scene: Scene) -> Problems:
    """A run that is interrupted, paused, cancelled or over gets no new lease."""
    query = (
        "SELECT task_id || '.' || lease_epoch || '.' || lease_n, run.state, run.name FROM task AS t"
        " JOIN module USING (module_id) JOIN run USING (run_id) WHERE t.state IN ('LEASED', 'RUNNING')"
    )
    now = {lease: about for lease, *about in scene.rows(query)}
    for lease in now.keys() - scene.leased:
        state, run = now[lease]
        if state not in ACTIVE and lease not in scene.lapsed:
            yield f"{lease} was granted, and {run} is {state}"
    scene.lapsed |= scene.leased - now.keys()
    scene.leased = set(now)


def an_element_has_one_agent(scene: Scene) -> Problems:
    """At most one incarnation of an element is held for alive, and none of a try that was given up.

    One whose spool cannot be read, or is being fetched, may have to wait for its end while the next is at
    work already.
    """
    taken = set()
    for incarnation, *place in scene.rows(_LIVING):
        agent = scene.desk.world.agents.get(incarnation)
        if incarnation not in scene.postponed and (agent is None or agent.parting is None):
            if tuple(place) in taken:
                yield f"try {place[0]}, element {place[1]} has more than one agent"
            taken.add(tuple(place))
    query = (
        "SELECT name, state, incarnation FROM agent JOIN try USING (try_id)"
        " WHERE ended_us IS NULL AND state IN ('SUPERSEDED', 'REFUSED')"
    )
    for name, state, incarnation in scene.rows(query):
        yield f"{name} is {state}, and {incarnation} works in it"


def agents_are_given_up_for_a_reason(scene: Scene) -> Problems:
    """An agent is over when it is, or its element; or was silent for long while the daemon could hear it."""
    world = scene.world
    for _, incarnation, _, element, restart, ending in scene.just_ended:
        agent = world.agents.get(incarnation)
        if agent is None:
            continue
        now_s = world.clock.mono_s
        if ending == "silent":
            since_s = max(scene.heard_s.get(incarnation, 0.0), scene.started_s)
            if now_s - since_s < world.site.lost_after_s - 0.001:
                yield f"{incarnation} was given up after {now_s - since_s:.1f} s of silence"
            continue
        listed = world.batch.tries.get(agent.try_name)
        seen = listed.elements[element] if listed is not None else None
        moved_on = seen is None or seen.phase is Phase.ENDED or seen.restarts > restart
        twin = any(
            other.try_name == agent.try_name and other.element == element and other.restart > restart
            for other in world.agents.values()
        )
        if not (agent.over or moved_on or twin):
            yield f"{incarnation} lives, and was given up as {ending}"


def spools_are_read_before_leases_lapse(scene: Scene) -> Problems:
    """A result that lies whole in the spool of an agent that is over is recorded, not lapsed."""
    world = scene.world
    for _, incarnation, *_, ending in scene.just_ended:
        if incarnation in world.unreadable:
            yield f"{incarnation} is over ({ending}), its spool could not be read"
        for lease in _whole_results(world.spools.get(incarnation, [])):
            task, epoch, number = lease.split(".")
            query = (
                "SELECT a.cause FROM attempt AS a JOIN task AS t USING (task_id) WHERE a.task_id = ?"
                " AND a.lease_epoch = ? AND a.lease_n = ? AND a.reported = 0 AND t.lease_n = a.lease_n"
                " AND a.cause <> 'cancelled'"
            )
            for row in scene.rows(query, (int(task), epoch, int(number))):
                yield f"{lease} lapsed, {row[0]}, and its result lay in the spool of {incarnation}"


def only_what_was_seen_pending_is_given_back(scene: Scene) -> Problems:
    """While a run goes on, no element is given back that this daemon has not been shown pending."""
    going_on = {pool_id for pool_id, pool in scene.desk.world.pools.items() if pool.run.phase in ACTIVE}
    if scene.is_cancelled:
        going_on, scene.is_cancelled = set(), False
    query = (
        "SELECT name, pool_id, given_back FROM allocation JOIN try USING (allocation_id)"
        " WHERE ended_us IS NULL"
    )
    for name, pool_id, text in scene.rows(query):
        now = set(json.loads(text))
        new = now - scene.given_back.get(name, set())
        scene.given_back[name] = now
        seen = scene.listed[name].elements if name in scene.listed else {}
        for index in new if pool_id in going_on else ():
            if index not in seen or seen[index].phase is not Phase.PENDING:
                yield f"element {index} of {name} was given back unseen"


def no_agent_runs_more_than_it_has_room_for(scene: Scene) -> Problems:
    """What runs in an element fits into what was asked for it; a task with ranks has it to itself."""
    for agent in scene.world.living():
        listed = scene.world.batch.tries.get(agent.try_name)
        if agent.session is None or listed is None:
            continue
        needs = [one.need for one in agent.session.held.values() if one.state == RUNNING]
        asked = listed.request
        room = (asked.cpus, asked.memory_mib, asked.gpus)
        taken = tuple(map(sum, zip(*needs, strict=True)))
        if any(most < used for most, used in zip(room, taken, strict=False)):
            yield f"{agent.incarnation} has {room}, and runs what takes {taken[:3]}"
        if asked.ranks is not None and len(needs) > 1:
            yield f"{agent.incarnation} runs {len(needs)} tasks with ranks"


def _whole_results(lines: list[Json]) -> list[str]:
    """Leases whose results are there with all their chunks, up to where a spool is torn."""
    chunks: dict[str, set[int]] = {}
    whole = []
    for line in lines:
        if "chunk" in line:
            chunks.setdefault(line["chunk"]["lease"], set()).add(line["chunk"]["seq"])
        elif "result" in line:
            result = line["result"]
            if len(chunks.get(result["lease"], ())) == result.get("chunks", 0):
                whole.append(result["lease"])
        else:
            break
    return whole


# looked at now and then, and at the end: they cost more


def the_books_agree(scene: Scene) -> Problems:
    """Every rule of `sbx ledger check` holds: no lease in nobody's hands, nothing recorded twice."""
    assert scene.world.core is not None
    for rule, rows in broken(scene.world.core.store):
        yield f"{rule}: {rows}"


def all_that_was_acknowledged_is_still_there(scene: Scene) -> Problems:
    """What was answered `recorded` long ago is there as well."""
    for lease in scene.recorded:
        yield from _acknowledged(scene, lease)


def infrastructure_fails_a_task_only_at_last(scene: Scene) -> Problems:
    """A task fails for its agents or nodes only after its budget for such losses is spent.

    Or because its module failed as a whole meanwhile.
    """
    query = (
        "SELECT task_id, t.cause, count(*) FILTER (WHERE a.cause IN ('node_lost', 'agent_lost', 'walltime'))"
        " FROM task AS t JOIN module USING (module_id) LEFT JOIN attempt AS a USING (task_id)"
        " WHERE t.state = 'FAILED' AND broken = ''"
        " AND t.cause IN ('node_lost', 'agent_lost', 'preempted') GROUP BY task_id"
    )
    for task_id, cause, losses in scene.rows(query):
        if losses <= INFRA_BUDGET or cause == "preempted":
            yield f"task {task_id} failed, {cause}, after {losses} losses"


def messages_are_those_of_the_accepted_attempt(scene: Scene) -> Problems:
    """What a success sent is what its program sent under that very lease, in order, once."""
    query = (
        "SELECT a.attempt_id, a.task_id, a.lease_epoch, a.lease_n, a.messages_sent FROM attempt AS a"
        " WHERE a.outcome = 'SUCCEEDED'"
        " AND NOT EXISTS (SELECT 1 FROM chunk AS c WHERE c.attempt_id = a.attempt_id)"
    )
    sent: dict[int, list[Message]] = {}
    messages = (
        "SELECT sender, name, body, headers FROM message JOIN module USING (module_id)"
        " WHERE sender > 0 ORDER BY sender, position"
    )
    for sender, name, body, headers in scene.rows(messages):
        sent.setdefault(sender, []).append((name, body, json.loads(headers) if headers else {}))
    for attempt_id, task_id, epoch, number, count in scene.rows(query):
        lease = Lease(task_id, epoch, number).text()
        wanted, there = scene.sent.get(lease), sent.pop(attempt_id, [])
        if wanted is None or [(to, body, dict(headers)) for to, body, headers in wanted] != there:
            yield f"{lease} sent {wanted}, the ledger has {there} of {count}"
    waiting = {row[0] for row in scene.rows("SELECT attempt_id FROM chunk WHERE attempt_id NOTNULL")}
    for sender in sent.keys() - waiting:
        yield f"attempt {sender} did not succeed, and messages of it are there"


def times_are_those_of_the_daemons_clock(scene: Scene) -> Problems:
    """Whatever clocks nodes have: an attempt lies between its lease and its record, as long as it was."""
    query = (
        "SELECT task_id || '.' || lease_epoch || '.' || lease_n, leased_us, started_us, ended_us, recorded_us"
        " FROM attempt WHERE reported = 1 AND started_us NOTNULL"
    )
    told = {lease: each for agent in scene.world.agents.values() for lease, each in agent.results.items()}
    for lease, *kept in scene.rows(query):
        leased_us, started_us, ended_us, recorded_us = kept
        if kept != sorted(kept):
            yield f"{lease} was leased, started, ended and recorded at {kept}"
        times = told[lease]["times"]
        lasted_us = min(times["ended"] - times["started"], recorded_us - leased_us)
        if ended_us - started_us != lasted_us:
            yield f"{lease} took {lasted_us} us, the ledger says {ended_us - started_us}"


def a_new_start_would_know_the_same(scene: Scene) -> Problems:
    """Memory read anew from the ledger is the memory that there is, but for what is only of this start."""
    desk = scene.desk
    fresh = Desk(
        *(desk.store, Memory(), Ids(), desk.home_id, desk.home_path, desk.epoch, desk.now),
        *(desk.depot_of, dict(desk.sites)),
    )
    loading.load_world(fresh)
    for what, there, read in zip(
        _KNOWN, _known(desk.world, fresh.world), _known(fresh.world, None), strict=True
    ):
        if there != read:
            yield f"{what}: in memory {there}, in the ledger {read}"


_LIVING: Final = "SELECT incarnation, try_id, element FROM agent WHERE ended_us IS NULL"
_KNOWN: Final = ("modules", "agents", "allocations", "pools")
_STATES: Final = ", ".join(state.lower() for state in TaskState)


def _known(memory: Memory, only: Memory | None) -> tuple[object, ...]:
    """What of memory is kept in the ledger; of runs that `only` has too, for others are over."""
    modules = {
        module_id: (dict(each.counts), each.chunks, each.waiting_parts, each.next_n, each.broken)
        for module_id, each in memory.modules.items()
        if only is None or module_id in only.modules
    }
    agents = {
        incarnation: (each.agent_id, each.try_id, each.element, each.restart, set(each.session.offers))
        for incarnation, each in memory.agents.items()
    }
    allocations = {
        number: (
            each.pool_id,
            each.cancelled,
            [(one.name, one.state, one.job_id) for one in each.tries.values()],
        )
        for number, each in memory.allocations.items()
        if only is None or number in only.allocations
    }
    pools = {
        pool_id: (each.state, each.hello_less)
        for pool_id, each in memory.pools.items()
        if only is None or pool_id in only.pools
    }
    return modules, agents, allocations, pools


WHEN_KILLED: Final[tuple[Callable[[Scene], Problems], ...]] = (
    agents_are_given_up_for_a_reason,
    spools_are_read_before_leases_lapse,
    only_what_was_seen_pending_is_given_back,
)
EVERY_TURN: Final[tuple[Callable[[Scene], Problems], ...]] = (
    counters_are_exact,
    what_was_acknowledged_is_kept,
    held_leases_are_in_memory,
    leases_are_of_runs_that_go_on,
    an_element_has_one_agent,
    *WHEN_KILLED,
    no_agent_runs_more_than_it_has_room_for,
)
NOW_AND_THEN: Final[tuple[Callable[[Scene], Problems], ...]] = (
    the_books_agree,
    all_that_was_acknowledged_is_still_there,
    infrastructure_fails_a_task_only_at_last,
    messages_are_those_of_the_accepted_attempt,
    times_are_those_of_the_daemons_clock,
    a_new_start_would_know_the_same,
)
