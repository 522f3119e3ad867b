"""A store in a directory of its own, with a container runtime that is a script."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from scalebox_hpc.containers.images import ImageStore
from scalebox_hpc.containers.runtime import SpythonRuntime
from tests.unit.containers import made


@dataclass
class Bench:
    """A store, the runtime it uses, and what it said."""

    root: Path
    runtime: Path
    said: list[str] = field(default_factory=list)

    @property
    def directory(self) -> Path:
        return self.root / "images"

    def store(self, machine: str = "x86_64") -> ImageStore:
        environ = {"PATH": f"{self.runtime}:{os.environ['PATH']}"}
        return ImageStore(
            self.directory, SpythonRuntime(environ=environ), say=self.said.append, machine=machine
        )

    def write(self, name: str, content: bytes) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    @property
    def files(self) -> list[str]:
        """The images, and everything half made."""
        found = [path.name for path in self.directory.iterdir() if path.is_file()]
        return sorted(found + [f"{path.parent.name}/{path.name}" for path in self.directory.glob(".[tl]*/*")])


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, made.fake_runtime(tmp_path / "runtime", made.sif(b"pulled")))
