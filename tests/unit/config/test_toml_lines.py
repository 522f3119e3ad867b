import tomllib

import pytest

from scalebox_hpc.config.toml_lines import find_lines, line_of

TEXT = '''\
# a comment with [brackets] and = signs
sbx = 1
title = """
[not.a.table] = 1
"quotes" and \\""" within"""  # after
raw = \'\'\'it\'s = {here}\'\'\'\'
[pipeline]
name = "a # no comment"
"odd key" = 1
[modules.a.resources]
cpus = 1
[modules."b.c"]
run = [ "x",  # first
  "y]",
  { z = 1 },
]
point.x = 1.5
date = 1979-05-27 07:32:00
inline = { one = [1, 2], two = { three = "}" } }
[[list]]
a = 1
[[list]]
a = 2
[list.sub]
b = 3
'''


def every_path(data, path=()):
    if path:
        yield path
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield from every_path(value, (*path, key))


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("sbx",), 2),
        (("title",), 3),
        (("raw",), 6),
        (("pipeline",), 7),
        (("pipeline", "odd key"), 9),
        (("modules", "a"), 10),
        (("modules", "a", "resources", "cpus"), 11),
        (("modules", "b.c", "run", 1), 14),
        (("modules", "b.c", "run", 2, "z"), 15),
        (("modules", "b.c", "point", "x"), 17),
        (("modules", "b.c", "inline", "two", "three"), 19),
        (("list", 0, "a"), 21),
        (("list", 1), 22),
        (("list", 1, "sub", "b"), 25),
    ],
)
def test_each_key_has_its_line(path, line):
    assert find_lines(TEXT)[path] == line


def test_the_scanner_sees_exactly_the_keys_that_tomllib_sees():
    assert set(find_lines(TEXT)) == set(every_path(tomllib.loads(TEXT)))


def test_a_missing_key_has_the_line_of_its_table():
    assert line_of(find_lines(TEXT), ("modules", "a", "run")) == 10
    assert line_of(find_lines(TEXT), ("params",)) is None
