"""Links to staged files, and what becomes of the files that an attempt leaves."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from scalebox_hpc.agent.contract import Collected, Place, collect
from scalebox_hpc.agent.messages import Rules
from scalebox_hpc.agent.staged import HOME_PATHS, Left, Stage, StageProblem

LEASE = "7.00c0ffee.1"


class Desk:
    """A module's stage, and a work directory of one task."""

    def __init__(self, root: Path, takes: str = "", out: tuple[str, ...] = ("*.x", "sub/**/*.y")) -> None:
        self.root, self.work, self.shared = root, root / "work", root / "shared"
        for each in (self.work, self.shared, root / "pipeline"):
            each.mkdir()
        stage = {"in": [], "out": list(out), "to": takes, "results": str(root / "results")}
        self.stage = Stage(
            {"stage": stage, "shared": str(self.shared), "pipeline": str(root / "pipeline"), "site": "b"}
        )
        self.offer: dict[str, Any] = {"task": "m.7", "lease": LEASE, "headers": {"h": "1", "_s": "2"}}

    def bring(self) -> Path:
        """What a transfer does: a folder with a file."""
        folder = self.shared / "stage" / "m-in.3-00ff"
        folder.mkdir(parents=True)
        (folder / "x").write_text("brought")
        return folder

    def enter(self, *references: str) -> list[str]:
        self.stage.enter(str(self.work), list(references), self.offer)
        return self.offer["staged"]

    def write(self, name: str, text: str = "content") -> None:
        path = self.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def collect(self, **sheet: Any) -> Collected:
        self.offer.setdefault("staged", [])
        left = {entry.name: entry.is_file(follow_symlinks=False) for entry in os.scandir(self.work)}
        leaving = self.stage.leaving(self.offer, [("shipped.x", "/somewhere/shipped.x")])
        rules = Rules({"name": "m", "to": ["next"], "modules": ["m", "next"], **sheet})
        place = Place(
            str(self.work), left, "", "the body", self.offer["headers"], str(self.root / "chunk"), (), leaving
        )
        steps = collect(place, rules, True)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value

    def home(self, name: str) -> str:
        return str(self.root / "results" / "m.7" / name)


def test_files_lie_under_their_base_names_in_the_order_of_their_references(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    (tmp_path / "pipeline" / "near").write_text("near")
    (tmp_path / "far").write_text("far")
    assert desk.enter(f"b:{tmp_path}/far", json.dumps(["near"])) == ["far", "near"]
    assert [(desk.work / name).read_text() for name in ("far", "near")] == ["far", "near"]
    assert desk.offer["brought"] == ""


def test_files_that_were_brought_are_taken_from_their_folder(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    folder = desk.bring()
    desk.offer["headers"]["sbx_staged"] = "stage/m-in.3-00ff"
    desk.enter("/not/here/x")
    assert (desk.work / "x").read_text() == "brought"
    assert desk.offer["brought"] == str(folder)
    assert desk.offer["headers"] == {"h": "1", "_s": "2"}


def test_of_several_sites_the_one_is_named_where_the_files_are(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    folder = desk.bring()
    desk.offer["headers"]["sbx_staged"] = "b:stage/m-in.3-00ff"
    desk.enter("/not/here/x")
    assert desk.offer["brought"] == str(folder)
    (tmp_path / "far").write_text("far")
    desk.offer["headers"]["sbx_staged"] = "b:"
    desk.enter(f"{tmp_path}/far")
    assert (desk.work / "far").read_text() == "far"
    assert desk.offer["brought"] == ""


@pytest.mark.parametrize(
    "folder", ["../..", "stage/../x", "/etc", "stage/m-in.3", "c:stage/m-in.3-00ff", "c:"]
)
def test_a_folder_that_no_transfer_made_is_refused(tmp_path: Path, folder: str) -> None:
    desk = Desk(tmp_path)
    desk.offer["headers"]["sbx_staged"] = folder
    with pytest.raises(StageProblem, match="no folder of staged files"):
        desk.enter("/etc/passwd")


def test_a_file_that_is_not_there_and_a_name_that_is_taken_are_told(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with pytest.raises(StageProblem, match="/no/such does not exist"):
        desk.enter("/no/such")
    desk.write("passwd")
    with pytest.raises(StageProblem, match="passwd is a file that the module ships"):
        desk.enter("/etc/passwd")


def test_what_matches_goes_to_the_results_and_messages_name_it_there(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for name in ("a.x", "sub/deep/b.y", "other", "shipped.x"):
        desk.write(name)
    sent = [{"body": "a.x", "headers": {"also": "sub/deep/b.y", "not": "other"}}, {"body": "other"}]
    desk.write("messages.jsonl", "".join(json.dumps(each) + "\n" for each in sent))
    found = desk.collect()
    assert found.problem == ""
    files = {HOME_PATHS: json.dumps([desk.home("a.x"), desk.home("sub/deep/b.y")], separators=(",", ":"))}
    assert found.messages == [
        ("next", desk.home("a.x"), {"also": desk.home("sub/deep/b.y"), "not": "other", **files}),
        ("next", "other", files),
    ]
    there = sorted(path.relative_to(tmp_path / "results") for path in (tmp_path / "results").rglob("*.[xy]"))
    assert list(map(str, there)) == ["m.7/a.x", "m.7/sub/deep/b.y"]
    assert found.out_bytes == 2 * len("content")


def test_links_to_staged_files_are_not_what_it_leaves(tmp_path: Path) -> None:
    desk = Desk(tmp_path, out=("*.x",))
    (tmp_path / "in.x").write_text("given")
    desk.enter(str(tmp_path / "in.x"))
    assert "no file matches '*.x'" in desk.collect().problem
    desk.write("out.x")
    assert desk.collect().problem == ""
    assert [path.name for path in (tmp_path / "results" / "m.7").iterdir()] == ["out.x"]


def test_files_and_messages_wait_together_and_one_message_goes_to_the_transfer(tmp_path: Path) -> None:
    desk = Desk(tmp_path, takes="m-out", out=("*.x",))
    desk.write("a.x")
    desk.write("messages.txt", "a.x\nb\n")
    found = desk.collect(via={"next": "m-out"})
    waiting = "stage-out/m.7/7-00c0ffee-1"
    own = {"h": "1", "sbx_key": "m.7", "sbx_sender": "m.7", "sbx_stage": waiting}
    assert found.messages == [("m-out", "the body", own)]
    folder = desk.shared / waiting
    assert (folder / "files" / "a.x").read_text() == "content"
    lines = [json.loads(line) for line in (folder / "messages.jsonl").read_text().splitlines()]
    assert [(each["to"], each["body"]) for each in lines] == [("next", desk.home("a.x")), ("next", "b")]
    assert not (tmp_path / "results").exists()


def test_what_was_put_aside_in_vain_is_removed_once_the_failure_is_recorded(tmp_path: Path) -> None:
    desk = Desk(tmp_path, takes="m-out", out=("*.x",))
    desk.write("a.x")
    desk.write("messages.txt", "m-out,b\nnonsense,{\n}")
    found = desk.collect(modules=["m", "next", "m-out"])
    assert "m-out" in found.problem
    assert (found.messages, found.folder) == ([], str(desk.shared / "stage-out/m.7/7-00c0ffee-1"))


def test_a_long_list_of_files_is_left_out_of_the_headers(tmp_path: Path) -> None:
    desk = Desk(tmp_path, out=("*.x",))
    for number in range(300):
        desk.write(f"{number:040}.x")
    desk.offer["staged"] = []
    leaving = desk.stage.leaving(desk.offer, [])
    assert leaving is not None
    left = Left(leaving, str(desk.work))
    assert left.rewritten(("next", "b", None)) == ("next", "b", None)
    assert left.rewritten(("next", f"{0:040}.x", None))[1] == desk.home(f"{0:040}.x")


def test_headers_that_leave_no_room_stay_behind(tmp_path: Path) -> None:
    desk = Desk(tmp_path, takes="m-out", out=("*.x",))
    desk.write("a.x")
    desk.write("messages.txt", "b\n")
    desk.offer["headers"] = {"long": "x" * 16_300}
    ((_, body, headers),) = desk.collect().messages
    assert (body, sorted(headers)) == ("the body", ["sbx_key", "sbx_sender", "sbx_stage"])


def test_files_of_a_module_before_are_not_passed_off_as_its_own(tmp_path: Path) -> None:
    desk = Desk(tmp_path, out=("*.x",))
    for number in range(300):
        desk.write(f"{number:040}.x")
    desk.offer["headers"] = {HOME_PATHS: "[]", "h": "1"}
    assert desk.collect().messages == [("next", "the body", {"h": "1"})]
