"""The bare host as a place for tasks: a runner beside the agent starts them, so that both work at once.

It is started with the first task and again when it dies. What a task is, and what its end means, is
decided elsewhere.
"""

from __future__ import annotations

import signal

from scalebox_hpc.agent.child import Process
from scalebox_hpc.agent.guests import LOST, Order, Setting, standing_mark
from scalebox_hpc.agent.joined import Joined
from scalebox_hpc.agent.mounts import View

LOST_TEXT = "what starts tasks on this node was killed; the next task gets a new one"


class BareHost:
    """This node, without a container."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._hands: Joined | None = None
        self._runner: Process | None = None
        self._life = 0  # counts runners

    def start(self, order: Order, base: dict[bytes, bytes]) -> None:
        """Start a task; `base` is what all tasks of its module have in common. Raises OSError, ValueError."""
        hands = self._hands or self._open()
        hands.tell(order.module, base)
        hands.start(order)

    def close(self) -> None:
        """Let the runner end, of its own accord."""
        if self._hands is not None:
            self._hands.close()

    @property
    def is_gone(self) -> bool:
        """Whether no runner runs."""
        return self._runner is None

    def _open(self) -> Joined:
        self._life += 1
        hands = Joined(self._setting, View((), (), ()), lambda *_: None, self._lost)
        try:
            self._runner = hands.begin(0, standing_mark(0, self._life), self._ended)
        except (OSError, ValueError):
            hands.close()
            raise
        self._hands = hands
        return hands

    def _lost(self, why: str) -> None:
        """See to it that its end is told, with which all that it has started is lost."""
        if self._hands is not None:
            self._hands.close()
        if self._runner is not None:
            self._setting.children.kill(self._runner)

    def _ended(self, process: Process) -> None:
        hands, self._hands, self._runner = self._hands, None, None
        if hands is None:
            return
        hands.close()
        for order in list(hands.orders.values()):
            order.process.why = order.process.why or LOST
            self._setting.children.guest_ended(order.process, signal.SIGKILL, None)
