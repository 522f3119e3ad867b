"""The row that an attempt becomes: what its task, its lease and its report say, in the table's order.

It reads and writes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from scalebox_hpc.domain.task import Cause
from scalebox_hpc.wire.messages import Log, Message, Result, Times

OUTCOMES: Mapping[str, str] = {"": "SUCCEEDED", Cause.CANCELLED: "CANCELLED"}


class Of(NamedTuple):
    """The task that an attempt was made at, once it is settled."""

    task_id: int
    run_id: int
    attempts: int  # this one's number
    generation: int
    created_us: int
    ready_us: int
    leased_us: int | None
    image: str  # digest of what the run began with, in which it ran if no report says otherwise; "" for none


class Made(NamedTuple):
    """What the daemon adds to a report."""

    attempt_id: int
    agent_id: int
    now_us: int
    cause: str = ""
    budget: str = ""  # that a retry drew on
    sent: int = 0
    sent_to: str = ""
    reported: bool = True


def attempt_row(task: Of, result: Result, made: Made) -> tuple[Any, ...]:
    """Return the values of all columns of `attempt`."""
    lease, leased_us, known = result.lease, task.leased_us, result.slot >= 0
    received, setup, check, container, started, ended, collected, reported = in_order(
        result.times, leased_us or 0, made.now_us
    )
    return (
        made.attempt_id, task.task_id, task.run_id, task.attempts, task.generation,
        lease.epoch, lease.number, int(made.reported),
        OUTCOMES.get(made.cause, "FAILED"), made.cause, made.budget,
        result.exit_code, result.signal, result.note, made.agent_id, result.slot if known else None,
        task.created_us, min(task.ready_us, leased_us or task.ready_us), leased_us,
        received or None, setup or None, check or None, container or None,
        started or None, ended or None, collected or None, reported or None, made.now_us,
        result.cpu_user_s if known else None, result.cpu_system_s if known else None,
        result.max_rss_mib if known else None, result.input_bytes, result.output_bytes,
        made.sent, made.sent_to, result.user_text,
        json.dumps(dict(result.user_times)) if result.user_times else "",
        result.image or task.image, _log_text(result.log) if result.log else "",
    )  # fmt: skip


def sent_to(messages: Sequence[Message]) -> str:
    """The modules that messages go to, each once, as the table has them."""
    return ",".join(dict.fromkeys([message.to for message in messages])) if messages else ""


def output_row(attempt_id: int, result: Result) -> tuple[Any, ...] | None:
    """Return the values of all columns of `output`; None where the attempt said nothing."""
    if not (result.stdout or result.stderr):
        return None
    return (attempt_id, result.stdout, result.stderr, int(result.stdout_cut), int(result.stderr_cut))


def in_order(times: Times, leased_us: int, now_us: int) -> Times:
    """Bring an agent's times between leasing and recording, which the daemon's clock measured.

    They are shifted as a whole, so that what passed between them stays; 0 stays "not told".
    """
    told = [value for value in times if value]
    if not told:
        return times
    late, early = max(told) - now_us, leased_us - min(told)
    if late <= 0 and early <= 0:
        return times
    shift = -late if late > 0 else max(0, min(early, now_us - max(told)))
    return Times(*[max(leased_us, value + shift) if value else 0 for value in times])


def _log_text(log: Log) -> str:
    out, err = _quoted(log.out_path), _quoted(log.err_path)
    return f"[{out}, {log.out_start}, {log.out_end}, {err}, {log.err_start}, {log.err_end}]"


@lru_cache(1000)
def _quoted(path: str) -> str:
    """A path as JSON; an agent has a pair for each of its slots, and names them in every result."""
    return json.dumps(path)
