"""The shell that holds a warm container open, and tasks started by it where a runner cannot enter.

Any POSIX sh will do. It starts a task in the background at a word of ours and reaps it at another;
that it has ended we see ourselves. Sessions and groups are the shell's, so processes are told apart
by their markers; /tmp is one for all slots, TMPDIR is not; max RSS is not known, nor are CPU times
where the shell reaps sooner than told.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from typing import NamedTuple

from scalebox_hpc.agent.child import STANDING, Children, Process, all_pids, environ_of
from scalebox_hpc.agent.guests import Order, Usage, explain

SCRIPT = """\
printf 'ready %s\\n' "$$"
while read -r verb one two; do
    case $verb in
    look) if ( : >>"$two" ) 2>/dev/null; then printf 'yes\\n'; else printf 'no\\n'; fi ;;
    run) ( . "$two" ) & printf 'pid %s %s\\n' "$one" "$!" ;;
    end) wait "$two"; printf 'end %s %s\\n' "$one" "$?" ;;
    esac
done
"""
NAME = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")
ABSENT = 127
TICKS = os.sysconf("SC_CLK_TCK")
OURS = STANDING + b" APPTAINER_NO_EVAL SINGULARITY_NO_EVAL PS1 PROMPT_COMMAND OLDPWD"
"""Of the anchor's environment, and not for tasks."""


def log_path(fd: int) -> str:
    """Return a path by which a process inside can open a descriptor of ours."""
    return f"/proc/{os.getpid()}/fd/{fd}"


class ByShell:
    """Hands inside, by the shell that holds the container open."""

    def __init__(self, children: Children, say: Callable[[bytes], None], image: str) -> None:
        self.orders: dict[int, Order] = {}
        self.worked = False
        self._children, self._say, self._image = children, say, image
        self._count = 0
        self._ends: dict[int, _End] = {}

    def start(self, order: Order) -> None:
        """Start a task. Raises OSError when its file cannot be written."""
        self._count += 1
        number = self._count
        path = os.path.join(order.slot.path, "task.sh")
        order.slot.must_be_itself()
        with open(path, "wb", opener=_no_link) as file:
            file.write(task_text(order))
        self.orders[number] = order
        order.process.send = _sender(order.process)
        self._children.adopt(order.process, order.time_s)
        self._say(b"run %d %s\n" % (number, os.fsencode(path)))

    def close(self) -> None:
        """Start no more."""

    def heard(self, words: list[bytes]) -> None:
        """Take in an answer of the shell to `run` or `end`."""
        verb, number, value = words[0], int(words[1]), int(words[2])
        order = self.orders.get(number)
        if order is None:
            return
        if verb == b"pid":
            order.process.pid = value
            if order.process.why:
                _sender(order.process)(signal.SIGTERM)
            try:
                self._children.watch_guest(value, lambda pid: self._saw_end(number, pid))
            except ProcessLookupError:  # the shell has reaped it of its own accord
                self._saw_end(number, value)
        elif verb == b"end":
            self._ended(number, order, value)

    def _saw_end(self, number: int, pid: int) -> None:
        self._ends[number] = _read_end(pid)
        self._say(b"end %d %d\n" % (number, pid))

    def _ended(self, number: int, order: Order, code: int) -> None:
        del self.orders[number]
        self.worked = True
        seen = self._ends.pop(number)
        killed = 128 < code <= 128 + signal.NSIG  # as shells say that a signal ended it
        status = seen.status or (code - 128 if killed else code << 8)
        mark = absent_path(order)
        if code == ABSENT and os.path.exists(mark):
            os.unlink(mark)
            self._children.cast_out(order.process)
            order.not_started(explain(order.argv[0], self._image, 0, False))
            return
        self._children.guest_ended(order.process, status, seen.usage)


class _End(NamedTuple):
    """What a process that waits to be reaped says of itself."""

    status: int  # as wait4 gives it; 0 also when it cannot be seen
    usage: Usage


def _no_link(path: str, flags: int) -> int:
    """Open what a task may have replaced by a link to what is outside of its container."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def absent_path(order: Order) -> str:
    """Return the file that says that the program is not there."""
    return os.path.join(order.slot.path, "absent")


def task_text(order: Order) -> bytes:
    """Return the shell lines that become the task."""
    out, err = (os.fsencode(log_path(segment.fd)) for segment in order.slot.segments)
    words = [quote(os.fsencode(word)) for word in order.argv]
    lines = [
        b"exec </dev/null >>%s 2>>%s" % (out, err),
        b"cd %s || exit 126" % quote(os.fsencode(order.slot.work)),
        b"unset " + OURS,
    ]
    lines += [
        b"export %s=%s" % (name, quote(value)) for name, value in order.env.items() if NAME.fullmatch(name)
    ]
    lines.append(
        b"command -v %s >/dev/null 2>&1 || { : >%s; exit %d; }"
        % (words[0], quote(os.fsencode(absent_path(order))), ABSENT)
    )
    lines.append(b"exec " + b" ".join(words))
    return b"\n".join(lines) + b"\n"


def quote(text: bytes) -> bytes:
    """Return a word that a POSIX shell reads as this text."""
    return b"'" + text.replace(b"'", b"'\\''") + b"'"


def _read_end(pid: int) -> _End:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        user, system = (int(fields[at]) + int(fields[at + 2]) for at in (11, 12))
        return _End(int(fields[49]), Usage(user / TICKS, system / TICKS, 0))
    except (OSError, IndexError, ValueError):
        return _End(0, Usage(0.0, 0.0, 0))


def _sender(process: Process) -> Callable[[int], None]:
    def send(number: int) -> None:
        pids = {pid for pid in all_pids() if process.marker <= environ_of(pid)}
        for pid in pids | ({process.pid} if process.pid else set()):
            try:
                os.kill(pid, number)
            except OSError:
                continue

    return send
