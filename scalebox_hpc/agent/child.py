"""Starts processes, sees them end, limits their time, and leaves nothing of an attempt alive.

What is started, and what an exit means, is decided elsewhere.

An attempt is everything that its first process started. Orphans come to us, because we are
their subreaper, and are told apart by session, group or marker: SBX_INCARNATION, SBX_TASK and
SBX_ATTEMPT together in their environment.

Beside tasks there are *standing* processes, which hold containers and outlive tasks, and *guests*:
tasks whose parent is such a process, which tells us of their start and end.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from scalebox_hpc.agent.loop import Loop
from scalebox_hpc.agent.signals import Signals

INF = float("inf")
GRACE_S = 5.0  # between TERM and KILL
SWEEP_S = 10.0  # after which an attempt is reported though something of it survives KILL
EXEC_LOOKS = 10  # at a process whose environment is empty, as it is for a moment during exec
LOOK_S = 0.1  # between two looks where nothing tells us of an end
PAGE = 4096
PR_SET_CHILD_SUBREAPER = 36

STANDING = b"SBX_STANDING"  # in the environment of whatever belongs to a container and not to a task
TASK = b"SBX_TASK"

Environ = Mapping[bytes, bytes]
Ended = Callable[["Process"], None]


class Watch(Protocol):
    """Tells of the end of children."""

    def add(self, pid: int, call: Callable[[int], None]) -> None:
        """Call `call(pid)` once when that child has ended."""


class PidfdWatch:
    """By a descriptor for each process (Linux 5.3)."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._calls: dict[int, tuple[int, Callable[[int], None]]] = {}

    def add(self, pid: int, call: Callable[[int], None]) -> None:
        """Call `call(pid)` once when that child has ended."""
        fd = os.pidfd_open(pid)
        self._calls[fd] = (pid, call)
        self._loop.once(fd, self._ended)

    def _ended(self, fd: int) -> None:
        pid, call = self._calls.pop(fd)
        self._loop.gone(fd)
        os.close(fd)
        call(pid)


class SigchldWatch:
    """By SIGCHLD, on older kernels."""

    def __init__(self, signals: Signals) -> None:
        self._calls: dict[int, Callable[[int], None]] = {}
        signals.on(signal.SIGCHLD, self._some_ended)

    def add(self, pid: int, call: Callable[[int], None]) -> None:
        """Call `call(pid)` once when that child has ended."""
        self._calls[pid] = call

    def _some_ended(self) -> None:
        for pid in list(self._calls):
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                self._calls.pop(pid)(pid)


def best_watch(loop: Loop, signals: Signals) -> Watch:
    """Return the cheaper watch where the kernel has it."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (OSError, AttributeError):
        return SigchldWatch(signals)
    return PidfdWatch(loop)


class Process:
    """One process that we started, and how it went."""

    __slots__ = (
        "ended",
        "is_standing",
        "kill_at",
        "marker",
        "pid",
        "rusage",
        "send",
        "status",
        "stop_at",
        "survivors",
        "sweeping",
        "why",
    )

    def __init__(self, pid: int, marker: frozenset[bytes], stop_at: float, ended: Ended) -> None:
        self.pid = pid  # 0 while it is not known
        self.is_standing = False
        self.send: Callable[[int], None] | None = None  # how to signal it, unless by its group
        self.marker = marker
        self.stop_at = stop_at  # TERM then
        self.kill_at = INF  # KILL then
        self.ended = ended
        self.why = ""  # why we stopped it: "timeout", or what `stop` was told
        self.status = 0  # as wait4 gives it
        self.rusage: Any = None
        self.sweeping = 0.0  # since when its leftovers are being killed
        self.survivors: list[int] = []  # what KILL did not end


class Children:
    """All processes of this agent."""

    def __init__(self, loop: Loop, watch: Watch) -> None:
        self.wake_at = INF  # when `tick` has something to do
        self.running: dict[int, Process] = {}  # children of ours
        self._guests: set[Process] = set()
        self._loop = loop
        self._watch = watch
        self._sweeping: set[Process] = set()
        self._watched: set[int] = set()  # orphans being killed
        self._kept: set[int] = set()  # orphans that belong to standing processes
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self.silent = self.redirections(self._null, self._null)
        self._children = _open_children_list()
        self.can_setsid = _can_setsid()

    def redirections(self, out: int, err: int) -> list[tuple[int, int, int]]:
        """Return what `start` needs to write to these descriptors; make it once and keep it."""
        dup = os.POSIX_SPAWN_DUP2
        return [(dup, self._null, 0), (dup, out, 1), (dup, err, 2)]

    def start(
        self,
        path: str,
        argv: list[str],
        env: Environ,
        work: str | int,
        redirections: Sequence[tuple[int, int, int]],
        marker: frozenset[bytes],
        time_s: float,
        ended: Ended,
    ) -> Process:
        """Start a program in `work` (a path or a descriptor) in a session of its own.

        `ended(process)` is called when it and all that it left behind are gone. Raises OSError or
        ValueError when it cannot be started.
        """
        os.chdir(work)
        if self.can_setsid:
            pid = os.posix_spawn(path, argv, env, file_actions=redirections, setsid=True)
        else:
            pid = os.posix_spawn(path, argv, env, file_actions=redirections, setpgroup=0)
        stop_at = self._loop.now + time_s
        process = self.running[pid] = Process(pid, marker, stop_at, ended)
        self.wake_at = min(self.wake_at, stop_at)
        self._watch.add(pid, self._ended)
        return process

    def stand(
        self,
        argv: list[str],
        env: Environ,
        redirections: Sequence[tuple[int, int, int]],
        marker: frozenset[bytes],
        ended: Ended,
    ) -> Process:
        """Start a standing process; `env` and `marker` hold STANDING. Raises as `start` does."""
        process = self.start(argv[0], argv, env, "/", redirections, marker, INF, ended)
        process.is_standing = True
        return process

    def adopt(self, process: Process, time_s: float) -> None:
        """Take in a guest that is being started, with the limit of its time."""
        self._guests.add(process)
        process.stop_at = self._loop.now + time_s
        self.wake_at = min(self.wake_at, process.stop_at)

    def guest_ended(self, process: Process, status: int, rusage: Any) -> None:
        """Say how a guest ended; what it left behind is killed before its `ended` is called."""
        self._guests.discard(process)
        process.status, process.rusage = status, rusage
        self._sweep(process)

    def cast_out(self, process: Process) -> None:
        """Say that a guest was never started."""
        self._guests.discard(process)

    def watch_guest(self, pid: int, call: Callable[[int], None]) -> None:
        """Call `call(pid)` when a guest has ended and waits to be reaped. Raises OSError."""
        self._watch.add(pid, call)

    @property
    def sees_guests(self) -> bool:
        """Whether the end of a process can be seen that is no child of ours."""
        return isinstance(self._watch, PidfdWatch)

    def stop(self, process: Process, why: str) -> None:
        """TERM its group now, KILL after the grace. A second stop changes nothing."""
        if process.kill_at == INF and (process.pid in self.running or process in self._guests):
            process.why = why
            process.kill_at = self._loop.now + GRACE_S
            process.stop_at = INF
            self.wake_at = min(self.wake_at, process.kill_at)
            _signal(process, signal.SIGTERM)

    def kill(self, process: Process) -> None:
        """KILL a standing process."""
        if process.pid in self.running:
            signal_group(process.pid, signal.SIGKILL)

    def tick(self) -> None:
        """Do what is due now."""
        now, wake_at = self._loop.now, INF
        for process in [*self.running.values(), *self._guests]:
            if now >= process.stop_at:
                self.stop(process, "timeout")
            if now >= process.kill_at:
                process.kill_at = now + GRACE_S
                _signal(process, signal.SIGKILL)
            wake_at = min(wake_at, process.stop_at, process.kill_at)
        for process in list(self._sweeping):
            self._sweep(process)
        self.wake_at = min(wake_at, now + LOOK_S if self._sweeping else INF)

    def kill_all(self) -> None:
        """KILL everything that is still a descendant of ours; for the very end."""
        for _ in range(100):
            left = self._list()
            for pid in left:
                signal_group(pid, signal.SIGKILL)
                self.running.pop(pid, None)
                try:
                    os.waitpid(pid, 0)
                except ChildProcessError:
                    continue
            if not left:
                return

    # what is left of an attempt

    def _ended(self, pid: int) -> None:
        process = self.running.pop(pid, None)
        if process is None:
            return  # `kill_all` has seen to it
        _, status, rusage = os.wait4(pid, os.WNOHANG)
        process.status, process.rusage = status, rusage
        self._sweep(process)

    def _sweep(self, process: Process) -> None:
        left: list[int] = []
        if self._children < 0 or len(self._list_raw()) != len(self.running) + len(self._kept):
            left = self._leftovers(process)
        if left and not process.sweeping:
            process.sweeping = self._loop.now
            self._sweeping.add(process)
            self.wake_at = min(self.wake_at, self._loop.now + LOOK_S)
        if left and self._loop.now - process.sweeping < SWEEP_S:
            for pid in left:
                self._kill_orphan(pid, process)
            return
        process.survivors = left
        self._sweeping.discard(process)
        ended, process.ended = process.ended, _told  # breaks a cycle, so that no collector is needed
        ended(process)

    def _kill_orphan(self, pid: int, process: Process) -> None:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            return
        if self._children >= 0 and pid not in self._watched:
            self._watched.add(pid)
            self._watch.add(pid, lambda pid: self._orphan_ended(pid, process))

    def _orphan_ended(self, pid: int, process: Process) -> None:
        self._watched.discard(pid)
        _reap(pid)
        if process in self._sweeping:
            self._sweep(process)

    def _leftovers(self, process: Process) -> list[int]:
        """Return what belongs to the ended attempt; orphans that ended by themselves are reaped."""
        if self._children < 0:
            return [pid for pid in all_pids() if pid != os.getpid() and process.marker <= environ_of(pid)]
        left = []
        for pid in self._list():
            if pid in self.running or (pid in self._kept and not process.is_standing):
                continue
            if pid not in self._watched and os.waitpid(pid, os.WNOHANG)[0]:
                continue
            if self._belongs(pid, process):
                self._kept.discard(pid)
                left.append(pid)
        return left

    def _belongs(self, pid: int, process: Process) -> bool:
        try:
            ids = (os.getsid(pid), os.getpgid(pid))
        except OSError:
            return False
        if process.pid and process.pid in ids:
            return True
        owner = self.running.get(ids[0]) or self.running.get(ids[1])
        if owner is not None and not owner.is_standing:
            return False
        if any(guest.pid in ids for guest in self._guests if guest.pid):
            return False
        environ = _settled_environ(pid)
        if process.marker <= environ:
            return True
        names = {entry.partition(b"=")[0] for entry in environ}
        if TASK in names:  # of an attempt that goes on, or one that has escaped its own sweep
            return not any(one.marker <= environ for one in (*self.running.values(), *self._guests))
        if STANDING in names or (owner is not None and len(names) > 1):
            self._keep(pid)
            return False
        # Whose an orphan without marker is nobody can tell, unless nothing else runs.
        return not self._guests and all(one.is_standing for one in self.running.values())

    def _keep(self, pid: int) -> None:
        """Count an orphan among what belongs to standing processes, until it ends."""
        if pid not in self._kept and pid not in self._watched:
            self._kept.add(pid)
            self._watch.add(pid, self._kept_ended)

    def _kept_ended(self, pid: int) -> None:
        self._kept.discard(pid)
        _reap(pid)

    def _list_raw(self) -> list[bytes]:
        text = piece = os.pread(self._children, 1 << 16, 0)
        while len(piece) > PAGE // 2:  # the kernel hands out a page at a time
            piece = os.pread(self._children, 1 << 16, len(text))
            text += piece
        return text.split()

    def _list(self) -> list[int]:
        return [int(pid) for pid in self._list_raw()] if self._children >= 0 else list(self.running)


def _told(process: Process) -> None:
    """Stand where `ended` stood."""


def _open_children_list() -> int:
    """Become the subreaper and open the list of our children; -1 where the kernel has no such things."""
    try:
        if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            return -1
        path = f"/proc/self/task/{threading.get_native_id()}/children"
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, AttributeError):
        return -1


def _can_setsid() -> bool:
    try:
        os.waitpid(os.posix_spawn("/bin/sh", ["sh", "-c", ":"], {}, setsid=True), 0)
    except (NotImplementedError, OSError):
        return False
    return True


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def _signal(process: Process, number: int) -> None:
    if process.send is not None:
        process.send(number)
    else:
        signal_group(process.pid, number)


def signal_group(pid: int, number: int) -> None:
    for send in (os.killpg, os.kill):
        try:
            send(pid, number)
        except OSError:
            continue
        return


def encoded(env: Mapping[str, str]) -> dict[bytes, bytes]:
    """Return an environment as processes are given it."""
    return {os.fsencode(name): os.fsencode(value) for name, value in env.items()}


def environ_of(pid: int) -> frozenset[bytes]:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return frozenset(file.read().split(b"\0"))
    except OSError:
        return frozenset()


def _settled_environ(pid: int) -> frozenset[bytes]:
    """Return the environment of a process that may be about to become another program: none meanwhile."""
    for _ in range(EXEC_LOOKS):
        environ = environ_of(pid)
        if len(environ) > 1 or b"" not in environ:
            break
        os.sched_yield()
    return environ


def all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]
