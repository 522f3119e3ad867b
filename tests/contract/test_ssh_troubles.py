"""What keeps one from a site, by either way to ssh: each trouble is told for what it is, and in time."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scalebox_hpc.domain.site import Site, Ssh
from scalebox_hpc.errors import HostKeyChanged, HostKeyUnknown, LoginNeeded, LoginRefused, SiteUnreachable
from scalebox_hpc.sites import command_line, host_keys, openssh, registry, resolved
from scalebox_hpc.sites import ssh as by_paramiko
from scalebox_hpc.sites.base import Transport
from scalebox_hpc.sites.local import LocalTransport
from scalebox_hpc.sites.openssh import OpenSshTransport
from scalebox_hpc.sites.ssh import SshTransport
from scalebox_hpc.testing.sshd import Sshd, make_key, program, running

pytestmark = pytest.mark.skipif(program() is None, reason="no sshd is installed")
Reach = Callable[[Ssh], Transport]
KINDS = {"paramiko": SshTransport, "openssh": OpenSshTransport}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """An sshd that stays as it is."""
    with running(tmp_path_factory.mktemp("sshd")) as made:
        yield made


@pytest.fixture(params=KINDS)
def reach(request: pytest.FixtureRequest) -> Iterator[Reach]:
    """Make a transport of either kind; it is closed at the end."""
    made: list[Transport] = []

    def make(ssh: Ssh) -> Transport:
        made.append(KINDS[request.param]("b", ssh))
        return made[-1]

    yield make
    for transport in made:
        transport.close()


def knock(transport: Transport) -> SiteUnreachable:
    """The error that a command meets."""
    with pytest.raises(SiteUnreachable) as caught:
        transport.run(["true"], timeout_s=60)
    return caught.value


def test_a_host_that_the_user_never_accepted(server: Sshd, reach: Reach, tmp_path: Path) -> None:
    problem = knock(reach(replace(server.ssh, known_hosts=str(tmp_path / "none"))))
    assert type(problem) is HostKeyUnknown
    assert "sbx site login b" in problem.hint


def test_a_host_whose_key_is_not_the_accepted_one(server: Sshd, reach: Reach, tmp_path: Path) -> None:
    make_key(tmp_path / "other")
    kind, blob = (tmp_path / "other.pub").read_text().split()[:2]
    known = tmp_path / "known"
    known.write_text(f"[127.0.0.1]:{server.port} {kind} {blob}\n")
    problem = knock(reach(replace(server.ssh, known_hosts=str(known))))
    assert type(problem) is HostKeyChanged
    assert "ssh-keygen -R" in problem.hint


def test_a_host_with_several_accepted_keys_may_show_any(server: Sshd, reach: Reach, tmp_path: Path) -> None:
    make_key(tmp_path / "other")
    known = tmp_path / "known"
    known.write_text(f"[127.0.0.1]:{server.port} {(tmp_path / 'other.pub').read_text()}")
    server.trust(known)
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", known], check=True, capture_output=True)  # hash the names
    assert reach(replace(server.ssh, known_hosts=str(known))).run(["true"], timeout_s=60).exit_code == 0


def test_a_host_that_refuses_the_key(server: Sshd, reach: Reach, tmp_path: Path) -> None:
    make_key(tmp_path / "stranger")
    problem = knock(reach(replace(server.ssh, key=str(tmp_path / "stranger"))))
    assert type(problem) is LoginRefused
    assert "[ssh] key" in problem.hint


def test_a_changed_host_key_is_told_at_the_login_too(server: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known"
    known.write_text(f"[127.0.0.1]:{server.port} {Path(f'{server.key}.pub').read_text()}")
    with pytest.raises(HostKeyChanged) as caught:
        host_keys.unknown_key("b", replace(server.ssh, known_hosts=str(known)))
    assert "sbx site login b" in caught.value.hint


def test_a_key_with_a_passphrase_is_never_asked_for(server: Sshd, reach: Reach, tmp_path: Path) -> None:
    make_key(tmp_path / "locked", passphrase="secret words")
    problem = knock(reach(replace(server.ssh, key=str(tmp_path / "locked"))))
    assert type(problem) is LoginRefused
    assert "ssh-add" in problem.hint


def test_a_key_with_a_passphrase_works_where_an_agent_holds_it(
    server: Sshd, reach: Reach, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "locked"
    key.write_bytes(server.key.read_bytes())
    key.chmod(0o600)
    Path(f"{key}.pub").write_bytes(Path(f"{server.key}.pub").read_bytes())
    agent = subprocess.Popen(
        ["ssh-agent", "-D", "-a", tmp_path / "agent"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    try:
        assert agent.stdout is not None
        agent.stdout.readline()  # it listens
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        subprocess.run(["ssh-add", "-q", key], check=True, capture_output=True)
        lock = ["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret words", "-f", str(key)]
        subprocess.run(lock, check=True, capture_output=True)
        assert reach(replace(server.ssh, key=str(key))).run(["true"], timeout_s=60).exit_code == 0
    finally:
        agent.terminate()
        agent.communicate()


def test_a_host_that_is_down(server: Sshd, reach: Reach) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        problem = knock(reach(replace(server.ssh, port=port)))
    assert type(problem) is SiteUnreachable
    assert "refused" in problem.fact


def test_a_host_without_an_address(server: Sshd, reach: Reach) -> None:
    problem = knock(reach(replace(server.ssh, host="no-such-host.invalid")))
    assert type(problem) is SiteUnreachable
    assert "no-such-host.invalid" in problem.fact


def test_a_host_that_takes_connections_and_never_answers(
    server: Sshd, reach: Reach, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_line, "CONNECT_S", 1)
    monkeypatch.setattr(command_line, "_QUIET", ("LogLevel=ERROR", "ConnectTimeout=1"))
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        problem = knock(reach(replace(server.ssh, port=deaf.getsockname()[1])))
    assert type(problem) is SiteUnreachable


def test_an_unknown_host_is_shown_and_accepted(server: Sshd, reach: Reach, tmp_path: Path) -> None:
    ssh = replace(server.ssh, known_hosts=str(tmp_path / "new folder" / "known"))
    shown = host_keys.unknown_key("b", ssh)
    assert shown is not None
    said = subprocess.run(
        ["ssh-keygen", "-lf", server.folder / "host_key.pub"], check=True, capture_output=True, text=True
    ).stdout
    assert shown.fingerprint in said.split()
    host_keys.accept(shown)
    assert host_keys.unknown_key("b", ssh) is None
    assert reach(ssh).run(["true"], timeout_s=60).exit_code == 0


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Sshd]:
    """A second sshd, to jump through."""
    with running(tmp_path / "gate") as made:
        yield made


def test_through_a_jump_host_with_a_host_key_of_its_own(
    server: Sshd, gate: Sshd, reach: Reach, tmp_path: Path
) -> None:
    known = tmp_path / "known"
    ssh = replace(server.ssh, jump=(f"127.0.0.1:{gate.port}",), known_hosts=str(known))
    with (gate.folder / "authorized_keys").open("a") as keys:
        keys.write(Path(f"{server.key}.pub").read_text())
    assert type(knock(reach(ssh))) is HostKeyUnknown
    for _ in range(2):  # the gate's, then the site's
        shown = host_keys.unknown_key("b", ssh)
        assert shown is not None
        host_keys.accept(shown)
    assert [line.split()[0] for line in known.read_text().splitlines()] == [
        f"[127.0.0.1]:{gate.port}",
        f"[127.0.0.1]:{server.port}",
    ]
    script = 'set -- $SSH_CONNECTION; echo "$2"'
    transport = reach(ssh)
    came_from = transport.run(["sh", "-c", script], timeout_s=60).stdout.strip()
    assert transport.run(["cat"], stdin=b"through", timeout_s=60).stdout == b"through"
    gate.stop()
    assert came_from.isdigit()
    assert isinstance(knock(transport), SiteUnreachable)


def test_two_jump_hosts_one_after_the_other(server: Sshd, gate: Sshd, reach: Reach) -> None:
    for each in (server, gate):
        each.trust(server.known_hosts)
        with (each.folder / "authorized_keys").open("a") as keys:
            keys.write(Path(f"{server.key}.pub").read_text())
    jumps = (f"127.0.0.1:{gate.port}", f"127.0.0.1:{server.port}")
    assert reach(replace(server.ssh, jump=jumps)).run(["echo", "far"], timeout_s=60).stdout == b"far\n"


@pytest.fixture
def alias(server: Sshd, gate: Sshd, tmp_path: Path) -> Ssh:
    """A site of which only a name of ssh_config is said; that file includes another one."""
    server.trust(gate.known_hosts)
    (tmp_path / "more").write_text(
        f"Host cluster\n  HostName 127.0.0.1\n  Port {server.port}\n  ProxyJump gate\n"
        f"  IdentityFile {server.key}\n  UserKnownHostsFile {gate.known_hosts}\n"
    )
    config = tmp_path / "config"
    config.write_text(
        f"Include {tmp_path}/more\nMatch originalhost gate\n  HostName 127.0.0.1\n  Port {gate.port}\n"
        f"  IdentityFile {gate.key}\n  UserKnownHostsFile {gate.known_hosts}\n"
    )
    return Ssh(host="cluster", config=str(config))


def test_a_name_of_ssh_config_brings_all_that_it_says(alias: Ssh, reach: Reach) -> None:
    assert reach(alias).run(["echo", "alias"], timeout_s=60).stdout == b"alias\n"


def test_the_way_is_read_as_openssh_reads_it(alias: Ssh, server: Sshd, gate: Sshd) -> None:
    hops = resolved.way_to(alias)
    assert [hop.port for hop in hops] == [gate.port, server.port]
    assert [hop.keys for hop in hops] == [(str(gate.key),), (str(server.key),)]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("", ""),
        ("ProxyCommand nc %h %p", "ProxyCommand"),
        ("IdentityAgent /somewhere/agent", "IdentityAgent"),
        ("CertificateFile /somewhere/id-cert.pub", "certificatefile"),
        ("VerifyHostKeyDNS yes", "VerifyHostKeyDNS"),
    ],
)
def test_what_only_openssh_can_do_is_left_to_it(tmp_path: Path, said: str, why: str) -> None:
    config = tmp_path / "config"
    config.write_text(f"Host b\n  {said}\n" if said else "")
    assert registry.only_openssh(Ssh("b", config=str(config), known_hosts=str(tmp_path / "none"))) == why


def test_a_certified_host_is_left_to_openssh(server: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known"
    known.write_text(f"@cert-authority [127.0.0.1]:* {Path(f'{server.key}.pub').read_text()}")
    assert registry.only_openssh(replace(server.ssh, known_hosts=str(known))) == registry.CERTIFIED


def test_the_registry_takes_what_fits(server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(registry.transport_of(Site("here")), LocalTransport)
    assert isinstance(
        registry.transport_of(Site("b", ssh=replace(server.ssh, master=True))), OpenSshTransport
    )
    config = tmp_path / "config"
    config.write_text("Host *\n  ProxyCommand nc %h %p\n")
    for kind in (SshTransport, OpenSshTransport):
        monkeypatch.setattr(kind, "run", lambda self, *_, **__: self)
    for ssh, wanted in (
        (server.ssh, SshTransport),
        (replace(server.ssh, config=str(config)), OpenSshTransport),
    ):
        assert type(registry.transport_of(Site("b", ssh=ssh)).run(["true"], timeout_s=1)) is wanted


def test_a_master_that_is_gone_needs_a_login_and_nobody_knocks(server: Sshd) -> None:
    ssh = replace(server.ssh, master=True)
    transport = OpenSshTransport("b", ssh)
    before = (server.folder / "log").read_bytes()
    for ask in (lambda: transport.run(["true"], timeout_s=60), lambda: transport.open(["cat"])):
        with pytest.raises(LoginNeeded) as caught:
            ask()
        assert caught.value.hint == "sbx site login b"
    done = subprocess.run(
        [*command_line.ssh_words(ssh), command_line.destination(ssh), "true"],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 255
    assert (server.folder / "log").read_bytes() == before
    openssh.log_in("b", ssh, transport, 60)
    try:
        assert transport.run(["echo", "in"], timeout_s=60).stdout == b"in\n"
        transport.close()
        assert transport.run(["echo", "still"], timeout_s=60).stdout == b"still\n"
    finally:
        openssh.leave(ssh, command_line.control_path(ssh))
    assert type(knock(transport)) is LoginNeeded


def test_the_words_for_rsync_log_in_and_ask_nobody(server: Sshd) -> None:
    words = [*command_line.ssh_words(server.ssh), command_line.destination(server.ssh), "echo", "by itself"]
    done = subprocess.run(words, capture_output=True, check=True, stdin=subprocess.DEVNULL)
    assert done.stdout == b"by itself\n"
    assert "BatchMode=yes" in words


def test_a_folder_of_sockets_that_others_can_enter_is_refused(
    server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    monkeypatch.setattr(command_line, "control_folder", lambda: str(tmp_path / "open"))
    assert "not a private directory" in knock(OpenSshTransport("b", server.ssh)).fact


def test_start_files_that_print_do_no_harm(server: Sshd, reach: Reach, tmp_path: Path) -> None:
    shell = tmp_path / "noisy"
    shell.write_text('#!/bin/sh\necho "Welcome!"; echo "Mind the step." >&2; exec /bin/sh "$@"\n')
    shell.chmod(0o755)
    with running(tmp_path / "noisy-site", f'ForceCommand {shell} -c "$SSH_ORIGINAL_COMMAND"\n') as noisy:
        transport = reach(noisy.ssh)
        done = transport.run(["sh", "-c", "echo out; echo err >&2; exit 4"], timeout_s=60)
        assert (done.exit_code, done.stdout, done.stderr) == (4, b"out\n", b"err\n")
        stream = transport.open(["echo", "stream"])
        assert stream.read(100) == b"stream\n"
        stream.close()
        transport.close()


def test_paramiko_is_imported_only_once_a_link_is_needed() -> None:
    code = "import sys; from scalebox_hpc.sites import registry, ssh; sys.exit('paramiko' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert by_paramiko.SshTransport("b", Ssh("b")) is not None
