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

STAGED: Final = "sbx_staged"
"""The one that names the folder into which files were brought; of several sites `SITE:` before it."""

CHOSEN: Final = "sbx_site"
"""The one by which the daemon says to which one of several sites an `-in` transfer is to bring files."""

WAITING: Final = "sbx_stage"
"""The one that names the folder in which files and messages wait for an `-out` transfer."""

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

    at: Mapping[str, Mapping[str, Files]]  # of each module, by its sites
    ins: Mapping[str, Mapping[str, str]]  # module, then key of the sender's files: name of the transfer
    outs: Mapping[str, Mapping[str, str]]  # module, then key of its files: what takes them home
    bound: frozenset[str]  # modules that see different files at their sites, and need some

    def sends_from(self, name: str) -> list[Files]:
        """Return where a module's messages come from, once its files are where they belong."""
        outs = self.outs.get(name, {})
        sources = {each.key: HOME if each.key in outs else each for each in self.at[name].values()}
        return list(sources.values())

    def receiver(self, name: str, source: Files) -> str:
        """Return who gets a message to a module from there."""
        return self.ins.get(name, {}).get(source.key, name)

    def names(self) -> Iterator[tuple[str, str]]:
        """Yield each module that needs transfers with the name of one."""
        for transfers in (self.ins, self.outs):
            yield from ((name, each) for name, named in transfers.items() for each in named.values())


def routes(pipeline: Pipeline, sites: Mapping[str, Site]) -> Routes:
    """Find the transfers that are to be inserted; `sites` has those of all pools."""
    modules, main = pipeline.modules, sites[pipeline.site]
    at = {
        name: {site: files_of(sites[site], main) for site in pipeline.sites_of(each)}
        for name, each in modules.items()
    }
    outs = {
        name: _named(f"{name}-out", [source for source in at[name].values() if source != HOME])
        for name, each in modules.items()
        if each.stage is not None and each.stage.outputs
    }
    needing = [name for name, each in modules.items() if each.stage is not None and each.stage.inputs]
    bound = frozenset(name for name in needing if len({each.key for each in at[name].values()}) > 1)
    found = Routes(at, {}, {name: each for name, each in outs.items() if each}, bound)
    ins = {}
    for name in needing:
        senders = [each.name for each in modules.values() if name in each.to]
        sources = [source for sender in senders for source in found.sends_from(sender)]
        own = {} if name in bound else {each.key for each in at[name].values()}
        seeded = [HOME] if modules[name].seed else []
        ins[name] = _named(f"{name}-in", [each for each in (*seeded, *sources) if each.key not in own])
    return replace(found, ins={name: each for name, each in ins.items() if each})


def _named(name: str, every: Sequence[Files]) -> dict[str, str]:
    """Name a transfer for each place, by the key of its files; after the place where there are several."""
    places = {each.key: each for each in sorted(every, key=lambda each: each.key)}
    if len(places) == 1:
        return dict.fromkeys(places, name)
    return {key: f"{name}-{each.site or 'home'}" for key, each in places.items()}


def with_transfers(pipeline: Pipeline, found: Routes) -> Pipeline:
    """Return the pipeline with its transfers inserted; as it is where it needs none."""
    if not found.ins and not found.outs:
        return pipeline
    modules: dict[str, Module] = {}
    for name, module in pipeline.modules.items():
        for key, transfer in found.ins.get(name, {}).items():
            modules[transfer] = _transfer_in(transfer, module, key, found)
        modules[name] = _rewritten(module, found)
        for key, transfer in found.outs.get(name, {}).items():
            modules[transfer] = _transfer_out(transfer, module, key, found)
    pool = pipeline.pools.get(POOL) or Pool(POOL, HERE, walltime_s=WALLTIME_S, idle_s=2.0)
    for name, module in modules.items():
        if module.inserted is not None:
            time_s = min(TIME_S, pool.walltime_s / WALLTIME_PER_TIME)
            modules[name] = replace(module, resources=replace(module.resources, time_s=time_s))
    return replace(pipeline, modules=modules, pools={**pipeline.pools, POOL: pool})


def _rewritten(module: Module, found: Routes) -> Module:
    """Let a module send to the receivers that its files need, at each of its sites."""
    name = module.name
    seed = None if HOME.key in found.ins.get(name, {}) else module.seed
    ways = {site: _ways(module, source, found) for site, source in found.at[name].items()}
    to = tuple(dict.fromkeys(receiver for receivers, _ in ways.values() for receiver in receivers))
    vias = {site: via for site, (_, via) in ways.items()}
    first = next(iter(vias.values()))
    made = replace(module, seed=seed, to=to, bound=name in found.bound)
    if any(via != first for via in vias.values()):
        return replace(made, via_at=vias)
    return made if to == module.to else replace(made, via=first)


def _ways(module: Module, source: Files, found: Routes) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return who gets the messages of tasks that saw these files, and for whom each is."""
    taken = found.outs.get(module.name, {}).get(source.key)
    if taken is not None:
        return (taken,), dict.fromkeys(module.to, taken)
    return _routed(module.to, source, found)


def _routed(to: tuple[str, ...], source: Files, found: Routes) -> tuple[tuple[str, ...], dict[str, str]]:
    via = {name: found.receiver(name, source) for name in to}
    return tuple(dict.fromkeys(via.values())), via


def _sites(name: str, found: Routes, among: Files | None = None) -> dict[str, str]:
    """The sites of a module that names several, of these files, to the one whose files each sees."""
    at = found.at[name]
    if len({each.key for each in at.values()}) == 1:
        return {}
    return {site: each.site for site, each in at.items() if among in (None, each)}


def _transfer_in(name: str, module: Module, key: str, found: Routes) -> Module:
    """A transfer that copies what messages to a module refer to, then sends them on."""
    assert module.stage is not None
    known = (HOME, *(each for of_sites in found.at.values() for each in of_sites.values()))
    source = next(each for each in known if each.key == key)
    target = next(iter(found.at[module.name].values()))
    inserted = Inserted(module.name, "in", source.site, target.site, _sites(module.name, found))
    made = _transfer(name, "stage-in", inserted, module.stage.inputs)
    return replace(made, to=(module.name,), seed=module.seed if source == HOME else None)


def _transfer_out(name: str, module: Module, key: str, found: Routes) -> Module:
    """A transfer that takes home what a task of a module left, then sends on the messages of that task.

    Behind a gather it is one itself, a part for each task: a gather's task may succeed once more, and what
    it sends then takes the place of what it sent before.
    """
    source = next(each for each in found.at[module.name].values() if each.key == key)
    inserted = Inserted(module.name, "out", source.site, HOME.site, _sites(module.name, found, source))
    to, via = _routed(module.to, HOME, found)
    made = replace(_transfer(name, "stage-out", inserted, ()), to=to, via=None if to == module.to else via)
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
