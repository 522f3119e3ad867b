"""A fake site on this machine, behind a link that tests can cut and mend."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from scalebox_hpc.errors import SiteUnreachable
from scalebox_hpc.sites.base import Finished, Stream
from scalebox_hpc.sites.local import LocalTransport

Answer = Callable[[Sequence[str], bytes], Finished | None]


class FakeTransport:
    """Commands run here, in `home`, unless `answer` has an answer for them. See Transport.

    `asked` holds the words of every `run` and `open`. After `cut` running commands are lost and all
    calls raise its error, until `mend`.
    """

    def __init__(self, home: Path, *, site: str = "b", answer: Answer = lambda words, stdin: None) -> None:
        self.asked: list[tuple[str, ...]] = []
        self._site, self._answer = site, answer
        self._inner = LocalTransport(site, home)
        self._trouble: SiteUnreachable | None = None
        self._cuts = 0
        self._news = threading.Condition()

    def cut(self, error: SiteUnreachable | None = None) -> None:
        """Lose the link and what runs over it. Whatever `run` is under way raises at once."""
        with self._news:
            self._trouble = error or SiteUnreachable(f"{self._site}: the link was cut")
            self._cuts += 1
            self._news.notify_all()
        self._inner.close()

    def mend(self) -> None:
        """Let the link be opened again."""
        with self._news:
            self._trouble = None

    def run(self, words: Sequence[str], *, stdin: bytes = b"", timeout_s: float) -> Finished:
        """See Transport."""
        cuts = self._ask(words)
        done: list[Finished | SiteUnreachable] = []

        def work() -> None:
            try:
                found = self._answer(words, stdin) or self._inner.run(words, stdin=stdin, timeout_s=timeout_s)
                done.append(found)
            except SiteUnreachable as error:
                done.append(error)
            with self._news:
                self._news.notify_all()

        threading.Thread(target=work, daemon=True).start()
        with self._news:
            self._news.wait_for(lambda: done or self._cuts != cuts)
            if self._cuts != cuts:
                raise SiteUnreachable(f"{self._site}: the link was lost during `{words[0]}`")
        if isinstance(done[0], SiteUnreachable):
            raise done[0]
        return done[0]

    def open(self, words: Sequence[str]) -> Stream:
        """See Transport."""
        self._ask(words)
        return self._inner.open(words)

    def close(self) -> None:
        """See Transport."""
        self._inner.close()

    def _ask(self, words: Sequence[str]) -> int:
        with self._news:
            if self._trouble is not None:
                raise type(self._trouble)(self._trouble.fact, self._trouble.hint)
            self.asked.append(tuple(words))
            return self._cuts
