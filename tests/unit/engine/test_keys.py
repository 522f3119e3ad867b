"""What stands for a key in the ledger."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scalebox_hpc.engine.gather import digest
from scalebox_hpc.engine.keys import MARKS, SHORT_BYTES, Keys, mark


def test_a_short_key_stands_for_itself_and_a_long_one_is_digested() -> None:
    assert mark("17") == b"17"
    assert mark("é" * 7) == ("é" * 7).encode()
    assert mark("x" * SHORT_BYTES) == b"x" * SHORT_BYTES
    assert mark("x" * (SHORT_BYTES + 1)) == digest("x" * (SHORT_BYTES + 1))
    assert mark("é" * 8) == digest("é" * 8), "bytes count"


@given(st.text(), st.text())
def test_different_keys_never_stand_for_each_other(one: str, other: str) -> None:
    assert (mark(one) == mark(other)) is (one == other)


def test_a_digest_is_no_short_key() -> None:
    assert len(digest("x")) > SHORT_BYTES


def test_runs_that_began_with_digests_keep_to_them() -> None:
    assert MARKS[Keys.DIGESTS]("17") == digest("17")
