"""What a task of kind "mpi" is told: its nodes, a machine file, how to start a rank in the image.

It starts and ends nothing. The files lie in the agent's scratch directory, which all nodes of an
element see when there is more than one.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from scalebox_hpc.agent import probe
from scalebox_hpc.agent.container_sheet import read_wanted
from scalebox_hpc.agent.mounts import missing_source, plan_view
from scalebox_hpc.agent.node import Node
from scalebox_hpc.agent.runtimes import Execution, Unavailable, choose
from scalebox_hpc.agent.steps import surroundings

ASK_S = 60.0
PWD = "\0pwd"
"""Stands in the words of a container for the directory in which a rank is started."""

PASSED_ON = (
    "SLURM_",
    "OMPI_",
    "OPAL_",
    "PRTE_",
    "PMIX_",
    "MPICH_",
    "HYDRA_",
    "I_MPI_",
    "MV2_",
    "UCX_",
    "FI_",
)
"""How names begin that launchers read: Slurm's, and what the site's prologue set for its MPI."""

WITHHELD = ("SLURM_EXPORT_ENV", "SLURM_GET_USER_ENV")
"""These would keep the task's own environment from its ranks."""


class NoRanks(Exception):
    """It cannot be told where ranks go, or how they start; the text says why."""


class Ranks:
    """The ranks of one module's tasks on this element."""

    def __init__(self, sheet: dict[str, Any], node: Node, bin_dir: str) -> None:
        """Write the machine file and what starts a rank. Raises OSError.

        `problem` says why tasks cannot be started here, "" when they can.
        """
        environ = node.environ
        self.count: int = sheet["ntasks"]
        self.problem = ""
        self.env: dict[str, str] = _for_launchers(environ)  # beside the variables of all tasks
        base = os.path.join(node.scratch_root, f"ranks-{sheet['module']}")
        try:
            names = hosts(environ, node.host)
            if len(names) < sheet["nodes"]:
                raise NoRanks(f"it needs {sheet['nodes']} nodes, and its element has {len(names)}")
            script = _rank_in_image(sheet, node, bin_dir)
        except NoRanks as problem:
            self.problem = str(problem)
            return
        counts = per_node(environ.get("SLURM_TASKS_PER_NODE", ""))
        if len(counts) != len(names) or sum(counts) != self.count:
            counts = spread(self.count, len(names))
        lines = (f"{name}\n" * count for name, count in zip(names, counts))
        self.env["SBX_HOSTFILE"] = _write(f"{base}.hosts", "".join(lines), 0o600)
        self.env["SBX_NODES"], self.env["SBX_NTASKS"] = str(len(names)), str(self.count)
        self.env["SBX_CONTAINER"] = _write(f"{base}.container", script, 0o700) if script else ""


def hosts(environ: Mapping[str, str], host: str) -> list[str]:
    """Return the names of this element's nodes, ours first. Raises NoRanks."""
    import subprocess

    listed = environ.get("SLURM_JOB_NODELIST", "")
    if not listed:
        return [host]
    try:
        done = subprocess.run(
            ["scontrol", "show", "hostnames", listed],
            env=surroundings(environ), capture_output=True, timeout=ASK_S, check=False, text=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as problem:
        raise NoRanks(f"scontrol cannot be run on {host}: {problem}") from None
    if done.returncode or not done.stdout.split():
        raise NoRanks(f"scontrol show hostnames {listed}: {done.stderr.strip()}")
    return done.stdout.split()


def per_node(text: str) -> list[int]:
    """Read Slurm's counts of ranks, node by node; empty when they are not readable.

    >>> per_node("4(x2),3"), per_node("8"), per_node("?")
    ([4, 4, 3], [8], [])
    """
    counts: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if found is None:
            return []
        counts += [int(found[1])] * int(found[2] or 1)
    return counts


def spread(count: int, nodes: int) -> list[int]:
    """Spread ranks evenly over nodes, the first ones taking what is over.

    >>> spread(7, 2)
    [4, 3]
    """
    return [count // nodes + (index < count % nodes) for index in range(nodes)]


def start_script(words: Sequence[str], exports: Mapping[str, str]) -> str:
    """Return a program that starts another, with its words, in the image and in the same directory.

    One word for a command line, whatever blanks are in the paths.
    """
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in exports.items()]
    quoted = " ".join('"$PWD"' if word == PWD else shlex.quote(word) for word in words)
    return f'#!/bin/sh\n{"".join(lines)}exec {quoted} "$@"\n'


def _for_launchers(environ: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environ.items()
        if (name.startswith(PASSED_ON) or name == "LD_LIBRARY_PATH") and name not in WITHHELD
    }


def _rank_in_image(sheet: dict[str, Any], node: Node, bin_dir: str) -> str:
    """Return what starts a rank in the module's image; "" without one. Raises NoRanks, OSError.

    Ranks share /tmp with their launcher, which meets them there.
    """
    wanted = read_wanted(sheet)
    if wanted is None:
        return ""
    missing = missing_source(wanted)
    if missing:
        raise NoRanks(f"{missing} does not exist on {node.host}; look at `binds`")
    masks = os.path.join(node.scratch_root, "masks")
    view = plan_view(wanted, sheet, node.scratch_root, masks, bin_dir=bin_dir)
    try:
        runtime = choose(node.runtimes, wanted.runtime, wanted.image, view.binds, node.host)
    except Unavailable as problem:
        raise NoRanks(str(problem)) from None
    gpus = probe.gpu_kind() if wanted.gpus else ""
    run = Execution(wanted.image, view.binds, wanted.args, gpus, PWD, sheet.get("env", {}), bin_dir)
    return start_script(runtime.words(run), runtime.environ(run))


def _write(path: str, text: str, mode: int) -> str:
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    os.chmod(path, mode)
    return path
