"""Every request that the daemon knows, as a table: path, verb, who may ask, what it takes.

The server and the OpenAPI document are made from it. It handles nothing; verbs name handlers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from scalebox_hpc.daemon.keys import Role


@dataclass(frozen=True, slots=True)
class Route:
    """One kind of request. Kinds of fields are `int`, `float`, `text`, `flag`, `object`, `list`."""

    method: str
    path: str
    verb: str
    role: Role
    summary: str
    also: Role | None = None  # another role that may ask for it
    kind: str = "application/json"  # of the answer
    query: Mapping[str, str] = field(default_factory=dict)  # name -> kind; each may be left out
    body: Mapping[str, str] = field(default_factory=dict)  # the same, of the JSON object that is sent


JOIN, INCARNATION, USER = Role.JOIN, Role.INCARNATION, Role.USER
RUN: Final = "/v1/runs/{run}"
TASK: Final = "/v1/runs/{run}/tasks/{task}"

# Which field of the body must name the token's subject.
SUBJECT_FIELD: Final = {JOIN: "try", INCARNATION: "incarnation"}

AGENT_ROUTES: Final = (
    Route(
        "POST",
        "/v1/agent/sync",
        "agent.sync",
        INCARNATION,
        "Say what is held, what came of it, and what there is room for; take offers",
        body={"incarnation": "text", "sync": "int", "took": "int", "clock_us": "int", "wait": "flag"}
        | {"held": "list", "results": "list", "free": "object", "prefetch": "object"}
        | {"walltime_left_s": "float", "leaving": "text", "reason": "text"},
    ),
    Route(
        "POST",
        "/v1/agent/chunk",
        "agent.chunk",
        INCARNATION,
        "Send messages ahead of the report they belong to",
        body={"incarnation": "text", "lease": "text", "seq": "int", "messages": "list"},
    ),
    Route(
        "POST",
        "/v1/agent/sheet",
        "agent.sheet",
        INCARNATION,
        "Fetch what a module's tasks have in common",
        body={"incarnation": "text", "module": "int"},
    ),
    Route(
        "POST",
        "/v1/agent/members",
        "agent.members",
        INCARNATION,
        "Fetch a page of a gather task's members, or of what is missing",
        body={"incarnation": "text", "lease": "text", "after": "int", "what": "text", "limit": "int"},
    ),
    Route(
        "POST",
        "/v1/agent/hello",
        "agent.hello",
        JOIN,
        "Say that an element started; take a token",
        body={"home": "text", "try": "text", "element": "int", "incarnation": "text", "restart": "int"}
        | {"node": "text", "pid": "int", "cpus": "int", "memory_mib": "int", "gpus": "int"}
        | {"scratch_mib": "int", "walltime_left_s": "float", "runtimes": "object", "python": "text"}
        | {"version": "text", "clock_us": "int", "job_id": "text", "nodes": "int"},
    ),
    Route(
        "POST",
        "/v1/agent/ended",
        "agent.ended",
        JOIN,
        "Say that an incarnation is over and its processes are swept",
        body={"try": "text", "element": "int", "incarnation": "text", "restart": "int", "status": "int"},
    ),
)

USER_ROUTES: Final = (
    Route("GET", "/v1/daemon", "daemon.show", USER, "What the daemon is and what it costs"),
    Route("POST", "/v1/daemon/stop", "daemon.stop", USER, "Stop the daemon; agents go on"),
    Route(
        "POST",
        "/v1/runs",
        "run.submit",
        USER,
        "Start a run of a pipeline",
        body={"pipeline": "text", "params": "object", "site": "text", "stdin": "text", "client_dir": "text"},
    ),
    Route("GET", "/v1/runs", "run.list", USER, "All runs, newest first"),
    Route(
        "POST",
        "/v1/runs/remove",
        "run.remove",
        USER,
        "Remove runs that are over, with all that is known of them",
        body={"runs": "list", "older_than_s": "float", "state": "text", "keep": "int"}
        | {"results": "flag", "dry_run": "flag"},
    ),
    Route(
        "GET",
        RUN,
        "run.status",
        USER,
        "How a run is doing; with `version` and `wait_s`, once that is news",
        query={"version": "int", "wait_s": "float"},
    ),
    Route("POST", f"{RUN}/cancel", "run.cancel", USER, "Cancel a run"),
    Route("POST", f"{RUN}/resume", "run.resume", USER, "Continue a run", body={"keep": "list"}),
    Route(
        "POST",
        f"{RUN}/retry",
        "run.retry",
        USER,
        "Make tasks ready again",
        body={"tasks": "list", "module": "text", "exit_code": "int", "cause": "text", "dry_run": "flag"},
    ),
    Route(
        "GET",
        f"{RUN}/tasks",
        "task.list",
        USER,
        "A page of a run's tasks",
        query={"module": "text", "state": "text", "cause": "text", "after": "int", "limit": "int"},
    ),
    Route("GET", TASK, "task.show", USER, "One task and its attempts"),
    Route(
        "GET",
        f"{TASK}/log",
        "task.log",
        USER,
        "A piece of what an attempt wrote",
        query={"attempt": "int", "stream": "text", "offset": "int", "limit": "int", "encoding": "text"},
    ),
    Route(
        "GET",
        f"{RUN}/attempts",
        "attempt.list",
        USER,
        "A page of a run's attempts, for an export",
        query={"after": "int", "until": "int", "limit": "int"},
    ),
    Route(
        "GET",
        "/metrics",
        "metrics.show",
        USER,
        "What the daemon counts, for Prometheus",
        also=Role.METRICS,
        kind="text/plain",
    ),
    Route("GET", "/v1/openapi.json", "openapi", USER, "This document"),
)

ROUTES: Final = (*AGENT_ROUTES, *USER_ROUTES)
LOOKS: Final = frozenset(
    route.verb for route in USER_ROUTES if route.method == "GET" and route.verb != "daemon.show"
)
"""What only looks into the ledger."""
