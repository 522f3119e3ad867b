"""A checked pipeline: what `pipeline.toml` says once it has been found right.

Built by `config`, kept in the ledger as JSON, read by the engine. Quantities are in the units
that the field names carry. Templates are already parsed: parameters are filled in, what is
left is filled in by the agent for each attempt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from scalebox_hpc.domain.container import Bind, Container, binds, container
from scalebox_hpc.domain.image import Image, image
from scalebox_hpc.domain.plain import build

Part = str | tuple[str, ...]
"""Literal text, or a placeholder: one word of body, task, slot, members, bodies; or ("headers", NAME)."""

Template = tuple[Part, ...]

CONTRACT_FILES: Final = (
    "messages.txt",
    "messages.jsonl",
    "timestamps.txt",
    "input-files.txt",
    "output-files.txt",
    "removed-files.txt",
    "custom-out.txt",
    "task-exec.json",
    "progress.json",
)
"""What the agent reads from the work directory, the last one while the program runs."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What one task needs. With more than one node, memory, gpus and scratch are those of each."""

    cpus: int = 1  # kind "mpi": of one rank
    memory_mib: int = 1024
    gpus: int = 0
    scratch_mib: int = 0
    time_s: float = 3600.0
    nodes: int = 1  # kind "mpi": nodes of one task
    ntasks: int = 1  # kind "mpi": ranks in all, never below `nodes`


@dataclass(frozen=True, slots=True)
class Ranks:
    """What one task of kind "mpi" spans: an element of so many nodes, which it has to itself."""

    nodes: int
    count: int  # of ranks in all

    @property
    def per_node(self) -> int:
        """The most ranks on one node."""
        return -(-self.count // self.nodes)


@dataclass(frozen=True, slots=True)
class RetryRule:
    """When a failed task goes round again; each rule counts for itself, per task."""

    on: tuple[int | str, ...]  # exit codes, and causes: "exit" "timeout" "oom" "output" ...
    retries: int
    delay_s: float = 0.0
    backoff: float = 1.0
    memory_factor: float = 1.0  # from memory = "x2"


@dataclass(frozen=True, slots=True)
class Gather:
    """How a module groups the messages it receives."""

    by: str  # "all" | "regex" | "header"
    pattern: str = ""  # the regular expression, or the header's name
    size: Template | None = None  # evaluated for each member; None: a part is whole at closing
    missing: str = "fail"  # or "run"


@dataclass(frozen=True, slots=True)
class Command:
    """What runs. Exactly one of `words` and `text` is set.

    `words`: one template a word, given to the program verbatim. `text`: a constant shell text
    in which each placeholder has become "$1", "$2"...; `values` are the templates behind them;
    `shell` is the interpreter with its options, up to and with `-c`. Run as
    `*shell TEXT sbx VALUE...`.
    """

    words: tuple[Template, ...] = ()
    text: str = ""
    values: tuple[Template, ...] = ()
    shell: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Seed:
    """Where a module's first messages come from. One of the kinds, with its values."""

    kind: str  # "list" | "file" | "stdin" | "command" | "glob" | "csv" | "product"
    values: tuple[str, ...] = ()  # list: the lines; file, command, glob, csv: one text
    body: Template | None = None  # csv: how a row becomes a body; ("headers", COLUMN) names a column
    axes: tuple[tuple[str, tuple[str, ...]], ...] = ()  # product: name, values


@dataclass(frozen=True, slots=True)
class ShippedFile:
    """A file of the pipeline that goes with the module, linked in each work directory."""

    name: str  # relative to the pipeline's directory, as the link is called
    source: str  # absolute path at submission
    digest: str  # sha256, hex
    executable: bool


@dataclass(frozen=True, slots=True)
class Stage:
    """Files that go with the messages of a module: to it, and from it."""

    inputs: tuple[Template, ...] = ()  # references to files, filled in from each message
    outputs: tuple[str, ...] = ()  # patterns in the work directory; each must match a file


@dataclass(frozen=True, slots=True)
class Inserted:
    """What an inserted transfer stands before or behind, and where its files come from or go to."""

    of: str  # the module whose files it moves
    way: str  # "in": to it; "out": from it, into the results
    source: str  # the name of a site
    target: str
    sites: Mapping[str, str] = field(default_factory=dict)
    """Where that module names several: those that this serves, each with the site whose files it sees."""


@dataclass(frozen=True, slots=True)
class Place:
    """One of the sites of a module that names several: its pool there, and when that asks for how much."""

    pool: str
    weight: float = 1.0  # its share of the backlog is in proportion to it
    when_pending_s: float = 0.0  # it asks once those before have kept tasks waiting for so long


@dataclass(frozen=True, slots=True)
class Module:
    """One program with its image, resources and rules."""

    name: str
    command: Command
    to: tuple[str, ...] = ()
    pool: str = "default"  # key of Pipeline.pools; of several, the first
    places: tuple[Place, ...] = ()  # where it names several sites: one pool at each
    image: str | None = None  # as it is called; a path is absolute
    stored: Image | None = None  # what `image` was when the run was accepted
    stored_at: Mapping[str, str] = field(default_factory=dict)  # its path at sites after the first
    container: Container = field(default_factory=Container)
    binds: tuple[Bind, ...] = ()
    kind: str = "task"  # or "mpi": a task takes whole nodes, and a pool for itself
    seed: Seed | None = None
    resources: Resources = Resources()
    retry: tuple[RetryRule, ...] = ()
    gather: Gather | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    files: tuple[ShippedFile, ...] = ()
    repeat: str = "refuse"  # "ignore" | "again"
    output_limit_bytes: int = 65536
    forward: bool = False
    stage: Stage | None = None
    via: Mapping[str, str] | None = (
        None  # receivers as the program calls them, to who gets it; None: as in `to`
    )
    via_at: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """The same by site, where that is not the same for all of its sites."""
    inserted: Inserted | None = None  # None: the author wrote it
    bound: bool = False  # each of its tasks runs at that one of its sites to which its files were brought
    digest: str = (
        ""  # of image, container, binds, kind, command, files, env, parameters used, to, gather, stage
    )

    @property
    def pools(self) -> tuple[str, ...]:
        """The names of the pools that serve it; one at each of its sites."""
        return tuple(place.pool for place in self.places) or (self.pool,)

    def via_of(self, site: str) -> Mapping[str, str] | None:
        """Who gets the messages of a task that ran there; None: whom the program names."""
        return self.via_at.get(site, self.via)

    @property
    def ranks(self) -> Ranks | None:
        """How many ranks a task of it has, and on how many nodes; None: it is an ordinary one."""
        if self.kind != "mpi":
            return None
        return Ranks(self.resources.nodes, self.resources.ntasks)

    @property
    def taken(self) -> Resources:
        """What a task takes of its element: with ranks the cpus of all, else what is written."""
        if self.kind != "mpi":
            return self.resources
        return replace(self.resources, cpus=self.resources.cpus * self.resources.ntasks)


@dataclass(frozen=True, slots=True)
class Pool:
    """Allocations of one machine shape that serve one or more modules."""

    name: str
    site: str
    machine: str | None = None  # None: the site's default machine
    slots: int = 100  # most tasks at once
    walltime_s: float = 14400.0
    idle_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A whole pipeline, ready to be run."""

    name: str
    title: str
    directory: str  # absolute
    site: str
    params: Mapping[str, str]  # name to its value as text
    modules: Mapping[str, Module]  # in the order of the file
    pools: Mapping[str, Pool]
    bin: tuple[ShippedFile, ...] = ()  # shipped, first in PATH
    file: str = ""  # absolute path of the pipeline's file

    def members(self, pool: str) -> list[Module]:
        """The modules that a pool serves."""
        return [module for module in self.modules.values() if pool in module.pools]

    def sites_of(self, module: Module) -> tuple[str, ...]:
        """The names of the sites that a module may run at, in its order."""
        return tuple(self.pools[pool].site for pool in module.pools)


def to_json(pipeline: Pipeline) -> dict[str, Any]:
    """Return plain data that `json` can write and `from_json` can read back."""
    return asdict(pipeline)


def from_json(data: Mapping[str, Any]) -> Pipeline:
    """Read what `to_json` wrote, perhaps in an earlier release: unknown keys are passed over."""
    modules = {name: _module(value) for name, value in data["modules"].items()}
    pools = {name: build(Pool, value) for name, value in data["pools"].items()}
    bin_files = tuple(build(ShippedFile, value) for value in data.get("bin", ()))
    return build(Pipeline, {**data, "modules": modules, "pools": pools, "bin": bin_files})


def _template(parts: list[Any] | tuple[Any, ...]) -> Template:
    return tuple(part if isinstance(part, str) else tuple(part) for part in parts)


def _module(data: Mapping[str, Any]) -> Module:
    command = data["command"]
    gather, seed = data.get("gather"), data.get("seed")
    return build(
        Module,
        {
            **data,
            "to": tuple(data.get("to", ())),
            "command": Command(
                words=tuple(_template(word) for word in command["words"]),
                text=command["text"],
                values=tuple(_template(value) for value in command["values"]),
                shell=tuple(command["shell"]),
            ),
            "resources": build(Resources, data["resources"]),
            "places": tuple(build(Place, place) for place in data.get("places", ())),
            "stored": image(data.get("stored")),
            "container": container(data.get("container", {})),
            "binds": binds(data.get("binds", ())),
            "retry": tuple(build(RetryRule, {**rule, "on": tuple(rule["on"])}) for rule in data["retry"]),
            "gather": None if gather is None else _gather(gather),
            "seed": None if seed is None else _seed(seed),
            "files": tuple(build(ShippedFile, value) for value in data["files"]),
            "stage": _stage(data.get("stage")),
            "inserted": None if data.get("inserted") is None else build(Inserted, data["inserted"]),
        },
    )


def with_image(module: Module, image: Image) -> Module:
    """A module whose image was made sure of: its digest is of the image's content as well."""
    digest = hashlib.sha256(f"{module.digest}\n{image.digest}".encode()).hexdigest()
    return replace(module, stored=image, digest=digest)


def _stage(data: Mapping[str, Any] | None) -> Stage | None:
    if data is None:
        return None
    return Stage(tuple(_template(each) for each in data["inputs"]), tuple(data["outputs"]))


def _gather(data: Mapping[str, Any]) -> Gather:
    size = data["size"]
    return build(Gather, {**data, "size": None if size is None else _template(size)})


def _seed(data: Mapping[str, Any]) -> Seed:
    return Seed(
        kind=data["kind"],
        values=tuple(data["values"]),
        body=None if data["body"] is None else _template(data["body"]),
        axes=tuple((name, tuple(values)) for name, values in data["axes"]),
    )
