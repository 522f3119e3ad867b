"""A real daemon and agents at work, under the loosest umask, and what a test needs to look at them.

It looks at processes and files from outside, and speaks to the daemon as any client could.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import ssl
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scalebox_hpc.daemon.home import open_home
from scalebox_hpc.daemon.keys import Keys, open_keys
from tests.scenarios.lab import Lab, Row

PIPELINE = """
sbx = 1
[pipeline]
name = "scene"
[modules.work]
run = ["./work.sh", "{body}"]
seed = ["a", "b"]
to = ["total"]
[modules.total]
run = "mkdir publish; wc -l < {bodies} > publish/total.txt"
gather = { by = "all" }
"""
WORK = """#!/bin/bash
set -eu
mkdir publish
printenv > "publish/environment-$1"
until [ -e "$SBX_SHARED/go" ]; do sleep 0.1; done
echo "done $1"
echo "$1" > messages.txt
"""


@dataclass
class Seen:
    """What was seen of our processes while tasks ran: command lines and environments, by process."""

    command_lines: dict[int, bytes]
    environments: dict[int, bytes]
    modes: dict[Path, int]  # of all that was in the home
    scratch: dict[Path, int]  # of the agents' directories on scratch


@dataclass
class Scene:
    """A lab whose daemon works, and a run of it that is over."""

    lab: Lab
    keys: Keys
    running: Seen
    tries: list[str] = field(default_factory=list)
    incarnations: list[str] = field(default_factory=list)

    @property
    def home(self) -> Path:
        return self.lab.home

    @property
    def contact(self) -> dict[str, Any]:
        """What daemon.json says."""
        return dict(json.loads((self.home / "daemon.json").read_text()))

    @property
    def port(self) -> int:
        return int(self.contact["address"].rpartition(":")[2])

    def secrets(self) -> dict[str, list[bytes]]:
        """Every secret of the home in each form in which it could leak, by what it is."""
        pem = (self.home / "tls.key").read_bytes()
        key = (self.home / "key").read_bytes()
        private = re.sub(rb"-----[A-Z ]+-----|\n", b"", pem.partition(b"-----BEGIN CERT")[0])
        found = {"key": [key, key.hex().encode()], "tls.key": [private, private[:40]]}
        tokens = {"user token": self.keys.user_token()}
        tokens |= {f"join token of {name}": self.keys.join_token(name) for name in self.tries}
        tokens |= {f"token of agent {name}": self.keys.incarnation_token(name) for name in self.incarnations}
        return found | {what: [token.rpartition(".")[2].encode()] for what, token in tokens.items()}

    def leaks(self, where: str, content: bytes) -> list[str]:
        """The secrets that stand in some bytes."""
        secrets = self.secrets().items()
        return [f"{what} in {where}" for what, forms in secrets if any(form in content for form in forms)]

    def context(self) -> ssl.SSLContext:
        """TLS for a client that trusts the daemon's certificate."""
        context = ssl.create_default_context(cafile=str(self.home / "tls.crt"))
        context.check_hostname = False
        return context

    @contextmanager
    def connection(self) -> Iterator[http.client.HTTPSConnection]:
        made = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=self.context())
        try:
            yield made
        finally:
            made.close()

    def ask(self, method: str, path: str, body: Any = None, token: str | None = None) -> tuple[int, Any]:
        """One request; the status and the decoded body, b"" if it is empty."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        with self.connection() as connection:
            connection.request(method, path, raw, headers)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else b""

    def as_user(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        return self.ask(method, path, body, self.keys.user_token())

    def rows(self) -> list[Row]:
        return self.lab.rows()


def play(lab: Lab) -> Scene:
    """Start a daemon under umask 000, look while tasks run, and let them end."""
    lab.pipeline(PIPELINE, work_sh=WORK)
    done = lab.shell(f"umask 000; {lab.place.sbx} run --detach pipeline.toml")
    assert done.exit_code == 0, str(done)
    lab.wait(lambda: working(lab), 60, "tasks at work")
    scene = Scene(lab, open_keys(open_home(lab.home)), look(lab))
    scene.tries = [path.name for path in (lab.home / "shared" / "tries").iterdir()]
    logs = (lab.home / "shared" / "logs").iterdir()
    scene.incarnations = sorted({path.name.partition(".")[0] for path in logs})
    (shared,) = (lab.home / "shared" / "runs").glob("*/shared")
    (shared / "go").touch()
    assert lab.wait_for_end()["state"] == "SUCCEEDED"
    return scene


def working(lab: Lab) -> bool:
    """Whether a task's own program runs."""
    return any(b"work.sh" in content for content in processes(lab, "cmdline").values())


def processes(lab: Lab, what: str) -> dict[int, bytes]:
    """A file of /proc for each process that names the lab's directory or carries a mark of ours."""
    found = {}
    here = os.fsencode(lab.directory)
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                about = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
                if here in about[0] or here in about[1]:
                    found[int(entry.name)] = (entry / what).read_bytes()
    return found


def look(lab: Lab) -> Seen:
    """See processes and files as they are now."""
    environments = processes(lab, "environ")
    works = re.findall(rb"\0SBX_WORK=([^\0]*/sbx-[0-9]+-[0-9a-f]{16})/", b"\0".join(environments.values()))
    scratch = {path: stat.S_IMODE(path.stat().st_mode) for path in map(Path, map(os.fsdecode, works))}
    return Seen(processes(lab, "cmdline"), environments, modes(lab.home), scratch)


def modes(root: Path) -> dict[Path, int]:
    """The permission bits of a directory and all below it, links left out."""
    found = {}
    for path in [root, *root.rglob("*")]:
        with suppress(FileNotFoundError):
            state = path.lstat()
            if not stat.S_ISLNK(state.st_mode):
                found[path] = stat.S_IMODE(state.st_mode)
    return found
