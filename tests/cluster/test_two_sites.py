"""Sanity of two sites and of what tests do to them, so that another test's failure is about what it tests."""

import shutil
from collections.abc import Callable

import pytest

from scalebox_hpc.testing.delay_proxy import Line
from tests.cluster.box import Site, wait_until
from tests.cluster.site_faults import (
    cut_link,
    end_connections,
    end_processes,
    full_quota,
    little_room,
    more_room,
    parted,
    processes,
    reboot_login,
    without_sshd,
)
from tests.cluster.slurm import until_jobs_saved
from tests.cluster.trees import add_awkward, differences, make_tree
from tests.cluster.two_sites import (
    SECOND_FACTOR_PORT,
    TwoSites,
    answering,
    host_key,
    known_key,
    long_line,
)
from tests.scenarios.lab import Lab

QUICK = ("-o", "ConnectTimeout=1")
COMMAND = ("sleep", "86321")


def from_a(two: TwoSites, command: str, *options: str, host: str = "") -> tuple[int, str]:
    """Run a command at b through ssh from a: its exit code, and all that was said."""
    line = f"{two.ssh(host or two.b.login, *options)} {command}"
    done = two.a.run(two.a.login, line, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_other_site_has_its_own_names_for_things(two_sites: TwoSites) -> None:
    ask = "whoami; pwd; command -v python3; sinfo -h -o %P; /opt/python/bin/python3 -V"
    code, said = from_a(two_sites, f"'{ask}'")
    *names, version = said.splitlines()
    assert (code, names) == (0, ["lab", "/users/lab", "batch*", "urgent"]), said
    assert version.startswith("Python 3."), said


def test_jobs_run_at_the_other_site_and_its_python_is_whole(two_sites: TwoSites) -> None:
    ask = "import os, ssl; print(os.uname().nodename)"
    code, said = from_a(two_sites, f"""srun -N2 /opt/python/bin/python3 -c "'{ask}'" """)
    assert (code, sorted(said.split())) == (0, two_sites.b.nodes), said


@pytest.mark.parametrize("tool", ["rsync", "xxhsum", "b3sum", "zstd", "sha256sum"])
def test_both_sites_have_what_data_is_moved_with(two_sites: TwoSites, tool: str) -> None:
    for site in (two_sites.a, two_sites.b):
        assert site.run(site.login, f"{tool} --version").returncode == 0


def test_compute_hosts_of_the_other_site_are_reached_through_its_login_host_only(two_sites: TwoSites) -> None:
    node = two_sites.b.nodes[0]
    code, said = from_a(two_sites, "hostname", *QUICK, host=node)
    assert code == 255, said
    assert from_a(two_sites, "hostname", "-J", f"lab@{two_sites.b.login}", host=node) == (0, f"{node}\n")


def test_a_second_factor_is_wanted_and_a_master_lets_in_without(two_sites: TwoSites) -> None:
    through = ("-p", str(SECOND_FACTOR_PORT), "-S", "~/.ssh/m-%C")
    code, said = from_a(two_sites, "true", *through)
    assert (code, "keyboard-interactive" in said) == (255, True), said
    a, master = two_sites.a, " ".join(["ssh -MNf", *through, "lab@siteb"])
    wrong = a.run(a.login, f"{answering(a, '0')} {master}", check=False)
    assert wrong.returncode == 255, wrong.stderr
    a.run(a.login, f"{answering(a)} {master}")
    assert from_a(two_sites, "whoami", *through) == (0, "lab\n")
    a.run(a.login, " ".join(["ssh -O exit", *through, "lab@siteb"]))
    assert from_a(two_sites, "whoami", *through)[0] == 255


def test_a_host_key_can_be_unknown_or_another(two_sites: TwoSites) -> None:
    a, b = two_sites.a, two_sites.b
    with known_key(a, b, None):
        assert (
            "No ED25519 host key is known" in from_a(two_sites, "true", "-o", "StrictHostKeyChecking=yes")[1]
        )
    with known_key(a, b, host_key(a)):
        assert "IDENTIFICATION HAS CHANGED" in from_a(two_sites, "true")[1]
    with known_key(a, b, host_key(b)):
        assert from_a(two_sites, "true")[0] == 0
    assert from_a(two_sites, "true")[0] == 0


@pytest.mark.parametrize("fault", [cut_link, without_sshd])
def test_a_fault_of_the_login_host_ends_with_its_context(two_sites: TwoSites, fault: Callable) -> None:
    with fault(two_sites.b):
        assert from_a(two_sites, "true", *QUICK)[0] == 255
    wait_until(lambda: from_a(two_sites, "true", *QUICK)[0] == 0, 20, "the way back")


def test_a_long_line_leads_to_the_same_host(two_sites: TwoSites) -> None:
    with long_line(two_sites, Line()) as port:
        way = ("-p", str(port), "-o", "StrictHostKeyChecking=yes")
        assert from_a(two_sites, "hostname", *way, host="localhost") == (0, "siteb\n")
    assert from_a(two_sites, "hostname", *way, host="localhost")[0] == 255


def test_sites_that_are_parted_go_on_by_themselves(two_sites: TwoSites) -> None:
    a, b = two_sites.a, two_sites.b
    with parted(a, b):
        assert from_a(two_sites, "true", *QUICK)[0] == 255
        for site in (a, b):
            assert site.run(site.login, f"ssh {site.nodes[0]} hostname").stdout == f"{site.nodes[0]}\n"
    assert from_a(two_sites, "true")[0] == 0


def test_what_was_left_cut_is_mended_by_up(two_sites: TwoSites) -> None:
    b = two_sites.b
    b.box.call("wan", "sitea", "siteb", "down")
    b.link(b.login, up=False)
    b.box.call("up", "siteb", settings=b.settings)
    wait_until(lambda: from_a(two_sites, "true", *QUICK)[0] == 0, 20, "the way back")


def test_two_others_need_not_see_each_other(two_sites: TwoSites, third_site: Site) -> None:
    a, b, c = two_sites.a, two_sites.b, third_site
    across = " ".join(["ssh -o BatchMode=yes", *QUICK, f"sci@{c.login} whoami"])
    assert b.run(b.login, across).stdout == "sci\n"
    with parted(b, c):
        assert b.run(b.login, across, check=False).returncode == 255
        assert a.run(a.login, across).stdout == "sci\n"
        assert from_a(two_sites, "whoami") == (0, "lab\n")


def test_a_connection_can_be_ended_and_its_command_found(two_sites: TwoSites) -> None:
    a, b = two_sites.a, two_sites.b
    client = a.start(a.login, f"exec {two_sites.ssh(b.login)} {' '.join(COMMAND)}")
    [there] = wait_until(lambda: processes(b, b.login, *COMMAND), 20, "the command")
    [here] = processes(a, a.login, *COMMAND)
    assert there != here
    end_connections(b)
    assert client.wait(20) == 255
    assert end_processes(b, b.login, *COMMAND) == 1
    assert from_a(two_sites, "true")[0] == 0
    a.stop(client)


def test_a_login_host_is_booted_again_with_its_jobs(two_sites: TwoSites) -> None:
    b = two_sites.b
    job = b.run(b.login, "sbatch --parsable -o /dev/null --wrap 'sleep 60'").stdout.strip()
    state = f"squeue -h -j {job} -o %T"
    wait_until(lambda: b.run(b.login, state).stdout == "RUNNING\n", 20, "the job")
    until_jobs_saved(b, [job])
    reboot_login(b)
    assert b.run(b.login, state).stdout == "RUNNING\n"
    assert from_a(two_sites, "true")[0] == 0
    b.run(b.login, f"scancel {job}")


def test_a_target_can_be_full_and_get_room(two_sites: TwoSites) -> None:
    b, fill = two_sites.b, "'dd if=/dev/zero of=small/file bs=1M count=3'"
    with little_room(b, f"{b.home_inside}/small", mib=2):
        code, said = from_a(two_sites, fill)
        assert (code, "No space left" in said) == (1, True), said
        more_room(b, f"{b.home_inside}/small", mib=4)
        assert from_a(two_sites, fill)[0] == 0


def test_a_quota_is_felt_and_ends_with_its_context(two_sites: TwoSites) -> None:
    b, fill = two_sites.b, "'dd if=/dev/zero of=~/quota/file bs=1M count=3'"
    b.run(b.login, "mkdir -p quota && rm -f quota/*")
    with full_quota(b, f"{b.home_inside}/quota", most_bytes=2 << 20):
        code, said = from_a(two_sites, fill)
        assert (code, "quota exceeded" in said) == (1, True), said
        assert (b.home / "quota" / "file").stat().st_size == 2 << 20
        assert from_a(two_sites, "'rm ~/quota/file && dd if=/dev/zero of=~/quota/less bs=1M count=1'")[0] == 0
    assert from_a(two_sites, fill)[0] == 0


def test_trees_are_equal_after_rsync_and_a_flipped_byte_is_seen(two_sites: TwoSites) -> None:
    a, b = two_sites.a, two_sites.b
    made, came = add_awkward(make_tree(a.scratch / "tree", files=250, size_bytes=512)), b.scratch / "tree"
    shutil.rmtree(came, ignore_errors=True)
    a.run(a.login, "rsync -a /scratch/tree/ lab@siteb:/scratch/tree/")
    assert differences(made, came) == []
    file = came / "d0001" / "f000123"
    kept = file.stat()
    content = bytearray(file.read_bytes())
    content[7] ^= 1
    file.write_bytes(content)
    [said] = differences(made, came)
    assert "f000123" in said, kept
    (came / "d0000" / "f000001").unlink()
    assert len(differences(made, came)) == 2


def test_a_lab_has_a_site_file_for_the_other_site(lab_of_two: Lab) -> None:
    assert 'host = "siteb"' in (lab_of_two.directory / "site-configs" / "b.toml").read_text()


def test_slurm_of_the_sites_is_not_shared(two_sites: TwoSites) -> None:
    def nodes(site: Site) -> list[str]:
        return sorted(site.run(site.login, "sinfo -h -N -o %N").stdout.split())

    assert (set(nodes(two_sites.a)), set(nodes(two_sites.b))) == (
        {*two_sites.a.nodes},
        {*two_sites.b.nodes},
    )
