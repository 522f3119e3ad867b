"""What a check came to. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How good it is, the best first."""

    OK = "ok"
    SKIP = "skip"  # not asked, because of another check that failed
    WARN = "warn"  # a run may work, or only some
    FAIL = "fail"  # no run can work


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what it is about, how good it is, what was found, and what to do about it."""

    check: str
    verdict: Verdict
    fact: str
    remedy: str = ""


def ok(check: str, fact: str) -> Finding:
    """Nothing needs to be done."""
    return Finding(check, Verdict.OK, fact)


def warn(check: str, fact: str, remedy: str) -> Finding:
    """Something may go wrong."""
    return Finding(check, Verdict.WARN, fact, remedy)


def fail(check: str, fact: str, remedy: str) -> Finding:
    """It will go wrong."""
    return Finding(check, Verdict.FAIL, fact, remedy)


def skip(check: str, because: str) -> Finding:
    """It was not asked."""
    return Finding(check, Verdict.SKIP, f"not asked: see `{because}`")


def worst(findings: Iterable[Finding]) -> Verdict:
    """The verdict over all; OK where there are none."""
    order = list(Verdict)
    return max((finding.verdict for finding in findings), key=order.index, default=Verdict.OK)
