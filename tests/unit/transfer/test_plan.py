"""What is to be moved, in which pieces, by which way."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalebox_hpc.transfer.place import Place
from scalebox_hpc.transfer.plan import (
    LARGE_BYTES,
    SHARD_FILES,
    Entry,
    Way,
    algorithm,
    difference,
    folder,
    mode_for,
    same_time,
    shards,
    streams_for,
    version,
    way,
)
from scalebox_hpc.transfer.rsync import Mode

FILE = Entry("x", "f", 10, 1_500_000_000, 0o644)


def test_the_way_follows_from_the_two_sites() -> None:
    found = [way(*each) for each in (("", ""), ("", "b"), ("b", ""), ("b", "b"), ("b", "c"))]
    assert found == [Way.HERE, Way.PUSH, Way.PULL, Way.WITHIN, Way.THROUGH]


@given(st.lists(st.integers(0, 1 << 28), max_size=300), st.integers(1, 8))
def test_shards_hold_each_file_once_and_are_of_like_weight(sizes: list[int], streams: int) -> None:
    files = [Entry(str(index), "f", size, 0, 0) for index, size in enumerate(sizes)]
    found = shards(files, streams)
    assert sorted(each.name for part in found for each in part) == sorted(each.name for each in files)
    assert len(found) >= min(streams, len(files))
    assert all(part for part in found)
    weights = [sum(each.size_bytes for each in part) for part in found]
    if weights:
        assert max(weights) - min(weights) <= max(sizes) + (64 << 10) * len(files)


def test_a_shard_has_a_bounded_number_of_files() -> None:
    files = [Entry(str(index), "f", 1, 0, 0) for index in range(3 * SHARD_FILES)]
    assert max(len(part) for part in shards(files, 1)) <= SHARD_FILES + 1


@pytest.mark.parametrize(
    ("there", "where"),
    [
        (None, "small"),
        (FILE, "unchanged"),
        (replace(FILE, mtime_ns=1_000_000_000), "unchanged"),  # a file system of whole seconds
        (replace(FILE, mtime_ns=1_500_000_001), "small"),
        (replace(FILE, size_bytes=11), "small"),
        (replace(FILE, kind="l"), "small"),
    ],
)
def test_what_the_target_lacks(there: Entry | None, where: str) -> None:
    found = difference([FILE], {} if there is None else {"x": there})
    assert [name for name in ("large", "small", "unchanged") if FILE in getattr(found, name)] == [where]


def test_kinds_of_entries_are_told_apart() -> None:
    large = replace(FILE, name="large", size_bytes=LARGE_BYTES)
    mode = replace(FILE, name="mode")
    directory, pipe = Entry("d", "d", 0, 1, 0o755), Entry("p", "o", 0, 1, 0o644)
    found = difference([large, mode, directory, pipe], {"mode": replace(mode, mode=0o600)})
    assert (found.large, found.directories, found.skipped) == ((large,), (directory,), (pipe,))
    assert found.undressed == (mode, directory)
    again = difference([directory], {"d": replace(directory, size_bytes=4096)})
    assert (again.directories, again.settled) == ((), (directory,))


def test_differences_are_sent_only_over_a_link_and_where_the_old_file_is_like_the_new_one() -> None:
    new = replace(FILE, size_bytes=100 << 20)
    old = replace(new, mtime_ns=1)
    assert mode_for(new, old, Way.PUSH) is Mode.DELTA
    assert mode_for(new, old, Way.HERE) is Mode.APPEND
    assert mode_for(new, None, Way.PUSH) is Mode.APPEND
    assert mode_for(new, replace(old, size_bytes=1 << 20), Way.PUSH) is Mode.APPEND
    assert mode_for(replace(new, size_bytes=10), replace(old, size_bytes=10), Way.PUSH) is Mode.APPEND


def test_what_is_on_its_way_is_found_again_by_the_same_transfer_only() -> None:
    one, other = Place("", "/a"), Place("b", "/x")
    assert folder(one, other) == folder(one, other) != folder(other, one)
    assert folder(one, other, ["x"]) != folder(one, other, ["y"])
    assert version(FILE, Mode.APPEND) == version(FILE, Mode.WHOLE) != version(FILE, Mode.DELTA)
    assert version(FILE, Mode.WHOLE) != version(replace(FILE, mtime_ns=7), Mode.WHOLE)


def test_the_checksum_is_one_that_both_ends_compute() -> None:
    assert algorithm(["xxh3", "sha256"], ["xxh3", "blake3", "sha256"]) == "xxh3"
    assert algorithm(["xxh3", "sha256"], ["blake3", "sha256"]) == "sha256"
    assert algorithm(["xxh3", "sha256"], ["xxh3", "sha256"], "sha256") == "sha256"


def test_streams_pay_over_a_far_link_or_for_much_work() -> None:
    assert streams_for(1 << 20, 100, 0.05, 4) == 4
    assert streams_for(1 << 20, 100, 0.0002, 4) == 1
    assert streams_for(8 << 30, 100, 0.0002, 4) == 4
    assert streams_for(0, 0, 0.05, 4) == 1


def test_times_are_compared_as_the_coarser_file_system_has_them() -> None:
    assert same_time(1_500_000_000, 1_000_000_000)
    assert not same_time(1_500_000_000, 1_400_000_000)
    assert not same_time(1_000_000_000, 2_000_000_000)
