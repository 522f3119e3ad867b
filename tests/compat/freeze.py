"""Freeze a ledger of the present format, to be opened by all later releases: `python -m tests.compat.freeze`.

A simulated daemon runs pipelines in SQLite and in Postgres, and is killed in the middle of the last
one. What is written beside this file is committed at a release and never changed: the two ledgers in
SQL, what is in them in numbers, and what `sbx export` said of each run.
"""

from __future__ import annotations

import io
import json
import re
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from scalebox_hpc.domain.pipeline import Gather, RetryRule
from scalebox_hpc.ledger.postgres import schema_of
from scalebox_hpc.ledger.statements import newest_format
from scalebox_hpc.report import csv
from scalebox_hpc.testing.agent import Played
from scalebox_hpc.testing.audit import look
from scalebox_hpc.testing.ledger import SqliteBooks
from scalebox_hpc.testing.postgres import Postgres, PostgresBooks, postgres
from scalebox_hpc.testing.world import World
from tests.fault.pipelines import Json, count, player, sums

LEDGERS = Path(__file__).parent / "ledgers"
FOLDER, SCHEMA = "@FOLDER@", "@SCHEMA@"  # stand for the places that a test has
RUNS = ("run-1", "run-2", "run-3", "run-4")
TASKS = 9  # of the run that is cut short
RETRIED = [RetryRule(("exit",), 2, delay_s=1.0)]


class Fails:
    """A count that fails for some bodies, each so many times."""

    def __init__(self, **times: int) -> None:
        self.left = {name.lstrip("n"): number for name, number in times.items()}

    def __call__(self, offer: Json, members: list[Json]) -> Played:
        if self.left.get(offer["body"], 0) <= 0:
            return count(offer, members)
        self.left[offer["body"]] -= 1
        return Played(cause="exit", exit_code=3, text='it\'s \\ "bad"; née')


def fill(world: World) -> None:
    """A run that succeeded, one that failed, one that was cancelled, one in the middle."""
    world.start()
    world.accept(sums(), [("scatter", "12")], "run-1")
    world.finish("run-1")
    world.play = player(count=Fails(n2=9)).play
    world.accept(sums(retry=RETRIED), [("scatter", "4"), ("scatter", "4")], "run-2")
    world.finish("run-2")
    world.accept(sums(gather=Gather("all", missing="run")), [("scatter", "5")], "run-3")
    world.run(until=lambda: bool(_is(world, "run-3", "succeeded > 1")))
    world.command("run.cancel", run="run-3")
    world.finish("run-3")
    world.play = player(count=Fails(n3=1)).play
    world.accept(sums(retry=RETRIED), [("scatter", str(TASKS))], "run-4")
    wanted = "module.name = 'count' AND succeeded > 2 AND leased + running > 1 AND ready > 0"
    world.run(until=lambda: bool(_is(world, "run-4", wanted)))


def _is(world: World, run: str, so: str) -> list[Any]:
    return look(
        world.books, f"SELECT 1 FROM module JOIN run USING (run_id) WHERE run.name = '{run}' AND {so}"
    )


def numbers(world: World) -> Json:
    """What is in a ledger, counted by queries that need nothing of the program."""
    tasks = look(
        world.books,
        "SELECT r.name, m.name, t.state, t.cause, count(*) FROM task AS t JOIN module AS m USING (module_id)"
        " JOIN run AS r USING (run_id) GROUP BY r.name, m.name, t.state, t.cause"
        " ORDER BY r.name, m.name, t.state, t.cause",
    )
    tables = (
        *("home", "run", "module", "pool", "task", "message", "part", "chunk", "attempt", "output"),
        *("allocation", "try", "agent", "event"),
    )
    rows = {name: look(world.books, f"SELECT count(*) FROM {name}")[0][0] for name in tables}
    return {
        "tables": rows,
        "tasks": [list(row) for row in tasks],
        "states": dict(look(world.books, "SELECT name, state FROM run ORDER BY name")),
    }


def exported(world: World, run: str) -> str:
    """What `sbx export` says of a run."""
    stream = io.StringIO(newline="")
    csv.write(_attempts(world, run), stream)
    return stream.getvalue()


def _attempts(world: World, run: str) -> Iterator[Any]:
    asked: dict[str, Any] = {"run": run}
    while True:
        page = world.command("attempt.list", **asked).body
        yield from page["attempts"]
        if page["next"] is None:
            return
        asked |= {"after": page["next"], "until": page["until"]}


def freeze(world: World) -> tuple[Json, str]:
    """Fill the ledger of a world and leave it as a killed daemon does; return what is in it."""
    fill(world)
    assert world.core is not None
    with world.core.store.transaction():  # simulated agents print nothing
        world.core.store.many("add_output", [(1, "one\ntwo, née\n", "", 0, 0), (2, "", "it's \\ bad", 0, 1)])
    exports = {run: exported(world, run) for run in RUNS}
    found = numbers(world)
    world.end()
    return found, "".join(exports.values())


def as_sql(path: Path) -> str:
    """A SQLite file as text."""
    with closing(sqlite3.connect(path)) as file:
        lines = [*file.iterdump(), f"PRAGMA user_version = {newest_format()};"]
    return "\n".join(lines) + "\n"


def as_postgres_sql(server: Postgres, schema: str) -> str:
    """A schema as text, by pg_dump."""
    asked = ["--inserts", "--no-owner", "--no-privileges", f"--schema={schema}"]
    command = [str(server.programs / "pg_dump"), "-h", str(server.folder), "-U", "sbx", *asked, "postgres"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    text = re.sub(r"^(--.*|SET .*|\\.*|SELECT pg_catalog.set_config.*|)\n", "", text, flags=re.MULTILINE)
    return text.replace(schema, SCHEMA)


def main() -> None:
    """Write the files of this format."""
    name = f"ledger-{newest_format()}"
    assert not (LEDGERS / f"{name}.json").exists(), f"{name} is frozen, and stays as it is"
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), player().play)
        found, exports = freeze(world)
        assert isinstance(world.books, SqliteBooks)
        (LEDGERS / f"{name}.sql").write_text(as_sql(world.books.path).replace(folder, FOLDER))
    with postgres() as server, tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), player().play)
        world.books = books = PostgresBooks(server)
        assert freeze(world) == (found, exports), "both ledgers say the same"
        text = as_postgres_sql(server, schema_of(books.id))
        (LEDGERS / f"{name}.postgres.sql").write_text(text.replace(folder, FOLDER))
    (LEDGERS / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
    (LEDGERS / f"{name}.csv").write_text(exports)


if __name__ == "__main__":
    main()
