"""Yield the first messages of a module, one by one, from whatever its `seed` names.

It streams: a million lines need no more memory than one. It puts nothing into the ledger.
"""

from __future__ import annotations

import csv
import glob
import itertools
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Final

from scalebox_hpc.config.command import BASH
from scalebox_hpc.config.message_line import BadLine, SeedMessage, checked, parse_line
from scalebox_hpc.config.seed_table import delimiter
from scalebox_hpc.domain.pipeline import Seed, Template
from scalebox_hpc.errors import UsageError

__all__ = ["SeedMessage", "read_seed"]

_LINE_BYTES: Final = 1 << 20  # far above what the limits of body and headers allow
_STDERR_BYTES: Final = 2000


def read_seed(seed: Seed, directory: Path, stdin_path: Path | None = None) -> Iterator[SeedMessage]:
    """Yield the messages of `seed`, in order.

    `directory` is the pipeline's; relative names are below it. `stdin_path` is the file into
    which standard input was put. A `list`, `file`, `stdin` or `command` has a message a line;
    a `glob` the absolute paths, sorted; a `csv` a message a row with every column as a header
    `_column`; a `product` one for every combination: body `name=value name=value`, the
    values also as headers.

    Raises UsageError, naming file and line, when a source cannot be read or a line is no message;
    for a command also when it ends with an error: what it printed before has been yielded.
    """
    match seed.kind:
        case "list":
            return _parse(enumerate(seed.values, 1), "seed")
        case "file":
            return _file(directory / seed.values[0])
        case "stdin":
            if stdin_path is None:
                raise UsageError(
                    "a seed reads standard input, and none was given", "pipe it: ... | sbx run pipeline.toml"
                )
            return _file(stdin_path, "standard input")
        case "command":
            return _command(seed.values[0], seed.values[1:], directory)
        case "glob":
            return _glob(seed.values[0], directory)
        case "csv":
            return _csv(directory / seed.values[0], seed.body or ())
        case "product":
            return _product(seed.axes)
    raise UsageError(f"seed of unknown kind {seed.kind!r}", "the run was made by a newer version")


def _parse(lines: Iterable[tuple[int, str]], source: str) -> Iterator[SeedMessage]:
    for number, line in lines:
        if line.strip():
            try:
                yield parse_line(line)
            except BadLine as error:
                raise UsageError(f"{source}:{number}: {error.fact}", error.remedy) from None


def _file(path: Path, name: str = "") -> Iterator[SeedMessage]:
    source = name or str(path)
    try:
        with path.open("rb") as stream:
            yield from _parse(_lines(stream, source), source)
    except OSError as error:
        raise UsageError(
            f"{source}: cannot be read: {error.strerror}", "look at its name and permissions"
        ) from None


def _lines(stream: IO[bytes], source: str) -> Iterator[tuple[int, str]]:
    """Yield numbered lines without their ends, which may be those of Windows."""
    for number in itertools.count(1):
        raw = stream.readline(_LINE_BYTES)
        if not raw:
            return
        if len(raw) == _LINE_BYTES:
            remedy = "a message is a line; put the data in a file and send its path"
            raise UsageError(f"{source}:{number}: the line is longer than 1 MiB", remedy)
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise UsageError(f"{source}:{number}: is not UTF-8", "save it as UTF-8") from None
        yield number, text.removesuffix("\n").removesuffix("\r")


def _command(text: str, values: tuple[str, ...], directory: Path) -> Iterator[SeedMessage]:
    """Run a seed command in the pipeline's directory; `bin/` there is first in PATH."""
    path = f"{directory / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    env = {**os.environ, "PATH": path, "SBX_PIPELINE": str(directory)}
    with tempfile.TemporaryFile() as errors:
        try:
            child = subprocess.Popen(
                [*BASH, text, "sbx", *values],
                cwd=directory,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        except OSError as error:
            raise UsageError(
                f"seed command: bash cannot be started: {error.strerror}", "install bash"
            ) from None
        try:
            assert child.stdout is not None
            yield from _parse(_lines(child.stdout, "seed command"), "seed command")
            code = child.wait()
        finally:
            _end(child)
        if code != 0:
            raise UsageError(f"seed command ended with exit code {code}: {text.strip()}", _tail(errors))


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.stdout is not None:
        child.stdout.close()
    if child.poll() is None:
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        child.wait()


def _tail(errors: IO[bytes]) -> str:
    size = errors.seek(0, os.SEEK_END)
    errors.seek(max(0, size - _STDERR_BYTES))
    said = errors.read().decode(errors="replace").strip()
    return f"it said: {said}" if said else "it said nothing; run it by hand in the pipeline's directory"


def _glob(pattern: str, directory: Path) -> Iterator[SeedMessage]:
    whole = str(Path(glob.escape(str(directory))) / pattern)
    for path in sorted(glob.iglob(whole, recursive=True)):
        try:
            yield checked(os.path.abspath(path), {})
        except BadLine as error:
            raise UsageError(f"{path!r}: {error.fact}", "call the file otherwise") from None


def _csv(source: Path, body: Template) -> Iterator[SeedMessage]:
    try:
        with source.open(encoding="utf-8-sig", newline="") as stream:
            yield from _rows(csv.reader(stream, delimiter=delimiter(source)), source, body)
    except OSError as error:
        raise UsageError(
            f"{source}: cannot be read: {error.strerror}", "look at its name and permissions"
        ) from None
    except UnicodeDecodeError:
        raise UsageError(f"{source}: is not UTF-8", "save it as CSV in UTF-8") from None


def _rows(reader: Iterator[list[str]], source: Path, body: Template) -> Iterator[SeedMessage]:
    columns: list[str] | None = None
    for number in itertools.count(1):
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise UsageError(f"{source}: row {number}: {error}", "look at its quotes") from None
        if row is None:
            return
        if columns is None:
            columns = row
        elif row:
            yield _row(row, columns, f"{source}:{getattr(reader, 'line_num', number)}", body)


def _row(row: list[str], columns: list[str], place: str, body: Template) -> SeedMessage:
    if len(row) != len(columns):
        remedy = f"columns: {', '.join(columns)}; quote cells that hold a comma"
        raise UsageError(f"{place}: the row has {len(row)} cells and the header {len(columns)}", remedy)
    cells = dict(zip(columns, row, strict=True))
    text = "".join(part if isinstance(part, str) else cells.get(part[1], "") for part in body)
    try:
        return checked(text, {f"_{name}": value for name, value in cells.items()})
    except BadLine as error:
        raise UsageError(f"{place}: {error.fact}", error.remedy) from None


def _product(axes: tuple[tuple[str, tuple[str, ...]], ...]) -> Iterator[SeedMessage]:
    names = [name for name, _ in axes]
    for number, values in enumerate(itertools.product(*(values for _, values in axes)), 1):
        headers = dict(zip(names, values, strict=True))
        try:
            yield checked(" ".join(f"{name}={value}" for name, value in headers.items()), headers)
        except BadLine as error:
            raise UsageError(f"seed product: combination {number}: {error.fact}", error.remedy) from None
