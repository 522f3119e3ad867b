"""What an agent says is bounded, and a log that cannot be written ends nothing."""

from __future__ import annotations

import os
from pathlib import Path

from scalebox_hpc.agent.say import ENOUGH, Voice


def test_an_agent_in_an_endless_loop_does_not_fill_the_shared_folder(tmp_path: Path) -> None:
    with (tmp_path / "element-0.log").open("wb") as file:
        say = Voice(file.fileno(), most_bytes=1000)
        for number in range(10_000):
            say(f"the daemon cannot be reached, {number}")
    text = (tmp_path / "element-0.log").read_text()
    assert len(text) <= 1000 + len(ENOUGH)
    assert text.startswith("agent: the daemon cannot be reached, 0\n")
    assert text.endswith(ENOUGH)
    assert text.count(ENOUGH) == 1


def test_odd_text_is_said_all_the_same_and_a_full_disk_is_nothing(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        Voice(file.fileno())("\udcff/path")
    assert (tmp_path / "log").read_text() == "agent: \\udcff/path\n"
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        Voice(full)("anything")
    finally:
        os.close(full)
