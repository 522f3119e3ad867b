"""The programs of transfer modules by name: each a module of ours with `run(task)`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

VERBS: Final[Mapping[str, str]] = {
    "copy": "scalebox_hpc.transfer.copying",
    "checksum": "scalebox_hpc.transfer.summing",
    "list": "scalebox_hpc.transfer.listing",
    "pack": "scalebox_hpc.transfer.packing",
    "unpack": "scalebox_hpc.transfer.unpacking",
    "delete": "scalebox_hpc.transfer.deleting",
    "stage-in": "scalebox_hpc.transfer.stage_in",
    "stage-out": "scalebox_hpc.transfer.stage_out",
}
