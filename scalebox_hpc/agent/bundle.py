"""Makes `agent.pyz`, the one file that compute nodes run. Called by the daemon; not itself in it."""

from __future__ import annotations

import os
import tempfile
import zipfile
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
START = PACKAGE / "agent" / "__main__.py"
WHEN = (1980, 1, 1, 0, 0, 0)  # the same content makes the same file


def build(target: Path) -> None:
    """Write the file, replacing an older one atomically. Raises OSError."""
    own = {Path(__file__).resolve(), START}
    sources = sorted(path for path in (PACKAGE / "agent").rglob("*.py") if path not in own)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bundle:
                _add(bundle, "__main__.py", START.read_text(encoding="utf-8"))
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
