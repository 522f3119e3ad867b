"""What was asked, judged: each way in which a machine or site can be wrong, and its remedy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scalebox_hpc.doctor import judge
from scalebox_hpc.doctor.facts import (
    Addresses,
    Clock,
    Containers,
    Daemon,
    HomeSeen,
    Ledger,
    Place,
    Runtime,
    Slurm,
)
from scalebox_hpc.doctor.finding import Finding, Verdict, worst
from scalebox_hpc.domain.site import Machine, Site
from scalebox_hpc.errors import LedgerProblem, PipelineErrors, Problem, UsageError
from scalebox_hpc.holder import Holder

GOOD = Place("/home/ada/.sbx", True, "", "nfs4", free_mib=100_000)
HOME = HomeSeen(GOOD.path)
HOLDER = Holder("login2", "m", "b", "p", 7, "1", "n")
APPTAINER = Runtime("apptainer", "/usr/bin/apptainer", "1.4.5", "apptainer")
HERE = Containers((APPTAINER,), wanted="", namespaces="", squashfuse=True, root=False)


def verdict(finding: Finding) -> str:
    """The verdict; what is not good has a remedy."""
    assert bool(finding.remedy) == (finding.verdict is not Verdict.OK)
    assert "\n" not in finding.fact + finding.remedy
    return finding.verdict


@pytest.mark.parametrize(
    ("version", "wanted"), [((3, 13, 1), "ok"), ((3, 11, 0), "ok"), ((3, 10, 9), "fail")]
)
def test_python(version: tuple[int, int, int], wanted: str) -> None:
    assert verdict(judge.python(version, "0.1.0")) == wanted


@pytest.mark.parametrize(
    ("change", "wanted", "said"),
    [
        ({}, "ok", "97.7G free on nfs4"),
        ({"exists": False}, "ok", "made when it is needed"),
        ({"problem": "/home/ada: Permission denied"}, "fail", "Permission denied"),
        ({"links": False}, "fail", "no hard links"),
        ({"locks": False}, "fail", "no locks"),
        ({"replaces": False}, "fail", "no rename over a file"),
        ({"free_inodes": 0}, "fail", "only 0 more files"),
        ({"free_inodes": 500}, "warn", "only 500 more files"),
        ({"network": True}, "ok", "on nfs4 (network); the ledger, if SQLite, is for the daemon alone"),
        ({"file_system": "tmpfs"}, "warn", "gone when this machine restarts"),
        ({"fsync_s": 0.7}, "warn", "a write takes 700 ms to be safe"),
        ({"free_mib": 500}, "warn", "500.0M free"),
        ({"free_mib": 5}, "fail", "5.0M free"),
    ],
)
def test_the_home_needs_room_links_and_locks(change: dict[str, object], wanted: str, said: str) -> None:
    found = judge.home(HOME, replace(GOOD, **change))  # type: ignore[arg-type]
    assert verdict(found) == wanted
    assert said in found.fact


def test_a_home_that_was_moved_says_what_to_type() -> None:
    moved = HomeSeen(
        GOOD.path, problem=UsageError("it was at /old", "if it was moved,\n  say `sbx daemon moved`")
    )
    found = judge.home(moved, GOOD)
    assert verdict(found) == "fail"
    assert found.remedy == "if it was moved, say `sbx daemon moved`"


@pytest.mark.parametrize(
    ("seen", "wanted", "said"),
    [
        (None, "ok", "none yet"),
        (Ledger("/l", 4.2, 3, 3), "ok", "format 3, 4.2M"),
        (Ledger("/l", 4.2, 4, 3), "fail", "knows up to 3"),
        (
            Ledger("/l", 4.2, problem=LedgerProblem("/l: the ledger cannot be read", "restore it")),
            "fail",
            "/l",
        ),
    ],
)
def test_ledger(seen: Ledger | None, wanted: str, said: str) -> None:
    found = judge.ledger(seen)
    assert verdict(found) == wanted
    assert said in found.fact


@pytest.mark.parametrize(
    ("seen", "wanted", "said"),
    [
        (Daemon(True, at="login1, process 5"), "ok", "runs at login1, process 5"),
        (Daemon(False), "ok", "none runs"),
        (Daemon(False, holder=HOLDER, gone=True), "ok", "none runs"),
        (Daemon(False, holder=HOLDER, lives=True), "fail", "process 7 on login2 does not answer"),
        (Daemon(False, holder=HOLDER), "fail", "nothing can be known"),
        (Daemon(False, problem=LedgerProblem("it says no", "help it")), "fail", "it says no"),
    ],
)
def test_daemon(seen: Daemon, wanted: str, said: str) -> None:
    found = judge.daemon(seen)
    assert verdict(found) == wanted
    assert said in found.fact


def test_site_file() -> None:
    site = Site("hpc1", machines={"thin": Machine("thin"), "fat": Machine("fat")})
    found = judge.site(site, "/etc/hpc1.toml", "hpc1")
    assert verdict(found) == "ok"
    assert found.fact == "hpc1 (slurm; machines: thin, fat) from /etc/hpc1.toml"


def test_a_wrong_site_file_is_told_by_its_first_problem() -> None:
    problems = [
        Problem("hpc1.toml", "batch", 3, "is odd", "write another"),
        Problem("hpc1.toml", "x", 4, "no"),
    ]
    found = judge.site(PipelineErrors(problems), "", "hpc1")
    assert verdict(found) == "fail"
    assert (found.fact, found.remedy) == ("hpc1.toml:3: batch: is odd (and 1 more)", "write another")


@pytest.mark.parametrize(
    ("seen", "wanted", "said"),
    [
        (None, "ok", "not needed"),
        (Slurm((), (24, 11), True), "ok", "Slurm 24.11, with slurmdbd"),
        (Slurm((), (20, 11), False), "ok", "without slurmdbd"),
        (Slurm((), (20, 2), False), "fail", "Slurm 20.02 is older than 20.11"),
        (Slurm(()), "fail", "does not answer"),
        (Slurm(("sbatch", "squeue")), "fail", "not in PATH: sbatch, squeue"),
    ],
)
def test_slurm(seen: Slurm | None, wanted: str, said: str) -> None:
    found = judge.slurm(seen)
    assert verdict(found) == wanted
    assert said in found.fact


@pytest.mark.parametrize(
    ("seen", "wanted", "said"),
    [
        (Clock(True), "ok", "nothing here to compare it with"),
        (
            Clock(False, 0.2, -0.9),
            "ok",
            "within 1.5 s of the file server; within 1.5 s of Slurm's controller",
        ),
        (Clock(False, None, 0.0), "ok", "nothing sets it"),
        (Clock(True, 3.0), "ok", "3s ahead of the file server"),
        (Clock(True, 0.0, -3600.0), "warn", "1h behind Slurm's controller"),
    ],
)
def test_a_wrong_clock_is_a_warning_at_most(seen: Clock, wanted: str, said: str) -> None:
    found = judge.clock(seen)
    assert verdict(found) == wanted
    assert said in found.fact


def test_compute_nodes_do_not_reach_a_loopback_address() -> None:
    alone = Addresses(("127.0.0.1",))
    assert verdict(judge.address(alone, "local")) == "ok"
    assert verdict(judge.address(alone, "slurm_cli")) == "fail"
    assert verdict(judge.address(Addresses(("10.0.0.1", "127.0.0.1")), "slurm_cli")) == "ok"


def test_compute_nodes_do_not_see_what_is_in_memory() -> None:
    in_memory = replace(GOOD, file_system="tmpfs")
    assert verdict(judge.shared(in_memory, "local")) == "ok"
    assert verdict(judge.shared(in_memory, "slurm_cli")) == "fail"
    assert verdict(judge.shared(GOOD, "slurm_cli")) == "ok"


def test_scratch_is_looked_at_where_tasks_run_here() -> None:
    assert verdict(judge.scratch("/scratch", None)) == "ok"
    assert verdict(judge.scratch("/scratch", replace(GOOD, problem="/: Read-only file system"))) == "fail"


def test_images_that_cannot_be_kept_where_the_site_says() -> None:
    assert verdict(judge.images(None, GOOD)) == "ok"
    assert verdict(judge.images(GOOD.path, GOOD)) == "ok"
    assert verdict(judge.images("/sw/images", GOOD)) == "warn"


@pytest.mark.parametrize(
    ("change", "wanted", "said"),
    [
        ({}, "ok", "apptainer 1.4.5 (/usr/bin/apptainer): warm by entering namespaces"),
        ({"runtimes": (replace(APPTAINER, setuid=True),)}, "ok", "warm by a shell loop"),
        ({"runtimes": (replace(APPTAINER, setuid=True),), "namespaces": "no"}, "ok", "warm by a shell loop"),
        ({"runtimes": (replace(APPTAINER, setuid=True),), "root": True}, "ok", "warm by entering namespaces"),
        ({"namespaces": "Operation not permitted"}, "warn", "cannot run here"),
        ({"namespaces": "Operation not permitted", "root": True}, "ok", "warm by entering namespaces"),
        ({}, "ok", "read through squashfuse"),
        ({"squashfuse": False}, "warn", "unpacked at each start"),
        ({"runtimes": ()}, "warn", "no container runtime is in PATH"),
        ({"wanted": "charliecloud"}, "warn", "charliecloud is not in PATH"),
    ],
)
def test_how_containers_will_be_used(change: dict[str, object], wanted: str, said: str) -> None:
    [found] = judge.containers(replace(HERE, **change))  # type: ignore[arg-type]
    assert verdict(found) == wanted
    assert said in found.fact


def test_the_runtime_of_the_site_comes_first_and_two_names_of_one_program_once() -> None:
    also = Runtime("singularity", "/usr/bin/singularity", "1.4.5", "apptainer")
    other = Runtime("charliecloud", "/usr/bin/ch-run", "0.38", "charliecloud")
    found = judge.containers(replace(HERE, runtimes=(APPTAINER, also, other), wanted="charliecloud"))
    assert [each.fact.split()[0] for each in found] == ["charliecloud", "also"]
    assert "apptainer 1.4.5" in found[1].fact


def test_the_worst_verdict_counts() -> None:
    good, bad = judge.slurm(None), judge.slurm(Slurm(()))
    assert worst([]) == worst([good]) == Verdict.OK
    assert worst([good, bad, good]) == Verdict.FAIL
