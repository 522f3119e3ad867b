"""What `sbx put` takes to bring data to a site, side by side with rsync, scp and tar over the same ssh.

The site is this machine behind an sshd of its own, so both ends share its processors, and the page cache
holds what is read. Contenders take turns; each time the target is a new directory.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from table import ratios, show, spread
from transfer_site import LINE, BenchSite, Took

from scalebox_hpc.testing.sshd import program

MIB = 1 << 20
A_DIRECTORY = 500
PEER = "rsync -a"
OURS = "sbx put"


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure all of it; the first contender of each table is what the others are held against."""
    missing = [name for name in ("rsync", "ssh", "scp", "tar") if shutil.which(name) is None]
    if program() is None or missing:
        print(f"\ntransfers are passed over: there is no {', '.join(missing) or 'sshd'}")
        return {"transfers": None}
    data = folder / "data"
    make_large(data / "large", options.large_mib * MIB, 1)
    make_small(data / "small", options.small_files)
    make_large(data / "far", options.far_mib * MIB // 32, 32)
    figures: dict[str, Any] = {}
    with BenchSite(folder / "site") as site:
        figures["large"] = _large(site, data / "large", options)
        figures["small"] = _small(site, data / "small", options)
        figures["again"] = _again(site, data / "small", options)
        figures["far"] = _far(site, data / "far", options)
        make_small(data / "many", options.many_files)
        figures["many"] = _many(site, data / "many", options)
    return {"transfers": figures}


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


def _large(site: BenchSite, source: Path, options: argparse.Namespace) -> dict[str, Any]:
    file = source / "0.dat"
    contenders = {
        PEER: lambda target: site.rsync(file, f"{target}/"),
        "scp": lambda target: site.took("scp", "-q", *site.ssh[1:], str(file), f"{site.host}:{target}/"),
        "sbx put": lambda target: site.put(file, f"{target}/"),
    }
    return _compared(f"a new file of {options.large_mib} MiB", site, contenders, options.rounds)


def _small(site: BenchSite, source: Path, options: argparse.Namespace) -> dict[str, Any]:
    def tar(target: Path) -> Took:
        there = shlex.join([*site.ssh, site.host, f"tar -C {target} -xf -"])
        return site.took(
            "bash", "-c", f"set -o pipefail; tar -C {shlex.quote(str(source))} -cf - . | {there}"
        )

    contenders = {
        PEER: lambda target: site.rsync(f"{source}/", f"{target}/"),
        "tar | ssh tar, no verification": tar,
        OURS: lambda target: site.put(source, f"{target}/"),
    }
    return _compared(f"{options.small_files} new files of 4 KiB", site, contenders, options.rounds)


def _again(site: BenchSite, source: Path, options: argparse.Namespace) -> dict[str, Any]:
    there = site.new()
    site.put(source, f"{there}/")
    contenders = {
        PEER: lambda _: site.rsync(f"{source}/", f"{there}/{source.name}/"),
        OURS: lambda _: site.put(source, f"{there}/"),
    }
    return _compared(f"the same {options.small_files} files again", site, contenders, options.rounds)


def _far(site: BenchSite, source: Path, options: argparse.Namespace) -> dict[str, Any]:
    title = f"{options.far_mib} MiB in 32 files, {LINE.round_trip_s * 1000:.0f} ms there and back, "
    title += f"{LINE.window_bytes // 1024} KiB on the way at once"
    with site.far():
        contenders = {
            f"{OURS}, one stream": lambda target: site.put(source, f"{target}/", "--streams", "1"),
            PEER: lambda target: site.rsync(f"{source}/", f"{target}/"),
            f"{OURS}, {options.streams} streams": lambda target: site.put(
                source, f"{target}/", "--streams", str(options.streams)
            ),
        }
        return _compared(title, site, contenders, options.rounds)


def _many(site: BenchSite, source: Path, options: argparse.Namespace) -> dict[str, Any]:
    contenders = {
        PEER: lambda target: site.rsync(f"{source}/", f"{target}/"),
        OURS: lambda target: site.put(source, f"{target}/"),
    }
    return _compared(f"{options.many_files} new files of 4 KiB", site, contenders, 1)


def _compared(title: str, site: BenchSite, contenders: Mapping[str, Any], rounds: int) -> dict[str, Any]:
    """Let all take turns, and show what each took; more than 1 times as fast is less time."""
    took: dict[str, list[Took]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            took[name].append(run(site.new()))
    first = next(iter(took.values()))
    rows = [["", "seconds", "times as fast", "CPU s, both ends", "of its CPU", "MiB here"]]
    figures = {}
    for name, each in took.items():
        wall, cpu = [one.wall_s for one in each], [one.cpu_s for one in each]
        faster = ratios([one.wall_s for one in first], wall)
        share = ratios(cpu, [one.cpu_s for one in first])
        peak = max(one.peak_mib for one in each)
        rows.append(
            [
                name,
                spread(wall, ".2f"),
                spread(faster, ".2f"),
                spread(cpu, ".2f"),
                f"{median(share):.2f}",
                f"{peak:.0f}",
            ]
        )
        figures[name] = {"wall_s": wall, "cpu_s": cpu, "times_as_fast": median(faster), "peak_mib": peak}
    show(title, rows)
    return figures
