"""What a person settles for all their homes, in `~/.config/sbx/settings.toml`. So far one key: `ledger`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scalebox_hpc.config.notes import read_toml
from scalebox_hpc.config.places import settings_folder
from scalebox_hpc.config.table import Table

SETTINGS_KEYS: Final = ("ledger",)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings, and the file they are from."""

    path: Path
    ledger: str | None = None  # where new homes keep their ledger, as written


def settings_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the settings are, whether there are any or not."""
    return settings_folder(environ) / "settings.toml"


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings; there need be none. Raises PipelineErrors with all problems of the file."""
    path = settings_path(environ)
    if not path.exists():
        return Settings(path)
    data, notes = read_toml(path)
    top = Table(data, (), notes)
    top.allow(SETTINGS_KEYS, ())
    found = Settings(path, top.text("ledger"))
    notes.raise_problems()
    return found
