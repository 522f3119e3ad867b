"""The agent's two commands: `run` works until there is no more, `ended` says that an incarnation is over.

Exit codes: 0 an orderly end, 2 a command line that makes no sense, 4 no daemon to work for.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import resource
import signal
import sys
from typing import Any

from scalebox_hpc.agent import steps
from scalebox_hpc.agent.agent import Agent, Tools
from scalebox_hpc.agent.child import Children, best_watch
from scalebox_hpc.agent.disk import describe
from scalebox_hpc.agent.hello import AGAIN_S, Greeter, introduction
from scalebox_hpc.agent.lease import read_terms
from scalebox_hpc.agent.link import Link
from scalebox_hpc.agent.loop import Loop
from scalebox_hpc.agent.node import Node
from scalebox_hpc.agent.options import Options, own_options, read_token
from scalebox_hpc.agent.runtimes import find
from scalebox_hpc.agent.say import log
from scalebox_hpc.agent.session import Session
from scalebox_hpc.agent.signals import Signals
from scalebox_hpc.agent.whole import write_whole
from scalebox_hpc.agent.workdir import scratch_root

HELLO_S = 300.0  # after which an element without a daemon ends
FILES_PER_SLOT = 6
ENDED_S = 30.0  # after which the end of an incarnation is written to a file instead


def main() -> None:
    """Run the command line and exit."""
    options = own_options()
    sys.exit(run(options) if options.verb == "run" else ended(options))


def run(options: Options) -> int:
    """Say hello, work, leave. Returns the exit code."""
    environ = dict(os.environ)
    loop = Loop()
    signals = Signals(loop)
    life = _Life()
    signals.on(signal.SIGTERM, life.terminate)
    link = Link(loop, os.path.join(options.shared, "contact.json"), options.home)
    scratch = options.scratch_in(environ)
    runtimes = find(environ)
    said = introduction(options, environ, scratch, runtimes)
    greeter = Greeter(loop, link, options, said)
    answer = _first_hello(loop, greeter, options, life)
    if answer is None or answer["do"] == "leave" or life.is_over:
        if answer is not None:
            log(f"leaving at once: {answer.get('reason', '')}")
        link.close()
        return 4 if answer is None and not life.is_over else 0
    terms = read_terms(answer)
    session = Session(options.incarnation, terms, loop.now, said["walltime_left_s"])
    root = scratch_root(scratch, options.incarnation)
    node = Node(platform.node(), options.incarnation, root, runtimes, environ, _helper_words())
    _allow_files(FILES_PER_SLOT * terms.resources[0])
    children = Children(loop, best_watch(loop, signals))
    agent = Agent(Tools(loop, link, children, session, node, options.shared, greeter.greet_until_known))
    life.agent = agent
    gc.freeze()
    log(f"{options.incarnation} at work on {node.host} with {dict(answer['resources'])}")
    agent.run()
    why = session.leaving or "no daemon"
    log(f"leaving: {why}: {session.reason}" if session.reason else f"leaving: {why}")
    return 0


def _helper_words() -> list[str]:
    """Return the words that start helpers of this very version, whatever becomes of our file."""
    if sys.argv[0].endswith(".py"):
        return [sys.executable, "-m", "scalebox_hpc.agent"]
    own = os.open(sys.argv[0], os.O_RDONLY | os.O_CLOEXEC)  # kept open as long as we live
    return [sys.executable, "-I", "-S", f"/proc/{os.getpid()}/fd/{own}"]


def _allow_files(count: int) -> None:
    """Raise the limit of open files where the slots of this element need more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count + 100:
        wanted = count + 100 if hard == resource.RLIM_INFINITY else min(count + 100, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class _Life:
    """What SIGTERM finds: an agent to tell, or nothing yet."""

    def __init__(self) -> None:
        self.agent: Agent | None = None
        self.is_over = False

    def terminate(self) -> None:
        self.is_over = True
        if self.agent is not None:
            self.agent.terminate()


def _first_hello(loop: Loop, greeter: Greeter, options: Options, life: _Life) -> dict[str, Any] | None:
    """Return the answer to hello; None when there is none in time or the daemon does not know us."""
    until = loop.now + HELLO_S
    while loop.now < until and not life.is_over:
        got: list[tuple[int, dict[str, Any]]] = []
        try:
            greeter.greet(lambda status, answer, got=got: got.append((status, answer)))  # type: ignore[misc]
        except OSError as problem:
            log(f"no join token: {options.token_path}: {problem.strerror}")
            return None
        while not got and loop.now < until and not life.is_over:
            loop.turn(until)
        if got and got[0][0] == 200:
            return got[0][1]
        if got:
            log(f"the daemon answered {got[0][0]} to hello: {got[0][1].get('error', '')}")
            until = min(until, loop.now + AGAIN_S * 3)
            again_at = loop.now + AGAIN_S
            while loop.now < again_at and not life.is_over:
                loop.turn(again_at)
    return None


def ended(options: Options) -> int:
    """Say that an incarnation is over: over the network, else in a file of the shared folder."""
    problem = steps.end_all(os.environ, options.incarnation) if options.steps else ""
    if problem:
        log(f"steps of this element may be left: {problem}")
    body = {
        "try": options.try_name,
        "element": options.element,
        "incarnation": options.incarnation,
        "restart": options.restart,
        "status": options.status,
    }
    loop = Loop()
    link = Link(loop, os.path.join(options.shared, "contact.json"), options.home)
    got: list[int] = []
    try:
        link.token = read_token(options)
        link.ask("/v1/agent/ended", json.dumps(body).encode(), lambda status, _: got.append(status))
    except OSError as error:
        log(f"no join token: {error}")
        got.append(0)
    until = loop.now + ENDED_S
    while not got and loop.now < until:
        loop.turn(until)
    link.close()
    if got != [200]:
        try:
            directory = os.path.join(options.shared, "ended")
            os.makedirs(directory, mode=0o700, exist_ok=True)
            write_whole(os.path.join(directory, f"{options.incarnation}.json"), body)
        except OSError as problem:
            log(f"nobody was told that this incarnation ended: {describe(problem)}")
    return 0
