"""What sbatch answered, judged: taken, refused, not now, or unknown. Pure: asks nobody."""

from __future__ import annotations

import re
from typing import Final

from scalebox_hpc.batch.slurm_site import nodes_for
from scalebox_hpc.domain.allocation import AllocationRequest
from scalebox_hpc.errors import BatchProblem, SubmitLimited, SubmitRefused, SubmitUnconfirmed

_JOB_ID = re.compile(r"(\d+)(?:;\S+)?")

UNKNOWN_WORDS: Final = (
    "socket timed out",
    "zero bytes were transmitted",
    "message receive failure",
    "message send failure",
    "connection reset",
    "broken pipe",
    "unexpected message received",
    "transport endpoint is not connected",
)
"""The request may have arrived: only a look can tell."""

LIMIT_WORDS: Final = ("maxsubmit", "maxjobcount", "grpsubmit", "job submit limit")
"""A number of elements is full, of the user, the account or the whole Slurm."""

FIRM_WORDS: Final = re.compile(
    r"(qos|assoc|grp)\w*(maxwall|maxcpu|maxmem|maxnode|maxtres|maxgres|mincpu|mintres|minnode)", re.IGNORECASE
)
"""A single element is too big or too long for a limit: no waiting helps, whatever else is said."""

LATER_WORDS: Final = (
    "unable to contact slurm controller",
    "temporarily unable to accept",
    "resource temporarily unavailable",
    "slurm backup controller in standby",
    "slurmctld is currently",
    "try again",
    "cannot allocate memory",
    "connection refused",
    "connect failure",
    "connection failure",
)
"""The request surely did not arrive, or was put off."""

HINTS: Final = (
    (
        "invalid account",
        "check `account` of machine {machine} in the site file; `sacctmgr show assoc user=$USER` lists yours",
    ),
    (
        "partition",
        "check `partition` of machine {machine} in the site file; `sinfo -s` lists those there are",
    ),
    ("qos", "check `qos` of machine {machine} in the site file"),
    (
        "feature",
        "check `constraint` of machine {machine} in the site file; `sinfo -o '%f'` lists those there are",
    ),
    ("gres", "check `gpus` of machine {machine} in the site file, and the tasks' own"),
    ("time limit", "lower the pool's `walltime`, or pick a machine whose partition allows more"),
    ("array", "set `limits.array_size` in the site file to what `scontrol show config` calls MaxArraySize"),
    (
        "node configuration",
        "no node has what machine {machine} asks for; check its `cpus`, `memory` and `gpus`",
    ),
    ("memory", "check `memory` of machine {machine} in the site file, and the tasks' own"),
)


def job_id_of(stdout: str) -> str | None:
    """Find the answer of `sbatch --parsable`, which a site's wrapper may have put more lines around.

    >>> job_id_of("Welcome!\\n123;cluster\\n"), job_id_of("Submitted batch job 7")
    ('123', None)
    """
    matches = [_JOB_ID.fullmatch(line.strip()) for line in stdout.splitlines()]
    found = [match[1] for match in matches if match is not None]
    return found[-1] if found else None


def problem_of(request: AllocationRequest, stderr: str, status: int) -> BatchProblem:
    """Return what an sbatch that ended with `status`, not 0, and these words means for the try."""
    words = slurm_words(stderr) or f"sbatch ended with status {status} and said nothing"
    lower = words.lower()
    if status < 0 or _any(UNKNOWN_WORDS, lower):
        return SubmitUnconfirmed(f"{request.name}: no certain answer from sbatch: {words}")
    if FIRM_WORDS.search(words):
        return _refused(request, words)
    if "maxsubmit" in lower or _any(LIMIT_WORDS, lower):
        return SubmitLimited(f"Slurm takes no more of {request.elements} elements now: {words}")
    if _any(LATER_WORDS, lower):
        return BatchProblem(f"Slurm does not take submissions now: {words}", "the daemon asks again later")
    return _refused(request, words)


def slurm_words(stderr: str) -> str:
    """Return what Slurm said, on one line, without the program's name before each.

    >>> slurm_words("sbatch: error: Batch job submission failed: Invalid qos specification\\n")
    'Batch job submission failed: Invalid qos specification'
    """
    lines = (re.sub(r"^\w+: (error: |fatal: )?", "", line.strip()) for line in stderr.splitlines())
    return "; ".join(line for line in lines if line)


def is_about_nodes(problem: BatchProblem) -> bool:
    """Whether it may be that nodes which would do are away."""
    return isinstance(problem, SubmitRefused) and "node configuration" in problem.fact.lower()


def with_nodes(problem: BatchProblem, request: AllocationRequest, nodes: str) -> BatchProblem:
    """The same, with what the answer to `slurm_site.NODES` says of nodes that are away."""
    fit, away = nodes_for(request, nodes)
    if not away:
        return problem
    hint = (
        f"of {fit} nodes that have what machine {request.machine.name} asks for, {away} are down or drained"
    )
    return type(problem)(problem.fact, f"{hint}; `sinfo -R` says why: ask again once they are back")


def _refused(request: AllocationRequest, words: str) -> SubmitRefused:
    lower = words.lower()
    for word, hint in HINTS:
        if word in lower:
            return SubmitRefused(
                f"Slurm refused the request: {words}", hint.format(machine=request.machine.name)
            )
    return SubmitRefused(
        f"Slurm refused the request: {words}",
        f"check machine {request.machine.name} in the site file: partition, account, qos, limits",
    )


def _any(words: tuple[str, ...], text: str) -> bool:
    return any(word in text for word in words)
