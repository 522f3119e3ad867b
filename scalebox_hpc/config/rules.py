"""Read the rules of a module: `gather`, `retry`, `resources`, `env` and the small keys.

One table at a time; what needs the whole pipeline is in `graph` and `pools`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from scalebox_hpc.config import keys, templates
from scalebox_hpc.config.notes import did_you_mean
from scalebox_hpc.config.table import Table, kind_of
from scalebox_hpc.config.templates import Filler
from scalebox_hpc.domain.pipeline import Gather, Resources, RetryRule, Template

OUTPUT_LIMIT_BYTES: Final = 64 << 10
MOST_OUTPUT_BYTES: Final = 1 << 20  # tails travel with the report

_OWN_CAUSES: Final = (
    "launch",
    "incomplete",
    "walltime",
    "preempted",
    "node_lost",
    "agent_lost",
    "cancelled",
)


def read_gather(module: Table, filler: Filler) -> Gather | None:
    """Read `gather`; None when it is absent or wrong."""
    if "gather" not in module.data:
        return None
    if module.data["gather"] == "all":
        module.problem("gather", "must be a table, not a text", 'write gather = { by = "all" }')
        return None
    table = module.table("gather")
    table.allow(keys.GATHER)
    kinds = [kind for kind in ("by", "regex", "header") if kind in table.data]
    if len(kinds) != 1:
        fact = (
            "does not say how to group" if not kinds else f"groups in more than one way: {', '.join(kinds)}"
        )
        remedy = 'write exactly one of by = "all", regex = "...", header = "..."'
        module.problem("gather", fact, remedy)
        return None
    kind = kinds[0]
    pattern = "" if kind == "by" else table.text(kind) or ""
    if kind == "by":
        table.choice("by", ["all"], "all")
    elif kind == "regex":
        _check_regex(table, pattern)
    elif not re.fullmatch(keys.HEADER_NAME, pattern):
        table.problem("header", f"{pattern!r} cannot name a header", "use letters, digits, _, . and -")
    missing = table.choice("missing", ["fail", "run"], "fail")
    return Gather("all" if kind == "by" else kind, pattern, _size(table, filler), missing)


def _check_regex(table: Table, pattern: str) -> None:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        table.problem("regex", f"is not a regular expression: {error}", "try it: python3 -c 'import re; ...'")
        return
    if groups == 0:
        remedy = r"put parentheses round what members share, as in 'ch(\d+)'"
        table.problem("regex", "has no capture group to group by", remedy)


def _size(table: Table, filler: Filler) -> Template | None:
    value = table.data.get("size")
    if value is None:
        return None
    if isinstance(value, str):
        why = "a member's size can come from {body}, {headers.NAME} or {params.NAME}"
        template = filler.template(value, table.at("size"), ("body", "headers"), why)
        text = templates.literal(template)
        if text == "" and value:
            return None  # a placeholder was refused
        if text is None or re.fullmatch(r"[1-9]\d*", text):
            return template
        table.problem("size", f"{text!r} is no number of members", 'write a number, or "{headers.NAME}"')
        return None
    size = table.whole("size", 0, least=1)
    return (str(size),) if size else None


def read_retry(module: Table) -> tuple[RetryRule, ...]:
    """Read `retry`, a list of rules of which the first that matches wins."""
    value = module.data.get("retry", [])
    if not isinstance(value, list):
        example = '[{ on = "exit", retries = 3 }]'
        module.problem("retry", f"must be a list of rules, not {kind_of(value)}", f"write retry = {example}")
        return ()
    rules: list[RetryRule] = []
    seen: set[int | str] = set()
    for index, item in enumerate(value):
        path = module.at("retry", index)
        if not isinstance(item, dict):
            module.notes.problem(
                path, f"must be a table, not {kind_of(item)}", 'write { on = "exit", retries = 3 }'
            )
            continue
        rule = _rule(Table(item, path, module.notes))
        covered = {on for on in rule.on if on in seen or (isinstance(on, int) and "exit" in seen)}
        if rule.on and covered == set(rule.on):
            module.notes.warn(path, "is never used: rules before it match all it names", "put it first")
        seen.update(rule.on)
        rules.append(rule)
    return tuple(rules)


def _rule(table: Table) -> RetryRule:
    table.allow(keys.RETRY, keys.LATER | keys.LATER_RETRY)
    for key in ("on", "retries"):
        if key not in table.data:
            example = 'on = "exit"' if key == "on" else "retries = 3"
            table.problem("", f"a rule needs `{key}`", f"write {example}")
    return RetryRule(
        on=_on(table),
        retries=table.whole("retries", 1, least=1),
        delay_s=table.duration_s("delay", 0.0),
        backoff=table.number("backoff", 1.0, least=1.0),
        memory_factor=_memory_factor(table),
    )


def _on(table: Table) -> tuple[int | str, ...]:
    value = table.data.get("on", [])
    items = value if isinstance(value, list) else [value]
    if "on" in table.data and not items:
        table.problem("on", "is empty", 'name exit codes or causes, as in [1, 75] or "oom"')
    found: list[int | str] = []
    for item in items:
        fact, remedy = _judge_cause(item)
        if fact:
            table.problem("on", fact, remedy)
        else:
            found.append(item)
    return tuple(found)


def _judge_cause(item: object) -> tuple[str, str]:
    if isinstance(item, int) and not isinstance(item, bool):
        if 1 <= item <= 255:
            return "", ""
        return f"{item} is no exit code of a failure", "exit codes of failures are 1 to 255"
    if item in keys.USER_CAUSES:
        return "", ""
    if item in _OWN_CAUSES:
        remedy = f"such failures need no rule; causes for rules: {', '.join(keys.USER_CAUSES)}"
        return f"{item!r} does not spend a user's retries", remedy
    if isinstance(item, str):
        if item.isdigit():
            return f"{item!r} is a text", f"write the exit code without quotes: {item}"
        return f"{item!r} is no cause", did_you_mean(item, keys.USER_CAUSES, "causes")
    return f"is {kind_of(item)}", "name exit codes or causes"


def _memory_factor(table: Table) -> float:
    text = table.text("memory")
    if text is None:
        return 1.0
    match = re.fullmatch(r"x(\d+(?:\.\d+)?)", text)
    if match is None or float(match[1]) <= 1:
        table.problem("memory", f"{text!r} is no factor above 1", 'write "x2" for twice the memory each time')
        return 1.0
    return float(match[1])


def read_kind(module: Table) -> str:
    """Read `kind`."""
    return module.choice("kind", ["task", "mpi", "transfer"], "task")


def read_resources(module: Table, kind: str) -> Resources:
    """Read what one task needs; defaults for what is not said. A rank a node, where `ntasks` is absent."""
    table = module.table("resources")
    table.allow(keys.RESOURCES)
    usual = Resources()
    memory_mib = table.size_mib("memory", usual.memory_mib)
    if memory_mib < 1:
        table.problem("memory", "is nothing", "write at least '1M'")
    nodes, ntasks = _nodes_and_ranks(table, kind)
    return Resources(
        cpus=table.whole("cpus", usual.cpus, least=1),
        memory_mib=max(1, memory_mib),
        gpus=table.whole("gpus", usual.gpus),
        scratch_mib=table.size_mib("scratch", usual.scratch_mib),
        time_s=table.duration_s("time", usual.time_s, least=0.1),
        nodes=nodes,
        ntasks=ntasks,
    )


def _nodes_and_ranks(table: Table, kind: str) -> tuple[int, int]:
    if kind != "mpi":
        for key in ("nodes", "ntasks"):
            if key in table.data and table.notes.origin(table.at(key))[1][0] != "defaults":
                remedy = 'write kind = "mpi" in the module, or take it out'
                table.problem(key, 'is for modules of kind = "mpi"', remedy)
        return 1, 1
    nodes = table.whole("nodes", 1, least=1)
    ntasks = table.whole("ntasks", nodes, least=1)
    if ntasks < nodes:
        remedy = f"write ntasks = {nodes} or more, or fewer nodes"
        table.problem("ntasks", f"{ntasks} ranks cannot be spread over {nodes} nodes", remedy)
    return nodes, max(ntasks, nodes)


def read_env(owner: Table, filler: Filler | None, key: str = "env") -> dict[str, str]:
    """Read a table of environment variables; parameters are filled in when there is a filler."""
    table = owner.table(key)
    env: dict[str, str] = {}
    for name, value in table.data.items():
        if not re.fullmatch(keys.ENV_NAME, name):
            table.problem(name, "is no name of a variable", "use letters, digits and _")
        elif name.startswith("SBX_"):
            table.problem(name, "variables that begin with SBX_ are ours", "call it otherwise")
        elif isinstance(value, (bool, list, dict)) or not isinstance(value, (str, int, float)):
            table.problem(name, f"must be a text, not {kind_of(value)}", "put it in quotes")
        elif isinstance(value, str):
            text = table.text(name) or ""
            env[name] = filler.text(text, table.at(name)) if filler is not None else text
        else:
            env[name] = str(value)
    return env


def read_output_limit(module: Table) -> int:
    """Read how many bytes of a failed attempt's output are kept."""
    limit = module.size_bytes("output_limit", OUTPUT_LIMIT_BYTES)
    if limit > MOST_OUTPUT_BYTES:
        remedy = "write at most '1M'; the whole output is in the attempt's log"
        module.problem("output_limit", f"{module.data['output_limit']} is too much", remedy)
    return limit


def read_to(module: Table, known: Collection[str]) -> tuple[str, ...]:
    """Read `to`: modules of this pipeline, each once."""
    names = module.texts("to")
    for index, name in enumerate(names):
        if name not in known:
            remedy = did_you_mean(name, known, "modules")
            module.notes.problem(module.at("to", index), f"there is no module {name!r}", remedy)
        elif name in names[:index]:
            module.notes.problem(module.at("to", index), f"names {name!r} twice", "name it once")
    return tuple(name for name in dict.fromkeys(names) if name in known)
