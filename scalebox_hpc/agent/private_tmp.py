"""A directory that stands at /tmp for the tasks of one slot, emptied between them."""

from __future__ import annotations

import os

from scalebox_hpc.agent.mounts import View
from scalebox_hpc.agent.workdir import WorkDirs

MODE = 0o1777


class PrivateTmp:
    """One such directory."""

    def __init__(self, path: str, view: View) -> None:
        """Make it. Raises OSError."""
        self.path = path
        self._names = view.prepare(path)  # what belongs in it: the places of mounts
        self._changed_ns = 0
        self._settle()
        self._itself = os.lstat(path)

    def _settle(self) -> None:
        """Date it so far back that any entry made or removed shows."""
        os.utime(self.path, ns=(0, 0))
        self._changed_ns = os.stat(self.path).st_ctime_ns

    def is_clean(self, work: WorkDirs) -> bool:
        """Empty it; tells whether that was possible. Costs one stat when nothing was made in it."""
        found = os.lstat(self.path)
        if not os.path.samestat(found, self._itself):
            return False  # a task has put something else in its place
        if found.st_mtime_ns == 0 and found.st_ctime_ns == self._changed_ns:
            return True
        os.chmod(self.path, MODE)
        if not work.empty(self.path, self._names):
            return False
        self._settle()
        return True
