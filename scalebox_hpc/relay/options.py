"""Reads the relay's command line. A program writes it, so it is strict and brief; no secret is in it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

USAGE = (
    "usage: relay.pyz attach|serve|stop --shared DIR --home HOME"
    " [--fingerprint HEX] [--ports FIRST-LAST] [--advertise NAME]... [--alone-s SECONDS]"
)
STOP = b'{"verb": "stop"}'  # what ends a relay of any version
ALONE_S = 24 * 3600.0


class RelayProblem(Exception):
    """The relay cannot do what it was asked; the text says why and what to do."""


class Options(NamedTuple):
    """What the command line says."""

    verb: str  # "attach" | "serve" | "stop"
    shared: str  # the shared folder, an absolute path
    home: str
    fingerprint: str = ""  # of the daemon's certificate
    ports: tuple[int, int] | None = None  # where to listen for agents, inclusive; None: anywhere
    advertise: tuple[str, ...] = ()
    alone_s: float = ALONE_S  # without an attach, until it leaves


def read_options(words: Sequence[str]) -> Options:
    """Read the words after the program's name. Raises RelayProblem."""
    if len(words) % 2 == 0 or words[0] not in ("attach", "serve", "stop"):
        raise RelayProblem(USAGE)
    given: dict[str, str] = {}
    advertise = []
    for name, text in zip(words[1::2], words[2::2]):
        if name == "--advertise":
            advertise.append(text)
        elif name in ("--shared", "--home", "--fingerprint", "--ports", "--alone-s"):
            given[name] = text
        else:
            raise RelayProblem(f"{name}: unknown; {USAGE}")
    if not os.path.isabs(given.get("--shared", "")) or not given.get("--home", "").isalnum():
        raise RelayProblem(f"--shared wants an absolute path and --home an id; {USAGE}")
    try:
        first, _, last = given.get("--ports", "").partition("-")
        ports = (int(first), int(last)) if "--ports" in given else None
        alone_s = float(given.get("--alone-s", ALONE_S))
    except ValueError:
        raise RelayProblem(f"not a number; {USAGE}") from None
    return Options(
        words[0],
        given["--shared"],
        given["--home"],
        given.get("--fingerprint", ""),
        ports,
        tuple(advertise),
        alone_s,
    )
