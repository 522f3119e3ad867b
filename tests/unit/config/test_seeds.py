import os
import tracemalloc

import pytest

from scalebox_hpc.config.seeds import read_seed
from scalebox_hpc.domain.pipeline import Seed
from scalebox_hpc.errors import UsageError


def bodies(seed, directory, stdin=None):
    return [message.body for message in read_seed(seed, directory, stdin)]


def refusal(seed, directory, stdin=None):
    with pytest.raises(UsageError) as caught:
        bodies(seed, directory, stdin)
    return caught.value


def test_a_list_may_have_headers(tmp_path):
    first, second = read_seed(Seed("list", ('a,{"x": 1}', "b")), tmp_path)
    assert (first.body, first.headers, second.headers) == ("a", {"x": "1"}, {})


def test_blank_lines_windows_line_ends_and_a_mark_of_order_do_not_matter(tmp_path):
    (tmp_path / "x.txt").write_bytes(b"\xef\xbb\xbfa\r\n\r\n  \nb\nc")
    assert bodies(Seed("file", ("x.txt",)), tmp_path) == ["a", "b", "c"]


def test_a_bad_line_is_named_by_file_and_number(tmp_path):
    (tmp_path / "x.txt").write_text("a\n\nb,{c}\n")
    error = refusal(Seed("file", ("x.txt",)), tmp_path)
    assert error.fact.startswith(f"{tmp_path}/x.txt:3: ")
    assert "JSON object" in error.hint


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (b"a\n" + b"x" * 70000 + b"\n", ":2: the body"),
        (b"\n" + b"x" * (2 << 20), ":2: the line"),
        (b"a\n\xff\n", ":2: is not UTF-8"),
    ],
)
def test_limits_name_the_line(tmp_path, content, fact):
    (tmp_path / "x.txt").write_bytes(content)
    assert fact in refusal(Seed("file", ("x.txt",)), tmp_path).fact


def test_a_missing_file_is_named(tmp_path):
    assert "x.txt: cannot be read: No such file" in refusal(Seed("file", ("x.txt",)), tmp_path).fact


def test_a_million_lines_are_read_in_flat_memory(tmp_path):
    (tmp_path / "x.txt").write_text("\n".join(map(str, range(200_000))))
    tracemalloc.start()
    try:
        count = sum(1 for _ in read_seed(Seed("file", ("x.txt",)), tmp_path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 200_000
    assert peak < 1 << 20


def test_standard_input_is_read_from_where_it_was_put(tmp_path):
    (tmp_path / "spool").write_text("a\nb,{\n")
    assert bodies(Seed("stdin"), tmp_path, tmp_path / "spool") == ["a", "b,{"]
    assert "standard input" in refusal(Seed("stdin"), tmp_path).fact


def test_a_command_runs_beside_the_pipeline_with_its_parameters(tmp_path):
    (tmp_path / "data.txt").write_text("one\ntwo\n")
    seed = Seed("command", ('cat data.txt; printf "%s\\n" "${1}"', "a  b; ls"))
    assert bodies(seed, tmp_path) == ["one", "two", "a  b; ls"]


def test_a_command_that_fails_says_what_it_said(tmp_path):
    error = refusal(Seed("command", ("echo a; echo no disk >&2; false | true",)), tmp_path)
    assert "exit code 1" in error.fact
    assert error.hint == "it said: no disk"


def test_a_command_left_half_read_is_ended(tmp_path):
    messages = read_seed(Seed("command", ("echo $$; exec sleep 600",)), tmp_path)
    pid = int(next(messages).body)
    messages.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_glob_yields_absolute_paths_in_order(tmp_path):
    for name in ("raw/b.fits", "raw/a.fits", "raw/deep/c.fits", "raw/x.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert bodies(Seed("glob", ("raw/*.fits",)), tmp_path) == [
        f"{tmp_path}/raw/a.fits",
        f"{tmp_path}/raw/b.fits",
    ]
    assert len(bodies(Seed("glob", ("raw/**/*.fits",)), tmp_path)) == 3
    assert bodies(Seed("glob", (f"{tmp_path}/raw/x*",)), tmp_path) == [f"{tmp_path}/raw/x.txt"]


CSV = Seed("csv", ("s.csv",), body=(("headers", "sample"), ".", ("headers", "lane")))


def test_every_row_is_a_message_and_every_column_a_header(tmp_path):
    (tmp_path / "s.csv").write_text('sample,lane,note\nS1,L1,"a, b"\n\nS2,L1,\n', encoding="utf-8-sig")
    first, second = read_seed(CSV, tmp_path)
    assert (first.body, first.headers) == ("S1.L1", {"_sample": "S1", "_lane": "L1", "_note": "a, b"})
    assert second.body == "S2.L1"


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        ("sample,lane\nS1\n", "s.csv:2: the row has 1 cells and the header 2"),
        ('sample,lane\na,b\n"x\ny",L\n', "s.csv:4: the body holds"),
    ],
)
def test_a_bad_row_is_named(tmp_path, content, fact):
    (tmp_path / "s.csv").write_text(content)
    assert fact in refusal(CSV, tmp_path).fact


def test_a_product_yields_every_combination(tmp_path):
    seed = Seed("product", axes=(("v", ("1", "2")), ("grid", ("a", "b"))))
    messages = list(read_seed(seed, tmp_path))
    assert [message.body for message in messages] == ["v=1 grid=a", "v=1 grid=b", "v=2 grid=a", "v=2 grid=b"]
    assert messages[3].headers == {"v": "2", "grid": "b"}
