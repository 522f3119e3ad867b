"""The home end of a relay's line: keeps it up, and connects what comes over it to the daemon.

It knows nothing of what agents say; their TLS ends in the daemon.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import random
import resource
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from scalebox_hpc.errors import EnvironmentProblem, LoginNeeded, Retry, SiteUnreachable
from scalebox_hpc.relay.carrier import Carrier
from scalebox_hpc.sites.base import Stream, Transport

BACKOFF_S, BACKOFF_MOST_S = 0.5, 30.0
STEADY_S: Final = 30.0  # a line that was up so long had nothing wrong with it: the next try is made soon
LOGIN_S: Final = 15.0  # between two looks whether somebody has logged in; nothing is sent there for it
HOPELESS_S: Final = 300.0  # where trying again seems of no use, and too often may lock the user out
GREETING_S: Final = 60.0  # for the relay to be started and to answer
PARTING_S: Final = 5.0  # for a relay that is to end
END_S: Final = 10.0  # for our own thread
PIECE_BYTES: Final = 1 << 16
DESCRIPTORS_KEPT: Final = 256  # for everything else in the daemon, its own end of a stream included

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RelayPlace:
    """What the relay of one site is told. No secret is in it."""

    python: str  # on the login node
    program: str  # the path of relay.pyz there
    shared: str  # the shared folder there
    home: str  # the home's id
    fingerprint: str  # of the daemon's certificate
    ports: tuple[int, int] | None = None
    advertise: tuple[str, ...] = ()
    alone_s: float | None = None  # without a line, until it leaves; None: as relays do

    def attach(self) -> list[str]:
        """The command that is a line to the relay, which it starts if there is none."""
        words = [self.python, self.program, "attach", "--shared", self.shared, "--home", self.home]
        words += ["--fingerprint", self.fingerprint]
        if self.ports is not None:
            words += ["--ports", f"{self.ports[0]}-{self.ports[1]}"]
        for name in self.advertise:
            words += ["--advertise", name]
        if self.alone_s is not None:
            words += ["--alone-s", str(self.alone_s)]
        return words


@dataclass(frozen=True, slots=True)
class LinkUp:
    """Agents of the site reach the daemon."""

    host: str  # the login node
    port: int  # where agents come to


@dataclass(frozen=True, slots=True)
class LinkDown:
    """They do not; it is tried again by itself."""

    why: str
    todo: str = ""  # what a person has to do first, if that is so


class Told(Protocol):
    """Whoever wants to know of the link; called by its thread, for each change."""

    def __call__(self, news: LinkUp | LinkDown, /) -> None: ...


class RelayLink:
    """Keeps the line to one site's relay until `end`."""

    def __init__(
        self,
        transport: Transport,
        place: RelayPlace,
        dial: Callable[[], socket.socket],
        told: Told,
        mend: Callable[[], object] = lambda: None,
    ) -> None:
        """`dial` connects to the daemon's own listener; OSError: the agent is sent away.

        `mend` makes sure of what is there, before the next try where no relay answered: its program may have
        been removed. It raises EnvironmentProblem.
        """
        self._transport, self._place, self._dial, self._told = transport, place, dial, told
        self._mend = mend
        self._ending, self._stop = threading.Event(), False
        self._waker, self._woken = socket.socketpair()
        self._news: LinkUp | LinkDown | None = None
        self._thread = threading.Thread(target=self._keep, name=f"relay of {place.shared}", daemon=True)
        self._thread.start()

    def end(self, stop: bool) -> None:
        """Let go of the line; `stop` ends the relay too, where it can be reached. Idempotent.

        A transport that is still on its way there is not waited for longer than END_S.
        """
        if self._ending.is_set():
            return
        self._stop = stop
        self._ending.set()
        self._waker.send(b"!")
        self._thread.join(END_S)
        if not self._thread.is_alive():
            self._waker.close()
            self._woken.close()

    def _keep(self) -> None:
        backoff_s, answered = BACKOFF_S, True
        while not self._ending.is_set():
            began_at = time.monotonic()
            try:
                if not answered:
                    self._mend()
                stream = self._transport.open(self._place.attach())
            except EnvironmentProblem as problem:
                self._tell(LinkDown(problem.fact, problem.hint if _needs_person(problem) else ""))
                wait_s = _pause_s(problem, backoff_s)
            else:
                why = self._carry(stream)
                answered = isinstance(self._news, LinkUp)
                if not self._ending.is_set():
                    self._tell(LinkDown(why))
                if time.monotonic() - began_at >= STEADY_S:
                    backoff_s = BACKOFF_S
                wait_s = backoff_s
            self._ending.wait(wait_s * random.uniform(0.75, 1.0))
            backoff_s = min(BACKOFF_MOST_S, backoff_s * 2)

    def _tell(self, news: LinkUp | LinkDown) -> None:
        if news != self._news:
            self._news = news
            log.info("%s: %s", self._place.shared, news)
            self._told(news)

    def _accept(self) -> socket.socket:
        """Connect a stream to the daemon. Raises OSError, also where few more files may be opened.

        New descriptors get the lowest number that is free, so it tells how many there are.
        """
        sock = self._dial()
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if most != resource.RLIM_INFINITY and sock.fileno() >= most - DESCRIPTORS_KEPT:
            sock.close()
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return sock

    def _carry(self, stream: Stream) -> str:
        """Carry connections over the stream until it is over; return why it is."""
        ours, theirs = socket.socketpair()
        pumps = [
            threading.Thread(target=pump, args=(stream, theirs), name=self._thread.name, daemon=True)
            for pump in (_pump_in, _pump_out)
        ]
        for pump in pumps:
            pump.start()
        with selectors.DefaultSelector() as selector:
            carrier = Carrier(selector, ours, "", self._accept)
            selector.register(self._woken, selectors.EVENT_READ, lambda _: None)
            why = self._turn(selector, carrier)
            carrier.close()
        stream.close()
        for pump in pumps:
            pump.join()
        theirs.close()
        return why

    def _turn(self, selector: selectors.BaseSelector, carrier: Carrier) -> str:
        """Turn until the line is over, or we are to let go of it; return why it is over."""
        until = time.monotonic() + GREETING_S
        asked = False
        while (wait_s := carrier.turn()) is not None and time.monotonic() < until:
            for key, events in selector.select(min(wait_s, until - time.monotonic())):
                key.data(events)
            if self._ending.is_set() and not asked:
                if not self._stop or carrier.greeting is None:
                    break
                asked = True
                selector.unregister(self._woken)
                carrier.ask_to_stop()
                until = time.monotonic() + PARTING_S
            elif carrier.greeting is not None and until != float("inf") and not asked:
                until = float("inf")
                news = _understood(carrier.greeting)
                if news is None:
                    return f"the relay there greets with what is not understood: {carrier.greeting[:200]!r}"
                self._tell(news)
        if carrier.ended is None and carrier.greeting is None:
            return f"the relay there did not answer within {GREETING_S:g} s"
        return carrier.ended or ""


def _understood(greeting: str) -> LinkUp | None:
    """Where agents come to, as a relay says it; None where it says something else."""
    try:
        facts = json.loads(greeting)
        return LinkUp(str(facts["host"]), int(facts["port"]))
    except (ValueError, LookupError, TypeError):
        return None


def _needs_person(problem: EnvironmentProblem) -> bool:
    return isinstance(problem, LoginNeeded) or problem.retry is Retry.NEVER


def _pause_s(problem: EnvironmentProblem, backoff_s: float) -> float:
    if isinstance(problem, LoginNeeded):
        return LOGIN_S
    return HOPELESS_S if problem.retry is Retry.NEVER else backoff_s


def _pump_in(stream: Stream, line: socket.socket) -> None:
    """Copy what comes from the site; its end is the line's end."""
    try:
        while data := stream.read(PIECE_BYTES):
            line.sendall(data)
        line.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # our own end has let go of it


def _pump_out(stream: Stream, line: socket.socket) -> None:
    """Copy what goes to the site."""
    try:
        while data := line.recv(PIECE_BYTES):
            stream.write(data)
    except (OSError, SiteUnreachable):
        return  # the other direction tells
