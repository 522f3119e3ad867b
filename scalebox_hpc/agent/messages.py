"""Reads lines of `messages.txt` and `messages.jsonl`, and checks messages against the module's rules.

Pure. A line that breaks a rule raises BadMessage; nothing else is raised, whatever the line holds.
"""

from __future__ import annotations

import json
import re
from typing import Any, Optional

Headers = dict[str, str]
Message = tuple[str, str, Optional[Headers]]
"""(module it goes to, body, headers that the program wrote)"""

FILES = (
    "messages.txt",
    "messages.jsonl",
    "timestamps.txt",
    "input-files.txt",
    "output-files.txt",
    "removed-files.txt",
    "custom-out.txt",
    "task-exec.json",
)
"""What a program may leave in its work directory to be read."""

BODY_BYTES = 64 << 10
HEADERS_BYTES = 16 << 10
KEY_BYTES = 4 << 10
SUFFIXES_MOST = 256  # places tried for the beginning of headers
OURS = ("sbx_key", "sbx_order", "sbx_files")
OF_TRANSFERS = ("sbx_staged",)  # what an inserted transfer writes too
NAME = re.compile(r"[A-Za-z0-9_.-]+")
# Numbers keep the text they were written with.
DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)
REFUSALS = (ValueError, RecursionError)


class BadMessage(Exception):
    """A message that breaks a rule; the text says which and what to do."""


class Rules:
    """What one module may send: made once from its sheet."""

    def __init__(self, sheet: dict[str, Any]) -> None:
        self.name: str = sheet["name"]
        self.to: tuple[str, ...] = tuple(sheet.get("to", ()))
        self.modules = frozenset(sheet.get("modules", ()))
        self.default = self.to[0] if self.to else ""
        self.sends_nothing = not self.to or self.to == (self.name,)  # when no message file is written
        self.forward: bool = sheet.get("forward", False)
        self.limit: int = sheet.get("message_limit", 1_000_000)
        self.via: dict[str, str] = sheet.get("via") or {}  # receivers whose messages another module gets
        self.ours = (*OURS, *OF_TRANSFERS) if sheet.get("inserted") else OURS
        self.headers: dict[str, str] = {}  # gather module to the header it groups by
        self.patterns: dict[str, re.Pattern[str]] = {}  # gather module to its regular expression
        for name, gather in sheet.get("gathers", {}).items():
            if gather["by"] == "header":
                self.headers[name] = gather["pattern"]
            elif gather["by"] == "regex":
                self.patterns[name] = re.compile(gather["pattern"])

    def forwards_to(self) -> str:
        """Return where the body goes on when no message file was written; "" for nowhere."""
        if self.sends_nothing:
            return ""
        if len(self.to) > 1 and not self.forward:
            raise BadMessage(
                f"it wrote no messages.txt and may send to {', '.join(self.to)}; write one (an empty one"
                " sends nothing), or set `forward = true` to pass the body on to the first"
            )
        return self.default

    def check(self, message: Message, inherited: Headers) -> None:
        """Check limits, names, receiver and gather key. `inherited`: headers that go with every message."""
        to, body, headers = message
        if to not in self.to:
            raise BadMessage(self.wrong_receiver(to))
        if len(body) * 4 > BODY_BYTES and len(body.encode("utf-8", "replace")) > BODY_BYTES:
            raise BadMessage(
                "its body is longer than 64 KiB; write it to a file in $SBX_SHARED and send the path"
            )
        if "\0" in body or "\n" in body:
            raise BadMessage("its body holds a newline or a NUL; a body is one line of text")
        if not _is_text(body):
            raise BadMessage("its body holds half a surrogate pair, which is no text; write it as UTF-8")
        if headers:
            check_headers(headers, self.ours)
        if to in self.headers or to in self.patterns:
            self._check_group(to, body, headers, inherited)

    def wrong_receiver(self, to: str) -> str:
        """Say what is wrong with that receiver, and what to do."""
        if not self.to:
            return "this module may send to nobody; name the receiver in its `to`"
        if to in self.modules:
            return (
                f"it goes to {to}, which `to` does not name; add it there, or send to {' or '.join(self.to)}"
            )
        return f"it goes to {to!r}, which is no module of this pipeline; send to {' or '.join(self.to)}"

    def _check_group(self, to: str, body: str, headers: Headers | None, inherited: Headers) -> None:
        name = self.headers.get(to)
        if name is not None:
            if name not in (headers or ()) and name not in inherited:
                raise BadMessage(f"{to} gathers by header {name}, which it does not carry; write that header")
            return
        found = self.patterns[to].search(body)
        if found is None or not found.groups() or found.group(1) is None:
            raise BadMessage(
                f"{to} gathers by {self.patterns[to].pattern!r}, of which its body shows no group;"
                " mend one of them"
            )


def read_text(line: bytes, rules: Rules) -> Message:
    """Read one non-blank line of messages.txt."""
    text = _decode(line)
    first, comma, rest = text.partition(",")
    if comma and first in rules.to:
        to, text = first, rest
    elif comma and first in rules.modules:
        raise BadMessage(rules.wrong_receiver(first))
    else:
        to = rules.default
    if not to:
        raise BadMessage(rules.wrong_receiver(to))
    if not text.endswith("}") or ",{" not in text:
        return to, text, None
    at = -1
    for _ in range(SUFFIXES_MOST):
        at = text.find(",{", at + 1)
        if at < 0:
            break
        value = _parsed(text[at + 1 :])
        if isinstance(value, dict):
            return to, text[:at], _headers(value)
    if _parsed(text) is None:
        raise BadMessage("it ends in } but what follows ,{ is not a JSON object; mend the headers")
    return to, text, None


def read_json(line: bytes, rules: Rules) -> Message:
    """Read one non-blank line of messages.jsonl."""
    value = _parsed(_decode(line))
    if not isinstance(value, dict):
        raise BadMessage('it is not a JSON object; write {"to": ..., "body": ..., "headers": {...}}')
    unknown = set(value) - {"to", "body", "headers"}
    if unknown:
        raise BadMessage(f"it has the key {sorted(unknown)[0]!r}; only to, body and headers have a meaning")
    body, headers, to = value.get("body"), value.get("headers") or {}, value.get("to", rules.default)
    if not isinstance(body, str):
        raise BadMessage('it has no "body" that is text; write a body in quotes')
    if not isinstance(headers, dict):
        raise BadMessage('its "headers" are not an object; write {"name": "value"}')
    if not isinstance(to, str) or not to:
        raise BadMessage(rules.wrong_receiver(str(to)))
    return to, body, _headers(headers) or None


def _decode(line: bytes) -> str:
    try:
        return line.decode("utf-8").rstrip("\n").rstrip("\r")
    except UnicodeDecodeError:
        raise BadMessage("it is not UTF-8; write it in that encoding") from None


def _parsed(text: str) -> Any:
    try:
        return DECODER.decode(text)
    except REFUSALS:
        return None


def _headers(value: dict[str, Any]) -> Headers:
    headers = {}
    for name, content in value.items():
        if isinstance(content, bool):
            headers[name] = "true" if content else "false"
        elif isinstance(content, str):
            headers[name] = content
        else:
            raise BadMessage(f"its header {name!r} is not text, a number, true or false; write one of these")
    return headers


def check_headers(headers: Headers, ours: tuple[str, ...]) -> None:
    """Check names, limits and texts; `ours` are those that may begin with sbx_. Raises BadMessage."""
    size = 0
    for name, content in headers.items():
        size += len(name.encode("utf-8", "replace")) + len(content.encode("utf-8", "replace")) + 6
        if not NAME.fullmatch(name):
            raise BadMessage(f"its header {name!r} is no name; use letters, digits, _ . and -")
        if name.startswith("sbx_") and name not in ours:
            raise BadMessage(f"its header {name!r} starts with sbx_; of these only {', '.join(OURS)} work")
        if "\0" in content or not _is_text(content):
            raise BadMessage(f"its header {name!r} holds what is not text (a NUL or half a surrogate pair)")
    if size > HEADERS_BYTES:
        raise BadMessage("its headers are longer than 16 KiB; write them to a file and send the path")
    if len(headers.get("sbx_key", "").encode()) > KEY_BYTES:
        raise BadMessage("its sbx_key is longer than 4 KiB; use a shorter key, such as a digest")


def _is_text(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
