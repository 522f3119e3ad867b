"""Where a ledger in Postgres is, as people write it: `postgresql://user@host/database`.

A password is refused: addresses are shown, logged and kept. It connects to nothing.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, urlsplit

from scalebox_hpc.errors import UsageError

SQLITE: Final = "sqlite"
SCHEMES: Final = ("postgresql", "postgres")
SECRETS: Final = frozenset({"password", "sslpassword", "oauth_client_secret"})
PASSWORD_ELSEWHERE: Final = (
    "write the address without it; the password is found in ~/.pgpass (or the file that PGPASSFILE names),\n"
    "in a service (PGSERVICE, ~/.pg_service.conf) or in the variable PGPASSWORD"
)


def checked_address(text: str, source: str) -> str:
    """Return the address of a ledger: "sqlite", or an address of Postgres; `source` says who named it.

    Raises UsageError for anything else, and for one with a password, which is not shown.
    """
    if text == SQLITE:
        return text
    try:
        parts = urlsplit(text)
        has_password = parts.password is not None or bool(_secrets(parts.query))
    except ValueError:
        raise UsageError(f"{source}: this is no address of a ledger", _EXAMPLE) from None
    if has_password:
        raise UsageError(f"{source}: a password does not belong into the address", PASSWORD_ELSEWHERE)
    if parts.scheme not in SCHEMES or not text.startswith(f"{parts.scheme}://"):
        raise UsageError(f"{source}: this is no address of a ledger", _EXAMPLE)
    if parts.fragment:
        raise UsageError(f"{source}: `#` in the address is to be written as %23", _EXAMPLE)
    return "postgresql" + text[len(parts.scheme) :]


_EXAMPLE: Final = "write postgresql://user@host:5432/database, or sqlite"


def _secrets(query: str) -> frozenset[str]:
    return SECRETS & {name.lower() for name, _ in parse_qsl(query, keep_blank_values=True)}
