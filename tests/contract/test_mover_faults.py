"""Transfers that are killed, cut off, or find no room: what is said, and what goes on from where."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scalebox_hpc.domain.site import Site
from scalebox_hpc.testing.delay_proxy import DelayProxy, Line
from scalebox_hpc.testing.sshd import HOST, Sshd, program
from scalebox_hpc.transfer.causes import Cause, TransferFailed
from scalebox_hpc.transfer.copy import Outcome
from scalebox_hpc.transfer.link import Piece
from scalebox_hpc.transfer.streams import Streams
from tests.contract.movers import Mover

MIB = 1 << 20
_PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A login node, which is this machine."""
    if program() is None:
        pytest.skip("needs an sshd")
    opened = Sshd(tmp_path_factory.mktemp("door"))
    opened.start()
    yield opened
    opened.stop()


@pytest.fixture
def push(door: Sshd, tmp_path: Path) -> Iterator[Mover]:
    """From here to that site."""
    found = Mover({"b": Site("b", ssh=door.ssh)}, "push", tmp_path / "locks")
    yield found
    found.close()


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait for a condition, with a deadline."""
    until_s, pause = time.monotonic() + _PATIENCE_S, threading.Event()
    while not holds():
        assert time.monotonic() < until_s, "it did not come to that"
        pause.wait(0.02)


def arrived(directory: Path) -> int:
    """Bytes of files that are on their way."""
    return sum(path.stat().st_size for path in directory.glob(".sbx-*/*") if path.is_file())


def site_file(door: Sshd, pipeline: Path) -> None:
    """Write the file of site b beside a pipeline."""
    ssh = door.ssh
    (pipeline / "site-configs").mkdir(parents=True)
    text = f'batch = "slurm"\n[ssh]\nhost = "{ssh.host}"\nport = {ssh.port}\nkey = "{ssh.key}"\n'
    (pipeline / "site-configs" / "b.toml").write_text(f'{text}known_hosts = "{ssh.known_hosts}"\n')


def task(pipeline: Path, work: Path, body: str, **env: str) -> subprocess.Popen[bytes]:
    """Start the program of module copy as an agent does."""
    work.mkdir(exist_ok=True)
    told = {
        **{"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]},
        **{"SBX_BODY": body, "SBX_HEADERS": "{}", "SBX_WORK": str(work), "SBX_PIPELINE": str(pipeline)},
        **env,
    }
    words = [sys.executable, "-m", "scalebox_hpc.transfer", "copy"]
    return subprocess.Popen(words, env=told, cwd=work, stderr=subprocess.PIPE, start_new_session=True)


def test_a_killed_copy_goes_on_where_it_was(door: Sshd, tmp_path: Path) -> None:
    site_file(door, tmp_path / "pipeline")
    source, there = tmp_path / "large", tmp_path / "there"
    source.write_bytes(os.urandom(24 * MIB))
    there.mkdir()
    first = task(tmp_path / "pipeline", tmp_path / "one", str(source), TO=f"b:{there}", LIMIT="4M")
    wait_until(lambda: arrived(there) > 4 * MIB)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    had = arrived(there)
    again = task(tmp_path / "pipeline", tmp_path / "two", str(source), TO=f"b:{there}")
    _, said = again.communicate(timeout=_PATIENCE_S)
    assert again.returncode == 0, said.decode()
    assert (there / "large").read_bytes() == source.read_bytes()
    assert [path.name for path in there.iterdir()] == ["large"]
    told = json.loads((tmp_path / "two" / "task-exec.json").read_text())["userText"]
    assert "were there from an earlier try" in told
    assert had > 4 * MIB
    assert json.loads((tmp_path / "two" / "progress.json").read_text())["done"] == 24 * MIB
    message = json.loads((tmp_path / "two" / "messages.jsonl").read_text())
    assert message["body"] == f"b:{there}/large"
    assert message["headers"]["size"] == str(24 * MIB)


@pytest.mark.parametrize("kind", ["file", "tree", "large file of a tree"])
def test_two_tries_of_one_copy_do_not_overlap(
    door: Sshd, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, there, waits = tmp_path / "source" / "x", tmp_path / "there", threading.Semaphore(0)
    source.parent.mkdir()
    source.write_bytes(os.urandom(MIB))
    if kind == "large file of a tree":
        monkeypatch.setattr("scalebox_hpc.transfer.plan.LARGE_BYTES", MIB)
    first, second = (Mover({"b": Site("b", ssh=door.ssh)}, "push", tmp_path / "locks") for _ in range(2))
    order = (source, there) if kind == "file" else (source.parent, there)
    alone = Streams.alone

    def counted(*words: Any) -> AbstractContextManager[None]:
        waits.release()
        return alone(*words)

    monkeypatch.setattr(Streams, "alone", counted)
    with ThreadPoolExecutor(1) as pool:
        again: list[Future[Outcome]] = []

        def overlap(_: Piece) -> None:
            """Begin the second try once all of the first has arrived, and nothing is verified yet."""
            while waits.acquire(blocking=False):
                pass
            again.append(pool.submit(second, *order))
            assert waits.acquire(timeout=_PATIENCE_S)

        outcome = first(*order, after_each=overlap)
        assert len(again) == 1, "nothing had to be copied twice"
        assert (outcome.moved_bytes, again[0].result().moved_bytes) == (MIB, 0)
    copied = there if kind == "file" else there / "x"
    assert copied.read_bytes() == source.read_bytes()
    assert not list(tmp_path.glob("**/.sbx-*"))
    for each in (first, second):
        each.close()


def test_a_broken_link_is_taken_up_again_within_the_task(push: Mover, door: Sshd, tmp_path: Path) -> None:
    source, there = tmp_path / "large", tmp_path / "there"
    source.write_bytes(os.urandom(16 * MIB))
    there.mkdir()

    def cut() -> None:
        wait_until(lambda: arrived(there) > 3 * MIB)
        assert door.cut()

    cutter = threading.Thread(target=cut)
    cutter.start()
    outcome = push(source, there / "x", limit_mib_s=4.0, patience_s=30.0)
    cutter.join()
    assert (there / "x").read_bytes() == source.read_bytes()
    assert outcome.moved_bytes == 16 * MIB


def test_a_poured_file_goes_on_where_the_link_broke(door: Sshd, tmp_path: Path) -> None:
    source, there = tmp_path / "large", tmp_path / "there"
    source.write_bytes(os.urandom(8 * MIB))
    source.chmod(0o640)
    there.mkdir()
    poured: list[Piece] = []

    def cut() -> None:
        wait_until(lambda: arrived(there) > 2 * MIB)
        assert door.cut()

    with DelayProxy((HOST, door.port), Line(round_trip_s=0.05, window_bytes=256 * 1024)) as proxy:
        kind, key = (door.folder / "host_key.pub").read_text().split()[:2]
        known = tmp_path / "known"
        known.write_text(f"[{HOST}]:{proxy.port} {kind} {key}\n")
        ssh = replace(door.ssh, port=proxy.port, known_hosts=str(known))
        push = Mover({"b": Site("b", ssh=ssh)}, "push", tmp_path / "locks")
        cutter = threading.Thread(target=cut)
        cutter.start()
        outcome = push(source, there / "x", after_each=poured.append, patience_s=30.0)
        cutter.join()
        push.close()
    assert (there / "x").read_bytes() == source.read_bytes()
    assert (there / "x").stat().st_mtime_ns == source.stat().st_mtime_ns
    assert (there / "x").stat().st_mode == source.stat().st_mode
    assert outcome.moved_bytes == 8 * MIB
    assert 8 * MIB > poured[-1].had_bytes > 2 * MIB


def test_a_site_that_nobody_reaches_is_a_failure_of_the_network(tmp_path: Path, door: Sshd) -> None:
    door.stop()
    try:
        push = Mover({"b": Site("b", ssh=door.ssh)}, "push", tmp_path / "locks")
        with pytest.raises(TransferFailed) as failed:
            push(Path(__file__), tmp_path / "x")
        assert failed.value.cause is Cause.NETWORK
    finally:
        door.start()


def test_a_site_that_lets_nobody_in_is_a_failure_of_the_login(tmp_path: Path, door: Sshd) -> None:
    allowed = door.folder / "authorized_keys"
    text = allowed.read_text()
    allowed.write_text("")
    try:
        push = Mover({"b": Site("b", ssh=door.ssh)}, "push", tmp_path / "locks")
        with pytest.raises(TransferFailed) as failed:
            push(Path(__file__), tmp_path / "x")
        assert failed.value.cause is Cause.LOGIN
        assert "sbx site check b" in failed.value.hint
    finally:
        allowed.write_text(text)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 4 MiB."""
    if os.getuid() != 0:
        pytest.skip("mounts a file system: needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.parametrize("kind", ["file", "tree"])
def test_no_room_at_the_target_is_its_own_failure_and_the_same_copy_ends_well_once_there_is(
    push: Mover, small_disk: Path, tmp_path: Path, kind: str
) -> None:
    source = tmp_path / "source" / "x"
    source.parent.mkdir()
    source.write_bytes(os.urandom(6 * MIB))
    moved = source if kind == "file" else source.parent
    with pytest.raises(TransferFailed) as failed:
        push(moved, small_disk / "out")
    assert failed.value.cause is Cause.SPACE
    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
    push(moved, small_disk / "out")
    copied = small_disk / "out" if kind == "file" else small_disk / "out" / "x"
    assert copied.read_bytes() == source.read_bytes()


def test_a_place_that_may_not_be_written_is_its_own_failure(push: Mover, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(TransferFailed) as failed:
        push(Path(__file__), small_disk / "x")
    assert failed.value.cause is Cause.PERMISSION


def test_small_files_that_find_no_room_say_so_too_and_the_line_goes_on(
    push: Mover, small_disk: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for index in range(1500):
        (source / f"{index}").write_bytes(bytes(4096))
    with pytest.raises(TransferFailed) as failed:
        push(source, small_disk / "out")
    assert failed.value.cause is Cause.SPACE
    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
    outcome = push(source, small_disk / "out")
    assert len(outcome.files) == 1500
    assert outcome.moved_bytes < 1500 * 4096, "those that had arrived were left alone"
