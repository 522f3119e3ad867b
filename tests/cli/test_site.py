"""`sbx site`: what it lists and shows, what it writes and refuses, and how one logs in."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from scalebox_hpc.config.site import read_site
from scalebox_hpc.errors import (
    ConflictError,
    EnvironmentProblem,
    HostKeyUnknown,
    LoginRefused,
    PipelineErrors,
    UsageError,
)
from scalebox_hpc.sites import command_line, host_keys, openssh
from scalebox_hpc.sites.host_keys import fingerprint_of
from scalebox_hpc.testing.sshd import Sshd, make_key, program, running
from tests.cli.conftest import Say

SBX = [sys.executable, "-c", "from scalebox_hpc.cli.entry import main; main()"]


@pytest.fixture(autouse=True)
def sites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of site files of a pipeline's own, and settings that are empty."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "site-configs"
    folder.mkdir()
    return folder


def test_ls_lists_all_that_can_be_named_and_what_is_wrong(sbx: Say, sbx_json: Say, sites: Path) -> None:
    (sites / "b.toml").write_text('batch = "slurm"\n[ssh]\nhost = "login.b"\n')
    (sites / "broken.toml").write_text('batch = "slurm"\n[ssh]\nhost = "x"\nhots = 1\n')
    found = {row["site"]: row for row in sbx_json(None, "site", "ls")["sites"]}
    assert list(found) == ["b", "broken", "local", "slurm"]
    assert found["b"] == {
        "site": "b",
        "batch": "slurm",
        "host": "login.b",
        "file": str(sites / "b.toml"),
        "problem": "",
    }
    assert "broken.toml:4: ssh.hots: unknown key" in found["broken"]["problem"]
    assert (found["local"]["batch"], found["local"]["host"]) == ("local", "")
    assert "login.b" in sbx(None, "site", "ls").stdout


def test_show_says_each_value_and_where_it_comes_from(sbx: Say, sbx_json: Say, sites: Path) -> None:
    (sites / "config").write_text(
        "Host b\n  HostName login.b.example\n  User there\n  ProxyJump me@gate:23\n"
    )
    (sites / "b.toml").write_text(
        'batch = "slurm"\nlost_after = "20m"\n[paths]\nshared = "~/x"\n[transfers]\nbandwidth = "10M"\n'
        f'[ssh]\nhost = "b"\nconfig = "{sites}/config"\n[machines.cpu]\ncpus = 4\n'
    )
    shown = sbx_json(None, "site", "show", "b")
    values = {value["key"]: (value["value"], value["origin"]) for value in shown["values"]}
    assert values["batch"] == ("slurm", "b.toml:1")
    assert values["lost_after"] == ("20m", "b.toml:2")
    assert values["interval"] == ("30s", "default")
    assert values["paths.shared"] == ("~/x", "b.toml:4")
    assert values["transfers.bandwidth"] == ("10M", "b.toml:6")
    assert values["transfers.keep"] == ("1m", "default")
    assert values["ssh.user"] == (None, "OpenSSH's files")
    assert values["machines.cpu.cpus"] == (4, "b.toml:11")
    assert values["machines.cpu.memory"] == (None, "default")
    assert shown["way"] == {"hosts": ["me@gate:23", "there@login.b.example:22"], "reached": "by paramiko"}
    text = sbx(None, "site", "show", "b").stdout
    assert "hosts: me@gate:23 -> there@login.b.example:22" in text
    assert sbx_json(None, "site", "show", "local")["way"] == {"reached": "this machine"}


def test_an_unknown_site_lists_those_there_are(sbx: Say) -> None:
    for verb in ("show", "login"):
        with pytest.raises(UsageError) as caught:
            sbx(None, "site", verb, "lokal")
        assert "did you mean `local`?" in caught.value.hint


def test_a_broken_file_is_told_with_all_its_problems(sbx: Say, sites: Path) -> None:
    (sites / "b.toml").write_text('batch = "slurm"\n[ssh]\nhost = "a b"\nport = 0\n')
    with pytest.raises(PipelineErrors) as caught:
        sbx(None, "site", "show", "b")
    assert len(caught.value.problems) == 2


def test_init_writes_the_template_once(sbx: Say, sbx_json: Say, tmp_path: Path) -> None:
    file = tmp_path / "config/sbx/sites/hpc1.toml"
    assert sbx_json(None, "site", "init", "hpc1") == {"site": "hpc1", "file": str(file)}
    assert read_site(file).ssh is None
    file.write_text("mine")
    with pytest.raises(ConflictError, match="already"):
        sbx(None, "site", "init", "hpc1")
    assert file.read_text() == "mine"


@pytest.mark.parametrize(
    ("said", "user", "host"), [("login.hpc2", None, "login.hpc2"), ("me@login.hpc2", "me", "login.hpc2")]
)
def test_init_for_a_host_makes_a_file_that_needs_no_more(
    sbx: Say, sites: Path, said: str, user: str | None, host: str
) -> None:
    assert "sbx site login hpc2" in sbx(None, "site", "init", "hpc2", "--host", said, "--here").stdout
    site = read_site(sites / "hpc2.toml")
    assert site.ssh is not None
    assert (site.batch, site.ssh.host, site.ssh.user) == ("slurm", host, user)


@pytest.mark.parametrize(
    "words",
    [
        ["../x"],
        ["template"],
        ["--", "-x"],
        ["b", "--host", "@b"],
        ["b", "--host", 'a"'],
        ["b", "--host", "-oX=y"],
    ],
)
def test_init_refuses_what_is_no_name(sbx: Say, tmp_path: Path, words: list[str]) -> None:
    with pytest.raises(UsageError):
        sbx(None, "site", "init", *words)
    assert not (tmp_path / "config").exists()


def test_there_is_nothing_to_log_in_to_here(sbx: Say) -> None:
    with pytest.raises(UsageError, match="without a login"):
        sbx(None, "site", "login", "local")


@pytest.fixture
def server(tmp_path: Path, sites: Path) -> Iterator[Sshd]:
    """A site `b` that is an sshd, whose host key the user does not know."""
    if program() is None:
        pytest.skip("no sshd is installed (apt-get install openssh-server)")
    with running(tmp_path / "sshd") as made:
        made.known_hosts.unlink()
        write_site(sites, made)
        yield made


def write_site(sites: Path, server: Sshd, **more: Any) -> None:
    """Write the file of site `b`."""
    lines = {"host": "127.0.0.1", "key": server.key, "known_hosts": server.known_hosts}
    said = [f'{key} = "{value}"' for key, value in lines.items()] + [f"port = {server.port}"]
    said += [f"{key} = {value}" for key, value in more.items()]
    (sites / "b.toml").write_text('batch = "slurm"\n[ssh]\n' + "\n".join(said))


def fingerprint(server: Sshd) -> str:
    """What its owner publishes."""
    return fingerprint_of((server.folder / "host_key.pub").read_text().split()[1])


def test_an_unknown_host_key_is_accepted_by_its_fingerprint(sbx: Say, sbx_json: Say, server: Sshd) -> None:
    with pytest.raises(HostKeyUnknown) as caught:
        sbx(None, "site", "login", "b")
    assert f"sbx site login b --accept {fingerprint(server)}" in caught.value.hint
    with pytest.raises(HostKeyUnknown):
        sbx(None, "site", "login", "b", "--accept", "SHA256:another")
    assert not server.known_hosts.exists()
    answer = sbx_json(None, "site", "login", "b", "--accept", fingerprint(server))
    assert answer == {"site": "b", "host": "127.0.0.1", "accepted": [fingerprint(server)], "master": False}
    assert sbx(None, "site", "login", "b").stdout == "b: the daemon can log in by itself\n"


def test_a_file_that_keeps_no_host_key_ends_the_login(
    sbx: Say, sites: Path, server: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.known_hosts = Path("/dev/null")
    write_site(sites, server)
    accepted: list[str] = []

    def accept(key: host_keys.ShownKey) -> None:
        assert len(accepted) < 3, "it goes round for ever"
        accepted.append(key.fingerprint)

    monkeypatch.setattr(host_keys, "accept", accept)
    with pytest.raises(EnvironmentProblem, match="/dev/null does not keep its host key") as caught:
        sbx(None, "site", "login", "b", "--accept", fingerprint(server))
    assert "[ssh] known_hosts" in caught.value.hint
    assert accepted == [fingerprint(server)]


@pytest.mark.parametrize(("typed", "status"), [(b"y\n", 0), (b"n\n", 4)])
def test_a_person_is_asked_for_an_unknown_host_key(server: Sshd, typed: bytes, status: int) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*SBX, "site", "login", "b"], stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    os.write(master, typed)
    seen = read_terminal(master)
    assert process.wait(60) == status
    assert fingerprint(server) in seen
    assert "Does the site publish this fingerprint?" in seen
    assert server.known_hosts.exists() is (status == 0)


def read_terminal(master: int) -> str:
    """All that comes out of a terminal until nobody has it open any more."""
    found = b""
    with open(master, "rb", buffering=0) as opened, suppress(OSError):  # that is how it says so
        while piece := opened.read(65536):
            found += piece
    return found.decode()


def test_a_login_that_the_site_refuses_says_why(sbx: Say, server: Sshd) -> None:
    make_key(server.key)
    with pytest.raises(LoginRefused) as caught:
        sbx(None, "site", "login", "b", "--accept", fingerprint(server))
    assert "ssh-copy-id" in caught.value.hint


def test_a_master_stays_open_for_the_daemon(sbx: Say, sites: Path, server: Sshd) -> None:
    write_site(sites, server, master="true")
    ssh = read_site(sites / "b.toml").ssh
    assert ssh is not None
    control = command_line.control_path(ssh)
    for _ in range(2):  # the second finds it open
        assert sbx(None, "site", "login", "b", "--accept", fingerprint(server)).stdout == "logged in at b\n"
        assert openssh.listens(control)
    openssh.leave(ssh, control)


def test_login_after_the_site_cut_everybody_off(sbx: Say, sites: Path, server: Sshd) -> None:
    write_site(sites, server, master="true")
    ssh = read_site(sites / "b.toml").ssh
    assert ssh is not None
    sbx(None, "site", "login", "b", "--accept", fingerprint(server))
    server.cut()
    assert sbx(None, "site", "login", "b").stdout == "logged in at b\n"
    openssh.leave(ssh, command_line.control_path(ssh))


def test_looking_at_sites_imports_neither_paramiko_nor_the_daemon(sites: Path) -> None:
    code = (
        "import sys; from scalebox_hpc.cli.app import app; app(['site', 'ls'], standalone_mode=False);"
        "sys.exit(bool({'paramiko', 'scalebox_hpc.daemon', 'scalebox_hpc.sites.ssh'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
