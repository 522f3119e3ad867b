"""Makes `agent.pyz` and `relay.pyz`, each one file with a program for another machine. It loads neither."""

from __future__ import annotations

import os
import tempfile
import zipfile
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
WHEN = (1980, 1, 1, 0, 0, 0)  # the same content makes the same file


def build_agent(target: Path) -> None:
    """Write the file that compute nodes run, replacing an older one atomically. Raises OSError."""
    _build(PACKAGE / "agent", target)


def build_relay(target: Path) -> None:
    """Write the file that a remote login node runs, likewise. Raises OSError."""
    _build(PACKAGE / "relay", target)


def _build(part: Path, target: Path) -> None:
    start = part / "__main__.py"
    sources = sorted(path for path in part.rglob("*.py") if path != start)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bundle:
                _add(bundle, "__main__.py", start.read_text(encoding="utf-8"))
                for path in [PACKAGE / "__init__.py", *sources]:
                    _add(bundle, str(path.relative_to(PACKAGE.parent)), path.read_text(encoding="utf-8"))
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def _add(bundle: zipfile.ZipFile, name: str, text: str) -> None:
    bundle.writestr(zipfile.ZipInfo(name, WHEN), text, zipfile.ZIP_DEFLATED)
