"""Start, stop and be a daemon: detached from the terminal, or inside a command.

Importing it is cheap; what a daemon needs is imported by the process that becomes one.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from scalebox_hpc.daemon.ask import ask
from scalebox_hpc.daemon.contact import read_daemon_json
from scalebox_hpc.daemon.home import Home, create
from scalebox_hpc.daemon.lock import read_holder
from scalebox_hpc.daemon.log import begin_on_stderr, last_lines
from scalebox_hpc.errors import (
    ConflictError,
    DaemonAbsent,
    EnvironmentProblem,
    HomeHeld,
    SbxError,
    UsageError,
)

if TYPE_CHECKING:
    from scalebox_hpc.daemon.life import Daemon
    from scalebox_hpc.daemon.premises import EngineMaker

START_S: Final = 90.0  # for a daemon to answer
RIVAL_S: Final = 60.0  # for another starter's daemon to answer, or a stopping one to leave
STOP_S: Final = 60.0
LOOK_S: Final = 0.1
GRACE_S: Final = 80.0  # 20 s for the tasks, the rest for cancelling allocations
INTERRUPTED: Final = 130
MARKERS: Final = ("SBX_INCARNATION", "SBX_TASK", "SBX_ATTEMPT")  # a daemon started by a task is not of it
DAEMON: Final = (sys.executable, "-P", "-m", "scalebox_hpc.daemon")
_ERRORS: Final = {2: UsageError, 3: ConflictError, 4: EnvironmentProblem}


def answers(home_path: Path, timeout_s: float = 10.0) -> bool:
    """Whether a daemon of this home answers, be it that it waits for room, or for its ledger."""
    entries = read_daemon_json(home_path)
    if entries is None:
        return False
    try:
        status, body = ask(entries, "GET", "/v1/daemon", timeout_s)
    except DaemonAbsent:
        return False
    return status == 200 or bool(body.get("paused"))


def start_detached(home_path: Path, takeover: bool = False, command: Sequence[str] = DAEMON) -> None:
    """Start the home's daemon, unless one answers, and return once it does.

    It outlives the terminal and the login. Of many who start at once one daemon comes out, and
    all return. `command` is what becomes the daemon. Raises the error that kept it from starting;
    EnvironmentProblem with the end of its log where it did not say.
    """
    home = create(home_path)
    deadline_s = time.monotonic() + START_S + RIVAL_S
    while not answers(home.path):
        said = _launch(home, takeover, command)
        if said is None:
            lines = last_lines(home.log)
            raise EnvironmentProblem("the daemon did not start", f"the end of {home.log}:\n{lines}")
        if said.get("ready"):
            return
        error = _ERRORS.get(said["exit_code"], SbxError)(said["error"], said["hint"])
        if not said["held"] or takeover or time.monotonic() > deadline_s:
            raise error
        _await_rival(home, error)


def _launch(home: Home, takeover: bool, command: Sequence[str]) -> dict[str, Any] | None:
    """Start the process; returns what it says once it answers or cannot, None when it says nothing.

    A shell in a session of its own starts it and ends at once, so it has no terminal and its
    parent is init. It speaks through the pipe that is its standard output, then closes it.
    """
    os.close(os.open(home.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600))
    options = ["--home", str(home.path), "--detached", *["--takeover"] * takeover]
    shell = subprocess.Popen(
        ["/bin/sh", "-c", '"$@" 2>>"$0" </dev/null &', home.log, *command, *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if name not in MARKERS},
        cwd="/",
        start_new_session=True,
    )
    with shell:
        assert shell.stdout is not None
        line = _line_within(shell.stdout, START_S)
    return dict(json.loads(line)) if line.endswith(b"\n") else None


def _line_within(pipe: IO[bytes], timeout_s: float) -> bytes:
    """Read a line, or less when the other side closes or the time is over."""
    deadline_s = time.monotonic() + timeout_s
    line = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            if not selector.select(deadline_s - time.monotonic()):
                break
            piece = os.read(pipe.fileno(), 65536)
            if not piece:
                break
            line += piece
    return line


def _await_rival(home: Home, error: SbxError) -> None:
    """Wait until the daemon that holds the lock answers, or gives the lock back; else raise the error."""
    deadline_s = time.monotonic() + RIVAL_S
    pause = threading.Event()
    while time.monotonic() < deadline_s:
        holder = read_holder(home)
        if holder is None or answers(home.path):
            return
        if holder.host != socket.gethostname():
            raise error
        pause.wait(LOOK_S)
    raise error


def stop(home_path: Path) -> None:
    """Ask the home's daemon to stop and wait until it is gone; agents go on.

    Raises DaemonAbsent where none answers, EnvironmentProblem when it does not leave in time.
    """
    entries = read_daemon_json(home_path)
    if entries is None:
        raise DaemonAbsent(f"no daemon of {home_path} runs")
    home = create(home_path)
    held = read_holder(home)
    ask(entries, "POST", "/v1/daemon/stop")
    deadline_s = time.monotonic() + STOP_S
    pause = threading.Event()
    while held is not None and read_holder(home) == held:
        if time.monotonic() > deadline_s:
            raise EnvironmentProblem(
                f"the daemon ({held}) does not stop", f"see {home.log}; or kill {held.pid}"
            )
        pause.wait(LOOK_S)


def run_detached(
    home_path: Path,
    takeover: bool,
    report: Callable[[dict[str, Any]], None],
    engine_of: EngineMaker | None = None,
) -> int:
    """Be the daemon until told to stop; `report` is told once that it answers, or why it cannot."""
    from scalebox_hpc.daemon.life import Daemon, Signals, tell_refusal, wheel_of

    begin_on_stderr()
    try:
        daemon = Daemon(home_path, engine_of or wheel_of)
    except SbxError as error:
        report(_complaint(error, held=False))
        return error.exit_code
    with Signals(daemon.happened):
        try:
            daemon.start(takeover)
            report({"ready": True})
            return _serve(daemon)
        except SbxError as error:
            tell_refusal(error)
            refusal = error
        finally:
            daemon.end()
    report(_complaint(refusal, held=isinstance(refusal, HomeHeld)))
    return refusal.exit_code


def _complaint(error: SbxError, held: bool) -> dict[str, Any]:
    return {"error": error.fact, "hint": error.hint, "exit_code": error.exit_code, "held": held}


def _serve(daemon: Daemon) -> int:
    """Wait for what ends a detached daemon."""
    from scalebox_hpc.daemon.life import What, tell_death

    while True:
        happening = daemon.happened.get()
        if happening.what is What.SIGNAL and daemon.engine is not None:
            daemon.engine.stop()
        elif happening.what is What.ENGINE and happening.error is None:
            return 0
        else:
            return tell_death(happening)


def run_in_foreground(
    home_path: Path, submit: Callable[[], int], engine_of: EngineMaker | None = None
) -> int:
    """Be the daemon inside this command for as long as `submit` runs; returns its value.

    `submit` runs in a thread of its own once the daemon answers; what it raises is raised here.
    On SIGTERM or SIGINT runs are interrupted, the command that continues each is written to
    stderr, and 130 is returned; at a second signal we leave at once. Returns 4 when a thread of
    the daemon dies. Raises ConflictError where a daemon of the home lives.
    """
    from scalebox_hpc.daemon.life import Daemon, Signals, wheel_of

    daemon = Daemon(home_path, engine_of or wheel_of)
    with Signals(daemon.happened):
        try:
            daemon.start()
            return _serve_submit(daemon, submit)
        finally:
            daemon.end()


def _serve_submit(daemon: Daemon, submit: Callable[[], int]) -> int:
    from scalebox_hpc.daemon.life import Happening, What, tell_death

    def work() -> None:
        try:
            daemon.happened.put(Happening(What.SUBMITTED, number=submit()))
        except BaseException as error:  # noqa: BLE001 (handed to the main thread, which raises it)
            daemon.happened.put(Happening(What.SUBMITTED, error))

    threading.Thread(target=work, name="submit", daemon=True).start()
    happening = daemon.happened.get()
    if happening.what is What.SUBMITTED:
        if happening.error is not None:
            raise happening.error
        return happening.number
    if happening.what is What.SIGNAL:
        return _interrupt(daemon)
    if happening.what is What.ENGINE and happening.error is None:
        return INTERRUPTED  # somebody told the daemon to stop
    return tell_death(happening)


def _interrupt(daemon: Daemon) -> int:
    """Let the engine interrupt its runs, and say how to go on."""
    from scalebox_hpc.daemon.life import tell_death

    engine = daemon.engine
    assert engine is not None
    engine.interrupt()
    over = daemon.await_engine(GRACE_S)
    for run in engine.interrupted:
        print(f"sbx resume {run}", file=sys.stderr)
    return INTERRUPTED if over is None or over.error is None else tell_death(over)
