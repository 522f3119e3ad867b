"""A process that holds libslurm, through pyslurm, and answers the daemon's questions line by line.

libslurm may hang, leak, crash, or end the whole process where it cannot read slurm.conf: here it
may. The only place that imports pyslurm; decides nothing. It ends when its standard input does.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final

from scalebox_hpc.batch.base import belongs

LIMITS: Final = ("CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS")
UNLIMITED: Final = (1 << 64) - 1  # as C prints RLIM_INFINITY


def main() -> None:
    """Say which pyslurm this is and what the site does at sbatch, then answer while there are questions."""
    # What libslurm prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    try:
        import pyslurm  # reads slurm.conf, or ends this process
    except ImportError as error:
        print(json.dumps({"problem": f"pyslurm cannot be loaded: {error}"}), file=answers)
        return
    try:
        config = pyslurm.slurmctld.Config.load()
    except pyslurm.PyslurmError as error:
        print(json.dumps({"pyslurm": pyslurm.__version__, "problem": str(error)}), file=answers)
        return
    greeting = {"pyslurm": pyslurm.__version__, "cli_filter": config.cli_filter_plugins}
    print(json.dumps(greeting), file=answers)
    handed = handed_on(config.propagate_resource_limits, config.propagate_resource_limits_except)
    for line in sys.stdin:
        print(json.dumps(answer(pyslurm, json.loads(line), handed)), file=answers)


def handed_on(only: Sequence[str], but: Sequence[str]) -> dict[str, str]:
    """The environment of a job as sbatch makes it: ours, and umask, priority and soft limits of this place.

    `only` and `but` are Slurm's PropagateResourceLimits and PropagateResourceLimitsExcept.
    """
    umask = os.umask(0o077)
    os.umask(umask)
    found = {name: value for name, value in os.environ.items() if _is_text(name + value)}
    found |= {
        "SLURM_UMASK": f"{umask:04o}",
        "SLURM_PRIO_PROCESS": str(os.getpriority(os.PRIO_PROCESS, 0)),
        "SLURM_SUBMIT_DIR": os.getcwd(),
        "SLURM_SUBMIT_HOST": os.uname().nodename,
    }
    for name in LIMITS:
        if (name in only or "ALL" in only or not only) and name not in but and "ALL" not in but:
            soft, _ = resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))
            found[f"SLURM_RLIMIT_{name}"] = str(UNLIMITED if soft == resource.RLIM_INFINITY else soft)
    return found


def answer(pyslurm: Any, question: dict[str, Any], environ: dict[str, str]) -> dict[str, Any]:
    """Do what is asked; `problem` holds Slurm's words where it said no."""
    try:
        match question["ask"]:
            case "list":
                jobs = pyslurm.Jobs.load()
                return {"jobs": len(jobs), "records": list(records(jobs, question["home"]))}
            case "submit":
                asked = pyslurm.JobSubmitDescription(**question["fields"], environment=environ)
                return {"job_id": str(asked.submit())}
            case _:
                for job_id in question["ids"]:
                    pyslurm.Job(job_id).cancel()  # passes over what has ended
                return {}
    except (pyslurm.PyslurmError, ValueError) as error:
        return {"problem": str(error)}


def records(jobs: Any, home: str) -> Iterator[dict[str, Any]]:
    """What Slurm says of each of our jobs and bundles of pending elements."""
    user = os.getuid()
    for job in jobs.values():
        if job.user_id == user and (name := _name(job)) is not None and belongs(name, home):
            yield {
                "name": name,
                "id": job.id,
                "array_id": job.array_id,
                "element": job.array_task_id,
                "waiting": job.array_tasks_waiting,
                "state": job.state,
                "reason": job.state_reason,
                "nodes": job.allocated_nodes,
            }


def _is_text(word: str) -> bool:
    """Whether pyslurm could encode it."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def _name(job: Any) -> str | None:
    """The job's name; None for one that is no text, which is not ours."""
    try:
        name = job.name
    except UnicodeDecodeError:
        return None
    return name if isinstance(name, str) else None


if __name__ == "__main__":
    main()
