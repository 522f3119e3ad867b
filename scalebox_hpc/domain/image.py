"""An image that was made sure of: what a runtime is given, and what it held then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scalebox_hpc.domain.plain import build


@dataclass(frozen=True, slots=True)
class Image:
    """One image, by its content.

    `digest` is that of the file's bytes, or of a sandbox's tree (docs/operations.md says how).
    """

    path: str  # absolute; a file of the image store, or a sandbox where it lies
    digest: str  # "sha256:<hex>"
    kind: str  # "sif" | "squashfs" | "sandbox"
    arch: str = ""  # as Go names them: amd64, arm64, ...; "" where it cannot be seen
    source: str = ""  # what the pipeline or a person called it


def image(data: Mapping[str, Any] | None) -> Image | None:
    """Read an Image that was kept as plain data; unknown keys are passed over."""
    return None if data is None else build(Image, data)
