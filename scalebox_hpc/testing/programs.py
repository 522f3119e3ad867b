"""What the modules of a drawn pipeline do, and what must have come of all of them in the end.

A program's fate depends on its body and on how often it was tried, on nothing else. So the end is
known before the beginning, whatever happens between; `expected` works it out in a few lines that
share nothing with the daemon's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from scalebox_hpc.testing.agent import Json, Played

GATHERS = ("all", "group", "size")
SIZE = 3  # members of a part of a stage of kind "size"
RETRIES = 3
FIRST_DIGIT = r"^m?(\d)"

Message = tuple[str, str, Mapping[str, str]]
Outcome = tuple[str, str, str]
"""Body, state and cause of a task."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One module: what it makes of a message."""

    name: str
    kind: str  # work, scatter, merge, all, group, size
    to: tuple[str, ...] = ()
    width: int = 1  # scatter: the most messages; merge: so many keys; group: so many groups
    by: str = "header"  # group: or regex
    repeat: str = "refuse"
    same: bool = True  # merge: messages of one key are equal
    missing: str = "fail"
    retries: bool = True
    bad: float = 0.0  # share of bodies that fail for good
    flaky: float = 0.0  # share of bodies that fail at first
    fresh: bool = True  # no two messages to what follows can be repeats of each other
    long: float = 0.0  # share of tasks that run for minutes


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that a stage gets."""

    body: str
    headers: Mapping[str, str]


@dataclass(slots=True)
class Programs:
    """All stages of one pipeline, in an order in which each sends only to later ones."""

    seed: str
    stages: Mapping[str, Stage]
    seeds: Sequence[tuple[str, str]]
    sent: dict[str, list[Message]]  # by lease: what a task that ran sends

    def play(self, offer: Json, members: list[Json]) -> Played:
        """Play one attempt. See `Play`."""
        name, body = str(offer["task"]).rpartition(".")[0], str(offer["body"])
        stage = self.stages[name]
        luck = Random(f"{self.seed} run {name} {body} {offer['attempt']}")
        run_s = 0.2 * 50 ** luck.random() if luck.random() >= stage.long else luck.uniform(60, 400)
        if cause := self._failure(stage, body, int(offer["attempt"])):
            return Played(run_s=run_s, cause=cause, exit_code=1 if cause == "exit" else None)
        if stage.kind in GATHERS:
            text = ",".join(sorted(str(each["body"]) for each in members))
            what = str(offer["task"]) if stage.kind == "size" else f"{name}-{body}"
            messages = [self._message(to, what, {}) for to in stage.to]
        else:
            text = ""
            messages = [self._signed(stage, each, str(offer["lease"])) for each in self._sends(stage, body)]
        self.sent[str(offer["lease"])] = messages
        return Played(messages, run_s=run_s, text=text)

    def _signed(self, stage: Stage, message: Message, lease: str) -> Message:
        """Say of which attempt a message is, where that makes no other message of it."""
        to, body, headers = message
        signs = stage.fresh and self.stages[to].kind != "merge"
        return (to, body, {**headers, "by": lease}) if signs else message

    def _luck(self, stage: Stage, body: str) -> Random:
        return Random(f"{self.seed} fate {stage.name} {body}")

    def is_bad(self, stage: Stage, body: str) -> bool:
        """Whether a task fails for good."""
        return self._luck(stage, body).random() < stage.bad

    def _failure(self, stage: Stage, body: str, attempt: int) -> str | None:
        luck = self._luck(stage, body)
        if luck.random() < stage.bad:
            return "exit"
        if stage.retries and luck.random() < stage.flaky and attempt <= luck.randint(1, 2):
            return luck.choice(["exit", "exit", "timeout", "oom"])
        return None

    def _sends(self, stage: Stage, body: str) -> list[Message]:
        luck = self._luck(stage, body)
        luck.random()
        bodies = [body]
        if stage.kind == "scatter":
            bodies = [
                f"{body}.{index}" for index in range(Random(f"{self.seed} {body}").randint(0, stage.width))
            ]
        return [self._message(to, each, {"of": body}) for to in stage.to for each in bodies]

    def _message(self, to: str, body: str, headers: Mapping[str, str]) -> Message:
        """Address a message: what it looks like is up to the module that gets it."""
        target = self.stages[to]
        if target.kind == "merge":
            key = f"m{Random(f'{self.seed} key {body}').randrange(target.width)}"
            return to, key, {} if target.same else {"of": body}
        return to, body, {**headers, "group": str(Random(f"{self.seed} group {body}").randrange(3))}

    # what must come of it

    def expected(self) -> tuple[dict[str, Counter[Outcome]], dict[str, Counter[str]]]:
        """Return outcomes of tasks by module, and what successes of gathers say by module.

        Stages after one of kind "size" are left out: what is in its parts depends on who came first.
        """
        inbox: dict[str, list[Sent]] = {name: [] for name in self.stages}
        for to, body in self.seeds:
            inbox[to].append(Sent(body, {}))
        outcomes: dict[str, Counter[Outcome]] = {}
        texts: dict[str, Counter[str]] = {}
        failed: dict[str, list[Sent]] = {name: [] for name in self.stages}  # in it, and before it
        unknown: set[str] = set()
        for name, stage in self.stages.items():
            if name in unknown or stage.kind == "size":
                unknown.update(stage.to)
            if name in unknown:
                continue
            bad = list(failed[name])
            tasks = self._tasks(stage, inbox[name], bad, texts.setdefault(name, Counter()))
            outcomes[name] = Counter((each.body, *how) for each, how in tasks)
            for task, (state, _) in tasks:
                if state != "SUCCEEDED":
                    bad.append(task)
                    continue
                sends = (
                    self._sends(stage, task.body) if stage.kind not in GATHERS else self._fires(stage, task)
                )
                for to, body, headers in sends:
                    inbox[to].append(Sent(body, headers))
            for to in stage.to:
                failed[to] += bad
        return outcomes, texts

    def _fires(self, stage: Stage, task: Sent) -> list[Message]:
        return [self._message(to, f"{stage.name}-{task.body}", {}) for to in stage.to]

    def _tasks(
        self, stage: Stage, came: list[Sent], failed: list[Sent], texts: Counter[str]
    ) -> list[tuple[Sent, tuple[str, str]]]:
        if stage.kind in GATHERS:
            return self._gathered(stage, came, failed, texts)
        tasks: list[tuple[Sent, tuple[str, str]]] = []
        known: dict[str, set[str]] = {}
        for each in came:
            content = known.setdefault(each.body, set())
            is_new, equal = not content, str(sorted(each.headers.items())) in content
            content.add(str(sorted(each.headers.items())))
            if is_new or (not equal and stage.repeat == "again"):
                how = ("FAILED", "exit") if self.is_bad(stage, each.body) else ("SUCCEEDED", "")
                tasks.append((each, how))
            elif not equal and stage.repeat == "refuse":
                tasks.append((each, ("FAILED", "refused")))
        return tasks

    def _gathered(
        self, stage: Stage, came: list[Sent], failed: list[Sent], texts: Counter[str]
    ) -> list[tuple[Sent, tuple[str, str]]]:
        tasks = []
        for group, members in self._parts(stage, came):
            full = stage.kind == "size" and len(members) == SIZE
            lacks = not full and any(_group(stage, each) in (None, group) for each in failed)
            headers = {"group": group} if stage.kind == "group" and stage.by == "header" else {}
            task = Sent(group, headers)
            if lacks and stage.missing == "fail":
                tasks.append((task, ("FAILED", "incomplete")))
            elif self.is_bad(stage, group):
                tasks.append((task, ("FAILED", "exit")))
            else:
                tasks.append((task, ("SUCCEEDED", "")))
                texts[",".join(sorted(members))] += stage.kind != "size"
        return tasks

    def _parts(self, stage: Stage, came: list[Sent]) -> Iterable[tuple[str, list[str]]]:
        bodies = [each.body for each in came]
        if stage.kind == "all":
            return [("all", bodies)]
        if stage.kind == "size":
            return [("all", bodies[start : start + SIZE]) for start in range(0, len(bodies), SIZE)] or [
                ("all", [])
            ]
        groups: dict[str, list[str]] = {}
        for each in came:
            group = _group(stage, each)
            assert group is not None, "what is sent to a stage has a group"
            groups.setdefault(group, []).append(each.body)
        return list(groups.items())


def _group(stage: Stage, message: Sent) -> str | None:
    if stage.kind != "group":
        return "all"
    if stage.by == "header":
        return message.headers.get("group")
    match = re.search(FIRST_DIGIT, message.body)
    return match[1] if match else None
