"""A daemon with answers made beforehand, which remembers what it was asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scalebox_hpc.client import (
    Attempt,
    DaemonStatus,
    LogPiece,
    ModuleStatus,
    RemovedRun,
    RemoveResult,
    RetryResult,
    RunStatus,
    RunSummary,
    Task,
    TaskDetail,
)

START_US = 1_790_000_000_000_000


def module(name: str, **changes: Any) -> ModuleStatus:
    """A module that has done its 10 tasks."""
    counts = {
        "ready": 0,
        "leased": 0,
        "running": 0,
        "succeeded": 10,
        "failed": 0,
        "cancelled": 0,
        "ignored": 0,
    }
    speed = {"rate_per_s": 0.0, "eta_s": None, "median_s": 0.5, "closed": True, "causes": {}, "depth": 0}
    found = {"module": name, "site": "local", **counts, **speed, **changes}
    states = ("ready", "leased", "running", "succeeded", "failed", "cancelled")
    return {**found, "total": sum(found[key] for key in states)}  # type: ignore[typeddict-item]


def status(
    state: str = "SUCCEEDED", modules: Sequence[ModuleStatus] | None = None, **changes: Any
) -> RunStatus:
    """The status of a run `primes-7f3a` that took 42 s."""
    modules = list(modules if modules is not None else [module("count")])
    made: dict[str, Any] = {
        "run": "primes-7f3a",
        "pipeline": "primes",
        "title": "Primes",
        "state": state,
        "site": "local",
        "created_us": START_US,
        "ended_us": START_US + 42_000_000,
        "tasks": sum(one["total"] for one in modules),
        "succeeded": sum(one["succeeded"] for one in modules),
        "failed": sum(one["failed"] for one in modules),
        "version": 7,
        "reason": "",
        "directory": "/data/primes",
        "results": "/data/primes/results/primes-7f3a",
        "report_hint": "",
        "params": {},
        "modules": modules,
        "pools": [],
        "sites": [],
        "notes": [],
    }
    return {**made, **changes}  # type: ignore[typeddict-item]


def task(name: str = "count.17", **changes: Any) -> Task:
    made: dict[str, Any] = {
        "task": name,
        "module": name.partition(".")[0],
        "n": int(name.partition(".")[2]),
        "state": "FAILED",
        "cause": "exit",
        "body": "10 20",
        "headers": {},
        "attempts": 1,
        "lease": None,
        "not_before_us": None,
        "created_us": START_US,
        "incarnation": None,
    }
    return {**made, **changes}  # type: ignore[typeddict-item]


def attempt(**changes: Any) -> Attempt:
    """One failed attempt, all stations 1 s apart from START_US on."""
    stations = (
        "created",
        "ready",
        "leased",
        "received",
        "started",
        "ended",
        "collected",
        "reported",
        "recorded",
    )
    times = {f"{name}_us": START_US + index * 1_000_000 for index, name in enumerate(stations)}
    return {
        "attempt_id": 1, "run": "primes-7f3a", "module": "count", "task": "count.17", "attempt": 1,
        "key": "10 20", "body": "10 20", "headers": {}, "outcome": "failed", "cause": "exit", "exit_code": 3,
        "signal": None, "site": "local", "host": "n1", "slot": 0, "allocation": "a1", "job_id": "77",
        "element": 2, "lease": "5.0000abcd.1",
        **times, "setup_us": None, "check_us": None, "container_us": None,
        "cpu_user_s": 0.25, "cpu_system_s": 0.5, "max_rss_mib": 12.5, "input_bytes": 0, "output_bytes": 9,
        "messages_sent": 0, "sent_to": "", "user_text": "", "user_timestamps": {}, "image": "",
        "stdout": "", "stderr": "Traceback\nValueError: no number\n",
        "stdout_cut": False, "stderr_cut": False,
        "note": "", "logs": "",
    } | changes  # fmt: skip


class DaemonSays:
    """Answers from its fields; `asked` holds the calls that would have changed something."""

    home = Path("/data/primes/.sbx")

    def __init__(
        self,
        statuses: Sequence[RunStatus | BaseException] = (),
        *,
        tasks: Sequence[Task] = (),
        attempts: Sequence[Attempt] = (),
        pieces: Sequence[LogPiece] = (),
        retried: RetryResult | None = None,
        refuses: BaseException | None = None,
    ) -> None:
        self.statuses = list(statuses) or [status()]
        self.all_tasks, self.all_attempts, self.pieces = tasks, attempts, list(pieces)
        self.retried: RetryResult = retried or {"requeued": 1, "tasks": ["count.17"], "passed_over": []}
        self.refuses = refuses
        self.ended: list[str] = ["primes-7f3a"]  # runs that match, whatever is asked
        self.asked: list[tuple[Any, ...]] = []

    def _note(self, *call: Any) -> None:
        self.asked.append(call)
        if self.refuses is not None:
            raise self.refuses

    def status(self, run: str = "newest", *, version: int | None = None, wait_s: float = 0.0) -> RunStatus:
        """The next status; the last one for ever."""
        found = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if isinstance(found, BaseException):
            raise found
        return found

    def daemon_status(self) -> DaemonStatus:
        return {
            "home": "00112233aabbccdd", "home_path": str(self.home), "version": "0.1.0",
            "pid": 4242, "host": "login1",
            "address": "127.0.0.1:40123", "started_us": START_US, "epoch": "0000abcd", "cpu_s": 3.0,
            "cpu_share": 0.012, "rss_mib": 41.0, "runs_open": 1, "agents": 3,
            "ledger": "/home/u/.sbx/ledger.db",
            "ledger_bytes": 1 << 20,
        }  # fmt: skip

    def runs(self) -> list[RunSummary]:
        return [found for found in self.statuses if not isinstance(found, BaseException)]

    def submit(
        self,
        pipeline: Path,
        params: Mapping[str, str],
        *,
        site: str | None,
        stdin: Path | None,
        directory: Path,
    ) -> str:
        self._note("submit", pipeline, dict(params), site, stdin, directory)
        return "primes-7f3a"

    def __enter__(self) -> DaemonSays:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def stop(self) -> None:
        self._note("stop")

    def cancel(self, run: str) -> None:
        self._note("cancel", run)

    def resume(self, run: str, *, keep: Sequence[str]) -> None:
        self._note("resume", run, list(keep))

    def retry(self, run: str, **chosen: Any) -> RetryResult:
        self._note("retry", run, chosen)
        return self.retried

    def remove(self, runs: Sequence[str] = (), **chosen: Any) -> RemoveResult:
        self._note("remove", list(runs), chosen)
        gone: list[RemovedRun] = [
            {"run": name, "state": "FAILED", "ended_us": START_US, "tasks": 12, "files": 3, "bytes": 2048}
            for name in runs or self.ended
        ]
        return {"dry_run": bool(chosen.get("dry_run")), "runs": gone}

    def tasks(
        self,
        run: str = "newest",
        *,
        module: str | None = None,
        state: str | None = None,
        cause: str | None = None,
        page: int = 1000,
    ) -> Iterator[Task]:
        for found in self.all_tasks:
            wanted = ((module, found["module"]), (state, found["state"]), (cause, found["cause"]))
            if all(want in (None, have) for want, have in wanted):
                yield found

    def task(self, run: str, name: str) -> TaskDetail:
        found = next(found for found in self.all_tasks if found["task"] == name)
        return {"task": found, "attempts": list(self.all_attempts), "sent": 2, "sender": "scatter.1"}

    def log(self, run: str, task: str, **wanted: Any) -> LogPiece:
        self.asked.append(("log", run, task, wanted))
        return self.pieces.pop(0) if len(self.pieces) > 1 else self.pieces[0]

    def attempts(self, run: str = "newest") -> Iterator[Attempt]:
        yield from self.all_attempts
