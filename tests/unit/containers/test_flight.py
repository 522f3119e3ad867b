"""Of many who want one image, one fetches it; one that is killed leaves nothing wrong behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from scalebox_hpc.containers.flight import KIND, alone
from scalebox_hpc.containers.images import ImageStore
from scalebox_hpc.containers.store import key_of
from scalebox_hpc.errors import EnvironmentProblem
from scalebox_hpc.holder import Holder, ProcFs, link
from tests.cluster.box import wait_until
from tests.unit.containers import made
from tests.unit.containers.conftest import Bench

DEBIAN = "docker://registry.example.org/debian:12"
SBX = str(Path(sys.executable).with_name("sbx"))
ME = Holder("login1", "m1", "boot-a", "pid:[1]", 100, "5000", "n1")


def puller(bench: Bench) -> subprocess.Popen[str]:
    """`sbx image pull`, in a process group of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SBX_")}
    return subprocess.Popen(
        [SBX, "image", "pull", DEBIAN, "--json", "--site", "here"],
        cwd=bench.root,
        env={**kept, "PATH": f"{bench.runtime}:{kept['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def site(bench: Bench) -> Bench:
    """A site whose images are kept on the bench."""
    bench.directory.mkdir()
    bench.write(
        "site-configs/here.toml", f'batch = "local"\n[paths]\nimages = "{bench.directory}"\n'.encode()
    )
    return bench


def test_ten_who_pull_one_image_at_once_make_one_file_by_one_pull(site: Bench) -> None:
    (site.runtime / "wait").touch()
    pullers = [puller(site) for _ in range(10)]
    wait_until(lambda: made.calls(site.runtime), 30, "the first pull")
    (site.runtime / "wait").unlink()
    answers = [each.communicate(timeout=60) for each in pullers]
    assert [each.returncode for each in pullers] == [0] * 10, answers
    paths = {json.loads(out)["images"][0]["path"] for out, _ in answers}
    assert site.files == [Path(path).name for path in paths]
    assert len(made.calls(site.runtime)) == 1
    assert sum("making" in said for _, said in answers) == 1


def test_ten_threads_copy_one_file_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from scalebox_hpc.containers import images

    copies = []
    real = images._copy
    monkeypatch.setattr(images, "_copy", lambda *args: (copies.append(args), real(*args))[1])
    bench.write("tools.sif", made.sif(b"x" * 100_000))
    with ThreadPoolExecutor(10) as pool:
        found = list(pool.map(lambda _: bench.store().ensure("tools.sif", bench.root), range(10)))
    assert len(set(found)) == len(copies) == 1


def test_a_puller_killed_in_the_middle_leaves_no_image_and_the_next_succeeds(site: Bench) -> None:
    (site.runtime / "stall").touch()
    first = puller(site)
    wait_until(lambda: list(site.directory.glob(".tmp/*")), 30, "a half-fetched image")
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate(timeout=30)
    assert not [name for name in site.files if not name.startswith(".")]
    (site.runtime / "stall").unlink()
    image = site.store().ensure(DEBIAN, site.root)
    assert Path(image.path).read_bytes() == made.sif(b"pulled")
    assert site.files == [Path(image.path).name], "what the first one left is cleared away"


def test_a_runtime_ends_with_its_killed_puller(site: Bench) -> None:
    (site.runtime / "stall").touch()
    first = puller(site)
    wait_until(lambda: list(site.directory.glob(".tmp/*")), 30, "a half-fetched image")
    os.kill(first.pid, signal.SIGKILL)
    pid = (site.runtime / "pid").read_text().strip()
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), 30, "the end of the runtime")
    (site.runtime / "image.sif").write_bytes(made.sif(b"another"))
    (site.runtime / "stall").unlink()
    image = site.store().ensure(DEBIAN, site.root)
    first.communicate(timeout=30)
    assert Path(image.path).read_bytes() == made.sif(b"another")
    assert [name for name in site.files if not name.startswith(".")] == [Path(image.path).name]


def test_who_waits_says_for_whom(bench: Bench) -> None:
    store = bench.store()
    lock = store.shelf.lock(key_of(DEBIAN))
    with alone(lock, DEBIAN, ProcFs(), bench.said.append), ThreadPoolExecutor(1) as pool:
        waiter = pool.submit(store.ensure, DEBIAN, bench.root)
        (said,) = wait_until(lambda: list(bench.said), 30, "a word of the waiter")
        assert (
            said
            == f"{DEBIAN} is being fetched by process {os.getpid()} on {os.uname().nodename}; waiting for it"
        )
        assert not waiter.done()
        lock.unlink()
        assert waiter.result(30).kind == "sif"


@dataclass
class FakeProcesses:
    """A machine on which `running` processes run."""

    me: Holder = ME
    running: dict[int, str] = field(default_factory=dict)

    def myself(self) -> Holder:
        return replace(self.me, nonce=os.urandom(8).hex())

    def started(self, pid: int) -> str | None:
        return self.running.get(pid)


@pytest.mark.parametrize("gone", [{"pid": 7}, {"pid": 7, "boot": "boot-z"}, {"started": "4000"}])
def test_a_flight_whose_process_is_gone_is_taken_over(bench: Bench, gone: dict[str, object]) -> None:
    processes = FakeProcesses(running={100: "5000"})
    store = ImageStore(bench.directory, processes=processes, machine="x86_64")
    bench.write("tools.sif", made.sif())
    assert link(store.shelf.lock(key_of(str(bench.root / "tools.sif"))), replace(ME, **gone), KIND)  # type: ignore[arg-type]
    assert store.ensure("tools.sif", bench.root).kind == "sif"
    assert len(bench.files) == 1


def test_one_of_another_host_is_waited_for_and_then_named(bench: Bench) -> None:
    store = ImageStore(bench.directory, say=bench.said.append, processes=FakeProcesses(), wait_s=0.0)
    file = bench.write("tools.sif", made.sif())
    lock = store.shelf.lock(key_of(str(file)))
    assert link(lock, replace(ME, host="login2"), KIND)
    with pytest.raises(EnvironmentProblem, match="process 100 on login2 for too long") as refused:
        store.ensure("tools.sif", bench.root)
    assert f"delete {lock}" in refused.value.hint
    assert lock.exists()
