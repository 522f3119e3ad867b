"""A remote site for tests without ssh: commands run on this machine, in another home and environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from scalebox_hpc.errors import SiteUnreachable
from scalebox_hpc.sites.base import Finished, Stream
from scalebox_hpc.testing.transport import FakeTransport


class FakeSite:
    """A Transport to a pretended site, whose link can be cut and mended. See FakeTransport."""

    def __init__(self, name: str, home: Path, environ: Mapping[str, str] | None = None) -> None:
        self.home = home
        self.environ = {"HOME": str(home), **(environ or {})}  # beside that of the test
        self._transport = FakeTransport(home, site=name)

    def cut(self, problem: SiteUnreachable | None = None) -> None:
        """Let nothing through from now on; what goes over the link ends."""
        self._transport.cut(problem)

    def mend(self) -> None:
        """Let everything through again."""
        self._transport.mend()

    def run(self, words: Sequence[str], *, stdin: bytes = b"", timeout_s: float) -> Finished:
        """See Transport."""
        return self._transport.run([*self._env(), *words], stdin=stdin, timeout_s=timeout_s)

    def open(self, words: Sequence[str]) -> Stream:
        """See Transport."""
        return self._transport.open([*self._env(), *words])

    def close(self) -> None:
        """See Transport."""
        self._transport.close()

    def _env(self) -> list[str]:
        return ["env", *(f"{name}={value}" for name, value in self.environ.items())]
