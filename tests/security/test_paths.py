"""Names and paths that others give lead nowhere but where they may."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import quote

import pytest

from scalebox_hpc.agent.contract import Collected, delete_removed
from scalebox_hpc.agent.walls import walls_of
from scalebox_hpc.config.pipeline import load
from scalebox_hpc.errors import BadMessage, PipelineErrors
from scalebox_hpc.relay.folder import read_log
from scalebox_hpc.wire import codec
from tests.security.leavings import collected
from tests.security.scene import Scene

AWAY = [
    "../../../../etc/passwd",
    "/etc/passwd",
    "..",
    ".",
    "a\0b",
    "",
    "~/x",
    "newest/../x",
    "%2e%2e",
    "x" * 5000,
]
SECRET = "the secret of somebody else\n"


# ---- what users and agents name


@pytest.mark.parametrize("name", AWAY)
def test_a_run_name_that_is_a_path_names_nothing(scene: Scene, name: str) -> None:
    for rest in ("", "/tasks", "/attempts"):
        status, said = scene.as_user("GET", f"/v1/runs/{quote(name, safe='')}{rest}")
        assert status in {400, 404} or (status, name) == (200, ""), (status, said)
        assert "root:" not in str(said)


@pytest.mark.parametrize("name", AWAY)
def test_a_task_id_that_is_a_path_names_nothing(scene: Scene, name: str) -> None:
    status, said = scene.as_user("GET", f"/v1/runs/newest/tasks/{quote(name, safe='')}/log")
    assert status in {400, 404}, (status, said)


@pytest.mark.parametrize("name", AWAY)
def test_commands_take_no_path_for_a_name(scene: Scene, name: str) -> None:
    if "\0" not in name:
        done = scene.lab.sbx("show", f"../{name}")
        assert done.exit_code == 2, str(done)
        assert "Traceback" not in done.text


@pytest.mark.parametrize("incarnation", [*AWAY, "AB" * 8, "ab" * 8 + "\n", "ab" * 9])
def test_an_incarnation_is_hex_digits_and_never_a_path(incarnation: str) -> None:
    for read in (codec.hello, codec.ended, codec.sync):
        with pytest.raises(BadMessage):
            read({"try": "t", "incarnation": incarnation, "sync": 1})


# ---- log paths, which agents report


def segment(folder: Path) -> Path:
    logs = folder / "logs"
    logs.mkdir()
    return logs / f"{'ab' * 8}.0.out"


def test_a_segment_is_read_and_nothing_else(tmp_path: Path) -> None:
    good = segment(tmp_path)
    good.write_text("what a task said\n")
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    assert read_log(str(good), 5, 6) == b"a task"
    for path in (secret, tmp_path / "logs" / ".." / "secret", Path("/etc/passwd"), good.with_suffix(".txt")):
        assert read_log(str(path), 0, 100) == b"", path
    assert read_log("a\0b", 0, 100) == b""
    assert read_log("logs/" + good.name, 0, 100) == b""


def test_a_link_in_the_place_of_a_segment_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    link = segment(tmp_path)
    link.symlink_to(secret)
    assert read_log(str(link), 0, 100) == b""


def test_a_pipe_in_the_place_of_a_segment_does_not_hold_the_daemon_up(tmp_path: Path) -> None:
    pipe = segment(tmp_path)
    os.mkfifo(pipe)
    assert read_log(str(pipe), 0, 100) == b""


@pytest.mark.parametrize(("offset", "length"), [(-1, 5), (0, -1), (0, 0), ((1 << 63) - 1, 5), (1 << 62, 1)])
def test_no_offset_is_too_odd(tmp_path: Path, offset: int, length: int) -> None:
    good = segment(tmp_path)
    good.write_text("x" * 100)
    assert read_log(str(good), offset, length) == b""


# ---- files that a pipeline names


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../secret", "..", "~/x", "a\\u0000b"])
def test_files_that_are_shipped_lie_below_the_pipeline(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text(SECRET)
    place = tmp_path / "place"
    (place / "a").mkdir(parents=True)
    text = 'sbx = 1\n[pipeline]\nname = "p"\n[modules.a]\nrun = "echo {body}"\nseed = ["x"]\n'
    (place / "pipeline.toml").write_text(f'{text}files = ["{name}"]\n')
    with pytest.raises(PipelineErrors):
        load(place / "pipeline.toml")


# ---- messages


@pytest.mark.parametrize("name", ["../x", "a/b", "a b", "", "a\0b", "é", "a\nb", "sbx_run"])
def test_a_header_name_cannot_be_a_path_or_a_variable_of_ours(desk: Desk, name: str) -> None:
    line = json.dumps({"body": "x", "headers": {name: "1"}})
    (desk.work / "messages.jsonl").write_text(line + "\n")
    found = desk.collect(())
    assert "header" in found.problem
    assert found.messages == []


# ---- what a program in a container leaves: the agent, outside, must not be led further than it could go


class Desk:
    """A work directory, results, and a place outside that only the agent can reach."""

    def __init__(self, root: Path) -> None:
        self.work, self.results, self.outside = root / "work", root / "results", root / "outside"
        for folder in (self.work, self.results, self.outside):
            folder.mkdir()
        self.secret = self.outside / "secret"
        self.secret.write_text(SECRET)
        self.walls = walls_of([str(self.work), str(self.results)])

    def collect(self, walls: tuple[str, ...] | None = None) -> Collected:
        """Take in what was left, as from a container unless other walls are given."""
        within = self.walls if walls is None else walls
        rules = {"name": "work", "to": ["next"], "modules": ["work", "next"]}
        return collected(self.work, self.results, rules, chunks=self.work / ".chunk", walls=within)

    def published(self) -> str:
        return "".join(path.read_text() for path in self.results.rglob("*") if path.is_file())


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize(
    "name", ["messages.txt", "messages.jsonl", "custom-out.txt", "timestamps.txt", "task-exec.json"]
)
def test_a_link_left_as_a_file_of_ours_shows_nothing_from_outside(desk: Desk, name: str) -> None:
    (desk.work / name).symlink_to(desk.secret)
    found = desk.collect()
    assert "does not have" in found.problem
    assert "secret of" not in str(vars(found))


def test_a_published_link_shows_nothing_from_outside(desk: Desk) -> None:
    (desk.work / "publish" / "deep").mkdir(parents=True)
    (desk.work / "publish" / "deep" / "x").symlink_to(desk.secret)
    assert "does not have" in desk.collect().problem
    assert desk.published() == ""


def test_publish_as_a_link_shows_nothing_from_outside(desk: Desk) -> None:
    (desk.work / "publish").symlink_to(desk.outside)
    assert "does not have" in desk.collect().problem
    assert desk.published() == ""


def test_a_link_among_the_results_leads_nothing_outside(desk: Desk) -> None:
    (desk.results / "sub").symlink_to(desk.outside)
    (desk.work / "publish" / "sub").mkdir(parents=True)
    (desk.work / "publish" / "sub" / "secret").write_text("overwritten")
    assert "leads out" in desk.collect().problem
    assert desk.secret.read_text() == SECRET


def test_a_file_outside_is_neither_removed_nor_counted(desk: Desk) -> None:
    (desk.work / "way").symlink_to(desk.outside)
    lines = [
        str(desk.secret),
        "../outside/secret",
        "way/secret",
        f"{desk.results}/../outside/secret",
        "a\0b",
        "/",
        "",
    ]
    for name in ("removed-files.txt", "input-files.txt", "output-files.txt"):
        (desk.work / name).write_text("\n".join(lines) + "\n")
    found = desk.collect()
    assert (found.removed, found.in_bytes, found.out_bytes, found.problem) == ([], 0, 0, "")
    assert delete_removed(found.removed, "/nowhere") == []
    assert desk.secret.exists()


def test_what_it_may_reach_is_removed_and_published_through_links_too(desk: Desk) -> None:
    (desk.results / "old").write_text("x" * 7)
    (desk.work / "out").write_text("a result")
    (desk.work / "publish").mkdir()
    (desk.work / "publish" / "out").symlink_to(desk.work / "out")
    (desk.work / "removed-files.txt").write_text(f"{desk.results}/old\n")
    found = desk.collect()
    assert (found.problem, found.notes) == ("", [])
    assert desk.published() == "a result" + "x" * 7 or desk.published() == "x" * 7 + "a result"
    assert delete_removed(found.removed, "/nowhere") == []
    assert not (desk.results / "old").exists()


def test_a_directory_swapped_for_a_link_before_the_removal_saves_the_file(desk: Desk) -> None:
    (desk.results / "sub").mkdir()
    (desk.results / "sub" / "secret").touch()
    (desk.work / "removed-files.txt").write_text(f"{desk.results}/sub/secret\n")
    found = desk.collect()
    assert len(found.removed) == 1
    (desk.results / "sub").rename(desk.results / "was")
    (desk.results / "sub").symlink_to(desk.outside)
    delete_removed(found.removed, "/nowhere")
    assert desk.secret.exists()


def test_without_a_container_a_program_reaches_what_its_user_does(desk: Desk) -> None:
    (desk.work / "messages.txt").symlink_to(desk.secret)
    assert [body for _, body, _ in desk.collect(()).messages] == [SECRET.strip()]
