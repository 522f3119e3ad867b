"""What a module and a site say of containers: what is bound, what runs them, how long one lives.

Data only; the words for a runtime are made by the agent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

RUNTIMES = ("apptainer", "singularity", "charliecloud")


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
    local_copy: bool = False  # copy an image to node-local scratch once per node


def container(data: Mapping[str, Any]) -> Container:
    """Read a Container that was kept as plain data."""
    return Container(**{**data, "args": tuple(data.get("args", ()))})


def containers(data: Mapping[str, Any]) -> Containers:
    """Read a Containers that was kept as plain data."""
    return Containers(**{**data, "args": tuple(data.get("args", ())), "binds": binds(data.get("binds", ()))})


def binds(data: Any) -> tuple[Bind, ...]:
    """Read binds that were kept as plain data."""
    return tuple(Bind(**each) for each in data)
