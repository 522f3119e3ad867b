"""The files of a gather task, and the spool."""

from __future__ import annotations

import json
import random
from pathlib import Path

from scalebox_hpc.agent.gather import write_files
from scalebox_hpc.agent.spool import Spool

ORDERED = [
    {"body": "x", "headers": {"sbx_order": "-1"}, "task": "a.1"},
    {"body": "x", "headers": {"sbx_order": "2"}, "task": "a.1"},
    {"body": "x", "headers": {"sbx_order": "1e1"}, "task": "a.1"},
    {"body": "x", "headers": {"sbx_order": "12345678901234567890"}, "task": "a.1"},
    {"body": "x", "headers": {"sbx_order": "12345678901234567891"}, "task": "a.1"},
    {"body": "x", "headers": {"sbx_order": "10a"}, "task": "a.1"},
    {"body": "x", "headers": {"sbx_order": "nan"}, "task": "a.1"},
    {"body": "a", "headers": {}, "task": "a.10"},
    {"body": "b", "headers": {}, "task": "a.2"},
    {"body": "b", "headers": None, "task": "a.10", "position": 1},
    {"body": "b", "headers": {}, "task": "a.10", "position": 2},
    {"body": "b", "headers": {}, "task": "b.1"},
]


def test_members_are_ordered_by_order_body_sender_and_position(tmp_path: Path) -> None:
    members = [dict(member) for member in ORDERED]
    random.Random(1).shuffle(members)
    write_files(str(tmp_path / "g"), members, [{"module": "a", "task": "a.3", "body": "ü", "id": 7}])
    lines = (tmp_path / "g" / "members.jsonl").read_text().splitlines()
    wanted = [{key: member.get(key) for key in ("body", "headers", "task")} for member in ORDERED]
    assert [json.loads(line) for line in lines] == wanted
    bodies = (tmp_path / "g" / "bodies.txt").read_text()
    assert bodies == "".join(f"{member['body']}\n" for member in ORDERED)
    missing = json.loads((tmp_path / "g" / "missing.jsonl").read_text())
    assert missing == {"module": "a", "task": "a.3", "body": "ü", "headers": None, "cause": None}


def test_without_members_the_files_are_empty(tmp_path: Path) -> None:
    write_files(str(tmp_path / "g"), [], [])
    assert [path.read_text() for path in (tmp_path / "g").iterdir()] == ["", "", ""]


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
