"""What pyslurm gives and takes, put into our words and out of them. Pure: asks nobody."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

from scalebox_hpc.batch.base import belongs
from scalebox_hpc.batch.slurm_listing import Row, collect, indices, seen_as
from scalebox_hpc.batch.slurm_script import options, script
from scalebox_hpc.batch.slurm_states import meaning_of
from scalebox_hpc.domain.allocation import AllocationRequest, CancelTarget, Phase, TrySeen

Record = Mapping[str, Any]
"""What the child says of one job: see `slurm_child.records`."""

FIELDS: Final = {
    "job-name": "name",
    "array": "array",
    "nodes": "nodes",
    "ntasks": "ntasks",
    "ntasks-per-node": "ntasks_per_node",
    "cpus-per-task": "cpus_per_task",
    "mem": "memory_per_node",
    "time": "time_limit",
    "chdir": "working_directory",
    "output": "standard_output",
    "open-mode": "log_files_open_mode",
    "gres": "gres_per_node",
    "signal": "signal",
    "partition": "partitions",
    "account": "account",
    "qos": "qos",
    "constraint": "constraints",
}
"""sbatch's long options, and the attributes of a JobSubmitDescription that stand for them."""

NUMBERS: Final = ("ntasks", "ntasks_per_node", "cpus_per_task")

SAID: Final = {
    "is_requeueable": True,
    "standard_in": "/dev/null",
    "profile_types": "none",  # pyslurm 25.11 asks for all profiles where nothing is said
}


class Killing(NamedTuple):
    """How to cancel something: by the job's own id, or, for elements that have none yet, by scancel."""

    ids: tuple[int, ...]
    left: tuple[CancelTarget, ...]


def fields_of(request: AllocationRequest) -> dict[str, Any]:
    """Return the attributes of the JobSubmitDescription that asks for what the script's options ask for."""
    fields: dict[str, Any] = {FIELDS[name]: value for name, value in options(request).items()}
    fields |= {name: int(fields[name]) for name in NUMBERS if name in fields}
    if request.machine.exclusive:
        fields["resource_sharing"] = "no"
    if "signal" in fields:
        fields["signal"] = fields["signal"].replace("TERM", "SIGTERM")  # pyslurm knows no short names
    return fields | SAID | {"script": script(request)}


def from_records(records: Iterable[Record], home: str) -> dict[str, TrySeen]:
    """Read what the child listed. Raises UnreadableListing."""
    return collect(_rows(records, home))


def killing(records: Collection[Record], targets: Iterable[CancelTarget], home: str) -> Killing:
    """Say how to cancel these targets, name and job id together, as far as the records show them.

    Slurm takes the id of an array for all its elements, and one of them bears it as its own.
    """
    ids: dict[int, None] = {}
    left: list[CancelTarget] = []
    for target in targets:
        alive = [each for each in records if belongs(target.name, home) and _is_alive(each, target)]
        if not target.elements:
            ids |= dict.fromkeys(_array(each) for each in alive)
            continue
        own = {_elements(each)[0]: each["id"] for each in alive if each["id"] != _array(each)}
        ids |= dict.fromkeys(own[index] for index in target.elements if index in own)
        others = {index for each in alive for index in _elements(each)} - own.keys()
        if some := tuple(index for index in target.elements if index in others):
            left.append(replace(target, elements=some))
    return Killing(tuple(ids), tuple(left))


def mismatch(pyslurm: str, slurm: tuple[int, int] | None) -> str:
    """Say why this pyslurm is not for this Slurm; "" where it is.

    >>> mismatch("25.11.2", (25, 11)), mismatch("25.11.2", (24, 5))
    ('', 'pyslurm 25.11.2 is not for Slurm 24.05')
    """
    if slurm is None:
        return "the controller does not say which Slurm this is"
    shown = f"{slurm[0]}.{slurm[1]:02}"
    if tuple(pyslurm.split(".")[:2]) in ((str(slurm[0]), str(slurm[1])), tuple(shown.split("."))):
        return ""
    return f"pyslurm {pyslurm} is not for Slurm {shown}"


def _rows(records: Iterable[Record], home: str) -> Iterator[Row]:
    for each in records:
        if belongs(each["name"], home):
            seen = seen_as(each["state"] or "", each["reason"] or "", each["nodes"] or "", str(each["id"]))
            yield each["name"], str(_array(each)), _elements(each), seen


def _array(record: Record) -> int:
    return int(record["array_id"] or record["id"])


def _elements(record: Record) -> tuple[int, ...]:
    """The indices that a record stands for: one, or all that have no job of their own yet."""
    if record["waiting"]:
        return indices(record["waiting"])
    return (record["element"] or 0,)  # pyslurm says None for 0


def _is_alive(record: Record, target: CancelTarget) -> bool:
    """Whether a record is of the target, by name and job id together, and may be cancelled for it."""
    if record["name"] != target.name or target.job_id not in ("", str(_array(record))):
        return False
    phase, _ = meaning_of(record["state"] or "")
    if target.elements and not target.job_id:
        return False
    return phase is Phase.PENDING if target.only_pending else phase is not Phase.ENDED
