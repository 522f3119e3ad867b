#!/usr/bin/env python3
"""Make a directory of many small files and a few large ones, with a list of their checksums.

    make_data.py DIRECTORY [--small 10000] [--large 3] [--large-mib 100]

The bytes come from a generator with a fixed seed, so the same numbers make the same files.
"""

import argparse
import hashlib
import random
from pathlib import Path

A_DIRECTORY = 500
MIB = 1 << 20


def main() -> None:
    """Make what the command line says."""
    parser = argparse.ArgumentParser(description="Make many small files and a few large ones.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--small", type=int, default=10_000, help="files of 4 KiB (default: %(default)s)")
    parser.add_argument("--large", type=int, default=3, help="large files (default: %(default)s)")
    parser.add_argument("--large-mib", type=int, default=100, help="size of each (default: %(default)s)")
    said = parser.parse_args()
    source = random.Random(20261121)
    said.directory.mkdir(parents=True)
    with open(said.directory / "MANIFEST", "w") as manifest:
        for number in range(said.small):
            name = f"small/{number // A_DIRECTORY:03d}/{number:06d}.dat"
            manifest.write(f"{write(said.directory / name, source, 4096, 1)}  {name}\n")
        for number in range(said.large):
            name = f"large/{number}.dat"
            manifest.write(f"{write(said.directory / name, source, MIB, said.large_mib)}  {name}\n")


def write(path: Path, source: random.Random, size_bytes: int, times: int) -> str:
    """Write one file; return its checksum."""
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with open(path, "wb") as file:
        for _ in range(times):
            data = source.randbytes(size_bytes)
            digest.update(data)
            file.write(data)
    return digest.hexdigest()


if __name__ == "__main__":
    main()
