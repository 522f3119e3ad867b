"""What agents ask: the conversation itself is in `talking`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalebox_hpc.daemon import members as members_of_a_gather
from scalebox_hpc.daemon import talking
from scalebox_hpc.daemon.events import Call

if TYPE_CHECKING:
    from scalebox_hpc.daemon.core import Core


def hello(core: Core, call: Call) -> None:
    talking.hello(core.desk, call, core.settings.token_of)
    core.timers.decide_s = 0.0


def sync(core: Core, call: Call) -> None:
    talking.sync(core.desk, call)


def chunk(core: Core, call: Call) -> None:
    talking.chunk(core.desk, call)


def sheet(core: Core, call: Call) -> None:
    talking.sheet(core.desk, call)


def members(core: Core, call: Call) -> None:
    members_of_a_gather.page(core.desk, call)


def ended(core: Core, call: Call) -> None:
    talking.ended(core.desk, call)
    core.timers.decide_s = 0.0
