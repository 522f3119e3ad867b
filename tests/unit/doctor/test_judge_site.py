"""The way to a site, judged: each thing that can be wrong, its remedy, and the order of it all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scalebox_hpc.doctor import judge_site
from scalebox_hpc.doctor.facts import Door, Interpreter, Movers, Place
from scalebox_hpc.doctor.finding import Finding, Verdict, fail, ok, worst
from scalebox_hpc.domain.site import Site, Ssh
from scalebox_hpc.errors import (
    HostKeyChanged,
    HostKeyUnknown,
    LoginNeeded,
    LoginRefused,
    SiteTimeout,
    SiteUnreachable,
)

SSH = Ssh("login.b")
SITE = Site("b", ssh=SSH)
DOOR = Door("login.b", 22, took_s=0.012)
GOOD = Place("/home/ada/.sbx/shared", True, "", "nfs4", free_mib=100_000)
LOST = SiteUnreachable("b: the link was lost", "see whether the host is up")
MOVERS = Movers("ssh login.b true", "3.2.7", "3.1.3", "xxh3")
TYPE = "type: sbx site login b"


def verdict(finding: Finding) -> str:
    """The verdict; what is not good has a remedy."""
    assert bool(finding.remedy) == (finding.verdict is not Verdict.OK)
    return finding.verdict


@pytest.mark.parametrize(
    ("door", "error", "wanted", "said"),
    [
        (None, None, "ok", "this machine"),
        (DOOR, None, "ok", "login.b, port 22 answers in 12 ms"),
        (replace(DOOR, further=("inner.b",)), None, "ok", "; from there to inner.b"),
        (replace(DOOR, took_s=None), None, "ok", "ProxyCommand"),
        (replace(DOOR, problem="Connection refused"), None, "fail", "login.b, port 22: Connection refused"),
        (DOOR, LOST, "fail", "the link was lost"),
        (DOOR, SiteTimeout("b: `true` did not end in 60 s", "look there"), "fail", "did not end"),
        (DOOR, LoginRefused("no", "yes"), "ok", "answers"),
        (DOOR, HostKeyChanged("no", "yes"), "ok", "answers"),
    ],
)
def test_host(door: Door | None, error: SiteUnreachable | None, wanted: str, said: str) -> None:
    found = judge_site.host(door, error)
    assert verdict(found) == wanted
    assert said in found.fact


@pytest.mark.parametrize(
    ("error", "key", "login"),
    [
        (None, "ok", "ok"),
        (HostKeyUnknown("never accepted", TYPE), "fail", "fail"),
        (HostKeyChanged("another key", TYPE), "fail", "fail"),
        (LoginNeeded("nobody is logged in", TYPE), "ok", "fail"),
        (LoginRefused("it takes no key of yours", TYPE), "ok", "fail"),
    ],
)
def test_the_host_is_known_before_the_user_is(error: SiteUnreachable | None, key: str, login: str) -> None:
    assert verdict(judge_site.host_key(SSH, error)) == key
    found = judge_site.log_in(SSH, error, 0.2)
    assert verdict(found) == login
    assert found.remedy == (TYPE if error else "")


def test_a_site_that_is_here_needs_no_login() -> None:
    assert verdict(judge_site.host_key(None, None)) == verdict(judge_site.log_in(None, None, 0.1)) == "ok"


@pytest.mark.parametrize(
    ("seen", "wanted", "said"),
    [
        (Interpreter("python3", (3, 9)), "ok", "Python 3.9"),
        (Interpreter("python3", (3, 6)), "fail", "`python3` there is Python 3.6, which is too old"),
        (Interpreter("python9", None, "python9: not found"), "fail", "no Python there: python9: not found"),
        (Interpreter("false", None), "fail", "it said nothing"),
    ],
)
def test_python_of_the_login_node(seen: Interpreter, wanted: str, said: str) -> None:
    found = judge_site.python(seen)
    assert verdict(found) == wanted
    assert said in found.fact
    assert wanted == "ok" or "`python` in [ssh]" in found.remedy


@pytest.mark.parametrize(
    ("change", "again", "wanted", "said"),
    [
        ({}, True, "ok", "97.7G free on nfs4"),
        ({}, False, "fail", "gone for the next"),
        ({"problem": "/home: Permission denied"}, False, "fail", "Permission denied"),
        ({"free_mib": 5}, True, "fail", "5.0M free"),
        ({"file_system": "tmpfs"}, True, "fail", "in the memory of one machine"),
        ({"replaces": False}, True, "fail", "nfs4 has no rename over a file"),
        ({"links": False}, True, "warn", "no hard links"),
        ({"locks": False}, True, "ok", "without locks"),
    ],
)
def test_what_a_shared_folder_must_be(change: dict[str, object], again: bool, wanted: str, said: str) -> None:
    found = judge_site.shared(replace(GOOD, **change), again, SITE)  # type: ignore[arg-type]
    assert verdict(found) == wanted
    assert said in found.fact


def test_scratch_is_for_the_probe_where_tasks_run_elsewhere() -> None:
    assert "the probe looks" in judge_site.scratch("/scratch", None).fact
    assert verdict(judge_site.scratch("/scratch", replace(GOOD, problem="/: full"))) == "fail"


@pytest.mark.parametrize(
    ("seen", "wanted", "said", "remedy"),
    [
        (MOVERS, "ok", "rsync 3.2.7 here, 3.1.3 there; `ssh` asks nothing; verified by xxh3", ""),
        (Movers("", "3.2.7", "3.2.7", "xxh3"), "ok", "rsync 3.2.7 here; verified by xxh3", ""),
        (replace(MOVERS, rsync_here=""), "warn", "no rsync 3.1 or newer on this machine:", "install rsync"),
        (replace(MOVERS, rsync_there=""), "warn", "on its login node:", "install rsync"),
        (replace(MOVERS, noise="Welcome!"), "warn", "'Welcome!'", "start files"),
        (replace(MOVERS, problem="Permission denied"), "warn", "Permission denied", "ssh login.b true"),
        (replace(MOVERS, problem="no master", todo=TYPE), "warn", "no master", TYPE),
    ],
)
def test_what_moves_data(seen: Movers, wanted: str, said: str, remedy: str) -> None:
    found = judge_site.transfers(seen)
    assert verdict(found) == wanted
    assert said in found.fact
    assert remedy in found.remedy


def test_after_the_first_failure_nothing_is_asked() -> None:
    asked = []

    def ask(*found: Finding) -> list[Finding]:
        asked.append(found[0].check)
        return list(found)

    bad = fail("two", "no", "do this")
    found = list(
        judge_site.in_order(
            {
                "one": lambda: ask(ok("one", "fine")),
                "two": lambda: ask(bad, ok("more", "fine")),
                "three": lambda: ask(ok("three", "fine")),
                "four": lambda: ask(ok("four", "fine")),
            }
        )
    )
    assert asked == ["one", "two"]
    assert [(each.check, each.verdict) for each in found] == [
        ("one", "ok"), ("two", "fail"), ("more", "ok"), ("three", "skip"), ("four", "skip"),
    ]  # fmt: skip
    assert found[-1].fact == "not asked: see `two`"
    assert worst(found) is Verdict.FAIL


def test_a_link_that_is_lost_on_the_way_is_told_where_it_was() -> None:
    def lose() -> list[Finding]:
        raise LOST

    found = list(judge_site.in_order({"slurm": lose, "clock": lambda: [ok("clock", "fine")]}))
    assert [(each.check, each.verdict) for each in found] == [("slurm", "fail"), ("clock", "skip")]
    assert found[0].remedy == "see whether the host is up"
