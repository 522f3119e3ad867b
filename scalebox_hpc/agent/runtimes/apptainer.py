"""Apptainer, SingularityCE and the Singularity 3 of older clusters: one family, flags by version.

SIF files, squashfs files, sandbox directories and the addresses that the runtime itself knows.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from scalebox_hpc.agent.runtimes.base import Bind, Execution

FATAL = "FATAL:"  # how it begins the line that says why
FAILED = 255
NO_PROGRAM = re.compile(r"executable file not found|stat \S+: no such file|no such file or directory", re.I)
WRITABLE = re.compile(r"--writable(=|$)|-[a-zA-Z]*w")
ARCHIVES = ("oci-archive", "docker-archive", "oci")  # schemes whose rest is a path
GPU_FLAGS = {"nvidia": "--nv", "rocm": "--rocm"}
ROCM_SINCE = (3, 5)  # of Singularity
OLDEST = (3, 0)


class Apptainer(NamedTuple):
    """One of the family."""

    name: str  # "apptainer" | "singularity"
    path: str
    version: str
    family: str  # "apptainer" | "singularity": the one that it really is

    @property
    def number(self) -> tuple[int, ...]:
        """The version as numbers; empty when it is not known."""
        found = re.match(r"\d+(\.\d+)*", self.version)
        return tuple(int(part) for part in found[0].split(".")) if found else ()

    def refuses(self, image: str, binds: tuple[Bind, ...]) -> str:
        """Return why it cannot run this image, and what to do; "" when it can."""
        if self.family == "singularity" and self.number and self.number < OLDEST:
            return (
                f"singularity {self.version} is too old; load a 3.x, or apptainer, in the site's `prologue`"
            )
        scheme, _, archive = image.partition(":")
        path = archive if scheme in ARCHIVES else image
        if "://" in image or os.path.exists(path):
            return ""
        return f"image {image} does not exist here; look at `image`"

    def words(self, execution: Execution) -> list[str]:
        """Return the words that stand before those of the program."""
        words = [self.path, "--quiet", "exec", "--no-home"]
        for bind in execution.binds:
            words += ["--bind", _bind_text(bind)]
        flag = GPU_FLAGS.get(execution.gpus, "")
        if flag == "--rocm" and self.family == "singularity" and self.number < ROCM_SINCE:
            flag = ""
        if flag:
            words.append(flag)
        return [*words, "--pwd", execution.pwd, *execution.args, execution.image]

    def unpack_words(self, image: str, directory: str, args: tuple[str, ...]) -> list[str]:
        """Return the words that unpack an image file; empty when tasks could write to what comes of it."""
        if any(WRITABLE.match(word) for word in args):
            return []
        return [self.path, "--quiet", "build", "--sandbox", directory, image]

    def environ(self, execution: Execution) -> dict[str, str]:
        """Return the variables that the runtime itself must find."""
        prefix = "APPTAINERENV_" if self.family == "apptainer" else "SINGULARITYENV_"
        env = {prefix + name: value for name, value in execution.env.items()}
        if execution.path_first:
            env[prefix + "PREPEND_PATH"] = execution.path_first
        # Values must reach the program as they are, not as the runtime's shell would read them.
        return {**env, "APPTAINER_NO_EVAL": "1", "SINGULARITY_NO_EVAL": "1"}

    def failure(self, exit_code: int | None, stderr: str) -> str:
        """Return what the runtime says of its own failure."""
        if exit_code != FAILED or FATAL not in stderr:
            return ""
        return stderr[stderr.index(FATAL) :].splitlines()[0]

    def lacks_program(self, stderr: str) -> bool:
        """Tell whether it says that the image does not hold the program asked for."""
        return FATAL in stderr and "/bin/sh" in stderr and NO_PROGRAM.search(stderr) is not None


def recognise(name: str, path: str, said: str) -> Apptainer:
    """Return what answered `said` to --version, such as "singularity-ce version 3.11.4"."""
    words = said.split()
    family = "apptainer" if said.startswith("apptainer") else "singularity"
    return Apptainer(name, path, words[-1] if words else "", family)


def _bind_text(bind: Bind) -> str:
    """Return SOURCE:TARGET[:ro]; a colon or a comma in a path is written behind a backslash."""
    source, target = (re.sub(r"([\\:,])", r"\\\1", path) for path in (bind.source, bind.target))
    return f"{source}:{target}:ro" if bind.mode == "ro" else f"{source}:{target}"
