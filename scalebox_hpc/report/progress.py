"""How far running tasks are by their own word, as people read it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from scalebox_hpc.client import ModuleStatus, Progress
from scalebox_hpc.report.text import Line, printable, rate
from scalebox_hpc.units import show_count, show_duration, show_size

MODULES_SHOWN = 4


def progress_text(progress: Progress) -> str:
    """How much is done, of what, how fast, and the time left, as far as it is known.

    >>> progress_text({"done": 3 << 20, "total": 9 << 20, "rate_per_s": 1 << 20, "unit": "", "eta_s": 6.0})
    '3.0M of 9.0M, 1.0M/s, 6s left'
    >>> progress_text({"done": 7, "total": None, "rate_per_s": 0.5, "unit": "files", "eta_s": None})
    '7 files, 30/min'
    """
    unit, total, per_s = progress["unit"], progress["total"], progress["rate_per_s"]
    text = _amount(progress["done"], unit) + (f" of {_amount(total, unit)}" if total else "")
    parts = [f"{text} {printable(unit)}" if unit else text]
    if per_s:
        parts.append(rate(per_s) if unit else f"{show_size(per_s)}/s")
    if progress["eta_s"] is not None:
        parts.append(f"{show_duration(progress['eta_s'])} left")
    return ", ".join(parts)


def _amount(value: float, unit: str) -> str:
    if not unit:
        return show_size(value)
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def progress_lines(modules: Sequence[ModuleStatus]) -> list[Line]:
    """A line per module of which running tasks say how far they are, these together."""
    told = [(module["module"], progress) for module in modules if (progress := module.get("progress"))]
    lines = [
        Line(f"  {name}: {progress_text(progress)} ({show_count(progress.get('tasks', 1), 'running task')})")
        for name, progress in told[:MODULES_SHOWN]
    ]
    if len(told) > MODULES_SHOWN:
        lines.append(Line(f"  … {show_count(len(told) - MODULES_SHOWN, 'more module')}", "dim"))
    return [Line("progress", "dim"), *lines] if lines else []
