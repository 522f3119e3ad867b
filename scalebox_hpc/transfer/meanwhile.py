"""A call made while another goes on. A pool of threads takes longer to import than a small transfer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Meanwhile(threading.Thread, Generic[T]):
    """One call on a thread of its own; what it returns, or raises, comes later."""

    def __init__(self, do: Callable[[], T]) -> None:
        super().__init__(daemon=True)
        self._do = do
        self._found: list[T] = []
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        """See Thread."""
        try:
            self._found.append(self._do())
        except BaseException as error:  # noqa: BLE001 (it is raised where it is waited for)
            self._error = error

    def result(self) -> T:
        """Wait for it."""
        self.join()
        if self._error is not None:
            raise self._error
        return self._found[0]
