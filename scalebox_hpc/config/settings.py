"""What a person settles for all their homes, in `~/.config/sbx/settings.toml`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scalebox_hpc.config.notes import read_toml
from scalebox_hpc.config.places import settings_folder
from scalebox_hpc.config.table import Table

SETTINGS_KEYS: Final = ("ledger", "metrics_folder", "retention")
RETENTION_KEYS: Final = ("runs", "logs")
LEAST_KEPT_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings, and the file they are from."""

    path: Path
    ledger: str | None = None  # where new homes keep their ledger, as written
    metrics_folder: str | None = None  # where each daemon keeps a file with what it counts
    keep_runs_s: float | None = None  # after their end; None: for ever
    keep_logs_s: float | None = None  # after the last word in them

    def metrics_file(self, home_id: str) -> str | None:
        """Where the daemon of a home writes its metrics; None: nowhere."""
        return f"{self.metrics_folder}/sbx-{home_id}.prom" if self.metrics_folder is not None else None


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
    kept = top.table("retention")
    kept.allow(RETENTION_KEYS, ())
    found = Settings(path, top.text("ledger"), _folder(top), _age_s(kept, "runs"), _age_s(kept, "logs"))
    notes.raise_problems()
    return found


def _age_s(kept: Table, key: str) -> float | None:
    return kept.duration_s(key, 0.0, LEAST_KEPT_S) or None


def _folder(top: Table) -> str | None:
    named = top.text("metrics_folder")
    if named is None:
        return None
    path = os.path.expanduser(named)
    if not os.path.isabs(path):
        top.problem("metrics_folder", f"{named!r} is not an absolute path", "begin it with / or ~")
    return path
