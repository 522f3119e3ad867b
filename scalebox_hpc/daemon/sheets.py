"""What agents are told of a module, once: its sheet.

Made when a run is accepted and kept in the ledger. It holds no secret and decides nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from scalebox_hpc.daemon.desk import SiteFacts
from scalebox_hpc.domain.container import Bind
from scalebox_hpc.domain.image import Image
from scalebox_hpc.domain.pipeline import Command, Module, Pipeline, ShippedFile, Template
from scalebox_hpc.errors import UsageError

MESSAGE_LIMIT = 1_000_000


def sheet_of(pipeline: Pipeline, module: Module, facts: SiteFacts, home: str) -> dict[str, Any]:
    """All of a module's sheet but what belongs to one run; `home` is the path of the home."""
    image, gathers = _image_at(module, facts), {}
    command, env = _of_transfer(module) if module.kind == "transfer" else (module.command, module.env)
    via = module.via_of(facts.site.name)
    receivers = module.to if via is None else tuple(via)
    for name in receivers:
        gather = pipeline.modules[name].gather
        if gather is not None:
            gathers[name] = {"by": gather.by, "pattern": gather.pattern, "sized": gather.size is not None}
    return {
        "name": module.name,
        "digest": module.digest,
        "site": facts.site.name,
        "kind": module.kind,
        "nodes": module.resources.nodes,
        "ntasks": module.resources.ntasks,
        "words": [_template(word) for word in command.words] or None,
        "text": command.text,
        "values": [_template(value) for value in command.values],
        "shell": list(command.shell),
        "files": [[file.name, shipped_path(facts, file)] for file in module.files],
        "bin": [[Path(file.name).name, shipped_path(facts, file)] for file in pipeline.bin],
        "env": {**facts.site.env, **env},
        "params": dict(pipeline.params),
        "container": None if image is None else container_of(module, facts, image, home),
        "to": list(receivers),
        "via": dict(via or {}),
        "inserted": module.inserted is not None,
        "stage": _stage(pipeline, module, facts.site.name),
        "modules": list(pipeline.modules),
        "gathers": gathers,
        "is_gather": module.gather is not None,
        "forward": module.forward,
        "output_limit": module.output_limit_bytes,
        "message_limit": MESSAGE_LIMIT,
        "pipeline": "" if facts.is_remote else pipeline.directory,
    }


def _image_at(module: Module, facts: SiteFacts) -> Image | None:
    """The module's image as it lies at a site."""
    image = module.stored
    return image and replace(image, path=module.stored_at.get(facts.site.name, image.path))


def _stage(pipeline: Pipeline, module: Module, site: str) -> dict[str, Any] | None:
    """What is staged for a module, and which transfer takes home what it leaves at a site; "": none."""
    if module.stage is None:
        return None
    inserted = {name: pipeline.modules[name].inserted for name in module.to}
    takes = (
        name
        for name, each in inserted.items()
        if each and (each.of, each.way) == (module.name, "out") and site in (each.sites or {site: ""})
    )
    inputs = [_template(each) for each in module.stage.inputs]
    return {"in": inputs, "out": list(module.stage.outputs), "to": next(takes, "")}


def _of_transfer(module: Module) -> tuple[Command, Mapping[str, str]]:
    """A program of ours: by the Python that has it, and told whether the module sends to anybody."""
    command, (first, *rest) = module.command, module.command.words or ((),)
    if first == ("python",):
        command = replace(command, words=((sys.executable,), *rest))
    return command, {**module.env, "SBX_SENDS": "1" if module.to else "0"}


def _template(template: Template) -> list[Any]:
    return [part if isinstance(part, str) else list(part) for part in template]


def shipped_path(facts: SiteFacts, file: ShippedFile) -> str:
    """Where a shipped file lies at a site."""
    return f"{facts.launch.shared}/files/{file.digest}/{Path(file.name).name}"


def container_of(module: Module, facts: SiteFacts, image: Image, home: str) -> dict[str, Any]:
    """How the module's container is run at its site: the site's word first, then the module's."""
    site, own = facts.site.containers, module.container
    binds = _binds(site.binds, module.binds)
    return {
        "image": image.path,
        "digest": image.digest,
        "runtime": own.runtime or site.runtime,
        "args": [*site.args, *own.args],
        "binds": [[bind.source, bind.target, bind.mode] for bind in binds],
        "reuse": own.reuse,
        "gpus": module.resources.gpus > 0,
        "local_copy": site.local_copy,
        "mask": [facts.launch.shared] if facts.is_remote else [home, facts.launch.shared],
    }


def _binds(of_site: Iterable[Bind], of_module: Sequence[Bind]) -> list[Bind]:
    """Both, without those of the site over whose target the module binds something itself."""
    taken = {bind.target for bind in of_module}
    return [*(bind for bind in of_site if bind.target not in taken), *of_module]


def refuse_secret_binds(pipeline: Pipeline, sites: Iterable[SiteFacts], home: str) -> None:
    """Raise UsageError where a bind would show a home or a shared folder to programs."""
    for facts in sites:
        secret = [os.path.realpath(path) for path in (home, facts.launch.shared)]
        of_modules = [(f"modules.{each.name}.binds", each.binds) for each in pipeline.modules.values()]
        of_site = (f"containers.binds of site {facts.site.name}", facts.site.containers.binds)
        for key, binds in [of_site, *of_modules]:
            for bind in binds:
                source = PurePosixPath(os.path.realpath(bind.source))
                if any(source.is_relative_to(path) for path in secret):
                    raise UsageError(
                        f"{key}: {bind.source} lies in a directory of sbx, which no container may see",
                        "keep what tasks need elsewhere; they have $SBX_SHARED and $SBX_RESULTS",
                    )
