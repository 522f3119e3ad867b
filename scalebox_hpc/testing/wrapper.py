"""What outlives an agent in its element: says, or leaves in a file, that the agent has ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scalebox_hpc.domain.allocation import Ending
from scalebox_hpc.testing.agent import Json, SimulatedAgent

if TYPE_CHECKING:
    from scalebox_hpc.testing.world import World

LAST_WORD_S = 10.0  # for which a wrapper tries to say that its agent ended
ANSWER_S = 2.0
AGAIN_S = 1.0


@dataclass(slots=True)
class Wrapper:
    """The script of one element, from the end of its agent. It dies when its element is put back."""

    world: World
    agent: SimulatedAgent
    _until_s: float = 0.0
    _is_done: bool = False

    def begin(self) -> None:
        """Say it, again and again, then leave it in a file."""
        self._until_s = self.world.clock.mono_s + LAST_WORD_S
        self._say()

    def _say(self) -> None:
        world, agent = self.world, self.agent
        if self._is_done or not world.is_current(agent):
            return
        said: Json = {
            "try": agent.try_name,
            "element": agent.element,
            "incarnation": agent.incarnation,
            "restart": agent.restart,
            "status": 137 if agent.killed else 0,
        }
        if world.clock.mono_s < self._until_s:
            world.ask("agent.ended", said, self._answered, ANSWER_S)
            return
        if not world.shared_is_full:
            world.ended_files[f"ended/{agent.incarnation}.json"] = said
        world.end_element(agent, Ending.DONE)

    def _answered(self, status: int, _: Json) -> None:
        if status != 200:
            self.world.clock.after(AGAIN_S, self._say)
        elif not self._is_done:
            self._is_done = True
            self.world.end_element(self.agent, Ending.DONE)
