"""`scripts/bench` runs with tiny counts and prints each of its parts. What it measures is not judged here."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scalebox_hpc.testing.postgres import programs
from scalebox_hpc.testing.sshd import program

CHECKOUT = Path(__file__).resolve().parents[1]
TINY = (
    "--rounds 1 --tasks 20 --hq-tasks 5 --parallel-tasks 5 --rows 128,256"
    " --queued 500 --members 300 --steps 25 --idle-s 0.2"
    " --relay-connections 5,10 --relay-mib 1 --relay-syncs 20"
)
TINY_CROWDS = (
    "--parts scale,idle-agents,thunder --scale-tasks 2000 --scale-queued 1000 --scale-postgres 2000"
    " --scale-agents 4 --scale-batch 50 --idle-agents 5 --idle-s 0.2 --thunder-agents 6 --thunder-batch 5"
)


def bench(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "SBX_BENCH_VENV": sys.prefix}  # install nothing
    command = [CHECKOUT / "scripts" / "bench", "--folder", folder, *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)


def test_every_part_runs_and_its_figures_are_written(tmp_path: Path) -> None:
    done = bench(tmp_path, *TINY.split(), "--json", str(tmp_path / "bench.json"))
    assert done.returncode == 0, done.stderr
    titles = (
        *("no-op tasks: 20", "claiming 64", "with 500 queued", "300 members", "from ready to started"),
        *("an idle daemon", "the relay of a remote site"),
    )
    assert [title for title in titles if title not in done.stdout] == []
    figures = json.loads((tmp_path / "bench.json").read_text())
    assert {"machine", "noop", "claims", "queued", "gather", "latency", "idle", "relay", "remote"} == set(
        figures
    )


def test_played_agents_do_all_tasks_and_their_figures_are_written(tmp_path: Path) -> None:
    done = bench(tmp_path, *TINY_CROWDS.split(), "--json", str(tmp_path / "bench.json"))
    assert done.returncode == 0, done.stderr
    titles = ("4 played agents", "a daemon with 5 agents", "6 agents in one moment")
    assert [title for title in titles if title not in done.stdout] == []
    figures = json.loads((tmp_path / "bench.json").read_text())
    runs = figures["scale"]["runs"]
    on_postgres = [("postgres", 2000)] if programs() is not None else []
    sizes = [("sqlite", 2000), ("sqlite, queued only", 1000), *on_postgres]
    assert [(run["ledger"], run["tasks"]) for run in runs] == sizes
    assert figures["idle_agents"]["agents"] == 5
    assert [storm["statuses"] for storm in figures["thunder"]["storms"]] != []


def test_transfers_are_measured_beside_their_peers(tmp_path: Path) -> None:
    if program() is None:
        pytest.skip("needs an sshd")
    words = (
        "--parts transfers --rounds 1 --large-mib 1 --small-files 60 --many-files 80 --far-mib 1 --streams 2"
    )
    done = bench(tmp_path, *words.split(), "--json", str(tmp_path / "bench.json"))
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "bench.json").read_text())["transfers"]
    assert set(figures) == {"large", "small", "again", "far", "many"}
    bases = {name: next(iter(each)) for name, each in figures.items()}
    assert bases == {**dict.fromkeys(figures, "rsync -a"), "far": "sbx put, one stream"}
    assert all(one["wall_s"] for each in figures.values() for one in each.values())


def test_a_ratio_to_hyperqueue_is_never_quoted_without_its_caveat() -> None:
    for path in (CHECKOUT / "docs" / "benchmarks.md", CHECKOUT / "scripts" / "bench.d" / "throughput.py"):
        for sentence in path.read_text().replace("\n", " ").split(". "):
            if "times the tasks/s of HyperQueue" in sentence:
                assert "`hq`" in sentence or "CAVEAT" in sentence
    assert not re.search(r"\d.{0,200}HyperQueue|HyperQueue.{0,200}\d", (CHECKOUT / "README.md").read_text())


def test_an_unknown_part_is_refused_by_name(tmp_path: Path) -> None:
    done = bench(tmp_path, "--parts", "noop,noon")
    assert done.returncode == 2
    assert "no such part: noon" in done.stderr
