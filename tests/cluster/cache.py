"""What tests build once: directories beside the box, outside the checkout, named by what they are made of."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

CACHE = Path(os.environ.get("SBX_BOX", "/var/tmp/sbx-box"))


def cached(name: str, build: Callable[[Path], None]) -> Path:
    """The directory `name` in the cache, built if it is not there yet; complete or absent, never half."""
    target = CACHE / name
    if not target.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        growing = target.with_name(f"{name}.tmp.{os.getpid()}")
        shutil.rmtree(growing, ignore_errors=True)
        growing.mkdir()
        build(growing)
        growing.chmod(0o755)
        growing.rename(target)
    return target


def digest(*texts: str) -> str:
    """A short name for what is made from these texts."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]
