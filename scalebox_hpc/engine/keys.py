"""What stands for a task's key in the index that makes keys unique. Pure.

Keys of one run often come in order: numbers, dates, names of samples. Kept as they are, such keys lie side by
side in the index, and ten thousand new ones change a few of its pages; their digests would change as many
pages as there are keys. A key too long for that is kept as a digest, which no short key can equal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Final

from scalebox_hpc.engine.gather import digest

SHORT_BYTES: Final = 15  # one less than a digest has


class Keys(IntEnum):
    """How the keys of a run are kept; a run keeps to the way that it began with."""

    DIGESTS = 1
    SHORT_AS_THEY_ARE = 2


def mark(key: str) -> bytes:
    """Return what stands for a key: itself, or 16 bytes of BLAKE2b."""
    plain = key.encode()
    return plain if len(plain) <= SHORT_BYTES else digest(key)


MARKS: Final[Mapping[Keys, Callable[[str], bytes]]] = {Keys.DIGESTS: digest, Keys.SHORT_AS_THEY_ARE: mark}
