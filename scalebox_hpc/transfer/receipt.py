"""What an attempt that removes its source found to be done before it did; kept until the run has succeeded.

An attempt may end when it has begun to remove, and before anybody heard of it. The next one finds less than
there was, or nothing; what is missing and in the receipt is no failure.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scalebox_hpc.disk import problem_with, write_whole
from scalebox_hpc.transfer.place import Place
from scalebox_hpc.transfer.task import Task


class Receipt:
    """That of one task for one transfer: with another source or target it is not read."""

    def __init__(self, task: Task, source: Place, target: Place) -> None:
        self.path = Path(task.text("SBX_SHARED") or task.work, "receipts", task.text("SBX_TASK") or "task")
        self._of = [str(source), str(target)]

    def read(self) -> Any:
        """What an earlier attempt has written; None where none has. Raises EnvironmentProblem."""
        try:
            receipt = json.loads(self.path.read_text())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise problem_with(
                self.path, error, "read", "transfers that remove their source need it"
            ) from error
        return receipt["done"] if receipt["of"] == self._of else None

    def write(self, done: Any) -> None:
        """Keep what can be written as JSON, in place of what was there. Raises EnvironmentProblem."""
        try:
            self.path.parent.mkdir(exist_ok=True)
            write_whole(self.path, json.dumps({"of": self._of, "done": done}), 0o600)
        except OSError as error:
            raise problem_with(self.path, error, "write", "nothing was removed at the source") from error
