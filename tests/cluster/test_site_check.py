"""`sbx site check` of a site that is reached by ssh alone: what is good, and each thing that can be wrong."""

import json
import re
import subprocess
from typing import Any

from tests.cluster.box import Site, wait_until
from tests.cluster.site_faults import end_processes, kill_sshd, little_room, start_sshd, without_sshd
from tests.cluster.two_sites import SECOND_FACTOR_PORT, TwoSites, host_key, known_key

BEFORE_PROBE = [
    "site",
    "host",
    "host key",
    "log in",
    "login python",
    "shared",
    "slurm",
    "limits",
    "endings",
    "machine",
]
BEFORE_PROBE += ["containers", "scratch", "transfers", "clock"]
DIRECTORY = "site-check"
SHARED = "/users/lab/sbx-check"


def checked(two: TwoSites, *options: str, site_file: str = "") -> dict[str, Any]:
    """What it says of b, typed at a, by check; the first of each."""
    a = two.a
    a.write(a.home / DIRECTORY / "site-configs" / "b.toml", site_file or two.file_of_b())
    done = a.run(a.login, f"cd {DIRECTORY} && {a.sbx} site check b --json {' '.join(options)}", check=False)
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert done.returncode == (4 if found["verdict"] == "fail" else 0), done.stdout
    checks: dict[str, Any] = {}
    for check in found["checks"]:
        checks.setdefault(check["check"], check)
    return checks


def failed(found: dict[str, Any], check: str) -> dict[str, Any]:
    """The check that failed, which is this one; those of a machine apart, nothing after it was asked."""
    verdicts = {name: each["verdict"] for name, each in found.items()}
    assert [name for name, each in verdicts.items() if each == "fail"] == [check], found
    after = list(verdicts.values())[list(verdicts).index(check) + 1 :]
    assert set(after) <= {"skip"}, verdicts
    return dict(found[check])


def left_at(b: Site) -> str:
    """What a check left at b: jobs, processes, files."""
    asked = "squeue --noheader --me; pgrep -af 'relay.*[p]yz'; ls -A ~/.sbx/shared"
    return b.run(b.login, asked, check=False).stdout


def test_a_good_site_is_proved_down_to_a_node_that_calls_home(two_sites: TwoSites) -> None:
    found = checked(two_sites)
    assert {each["verdict"] for each in found.values()} <= {"ok", "warn"}, found
    assert list(found)[: len(BEFORE_PROBE)] == BEFORE_PROBE
    assert found["host"]["fact"].startswith("siteb, port 22 answers in ")
    assert "/users/lab/.sbx/shared" in found["shared"]["fact"]
    assert "partition batch is UP" in found["machine"]["fact"]
    node = found["probe"]["fact"].split("began on ")[1].split()[0]
    assert node in (two_sites.b.login, *two_sites.b.nodes)
    assert "a listener in the daemon's place was reached from" in found["reach"]["fact"]
    assert found["node python"]["verdict"] == found["node scratch"]["verdict"] == "ok"
    assert left_at(two_sites.b) == ""
    assert not list((two_sites.a.home / DIRECTORY).glob(".sbx*"))


def test_doctor_says_the_same_of_a_site_elsewhere(two_sites: TwoSites) -> None:
    a = two_sites.a
    a.write(a.home / DIRECTORY / "site-configs" / "b.toml", two_sites.file_of_b())
    said = a.run(a.login, f"cd {DIRECTORY} && {a.sbx} doctor --site b --json").stdout
    names = list(dict.fromkeys(each["check"] for each in json.loads(said)["checks"]))
    assert names[names.index("site") :] == BEFORE_PROBE


def test_a_host_key_that_is_another_or_unknown(two_sites: TwoSites) -> None:
    a, b = two_sites.a, two_sites.b
    with known_key(a, b, host_key(a)):
        assert "not the one you accepted" in failed(checked(two_sites), "host key")["fact"]
    with known_key(a, b, None):
        assert "sbx site login b" in failed(checked(two_sites), "host key")["remedy"]


def test_a_login_host_without_sshd(two_sites: TwoSites) -> None:
    with without_sshd(two_sites.b):
        assert failed(checked(two_sites), "host")["fact"] == "siteb, port 22: Connection refused"
    assert checked(two_sites, "--no-probe")["log in"]["verdict"] == "ok"


def test_a_master_that_is_gone_names_the_command_to_type(two_sites: TwoSites) -> None:
    file = two_sites.file_of_b(ssh=f"port = {SECOND_FACTOR_PORT}\nmaster = true")
    assert "sbx site login b" in failed(checked(two_sites, site_file=file), "log in")["remedy"]


def test_a_partition_that_the_other_site_has_not(two_sites: TwoSites) -> None:
    file = two_sites.file_of_b().replace('"batch"', '"main"')
    assert "main" in failed(checked(two_sites, site_file=file), "machine")["fact"]


def test_a_shared_folder_that_cannot_be_written_or_is_full(two_sites: TwoSites) -> None:
    shut = two_sites.file_of_b() + '\n[paths]\nshared = "/proc/sbx"\n'
    assert "/proc/sbx cannot be written" in failed(checked(two_sites, site_file=shut), "shared")["fact"]
    full = two_sites.file_of_b() + f'\n[paths]\nshared = "{SHARED}"\n'
    with little_room(two_sites.b, SHARED):
        assert "in the memory of one machine" in failed(checked(two_sites, site_file=full), "shared")["fact"]


def test_nodes_without_that_python(two_sites: TwoSites) -> None:
    own = f'python = "{two_sites.b.settings.python_at}"'
    file = two_sites.file_of_b().replace(own, 'python = "python9"', 1)
    probe = failed(checked(two_sites, site_file=file), "probe")
    assert "python9 was not found on" in probe["fact"]
    assert left_at(two_sites.b) == ""


def test_a_probe_whose_link_is_lost_says_what_it_may_have_left(two_sites: TwoSites) -> None:
    a, b = two_sites.a, two_sites.b
    a.write(a.home / DIRECTORY / "site-configs" / "b.toml", two_sites.file_of_b())
    assert left_at(b) == ""
    b.run(b.login, "scontrol update partitionname=batch state=down", root=True)
    listed = "squeue --noheader --me --format=%j"
    check = a.start(a.login, f"cd {DIRECTORY} && {a.sbx} site check b --json", stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: b.run(b.login, listed).stdout, 60, "the probe in the queue")
        kill_sshd(b)
        found = json.loads(check.communicate(timeout=120)[0])["checks"][-1]
    finally:
        start_sshd(b)
        b.run(b.login, "scontrol update partitionname=batch state=up", root=True)
    assert (found["check"], found["verdict"]) == ("probe", "fail"), found
    name, folder = re.findall(r"scancel --name=(\S+); rm -r (\S+)", found["remedy"])[0]
    assert name in b.run(b.login, listed).stdout
    end_processes(b, b.login, folder)  # a relay that is alone for two minutes leaves by itself
    b.run(b.login, f"scancel --name={name}; rm -r {folder}")
    assert left_at(b) == ""


def test_a_login_host_without_that_python(two_sites: TwoSites) -> None:
    file = two_sites.file_of_b(ssh="").split("[ssh]")
    there = file[1].replace(two_sites.b.settings.python_at, "python9", 1)
    found = failed(checked(two_sites, site_file="[ssh]".join([file[0], there])), "login python")
    assert "`python9` is no Python there" in found["fact"]


def test_an_unreadable_site_file_is_told_by_place_and_remedy(two_sites: TwoSites) -> None:
    a = two_sites.a
    a.write(a.home / DIRECTORY / "site-configs" / "b.toml", "batch = 'slurm'\n[ssh]\nhosts = 'b'\n")
    done = a.run(a.login, f"cd {DIRECTORY} && {a.sbx} site check b", check=False)
    assert done.returncode == 2
    assert "b.toml:3: ssh.hosts: unknown key" in done.stderr
