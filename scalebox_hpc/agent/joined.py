"""The agent's side of a runner: orders to it, and what it says of tasks.

The runner is a process of ours in the container's namespaces; it reports, we limit and kill.
"""

from __future__ import annotations

import array
import marshal
import os
import signal
import socket
from collections.abc import Callable

from scalebox_hpc.agent.child import Children, Process, signal_group
from scalebox_hpc.agent.guests import Order, Usage, explain
from scalebox_hpc.agent.loop import READ, WRITE, Loop
from scalebox_hpc.agent.mounts import View
from scalebox_hpc.agent.runner import (
    BASE,
    BROKEN,
    ENDED,
    FAILED,
    HEAD,
    JOINED,
    NO_PLACE,
    NO_START,
    REPLY,
    RUN,
    SLOT,
    STARTED,
)

RECEIVE = 1 << 16


class Joined:
    """Hands inside, by a runner."""

    def __init__(
        self,
        loop: Loop,
        children: Children,
        wire: socket.socket,
        image: str,
        view: View,
        ready: Callable[[int, bool], None],
        lost: Callable[[str], None],
    ) -> None:
        """`ready(errno, has_bash)` is told whether it is in (0); `lost(why)` that it or the image died."""
        self.orders: dict[int, Order] = {}
        self.worked = False  # a task has run to its end
        self._loop, self._children, self._wire = loop, children, wire
        self._image, self._view, self._ready, self._lost = image, view, ready, lost
        self._count = 0
        self._slots: dict[int, str] = {}  # with the directory over /tmp
        self._unsent = b""
        self._unread = b""
        self._runner = 0
        self._is_closed = False
        wire.setblocking(False)
        loop.watch(wire.fileno(), READ, self._read)

    def begin(self, runner: Process, base: dict[bytes, bytes]) -> None:
        """Send what all tasks have in common."""
        self._runner = runner.pid
        self._say((BASE, base))

    def start(self, order: Order) -> None:
        """Start a task in its slot's own view of the container, with `order.tmp` over /tmp."""
        process, slot = order.process, order.slot
        if self._slots.get(slot.number) != order.tmp:
            self._slots[slot.number] = order.tmp
            private, inner = list(self._view.private), list(self._view.inner)
            out, err = slot.segments
            self._say((SLOT, slot.number, order.tmp, private, inner), (out.fd, err.fd))
        self._count = number = (self._count + 1) & 0x7FFFFFFF
        words = [os.fsencode(word) for word in order.argv]
        self._say((RUN, number, slot.number, slot.work, words, order.env))
        self.orders[number] = order
        process.send = self._sender(process)
        self._children.adopt(process, order.time_s)

    def close(self) -> None:
        """Let it end."""
        if not self._is_closed:
            self._is_closed = True
            self._loop.forget(self._wire.fileno())
            self._wire.close()

    # the wire

    def _say(self, said: tuple[object, ...], fds: tuple[int, ...] = ()) -> None:
        body = marshal.dumps(said)  # type: ignore[arg-type]
        data = HEAD.pack(len(body)) + body
        if fds:
            # Descriptors travel with the first byte, and nothing overtakes.
            self._wire.setblocking(True)
            self._flush()
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
            sent = self._wire.sendmsg([data], rights)
            self._wire.setblocking(False)
            self._unsent = data[sent:]
        elif self._unsent:
            self._unsent += data
            return
        else:
            self._unsent = data
        self._flush()

    def _flush(self, fd: int = -1) -> None:
        was_stuck = fd >= 0
        while self._unsent:
            try:
                self._unsent = self._unsent[self._wire.send(self._unsent) :]
            except BlockingIOError:
                if not was_stuck:
                    self._loop.change(self._wire.fileno(), READ | WRITE)
                return
            except OSError:
                self._unsent = b""  # its end is told by reading
        if was_stuck:
            self._loop.change(self._wire.fileno(), READ)

    def _read(self, fd: int) -> None:
        if self._unsent:
            self._flush(fd)
        try:
            data = self._wire.recv(RECEIVE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost("what starts its tasks was killed")
            return
        data = self._unread + data if self._unread else data
        whole = len(data) - len(data) % REPLY.size
        self._unread = data[whole:]
        for kind, number, pid, status, user, system, rss in REPLY.iter_unpack(data[:whole]):
            if kind == ENDED:
                self._ended(number, pid, status, Usage(user / 1e6, system / 1e6, rss))
            else:
                self._other(kind, number, pid, status)

    def _ended(self, number: int, pid: int, status: int, usage: Usage) -> None:
        order = self.orders.pop(number, None)
        if order is not None:
            self.worked = True
            order.process.pid = pid
            self._children.guest_ended(order.process, status, usage)

    def _other(self, kind: int, number: int, pid: int, status: int) -> None:
        order = self.orders.get(number)
        if kind == JOINED:
            self._ready(status, bool(pid))
        elif kind == STARTED and order is not None:
            order.process.pid = pid
            if order.process.why:
                signal_group(pid, signal.SIGTERM)
        elif kind == FAILED and order is not None:
            del self.orders[number]
            self._children.cast_out(order.process)
            if pid == NO_PLACE:
                text = f"its work directory cannot be entered in the container: {os.strerror(status)}"
            else:
                text = explain(order.argv[0], self._image, status, pid == NO_START)
            order.not_started(text)
        elif kind == BROKEN:
            self.worked = False
            if order is None:
                self._lost(f"its mounts cannot be made: {os.strerror(status)}")
            else:
                order.process.pid = pid
                self._lost("the files of its image cannot be read any more")

    def _sender(self, process: Process) -> Callable[[int], None]:
        def send(number: int) -> None:
            if process.pid:
                signal_group(process.pid, number)
            elif number == signal.SIGKILL:
                signal_group(self._runner, number)  # it is deaf: the container goes with it

        return send
