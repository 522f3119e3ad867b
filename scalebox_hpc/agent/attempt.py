"""One attempt here: where it runs, how its process went, and the result that says so.

It starts and reads nothing; `agent` does.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from scalebox_hpc.agent.child import Process
from scalebox_hpc.agent.command import Recipe
from scalebox_hpc.agent.container import Container
from scalebox_hpc.agent.contract import Collected, as_text
from scalebox_hpc.agent.guests import LOST
from scalebox_hpc.agent.lease import Held, Json
from scalebox_hpc.agent.logs import SUCCESS_TAIL
from scalebox_hpc.agent.probe import OomCounter
from scalebox_hpc.agent.workdir import Slot

INTERRUPTIONS = {
    "walltime": "the walltime of its element ended",
    "preempted": "its element was told to end: preempted, requeued, cancelled, or its time limit was cut",
}
NEAR_LIMIT = 0.9  # of its memory: killed there, a task is held to have been killed for it
KILLED = 128 + signal.SIGKILL  # as a shell says that its child was killed

NOTE_MOST = 4000  # characters; the daemon takes a few more

NOTHING = Collected()  # never written to


class Attempt:
    """One attempt, from its start to its result."""

    __slots__ = (
        "cause",
        "container",
        "exit_code",
        "found",
        "gather_dir",
        "held",
        "left",
        "marks",
        "note",
        "process",
        "recipe",
        "signal",
        "slot",
        "times",
    )

    def __init__(self, held: Held, recipe: Recipe, slot: Slot, gather_dir: str) -> None:
        self.held = held
        self.recipe = recipe
        self.slot = slot
        self.gather_dir = gather_dir  # "" unless it is a gather task
        self.container: Container | None = None
        self.process: Process | None = None
        self.cause: str | None = None
        self.exit_code: int | None = None
        self.signal: int | None = None
        self.note = recipe.note
        self.left: dict[str, bool] | None = {}
        self.times: dict[str, int] = {"received": held.received_us}
        self.marks = ((0, 0), (0, 0))  # where its output starts and ends in the slot's two segments
        self.found = NOTHING

    def say(self, note: str) -> None:
        """Add something to be said of it."""
        self.note = "; ".join(filter(None, (self.note, note)))

    def fail(self, cause: str, note: str) -> None:
        """Set why it failed."""
        self.cause = cause
        self.say(note)

    def interrupt(self, cause: str) -> None:
        """Set that it failed because its place was taken away."""
        self.fail(cause, INTERRUPTIONS[cause])

    @property
    def never_began(self) -> bool:
        """Whether its place was taken away while it still waited for its container."""
        return self.cause in INTERRUPTIONS and "started" not in self.times

    def judge(self, process: Process, oom: OomCounter) -> None:
        """Read from how its process ended what became of it."""
        status = process.status
        if os.WIFSIGNALED(status):
            self.signal = os.WTERMSIG(status)
        else:
            self.exit_code = os.WEXITSTATUS(status)
        if process.why == "timeout":
            self.fail("timeout", f"it ran longer than its time of {self.held.time_s:g} s")
        elif process.why in INTERRUPTIONS:
            self.interrupt(process.why)
        elif process.why == LOST and self.container is not None:
            self.fail("launch", self.container.lost_text())
        elif self.exit_code:
            self.cause = "oom" if self.exit_code == KILLED and self._ran_out_of_memory(oom) else "exit"
        elif self.signal:
            self.cause = "oom" if self.signal == signal.SIGKILL and self._ran_out_of_memory(oom) else "exit"
        if process.survivors:
            self.say(f"these processes of it survive SIGKILL: {process.survivors}")

    def _ran_out_of_memory(self, oom: OomCounter) -> bool:
        assert self.process is not None
        rusage = self.process.rusage
        if rusage is None:
            return oom.claim()
        return oom.claim() or rusage.ru_maxrss >= NEAR_LIMIT * 1024 * self.held.need[1] > 0

    @property
    def text_bytes(self) -> int:
        """At most how long the texts in its result are, in bytes."""
        (out_start, out_end), (err_start, err_end) = self.marks
        limit = self.recipe.output_limit if self.cause else SUCCESS_TAIL
        return min(limit, out_end - out_start) + min(limit, err_end - err_start) + len(self.found.user_text)

    def close(self, found: Collected) -> None:
        """Take in what it left; nothing of it runs any more, and its slot may go to the next one."""
        self.found = found
        self.marks = (self.slot.segments[0].end(), self.slot.segments[1].end())
        if self.cause is None and found.status:
            self.exit_code, self.cause = found.status, "exit"
        if found.problem:
            self.cause = self.cause or "output"
            self.say(found.problem)
        for note in found.notes[:5]:
            self.say(note)

    def result(self) -> Json:
        """Return the RESULT of the wire. `times.reported` is set when it is sent."""
        found, limit = self.found, self.recipe.output_limit if self.cause else SUCCESS_TAIL
        (out_start, out_end), (err_start, err_end) = self.marks
        out, err = self.slot.segments
        stdout, out_cut = out.tail(out_start, out_end, limit)
        stderr, err_cut = err.tail(err_start, err_end, limit)
        if self.container is not None and self.container.per_task:
            failure = self.container.failure(self.exit_code, stderr)
            if failure:
                self.fail("launch", failure)
        rusage = self.process.rusage if self.process is not None else None
        result: dict[str, Any] = {
            "lease": self.held.lease,
            "outcome": "failed" if self.cause else "ok",
            "cause": self.cause,
            "exit_code": self.exit_code,
            "signal": self.signal,
            "note": as_text(self.note[:NOTE_MOST]),
            "slot": self.slot.number,
            "cpu_user_s": rusage.ru_utime if rusage else 0.0,
            "cpu_system_s": rusage.ru_stime if rusage else 0.0,
            "max_rss_mib": rusage.ru_maxrss / 1024 if rusage else 0.0,
            "in": found.in_bytes,
            "out": found.out_bytes,
            "user_text": found.user_text,
            "user_times": found.user_times,
            "times": self.times,
            "stdout": stdout,
            "stderr": stderr,
            "cut": [out_cut, err_cut],
            "log": [out.path, out_start, out_end, err.path, err_start, err_end],
            "image": self.recipe.image_digest,
        }
        if found.chunks:
            result["chunks"] = len(found.chunks)
        else:
            result["messages"] = found.messages
        return result
