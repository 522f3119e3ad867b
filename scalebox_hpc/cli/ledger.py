"""`sbx ledger`: look at the ledger of a home, check it, copy it, put it elsewhere."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scalebox_hpc.cli import say
from scalebox_hpc.cli.options import AsJson

if TYPE_CHECKING:
    from scalebox_hpc.daemon.home import Home
    from scalebox_hpc.daemon.keeping import Moved

app = typer.Typer(
    no_args_is_help=True,
    help="Look at the ledger of a home, check it, copy it, put it elsewhere.",
    rich_markup_mode=None,
)

SHOWN = 5  # rows that break a rule


@app.command()
def info(as_json: AsJson = False) -> None:
    """Show where it is and what is in it.

    A daemon may run meanwhile.

    \b
    Example:
      sbx ledger info --json
    """
    from scalebox_hpc.daemon import keeping
    from scalebox_hpc.units import show_size

    found = keeping.info(_home())
    if as_json:
        say.json_object(asdict(found))
        return
    say.text(f"{found.kind}: {found.place}")
    size = show_size(found.size_bytes)
    say.text(f"format {found.format} (this program knows up to {found.newest_format}), {size}")
    say.text(f"home {found.home}, epoch {found.epoch}")
    for table, rows in found.tables.items():
        say.text(f"{rows:>12}  {table}")


@app.command()
def check(as_json: AsJson = False) -> None:
    """Check that its books agree.

    The daemon must be stopped. Exit status 0: all is well; 1: something is not.

    \b
    Example:
      sbx ledger check
    """
    from scalebox_hpc.daemon import keeping

    place, found = keeping.check(_home())
    if as_json:
        broken = [{"rule": each.rule, "rows": len(each.rows), "first": list(each.rows[0])} for each in found]
        say.json_object({"place": place, "broken": broken})
    else:
        for each in found:
            say.text(f"does not hold: {each.rule}")
            for row in each.rows[:SHOWN]:
                say.text(f"    {', '.join(map(str, row))}")
            if len(each.rows) > SHOWN:
                say.text(f"    and {len(each.rows) - SHOWN} more")
        say.text(f"{place}: {'something is wrong' if found else 'all is well'}")
    if found:
        raise typer.Exit(1)


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file: SQLite, wherever the ledger is.")],
    as_json: AsJson = False,
) -> None:
    """Write a copy of it to a new file.

    It holds the ledger as it is at one moment; a daemon may run meanwhile.

    \b
    Example:
      sbx ledger backup /backup/primes-ledger.db
    """
    from scalebox_hpc.daemon import keeping

    written, tables = keeping.backup(_home(), file)
    if as_json:
        say.json_object({"file": str(written), "tables": tables})
    else:
        say.text(f"{written}: {sum(tables.values())} rows of {len(tables)} tables")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `sbx ledger backup` wrote.")],
    as_json: AsJson = False,
) -> None:
    """Put a copy in its place.

    The daemon must be stopped. The present ledger is put aside, not deleted.

    \b
    Example:
      sbx ledger restore /backup/primes-ledger.db
    """
    from scalebox_hpc.daemon import keeping

    _tell(keeping.restore(_home(), file), as_json)


@app.command()
def move(
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="postgresql://USER@HOST/DATABASE, or sqlite: the home.")
    ],
    as_json: AsJson = False,
) -> None:
    """Put it into Postgres, or back.

    The daemon must be stopped. All rows are copied and compared; the former ledger is put aside.

    \b
    Example:
      sbx ledger move postgresql://ann@db.example.org/sbx
      sbx ledger move sqlite
    """
    from scalebox_hpc.daemon import keeping

    _tell(keeping.move(_home(), target), as_json)


@app.command()
def compact(as_json: AsJson = False) -> None:
    """Give back the room of what was removed.

    The daemon must be stopped. Until it is done SQLite takes the room of a second ledger.

    \b
    Example:
      sbx ledger compact
    """
    from scalebox_hpc.daemon import keeping
    from scalebox_hpc.units import show_size

    done = keeping.compact(_home())
    if as_json:
        say.json_object(asdict(done))
    else:
        say.text(f"{done.place}: {show_size(done.before_bytes)} before, {show_size(done.after_bytes)} now")


def _home() -> Home:
    from scalebox_hpc.client import find_home
    from scalebox_hpc.daemon.home import open_home

    return open_home(find_home())


def _tell(moved: Moved, as_json: bool) -> None:
    if as_json:
        tables = {each.table: each.rows for each in moved.copied}
        say.json_object({"place": moved.place, "aside": moved.aside, "tables": tables})
        return
    for each in moved.copied:
        say.text(f"{each.rows:>12}  {each.table}")
    say.text(f"the ledger is {moved.place}")
    if moved.aside:
        say.text(f"the former one is kept: {moved.aside}")
