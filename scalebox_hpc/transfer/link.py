"""Moves bytes between two ends: by rsync or, a large file, poured; watched, a failure told by cause."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import IO, Final

from scalebox_hpc.domain.site import Site, Ssh
from scalebox_hpc.sites.command_line import destination, ssh_words
from scalebox_hpc.transfer import pour, through
from scalebox_hpc.transfer.causes import Cause, TransferFailed, cause_of_command, last_words
from scalebox_hpc.transfer.ends import Known, refused, remote_words
from scalebox_hpc.transfer.plan import Entry, Way, way
from scalebox_hpc.transfer.rsync import (
    Command,
    Mode,
    at_host,
    carrier,
    own_link,
    progress,
    shared_link,
    words,
)

_KEPT_LINES: Final = 50
_GRACE_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Piece:
    """What one stream moves: a file, or files by name from one directory to another. Paths are full."""

    source: str
    target: str
    mode: Mode
    names: tuple[str, ...] | None = None
    temporary_directory: str = ""
    file: Entry | None = None  # what the source is, where it is one file
    had_bytes: int = 0  # of it at the target
    lock: int | None = None  # the file descriptor that is locked until all that write have ended


class Link:
    """The way between two ends."""

    def __init__(self, source: Known, target: Known, limit_mib_s: float | None = None) -> None:
        self.source, self.target = source, target
        self.way = way(source.key, target.key)
        self.is_limited = limit_mib_s is not None
        self._limit_kib_s = max(1, round(limit_mib_s * 1024)) if limit_mib_s is not None else 0
        self.asked_to_compress: Callable[[], bool] = lambda: False
        self._lock, self._line = threading.Lock(), threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    @functools.cached_property
    def compress(self) -> bool:
        """Whether that pays, which is asked once there is something to move."""
        return self.asked_to_compress()

    def stop(self) -> None:
        """End what runs, and start nothing more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.terminate()

    def move(self, piece: Piece, told: Callable[[int], None]) -> None:
        """Move it; `told` gets the bytes that came over. Raises TransferFailed."""
        if self._pours(piece):
            self._pour(piece, told)
            return
        with os.fdopen(os.memfd_create("names"), "w+b") as listed:
            if piece.names is not None:
                names = "".join(f"./{name}\0" for name in piece.names)  # else `#` begins a comment
                listed.write(names.encode("utf-8", "surrogateescape"))
                listed.seek(0)
            with self._connection() as options:
                exit_code, said = self._run(self._command(piece, options), listed, told)
        self._refuse(exit_code, said, "rsync")

    def _refuse(self, exit_code: int, said: str, program: str) -> None:
        if exit_code:
            fact = f"{program}, {self.way}: {last_words(said) or f'exit code {exit_code}'}"
            raise TransferFailed(cause_of_command(exit_code, said), fact)

    def _pours(self, piece: Piece) -> bool:
        """Whether nothing is asked for that only rsync does: differences, a limit, compression."""
        is_plain = piece.file is not None and piece.mode in (Mode.WHOLE, Mode.APPEND)
        is_near = self.way in (Way.PUSH, Way.PULL)
        return is_plain and is_near and not self.compress and not self.is_limited

    def _pour(self, piece: Piece, told: Callable[[int], None]) -> None:
        """Let ssh carry the rest of a file."""
        assert piece.file is not None
        to_site = self.way is Way.PUSH
        here, there = (piece.source, piece.target) if to_site else (piece.target, piece.source)
        words = pour.there(there, piece.had_bytes, to_site=to_site)
        try:
            local = pour.opened(here, piece.had_bytes, to_site=to_site)
        except OSError as error:
            raise refused(self.source.title if to_site else self.target.title, error) from error
        with local, self._connection() as options:
            line = remote_words(_ssh((self.target if to_site else self.source).site), words, options)

            def start(_: ExitStack) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
                return pour.started(line, local, piece.lock, to_site=to_site)

            with self._started(start) as (process, says), says:
                said = pour.watched(says, local, told)
                exit_code = process.wait()
        self._refuse(exit_code, said, "ssh")

    @contextmanager
    def _connection(self) -> Iterator[tuple[str, ...]]:
        """Options of ssh for a push or pull: through the line of the remote end where no stream has it."""
        end = (self.target if self.way is Way.PUSH else self.source).end
        if self.way not in (Way.PUSH, Way.PULL) or end.site is None or end.site.ssh is None:
            yield ()
        elif not end.socket or not self._line.acquire(blocking=False):
            yield own_link(end.site.ssh.master)
        else:
            try:
                yield shared_link(end.socket)
            finally:
                self._line.release()

    def _command(self, piece: Piece, options: tuple[str, ...]) -> Command:
        plain = Command(
            source=piece.source,
            target=piece.target,
            mode=piece.mode,
            from_list=piece.names is not None,
            compress=self.compress,
            limit_kib_s=self._limit_kib_s,
            temporary_directory=piece.temporary_directory,
        )
        match self.way:
            case Way.PUSH:
                ssh = _ssh(self.target.site)
                far = at_host(destination(ssh), piece.target)
                return replace(plain, target=far, shell=carrier(ssh_words(ssh), options))
            case Way.PULL:
                ssh = _ssh(self.source.site)
                far = at_host(destination(ssh), piece.source)
                return replace(plain, source=far, shell=carrier(ssh_words(ssh), options))
            case Way.THROUGH:
                far = at_host(through.FAR, piece.target)
                return replace(plain, target=far, shell=through.helper(_ssh(self.source.site).python))
            case _:
                return plain

    def _run(self, command: Command, listed: IO[bytes], told: Callable[[int], None]) -> tuple[int, str]:
        starter, other = self.source, self.target
        if self.way is Way.PULL:
            starter, other = other, starter
        line = words(command, starter.rsync, other.rsync)
        with self._started(lambda stack: self._start(line, listed, stack)) as (process, says):
            said = _listen(says, told)
            return process.wait(), said

    @contextmanager
    def _started(
        self, start: Callable[[ExitStack], tuple[subprocess.Popen[bytes], IO[bytes]]]
    ) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
        with ExitStack() as stack:
            with self._lock:
                if self._stopped:
                    raise TransferFailed(Cause.OTHER, "the transfer was ended")
                process, says = start(stack)
                self._running.add(process)
            stack.callback(self._end, process)
            yield process, says

    def _start(
        self, line: list[str], listed: IO[bytes], stack: ExitStack
    ) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
        if self.way is Way.THROUGH:
            return through.start(_ssh(self.source.site), line, listed, _ssh(self.target.site), stack)
        if self.way is Way.WITHIN:
            ssh = _ssh(self.source.site)
            line = remote_words(ssh, line, own_link(ssh.master))
        # What `Slots.alone` keeps open stays open in it: while it writes, no other try begins.
        process = subprocess.Popen(
            line, stdin=listed, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, close_fds=False
        )
        assert process.stdout is not None
        return process, stack.enter_context(process.stdout)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._running.discard(process)
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _ssh(site: Site | None) -> Ssh:
    assert site is not None
    assert site.ssh is not None
    return site.ssh


def _listen(pipe: IO[bytes], told: Callable[[int], None]) -> str:
    """Read what a command says to its end; return what is not about its progress."""
    kept: list[str] = []
    rest = b""
    while data := os.read(pipe.fileno(), 1 << 16):
        *lines, rest = re.split(rb"[\r\n]", rest + data)
        for line in lines:
            done, text = progress(line.decode("utf-8", "replace"))
            if done is not None:
                told(done)
            if text:
                kept = [*kept[-_KEPT_LINES:], text]
    return "\n".join([*kept, rest.decode("utf-8", "replace")]).strip()
