"""Asks the login node of a site over its transport, one thing a function. Judges nothing, submits nothing."""

from __future__ import annotations

import json
import re
import shlex
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from scalebox_hpc.doctor import login_node
from scalebox_hpc.doctor.ask import place_seen
from scalebox_hpc.doctor.facts import Door, Interpreter, LoginNode, Movers
from scalebox_hpc.domain.site import Site, Ssh
from scalebox_hpc.errors import EnvironmentProblem, SiteUnreachable
from scalebox_hpc.sites.base import Transport
from scalebox_hpc.sites.processes import call
from scalebox_hpc.sites.resolved import way_to
from scalebox_hpc.transfer.causes import TransferFailed
from scalebox_hpc.transfer.ends import reach, remote_words
from scalebox_hpc.transfer.plan import algorithm
from scalebox_hpc.transfer.rsync import own_link, read_version

DOOR_S: Final = 15.0  # for a host to answer
LOG_IN_S: Final = 60.0
LOOK_S: Final = 120.0  # a file system may be slow, and a runtime says its version slowly at first
CLOCK_S: Final = 1.0  # a look that takes longer tells nothing of the clock there
VERSION: Final = "import sys; print('Python %d.%d' % sys.version_info[:2])"


def door(ssh: Ssh) -> Door:
    """The first host on the way there. Raises SiteUnreachable where OpenSSH's files do not tell the way."""
    first, *others = way_to(ssh)
    seen = Door(first.host, first.port, tuple(hop.host for hop in others))
    if first.odd == "ProxyCommand":
        return seen
    began_s = time.monotonic()
    try:
        with socket.create_connection((first.host, first.port), DOOR_S):
            return replace(seen, took_s=time.monotonic() - began_s)
    except OSError as error:
        return replace(seen, problem=error.strerror or str(error))


def log_in(transport: Transport) -> tuple[SiteUnreachable | None, float]:
    """What keeps a command from running there, and how long one takes."""
    try:
        transport.run(["true"], timeout_s=LOG_IN_S)
        began_s = time.monotonic()
        transport.run(["true"], timeout_s=LOG_IN_S)  # the link is open now
    except SiteUnreachable as error:
        return error, 0.0
    return None, time.monotonic() - began_s


def python_of(site: Site) -> str:
    """The Python of the login node."""
    return sys.executable if site.ssh is None else site.ssh.python


def python(transport: Transport, site: Site) -> Interpreter:
    """What the login node's Python says of itself."""
    words = python_of(site)
    done = transport.run([words, "-c", VERSION], timeout_s=LOG_IN_S)
    told = re.search(rb"Python (\d+)\.(\d+)", done.stdout)
    if done.exit_code != 0 or told is None:
        return Interpreter(words, None, _last_line(done.stderr or done.stdout))
    return Interpreter(words, (int(told[1]), int(told[2])))


def look(transport: Transport, site: Site, shared: str, mark: str) -> LoginNode:
    """Who and where the login node is, and its shared folder, in which a file called `mark` is left."""
    began_s = time.time_ns() / 1e9
    said = _asked(transport, site, {"do": "look", "shared": shared, "mark": mark})
    took_s = time.time_ns() / 1e9 - began_s
    ahead_s = began_s + took_s / 2 - said["clock_s"] if took_s < CLOCK_S else None
    return LoginNode(said["host"], said["user"], said["uid"], place_seen(said["shared"]), ahead_s)


def look_again(transport: Transport, site: Site, shared: str, mark: str) -> dict[str, Any]:
    """What else there is, as `login_node.look_again` tells it; the file called `mark` is removed."""
    scratch = (site.scratch or "") if site.batch == "local" else None  # else it is on other machines
    return _asked(transport, site, {"do": "look again", "shared": shared, "mark": mark, "scratch": scratch})


def movers(site: Site) -> Movers:
    """What transfers find at both ends, by the connection that they themselves make."""
    words = [] if site.ssh is None else remote_words(site.ssh, ["true"], own_link(site.ssh.master))
    seen = Movers(shlex.join(words))
    ours, theirs = reach(None), reach(site)
    try:
        checksum = algorithm(theirs.facts["algorithms"], ours.facts["algorithms"])
        here, there = (_version(end.ask("rsync")) for end in (ours, theirs))
        noise = call(words, timeout_s=LOG_IN_S).stdout.decode("utf-8", "replace") if words else ""
    except TransferFailed as error:
        todo = error.hint if site.ssh is not None and site.ssh.master else ""
        return replace(seen, problem=error.fact, todo=todo)
    except subprocess.TimeoutExpired:
        return replace(seen, problem=f"`ssh` did not end within {LOG_IN_S:g} s")
    finally:
        theirs.close()
    return Movers(seen.command, here, there, checksum, noise.strip())


def _version(said: str) -> str:
    found = read_version(said)
    return "" if found is None else ".".join(map(str, found.version))


def _asked(transport: Transport, site: Site, asked: dict[str, Any]) -> dict[str, Any]:
    """Have the login node's Python run `login_node`. Raises SiteUnreachable, EnvironmentProblem."""
    program = Path(login_node.__file__).read_bytes()
    words = [python_of(site), "-I", "-", json.dumps(asked)]
    done = transport.run(words, stdin=program, timeout_s=LOOK_S)
    if done.exit_code != 0:
        raise EnvironmentProblem(
            f"{site.name}: `{python_of(site)}` ended with {done.exit_code}: {_last_line(done.stderr)}",
            "name another Python in [ssh] of the site file",
        )
    return dict(json.loads(done.stdout))


def _last_line(said: bytes) -> str:
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip() if lines else ""
