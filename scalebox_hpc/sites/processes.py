"""Processes of this machine, as transports use them: run one to its end, or stream to and from it."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from scalebox_hpc.errors import SiteUnreachable
from scalebox_hpc.sites.base import Finished

OPEN_S: Final = 30.0  # to open a link, log in and start something, at most
GRACE_S: Final = 5.0  # between SIGTERM and SIGKILL
SAID_LINES: Final = 20  # the last ones that a process wrote to stderr are kept
LINE_BYTES: Final = 4096
_log = logging.getLogger("sbx.sites")


def unasked(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which OpenSSH has no way to ask a person; it has no terminal either."""
    asking = ("DISPLAY", "WAYLAND_DISPLAY", "SSH_ASKPASS")
    return {name: value for name, value in environ.items() if name not in asking} | {
        "SSH_ASKPASS_REQUIRE": "never"
    }


def call(
    words: Sequence[str],
    *,
    stdin: bytes = b"",
    timeout_s: float,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run words to their end, in a session of their own. Raises subprocess.TimeoutExpired, OSError.

    What ran out of time is killed with all of its group; who else holds on to our pipes is not waited for.
    """
    process = subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environ,
        cwd=cwd,
        start_new_session=True,
    )
    with process:
        try:
            stdout, stderr = process.communicate(stdin, timeout_s)
        except BaseException:
            end(process.pid, signal.SIGKILL)
            for pipe in (process.stdin, process.stdout, process.stderr):
                _close(pipe)
            raise
    return subprocess.CompletedProcess(words, process.returncode, stdout, stderr)


def as_finished(done: subprocess.CompletedProcess[bytes]) -> Finished:
    """Return how a process ended in a shell's way: 128 + N for signal N."""
    code = done.returncode if done.returncode >= 0 else 128 - done.returncode
    return Finished(code, done.stdout, done.stderr)


def end(group: int, number: int) -> None:
    """Send a signal to a group of processes, whether or not it is still there."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        pass


def log_line(site: str, line: bytes) -> None:
    """Write to the log what a command at a site wrote to its stderr."""
    said = line.decode("utf-8", "replace").rstrip()
    if said:
        _log.info("site.said", extra={"fields": {"site": site, "line": said}})


def _close(pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        try:
            pipe.close()
        except BrokenPipeError:  # what was still in its buffer
            pass


class ProcessStream:
    """A process of this machine as a Stream. See sites.base.

    Its stdin and stdout are one socket, as under sshd, so that `close` wakes whoever waits.
    """

    def __init__(
        self,
        site: str,
        words: Sequence[str],
        *,
        environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Start it. Raises OSError."""
        self._site = site
        self._ours, theirs = socket.socketpair()
        self._before = b""  # read already
        self._reading, self._writing = threading.Lock(), threading.Lock()
        self._said: deque[bytes] = deque(maxlen=SAID_LINES)
        try:
            self._process = subprocess.Popen(
                words,
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.PIPE,
                env=environ,
                cwd=cwd,
                start_new_session=True,
            )
        except BaseException:
            self._ours.close()
            raise
        finally:
            theirs.close()
        self._reaper = threading.Thread(target=self._reap, name=f"stderr of {site}", daemon=True)
        self._reaper.start()

    def started(self, mark: bytes, timeout_s: float) -> bool:
        """Wait until it has written `mark` to stdout and drop all up to it; False if it ends before.

        Raises TimeoutError.
        """
        self._ours.settimeout(timeout_s)
        seen = b""
        while mark not in seen:
            data = self._ours.recv(1 << 16)
            if not data:
                return False
            seen += data
        self._ours.settimeout(None)
        self._before = seen.partition(mark)[2]
        return True

    def said(self, timeout_s: float) -> bytes:
        """Return the last lines that it wrote to stderr, once it is over or the time is."""
        self._reaper.join(timeout_s)
        return b"".join(tuple(self._said))

    def read(self, most: int) -> bytes:
        """See Stream."""
        with self._reading:
            if self._before:
                data, self._before = self._before[:most], self._before[most:]
                return data
            try:
                return self._ours.recv(most)
            except OSError:
                return b""

    def write(self, data: bytes) -> None:
        """See Stream."""
        with self._writing:
            try:
                self._ours.sendall(data)
            except OSError as error:
                raise SiteUnreachable(
                    f"{self._site}: the command there or the link to it has ended"
                ) from error

    def close(self) -> None:
        """See Stream."""
        try:
            self._ours.shutdown(socket.SHUT_RDWR)
        except OSError:  # it is over
            pass
        with self._reading, self._writing:  # they have been woken: nobody uses the descriptor any more
            self._ours.close()
        if self._process.poll() is None:
            end(self._process.pid, signal.SIGTERM)

    def _reap(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as pipe:
            while line := pipe.readline(LINE_BYTES):
                self._said.append(line)
                log_line(self._site, line)
        try:
            self._process.wait(GRACE_S if self._ours.fileno() < 0 else None)
        except subprocess.TimeoutExpired:
            end(self._process.pid, signal.SIGKILL)
            self._process.wait()
