"""Bad input gets one clear error that names file, key and remedy, before anything is submitted."""

import os
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from tests.scenarios.lab import Done, Lab

HEAD = 'sbx = 1\n[pipeline]\nname = "bad"\n'
GOOD = HEAD + '[modules.work]\nrun = ["echo", "{body}"]\nseed = ["1"]\n'


def refused(lab: Lab, exit_code: int, *said: str, args: tuple[str, ...] = ()) -> Done:
    """Run the lab's pipeline, which must be refused without a traceback and before any task is made."""
    done = lab.run(*args, exit_code=exit_code, timeout_s=60.0)
    for words in said:
        assert words in done.text, f"{words!r} is not said by {done}"
    assert "Traceback" not in done.text
    assert not (lab.directory / "results").exists()
    return done


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(HEAD + "[modules.work\n", ["pipeline.toml:4"], id="toml-syntax"),
        pytest.param(
            HEAD + '[modules.work]\nrunn = ["echo", "{body}"]\n',
            ["modules.work.runn", "did you mean"],
            id="unknown-key",
        ),
        pytest.param(HEAD + "[modules.work]\nrun = 5\n", ["modules.work.run"], id="wrong-type"),
        pytest.param(
            GOOD + 'resources = { time = "10" }\n',
            ["modules.work.resources.time", "unit", "10m"],
            id="no-unit",
        ),
        pytest.param(
            GOOD + 'resources = { memory = "1 potato" }\n',
            ["modules.work.resources.memory", "500M"],
            id="wrong-unit",
        ),
        pytest.param(
            GOOD + 'to = ["wrk"]\n', ["modules.work.to", "wrk", "did you mean", "work"], id="unknown-module"
        ),
        pytest.param(
            GOOD + '[modules.all]\nrun = ["cat", "{bodies}"]\ngather = { by = "all" }\n',
            ["modules.all.gather"],
            id="gather-without-sources",
        ),
        pytest.param(
            HEAD + "[modules.work]\nrun = 'echo \"{body}\"'\nseed = ['1']\n",
            ["modules.work.run", "quotes"],
            id="placeholder-in-quotes",
        ),
        pytest.param(
            HEAD + '[modules.work]\nrun = ["./nope.sh", "{body}"]\nseed = ["1"]\n',
            ["modules.work.run", "nope.sh"],
            id="missing-program",
        ),
        pytest.param(
            GOOD.replace('"echo"', '"no-such-program-xyz"'),
            ["modules.work.run", "no-such-program-xyz"],
            id="program-not-installed",
        ),
        pytest.param(
            HEAD + '[modules.work]\nrun = ["echo", "{params.x}"]\nseed = ["1"]\n',
            ["modules.work.run", "parameter 'x'"],
            id="undefined-parameter",
        ),
        pytest.param(
            GOOD + 'setup = "module load x"\n', ["modules.work.setup", "not in this version"], id="later-key"
        ),
        pytest.param(GOOD.replace("sbx = 1", "sbx = 7"), ["sbx", "7"], id="other-format"),
        pytest.param(HEAD, ["modules"], id="no-modules"),
    ],
)
def test_a_bad_pipeline_is_refused_with_its_key_and_the_remedy(lab: Lab, text: str, said: list[str]) -> None:
    lab.pipeline(text)
    refused(lab, 2, "pipeline.toml", *said)


def test_all_problems_are_said_at_once(lab: Lab) -> None:
    lab.pipeline(
        GOOD + 'to = ["nowhere"]\nresources = { cpu = 2 }\nretry = [{ on = "bad luck", retries = 1 }]\n'
    )
    refused(lab, 2, "modules.work.to", "modules.work.resources.cpu", "modules.work.retry")


def test_no_such_file(lab: Lab) -> None:
    done = lab.sbx("run", "nope.toml")
    assert done.exit_code == 2, str(done)
    assert "nope.toml" in done.text


def test_an_unknown_parameter_on_the_command_line(lab: Lab) -> None:
    lab.pipeline(GOOD + "[params]\nlimit = 5\n")
    refused(lab, 2, "limti", "limit", args=("-p", "limti=7"))


def test_a_parameter_of_the_wrong_type(lab: Lab) -> None:
    lab.pipeline(GOOD + "[params]\nlimit = 5\n")
    refused(lab, 2, "limit", "many", args=("-p", "limit=many"))


def test_an_unknown_site_lists_those_there_are(lab: Lab) -> None:
    lab.pipeline(GOOD)
    refused(lab, 2, "atlantis", "local", args=("--site", "atlantis"))


def test_a_program_that_would_not_start_fails_the_module_with_one_message(lab: Lab) -> None:
    lab.pipeline(
        GOOD.replace('"echo"', '"./work.sh"').replace('["1"]', '{ command = "seq 2000" }'),
        work_sh="#!/no/such/interpreter\n",
    )
    lab.run(exit_code=1)
    rows = lab.rows()
    assert {row["cause"] for row in rows} == {"launch"}
    assert len(rows) < 200
    assert "work.sh" in lab.sbx("status").text
    assert lab.states("work") == {"FAILED": 2000}


def test_no_slurm(lab: Lab) -> None:
    if lab.place.site is not None:
        pytest.skip("Slurm is there")
    lab.pipeline(GOOD)
    write_site(lab, "nowhere", 'batch = "slurm_cli"\n[machines.cpu]\ncpus = 1\n')
    refused(lab, 4, "sbatch", args=("--site", "nowhere"))


def test_a_shared_path_that_cannot_be_written(lab: Lab) -> None:
    lab.pipeline(GOOD)
    write_site(lab, "closed", 'batch = "local"\n[paths]\nshared = "/proc/nothing/here"\n')
    refused(lab, 4, "/proc/nothing/here", args=("--site", "closed"))


def test_a_ledger_that_cannot_be_read(lab: Lab) -> None:
    lab.pipeline(GOOD)
    lab.file(".sbx/ledger.db", "this is no ledger\n" * 1000)
    refused(lab, 4, "ledger.db")


def test_a_newer_ledger(lab: Lab) -> None:
    lab.pipeline(GOOD)
    lab.run()
    assert lab.sbx("daemon", "stop").exit_code == 0
    lab.wait(lambda: not (lab.home / "daemon.json").exists(), 30, "the end of the daemon")
    with closing(sqlite3.connect(lab.home / "ledger.db")) as ledger:
        ledger.execute("PRAGMA user_version = 9999")
        ledger.commit()
    done = lab.run(exit_code=4)
    assert "ledger.db" in done.text
    assert "newer" in done.text


def test_a_second_daemon(lab: Lab) -> None:
    lab.pipeline(GOOD)
    assert lab.sbx("daemon", "start").exit_code == 0
    refused(lab, 3, "daemon", args=("--foreground",))


def test_a_port_that_is_taken(lab: Lab) -> None:
    with closing(socket.create_server(("0.0.0.0", 0))) as taken:
        port = taken.getsockname()[1]
        lab.pipeline(GOOD)
        write_site(lab, "busy", f'batch = "local"\nports = [{port}, {port}]\n')
        refused(lab, 4, str(port), args=("--site", "busy"))


@pytest.mark.parametrize("seeded", [True, False])
def test_a_body_over_64_kib(lab: Lab, seeded: bool) -> None:
    if seeded:
        lab.pipeline(GOOD.replace('["1"]', '{ file = "seeds.txt" }'), seeds_txt="x" * 70_000 + "\n")
        done = lab.sbx("run", "pipeline.toml")
        assert done.exit_code in {1, 2}, str(done)
        assert "64" in done.text
        assert "seeds.txt" in done.text
    else:
        lab.pipeline(
            GOOD.replace(
                '["echo", "{body}"]', "\"head -c 70000 /dev/zero | tr '\\\\0' x > messages.txt; : {body}\""
            )
            + 'to = ["next"]\n[modules.next]\nrun = ["true", "{body}"]\n'
        )
        lab.run(exit_code=1)
        [row] = lab.rows()
        assert row["cause"] == "output"
        assert "64" in lab.sbx("show", row["task"]).text


def test_ten_thousand_failing_tasks_stay_readable(lab: Lab) -> None:
    lab.pipeline(GOOD.replace('"echo"', '"false"').replace('["1"]', '{ command = "seq 10000" }'))
    done = lab.run(exit_code=1, timeout_s=300.0)
    assert len(done.text.splitlines()) < 200
    for verb in ("status", "ps"):
        shown = lab.sbx(verb)
        assert len(shown.text.splitlines()) < 200, verb
        assert "10000" in shown.text.replace(",", "").replace(" ", "").replace("\u202f", ""), verb


@contextmanager
def small_disk(lab: Lab, size: str) -> Iterator[None]:
    """The lab's home on a disk of its own."""
    lab.home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", lab.home], check=True)
    try:
        yield
    finally:
        lab.close()
        subprocess.run(["umount", "--lazy", lab.home], check=True)


def test_a_disk_that_fills_while_running_is_said_and_survived(lab: Lab) -> None:
    if os.geteuid() != 0 or lab.place.site is not None:
        pytest.skip("needs root to mount a small disk, on this machine")
    lab.pipeline(
        GOOD.replace('["echo", "{body}"]', "\"head -c 100000 /dev/zero | tr '\\\\0' x; : {body}\"").replace(
            '["1"]', '{ command = "seq 400" }'
        )
    )
    with small_disk(lab, "12M"):
        assert lab.sbx("run", "pipeline.toml", "--detach").exit_code == 0
        looks: list[Done] = []

        def paused() -> bool:
            looks.append(lab.sbx("status"))
            return looks[-1].exit_code == 4

        lab.wait(paused, 60, "the full disk")
        assert "no room for the ledger" in looks[-1].text
        assert "Traceback" not in looks[-1].text
        subprocess.run(["mount", "-o", "remount,size=200M", lab.home], check=True)
        assert lab.sbx("daemon", "start").exit_code == 0
        if lab.wait_for_end()["state"] == "FAILED":  # programs that wrote their output in vain
            assert lab.sbx("retry").exit_code == 0
        assert lab.wait_for_end()["state"] == "SUCCEEDED"
        assert lab.states("work") == {"SUCCEEDED": 400}


def write_site(lab: Lab, name: str, text: str) -> None:
    """Put a site file where the lab's pipeline finds it."""
    lab.file(f"site-configs/{name}.toml", text)
