"""Find the daemon that a command talks to, and start one where the command may.

A test puts its own daemon in the context's `obj`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import typer

from scalebox_hpc.cli.say import remark
from scalebox_hpc.errors import DaemonAbsent

if TYPE_CHECKING:
    from scalebox_hpc.client import Daemon


def daemon_of(context: typer.Context) -> Daemon:
    """The daemon of the nearest home; its connection ends with the command. Raises DaemonAbsent."""
    if context.obj is not None:
        return cast("Daemon", context.obj)
    from scalebox_hpc.client import Daemon, find_home

    return _closed_at_end(context, Daemon.of_home(find_home(), say=remark))


def started_daemon_of(context: typer.Context, home: Path | None = None) -> Daemon:
    """The daemon of this home (default: the nearest), started where none runs."""
    if context.obj is not None:
        return cast("Daemon", context.obj)
    from scalebox_hpc.client import Daemon, find_home

    home = home or find_home()
    try:
        daemon = _closed_at_end(context, Daemon.of_home(home, say=remark))
        daemon.daemon_status()
        return daemon
    except DaemonAbsent:
        from scalebox_hpc.daemon.main import start_detached

        start_detached(home)
    return _closed_at_end(context, Daemon.of_home(home, say=remark))


def _closed_at_end(context: typer.Context, daemon: Daemon) -> Daemon:
    context.call_on_close(daemon.close)
    return daemon
