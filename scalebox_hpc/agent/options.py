"""Reads the agent's command line. The element's script writes it, so it is strict and brief."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import NamedTuple

from scalebox_hpc.agent.say import log

USAGE = (
    "usage: agent.pyz run|probe|ended"
    " --shared DIR --home HOME --try NAME --element I --restart R --incarnation HEX"
)
NUMBERS = ("element", "restart", "cpus", "memory-mib", "gpus", "status", "steps")
TEXTS = ("shared", "home", "try", "incarnation", "scratch")
REQUIRED = ("shared", "home", "try", "element", "restart", "incarnation")


class UsageProblem(Exception):
    """The command line cannot be understood; the text says where."""


class Options(NamedTuple):
    """What the element's script says."""

    verb: str  # "run" | "probe" | "ended"
    shared: str
    home: str
    try_name: str
    element: int
    restart: int
    incarnation: str
    walltime_s: float | None = None
    scratch: str | None = None
    cpus: int | None = None
    memory_mib: int | None = None
    gpus: int | None = None
    status: int = 0
    steps: int = 0  # 1: end Slurm's steps of this element before its end is told

    @property
    def token_path(self) -> str:
        """The file that holds the join token of this try."""
        return os.path.join(self.shared, "tries", self.try_name, "token")

    def scratch_in(self, environ: Mapping[str, str]) -> str:
        """Return where tasks may work on this node."""
        return self.scratch or environ.get("TMPDIR") or "/tmp"


def own_options() -> Options:
    """Return the options of this process; wrong ones end it with status 2."""
    try:
        return read_options(sys.argv[1:])
    except UsageProblem as problem:
        log(str(problem))
        sys.exit(2)


def read_options(words: list[str]) -> Options:
    """Read the words after the program's name. Raises UsageProblem."""
    if not words or words[0] not in ("run", "probe", "ended"):
        raise UsageProblem(USAGE)
    values: dict[str, object] = {}
    for name, text in zip(words[1::2], words[2::2]):
        key = name[2:]
        try:
            if not name.startswith("--") or key not in (*NUMBERS, *TEXTS, "walltime-s"):
                raise UsageProblem(f"{name}: unknown; {USAGE}")
            values[key] = int(text) if key in NUMBERS else float(text) if key == "walltime-s" else text
        except ValueError:
            raise UsageProblem(f"{name} {text}: not a number; {USAGE}") from None
    missing = [key for key in REQUIRED if key not in values]
    if missing or len(words) % 2 == 0:
        raise UsageProblem(f"--{missing[0]} is missing; {USAGE}" if missing else f"{words[-1]}: odd; {USAGE}")
    values["try_name"] = values.pop("try")
    return Options(words[0], **{key.replace("-", "_"): value for key, value in values.items()})  # type: ignore[arg-type]


def read_token(options: Options) -> str:
    """Return the join token of this try. Raises OSError."""
    with open(options.token_path, encoding="ascii") as file:
        return file.readline().strip()
