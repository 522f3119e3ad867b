"""A relay that does not answer is tried again, after what it needs there was made sure of."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from pathlib import Path

import pytest

from scalebox_hpc.errors import EnvironmentProblem
from scalebox_hpc.sites import relay
from scalebox_hpc.sites.base import Stream
from scalebox_hpc.sites.relay import LinkDown, LinkUp, RelayLink, RelayPlace
from scalebox_hpc.testing.transport import FakeTransport

WAIT_S = 15.0


class NoRelay(FakeTransport):
    """A site with a Python that finds no relay's program."""

    def __init__(self, home: Path, steps: queue.SimpleQueue[str]) -> None:
        super().__init__(home)
        self._steps = steps

    def open(self, words: Sequence[str]) -> Stream:
        self._steps.put("attach")
        return super().open(["true"])


def test_what_a_relay_needs_is_made_sure_of_where_none_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "BACKOFF_S", 0.001)
    steps: queue.SimpleQueue[str] = queue.SimpleQueue()
    news: queue.SimpleQueue[LinkUp | LinkDown] = queue.SimpleQueue()
    problems = [EnvironmentProblem("the place is not fit", "another")]

    def mend() -> None:
        steps.put("mend")
        if problems:
            raise problems.pop()

    place = RelayPlace("python3", "relay.pyz", "/shared", "h", "f")
    link = RelayLink(NoRelay(tmp_path, steps), place, lambda: pytest.fail("no agent came"), news.put, mend)
    try:
        assert [steps.get(timeout=WAIT_S) for _ in range(4)] == ["attach", "mend", "mend", "attach"]
        assert isinstance(news.get(timeout=WAIT_S), LinkDown)
        assert news.get(timeout=WAIT_S) == LinkDown("the place is not fit")
    finally:
        link.end(stop=False)
