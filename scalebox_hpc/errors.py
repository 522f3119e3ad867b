"""Every error we raise, as one tree.

SbxError                      exit  retry
├── UsageError                  2   never        the request is wrong; nothing was tried
│   ├── PipelineErrors          2   never        one or many problems in files that people write
│   ├── NotFound                2   never        no such run, task or module
│   └── ImageProblem            2   never        an image cannot be used
│       ├── ImageMissing        2   never        there is none of that name
│       ├── ImageUnreadable     2   never        we may not read it
│       ├── ImageCorrupt        2   never        it is damaged, cut off, or no image at all
│       ├── WrongArchitecture   2   never        it is for another kind of processor
│       └── BuildFailed         2   never        the runtime could not make it
├── ConflictError               3   never        the world is not as the request supposes
│   ├── DaemonAbsent            3   safe         nobody answers for this home
│   ├── HomeHeld                3   safe         another daemon has this home
│   ├── IllegalTransition       3   never        the event cannot happen in this state
│   └── DigestChanged           3   never        modules changed since the run began
├── EnvironmentProblem          4   safe         Slurm, the site or the ledger cannot be reached
│   ├── LedgerProblem           4   never        the ledger cannot be read, or is newer than we are
│   ├── LedgerAway              4   safe         the server of the ledger cannot be reached for now
│   ├── BatchProblem            4   safe         the batch system did not do what we asked
│   │   ├── SubmitRefused       4   never        it said no, and would say no again
│   │   ├── SubmitLimited       4   safe         it takes no more of ours now: fewer, or later
│   │   └── SubmitUnconfirmed   4   after look   we do not know whether it said yes
│   ├── SiteUnreachable         4   safe         the login node of a site cannot be reached now
│   │   ├── SiteTimeout         4   after look   a command there did not end in time
│   │   ├── LoginNeeded         4   safe         a person has to log in there first
│   │   ├── LoginRefused        4   never        it does not take the user's keys
│   │   ├── HostKeyUnknown      4   never        the user has never accepted its host key
│   │   └── HostKeyChanged      4   never        its host key is another than the one accepted
│   ├── StorageFull             4   safe         a disk has no room
│   ├── RuntimeAbsent           4   safe         nothing here pulls or builds images
│   ├── RegistryUnreachable     4   safe         a registry does not answer
│   └── ImagesPending           4   safe         images are being fetched: ask again
└── BadMessage                  2   never        a request on the wire that is not of our protocol

An error names the fact, carries the values that show it, and says what to do next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar


class Retry(StrEnum):
    """Whether the same call may be made again."""

    NEVER = "never"
    SAFE = "safe"
    AFTER_LOOK = "after look"  # only once we have looked at what the first call did


class SbxError(Exception):
    """Something we foresaw went wrong; anything else is a bug and keeps its traceback."""

    exit_code: ClassVar[int] = 1
    retry: ClassVar[Retry] = Retry.NEVER

    def __init__(self, fact: str, hint: str = "") -> None:
        super().__init__(fact)
        self.fact, self.hint = fact, hint


class UsageError(SbxError):
    """The request is wrong; nothing was tried."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a file: where, what, and what to do about it."""

    file: str
    key: str  # a dotted path such as `modules.count.run`; empty for the file as a whole
    line: int | None  # 1-based, where it is known
    problem: str
    remedy: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        head = f"{place}: {self.key}: {self.problem}" if self.key else f"{place}: {self.problem}"
        return f"{head}\n    {self.remedy}" if self.remedy else head


class PipelineErrors(UsageError):
    """All problems found in the files of a pipeline or a site, at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class NotFound(UsageError):
    """There is no such run, task or module."""


class ImageProblem(UsageError):
    """An image cannot be used as it is."""


class ImageMissing(ImageProblem):
    """There is no image of that name."""


class ImageUnreadable(ImageProblem):
    """The image is there and we may not read it."""


class ImageCorrupt(ImageProblem):
    """The image is damaged, cut off, or no image at all."""


class WrongArchitecture(ImageProblem):
    """The image is for another kind of processor."""


class BuildFailed(ImageProblem):
    """The container runtime could not make the image."""


class ConflictError(SbxError):
    """The world is not as the request supposes."""

    exit_code = 3


class DaemonAbsent(ConflictError):
    """Nobody answers for this home."""

    retry = Retry.SAFE


class HomeHeld(ConflictError):
    """Another daemon has this home, or may have it."""

    retry = Retry.SAFE


class IllegalTransition(ConflictError):
    """The event cannot happen to a thing in this state."""

    def __init__(self, thing: str, state: str, event: str) -> None:
        super().__init__(f"{thing} is {state}: {event} cannot happen to it")
        self.thing, self.state, self.event = thing, state, event


class DigestChanged(ConflictError):
    """Modules of the pipeline changed since the run began."""

    def __init__(self, changes: Sequence[str]) -> None:
        super().__init__(
            "modules changed since the run began:\n    " + "\n    ".join(changes),
            "go on with the old ones by `sbx resume --keep MODULE` for each, or start a new run",
        )
        self.changes = tuple(changes)


class EnvironmentProblem(SbxError):
    """Slurm, the site or the ledger cannot be reached."""

    exit_code = 4
    retry = Retry.SAFE


class LedgerProblem(EnvironmentProblem):
    """The ledger cannot be read, or is newer than this program."""

    retry = Retry.NEVER


class LedgerAway(EnvironmentProblem):
    """The server of the ledger cannot be reached for now; whether the last commit arrived is not known."""


class BatchProblem(EnvironmentProblem):
    """The batch system did not do what we asked; asking again is harmless."""


class SubmitRefused(BatchProblem):
    """The batch system said no, and would say no again."""

    retry = Retry.NEVER


class SubmitLimited(BatchProblem):
    """The batch system takes no more elements of ours for now; fewer may be taken, or the same later."""


class SubmitUnconfirmed(BatchProblem):
    """The batch system may or may not have taken the request."""

    retry = Retry.AFTER_LOOK


class SiteUnreachable(EnvironmentProblem):
    """The login node of a site cannot be reached now."""


class SiteTimeout(SiteUnreachable):
    """A command at a site did not end in time; it may still be running."""

    retry = Retry.AFTER_LOOK


class LoginNeeded(SiteUnreachable):
    """A person has to log in at a site first; the hint is the command to type."""


class LoginRefused(SiteUnreachable):
    """A site does not take the user's keys."""

    retry = Retry.NEVER


class HostKeyUnknown(SiteUnreachable):
    """The user has never accepted this host key; the hint says how to."""

    retry = Retry.NEVER


class HostKeyChanged(SiteUnreachable):
    """The host key is another than the one that the user accepted."""

    retry = Retry.NEVER


class StorageFull(EnvironmentProblem):
    """A disk has no room."""


class RuntimeAbsent(EnvironmentProblem):
    """Nothing on this machine pulls or builds images."""


class RegistryUnreachable(EnvironmentProblem):
    """A registry does not answer, or the way to it is closed."""


class ImagesPending(EnvironmentProblem):
    """Images of a pipeline are being fetched; the same request is to be made again."""

    def __init__(self, images: Sequence[str]) -> None:
        super().__init__(f"being fetched: {', '.join(images)}", "ask again")
        self.images = tuple(images)


class BadMessage(SbxError):
    """A request on the wire that is not of our protocol."""

    exit_code = 2
