"""One life of a daemon: its threads, from taking the lock to giving it back.

If any thread dies the daemon ends, loudly. It neither decides what the engine does nor how the
process was started.
"""

from __future__ import annotations

import datetime
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from enum import StrEnum
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType, TracebackType
from typing import Any, Final, NamedTuple

from scalebox_hpc import __version__
from scalebox_hpc.daemon import lock as locks
from scalebox_hpc.daemon import log as logs
from scalebox_hpc.daemon.contact import (
    Contact,
    read_daemon_json,
    this_hosts_addresses,
    write_daemon_json,
)
from scalebox_hpc.daemon.home import Home, create
from scalebox_hpc.daemon.keys import Keys, open_identity, open_keys
from scalebox_hpc.daemon.premises import Engine, EngineMaker, Premises
from scalebox_hpc.daemon.server import Server, listen
from scalebox_hpc.errors import EnvironmentProblem, SbxError
from scalebox_hpc.relay.addresses import LOOPBACK

SWITCH_S: Final = 0.001  # the server must not wait 5 ms for each turn at Python's lock
ENGINE_JOIN_S: Final = 60.0
DIED: Final = 4  # exit code


class What(StrEnum):
    """What the main thread waits for."""

    ENGINE = "engine"  # it returned, or died
    SERVER = "server"
    THREAD = "thread"  # any other died
    SIGNAL = "signal"
    SUBMITTED = "submitted"  # what a foreground run is for is over


class Happening(NamedTuple):
    what: What
    error: BaseException | None = None
    number: int = 0  # of a signal, or an exit code


def wheel_of(premises: Premises) -> Engine:
    """The real engine."""
    from scalebox_hpc.daemon.loop import Wheel

    return Wheel(premises)


class Daemon:
    """A daemon of a home, in this process. `start`, wait on `happened`, `end`."""

    def __init__(self, path: Path, engine_of: EngineMaker = wheel_of) -> None:
        self.home: Home = create(path)
        self.happened: SimpleQueue[Happening] = SimpleQueue()
        self.engine: Engine | None = None
        self._engine_of = engine_of
        self._engine_thread: threading.Thread | None = None
        self._server: Server | None = None
        self._lock: locks.Lock | None = None
        self._log: logging.Handler | None = None
        self._thread_hook = threading.excepthook

    def start(self, takeover: bool = False) -> None:
        """Take the lock, listen, start the engine, say where we are. Raises SbxError.

        Whatever it raises, `end` must be called.
        """
        self._lock = locks.acquire(self.home, takeover=takeover)
        self._log = logs.set_up(self.home.log)
        logs.tell("daemon.starts", version=__version__, home=self.home.id, pid=os.getpid())
        sys.setswitchinterval(SWITCH_S)
        threading.excepthook = self._thread_died
        self.home.daemon_json.unlink(missing_ok=True)
        keys = open_keys(self.home)
        premises = self._open(keys, self._lock, takeover)
        for why in premises.contact.publish_all():  # agents of a site cannot be told where we are
            logs.tell("contact.failed", logging.WARNING, why=why)
        self.engine = self._start_engine(premises)
        self._say_where(premises)
        logs.tell("daemon.answers", address=premises.address)

    def _open(self, keys: Keys, held: locks.Lock, takeover: bool) -> Premises:
        now_s = time.time_ns() / 1e9
        identity = open_identity(self.home, datetime.datetime.fromtimestamp(now_s, datetime.UTC))
        inbox: SimpleQueue[Any] = SimpleQueue()
        self._server = Server(keys, identity, inbox, self._server_ended)
        recorded = self.home.recorded()
        sock = listen(recorded.get("port"), None)
        port = int(sock.getsockname()[1])
        self._server.start(sock)
        if recorded.get("port") != port:
            self.home.record({"port": port})
        contact = Contact(self.home, self._server)
        address, now_us = f"{LOOPBACK}:{port}", int(now_s * 1e6)
        return Premises(self.home, held, keys, contact, inbox, address, now_us, takeover)

    def _start_engine(self, premises: Premises) -> Engine:
        """Make the engine in the thread that runs it, as its ledger belongs to one thread."""
        made: Future[Engine] = Future()

        def work() -> None:
            error: BaseException | None = None
            try:
                engine = self._engine_of(premises)
                made.set_result(engine)
                engine.run()
            except BaseException as raised:  # noqa: BLE001 (the thread's last door: it ends the daemon)
                error = raised
                if not made.done():
                    made.set_exception(raised)
            self.happened.put(Happening(What.ENGINE, error))

        self._engine_thread = threading.Thread(target=work, name="engine")
        self._engine_thread.start()
        return made.result()

    def _say_where(self, premises: Premises) -> None:
        port = premises.address.rpartition(":")[2]
        server = self._server
        entries = {
            "home": self.home.id,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "address": premises.address,
            "addresses": [f"{address}:{port}" for address in this_hosts_addresses(())],
            "fingerprint": server.fingerprint if server else "",
            "token": premises.keys.user_token(),
            "version": __version__,
            "started_us": premises.started_us,
        }
        write_daemon_json(self.home, entries)

    def _server_ended(self, error: BaseException | None) -> None:
        self.happened.put(Happening(What.SERVER, error))

    def _thread_died(self, args: threading.ExceptHookArgs) -> None:
        self.happened.put(Happening(What.THREAD, args.exc_value))

    def await_engine(self, timeout_s: float) -> Happening | None:
        """Wait until the engine is over; None when it is not in time. A signal makes it hurry."""
        deadline_s = time.monotonic() + timeout_s
        while (left_s := deadline_s - time.monotonic()) > 0:
            try:
                happening = self.happened.get(timeout=left_s)
            except Empty:
                break
            if happening.what is What.ENGINE:
                return happening
            if happening.what is What.SIGNAL and self.engine is not None:
                self.engine.stop()
        return None

    def end(self) -> None:
        """Stop the threads and give the home back. An engine that hangs keeps the lock, and we say so."""
        if self.engine is not None:
            self.engine.stop()
        if self._engine_thread is not None:
            self._engine_thread.join(ENGINE_JOIN_S)
        hangs = self._engine_thread is not None and self._engine_thread.is_alive()
        self._forget_where()
        if hangs:
            logs.tell("daemon.hangs", logging.CRITICAL, todo=f"the lock stays until {os.getpid()} is gone")
        elif self._lock is not None:
            self._lock.release()  # before anything slow: what told us to end may kill us soon
        if self._server is not None:
            self._server.stop()
        logs.tell("daemon.ends")
        threading.excepthook = self._thread_hook
        if self._log is not None:
            logs.take_down(self._log)
        if hangs:
            os._exit(DIED)

    def _forget_where(self) -> None:
        """Remove daemon.json if it speaks of us."""
        try:
            entries = read_daemon_json(self.home.path)
        except EnvironmentProblem:
            return
        if entries and (entries.get("host"), entries.get("pid")) == (socket.gethostname(), os.getpid()):
            self.home.daemon_json.unlink(missing_ok=True)


class Signals:
    """SIGTERM and SIGINT become happenings, as long as this is entered; in the main thread only."""

    def __init__(self, happened: SimpleQueue[Happening]) -> None:
        self._happened = happened
        self._before: dict[int, Callable[[int, FrameType | None], Any] | int | None] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._happened.put(Happening(What.SIGNAL, number=number))


def tell_death(happening: Happening) -> int:
    """Say in the log why the daemon dies; returns the exit code."""
    error = happening.error
    said, trace = {"part": str(happening.what)}, error
    if isinstance(error, SbxError):
        said, trace = said | {"why": error.fact, "todo": error.hint}, None
    logs.tell("daemon.dies", logging.CRITICAL, trace, **said)
    return DIED


def tell_refusal(error: SbxError) -> None:
    """Say in the log why the daemon does not start."""
    logs.tell("daemon.refused", logging.ERROR, why=error.fact, todo=error.hint)
