"""Looks around on a compute node for `sbx doctor --probe`: it says hello at each address and leaves.

It takes no task. What it finds it writes beside its join token, for the doctor to read.
"""

from __future__ import annotations

import json
import os
import platform
import time
from typing import Any, NamedTuple

from scalebox_hpc.agent import probe
from scalebox_hpc.agent.connection import Connection, tls_context
from scalebox_hpc.agent.contact import ContactError, read_contact
from scalebox_hpc.agent.disk import describe
from scalebox_hpc.agent.hello import introduction
from scalebox_hpc.agent.link import request_of
from scalebox_hpc.agent.loop import Loop
from scalebox_hpc.agent.options import Options, own_options, read_token
from scalebox_hpc.agent.runtimes import find
from scalebox_hpc.agent.whole import write_whole

HERE, SEEN, FOUND = "here.json", "seen.json", "found.json"
ANSWER_S = 10.0  # for a daemon to answer a hello
SEEN_S = 90.0  # for the doctor to see a file of ours and we its answer: network file systems take up to 60 s
LOOK_S = 0.1


def main() -> None:
    """Run the command line and exit."""
    look(own_options(), Loop())


def look(options: Options, loop: Loop) -> None:
    """Look at everything, and write it down."""
    began_s = time.time_ns() / 1e9
    write_whole(os.path.join(_folder(options), HERE), {"node": platform.node()})
    seen = _await_doctor(options, loop, began_s)
    environ = dict(os.environ)
    scratch = options.scratch_in(environ)
    said = introduction(options, environ, scratch, find(environ))
    addresses, problem = _addresses(options, loop, said)
    found = {
        **said,
        "addresses": addresses,
        "problem": problem,
        "scratch": scratch,
        "scratch_problem": _scratch_problem(scratch),
        "cgroup": probe.cgroup_directory(),
        "seen": seen,
    }
    write_whole(os.path.join(_folder(options), FOUND), found)


class _Answer(NamedTuple):
    status: int
    body: dict[str, Any]


def _addresses(options: Options, loop: Loop, said: dict[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """Say hello at each address in turn; what came of it, and why there was nobody to greet."""
    try:
        contact = read_contact(os.path.join(options.shared, "contact.json"), options.home)
        token = read_token(options)
    except ContactError as problem:
        return [], str(problem)
    except OSError as problem:
        return [], f"no join token: {describe(problem, options.token_path)}"
    tried = []
    for host, port in contact.addresses:
        body = json.dumps({**said, "clock_us": time.time_ns() // 1000}).encode()
        request = request_of("/v1/agent/hello", token, body)
        began_s = time.monotonic()
        answer = _greet(loop, (host, port), contact.fingerprint, request)
        outcome = {
            "address": f"{host}:{port}",
            "status": answer.status,
            "said": answer.body.get("error") or answer.body.get("reason", ""),
            "took_s": time.monotonic() - began_s,
        }
        tried.append(outcome)
    return tried, ""


def _greet(loop: Loop, address: tuple[str, int], fingerprint: str, request: bytes) -> _Answer:
    """Ask at one address as the agent does, over its own connection."""
    got: list[_Answer] = []
    connection = Connection(loop, tls_context())
    connection.open_and_send(
        [address], fingerprint, request, ANSWER_S, lambda status, body: got.append(_Answer(status, body))
    )
    while not got:
        loop.turn(loop.now + LOOK_S)
    connection.close()
    return got[0]


def _scratch_problem(path: str) -> str:
    """Return why no file can be made there, "" where one can."""
    file = os.path.join(path, f"sbx-probe-{os.getpid()}")
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        with open(file, "wb") as opened:
            opened.write(bytes(4096))
        os.unlink(file)
    except OSError as problem:
        return describe(problem, path)
    return ""


def _await_doctor(options: Options, loop: Loop, began_s: float) -> dict[str, Any]:
    """Wait for the doctor's answer to our first file, which bears its clock: the way there and back.

    An empty one where there was none in time.
    """
    path = os.path.join(_folder(options), SEEN)
    until = loop.now + SEEN_S
    while loop.now < until:
        try:
            with open(path, encoding="ascii") as file:
                doctor_s = float(json.load(file)["clock_s"])
        except OSError:
            loop.turn(loop.now + LOOK_S)
            continue
        now_s = time.time_ns() / 1e9
        return {"took_s": now_s - began_s, "ahead_s": (began_s + now_s) / 2 - doctor_s}
    return {}


def _folder(options: Options) -> str:
    return os.path.dirname(options.token_path)
