"""Results that agents left in their spools, because they could not tell us in time.

A spool is taken in before its agent's leases lapse; what it holds is judged like any report.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from scalebox_hpc.daemon import recording
from scalebox_hpc.daemon.desk import Desk
from scalebox_hpc.daemon.state import AgentState
from scalebox_hpc.domain.task import Verdict
from scalebox_hpc.errors import BadMessage
from scalebox_hpc.wire import codec
from scalebox_hpc.wire.messages import Chunk


def take_in(desk: Desk, agent: AgentState, lines: Iterable[Any]) -> None:
    """Stage and record what a spool holds; a line that is not ours, or torn, ends the reading."""
    for line in lines:
        try:
            content = codec.spool_line(line).content
        except BadMessage as error:
            desk.event("agent", agent.agent_id, "spool", error.fact)
            return
        if isinstance(content, Chunk):
            recording.stage(desk, agent.agent_id, content)
        else:
            verdict = recording.record_one(desk, agent.agent_id, content)
            if verdict is not Verdict.REFUSE:  # else it is not ours, or it lapses with the others
                agent.session.drop(content.lease.text())
