"""Two ends of a line, joined by hand: what is sent arrives once and in order, within its window."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from scalebox_hpc.relay.channel import (
    DEAD_S,
    FRAME_BYTES,
    HEAD,
    MAGIC,
    NOISE_BYTES,
    NUMBER,
    PING_S,
    VERSION,
    WINDOW_BYTES,
    Arrived,
    BadFrame,
    Channel,
    Closed,
    Event,
    Greeted,
    Kind,
    Opened,
    Parting,
    Stopped,
    Widened,
    parting,
)


def carry(source: Channel, target: Channel, now: float = 0.0, most: int | None = None) -> list[Event]:
    """Move what one end has to send, or so many bytes of it, to the other."""
    data = bytes(source.out[:most])
    del source.out[:most]
    return target.received(data, now)


def joined() -> tuple[Channel, Channel]:
    """Both ends after their greetings."""
    relay, home = Channel("relay", 0.0), Channel("home", 0.0)
    assert carry(relay, home) == [Greeted("relay")]
    assert carry(home, relay) == [Greeted("home")]
    return relay, home


def frame(kind: int, stream: int, content: bytes = b"") -> bytes:
    return HEAD.pack(kind, stream, len(content)) + content


def test_a_stream_is_opened_used_both_ways_and_closed() -> None:
    relay, home = joined()
    stream = relay.open()
    relay.send(stream, b"ask")
    assert carry(relay, home) == [Opened(stream), Arrived(stream, b"ask")]
    home.send(stream, b"answer")
    home.close(stream)
    assert carry(home, relay) == [Arrived(stream, b"answer"), Closed(stream)]
    relay.close(stream)
    assert not relay.out, "a stream that the other end closed needs no second word"


def test_a_stream_may_send_no_more_than_the_other_end_has_room_for() -> None:
    relay, home = joined()
    stream = relay.open()
    while credit := relay.credit(stream):
        relay.send(stream, bytes(min(FRAME_BYTES, credit)))
    arrived = carry(relay, home)[1:]
    assert sum(len(event.data) for event in arrived if isinstance(event, Arrived)) == WINDOW_BYTES
    home.took(stream, WINDOW_BYTES // 2 - 1)
    assert not home.out, "room is given back by the half window"
    home.took(stream, 1)
    assert carry(home, relay) == [Widened(stream)]
    assert relay.credit(stream) == WINDOW_BYTES // 2


def test_what_a_closed_stream_is_still_sent_is_passed_over() -> None:
    relay, home = joined()
    stream = relay.open()
    carry(relay, home)
    home.send(stream, b"late")
    relay.close(stream)
    assert carry(home, relay) == []
    assert carry(relay, home) == [Closed(stream)]
    home.close(stream)
    home.took(stream, WINDOW_BYTES)
    assert not home.out
    assert (home.credit(stream), relay.credit(stream)) == (0, 0)


def test_what_the_login_shell_says_first_is_passed_over() -> None:
    relay, home = Channel("relay", 0.0), Channel("home", 0.0)
    assert home.received(b"Welcome to hpc1\nmodules loaded\n" + MAGIC[:4], 0.0) == []
    assert home.received(MAGIC[4:], 0.0) == []
    del relay.out[: len(MAGIC)]
    assert carry(relay, home) == [Greeted("relay")]
    with pytest.raises(BadFrame, match="something else than a relay"):
        Channel("home", 0.0).received(bytes(NOISE_BYTES + 1), 0.0)


def test_an_end_that_cannot_begin_says_why() -> None:
    assert Channel("home", 0.0).received(parting("no port is free"), 0.0) == [Parting("no port is free")]
    relay, home = joined()
    relay.part("replaced")
    assert carry(relay, home) == [Parting("replaced")]
    home.stop()
    assert carry(home, relay) == [Stopped()]


def test_silence_is_asked_about_and_then_believed() -> None:
    relay, home = joined()
    home.ask(PING_S - 0.1)
    assert not home.out
    home.ask(PING_S)
    home.ask(PING_S + 1)
    assert carry(home, relay, PING_S) == []
    assert carry(relay, home, PING_S + 2) == [], "answered"
    assert home.look_at() == PING_S * 2 + 2
    assert not home.is_dead(PING_S + 2 + DEAD_S - 0.1)
    assert home.is_dead(PING_S + 2 + DEAD_S)


@pytest.mark.parametrize(
    "data",
    [
        frame(Kind.HELLO, 0, NUMBER.pack(VERSION + 1)),
        frame(Kind.HELLO, 0, b"?"),
        frame(Kind.OPEN, 1),
        HEAD.pack(Kind.HELLO, 0, FRAME_BYTES + 1),
    ],
    ids=["another version", "no version", "no greeting", "too long"],
)
def test_a_greeting_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(BadFrame):
        Channel("", 0.0).received(MAGIC + data, 0.0)


@pytest.mark.parametrize(
    "data",
    [
        frame(99, 0),
        frame(Kind.DATA, 8, b"x"),
        frame(Kind.OPEN, 7),
        frame(Kind.WINDOW, 7, b"x"),
        frame(Kind.DATA, 7, bytes(FRAME_BYTES)) * (WINDOW_BYTES // FRAME_BYTES + 1),
    ],
    ids=["unknown kind", "never opened", "opened again", "window without number", "beyond its window"],
)
def test_an_end_that_breaks_the_rules_is_told_apart(data: bytes) -> None:
    _, home = joined()
    home.received(frame(Kind.OPEN, 7), 0.0)
    with pytest.raises(BadFrame):
        home.received(data, 0.0)


@given(st.binary(max_size=200))
def test_garbage_is_refused_or_waited_out(data: bytes) -> None:
    _, home = joined()
    try:
        home.received(data, 0.0)
    except BadFrame:
        return


class Line(RuleBasedStateMachine):
    """Both ends send, take, open and close at will; the line delivers any number of bytes at a time."""

    @initialize()
    def begin(self) -> None:
        self.ends = dict(zip(("relay", "home"), joined(), strict=True))
        self.open: dict[str, set[int]] = {"relay": set(), "home": set()}
        self.sent: dict[tuple[str, int], bytes] = {}  # by the end that sent it, and stream
        self.got: dict[tuple[str, int], bytes] = {}
        self.untaken: dict[tuple[str, int], int] = {}

    def other(self, name: str) -> str:
        return "home" if name == "relay" else "relay"

    @rule()
    def opens(self) -> None:
        self.open["relay"].add(self.ends["relay"].open())

    @rule(name=st.sampled_from(["relay", "home"]), data=st.data(), size=st.integers(1, FRAME_BYTES))
    def sends(self, name: str, data: st.DataObject, size: int) -> None:
        usable = [one for one in sorted(self.open[name]) if self.ends[name].credit(one)]
        if usable:
            stream = data.draw(st.sampled_from(usable))
            content = bytes([len(self.sent) % 251]) * min(size, self.ends[name].credit(stream))
            self.ends[name].send(stream, content)
            self.sent[name, stream] = self.sent.get((name, stream), b"") + content

    @rule(name=st.sampled_from(["relay", "home"]), most=st.integers(1, 3 * FRAME_BYTES))
    def delivers(self, name: str, most: int) -> None:
        target = self.other(name)
        for event in carry(self.ends[name], self.ends[target], 0.0, most):
            if isinstance(event, Opened):
                self.open[target].add(event.stream)
            elif isinstance(event, Closed):
                self.open[target].discard(event.stream)
                assert self.got.get((name, event.stream), b"") == self.sent.get((name, event.stream), b"")
            elif isinstance(event, Arrived):
                assert event.stream in self.open[target]
                key = (name, event.stream)
                self.got[key] = self.got.get(key, b"") + event.data
                self.untaken[key] = self.untaken.get(key, 0) + len(event.data)
                assert self.untaken[key] <= WINDOW_BYTES

    @rule(name=st.sampled_from(["relay", "home"]), data=st.data())
    def takes(self, name: str, data: st.DataObject) -> None:
        waiting = [key for key, size in sorted(self.untaken.items()) if size and key[0] == self.other(name)]
        if waiting:
            key = data.draw(st.sampled_from(waiting))
            self.ends[name].took(key[1], self.untaken.pop(key))

    @precondition(lambda self: self.open["relay"] | self.open["home"])
    @rule(name=st.sampled_from(["relay", "home"]), data=st.data())
    def closes(self, name: str, data: st.DataObject) -> None:
        if self.open[name]:
            stream = data.draw(st.sampled_from(sorted(self.open[name])))
            self.ends[name].close(stream)
            self.open[name].discard(stream)

    @invariant()
    def what_arrived_was_sent(self) -> None:
        for key, content in getattr(self, "got", {}).items():
            assert self.sent[key].startswith(content)

    def teardown(self) -> None:
        """Once everything is taken and delivered, every open stream may send again and nothing is missing."""
        if not hasattr(self, "ends"):
            return
        while any(end.out for end in self.ends.values()) or any(self.untaken.values()):
            for name in ("relay", "home"):
                self.delivers(name, 1 << 24)
            for (sender, stream), size in list(self.untaken.items()):
                self.ends[self.other(sender)].took(stream, size)
                del self.untaken[sender, stream]
        assert self.open["relay"] == self.open["home"]
        for stream in self.open["relay"]:
            for name in ("relay", "home"):
                assert self.ends[name].credit(stream) > WINDOW_BYTES // 2
                assert self.got.get((name, stream), b"") == self.sent.get((name, stream), b"")


TestLine = Line.TestCase
