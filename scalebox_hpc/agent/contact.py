"""Where the daemon can be reached: `contact.json` in the shared folder.

It reads that file and nothing else.
"""

from __future__ import annotations

import json
from typing import NamedTuple


class ContactError(Exception):
    """contact.json cannot be used; the text says why and what to do."""


class Contact(NamedTuple):
    """What contact.json says."""

    home: str
    addresses: tuple[tuple[str, int], ...]
    fingerprint: str  # sha256 of the DER certificate, hex


def read_contact(path: str, home: str) -> Contact:
    """Read it. Raises ContactError when it is absent, unreadable, or another home's."""
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
        pairs = [address.rpartition(":") for address in data["addresses"]]
        addresses = tuple((host.strip("[]"), int(port)) for host, _, port in pairs)
        contact = Contact(data["home"], addresses, data["fingerprint"].lower())
    except OSError as problem:
        raise ContactError(f"{path} cannot be read: {problem.strerror}; is the daemon set up here?") from None
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise ContactError(f"{path} is not a contact file ({problem!r}); restart the daemon") from None
    if contact.home != home:
        raise ContactError(f"{path} is of home {contact.home}, this agent belongs to home {home}")
    if not addresses:
        raise ContactError(f"{path} names no address; restart the daemon")
    return contact
