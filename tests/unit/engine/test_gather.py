"""Groups, sizes, and the headers of what a gather fires."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalebox_hpc.domain.pipeline import Gather
from scalebox_hpc.engine.gather import agree, concerns, digest, fired_headers, group_of, size_of

BY_HEADER, BY_REGEX, BY_ALL = Gather("header", "obs"), Gather("regex", r"ch(\d+)"), Gather("all")


@pytest.mark.parametrize(
    ("gather", "body", "headers", "group"),
    [
        (BY_ALL, "x", {}, "all"),
        (BY_HEADER, "x", {"obs": "7"}, "7"),
        (BY_HEADER, "x", {"other": "7"}, None),
        (BY_HEADER, "x", {"obs": ""}, ""),
        (BY_REGEX, "beam3-ch12.fits", {}, "12"),
        (BY_REGEX, "beam3.fits", {}, None),
        (Gather("regex", r"a(b)?"), "a", {}, None),
    ],
)
def test_the_group_of_a_message(
    gather: Gather, body: str, headers: dict[str, str], group: str | None
) -> None:
    assert group_of(gather, body, headers) == group


def test_a_failed_task_concerns_its_own_group_or_all_where_it_has_none() -> None:
    assert concerns(BY_HEADER, "7", "x", {"obs": "7"})
    assert not concerns(BY_HEADER, "7", "x", {"obs": "8"})
    assert concerns(BY_HEADER, "7", "x", {})


@pytest.mark.parametrize(
    ("template", "size"),
    [(("24",), 24), ((("headers", "_lanes"),), 8), ((("body",),), 12), (("1", ("headers", "_lanes")), 18)],
)
def test_a_size_is_evaluated_for_each_member(template: tuple[object, ...], size: int) -> None:
    assert size_of(template, "12", {"_lanes": "8"}) == size  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["0", "-1", "2.5", "", "x", "²", "9" * 30, "9" * 5000])
def test_what_is_no_size_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ValueError, match="whole number from 1"):
        size_of((("body",),), text, {})


def test_a_size_without_its_header_says_which() -> None:
    with pytest.raises(ValueError, match="'_lanes'"):
        size_of((("headers", "_lanes"),), "x", {})


HEADERS = st.dictionaries(st.sampled_from(["_a", "_b", "c"]), st.sampled_from("12"))


@given(st.lists(HEADERS, min_size=1))
def test_members_agree_on_what_all_of_them_have(members: list[dict[str, str]]) -> None:
    agreed = None
    for headers in members:
        agreed = agree(agreed, headers)
    assert agreed is not None
    for name in ("_a", "_b", "c"):
        values = {headers.get(name) for headers in members}
        assert (name in agreed) is (name.startswith("_") and len(values) == 1 and None not in values)


def test_the_fired_task_carries_the_groups_header() -> None:
    assert fired_headers(BY_HEADER, "7", {"_a": "1"}) == {"_a": "1", "obs": "7"}
    assert fired_headers(BY_ALL, "all", {"_a": "1"}) == {"_a": "1"}


@given(st.text(), st.text())
def test_digests_tell_keys_apart(one: str, other: str) -> None:
    assert (digest(one) == digest(other)) is (one == other)
