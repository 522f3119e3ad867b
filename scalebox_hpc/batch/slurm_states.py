"""Slurm's words for how a job is doing, and ours: the only table of its kind. Asks nobody."""

from __future__ import annotations

from typing import Final

from scalebox_hpc.domain.allocation import Ending, Phase

P, E = Phase, Ending
STATES: Final[dict[str, tuple[Phase, Ending | None]]] = {
    "PENDING": (P.PENDING, None),
    "CONFIGURING": (P.PENDING, None),  # nodes are being booted for it
    "POWER_UP_NODE": (P.PENDING, None),
    "REQUEUED": (P.PENDING, None),
    "REQUEUE_FED": (P.PENDING, None),
    "REQUEUE_HOLD": (P.PENDING, None),
    "RESV_DEL_HOLD": (P.PENDING, None),
    "SPECIAL_EXIT": (P.PENDING, None),  # requeued and held, in Slurm's own words
    "EXPEDITING": (P.PENDING, None),
    "RUNNING": (P.ACTIVE, None),
    "COMPLETING": (P.ACTIVE, None),  # its processes may still be there
    "SUSPENDED": (P.ACTIVE, None),
    "STOPPED": (P.ACTIVE, None),
    "SIGNALING": (P.ACTIVE, None),
    "RESIZING": (P.ACTIVE, None),
    "STAGE_OUT": (P.ACTIVE, None),
    "UPDATE_DB": (P.ACTIVE, None),
    "COMPLETED": (P.ENDED, E.DONE),
    "TIMEOUT": (P.ENDED, E.WALLTIME),
    "DEADLINE": (P.ENDED, E.WALLTIME),
    "PREEMPTED": (P.ENDED, E.PREEMPTED),
    "NODE_FAIL": (P.ENDED, E.NODE_LOST),
    "BOOT_FAIL": (P.ENDED, E.NODE_LOST),
    "OUT_OF_MEMORY": (P.ENDED, E.OOM),
    "CANCELLED": (P.ENDED, E.CANCELLED),
    "REVOKED": (P.ENDED, E.CANCELLED),
    "FAILED": (P.ENDED, E.FAILED),
    "LAUNCH_FAILED": (P.ENDED, E.FAILED),
    "RECONFIG_FAIL": (P.ENDED, E.FAILED),
}


def meaning_of(native_state: str) -> tuple[Phase, Ending | None]:
    """Translate Slurm's state, which may have a tail, as in `CANCELLED by 1000` or `CANCELLED+`.

    A word we do not know is `Phase.UNKNOWN`, never an ending: a new Slurm must not be able to
    make us throw away work that is still running.
    """
    words = native_state.split(maxsplit=1)
    return STATES.get(words[0].rstrip("+"), (Phase.UNKNOWN, None)) if words else (Phase.UNKNOWN, None)
