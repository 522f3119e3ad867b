"""Ends what a task started through Slurm: the steps of this element, and whatever they left on its nodes.

Ranks that `srun` starts, as mpirun does by itself inside Slurm, are children of Slurm's own
processes, on other nodes too, so the agent cannot see to them itself. It looks at no other element.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from scalebox_hpc.agent.child import Children, Process, encoded

LAST_S = 60.0  # for all of it; what outlives this is on a node that does not answer

END = """\
round=0
while :; do
    srun --quiet --overlap --mpi=none --jobid="$2" --job-name=sbx-sweep --nodes="$3" --ntasks="$3" \\
        --ntasks-per-node=1 --mem=0 /bin/sh -c "$4" sbx "$5" || exit
    steps=$(squeue --noheader --steps --jobs="$1" --format="%i %j") || exit
    steps=$(printf '%s\\n' "$steps" | grep "^ *$1\\.[0-9]" | grep -v ' sbx-sweep$') || exit 0
    [ $((round % 10)) -ne 0 ] || scancel --quiet --signal=KILL $(printf '%s\\n' "$steps" | cut -d' ' -f1)
    round=$((round + 1))
    [ "$round" -lt 100 ] || exit 1
    sleep 0.2
done
"""
"""Run $4 on all $3 nodes of job $2; end the steps of element $1; again, until there is none.

In this order, for where Slurm does not use cgroups it loses processes that are born while it kills, and
then waits for them for a minute and takes the node for broken.
"""

SWEEP = """\
round=0 clean=0
while [ "$clean" -lt 2 ]; do
    clean=$((clean + 1))
    for path in $(grep -lsF "SBX_INCARNATION=$1" /proc/[0-9]*/environ); do
        grep -qsF SBX_TASK= "$path" || continue # the agent itself
        pid=${path#/proc/}
        kill -9 "${pid%/environ}" 2>/dev/null && clean=0
    done
    round=$((round + 1))
    [ "$round" -lt 50 ] || exit 1
    sleep 0.05
done
"""
"""Kill what carries the marker of a task; twice nothing: the first look may have missed a newborn."""


def ending(environ: Mapping[str, str], incarnation: str) -> list[str]:
    """Return the words that end all that tasks of this incarnation started; empty outside Slurm."""
    job_id = element = environ.get("SLURM_JOB_ID", "")
    if environ.get("SLURM_ARRAY_JOB_ID"):  # the number alone may stand for the whole array
        element = f"{environ['SLURM_ARRAY_JOB_ID']}_{environ.get('SLURM_ARRAY_TASK_ID', '')}"
    nodes = environ.get("SLURM_JOB_NUM_NODES", "1")
    return ["/bin/sh", "-c", END, "sbx", element, job_id, nodes, SWEEP, incarnation] if job_id else []


def surroundings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for Slurm's commands: what finds them and nothing that changes their answers."""
    kept = {name: environ[name] for name in ("PATH", "SLURM_CONF") if name in environ}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def end_then(
    children: Children, environ: Mapping[str, str], incarnation: str, over: Callable[[str], None]
) -> None:
    """End them beside other work; `over` is told what went wrong, "" when nothing is left."""
    words = ending(environ, incarnation)
    if not words:
        over("")
        return

    def ended(process: Process) -> None:
        over("it is not sure that all its ranks have ended" if process.status else "")

    env = encoded(surroundings(environ))
    marker = frozenset((b"what ends steps carries no marker",))
    children.start(words[0], words, env, "/", children.silent, marker, LAST_S, ended)


def end_all(environ: Mapping[str, str], incarnation: str) -> str:
    """End them and wait; return what went wrong, "" when nothing is left."""
    import subprocess

    words = ending(environ, incarnation)
    if not words:
        return ""
    try:
        done = subprocess.run(
            words, env=surroundings(environ), stdin=subprocess.DEVNULL,
            capture_output=True, timeout=LAST_S, check=False, text=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as problem:
        return str(problem)
    return "" if done.returncode == 0 else done.stderr.strip() or "steps are left"
