"""Slurm by its library, through pyslurm, where that is for the Slurm of the cluster; else by its commands.

pyslurm lives in a process of its own (`slurm_child`). What it has no call for is asked of the
commands: whether a request would be taken, how forgotten elements ended, and elements without a job.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Mapping
from importlib.util import find_spec
from typing import Any, Final

from scalebox_hpc.batch import slurm_records
from scalebox_hpc.batch.base import BatchSystem
from scalebox_hpc.batch.slurm_cli import SlurmCli, SlurmFacts, Timeouts
from scalebox_hpc.batch.slurm_line import LineLost, SlurmLine
from scalebox_hpc.batch.slurm_listing import UnreadableListing
from scalebox_hpc.batch.surroundings import for_slurm
from scalebox_hpc.domain.allocation import AllocationRequest, CancelTarget, Listing
from scalebox_hpc.errors import BatchProblem, SubmitUnconfirmed

REST_S: Final = 300.0
"""How long the commands are used before pyslurm is tried again."""

CROWD: Final = 300
"""Jobs of everybody, all of which pyslurm fetches: with more of them squeue, asked for ours, costs less."""

CROWD_S: Final = 3600.0
"""How long squeue is used then before the jobs are counted again."""

INSTALL: Final = 'install the pyslurm of the Slurm here beside sbx, or write batch = "slurm" in the site file'


def slurm(home_id: str, kind: str) -> BatchSystem:
    """Return the back end for the site key `batch`: "slurm_cli", "slurm_api", or "slurm", what there is."""
    if kind == "slurm_cli" or (kind == "slurm" and find_spec("pyslurm") is None):
        return SlurmCli(home_id)
    return SlurmApi(home_id, only=kind == "slurm_api")


def why_not_pyslurm() -> str:
    """Say why pyslurm cannot be used on this machine; "" where it can."""
    if find_spec("pyslurm") is None:
        return "pyslurm is not installed"
    api = SlurmApi("")
    try:
        return api.why_not()
    finally:
        api.close()


class SlurmApi:
    """The BatchSystem of one home on the Slurm that pyslurm speaks to.

    `only`: where pyslurm cannot be used, fail instead of using the commands. `clock` gives
    monotonic seconds. May be called by several threads.
    """

    def __init__(
        self,
        home_id: str,
        *,
        only: bool = False,
        environ: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        environ = os.environ if environ is None else environ
        self._home, self._only, self._clock = home_id, only, clock
        self._timeouts = timeouts or Timeouts()
        self._cli = SlurmCli(home_id, environ=environ, timeouts=timeouts, clock=clock)
        self._line = SlurmLine(for_slurm(environ), clock=clock)
        self._lock = threading.Lock()  # of the line
        self._rests_until = self._crowded_until = clock()
        self._why_not = ""  # what was the matter last
        self._filters = False  # whether the site has plug-ins that sbatch itself calls

    def submit(self, request: AllocationRequest) -> str:
        """Ask by slurm_submit_batch_job; by sbatch what needs what only sbatch does. See BatchSystem."""
        if request.machine.sbatch or request.ranks is not None or not self._usable() or self._filters:
            return self._cli.submit(request)
        question = {"ask": "submit", "fields": slurm_records.fields_of(request)}
        try:
            answer = self._ask(question, self._timeouts.submit_s)
        except LineLost as error:
            hint = "nothing to do: the daemon looks for it by name before it asks again"
            raise SubmitUnconfirmed(f"{request.name}: {error}", hint) from error
        if "problem" in answer:
            raise self._cli.problem_of(request, answer["problem"], 1)
        return str(answer["job_id"])

    def verify(self, request: AllocationRequest) -> None:
        """Ask by `sbatch --test-only`, for which pyslurm has no call. See BatchSystem."""
        self._cli.verify(request)

    def observe(self, expected: Collection[str]) -> Listing:
        """Look by one slurm_load_jobs, and for what it lacks by at most one sacct. See BatchSystem."""
        began = self._clock()
        try:
            if began < self._crowded_until or not self._usable():
                return self._cli.observe(expected)
            tries = slurm_records.from_records(self._records(), self._home)
        except LineLost as error:
            return self._failed(began, str(error)) if self._only else self._cli.observe(expected)
        except (BatchProblem, UnreadableListing) as error:
            return self._failed(began, str(error))
        tries.update(self._cli.accounted([name for name in expected if name not in tries]))
        return Listing(complete=True, tries=tries, duration_s=self._clock() - began)

    def cancel(self, targets: Collection[CancelTarget]) -> None:
        """Look which jobs bear name and id, and kill each by its own id. See BatchSystem."""
        try:
            if not self._usable():
                self._cli.cancel(targets)
                return
            killing = slurm_records.killing(self._records(), targets, self._home)
            if killing.ids:
                answer = self._ask({"ask": "kill", "ids": killing.ids}, self._timeouts.query_s)
                if "problem" in answer:
                    raise BatchProblem(f"cancelling failed: {answer['problem']}")
        except LineLost as error:
            if self._only:
                raise BatchProblem(str(error)) from error
            self._cli.cancel(targets)
            return
        self._cli.cancel(killing.left)

    @property
    def array_limit(self) -> int | None:
        """The most elements of one submission (Slurm's MaxArraySize, which caps the index)."""
        return self._cli.array_limit

    def facts(self) -> SlurmFacts:
        """Slurm's version and limits, as its commands tell them."""
        return self._cli.facts()

    def why_not(self) -> str:
        """Say why pyslurm cannot be used now; "" where it can."""
        with self._lock:
            if self._clock() < self._rests_until:
                return self._why_not
            try:
                greeting = self._line.greeting()
            except LineLost as error:
                return self._rest(str(error))
            why_not = greeting.get("problem", "")
            if "pyslurm" in greeting:
                version = self._cli.facts().version
                why_not = slurm_records.mismatch(greeting["pyslurm"], version) or why_not
            if why_not:
                self._line.close()
                return self._rest(str(why_not))
            self._filters = bool(greeting["cli_filter"])
        return ""

    def close(self) -> None:
        """End the process that holds pyslurm."""
        with self._lock:
            self._line.close()

    def _usable(self) -> bool:
        """Whether pyslurm can be used. Raises BatchProblem where it must be and cannot."""
        why_not = self.why_not()
        if why_not and self._only:
            raise BatchProblem(f"pyslurm cannot be used: {why_not}", INSTALL)
        return not why_not

    def _records(self) -> list[dict[str, Any]]:
        """All of ours that Slurm lists. Raises LineLost, and BatchProblem where Slurm does not answer."""
        answer = self._ask({"ask": "list", "home": self._home}, self._timeouts.query_s)
        if "problem" in answer:
            raise BatchProblem(answer["problem"])
        if answer["jobs"] > CROWD and not self._only:
            self._crowded_until = self._clock() + CROWD_S
        return list(answer["records"])

    def _ask(self, question: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        with self._lock:
            try:
                return self._line.ask(question, timeout_s)
            except LineLost as error:
                self._rest(str(error))
                raise

    def _rest(self, why_not: str) -> str:
        """Leave pyslurm alone for a while, unless there is nothing else."""
        self._why_not = why_not
        if not self._only:
            self._rests_until = self._clock() + REST_S
        return why_not

    def _failed(self, began: float, problem: str) -> Listing:
        return Listing(complete=False, tries={}, duration_s=self._clock() - began, problem=problem)
