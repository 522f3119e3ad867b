"""The shapes of the daemon's answers, as plain dictionaries with known keys.

Nothing is converted here: what came as JSON is handed on, so that an export of many attempts
stays cheap. Times are integers, microseconds UTC.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class DaemonStatus(TypedDict):
    """What the daemon says of itself."""

    home: str  # 16 hex digits
    home_path: str
    version: str
    pid: int
    host: str
    address: str
    started_us: int
    epoch: str
    cpu_s: float
    cpu_share: float  # of one CPU, lately
    rss_mib: float
    runs_open: int
    agents: int
    ledger: str  # where it is
    ledger_bytes: int


class RunSummary(TypedDict):
    """One run in the list of runs."""

    run: str
    pipeline: str
    title: str
    state: str
    site: str
    created_us: int
    ended_us: int | None
    tasks: int
    succeeded: int
    failed: int
    images: list[str]  # digests of what its modules run in


class Progress(TypedDict):
    """How far running tasks are, by their own word."""

    done: float
    total: float | None  # None: not known, as with what follows
    rate_per_s: float | None
    unit: str  # "": bytes
    eta_s: float | None
    tasks: NotRequired[int]  # of a module: those that say it


class ModuleStatus(TypedDict):
    """How a module of a run is doing: tasks by state, and how fast they go."""

    module: str
    site: str
    ready: int
    leased: int
    running: int
    succeeded: int
    failed: int
    cancelled: int
    ignored: int
    total: int
    rate_per_s: float
    eta_s: float | None
    median_s: float | None
    closed: bool
    causes: dict[str, int]  # of failed tasks
    depth: int  # steps from the seeds
    progress: NotRequired[Progress | None]  # of its running tasks together


class PoolStatus(TypedDict):
    """How a pool is doing at its site."""

    pool: str
    site: str
    machine: str | None
    slots: int
    elements_pending: int
    elements_running: int
    agents: int
    busy: int
    state: str  # "ok" | "paused"
    reason: str  # the batch system's pending reason, or why it is paused


class SiteStatus(TypedDict):
    """How a run is doing at one of its sites."""

    site: str
    remote: bool
    state: str  # "ok" | "paused": it cannot be reached, and what is there waits
    reason: str  # why it is paused
    todo: str  # the command that a person has to type first; "": it goes on by itself
    results: str  # where what is published there is
    agents: int
    tasks: int  # of the modules there; then by state
    ready: int
    leased: int
    running: int
    succeeded: int
    failed: int
    cancelled: int


class RunStatus(RunSummary):
    """One run in full. `version` grows with every change."""

    version: int
    reason: str
    directory: str
    results: str
    report_hint: str
    params: dict[str, str]
    modules: list[ModuleStatus]
    pools: list[PoolStatus]
    sites: list[SiteStatus]
    notes: list[str]


class Task(TypedDict):
    """One task as it stands."""

    task: str
    module: str
    n: int
    state: str
    cause: str | None
    body: str
    headers: dict[str, str]
    attempts: int
    lease: str | None
    not_before_us: int | None
    created_us: int
    incarnation: str | None
    progress: NotRequired[Progress | None]  # while it runs and says so


Attempt = dict[str, Any]
"""One attempt: the CSV columns by name, times with `_us`, and `attempt_id`, `note`, `logs`."""


class TaskDetail(TypedDict):
    """One task with its attempts, oldest first, and its place in the lineage."""

    task: Task
    attempts: list[Attempt]
    sent: int
    sender: str | None


class LogPiece(TypedDict):
    """Part of an attempt's output: the bytes `offset` to `end`, decoded."""

    text: str
    offset: int
    end: int
    done: bool  # the attempt has ended and this is its last piece
    path: str
    attempt: int


class RemovedRun(TypedDict):
    """A run that goes, or would go; its files were counted if that was asked for."""

    run: str
    state: str
    ended_us: int
    tasks: int
    files: NotRequired[int]
    bytes: NotRequired[int]


class RemoveResult(TypedDict):
    """What goes, or would go."""

    dry_run: bool
    runs: list[RemovedRun]


class RetryResult(TypedDict):
    """What a retry did, or would do."""

    requeued: int
    tasks: list[str]  # the first 20
    passed_over: list[list[str]]  # task, why
