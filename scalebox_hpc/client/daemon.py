"""The daemon of a home, one method per call of its user API.

Errors of the daemon come back as our error classes with the exit status it chose. What may be
asked again (it is starting, it is full) is asked again here, within `PATIENCE_S`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import Any, cast
from urllib.parse import quote, urlencode

from scalebox_hpc.client.answers import (
    Attempt,
    DaemonStatus,
    LogPiece,
    RemoveResult,
    RetryResult,
    RunStatus,
    RunSummary,
    Task,
    TaskDetail,
)
from scalebox_hpc.client.link import Contact, Link
from scalebox_hpc.errors import (
    ConflictError,
    DaemonAbsent,
    EnvironmentProblem,
    NotFound,
    PipelineErrors,
    Problem,
    SbxError,
    UsageError,
)

NEWEST = "newest"
"""Stands for the newest run wherever a run's name is asked for."""

PATIENCE_S = 30.0
TASKS_A_PAGE = 1000
ATTEMPTS_A_PAGE = 2000
LOG_PIECE_BYTES = 1 << 18


class Daemon:
    """What one may ask the daemon of a home. Not to be shared by threads.

    Every method raises DaemonAbsent where nobody answers, and otherwise what the daemon says:
    UsageError, PipelineErrors, ConflictError or EnvironmentProblem.
    """

    def __init__(self, contact: Contact, say: Callable[[str], None] | None = None) -> None:
        """`say` is told once of what a request has to wait for."""
        self._link, self._say = Link(contact), say
        self._nap = Event()
        self._told = ""

    @classmethod
    def of_home(cls, home: Path, say: Callable[[str], None] | None = None) -> Daemon:
        """The daemon of this home, as its `daemon.json` names it."""
        return cls(Contact.of_home(home), say)

    @property
    def home(self) -> Path:
        """The home it serves, absolute."""
        return self._link.contact.home

    def close(self) -> None:
        """Drop the connection."""
        self._link.close()

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def daemon_status(self) -> DaemonStatus:
        """The daemon itself: where it runs, for how long, at what cost."""
        return cast(DaemonStatus, self._get("/v1/daemon"))

    def stop(self) -> None:
        """Ask the daemon to leave; its agents work on and find the next one."""
        self._post("/v1/daemon/stop", {})

    def submit(
        self,
        pipeline: Path,
        params: Mapping[str, str],
        *,
        site: str | None = None,
        stdin: Path | None = None,
        directory: Path,
    ) -> str:
        """Start a run of a pipeline file (absolute) and return its id: it is in the ledger then.

        `directory` is where paths given as parameters start. Raises PipelineErrors.
        """
        body = {
            "pipeline": str(pipeline),
            "params": dict(params),
            "site": site,
            "stdin": None if stdin is None else str(stdin),
            "client_dir": str(directory),
        }
        return str(self._post("/v1/runs", body)["run"])

    def runs(self) -> list[RunSummary]:
        """All runs of the home, newest first."""
        return cast(list[RunSummary], self._get("/v1/runs")["runs"])

    def status(self, run: str = NEWEST, *, version: int | None = None, wait_s: float = 0.0) -> RunStatus:
        """One run in full. With `version`: once it has changed since, or after `wait_s` seconds."""
        asked = {} if version is None else {"version": version, "wait_s": wait_s}
        return cast(RunStatus, self._get(_run(run), asked, wait_s=wait_s))

    def cancel(self, run: str = NEWEST) -> None:
        """End a run: its unfinished tasks are cancelled, its allocations given back."""
        self._post(f"{_run(run)}/cancel", {})

    def resume(self, run: str = NEWEST, *, keep: Sequence[str] = ()) -> None:
        """Let a run go on. `keep` names changed modules that stay as they were.

        Raises ConflictError that lists the changes where modules changed and are not named.
        """
        self._post(f"{_run(run)}/resume", {"keep": list(keep)})

    def retry(
        self,
        run: str = NEWEST,
        *,
        tasks: Sequence[str] = (),
        module: str | None = None,
        exit_code: int | None = None,
        cause: str | None = None,
        dry_run: bool = False,
    ) -> RetryResult:
        """Send failed tasks round again: those named, those that match, or all."""
        chosen = {"tasks": list(tasks), "module": module, "exit_code": exit_code, "cause": cause}
        return cast(RetryResult, self._post(f"{_run(run)}/retry", {**chosen, "dry_run": dry_run}))

    def remove(
        self,
        runs: Sequence[str] = (),
        *,
        older_than_s: float | None = None,
        state: str | None = None,
        keep: int | None = None,
        results: bool = False,
        dry_run: bool = False,
    ) -> RemoveResult:
        """Remove runs that are over: those named, or those that match. With `dry_run` say which, and stop.

        Raises ConflictError, and removes nothing, where one that is named is not over.
        """
        chosen = {"runs": list(runs), "older_than_s": older_than_s, "state": state, "keep": keep}
        body = {**chosen, "results": results, "dry_run": dry_run}
        return cast(RemoveResult, self._post("/v1/runs/remove", body))

    def tasks(
        self,
        run: str = NEWEST,
        *,
        module: str | None = None,
        state: str | None = None,
        cause: str | None = None,
        page: int = TASKS_A_PAGE,
    ) -> Iterator[Task]:
        """The tasks that match, fetched `page` at a time while they are consumed."""
        asked: dict[str, Any] = {"module": module, "state": state, "cause": cause, "limit": page}
        while True:
            answer = self._get(f"{_run(run)}/tasks", asked)
            yield from answer["tasks"]
            if answer["next"] is None:
                return
            asked["after"] = answer["next"]

    def task(self, run: str, task: str) -> TaskDetail:
        """One task with its attempts."""
        return cast(TaskDetail, self._get(f"{_run(run)}/tasks/{quote(task, safe='')}"))

    def log(
        self,
        run: str,
        task: str,
        *,
        attempt: int | None = None,
        stream: str = "stdout",
        offset: int = 0,
        limit: int = LOG_PIECE_BYTES,
        encoding: str = "utf-8",
    ) -> LogPiece:
        """Part of the output of an attempt (default: the last one), from byte `offset` on.

        `encoding` is "utf-8", with replacements for what is none, or "latin-1": a character a byte.
        """
        asked = {"attempt": attempt, "stream": stream, "offset": offset, "limit": limit, "encoding": encoding}
        return cast(LogPiece, self._get(f"{_run(run)}/tasks/{quote(task, safe='')}/log", asked))

    def attempts(self, run: str = NEWEST, *, page: int = ATTEMPTS_A_PAGE) -> Iterator[Attempt]:
        """Every attempt recorded up to now, in the order of recording."""
        asked: dict[str, Any] = {"limit": page}
        while True:
            answer = self._get(f"{_run(run)}/attempts", asked)
            yield from answer["attempts"]
            if answer["next"] is None:
                return
            asked |= {"after": answer["next"], "until": answer["until"]}

    def _get(self, path: str, asked: Mapping[str, Any] | None = None, wait_s: float = 0.0) -> dict[str, Any]:
        query = urlencode({key: value for key, value in (asked or {}).items() if value is not None})
        return self._ask("GET", f"{path}?{query}" if query else path, None, wait_s)

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._ask("POST", path, body, 0.0)

    def _ask(self, method: str, target: str, body: Mapping[str, Any] | None, wait_s: float) -> dict[str, Any]:
        until = time.monotonic() + PATIENCE_S
        while True:
            status, answer = self._ask_once(method, target, body, wait_s)
            if status < 300:
                return answer
            later_s = answer.get("retry_s")
            if fetching := answer.get("fetching"):
                until = time.monotonic() + PATIENCE_S  # it takes as long as it takes
                self._tell(f"fetching images: {', '.join(map(str, fetching))}")
            if answer.get("paused"):
                if method == "GET" and not wait_s:
                    raise error_of(status, answer, self.home)  # who looks is told why
                until = time.monotonic() + PATIENCE_S
                self._tell(f"the daemon waits for its ledger: {answer.get('error')}")
            if status not in (429, 503) or later_s is None or time.monotonic() + later_s > until:
                raise error_of(status, answer, self.home)
            self._nap.wait(max(0.1, float(later_s)))

    def _tell(self, what: str) -> None:
        if self._say is not None and what != self._told:
            self._say(what)
        self._told = what

    def _ask_once(
        self, method: str, target: str, body: Mapping[str, Any] | None, wait_s: float
    ) -> tuple[int, dict[str, Any]]:
        """Ask; where nobody answers, a daemon started since may: its `daemon.json` is read again."""
        try:
            status, answer = self._link.ask(method, target, body, wait_s)
            if status != 401:
                return status, answer
        except DaemonAbsent:
            if Contact.of_home(self.home) == self._link.contact:
                raise
        self._link.close()
        self._link = Link(Contact.of_home(self.home))
        return self._link.ask(method, target, body, wait_s)


def error_of(status: int, answer: Mapping[str, Any], home: Path) -> SbxError:
    """Our error for an answer that is one."""
    if problems := answer.get("problems"):
        return PipelineErrors([_problem(item) for item in problems])
    fact, hint = str(answer.get("error") or ""), str(answer.get("hint") or "")
    if not fact:
        return _without_words(status, home)
    if status == 404:
        return NotFound(fact, hint)
    by_status = {400: 2, 409: 3, 429: 4, 503: 4}
    match answer.get("exit_code", by_status.get(status, 4)):
        case 2:
            return UsageError(fact, hint)
        case 3:
            return ConflictError(fact, hint)
        case 1:
            return SbxError(fact, hint)
        case _:
            return EnvironmentProblem(fact, hint)


def _without_words(status: int, home: Path) -> SbxError:
    log = home / "log" / "daemon.log"
    if status == 401:
        return DaemonAbsent(f"the daemon of {home} does not take our token", "restart it: sbx daemon stop")
    if status in (429, 503):
        return EnvironmentProblem(f"the daemon of {home} is busy or starting", f"try again; it logs to {log}")
    return EnvironmentProblem(f"the daemon of {home} failed (HTTP {status})", f"its log says why: {log}")


def _problem(item: Mapping[str, Any]) -> Problem:
    return Problem(
        file=str(item.get("file") or ""),
        key=str(item.get("key") or ""),
        line=item.get("line"),
        problem=str(item.get("problem") or ""),
        remedy=str(item.get("remedy") or ""),
    )


def _run(run: str) -> str:
    return f"/v1/runs/{quote(run, safe='')}"
