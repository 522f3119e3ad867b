"""What `sbx` shows of a run, as lines: its head, modules, failures, pools, and what to type next.

Pure: a status goes in, lines come out. The live view, `sbx status` and the end of `sbx run`
use the same lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scalebox_hpc.client import DaemonStatus, ModuleStatus, PoolStatus, RunStatus, RunSummary, SiteStatus
from scalebox_hpc.report.failures import Examples, Failure, failures
from scalebox_hpc.report.progress import progress_lines
from scalebox_hpc.report.text import Line, clip, rate, table, when
from scalebox_hpc.units import show_count, show_duration, show_size

STYLES = {"SUCCEEDED": "good", "FAILED": "bad", "CANCELLED": "bad", "INTERRUPTED": "bad", "PAUSED": "bad"}
NAME_WIDTH = 28
FAILURES_SHOWN = 5
POOLS_SHOWN = 4
NOTES_SHOWN = 3
LEAST_MODULE_ROWS = 5
HEADINGS = ["module", "waiting", "running", "done", "failed", "rate", "left", ""]


def overview(
    status: RunStatus, *, width: int, now_us: int, examples: Examples, height: int | None = None
) -> list[Line]:
    """A run as it stands. With `height` it is folded to that many lines (at least about a dozen)."""
    head = head_lines(status, now_us)
    tail = [*progress_lines(status["modules"]), *failure_lines(status, examples)]
    tail += [*pool_lines(status["pools"]), *site_lines(status["sites"]), *note_lines(status["notes"])]
    room = None if height is None else max(LEAST_MODULE_ROWS, height - len(head) - len(tail))
    lines = [*head, *module_lines(status["modules"], room), *tail]
    return [Line(clip(line.text, width), line.style) for line in lines]


def head_lines(status: RunStatus, now_us: int) -> list[Line]:
    """The run's name, state, age and how far it is."""
    finished = sum(m["succeeded"] + m["failed"] + m["cancelled"] for m in status["modules"])
    spent = show_duration(max(0, ((status["ended_us"] or now_us) - status["created_us"])) / 1e6)
    text = (
        f"{status['run']}  {status['state']}  {spent}  {finished} of {show_count(status['tasks'], 'task')}"
        f"  at {status['site']}"
    )
    lines = [Line(text, STYLES.get(status["state"], "title"))]
    return [*lines, Line(f"  {status['reason']}", "bad")] if status["reason"] else lines


def module_lines(modules: Sequence[ModuleStatus], room: int | None = None) -> list[Line]:
    """A line per module under headings; folded to `room` lines: what is at work stays."""
    shown, folded = _fold(modules, room)
    rows = [HEADINGS, *(_module_row(module) for module in shown)]
    lines = table(rows, right=[1, 2, 3, 4, 5, 6])
    styled = [Line(lines[0], "dim")]
    styled += [
        Line(text, "bad" if module["failed"] else "dim" if module["closed"] else "")
        for text, module in zip(lines[1:], shown, strict=True)
    ]
    return [*styled, *(Line(text, "dim") for text in folded)]


def _module_row(module: ModuleStatus) -> list[str]:
    extra = [f"{module['cancelled']} cancelled"] if module["cancelled"] else []
    extra += [f"{module['ignored']} ignored"] if module["ignored"] else []
    eta_s = module["eta_s"]
    return [
        clip(module["module"], NAME_WIDTH),
        str(module["ready"]),
        str(module["leased"] + module["running"]),
        str(module["succeeded"]),
        str(module["failed"]),
        rate(module["rate_per_s"]),
        "" if eta_s is None or module["closed"] else show_duration(eta_s),
        ", ".join(extra),
    ]


def _fold(modules: Sequence[ModuleStatus], room: int | None) -> tuple[list[ModuleStatus], list[str]]:
    """Split into modules that get a line and sentences about the others; finished ones fold first."""
    if room is None or len(modules) + 1 <= room:
        return list(modules), []
    finished = [module for module in modules if module["closed"]]
    idle = [module for module in modules if not module["closed"] and not module["total"]]
    shown = [module for module in modules if not module["closed"] and module["total"]]
    sentences = []
    if finished:
        sentences.append(f"… {show_count(len(finished), 'module')} finished: {_totals(finished)}")
    if idle:
        sentences.append(f"… {show_count(len(idle), 'module')} without tasks so far")
    free = max(1, room - 1 - len(sentences))
    if len(shown) > free:
        busy = sorted(shown, key=_business, reverse=True)[: max(1, free - 1)]
        hidden = [module for module in shown if module not in busy]
        shown = [module for module in shown if module in busy]
        sentences.insert(0, f"… {show_count(len(hidden), 'more module')} at work: {_totals(hidden)}")
    return shown, sentences


def _business(module: ModuleStatus) -> tuple[int, int, int]:
    return (module["leased"] + module["running"], module["ready"], module["failed"])


def _totals(modules: Sequence[ModuleStatus]) -> str:
    waiting = sum(module["ready"] for module in modules)
    running = sum(module["leased"] + module["running"] for module in modules)
    words = [f"{waiting} waiting"] if waiting else []
    words += [f"{running} running"] if running else []
    words += [f"{sum(module['succeeded'] for module in modules)} done"]
    failed = sum(module["failed"] for module in modules)
    return ", ".join([*words, f"{failed} failed"] if failed else words)


def failure_lines(status: RunStatus, examples: Examples) -> list[Line]:
    """Failures by module and cause, each with one example and the command that looks further."""
    found = failures(status)
    if not found:
        return []
    lines = [
        Line(_failure_text(status["run"], failure, examples), "bad") for failure in found[:FAILURES_SHOWN]
    ]
    if rest := found[FAILURES_SHOWN:]:
        lines.append(
            Line(f"  … {sum(failure.tasks for failure in rest)} more in other modules or causes", "bad")
        )
    return [
        Line("failed", "dim"),
        *lines,
        Line(f"  which ones: sbx ps {status['run']} --state FAILED", "dim"),
    ]


def _failure_text(run: str, failure: Failure, examples: Examples) -> str:
    text = f"  {failure.module}: {failure.tasks} {failure.cause}"
    example = examples.of(run, failure)
    if example is None:
        return text
    return f"{text}, such as {example.task}" + (f" ({example.why})" if example.why else "")


def pool_lines(pools: Sequence[PoolStatus]) -> list[Line]:
    """A line per pool: what it has, and why it has no more."""
    order = sorted(pools, key=lambda pool: (pool["state"] == "ok", not pool["elements_pending"]))
    lines = [_pool_line(pool) for pool in order[:POOLS_SHOWN]]
    if len(order) > POOLS_SHOWN:
        lines.append(Line(f"  … {show_count(len(order) - POOLS_SHOWN, 'more pool')}", "dim"))
    return [Line("pools", "dim"), *lines] if lines else []


def _pool_line(pool: PoolStatus) -> Line:
    place = f"{pool['site']}/{pool['machine']}" if pool["machine"] else pool["site"]
    text = f"  {pool['pool']} at {place}: {show_count(pool['agents'], 'agent')}, {pool['busy']} busy"
    text += f"; {show_count(pool['elements_running'], 'element')} running"
    if pool["elements_pending"]:
        text += f", {pool['elements_pending']} pending"
    if pool["state"] == "paused":
        return Line(f"  {pool['pool']} at {place}: paused: {pool['reason']}", "bad")
    return Line(f"{text} ({pool['reason']})" if pool["reason"] else text)


def site_lines(sites: Sequence[SiteStatus]) -> list[Line]:
    """A line per site where there are several, and for each that waits why, and what to type."""
    lines = [Line("sites", "dim"), *map(_site_line, sites)] if len(sites) > 1 else []
    for site in sites:
        if site["state"] == "paused":
            lines.append(
                Line(f"site {site['site']} cannot be reached, so its tasks wait: {site['reason']}", "bad")
            )
            if site["todo"]:
                lines.append(Line(f"  type: {site['todo']}", "bad"))
    return lines


def _site_line(site: SiteStatus) -> Line:
    at_work = site["leased"] + site["running"]
    text = (
        f"  {site['site']}: {show_count(site['agents'], 'agent')}; {site['ready']} waiting, {at_work} running"
    )
    text += f", {site['succeeded']} done" + (f", {site['failed']} failed" if site["failed"] else "")
    return Line(f"{text}; results there in {site['results']}" if site["remote"] else text)


def note_lines(notes: Sequence[str]) -> list[Line]:
    """The latest notes of a run."""
    return [Line(f"note: {note}", "dim") for note in notes[-NOTES_SHOWN:]]


def closing_lines(
    status: RunStatus, *, width: int, now_us: int, examples: Examples, here: Path, found_here: bool
) -> list[Line]:
    """The end of a run: outcome, counts, time, where things are, and what to type next.

    `found_here`: commands given in `here` reach this run's home.
    """
    modules = module_lines(status["modules"], room=20)
    failed = failure_lines(status, examples)[:-1]
    lines = [Line(""), *head_lines(status, now_us), *modules, *failed, *note_lines(status["notes"])]
    clipped = [Line(clip(line.text, width), line.style) for line in lines]
    return [*clipped, *_place_lines(status), *next_lines(status, examples, here, found_here)]


def _place_lines(status: RunStatus) -> list[Line]:
    hint = status["report_hint"] or f"sbx export {status['run']} --csv {status['run']}.csv"
    there = [site for site in status["sites"] if site["remote"]]
    lines = [Line(f"results  {status['results']}")] if len(there) < len(status["sites"]) or not there else []
    lines += [Line(f"results  {site['results']} at {site['site']}") for site in there]
    return [*lines, Line(f"report   {hint}")]


def next_lines(status: RunStatus, examples: Examples, here: Path, found_here: bool) -> list[Line]:
    """The commands that are of use now."""
    run, found = status["run"], failures(status)
    commands: list[tuple[str, str]] = []
    if status["state"] in ("INTERRUPTED", "PAUSED", "CANCELLED"):
        commands.append((f"sbx resume {run}", "goes on where it stopped"))
    if found:
        example = examples.of(run, found[0])
        task = example.task if example else "TASK"
        commands += [
            (f"sbx ps {run} --state FAILED", "which tasks failed"),
            (f"sbx show {task} --run {run}", "one task and its attempts"),
            (f"sbx log {task} --run {run} --stderr", "all it wrote"),
            (f"sbx retry --run {run}", "sends all that failed round again"),
        ]
    if any(failure.cause == "launch" for failure in found):
        commands.append((f"sbx resume {run}", "the same, by the site file as it is now"))
    rows = [["next" if index == 0 else "", *command] for index, command in enumerate(commands)]
    where = (
        []
        if found_here or not commands
        else [Line(f"         in {status['directory']} (not in {here})", "dim")]
    )
    return [*(Line(text) for text in table(rows)), *where]


def runs_table(runs: Sequence[RunSummary]) -> list[str]:
    """All runs, one line each."""
    rows = [["run", "state", "begun", "tasks", "done", "failed", "site", "title"]]
    rows += [
        [
            run["run"],
            run["state"],
            when(run["created_us"]),
            str(run["tasks"]),
            str(run["succeeded"]),
            str(run["failed"]),
            run["site"],
            clip(run["title"], 40),
        ]
        for run in runs
    ]
    return table(rows, right=[3, 4, 5])


def daemon_line(daemon: DaemonStatus, now_us: int) -> str:
    """The daemon and what it costs, on one line."""
    age = show_duration(max(0, now_us - daemon["started_us"]) / 1e6)
    return (
        f"daemon {daemon['version']} at {daemon['host']}, process {daemon['pid']}, up {age}: "
        f"{100 * daemon['cpu_share']:.1f} % of a CPU, {show_size(daemon['rss_mib'] * (1 << 20))} of memory, "
        f"ledger {show_size(daemon['ledger_bytes'])}, {show_count(daemon['agents'], 'agent')}, "
        f"{show_count(daemon['runs_open'], 'run')} going on"
    )
