"""Reports become attempts: judged, recorded once, with everything that follows from them.

A task's outcome, its messages and the counters change together in the turn's transaction, and
only if the report carries the task's current lease.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from scalebox_hpc.daemon import firing, placing, successes
from scalebox_hpc.daemon.attempt_row import Made, Of, attempt_row, output_row, sent_to
from scalebox_hpc.daemon.desk import Desk
from scalebox_hpc.daemon.headers import inherited_by, read_headers
from scalebox_hpc.daemon.routing import Batch, Sizes, route, sizes_problem
from scalebox_hpc.daemon.state import AgentState, ModuleState
from scalebox_hpc.domain.task import (
    HELD,
    Cause,
    Lease,
    Standing,
    TaskEvent,
    TaskState,
    Verdict,
    advance,
    judge_report,
)
from scalebox_hpc.engine.launches import Streak, module_is_broken, one_more
from scalebox_hpc.engine.retry import (
    Again,
    Ended,
    GiveUp,
    decide,
    read_spent,
    write_spent,
)
from scalebox_hpc.wire.messages import Chunk, Outcome, Result, Times

SLICE = 5000  # messages of a chunk that one turn turns into tasks


@dataclass(slots=True)
class TaskRow:
    """A task as the ledger has it, while a turn works on it."""

    task_id: int
    state: TaskState
    lease: Lease
    lapsed: bool
    module: ModuleState
    n: int
    attempts: int
    generation: int
    spent: dict[str, int]
    memory_mib: int | None
    created_us: int
    ready_us: int
    leased_us: int | None
    agent_id: int | None
    headers: dict[str, str]
    inherited: dict[str, str]
    body: str
    message_headers: str | None

    @property
    def name(self) -> str:
        return f"{self.module.spec.name}.{self.n}"


def load_task(desk: Desk, task_id: int) -> TaskRow | None:
    """Read one task; None where there is none, or its run is not in memory."""
    row = desk.store.one("task_standing", (task_id,))
    if row is None or row[4] not in desk.world.modules:
        return None
    return TaskRow(
        task_id=task_id,
        state=TaskState(row[0]),
        lease=Lease(task_id, row[1], row[2]),
        lapsed=bool(row[3]),
        module=desk.world.modules[row[4]],
        n=row[5],
        attempts=row[6],
        generation=row[7],
        spent=read_spent(row[8]),
        memory_mib=row[9],
        created_us=row[10],
        ready_us=row[11],
        leased_us=row[12],
        agent_id=row[13],
        headers=read_headers(row[14]),
        inherited=read_headers(row[15]),
        body=row[16],
        message_headers=row[14],
    )


def standing_of(desk: Desk, task: TaskRow | None, lease: Lease, agent_id: int) -> Standing | None:
    """What judging needs; None, as for an unknown task, where the lease was never this agent's.

    The attempt's row is asked for only where it can matter: it says whose a lease was that is over.
    """
    if task is None:
        return None
    if task.lease == lease and task.state in HELD:
        holder, reported = task.agent_id, False
    else:
        row = desk.store.one("lease_reported", lease)
        holder, reported = (None, False) if row is None else (row[4], bool(row[1]))
    return Standing(task.state, task.lease, task.lapsed, reported) if holder == agent_id else None


def record(desk: Desk, agent: AgentState, results: Sequence[Result]) -> None:
    """Judge and record an agent's reports; the verdicts go into its next answer."""
    done = successes.record(desk, agent.agent_id, results)
    for result in results:
        word = "recorded"
        if result.lease not in done and record_one(desk, agent.agent_id, result) is Verdict.REFUSE:
            word = "refused"
        lease = result.lease.text()
        agent.session.drop(lease)
        agent.acks.setdefault(word, []).append(lease)


def record_one(desk: Desk, agent_id: int, result: Result) -> Verdict:
    """Judge one report and, if it counts, record it with all that follows."""
    lease = result.lease
    task = load_task(desk, lease.task_id)
    verdict = judge_report(standing_of(desk, task, lease, agent_id), lease)
    if verdict is not Verdict.RECORD:
        return verdict
    assert task is not None
    chunks = desk.store.rows("chunks_of_lease", lease) if result.chunks else []
    if len({seq for seq, _, _ in chunks}) != result.chunks:
        return Verdict.REFUSE  # its messages are not all here: the task goes round again
    if result.outcome is Outcome.OK and (problem := _sizes_problem(desk, task, result, chunks)):
        result = replace_result(result, Cause.OUTPUT, problem)
    take_back_lapse(desk, task, lease)
    if result.outcome is Outcome.OK:
        _succeed(desk, task, agent_id, result, chunks)
    else:
        _fail(desk, task, agent_id, result)
    return verdict


def replace_result(result: Result, cause: Cause, note: str) -> Result:
    """The same report, as a failure for a reason that only the daemon could see."""
    return result._replace(outcome=Outcome.FAILED, cause=cause, note=note, messages=(), chunks=0)


def _sizes_problem(desk: Desk, task: TaskRow, result: Result, chunks: Sequence[tuple[int, int, int]]) -> str:
    run, allowed = task.module.run, task.module.spec.to
    if stray := next((message.to for message in result.messages if message.to not in allowed), None):
        return f"a message to {stray!r}, which is not in `to`"
    if not any(run.modules[name].gather is not None for name in task.module.spec.to):
        return ""
    inherited = inherited_by(task.headers, task.inherited)
    agreed: Sizes = {}
    if problem := sizes_problem(desk, Batch(run, 0, 0, inherited, result.messages), agreed):
        return problem
    for seq, piece, _ in chunks:
        row = desk.store.one("chunk_messages", (*result.lease, seq, piece))
        assert row is not None
        if problem := sizes_problem(desk, Batch(run, 0, 0, inherited, json.loads(row[0])), agreed):
            return problem
    return ""


def take_back_lapse(desk: Desk, task: TaskRow, lease: Lease) -> None:
    """Undo the lapse of a lease whose holder is there again, or has reported; its budget comes back."""
    row = desk.store.one("lease_reported", lease) if task.lapsed else None
    if row is None:
        return
    attempt_id, _, _, budget, _ = row
    desk.store.run("drop_attempt", (attempt_id,))
    task.attempts -= 1
    if budget:
        task.spent[budget] = max(0, task.spent.get(budget, 0) - 1)


def _succeed(
    desk: Desk, task: TaskRow, agent_id: int, result: Result, chunks: Sequence[tuple[int, int, int]]
) -> None:
    module = task.module
    attempt_id = desk.ids.take("attempt")
    sent = len(result.messages) + sum(count for _, _, count in chunks)
    _settle(desk, task, TaskEvent.SUCCEEDED, cause="", ready_us=task.ready_us)
    if task.generation > 1:
        firing.drop_earlier(desk, task.task_id)
    receivers = ",".join(module.spec.to) if result.chunks else sent_to(result.messages)
    made = Made(attempt_id, agent_id, desk.now.wall_us, sent=sent, sent_to=receivers)
    _add_attempt(desk, task, result, made)
    if result.messages:
        inherited = inherited_by(task.headers, task.inherited)
        route(
            desk, Batch(module.run, attempt_id, 0, inherited, result.messages, replacing=task.generation > 1)
        )
    _release_chunks(desk, module, attempt_id, result.lease, chunks)
    if module.spec.places and (row := desk.store.one("node_of_agent", (agent_id,))) is not None:
        module.succeeded_at(row[1])
    module.took(result.times)
    module.rate.add(1, desk.now.mono_s)
    module.streak = Streak()


def _release_chunks(
    desk: Desk, module: ModuleState, attempt_id: int, lease: Lease, chunks: Sequence[tuple[int, int, int]]
) -> None:
    first = 0
    for seq, piece, count in chunks:
        desk.store.run("release_chunk", (attempt_id, first, *lease, seq, piece))
        first += count
    module.chunks += len(chunks)
    module.run.touched = True
    desk.world.has_chunks = desk.world.has_chunks or bool(chunks)


def _fail(desk: Desk, task: TaskRow, agent_id: int, result: Result) -> None:
    module = task.module
    cause = Cause(result.cause or Cause.EXIT)
    decision = _within(desk, module, decide(_ended(task, cause, result.exit_code), module.spec.retry))
    if cause is Cause.LAUNCH:
        _count_launch(desk, module, agent_id, result.note)
    note = result.note or ("" if isinstance(decision, Again) else decision.note)
    budget = _settle_failure(desk, task, cause, decision)
    made = Made(desk.ids.take("attempt"), agent_id, desk.now.wall_us, cause, budget)
    _add_attempt(desk, task, result._replace(note=note), made)
    module.rate.add(1, desk.now.mono_s)


def _within(desk: Desk, module: ModuleState, decision: Again | GiveUp) -> Again | GiveUp:
    """Give up a retry that asks for more memory than any element of its pools can have."""
    pools = [module.run.pipeline.pools[name] for name in module.spec.pools]
    known = [desk.sites[pool.site].most_memory_mib(pool.machine) for pool in pools]
    most_mib = max((most for most in known if most is not None), default=None) if None not in known else None
    if isinstance(decision, GiveUp) or most_mib is None or decision.memory_mib <= most_mib:
        return decision
    return GiveUp(f"its retry needs {decision.memory_mib} MiB of memory, and the machine has {most_mib} MiB")


def _ended(task: TaskRow, cause: Cause, exit_code: int | None, walltime_share: float = 0.0) -> Ended:
    memory_mib = task.memory_mib or task.module.spec.resources.memory_mib
    return Ended(cause, exit_code, task.spent, task.task_id, task.attempts + 1, memory_mib, walltime_share)


def _count_launch(desk: Desk, module: ModuleState, agent_id: int, note: str) -> None:
    row = desk.store.one("node_of_agent", (agent_id,))
    assert row is not None, "who reports said hello"
    node, site = row
    if module.spec.places:
        _count_launch_at(desk, module, node, site, note)
        return
    module.launch_failed(node)
    elsewhere = desk.world.serves_elsewhere(module, module.streak.node)
    succeeded = module.counts[TaskState.SUCCEEDED]
    if not module.broken and module_is_broken(module.streak, succeeded, elsewhere=elsewhere):
        module.broken = f"its program would not start {module.streak.launches} times: {note}"
        module.restless = True
        module.run.note(f"{module.spec.name} failed as a whole: {module.broken}")


def _count_launch_at(desk: Desk, module: ModuleState, node: str, site: str, note: str) -> None:
    """Count it against one of several sites; the module fails as a whole once it starts at none of them."""
    streak = module.streaks[site] = one_more(module.streaks.get(site, Streak()), node)
    elsewhere = desk.world.serves_elsewhere(module, streak.node)
    if site in module.given_up or not module_is_broken(streak, module.done_at[site], elsewhere=elsewhere):
        return
    module.given_up[site] = f"its program would not start {streak.launches} times at site {site}: {note}"
    if set(module.run.pipeline.sites_of(module.spec)) <= module.given_up.keys():
        module.broken, module.restless = module.given_up[site], True
        module.dirty = True
        module.run.note(f"{module.spec.name} failed as a whole: {module.broken}")
        for transfer in module.feeders:
            transfer.broken, transfer.restless, transfer.dirty = module.broken, True, True
    else:
        module.run.note(f"{module.spec.name} is left to its other sites: {module.given_up[site]}")


def stage(desk: Desk, agent_id: int, said: Chunk) -> str:
    """Keep a chunk of an agent until its report is recorded; say why not, or ""."""
    task = load_task(desk, said.lease.task_id)
    verdict = judge_report(standing_of(desk, task, said.lease, agent_id), said.lease)
    if task is None or verdict is not Verdict.RECORD:
        return "this lease is no longer valid"
    if any(each.to not in task.module.spec.to for each in said.messages):
        return "a message to a module that is not in `to`"
    for piece, start in enumerate(range(0, max(1, len(said.messages)), SLICE)):
        part = said.messages[start : start + SLICE]
        text = json.dumps(
            [(each.to, each.body, dict(each.headers) or None) for each in part], ensure_ascii=False
        )
        desk.store.run("stage_chunk", (*said.lease, said.seq, piece, task.module.module_id, text, len(part)))
    return ""


def _settle_failure(desk: Desk, task: TaskRow, cause: Cause, decision: object, *, lapse: bool = False) -> str:
    """Move a task on after a failed attempt; return the budget that it drew on."""
    if not isinstance(decision, Again) or task.module.broken:
        _settle(desk, task, TaskEvent.FAILED, cause=cause, ready_us=task.ready_us)
        return ""
    if decision.budget:
        task.spent[decision.budget] = task.spent.get(decision.budget, 0) + 1
    if decision.memory_mib != task.module.spec.resources.memory_mib:
        task.memory_mib = decision.memory_mib
        task.module.raised_mib = max(task.module.raised_mib, decision.memory_mib)
    ready_us = desk.now.wall_us + round(decision.delay_s * 1e6)
    event = TaskEvent.LAPSED if lapse else TaskEvent.RETRIED
    _settle(desk, task, event, cause="", ready_us=ready_us)
    task.module.due_us = min(task.module.due_us, ready_us)
    return decision.budget


def _settle(desk: Desk, task: TaskRow, event: TaskEvent, *, cause: str, ready_us: int) -> None:
    """Write the task as it is after an attempt."""
    source, task.state = task.state, advance(task.state, event, task.name)
    task.attempts += 1
    desk.store.run(
        "settle_task",
        (
            *(task.state, cause, ready_us, task.attempts, write_spent(task.spent), task.memory_mib),
            *(int(event is TaskEvent.LAPSED), task.task_id),
        ),
    )
    task.module.moved(source, task.state)
    if task.module.feeds is not None and task.state is TaskState.FAILED and task.generation > 1:
        placing.failed(desk, task.module.feeds, task.task_id, cause)


def lapse(
    desk: Desk, task: TaskRow, agent: AgentState, cause: Cause, why: str, *, walltime_share: float = 0.0
) -> None:
    """End a lease that brought no report: the attempt gets a row, the task goes round again."""
    decision = decide(_ended(task, cause, None, walltime_share), task.module.spec.retry)
    budget = _settle_failure(desk, task, cause, decision, lapse=True)
    note = "; ".join(filter(None, (why, "" if isinstance(decision, Again) else decision.note)))
    result = _no_report(task.lease, cause, note)
    made = Made(desk.ids.take("attempt"), agent.agent_id, desk.now.wall_us, cause, budget, reported=False)
    _add_attempt(desk, task, result, made)


def cancel_held(desk: Desk, task: TaskRow) -> None:
    """Cancel a task that an agent holds: its lease is void from now on."""
    result = _no_report(task.lease, Cause.CANCELLED, "")
    source, task.state = task.state, advance(task.state, TaskEvent.CANCELLED, task.name)
    desk.store.run("cancel_held", (task.task_id,))
    task.attempts += 1
    attempt_id, agent_id = desk.ids.take("attempt"), task.agent_id or 0
    made = Made(attempt_id, agent_id, desk.now.wall_us, Cause.CANCELLED, reported=False)
    _add_attempt(desk, task, result, made)
    task.module.moved(source, task.state)


def _no_report(lease: Lease, cause: Cause, note: str) -> Result:
    return Result(
        lease, Outcome.FAILED, cause, None, None, note, -1, 0.0, 0.0, 0.0, 0, 0, "", {}, Times(), "", "",
        stdout_cut=False, stderr_cut=False, log=None, image="", messages=(), chunks=0,
    )  # fmt: skip


def _add_attempt(desk: Desk, task: TaskRow, result: Result, made: Made) -> None:
    """Write the row. The task has been settled: its `attempts` is this attempt's number."""
    of = Of(
        *(task.task_id, task.module.run.run_id, task.attempts, task.generation),
        *(task.created_us, task.ready_us, task.leased_us, task.module.image_digest),
    )
    desk.store.run("add_attempt", attempt_row(of, result, made))
    desk.meters.attempts[made.cause] += 1
    if (output := output_row(made.attempt_id, result)) is not None:
        desk.store.run("add_output", output)
