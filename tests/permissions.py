"""Modes of files that hold for root, too."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

_VERSION_3 = 0x20080522  # of capget(2)
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1, 2


@contextmanager
def permissions_hold() -> Iterator[None]:
    """Take from this thread what lets root pass over modes; what it starts has that again."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = (ctypes.c_uint32 * 2)(_VERSION_3, 0), (ctypes.c_uint32 * 6)()

    def call(function: str) -> None:
        if getattr(libc, function)(header, sets):
            raise OSError(ctypes.get_errno(), function)

    call("capget")
    before = sets[0]  # the effective ones
    sets[0] &= ~(1 << _DAC_OVERRIDE | 1 << _DAC_READ_SEARCH)
    call("capset")
    try:
        yield
    finally:
        sets[0] = before
        call("capset")
