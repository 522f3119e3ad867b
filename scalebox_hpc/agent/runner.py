"""Starts the tasks of one warm container: a process of the node's Python inside the container's namespaces.

It enters them through a process that lives there (the anchor), so the image needs no Python. Each
slot has its own copy of the mounts, with a directory of its own over /tmp. Tasks are its children;
when one ends it says how. It limits no time, kills nothing and sweeps nothing: the agent does, to
whom orphans go. It ends when the agent is gone.

All that is needed is imported before the container is entered: afterwards the node's files are out of sight.
"""

from __future__ import annotations

import _socket
import ctypes
import errno
import marshal
import os
import resource  # noqa: F401  os.wait4 needs it, and would look for it inside
import select
import signal
import struct
import sys
import time

BASE, SLOT, RUN = range(3)  # what the agent says: the first of each tuple
JOINED, STARTED, ENDED, FAILED, BROKEN = range(5)  # what we say: the first of each REPLY
NO_PLACE, NO_PROGRAM, NO_START = range(3)  # in place of a pid in FAILED
REPLY = struct.Struct("<iIiiqqq")  # kind, task, pid, status or errno, user µs, system µs, max RSS KiB
HEAD = struct.Struct("<I")  # length of what follows
TELL_S = 0.05  # after which a task that still runs is said to have started, so that it can be killed
NAMESPACES = ("user", "ipc", "uts", "net", "cgroup", "mnt")
GONE = (errno.ENOTCONN, errno.EIO, errno.ESTALE)  # how files of an image look whose mount has died
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

CLONE_NEWNS = 0x00020000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38

LIBC = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Run `agent.pyz runner ANCHOR SETSID`; standard input is the socket to the agent."""
    anchor, can_setsid = int(sys.argv[2]), sys.argv[3] == "1"
    wire = _socket.socket(fileno=os.dup(0))
    try:
        runner = Runner(wire, Room(anchor), can_setsid)
    except OSError as problem:
        wire.sendall(REPLY.pack(JOINED, 0, 0, problem.errno or errno.EPERM, 0, 0, 0))
        return
    runner.serve()


class Slot:
    """One slot's view of the container, and where its tasks write."""

    __slots__ = ("actions", "namespace", "root")

    def __init__(self, namespace: int, root: int, actions: list[tuple[int, int, int]]) -> None:
        self.namespace, self.root, self.actions = namespace, root, actions


class Room:
    """The container's namespaces, which this process is in from now on."""

    def __init__(self, anchor: int) -> None:
        """Enter. Raises OSError."""
        proc = os.open(f"/proc/{anchor}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._self = os.open("/proc/self/ns", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        bounds = _bounding_set(anchor)
        other = [name for name in NAMESPACES if _differs(anchor, name)]
        if "mnt" not in other:
            raise OSError(errno.EINVAL, "it shares our mounts")
        self._base = os.open("ns/mnt", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
        for name in other[:-1]:
            fd = os.open(f"ns/{name}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
            _check(LIBC.setns(fd, 0))
            os.close(fd)
        _check(LIBC.setns(self._base, CLONE_NEWNS))
        self._root = os.open("root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=proc)
        _drop_bounds(bounds)
        _check(LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        self._at: object = None
        self.go(self._base, self._root)

    def go(self, namespace: int, root: int) -> None:
        """Be in a view of the container, at its root."""
        if self._at == namespace:
            return
        _check(LIBC.setns(namespace, CLONE_NEWNS))
        os.fchdir(root)
        os.chroot(".")  # a runtime may have made its root by chroot
        self._at = namespace

    def make_slot(self, tmp: str, private: list[str], inner: list[str], out: int, err: int) -> Slot:
        """Make a view with `tmp` over the `private` places, `inner` showing below. Raises OSError."""
        self.go(self._base, self._root)
        _check(LIBC.unshare(CLONE_NEWNS))
        self._at = None
        LIBC.mount(None, b"/", None, MS_REC | MS_PRIVATE, None)
        kept = [(target, os.open(target, os.O_PATH | os.O_CLOEXEC)) for target in inner]
        own = os.open(tmp, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        for place in private:
            if os.path.isdir(place):  # not every image has /var/tmp
                _bind(own, place)
        for target, fd in kept:
            _bind(fd, target)
            os.close(fd)
        os.close(own)
        namespace = os.open("mnt", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._self)
        root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        dup = os.POSIX_SPAWN_DUP2
        return Slot(namespace, root, [(dup, self._null, 0), (dup, out, 1), (dup, err, 2)])


class Runner:
    """Does what the agent says, and tells what became of it."""

    def __init__(self, wire: _socket.socket, room: Room, can_setsid: bool) -> None:
        self._wire, self._room, self._can_setsid = wire, room, can_setsid
        self._base: dict[bytes, bytes] = {}
        self._slots: dict[int, Slot] = {}
        self._fds: list[int] = []  # received, not yet given to a slot
        self._tasks: dict[int, int] = {}  # pid to task
        self._untold: list[tuple[float, int, int]] = []  # when started, pid, task
        self._paths: dict[tuple[bytes, bytes], bytes] = {}
        self._replies: list[bytes] = []
        self._buffer = b""
        self._signals, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGHUP):
            # A handler, and not SIG_IGN: tasks get the default back at their exec.
            signal.signal(number, lambda *_: None)

    def serve(self) -> None:
        """Work until the agent closes the socket."""
        poll, wire = select.poll(), self._wire.fileno()
        poll.register(wire, select.POLLIN)
        poll.register(self._signals, select.POLLIN)
        while True:
            happened = poll.poll(TELL_S * 1000 if self._untold else None)
            for fd, _ in happened:
                if fd == wire:
                    if not self._receive():
                        return
                else:
                    os.read(self._signals, 4096)
                    self._reap()
            if self._untold:
                self._tell()
            if self._replies:
                self._wire.sendall(b"".join(self._replies))
                self._replies.clear()

    def _receive(self) -> bool:
        data, extra, _, _ = self._wire.recvmsg(1 << 16, 1024)
        for _, _, piece in extra:
            self._fds += memoryview(piece).cast("i")
        if not data:
            return False
        buffer = self._buffer + data
        at, end = 0, len(buffer)
        while end - at >= 4:
            (size,) = HEAD.unpack_from(buffer, at)
            if end - at - 4 < size:
                break
            self._obey(marshal.loads(memoryview(buffer)[at + 4 : at + 4 + size]))
            at += 4 + size
        self._buffer = buffer[at:]
        return True

    def _obey(self, said: tuple) -> None:  # type: ignore[type-arg]
        if said[0] == RUN:
            self._run(*said[1:])
        elif said[0] == SLOT:
            self._make_slot(*said[1:])
        else:
            self._base = said[1]
            has_bash = bool(self._find(b"bash", self._base))
            self._reply(JOINED, 0, int(has_bash), 0)

    def _make_slot(self, number: int, tmp: str, private: list[str], inner: list[str]) -> None:
        out, err = self._fds[:2]
        del self._fds[:2]
        for fd in (out, err):
            os.set_inheritable(fd, False)
        try:
            self._slots[number] = self._room.make_slot(tmp, private, inner, out, err)
        except OSError as problem:
            self._reply(BROKEN, 0, 0, problem.errno or 0)

    def _run(self, task: int, slot: int, work: str, argv: list[bytes], own: dict[bytes, bytes]) -> None:
        place = self._slots.get(slot)
        if place is None:
            self._reply(FAILED, task, NO_PLACE, errno.EINVAL)
            return
        env = {**self._base, **own}
        step, path = NO_PLACE, b""
        try:
            self._room.go(place.namespace, place.root)
            os.chdir(work)
            step = NO_PROGRAM
            path = argv[0] if b"/" in argv[0] else self._find(argv[0], env)
            if not path:
                raise FileNotFoundError(errno.ENOENT, "not in PATH")
            step = NO_START
            if self._can_setsid:
                pid = os.posix_spawn(path, argv, env, file_actions=place.actions, setsid=True)
            else:
                pid = os.posix_spawn(path, argv, env, file_actions=place.actions, setpgroup=0)
        except (OSError, ValueError) as problem:
            number = getattr(problem, "errno", None) or errno.EINVAL
            if step == NO_START and not os.path.exists(path):
                step = NO_PROGRAM
            if number in GONE:
                self._reply(BROKEN, task, 0, number)
            else:
                self._reply(FAILED, task, step, number)
            return
        self._tasks[pid] = task
        self._untold.append((time.monotonic(), pid, task))

    def _find(self, word: bytes, env: dict[bytes, bytes]) -> bytes:
        search = env.get(b"PATH") or os.fsencode(DEFAULT_PATH)
        known = self._paths.get((word, search))
        if known is not None and os.access(known, os.X_OK):
            return known
        for directory in search.split(b":"):
            path = os.path.join(directory or b".", word)
            if os.path.isfile(path) and os.access(path, os.X_OK):
                self._paths[word, search] = path
                return path
        return b""

    def _reap(self) -> None:
        while self._tasks:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                return
            task = self._tasks.pop(pid, None)
            if task is None:
                continue
            kind = ENDED if status == 0 or _is_whole() else BROKEN
            times = (int(usage.ru_utime * 1e6), int(usage.ru_stime * 1e6), usage.ru_maxrss)
            self._replies.append(REPLY.pack(kind, task, pid, status, *times))

    def _tell(self) -> None:
        """Say of each task that has not ended soon which process it is."""
        until = time.monotonic() - TELL_S
        later = []
        for entry in self._untold:
            at, pid, task = entry
            if pid not in self._tasks:
                continue
            if at > until:
                later.append(entry)
            else:
                self._reply(STARTED, task, pid, 0)
        self._untold = later

    def _reply(self, kind: int, task: int, pid: int, status: int) -> None:
        self._replies.append(REPLY.pack(kind, task, pid, status, 0, 0, 0))


def _bind(fd: int, target: str) -> None:
    """Show at `target` what the descriptor stands for; a path to it may be hidden by now."""
    _check(LIBC.mount(b"/proc/self/fd/%d" % fd, os.fsencode(target), None, MS_BIND | MS_REC, None))


def _is_whole() -> bool:
    """Tell whether files of the image can still be read."""
    try:
        os.listdir("/")
        os.access("/bin/sh", os.X_OK)
        os.stat("/bin")
    except OSError as problem:
        return problem.errno not in GONE
    return True


def _differs(anchor: int, name: str) -> bool:
    try:
        return os.readlink(f"/proc/{anchor}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}")
    except FileNotFoundError:
        return False  # this kernel has no such namespace


def _bounding_set(pid: int) -> int:
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("CapBnd:"):
                return int(line.split()[1], 16)
    return -1


def _drop_bounds(kept: int) -> None:
    """Let tasks get no capability that the anchor could not get either."""
    for number in range(64):
        if not kept >> number & 1:
            LIBC.prctl(PR_CAPBSET_DROP, number, 0, 0, 0)


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
