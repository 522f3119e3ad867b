"""A link is opened once, however many threads need it."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from scalebox_hpc.errors import LoginRefused
from scalebox_hpc.sites.opening import Opening
from tests.cluster.box import wait_until


def waiting(opening: Opening) -> int:
    """How many threads stand before the door, or in it."""
    code = Opening.ensure.__code__
    frames = [frame for frame in sys._current_frames().values() if frame.f_code is code]
    return sum("seen" in frame.f_locals and frame.f_locals["self"] is opening for frame in frames)


def test_who_waited_while_it_failed_gets_the_same_error_unasked() -> None:
    opening, go, tries = Opening(), threading.Event(), []

    def refuse() -> None:
        tries.append(1)
        assert go.wait(30)
        raise LoginRefused("no", "ssh-add")

    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(opening.ensure, lambda: False, refuse) for _ in range(8)]
        wait_until(lambda: waiting(opening) == 7 and tries, 30)  # the eighth is in `refuse`
        go.set()
        assert [(type(error), str(error)) for each in asked if (error := each.exception(30))] == [
            (LoginRefused, "no")
        ] * 8
    assert len(tries) == 1
    with pytest.raises(LoginRefused):
        opening.ensure(lambda: False, refuse)
    assert len(tries) == 2


def test_an_open_link_is_not_opened_again() -> None:
    opened: list[int] = []
    opening = Opening()
    for _ in range(2):
        opening.ensure(lambda: bool(opened), lambda: opened.append(1))
    assert opened == [1]
