"""Every value of a site, and where it comes from: for people who wonder why it is so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scalebox_hpc.config.notes import read_toml
from scalebox_hpc.config.site import read_site
from scalebox_hpc.domain.site import Site
from scalebox_hpc.units import show_duration

USUAL = "default"
OPENSSH = "OpenSSH's files"


@dataclass(frozen=True, slots=True)
class Value:
    """One value: its key as in the file, itself, and the place that says it."""

    key: str
    value: Any
    origin: str  # FILE:LINE, "default", "OpenSSH's files"


def values_of(path: Path) -> tuple[Site, list[Value]]:
    """Read a site file and list all its values. Raises PipelineErrors with all problems of the file."""
    site = read_site(path)
    data, notes = read_toml(path)
    found = []
    for keys, value in _values(site):
        written = _written(data, keys)
        if written is not None:
            found.append(Value(".".join(keys), written, f"{path.name}:{notes.line(keys)}"))
        else:
            origin = OPENSSH if keys[0] == "ssh" and value is None else USUAL
            found.append(Value(".".join(keys), value, origin))
    return site, found


def _written(data: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data


def _values(site: Site) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key in ("batch", "python", "prologue"):
        yield (key,), getattr(site, key)
    for name, value in site.env.items():
        yield ("env", name), value
    for key in ("shared", "scratch", "images"):
        yield ("paths", key), getattr(site, key)
    yield ("advertise",), site.advertise
    yield ("ports",), site.ports
    yield ("interval",), show_duration(site.interval_s)
    yield ("lost_after",), show_duration(site.lost_after_s)
    for table in ("limits", "containers", "ssh"):
        for key, value in asdict(getattr(site, table)).items() if getattr(site, table) else ():
            yield (table, key), value
    yield ("transfers", "streams"), site.transfers.streams
    yield ("transfers", "bandwidth"), site.transfers.bandwidth_mib_s
    yield ("transfers", "keep"), show_duration(site.transfers.keep_s)
    for name, machine in site.machines.items():
        for key, value in asdict(machine).items():
            if key != "name":
                yield ("machines", name, key.removesuffix("_mib")), value
