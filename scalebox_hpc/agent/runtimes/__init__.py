"""The container runtimes that the agent knows, and those that a node has.

Asking each for its version is all that is started here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from scalebox_hpc.agent.runtimes import apptainer, charliecloud
from scalebox_hpc.agent.runtimes.base import Bind, Execution, Runtime, which

__all__ = ["Bind", "Execution", "Runtime", "Unavailable", "choose", "find"]

VERSION_S = 20.0


class Kind(NamedTuple):
    """A runtime that we know."""

    name: str
    program: str
    recognise: Callable[[str, str, str], Runtime]  # name, path, what it said to --version


KINDS = (  # in the order of preference
    Kind("apptainer", "apptainer", apptainer.recognise),
    Kind("singularity", "singularity", apptainer.recognise),
    Kind("charliecloud", "ch-run", charliecloud.recognise),
)


class Unavailable(Exception):
    """No runtime here can run an image; the text says why and what to do."""


def find(environ: Mapping[str, str]) -> tuple[Runtime, ...]:
    """Return the runtimes in PATH, the preferred one first."""
    found = [(kind, which(kind.program, environ.get("PATH", ""))) for kind in KINDS]
    present = [(kind, path) for kind, path in found if path]
    said = _versions([path for _, path in present], environ) if present else []
    return tuple(kind.recognise(kind.name, path, text) for (kind, path), text in zip(present, said))


def choose(
    present: Sequence[Runtime], wanted: str, image: str, binds: tuple[Bind, ...], host: str
) -> Runtime:
    """Return the runtime for an image: the wanted one, else the first that takes it. Raises Unavailable."""
    names = [kind.name for kind in KINDS]
    if wanted and wanted not in names:
        raise Unavailable(f"container.runtime {wanted} is unknown here; write one of {', '.join(names)}")
    able = [runtime for runtime in present if not wanted or runtime.name == wanted]
    if not able:
        programs = wanted or "neither apptainer nor singularity"
        raise Unavailable(
            f"{programs} is {'not ' if wanted else ''}in PATH on {host};"
            " load its module in the site's `prologue`"
        )
    reasons = [runtime.refuses(image, binds) for runtime in able]
    for runtime, reason in zip(able, reasons):
        if not reason:
            return runtime
    raise Unavailable(f"on {host}: {reasons[0]}")


def _versions(paths: list[str], environ: Mapping[str, str]) -> list[str]:
    """Ask all at once, because each takes its time; what does not answer has said nothing."""
    from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired

    def ask(path: str) -> Popen[bytes] | None:
        try:
            return Popen([path, "--version"], stdin=DEVNULL, stdout=PIPE, stderr=PIPE, env=dict(environ))
        except OSError:
            return None

    def answer(process: Popen[bytes] | None) -> str:
        if process is None:
            return ""
        try:
            out, err = process.communicate(timeout=VERSION_S)
        except TimeoutExpired:
            process.kill()
            process.communicate()
            return ""
        return (out or err).decode("utf-8", "replace").strip()

    return [answer(process) for process in [ask(path) for path in paths]]
