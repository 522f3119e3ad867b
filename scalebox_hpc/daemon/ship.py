"""Copies the files that a run ships into the shared folder of a site, once per content.

A copy is what tasks see for as long as the run lives: read-only, and verified against the
digest that the ledger keeps. It decides nothing about which files are shipped.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from scalebox_hpc.disk import problem_with
from scalebox_hpc.domain.pipeline import ShippedFile
from scalebox_hpc.errors import UsageError
from scalebox_hpc.relay.folder import Changed, Parcel
from scalebox_hpc.sites.depot import Depot

REMEDY = "check `paths.shared` of the site and its quota"


def ship(files: Iterable[ShippedFile], depot: Depot) -> None:
    """Put each file at `files/<digest>/<basename>` of a shared folder.

    A copy made before is used again. Raises UsageError where a file is gone or no longer has its
    digest, StorageFull without room, EnvironmentProblem for all else.
    """
    in_order = sorted(
        files, key=lambda file: file.executable
    )  # of two that are one file there, the last wins
    parcels = {parcel.name: (source, parcel) for source, parcel in map(_parcel, in_order)}
    try:
        depot.put(list(parcels.values()))
    except Changed as error:
        source, _ = parcels[str(error)]
        raise UsageError(
            f"{source} changed while it was being submitted", "submit again when it is at rest"
        ) from error
    except OSError as error:
        raise problem_with(Path(error.filename or depot.path), error, "write", REMEDY) from error


def _parcel(file: ShippedFile) -> tuple[Path, Parcel]:
    source = Path(file.source)
    try:
        with source.open("rb"):
            size = source.stat().st_size
    except OSError as error:
        raise UsageError(
            f"{source} cannot be read: {error.strerror}", "put it back, then submit again"
        ) from error
    name = f"files/{file.digest}/{Path(file.name).name}"
    return source, Parcel(name, file.digest, size, 0o500 if file.executable else 0o400)
