"""The shape of the source, as far as linters do not hold it: import-linter holds the layers."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGE = CHECKOUT / "scalebox_hpc"
MODULES = sorted(PACKAGE.rglob("*.py"))

# Each third-party library has one door: the only places that may import it.
DOORS = {
    "apsw": ("ledger/", "testing/ledger.py"),
    "typer": ("cli/",),
    "rich": ("report/", "cli/"),
    "starlette": ("daemon/",),
    "uvicorn": ("daemon/",),
    "cryptography": ("daemon/keys.py", "sites/ssh.py"),  # the second for an error that paramiko lets through
    "spython": ("containers/",),
    "orjson": ("daemon/gate.py",),
    "paramiko": ("sites/ssh.py",),
    "sqlalchemy": ("ledger/server.py", "ledger/postgres.py", "testing/postgres.py"),
    "psycopg": ("ledger/server.py", "ledger/session.py"),
    "prometheus_client": ("daemon/metrics.py",),
    "pyslurm": ("batch/slurm_child.py",),
    "xxhash": ("transfer/end.py",),
}
VAGUE = {"utils", "helpers", "common", "manager", "misc", "util", "helper"}
MOST_LINES = 450


def name_of(module: Path) -> str:
    """A module's path within the package, for messages and test ids."""
    return module.relative_to(PACKAGE).as_posix()


def imports(module: Path) -> Iterator[str]:
    """The top names of what a module imports, wherever in it."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_third_party_libraries_come_in_by_their_door(module: Path) -> None:
    foreign = set(imports(module)) - set(sys.stdlib_module_names) - {"scalebox_hpc"}
    assert foreign <= set(DOORS), "a library without a door"
    for library in foreign:
        assert name_of(module).startswith(DOORS[library]), f"{library} comes in by {DOORS[library]}"


@pytest.mark.parametrize("module", [path for path in MODULES if path.read_text().strip()], ids=name_of)
def test_a_module_says_what_it_is_for_and_is_not_too_long(module: Path) -> None:
    text = module.read_text()
    assert ast.get_docstring(ast.parse(text)), "a module opens with a sentence that says what it is for"
    assert len(text.splitlines()) <= MOST_LINES
    assert module.stem not in VAGUE


def test_no_empty_packages_for_later() -> None:
    packages = [path for path in PACKAGE.rglob("*") if path.is_dir() and path.name != "__pycache__"]
    empty = [
        path
        for path in packages
        if not any(child.is_file() and child.stat().st_size for child in path.rglob("*"))
    ]
    assert not empty
