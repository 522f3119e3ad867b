"""A pipeline as a picture: a tree of text, DOT, Mermaid, or plain data. Pure: nothing is asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scalebox_hpc.domain.pipeline import Gather, Inserted, Module, Pipeline, Template


def as_data(pipeline: Pipeline) -> dict[str, Any]:
    """Every module with what the picture shows of it."""
    return {
        "pipeline": pipeline.name,
        "site": pipeline.site,
        "modules": [
            {
                "module": name,
                "site": _site(pipeline, module),
                "pool": module.pool,
                "kind": module.kind,
                "seeded": module.seed is not None,
                "gather": gathers(module.gather) if module.gather else None,
                "stage_in": [_text(each) for each in module.stage.inputs] if module.stage else [],
                "stage_out": list(module.stage.outputs) if module.stage else [],
                "inserted": moves(module.inserted) if module.inserted else None,
                "to": list(module.to),
            }
            for name, module in pipeline.modules.items()
        ],
    }


def as_tree(pipeline: Pipeline) -> list[str]:
    """A line for each module below each that sends to it; what was shown already is not shown again whole."""
    lines = [f"{pipeline.name} at {pipeline.site}"]
    shown: set[str] = set()
    starts = [name for name, module in pipeline.modules.items() if module.seed is not None]
    for name in [*starts, *pipeline.modules]:
        if name not in shown:
            lines += _branch(pipeline, name, "", "", shown)
    return lines


def _branch(pipeline: Pipeline, name: str, head: str, below: str, shown: set[str]) -> Iterator[str]:
    module = pipeline.modules[name]
    if name in shown:
        yield f"{head}{name} (above)"
        return
    shown.add(name)
    yield f"{head}{name}: {', '.join(facts(pipeline, module))}"
    for index, receiver in enumerate(module.to):
        is_last = index == len(module.to) - 1
        corner, bar = ("└─ ", "   ") if is_last else ("├─ ", "│  ")
        yield from _branch(pipeline, receiver, below + corner, below + bar, shown)


def facts(pipeline: Pipeline, module: Module) -> list[str]:
    """What there is to say of a module, a few words each."""
    seeded = ["seeded"] if module.seed is not None else []
    if module.inserted is not None:
        return [f"inserted, {moves(module.inserted)}", *seeded]
    found = [f"at {_site(pipeline, module)}", *seeded]
    found += [gathers(module.gather)] if module.gather is not None else []
    if module.stage is not None and module.stage.inputs:
        found.append(f"stages in {' '.join(map(_text, module.stage.inputs))}")
    if module.stage is not None and module.stage.outputs:
        found.append(f"stages out {' '.join(module.stage.outputs)}")
    return found


def moves(inserted: Inserted) -> str:
    """What an inserted transfer does."""
    source, target = _ends(inserted)
    if inserted.way == "out":
        return f"brings files and messages of {inserted.of} from {source} to {target}"
    where = ", where its tasks start first" if inserted.sites else ""
    return f"brings files for {inserted.of} from {source} to {target}{where}"


def _ends(inserted: Inserted) -> tuple[str, str]:
    """Between which sites it moves files; of several to which it may bring them, all."""
    several = " or ".join(inserted.sites) if inserted.way == "in" else ""
    return inserted.source or "home", several or inserted.target or "home"


def gathers(gather: Gather) -> str:
    """How a gather groups."""
    return "gathers all" if gather.by == "all" else f"gathers by {gather.by} {gather.pattern}"


def as_mermaid(pipeline: Pipeline) -> list[str]:
    """A flowchart for Markdown that draws Mermaid."""
    ids = {name: f"m{index}" for index, name in enumerate(pipeline.modules)}
    lines = ["flowchart LR"]
    for name, module in pipeline.modules.items():
        opening, closing = ("[[", "]]") if module.gather else ("([", "])") if module.inserted else ("[", "]")
        label = f"{name}<br/>{_label(pipeline, module)}".replace('"', "#quot;")
        lines.append(f'    {ids[name]}{opening}"{label}"{closing}')
    for name, module in pipeline.modules.items():
        lines += [f"    {ids[name]} --> {ids[receiver]}" for receiver in module.to]
    return lines


def as_dot(pipeline: Pipeline) -> list[str]:
    """A graph for Graphviz."""
    lines = [f"digraph {_quoted(pipeline.name)} {{", "  rankdir=LR;", "  node [shape=box];"]
    for name, module in pipeline.modules.items():
        shape = ", shape=trapezium" if module.gather else ", style=dashed" if module.inserted else ""
        label = _quoted(name)[:-1] + "\\n" + _quoted(_label(pipeline, module))[1:]
        lines.append(f"  {_quoted(name)} [label={label}{shape}];")
    for name, module in pipeline.modules.items():
        lines += [f"  {_quoted(name)} -> {_quoted(receiver)};" for receiver in module.to]
    return [*lines, "}"]


def _label(pipeline: Pipeline, module: Module) -> str:
    if module.inserted is not None:
        return " to ".join(_ends(module.inserted))
    also = f", {gathers(module.gather)}" if module.gather is not None else ""
    return f"at {_site(pipeline, module)}{also}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _site(pipeline: Pipeline, module: Module) -> str:
    return ", ".join(pipeline.sites_of(module))


def _text(template: Template) -> str:
    """A template as it stood in the file, parameters filled in."""
    return "".join(part if isinstance(part, str) else "{" + ".".join(part) + "}" for part in template)
