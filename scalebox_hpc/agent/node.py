"""What the parts of an agent know of their node; it is found out once, when the agent starts.

What tasks use of it at a time is not said here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from scalebox_hpc.agent.runtimes import Runtime


class Node(NamedTuple):
    """What is the same for all modules of this agent."""

    host: str
    incarnation: str
    scratch_root: str
    runtimes: tuple[Runtime, ...]  # the preferred one first
    environ: Mapping[str, str]  # the agent's own
    helper: list[str]  # words that start a helper of the agent
