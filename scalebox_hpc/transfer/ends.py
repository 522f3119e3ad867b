"""The two ends of a transfer, here or at a site, as something to be asked; `end` has the questions.

A remote end is one ssh command that answers lines; it is started at the first question, and again when
the link broke in between.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import posixpath
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Final, Protocol

from scalebox_hpc.disk import make_private, problem_with
from scalebox_hpc.domain.site import Site, Ssh
from scalebox_hpc.sites.command_line import control_path, destination, ssh_words, stream_text
from scalebox_hpc.transfer import end, parcel
from scalebox_hpc.transfer.causes import Cause, TransferFailed, cause_of_command, cause_of_error, last_words
from scalebox_hpc.transfer.rsync import FAST_CIPHER, Rsync, read_version
from scalebox_hpc.transfer.streams import held, opened, usual_folder

_PIPE_BYTES: Final = 1 << 20  # what an unprivileged user may have; fewer turns of our process and of ssh
_NOISE_LINES: Final = 1000  # what a site's shell may print before our program does
_MORE: Final = "scalebox_hpc.transfer.archives"  # is seldom asked, and goes to a site only then
_NUMBERS: Final = itertools.count()
_NOT_THERE: Final = ("from __future__", "from scalebox_hpc", "from typing")  # the last takes long
_BOOT: Final = (
    "asks = open(0, 'rb', 1 << 18); exec(compile(eval(asks.readline()), 'end', 'exec'));"
    " serve(asks, {'pack': pack, 'unpack': unpack})"
)


class End(Protocol):
    """One end of a transfer."""

    @property
    def site(self) -> Site | None:
        """The site; None for this machine."""

    @property
    def title(self) -> str:
        """What people call it."""

    @property
    def was_there(self) -> bool:
        """Whether it ever answered."""

    @property
    def socket(self) -> str:
        """Where a stream may join the connection that is open; "": nowhere."""

    def open(self) -> None:
        """Begin to connect, for what will be asked soon. Raises TransferFailed."""

    def ask(self, call: str, *args: Any) -> Any:
        """Ask one of the questions of `end`. Raises TransferFailed."""

    def pack(self, algorithm: str, root: str, files: Sequence[Sequence[Any]]) -> Generator[bytes, None, None]:
        """Give small files as one run of bytes, as `parcel` makes it. Raises TransferFailed."""

    def unpack(
        self, algorithm: str, root: str, temporary: str, files: Sequence[Sequence[Any]], data: Iterator[bytes]
    ) -> list[str]:
        """Take such a run of bytes; return checksums, "" of what came out wrong. Raises TransferFailed."""

    def close(self) -> None:
        """Let go of it; the next question opens it anew."""


class Here:
    """This machine."""

    site: Site | None = None
    title = "this machine"
    socket = ""
    was_there = True

    def open(self) -> None:
        pass

    def ask(self, call: str, *args: Any) -> Any:
        if call not in end.AT_ONCE:
            import_module(_MORE)
        try:
            found = end.CALLS[call](*args)
            return list(found) if isinstance(found, Iterator) else found
        except OSError as error:
            raise refused(self.title, error) from error

    def pack(self, algorithm: str, root: str, files: Sequence[Sequence[Any]]) -> Generator[bytes, None, None]:
        return parcel.pack(algorithm, root, [list(each) for each in files])

    def unpack(
        self, algorithm: str, root: str, temporary: str, files: Sequence[Sequence[Any]], data: Iterator[bytes]
    ) -> list[str]:
        try:
            listed = [list(each) for each in files]
            found = list(parcel.unpack(algorithm, root, temporary, listed, _reader(data)))
            for _ in data:
                pass  # nothing more comes, but who gives it has to see its end
            return found
        except OSError as error:
            raise refused(self.title, error) from error

    def close(self) -> None:
        pass


def _reader(data: Iterator[bytes]) -> Callable[[int], bytes]:
    """Read so many bytes from chunks of any size."""
    rest = bytearray()

    def read(count: int) -> bytes:
        while len(rest) < count:
            rest.extend(next(data))
        found = bytes(rest[:count])
        del rest[:count]
        return found

    return read


def refused(title: str, error: OSError) -> TransferFailed:
    """What the system refused at an end."""
    return _refused(title, error.errno or 0, error.strerror or str(error), error.filename)


def _refused(title: str, number: int, fact: str, path: object) -> TransferFailed:
    return TransferFailed(cause_of_error(number), f"{title}: {path or 'a file'}: {fact}")


def remote_words(ssh: Ssh, words: Sequence[str], options: Sequence[str] = ()) -> list[str]:
    """The command that runs words at a site; options of ssh come before the site's own, so they win."""
    program, *rest = ssh_words(ssh)
    return [program, *options, *rest, destination(ssh), stream_text(words, mark="''")]


class There:
    """A site with `[ssh]`."""

    def __init__(self, site: Site, stays: bool = False) -> None:
        if site.ssh is None:
            raise ValueError(f"site {site.name} is this machine")
        self.site: Site | None = site
        self.title = f"site {site.name}"
        self._ssh, self._keep_s = site.ssh, site.transfers.keep_s if stays else 0.0
        self._one_at_a_time = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self.socket = ""
        self.was_there = False
        self._kept: int | None = None  # the lock of a connection that stays
        self._is_ready = self._knows_more = False

    def open(self) -> None:
        with self._one_at_a_time, self._broken_link():
            if self._process is None:
                self._start()

    def ask(self, call: str, *args: Any) -> Any:
        with self._one_at_a_time, self._broken_link():
            return self._answer(self._asked(call, *args))

    def pack(self, algorithm: str, root: str, files: Sequence[Sequence[Any]]) -> Generator[bytes, None, None]:
        with self._one_at_a_time, self._broken_link():
            process = self._asked("pack", algorithm, root, files)
            assert process.stdout is not None
            left = sum(each[1] + parcel.HEX_BYTES[algorithm] for each in files)
            while left:
                data = process.stdout.read1(min(left, parcel.READ_BYTES))  # type: ignore[attr-defined]
                if not data:
                    raise EOFError
                left -= len(data)
                with self._only_whole():
                    yield data
            self._answer(process)

    def unpack(
        self, algorithm: str, root: str, temporary: str, files: Sequence[Sequence[Any]], data: Iterator[bytes]
    ) -> list[str]:
        with self._one_at_a_time, self._broken_link():
            process = self._asked("unpack", algorithm, root, temporary, files)
            assert process.stdin is not None
            with self._only_whole():
                for chunk in data:
                    process.stdin.write(chunk)
            process.stdin.flush()
            found: list[str] = self._answer(process)
            return found

    @contextmanager
    def _only_whole(self) -> Iterator[None]:
        """End the command when a run of bytes is given up: nobody could tell any more what its lines are."""
        try:
            yield
        except (TransferFailed, GeneratorExit):
            self._end()
            raise

    def _asked(self, call: str, *args: Any) -> subprocess.Popen[bytes]:
        process = self._process or self._start()
        if not self._is_ready:
            self._await(process)
        if call not in end.AT_ONCE and not self._knows_more:
            self._answer(self._told(process, "load", _source(_MORE)))
            self._knows_more = True
        return self._told(process, call, *args)

    def _told(self, process: subprocess.Popen[bytes], call: str, *args: Any) -> subprocess.Popen[bytes]:
        assert process.stdin is not None
        process.stdin.write(json.dumps({"call": call, "args": args}).encode() + b"\n")
        process.stdin.flush()
        return process

    def _answer(self, process: subprocess.Popen[bytes]) -> Any:
        parts: list[Any] = []
        assert process.stdout is not None
        while line := process.stdout.readline():
            said = json.loads(line)
            if "part" in said:
                parts += said["part"]
            elif "done" in said:
                return said["done"] if said["done"] is not None else parts
            else:
                raise _refused(self.title, said["errno"], said["fact"], said["path"])
        raise EOFError

    def _start(self) -> subprocess.Popen[bytes]:
        words = remote_words(self._ssh, [self._ssh.python, "-c", _BOOT], self._options())
        self._errors = os.fdopen(os.memfd_create("errors"), "w+b")
        pipe = subprocess.PIPE
        self._process = process = subprocess.Popen(
            words, stdin=pipe, stdout=pipe, stderr=self._errors, pipesize=_PIPE_BYTES
        )
        self._is_ready = self._knows_more = False
        assert process.stdin is not None
        process.stdin.write(_program())
        process.stdin.flush()
        return process

    def _await(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for _ in range(_NOISE_LINES):
            line = process.stdout.readline()
            if not line:
                raise EOFError
            if line.strip() == b'{"ready": 1}':
                self._is_ready = self.was_there = True
                return
        raise TransferFailed(Cause.TOOL, f"{self.title}: its shell prints too much before a command")

    @contextmanager
    def _broken_link(self) -> Iterator[None]:
        """Say why there is no answer; the next question starts anew."""
        try:
            yield
        except (EOFError, BrokenPipeError, ConnectionError, json.JSONDecodeError) as error:
            exit_code, said = self._end()
            cause = cause_of_command(exit_code, said)
            cause = Cause.NETWORK if cause is Cause.OTHER else cause
            fact = f"{self.title}: {last_words(said) or 'the link is lost'}"
            raise TransferFailed(cause, fact, self._hint(cause)) from error

    def _options(self) -> tuple[str, ...]:
        """Options of our own connection; one stream may go through it, which saves a second one."""
        control = Path(control_path(self._ssh))
        folder = control.parent if self._ssh.master else usual_folder()
        try:  # nobody else may have put a socket there
            make_private(folder)
        except OSError as error:
            raise problem_with(folder, error, "use", "remove it if it is not yours") from error
        if self._ssh.master:
            return FAST_CIPHER
        kept = folder / control.name
        self._kept = held(opened(kept.with_suffix(".lock"))) if self._keep_s else None
        if self._kept is None:
            self.socket, stays = f"{folder}/{os.getpid()}-{next(_NUMBERS)}", "no"
        else:  # of one process at a time: several share the window and the processor of a connection
            self.socket, stays = str(kept), f"{self._keep_s:.0f}"
        master = ("ControlMaster=auto", f"ControlPath={self.socket}", f"ControlPersist={stays}")
        return (*(word for option in master for word in ("-o", option)), *FAST_CIPHER)

    def _hint(self, cause: Cause) -> str:
        """What to type where a person has to; "" where the cause says enough."""
        name = self.site.name if self.site is not None else ""
        if cause is not Cause.LOGIN:
            return ""
        return f"sbx site login {name}" if self._ssh.master else f"sbx site check {name}"

    def _end(self) -> tuple[int, str]:
        process, errors = self._process, self._errors
        self._process = self._errors = None
        self.socket = ""
        if self._kept is not None:
            os.close(self._kept)
            self._kept = None
        if process is None or errors is None:
            return 255, ""
        for pipe in (process.stdin, process.stdout):
            try:
                if pipe is not None:
                    pipe.close()
            except BrokenPipeError:
                pass
        try:
            exit_code = process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            exit_code = process.wait()
        errors.seek(0)
        said = errors.read().decode("utf-8", "replace")
        errors.close()
        return exit_code, said

    def close(self) -> None:
        with self._one_at_a_time:
            self._end()


@functools.cache
def _program() -> bytes:
    """The source of `end` and what goes with it as one, on one line."""
    return ascii(_source(end.__name__, parcel.__name__)).encode() + b"\n"


def _source(*names: str) -> str:
    """The source of modules as one, without those imports that are not there, or not needed."""
    files = [Path(__file__).with_name(name.rpartition(".")[2] + ".py") for name in names]
    lines = [line for file in files for line in file.read_text("utf-8").splitlines(keepends=True)]
    kept = [line for line in lines if not line.startswith(_NOT_THERE)]
    return "from __future__ import annotations\n" + "".join(kept)


class Known:
    """An end, and what does not change about it, asked once."""

    def __init__(self, asked: End) -> None:
        self.end = asked
        self.site, self.title = asked.site, asked.title
        self.open, self.ask, self.close = asked.open, asked.ask, asked.close
        self.pack, self.unpack = asked.pack, asked.unpack

    @functools.cached_property
    def facts(self) -> dict[str, Any]:
        """What the end said of itself."""
        found: dict[str, Any] = self.ask("facts")
        return found

    @functools.cached_property
    def delay_s(self) -> float:
        """How long a question takes to travel there and back."""
        self.ask("ping")  # by now it has begun
        began_s = time.monotonic()
        self.ask("ping")
        return time.monotonic() - began_s

    @functools.cached_property
    def rsync(self) -> Rsync:
        """Its rsync. Raises TransferFailed where there is none."""
        found = read_version(self.ask("rsync"))
        if found is None:
            raise TransferFailed(Cause.TOOL, f"{self.title}: there is no rsync of release 3 or newer")
        return found

    def full(self, path: str) -> str:
        """A path with the home directory filled in."""
        if path == "~" or path.startswith("~/"):
            return posixpath.join(self.facts["home"], path[2:]) if path != "~" else str(self.facts["home"])
        return path

    @property
    def key(self) -> str:
        """What tells it from other ends."""
        return self.site.name if self.site is not None else ""


def reach(site: Site | None, stays: bool = False) -> Known:
    """The end at a site; None, or one without `[ssh]`, is this machine.

    With `stays` its connection stays for a while, as the site file says, for the next who wants that.
    """
    return Known(Here() if site is None or site.ssh is None else There(site, stays))
