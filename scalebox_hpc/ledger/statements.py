"""The named statements of the .sql files beside this one, and the migrations.

A statement begins with `-- name: WORD`, followed by comment lines that say what it is for. They are
written as SQLite reads them; what other databases are told is made of them in `dialect`.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

from scalebox_hpc.errors import LedgerProblem

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_SENTENCE = re.compile(r"(?:^--.*\n)+", re.MULTILINE)


@cache
def statements() -> dict[str, str]:
    """Return every statement by its name. Raises ValueError where a name is used twice."""
    found: dict[str, str] = {}
    for file in sorted(resources.files("scalebox_hpc.ledger").iterdir(), key=lambda item: item.name):
        if not file.name.endswith(".sql"):
            continue
        for name, text in _named(file.read_text(encoding="utf-8")):
            if name in found:
                raise ValueError(f"{file.name}: statement {name} is there twice")
            found[name] = text
    return found


@cache
def overrides(database: str) -> dict[str, str]:
    """Return the statements that a database needs in words of its own, by name."""
    file = resources.files("scalebox_hpc.ledger") / "overrides" / f"{database}.sql"
    return dict(_named(file.read_text(encoding="utf-8")))


@cache
def afterwards(database: str, number: int) -> str:
    """Return what a database does after a migration, which others need not; often nothing."""
    file = resources.files("scalebox_hpc.ledger") / "overrides" / f"{database}_{number:04}.sql"
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def sentence(name: str) -> str:
    """What a statement is for, as its comment says it, on one line."""
    comment = _SENTENCE.match(statements()[name])
    assert comment is not None, "every statement has a sentence"
    return " ".join(line.removeprefix("--").strip() for line in comment[0].splitlines()).rstrip(".")


def _named(text: str) -> list[tuple[str, str]]:
    pieces = _NAME.split(text)
    bodies = [body.strip().rstrip(";") for body in pieces[2::2]]
    return list(zip(pieces[1::2], bodies, strict=True))


def newest_format() -> int:
    """The newest format of a ledger that this program knows."""
    return migrations()[-1][0]


def must_be_known(place: object, version: int) -> None:
    """Raise LedgerProblem where the ledger at this place is newer than this program."""
    if version > newest_format():
        raise LedgerProblem(
            f"{place}: the ledger has format {version}, this program knows up to {newest_format()}",
            "use the newer release that wrote it",
        )


@cache
def migrations() -> tuple[tuple[int, str], ...]:
    """Return (version, script) of every migration, in order."""
    folder = resources.files("scalebox_hpc.ledger") / "migrations"
    scripts = sorted(
        (item for item in folder.iterdir() if item.name.endswith(".sql")), key=lambda item: item.name
    )
    return tuple((int(item.name.split("_")[0]), item.read_text(encoding="utf-8")) for item in scripts)
