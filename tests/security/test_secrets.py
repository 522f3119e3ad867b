"""Secrets stand nowhere but in the files that are theirs, and these are the owner's alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.security.scene import Scene, modes

OWN_FILES = {"key", "tls.key", "daemon.json", "token"}  # where secrets are meant to be


def test_no_secret_is_on_a_command_line(scene: Scene) -> None:
    seen = scene.running.command_lines
    assert any(b"agent.pyz" in words for words in seen.values()), "an agent was at work"
    assert any(b"work.sh" in words for words in seen.values()), "and a task"
    assert not [leak for pid, words in seen.items() for leak in scene.leaks(f"argv of {pid}", words)]


def test_no_secret_is_in_an_environment(scene: Scene) -> None:
    seen = scene.running.environments
    assert len(seen) >= 3
    assert not [leak for pid, words in seen.items() for leak in scene.leaks(f"environ of {pid}", words)]


def test_a_task_gets_no_secret(scene: Scene) -> None:
    found = sorted(scene.lab.results().glob("environment-*"))
    assert [path.name for path in found] == ["environment-a", "environment-b"]
    assert not [leak for path in found for leak in scene.leaks(path.name, path.read_bytes())]


def test_no_secret_is_in_any_other_file_of_the_home(scene: Scene) -> None:
    others = [path for path in scene.home.rglob("*") if path.is_file() and path.name not in OWN_FILES]
    names = {path.name for path in others}
    assert {"ledger.db", "daemon.log", "agent.pyz", "contact.json", "element-0.log"} <= names
    assert not [leak for path in others for leak in scene.leaks(str(path), path.read_bytes())]


def test_no_secret_is_in_results_or_reports(scene: Scene) -> None:
    found = [
        path for path in scene.lab.directory.rglob("*") if path.is_file() and scene.home not in path.parents
    ]
    assert not [leak for path in found for leak in scene.leaks(str(path), path.read_bytes())]
    assert not scene.leaks("the report", scene.lab.csv().encode())


@pytest.mark.parametrize("words", [["status"], ["ps"], ["show", "work.1"], ["daemon", "status"], ["plan"]])
def test_no_command_shows_a_secret(scene: Scene, words: list[str]) -> None:
    done = scene.lab.sbx(*words)
    assert done.exit_code == 0, str(done)
    assert not scene.leaks(" ".join(words), done.text.encode())


def test_each_secret_is_in_a_file_of_its_own_kind_only(scene: Scene) -> None:
    tokens = list((scene.home / "shared" / "tries").glob("*/token"))
    assert tokens
    for path in tokens:
        assert scene.leaks("", path.read_bytes()) == [f"join token of {path.parent.name} in "]
    assert scene.leaks("", (scene.home / "daemon.json").read_bytes()) == ["user token in "]


def open_to_others(root: Path, found: dict[Path, int]) -> list[str]:
    """What others could open if they could come near, but for what belongs to the programs of a run."""
    inner = {path.relative_to(root): mode for path, mode in found.items() if mode & 0o077}
    of_runs = [path for path in inner if path.parts[:2] == ("shared", "runs") and len(path.parts) > 2]
    claims = [
        path for path in inner if path.parts[0] == "local" and path.suffix in (".pid", ".ended", ".new")
    ]
    return sorted(map(str, inner.keys() - {*of_runs, *claims}))


def test_nothing_in_a_home_is_open_to_others_whatever_the_umask(scene: Scene) -> None:
    for found in (scene.running.modes, modes(scene.home)):
        assert (
            found[scene.home]
            == found[scene.home / "shared"]
            == found[scene.home / "shared" / "runs"]
            == 0o700
        )
        assert not open_to_others(scene.home, found)
        for path, mode in found.items():
            if path.name in OWN_FILES:
                assert mode == 0o600, path


def test_directories_of_agents_on_scratch_are_the_owners(scene: Scene) -> None:
    assert len(scene.running.scratch) == 1
    assert set(scene.running.scratch.values()) == {0o700}
