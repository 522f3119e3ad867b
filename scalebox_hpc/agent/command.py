"""Renders what runs: the words and the environment of each attempt of a module.

It starts nothing. What never changes is made once per module, what a task adds is cheap.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Mapping
from typing import Any, Union

from scalebox_hpc.agent.child import encoded
from scalebox_hpc.agent.container_sheet import read_wanted
from scalebox_hpc.agent.lease import Amounts, Held
from scalebox_hpc.agent.messages import Rules
from scalebox_hpc.agent.mounts import of_tasks
from scalebox_hpc.agent.node import Node
from scalebox_hpc.agent.ranks import Ranks
from scalebox_hpc.agent.runtimes.base import which
from scalebox_hpc.agent.staged import Stage
from scalebox_hpc.agent.walls import Walls, walls_of

Template = Union[str, list[Any]]
"""Constant text, or parts: text, or a placeholder such as ["body"] or ["headers", NAME]."""

PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR", "SLURM_JOB_ID")
SSH_AGENT = "SSH_AUTH_SOCK"
PASSED_TO_CONTAINERS = ("HOME", "USER", "LOGNAME", "TZ", "SLURM_JOB_ID")
OWN = ("pipeline", "results", "shared")
"""The directories of a module, as its sheet calls them, that its containers may write to."""
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
NO_BASH = "there is no bash here: run by sh -eu"
# Which shell an image has is known only inside it.
IMAGE_SHELL = (
    'if command -v bash >/dev/null 2>&1; then exec bash -euo pipefail -c "$@"; fi;'
    f" echo 'sbx: {NO_BASH}' >&2; exec sh -eu -c \"$@\""
)
BASH = ["bash", "-euo", "pipefail", "-c"]
SH = ["sh", "-eu", "-c"]
ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class CannotLaunch(Exception):
    """The program or its container cannot be started; the text says why and what to do."""


class MissingHeader(Exception):
    """`run` asks for a header that the message does not carry."""


class Recipe:
    """How attempts of one module run here."""

    def __init__(self, sheet: dict[str, Any], node: Node, bin_dir: str) -> None:
        self.sheet = sheet
        self.rules = Rules(sheet)
        self.links: list[tuple[str, str]] = [(name, path) for name, path in sheet.get("files", ())]
        self.note = ""  # to be said of every attempt
        self.output_limit: int = sheet.get("output_limit", 65536)
        self.results: str = sheet.get("results", "")
        self.stage = Stage(sheet) if sheet.get("stage") else None
        self._references = [_compiled(each) for each in self.stage.inputs] if self.stage else []
        self._node = node
        self.ranks: Ranks | None = None  # of kind "mpi": what runs on the host, and starts ranks in the image
        if sheet.get("kind") == "mpi":
            self.ranks = Ranks(sheet, node, bin_dir)
        image = read_wanted(sheet)
        self.wanted = image if self.ranks is None else None  # None: the bare host
        self.walls: Walls = ()  # beyond which nothing is done for its programs, ranks in an image included
        if image is not None:
            own = [*of_tasks(node.scratch_root), *(sheet.get(key) or "" for key in OWN)]
            self.walls = walls_of([*own, *(bind.source for bind in image.binds)])
        self.image_digest: str = (sheet.get("container") or {}).get("digest", "")
        self.bin_dir = bin_dir
        self._programs: dict[str, str] = {}
        self._search = _search_path(sheet, node, bin_dir)
        shell = list(sheet.get("shell") or BASH)
        self.wants_bash = sheet.get("words") is None and shell == BASH
        self._argv = [_compiled(word) for word in self._words(sheet, shell)]
        self._argv_inside = {
            has_bash: [_compiled(word) for word in _shell_words(sheet, BASH if has_bash else SH)]
            for has_bash in (True, False)
            if self.wants_bash
        }
        self.fixed = encoded(self._environment())
        self._needs: dict[Amounts, dict[bytes, bytes]] = {}
        self.marker_start = b"SBX_INCARNATION=" + node.incarnation.encode()

    def argv(
        self, held: Held, slot: int, work: str, gather_dir: str, has_bash: bool | None = None
    ) -> list[str]:
        """Return the words, the first as it was written; `has_bash` is of the image, None when not known.

        Raises MissingHeader.
        """
        words = self._argv
        if has_bash is not None and self.wants_bash:
            words = self._argv_inside[has_bash]
        return [word if isinstance(word, str) else self._fill(word, held, slot, gather_dir) for word in words]

    def enter(self, held: Held, work: str) -> None:
        """Make the links to what is staged for an attempt. Raises MissingHeader, StageProblem, OSError."""
        if self.stage is not None:
            parts = self._references
            texts = [each if isinstance(each, str) else self._fill(each, held, 0, "") for each in parts]
            self.stage.enter(work, texts, held.offer)

    def program(self, word: str) -> str:
        """Return the path to execute for a first word. Raises CannotLaunch when it cannot be."""
        if self.ranks is not None and self.ranks.problem:
            raise CannotLaunch(self.ranks.problem)
        if "/" in word:
            return word
        path = self._programs.get(word)
        if path is None or not os.path.exists(path):
            path = self._programs[word] = which(word, self._search)
        if not path:
            raise CannotLaunch(
                f"{word}: no such program in PATH on {self._node.host}; ship it in `bin/`, write ./{word}"
                " for a file beside pipeline.toml, or load its module in the site's `prologue`"
            )
        return path

    def own_env(
        self, held: Held, slot_env: Mapping[bytes, bytes], gather_dir: str, left_s: float
    ) -> dict[bytes, bytes]:
        """Return what an attempt has beside `fixed`. Raises UnicodeEncodeError for what is no text."""
        offer = held.offer
        env = {**slot_env, **(self._needs.get(held.need) or self._add_need(held.need))}
        headers = offer.get("headers")
        env[b"SBX_TASK"] = offer["task"].encode()
        env[b"SBX_ATTEMPT"] = b"%d" % offer["attempt"]
        env[b"SBX_BODY"] = offer["body"].encode()
        env[b"SBX_TIME_LEFT_S"] = b"%d" % left_s
        if headers:
            env[b"SBX_HEADERS"] = ENCODE(headers).encode()
            for name, value in headers.items():
                env[b"SBX_HEADER_" + _variable(name)] = value.encode()
        if "staged" in offer:
            env[b"SBX_STAGED"] = "\n".join(offer["staged"]).encode()
        if gather_dir:
            for name in ("members", "bodies", "missing"):
                env[b"SBX_" + name.upper().encode()] = os.fsencode(gather_path(gather_dir, name))
        return env

    def marker(self, env: Mapping[bytes, bytes]) -> frozenset[bytes]:
        """Return what together marks every process of an attempt."""
        task, attempt = env[b"SBX_TASK"], env[b"SBX_ATTEMPT"]
        return frozenset((self.marker_start, b"SBX_TASK=" + task, b"SBX_ATTEMPT=" + attempt))

    def marker_of(self, held: Held) -> frozenset[bytes]:
        """Return the same before there is an environment."""
        offer = held.offer
        return self.marker({b"SBX_TASK": offer["task"].encode(), b"SBX_ATTEMPT": b"%d" % offer["attempt"]})

    def explain(self, word: str, work: str, problem: Exception) -> str:
        """Say why a program did not start, and what to do."""
        number = problem.errno if isinstance(problem, OSError) else 0
        path = os.path.join(work, word)
        if number == errno.ENOENT and os.path.exists(path):
            return (
                f"{word}: the interpreter in its first line ({_first_line(path)}) is not on {self._node.host}"
            )
        reasons = {
            errno.ENOENT: "no such program; name it in `files`, or write its full path",
            errno.EACCES: "it is not executable; `chmod +x` it, then start a new run",
            errno.ENOEXEC: "it is no program of this machine; a script needs a first line as #!/bin/bash",
            errno.E2BIG: "body and headers are too long for a command line; use $SBX_BODY, or a file",
        }
        if not word:
            return f"its work directory could not be made: {problem}"
        return f"{word}: {reasons.get(number or 0, str(problem))}"

    # made once

    def _words(self, sheet: dict[str, Any], shell: list[str]) -> list[Template]:
        words = sheet.get("words")
        if words is not None:
            return list(words)
        if self.wanted is not None:
            return _shell_words(sheet, ["/bin/sh", "-c", IMAGE_SHELL, "sbx"] if shell == BASH else shell)
        if os.path.basename(shell[0]) == "bash" and not which(shell[0], self._search):
            shell, self.note = SH, NO_BASH
        return _shell_words(sheet, shell)

    def _environment(self) -> dict[str, str]:
        sheet, environ = self.sheet, self._node.environ
        names = PASSED_ON if self.wanted is None else PASSED_TO_CONTAINERS
        env = {name: environ[name] for name in names if name in environ}
        if self.wanted is None:
            env.update({name: value for name, value in environ.items() if name.startswith("LC_")})
        if self.ranks is not None:
            env.update(self.ranks.env)
        if sheet.get("kind") == "transfer" and SSH_AGENT in environ:
            env[SSH_AGENT] = environ[
                SSH_AGENT
            ]  # of the daemon's machine, where it runs, as is the daemon's own
        env.update(sheet.get("env", {}))
        if self.wanted is None:
            env["PATH"] = self._search
        for name in ("run", "pipeline", "shared", "site", "results"):
            env["SBX_" + name.upper()] = sheet.get(name) or ""
        env["SBX_MODULE"], env["SBX_HOST"] = sheet["name"], self._node.host
        env["SBX_INCARNATION"], env["SBX_HEADERS"] = self._node.incarnation, "{}"
        for name, value in sheet.get("params", {}).items():
            env["SBX_PARAM_" + _variable(name).decode()] = value
        return env

    def _add_need(self, need: Amounts) -> dict[bytes, bytes]:
        names = (b"SBX_CPUS", b"SBX_MEMORY_MIB", b"SBX_GPUS")
        of_one = (need[0] // self.ranks.count, *need[1:]) if self.ranks is not None else need
        self._needs[need] = {name: b"%d" % amount for name, amount in zip(names, of_one)}
        return self._needs[need]

    def _fill(self, parts: list[Any], held: Held, slot: int, gather_dir: str) -> str:
        return "".join(
            part if isinstance(part, str) else self._value(part, held, slot, gather_dir) for part in parts
        )

    def _value(self, part: list[str], held: Held, slot: int, gather_dir: str) -> str:
        kind, offer = part[0], held.offer
        if kind in ("body", "task"):
            return str(offer[kind])
        if kind == "slot":
            return str(slot)
        if kind == "headers":
            value = (offer.get("headers") or {}).get(part[1])
            if value is None:
                raise MissingHeader(
                    f"`run` or `stage` asks for header {part[1]}, which the message does not carry; send it"
                )
            return str(value)
        return gather_path(gather_dir, kind)


def gather_path(directory: str, kind: str) -> str:
    """Return the file of "members", "bodies" or "missing" of a gather task."""
    return os.path.join(directory, "bodies.txt" if kind == "bodies" else f"{kind}.jsonl")


def _shell_words(sheet: dict[str, Any], shell: list[str]) -> list[Template]:
    return [*shell, sheet["text"], "sbx", *sheet.get("values", ())]


def _compiled(template: Template) -> Template:
    if isinstance(template, str):
        return template
    return "".join(template) if all(isinstance(part, str) for part in template) else template


def _variable(name: str) -> bytes:
    return re.sub(r"[^A-Z0-9]", "_", name.upper()).encode()


def _search_path(sheet: dict[str, Any], node: Node, bin_dir: str) -> str:
    path: str = sheet.get("env", {}).get("PATH") or node.environ.get("PATH") or DEFAULT_PATH
    return f"{bin_dir}:{path}" if bin_dir else path


def _first_line(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.readline(200).decode("utf-8", "replace").strip()
    except OSError:
        return "unreadable"
