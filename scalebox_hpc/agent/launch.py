"""Starts attempts, on the bare host or in the container of their module, and stops them.

What became of them is judged elsewhere; which one is next, too.
"""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable
from typing import NamedTuple

from scalebox_hpc.agent import probe
from scalebox_hpc.agent.attempt import Attempt
from scalebox_hpc.agent.child import INF, Children, Process, encoded
from scalebox_hpc.agent.command import NO_BASH, CannotLaunch, MissingHeader, Recipe
from scalebox_hpc.agent.container import Container, Plan, Setting
from scalebox_hpc.agent.container_sheet import Wanted
from scalebox_hpc.agent.guests import Order
from scalebox_hpc.agent.image import IMAGE, TREE, LocalCopy, plan_copy
from scalebox_hpc.agent.loop import Loop
from scalebox_hpc.agent.mounts import missing_source, plan_view
from scalebox_hpc.agent.node import Node
from scalebox_hpc.agent.runtimes import Runtime, Unavailable, choose
from scalebox_hpc.agent.say import log
from scalebox_hpc.agent.staged import StageProblem
from scalebox_hpc.agent.workdir import TMP, Slot, WorkDirs

CLOSE_S = 3.0  # in which containers end of their own accord
RUNTIME_NAMES = ("PATH", "HOME", "USER", "LOGNAME", "TZ", "SLURM_JOB_ID")
HELPER_NAMES = ("LD_LIBRARY_PATH",)  # which the node's Python may need


class LaunchTools(NamedTuple):
    """What a launcher works with, and whom it tells."""

    loop: Loop
    children: Children
    work: WorkDirs
    node: Node
    clock_us: Callable[[], int]
    left_s: Callable[[], float | None]  # of the walltime
    ended: Callable[[Attempt, Process], None]
    failed: Callable[[Attempt], None]  # it was not started; the attempt says why


class Launcher:
    """Starts and stops attempts."""

    def __init__(self, tools: LaunchTools) -> None:
        self._tools = tools
        self._loop, self._children, self._work = tools.loop, tools.children, tools.work
        self._clock_us, self._left_s = tools.clock_us, tools.left_s
        self._containers: dict[int, Container] = {}

    def start(self, attempt: Attempt, work: int, now_us: int) -> None:
        """Start an attempt in its slot, whose work directory is open as `work`, perhaps later."""
        recipe = attempt.recipe
        try:
            recipe.enter(attempt.held, attempt.slot.work)
        except (MissingHeader, StageProblem) as problem:
            self._fail(attempt, "output", str(problem))
            return
        except OSError as problem:
            self._fail(attempt, "launch", recipe.explain("", attempt.slot.work, problem))
            return
        if recipe.wanted is not None:
            self._ask_for_container(attempt)
            return
        one, slot, word = attempt.held, attempt.slot, ""
        try:
            own = recipe.own_env(one, slot.env, attempt.gather_dir, self._time_s(attempt))
            env = {**recipe.fixed, **own}
            argv = recipe.argv(one, slot.number, slot.work, attempt.gather_dir)
            word = argv[0]
            attempt.times["started"] = now_us
            attempt.process = self._children.start(
                recipe.program(word),
                argv,
                env,
                work,
                slot.redirections,
                recipe.marker(env),
                one.time_s,
                functools.partial(self._tools.ended, attempt),
            )
        except MissingHeader as problem:
            self._fail(attempt, "output", str(problem))
        except CannotLaunch as problem:
            self._fail(attempt, "launch", str(problem))
        except (OSError, ValueError) as problem:
            self._fail(attempt, "launch", recipe.explain(word, slot.work, problem))

    def stop(self, attempt: Attempt, why: str) -> None:
        """Stop an attempt; its end is told as any other."""
        process, container = attempt.process, attempt.container
        if process is None:
            return
        if container is not None and container.withdraw(process):
            process.why, process.status = why, signal.SIGTERM
            process.ended(process)
        else:
            self._children.stop(process, why)

    def clear(self, attempt: Attempt) -> None:
        """Leave nothing of an attempt that is over in its container's temporary files."""
        if attempt.container is not None:
            try:
                attempt.container.clear(attempt.slot)
            except OSError as problem:
                log(f"temporary files of {attempt.held.offer['task']}: {problem}")

    def close(self) -> None:
        """Let containers end, for a while."""
        for container in self._containers.values():
            container.close()
        until = self._loop.now + CLOSE_S
        while self._loop.now < until and not all(each.is_gone for each in self._containers.values()):
            self._loop.turn(until)

    def _time_s(self, attempt: Attempt) -> float:
        left_s, time_s = self._left_s(), attempt.held.time_s
        return time_s if left_s is None else min(left_s, time_s)

    def _fail(self, attempt: Attempt, cause: str, text: str) -> None:
        attempt.process = None
        attempt.fail(cause, text)
        self._tools.failed(attempt)

    # in containers

    def _ask_for_container(self, attempt: Attempt) -> None:
        recipe, one = attempt.recipe, attempt.held
        try:
            container = self._containers.get(one.module) or self._add_container(one.module, recipe)
        except (Unavailable, CannotLaunch) as problem:
            self._fail(attempt, "launch", str(problem))
            return
        except (OSError, ValueError) as problem:
            self._fail(attempt, "launch", recipe.explain("", attempt.slot.work, problem))
            return
        attempt.container = container
        ended = functools.partial(self._tools.ended, attempt)
        attempt.process = Process(0, recipe.marker_of(one), INF, ended)
        container.when_ready(attempt.process, functools.partial(self._start_inside, attempt, container))

    def _add_container(self, module: int, recipe: Recipe) -> Container:
        """Raises Unavailable, CannotLaunch, OSError."""
        node, wanted = self._tools.node, recipe.wanted
        assert wanted is not None
        missing = missing_source(wanted)
        if missing:
            raise CannotLaunch(f"{missing} does not exist on {node.host}; look at `binds`")
        directory = os.path.join(node.scratch_root, "containers", str(module))
        tmp = os.path.join(node.scratch_root, TMP, str(module))
        os.makedirs(tmp, mode=0o700, exist_ok=True)
        masks = os.path.join(directory, "masks")
        view = plan_view(wanted, recipe.sheet, node.scratch_root, masks, tmp, recipe.bin_dir)
        runtime = choose(node.runtimes, wanted.runtime, wanted.image, view.binds, node.host)
        plan = Plan(
            wanted,
            runtime,
            view,
            directory,
            tmp,
            probe.gpu_kind() if wanted.gpus else "",
            recipe.fixed,
            recipe.sheet.get("env", {}),
            recipe.bin_dir,
            self._copy_of(wanted, runtime),
        )
        container = self._containers[module] = Container(module, plan, self._setting())
        return container

    def _copy_of(self, wanted: Wanted, runtime: Runtime) -> LocalCopy | None:
        is_asked = wanted.local_copy in ("file", "unpacked")
        if not is_asked or not wanted.digest or not os.path.isfile(wanted.image):
            return None
        is_unpacked = wanted.local_copy == "unpacked"
        unpack = runtime.unpack_words(IMAGE, TREE, wanted.args) if is_unpacked else []
        scratch = os.path.dirname(self._tools.node.scratch_root)
        return plan_copy(scratch, wanted.image, wanted.digest, unpack)

    def _setting(self) -> Setting:
        node = self._tools.node
        environ = {name: node.environ[name] for name in RUNTIME_NAMES if name in node.environ}
        environ["SBX_INCARNATION"] = node.incarnation
        helper = {name: node.environ[name] for name in HELPER_NAMES if name in node.environ}
        return Setting(self._loop, self._children, self._work, node.helper, encoded(environ), encoded(helper))

    def _start_inside(self, attempt: Attempt, container: Container, problem: str) -> None:
        one, slot, recipe, word = attempt.held, attempt.slot, attempt.recipe, ""
        if problem:
            self._fail(attempt, "launch", problem)
            return
        if container.note:
            attempt.say(container.note)
        try:
            tmp = container.tmp(slot)
            env = recipe.own_env(one, slot.env, attempt.gather_dir, self._time_s(attempt))
            argv = recipe.argv(one, slot.number, slot.work, attempt.gather_dir, container.has_bash)
            word = argv[0]
            if container.has_bash is False and recipe.wants_bash:
                attempt.say(NO_BASH)
            attempt.times["container"] = attempt.times["started"] = self._clock_us()
            one.started_at = self._loop.now
            if container.per_task:
                self._start_alone(attempt, container, tmp, argv, env)
            else:
                self._order(attempt, container, tmp, argv, env)
        except MissingHeader as missing:
            self._fail(attempt, "output", str(missing))
        except (OSError, ValueError) as failed:
            self._fail(attempt, "launch", recipe.explain(word, slot.work, failed))

    def _order(
        self, attempt: Attempt, container: Container, tmp: str, argv: list[str], env: dict[bytes, bytes]
    ) -> None:
        assert attempt.process is not None
        outer = container.outer_environment(tmp)
        not_started = functools.partial(self._fail, attempt, "launch")
        time_s = attempt.held.time_s
        container.start(
            Order(
                attempt.process,
                attempt.slot,
                tmp,
                argv,
                {**outer, **env} if outer else env,
                time_s,
                not_started,
            )
        )

    def _start_alone(
        self, attempt: Attempt, container: Container, tmp: str, argv: list[str], env: dict[bytes, bytes]
    ) -> None:
        assert attempt.process is not None
        slot: Slot = attempt.slot
        words, outer = container.one_task(tmp, slot.work)
        attempt.process = self._children.start(
            words[0],
            [*words, *argv],
            {**outer, **env},
            "/",
            slot.redirections,
            attempt.process.marker,
            attempt.held.time_s,
            attempt.process.ended,
        )
