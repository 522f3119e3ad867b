"""Sites for tests of transfers: an sshd of our own on a loopback port, with keys in a temporary directory."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path

from scalebox_hpc.domain.site import Site, Ssh

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
_PATIENCE_S = 20


class Door:
    """One sshd, which lets in whoever has the key beside it."""

    def __init__(self, directory: Path, name: str) -> None:
        self.directory, self.name = directory, name
        self._process: subprocess.Popen[bytes] | None = None
        for key in ("host", "user"):
            words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / f"{name}-{key}")]
            subprocess.run(words, check=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._write("authorized", self._read("user.pub"))
        kind, text = self._read("host.pub").split()[:2]
        self._write("known", f"[127.0.0.1]:{self.port} {kind} {text}\n")
        config = [
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {self._path('host')}",
            f"AuthorizedKeysFile {self._path('authorized')}",
            f"PidFile {self._path('pid')}",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin yes",
            "MaxStartups 100",
            "LogLevel ERROR",
        ]
        self._write("config", "\n".join(config) + "\n")

    def _path(self, what: str) -> Path:
        return self.directory / f"{self.name}-{what}"

    def _read(self, what: str) -> str:
        return self._path(what).read_text()

    def _write(self, what: str, text: str) -> None:
        self._path(what).write_text(text)

    @property
    def site(self) -> Site:
        """The site whose login node this is."""
        ssh = Ssh(
            host="127.0.0.1",
            port=self.port,
            key=str(self._path("user")),
            known_hosts=str(self._path("known")),
        )
        return Site(self.name, ssh=ssh)

    def behind(self, jump: Door) -> Site:
        """The same site, reached through another one's login node."""
        known = self._path("known-both")
        known.write_text(self._read("known") + jump._read("known"))
        both = self._path("keys")
        both.write_text(self._read("user"))
        site = self.site
        assert site.ssh is not None
        return replace(site, ssh=replace(site.ssh, jump=(f"127.0.0.1:{jump.port}",), known_hosts=str(known)))

    def let_in(self, other: Door) -> None:
        """Let in who has the other's key, too."""
        self._write("authorized", self._read("authorized") + other._read("user.pub"))

    def open(self) -> None:
        """Start it, and wait until it answers."""
        assert SSHD is not None
        words = [SSHD, "-D", "-e", "-f", str(self._path("config"))]
        with self._path("log").open("ab") as log:
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until_s = time.monotonic() + _PATIENCE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert time.monotonic() < until_s, self._read("log")
                assert self._process.poll() is None, self._read("log")

    def shut(self) -> None:
        """End it, and the connections that it serves."""
        if self._process is None:
            return
        served = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self._process.pid)],
            capture_output=True,
            text=True,
            check=False,
        )
        self._process.terminate()
        self._process.wait()
        self._process = None
        for pid in served.stdout.split():
            try:
                os.kill(int(pid), 15)
            except ProcessLookupError:
                pass
