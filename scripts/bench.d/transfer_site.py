"""A site to measure transfers to: this machine behind an sshd of its own, near or over a delayed line."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench_home import peak_mib

from scalebox_hpc.testing.delay_proxy import DelayProxy, Line
from scalebox_hpc.testing.sshd import HOST, Sshd
from scalebox_hpc.transfer.streams import usual_folder

SBX = str(Path(sys.executable).parent / "sbx")
LINE = Line(round_trip_s=0.05, window_bytes=256 * 1024)
_LOOK_S = 0.2
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_SITE = """batch = "slurm"
[ssh]
host = "{host}"
port = {port}
key = "{folder}/id"
known_hosts = "{folder}/known_hosts"
python = "{python}"
[transfers]
streams = 16
keep = "{keep}"
"""


@dataclass(frozen=True, slots=True)
class Took:
    """What one command took."""

    wall_s: float
    cpu_s: float  # of it, its children and what sshd started for it
    peak_mib: float  # of the largest of its processes on this side
    there_mib: float  # and on the other


class BenchSite:
    """A site called b. `ssh` are the plain words that a person would type to reach it."""

    host = HOST

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self._server = Sshd(folder / "sshd", "Subsystem sftp internal-sftp\n")
        self._turn = 0
        self._use(self._server.port)

    def __enter__(self) -> BenchSite:
        self._server.start()
        return self

    def __exit__(self, *why: object) -> None:
        self._server.stop()

    @property
    def ssh(self) -> list[str]:
        """What a person types; his own settings are left out."""
        known = f"UserKnownHostsFile={self._server.known_hosts}"
        options = [
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            known,
            f"Port={self._port}",
            f"HostKeyAlias={self._alias}",
        ]
        words = ["ssh", "-F", "none", "-i", str(self._server.key)]
        return [*words, *(word for option in options for word in ("-o", option))]

    @property
    def _alias(self) -> str:
        return f"[{HOST}]:{self._server.port}"

    def _use(self, port: int) -> None:
        self._port = port
        sites = self.folder / "site-configs"
        sites.mkdir(exist_ok=True)
        for name, keep in (("b", "10m"), ("new", "0s")):
            known = {"host": HOST, "port": port, "folder": self._server.folder, "python": sys.executable}
            (sites / f"{name}.toml").write_text(_SITE.format(**known, keep=keep), encoding="utf-8")

    @contextmanager
    def far(self) -> Iterator[None]:
        """Put the delayed line in front of it."""
        with DelayProxy((HOST, self._server.port), LINE) as proxy:
            kind, blob = (self._server.folder / "host_key.pub").read_text().split()[:2]
            with self._server.known_hosts.open("a") as known:
                known.write(f"[{HOST}]:{proxy.port} {kind} {blob}\n")
            self._use(proxy.port)
            yield
        self._use(self._server.port)

    def new(self) -> Path:
        """A directory at the site that is empty."""
        self._turn += 1
        path = self.folder / "there" / str(self._turn)
        path.mkdir(parents=True)
        return path

    def rsync(self, source: Path | str, target: str) -> Took:
        """What people use today."""
        return self.took("rsync", "-a", "-e", shlex.join(self.ssh), str(source), f"{HOST}:{target}")

    def put(self, source: Path | str, target: str, *words: str, site: str = "b") -> Took:
        """What we offer; at site `new` no connection stays."""
        return self.took(SBX, "put", *words, str(source), f"{site}:{target}")

    def took(self, *words: str) -> Took:
        """Run a command that must succeed."""
        there_s, began_s = self._served_s(), time.perf_counter()
        process = subprocess.Popen(
            words,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert process.stderr is not None
        with _Peak(self._served) as there:
            said = process.stderr.read()
            _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - began_s
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stderr.close()
        if process.returncode:
            raise SystemExit(f"bench: {shlex.join(words)}: {said.decode('utf-8', 'replace')}")
        cpu_s = usage.ru_utime + usage.ru_stime + self._served_s() - there_s
        return Took(wall_s, cpu_s, usage.ru_maxrss / 1024, there.mib)

    def _kept(self) -> list[int]:
        """Connections that stay after `sbx put`, for the next one: their CPU counts too."""
        own = f"ssh: {usual_folder()}/".encode()
        return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline") if _begins(path, own)]

    def _served_s(self) -> float:
        """CPU of all that sshd serves, or has served to its end, and of connections that stay."""
        total_s = 0.0
        for pid in (*self._served(), *self._kept()):
            try:
                text = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
            except OSError:
                continue  # it ended, and its parent has its time
            total_s += sum(map(int, text[11:15])) * _TICK_S
        return total_s

    def _served(self) -> list[int]:
        """The server, and the processes below it."""
        assert self._server.pid is not None
        found = [self._server.pid]
        for pid in found:
            try:
                found += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            except OSError:
                continue
        return found


class _Peak:
    """The most memory that one of some processes has had, looked at now and then."""

    def __init__(self, processes: Callable[[], list[int]]) -> None:
        self.mib = 0.0
        self._processes, self._over = processes, threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> _Peak:
        self._thread.start()
        return self

    def __exit__(self, *why: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(_LOOK_S):
            self.mib = max([self.mib, *map(peak_mib, self._processes())])


def _begins(path: Path, text: bytes) -> bool:
    try:
        return path.read_bytes().startswith(text)
    except OSError:
        return False  # it ended
