"""A pipeline directory on disk, and sites that do not depend on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from scalebox_hpc.config.pipeline import Checked, load
from scalebox_hpc.domain.site import Machine, Site
from scalebox_hpc.errors import PipelineErrors, Problem

BIG = Machine(name="big", cpus=64, memory_mib=256 << 10, default=True)
SITES = {
    "local": Site(name="local", batch="local", python="", machines={"big": BIG}),
    "cluster": Site(
        name="cluster",
        machines={
            "cpu": Machine(name="cpu", cpus=32, memory_mib=64 << 10, default=True),
            "gpu": Machine(name="gpu", cpus=8, gpus=2),
        },
    ),
}

Load = Callable[..., Checked]
Refuse = Callable[..., tuple[Problem, ...]]


@pytest.fixture
def load_text(tmp_path: Path) -> Load:
    """Write a pipeline, and files beside it, and load it."""

    def write_and_load(
        text: str,
        files: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        site: str = "",
    ) -> Checked:
        for name, content in (files or {}).items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
            path.chmod(0o755 if content.startswith("#!") else 0o644)
        (tmp_path / "pipeline.toml").write_text(text)
        return load(
            tmp_path / "pipeline.toml",
            params=params or {},
            site=site or None,
            sites=SITES,
            cwd=tmp_path / "cwd",
        )

    return write_and_load


@pytest.fixture
def refuse_text(load_text: Load, tmp_path: Path) -> Refuse:
    """Load a pipeline that must be refused; return the problems, all of that very file or of -p."""

    def refuse(text: str, **more: object) -> tuple[Problem, ...]:
        with pytest.raises(PipelineErrors) as caught:
            load_text(text, **more)
        own = str(tmp_path / "pipeline.toml")
        assert all(problem.file == own or problem.file.startswith("-") for problem in caught.value.problems)
        return caught.value.problems

    return refuse
