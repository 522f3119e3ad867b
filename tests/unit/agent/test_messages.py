"""What a line of messages.txt or messages.jsonl means."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalebox_hpc.agent.messages import BadMessage, Rules, read_json, read_text


def rules(**more: Any) -> Rules:
    sheet = {"name": "work", "to": ["next", "total"], "modules": ["work", "next", "total", "other"], **more}
    return Rules(sheet)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("body", ("next", "body", None)),
        ('body,{"a":"1"}', ("next", "body", {"a": "1"})),
        ("total,body", ("total", "body", None)),
        ('total,body,{"a":"1"}', ("total", "body", {"a": "1"})),
        ("a,b,c", ("next", "a,b,c", None)),
        ("total,a,b", ("total", "a,b", None)),
        ("total", ("next", "total", None)),
        ("body\r\n", ("next", "body", None)),
        ("  spaces stay ", ("next", "  spaces stay ", None)),
        (
            'x,{"n":1,"f":1.50,"e":1e3,"t":true}',
            ("next", "x", {"n": "1", "f": "1.50", "e": "1e3", "t": "true"}),
        ),
        ('x,{"a":"b"},{"c":"d"}', ("next", 'x,{"a":"b"}', {"c": "d"})),
        ('x,{"a":"},{"}', ("next", "x", {"a": "},{"})),
        ('{"json":[1,{"deep":2}]}', ("next", '{"json":[1,{"deep":2}]}', None)),
        ('total,{"json":1}', ("total", '{"json":1}', None)),
        ("x,{}", ("next", "x", {})),
        ('größe,{"h":"ü"}', ("next", "größe", {"h": "ü"})),
    ],
)
def test_a_line_is_read(line: str, message: Any) -> None:
    assert read_text(line.encode(), rules()) == message


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("other,x", "which `to` does not name"),
        ("work,x", "which `to` does not name"),
        ("x,{not json}", "not a JSON object"),
        ('x,{"a":{"b":1}}', "'a'"),
        ('x,{"a":null}', "'a'"),
    ],
)
def test_a_line_that_breaks_a_rule_is_told(line: str, why: str) -> None:
    with pytest.raises(BadMessage, match=why):
        read_text(line.encode(), rules())


def test_a_line_that_is_not_utf8_is_told() -> None:
    with pytest.raises(BadMessage, match="UTF-8"):
        read_text(b"\xff\xfe", rules())


def test_without_receivers_no_message_can_be_sent() -> None:
    with pytest.raises(BadMessage, match="may send to nobody"):
        read_text(b"x", rules(to=[]))


@given(st.binary())
def test_no_line_raises_anything_else(line: bytes) -> None:
    for read in (read_text, read_json):
        try:
            rules().check(read(line, rules()), {})
        except BadMessage:
            continue


@given(st.text(alphabet='{}[],:"\\ab1', max_size=60))
def test_no_braces_confuse_it(text: str) -> None:
    try:
        to, body, headers = read_text(("x," + text).encode(), rules())
    except BadMessage:
        return
    assert to == "next"
    assert ("x," + text).startswith(body)
    assert headers is None or all(isinstance(value, str) for value in headers.values())


def test_deep_nesting_is_no_accident() -> None:
    line = b'x,{"a":' + b"[" * 100_000
    assert read_text(line, rules())[1].startswith("x,")
    with pytest.raises(BadMessage):
        read_text(line + b"}", rules())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"body":"b"}', ("next", "b", None)),
        ('{"to":"total","body":"b","headers":{"a":1}}', ("total", "b", {"a": "1"})),
        ('{"body":""}', ("next", "", None)),
        ('{"body":1.50}', ("next", "1.50", None)),
    ],
)
def test_a_json_line_is_read(line: str, message: Any) -> None:
    assert read_json(line.encode(), rules()) == message


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "x",
        "{}",
        '{"body":[1]}',
        '{"body":"b","too":"x"}',
        '{"body":"b","headers":[1]}',
        '{"body":"b","to":3}',
    ],
)
def test_a_bad_json_line_is_told(line: str) -> None:
    with pytest.raises(BadMessage):
        rules().check(read_json(line.encode(), rules()), {})


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (("next", "x" * 65537, None), "64 KiB"),
        (("next", "ü" * 32769, None), "64 KiB"),
        (("next", "a\0b", None), "NUL"),
        (("next", "\ud800", None), "surrogate"),
        (("next", "x", {"a": "y" * 16385}), "16 KiB"),
        (("next", "x", {"a b": "y"}), "no name"),
        (("next", "x", {"sbx_host": "y"}), "sbx_"),
        (("next", "x", {"sbx_key": "y" * 4097}), "4 KiB"),
        (("stranger", "x", None), "no module"),
        (("other", "x", None), "does not name"),
    ],
)
def test_limits_hold(message: Any, why: str) -> None:
    with pytest.raises(BadMessage, match=why):
        rules().check(message, {})


def test_what_is_just_within_the_limits_passes() -> None:
    rules().check(("next", "x" * 65536, {"sbx_key": "y" * 4096, "sbx_order": "1", "_x": "z"}), {})


def test_a_message_to_a_gather_needs_its_group() -> None:
    by_header = rules(gathers={"total": {"by": "header", "pattern": "_obs"}})
    by_header.check(("total", "x", {"_obs": "1"}), {})
    by_header.check(("total", "x", None), {"_obs": "1"})
    with pytest.raises(BadMessage, match="header _obs"):
        by_header.check(("total", "x", None), {})
    by_regex = rules(gathers={"total": {"by": "regex", "pattern": r"ch(\d+)"}})
    by_regex.check(("total", "a ch07", None), {})
    with pytest.raises(BadMessage, match="no group"):
        by_regex.check(("total", "a", None), {})


def test_the_body_goes_on_only_where_that_is_clear() -> None:
    assert rules(to=["next"]).forwards_to() == "next"
    assert rules(to=[]).forwards_to() == ""
    assert rules(to=["work"]).forwards_to() == ""
    assert rules(forward=True).forwards_to() == "next"
    with pytest.raises(BadMessage, match="forward = true"):
        rules().forwards_to()
