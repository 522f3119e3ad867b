"""Writes messages as objects for JSON: the daemon's answers, and what simulated agents say.

It touches no socket and makes no text. What codec reads from these is equal to what was written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from scalebox_hpc.domain.task import Lease
from scalebox_hpc.wire.messages import (
    Answer,
    Chunk,
    Ended,
    Hello,
    Message,
    Offer,
    Resources,
    Result,
    Sync,
    Welcome,
)

Json = dict[str, Any]


def resources(given: Resources) -> Json:
    fields = {
        "cpus": given.cpus,
        "memory_mib": given.memory_mib,
        "gpus": given.gpus,
        "scratch_mib": given.scratch_mib,
    }
    return fields if given.time_s is None else fields | {"time_s": given.time_s}


def offer(given: Offer) -> Json:
    gather = given.gather
    return {
        "lease": given.lease.text(),
        "module": given.module,
        "task": given.task,
        "attempt": given.attempt,
        "body": given.body,
        "headers": given.headers,
        "resources": resources(given.resources),
        "gather": gather
        and {"members": gather.members, "missing": gather.missing, "generation": gather.generation},
    }


def _leases(leases: Sequence[Lease]) -> list[str]:
    return [lease.text() for lease in leases]


def answer(given: Answer) -> Json:
    """The body of an answer to a sync."""
    return {
        "sync": given.sync,
        "superseded": given.superseded,
        "offers": [offer(one) for one in given.offers],
        "recorded": _leases(given.recorded),
        "refused": _leases(given.refused),
        "dead": _leases(given.dead),
        "do": given.do.value,
        "reason": given.reason,
    }


def welcome(given: Welcome) -> Json:
    """The body of an answer to a hello."""
    return asdict(given) | {"do": given.do.value, "resources": resources(given.resources)}


def hello(given: Hello) -> Json:
    fields = asdict(given) | resources(given.total) | {"try": given.try_name}
    del fields["total"], fields["try_name"]
    return fields


def messages(given: Sequence[Message]) -> list[list[Any]]:
    return [[one.to, one.body, dict(one.headers) or None] for one in given]


def result(given: Result) -> Json:
    fields = given._asdict()
    for name in ("input_bytes", "output_bytes", "stdout_cut", "stderr_cut"):
        del fields[name]
    return fields | {
        "lease": given.lease.text(),
        "outcome": given.outcome.value,
        "in": given.input_bytes,
        "out": given.output_bytes,
        "cut": [given.stdout_cut, given.stderr_cut],
        "times": given.times._asdict(),
        "log": given.log and list(given.log),
        "messages": messages(given.messages),
    }


def sync(given: Sync) -> Json:
    return {
        "incarnation": given.incarnation,
        "sync": given.number,
        "took": given.took,
        "clock_us": given.clock_us,
        "wait": given.wait,
        "held": [[lease, int(started)] for lease, started in given.held.items()],
        "results": [result(one) for one in given.results],
        "free": resources(given.free),
        "prefetch": {str(module): count for module, count in given.prefetch.items()},
        "walltime_left_s": given.walltime_left_s,
        "leaving": given.leaving and given.leaving.value,
        "reason": given.reason,
        "progress": {lease: list(one) for lease, one in given.progress.items()},
    }


def chunk(given: Chunk) -> Json:
    return {
        "incarnation": given.incarnation,
        "lease": given.lease.text(),
        "seq": given.seq,
        "messages": messages(given.messages),
    }


def ended(given: Ended) -> Json:
    return {
        "try": given.try_name,
        "element": given.element,
        "incarnation": given.incarnation,
        "restart": given.restart,
        "status": given.status,
    }
