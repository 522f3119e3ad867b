"""A remote site for tests without ssh: commands run on this machine, in another home directory.

Its link can be cut, as a cable is pulled: what goes over it ends, and nothing comes through until it is
mended; what is detached from it goes on.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from scalebox_hpc.errors import SiteTimeout, SiteUnreachable
from scalebox_hpc.sites.base import Finished


class FakeStream:
    """A Stream to a process of this machine."""

    def __init__(self, site: FakeSite, words: Sequence[str]) -> None:
        self._site = site
        self._process = subprocess.Popen(
            list(words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=site.environ,
            cwd=site.home,
            start_new_session=True,
        )

    def read(self, most: int) -> bytes:
        """See Stream."""
        assert self._process.stdout is not None
        try:
            return self._process.stdout.read(most) or b""
        except ValueError:  # closed meanwhile
            return b""

    def write(self, data: bytes) -> None:
        """See Stream."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
        except (OSError, ValueError) as error:
            raise SiteUnreachable(f"{self._site.name}: the command there has ended") from error

    def close(self) -> None:
        """See Stream."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._site.forget(self)


class FakeSite:
    """A Transport to a pretended site."""

    def __init__(self, name: str, home: Path, environ: Mapping[str, str] | None = None) -> None:
        self.name, self.home = name, home
        self.environ = {**os.environ, "HOME": str(home), **(environ or {})}
        self.calls: list[list[str]] = []  # all that was run or opened
        self._problem: SiteUnreachable | None = None
        self._streams: list[FakeStream] = []
        self._lock = threading.Lock()

    def cut(self, problem: SiteUnreachable | None = None) -> None:
        """Let nothing through from now on."""
        self._problem = problem or SiteUnreachable(f"{self.name}: the link is cut")
        self.close()

    def mend(self) -> None:
        """Let everything through again."""
        self._problem = None

    def forget(self, stream: FakeStream) -> None:
        """Know that a stream is closed."""
        with self._lock:
            self._streams = [each for each in self._streams if each is not stream]

    def run(self, words: Sequence[str], *, stdin: bytes = b"", timeout_s: float) -> Finished:
        """See Transport."""
        self._note(words)
        try:
            done = subprocess.run(
                list(words),
                input=stdin,
                capture_output=True,
                env=self.environ,
                cwd=self.home,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise SiteTimeout(f"{self.name}: {words[0]} did not end in {timeout_s:g} s") from error
        except FileNotFoundError:
            return Finished(127, b"", f"{words[0]}: not found".encode())
        if self._problem is not None:
            raise self._problem
        return Finished(
            done.returncode if done.returncode >= 0 else 128 - done.returncode, done.stdout, done.stderr
        )

    def open(self, words: Sequence[str]) -> FakeStream:
        """See Transport."""
        self._note(words)
        stream = FakeStream(self, words)
        with self._lock:
            self._streams.append(stream)
        return stream

    def close(self) -> None:
        """See Transport."""
        with self._lock:
            streams = list(self._streams)
        for stream in streams:
            stream.close()

    def _note(self, words: Sequence[str]) -> None:
        if self._problem is not None:
            raise self._problem
        self.calls.append(list(words))
