"""Follow a run in plain lines, for logs and pipes: what changed, at most every few seconds."""

from __future__ import annotations

import time
from collections.abc import Callable

from scalebox_hpc.client import RunStatus
from scalebox_hpc.report.failures import Examples, failures
from scalebox_hpc.report.text import printable, rate
from scalebox_hpc.units import show_count, show_duration

SPACING_S = 5.0
MOST_FAILURE_LINES = 20


class PlainView:
    """Writes a line for each change, but one of progress only every `SPACING_S` seconds.

    Notes, paused pools and the first failure of each module and cause are said at once, each
    of them once.
    """

    patience_s = SPACING_S

    def __init__(
        self,
        write: Callable[[str], None],
        examples: Examples,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write, self._examples, self._monotonic_s = write, examples, monotonic_s
        self._said: set[str] = set()
        self._failure_lines = 0
        self._last_line = ""
        self._last_s = -SPACING_S

    def show(self, status: RunStatus) -> None:
        self._say_events(status)
        line = progress_line(status)
        now_s = self._monotonic_s()
        if line != self._last_line and now_s - self._last_s >= SPACING_S:
            self._write(f"{status['run']}: {line}")
            self._last_line, self._last_s = line, now_s

    def _say_events(self, status: RunStatus) -> None:
        for note in status["notes"]:
            self._say_once(status["run"], f"note: {note}")
        for pool in status["pools"]:
            if pool["state"] == "paused":
                self._say_once(status["run"], f"pool {pool['pool']} is paused: {pool['reason']}")
        for site in status["sites"]:
            if site["state"] == "paused":
                todo = f"; type: {site['todo']}" if site["todo"] else ""
                self._say_once(
                    status["run"], f"site {site['site']} cannot be reached: {site['reason']}{todo}"
                )
        self._say_failures(status)

    def _say_failures(self, status: RunStatus) -> None:
        for failure in failures(status):
            key = f"failure {failure.module} {failure.cause}"
            if key in self._said or self._failure_lines > MOST_FAILURE_LINES:
                continue
            self._said.add(key)
            self._failure_lines += 1
            example = self._examples.of(status["run"], failure)
            which = f" {example.task}" if example else ""
            why = f": {example.why}" if example and example.why else ""
            self._write(f"{status['run']}: first failure ({failure.cause}) of {failure.module}:{which}{why}")

    def _say_once(self, run: str, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._write(f"{run}: {printable(text)}")


def progress_line(status: RunStatus) -> str:
    """How far a run is, on one line.

    It holds no clock, so that equal lines mean that nothing changed.
    """
    modules = status["modules"]
    running = sum(module["leased"] + module["running"] for module in modules)
    waiting = sum(module["ready"] for module in modules)
    parts = [f"{status['succeeded']} of {status['tasks']} done"]
    parts += [f"{status['failed']} failed"] if status["failed"] else []
    parts += [f"{running} running"] if running else []
    parts += [f"{waiting} waiting"] if waiting else []
    speed = rate(sum(module["rate_per_s"] for module in modules))
    parts += [speed] if speed and running else []
    etas = [module["eta_s"] for module in modules if module["eta_s"] is not None and not module["closed"]]
    parts += [f"about {show_duration(max(etas))} left"] if etas and running else []
    return f"{status['state']}: {', '.join(parts)}{_held_up(status) if not running and waiting else ''}"


def _held_up(status: RunStatus) -> str:
    """Why nothing runs though tasks wait, as far as the pools say."""
    reasons = [
        f"{show_count(pool['elements_pending'], 'element')} of {pool['pool']} pending"
        + (f": {pool['reason']}" if pool["reason"] else "")
        for pool in status["pools"]
        if pool["elements_pending"] and pool["state"] == "ok"
    ]
    return f" ({'; '.join(reasons)})" if reasons else ""
