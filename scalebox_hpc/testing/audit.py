"""Whether the books of a ledger agree with each other, looked at from outside by a test.

It changes nothing. It reads a SQLite file through a connection of its own, for when nobody else writes:
closing a second connection may drop a process's locks on the file.
"""

from __future__ import annotations

from typing import Any

from scalebox_hpc.ledger.check import rules
from scalebox_hpc.ledger.statements import sentence, statements
from scalebox_hpc.testing.ledger import Books


def audit(books: Books) -> list[str]:
    """Return every row that breaks a rule, with the rule; nothing where the books are in order."""
    return [f"{sentence(name)}: {row}" for name in rules() for row in books.look(statements()[name])]


def look(books: Books, query: str, *params: Any) -> list[tuple[Any, ...]]:
    """Run a query of a test."""
    return books.look(query, params)
