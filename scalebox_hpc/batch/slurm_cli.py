"""Slurm by its commands: sbatch, squeue, scancel, and sacct where there is accounting.

Calls them hermetically and few at a time. Decides nothing: what a missing name means, and when
to look again, is the engine's business.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from scalebox_hpc.batch import slurm_answers, slurm_listing, slurm_site
from scalebox_hpc.batch.base import belongs
from scalebox_hpc.batch.runner import LocalRunner, Ran, Runner
from scalebox_hpc.batch.slurm_script import script
from scalebox_hpc.domain.allocation import AllocationRequest, CancelTarget, Listing, TrySeen
from scalebox_hpc.errors import (
    BatchProblem,
    EnvironmentProblem,
    SiteTimeout,
    SiteUnreachable,
    SubmitUnconfirmed,
)

NAMES_AT_ONCE: Final = 200  # to sacct
DISABLED_S: Final = 3600.0  # how long we believe that there is no accounting
BROKEN_S: Final = 300.0  # and that slurmdbd does not answer
CONFIG_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long each command may take, in seconds."""

    submit_s: float = 90.0  # sbatch itself waits for a busy controller
    query_s: float = 60.0
    accounting_s: float = 15.0


@dataclass(frozen=True, slots=True)
class SlurmFacts:
    """What Slurm says of itself; None where it does not."""

    version: tuple[int, int] | None
    max_array_size: int | None
    accounting: bool | None = None  # whether it says that it keeps accounts in slurmdbd


class SlurmCli:
    """The BatchSystem of one home on the Slurm that commands speak to: this machine's, or a runner's.

    `clock` gives monotonic seconds. `accounting_interval_s` is the least time between two sacct.
    """

    def __init__(
        self,
        home_id: str,
        *,
        environ: Mapping[str, str] | None = None,
        runner: Runner | None = None,
        timeouts: Timeouts | None = None,
        accounting_interval_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._home = home_id
        self._run = runner or LocalRunner(os.environ if environ is None else environ)
        self._timeouts = timeouts or Timeouts()
        self._accounting_interval_s = accounting_interval_s
        self._clock = clock
        self._accounting_from = clock()  # no sacct before this
        self._facts: tuple[float, SlurmFacts] | None = None  # until when, what

    def submit(self, request: AllocationRequest) -> str:
        """Ask by one sbatch, the script on its stdin. See BatchSystem."""
        done = self._sbatch(request, ["--parsable"])
        if done.status != 0:
            raise self.problem_of(request, done.stderr, done.status)
        job_id = slurm_answers.job_id_of(done.stdout)
        if job_id is None:
            said = " ".join(done.stdout.split())[:200]
            raise SubmitUnconfirmed(f"{request.name}: sbatch answered {said!r}, which names no job id")
        return job_id

    def verify(self, request: AllocationRequest) -> None:
        """Ask by `sbatch --test-only`. See BatchSystem."""
        try:
            done = self._sbatch(request, ["--test-only"])
        except SubmitUnconfirmed as error:
            raise BatchProblem(error.fact, error.hint) from error
        if done.status != 0:
            problem = self.problem_of(request, done.stderr, done.status)
            if isinstance(problem, SubmitUnconfirmed):
                raise BatchProblem(problem.fact)
            raise problem

    def observe(self, expected: Collection[str]) -> Listing:
        """Look by one squeue, and for expected names that it lacks by at most one sacct. See BatchSystem."""
        began = self._clock()
        command = ["squeue", f"--user={self._run.uid}", "--all", "--states=all", "--noheader"]
        try:
            done = self._run([*command, f"--format={slurm_listing.SQUEUE_FORMAT}"], self._timeouts.query_s)
            if done.status != 0:
                return self._failed(began, slurm_answers.slurm_words(done.stderr) or "squeue failed")
            tries = slurm_listing.from_squeue(done.stdout, self._home)
        except (EnvironmentProblem, slurm_listing.UnreadableListing) as error:
            return self._failed(began, str(error))
        tries.update(self.accounted([name for name in expected if name not in tries]))
        return Listing(complete=True, tries=tries, duration_s=self._clock() - began)

    def cancel(self, targets: Collection[CancelTarget]) -> None:
        """Give back by one scancel a try, which takes no list of names. See BatchSystem."""
        for target in targets:
            if not belongs(target.name, self._home):
                continue
            if not target.elements:
                self._scancel(target, target.job_id)
            elif target.job_id:
                self._scancel(target, f"{target.job_id}_[{_compact(target.elements)}]")

    def accounted(self, missing: list[str]) -> dict[str, TrySeen]:
        """Ask accounting how expected tries ended that the queue no longer lists. Colour, never a must."""
        now = self._clock()
        if not missing or now < self._accounting_from:
            return {}
        self._accounting_from = now + self._accounting_interval_s
        command = ["sacct", "--allocations", "--noheader", "--parsable2", f"--user={self._run.uid}"]
        options = ["--starttime=now-30days", f"--format={slurm_listing.SACCT_FORMAT}"]
        try:
            names = ",".join(missing[:NAMES_AT_ONCE])
            done = self._run([*command, *options, f"--name={names}"], self._timeouts.accounting_s)
        except EnvironmentProblem:
            self._accounting_from = now + BROKEN_S
            return {}
        if done.status != 0:
            disabled = "disabled" in done.stderr.lower()
            self._accounting_from = now + (DISABLED_S if disabled else BROKEN_S)
            return {}
        try:
            found = slurm_listing.from_sacct(done.stdout, self._home)
        except slurm_listing.UnreadableListing:
            return {}
        return {name: seen for name, seen in found.items() if name in missing}

    @property
    def array_limit(self) -> int | None:
        """The most elements of one submission (Slurm's MaxArraySize, which caps the index)."""
        return self.facts().max_array_size

    def facts(self) -> SlurmFacts:
        """Return Slurm's version and limits, asked once an hour. All None when it does not answer."""
        now = self._clock()
        if self._facts is not None and now < self._facts[0]:
            return self._facts[1]
        try:
            done = self._run(["scontrol", "show", "config"], self._timeouts.query_s)
        except EnvironmentProblem:
            return SlurmFacts(None, None)
        if done.status != 0:
            return SlurmFacts(None, None)
        values = slurm_listing.config_values(done.stdout)
        size = values.get("MaxArraySize", "")
        facts = SlurmFacts(
            _version(values.get("SLURM_VERSION", "")),
            int(size) if size.isdecimal() else None,
            values.get("AccountingStorageType", "").endswith("slurmdbd"),
        )
        self._facts = (now + CONFIG_S, facts)
        return facts

    def problem_of(self, request: AllocationRequest, stderr: str, status: int) -> BatchProblem:
        """Return what these words of sbatch mean; where no node will do, see whether some are away."""
        problem = slurm_answers.problem_of(request, stderr, status)
        if not slurm_answers.is_about_nodes(problem):
            return problem
        return slurm_answers.with_nodes(problem, request, self.read(*slurm_site.NODES))

    def read(self, *command: str) -> str:
        """Return what one of Slurm's commands that only looks prints; "" where it fails or is not there."""
        try:
            done = self._run(list(command), self._timeouts.accounting_s)
        except EnvironmentProblem:
            return ""
        return done.stdout if done.status == 0 else ""

    def _sbatch(self, request: AllocationRequest, options: list[str]) -> Ran:
        try:
            return self._run(["sbatch", *options], self._timeouts.submit_s, script(request))
        except SiteUnreachable as error:  # too late, or on the way there or back
            raise SubmitUnconfirmed(
                f"{request.name}: {error.fact}",
                "nothing to do: the daemon looks for it by name before it asks again",
            ) from error

    def _scancel(self, target: CancelTarget, job: str) -> None:
        """Cancel what bears the target's name and, where there is one, this id."""
        command = ["scancel", "--quiet", f"--user={self._run.uid}", f"--name={target.name}"]
        command += ["--state=PENDING"] if target.only_pending else []
        try:
            done = self._run([*command, *([job] if job else [])], self._timeouts.query_s)
        except SiteTimeout as error:
            raise BatchProblem(error.fact) from error
        words = slurm_answers.slurm_words(done.stderr)
        over = ("invalid job id", "already completing or completed", "no jobs")
        if done.status != 0 and words and not any(word in words.lower() for word in over):
            raise BatchProblem(f"scancel failed: {words}")

    def _failed(self, began: float, problem: str) -> Listing:
        return Listing(complete=False, tries={}, duration_s=self._clock() - began, problem=problem)


def _compact(elements: Iterable[int]) -> str:
    """Write array indices as ranges.

    >>> _compact([4, 1, 2, 3, 9])
    '1-4,9'
    """
    spans: list[list[int]] = []
    for index in sorted(set(elements)):
        if spans and index == spans[-1][1] + 1:
            spans[-1][1] = index
        else:
            spans.append([index, index])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def _version(text: str) -> tuple[int, int] | None:
    parts = text.split(".")
    return (
        (int(parts[0]), int(parts[1]))
        if len(parts) > 1 and parts[0].isdecimal() and parts[1].isdecimal()
        else None
    )
