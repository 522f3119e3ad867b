"""The images of the examples: made of Debian packages at most once, packed in a site by its ordinary user."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import uuid
from pathlib import Path

from tests.cluster.box import USER_ID, Site
from tests.cluster.cache import cached, digest

COMMAND = Path(__file__).resolve().parents[2] / "examples" / "build-image"
BUILD_TIMEOUT_S = 600.0


def root_of(example: str) -> Path:
    """The root file system of an example's image, as `examples/build-image` makes it."""

    def build(target: Path) -> None:
        environ = dict(os.environ)
        if mirror := environ.get("SBX_BOX_MIRROR"):
            environ["MIRROR"] = mirror
        subprocess.run(
            [COMMAND, example, target / "root"], env=environ, check=True, capture_output=True, text=True
        )

    return cached(f"example-{example}-{_key(example)}", build) / "root"


def sif_of(example: str, site: Site) -> Path:
    """The image of an example in one file, packed by `apptainer build` in the site."""

    def build(target: Path) -> None:
        work = site.scratch / f"image-{uuid.uuid4().hex[:12]}"
        try:
            shutil.copytree(root_of(example), work / "root", symlinks=True)
            _give(work)
            packed = f"cd {site.inside(work)} && apptainer build image.sif root"
            site.run(site.login, packed, timeout_s=BUILD_TIMEOUT_S)
            shutil.copyfile(work / "image.sif", target / f"{example}.sif")
        finally:
            shutil.rmtree(work, ignore_errors=True)

    return cached(f"example-sif-{example}-{_key(example)}", build) / f"{example}.sif"


def put(source: Path, target: Path) -> None:
    """Copy a file to where the site's ordinary user has it."""
    shutil.copyfile(source, target)
    os.chown(target, USER_ID, USER_ID)


def oci_archive(root: Path, target: Path) -> None:
    """Write a root file system as an OCI archive of one layer, as skopeo does, owned by the site's user."""
    layer = _layer(root)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_sha256(layer)}"]},
    }
    blobs = {"layer.v1.tar": layer, "config.v1+json": json.dumps(config).encode()}
    described = {kind: _described(f"application/vnd.oci.image.{kind}", blob) for kind, blob in blobs.items()}
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described["config.v1+json"],
        "layers": [described["layer.v1.tar"]],
    }
    blobs["manifest.v1+json"] = json.dumps(manifest).encode()
    named = _described("application/vnd.oci.image.manifest.v1+json", blobs["manifest.v1+json"])
    index = {"schemaVersion": 2, "manifests": [named]}
    with tarfile.open(target, "w") as archive:
        _add(archive, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        _add(archive, "index.json", json.dumps(index).encode())
        for name in ("blobs", "blobs/sha256"):
            directory = tarfile.TarInfo(name)
            directory.type, directory.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(directory)
        for blob in blobs.values():
            _add(archive, f"blobs/sha256/{_sha256(blob)}", blob)
    os.chown(target, USER_ID, USER_ID)


def _key(example: str) -> str:
    return digest(example, COMMAND.read_text())


def _give(tree: Path) -> None:
    for path in [tree, *tree.rglob("*")]:
        os.chown(path, USER_ID, USER_ID, follow_symlinks=False)


def _layer(root: Path) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(root, arcname=".")
    return packed.getvalue()


def _described(media_type: str, blob: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": f"sha256:{_sha256(blob)}", "size": len(blob)}


def _sha256(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))
