"""A whole agent with the daemon's part in its own process: runs a script of steps and writes what came of it.

`python agent_bench.py AGENT_PYZ STEPS_JSON OUT_JSON`. The standard library of Python 3.9 suffices, so
that it runs on any host as any user.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

PYZ, STEPS, OUT = sys.argv[1:4]
sys.path.insert(0, PYZ)

from scalebox_hpc.agent import child, container, progress, session  # noqa: E402
from scalebox_hpc.agent.agent import Agent, Tools  # noqa: E402
from scalebox_hpc.agent.child import Children, best_watch  # noqa: E402
from scalebox_hpc.agent.lease import Terms  # noqa: E402
from scalebox_hpc.agent.loop import Loop  # noqa: E402
from scalebox_hpc.agent.node import Node  # noqa: E402
from scalebox_hpc.agent.runtimes import find  # noqa: E402
from scalebox_hpc.agent.signals import Signals  # noqa: E402
from scalebox_hpc.agent.workdir import scratch_root  # noqa: E402

Json = dict[str, Any]
AMOUNTS = ("cpus", "memory_mib", "gpus", "scratch_mib")
LOOK_S = 0.01


class Daemon:
    """Stands where the link to the daemon is; nothing gets lost on its way."""

    ready_at = 0.0
    token = ""

    def __init__(self, loop: Loop, said: Json) -> None:
        self.loop, self.sheets = loop, {int(key): sheet for key, sheet in said["sheets"].items()}
        self.pending: deque[Json] = deque()
        self.results: dict[str, Json] = {}
        self.dead: list[str] = []
        self.progress: dict[str, list[Any]] = {}
        self.is_over = False
        self._parked: tuple[Json, Callable[[int, Json], None]] | None = None
        self._count = 0

    def add(self, task: Json) -> None:
        """Have a task done."""
        self._count += 1
        need = {"cpus": 1, "memory_mib": 10, "gpus": 0, "scratch_mib": 0, "time_s": 60.0}
        self.pending.append(
            {
                "lease": f"{self._count}.a.1",
                "module": task.get("module", 1),
                "task": f"work.{self._count}",
                "attempt": 1,
                "body": task.get("body", ""),
                "headers": task.get("headers", {}),
                "resources": {**need, "time_s": task.get("time_s", 60.0)},
            }
        )
        self.news()

    def sync(self, body: bytes, timeout_s: float, done: Callable[[int, Json], None]) -> None:
        """Take a sync; answer it soon, or when there is news."""
        said = json.loads(body)
        self.progress.update(said.get("progress", {}))
        self._parked = (said, done)
        if not said["wait"] or self.pending or self.is_over:
            self.loop.at(self.loop.now, self.news)

    def news(self) -> None:
        """Answer the sync that waits, if there is one."""
        if self._parked is None:
            return
        (said, done), self._parked = self._parked, None
        for result in said["results"]:
            self.results[result["lease"]] = result
        done(
            200,
            {
                "sync": said["sync"],
                "offers": [] if said["leaving"] else self._grant(said["free"], said["prefetch"]),
                "recorded": [result["lease"] for result in said["results"]],
                "dead": self.dead,
                "do": "drain" if self.is_over else "work",
            },
        )

    def _grant(self, free: Json, prefetch: Json) -> list[Json]:
        offers = []
        while self.pending:
            offer = self.pending[0]
            if all(offer["resources"][name] <= free[name] for name in AMOUNTS):
                for name in AMOUNTS:
                    free[name] -= offer["resources"][name]
            elif prefetch.get(str(offer["module"]), 0) > 0:
                prefetch[str(offer["module"])] -= 1
            else:
                break
            offers.append(self.pending.popleft())
        return offers

    def ask(self, path: str, body: bytes, done: Callable[[int, Json], None]) -> None:
        """Answer a request; only sheets are asked for here."""
        sheet = self.sheets[json.loads(body)["module"]]
        self.loop.at(self.loop.now, lambda: done(200, sheet))

    def close(self) -> None:
        """Be gone."""


class Bench:
    """The agent, and the steps that are done while it works."""

    def __init__(self, said: Json) -> None:
        self.said = said
        self.loop = Loop()
        signals = Signals(self.loop)
        self.children = Children(self.loop, best_watch(self.loop, signals))
        self.daemon = Daemon(self.loop, said)
        incarnation = os.environ["SBX_INCARNATION"]
        root = scratch_root(said["scratch"], incarnation)
        helper = [sys.executable, "-I", "-S", PYZ]
        environ = {**os.environ, **said.get("environ", {})}
        node = Node(platform.node(), incarnation, root, find(environ), environ, helper)
        terms = Terms((said["slots"], 1000, 1, 1000), idle_s=60.0)
        talk = session.Session(incarnation, terms, self.loop.now)
        greet = lambda done: done(False)  # noqa: E731
        tools = Tools(self.loop, self.daemon, self.children, talk, node, said["shared"], greet)  # type: ignore[arg-type]
        self.agent = Agent(tools)
        self.root = root
        self.steps = deque(said["steps"])
        self.seen: list[Any] = []
        self.loop.at(self.loop.now, self.drive)
        signals.on(signal.SIGTERM, self.agent.terminate)

    def drive(self) -> None:
        """Do the steps whose time has come."""
        while self.steps:
            verb, *words = self.steps[0]
            if getattr(self, "do_" + verb)(*words) is False:
                break
            self.steps.popleft()
        if not self.steps:
            self.daemon.is_over = True
            self.daemon.news()
            return
        self.loop.at(self.loop.now + LOOK_S, self.drive)

    # steps: False is "not yet"

    def do_add(self, *tasks: Json) -> None:
        for task in tasks:
            self.daemon.add(task)

    def do_many(self, count: int) -> None:
        for number in range(count):
            self.daemon.add({"body": str(number)})

    def do_results(self, count: int) -> bool:
        return len(self.daemon.results) >= count

    def do_progress(self, number: int) -> bool:
        told = self.daemon.progress.get(f"{number}.a.1")
        if told is not None:
            self.seen.append(told)
        return told is not None

    def do_file(self, path: str) -> bool:
        return os.path.exists(path)

    def do_kill(self, what: str) -> None:
        one = self.agent.launcher._containers[1]
        pids = {"anchor": one._anchor, "runner": one._runner}
        if what == "shell":
            os.kill(child_of(pids["anchor"].pid, "sh"), signal.SIGKILL)
        elif what == "files":  # of the image: what serves them
            os.kill(child_of(pids["anchor"].pid, "squashfuse_ll"), signal.SIGKILL)
        else:
            os.kill(pids[what].pid, signal.SIGKILL)

    def do_write(self, path: str, text: str) -> None:
        with open(path, "w") as file:
            file.write(text)

    def do_occupy(self, name: str) -> None:
        os.makedirs(os.path.join(self.root, name))

    def do_dead(self, number: int) -> None:
        self.daemon.dead.append(f"{number}.a.1")
        self.daemon.news()

    def do_die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def do_terminate(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    def do_alive(self, path: str) -> None:
        with open(path) as file:
            self.seen.append([is_alive(int(pid)) for pid in file.read().split()])

    def do_settled(self) -> bool:
        return not self.agent.work.has_waiting and not self.agent.broom._busy

    def do_count(self) -> None:
        runner = self.agent.launcher._containers[1]._runner
        files = sum(len(names) + len(inner) for _, inner, names in os.walk(self.root))
        fds = [len(os.listdir(f"/proc/{pid}/fd")) for pid in (os.getpid(), *([runner.pid] if runner else []))]
        self.seen.append({"files": files, "fds": fds, "processes": len(marked())})

    def run(self) -> None:
        """Work until the agent is over, then say what came of it."""
        self.agent.run()
        results = {result["lease"].split(".")[0]: result for result in self.daemon.results.values()}
        out = {"results": results, "seen": self.seen, "left": marked(), "files": os.path.exists(self.root)}
        with open(OUT + ".new", "w") as file:
            json.dump(out, file)
        os.rename(OUT + ".new", OUT)


def child_of(pid: int, name: str) -> int:
    """Return a child of a process by its name, whichever of its threads has started it."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/children") as file:
            for each in file.read().split():
                with open(f"/proc/{each}/comm") as comm:
                    if comm.read().strip() == name:
                        return int(each)
    return pid


def is_alive(pid: int) -> bool:
    """Tell whether it runs."""
    try:
        with open(f"/proc/{pid}/status") as file:
            return "\nState:\tZ" not in file.read()
    except OSError:
        return False


def marked() -> list[int]:
    """Return all processes of this incarnation but ourselves, and those below us."""
    mark = b"SBX_INCARNATION=" + os.environ["SBX_INCARNATION"].encode()
    pids = {pid for pid in child.all_pids() if mark in child.environ_of(pid)}
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        pids |= {int(pid) for pid in file.read().split()}
    return sorted(pids - {os.getpid()})


child.GRACE_S = progress.YOUNG_S = progress.EVERY_S = session.NEWS_GAP_S = 0.5
container.START_S = 60.0
with open(STEPS) as steps:
    Bench(json.load(steps)).run()
