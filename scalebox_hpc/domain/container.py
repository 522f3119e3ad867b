"""What a module and a site say of containers: what is bound, what runs them, how long one lives.

Data only; the words for a runtime are made by the agent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scalebox_hpc.domain.plain import build

RUNTIMES = ("apptainer", "singularity", "charliecloud")
COPIES = ("no", "file", "unpacked")


@dataclass(frozen=True, slots=True)
class Bind:
    """A file or directory of the host that a container sees."""

    source: str  # absolute path on the host
    target: str  # absolute path inside
    mode: str = "rw"  # or "ro"


@dataclass(frozen=True, slots=True)
class Container:
    """How a module's container is run."""

    reuse: str = "agent"  # one for all its tasks of an agent; "task": a new one for each
    runtime: str = ""  # of RUNTIMES; "": the site's choice, else what a node has
    args: tuple[str, ...] = ()  # further options, verbatim


@dataclass(frozen=True, slots=True)
class Containers:
    """What holds for all containers of a site; `[containers]` in its file."""

    runtime: str = ""
    binds: tuple[Bind, ...] = ()
    args: tuple[str, ...] = ()
    local_copy: str = "no"  # of COPIES: what is made of an image on node-local scratch, once per node


def container(data: Mapping[str, Any]) -> Container:
    """Read a Container that was kept as plain data; unknown keys are passed over, here and below."""
    return build(Container, {**data, "args": tuple(data.get("args", ()))})


def containers(data: Mapping[str, Any]) -> Containers:
    """Read a Containers that was kept as plain data."""
    read = {"args": tuple(data.get("args", ())), "binds": binds(data.get("binds", ()))}
    return build(Containers, {**data, **read})


def binds(data: Any) -> tuple[Bind, ...]:
    """Read binds that were kept as plain data."""
    return tuple(build(Bind, each) for each in data)
