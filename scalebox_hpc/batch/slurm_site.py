"""What scontrol, sinfo and sacctmgr say that a site allows, read into our words. Pure: asks nobody.

What a line does not say is None: no limit, or none that we know.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from scalebox_hpc.domain.allocation import AllocationRequest

PARTITIONS: Final = ("scontrol", "show", "partition", "--all", "--oneliner")
SHAPES: Final = ("sinfo", "--all", "--noheader", "--format=%R|%D|%c|%m|%G")
NODES: Final = ("sinfo", "--all", "--Node", "--noheader", "--format=%P|%c|%m|%G|%T|%f|%N")
ASSOCIATIONS: Final = "Account,Partition,DefaultQOS,GrpSubmit,MaxSubmit,MaxWall"
QUALITIES: Final = "Name,GrpSubmit,MaxSubmitPU,MaxSubmitPA,MaxWall"

_TIME: Final = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")
_GPUS: Final = re.compile(r"\bgpu(?::[^:,()]+)?:(\d+)")
_AWAY: Final = re.compile(r"down\b|drain|fail|maint|inval|unknown|reboot|\*$")
_FEATURES: Final = re.compile(r"[^|*!()\[\]]*")
_AS_OF: Final = re.compile(r"Configuration data as of (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)")


@dataclass(frozen=True, slots=True)
class NodeShape:
    """Nodes of one kind in a partition."""

    count: int
    cpus: int
    memory_mib: int
    gpus: int


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition, as far as it bounds what we ask for."""

    name: str
    default: bool = False
    state: str = "UP"
    longest_s: float | None = None  # MaxTime
    cpus_per_node: int | None = None  # MaxCPUsPerNode
    preemption: str = ""  # PreemptMode
    shapes: tuple[NodeShape, ...] = ()


@dataclass(frozen=True, slots=True)
class Allowance:
    """What an association or a QOS lets one user have."""

    source: str  # "account astro", "QOS normal"
    account: str = ""  # of an association; "": it is a QOS
    partition: str = ""  # "": any
    qos: str = ""  # an association's default one, or the QOS itself
    elements: int | None = None  # submitted at once, pending and running
    longest_s: float | None = None


@dataclass(frozen=True, slots=True)
class SlurmSite:
    """What Slurm says of itself; all empty where it does not answer."""

    array_size: int | None = None  # MaxArraySize, which caps the index
    queue: int | None = None  # MaxJobCount, of all users together
    silent_node_s: float | None = None  # SlurmdTimeout; 0: a silent node stays as it is
    kill_wait_s: float | None = None  # between TERM and KILL
    preemption: str = ""  # PreemptMode
    requeued_codes: str = ""  # RequeueExit and RequeueExitHold
    enforces: str = ""  # AccountingStorageEnforce
    clock_s: float | None = None  # the controller's, in whole seconds of Unix time
    partitions: tuple[Partition, ...] = ()
    allowances: tuple[Allowance, ...] = field(default_factory=tuple)


def seconds(text: str) -> float | None:
    """Read a time of Slurm's, None for no limit.

    >>> seconds("1-02:00:00"), seconds("30:00"), seconds("10"), seconds("2-0"), seconds("UNLIMITED")
    (93600.0, 1800.0, 600.0, 172800.0, None)
    """
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    days, *rest = match.groups()
    given = [int(part) for part in rest if part is not None]
    weights = (3600, 60, 1) if days is not None or len(given) == 3 else (60, 1)
    return float(
        int(days or 0) * 86_400 + sum(part * weight for part, weight in zip(given, weights, strict=False))
    )


def number(text: str) -> int | None:
    """Read the first number of a value, None for no limit.

    >>> number("300 sec"), number("UNLIMITED"), number("")
    (300, None, None)
    """
    match = re.match(r"\d+", text.strip())
    return int(match[0]) if match else None


def controller_clock_s(config: str) -> float | None:
    """Return the controller's time from the head of `scontrol show config`, asked in UTC."""
    match = _AS_OF.search(config)
    return datetime.datetime.fromisoformat(f"{match[1]}+00:00").timestamp() if match else None


def partitions(text: str, shapes: str) -> tuple[Partition, ...]:
    """Read the answers to PARTITIONS and SHAPES."""
    nodes = list(_shapes(shapes))
    return tuple(_partition(line, nodes) for line in text.splitlines() if line.startswith("PartitionName="))


def _partition(line: str, nodes: Iterable[tuple[str, NodeShape]]) -> Partition:
    said = dict(word.split("=", 1) for word in line.split() if "=" in word)
    name = said["PartitionName"]
    return Partition(
        name,
        said.get("Default") == "YES",
        said.get("State", "UP"),
        seconds(said.get("MaxTime", "")),
        number(said.get("MaxCPUsPerNode", "")),
        said.get("PreemptMode", ""),
        tuple(shape for partition, shape in nodes if partition == name),
    )


def _shapes(text: str) -> Iterator[tuple[str, NodeShape]]:
    for line in text.splitlines():
        fields = line.split("|")
        if len(fields) == 5:
            count, cpus, memory_mib = (number(part) or 0 for part in fields[1:4])
            gpus = sum(map(int, _GPUS.findall(fields[4])))
            yield fields[0], NodeShape(count, cpus, memory_mib, gpus)


def nodes_for(request: AllocationRequest, text: str) -> tuple[int, int]:
    """Count the nodes that have what an element asks for, in the answer to NODES, and those of them away.

    A constraint that is more than a list of features is taken to be met.
    """
    lines = [line.split("|") for line in text.splitlines()]
    nodes = [_Node(*fields) for fields in lines if len(fields) == len(_Node._fields)]
    fit = {node.name: node for node in nodes if _has(node, request)}
    return len(fit), sum(bool(_AWAY.search(node.state.lower())) for node in fit.values())


class _Node(NamedTuple):
    """A node in a partition, as NODES prints it."""

    partition: str
    cpus: str
    memory_mib: str
    gres: str
    state: str
    features: str
    name: str


def _has(node: _Node, request: AllocationRequest) -> bool:
    wanted, constraint = request.machine.partition, request.machine.constraint or ""
    name, is_default = node.partition.rstrip("*"), node.partition.endswith("*")
    is_there = name in wanted.split(",") if wanted else is_default
    if _FEATURES.fullmatch(constraint):
        is_there = is_there and set(re.findall(r"[^&,\s]+", constraint)) <= set(node.features.split(","))
    on_each = request.cpus / (request.ranks.nodes if request.ranks is not None else 1)
    gpus = sum(map(int, _GPUS.findall(node.gres)))
    has = (number(node.cpus) or 0) >= on_each and (number(node.memory_mib) or 0) >= request.memory_mib
    return is_there and has and gpus >= request.gpus


def associations(text: str) -> Iterator[Allowance]:
    """Read `sacctmgr show associations format=ASSOCIATIONS`, without a header and parted by `|`."""
    for line in text.splitlines():
        fields = line.split("|")
        if len(fields) == 6:
            account, partition, qos, *counts, wall = fields
            yield Allowance(
                f"account {account}", account, partition, qos, _least(map(number, counts)), seconds(wall)
            )


def qualities(text: str) -> Iterator[Allowance]:
    """Read `sacctmgr show qos format=QUALITIES`, likewise."""
    for line in text.splitlines():
        fields = line.split("|")
        if len(fields) == 5:
            name, *counts, wall = fields
            yield Allowance(
                f"QOS {name}", qos=name, elements=_least(map(number, counts)), longest_s=seconds(wall)
            )


def _least(counts: Iterable[int | None]) -> int | None:
    return min((count for count in counts if count is not None), default=None)
