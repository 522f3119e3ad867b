"""The files of a gather task: in order, whole, and in memory that does not grow with them."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scalebox_hpc.agent import gather, ordering
from scalebox_hpc.agent.gather import Fetch, Problem, Wanted, write_members
from scalebox_hpc.agent.loop import Loop
from scalebox_hpc.agent.ordering import Row, Sorter, members
from scalebox_hpc.agent.spool import Spool

Json = dict[str, Any]
ORDERED = [
    {"body": "x", "headers": {"sbx_order": "-1"}, "task": "a.1"},
    {"body": "x", "headers": {"sbx_order": "2"}, "task": "a.1"},
    {"body": "x", "headers": {"sbx_order": "1e1"}, "task": "a.1"},
    {"body": "x", "headers": {"sbx_order": "12345678901234567890"}, "task": "a.1"},
    {"body": "x", "headers": {"sbx_order": "12345678901234567891"}, "task": "a.1"},
    {"body": "x", "headers": {"sbx_order": '"'}, "task": "a.1"},
    {"body": "x", "headers": {"sbx_order": "10a"}, "task": "a.1"},
    {"body": "x", "headers": {"sbx_order": "nan"}, "task": "a.1"},
    {"body": "a", "headers": {"note": 'no "sbx_order": "1"'}, "task": "a.10"},
    {"body": "b", "headers": {}, "task": "a.2"},
    {"body": "b", "headers": {}, "task": "a.10"},
    {"body": "b", "headers": {}, "task": "a.10"},
    {"body": "b", "headers": {}, "task": "b.1"},
    {"body": 'b, "quoted" \\ \t é', "headers": {}, "task": "a.10"},
]


def rows_of(told: list[Json]) -> list[Row]:
    """Rows as the daemon sends them, in a random order but with positions in this one."""
    rows: list[Row] = []
    for number, one in enumerate(told, 1):
        written = json.dumps(one["headers"], ensure_ascii=False, sort_keys=True) if one["headers"] else None
        rows.append([1000 - number, number, one["task"], one["body"], written, None])
    random.Random(1).shuffle(rows)
    return rows


def files(directory: Path) -> tuple[list[Json], str]:
    """The members, and the bodies as they are."""
    lines = (directory / "members.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines], (directory / "bodies.txt").read_text()


@pytest.mark.parametrize("page", [1, 4, 100])
@pytest.mark.parametrize("batch", [1, 40, 1 << 20])
def test_members_are_ordered_by_order_body_sender_and_position(
    tmp_path: Path, page: int, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordering, "BATCH", batch)
    monkeypatch.setattr(ordering, "BLOCK", 5)
    sorter, rows = Sorter(str(tmp_path)), rows_of(ORDERED)
    for first in range(0, len(rows), page):
        sorter.add(rows[first : first + page])
    assert sum(write_members(str(tmp_path), sorter.members())) == len(ORDERED)
    found, bodies = files(tmp_path)
    assert found == ORDERED
    assert bodies == "".join(f"{member['body']}\n" for member in ORDERED)
    sorter.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bodies.txt", "members.jsonl"]


@pytest.mark.parametrize(
    ("written", "inherited", "wanted"),
    [
        (None, None, {}),
        ({"a": "1"}, None, {"a": "1"}),
        (None, {"_b": "2"}, {"_b": "2"}),
        ({"a": "é"}, {"_b": "2"}, {"_b": "2", "a": "é"}),
        ({"_b": "3", "a": "1"}, {"_b": "2", "_c": "4"}, {"_b": "3", "_c": "4", "a": "1"}),
        ({"a": '"_b": "9"'}, {"_b": "2"}, {"_b": "2", "a": '"_b": "9"'}),
    ],
)
def test_what_the_sender_wrote_goes_over_what_it_inherited(
    written: Json | None, inherited: Json | None, wanted: Json
) -> None:
    texts = [None if each is None else json.dumps(each, ensure_ascii=False) for each in (written, inherited)]
    ((member,), _) = members([[1, 0, "a.1", "x", *texts]])
    assert json.loads(member[8]) == wanted
    line = gather.missing_line([1, 1, "a.1", 'ü"', *texts, "exit"])
    told = {"module": "a", "task": "a.1", "body": 'ü"', "headers": wanted, "cause": "exit"}
    assert json.loads(line) == told


def test_memory_hardly_grows_with_the_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held is a page, a batch, and of each batch a block and where the others are."""

    def peak(count: int) -> int:
        draw, page = random.Random(count), 500
        tracemalloc.start()
        sorter = Sorter(str(tmp_path))
        for first in range(0, count, page):
            sorter.add([[n, n, "a.1", f"{draw.random()}", None, None] for n in range(first, first + page)])
        assert sum(write_members(str(tmp_path), sorter.members())) == count
        sorter.close()
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    monkeypatch.setattr(ordering, "BATCH", 1 << 18)
    monkeypatch.setattr(ordering, "BLOCK", 1 << 12)
    assert peak(32_000) - peak(8_000) < 24_000 * 40, "bytes of a further member; in memory it takes 200"


class Pages:
    """A link to a daemon that has these rows and sends two at a time, when it is told to or at once."""

    def __init__(self, members: list[Row], missing: list[Row]) -> None:
        self.rows = {"members": members, "missing": missing}
        self.asked: list[tuple[Json, Callable[[int, Json], None]]] = []
        self.count = 0
        self.at_once = False

    def ask(self, path: str, body: bytes, done: Callable[[int, Json], None]) -> None:
        assert path == "/v1/agent/members"
        self.count += 1
        self.asked.append((json.loads(body), done))
        if self.at_once:
            self.answer()

    def answer(self) -> None:
        body, done = self.asked.pop(0)
        left = [row for row in self.rows[body["what"]] if row[0] > body["after"]]
        page, more = left[:2], len(left) > 2
        done(200, {"rows": page, "next": page[-1][0] if more else None})


def fetch(pages: Pages, directory: Path, has_missing: bool, told: list[Problem]) -> tuple[Loop, Fetch]:
    loop = Loop()
    wanted = Wanted("inc", "1.e.1", str(directory), has_missing)
    begun = Fetch(loop, pages, wanted, told.append)  # type: ignore[arg-type]
    begun.start()
    return loop, begun


def test_all_pages_are_fetched_and_the_next_is_asked_for_before_one_is_taken_in(tmp_path: Path) -> None:
    told: list[Problem] = []
    pages = Pages(
        [[n, n, "a.1", f"b{n}", None, None] for n in range(1, 6)],
        [[n, n, f"a.{n}", "m", None, None, "exit"] for n in range(1, 4)],
    )
    fetch(pages, tmp_path / "g", True, told)
    while pages.asked:
        assert told == []
        pages.answer()
    assert told == [""]
    assert pages.count == 3 + 2
    found, bodies = files(tmp_path / "g")
    assert bodies == "b1\nb2\nb3\nb4\nb5\n"
    assert found[0] == {"body": "b1", "headers": {}, "task": "a.1"}
    missing = (tmp_path / "g" / "missing.jsonl").read_text().splitlines()
    assert [json.loads(line)["task"] for line in missing] == ["a.1", "a.2", "a.3"]


def test_a_daemon_that_answers_at_once_is_no_deep_recursion(tmp_path: Path) -> None:
    told: list[Problem] = []
    pages = Pages([[n, n, "a.1", "b", None, None] for n in range(1, 5000)], [])
    pages.at_once = True
    loop, _ = fetch(pages, tmp_path / "g", False, told)
    while not told:
        loop.turn(loop.now + 1.0)
    assert told == [""]
    assert files(tmp_path / "g")[1] == "b\n" * 4999


def test_where_nothing_is_missing_nobody_is_asked_for_it(tmp_path: Path) -> None:
    told: list[Problem] = []
    pages = Pages([], [])
    fetch(pages, tmp_path / "g", False, told)
    pages.answer()
    assert (told, pages.count) == ([""], 1)
    assert [path.read_text() for path in (tmp_path / "g").iterdir()] == ["", "", ""]


def test_many_members_are_written_between_other_things(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "SLICE_S", 0.0)
    monkeypatch.setattr(gather, "LINES", 1)
    told: list[Problem] = []
    pages = Pages([[n, n, "a.1", f"b{n}", None, None] for n in range(1, 3)], [])
    loop, _ = fetch(pages, tmp_path / "g", False, told)
    pages.answer()
    turns = 0
    while not told:
        loop.turn(loop.now + 1.0)
        turns += 1
    assert turns >= 2
    assert files(tmp_path / "g")[1] == "b1\nb2\n"


def test_a_fetch_that_was_stopped_says_and_asks_nothing_more(tmp_path: Path) -> None:
    told: list[Problem] = []
    pages = Pages([[n, n, "a.1", "b", None, None] for n in range(1, 6)], [])
    _, under_way = fetch(pages, tmp_path / "g", False, told)
    pages.answer()
    under_way.stop()
    pages.answer()
    assert (told, pages.asked) == ([], [])


def test_a_void_lease_and_a_directory_that_cannot_be_made_are_told(tmp_path: Path) -> None:
    told: list[Problem] = []
    pages = Pages([], [])
    fetch(pages, tmp_path / "g", False, told)
    pages.asked.pop()[1](404, {"error": "this lease is no longer valid"})
    (tmp_path / "file").touch()
    fetch(pages, tmp_path / "file" / "g", False, told)
    pages.answer()
    assert told[0] == "this lease is no longer valid"
    assert isinstance(told[1], OSError)
    assert told[1].filename == str(tmp_path / "file" / "g")


def test_the_spool_holds_chunks_before_their_result(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path / "spool"), "inc")
    spool.add({"lease": "1.e.1", "messages": []})
    spool.add({"lease": "2.e.1", "chunks": 2}, [(0, b'[["a","b",null]]'), (1, b"[]")])
    lines = [json.loads(line) for line in (tmp_path / "spool" / "inc.jsonl").read_text().splitlines()]
    assert lines == [
        {"incarnation": "inc", "result": {"lease": "1.e.1", "messages": []}},
        {"incarnation": "inc", "chunk": {"lease": "2.e.1", "seq": 0, "messages": [["a", "b", None]]}},
        {"incarnation": "inc", "chunk": {"lease": "2.e.1", "seq": 1, "messages": []}},
        {"incarnation": "inc", "result": {"lease": "2.e.1", "chunks": 2}},
    ]
