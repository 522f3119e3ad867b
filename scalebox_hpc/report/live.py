"""Follow a run on a terminal: the overview, drawn again in place.

The only module that imports rich; what is shown comes from `views`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from scalebox_hpc.client import RunStatus
from scalebox_hpc.report.failures import Examples
from scalebox_hpc.report.text import Line, harmless
from scalebox_hpc.report.views import overview

STYLES = {"title": "bold", "good": "bold green", "bad": "red", "dim": "dim"}


class LiveView:
    """Draws the run while it is entered, and leaves the terminal as it was."""

    patience_s = 1.0  # the age of the run ticks

    def __init__(
        self, examples: Examples, now_us: Callable[[], int], footer: str = "", console: Console | None = None
    ) -> None:
        self._examples, self._now_us, self._footer = examples, now_us, footer
        self._console = console or Console()
        self._live = Live(console=self._console, auto_refresh=False, transient=True)

    def __enter__(self) -> LiveView:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, status: RunStatus) -> None:
        width, height = self._console.size
        lines = overview(
            status,
            width=width - 1,
            height=height - 3,
            now_us=self._now_us(),
            examples=self._examples,
        )
        lines = lines[: max(1, height - 3)]
        lines += [Line(f"results: {status['results']}", "dim"), Line(self._footer, "dim")]
        self._live.update(styled(lines), refresh=True)


def styled(lines: Sequence[Line]) -> Text:
    """Lines with the colours of their kinds."""
    text = Text(no_wrap=True, overflow="ellipsis", end="")
    for index, line in enumerate(lines):
        text.append("\n" if index else "")
        text.append(harmless(line.text), STYLES.get(line.style))
    return text
