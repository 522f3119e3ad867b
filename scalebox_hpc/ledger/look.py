"""Looks at a ledger that nobody serves, without changing it: can it be read, and is it of our format?"""

from __future__ import annotations

from scalebox_hpc.ledger.sqlite import format_of as format_of
from scalebox_hpc.ledger.statements import migrations


def newest_format() -> int:
    """The newest format of a ledger that this program knows."""
    return migrations()[-1][0]
