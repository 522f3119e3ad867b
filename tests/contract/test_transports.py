"""What every transport must do: this machine, paramiko, OpenSSH's master, and the fake; over a real sshd."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import paramiko
import pytest

from scalebox_hpc.errors import SiteTimeout, SiteUnreachable
from scalebox_hpc.sites.base import Transport
from scalebox_hpc.sites.local import LocalTransport
from scalebox_hpc.sites.openssh import OpenSshTransport
from scalebox_hpc.sites.ssh import SshTransport
from scalebox_hpc.testing.sshd import Sshd, program, running
from scalebox_hpc.testing.transport import FakeTransport
from tests.cluster.box import wait_until

REMOTE = {"paramiko": SshTransport, "openssh": OpenSshTransport}
AWKWARD = (
    "",
    "two words",
    "it's",
    'a "quoted" one',
    "$HOME `id` $(id) \\ \\n ! !! * ~",
    "two\nlines\n",
    "tab\there\rback",
    "naïve Größe 星 😀",
    "-n",
    "#;&|<>()",
)
SHOW = "import sys; sys.stdout.buffer.write(b'\\0'.join(word.encode() for word in sys.argv[1:]))"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """An sshd that these tests may cut off, and nobody else's."""
    if program() is None:
        pytest.skip("no sshd is installed (apt-get install openssh-server)")
    with running(tmp_path_factory.mktemp("sshd")) as made:
        yield made


@pytest.fixture(params=["local", "paramiko", "openssh", "fake"])
def transport(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Transport]:
    """Each of them, closed at the end."""
    made: Transport
    if request.param in REMOTE:
        made = REMOTE[request.param]("b", request.getfixturevalue("server").ssh)
    else:
        made = LocalTransport("b") if request.param == "local" else FakeTransport(tmp_path)
    yield made
    made.close()


@pytest.fixture(params=["paramiko", "openssh", "fake"])
def link(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Transport, Callable[[], object]]]:
    """Each that has a link, and what breaks it."""
    made: Transport
    if request.param == "fake":
        fake = made = FakeTransport(tmp_path)
        cut: Callable[[], object] = fake.cut
    else:
        server = request.getfixturevalue("server")
        made, cut = REMOTE[request.param]("b", server.ssh), server.cut
    yield made, cut
    made.close()


def test_words_arrive_exactly(transport: Transport) -> None:
    done = transport.run(["python3", "-c", SHOW, *AWKWARD], timeout_s=60)
    assert (done.exit_code, done.stdout.decode().split("\0")) == (0, list(AWKWARD))


def test_words_of_a_stream_arrive_exactly(transport: Transport) -> None:
    stream = transport.open(["python3", "-c", SHOW, *AWKWARD])
    assert read_all(stream.read).decode().split("\0") == list(AWKWARD)
    stream.close()


def test_fifty_megabytes_there_and_back(transport: Transport) -> None:
    data = os.urandom(1 << 20) * 50
    done = transport.run(["cat"], stdin=data, timeout_s=300)
    assert done.exit_code == 0
    assert done.stdout == data


def test_both_outputs_are_told_apart_however_much_there_is(transport: Transport) -> None:
    script = "head -c 5000000 /dev/zero; head -c 5000000 /dev/zero | tr '\\0' e >&2"
    done = transport.run(["sh", "-c", script], timeout_s=60)
    assert (done.stdout, done.stderr) == (bytes(5_000_000), b"e" * 5_000_000)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 3"], 3),
        (["sh", "-c", "exit 255"], 255),
        (["sh", "-c", "kill -TERM $$"], 128 + 15),
        (["sh", "-c", "kill -KILL $$"], 128 + 9),
        (["there-is-no-such-program"], 127),
    ],
)
def test_how_a_command_ended(transport: Transport, words: list[str], code: int) -> None:
    done = transport.run(words, timeout_s=60)
    assert done.exit_code == code
    if code == 127:
        assert b"there-is-no-such-program" in done.stderr


def test_a_command_that_reads_nothing_does_not_mind_its_input(transport: Transport) -> None:
    assert transport.run(["true"], stdin=bytes(10_000_000), timeout_s=60).exit_code == 0


def test_a_command_without_input_sees_its_end(transport: Transport) -> None:
    assert transport.run(["cat"], timeout_s=60).stdout == b""


def test_a_command_that_takes_too_long(transport: Transport) -> None:
    with pytest.raises(SiteTimeout, match=r"`sleep` did not end.* in 0\.5 s"):
        transport.run(["sleep", "60"], timeout_s=0.5)
    assert transport.run(["echo", "on"], timeout_s=60).stdout == b"on\n"


def test_a_stream_goes_both_ways_until_it_is_closed(transport: Transport) -> None:
    stream = transport.open(["cat"])
    for text in (b"one", b"two" * 100_000):
        writer = threading.Thread(target=stream.write, args=(text,))
        writer.start()
        got = b""
        while len(got) < len(text):
            data = stream.read(10_000)
            assert 0 < len(data) <= 10_000
            got += data
        writer.join()
        assert got == text
    stream.close()
    stream.close()
    assert stream.read(1) == b""
    with pytest.raises(SiteUnreachable):
        stream.write(b"x")


def test_closing_a_stream_wakes_who_reads_and_ends_the_command(transport: Transport, tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    stream = transport.open(["sh", "-c", f'echo up; cat; echo "$?" > {ended}'])
    assert stream.read(100) == b"up\n"
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(stream.read(100)))
    reader.start()
    stream.close()
    reader.join(30)
    assert got == [b""]


def test_closing_a_stream_wakes_who_writes(transport: Transport) -> None:
    stream = transport.open(["sh", "-c", "echo up; exec sleep 60"])
    assert stream.read(100) == b"up\n"
    caught: list[SiteUnreachable] = []

    def write() -> None:
        try:
            while True:
                stream.write(bytes(1 << 20))
        except SiteUnreachable as error:
            caught.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    stream.close()
    writer.join(30)
    assert len(caught) == 1


def test_a_stream_ends_with_its_command(transport: Transport) -> None:
    stream = transport.open(["sh", "-c", "echo bye; echo aside >&2"])
    assert read_all(stream.read) == b"bye\n"
    stream.close()


def test_eight_threads_at_once(transport: Transport) -> None:
    stream = transport.open(["cat"])
    with ThreadPoolExecutor(8) as threads:
        runs = [
            threads.submit(
                transport.run, ["sh", "-c", f"sleep 0.1; cat; exit {n}"], stdin=b"%d" % n, timeout_s=60
            )
            for n in range(12)
        ]
        assert [(run.result().exit_code, run.result().stdout) for run in runs] == [
            (n, b"%d" % n) for n in range(12)
        ]
    stream.write(b"still there")
    assert stream.read(100) == b"still there"
    stream.close()


def test_after_close_the_link_is_opened_anew(transport: Transport) -> None:
    assert transport.run(["true"], timeout_s=60).exit_code == 0
    stream = transport.open(["cat"])
    transport.close()
    transport.close()
    assert stream.read(1) == b""
    stream.close()
    assert transport.run(["true"], timeout_s=60).exit_code == 0


def test_a_link_cut_in_the_middle_is_told_and_opened_again(
    link: tuple[Transport, Callable[[], object]], tmp_path: Path
) -> None:
    transport, cut = link
    begun = tmp_path / "begun"
    stream = transport.open(["cat"])
    with ThreadPoolExecutor(1) as threads:
        lost = threads.submit(transport.run, ["sh", "-c", f"touch {begun}; exec sleep 60"], timeout_s=60)
        wait_until(begun.exists, 30)
        cut()
        with pytest.raises(SiteUnreachable, match="lost during `sh`") as caught:
            lost.result(30)
    assert type(caught.value) is SiteUnreachable
    assert stream.read(1) == b""
    stream.close()
    if isinstance(transport, FakeTransport):
        with pytest.raises(SiteUnreachable):
            transport.run(["true"], timeout_s=60)
        transport.mend()
    assert wait_until(lambda: works(transport), 30)


@pytest.mark.parametrize("kind", REMOTE)
@pytest.mark.parametrize("calls", ["run", "open", "connect"])
def test_an_sshd_that_answers_nothing_keeps_nobody(
    server: Sshd, kind: str, calls: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("ssh", "openssh"):
        monkeypatch.setattr(f"scalebox_hpc.sites.{module}.OPEN_S", 1.0)
    transport = REMOTE[kind]("b", server.ssh)
    if calls != "connect":
        assert wait_until(lambda: works(transport), 30)
    with ThreadPoolExecutor(1) as threads:
        with server.deaf():
            asked: Future[object]
            if calls == "open":
                asked = threads.submit(transport.open, ["cat"])
            else:
                asked = threads.submit(transport.run, ["cat"], timeout_s=1.0)
            with pytest.raises(SiteUnreachable):
                asked.result(30)
        server.cut()
    assert wait_until(lambda: works(transport), 30)
    transport.close()


@pytest.mark.parametrize("step", ["Transport.auth_publickey", "Channel.exec_command"])
def test_paramiko_waits_for_no_answer_for_ever(
    server: Sshd, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scalebox_hpc.sites.ssh.OPEN_S", 2.0)
    kind, name = step.split(".")
    ask = getattr(getattr(paramiko, kind), name)
    with ExitStack() as silence, ThreadPoolExecutor(1) as threads:

        def deafened(*words: object) -> object:
            silence.enter_context(server.deaf())
            return ask(*words)

        transport = SshTransport("b", server.ssh)
        with monkeypatch.context() as patch:
            patch.setattr(f"paramiko.{step}", deafened)
            asked = threads.submit(transport.run, ["true"], timeout_s=60)
            with pytest.raises(SiteUnreachable, match="no answer within 2 s") as caught:
                asked.result(20)
        assert type(caught.value) is SiteUnreachable, "a silence is no refusal"
        silence.close()
    assert wait_until(lambda: works(transport), 30)
    transport.close()


def works(transport: Transport) -> bool:
    """Whether a command comes through."""
    with suppress(SiteUnreachable):
        return transport.run(["echo", "on"], timeout_s=30).stdout == b"on\n"
    return False


def read_all(read: Callable[[int], bytes]) -> bytes:
    """Read to the end."""
    return b"".join(iter(lambda: read(1 << 16), b""))
