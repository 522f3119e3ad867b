"""A site behind a fake link, checked in order: each thing that can be wrong ends the order there."""

from __future__ import annotations

import getpass
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from scalebox_hpc.doctor import ask_site
from scalebox_hpc.doctor.examine_site import examine_site
from scalebox_hpc.doctor.facts import Movers
from scalebox_hpc.doctor.finding import Finding, ok
from scalebox_hpc.doctor.wishes import wishes
from scalebox_hpc.domain.site import Machine, Site, Ssh
from scalebox_hpc.errors import HostKeyChanged, LoginNeeded, SiteUnreachable
from scalebox_hpc.sites.base import Finished
from scalebox_hpc.testing.transport import FakeTransport

FAKE_SLURM = Path(__file__).parents[2] / "contract" / "fake_slurm"
ORDER = ["host", "host key", "log in", "login python", "shared", "slurm"]
ORDER += ["limits", "endings", "machine", "containers", "scratch", "transfers", "clock", "probe"]
MACHINES = {"cpu": Machine("cpu", cpus=1, partition="main")}

Answer = Callable[[Sequence[str], bytes], Finished | None]


@dataclass
class Scene:
    """A site on this machine that looks like another one."""

    directory: Path
    site: Site

    @property
    def home(self) -> Path:
        return self.directory / "home"

    @property
    def shared(self) -> Path:
        return self.home / "sbx"

    def transport(self, answer: Answer = lambda words, stdin: None) -> FakeTransport:
        return FakeTransport(self.home, answer=answer)

    def check(self, transport: FakeTransport | None = None, shared: str = "") -> list[Finding]:
        return list(
            examine_site(
                self.site,
                transport or self.transport(),
                shared or str(self.shared),
                wishes(self.site, ()),
                lambda: [ok("probe", "an element began")],
            )
        )


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setenv("PATH", f"{FAKE_SLURM}:/usr/bin:/bin")
    monkeypatch.setenv("FAKE_SLURM", str(tmp_path))
    (tmp_path / "partitions").write_text("PartitionName=main Default=YES State=UP MaxTime=2-00:00:00\n")
    (tmp_path / "home").mkdir()
    monkeypatch.setattr(ask_site, "movers", lambda site: Movers("ssh b true", "3.2.7", "3.1.3", "xxh3"))
    with socket.create_server(("127.0.0.1", 0)) as door:
        ssh = Ssh("127.0.0.1", port=door.getsockname()[1], config="/dev/null", python=sys.executable)
        yield Scene(tmp_path, Site("b", machines=MACHINES, ssh=ssh))


def failed(found: Sequence[Finding], check: str) -> Finding:
    """The one check that failed, which is this; all before it are good, all after it were not asked."""
    verdicts = [each.verdict for each in found]
    (bad,) = [each for each in found if each.verdict == "fail"]
    assert bad.check == check
    assert bad.remedy
    at = verdicts.index(bad.verdict)
    assert set(verdicts[:at]) <= {"ok", "warn"}
    assert set(verdicts[at + 1 :]) <= {"skip"}
    return bad


def test_a_site_that_is_good_is_asked_everything_in_order_and_left_as_it_was(scene: Scene) -> None:
    transport = scene.transport()
    found = scene.check(transport)
    assert list(dict.fromkeys(each.check for each in found)) == ORDER
    assert {each.verdict for each in found} <= {"ok", "warn"}, found
    told = {each.check: each.fact for each in found}
    assert "127.0.0.1, port" in told["host"]
    assert told["login python"] == f"Python {sys.version_info[0]}.{sys.version_info[1]}"
    assert str(scene.shared) in told["shared"]
    assert "would take an element of 1 cpus" in told["machine"]
    assert "within 1.5 s of the login node" in told["clock"]
    assert not list(scene.home.iterdir())
    assert all("sbatch" not in words or "--test-only" in words for words in transport.asked)


def test_paths_are_filled_in_over_there(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(scene.home))
    found = {each.check: each for each in scene.check(shared="~/$USER/sbx")}
    assert f"{scene.home}/{getpass.getuser()}/sbx: " in found["shared"].fact
    assert "a variable is not set" in failed(scene.check(shared="$NOT_SET_HERE/sbx"), "shared").fact


def test_a_port_at_which_nobody_listens(scene: Scene) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert scene.site.ssh is not None
    scene.site = replace(scene.site, ssh=replace(scene.site.ssh, port=port))
    transport = scene.transport()
    bad = failed(scene.check(transport), "host")
    assert bad.fact == f"127.0.0.1, port {port}: Connection refused"
    assert not transport.asked


@pytest.mark.parametrize(
    ("error", "check"),
    [
        (SiteUnreachable("b: kex closed", "look there"), "host"),
        (HostKeyChanged("b: another key", "ask the site"), "host key"),
        (LoginNeeded("b: nobody is logged in", "sbx site login b"), "log in"),
    ],
)
def test_a_login_that_does_not_work_is_told_as_what_it_is(
    scene: Scene, error: SiteUnreachable, check: str
) -> None:
    transport = scene.transport()
    transport.cut(error)
    bad = failed(scene.check(transport), check)
    assert (bad.fact, bad.remedy) == (error.fact, error.hint)


def test_a_python_that_is_missing_or_too_old(scene: Scene) -> None:
    assert scene.site.ssh is not None
    scene.site = replace(scene.site, ssh=replace(scene.site.ssh, python="python9"))
    assert "`python9` is no Python there" in failed(scene.check(), "login python").fact

    def old(words: Sequence[str], stdin: bytes) -> Finished | None:
        return Finished(0, b"Python 3.6\n", b"") if words[0] == "python9" else None

    assert "Python 3.6, which is too old" in failed(scene.check(scene.transport(old)), "login python").fact


def test_a_shared_folder_that_cannot_be_made(scene: Scene) -> None:
    bad = failed(scene.check(shared="/proc/sbx"), "shared")
    assert "/proc/sbx cannot be written" in bad.fact
    assert "`paths.shared`" in bad.remedy


def test_a_shared_folder_that_the_next_command_does_not_see(scene: Scene) -> None:
    def sweep(words: Sequence[str], stdin: bytes) -> Finished | None:
        if "look again" in words[-1]:
            (left,) = scene.home.glob(".sbx-check-*")
            left.unlink()
        return None

    assert "is gone for the next" in failed(scene.check(scene.transport(sweep)), "shared").fact


def test_slurm_that_is_not_in_path_there(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    bad = failed(scene.check(), "slurm")
    assert bad.fact.startswith(f"not in PATH on {socket.gethostname()}: sbatch")
    assert "PATH in ~/.bashrc" in bad.remedy


def test_a_partition_that_is_not_there(scene: Scene) -> None:
    def refuse(words: Sequence[str], stdin: bytes) -> Finished | None:
        said = b"sbatch: error: invalid partition specified: gpu"
        return Finished(1, b"", said) if "--test-only" in words and b"partition=gpu" in stdin else None

    scene.site = replace(scene.site, machines={"cpu": Machine("cpu", partition="gpu")})
    assert "invalid partition specified: gpu" in failed(scene.check(scene.transport(refuse)), "machine").fact


def test_a_partition_that_allows_less_time(scene: Scene) -> None:
    (scene.directory / "partitions").write_text("PartitionName=main Default=YES State=UP MaxTime=10:00\n")
    assert "MaxTime of main allows 10m" in failed(scene.check(), "machine").fact


def test_a_link_that_is_lost_in_the_middle(scene: Scene) -> None:
    def cut(words: Sequence[str], stdin: bytes) -> Finished | None:
        if "look again" in words[-1]:
            raise SiteUnreachable("b: the link was lost", "see whether the host is up")
        return None

    assert failed(scene.check(scene.transport(cut)), "shared").fact == "b: the link was lost"


def test_a_site_of_this_machine_is_asked_the_same(scene: Scene) -> None:
    scene.site = Site("here", "local", scratch=str(scene.home / "scratch"))
    found = {each.check: each for each in scene.check()}
    assert list(found) == [name for name in ORDER if name not in ("limits", "endings", "machine")]
    assert "this machine is its login node" in found["host"].fact
    assert str(scene.home / "scratch") in found["scratch"].fact
    assert {each.verdict for each in found.values()} <= {"ok", "warn"}
