"""Inserted transfers on this machine: what they bring, what they take home, and what they do once more."""

from __future__ import annotations

import json
import os
import re
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from scalebox_hpc.domain import stage
from scalebox_hpc.errors import UsageError
from scalebox_hpc.transfer import end, stage_in, stage_out
from scalebox_hpc.transfer.causes import Cause, TransferFailed
from scalebox_hpc.transfer.task import Task, task_here


class Desk:
    """A pipeline's directory, the run's shared directories at home and far, a work directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("pipeline", "home", "far", "results", "work"):
            (root / name).mkdir()

    def task(self, *words: str, body: str = "the body", headers: dict[str, str] | None = None) -> Task:
        env = {
            "SBX_BODY": body,
            "SBX_HEADERS": json.dumps(headers or {}),
            "SBX_TASK": "m-in.3",
            "SBX_ATTEMPT": "1",
            "SBX_WORK": str(self.root / "work"),
            "SBX_PIPELINE": str(self.root / "pipeline"),
            "SBX_SHARED": str(self.root / "home"),
            "SBX_FAR_SHARED": str(self.root / "far"),
            "SBX_RESULTS": str(self.root / "results"),
            "FROM": "",
            "TO": "",
        }
        return task_here(words, env)

    def sent(self) -> list[dict[str, object]]:
        path = self.root / "work" / "messages.jsonl"
        lines = path.read_text().splitlines()
        path.unlink()
        return [json.loads(line) for line in lines]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_files_and_directories_come_into_a_folder_of_their_own(desk: Desk) -> None:
    (desk.root / "pipeline" / "in.txt").write_text("near")
    (desk.root / "tree" / "deep").mkdir(parents=True)
    (desk.root / "tree" / "deep" / "x").write_text("deep")
    headers = {"h": "1", "_s": "2"}
    words = ["in.txt", json.dumps([str(desk.root / "tree")])]
    stage_in.run(desk.task(*words, headers=headers))
    (message,) = desk.sent()
    folder = str(message["headers"].pop("sbx_staged"))
    assert (message["body"], message["headers"]) == ("the body", headers)
    assert re.fullmatch(r"stage/m-in\.3-[0-9a-f]{12}", folder)
    brought = desk.root / "far" / folder
    assert (brought / "in.txt").read_text() == "near"
    assert (brought / "tree" / "deep" / "x").read_text() == "deep"
    stage_in.run(desk.task(*words, headers=headers))
    assert len(list((desk.root / "far" / "stage").iterdir())) == 2, "an attempt shares nothing with another"


def test_of_several_sites_files_go_to_the_one_that_is_named_unless_they_lie_there(desk: Desk) -> None:
    (desk.root / "pipeline" / "in.txt").write_text("near")
    ends = {"here": ["", str(desk.root / "home")], "there": ["far", str(desk.root / "far")]}
    messages = {}
    for site in ends:
        task = desk.task("in.txt", headers={"h": "1", "sbx_site": site})
        sites = {**task.env, "SBX_FAR_SITES": json.dumps(ends), "SBX_FAR_SHARED": "/nowhere"}
        site_file = desk.root / "pipeline" / "site-configs" / "far.toml"
        site_file.parent.mkdir(exist_ok=True)
        site_file.write_text('batch = "local"\n')
        stage_in.run(replace(task, env=sites))
        (messages[site],) = (each["headers"] for each in desk.sent())
    assert messages["here"] == {"h": "1", "sbx_staged": "here:"}
    mark, _, folder = messages["there"]["sbx_staged"].partition(":")
    assert (mark, messages["there"]["h"]) == ("there", "1")
    assert (desk.root / "far" / folder / "in.txt").read_text() == "near"
    assert not (desk.root / "home" / "stage").exists()


def test_what_cannot_be_brought_leaves_nothing(desk: Desk) -> None:
    (desk.root / "pipeline" / "in.txt").write_text("near")
    with pytest.raises(TransferFailed, match=r"there is no .*/no-such"):
        stage_in.run(desk.task("in.txt", "no-such"))
    assert list((desk.root / "far" / "stage").iterdir()) == []
    with pytest.raises(UsageError, match="would both be called x"):
        stage_in.run(desk.task("/a/x", "/b/x"))
    assert not (desk.root / "work" / "messages.jsonl").exists()


def waiting(desk: Desk) -> str:
    """What a task has left at the far site."""
    folder = desk.root / "far" / "stage-out" / "m.7" / "7-00-1"
    (folder / "files" / "deep").mkdir(parents=True)
    (folder / "files" / "deep" / "x").write_text("result")
    lines = [{"to": "next", "body": "a", "headers": {}}, {"to": "other", "body": "b", "headers": {"h": "1"}}]
    (folder / "messages.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return "stage-out/m.7/7-00-1"


def test_results_come_home_and_messages_go_on_as_they_were_written(desk: Desk) -> None:
    headers = {"sbx_stage": waiting(desk)}
    stage_out.run(desk.task(headers=headers))
    assert (desk.root / "results" / "m.7" / "deep" / "x").read_text() == "result"
    sent = desk.sent()
    assert [(each["to"], each["body"], each["headers"]) for each in sent] == [
        ("next", "a", {}),
        ("other", "b", {"h": "1"}),
    ]
    assert list((desk.root / "far" / "stage-out" / "m.7").iterdir()) == []
    stage_out.run(desk.task(headers=headers))
    assert desk.sent() == sent, "an attempt that was not heard is repeated without the files"


def test_an_attempt_cut_short_is_done_again_from_what_waits(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = {"sbx_stage": waiting(desk)}

    def cut_short(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", cut_short)
        with pytest.raises(KeyboardInterrupt):
            stage_out.run(desk.task(headers=headers))
    assert (desk.root / "far" / headers["sbx_stage"] / "files" / "deep" / "x").exists()
    stage_out.run(desk.task(headers=headers))
    assert len(desk.sent()) == 2


def test_nothing_is_removed_there_before_the_record_and_its_name_are_on_the_disk_here(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = {"sbx_stage": waiting(desk)}
    record = desk.root / "home" / headers["sbx_stage"] / "messages.jsonl"
    told: list[object] = []

    def fsync(descriptor: int) -> None:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            told.append(os.fstat(descriptor).st_ino)

    monkeypatch.setattr("os.fsync", fsync)
    for call in ("settle", "drop"):
        monkeypatch.setitem(end.CALLS, call, lambda path: told.append((path, record.exists())))
    stage_out.run(desk.task(headers=headers))
    assert [each for each in told if "/.sbx-" not in str(each)] == [
        record.stat().st_ino,
        (str(desk.root / "results" / "m.7"), False),
        (str(record.parent), True),
        (str(desk.root / "far" / headers["sbx_stage"]), True),
    ]


@pytest.mark.parametrize("folder", ["", "/etc", "stage-out/../x", "stage/m.7"])
def test_only_folders_of_ours_are_taken_home(desk: Desk, folder: str) -> None:
    with pytest.raises(UsageError, match="no folder of staged files"):
        stage_out.run(desk.task(headers={"sbx_stage": folder}))


def test_retry_rules_of_inserted_transfers_name_the_exit_codes_of_transfers() -> None:
    named = (stage.NETWORK, stage.MISSING, stage.CHANGED, stage.CHECKSUM)
    assert named == (Cause.NETWORK, Cause.MISSING, Cause.CHANGED, Cause.CHECKSUM)
