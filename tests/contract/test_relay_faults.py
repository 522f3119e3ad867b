"""The relay in trouble: readers that do not read, links that are silent, rivals, versions, closed doors."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from scalebox_hpc.errors import HostKeyChanged, HostKeyUnknown, LoginNeeded, LoginRefused, SiteUnreachable
from scalebox_hpc.relay import attach, channel
from scalebox_hpc.relay.options import read_options
from scalebox_hpc.sites import relay as home_side
from scalebox_hpc.sites.relay import LinkDown, RelayPlace
from tests.contract.relay_rig import Here, ProcessStream, Rig, echoed, is_gone


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path, tls=False)
    try:
        yield made
    finally:
        made.close()


def left_behind(rig: Rig) -> list[Path]:
    return list(Path(f"/tmp/sbx-{os.geteuid()}").glob(f"{rig.home.id}-*"))


def downs(rig: Rig) -> list[LinkDown]:
    return [one for one in rig.news if isinstance(one, LinkDown)]


def test_a_reader_that_does_not_read_holds_up_nobody_else(rig: Rig) -> None:
    rig.link()
    rig.up()
    data = os.urandom(20_000_000)
    with rig.raw() as lazy, rig.raw() as other:
        sender = threading.Thread(target=lazy.sendall, args=(data,))
        sender.start()
        for turn in range(20):
            said = f"{turn} ".encode() * 4000
            assert echoed(other, said) == said
        assert sender.is_alive(), "nobody took what came back, so the rest could not be sent"
        back = bytearray()
        while len(back) < len(data):
            back += lazy.recv(1 << 20)
        sender.join()
    assert back == data


def test_a_link_that_is_silent_is_noticed_and_replaced(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "PING_S", 0.2)
    monkeypatch.setattr(channel, "DEAD_S", 3.0)
    rig.link()
    rig.up()
    os.kill(rig.transport.opened[-1].process.pid, signal.SIGSTOP)
    with rig.raw() as client:
        client.sendall(b"lost")
        rig.up(2)
        assert client.recv(1) == b""
    assert "nothing was heard" in downs(rig)[0].why
    with rig.raw() as client:
        assert echoed(client, b"there again") == b"there again"


class Chatty(Here):
    """A login node whose shell says things before it does what it is told."""

    def open(self, words: Sequence[str]) -> ProcessStream:
        return super().open(["sh", "-c", 'echo "Welcome to hpc1"; exec "$@"', "sh", *words])


def test_what_a_login_shell_says_first_does_no_harm(rig: Rig) -> None:
    rig.transport = Chatty()
    rig.link()
    rig.up()
    with rig.raw() as client:
        assert echoed(client, b"all the same") == b"all the same"


def test_a_login_shell_that_says_something_else_is_told(rig: Rig) -> None:
    rig.program.write_text("print('Access is denied' * 10_000)")
    rig.link()
    rig.wait(lambda: downs(rig), "the reason")
    assert "something else than a relay talks there: b'Access is denied" in downs(rig)[0].why


def test_a_relay_that_greets_with_something_else_is_told(rig: Rig) -> None:
    greeting = channel.Channel('{"host": "hpc1"}', 0.0).out
    rig.program.write_text(f"import sys; sys.stdout.buffer.write({bytes(greeting)!r}); sys.stdin.read()")
    rig.link()
    rig.wait(lambda: downs(rig), "the reason")
    assert 'greets with what is not understood: \'{"host": "hpc1"}\'' in downs(rig)[0].why


class Broken(Here):
    """A way to a site that has a bug."""

    def open(self, words: Sequence[str]) -> ProcessStream:
        raise ZeroDivisionError(words[0])


def test_an_unforeseen_error_goes_to_the_hook_that_ends_the_daemon(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    died: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", died.append)
    rig.link(Broken())
    rig.wait(lambda: died, "the end of the thread")
    assert died[0].exc_type is ZeroDivisionError


def test_a_second_attach_takes_the_place_of_the_first(rig: Rig) -> None:
    with rig.attach() as first, rig.raw() as waiting:
        pid = rig.record()["pid"]
        with rig.attach():
            assert waiting.recv(1) == b"", "carried by the first"
            assert first.wait(60) == 0
            assert first.stdout is not None
            assert b"another attach has taken its place" in first.stdout.read()
            assert rig.record()["pid"] == pid


def test_many_that_begin_at_once_start_one_relay(rig: Rig) -> None:
    with ExitStack() as stack:
        words = rig.words("attach", "--fingerprint", rig.identity.fingerprint)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL}
        rivals = [stack.enter_context(subprocess.Popen(words, **pipes)) for _ in range(4)]
        rig.wait(lambda: sum(one.poll() is None for one in rivals) == 1, "all but one replaced")
        assert rig.log().count("attached;") == 4
        assert rig.log().count("serves home") == 1


def test_a_relay_is_stopped_by_hand(rig: Rig) -> None:
    with rig.attach() as attached:
        pid = rig.record()["pid"]
        assert rig.relay("stop").returncode == 0
        rig.wait(lambda: is_gone(pid), "the relay's end")
        assert attached.wait(60) == 0
    assert rig.relay("stop").returncode == 0, "there is none any more"
    assert b"usage" in rig.relay("halt").stderr


def test_a_relay_of_another_version_is_replaced_on_the_same_port(rig: Rig) -> None:
    with rig.attach():
        before = rig.record()
    with zipfile.ZipFile(rig.program, "a") as bundle:
        bundle.comment = b"another version"
    rig.link()
    rig.up()
    after = rig.record()
    rig.wait(lambda: is_gone(before["pid"]), "the end of the other version")
    assert (after["pid"] == before["pid"], after["port"]) == (False, before["port"])


def test_a_relay_that_hangs_is_ended_and_replaced(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    with rig.attach():
        pid = rig.record()["pid"]
    os.kill(pid, signal.SIGSTOP)
    monkeypatch.setattr(attach, "ANSWER_S", 0.5)
    monkeypatch.setattr(sys, "argv", [str(rig.program)])
    with attach.connect(
        read_options(["attach", "--shared", str(rig.shared), "--home", rig.home.id])
    ) as found:
        assert found.getpeername().endswith(".sock")
    rig.wait(lambda: is_gone(pid), "the end of the one that hangs")


def test_a_relay_alone_leaves_and_leaves_nothing_behind(rig: Rig) -> None:
    with rig.attach("--alone-s", "0.5"):
        pid = rig.record()["pid"]
        assert not is_gone(pid)
    rig.wait(lambda: is_gone(pid), "the relay's end")
    assert "leaves: alone" in rig.log()
    assert not left_behind(rig)


def test_a_relay_leaves_when_one_on_another_login_node_has_the_folder(rig: Rig) -> None:
    with rig.attach("--alone-s", "1"):
        pid = rig.record()["pid"]
        (rig.shared / "relay.json").write_text('{"nonce": "another", "host": "login2", "port": 4}')
        rig.wait(lambda: is_gone(pid), "the relay's end")
    assert "leaves: the shared folder has a newer relay, on login2" in rig.log()


def test_ports_of_the_site_are_kept_to_and_no_free_one_is_told(rig: Rig) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        rig.link(ports=(port, port))
        rig.wait(lambda: downs(rig), "the reason")
        assert f"no free port in ({port}, {port})" in downs(rig)[0].why
    rig.up()
    assert rig.record()["port"] == port


def test_a_folder_that_cannot_be_written_is_told(rig: Rig) -> None:
    (rig.shared / "relay.log").mkdir()
    rig.link()
    rig.wait(lambda: downs(rig), "the reason")
    assert "the relay does not start" in downs(rig)[0].why
    assert "relay.log" in downs(rig)[0].why
    assert not left_behind(rig)


def test_a_person_who_has_to_log_in_is_told_how_and_nothing_hammers(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home_side, "LOGIN_S", 0.5)
    rig.transport.problem = LoginNeeded("b wants a person to log in", "sbx site login b")
    rig.link()
    rig.wait(lambda: rig.transport.tried >= 2, "a second look")
    assert rig.news == [LinkDown("b wants a person to log in", "sbx site login b")]
    rig.transport.problem = None
    rig.up()


@pytest.mark.parametrize("kind", [HostKeyUnknown, HostKeyChanged, LoginRefused])
def test_what_only_a_person_can_mend_is_told_with_what_to_do(rig: Rig, kind: type[SiteUnreachable]) -> None:
    rig.transport.problem = kind("b is not to be trusted yet", "sbx site login b")
    rig.link()
    rig.wait(lambda: rig.news, "the reason")
    assert rig.news == [LinkDown("b is not to be trusted yet", "sbx site login b")]


def test_a_relay_that_never_answers_is_told_as_that(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home_side, "GREETING_S", 0.1)
    monkeypatch.setattr(RelayPlace, "attach", lambda _: ["sleep", "60"])
    rig.link()
    rig.wait(lambda: rig.news, "the reason")
    assert rig.news[0] == LinkDown("the relay there did not answer within 0.1 s")


def test_pauses_fit_what_went_wrong() -> None:
    pause_s = home_side._pause_s
    assert pause_s(SiteUnreachable("no route"), 4.0) == 4.0
    assert pause_s(LoginNeeded("log in", "sbx site login b"), 4.0) == home_side.LOGIN_S
    assert pause_s(HostKeyUnknown("unknown"), 4.0) == home_side.HOPELESS_S


def test_an_agent_is_sent_away_while_the_daemon_does_not_answer(rig: Rig) -> None:
    rig.link()
    rig.up()
    rig.echo.close()
    with rig.raw() as client:
        assert client.recv(1) == b""


def test_agents_do_not_take_the_daemons_last_descriptors(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.link()
    rig.up()
    monkeypatch.setattr(home_side, "DESCRIPTORS_KEPT", 1 << 40)
    with rig.raw() as client:
        assert client.recv(1) == b""
    monkeypatch.undo()
    with rig.raw() as client:
        assert echoed(client, b"room again") == b"room again"
