"""What fails, hangs or is killed: retries, timeouts, lost agents and daemons. S20, S23, S24, S25."""

import json
import os
import shlex
import signal
import subprocess
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from tests.scenarios.lab import Lab, attempts_of, command_lines

LOSSES = {"agent_lost", "node_lost"}
ENDINGS = LOSSES | {"preempted"}  # an element that is given back may have started just then


def test_s20_retries_by_exit_code(lab: Lab) -> None:
    lab.pipeline(
        """
        sbx = 1
        [pipeline]
        name = "retries"
        [modules.work]
        run = ["./work.sh", "{body}"]
        seed = ["0"]
        to = ["work"]
        retry = [{ on = [1], retries = 3 }, { on = [2], retries = 2 }, { on = "exit", retries = 1 }]
        """,
        work_sh="#!/bin/sh\n: > messages.txt\n"
        "if [ $1 = 0 ]; then printf '1\\n2\\n3\\n' > messages.txt; fi\nexit $(($1 % 4))\n",
    )
    lab.run(exit_code=1)
    rows = lab.rows()
    assert Counter(row["body"] for row in rows) == {"0": 1, "1": 4, "2": 3, "3": 2}
    last = {attempts[-1]["body"]: attempts[-1]["exit_code"] for attempts in attempts_of(rows).values()}
    assert last == {"0": "0", "1": "1", "2": "2", "3": "3"}
    assert lab.states("work") == {"SUCCEEDED": 1, "FAILED": 3}
    assert lab.status()["state"] == "FAILED"


SLOW = """
sbx = 1
[pipeline]
name = "slow"
[pools.default]
slots = 1
[modules.work]
run = ["./work.sh", "{body}"]
seed = ["slow", "quick"]
resources = { time = "2s" }
"""


def test_s23_a_timeout_ends_the_task_and_not_the_agent(lab: Lab) -> None:
    ticking = "#!/bin/sh\n[ $1 = quick ] && exit 0\nfor i in $(seq 20); do echo tick $i; sleep 1; done\n"
    lab.pipeline(SLOW, work_sh=ticking)
    lab.run(exit_code=1)
    slow, quick = (next(row for row in lab.rows() if row["body"] == body) for body in ("slow", "quick"))
    assert (slow["outcome"], slow["cause"]) == ("FAILED", "timeout")
    assert 1.9 < float(slow["run_s"]) < 8
    assert slow["stdout"].startswith("tick 1\ntick 2\n")
    assert quick["outcome"] == "SUCCEEDED"
    assert (slow["allocation"], slow["element"]) == (quick["allocation"], quick["element"])


def test_s24_after_a_timeout_nothing_of_the_attempt_is_alive(lab: Lab) -> None:
    stubborn = (
        "#!/bin/bash\ntrap '' TERM\n"
        "( setsid bash -c 'trap \"\" TERM; while :; do sleep 1; done' & ) &\n"
        "if [ $1 = quick ]; then exit 0; fi\nwhile :; do sleep 1; done\n"
    )
    lab.pipeline(SLOW, work_sh=stubborn)
    lab.run(exit_code=1)
    run = lab.status()["run"]
    assert Counter(row["cause"] for row in lab.rows()) == {"timeout": 1, "": 1}
    assert lab.processes_of_run(run) == []


WAITING = """
sbx = 1
[pipeline]
name = "waiting"
[modules.work]
run = "echo {body} > messages.txt; sleep 2"
seed = ["1", "2", "3", "4", "5", "6"]
to = ["total"]
resources = { memory = "50M" }
[modules.total]
run = "paste -sd+ {bodies}"
gather = { by = "all" }
resources = { memory = "50M" }
"""


def test_s25_tasks_of_a_killed_agent_come_back_at_once(lab: Lab) -> None:
    lab.pipeline(WAITING)
    lab.run("--detach")
    lab.wait(lambda: lab.module("work")["running"] > 0, 60, "a running task")
    killed_at = datetime.now(UTC)
    for pid in lab.agents():
        os.kill(pid, signal.SIGKILL)
    assert lab.wait_for_end()["state"] == "SUCCEEDED"
    rows = lab.rows()
    lost = [row["task"] for row in rows if row["cause"] in LOSSES]
    assert lost
    for task in lost:
        started = datetime.fromisoformat(attempts_of(rows)[task][-1]["started"])
        assert (started - killed_at).total_seconds() < 30 * lab.place.patience
    [total] = [row for row in rows if row["module"] == "total"]
    assert total["stdout"] == "1+2+3+4+5+6\n"


# ---- kill -9 in the middle of primes: totals stay exact, every attempt explains itself


def start_primes(lab: Lab) -> None:
    """Primes below a million as 1000 tasks of some tens of milliseconds each."""
    lab.example("primes")
    lab.run("--detach", "-p", "step=1000")


def wait_for_succeeded(lab: Lab, number: int) -> None:
    """Wait until so many ranges are counted."""
    lab.wait(lambda: lab.module("count")["succeeded"] >= number, 90, f"{number} ranges counted")


def kill_agents(lab: Lab) -> None:
    """Kill -9 all agents, wherever they run."""
    for pid in lab.wait(lab.agents, 30, "an agent"):
        with suppress(ProcessLookupError):  # it may have left by itself
            os.kill(pid, signal.SIGKILL)


def check_primes(lab: Lab) -> None:
    """The total is exact and the report tells a story without holes."""
    status = lab.wait_for_end()
    assert status["state"] == "SUCCEEDED", json.dumps(status, indent=1)
    assert lab.result("total.txt") == "78498\n"
    assert lab.states("count") == {"SUCCEEDED": 1000}
    rows = lab.rows()
    assert len({(row["task"], row["lease"]) for row in rows}) == len(rows)
    for task, attempts in attempts_of(rows).items():
        assert [row["outcome"] for row in attempts].count("SUCCEEDED") == 1, task
        assert attempts[-1]["outcome"] == "SUCCEEDED", task
        assert [int(row["attempt"]) for row in attempts] == list(range(1, len(attempts) + 1)), task
        causes = [(row["cause"], row["exit_code"], row["signal"], row["host"]) for row in attempts]
        assert all(cause in ENDINGS for cause, *_ in causes[:-1]), causes
        assert all(row["site"] and row["host"] and row["leased"] and row["recorded"] for row in attempts), (
            task
        )
    assert lab.processes_of_run(status["run"]) == []


def test_kill_9_of_agents_in_the_middle_of_primes(lab: Lab) -> None:
    start_primes(lab)
    for number in (100, 400, 700):
        wait_for_succeeded(lab, number)
        kill_agents(lab)
    check_primes(lab)
    assert any(row["cause"] in LOSSES for row in lab.rows())


def test_kill_9_of_the_daemon_in_the_middle_of_primes(lab: Lab) -> None:
    start_primes(lab)
    for number in (100, 400, 700):
        wait_for_succeeded(lab, number)
        lab.kill_daemon()
        started = lab.sbx("daemon", "start")
        assert started.exit_code == 0, str(started)
    check_primes(lab)


def test_kill_9_of_daemon_and_agents_together_in_the_middle_of_primes(lab: Lab) -> None:
    start_primes(lab)
    wait_for_succeeded(lab, 100)
    lab.kill_daemon()
    kill_agents(lab)
    assert lab.sbx("daemon", "start").exit_code == 0
    wait_for_succeeded(lab, 500)
    kill_agents(lab)
    lab.kill_daemon()
    assert lab.sbx("daemon", "start").exit_code == 0
    check_primes(lab)


def test_kill_9_of_everything_at_once_in_the_middle_of_primes(lab: Lab) -> None:
    start_primes(lab)
    wait_for_succeeded(lab, 200)
    lab.kill_all()
    assert lab.sbx("daemon", "start").exit_code == 0
    check_primes(lab)


def test_agents_work_on_while_the_daemon_is_dead(lab: Lab) -> None:
    """Results of an agent that ends without a daemon are found in its spool; nothing runs twice."""
    lab.pipeline(WAITING)
    lab.run("--detach")
    lab.wait(lambda: lab.module("work")["running"] > 0, 60, "a running task")
    lab.kill_daemon()
    started = lab.sbx("daemon", "start")
    assert started.exit_code == 0, str(started)
    assert lab.wait_for_end()["state"] == "SUCCEEDED"
    assert Counter(row["outcome"] for row in lab.rows()) == {"SUCCEEDED": 7}


def test_a_killed_agent_leaves_no_process_of_its_tasks(lab: Lab) -> None:
    lab.pipeline(WAITING.replace("sleep 2", "setsid sleep 600 & sleep 1"))
    lab.run("--detach")
    run = lab.status()["run"]
    lab.wait(lambda: lab.module("work")["running"] > 0, 60, "a running task")
    lab.wait(lambda: lab.processes_of_run(run), 30, "its processes")
    first = set(lab.processes_of_run(run))
    kill_agents(lab)
    lab.wait(
        lambda: not first & set(lab.processes_of_run(run)), 30, "the end of the killed agent's processes"
    )


def test_a_node_without_room_is_said_and_costs_no_attempt(lab: Lab) -> None:
    if os.geteuid() != 0 or lab.place.site is not None:
        pytest.skip("needs root to mount a small disk, on this machine")
    scratch = lab.directory / "scratch"
    scratch.mkdir()
    lab.pipeline(WAITING.replace("sleep 2", "true"))
    lab.file("site-configs/small.toml", f'batch = "local"\n[paths]\nscratch = "{scratch}"\n')
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=9M,nr_inodes=1", "tmpfs", scratch], check=True)
    try:
        lab.run("--detach", "--site", "small")
        lab.wait(lambda: "ENOSPC" in lab.status()["pools"][0]["reason"], 60, "a word of the full disk")
        assert str(scratch) in lab.status()["pools"][0]["reason"]
        subprocess.run(["mount", "-o", "remount,nr_inodes=1000", scratch], check=True)
        assert lab.wait_for_end()["state"] == "SUCCEEDED"
        assert Counter(row["outcome"] for row in lab.rows()) == {"SUCCEEDED": 7}
    finally:
        lab.close()
        subprocess.run(["umount", "--lazy", scratch], check=True)


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_foreground_run_ends_in_order_and_is_continued(lab: Lab, sig: signal.Signals) -> None:
    lab.pipeline(WAITING)
    site = f"--site {lab.place.site}" if lab.place.site else ""
    begun = f"{{ {lab.place.sbx} run --foreground pipeline.toml {site} > log 2>&1; echo $? > code; }}"
    lab.shell(f"{{ setsid bash -c {shlex.quote(begun)} & }} > /dev/null 2>&1")
    lab.wait((lab.home / "daemon.json").exists, 30, "a daemon")
    lab.wait(lambda: lab.module("work")["running"] > 0, 60, "a running task")
    pid = json.loads((lab.home / "daemon.json").read_text())["pid"]
    assert lab.shell(f"kill -{sig.value} {pid}").exit_code == 0
    lab.wait(lambda: (lab.directory / "code").exists(), 60, "the end of the command")
    said = (lab.directory / "log").read_text()
    assert "sbx resume" in said, said
    # Reading the status starts no daemon, so one is started before the run is looked at.
    assert lab.sbx("daemon", "start").exit_code == 0
    assert lab.status()["state"] == "INTERRUPTED"
    resumed = lab.sbx("resume")
    assert resumed.exit_code == 0, str(resumed)
    assert lab.wait_for_end()["state"] == "SUCCEEDED"
    [total] = [row for row in lab.rows() if row["module"] == "total"]
    assert total["stdout"] == "1+2+3+4+5+6\n"


def test_no_agent_outlives_its_run(lab: Lab) -> None:
    lab.example("hello")
    lab.run()
    home = lab.place.inside(lab.home).encode()
    lab.wait(
        lambda: (
            not any(
                b"agent.pyz" in b" ".join(words) and home in b" ".join(words) for _, words in command_lines()
            )
        ),
        30,
        "agents that have left",
    )


def test_what_a_killed_daemon_left_over_is_removed_by_the_next(lab: Lab) -> None:
    lab.pipeline(
        """
        sbx = 1
        [pipeline]
        name = "left"
        [modules.work]
        run = ["test", "{body}", "=", "1"]
        seed = ["{params.n}"]
        [params]
        n = 1
        """
    )
    lab.run()
    good = lab.status()["run"]
    lab.run("-p", "n=2", exit_code=1)
    bad = lab.status()["run"]
    lab.wait(lambda: not (lab.home / "shared" / "runs" / good).exists(), 20, "the good run's folder to go")
    lab.kill_daemon()
    (lab.home / "shared" / "runs" / good / "shared").mkdir(parents=True)
    word = {"try": "sbx-over", "element": 0, "incarnation": "0" * 16, "restart": 0, "status": 0}
    file = lab.home / "shared" / "ended" / f"{word['incarnation']}.json"
    file.write_text(json.dumps(word))
    assert lab.sbx("daemon", "start").exit_code == 0
    lab.wait(lambda: not file.exists(), 20, "the last word to be taken")
    lab.wait(lambda: not (lab.home / "shared" / "runs" / good).exists(), 20, "what was left to go")
    assert (lab.home / "shared" / "runs" / bad / "shared").is_dir()
