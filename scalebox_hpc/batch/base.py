"""What the daemon needs of a batch system, and nothing more."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from scalebox_hpc.domain.allocation import AllocationRequest, CancelTarget, Listing


class BatchSystem(Protocol):
    """Somewhere allocations come from.

    A try is known by the name that we gave it, which ends in `.<home>.<epoch>.<n>.<try>`, never
    by a job id alone. So a submission whose answer was lost needs no special care: `observe`, or
    a hello, shows whether it arrived. A back end is made for one home, by its id, and lists all
    that carries this id, expected or not.

    Each method may take seconds and is called by one thread at a time. Each may be called again
    after any error whose `retry` allows it.
    """

    @property
    def array_limit(self) -> int | None:
        """The most elements of one submission; None: it has no such limit, or does not tell now."""

    def submit(self, request: AllocationRequest) -> str:
        """Ask for one try of an allocation. Returns its job id, "" where there is none.

        Raises SubmitRefused (no, and no again), SubmitLimited (not so many, or not now),
        SubmitUnconfirmed (perhaps; look before asking again, and then under another name),
        BatchProblem (surely not taken; ask again later) and EnvironmentProblem (there is no
        batch system here).
        """

    def observe(self, expected: Collection[str]) -> Listing:
        """Look once at everything of this home, in one query however many tries there are.

        `expected` are the tries that the ledger holds for not ended; a back end may ask elsewhere
        about one of them that the first look did not show, and may forget an ended one that is
        no longer expected. A look that failed is a Listing with `complete` False, no error. What
        is missing from a Listing has not been seen: that is not news of its end.
        """

    def cancel(self, targets: Collection[CancelTarget]) -> None:
        """Give back tries, or elements of them, started or not.

        What ended already, or is not known, is passed over. Elements of a try whose job id is
        not known are left alone until it is. Returns before the elements have ended. Raises
        BatchProblem where the batch system does not answer.
        """

    def verify(self, request: AllocationRequest) -> None:
        """Ask whether such a request would be taken, without making it. Raises as `submit` does."""


def belongs(name: str, home: str) -> bool:
    """Say whether a name is one that this home gave to a try."""
    return f".{home}." in name
