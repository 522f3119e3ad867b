"""What `sbx put` takes to bring data to a site, side by side with rsync, scp and tar over the same ssh.

The site is this machine behind an sshd of its own, so both ends share its processors. All lies in memory
where there is room, for a disk would be measured else. Contenders take turns; each time the target is a
new directory, which is removed afterwards. The connection of `sbx put` stays from one to the next, as it
does for people, except where it is said to be new.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

from table import ratios, show, spread
from transfer_site import LINE, BenchSite, Took

from scalebox_hpc.testing.sshd import program

MIB = 1 << 20
A_DIRECTORY = 500
MEMORY: Final = Path("/dev/shm")
ROOM: Final = 4  # times the large file, and more for the rest
PEER = "rsync -a"
OURS = "sbx put"
NEW = "sbx put, new connection"


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure all of it; the first contender of each table is what the others are held against."""
    missing = [name for name in ("rsync", "ssh", "tar") if shutil.which(name) is None]
    if program() is None or missing:
        print(f"\ntransfers are passed over: there is no {', '.join(missing) or 'sshd'}")
        return {"transfers": None}
    with TemporaryDirectory(prefix="sbx-bench-", dir=_memory(options) or folder) as work:
        return {"transfers": _measured(options, Path(work))}


def _memory(options: argparse.Namespace) -> Path | None:
    """Where files are in memory, unless a folder was asked for, or there is no room."""
    has_room = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM * options.large_mib * MIB
    return MEMORY if options.folder is None and has_room else None


def _measured(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    quick = 2 * options.rounds + 1
    with BenchSite(folder / "site") as site:
        with _data(folder) as large:
            make_large(large, options.large_mib * MIB, 1)
            figures["large"] = _large(site, large / "0.dat", options)
        with _data(folder) as small:
            make_small(small, options.small_files)
            figures["small"] = _small(site, small, options.small_files, quick)
            figures["again"] = _again(site, small, options.small_files, quick)
        with _data(folder) as far:
            make_large(far, options.far_mib * MIB // 32, 32)
            figures["far"] = _far(site, far, options)
        with _data(folder) as many:
            make_small(many, options.many_files)
            figures["many"] = _many(site, many, options.many_files)
    return figures


@contextmanager
def _data(folder: Path) -> Iterator[Path]:
    yield folder / "data"
    shutil.rmtree(folder / "data")


def make_large(folder: Path, size_bytes: int, count: int) -> None:
    """Make files of bytes that nothing can compress."""
    folder.mkdir(parents=True)
    for number in range(count):
        with open(folder / f"{number}.dat", "wb") as file:
            for start in range(0, size_bytes, MIB):
                file.write(os.urandom(min(MIB, size_bytes - start)))


def make_small(folder: Path, count: int) -> None:
    """Make files of 4 KiB, 500 a directory."""
    for number in range(count):
        below = folder / f"{number // A_DIRECTORY:04d}"
        if number % A_DIRECTORY == 0:
            below.mkdir(parents=True)
        (below / f"{number:06d}.dat").write_bytes(os.urandom(4096))


def _large(site: BenchSite, file: Path, options: argparse.Namespace) -> dict[str, Any]:
    contenders = {
        PEER: lambda target: site.rsync(file, f"{target}/"),
        OURS: lambda target: site.put(file, f"{target}/"),
    }
    return _compared(f"a new file of {options.large_mib} MiB", site, contenders, options.rounds)


def _small(site: BenchSite, source: Path, count: int, rounds: int) -> dict[str, Any]:
    def tar(target: Path) -> Took:
        there = shlex.join([*site.ssh, site.host, f"tar -C {target} -xf -"])
        return site.took(
            "bash", "-c", f"set -o pipefail; tar -C {shlex.quote(str(source))} -cf - . | {there}"
        )

    contenders = {
        PEER: lambda target: site.rsync(f"{source}/", f"{target}/"),
        "tar | ssh tar, no verification": tar,
        OURS: lambda target: site.put(source, f"{target}/"),
        NEW: lambda target: site.put(source, f"{target}/", site="new"),
    }
    return _compared(f"{count} new files of 4 KiB", site, contenders, rounds)


def _again(site: BenchSite, source: Path, count: int, rounds: int) -> dict[str, Any]:
    there = site.new()
    site.put(source, f"{there}/")
    contenders = {
        PEER: lambda _: site.rsync(f"{source}/", f"{there}/{source.name}/"),
        OURS: lambda _: site.put(source, f"{there}/"),
        NEW: lambda _: site.put(source, f"{there}/", site="new"),
    }
    figures = _compared(f"the same {count} files again", site, contenders, rounds)
    shutil.rmtree(there)
    return figures


def _far(site: BenchSite, source: Path, options: argparse.Namespace) -> dict[str, Any]:
    title = f"{options.far_mib} MiB in 32 files, {LINE.round_trip_s * 1000:.0f} ms there and back, "
    title += f"{LINE.window_bytes // 1024} KiB on the way at once"

    def put(streams: int) -> Callable[[Path], Took]:
        return lambda target: site.put(source, f"{target}/", "--streams", str(streams))

    with site.far():
        contenders = {
            f"{OURS}, one stream": put(1),
            f"{OURS}, {options.streams} streams": put(options.streams),
        }
        return _compared(title, site, contenders, min(options.rounds, 2))  # takes its time by the line alone


def _many(site: BenchSite, source: Path, count: int) -> dict[str, Any]:
    contenders = {
        PEER: lambda target: site.rsync(f"{source}/", f"{target}/"),
        OURS: lambda target: site.put(source, f"{target}/"),
    }
    return _compared(f"{count} new files of 4 KiB", site, contenders, 1)


def _compared(
    title: str, site: BenchSite, contenders: Mapping[str, Callable[[Path], Took]], rounds: int
) -> dict[str, Any]:
    """Let all take turns, and show what each took; more than 1 times as fast is less time."""
    took: dict[str, list[Took]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            target = site.new()
            took[name].append(run(target))
            shutil.rmtree(target)
    first = next(iter(took.values()))
    rows = [["", "seconds", "times as fast", "CPU s, both ends", "of its CPU", "MiB here", "MiB there"]]
    figures = {}
    for name, each in took.items():
        wall, cpu = [one.wall_s for one in each], [one.cpu_s for one in each]
        faster = ratios([one.wall_s for one in first], wall)
        share = f"{median(ratios(cpu, [one.cpu_s for one in first])):.2f}"
        here, there = (max(getattr(one, side) for one in each) for side in ("peak_mib", "there_mib"))
        seconds = [spread(wall, ".2f"), spread(faster, ".2f"), spread(cpu, ".2f"), share]
        rows.append([name, *seconds, f"{here:.0f}", f"{there:.0f}"])
        figures[name] = {"wall_s": wall, "cpu_s": cpu, "times_as_fast": median(faster)}
        figures[name] |= {"peak_mib": here, "there_mib": there}
    show(title, rows)
    return figures
