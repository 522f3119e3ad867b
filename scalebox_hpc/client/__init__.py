"""Ask the daemon of a home: what the CLI, the reports and Python users use.

It holds no state but a connection, decides nothing and never opens the ledger.

>>> from scalebox_hpc.client import Daemon, find_home
>>> with Daemon.of_home(find_home()) as daemon:                               # doctest: +SKIP
...     failed = [task["body"] for task in daemon.tasks(state="FAILED")]
"""

from __future__ import annotations

from scalebox_hpc.client.answers import (
    Attempt,
    DaemonStatus,
    LogPiece,
    ModuleStatus,
    PoolStatus,
    Progress,
    RemovedRun,
    RemoveResult,
    RetryResult,
    RunStatus,
    RunSummary,
    SiteStatus,
    Task,
    TaskDetail,
)
from scalebox_hpc.client.daemon import NEWEST, Daemon
from scalebox_hpc.client.homes import find_home, home_here, home_of_pipeline

__all__ = [
    "NEWEST",
    "Attempt",
    "Daemon",
    "DaemonStatus",
    "LogPiece",
    "ModuleStatus",
    "PoolStatus",
    "Progress",
    "RemoveResult",
    "RemovedRun",
    "RetryResult",
    "RunStatus",
    "RunSummary",
    "SiteStatus",
    "Task",
    "TaskDetail",
    "find_home",
    "home_here",
    "home_of_pipeline",
]
