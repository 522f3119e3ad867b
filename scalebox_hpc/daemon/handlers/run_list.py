"""`GET /v1/runs`: all runs, newest first."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from scalebox_hpc.daemon.events import Call

if TYPE_CHECKING:
    from scalebox_hpc.daemon.core import Core


def handle(core: Core, call: Call) -> None:
    desk = core.desk
    totals = {row[0]: row[1:] for row in desk.store.rows("run_totals")}
    runs = [_summary(row, totals.get(row[0], (0, 0, 0))) for row in desk.store.rows("runs")]
    desk.answer(call, {"runs": runs})


def _summary(row: tuple[Any, ...], totals: tuple[int, int, int]) -> dict[str, Any]:
    pipeline = json.loads(row[5])["pipeline"]
    return {
        "run": row[1],
        "pipeline": pipeline["name"],
        "title": pipeline["title"],
        "state": row[2],
        "site": row[6],
        "created_us": row[11],
        "ended_us": row[13],
        "tasks": totals[0],
        "succeeded": totals[1],
        "failed": totals[2],
        "images": _images(pipeline),
    }


def _images(pipeline: dict[str, Any]) -> list[str]:
    """The digests of the images that the run began with."""
    stored = (module.get("stored") for module in pipeline["modules"].values())
    return sorted({image["digest"] for image in stored if image})
