"""The end of a line with real sockets: what it holds is bounded, and a silent other end lets everybody go."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from scalebox_hpc.relay import carrier as carriers
from scalebox_hpc.relay import channel
from scalebox_hpc.relay.carrier import Carrier
from scalebox_hpc.relay.channel import WINDOW_BYTES, Arrived, Channel, Closed, Opened


class Ends:
    """A carrier as the relay has it, and a home end played by hand."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.selector = stack.enter_context(selectors.DefaultSelector())
        line, other = socket.socketpair()
        self.other = stack.enter_context(other)
        self.other.setblocking(False)
        self.carrier = Carrier(self.selector, line, "")
        self.channel = Channel("", 0.0)

    def agent(self) -> socket.socket:
        """A new agent's socket."""
        theirs, ours = socket.socketpair()
        self._stack.enter_context(theirs).setblocking(False)
        self.carrier.add(ours)
        return theirs

    def turn(self) -> None:
        """One turn of the relay's loop that does not wait."""
        self.carrier.turn()
        for key, events in self.selector.select(0):
            key.data(events)
        self.carrier.turn()

    def hear(self) -> list[channel.Event]:
        """What the home end is sent now."""
        try:
            return self.channel.received(self.other.recv(1 << 20), 0.0)
        except BlockingIOError:
            return []

    def say(self) -> None:
        """Send what the home end has to say."""
        self.other.sendall(self.channel.out)
        self.channel.out.clear()


@pytest.fixture
def ends() -> Iterator[Ends]:
    with ExitStack() as stack:
        made = Ends(stack)
        made.say()
        yield made
        if made.carrier.ended is None:
            made.carrier.close()


def fill(agent: socket.socket) -> int:
    """Write until the socket takes no more; return how much that was."""
    total = 0
    try:
        while True:
            total += agent.send(bytes(1 << 16))
    except BlockingIOError:
        return total


def test_a_home_end_that_is_silent_lets_all_agents_go(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = ends.agent()
    ends.turn()
    monkeypatch.setattr(channel, "DEAD_S", 0.0)
    assert ends.carrier.turn() is None
    assert "nothing was heard" in (ends.carrier.ended or "")
    ends.carrier.close()
    assert len(ends.carrier) == 0
    assert agent.recv(1) == b""


def test_agents_wait_for_their_turn_while_the_line_is_full(ends: Ends) -> None:
    agents = [ends.agent() for _ in range(40)]
    for _ in range(100):
        for agent in agents:
            fill(agent)
        ends.turn()
    held = len(ends.carrier._channel.out)
    assert carriers.LINE_BYTES <= held <= carriers.LINE_BYTES + 2 * channel.FRAME_BYTES
    got: dict[int, int] = {}
    for _ in range(2000):
        for event in ends.hear():
            if isinstance(event, Arrived):
                got[event.stream] = got.get(event.stream, 0) + len(event.data)
        ends.turn()
    assert got == dict.fromkeys(range(1, 41), WINDOW_BYTES), "each its window, and no more before it is taken"


def test_what_arrived_before_a_close_is_delivered_though_the_reader_is_slow(ends: Ends) -> None:
    agent = ends.agent()
    ends.turn()
    assert [event for event in ends.hear() if isinstance(event, Opened)]
    ends.channel.send(1, b"x" * (1 << 15))
    ends.channel.send(1, b"y" * (1 << 15))
    ends.channel.close(1)
    ends.say()
    got = b""
    for _ in range(100):
        ends.turn()
        try:
            got += agent.recv(1 << 12)
        except BlockingIOError:
            continue
    assert got == b"x" * (1 << 15) + b"y" * (1 << 15)
    assert len(ends.carrier) == 0


def test_an_agent_that_goes_is_told_to_the_home_end(ends: Ends) -> None:
    ends.agent().close()
    ends.turn()
    ends.turn()
    assert Closed(1) in ends.hear()
    assert len(ends.carrier) == 0
