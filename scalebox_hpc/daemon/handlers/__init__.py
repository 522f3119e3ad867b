"""One file per verb of the API: what the daemon does when asked.

A handler gets the core and the call. It answers through the desk, now or in a later turn; it
raises an error of ours, which becomes the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from scalebox_hpc.daemon.events import Call
from scalebox_hpc.daemon.handlers import (
    agent,
    attempt_list,
    daemon_show,
    daemon_stop,
    metrics_show,
    run_cancel,
    run_list,
    run_remove,
    run_resume,
    run_retry,
    run_status,
    run_submit,
    task_list,
    task_log,
    task_show,
)

if TYPE_CHECKING:
    from scalebox_hpc.daemon.core import Core

Handler = Callable[["Core", Call], None]

HANDLERS: Final[Mapping[str, Handler]] = {
    "agent.hello": agent.hello,
    "agent.sync": agent.sync,
    "agent.chunk": agent.chunk,
    "agent.sheet": agent.sheet,
    "agent.members": agent.members,
    "agent.ended": agent.ended,
    "run.submit": run_submit.handle,
    "run.list": run_list.handle,
    "run.remove": run_remove.handle,
    "run.status": run_status.handle,
    "run.cancel": run_cancel.handle,
    "run.resume": run_resume.handle,
    "run.retry": run_retry.handle,
    "task.list": task_list.handle,
    "task.show": task_show.handle,
    "task.log": task_log.handle,
    "attempt.list": attempt_list.handle,
    "daemon.show": daemon_show.handle,
    "daemon.stop": daemon_stop.handle,
    "metrics.show": metrics_show.handle,
}
