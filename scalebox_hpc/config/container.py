"""Read `container` of a module and `[containers]` of a site: what runs a container, and how long it lives.

Whether a runtime is there the agent finds out, on its node.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from scalebox_hpc.config import keys, site_keys
from scalebox_hpc.config.binds import Sight, read_binds
from scalebox_hpc.config.table import Table
from scalebox_hpc.config.templates import Filler
from scalebox_hpc.config.toml_lines import KeyPath
from scalebox_hpc.domain.container import COPIES, RUNTIMES, Container, Containers

_BIND: Final = re.compile(r"(?:--bind|--volume|--mount)(?:=|$)|-[Bb]")


def read_container(module: Table, filler: Filler) -> Container:
    """Read the key `container` of a module; defaults for what is not said."""
    table = module.table("container")
    table.allow(keys.CONTAINER)
    args = _args(table)
    return Container(
        reuse=table.choice("reuse", ["agent", "task"], "agent"),
        runtime=table.choice("runtime", RUNTIMES, ""),
        args=tuple(filler.text(text, table.at("args", index)) for index, text in enumerate(args)),
    )


def read_containers(
    top: Table, expand: Callable[[str], str], *, is_here: bool, is_remote: bool
) -> Containers:
    """Read `[containers]` of a site file.

    `expand` fills variables of this machine into a path; `is_here`: the site's tasks run on this
    machine; `is_remote`: nothing of the site can be seen from here.
    """
    table = top.table("containers")
    table.allow(site_keys.CONTAINERS)

    def fill(text: str, path: KeyPath) -> str:
        if is_remote and text.startswith(("~", "$")):
            table.notes.problem(path, f"{text} is not a full path", "write it in full, as it is at the site")
        return text if is_remote else expand(text)

    runtime = "" if table.data.get("runtime") == "" else table.choice("runtime", RUNTIMES, "")
    return Containers(
        runtime=runtime,
        binds=read_binds(table, fill, lambda _: None, Sight(None, is_here, is_remote)),
        args=_args(table),
        local_copy=table.choice("local_copy", COPIES, "no"),
    )


def _args(table: Table) -> tuple[str, ...]:
    args = table.texts("args")
    for index, text in enumerate(args):
        if not text or "\n" in text:
            table.notes.problem(
                table.at("args", index), "is empty or holds a line end", "write one word a text"
            )
        elif _BIND.match(text):
            remedy = 'write binds = ["/source:/target"]'
            table.notes.problem(table.at("args", index), f"{text} is said by `binds`", remedy)
    return args
