"""Judges the way to a site and its login node. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from scalebox_hpc.doctor import judge
from scalebox_hpc.doctor.facts import Door, Interpreter, Movers, Place
from scalebox_hpc.doctor.finding import Finding, Verdict, fail, ok, skip, warn
from scalebox_hpc.domain.site import Site, Ssh
from scalebox_hpc.errors import (
    EnvironmentProblem,
    HostKeyChanged,
    HostKeyUnknown,
    LoginNeeded,
    LoginRefused,
    SiteUnreachable,
)

PYTHON: Final = (3, 9)

IDENTITY: Final = (HostKeyUnknown, HostKeyChanged, LoginNeeded, LoginRefused)
"""Who is who, between hosts that reach each other."""

Asks = Mapping[str, Callable[[], list[Finding]]]
"""The checks in their order: what each is called, and what asks and judges."""


def in_order(asks: Asks) -> Iterator[Finding]:
    """Ask one after the other; after the first that fails the others are told as not asked."""
    failed = ""
    for name, ask in asks.items():
        if failed:
            yield skip(name, failed)
            continue
        try:
            found = ask()
        except EnvironmentProblem as error:  # a link that is lost by now, among others
            found = [judge.problem(name, error)]
        yield from found
        failed = next((each.check for each in found if each.verdict is Verdict.FAIL), "")


def host(seen: Door | None, error: SiteUnreachable | None) -> Finding:
    """Whether the site answers; None for this machine. `error`: what came of a login after that."""
    if seen is None:
        return ok("host", "this machine is its login node")
    first = f"{seen.host}, port {seen.port}"
    if seen.problem:
        remedy = (
            "see `host`, `port` and `jump` in [ssh] of the site file, and whether your network lets you out"
        )
        return fail("host", f"{first}: {seen.problem}", remedy)
    if error is not None and not isinstance(error, IDENTITY):
        return judge.problem("host", error)
    if seen.took_s is None:
        return ok("host", f"{seen.host} through the ProxyCommand of your ssh configuration")
    on = f"; from there to {', '.join(seen.further)}" if seen.further else ""
    return ok("host", f"{first} answers in {max(1, round(seen.took_s * 1000))} ms{on}")


def host_key(ssh: Ssh | None, error: SiteUnreachable | None) -> Finding:
    """Whether the host is one that the user trusts."""
    if ssh is None:
        return ok("host key", "not needed: the site is this machine")
    if isinstance(error, (HostKeyUnknown, HostKeyChanged)):
        return judge.problem("host key", error)
    if isinstance(error, LoginNeeded):
        return ok("host key", "`sbx site login` looks at it")
    return ok("host key", "the one that you accepted")


def log_in(ssh: Ssh | None, error: SiteUnreachable | None, took_s: float) -> Finding:
    """Whether commands can be run there without asking a person anything."""
    if error is not None:
        return judge.problem("log in", error)
    if ssh is None:
        return ok("log in", "not needed: the site is this machine")
    by = "the master of `sbx site login`" if ssh.master else "your keys"
    return ok("log in", f"by {by}; a command takes {max(1, round(took_s * 1000))} ms")


def python(seen: Interpreter) -> Finding:
    """The Python of the login node."""
    wanted = ".".join(map(str, PYTHON))
    remedy = f"name one of {wanted} or newer on the login node: `python` in [ssh] of the site file"
    if seen.version is None:
        return fail(
            "login python", f"`{seen.words}` is no Python there: {seen.said or 'it said nothing'}", remedy
        )
    shown = ".".join(map(str, seen.version))
    if seen.version < PYTHON:
        return fail("login python", f"`{seen.words}` there is Python {shown}, which is too old", remedy)
    return ok("login python", f"Python {shown}")


def shared(place: Place, seen_again: bool, site: Site) -> Finding:
    """The shared folder, looked at by two commands; `seen_again`: what the first left, by the second."""
    found = judge.shared(place, site.batch)
    if found.verdict is Verdict.FAIL:
        return found
    if not seen_again:
        return fail(
            "shared",
            f"{place.path}: a file that one command left there is gone for the next",
            "set `paths.shared` in the site file to a directory that every session and every login node sees",
        )
    if not place.replaces:
        fact = f"{place.path}: {place.file_system} has no rename over a file that is there"
        return fail("shared", fact, "set `paths.shared` in the site file to another file system")
    if not place.links:
        fact = f"{found.fact}; it has no hard links, by which images are kept"
        return warn("shared", fact, "set `paths.images` in the site file to another file system")
    return (
        found
        if place.locks
        else replace(found, fact=f"{found.fact}; without locks, which nothing there needs")
    )


def scratch(path: str, place: Place | None) -> Finding:
    """Where tasks work; None where that is on compute nodes, which the probe asks."""
    found = judge.scratch(path, place)
    return (
        found
        if place is not None
        else replace(found, fact=f"{path} on each compute node; the probe looks at it")
    )


def transfers(seen: Movers) -> Finding:
    """Whether data can be moved; runs that move none need nothing of it, so it only warns."""
    by_hand = f"this must end without a question, and print nothing: {seen.command}"
    if seen.problem:
        fact = f"no data can be moved by the system's `ssh`: {seen.problem}"
        return warn("transfers", fact, seen.todo or by_hand)
    if seen.noise:
        fact = f"its shell prints before a command, which rsync does not understand: {seen.noise[:80]!r}"
        return warn("transfers", fact, f"let its start files print in interactive shells only; {by_hand}")
    lacking = [
        where
        for where, version in (("this machine", seen.rsync_here), ("its login node", seen.rsync_there))
        if not version
    ]
    if lacking:
        fact = f"no rsync 3.1 or newer on {' and '.join(dict.fromkeys(lacking))}: no data can be moved"
        return warn("transfers", fact, "install rsync, or have it in PATH of a command that comes over ssh")
    rsync = f"rsync {seen.rsync_here} here"
    if seen.command:
        rsync += f", {seen.rsync_there} there; `ssh` asks nothing"
    return ok("transfers", f"{rsync}; verified by {seen.checksum}")
