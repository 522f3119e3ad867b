"""What a module's sheet says of its container.

It reads only; whether the image is there and can run is found out when its container is opened.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from scalebox_hpc.agent.runtimes.base import Bind


class Wanted(NamedTuple):
    """The container that a module wants."""

    image: str  # a path or an address, as the runtime takes it
    digest: str  # "sha256:<hex>" of the image; "" when it is not known
    runtime: str  # "" for the best that the node has
    args: tuple[str, ...]
    binds: tuple[Bind, ...]  # of the site and the module
    per_task: bool  # one container for each task
    gpus: bool
    local_copy: str  # "no" | "file" | "unpacked": what is made of it on the node's own disk
    mask: tuple[str, ...]  # what tasks must not see


def read_wanted(sheet: dict[str, Any]) -> Wanted | None:
    """Return what the sheet wants; None for the bare host. Raises KeyError, ValueError."""
    said = sheet.get("container")
    if not said:
        return None
    return Wanted(
        image=said["image"],
        digest=said.get("digest", ""),
        runtime=said.get("runtime", ""),
        args=tuple(said.get("args", ())),
        binds=tuple(Bind(source, target, mode) for source, target, mode in said.get("binds", ())),
        per_task=said.get("reuse", "agent") == "task",
        gpus=bool(said.get("gpus")),
        local_copy=said.get("local_copy", "no"),
        mask=tuple(said.get("mask", ())),
    )
