"""Reads decoded JSON from agents into messages, refusing what is not of our protocol.

It touches no socket and no clock. Unknown keys are passed over and missing ones mean their
default, so that older and newer agents understand each other. Everything that comes out fits
the ledger: text is encodable, integers are within 64 bits, numbers are finite.
BadMessage names the field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

from scalebox_hpc.domain.progress import Progress
from scalebox_hpc.errors import BadMessage
from scalebox_hpc.wire.messages import (
    BODY_LIMIT,
    HEADERS_LIMIT,
    KEY_LIMIT,
    LIST_LIMIT,
    NOTE_LIMIT,
    TAIL_LIMIT,
    TEXT_LIMIT,
    UNIT_LIMIT,
    Chunk,
    Ended,
    Hello,
    Leaving,
    Log,
    MembersPage,
    Message,
    Outcome,
    Resources,
    Result,
    SheetRequest,
    SpoolLine,
    Sync,
    Times,
    are_leases,
    lease_id,
)

Raw = Mapping[str, Any]

MOST_INTEGER: Final = (1 << 63) - 1
MOST_NUMBER: Final = 1e15
MOST_PROGRESS: Final = 10**18
CAUSES: Final = frozenset(
    {"exit", "timeout", "oom", "launch", "output", "walltime", "preempted", "cancelled"}
)
_OUTCOMES: Final = {outcome.value: outcome for outcome in Outcome}
_LEAVING: Final = {None: None} | {leaving.value: leaving for leaving in Leaving}
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+").fullmatch
_INCARNATION: Final = re.compile(r"[0-9a-f]{16}").fullmatch
_MODULE_ID: Final = re.compile(r"[0-9]{1,18}").fullmatch
_NO_RESOURCES: Final = Resources()
_NO_HEADERS: Final[Mapping[str, str]] = {}
_NO_TIMES: Final = Times()
_INTEGER_ONLY: Final = {int}
_STARTED: Final = {0: False, 1: True}
_LOG_TYPES: Final = (str, int, int, str, int, int)


def _bad(field: str, value: object, wanted: str) -> NoReturn:
    raise BadMessage(f"{field}: {wanted}, not {value!r:.60}")


def _within(place: str, read: Callable[[Any], Any], raw: object) -> Any:
    """Read a part of a message; an error in it names the whole path."""
    try:
        return read(raw)
    except BadMessage as error:
        raise BadMessage(f"{place}.{error.fact}") from None


def _encodable(text: str) -> bool:
    """Whether the text is UTF-8; half a surrogate pair, which JSON can spell, is not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(raw: Raw, field: str, limit: int = TEXT_LIMIT) -> str:
    value = raw.get(field, "")
    if type(value) is str and len(value) <= limit and (value.isascii() or _encodable(value)):
        return value
    return _bad(field, value, f"text of at most {limit} characters wanted")


def _integer(raw: Raw, field: str, default: int = 0) -> int:
    value = raw.get(field, default)
    if type(value) is int and 0 <= value <= MOST_INTEGER:
        return value
    return _bad(field, value, "a whole number, zero or more, wanted")


def _small_or_none(raw: Raw, field: str) -> int | None:
    value = raw.get(field)
    if value is None or (type(value) is int and -(1 << 31) <= value < 1 << 31):
        return value
    return _bad(field, value, "a small whole number or null wanted")


def _number(raw: Raw, field: str) -> float:
    value = raw.get(field, 0.0)
    if (type(value) is float or type(value) is int) and 0 <= value < MOST_NUMBER:
        return value
    return _bad(field, value, "a number, zero or more, wanted")


def _number_or_none(raw: Raw, field: str) -> float | None:
    value = raw.get(field)
    if value is None or (type(value) in (int, float) and -MOST_NUMBER < value < MOST_NUMBER):
        return None if value is None else max(0.0, value)
    return _bad(field, value, "a number or null wanted")


def _flag(raw: Raw, field: str) -> bool:
    value = raw.get(field, False)
    return value if type(value) is bool else _bad(field, value, "true or false wanted")


def _list(raw: Raw, field: str) -> list[Any]:
    value = raw.get(field)
    if type(value) is list and len(value) <= LIST_LIMIT:
        return value
    return [] if value is None else _bad(field, value, f"a list of at most {LIST_LIMIT} wanted")


def _table(raw: Raw, field: str) -> dict[str, Any]:
    value = raw.get(field)
    if type(value) is dict and len(value) <= LIST_LIMIT:
        return value
    return {} if value is None else _bad(field, value, "an object wanted")


def _texts(raw: Raw, field: str) -> dict[str, str]:
    """An object of texts; at most 1000 of them, of 1000 characters each."""
    table = raw.get(field)
    if not table:
        return {}
    table = _table(raw, field)
    for name, value in table.items():
        if type(value) is not str or len(value) > 1000 or len(name) > 1000 or not _encodable(name + value):
            _bad(f"{field}.{name[:60]}", value, "a short text wanted")
    return table if len(table) <= 1000 else _bad(field, len(table), "at most 1000 entries wanted")


def _incarnation(raw: Raw) -> str:
    value = raw.get("incarnation")
    if type(value) is str and _INCARNATION(value):
        return value
    return _bad("incarnation", value, "16 hex digits wanted")


def _object(raw: object, name: str) -> Raw:
    return raw if type(raw) is dict else _bad(name, raw, "an object wanted")


def resources(raw: object) -> Resources:
    """Read an object of resources."""
    raw = _object(raw, "resources")
    return Resources(*[_integer(raw, name) for name in ("cpus", "memory_mib", "gpus", "scratch_mib")])


def headers(raw: object) -> Mapping[str, str]:
    """Read a message's headers; null means none. Raises BadMessage for names, types and sizes."""
    if raw is None:
        return _NO_HEADERS
    if type(raw) is not dict:
        _bad("headers", raw, "an object wanted")
    size_bytes = 0
    for name, value in raw.items():
        if not _HEADER_NAME(name):
            _bad("headers", name, "a name of letters, digits, `_`, `.`, `-` wanted")
        if type(value) is not str or not (value.isascii() or _encodable(value)):
            _bad(f"headers.{name[:60]}", value, "text wanted")
        size_bytes += len(name) + (len(value) if value.isascii() else len(value.encode()))
    if size_bytes > HEADERS_LIMIT:
        _bad("headers", size_bytes, f"at most {HEADERS_LIMIT} bytes wanted")
    if "sbx_key" in raw and len(raw["sbx_key"].encode()) > KEY_LIMIT:
        _bad("headers.sbx_key", raw["sbx_key"], f"at most {KEY_LIMIT} bytes wanted")
    return raw


def _body(value: object) -> str:
    if type(value) is str and "\n" not in value and "\0" not in value:
        if value.isascii():
            if len(value) <= BODY_LIMIT:
                return value
        elif _encodable(value) and len(value.encode()) <= BODY_LIMIT:
            return value
    return _bad("body", value, f"one line of text of at most {BODY_LIMIT} bytes wanted")


def message(raw: object) -> Message:
    """Read `[to, body, headers or null]`."""
    if type(raw) is not list or len(raw) != 3:
        _bad("message", raw, "[to, body, headers] wanted")
    to, body, written = raw
    if type(to) is not str or len(to) > 200 or not to.isascii():
        _bad("to", to, "a module's name wanted")
    return Message(to, _body(body), _NO_HEADERS if written is None else headers(written))


def _messages(raw: Raw) -> tuple[Message, ...]:
    value = raw.get("messages")
    if not value:
        return ()
    entries = _list(raw, "messages")
    try:
        return tuple([message(entry) for entry in entries])
    except BadMessage:
        for n, entry in enumerate(entries):
            _within(f"messages[{n}]", message, entry)
        raise


def _times(raw: object) -> Times:
    raw = _object(raw, "times")
    times = Times._make(map(raw.get, Times._fields, _NO_TIMES))
    if set(map(type, times)) != _INTEGER_ONLY or min(times) < 0 or max(times) > MOST_INTEGER:
        _bad("times", raw, "microseconds wanted")
    return times


def _log(raw: object) -> Log | None:
    if raw is None:
        return None
    if type(raw) is not list or tuple(map(type, raw)) != _LOG_TYPES:
        _bad("log", raw, "[path, start, end, path, start, end] wanted")
    log = Log._make(raw)
    paths = log.out_path + log.err_path
    if len(paths) > 8192 or not (paths.isascii() or _encodable(paths)):
        _bad("log", raw, "paths of at most 4096 characters wanted")
    if not (log.out_start >= 0 <= log.err_start and 0 <= log.out_end <= MOST_INTEGER >= log.err_end >= 0):
        _bad("log", raw, "offsets wanted")
    return log


def _cut(raw: Raw) -> tuple[bool, bool]:
    value = raw.get("cut", [False, False])
    if type(value) is list and len(value) == 2 and type(value[0]) is type(value[1]) is bool:
        return (value[0], value[1])
    return _bad("cut", value, "two of true and false wanted")


def result(raw: object) -> Result:
    """Read one RESULT."""
    raw = _object(raw, "result")
    cause = raw.get("cause")
    if cause is not None and (type(cause) is not str or cause not in CAUSES):
        _bad("cause", cause, "a cause that agents may give, or null, wanted")
    outcome = _outcome(raw.get("outcome"))
    if (cause is None) is (outcome is Outcome.FAILED):
        _bad("cause", cause, f"a cause for a failure and none else wanted (outcome is {outcome})")
    stdout_cut, stderr_cut = _cut(raw)
    times = raw.get("times")
    return Result(
        lease_id(raw.get("lease")),
        outcome,
        cause,
        _small_or_none(raw, "exit_code"),
        _small_or_none(raw, "signal"),
        _text(raw, "note", NOTE_LIMIT),
        _integer(raw, "slot"),
        _number(raw, "cpu_user_s"),
        _number(raw, "cpu_system_s"),
        _number(raw, "max_rss_mib"),
        _integer(raw, "in"),
        _integer(raw, "out"),
        _text(raw, "user_text"),
        _texts(raw, "user_times"),
        _NO_TIMES if times is None else _times(times),
        _text(raw, "stdout", TAIL_LIMIT),
        _text(raw, "stderr", TAIL_LIMIT),
        stdout_cut,
        stderr_cut,
        _log(raw.get("log")),
        _text(raw, "image", 1000),
        _messages(raw),
        _integer(raw, "chunks"),
    )


def _outcome(value: object) -> Outcome:
    outcome = _OUTCOMES.get(value) if type(value) is str else None
    return outcome or _bad("outcome", value, "'ok' or 'failed' wanted")


def _results(raw: Raw) -> tuple[Result, ...]:
    entries = _list(raw, "results")
    try:
        return tuple([result(entry) for entry in entries])
    except BadMessage:
        for n, entry in enumerate(entries):
            _within(f"results[{n}]", result, entry)
        raise


def _held(raw: Raw) -> dict[str, bool]:
    # What an agent holds comes with each of its syncs, so most of all that is read passes here.
    entries = _list(raw, "held")
    try:
        held = {lease: _STARTED[started] for lease, started in entries}
        if are_leases(held):
            return held
    except (KeyError, TypeError, ValueError):
        pass
    return _bad("held", entries, "[lease, 0 or 1] for each wanted")


def _prefetch(raw: Raw) -> dict[int, int]:
    wanted = {}
    for module, count in _table(raw, "prefetch").items():
        if not (_MODULE_ID(module) and type(count) is int and count >= 0):
            _bad(f"prefetch.{module:.60}", count, "a module's id and a number of tasks wanted")
        wanted[int(module)] = count
    return wanted


def _progress(raw: Raw) -> dict[str, Progress]:
    entries = {lease: _progress_of(lease, said) for lease, said in _table(raw, "progress").items()}
    return entries if are_leases(entries) else _bad("progress", list(entries)[:1], "leases wanted")


def _progress_of(lease: str, said: object) -> Progress:
    if type(said) is list and len(said) == 4:
        told = Progress._make(said)
        are_fit = all(type(each) in (int, float) and 0 <= each <= MOST_PROGRESS for each in told[:3])
        # What is printable depends on the version of Python: agents see to it, and so does who prints it.
        if are_fit and type(told.unit) is str and len(told.unit) <= UNIT_LIMIT and _encodable(told.unit):
            return told
    return _bad(f"progress.{lease:.60}", said, "[done, total, rate, unit] wanted")


def sync(raw: object) -> Sync:
    """Read an agent's sync."""
    raw = _object(raw, "sync")
    number = _integer(raw, "sync")
    if number < 1:
        _bad("sync", number, "a number from 1 wanted")
    leaving = raw.get("leaving")
    if leaving is not None and (type(leaving) is not str or leaving not in _LEAVING):
        _bad("leaving", leaving, "null or why wanted")
    free = raw.get("free")
    return Sync(
        incarnation=_incarnation(raw),
        number=number,
        took=_integer(raw, "took"),
        clock_us=_integer(raw, "clock_us"),
        wait=_flag(raw, "wait"),
        held=_held(raw),
        results=_results(raw),
        free=_NO_RESOURCES if free is None else _within("free", resources, free),
        prefetch=_prefetch(raw),
        walltime_left_s=_number_or_none(raw, "walltime_left_s"),
        leaving=_LEAVING[leaving],
        reason=_text(raw, "reason", NOTE_LIMIT),
        progress=_progress(raw),
    )


def hello(raw: object) -> Hello:
    """Read an agent's hello."""
    raw = _object(raw, "hello")
    job_id = raw.get("job_id")
    return Hello(
        home=_text(raw, "home", 64),
        try_name=_name(raw, "try"),
        element=_integer(raw, "element"),
        incarnation=_incarnation(raw),
        restart=_integer(raw, "restart"),
        node=_text(raw, "node", 256),
        pid=_integer(raw, "pid"),
        total=resources(raw),
        walltime_left_s=_number_or_none(raw, "walltime_left_s"),
        runtimes=_texts(raw, "runtimes"),
        python=_text(raw, "python", 64),
        version=_text(raw, "version", 64),
        clock_us=_integer(raw, "clock_us"),
        job_id=None if job_id is None else _text(raw, "job_id", 128),
        nodes=_integer(raw, "nodes", 1),
    )


def _name(raw: Raw, field: str) -> str:
    return _text(raw, field, 256) or _bad(field, "", "a name wanted")


def chunk(raw: object) -> Chunk:
    """Read messages sent ahead of their report; `incarnation` is required."""
    raw = _object(raw, "chunk")
    return Chunk(_incarnation(raw), lease_id(raw.get("lease")), _integer(raw, "seq"), _messages(raw))


def sheet_request(raw: object) -> SheetRequest:
    """Read the request for a module's sheet."""
    raw = _object(raw, "sheet")
    return SheetRequest(_incarnation(raw), _integer(raw, "module"))


def members_page(raw: object) -> MembersPage:
    """Read the request for a page of members; the page holds at most 10 000 rows."""
    raw = _object(raw, "members")
    what = raw.get("what", "members")
    if what not in ("members", "missing"):
        _bad("what", what, "'members' or 'missing' wanted")
    limit = min(max(1, _integer(raw, "limit", 1000)), 10_000)
    lease = lease_id(raw.get("lease"))
    return MembersPage(_incarnation(raw), lease, _integer(raw, "after"), what == "missing", limit)


def ended(raw: object) -> Ended:
    """Read the wrapper's word that an incarnation is over, from the network or from a file."""
    raw = _object(raw, "ended")
    element, restart = _integer(raw, "element"), _integer(raw, "restart")
    return Ended(_name(raw, "try"), element, _incarnation(raw), restart, _small_or_none(raw, "status") or 0)


def spool_line(raw: object) -> SpoolLine:
    """Read one line of a spool."""
    raw = _object(raw, "spool line")
    incarnation = _incarnation(raw)
    if "chunk" in raw:
        part = {**_object(raw["chunk"], "chunk"), "incarnation": incarnation}
        return SpoolLine(incarnation, _within("chunk", chunk, part))
    return SpoolLine(incarnation, _within("result", result, raw.get("result")))
