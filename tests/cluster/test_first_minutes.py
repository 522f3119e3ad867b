"""The first minutes of a new user: `scripts/demo`, and sbx from a wheel, with only Python and its venv.

Both run as an ordinary user in a minimal Debian 12, which is made once and cached beside the box.
"""

import csv
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.cache import CACHE, cached, digest

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGES = ("python3", "python3-venv")
BUILD_TOOLS = ("setuptools>=68", "wheel")
NOT_THE_CHECKOUT = shutil.ignore_patterns(
    *[".git", ".venv*", "*_cache", "__pycache__", "*.egg-info", "build", "results", ".sbx", ".hypothesis"]
)

ENTER = """
set -eu
mount -t overlay overlay -o lowerdir="$LOWER",upperdir="$WORK/upper",workdir="$WORK/work" "$WORK/root"
mount -t proc proc "$WORK/root/proc"
mount --rbind /dev "$WORK/root/dev"
mount --bind "$WORK/home" "$WORK/root/home"
mount --bind "$WHEELS" "$WORK/root/mnt"
mount -o remount,ro,bind "$WORK/root/mnt"
exec chroot --userspec=1000:1000 "$WORK/root" /usr/bin/env -i HOME=/home PATH=/usr/bin:/bin LANG=C.UTF-8 \
    PIP_NO_INDEX=1 PIP_FIND_LINKS=/mnt sh -c "cd; $COMMAND"
"""


@dataclass(frozen=True)
class NewMachine:
    """A minimal Debian 12 as its first user finds it; what is written there is gone afterwards."""

    lower: Path
    wheels: Path
    work: Path

    @property
    def home(self) -> Path:
        """The user's directory, from outside."""
        return self.work / "home"

    def copy(self, source: Path, name: str) -> None:
        """Give the user a directory or a file."""
        if source.is_dir():
            shutil.copytree(source, self.home / name, ignore=NOT_THE_CHECKOUT, symlinks=True)
        else:
            shutil.copy2(source, self.home / name)
        own(self.home)

    def type(self, command: str, timeout_s: float = 300.0) -> subprocess.CompletedProcess[str]:
        """Run a command line as the user; all that it starts ends with it."""
        words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER]
        places = {"LOWER": str(self.lower), "WORK": str(self.work), "WHEELS": str(self.wheels)}
        return subprocess.run(
            words,
            env={"PATH": os.environ["PATH"], **places, "COMMAND": command},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )


@pytest.fixture(scope="session")
def minimal_debian() -> Path:
    """The root file system: `apt`, Python and its venv module."""
    script = f"minbase bookworm {' '.join(PACKAGES)}"
    return cached(f"minimal-{digest(script)}", build_debian)


@pytest.fixture(scope="session")
def wheels() -> Path:
    """What pip would fetch there, fetched here, where the index is known to be reachable."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *BUILD_TOOLS]
    return cached(f"wheels-{digest(*wanted)}", lambda target: fetch_wheels(target, wanted))


@pytest.fixture
def machine(minimal_debian: Path, wheels: Path) -> Iterator[NewMachine]:
    """A fresh machine."""
    # Beside the cache, because an overlay's upper layer must not itself lie on an overlay.
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="first-minutes-") as work:
        for name in ("upper", "work", "root", "home"):
            (Path(work) / name).mkdir()
        own(Path(work) / "home")
        yield NewMachine(minimal_debian, wheels, Path(work))


def test_the_demo_shows_the_result_and_where_the_report_is(machine: NewMachine) -> None:
    machine.copy(CHECKOUT, "scalebox")
    done = machine.type("cd scalebox && scripts/demo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "primes below a million: 78498" in done.stdout
    [line] = [line for line in done.stdout.splitlines() if "the report" in line]
    report = machine.home / Path(line.split()[-1]).relative_to("/home")
    with report.open(newline="") as stream:
        modules = Counter(row["module"] for row in csv.DictReader(stream))
    assert modules == {"scatter": 1, "count": 100, "total": 1}


def test_the_demo_says_what_to_type_where_venv_is_missing(machine: NewMachine) -> None:
    machine.copy(CHECKOUT, "scalebox")
    hidden = machine.work / "upper" / "usr" / "lib" / "python3.11"
    hidden.mkdir(parents=True)
    os.mknod(hidden / "ensurepip", 0o20000, 0)  # overlayfs: a character device 0/0 hides what is below
    done = machine.type("cd scalebox && scripts/demo")
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1].strip() == "sudo apt-get install python3-venv"


def test_the_demo_says_that_python_is_too_old(machine: NewMachine) -> None:
    machine.copy(CHECKOUT, "scalebox")
    old = machine.home / "old-python"
    old.write_text("#!/bin/sh\n[ \"$1\" = --version ] && echo 'Python 3.9.2' || exit 1\n")
    old.chmod(0o755)
    done = machine.type("cd scalebox && PYTHON=$HOME/old-python scripts/demo")
    assert done.returncode != 0
    assert "3.11" in done.stderr
    assert "found Python 3.9.2" in done.stderr


def test_sbx_from_a_wheel_works_outside_the_checkout(machine: NewMachine, tmp_path: Path) -> None:
    shutil.copytree(CHECKOUT, tmp_path / "source", ignore=NOT_THE_CHECKOUT)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path)]
    subprocess.run([*build, str(tmp_path / "source")], check=True)
    [wheel] = tmp_path.glob("*.whl")
    machine.copy(wheel, wheel.name)
    machine.copy(CHECKOUT / "examples" / "primes", "primes")
    steps = [
        "python3 -m venv env",
        f"env/bin/pip install --quiet ./{shlex.quote(wheel.name)}",
        "env/bin/sbx --version",
        "cd primes",
        "../env/bin/sbx run --quiet pipeline.toml",
        "cat results/*/total.txt",
    ]
    done = machine.type(" && ".join(steps))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "78498"


def build_debian(target: Path) -> None:
    """Make the root file system. Raises CalledProcessError."""
    mirrors = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)"], capture_output=True, text=True, check=True
    ).stdout.split()
    mirror = next(uri for uri in mirrors if uri.rstrip("/").endswith("/debian"))
    subprocess.run(
        [
            *["mmdebstrap", "--quiet", "--variant=minbase", "--mode=root", f"--include={','.join(PACKAGES)}"],
            *['--aptopt=Acquire::Check-Valid-Until "false"', "bookworm", str(target)],
            f"deb {mirror} bookworm main",
        ],
        check=True,
    )


def fetch_wheels(target: Path, wanted: list[str]) -> None:
    """Fetch wheels for that Debian's Python, whatever this one is. Raises CalledProcessError."""
    fetch = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--only-binary=:all:",
        "--python-version=3.11",
    ]
    subprocess.run([*fetch, "--dest", str(target), *wanted], check=True)


def own(path: Path) -> None:
    """Make a tree the user's."""
    for entry in [path, *path.rglob("*")]:
        os.chown(entry, 1000, 1000, follow_symlinks=False)
