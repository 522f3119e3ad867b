"""Read the key `seed` of a module: of which kind it is, and whether it can yield messages.

The messages themselves are read by `seeds`, when the run is loaded.
"""

from __future__ import annotations

import csv
import glob
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from scalebox_hpc.config import keys, templates
from scalebox_hpc.config.files import near_name
from scalebox_hpc.config.message_line import BadLine, parse_line
from scalebox_hpc.config.notes import did_you_mean
from scalebox_hpc.config.params import show
from scalebox_hpc.config.shell_text import scan
from scalebox_hpc.config.table import Table, kind_of
from scalebox_hpc.config.templates import Filler
from scalebox_hpc.domain.pipeline import Part, Seed, Template

KINDS: Final = ("file", "stdin", "command", "glob", "csv", "product")
_COLUMN: Final = re.compile(r"\{\{([^{}]+)\}\}|\{([^{}]+)\}")


def read_seed_table(module: Table, filler: Filler, directory: Path) -> Seed | None:
    """Read the key; None when it is absent or wrong (then it was noted)."""
    value = module.data.get("seed")
    if value is None:
        return None
    if isinstance(value, list):
        return _list(module, value, filler)
    if not isinstance(value, dict):
        example = f'["{value}"]' if isinstance(value, (str, int)) else '["first", "second"]'
        module.problem("seed", f"must be a list or a table, not {kind_of(value)}", f"write seed = {example}")
        return None
    table = module.table("seed")
    table.allow(keys.SEED, keys.LATER_SEED)
    kinds = [kind for kind in KINDS if kind in value]
    if len(kinds) != 1:
        if kinds or not set(value) & keys.LATER_SEED:
            fact = "has no kind" if not kinds else f"has more than one kind: {', '.join(kinds)}"
            module.problem("seed", fact, f"write exactly one of {', '.join(KINDS)}")
        return None
    if "body" in value and kinds != ["csv"]:
        table.problem("body", "is for csv seeds only", 'write { csv = "table.csv", body = "{column}" }')
    return _READERS[kinds[0]](table, filler, directory)


def _list(module: Table, value: list[Any], filler: Filler) -> Seed | None:
    if not value:
        module.problem("seed", "has no messages", 'write at least one, as in ["first"]')
    lines: list[str] = []
    for index, item in enumerate(value):
        path = module.at("seed", index)
        if isinstance(item, bool) or not isinstance(item, (str, int)):
            module.notes.problem(path, f"must be a text, not {kind_of(item)}", "put it in quotes")
            continue
        line = str(item) if isinstance(item, int) else filler.text(item, path)
        try:
            parse_line(line)
        except BadLine as error:
            module.notes.problem(path, error.fact, error.remedy)
        if not line.strip():
            module.notes.warn(path, "is blank and sends nothing", "take it out")
        lines.append(line)
    return Seed("list", tuple(lines))


def _file(table: Table, filler: Filler, directory: Path) -> Seed | None:
    name = _existing(table, "file", filler, directory)
    if name is None:
        return None
    source = directory / name
    if source.suffix.lower() in (".csv", ".tsv"):
        with source.open(encoding="utf-8-sig", errors="replace") as stream:
            first = stream.readline(65536).rstrip("\n")
        mark = delimiter(source)
        if mark in first:
            column = first.split(mark)[0].strip('" ') or "column"
            remedy = (
                f'write seed = {{ csv = "{name}", body = "{{{column}}}" }}; a seed file has a message a line'
            )
            table.problem("file", f"{name} is a table: its header row would be a message", remedy)
    return Seed("file", (name,))


def _stdin(table: Table, filler: Filler, directory: Path) -> Seed | None:
    if table.data["stdin"] is not True:
        table.problem("stdin", "can only be true", "write { stdin = true }")
        return None
    return Seed("stdin")


def _command(table: Table, filler: Filler, directory: Path) -> Seed | None:
    """Keep the shell text first, then the parameters behind its $1, $2, ..."""
    text = table.text("command")
    if not text or not text.strip():
        table.problem("command", "is empty", 'write a shell command, as in "ls /data"')
        return None
    values: list[str] = []
    pieces: list[str] = []
    parsed = templates.parse(text)
    for part in parsed:
        if isinstance(part, str):
            pieces.append(part)
        elif part[0] == "params":
            values.append(filler.param(part[1], table.at("command")))
            pieces.append(f'"${{{len(values)}}}"')
        else:
            table.problem(
                "command", f"{templates.show(part)} cannot be used here", "a seed has no message yet"
            )
    for part in dict.fromkeys(scan(parsed).quoted):
        remedy = "a placeholder is quoted by itself: write it outside the quotes"
        table.problem("command", f"{templates.show(part)} stands inside quotes", remedy)
    return Seed("command", ("".join(pieces), *values))


def _glob(table: Table, filler: Filler, directory: Path) -> Seed | None:
    pattern = _filled(table, "glob", filler)
    if pattern is None:
        return None
    if next(glob.iglob(str(Path(glob.escape(str(directory))) / pattern), recursive=True), None) is None:
        remedy = "patterns are relative to the pipeline's directory; ** matches directories at any depth"
        table.problem("glob", f"nothing matches {pattern}", remedy)
    return Seed("glob", (pattern,))


def _csv(table: Table, filler: Filler, directory: Path) -> Seed | None:
    name = _existing(table, "csv", filler, directory)
    columns = _columns(table, directory / name) if name is not None else None
    text = table.text("body")
    if text is None:
        example = f"{{{columns[0]}}}" if columns else "{column}"
        if "body" not in table.data:
            table.problem("body", "is missing", f'say what the message of a row is, as in body = "{example}"')
        return None
    body = _row_template(table, text, filler, columns)
    return None if name is None else Seed("csv", (name,), body)


def _columns(table: Table, source: Path) -> list[str] | None:
    """Read the header row; every column becomes a header `_column` of the messages."""
    try:
        with source.open(encoding="utf-8-sig", newline="") as stream:
            row = next(csv.reader(stream, delimiter=delimiter(source)), [])
    except (UnicodeDecodeError, csv.Error) as error:
        table.problem("csv", f"{source.name} cannot be read: {error}", "save it as CSV in UTF-8")
        return None
    if not row:
        table.problem("csv", f"{source.name} is empty", "its first row names the columns")
        return None
    for column in row:
        if not re.fullmatch(keys.HEADER_NAME, column):
            fact = f"{source.name} has a column {column!r}, which cannot name a header"
            table.problem("csv", fact, "use letters, digits, _, . and - in the header row")
    for column in sorted({column for column in row if row.count(column) > 1}):
        table.problem("csv", f"{source.name} has two columns {column!r}", "call one of them otherwise")
    return row


def delimiter(source: Path) -> str:
    """Return what separates the cells: a tab in `.tsv`, else a comma."""
    return "\t" if source.suffix.lower() == ".tsv" else ","


def _row_template(table: Table, text: str, filler: Filler, columns: list[str] | None) -> Template:
    parts: list[Part] = []
    end = 0
    for match in _COLUMN.finditer(text):
        parts.append(text[end : match.start()])
        end = match.end()
        name = match[2]
        if match[1]:
            parts.append("{" + match[1] + "}")
        elif name.startswith("params."):
            parts.append(filler.param(name.removeprefix("params."), table.at("body")))
        else:
            parts.append(("headers", name))
            if columns is not None and name not in columns:
                table.problem("body", f"there is no column {name!r}", did_you_mean(name, columns, "columns"))
    parts.append(text[end:])
    return templates.join(parts)


def _product(table: Table, filler: Filler, directory: Path) -> Seed | None:
    axes: list[tuple[str, tuple[str, ...]]] = []
    product = table.table("product")
    if not product.data and isinstance(table.data["product"], dict):
        table.problem(
            "product", "has no lists", "write { product = { size = [1, 2], kind = [" + '"a", "b"' + "] } }"
        )
    for name, values in product.data.items():
        if not re.fullmatch(keys.HEADER_NAME, name) or name.startswith("sbx_"):
            product.problem(
                name, "cannot name a header", "use letters, digits, _, . and -, and do not begin with sbx_"
            )
        if not isinstance(values, list) or not values:
            product.problem(name, "must be a list with values", f"write {name} = [1, 2]")
            continue
        axes.append(
            (
                name,
                tuple(_axis_value(product, name, index, item, filler) for index, item in enumerate(values)),
            )
        )
    return Seed("product", axes=tuple(axes)) if axes else None


def _axis_value(product: Table, name: str, index: int, item: object, filler: Filler) -> str:
    path = product.at(name, index)
    if isinstance(item, str):
        if "\n" in item or "\0" in item:
            product.notes.problem(path, "holds a line end or NUL", "a value is one line of text")
        return filler.text(item, path)
    if isinstance(item, (bool, int, float)):
        return show(item)
    product.notes.problem(path, f"is {kind_of(item)}", "values are texts, numbers, or true or false")
    return ""


def _filled(table: Table, key: str, filler: Filler) -> str | None:
    text = table.text(key)
    if text == "":
        table.problem(key, "is empty", "write a name in quotes")
    return filler.text(text, table.at(key)) if text else None


def _existing(table: Table, key: str, filler: Filler, directory: Path) -> str | None:
    name = _filled(table, key, filler)
    if name is None:
        return None
    source = directory / name
    if source.is_file():
        return name
    if source.exists():
        table.problem(key, f"{name} is not a file", "name a file with a message a line")
        return None
    remedy = near_name(source) or "names are relative to the pipeline's directory"
    table.problem(key, f"there is no file {name}", remedy)
    return None


_READERS: Final[dict[str, Callable[[Table, Filler, Path], Seed | None]]] = {
    "file": _file,
    "stdin": _stdin,
    "command": _command,
    "glob": _glob,
    "csv": _csv,
    "product": _product,
}
