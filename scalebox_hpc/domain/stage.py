"""Insert the transfers that a pipeline's staged files need, where the sites of its modules differ. Pure.

A message to a module with inputs to stage goes through its `-in` transfer when its sender's files are not
those of the module's site; what a module elsewhere leaves for the results goes through its `-out` transfer,
and its messages with it. Where both ends have the same files nothing is inserted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

from scalebox_hpc.domain.pipeline import (
    CONTRACT_FILES,
    Command,
    Gather,
    Inserted,
    Module,
    Pipeline,
    Pool,
    Resources,
    RetryRule,
    Template,
)
from scalebox_hpc.domain.site import Site

KIND: Final = "transfer"  # of modules that move data
POOL: Final = "transfers"  # theirs
HERE: Final = "local"  # the site that is the daemon's machine
SENDER: Final = "sbx_sender"
"""The header in which a message to an `-out` transfer names the task whose files it takes home."""

TIME_S: Final = 86400.0
WALLTIME_PER_TIME: Final = 1.2
WALLTIME_S: Final = WALLTIME_PER_TIME * TIME_S
NETWORK, MISSING, CHANGED, CHECKSUM = 10, 13, 14, 15
"""Exit codes of transfers that may end better another time; what is missing may be at home already."""


@dataclass(frozen=True, slots=True)
class Files:
    """Whose files a program sees."""

    key: str  # equal where they are the same; "" for those of the daemon's machine
    site: str  # the name of a site that has them; "" for the daemon's machine


HOME: Final = Files("", "")


def files_of(site: Site, main: Site) -> Files:
    """Return whose files a site has; `main` is the site of the run.

    A site without ssh has those of this machine, unless its file names a shared folder that is not the run's.
    """
    if site.ssh is not None:
        return Files(f"site {site.name}", site.name)
    if site.shared is None or (main.ssh is None and site.shared == main.shared):
        return HOME
    return Files(site.shared, site.name)


@dataclass(frozen=True, slots=True)
class Routes:
    """Which transfers a pipeline needs."""

    at: Mapping[str, Files]  # of each module
    ins: Mapping[str, Mapping[str, str]]  # module, then key of the sender's files: name of the transfer
    outs: Mapping[str, str]  # module: name of the transfer that takes its files home

    def sends_from(self, name: str) -> Files:
        """Return where a module's messages come from, once its files are where they belong."""
        return HOME if name in self.outs else self.at[name]

    def receiver(self, name: str, source: Files) -> str:
        """Return who gets a message to a module from there."""
        return self.ins.get(name, {}).get(source.key, name)

    def names(self) -> Iterator[tuple[str, str]]:
        """Yield each module that needs transfers with the name of one."""
        for name, transfers in self.ins.items():
            yield from ((name, transfer) for transfer in transfers.values())
        yield from self.outs.items()


def routes(pipeline: Pipeline, sites: Mapping[str, Site]) -> Routes:
    """Find the transfers that are to be inserted; `sites` has those of all pools."""
    modules, main = pipeline.modules, sites[pipeline.site]
    at = {name: files_of(sites[pipeline.pools[each.pool].site], main) for name, each in modules.items()}
    outs = {
        name: f"{name}-out"
        for name, each in modules.items()
        if each.stage is not None and each.stage.outputs and at[name] != HOME
    }
    found = Routes(at, {}, outs)
    ins = {}
    for name, module in modules.items():
        if module.stage is None or not module.stage.inputs:
            continue
        senders = [found.sends_from(each.name) for each in modules.values() if name in each.to]
        sources = {source.key: source for source in ([HOME] if module.seed else []) + senders}
        far = [source for key, source in sorted(sources.items()) if key != at[name].key]
        ins[name] = {each.key: _in_name(name, each, len(far) == 1) for each in far}
    return Routes(at, {name: each for name, each in ins.items() if each}, outs)


def _in_name(name: str, source: Files, is_only: bool) -> str:
    return f"{name}-in" if is_only else f"{name}-in-{source.site or 'home'}"


def with_transfers(pipeline: Pipeline, found: Routes) -> Pipeline:
    """Return the pipeline with its transfers inserted; as it is where it needs none."""
    if not found.ins and not found.outs:
        return pipeline
    modules: dict[str, Module] = {}
    for name, module in pipeline.modules.items():
        for key, transfer in found.ins.get(name, {}).items():
            modules[transfer] = _transfer_in(transfer, module, key, found)
        modules[name] = _rewritten(module, found)
        if name in found.outs:
            modules[found.outs[name]] = _transfer_out(found.outs[name], module, found)
    pool = pipeline.pools.get(POOL) or Pool(POOL, HERE, walltime_s=WALLTIME_S, idle_s=2.0)
    for name, module in modules.items():
        if module.inserted is not None:
            time_s = min(TIME_S, pool.walltime_s / WALLTIME_PER_TIME)
            modules[name] = replace(module, resources=replace(module.resources, time_s=time_s))
    return replace(pipeline, modules=modules, pools={**pipeline.pools, POOL: pool})


def _rewritten(module: Module, found: Routes) -> Module:
    seed = None if HOME.key in found.ins.get(module.name, {}) else module.seed
    if module.name in found.outs:
        transfer = found.outs[module.name]
        return replace(module, seed=seed, to=(transfer,), via=dict.fromkeys(module.to, transfer))
    return replace(_routed(module, module.to, found.at[module.name], found), seed=seed)


def _routed(module: Module, to: tuple[str, ...], source: Files, found: Routes) -> Module:
    """Let a module send to the receivers that its files need."""
    via = {name: found.receiver(name, source) for name in to}
    if all(name == receiver for name, receiver in via.items()):
        return replace(module, to=to)
    return replace(module, to=tuple(dict.fromkeys(via.values())), via=via)


def _transfer_in(name: str, module: Module, key: str, found: Routes) -> Module:
    """A transfer that copies what messages to a module refer to, then sends them on."""
    assert module.stage is not None
    source = next(each for each in (HOME, *found.at.values()) if each.key == key)
    inserted = Inserted(module.name, "in", source.site, found.at[module.name].site)
    made = _transfer(name, "stage-in", inserted, module.stage.inputs)
    return replace(made, to=(module.name,), seed=module.seed if source == HOME else None)


def _transfer_out(name: str, module: Module, found: Routes) -> Module:
    """A transfer that takes home what a task of a module left, then sends on the messages of that task.

    Behind a gather it is one itself, a part for each task: a gather's task may succeed once more, and what
    it sends then takes the place of what it sent before.
    """
    inserted = Inserted(module.name, "out", found.at[module.name].site, HOME.site)
    made = _routed(_transfer(name, "stage-out", inserted, ()), module.to, HOME, found)
    if module.gather is None:
        return made
    return replace(made, gather=Gather("header", SENDER, ("1",)))


def _transfer(name: str, verb: str, inserted: Inserted, references: tuple[Template, ...]) -> Module:
    words: tuple[Template, ...] = (("python",), ("-m",), ("scalebox_hpc.transfer",), (verb,))
    command = Command(words=(*words, *references))
    content = f"{name}\n{inserted}\n{asdict(command)}"
    return Module(
        name=name,
        command=command,
        pool=POOL,
        kind=KIND,
        env={"FROM": inserted.source, "TO": inserted.target},
        resources=Resources(memory_mib=256),
        retry=(
            RetryRule(on=(NETWORK,), retries=10, delay_s=30.0, backoff=2.0),
            RetryRule(on=(CHANGED, CHECKSUM, *((MISSING,) if inserted.way == "out" else ())), retries=2),
        ),
        # Whether a message repeats another is for the module itself to judge.
        repeat="again",
        inserted=inserted,
        digest=hashlib.sha256(content.encode()).hexdigest(),
    )


def references(texts: Sequence[str]) -> list[tuple[str, str]]:
    """Return path and base name of each file that filled-in references name; as the agent does.

    A JSON list of texts is as many references. Raises ValueError where a base name is missing, reserved
    or there twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        for path in _listed(text):
            name = path.rstrip("/").rpartition("/")[2]
            if name in ("", ".", "..") or "\n" in name:
                raise ValueError(f"{path!r} names no file")
            if name in (*CONTRACT_FILES, "publish"):
                raise ValueError(f"{path}: a program leaves a file of this name")
            if found.setdefault(name, path) != path:
                raise ValueError(f"{found[name]} and {path} would both be called {name}")
    return [(path, name) for name, path in found.items()]


def _listed(text: str) -> list[str]:
    try:
        inner = json.loads(text) if text.startswith("[") else None
    except ValueError:
        inner = None
    if isinstance(inner, list) and all(isinstance(each, str) for each in inner):
        return inner
    return [text]
