"""What a task may rely on, whatever it runs in: the bare host, a warm container, or one of its own.

The same cases for each: the bare host; a stand-in for apptainer with namespaces, without (where the
shell inside starts the tasks), and once per task; and the real runtimes, in the cluster in a box.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scalebox_hpc.bundle import build_agent
from tests.cluster.box import CommandFailed, Settings, Site, running_site, skip_reason, wait_until

HERE = Path(__file__).resolve().parent
PYTHON = os.environ.get("SBX_TEST_AGENT_PYTHON", sys.executable)  # another one may run the agent
DIGEST = "sha256:" + "0" * 64
TIMEOUT_S = 60.0

Json = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """One way to run tasks."""

    name: str
    image: str = ""  # of the stand-in: how it behaves; of a real runtime: its path; "" for the bare host
    per_task: bool = False
    runtime: str = "apptainer"
    is_real: bool = False

    @property
    def is_warm(self) -> bool:
        """Whether there is a container that outlives tasks."""
        return bool(self.image) and not self.per_task

    @property
    def has_runner(self) -> bool:
        """Whether its tasks are started by a process of ours inside."""
        return self.is_warm and self.image != "plain"

    @property
    def has_views(self) -> bool:
        """Whether it shows other files than the host does."""
        return bool(self.image) and self.image != "plain"


BARE = Kind("bare")
FAKES = (
    Kind("fake", "spaces"),
    Kind("fake, by its shell", "plain"),
    Kind("fake, per task", "spaces", per_task=True),
)
REALS = (
    Kind("apptainer", "/scratch/images/bb.sif", is_real=True),
    Kind("apptainer, per task", "/scratch/images/bb.sif", per_task=True, is_real=True),
    Kind("charliecloud", "/scratch/images/bb.dir", runtime="charliecloud", is_real=True),
)


class Lab:
    """A place where the agent is run, on this machine or on a node of the box."""

    def __init__(self, kind: Kind, outer: Path, inner: Path, site: Site | None = None) -> None:
        self.kind, self.outer, self.inner, self.site = kind, outer, inner, site
        self.incarnation = ""  # of the last agent
        self.scratch = f"{inner}/scratch"
        for name in ("pipeline/.sbx/shared/runs/r", "pipeline/results", "pipeline/bin", "scratch", "seen"):
            (outer / name).mkdir(parents=True, exist_ok=True)
        (outer / "pipeline/.sbx/secret").write_text("the token\n")
        (outer / "pipeline/.sbx/shared/token").write_text("the token\n")
        (outer / "pipeline/bin/tool").write_text("#!/bin/sh\necho the tool\n")
        (outer / "pipeline/bin/tool").chmod(0o755)
        build_agent(outer / "agent.pyz")
        shutil.copy(HERE / "agent_bench.py", outer)
        if kind.image and not kind.is_real:
            (outer / "path").mkdir()
            shutil.copy(HERE / "fake_apptainer", outer / "path/apptainer")
            (outer / "image").write_text(kind.image + "\n")

    @property
    def seen(self) -> str:
        """Where tasks and tests write to each other, by its name inside."""
        return f"{self.inner}/seen"

    def container(self, **keys: Any) -> Json | None:
        """Return the `container` of a sheet."""
        kind, home = self.kind, f"{self.inner}/pipeline/.sbx"
        if not kind.image:
            return None
        return {
            "image": kind.image if kind.is_real else f"{self.inner}/image",
            "digest": DIGEST,
            "runtime": kind.runtime,
            "args": [],
            "binds": [[self.seen, self.seen, "rw"]],
            "reuse": "task" if kind.per_task else "agent",
            "gpus": False,
            "local_copy": "no",
            "mask": [home, f"{home}/shared"],
            **keys,
        }

    def run(self, script: str, *steps: list[Any], slots: int = 2, **keys: Any) -> Json:
        """Run the steps with an agent whose module runs `script`, and return what came of it."""
        here = str(self.inner)
        sheet = {
            "module": 1,
            "name": "work",
            "run": "r-1",
            "site": "local",
            "words": ["/bin/sh", "-c", script],
            "to": [],
            "modules": ["work"],
            "bin": [["tool", f"{here}/pipeline/bin/tool"]],
            "env": {"MINE": "a 'b'\n\"c\" $(d) ü"},
            "pipeline": f"{here}/pipeline",
            "results": f"{here}/pipeline/results",
            "shared": f"{here}/pipeline/.sbx/shared/runs/r",
            "container": self.container(),
            **keys,
        }
        has_path = (self.outer / "path").is_dir()
        path = {"PATH": f"{here}/path:/usr/bin:/bin:/usr/sbin:/sbin"} if has_path else {}
        spec = {
            "sheets": {1: sheet},
            "slots": slots,
            "shared": f"{here}/pipeline/.sbx/shared",
            "scratch": self.scratch,
            "environ": {"SECRET": "s", **path},
            "steps": steps,
        }
        (self.outer / "steps.json").write_text(json.dumps(spec))
        self._execute()
        out: Json = json.loads((self.outer / "out.json").read_text())
        (self.outer / "out.json").unlink()
        assert (out["left"], out["files"]) == ([], False), "the agent left something"
        return out

    def _execute(self) -> None:
        files = [f"{self.inner}/{name}" for name in ("agent_bench.py", "agent.pyz", "steps.json", "out.json")]
        self.incarnation = secrets.token_hex(8)
        mark = f"SBX_INCARNATION={self.incarnation}"
        if self.site is None:
            words = ["/usr/bin/env", mark, PYTHON, "-I", *files]
            done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
            print(done.stdout, done.stderr)
            assert done.returncode == 0, done.stderr
        else:
            node = self.site.nodes[0]
            self.site.run(node, f"chmod -R a+rwX {self.inner}", root=True)
            print(self.site.run(node, f"{mark} python3 -I {' '.join(files)}", timeout_s=TIMEOUT_S).stderr)

    def host(self, command: str) -> str:
        """Run a command where the agent runs; return what it prints."""
        if self.site is not None:
            return self.site.run(self.site.nodes[0], command, check=False).stdout
        return subprocess.run(command, shell=True, capture_output=True, text=True, check=False).stdout

    def one(self, script: str, body: str = "b", **task: Any) -> Json:
        """Run one task; return its result."""
        result: Json = self.run(script, ["add", {"body": body, **task}], ["results", 1])["results"]["1"]
        return result


@pytest.fixture(scope="module")
def node() -> Iterator[Site]:
    """A site whose first node can run containers, with a directory for charliecloud."""
    with running_site("sitea", Settings()) as site:
        site.run(
            site.nodes[0],
            "cd /scratch/images && { [ -d bb.dir ] || apptainer -q build --sandbox bb.dir bb.sif; }"
            " && mkdir -p prog.dir && cp bb.dir/bin/busybox prog.dir/busybox",
        )
        yield site


@pytest.fixture(
    params=[
        *[pytest.param(kind, id=kind.name) for kind in (BARE, *FAKES)],
        *[pytest.param(kind, id=kind.name, marks=pytest.mark.cluster) for kind in REALS],
    ]
)
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    kind: Kind = request.param
    if not kind.is_real:
        yield Lab(kind, tmp_path, tmp_path)
        return
    reason = skip_reason()
    if reason:
        pytest.skip(reason)
    site: Site = request.getfixturevalue("node")
    outer = site.scratch / "runtimes" / secrets.token_hex(4)
    outer.mkdir(parents=True)
    yield Lab(kind, outer, Path("/scratch") / outer.relative_to(site.scratch), site)
    shutil.rmtree(outer)


@pytest.fixture
def fake(tmp_path: Path) -> Lab:
    """The stand-in with namespaces; tests change its image."""
    return Lab(FAKES[0], tmp_path, tmp_path)


def add(*bodies: str, **keys: Any) -> list[Any]:
    return ["add", *({"body": body, **keys} for body in bodies)]


# what every task may rely on


def test_a_success_has_its_output_and_its_image(lab: Lab) -> None:
    result = lab.one("echo out; echo err >&2")
    assert (result["outcome"], result["exit_code"], result["cause"]) == ("ok", 0, None)
    assert (result["stdout"], result["stderr"]) == ("out\n", "err\n")
    assert result["image"] == (DIGEST if lab.kind.image else "")
    assert result["note"] == ""
    names = ["received", *(["container"] if lab.kind.image else []), "started", "ended", "collected"]
    times = [result["times"][name] for name in names]
    assert times == sorted(times)


def test_exit_codes_and_signals_come_back(lab: Lab) -> None:
    out = lab.run('eval "$SBX_BODY"', add("exit 7", "exit 255", "kill -SEGV $$"), ["results", 3])["results"]
    assert (out["1"]["cause"], out["1"]["exit_code"]) == ("exit", 7)
    assert (out["2"]["cause"], out["2"]["exit_code"]) == ("exit", 255)
    told = (out["3"]["exit_code"], out["3"]["signal"])
    # A runtime may die of the signal of its task, or say it as a shell does.
    one_of = [(None, signal.SIGSEGV), *([(128 + signal.SIGSEGV, None)] if lab.kind.per_task else [])]
    assert told in one_of


def test_usage_comes_back(lab: Lab) -> None:
    result = lab.one("i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done")
    if lab.kind.image != "plain":  # there it is known only while the shell has not reaped it
        assert result["cpu_user_s"] + result["cpu_system_s"] > 0.02
        assert result["max_rss_mib"] > 0


def test_the_environment_is_what_the_contract_says(lab: Lab) -> None:
    headers = {"obs-id": "L'1'\n$(x) \"ü\""}
    # A failure, because more of its output is kept.
    script = 'printf "%s|" "$SBX_BODY" "$SBX_HEADER_OBS_ID" "$MINE"; env; tool; exit 1'
    result = lab.one(script, "ü 'x' \"y\" $(z) \\ `w`", headers=headers)
    body, header, mine, rest = result["stdout"].split("|", 3)
    assert body == "ü 'x' \"y\" $(z) \\ `w`"
    assert (header, mine) == (headers["obs-id"], "a 'b'\n\"c\" $(d) ü")
    env = dict(line.split("=", 1) for line in rest.splitlines() if "=" in line)
    assert (env["SBX_TASK"], env["SBX_SLOT"], env["SBX_MODULE"]) == ("work.1", "0", "work")
    assert env["PATH"].split(":")[0].endswith("/bin/1")
    assert "SECRET" not in env
    assert not [name for name in env if "STANDING" in name]
    assert rest.splitlines()[-1] == "the tool"


def test_it_starts_in_its_empty_work_directory(lab: Lab) -> None:
    result = lab.one('[ "$PWD" = "$SBX_WORK" ] && pwd && ls -A && cat && echo end; echo x > messages.txt')
    assert result["stdout"].splitlines()[1:] == ["end"]
    assert result["outcome"] == "failed"  # nobody takes messages: the file was read
    assert "messages.txt" in result["note"]


def test_several_run_at_once(lab: Lab) -> None:
    script = f"touch {lab.seen}/$SBX_BODY; while [ $(ls {lab.seen} | wc -l) -lt 4 ]; do sleep 0.01; done"
    out = lab.run(script, add(*"abcd"), ["results", 4], slots=4)
    assert {result["outcome"] for result in out["results"].values()} == {"ok"}
    assert {result["slot"] for result in out["results"].values()} == {0, 1, 2, 3}


def test_how_far_it_is_is_told_while_it_runs(lab: Lab) -> None:
    says = '{"done": 1, "total": 2, "rate": 3, "unit": "laps"}'
    script = f"echo '{says}' > p; mv p progress.json; while [ ! -e {lab.seen}/go ]; do sleep 0.01; done"
    steps = ["progress", 1], ["write", f"{lab.seen}/go", ""], ["results", 1]
    out = lab.run(script, add("x"), *steps)
    assert out["seen"] == [[1, 2, 3, "laps"]]
    assert out["results"]["1"]["outcome"] == "ok"


def test_a_program_that_is_absent_is_launch(lab: Lab) -> None:
    out = lab.run("", add("x"), ["results", 1], words=["no-such-program"])
    assert (out["results"]["1"]["cause"], out["results"]["1"]["exit_code"]) == (
        "launch",
        None if not lab.kind.per_task else out["results"]["1"]["exit_code"],
    )
    assert "no-such-program" in out["results"]["1"]["note"]


def test_text_runs_in_the_best_shell_there_is(lab: Lab) -> None:
    text = {"words": None, "shell": ["bash", "-euo", "pipefail", "-c"], "text": 'echo "$1"', "values": ["v"]}
    result = lab.run("", add("x"), ["results", 1], **text)["results"]["1"]
    assert result["stdout"] == "v\n"


# limits and leftovers


def test_a_time_limit_is_term_and_then_kill(lab: Lab) -> None:
    obeys = f"trap 'echo bye; exit 3' TERM; echo on > {lab.seen}/a; while :; do sleep 0.05; done"
    deaf = "trap '' TERM; echo deaf; while :; do sleep 0.05; done"
    script = f'if [ "$SBX_BODY" = obeys ]; then {obeys}; else {deaf}; fi'
    time_s = 4.0 if lab.kind.per_task else 1.0  # it includes the start of a container
    out = lab.run(script, add("obeys", "deaf", time_s=time_s), ["results", 2])["results"]
    assert (out["1"]["cause"], out["2"]["cause"]) == ("timeout", "timeout")
    assert out["1"]["stdout"] == "bye\n"
    assert out["1"]["exit_code"] == 3
    assert out["2"]["stdout"] == "deaf\n"


def test_a_daemon_that_it_leaves_dies_with_the_attempt(lab: Lab) -> None:
    script = f"""
        (setsid sh -c 'echo $$ > {lab.seen}/new; mv {lab.seen}/new {lab.seen}/pid; trap "" TERM HUP
                       while :; do sleep 1; done' &)
        while [ ! -e {lab.seen}/pid ]; do sleep 0.01; done
    """
    out = lab.run(script, add("x"), ["results", 1], ["alive", f"{lab.seen}/pid"])
    assert out["results"]["1"]["outcome"] == "ok"
    assert out["seen"] == [[False]]


def test_another_task_keeps_what_it_started(lab: Lab) -> None:
    long = f"""
        (setsid sh -c 'echo $$ > {lab.seen}/new; mv {lab.seen}/new {lab.seen}/pid; exec sleep 60' &)
        while [ ! -e {lab.seen}/go ]; do sleep 0.01; done
    """
    script = f'if [ "$SBX_BODY" = long ]; then {long}\nfi'
    out = lab.run(
        script,
        *(add("long"), ["file", f"{lab.seen}/pid"], add("short"), ["results", 1]),
        *(["alive", f"{lab.seen}/pid"], ["write", f"{lab.seen}/go", ""], ["results", 2]),
        ["alive", f"{lab.seen}/pid"],
    )
    assert out["seen"] == [[True], [False]]


def test_temporary_files_do_not_reach_the_next_task(lab: Lab) -> None:
    if not lab.kind.image:
        pytest.skip("the host's temporary files are the user's own")
    places = "$TMPDIR" if lab.kind.image == "plain" else "/tmp /var/tmp"
    script = f"""
        for place in $TMPDIR {places}; do ls -A $place/left* 2>/dev/null; done
        for place in {places}; do
            mkdir -p $place/left/deep; touch $place/left/x $place/left-file; chmod 500 $place/left
        done
    """
    out = lab.run(script, ["many", 6], ["results", 6])["results"]
    assert [result["stdout"] for result in out.values()] == [""] * 6
    assert {result["outcome"] for result in out.values()} == {"ok"}


def test_home_and_shared_folder_are_out_of_sight(lab: Lab) -> None:
    if not lab.kind.has_views:
        pytest.skip("it sees what the host sees")
    script = """
        cd "$SBX_PIPELINE/.sbx"; cat secret shared/token; find . ! -type d
        echo kept > "$SBX_SHARED/x" && echo too > "$SBX_RESULTS/x" && cat "$SBX_PIPELINE/bin/tool"
    """
    result = lab.one(script)
    assert "the token" not in result["stdout"] + result["stderr"]
    assert result["stdout"].endswith("echo the tool\n")
    assert (lab.outer / "pipeline/.sbx/shared/runs/r/x").read_text() == "kept\n"
    assert (lab.outer / "pipeline/results/x").read_text() == "too\n"


def test_a_dead_lease_is_killed(lab: Lab) -> None:
    script = f"echo $$ > {lab.seen}/new; mv {lab.seen}/new {lab.seen}/pid; sleep 60"
    out = lab.run(script, add("x"), ["file", f"{lab.seen}/pid"], ["dead", 1], add("y"))
    assert out["results"] == {}


def test_an_agent_that_is_told_to_end_leaves_nothing(lab: Lab) -> None:
    out = lab.run(
        f"touch {lab.seen}/up; sleep 60", add("x"), ["file", f"{lab.seen}/up"], ["terminate"], ["results", 1]
    )
    assert [each["cause"] for each in out["results"].values()] == ["preempted"]


# containers that die


@pytest.mark.parametrize("what", ["anchor", "shell", "runner"])
def test_a_task_whose_container_dies_is_launch_and_the_next_gets_a_new_one(lab: Lab, what: str) -> None:
    if not lab.kind.is_warm or (what != "anchor" and not lab.kind.has_runner):
        pytest.skip("it has no such process")
    script = f"""
        if [ "$SBX_BODY" = long ]; then
            (setsid sh -c 'echo $$ > {lab.seen}/new; mv {lab.seen}/new {lab.seen}/pid; exec sleep 60' &)
            sleep 60
        fi
    """
    out = lab.run(
        script,
        *(add("short"), ["results", 1], add("long"), ["file", f"{lab.seen}/pid"], ["kill", what]),
        *(["results", 2], ["alive", f"{lab.seen}/pid"], add("short", "short"), ["results", 4]),
    )
    outcomes = [(result["outcome"], result["cause"]) for result in out["results"].values()]
    assert outcomes == [("ok", None), ("failed", "launch"), ("ok", None), ("ok", None)]
    assert "its container ended" in out["results"]["2"]["note"]
    assert out["seen"] == [[False]]


def test_an_image_whose_files_vanish_is_launch_and_the_next_task_gets_a_new_container(lab: Lab) -> None:
    if not (lab.kind.is_warm and lab.kind.image.endswith(".sif")):
        pytest.skip("nothing serves the files of its image")
    script = f"""
        [ "$SBX_BODY" = long ] || exit 0
        : > {lab.seen}/up; while [ ! -e {lab.seen}/go ]; do :; done; /bin/date
    """
    out = lab.run(
        script,
        *(add("short"), ["results", 1], add("long"), ["file", f"{lab.seen}/up"], ["kill", "files"]),
        *(["write", f"{lab.seen}/go", ""], ["results", 2], add("short"), ["results", 3]),
    )["results"]
    assert [out[number]["cause"] for number in "123"] == [None, "launch", None]
    assert "the files of its image cannot be read any more" in out["2"]["note"]


def test_a_killed_agent_takes_its_containers_with_it(lab: Lab) -> None:
    if not lab.kind.is_warm:
        pytest.skip("nothing of it outlives a task")
    script = f"if [ $SBX_BODY = long ]; then : > {lab.seen}/up; sleep 60; fi"
    steps = (add("short"), ["results", 1], add("long"), ["file", f"{lab.seen}/up"], ["die"])
    with pytest.raises((AssertionError, CommandFailed)):
        lab.run(script, *steps)
    # What the wrapper of an element kills: everything with our marker, and nothing is left to it but tasks.
    marked = f"grep -ls SBX_INCARNATION={lab.incarnation} /proc/[0-9]*/environ"
    lab.host(f"for f in $({marked}); do d=${{f%/environ}}; kill -9 ${{d#/proc/}}; done; true")
    still = f"{marked}; pgrep -f '{lab.inner}/[a]gent.pyz'; {'pgrep squashfuse' if lab.kind.is_real else ''}"
    wait_until(lambda: lab.host(still) == "", 10, "nothing left")


def test_a_thousand_tasks_leave_nothing_behind(lab: Lab) -> None:
    if not lab.kind.is_warm:
        pytest.skip("nothing of it outlives a task")
    out = lab.run(
        'mkdir d; : > d/f; : > "$TMPDIR/f"; (setsid sleep 60 &)',
        *(["many", 50], ["results", 50], ["settled"], ["count"]),
        *(["many", 1000], ["results", 1050], ["settled"], ["count"]),
    )
    assert {result["outcome"] for result in out["results"].values()} == {"ok"}
    before, after = out["seen"]
    assert after["files"] <= before["files"] + 4  # where the last tasks have just left something
    assert (after["fds"], after["processes"]) == (before["fds"], before["processes"])


# containers that cannot be opened, by the stand-in


def test_an_image_without_a_shell_gets_a_container_for_each_task(fake: Lab) -> None:
    (fake.outer / "image").write_text("noshell\n")
    out = fake.run("", *(add("a", "b"), ["results", 2]), words=["env"])["results"]
    assert {result["outcome"] for result in out.values()} == {"ok"}
    assert "FROM_IMAGE=1" in out["1"]["stdout"]
    assert ["one container for each task" in result["note"] for result in out.values()] == [True, True]


def test_a_container_that_never_starts_is_launch_and_says_why(fake: Lab) -> None:
    (fake.outer / "image").write_text("dies\n")
    out = fake.run("", add("a"), ["results", 1], add("b"), ["results", 2])["results"]
    assert {result["cause"] for result in out.values()} == {"launch"}
    assert all("FATAL: the image is broken" in result["note"] for result in out.values())


@pytest.mark.parametrize("local_copy", ["no", "file", "unpacked"])
def test_a_container_without_room_for_its_files_is_launch_and_the_agent_works_on(
    fake: Lab, local_copy: str
) -> None:
    container = {**(fake.container() or {}), "local_copy": local_copy}
    occupied = ["occupy", "containers/1/said"]
    steps = (occupied, add("a"), ["results", 1], add("b"), ["results", 2])
    out = fake.run("", *steps, container=container)["results"]
    assert {result["cause"] for result in out.values()} == {"launch"}
    assert all("containers/1/said" in result["note"] for result in out.values())


def test_three_deaths_in_a_row_are_enough(fake: Lab) -> None:
    steps: list[list[Any]] = []
    for number in range(1, 4):
        up = f"{fake.seen}/up-{number}"
        steps += [add(str(number)), ["file", up], ["kill", "anchor"], ["results", number]]
    script = f"touch {fake.seen}/up-$SBX_BODY; sleep 60"
    out = fake.run(script, *steps, add("4"), ["results", 4])["results"]
    assert {result["cause"] for result in out.values()} == {"launch"}
    assert "3 times in a row" in out["4"]["note"]
    assert not (fake.outer / "seen/up-4").exists()


def test_a_task_that_waits_for_its_container_can_be_given_back(fake: Lab) -> None:
    os.mkfifo(fake.outer / "slow")
    container = {**(fake.container() or {}), "image": f"{fake.inner}/slow"}
    out = fake.run("", add("a"), ["terminate"], ["results", 1], container=container)
    assert out["results"] == {}


def test_what_cannot_be_is_said(fake: Lab) -> None:
    wrong = {"image": "/no/such.sif"}, {"runtime": "podman"}, {"binds": [["/no/such", "/x", "ro"]]}
    texts = ["/no/such.sif does not exist", "podman is unknown", "/no/such does not exist"]
    for keys, text in zip(wrong, texts, strict=True):
        container = {**(fake.container() or {}), **keys}
        result = fake.run("", add("a"), ["results", 1], container=container)["results"]["1"]
        assert result["cause"] == "launch"
        assert text in result["note"]


def copied(fake: Lab, local_copy: str, **keys: Any) -> Json:
    """A container whose image is copied to the node, with the digest that it has now."""
    digest = "sha256:" + hashlib.sha256((fake.outer / "image").read_bytes()).hexdigest()
    return {**(fake.container() or {}), "local_copy": local_copy, "digest": digest, **keys}


def kept(fake: Lab) -> list[str]:
    """How the names end of what is kept of images on the node."""
    copies = fake.outer / "scratch" / f"sbx-images-{os.getuid()}"
    return sorted(path.name.partition(".")[2] for path in copies.iterdir())


@pytest.mark.parametrize(("local_copy", "suffix"), [("file", "sif"), ("unpacked", "dir")])
@pytest.mark.parametrize("reuse", ["agent", "task"])
def test_an_image_is_copied_once_to_the_node(fake: Lab, local_copy: str, suffix: str, reuse: str) -> None:
    local = copied(fake, local_copy, reuse=reuse)
    for _ in range(2):
        result = fake.run("", add("a"), ["results", 1], container=local)["results"]["1"]
        assert (result["outcome"], result["image"], result["note"]) == ("ok", local["digest"], "")
        assert kept(fake) == [suffix, f"{suffix}.lock"]
        (fake.outer / "image").write_text("dies\n")  # the copy is used
    wrong = {**local, "digest": DIGEST}
    result = fake.run("", add("a"), ["results", 1], container=wrong)["results"]["1"]
    assert result["cause"] == "launch"
    assert "is not what the run began with" in result["note"]


@pytest.mark.parametrize(
    ("kind", "why"), [("solid", "could not be unpacked: it is solid"), ("shut", "containers are not allowed")]
)
def test_an_image_whose_copy_is_of_no_use_is_run_from_where_it_lies(fake: Lab, kind: str, why: str) -> None:
    (fake.outer / "image").write_text(f"{kind}\n")
    steps = add("a", "b"), ["results", 2], add("c"), ["results", 3]
    out = fake.run("", *steps, container=copied(fake, "unpacked"))["results"]
    assert {result["outcome"] for result in out.values()} == {"ok"}
    assert all("run from where it lies" in result["note"] for result in out.values())
    assert all(why in result["note"] for result in out.values())


def test_without_a_place_for_copies_an_image_is_run_from_where_it_lies(fake: Lab) -> None:
    (fake.outer / "scratch" / f"sbx-images-{os.getuid()}").touch()
    for local_copy in ("file", "unpacked"):
        out = fake.run("", add("a"), ["results", 1], container=copied(fake, local_copy))["results"]
        assert out["1"]["outcome"] == "ok"
        assert "run from where it lies" in out["1"]["note"]


def test_a_container_that_may_be_written_gets_no_directory_that_others_use(fake: Lab) -> None:
    local = copied(fake, "unpacked", args=["--writable"])
    assert fake.run("", add("a"), ["results", 1], container=local)["results"]["1"]["outcome"] == "ok"
    assert kept(fake) == ["sif", "sif.lock"]


# and with the real one


@pytest.mark.cluster
def test_a_real_image_without_a_shell_gets_a_container_for_each_task(node: Site) -> None:
    outer = node.scratch / "runtimes" / secrets.token_hex(4)
    outer.mkdir(parents=True)
    kind = Kind("apptainer", "/scratch/images/prog.dir", is_real=True)
    lab = Lab(kind, outer, Path("/scratch") / outer.relative_to(node.scratch), node)
    out = lab.run("", add("a"), ["results", 1], words=["/busybox", "echo", [["body"]]])["results"]["1"]
    assert (out["outcome"], out["stdout"]) == ("ok", "a\n")
    assert "one container for each task" in out["note"]
    shutil.rmtree(outer)


@pytest.fixture
def closed_image(node: Site) -> Iterator[Path]:
    """A real image with a directory that its owner may not write to, from outside; it can be run too."""
    node.run(
        node.nodes[0],
        "cd /scratch/images && rm -rf closed.dir && cp -a bb.dir closed.dir && mkdir closed.dir/closed"
        " && touch closed.dir/closed/file && chmod 500 closed.dir/closed && chmod 555 closed.dir"
        " && apptainer -q build --force closed.sif closed.dir && chmod 644 closed.sif && rm -r closed.dir",
        root=True,
    )
    image = node.scratch / "images/closed.sif"
    yield image
    image.unlink()


def digest_of(image: Path) -> str:
    return "sha256:" + hashlib.sha256(image.read_bytes()).hexdigest()


SERVERS = """
servers() {
    for each in /proc/[0-9]*; do
        read -r name <$each/comm && case $name in squashfuse*) echo "$name" ;; esac
    done 2>/dev/null
}
for look in 1 2 3 4 5 6 7 8 9 10; do  # a server of a container that is over may take a while to end
    [ -n "$(servers)" ] || break
    sleep 0.3
done
servers
ls -d /closed
"""
COUNTED = """#!/bin/sh
case " $* " in *" build "*) echo "$*" >>"${0%/*}/built" ;; esac
exec /usr/bin/apptainer "$@"
"""


@pytest.mark.cluster
def test_two_agents_unpack_a_real_image_once_and_run_it_as_a_directory(
    node: Site, closed_image: Path
) -> None:
    outer = node.scratch / "runtimes" / secrets.token_hex(4)
    inner = Path("/scratch") / outer.relative_to(node.scratch)
    kind = Kind("apptainer", "/scratch/images/closed.sif", is_real=True)
    labs = [Lab(kind, outer / name, inner / name, node) for name in ("one", "two")]
    for lab in labs:
        lab.scratch = str(inner / "scratch")
        (lab.outer / "path").mkdir()
        (lab.outer / "path/apptainer").write_text(COUNTED)
        (lab.outer / "path/apptainer").chmod(0o755)
    (outer / "scratch").mkdir()
    node.run(node.nodes[0], f"chmod 777 {inner}/scratch", root=True)
    digest = digest_of(closed_image)

    def run(lab: Lab, local_copy: str) -> Json:
        container = lab.container(local_copy=local_copy, digest=digest)
        result: Json = lab.run(SERVERS, add("a"), ["results", 1], container=container)["results"]["1"]
        assert (result["outcome"], result["note"], result["image"]) == ("ok", "", digest)
        return result

    with ThreadPoolExecutor(2) as pool:
        for result in pool.map(run, labs, ["unpacked", "unpacked"]):
            assert result["stdout"] == "/closed\n"
    assert sum(path.read_text().count("\n") for path in outer.glob("*/path/built")) == 1
    (copies,) = (outer / "scratch").glob("sbx-images-*")
    assert len(list(copies.iterdir())) == 2  # and the lock
    assert "squashfuse" in run(labs[0], "no")["stdout"]  # so it would have been seen
    shutil.rmtree(outer)


@pytest.mark.cluster
def test_what_was_unpacked_in_vain_is_removed_by_an_ordinary_user(node: Site, closed_image: Path) -> None:
    outer = node.scratch / "runtimes" / secrets.token_hex(4)
    outer.mkdir(parents=True)
    build_agent(outer / "agent.pyz")
    here = Path("/scratch") / outer.relative_to(node.scratch)
    node.run(node.nodes[0], f"chmod -R a+rwX {here}", root=True)
    script = "apptainer -q build --sandbox tree image.sif 2>/dev/null; ls -d tree/closed; exit 7"
    words = ["copy", "/scratch/images/closed.sif", f"{here}/copies/x.dir", digest_of(closed_image)]
    command = shlex.join(["python3", "-I", f"{here}/agent.pyz", *words, "/bin/sh", "-c", script])
    done = node.run(node.nodes[0], command, check=False)
    assert done.returncode == 1
    assert "could not be unpacked: tree/closed" in done.stderr
    assert node.run(node.nodes[0], f"ls {here}/copies").stdout == "x.dir.lock\n"
    shutil.rmtree(outer)
