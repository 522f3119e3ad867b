"""A real Slurm and Apptainer cluster for tests: drives `scripts/cluster/box` and hands out sites.

A `Site` runs commands on its hosts as its ordinary user, or as root, and knows where its files are as seen
from outside.  `wait_until` is the one place where tests wait for something that cannot wake them.
"""

import fcntl
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TypeVar

T = TypeVar("T")

COMMAND = Path(__file__).resolve().parents[2] / "scripts" / "cluster" / "box"
USER_ID = 1000  # of the ordinary user of every site
BUILD_TIMEOUT_S = 900.0
POLL_S = 0.05


class BoxError(Exception):
    """The `box` command itself failed."""


class CommandFailed(subprocess.CalledProcessError):
    """A command on a host of the box failed; says what it wrote."""

    def __str__(self) -> str:
        return f"{super().__str__()}\n--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"


def wait_until(predicate: Callable[[], T], deadline_s: float, what: str = "the condition") -> T:
    """Call `predicate` until it returns something true, and return that; fail after `deadline_s`."""
    pause = threading.Event()  # never set: only a way to let time pass
    end = time.monotonic() + deadline_s
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() >= end:
            raise AssertionError(f"{what} did not come true in {deadline_s:g} s; last seen: {value!r}")
        pause.wait(POLL_S)


def skip_reason() -> str | None:
    """Why tests with the box cannot run here, if they cannot."""
    if os.environ.get("SBX_SKIP_CLUSTER"):
        return "SBX_SKIP_CLUSTER is set"
    if os.geteuid() != 0:
        return "the cluster in a box needs root"
    return None


def cgroup_v1() -> bool:
    """Whether this machine can give a site real memory limits."""
    return Path("/sys/fs/cgroup/memory").is_dir()


@dataclass(frozen=True)
class Settings:
    """What a site is made of; CPUs and memory are claims, larger than the machine."""

    nodes: int = 2
    cpus: int = 16
    mem_mib: int = 65536
    dbd: bool = False
    cgroup: bool = False
    private: bool = False  # compute hosts are reached from their own site only
    user: str = "sci"
    homes: str = "/home"
    partition: str = "main"
    python_at: str = ""  # the path of Python; "": python3, in PATH

    def environment(self) -> dict[str, str]:
        """The settings as `box up` takes them."""
        return {
            "NODES": str(self.nodes),
            "CPUS": str(self.cpus),
            "MEM": str(self.mem_mib),
            "DBD": str(int(self.dbd)),
            "CGROUP": str(int(self.cgroup)),
            "PRIVATE": str(int(self.private)),
            "USER_NAME": self.user,
            "HOMES": self.homes,
            "PARTITION": self.partition,
            "PYTHON_AT": self.python_at,
        }


class Box:
    """The command `box`; which box it is comes from the environment (SBX_BOX, SBX_BOX_STATE, ...)."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self.environ = dict(os.environ if environ is None else environ)
        self.state = Path(self.call("where").strip())

    def call(self, *args: str, settings: Settings | None = None, timeout_s: float = 120.0) -> str:
        """Run `box ARGS...` and return what it prints."""
        env = self.environ | (settings.environment() if settings is not None else {})
        done = _communicate(_spawn([str(COMMAND), *args], env=env), timeout_s)
        if done.returncode != 0:
            raise BoxError(f"box {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout

    def is_up(self, site: str) -> bool:
        """Whether the site's login host is up."""
        return any(line.startswith(f"{site} up ") for line in self.call("status").splitlines())


@dataclass(frozen=True)
class Site:
    """One running site: its login host is called `name`, its compute hosts `name` and a number."""

    box: Box
    name: str
    settings: Settings
    _started: list[subprocess.Popen[str]] = field(default_factory=list, repr=False, compare=False)

    @property
    def login(self) -> str:
        """The login host."""
        return self.name

    @property
    def nodes(self) -> list[str]:
        """The compute hosts."""
        return [f"{self.name}{i}" for i in range(1, self.settings.nodes + 1)]

    @property
    def home(self) -> Path:
        """The user's home, from outside."""
        return self.box.state / self.name / "home" / self.settings.user

    @property
    def home_inside(self) -> str:
        """The user's home, from inside."""
        return f"{self.settings.homes}/{self.settings.user}"

    @property
    def scratch(self) -> Path:
        """/scratch, from outside."""
        return self.box.state / self.name / "scratch"

    @property
    def sbx(self) -> str:
        """The command sbx, from inside."""
        return f"{self.home_inside}/sbx-venv/bin/sbx"

    def run(
        self, host: str, command: str, *, root: bool = False, check: bool = True, timeout_s: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command line on a host, in its user's home, and return what came of it."""
        done = _communicate(_spawn(self._argv(host, command, root), env=self.box.environ), timeout_s)
        if check and done.returncode != 0:
            raise CommandFailed(done.returncode, f"{host}: {command}", done.stdout, done.stderr)
        return done

    def start(
        self,
        host: str,
        command: str,
        *,
        root: bool = False,
        stdout: int | IO[str] = subprocess.PIPE,
        stderr: int | IO[str] = subprocess.STDOUT,
    ) -> subprocess.Popen[str]:
        """Start a shell command line on a host and leave it running; end it with `stop`."""
        argv = self._argv(host, command, root)
        process = _spawn(argv, env=self.box.environ, stdout=stdout, stderr=stderr)
        self._started.append(process)
        return process

    def stop(self, process: subprocess.Popen[str], sig: signal.Signals = signal.SIGTERM) -> int:
        """Signal all that `start` started, kill what has not ended in 10 s, and return the exit code."""
        _signal_group(process, sig)
        try:
            process.wait(10.0)
        except subprocess.TimeoutExpired:
            _signal_group(process, signal.SIGKILL)
            process.wait(10.0)
        _close_pipes(process)
        return process.returncode

    def write(self, path: Path, text: str, *, mode: int = 0o644) -> Path:
        """Write a file under `home` or `scratch`, with its directories, as the site's user."""
        missing = [parent for parent in path.parents if not parent.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        for made in [path, *missing]:
            os.chown(made, USER_ID, USER_ID)
        return path

    def inside(self, path: Path) -> str:
        """The name that a path under `home` or `scratch` has inside the site."""
        for outer, inner in ((self.home, self.home_inside), (self.scratch, "/scratch")):
            if path.is_relative_to(outer):
                return str(Path(inner) / path.relative_to(outer))
        raise ValueError(f"{path} is not seen inside {self.name}")

    def node_stop(self, host: str) -> None:
        """Kill a host outright."""
        self.box.call("node-stop", host)

    def node_start(self, host: str) -> None:
        """Boot a host again."""
        self.box.call("node-start", host)

    def link(self, host: str, *, up: bool) -> None:
        """Plug or pull a host's network cable."""
        self.box.call("link", host, "up" if up else "down")

    def close(self) -> None:
        """End what `start` left running."""
        while self._started:
            self.stop(self._started.pop(), signal.SIGKILL)

    def _argv(self, host: str, command: str, root: bool) -> list[str]:
        return [str(COMMAND), "exec", *(["-r"] if root else []), host, command]


@contextmanager
def running_site(
    name: str, settings: Settings, box: Box | None = None, *, sbx: bool = True
) -> Iterator[Site]:
    """A site for a session of tests, with sbx installed where it is wanted.

    It starts clean, unless it is up already because someone works with it: then it is used as it is
    and left up.  Sessions (and workers of one) that overlap share it, and the last one stops it.
    SBX_KEEP_CLUSTER leaves it up for the next session, which then starts in no time.
    """
    box = box or Box()
    box.call("build", timeout_s=BUILD_TIMEOUT_S)
    box.state.mkdir(parents=True, exist_ok=True)
    with (box.state / f"{name}.tests").open("a+") as use:
        if _try_exclusive(use) and (_is_ours(use) or not box.is_up(name)):
            box.call("wipe", name)
            _set_ours(use, not os.environ.get("SBX_KEEP_CLUSTER"))
            _bring_up(box, name, settings, sbx)
        fcntl.flock(use, fcntl.LOCK_SH)
        _bring_up(box, name, settings, sbx)
        site = Site(box, name, settings)
        try:
            yield site
        finally:
            site.close()
            if _try_exclusive(use) and _is_ours(use):
                box.call("down", name)
                _set_ours(use, False)


def _bring_up(box: Box, name: str, settings: Settings, sbx: bool) -> None:
    box.call("up", name, settings=settings)
    if sbx:
        box.call("install-sbx", name, timeout_s=BUILD_TIMEOUT_S)


def _try_exclusive(file: IO[str]) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _is_ours(file: IO[str]) -> bool:
    file.seek(0)
    return bool(file.read())


def _set_ours(file: IO[str], ours: bool) -> None:
    file.truncate(0)
    file.write("started by tests\n" if ours else "")
    file.flush()


def _spawn(
    argv: list[str],
    *,
    env: dict[str, str] | None = None,
    stdout: int | IO[str] = subprocess.PIPE,
    stderr: int | IO[str] = subprocess.PIPE,
) -> subprocess.Popen[str]:
    # A session of its own: what runs inside a host is a grandchild, reached only as a process group.
    return subprocess.Popen(
        argv,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        text=True,
        start_new_session=True,
    )


def _communicate(process: subprocess.Popen[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    try:
        stdout, stderr = process.communicate(timeout=timeout_s)
    except BaseException:
        _signal_group(process, signal.SIGKILL)
        process.wait(10.0)
        _close_pipes(process)
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def _signal_group(process: subprocess.Popen[str], sig: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, sig)


def _close_pipes(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
