"""Places as people and messages write them."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalebox_hpc.errors import UsageError
from scalebox_hpc.transfer.place import Place, is_relative, plain, read_place, written

NAMES = st.binary(min_size=1, max_size=30).filter(lambda name: b"\0" not in name and b"/" not in name)


@given(NAMES, st.sampled_from(["", "b", "site-2.x"]))
def test_what_is_written_is_one_line_of_text_and_read_back(name: bytes, site: str) -> None:
    if name in (b".", b".."):
        return
    place = Place(site, "/dir/" + os.fsdecode(name))
    text = str(place)
    assert "\n" not in text
    text.encode("utf-8")
    assert read_place(text) == place


@given(NAMES)
def test_a_name_below_a_place_is_read_back(name: bytes) -> None:
    text = os.fsdecode(name)
    assert plain(written(text)) == text


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("b:/scratch/x", Place("b", "/scratch/x")),
        ("b:x/y", Place("b", "~/x/y")),
        ("b:~/x/", Place("b", "~/x")),
        ("b:", Place("b", "~")),
        ("/a//b/./c:d", Place("", "/a/b/c:d")),
        ("/", Place("", "/")),
        ('"b:/odd\\nname"', Place("b", "/odd\nname")),
    ],
)
def test_places(text: str, place: Place) -> None:
    assert read_place(text) == place


def test_a_relative_path_is_below_its_base_and_a_whole_one_is_not() -> None:
    base = Place("b", "/data")
    assert read_place("x/y", base) == Place("b", "/data/x/y")
    assert read_place("/z", base) == Place("", "/z")
    assert read_place("c:/z", base) == Place("c", "/z")
    assert is_relative("x/y")
    assert not is_relative("c:z")


@pytest.mark.parametrize("text", ["", '"no end', '"', "/a\0b"])
def test_what_names_no_place_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        read_place(text)
