"""Runs Slurm's commands, hermetically: on this machine, or on the login node of a remote site.

It knows nothing of what the commands mean.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from scalebox_hpc.batch.surroundings import STRIPPED, for_slurm
from scalebox_hpc.errors import EnvironmentProblem, SiteTimeout
from scalebox_hpc.sites.base import Transport

HERE: Final = "is Slurm installed here? To run on this machine alone use `--site local`"
NOT_FOUND: Final = 127  # as shells say it

HERMETIC: Final = f"""
for name in $(env | sed 's/=.*//' | grep -E '^({"|".join(STRIPPED)})[A-Za-z0-9_]*$'); do
    [ "$name" = SLURM_CONF ] || unset "$name"
done
[ -z "$LC_ALL" ] || export LANG="$LC_ALL"
export LC_ALL=C TZ=UTC SLURM_BITSTR_LEN=0
exec "$@"
"""
"""What `for_slurm` does to an environment, as shell text for one that we cannot see."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended."""

    status: int  # its exit code, or -N where signal N ended it
    stdout: str
    stderr: str


class Runner(Protocol):
    """Where Slurm's commands are."""

    @property
    def uid(self) -> int:
        """The user's number there."""

    def __call__(self, words: Sequence[str], timeout_s: float, text: str = "") -> Ran:
        """Run a command with this text on its stdin.

        Raises SiteTimeout where it does not end in time, EnvironmentProblem where it cannot be run, and
        what a Transport raises: then it may have been done, or not.
        """


class LocalRunner:
    """Commands of this machine, out of reach of a Ctrl-C meant for us."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = for_slurm(environ)
        self.uid = os.getuid()

    def __call__(self, words: Sequence[str], timeout_s: float, text: str = "") -> Ran:
        """See Runner."""
        try:
            done = subprocess.run(
                words,
                input=text,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                env=self._environ,
                timeout=timeout_s,
                check=False,
                start_new_session=True,
            )
        except subprocess.TimeoutExpired as error:
            raise SiteTimeout(f"no answer from {words[0]} in {timeout_s:g} s") from error
        except OSError as error:
            raise EnvironmentProblem(f"{words[0]} cannot be run: {error.strerror}", HERE) from error
        return Ran(done.returncode, done.stdout, done.stderr)


class RemoteRunner:
    """Commands of the login node at the other end of a transport."""

    def __init__(self, site: str, transport: Transport, uid: int) -> None:
        self._site, self._transport = site, transport
        self.uid = uid

    def __call__(self, words: Sequence[str], timeout_s: float, text: str = "") -> Ran:
        """See Runner."""
        whole = ["sh", "-c", HERMETIC, "sbx", *words]
        done = self._transport.run(whole, stdin=text.encode(), timeout_s=timeout_s)
        if done.exit_code == NOT_FOUND:
            raise EnvironmentProblem(
                f"{words[0]} was not found on the login node of site {self._site}",
                "a command over ssh must find it: add Slurm's directory to PATH in ~/.bashrc there",
            )
        status = done.exit_code if done.exit_code <= 128 else 128 - done.exit_code
        return Ran(status, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))
