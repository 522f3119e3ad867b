"""The transport through a master of the system's OpenSSH: one login, a session for each command.

The master is the user's, opened by `sbx site login` where a person must type a code, or one of our
own. Nobody is ever asked here: OpenSSH has neither a terminal nor a window to ask in.
"""

from __future__ import annotations

import itertools
import os
import secrets
import socket
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from scalebox_hpc.disk import make_private
from scalebox_hpc.domain.site import Ssh
from scalebox_hpc.errors import LoginNeeded, SiteUnreachable
from scalebox_hpc.sites import command_line
from scalebox_hpc.sites.base import Finished, Stream, Transport
from scalebox_hpc.sites.opening import Opening, by_this_machine, place, too_long
from scalebox_hpc.sites.openssh_answers import problem_of
from scalebox_hpc.sites.processes import OPEN_S, ProcessStream, call, unasked

SESSIONS: Final = 6  # of `run` at once: sshd gives ten to a connection, streams want theirs too
PERSIST: Final = "10m"  # a master of ours outlives a daemon that was killed by so much
_numbers = itertools.count()


class OpenSshTransport:
    """Sessions through a master. See Transport."""

    def __init__(self, site: str, ssh: Ssh) -> None:
        self._site, self._ssh = site, ssh
        own = "" if ssh.master else f"-{os.getpid()}-{next(_numbers)}"
        self._control = command_line.control_path(ssh) + own
        self._environ = unasked(os.environ)
        self._opening = Opening()
        self._room = threading.BoundedSemaphore(SESSIONS)
        self._streams: weakref.WeakSet[ProcessStream] = weakref.WeakSet()

    def run(self, words: Sequence[str], *, stdin: bytes = b"", timeout_s: float) -> Finished:
        """See Transport."""
        mark = secrets.token_hex(8)
        text = command_line.command_text(words, mark)
        with by_this_machine(self._site), place(self._room, self._site, words[0], timeout_s):
            self._login()
            try:
                done = call(self._session(text), stdin=stdin, timeout_s=timeout_s, environ=self._environ)
            except subprocess.TimeoutExpired as error:
                raise too_long(self._site, words[0], timeout_s) from error
        finished = command_line.finished(done.stdout, done.stderr, mark)
        if finished is None:
            raise self._lost(words[0], done.stderr.partition(mark.encode())[0])
        return finished

    def open(self, words: Sequence[str]) -> Stream:
        """See Transport."""
        mark = secrets.token_hex(8)
        text = command_line.stream_text(words, mark)
        with by_this_machine(self._site):
            self._login()
            stream = ProcessStream(self._site, self._session(text), environ=self._environ)
        try:
            has_started = stream.started(mark.encode(), OPEN_S)
        except TimeoutError:
            has_started = False
        if not has_started:
            stream.close()
            raise self._lost(words[0], stream.said(1.0))
        self._streams.add(stream)
        return stream

    def close(self) -> None:
        """See Transport. A master that the user opened stays."""
        for stream in tuple(self._streams):
            stream.close()
        if not self._ssh.master and listens(self._control):
            leave(self._ssh, self._control)

    def _session(self, text: str) -> list[str]:
        return [*command_line.session_words(self._control), command_line.destination(self._ssh), text]

    def _lost(self, word: str, said: bytes) -> SiteUnreachable:
        if not said.strip() or b"UNKNOWN port" in said:  # what `ssh` says of a master that is gone
            return SiteUnreachable(f"{self._site}: the link to {self._ssh.host} was lost during `{word}`")
        return problem_of(self._site, self._ssh.host, said)

    def _login(self) -> None:
        self._opening.ensure(lambda: listens(self._control), self._open)

    def _open(self) -> None:
        if self._ssh.master:
            raise LoginNeeded(f"{self._site}: nobody is logged in there", f"sbx site login {self._site}")
        open_master(self._site, self._ssh, self._control)


def listens(control: str) -> bool:
    """Whether a master listens at this path, in a folder where nobody else can have put one."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            make_private(Path(control).parent)
            probe.connect(control)
        except OSError:
            return False
    return True


def open_master(site: str, ssh: Ssh, control: str) -> None:
    """Open a master without asking anybody. Raises SiteUnreachable and its like."""
    prepare(control)
    words = command_line.master_words(ssh, control, persist=PERSIST)
    with tempfile.TemporaryFile() as said:  # no pipe: the master keeps it and nobody would see its end
        try:
            done = subprocess.run(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                check=False,
                timeout=OPEN_S,
                env=unasked(os.environ),
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise SiteUnreachable(f"{site}: there is no `ssh` here", "install OpenSSH's client") from error
        except subprocess.TimeoutExpired as error:
            raise SiteUnreachable(f"{site}: {ssh.host} does not answer within {OPEN_S:.0f} s") from error
        said.seek(0)
        if done.returncode != 0:
            # Of a master that goes to the background, what a jump host says goes nowhere.
            raise (knock(site, ssh) if ssh.jump else None) or problem_of(site, ssh.host, said.read())


def knock(site: str, ssh: Ssh, *options: str) -> SiteUnreachable | None:
    """Try a connection of its own and return what came of it; None when it let us in."""
    first = ["BatchMode=yes", "ControlPath=none", *options]
    words = ["ssh", *(word for option in first for word in ("-o", option)), *command_line.direct_options(ssh)]
    try:
        done = call([*words, ssh.host, "true"], timeout_s=OPEN_S, environ=unasked(os.environ))
    except FileNotFoundError:
        return SiteUnreachable(f"{site}: there is no `ssh` here", "install OpenSSH's client")
    except subprocess.TimeoutExpired:
        return SiteUnreachable(f"{site}: {ssh.host} does not answer within {OPEN_S:.0f} s")
    return None if done.returncode == 0 else problem_of(site, ssh.host, done.stderr)


def log_in(site: str, ssh: Ssh, transport: Transport, works_s: float) -> None:
    """Open the user's master at this terminal, which asks what the site asks; none where one works already.

    Raises SiteUnreachable when nobody was logged in; OpenSSH has said why by then.
    """
    control = command_line.control_path(ssh)
    if listens(control):
        try:
            transport.run(["true"], timeout_s=works_s)
        except SiteUnreachable:
            leave(ssh, control)
        else:
            return
    prepare(control)
    done = subprocess.run(command_line.master_words(ssh, control, persist="yes", asks=True), check=False)
    if done.returncode != 0:
        raise SiteUnreachable(f"{site}: nobody was logged in (ssh ended with status {done.returncode})")


def leave(ssh: Ssh, control: str) -> None:
    """End a master and all sessions through it; one that cannot be told is not gone through any more."""
    try:
        call([*command_line.session_words(control), "-O", "exit", ssh.host], timeout_s=OPEN_S)
    except (OSError, subprocess.TimeoutExpired):
        Path(control).unlink(missing_ok=True)


def prepare(control: str) -> None:
    """Make the folder of a master's socket and remove what a dead master left. Raises SiteUnreachable."""
    folder = Path(control).parent
    try:
        make_private(folder)
        Path(control).unlink(missing_ok=True)
    except OSError as error:
        hint = f"remove it (rm -r {folder}), or have its owner do so"
        raise SiteUnreachable(f"cannot use {folder}: {error.strerror}", hint) from error
