"""Failures of a run in few lines: by module and cause, each with one example.

However many tasks fail, the daemon is asked once for each pair of module and cause.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from scalebox_hpc.client import Daemon, RunStatus
from scalebox_hpc.errors import SbxError
from scalebox_hpc.report.text import printable

MOST_MISSES = 3
"""How often an example is asked for in vain; the last one may just have been sent round again."""


@dataclass(frozen=True, slots=True)
class Example:
    """One failed task, and what is known of why."""

    task: str
    why: str


@dataclass(frozen=True, slots=True)
class Failure:
    """How many tasks of a module failed for one cause."""

    module: str
    cause: str
    tasks: int


class Examples(Protocol):
    """Finds one failed task of a module and cause, or None where there is none (any more)."""

    def of(self, run: str, failure: Failure) -> Example | None: ...


class AskedExamples:
    """Asks the daemon for an example, once for each module and cause that has one."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._known: dict[tuple[str, str, str], Example] = {}
        self._misses: Counter[tuple[str, str, str]] = Counter()

    def of(self, run: str, failure: Failure) -> Example | None:
        key = (run, failure.module, failure.cause)
        if key not in self._known and self._misses[key] < MOST_MISSES:
            found = self._ask(run, failure)
            if found is None:
                self._misses[key] += 1
            else:
                self._known[key] = found
        return self._known.get(key)

    def _ask(self, run: str, failure: Failure) -> Example | None:
        try:
            tasks = self._daemon.tasks(
                run, module=failure.module, state="FAILED", cause=failure.cause, page=1
            )
            task = next(tasks, None)
            if task is None:
                return None
            attempts = self._daemon.task(run, task["task"])["attempts"]
        except SbxError:
            return None  # a view without its example is better than none
        return Example(task["task"], why(attempts[-1]) if attempts else "")


class NoExamples:
    """For views that must ask nothing."""

    def of(self, run: str, failure: Failure) -> Example | None:
        return None


def failures(status: RunStatus) -> list[Failure]:
    """The failures of a run, most frequent first."""
    found = [
        Failure(module["module"], cause, tasks)
        for module in status["modules"]
        for cause, tasks in module["causes"].items()
        if tasks and cause != "cancelled"
    ]
    return sorted(found, key=lambda failure: -failure.tasks)


def why(attempt: Mapping[str, Any]) -> str:
    """One line on why an attempt ended as it did: our word for it, then the program's last one."""
    parts = [ending(attempt), str(attempt.get("note") or ""), _last_line(attempt)]
    return printable(": ".join(part for part in parts if part))


def ending(attempt: Mapping[str, Any]) -> str:
    """How the program ended, in a few words."""
    if attempt.get("signal"):
        return f"signal {attempt['signal']}"
    code = attempt.get("exit_code")
    return f"exit status {code}" if code else ""


def _last_line(attempt: Mapping[str, Any]) -> str:
    for stream in ("stderr", "stdout"):
        if lines := str(attempt.get(stream) or "").strip().splitlines():
            return lines[-1].strip()
    return ""
