"""A real sshd of the user's own on a loopback port, with its own keys and files, for tests.

It lets in whoever runs the test, by one key, and touches nothing in the user's home directory.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from scalebox_hpc.domain.site import Ssh

HOST: Final = "127.0.0.1"
READY_S: Final = 20.0
_CONFIG: Final = """
ListenAddress {host}:{port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
"""


def program() -> str | None:
    """Return the sshd of this machine, None where there is none."""
    return shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class Sshd:
    """One server. `ssh` is the way to it for a user who trusts it and whom it lets in."""

    def __init__(self, folder: Path, more: str = "") -> None:
        """Make its keys and files in `folder`; `more` are lines of its configuration."""
        self.folder, self._more = folder, more
        folder.mkdir(parents=True, exist_ok=True)
        self.port = _free_port()
        self.key, self.known_hosts = folder / "id", folder / "known_hosts"
        make_key(self.key)
        (folder / "authorized_keys").write_text(Path(f"{self.key}.pub").read_text())
        self.new_host_key()
        self.trust()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def ssh(self) -> Ssh:
        """The way to it."""
        return Ssh(host=HOST, port=self.port, key=str(self.key), known_hosts=str(self.known_hosts))

    @property
    def pid(self) -> int | None:
        """Its process; None while it does not run."""
        return self._process.pid if self._process is not None else None

    def new_host_key(self) -> None:
        """Make it another host, from its next start on."""
        make_key(self.folder / "host_key")

    def trust(self, file: Path | None = None) -> None:
        """Add its host key to a file of known hosts; default: its own."""
        kind, blob = (self.folder / "host_key.pub").read_text().split()[:2]
        with (file or self.known_hosts).open("a") as opened:
            opened.write(f"[{HOST}]:{self.port} {kind} {blob}\n")

    def start(self) -> None:
        """Start it, on the same port each time, and wait until it listens."""
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        config = self.folder / "sshd_config"
        config.write_text(_CONFIG.format(host=HOST, port=self.port, folder=self.folder) + self._more)
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program() or "sshd", "-D", "-e", "-f", str(config)], stdin=subprocess.DEVNULL, stderr=log
            )
        _wait_listening(self.port, self._process)

    def stop(self) -> None:
        """Stop it and all connections to it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(READY_S)
            self._process = None
        self.cut()

    def cut(self) -> int:
        """Kill what serves its connections, as a broken link would; return how many processes that were."""
        victims = self._servers()
        _signal(victims, signal.SIGKILL)
        return len(victims)

    @contextmanager
    def deaf(self) -> Iterator[None]:
        """Let it answer nothing for a while, new connections included; what is sent to it still arrives."""
        stopped = [*self._servers(), *([self.pid] if self.pid is not None else [])]
        _signal(stopped, signal.SIGSTOP)
        try:
            yield
        finally:
            _signal(stopped, signal.SIGCONT)

    def _servers(self) -> list[int]:
        """What serves its connections."""
        return [pid for pid, command in _processes() if b"sshd" in command and self._serves(pid)]

    def _serves(self, pid: int) -> bool:
        """Whether a process holds a connection to our port: its sockets say so, whoever its parent is."""
        ours = _sockets_of(self.port)
        try:
            links = [os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")]
        except OSError:
            return False
        return any(link.removeprefix("socket:[").removesuffix("]") in ours for link in links)


@contextmanager
def running(folder: Path, more: str = "") -> Iterator[Sshd]:
    """An sshd that runs as long as the block."""
    server = Sshd(folder, more)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def make_key(file: Path, passphrase: str = "") -> None:
    """Make a key and its public half, in place of what is there."""
    for each in (file, Path(f"{file}.pub")):
        each.unlink(missing_ok=True)
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "test", "-f", str(file)])


def _signal(pids: Sequence[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def run(words: Sequence[str]) -> None:
    """Run a program that must succeed."""
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def _processes() -> Iterator[tuple[int, bytes]]:
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                yield int(entry.name), Path(entry.path, "comm").read_bytes()
            except OSError:
                continue


def _sockets_of(port: int) -> set[str]:
    """The inodes of the accepted sockets of a local port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[9] for row in rows if row[1].endswith(f":{port:04X}") and row[3] != "0A"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _wait_listening(port: int, process: subprocess.Popen[bytes]) -> None:
    pause = threading.Event()  # never set: only a way to let time pass
    for _ in range(int(READY_S / 0.05)):
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        if process.poll() is not None:
            break
        pause.wait(0.05)
    raise RuntimeError(f"sshd does not listen on port {port}")
