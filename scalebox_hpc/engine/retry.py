"""What becomes of a failed attempt: round again, or failed for good. Pure arithmetic.

Only the causes in `USER_CAUSES` spend what the user allowed in `retry`. All other causes are the
infrastructure's: they back off by themselves and have a budget of their own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from scalebox_hpc.domain.pipeline import RetryRule
from scalebox_hpc.domain.task import USER_CAUSES, Cause

INFRA: Final = "infra"
INFRA_BUDGET: Final = 10
INFRA_DELAY_S: Final = 5.0
INFRA_DELAY_MOST_S: Final = 600.0
JITTER: Final = 0.2
WHOLE_WALLTIME: Final = 0.9  # a task that had this share of a whole walltime will not fit the next one


@dataclass(frozen=True, slots=True)
class Ended:
    """What the decision looks at."""

    cause: Cause
    exit_code: int | None
    spent: Mapping[str, int]  # rule number, or "infra", to how often it was used
    task_id: int
    attempt: int
    memory_mib: int
    walltime_share: float = 0.0  # of a whole walltime that the attempt had, for cause walltime


@dataclass(frozen=True, slots=True)
class Again:
    """Round again after `delay_s`, with `memory_mib`; `budget` names what it drew on."""

    delay_s: float
    memory_mib: int
    budget: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Failed for good; `note` says why where the cause alone does not."""

    note: str = ""


def decide(ended: Ended, rules: Sequence[RetryRule]) -> Again | GiveUp:
    """Decide what becomes of a failed attempt."""
    if ended.cause in USER_CAUSES:
        return _by_rules(ended, rules)
    if ended.cause is Cause.WALLTIME and ended.walltime_share >= WHOLE_WALLTIME:
        return GiveUp("it had a whole walltime and did not end: raise the pool's walltime or split the task")
    used = ended.spent.get(INFRA, 0)
    if ended.cause is Cause.PREEMPTED:
        return Again(_jittered(INFRA_DELAY_S, ended), ended.memory_mib, "")
    if used >= INFRA_BUDGET:
        return GiveUp(f"{INFRA_BUDGET} attempts ended by causes of the infrastructure")
    if ended.cause is Cause.LAUNCH:
        return Again(0.0, ended.memory_mib, INFRA)
    delay_s = min(INFRA_DELAY_S * 2.0**used, INFRA_DELAY_MOST_S)
    return Again(_jittered(delay_s, ended), ended.memory_mib, INFRA)


def _by_rules(ended: Ended, rules: Sequence[RetryRule]) -> Again | GiveUp:
    for index, rule in enumerate(rules):
        if not _matches(rule, ended):
            continue
        used = ended.spent.get(str(index), 0)
        if used >= rule.retries:
            return GiveUp()
        delay_s = _jittered(rule.delay_s * rule.backoff**used, ended)
        return Again(delay_s, round(ended.memory_mib * rule.memory_factor), str(index))
    return GiveUp()


def _matches(rule: RetryRule, ended: Ended) -> bool:
    return any(
        (ended.cause is Cause.EXIT and ended.exit_code == trigger)
        if isinstance(trigger, int)
        else trigger == ended.cause
        for trigger in rule.on
    )


def _jittered(delay_s: float, ended: Ended) -> float:
    """Spread a delay by up to a fifth either way, the same for the same attempt."""
    digest = hashlib.blake2b(f"{ended.task_id}.{ended.attempt}".encode(), digest_size=4).digest()
    return delay_s * (1 + JITTER * (int.from_bytes(digest) / 2**31 - 1))


def read_spent(text: str) -> dict[str, int]:
    """Read the `spent` column: JSON, or nothing."""
    return json.loads(text) if text else {}


def write_spent(spent: Mapping[str, int]) -> str:
    """Write the `spent` column."""
    return json.dumps(spent) if spent else ""
