"""Read `stage` of a module, and refuse transfers that could not be inserted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from scalebox_hpc.config import keys
from scalebox_hpc.config.site_choice import SiteChoice
from scalebox_hpc.config.table import Table
from scalebox_hpc.config.templates import Filler
from scalebox_hpc.domain.pipeline import CONTRACT_FILES, Module, Pipeline, Stage, Template
from scalebox_hpc.domain.stage import KIND, Routes, routes, with_transfers


def read_stage(module: Table, filler: Filler, kind: str) -> Stage | None:
    """Read `stage`; None when it is absent."""
    if "stage" not in module.data:
        return None
    table = module.table("stage")
    table.allow(keys.STAGE)
    if kind == KIND:
        remedy = "its program moves files itself; take `stage` out"
        module.problem("stage", 'has no meaning with kind = "transfer"', remedy)
    if "gather" in module.data and table.data.get("in"):
        remedy = "stage `out` what the modules before it leave, and run it where the results are"
        table.problem(
            "in", "the files of members cannot be staged: a gather has no message of its own", remedy
        )
    stage = Stage(_inputs(table, filler), _outputs(table, filler))
    if not table.data:
        table.notes.warn(table.path, "says nothing", 'write in = ["{body}"], out = ["*.txt"] or both')
    return stage


def _inputs(table: Table, filler: Filler) -> tuple[Template, ...]:
    why = "a file comes from {body}, {headers.NAME} or {params.NAME}"
    found = []
    for index, text in enumerate(table.texts("in")):
        path = table.at("in", index)
        if not text.strip():
            table.notes.problem(path, "names no file", 'write "{body}", "{headers.NAME}" or a path')
        found.append(filler.template(text, path, ("body", "headers"), why))
    return tuple(found)


def _outputs(table: Table, filler: Filler) -> tuple[str, ...]:
    found = []
    for index, text in enumerate(table.texts("out")):
        path = table.at("out", index)
        pattern = filler.text(text, path)
        if fact := _judge_pattern(pattern):
            table.notes.problem(
                path, fact, 'patterns look into the work directory, as in "*.bam" or "qc/*.txt"'
            )
        found.append(pattern)
    return tuple(found)


def _judge_pattern(pattern: str) -> str:
    parts = PurePosixPath(pattern).parts
    if not parts:
        return "matches no file"
    if parts[0] == "/" or ".." in parts:
        return f"{pattern!r} leaves the work directory"
    if parts[0] == "publish":
        return f"{pattern!r}: what lies in publish goes to the results anyway"
    if pattern in CONTRACT_FILES:
        return f"{pattern!r} is read by sbx itself"
    return ""


def is_staged(module: Module) -> bool:
    """Tell whether each task has files of its own message in its work directory."""
    inputs = module.stage.inputs if module.stage is not None else ()
    return any(not isinstance(part, str) for template in inputs for part in template)


def _refuse_gathers(found: Routes, pipeline: Pipeline, tables: Mapping[str, Table]) -> None:
    """Refuse gathers that leave files at one site or another.

    What a gather's task leaves takes the place of what it left before, which may wait at another site.
    """
    for name in found.outs:
        if pipeline.modules[name].gather is not None and len(set(found.at[name].values())) > 1:
            fact = "a gather that leaves files cannot name several sites whose files differ"
            tables[name].problem("stage", fact, "name one site")


def insert_transfers(pipeline: Pipeline, sites: SiteChoice, tables: Mapping[str, Table]) -> Pipeline:
    """Return the pipeline with the transfers that it needs; note names that are taken."""
    if all(module.stage is None for module in pipeline.modules.values()):
        return pipeline
    found = routes(pipeline, sites.used())
    _refuse_gathers(found, pipeline, tables)
    for name, transfer in found.names():
        if transfer in pipeline.modules:
            fact = f"a transfer called {transfer} is inserted for it, and there is a module of that name"
            tables[name].problem("stage", fact, f"call [modules.{transfer}] otherwise")
        sites.here(tables[name])
    whole = with_transfers(pipeline, found)
    used = {pool for module in whole.modules.values() for pool in module.pools}
    return replace(whole, pools={name: pool for name, pool in whole.pools.items() if name in used})
