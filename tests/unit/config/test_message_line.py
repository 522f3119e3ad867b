import pytest

from scalebox_hpc.config.message_line import BadLine, parse_line


@pytest.mark.parametrize(
    ("line", "body", "headers"),
    [
        ("plain", "plain", {}),
        ("a,b,c", "a,b,c", {}),
        ('ch1,{"size": 24}', "ch1", {"size": "24"}),
        (
            'x,{"n": 1.50, "big": 12345678901234567890, "yes": true}',
            "x",
            {"n": "1.50", "big": "12345678901234567890", "yes": "true"},
        ),
        ('{"a": 1},{"b": "2"}', '{"a": 1}', {"b": "2"}),
        ('[1,{"a":"b"},{"c":"d"}', '[1,{"a":"b"}', {"c": "d"}),
        ('{"a":[1,{"b":2}]}', '{"a":[1,{"b":2}]}', {}),
        ('[{"a":1},{"b":2}]', '[{"a":1},{"b":2}]', {}),
        ("x,{}", "x", {}),
        ("x{y}", "x{y}", {}),
        ("a,{b} c", "a,{b} c", {}),
        (' space ,{"sbx_key": "k"}', " space ", {"sbx_key": "k"}),
    ],
)
def test_headers_are_the_longest_suffix_that_is_a_json_object(line, body, headers):
    message = parse_line(line)
    assert (message.body, dict(message.headers)) == (body, headers)


@pytest.mark.parametrize(
    ("line", "fact"),
    [
        ('f"x.dat,{"raw":"f"x.dat"}', "is not JSON"),
        ("x,{a}", "is not JSON"),
        ('x,{"a": NaN}', "is not JSON"),
        ('x,{"a": null}', "header 'a'"),
        ('x,{"a": [1]}', "header 'a'"),
        ('x,{"a b": "1"}', "cannot name a header"),
        ('x,{"sbx_cpus": 4}', "not in this version"),
        ("x" * 65537, "64 KiB"),
        ('x,{"a": "' + "y" * 16384 + '"}', "16 KiB"),
        ('x,{"sbx_key": "' + "y" * 4097 + '"}', "4 KiB"),
        ("a\0b", "NUL"),
        ('x,{"a": "\\u0000"}', "NUL"),
        ('x,{"a": "\\ud800"}', "half a character"),
    ],
)
def test_what_only_looks_like_a_message_is_refused(line, fact):
    with pytest.raises(BadLine, match=fact) as caught:
        parse_line(line)
    assert caught.value.remedy or "half" in fact


def test_a_body_of_exactly_64_kib_passes():
    assert len(parse_line("é" * 32768).body.encode()) == 65536


def test_a_line_full_of_near_headers_is_judged_fast():
    with pytest.raises(BadLine):
        parse_line(",{" * 30000 + "x}")
