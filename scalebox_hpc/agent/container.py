"""The warm container of one module: opened on its first task, held open, opened again when it dies.

It is one command of the runtime (the anchor) whose payload is the image's `sh`, beside it a runner
in the same namespaces. Where there is no way in, the shell starts tasks itself; where there is no
shell, each task has a container of its own. What a task is, and what its end means, is decided elsewhere.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Callable
from typing import BinaryIO, NamedTuple

from scalebox_hpc.agent.anchor import OURS, SCRIPT, ByShell, log_path
from scalebox_hpc.agent.child import STANDING, Children, Process, encoded, environ_of
from scalebox_hpc.agent.container_sheet import Wanted
from scalebox_hpc.agent.guests import LOST, Hands, Order
from scalebox_hpc.agent.image import WRONG, LocalCopy
from scalebox_hpc.agent.joined import Joined
from scalebox_hpc.agent.loop import READ, Loop
from scalebox_hpc.agent.mounts import View
from scalebox_hpc.agent.private_tmp import PrivateTmp
from scalebox_hpc.agent.runtimes import Execution, Runtime
from scalebox_hpc.agent.say import log
from scalebox_hpc.agent.workdir import Slot, WorkDirs

CLOSED, COPYING, OPENING, UP, FALLING, REFUSING = range(6)
START_S = 300.0  # until an anchor says that it is up: images may lie on slow disks
FALLS = 3  # in a row without a success between, after which no more are tried
SAID_BYTES = 4096  # of what the runtime said, when it failed
FOR_SHELLS = (b"PWD", b"SHLVL", b"_", *OURS.split())
NO_SHELL = "the image has no /bin/sh: one container for each task"
NO_WAY_IN = "a warm container cannot be entered here: one container for each task"
OWN_PIDS = "`container.args` gives it process ids of its own: one container for each task"

Go = Callable[[str], None]


class Setting(NamedTuple):
    """What containers of all modules share."""

    loop: Loop
    children: Children
    work: WorkDirs
    helper: list[str]  # words that start a helper of ours: `runner`, `copy`
    environ: dict[bytes, bytes]  # of runtimes, with SBX_INCARNATION
    helper_environ: dict[bytes, bytes]  # what helpers need beside


class Plan(NamedTuple):
    """How the container of a module is opened."""

    wanted: Wanted
    runtime: Runtime
    view: View
    directory: str  # our own
    tmp: str  # for temporary files of its tasks
    gpus: str
    fixed: dict[bytes, bytes]  # of the environment of its tasks, beside the image's own
    env: dict[str, str]  # what the module sets of it
    path_first: str  # a directory to stand first in PATH; "" for none
    copy: LocalCopy | None  # of the image, to be run in its place


class Container:
    """One module's container on this node."""

    def __init__(self, module: int, plan: Plan, setting: Setting) -> None:
        self.per_task = plan.wanted.per_task
        self.note = ""  # to be said of every attempt
        self.has_bash: bool | None = None  # None: not known
        self.image = plan.wanted.image
        self._opened = plan.wanted.image  # what the runtime is given: the image, or its copy
        self._module, self._plan, self._setting = module, plan, setting
        self._state = CLOSED
        self._waiting: dict[Process, Go] = {}
        self._falls = 0
        self._refusal = ""
        self._reason = ""  # why it fell, as far as we know it
        self._life = 0  # counts openings
        self._anchor: Process | None = None
        self._runner: Process | None = None
        self._wire: socket.socket | None = None  # to the shell
        self._heard = b""
        self._hands: Hands | None = None
        self._base: dict[bytes, bytes] = {}
        self._tmps: dict[int, PrivateTmp] = {}  # of slots
        self._tmp_count = 0
        self._shared_tmp: PrivateTmp | None = None  # of the container, where slots have no view of their own
        os.makedirs(plan.directory, mode=0o700, exist_ok=True)

    # for a task

    def when_ready(self, process: Process, go: Go) -> None:
        """Call `go("")` once tasks can be started, perhaps at once, or `go(text)` if they cannot be."""
        if self._state == UP:
            go("")
        elif self._state == REFUSING:
            go(self._refusal)
        else:
            self._waiting[process] = go
            if self._state == CLOSED:
                self._open()

    def withdraw(self, process: Process) -> bool:
        """Tell whether this one was waiting; it does not any more."""
        return self._waiting.pop(process, None) is not None

    def tmp(self, slot: Slot) -> str:
        """Return the empty directory for temporary files of the slot's next task. Raises OSError."""
        known = self._tmps.get(slot.number)
        if known is None:
            self._tmp_count += 1
            path = os.path.join(self._plan.tmp, str(self._tmp_count))
            known = self._tmps[slot.number] = PrivateTmp(path, self._plan.view)
        return known.path

    def clear(self, slot: Slot) -> None:
        """Empty what a task that is over left in temporary files."""
        known, shared = self._tmps.get(slot.number), self._shared_tmp
        if known is not None and not known.is_clean(self._setting.work):
            del self._tmps[slot.number]
        if shared is not None and isinstance(self._hands, ByShell) and not self._hands.orders:
            shared.is_clean(self._setting.work)

    def start(self, order: Order) -> None:
        """Start a task in the open container. Raises OSError, ValueError."""
        assert self._hands is not None
        self._hands.start(order)

    def one_task(self, tmp: str, pwd: str) -> tuple[list[str], dict[bytes, bytes]]:
        """Return the words before those of a program in a container of its own, and the environment."""
        plan = self._plan
        env = {**plan.env, "TMPDIR": "/tmp"} if "/tmp" in plan.view.private else plan.env
        run = self._execution(tmp, pwd)._replace(env=env, path_first=plan.path_first)
        outer = {**self._setting.environ, **plan.fixed, **encoded(plan.runtime.environ(run))}
        outer[b"PATH"] = self._setting.environ.get(b"PATH", b"/usr/bin:/bin")
        return plan.runtime.words(run), outer

    def failure(self, exit_code: int | None, stderr: str) -> str:
        """Return what the runtime says of its own failure to run a task."""
        return self._plan.runtime.failure(exit_code, stderr)

    def lost_text(self) -> str:
        """Say why a task was lost with its container."""
        return f"its container ended ({self._why()}); the next task gets a new one"

    def close(self) -> None:
        """Let it end, of its own accord."""
        if self._state == COPYING and self._anchor is not None:
            self._setting.children.kill(self._anchor)
        self._state, self._refusal = REFUSING, "the agent leaves"
        self._drop_wires()

    @property
    def is_gone(self) -> bool:
        """Whether nothing of it runs."""
        return self._anchor is None and self._runner is None

    # opening

    def _open(self) -> None:
        self._life += 1
        if self._plan.copy is not None:
            self._copy(self._plan.copy)
        else:
            self._open_image()

    def _open_image(self) -> None:
        if self.per_task:
            self._be_up()
        else:
            self._start_anchor()

    def _copy(self, copy: LocalCopy) -> None:
        """Make sure of it each time: it is made only once, but what keeps a node clean may remove it."""
        self._state = COPYING

        def ended(process: Process) -> None:
            self._anchor = None
            if self._state != COPYING:
                return
            code = os.waitstatus_to_exitcode(process.status)
            if code == WRONG:
                self._refuse(self._said())
                return
            if code == 0:
                self._opened = copy.path
            else:
                self._do_without_copy(self._said() or f"its helper ended with {code}")
            self._open_image()

        argv = [*self._setting.helper, *copy.words]
        try:
            with self._new_said() as said:
                redirections = self._setting.children.redirections(said.fileno(), said.fileno())
                self._anchor = self._stand(argv, redirections, ended)
        except (OSError, ValueError) as problem:
            self._refuse(f"{argv[0]}: {problem}")

    def _do_without_copy(self, why: str) -> None:
        """Run the image where it lies: a slow start is better than none."""
        self._plan, self._opened = self._plan._replace(copy=None), self._plan.wanted.image
        self._add_note(f"the image is run from where it lies, not from this node's own disk: {why}")

    def _add_note(self, note: str) -> None:
        self.note = "; ".join(filter(None, (self.note, note)))

    def _start_anchor(self) -> None:
        self._state = OPENING
        plan, loop = self._plan, self._setting.loop
        dup = os.POSIX_SPAWN_DUP2
        try:
            self._wire, theirs = socket.socketpair()
            self._wire.setblocking(False)
            self._heard = b""
            loop.watch(self._wire.fileno(), READ, self._hear)
            with theirs, self._new_said() as said:
                # A container's own, below that of each slot.
                self._shared_tmp = PrivateTmp(os.path.join(plan.tmp, "0"), plan.view)
                run = self._execution(self._shared_tmp.path, "/")
                argv = [*plan.runtime.words(run), "/bin/sh", "-c", SCRIPT, "sbx"]
                redirections = [(dup, theirs.fileno(), 0), (dup, theirs.fileno(), 1), (dup, said.fileno(), 2)]
                extra = encoded(plan.runtime.environ(run))
                self._anchor = self._stand(argv, redirections, self._anchor_ended, extra)
        except (OSError, ValueError) as problem:
            self._refuse(f"{plan.runtime.path} does not start: {problem}")
            return
        life = self._life
        loop.at(loop.now + START_S, lambda: self._look_at_start(life))

    def _look_at_start(self, life: int) -> None:
        if self._life == life and self._state == OPENING:
            self._fall()

    def _hear(self, fd: int) -> None:
        assert self._wire is not None
        try:
            data = self._wire.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._setting.loop.forget(fd)
            if self._state != OPENING:  # else the end of the anchor says more
                self._fall()
            return
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in lines:
            words = line.split()
            if isinstance(self._hands, ByShell) and self._state == UP:
                self._hands.heard(words)
            elif words[0] == b"ready" and self._state == OPENING:
                self._anchor_is_up(int(words[1]))
            elif words[0] in (b"yes", b"no"):
                self._shell_is_asked(words[0] == b"yes")

    def _anchor_is_up(self, pid: int) -> None:
        """Find the way in; `pid` is what the shell calls itself."""
        environ = environ_of(pid)
        if environ and self._marker() not in environ:
            self._go_per_task(OWN_PIDS)
            return
        pairs = (entry.partition(b"=") for entry in environ)
        self._base = {name: value for name, _, value in pairs if name and name not in FOR_SHELLS}
        self._join(pid)

    def _join(self, pid: int) -> None:
        setting = self._setting
        argv = [*setting.helper, "runner", str(pid), "1" if setting.children.can_setsid else "0"]
        view = self._plan.view
        try:
            ours, theirs = socket.socketpair()
            with theirs:
                self._hands = joined = Joined(
                    setting.loop, setting.children, ours, self.image, view, self._joined, self._fall
                )
                redirections = [*setting.children.silent[1:2], (os.POSIX_SPAWN_DUP2, theirs.fileno(), 0)]
                self._runner = self._stand(argv, redirections, self._runner_ended)
        except (OSError, ValueError) as problem:
            self._refuse(f"{argv[0]} does not start: {problem}")
            return
        joined.begin(self._runner, self._environment(b"/tmp"))

    def _joined(self, number: int, has_bash: bool) -> None:
        if self._state != OPENING:
            return
        if number == 0:
            self.has_bash = has_bash
            self._be_up()
            return
        log(f"{self.image}: no way into its namespaces ({errno.errorcode.get(number, number)})")
        assert self._hands is not None
        self._hands.close()
        self._hands = None
        if self._setting.children.sees_guests:
            null = self._setting.children.silent[1][1]  # our standard error may be a pipe of another user's
            self._send(b"look - " + os.fsencode(log_path(null)) + b"\n")
        else:
            self._go_per_task(NO_WAY_IN)

    def _shell_is_asked(self, can_log: bool) -> None:
        if self._state != OPENING:
            return
        if not can_log:
            self._go_per_task(NO_WAY_IN)
            return
        self._hands = ByShell(self._setting.children, self._send, self.image)
        self._be_up()

    def _go_per_task(self, note: str) -> None:
        self.per_task = True
        self._add_note(note)
        self._drop_wires()
        self._be_up()

    def _be_up(self) -> None:
        self._state = UP
        waiting, self._waiting = self._waiting, {}
        for go in waiting.values():
            go("")

    # ending

    def _anchor_ended(self, process: Process) -> None:
        self._anchor = None
        if self.per_task or self._state == REFUSING:
            return
        if self._state == OPENING and self._plan.runtime.lacks_program(self._said_whole()):
            self._go_per_task(NO_SHELL)
            return
        self._fall()

    def _runner_ended(self, process: Process) -> None:
        self._runner = None
        if isinstance(self._hands, Joined) and not self.per_task and self._state != REFUSING:
            self._fall()

    def _why(self) -> str:
        return self._said() or self._reason or "killed"

    def _fall(self, reason: str = "") -> None:
        """Take down what is left of it; what ran in it is lost, what waits gets a new one."""
        if self.per_task or self._state in (REFUSING, CLOSED):
            return
        if self._state != FALLING:
            has_copy = self._state == OPENING and self._plan.copy is not None
            self._falls = 1 if self._hands is not None and self._hands.worked else self._falls + 1
            self._state, self._reason = FALLING, reason
            if has_copy:
                self._do_without_copy(self._why())
            self._drop_wires()
            for one in (self._runner, self._anchor):
                if one is not None:
                    self._setting.children.kill(one)
        if not self.is_gone:
            return
        hands, self._hands = self._hands, None
        self._state = CLOSED
        for order in list(hands.orders.values()) if hands is not None else ():
            order.process.why = order.process.why or LOST
            self._setting.children.guest_ended(order.process, signal.SIGKILL, None)
        if self._falls >= FALLS:
            self._refuse(f"its container ended {FALLS} times in a row ({self._why()})")
        elif self._waiting:
            self._open()

    def _refuse(self, text: str) -> None:
        name = os.path.basename(self.image)
        self._state, self._refusal = REFUSING, f"{name}: {text}" if name not in text else text
        self._drop_wires()
        waiting, self._waiting = self._waiting, {}
        for go in waiting.values():
            go(self._refusal)

    def _drop_wires(self) -> None:
        if self._wire is not None:
            self._setting.loop.forget(self._wire.fileno())
            self._wire.close()
            self._wire = None
        if self._hands is not None:
            self._hands.close()

    # the parts

    def _stand(
        self,
        argv: list[str],
        redirections: list[tuple[int, int, int]],
        ended: Callable[[Process], None],
        extra: dict[bytes, bytes] | None = None,
    ) -> Process:
        more = self._setting.helper_environ if extra is None else extra
        env = {**self._setting.environ, **more, STANDING: self._marker()[len(STANDING) + 1 :]}
        marker = frozenset((b"SBX_INCARNATION=" + env[b"SBX_INCARNATION"], self._marker()))
        return self._setting.children.stand(argv, env, redirections, marker, ended)

    def _marker(self) -> bytes:
        return STANDING + b"=%d.%d" % (self._module, self._life)

    def _environment(self, tmp: bytes) -> dict[bytes, bytes]:
        plan = self._plan
        env = {**self._base, b"TMPDIR": tmp, **plan.fixed}
        if plan.path_first:
            path = env.get(b"PATH", b"/usr/local/bin:/usr/bin:/bin")
            env[b"PATH"] = os.fsencode(plan.path_first) + b":" + path
        return env

    def outer_environment(self, tmp: str) -> dict[bytes, bytes]:
        """Return what tasks get beside what their container has; a runner knows it already."""
        return self._environment(os.fsencode(tmp)) if isinstance(self._hands, ByShell) else {}

    def _execution(self, tmp: str, pwd: str) -> Execution:
        plan = self._plan
        return Execution(self._opened, plan.view.with_private(tmp), plan.wanted.args, plan.gpus, pwd, {}, "")

    def _send(self, line: bytes) -> None:
        if self._wire is not None:
            try:
                self._wire.send(line)
            except OSError:
                self._fall()

    def _new_said(self) -> BinaryIO:
        """Begin the file in which the runtime or a helper says what went wrong. Raises OSError."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        return os.fdopen(os.open(self._said_path(), flags, 0o600), "wb")

    def _said_path(self) -> str:
        return os.path.join(self._plan.directory, "said")

    def _said(self) -> str:
        """Return the line in which the runtime or a helper says why it ended; "" when it said nothing."""
        text = self._said_whole()
        lines = text.strip().splitlines()
        return self._plan.runtime.failure(255, text) or (lines[-1].strip() if lines else "")

    def _said_whole(self) -> str:
        try:
            with open(self._said_path(), "rb") as file:
                return file.read()[-SAID_BYTES:].decode("utf-8", "replace")
        except OSError:
            return ""
