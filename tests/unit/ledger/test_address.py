"""Addresses of ledgers: what is taken, what is refused, and that a password is never shown."""

from __future__ import annotations

import pytest

from scalebox_hpc.errors import UsageError
from scalebox_hpc.ledger.address import checked_address


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("sqlite", "sqlite"),
        ("postgresql://ann@db.example.org/sbx", "postgresql://ann@db.example.org/sbx"),
        ("postgres://db.example.org:6543/sbx?sslmode=require", "postgresql://db.example.org:6543/sbx?sslmode=require"),
        ("postgresql:///sbx?host=/run/postgresql", "postgresql:///sbx?host=/run/postgresql"),
        ("postgresql://?service=sbx", "postgresql://?service=sbx"),
    ],
)  # fmt: skip
def test_an_address_is_taken(text: str, meant: str) -> None:
    assert checked_address(text, "SBX_LEDGER") == meant


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://ann:geheim@db/sbx",
        "postgresql://ann:@db/sbx",
        "postgresql://db/sbx?password=geheim",
        "postgresql://db/sbx?sslmode=require&PASSWORD=geheim",
        "postgresql://db/sbx?sslpassword=geheim",
        "mysql://ann:geheim@db/sbx",
    ],
)
def test_a_password_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(UsageError, match="password") as problem:
        checked_address(text, "SBX_LEDGER")
    assert "geheim" not in problem.value.fact + problem.value.hint
    assert all(word in problem.value.hint for word in ("~/.pgpass", "PGPASSFILE", "PGSERVICE", "PGPASSWORD"))


@pytest.mark.parametrize(
    "text",
    ["", "ledger.db", "mysql://db/x", "host=db password=geheim", "postgresql:db", "postgresql://db/x#y"],
)  # fmt: skip
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="SBX_LEDGER") as problem:
        checked_address(text, "SBX_LEDGER")
    assert "postgresql://user@host" in problem.value.hint
    assert "geheim" not in problem.value.fact
