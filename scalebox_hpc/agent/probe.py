"""Finds out what this element has: cpus, memory, GPUs, scratch, walltime.

It reads files and variables; it changes nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

MIB = 1 << 20


def cpus() -> int:
    """Return the cpus that we may use."""
    return len(os.sched_getaffinity(0))


def memory_mib(environ: Mapping[str, str]) -> int:
    """Return the memory that we may use: Slurm's word, the cgroup's limit or the machine's, the least."""
    amounts = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MIB]
    if environ.get("SLURM_MEM_PER_NODE", "").isdigit():
        amounts.append(int(environ["SLURM_MEM_PER_NODE"]))
    directory = cgroup_directory()
    for name in ("memory.max", "memory.limit_in_bytes"):
        text = _read(os.path.join(directory, name)).strip()
        if text.isdigit():
            amounts.append(int(text) // MIB)
    return max(1, min(amount for amount in amounts if amount > 0))


def gpus(environ: Mapping[str, str]) -> int:
    """Return the number of GPUs given to us; without a batch system's word, of those there are."""
    for name in ("SLURM_JOB_GPUS", "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        if environ.get(name):
            return len(environ[name].split(","))
    if "SLURM_JOB_ID" in environ:
        return 0
    return sum(1 for name in os.listdir("/dev") if re.fullmatch(r"nvidia\d+", name))


def scratch_mib(path: str) -> int:
    """Return the free room at a directory, made already or not; 0 when it cannot be asked."""
    while not os.path.exists(path) and os.path.dirname(path) != path:
        path = os.path.dirname(path)
    try:
        found = os.statvfs(path)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize // MIB


def walltime_left_s(environ: Mapping[str, str], now_s: float, given_s: float | None) -> float | None:
    """Return the seconds until this element ends; None where nobody says."""
    end = environ.get("SLURM_JOB_END_TIME", "")
    left = [float(end) - now_s] if end.isdigit() else []
    if given_s is not None:
        left.append(given_s)
    return max(0.0, min(left)) if left else None


def gpu_kind() -> str:
    """Return the kind of GPU of this node: "nvidia", "rocm" or ""."""
    for path, kind in (("/dev/nvidiactl", "nvidia"), ("/dev/kfd", "rocm")):
        if os.path.exists(path):
            return kind
    return ""


def cgroup_directory() -> str:
    """Return the directory of our memory cgroup, "" when there is none to be seen."""
    for line in _read("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return "/sys/fs/cgroup/memory" + path
        if not controllers and os.path.exists(f"/sys/fs/cgroup{path}/memory.events"):
            return "/sys/fs/cgroup" + path
    return ""


class OomCounter:
    """Tells whether the kernel killed something of ours for want of memory. Each kill counts once."""

    def __init__(self) -> None:
        directory = cgroup_directory()
        self._paths = [os.path.join(directory, name) for name in ("memory.events", "memory.oom_control")]
        self._known = self._count()
        self._unclaimed = 0

    def claim(self) -> bool:
        """Tell whether there was a kill that nobody has claimed yet, and claim it."""
        count = self._count()
        self._unclaimed += count - self._known
        self._known = count
        if self._unclaimed <= 0:
            return False
        self._unclaimed -= 1
        return True

    def _count(self) -> int:
        text = "".join(_read(path) for path in self._paths)
        found = re.search(r"^oom_kill (\d+)", text, re.MULTILINE)
        return int(found[1]) if found else 0


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
