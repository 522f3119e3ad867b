"""`python -m scalebox_hpc.transfer VERB`: the program of transfer modules; `causes` has its exit codes."""

from __future__ import annotations

import sys
from importlib import import_module

from scalebox_hpc.errors import SbxError, UsageError
from scalebox_hpc.transfer.causes import Cause, TransferFailed
from scalebox_hpc.transfer.task import task_here
from scalebox_hpc.transfer.verbs import VERBS


def main(words: list[str]) -> int:
    """Do what the words say for the task of this process; return the exit code."""
    try:
        if not words or words[0] not in VERBS:
            raise UsageError(f"{' '.join(words)!r} is no transfer", f"one of {', '.join(VERBS)}")
        import_module(VERBS[words[0]]).run(task_here(words[1:]))
    except SbxError as error:
        print(f"{error.fact}; {error.hint}" if error.hint else error.fact, file=sys.stderr)
        if isinstance(error, TransferFailed):
            return error.cause
        return Cause.USAGE if isinstance(error, UsageError) else Cause.OTHER
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
