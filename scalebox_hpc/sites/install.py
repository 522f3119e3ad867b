"""Puts our program for a login node there: the relay's file, in the shared folder, which it makes.

It starts nothing, and what is there already it leaves alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from scalebox_hpc.errors import EnvironmentProblem, SiteUnreachable
from scalebox_hpc.sites.base import Transport

INSTALL_S: Final = 120.0
INSTALL: Final = """
import hashlib, json, os, sys
text, content = sys.argv[1], sys.stdin.buffer.read()
root = os.path.expandvars(os.path.expanduser(text))
facts = {"root": root, "uid": os.getuid(), "python": list(sys.version_info[:2])}
if os.path.isabs(root) and "$" not in root and sys.version_info >= (3, 9):
    facts["program"] = os.path.join(root, "relay-%s.pyz" % hashlib.sha256(content).hexdigest()[:16])
    os.makedirs(root, 0o700, exist_ok=True)
    os.chmod(root, 0o700)
    if not os.path.exists(facts["program"]):
        part = "%s.%d" % (facts["program"], os.getpid())
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o500), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.rename(part, facts["program"])
print(json.dumps(facts))
"""
"""Run by the Python of a login node: makes the shared folder and puts the relay's program into it."""


@dataclass(frozen=True, slots=True)
class Installed:
    """The relay's program at a remote site, and what is known of the place."""

    root: str  # the shared folder, absolute there
    program: str  # its path
    uid: int  # the user's number there


def install(site: str, transport: Transport, python: str, shared: str, program: bytes) -> Installed:
    """Put the relay's program into a remote shared folder, which is made; both may be there already.

    `shared` may begin with `~` or hold variables, which are filled in there. Raises what a Transport
    raises, and EnvironmentProblem where the place is not fit for it.
    """
    done = transport.run([python, "-c", INSTALL, shared], stdin=program, timeout_s=INSTALL_S)
    words = done.stderr.decode("utf-8", "replace").strip()
    if done.exit_code == 127 or (done.exit_code != 0 and "Traceback" not in words):
        raise EnvironmentProblem(
            f"site {site}: {python} cannot be run on the login node: {words[-300:]}",
            "set `ssh.python` in the site file to a Python of 3.9 or newer there",
        )
    if done.exit_code != 0:
        raise EnvironmentProblem(
            f"site {site}: cannot write to {shared}: {words.splitlines()[-1]}",
            "set `paths.shared` in the site file to a directory that you may write and compute nodes reach",
        )
    try:
        facts = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError) as error:
        said = done.stdout.decode("utf-8", "replace").strip()[-200:]
        raise SiteUnreachable(f"{site}: no answer of ours from there, but {said!r}") from error
    if "program" not in facts:
        _refuse(site, python, shared, facts)
    return Installed(facts["root"], facts["program"], facts["uid"])


def _refuse(site: str, python: str, shared: str, facts: dict[str, Any]) -> NoReturn:
    if tuple(facts["python"]) < (3, 9):
        version = ".".join(map(str, facts["python"]))
        raise EnvironmentProblem(
            f"site {site}: {python} on the login node is Python {version}",
            "set `ssh.python` in the site file to one of 3.9 or newer there",
        )
    raise EnvironmentProblem(
        f"site {site}: paths.shared = {shared!r} is {facts['root']} there, which is no absolute path",
        "write it in full; `~` and variables that are set without a login are filled in there",
    )
