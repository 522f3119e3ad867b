"""The transport to this machine: no link, so nothing that could be lost."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

from scalebox_hpc.errors import SiteTimeout
from scalebox_hpc.sites.base import Finished, Stream
from scalebox_hpc.sites.processes import ProcessStream, as_finished, call


class LocalTransport:
    """Commands as processes of this machine, in the home directory. See Transport."""

    def __init__(self, site: str = "local", home: Path | None = None) -> None:
        self._site = site
        self._home = home or Path.home()
        self._streams: list[ProcessStream] = []
        self._lock = threading.Lock()

    def run(self, words: Sequence[str], *, stdin: bytes = b"", timeout_s: float) -> Finished:
        """See Transport."""
        try:
            return as_finished(call(words, stdin=stdin, timeout_s=timeout_s, cwd=self._home))
        except subprocess.TimeoutExpired as error:
            raise SiteTimeout(f"{self._site}: `{words[0]}` did not end in {timeout_s:g} s") from error
        except OSError as error:  # as a shell says it
            code = 127 if isinstance(error, FileNotFoundError) else 126
            return Finished(code, b"", f"{words[0]}: {error.strerror}\n".encode())

    def open(self, words: Sequence[str]) -> Stream:
        """See Transport."""
        guarded = (
            words if os.path.sep in words[0] else ["/usr/bin/env", *words]
        )  # a missing one ends, as over ssh
        stream = ProcessStream(self._site, guarded, cwd=self._home)
        with self._lock:
            self._streams.append(stream)
        return stream

    def close(self) -> None:
        """See Transport."""
        with self._lock:
            streams, self._streams = self._streams, []
        for stream in streams:
            stream.close()
