"""A lab: one directory with a pipeline, its own home, and the real `sbx` command run in it.

The same scenarios run on this machine and on real Slurm; what differs between the two is a `Place`.
A lab knows nothing of the insides of sbx: it types commands and reads what they print.
"""

import csv
import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tests.cluster.box import wait_until

T = TypeVar("T")
Row = dict[str, str]

CHECKOUT = Path(__file__).resolve().parents[2]
EXAMPLES = CHECKOUT / "examples"
OPEN_STATES = {"LOADING", "RUNNING"}


class Place(Protocol):
    """Where a lab's commands run."""

    site: str | None  # what `--site` names; None: the pipeline's own
    sbx: str  # the command, as one types it there
    patience: float  # how much longer than on this machine things may take

    def inside(self, path: Path) -> str:
        """The name that a path has there."""

    def write(self, path: Path, text: str, *, mode: int = 0o644) -> Path:
        """Write a file as the user who runs sbx."""

    def shell(self, command: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
        """Run a shell command line there and return what came of it, whatever its exit code."""


@dataclass(frozen=True)
class ThisMachine:
    """The machine that the tests run on, with the local back end."""

    site: str | None = None
    sbx: str = str(Path(sys.executable).with_name("sbx"))
    patience: float = 1.0

    def inside(self, path: Path) -> str:
        return str(path)

    def write(self, path: Path, text: str, *, mode: int = 0o644) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def shell(self, command: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SBX_", "SLURM_"))}
        # First in PATH is the interpreter of the tests, whatever wrappers there are around others.
        kept["PATH"] = f"{Path(sys.executable).parent}:{kept['PATH']}"
        return subprocess.run(
            ["bash", "-c", command],
            env=kept,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )


@dataclass(frozen=True)
class Done:
    """What came of one command."""

    command: str
    exit_code: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        """All that it said."""
        return self.stdout + self.stderr

    def __str__(self) -> str:
        return f"{self.command}: exit {self.exit_code}\n--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"


@dataclass
class Lab:
    """One directory with a pipeline and a home, at a place."""

    place: Place
    directory: Path  # as seen by the test
    env: dict[str, str] = field(default_factory=dict)

    # ---- what is in it

    @property
    def home(self) -> Path:
        """The home of the lab's daemon."""
        return self.directory / ".sbx"

    def pipeline(self, text: str, **files: str) -> None:
        """Write pipeline.toml and, by keywords such as `work_sh`, the scripts beside it."""
        self.place.write(self.directory / "pipeline.toml", text)
        for key, content in files.items():
            self.file(".".join(key.rsplit("_", 1)), content)

    def file(self, name: str, text: str) -> Path:
        """Write one file beside the pipeline, executable if it starts with `#!`."""
        return self.place.write(self.directory / name, text, mode=0o755 if text.startswith("#!") else 0o644)

    def example(self, name: str) -> None:
        """Copy one of the examples into the lab."""
        for source in sorted((EXAMPLES / name).rglob("*")):
            left_there = {".sbx", "results", "__pycache__"} & set(source.parts) or source.suffix == ".sif"
            if source.is_file() and not left_there:
                target = self.directory / source.relative_to(EXAMPLES / name)
                self.place.write(target, source.read_text(), mode=source.stat().st_mode & 0o777)

    # ---- commands

    def sbx(self, *args: str, stdin: str | None = None, timeout_s: float = 180.0) -> Done:
        """Type one `sbx` command in the lab's directory."""
        return self.shell(shlex.join([self.place.sbx, *args]), stdin=stdin, timeout_s=timeout_s)

    def shell(self, command: str, *, stdin: str | None = None, timeout_s: float = 180.0) -> Done:
        """Run a shell command line in the lab's directory, with the lab's home."""
        env = {"SBX_HOME": self.place.inside(self.home), **self.env}
        setting = " ".join(f"{name}={shlex.quote(value)}" for name, value in env.items())
        source = ""
        if stdin is not None:
            self.file("stdin.txt", stdin)
            source = " < stdin.txt"
        where = shlex.quote(self.place.inside(self.directory))
        line = f"cd {where} && export {setting} && {command}{source}"
        done = self.place.shell(line, timeout_s * self.place.patience)
        return Done(command, done.returncode, done.stdout, done.stderr)

    def run(
        self,
        *args: str,
        pipeline: str = "pipeline.toml",
        exit_code: int = 0,
        stdin: str | None = None,
        timeout_s: float = 180.0,
    ) -> Done:
        """`sbx run pipeline.toml`, followed to its end, which must be with `exit_code`."""
        site = ["--site", self.place.site] if self.place.site else []
        done = self.sbx("run", pipeline, *site, *args, stdin=stdin, timeout_s=timeout_s)
        if done.exit_code != exit_code:
            raise AssertionError(f"{done}\n{self._tail_of_daemon_log()}")
        return done

    def json(self, *args: str) -> Any:
        """A command that prints data, by `--json`."""
        done = self.sbx(*args, "--json")
        assert done.exit_code == 0, str(done)
        return json.loads(done.stdout)

    # ---- what came of the newest run

    def status(self, *args: str) -> dict[str, Any]:
        """The newest run's status, or that of the run named."""
        status: dict[str, Any] = self.json("status", *args)
        return status

    def module(self, name: str) -> dict[str, Any]:
        """The counts of one module."""
        return next(module for module in self.status()["modules"] if module["module"] == name)

    def rows(self) -> list[Row]:
        """The CSV report: a row for each attempt, in the order of the attempts of a task."""
        return list(csv.DictReader(io.StringIO(self.csv())))

    def csv(self) -> str:
        """The text of the CSV report."""
        done = self.sbx("export", "--csv", "-")
        assert done.exit_code == 0, str(done)
        return done.stdout

    def tasks(self, module: str = "") -> list[dict[str, Any]]:
        """All tasks, or those of one module, in order."""
        listed = self.json("ps", *(["--module", module] if module else []))["tasks"]
        return sorted(listed, key=lambda task: (task["module"], task["n"]))

    def states(self, module: str) -> Counter[str]:
        """How many tasks of a module are in which state."""
        return Counter(task["state"] for task in self.tasks(module))

    def results(self) -> Path:
        """The newest run's directory of results."""
        return self.directory / "results" / self.status()["run"]

    def result(self, name: str) -> str:
        """The text of one file among the results."""
        return (self.results() / name).read_text()

    # ---- waiting, and breaking things

    def wait(self, predicate: Callable[[], T], deadline_s: float, what: str) -> T:
        """Wait until something becomes true."""
        return wait_until(predicate, deadline_s * self.place.patience, what)

    def wait_for_end(self, deadline_s: float = 120.0) -> dict[str, Any]:
        """Wait until the newest run is no longer open, and return its status."""

        def ended() -> dict[str, Any] | None:
            status = self.status()
            return None if status["state"] in OPEN_STATES else status

        status = self.wait(ended, deadline_s, "the end of the run")
        assert status is not None
        return status

    def kill_daemon(self) -> None:
        """Kill -9 the daemon, from a shell at its place."""
        pid = json.loads((self.home / "daemon.json").read_text())["pid"]
        killed = self.shell(f"kill -9 {int(pid)}")
        assert killed.exit_code == 0, str(killed)

    def kill_all(self) -> None:
        """Kill -9 the daemon, all agents and the scripts that hold them: all that names the directory."""
        here = self.place.inside(self.directory).encode()
        for pid, words in command_lines():
            if any(here in word for word in words) and pid != os.getpid():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def agents(self) -> list[int]:
        """The process ids of the lab's agents, in this machine's numbering, wherever they run."""
        home = self.place.inside(self.home).encode()
        return [
            pid
            for pid, words in command_lines()
            if any(word.endswith(b"agent.pyz") for word in words)
            and b"run" in words
            and any(word.startswith(home) for word in words)
        ]

    def processes_of_run(self, run: str) -> list[int]:
        """Processes of any attempt of a run, which carry its mark in their environment."""
        return marked(f"SBX_RUN={run}") if self.home.exists() else []

    def close(self) -> None:
        """Stop the daemon, then end whatever of this lab is left."""
        if (self.home / "daemon.json").exists():
            with suppress(subprocess.TimeoutExpired):
                self.sbx("cancel", timeout_s=30.0)
                self.sbx("daemon", "stop", timeout_s=30.0)
        self.kill_all()

    def _tail_of_daemon_log(self) -> str:
        log = self.home / "log" / "daemon.log"
        return "--- daemon.log\n" + "\n".join(log.read_text().splitlines()[-30:]) if log.exists() else ""


@contextmanager
def lab_at(place: Place, directory: Path) -> Iterator[Lab]:
    """A lab that leaves nothing running."""
    lab = Lab(place, directory)
    try:
        yield lab
    finally:
        lab.close()


def command_lines() -> Iterator[tuple[int, list[bytes]]]:
    """Process ids and command lines of all processes that this machine shows."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                yield int(entry.name), (entry / "cmdline").read_bytes().split(b"\0")


def marked(text: str) -> list[int]:
    """The processes whose environment holds exactly this `NAME=value`."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and text.encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def attempts_of(rows: list[Row]) -> Mapping[str, list[Row]]:
    """The rows of each task, by its id, in the order of its attempts."""
    by_task: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: int(row["attempt"])):
        by_task.setdefault(row["task"], []).append(row)
    return by_task


def has(tool: str) -> bool:
    """Whether a program is installed on this machine."""
    return shutil.which(tool) is not None
