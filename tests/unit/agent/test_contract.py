"""What an attempt leaves in its work directory, and what becomes of it."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from scalebox_hpc.agent.contract import Collected, Place, collect, delete_removed
from scalebox_hpc.agent.messages import Rules


class Desk:
    """A work directory to be filled and read."""

    def __init__(self, root: Path) -> None:
        self.work, self.results = root / "work", root / "results"
        self.work.mkdir()
        self.results.mkdir()
        self.prefix = str(root / "chunk")
        self.slices = 0

    def collect(
        self, succeeded: bool = True, headers: dict[str, str] | None = None, **sheet: Any
    ) -> Collected:
        rules = Rules({"name": "work", "to": ["next"], "modules": ["work", "next", "other"], **sheet})
        left = {entry.name: entry.is_file() for entry in os.scandir(self.work)}
        place = Place(str(self.work), left, str(self.results), "the body", headers or {}, self.prefix)
        return self._drain(collect(place, rules, succeeded))

    def _drain(self, steps: Generator[None, None, Collected]) -> Collected:
        def counted() -> Generator[None, None, None]:
            self.found = yield from steps

        self.slices = sum(1 for _ in counted())
        return self.found


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_s51_all_files_at_once(desk: Desk, tmp_path: Path) -> None:
    (desk.work / "in.dat").write_bytes(b"x" * 10)
    (tmp_path / "out dir").mkdir()
    (tmp_path / "out dir" / "o.dat").write_bytes(b"x" * 100)
    (desk.work / "messages.txt").write_text('a\n\nnext,b\nc,{"h":"1"}\nnext,d,{"h":2}\n')
    (desk.work / "messages.jsonl").write_text(
        '{"to":"next","body":"e"}\n{"body":"f"}\n{"body":"g","headers":{}}\n'
    )
    (desk.work / "timestamps.txt").write_text("t1,2030-01-31T12:00:00,5\nt2,2030-01-31 12:00:00.25Z\n")
    (desk.work / "input-files.txt").write_text("in.dat\n")
    (desk.work / "output-files.txt").write_text(f"{tmp_path}/out dir/o.dat\nin.dat\n")
    (desk.work / "removed-files.txt").write_text(f"{tmp_path}/out dir/o.dat\n")
    (desk.work / "custom-out.txt").write_text("free text\n")
    found = desk.collect()
    assert (found.problem, found.notes) == ("", [])
    assert [(body, headers) for _, body, headers in found.messages] == [
        ("a", None),
        ("b", None),
        ("c", {"h": "1"}),
        ("d", {"h": "2"}),
        ("e", None),
        ("f", None),
        ("g", None),
    ]
    assert (found.in_bytes, found.out_bytes, found.user_text) == (10, 110, "free text\n")
    assert found.user_times == {"t1": "2030-01-31T12:00:00.5", "t2": "2030-01-31 12:00:00.25Z"}
    assert found.removed == [f"{tmp_path}/out dir/o.dat"]
    assert delete_removed(found.removed, str(desk.work)) == []
    assert not Path(found.removed[0]).exists()


def test_s50_task_exec_json_says_it_all(desk: Desk) -> None:
    times = {"a": "2030-01-31T12:00:00", "b": "2030-01-31T12:00:01,25"}
    said = {"statusCode": 0, "inputBytes": 9999, "outputBytes": 999, "userText": "hi", "timestamps": times}
    (desk.work / "task-exec.json").write_text(json.dumps(said))
    found = desk.collect()
    assert (found.status, found.in_bytes, found.out_bytes, found.user_text) == (0, 9999, 999, "hi")
    assert found.user_times["b"] == "2030-01-31T12:00:01.25"


def test_a_status_code_of_its_own_sends_nothing(desk: Desk) -> None:
    (desk.work / "task-exec.json").write_text('{"statusCode": 9}')
    (desk.work / "messages.txt").write_text("x\n")
    found = desk.collect()
    assert (found.status, found.messages, found.problem) == (9, [], "")


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"statusCode": "x"}', '{"inputBytes": {}}', '{"timestamps": 3}']
)
def test_a_bad_task_exec_json_is_told(desk: Desk, text: str) -> None:
    (desk.work / "task-exec.json").write_text(text)
    assert "task-exec.json" in desk.collect().problem


def test_a_failed_attempt_keeps_its_text_but_sends_nothing(desk: Desk) -> None:
    (desk.work / "messages.txt").write_text("other,x\n")
    (desk.work / "custom-out.txt").write_text("why")
    (desk.work / "removed-files.txt").write_text("/etc/passwd\n")
    (desk.work / "publish").mkdir()
    (desk.work / "publish" / "p").touch()
    found = desk.collect(succeeded=False)
    assert (found.messages, found.removed, found.user_text, found.problem) == ([], [], "why", "")
    assert list(desk.results.iterdir()) == []


def test_an_empty_file_sends_nothing(desk: Desk) -> None:
    (desk.work / "messages.txt").touch()
    assert desk.collect().messages == []


def test_without_a_file_the_body_goes_on_with_its_headers(desk: Desk) -> None:
    assert desk.collect(headers={"_x": "1"}).messages == [("next", "the body", {"_x": "1"})]
    assert "forward = true" in desk.collect(to=["next", "other"]).problem
    assert desk.collect(to=["next", "other"], forward=True).messages == [("next", "the body", None)]
    assert desk.collect(to=[]).messages == []


def test_a_problem_names_file_and_line_and_withholds_everything(desk: Desk) -> None:
    (desk.work / "messages.jsonl").write_text('{"body":"x"}\n\nnonsense\n')
    (desk.work / "publish").mkdir()
    (desk.work / "publish" / "p").touch()
    found = desk.collect()
    assert found.problem.startswith("messages.jsonl, line 3: ")
    assert found.messages == []
    assert list(desk.results.iterdir()) == []


def test_too_many_messages_are_refused(desk: Desk) -> None:
    (desk.work / "messages.txt").write_text("x\n" * 11)
    assert "more than 10 messages" in desk.collect(message_limit=10).problem


def test_an_endless_line_is_refused(desk: Desk) -> None:
    (desk.work / "messages.txt").write_bytes(b"x" * (3 << 20))
    assert "line 1" in desk.collect().problem


@pytest.mark.parametrize(
    "name", ["messages.txt", "messages.jsonl", "custom-out.txt", "timestamps.txt", "task-exec.json"]
)
def test_a_pipe_or_a_directory_does_not_block(desk: Desk, name: str) -> None:
    os.mkfifo(desk.work / name)
    assert f"{name} is not a plain file" in desk.collect().problem
    (desk.work / name).unlink()
    (desk.work / name).mkdir()
    assert name in desk.collect().problem


def test_a_dangling_link_is_told(desk: Desk) -> None:
    (desk.work / "messages.txt").symlink_to("/no/such")
    assert "messages.txt" in desk.collect().problem


def test_many_messages_become_chunks_in_slices(desk: Desk) -> None:
    count = 200_000
    (desk.work / "messages.txt").write_text("".join(f"message {n}\n" for n in range(count)))
    found = desk.collect()
    texts = [Path(path).read_text() for path in found.chunks]
    assert all(len(text) <= 1 << 20 for text in texts)
    assert [body for text in texts for _, body, _ in json.loads(text)] == [
        f"message {n}" for n in range(count)
    ]
    assert found.messages == []
    assert desk.slices > 100


def test_few_messages_stay_inline(desk: Desk) -> None:
    (desk.work / "messages.txt").write_text(("x" * 1000 + "\n") * 60)
    found = desk.collect()
    assert (len(found.messages), found.chunks) == (60, [])


def test_what_cannot_be_found_makes_a_note_only(desk: Desk) -> None:
    (desk.work / "input-files.txt").write_text("no-such\n.\n")
    (desk.work / "timestamps.txt").write_text("label,yesterday\n")
    found = desk.collect()
    assert found.problem == ""
    assert len(found.notes) == 3


def test_published_files_are_moved_with_their_directories(desk: Desk) -> None:
    (desk.work / "publish" / "a" / "b").mkdir(parents=True)
    (desk.work / "publish" / "a" / "b" / "big").write_bytes(b"x" * (20 << 20))
    (desk.work / "publish" / "empty").touch()
    found = desk.collect()
    assert (found.out_bytes, found.problem) == (20 << 20, "")
    assert (desk.results / "a" / "b" / "big").stat().st_size == 20 << 20
    assert sorted(path.name for path in desk.results.rglob("*") if path.is_file()) == ["big", "empty"]


def test_a_name_as_long_as_names_may_be_is_published_in_any_script(desk: Desk) -> None:
    (desk.work / "publish").mkdir()
    names = {"界" * 85, "x" * 255}
    for name in names:
        (desk.work / "publish" / name).write_text("content")
    assert desk.collect().problem == ""
    assert {path.name: path.read_text() for path in desk.results.iterdir()} == dict.fromkeys(names, "content")


def test_what_cannot_be_published_is_told(desk: Desk) -> None:
    (desk.work / "publish").mkdir()
    (desk.work / "publish" / "taken").touch()
    (desk.results / "taken").mkdir()
    assert desk.collect().problem.startswith("publish/taken could not be written")
    (desk.work / "publish" / "taken").unlink()
    os.mkfifo(desk.work / "publish" / "pipe")
    assert "not a plain file" in desk.collect().problem


def test_files_of_our_own_scratch_are_not_removed_later(desk: Desk) -> None:
    (desk.work / "x").touch()
    assert delete_removed([str(desk.work / "x"), "/no/such/file"], str(desk.work)) == []
    assert (desk.work / "x").exists()
