"""A whole agent, as a process, against a daemon of a few lines."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.unit.agent.conftest import Agents
from tests.unit.agent.fake_daemon import TRY, FakeDaemon

Run = Callable[..., dict[str, Any]]


def test_it_says_hello_works_and_leaves_when_idle(daemon: FakeDaemon, agents: Agents, scratch: Path) -> None:
    daemon.sheet(1, words=["/bin/sh", "-c", "echo out; echo err >&2"])
    leases = [daemon.add(f"body {n}") for n in range(7)]
    agent = agents.start("--cpus", "2", "--memory-mib", "2000")
    for lease in leases:
        result = daemon.wait_for_result(lease)
        assert (result["outcome"], result["exit_code"], result["cause"]) == ("ok", 0, None)
        assert (result["stdout"], result["stderr"], result["cut"]) == ("out\n", "err\n", [False, False])
        times = [result["times"][name] for name in ("received", "started", "ended", "collected", "reported")]
        assert times == sorted(times)
        path, start, end = result["log"][:3]
        assert Path(path).read_bytes()[start:end] == b"out\n"
    assert agent.wait(10) == 0
    hello = daemon.hellos[0]
    assert (hello["try"], hello["cpus"], hello["memory_mib"]) == (TRY, 2, 2000)
    assert hello["incarnation"] == agents.incarnation
    assert daemon.syncs[-1]["leaving"] == "idle"
    assert list(scratch.iterdir()) == []


def test_many_tasks_share_a_sync(daemon: FakeDaemon, agents: Agents) -> None:
    daemon.sheet(1)
    for n in range(300):
        daemon.add(str(n))
    agents.start()
    daemon.wait_for(lambda: len(daemon.results) == 300)
    assert daemon.calls < 100
    assert {result["slot"] for result in daemon.results.values()} == {0, 1}


def test_a_program_gets_what_the_contract_promises_and_nothing_else(run: Run, daemon: FakeDaemon) -> None:
    result = run(
        "env", "the body", {"obs-id": "L1", "_x": "y"}, env={"FROM_MODULE": "m"}, params={"limit": "9"}
    )
    env = dict(line.split("=", 1) for line in result["stdout"].splitlines())
    result = run("env", "the body", {"obs-id": "L1", "_x": "y"})
    assert env["SBX_BODY"] == "the body"
    assert json.loads(env["SBX_HEADERS"]) == {"obs-id": "L1", "_x": "y"}
    assert (env["SBX_HEADER_OBS_ID"], env["SBX_HEADER__X"]) == ("L1", "y")
    assert (env["SBX_PARAM_LIMIT"], env["FROM_MODULE"]) == ("9", "m")
    assert (env["SBX_TASK"], env["SBX_ATTEMPT"], env["SBX_RUN"]) == ("work.1", "1", "test-0001")
    assert env["PWD"] == env["SBX_WORK"]
    known = {
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "LANG",
        "TZ",
        "TMPDIR",
        "SLURM_JOB_ID",
        "FROM_MODULE",
    }
    known |= {"PWD", "SHLVL", "_", "OLDPWD"}  # the shell's own
    assert [name for name in env if name not in known and not name.startswith(("SBX_", "LC_"))] == []


def test_a_failing_task_reports_its_code_and_its_last_words(run: Run) -> None:
    result = run("yes 0123456789 | head -c 100000; exit 75", output_limit=65536)
    assert (result["outcome"], result["cause"], result["exit_code"]) == ("failed", "exit", 75)
    assert len(result["stdout"]) == 65536
    assert result["cut"] == [True, False]


def test_output_of_a_success_is_cut_to_2k(run: Run) -> None:
    result = run("yes | head -c 5000")
    assert len(result["stdout"]) == 2048
    assert result["cut"] == [True, False]


def test_a_signal_is_reported(run: Run) -> None:
    result = run("kill -SEGV $$")
    assert (result["cause"], result["exit_code"], result["signal"]) == ("exit", None, signal.SIGSEGV)


def test_messages_come_with_the_result(run: Run) -> None:
    script = "printf '%s\\n' plain 'next,with module' 'x,{\"a\":1}' > messages.txt"
    result = run(script, to=["next", "work"])
    assert result["messages"] == [
        ["next", "plain", None],
        ["next", "with module", None],
        ["next", "x", {"a": "1"}],
    ]


def test_the_body_goes_on_when_there_is_one_receiver(run: Run) -> None:
    result = run(":", "b", {"h": "1"}, to=["next"])
    assert result["messages"] == [["next", "b", {"h": "1"}]]


def test_a_message_to_a_stranger_fails_the_attempt(run: Run) -> None:
    result = run("echo ok > messages.txt; echo total,x >> messages.txt", to=["next"])
    assert (result["outcome"], result["cause"], result["messages"]) == ("failed", "output", [])
    assert "messages.txt, line 2" in result["note"]


def test_many_messages_go_ahead_in_chunks(run: Run, daemon: FakeDaemon) -> None:
    result = run("seq 1 300000 > messages.txt", to=["next"])
    assert result["outcome"] == "ok"
    assert "messages" not in result
    chunks = [daemon.chunks[result["lease"], seq] for seq in range(result["chunks"])]
    assert all(len(json.dumps(chunk, separators=(",", ":"))) <= 1 << 20 for chunk in chunks)
    assert [body for chunk in chunks for _, body, _ in chunk] == [str(n) for n in range(1, 300001)]


def test_a_void_lease_stops_its_chunks(daemon: FakeDaemon, agents: Agents) -> None:
    daemon.sheet(1, words=["/bin/sh", "-c", "seq 1 100000 > messages.txt"], to=["next"])
    lease = daemon.add("x")
    daemon.dead.add(lease)
    assert agents.start().wait(20) == 0
    assert lease not in daemon.results
    assert daemon.chunks == {}


def test_a_gather_task_finds_its_members_in_order(daemon: FakeDaemon, agents: Agents) -> None:
    words = ["/bin/sh", "-c", 'cat "$SBX_BODIES" "$1" "$SBX_MISSING"; pwd', "sh", [["members"]]]
    daemon.sheet(1, words=words, is_gather=True)
    lease = daemon.add("all", gather={"members": 3, "missing": 1, "generation": 1})
    orders = ["10", "9", "x"]
    daemon.rows[lease, "members"] = [
        [n + 1, n, "count.1", f"b{n}", json.dumps({"sbx_order": order}), None]
        for n, order in enumerate(orders)
    ]
    daemon.rows[lease, "missing"] = [[1, 9, "count.9", "m", None, None, "exit"]]
    agents.start()
    lines = daemon.wait_for_result(lease)["stdout"].splitlines()
    assert lines[:3] == ["b1", "b0", "b2"]
    assert json.loads(lines[3]) == {"body": "b1", "headers": {"sbx_order": "9"}, "task": "count.1"}
    assert json.loads(lines[6])["cause"] == "exit"


def test_a_time_limit_ends_the_attempt_and_all_that_it_started(daemon: FakeDaemon, agents: Agents) -> None:
    script = """
        trap '' TERM
        (setsid sh -c "trap '' TERM; while :; do sleep 1; done" &) &
        echo before
        while :; do sleep 1; done
    """
    daemon.sheet(1, words=["/bin/sh", "-c", script])
    lease = daemon.add("x", need={"time_s": 1.0})
    after = daemon.add("y", need={"time_s": 0.5})
    agents.start()
    result = daemon.wait_for_result(lease)
    assert (result["cause"], result["stdout"]) == ("timeout", "before\n")
    assert daemon.wait_for_result(after)["cause"] == "timeout"
    assert agents.alive("SBX_TASK=work.1") == []


def test_what_an_attempt_leaves_running_is_killed_before_its_report(run: Run, agents: Agents) -> None:
    script = "(setsid sleep 300 &); (env -i setsid sleep 300 &) ; sleep 300 & echo started"
    result = run(script)
    assert (result["outcome"], result["stdout"]) == ("ok", "started\n")
    assert agents.alive("SBX_TASK=work.1") == []


def test_a_program_that_does_not_exist_is_launch(run: Run, daemon: FakeDaemon) -> None:
    daemon.sheet(1, words=["no-such-program"])
    result = run("")
    assert (result["cause"], result["exit_code"]) == ("launch", None)
    assert "no-such-program: no such program in PATH" in result["note"]


def test_an_image_that_does_not_exist_is_launch_and_named(daemon: FakeDaemon, agents: Agents) -> None:
    runtime = daemon.shared / "apptainer"
    runtime.write_text("#!/bin/sh\necho apptainer version 1.4.5\n")
    runtime.chmod(0o755)
    daemon.sheet(1, container={"image": "/no/such.sif"})
    lease = daemon.add("x")
    agents.start(PATH=f"{daemon.shared}:/usr/bin:/bin")
    result = daemon.wait_for_result(lease)
    assert result["cause"] == "launch"
    assert "/no/such.sif does not exist" in result["note"]
    assert daemon.hellos[0]["runtimes"]["apptainer"] == "1.4.5"


def test_a_dead_lease_is_killed_and_not_reported(daemon: FakeDaemon, agents: Agents) -> None:
    daemon.sheet(1, words=["/bin/sleep", "300"])
    lease = daemon.add("x")
    agents.start()
    daemon.wait_for(lambda: any([lease, 1] in sync["held"] for sync in daemon.syncs))
    with daemon.changed:
        daemon.dead.add(lease)
        daemon.changed.notify_all()
    assert agents.started[0].wait(20) == 0
    assert lease not in daemon.results
    assert agents.alive("SBX_TASK=work.1") == []


def test_drain_finishes_what_runs_and_leaves(daemon: FakeDaemon, agents: Agents) -> None:
    daemon.sheet(1, words=["/bin/sh", "-c", 'while ! test -e "$SBX_PIPELINE/go"; do sleep 0.05; done'])
    lease = daemon.add("x")
    agents.start()
    daemon.wait_for(lambda: any([lease, 1] in sync["held"] for sync in daemon.syncs))
    with daemon.changed:
        daemon.do = "drain"
        daemon.changed.notify_all()
    daemon.wait_for(lambda: daemon.syncs[-1]["leaving"] == "drain")
    (daemon.shared / "go").touch()
    assert daemon.wait_for_result(lease)["outcome"] == "ok"
    assert agents.started[0].wait(20) == 0


def test_leave_kills_what_runs(daemon: FakeDaemon, agents: Agents) -> None:
    daemon.sheet(1, words=["/bin/sleep", "300"])
    lease = daemon.add("x")
    agents.start()
    daemon.wait_for(lambda: any([lease, 1] in sync["held"] for sync in daemon.syncs))
    with daemon.changed:
        daemon.do = "leave"
        daemon.changed.notify_all()
    assert agents.started[0].wait(20) == 0
    assert agents.alive("SBX_TASK=work.1") == []


def test_results_survive_a_daemon_that_comes_back_elsewhere(daemon: FakeDaemon, agents: Agents) -> None:
    daemon.sheet(1, words=["/bin/sh", "-c", 'while ! test -e "$SBX_PIPELINE/go"; do sleep 0.05; done'])
    lease = daemon.add("x")
    agents.start()
    daemon.wait_for(lambda: any([lease, 1] in sync["held"] for sync in daemon.syncs))
    daemon.stop()
    (daemon.shared / "go").touch()
    daemon.start()
    assert daemon.wait_for_result(lease)["outcome"] == "ok"


def test_a_lost_daemon_finds_the_results_in_the_spool(daemon: FakeDaemon, agents: Agents) -> None:
    daemon.terms.update(spool_after_s=0.5, lost_after_s=2.0)
    script = 'while ! test -e "$SBX_PIPELINE/go"; do sleep 0.05; done; seq $SBX_BODY > messages.txt'
    daemon.sheet(1, words=["/bin/sh", "-c", script], to=["next"])
    leases = [daemon.add("3"), daemon.add("100000")]
    agent = agents.start()
    daemon.wait_for(lambda: any(all([lease, 1] in sync["held"] for lease in leases) for sync in daemon.syncs))
    daemon.stop()
    (daemon.shared / "go").touch()
    assert agent.wait(30) == 0
    spool = daemon.shared / "spool" / f"{agents.incarnation}.jsonl"
    lines = [json.loads(line) for line in spool.read_text().splitlines()]
    results = {line["result"]["lease"]: line["result"] for line in lines if "result" in line}
    chunks = [line["chunk"] for line in lines if "chunk" in line]
    assert results[leases[0]]["messages"] == [["next", str(n), None] for n in (1, 2, 3)]
    assert results[leases[1]]["chunks"] == len(chunks)
    assert sum(len(chunk["messages"]) for chunk in chunks) == 100000


def test_sigterm_ends_what_runs_as_preempted_and_leaves(daemon: FakeDaemon, agents: Agents) -> None:
    daemon.sheet(1, words=["/bin/sleep", "300"])
    lease = daemon.add("x")
    agent = agents.start()
    daemon.wait_for(lambda: any([lease, 1] in sync["held"] for sync in daemon.syncs))
    agent.terminate()
    assert agent.wait(20) == 0
    assert daemon.syncs[-1]["leaving"] == "term"
    assert daemon.syncs[-1]["held"] == []
    assert daemon.results[lease]["cause"] == "preempted"
    assert "told to end" in daemon.results[lease]["note"]


def test_sigterm_near_the_end_of_the_walltime_says_walltime(daemon: FakeDaemon, agents: Agents) -> None:
    daemon.sheet(1, words=["/bin/sleep", "300"])
    lease = daemon.add("x")
    agent = agents.start("--walltime-s", "100")
    daemon.wait_for(lambda: any([lease, 1] in sync["held"] for sync in daemon.syncs))
    agent.terminate()
    assert daemon.wait_for_result(lease)["cause"] == "walltime"
    assert agent.wait(20) == 0


def test_a_task_that_does_not_fit_the_walltime_is_not_taken(daemon: FakeDaemon, agents: Agents) -> None:
    daemon.sheet(1)
    daemon.add("x", need={"time_s": 1000.0})
    agent = agents.start("--walltime-s", "100")
    assert agent.wait(20) == 0
    assert daemon.results == {}
    assert daemon.syncs[-1]["leaving"] == "walltime"


def test_a_wrong_certificate_is_an_error_that_says_so(daemon: FakeDaemon, agents: Agents) -> None:
    assert daemon._server is not None
    daemon.write_contact([f"127.0.0.1:{daemon._server.server_port}"], fingerprint="0" * 64)
    agent = agents.start()
    assert agent.stderr is not None
    assert "is not the one that contact.json names" in agent.stderr.readline()
    assert daemon.hellos == []


def test_all_addresses_are_tried(daemon: FakeDaemon, agents: Agents) -> None:
    assert daemon._server is not None
    daemon.write_contact(["127.0.0.1:1", f"127.0.0.1:{daemon._server.server_port}"])
    daemon.sheet(1)
    lease = daemon.add("x")
    agents.start()
    daemon.wait_for_result(lease)


def test_told_to_leave_at_hello_it_leaves(daemon: FakeDaemon, agents: Agents) -> None:
    daemon.do_hello = "leave"
    assert agents.start().wait(20) == 0
    assert len(daemon.syncs) == 0


def test_ended_is_told_over_the_network(daemon: FakeDaemon, agents: Agents) -> None:
    subprocess.run(agents.words("ended", "--status", "7"), check=True, timeout=20)
    assert daemon.ended == [
        {"try": TRY, "element": 0, "incarnation": agents.incarnation, "restart": 0, "status": 7}
    ]


def test_published_files_reach_the_results(run: Run, daemon: FakeDaemon) -> None:
    result = run("mkdir -p publish/deep; echo hello > publish/deep/x; chmod 755 publish/deep/x")
    published = daemon.shared / "results" / "deep" / "x"
    assert (result["outcome"], result["out"]) == ("ok", 6)
    assert published.read_text() == "hello\n"
    assert published.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in published.parent.iterdir()] == ["x"]


def test_listed_files_are_removed_once_recorded(run: Run, daemon: FakeDaemon, tmp_path: Path) -> None:
    for name in ("a", "b", "kept"):
        (tmp_path / name).write_text("12345")
    script = f"cd {tmp_path}; W=$SBX_WORK; echo $PWD/a > $W/input-files.txt; printf '%s\\n' $PWD/a $PWD/b"
    result = run(script + " > $W/removed-files.txt")
    assert (result["in"], result["outcome"]) == (5, "ok")
    daemon.wait_for(lambda: not (tmp_path / "a").exists() and not (tmp_path / "b").exists())
    assert (tmp_path / "kept").exists()


def test_shipped_files_are_linked_and_a_clean_directory_is_used_again(run: Run, daemon: FakeDaemon) -> None:
    (daemon.shared / "tool.py").write_text("print('tool')")
    shipped = [["lib/tool.py", str(daemon.shared / "tool.py")]]
    first = run("stat -c %i .; cat lib/tool.py", files=shipped)
    second = run("")
    assert first["stdout"].endswith("print('tool')")
    assert first["stdout"] == second["stdout"]


def test_a_dirty_directory_is_not_seen_by_the_next_attempt(run: Run) -> None:
    script = 'ls -A; if [ "$SBX_BODY" = dirty ]; then mkdir d; touch d/x; chmod 500 d; ln -s / l; fi'
    assert run(script, "dirty", files=[])["stdout"] == ""
    assert run(script, "clean")["stdout"] == ""
