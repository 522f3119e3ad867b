"""Whatever is asked of the API, the daemon answers without a 500 and goes on."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.transport import Response

from scalebox_hpc.daemon.keys import Role
from scalebox_hpc.daemon.openapi import document
from scalebox_hpc.daemon.routes import ROUTES, Route
from tests.security.scene import Scene

EXAMPLES = 20  # of each operation, valid ones and others
ANSWERS = {200, 400, 401, 404, 405, 408, 409, 413, 429, 503}
ASKED = [route for route in ROUTES if route.verb != "daemon.stop"]
BOUNDED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@cache
def schema() -> Any:
    return schemathesis.openapi.from_dict(document(ROUTES, "0"))


def test_the_document_that_the_daemon_gives_is_the_one_tested(scene: Scene) -> None:
    status, given_out = scene.as_user("GET", "/v1/openapi.json")
    assert status == 200
    assert given_out["paths"] == json.loads(json.dumps(document(ROUTES, "0")["paths"]))


def told(scene: Scene, route: Route) -> tuple[str, dict[str, Any]]:
    """A token that fits the route, and what a body must say for it."""
    match route.role:
        case Role.JOIN:
            return scene.keys.join_token(scene.tries[0]), {"try": scene.tries[0]}
        case Role.INCARNATION:
            name = scene.incarnations[0]
            return scene.keys.incarnation_token(name), {"incarnation": name}
        case Role.USER:
            return scene.keys.user_token(), {}


@pytest.mark.parametrize("route", ASKED, ids=lambda route: route.verb)
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_no_request_is_answered_with_a_500(scene: Scene, route: Route, mode: GenerationMode) -> None:
    token, subject = told(scene, route)
    operation = schema()[route.path][route.method]
    alive = scene.contact["pid"]
    with requests.Session() as session:
        session.trust_env = False  # or the environment names another certificate

        @BOUNDED
        @given(case=operation.as_strategy(generation_mode=mode), existing=st.booleans())
        def ask(case: schemathesis.Case, existing: bool) -> None:
            if existing and case.path_parameters:
                case.path_parameters = {"run": "newest", "task": "work.1"}
            if isinstance(case.body, dict):
                case.body |= subject | ({"dry_run": True} if route.verb == "run.remove" else {})
            if isinstance(case.query, dict) and "wait_s" in case.query:
                case.query["wait_s"] = 0
            answer: Response = case.call(
                base_url=f"https://localhost:{scene.port}",
                session=session,
                headers={"Authorization": f"Bearer {token}"},
                verify=str(scene.home / "tls.crt"),
                timeout=30,
            )
            assert answer.status_code in ANSWERS, (case.as_curl_command(), answer.text)

        ask()
    status, about = scene.as_user("GET", "/v1/daemon")
    assert (status, about["pid"]) == (200, alive), "it is still the same daemon"


ODD_FIELDS: list[tuple[str, dict[str, Any]]] = [
    ("/v1/runs", {}),
    ("/v1/runs", {"pipeline": None}),
    ("/v1/runs", {"pipeline": 5}),
    ("/v1/runs", {"pipeline": "a\0b"}),
    ("/v1/runs", {"pipeline": "/" + "x" * 5000}),
    ("/v1/runs", {"pipeline": "/dev/null", "params": {"x": 1}}),
    ("/v1/runs", {"pipeline": "/", "site": "../../etc/passwd"}),
    ("/v1/runs", {"pipeline": "pipeline.toml", "client_dir": 7}),
    ("/v1/runs", {"pipeline": "{here}/pipeline.toml", "stdin": "/no/such/file\0"}),
    ("/v1/runs", {"pipeline": "{here}/pipeline.toml", "site": "a" * 5000}),
    ("/v1/runs", {"pipeline": "{here}/pipeline.toml", "params": {"\0": "x"}}),
    ("/v1/runs/newest/retry", {"tasks": 5}),
    ("/v1/runs/newest/retry", {"tasks": [5, None, {}]}),
    ("/v1/runs/newest/retry", {"tasks": ["work." + "9" * 5000]}),
    ("/v1/runs/newest/retry", {"tasks": ["work.²", "work.٣", ".", ""]}),
    ("/v1/runs/newest/retry", {"module": ["x"], "exit_code": "1"}),
    ("/v1/runs/newest/retry", {"exit_code": 1 << 63}),
    ("/v1/runs/newest/resume", {"keep": {"x": 1}}),
    ("/v1/runs/newest/resume", {"keep": [[]]}),
    ("/v1/runs/no\0such/cancel", {}),
]


@pytest.mark.parametrize(("path", "body"), ODD_FIELDS)
def test_what_once_ended_the_daemon_is_refused(scene: Scene, path: str, body: dict[str, Any]) -> None:
    here = str(scene.lab.directory)
    sent = {
        name: value.replace("{here}", here) if isinstance(value, str) else value
        for name, value in body.items()
    }
    status, said = scene.as_user("POST", path.replace("\0", "%00"), sent)
    assert status in {200, 400, 404, 409}
    assert status == 200 or said["error"]
    assert scene.as_user("GET", "/v1/daemon")[0] == 200


@pytest.mark.parametrize(
    "query",
    ["offset=-5", f"offset={(1 << 63) - 1}", "limit=-1", "limit=0", "attempt=-1", "stream=%00", "offset=nan"],
)
def test_a_log_is_read_within_its_bounds(scene: Scene, query: str) -> None:
    status, said = scene.as_user("GET", f"/v1/runs/newest/tasks/work.1/log?{query}")
    assert status in {200, 400}
    assert "done b" not in said.get("text", ""), "of another task"
