"""What `sbx ps` and `sbx show` print of tasks and attempts.

Pure: the daemon's answers go in, text comes out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from scalebox_hpc.client import Attempt, RunStatus, Task, TaskDetail
from scalebox_hpc.report.failures import ending
from scalebox_hpc.report.progress import progress_text
from scalebox_hpc.report.text import clip, printable, table, when
from scalebox_hpc.units import show_duration

STATES = ("FAILED", "RUNNING", "LEASED", "READY", "CANCELLED", "SUCCEEDED")
"""The states of a task in the order in which people want to see them."""

TAIL_LINES = 20


def state_table(status: RunStatus) -> list[str]:
    """How many tasks of each module are in each state, and why they failed."""
    rows = [["module", *(state.lower() for state in STATES), "causes"]]
    for module in status["modules"]:
        numbers = [str(module[state.lower()]) for state in STATES]  # type: ignore[literal-required]
        causes = ", ".join(f"{count} {cause}" for cause, count in module["causes"].items())
        rows.append([module["module"], *numbers, causes])
    return table(rows, right=range(1, len(STATES) + 1))


def task_lines(tasks: Iterable[Task], width: int) -> Iterator[str]:
    """A line per task, as they come."""
    yield _task_line(("task", "state", "cause", "attempts", "body"), width)
    for task in tasks:
        progress = task.get("progress")
        body = f"[{progress_text(progress)}] {task['body']}" if progress else task["body"]
        values = (task["task"], task["state"], task["cause"] or "", str(task["attempts"]), body)
        yield _task_line(values, width)


def _task_line(values: Sequence[str], width: int) -> str:
    task, state, cause, attempts, body = values
    return clip(f"{task:<20}  {state:<9}  {cause:<10}  {attempts:>8}  {printable(body)}".rstrip(), width)


def task_text(detail: TaskDetail, run: str, width: int) -> str:
    """One task in full: what it is, its attempts, and the end of what the last one wrote."""
    task = detail["task"]
    facts = [
        ["task", task["task"]],
        ["state", f"{task['state']} ({task['cause']})" if task["cause"] else task["state"]],
        ["body", printable(task["body"])],
        [
            "headers",
            ", ".join(f"{name}={printable(value)}" for name, value in task["headers"].items()) or "-",
        ],
        ["from", detail["sender"] or "a seed"],
        ["sent", f"{detail['sent']} messages"],
        ["created", when(task["created_us"])],
    ]
    if task["state"] == "READY" and (task["not_before_us"] or 0) > task["created_us"]:
        facts.append(["not before", when(task["not_before_us"])])
    if progress := task.get("progress"):
        facts.append(["progress", progress_text(progress)])
    lines = table(facts)
    if not detail["attempts"]:
        return "\n".join([*lines, "no attempt so far"])
    lines += ["", *table([ATTEMPT_HEADINGS, *(_attempt_row(attempt) for attempt in detail["attempts"])])]
    *earlier, last = detail["attempts"]
    lines += [
        f"note of attempt {one.get('attempt')}: {printable(one['note'])}"
        for one in earlier
        if one.get("note")
    ]
    return "\n".join([*lines, *_output_lines(last, run, task["task"], width)])


ATTEMPT_HEADINGS = ["attempt", "outcome", "why", "site", "host", "slot", "job", "started", "ran", "memory"]


def _attempt_row(attempt: Attempt) -> list[str]:
    begun_us, ended_us = attempt.get("started_us"), attempt.get("ended_us")
    rss_mib = attempt.get("max_rss_mib")
    reasons = (str(attempt.get("cause") or ""), ending(attempt))
    return [
        str(attempt.get("attempt", "")),
        str(attempt.get("outcome") or ""),
        ", ".join(reason for reason in reasons if reason),
        str(attempt.get("site") or ""),
        str(attempt.get("host") or ""),
        "" if attempt.get("slot") is None else str(attempt["slot"]),
        _job(attempt),
        when(begun_us),
        "" if begun_us is None or ended_us is None else show_duration(max(0, ended_us - begun_us) / 1e6),
        f"{rss_mib:.0f}M" if rss_mib else "",
    ]


def _job(attempt: Attempt) -> str:
    job_id, element = attempt.get("job_id"), attempt.get("element")
    if not job_id:
        return ""
    return str(job_id) if element is None else f"{job_id}_{element}"


def _output_lines(attempt: Attempt, run: str, task: str, width: int) -> list[str]:
    lines = [f"note: {printable(attempt['note'])}"] if attempt.get("note") else []
    lines += [f"user text: {printable(attempt['user_text'])}"] if attempt.get("user_text") else []
    for stream in ("stdout", "stderr"):
        text = str(attempt.get(stream) or "")
        if not text:
            continue
        tail = text.rstrip("\n").split("\n")
        cut = bool(attempt.get(f"{stream}_cut")) or len(tail) > TAIL_LINES
        flag = " --stderr" if stream == "stderr" else ""
        more = f" (the end; all of it: sbx log {task} --run {run}{flag})" if cut else ""
        lines += ["", f"{stream} of attempt {attempt.get('attempt')}{more}:"]
        lines += ["  " + clip(line, max(20, width - 2)) for line in tail[-TAIL_LINES:]]
    return lines
