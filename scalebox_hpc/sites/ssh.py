"""The transport through paramiko: one connection of our own, a channel for each command.

Where a host is, which keys to try and whom to trust is what OpenSSH's files say, read by OpenSSH itself.
The only door of paramiko, which takes long to import and so is imported once a link is needed.
"""

from __future__ import annotations

import logging
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scalebox_hpc.domain.site import Ssh
from scalebox_hpc.errors import SiteUnreachable
from scalebox_hpc.sites import command_line
from scalebox_hpc.sites.base import Finished, Stream
from scalebox_hpc.sites.host_keys import KnownKey, fingerprint_of, known_keys
from scalebox_hpc.sites.opening import Opening, by_this_machine, place, too_long
from scalebox_hpc.sites.openssh_answers import host_key_changed, host_key_unknown, login_refused
from scalebox_hpc.sites.processes import OPEN_S, log_line
from scalebox_hpc.sites.resolved import Hop, way_to

if TYPE_CHECKING:
    import paramiko

SESSIONS: Final = 6  # of `run` at once: sshd gives ten to a connection, streams want theirs too
BLOCK: Final = 1 << 16
_RSA: Final = ("rsa-sha2-512", "rsa-sha2-256")  # what a key of the kind ssh-rsa signs with


class SshTransport:
    """Channels of one connection. See Transport."""

    def __init__(self, site: str, ssh: Ssh) -> None:
        self._site, self._ssh = site, ssh
        self._opening = Opening()
        self._room = threading.BoundedSemaphore(SESSIONS)
        self._links: list[paramiko.Transport] = []  # one a hop, the site's last

    def run(self, words: Sequence[str], *, stdin: bytes = b"", timeout_s: float) -> Finished:
        """See Transport."""
        mark = secrets.token_hex(8)
        with by_this_machine(self._site), place(self._room, self._site, words[0], timeout_s):
            channel = self._start(command_line.command_text(words, mark))
            try:
                stdout, stderr = _talk(channel, stdin, timeout_s)
            except TimeoutError as error:
                raise too_long(self._site, words[0], timeout_s) from error
            finally:
                channel.close()
        finished = command_line.finished(stdout, stderr, mark)
        if finished is None:
            raise self._lost(words[0])
        return finished

    def open(self, words: Sequence[str]) -> Stream:
        """See Transport."""
        with by_this_machine(self._site):
            return self._stream(words, secrets.token_hex(8).encode())

    def _stream(self, words: Sequence[str], mark: bytes) -> Stream:
        channel = self._start(command_line.stream_text(words, mark.decode()))
        channel.settimeout(OPEN_S)
        seen = b""
        try:
            while mark not in seen:
                data = channel.recv(BLOCK)
                if not data:
                    raise self._lost(words[0])
                seen += data
        except TimeoutError as error:
            channel.close()
            raise self._lost(words[0]) from error
        channel.settimeout(None)
        return _ChannelStream(self._site, channel, seen.partition(mark)[2])

    def close(self) -> None:
        """See Transport."""
        links, self._links = self._links, []
        _close(links)

    def _start(self, text: str) -> paramiko.Channel:
        import paramiko

        link = self._link()
        try:
            with _within(OPEN_S, self._links):  # else an sshd that says nothing would be waited for
                channel = link.open_session(timeout=OPEN_S)
                channel.settimeout(OPEN_S)
                channel.exec_command(text)
        except (paramiko.SSHException, OSError, EOFError) as error:
            why = str(error) or "the link was lost"
            raise SiteUnreachable(f"{self._site}: {self._ssh.host} starts nothing: {why}") from error
        return channel

    def _link(self) -> paramiko.Transport:
        self._opening.ensure(self._is_open, self._open)
        links = self._links
        if not links:  # closed meanwhile
            raise SiteUnreachable(f"{self._site}: the link was closed")
        return links[-1]

    def _is_open(self) -> bool:
        links = self._links
        return bool(links) and all(link.is_active() for link in links)

    def _open(self) -> None:
        self.close()
        self._links = _connect(self._site, way_to(self._ssh))

    def _lost(self, word: str) -> SiteUnreachable:
        return SiteUnreachable(f"{self._site}: the link to {self._ssh.host} was lost during `{word}`")


class _ChannelStream:
    """A channel as a Stream. See sites.base."""

    def __init__(self, site: str, channel: paramiko.Channel, before: bytes) -> None:
        self._site, self._channel, self._before = site, channel, before
        threading.Thread(target=self._log, name=f"stderr of {site}", daemon=True).start()

    def read(self, most: int) -> bytes:
        """See Stream."""
        if self._before:
            data, self._before = self._before[:most], self._before[most:]
            return data
        try:
            return bytes(self._channel.recv(most))
        except OSError:
            return b""

    def write(self, data: bytes) -> None:
        """See Stream."""
        try:
            _send(self._channel, data)
        except OSError as error:
            raise SiteUnreachable(f"{self._site}: the command there or the link to it has ended") from error

    def close(self) -> None:
        """See Stream."""
        self._channel.close()

    def _log(self) -> None:
        with self._channel.makefile_stderr("rb") as lines:
            for line in lines:
                log_line(self._site, line)


def _talk(channel: paramiko.Channel, stdin: bytes, timeout_s: float) -> tuple[bytes, bytes]:
    """Feed a command and take what it writes to both outputs at once. Raises TimeoutError."""
    until = time.monotonic() + timeout_s
    errors: list[bytes] = []
    hands = [
        threading.Thread(target=_feed, args=(channel, stdin), daemon=True),
        threading.Thread(target=_drain, args=(channel.recv_stderr, errors), daemon=True),
    ]
    channel.settimeout(None)
    for hand in hands:
        hand.start()
    output: list[bytes] = []
    while True:
        left_s = until - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        channel.settimeout(left_s)
        data = channel.recv(BLOCK)
        if not data:
            break
        output.append(data)
    hands[1].join(max(0.0, until - time.monotonic()))
    return b"".join(output), b"".join(errors)


def _feed(channel: paramiko.Channel, stdin: bytes) -> None:
    try:
        _send(channel, stdin)
        channel.shutdown_write()
    except (OSError, EOFError):  # it reads no more, or the link is gone: how it ended says the rest
        pass


def _send(channel: paramiko.Channel, data: bytes) -> None:
    """Send it in pieces: `sendall` copies all that is left for each packet."""
    for at in range(0, len(data), BLOCK):
        channel.sendall(data[at : at + BLOCK])


def _drain(receive: Callable[[int], bytes], into: list[bytes]) -> None:
    try:
        while data := receive(BLOCK):
            into.append(data)
    except OSError:  # out of time
        pass


def _connect(site: str, hops: Sequence[Hop]) -> list[paramiko.Transport]:
    """Log in at each host, through those before. Raises SiteUnreachable and its like."""
    import paramiko

    logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # it logs what it raises
    links: list[paramiko.Transport] = []
    try:
        with _within(OPEN_S, links):
            for hop in hops:
                links.append(paramiko.Transport(_way(hop, links)))
                _greet(site, hop, links[-1])
                _login(site, hop, links[-1])
                links[-1].set_keepalive(command_line.ALIVE_S)
    except BaseException as error:
        _close(links)
        if isinstance(error, (paramiko.SSHException, OSError, EOFError)):
            fact = f"{site}: {hop.host}, port {hop.port}, cannot be reached: {error or type(error).__name__}"
            raise SiteUnreachable(fact, f"try by hand: ssh {hop.host}") from error
        raise
    return links


@contextmanager
def _within(seconds: float, links: Sequence[paramiko.Transport]) -> Iterator[None]:
    """Close links on which something takes longer, and so wake who waits. Raises TimeoutError then."""
    late = threading.Event()

    def end() -> None:
        late.set()
        _close(links)

    watch = threading.Timer(seconds, end)
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()
        if late.is_set():
            raise TimeoutError(f"no answer within {seconds:g} s")


def _close(links: Sequence[paramiko.Transport]) -> None:
    for link in reversed(links):
        link.close()


def _way(hop: Hop, links: Sequence[paramiko.Transport]) -> socket.socket | paramiko.Channel:
    if links:
        return links[-1].open_channel(
            "direct-tcpip", (hop.host, hop.port), ("127.0.0.1", 0), timeout=command_line.CONNECT_S
        )
    way = socket.create_connection((hop.host, hop.port), timeout=command_line.CONNECT_S)
    silent_ms = command_line.ALIVE_S * command_line.ALIVE_TIMES * 1000
    way.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, silent_ms)  # a pulled cable is noticed
    way.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return way


def _greet(site: str, hop: Hop, link: paramiko.Transport) -> None:
    """Agree on keys, and see that the host is who the user trusts."""
    trusted = known_keys(hop.host_key_name, hop.known_hosts)
    options = link.get_security_options()
    first = [kind for key in trusted for kind in (_RSA if key.kind == "ssh-rsa" else (key.kind,))]
    options.key_types = sorted(options.key_types, key=lambda kind: kind not in first)
    link.banner_timeout = command_line.CONNECT_S
    link.auth_timeout = 2 * OPEN_S  # a silence is no refusal: who waits for the whole ends it before
    link.start_client(timeout=command_line.CONNECT_S)
    shown = link.get_remote_server_key()
    blob = shown.get_base64()
    if (
        KnownKey("", shown.get_name(), blob) in trusted
        and KnownKey("@revoked", shown.get_name(), blob) not in trusted
    ):
        return
    if trusted:
        raise host_key_changed(site, hop.host_key_name, f"it shows {fingerprint_of(blob)}")
    raise host_key_unknown(site, hop.host_key_name, fingerprint_of(blob))


def _login(site: str, hop: Hop, link: paramiko.Transport) -> None:
    import paramiko

    agent = paramiko.Agent()
    try:
        _try_keys(site, hop, link, _keys(hop, agent))
    finally:
        agent.close()


def _try_keys(site: str, hop: Hop, link: paramiko.Transport, keys: Sequence[paramiko.PKey]) -> None:
    import paramiko

    tried = 0
    for key in keys:
        try:
            more = link.auth_publickey(hop.user, key)
        except paramiko.BadAuthenticationType as error:
            why = f"it takes {', '.join(error.allowed_types)} only"
            raise login_refused(site, hop.host, why, asks=True) from error
        except paramiko.AuthenticationException:
            tried += 1
        else:
            if not more:
                return
            raise login_refused(site, hop.host, f"it wants {', '.join(more)} besides the key", asks=True)
        if not link.is_active():
            break
    why = f"it refuses all {tried} keys tried for {hop.user}" if tried else "there is no key to try"
    raise login_refused(site, hop.host, why, asks=False)


def _keys(hop: Hop, agent: paramiko.Agent) -> list[paramiko.PKey]:
    """The keys to try: those in files that need no passphrase, then the agent's."""
    keys = [key for key in map(_key, hop.keys) if key is not None]
    wanted = {_public(file) for file in hop.keys}
    return keys + [key for key in agent.get_keys() if not hop.keys_only or key.get_base64() in wanted]


def _key(file: str) -> paramiko.PKey | None:
    """The key in a file; None for one that is absent, has a passphrase, or that paramiko cannot use.

    Damage and rare kinds show as whatever its code, or cryptography's, stumbles over: UnsupportedAlgorithm
    for a key in a token, AssertionError for halves that do not belong together, AttributeError for a curve
    that SSH has no name for, NotImplementedError for a compressed point.
    """
    import paramiko
    from cryptography.exceptions import UnsupportedAlgorithm

    refused = (OSError, ValueError, TypeError, paramiko.SSHException, paramiko.UnknownKeyType)
    stumbled = (UnsupportedAlgorithm, AssertionError, AttributeError, NotImplementedError)
    try:
        key = paramiko.PKey.from_path(file)
        key.get_base64()  # has it a name?
    except (*refused, *stumbled):
        return None
    return key


def _public(file: str) -> str:
    """The public half of a key file, from the file beside it; "" for none."""
    try:
        return Path(f"{file}.pub").read_text().split()[1]
    except (OSError, ValueError, IndexError):
        return ""
