"""The agent's side of a runner: orders to it, and what it says of tasks.

The runner is a process of ours on the bare host or in a container; it reports, we limit and kill.
"""

from __future__ import annotations

import array
import marshal
import os
import signal
import socket
from collections.abc import Callable

from scalebox_hpc.agent.child import Ended, Process, signal_group
from scalebox_hpc.agent.guests import Order, Setting, Usage
from scalebox_hpc.agent.loop import READ, WRITE
from scalebox_hpc.agent.mounts import View
from scalebox_hpc.agent.runner import (
    BASE,
    BROKEN,
    ENDED,
    FAILED,
    HEAD,
    JOINED,
    REPLY,
    RUN,
    SLOT,
    STARTED,
)

RECEIVE = 1 << 16


class Joined:
    """Hands that are a runner."""

    def __init__(
        self,
        setting: Setting,
        view: View,
        ready: Callable[[int, bool], None],
        lost: Callable[[str], None],
    ) -> None:
        """Be ready for `begin`. Raises OSError.

        `ready(errno, has_bash)` is told whether it is in (0), for each module that is told of; `lost(why)`
        that it or the image died.
        """
        self.orders: dict[int, Order] = {}
        self.worked = False  # a task has run to its end
        self._setting, self._view, self._ready, self._lost = setting, view, ready, lost
        self._wire, self._its_end = socket.socketpair()
        self._count = 0
        self._modules: set[int] = set()  # of which it knows what all tasks have in common
        self._slots: dict[int, str] = {}  # with the directory over /tmp
        self._unsent = b""
        self._unread = b""
        self._runner = 0
        self._is_closed = False
        self._wire.setblocking(False)
        setting.loop.watch(self._wire.fileno(), READ, self._read)

    def begin(self, anchor: int, mark: bytes, ended: Ended) -> Process:
        """Start the runner; `anchor` is a process in the container, 0 for the bare host.

        Raises OSError, ValueError.
        """
        setting = self._setting
        argv = [*setting.helper, "runner", str(anchor), "1" if setting.children.can_setsid else "0"]
        with self._its_end as its_end:
            redirections = [*setting.children.silent[1:2], (os.POSIX_SPAWN_DUP2, its_end.fileno(), 0)]
            runner = setting.stand(argv, redirections, mark, ended)
        self._runner = runner.pid
        return runner

    def tell(self, module: int, base: dict[bytes, bytes]) -> None:
        """Say once what all tasks of a module have in common."""
        if module not in self._modules:
            self._modules.add(module)
            self._say((BASE, module, base))

    def start(self, order: Order) -> None:
        """Start a task, in a container in its slot's own view, with `order.tmp` over /tmp."""
        process, slot = order.process, order.slot
        if self._slots.get(slot.number) != order.tmp:
            self._slots[slot.number] = order.tmp
            private, inner = list(self._view.private), list(self._view.inner)
            out, err = slot.segments
            self._say((SLOT, slot.number, order.tmp, private, inner), (out.fd, err.fd))
        self._count = number = (self._count + 1) & 0x7FFFFFFF
        words = [os.fsencode(word) for word in order.argv]
        path = os.fsencode(order.path)
        self._say((RUN, number, order.module, slot.number, slot.work, path, words, order.env))
        self.orders[number] = order
        process.send = self._sender(process)
        self._setting.children.adopt(process, order.time_s)

    def close(self) -> None:
        """Let it end."""
        if not self._is_closed:
            self._is_closed = True
            self._setting.loop.forget(self._wire.fileno())
            self._wire.close()
            self._its_end.close()

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
                    self._setting.loop.change(self._wire.fileno(), READ | WRITE)
                return
            except OSError:
                self._unsent = b""  # its end is told by reading
        if was_stuck:
            self._setting.loop.change(self._wire.fileno(), READ)

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
            self._setting.children.guest_ended(order.process, status, usage)

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
            self._setting.children.cast_out(order.process)
            order.not_started(pid, status)
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
