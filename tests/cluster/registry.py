"""A read-only image registry (OCI distribution, version 2) over plain HTTP, for loopback.

    python3 registry.py PORT ARCHIVE NAME:TAG [ARCHIVE NAME:TAG ...]

Each ARCHIVE is an OCI archive; it is read anew for every request, so that a tag can be moved by
replacing the file. Of the standard library alone: it runs on hosts of the box.
"""

import json
import re
import sys
import tarfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
ASKED = re.compile(r"/v2/(.+)/(manifests|blobs)/([^/]+)")


def blob(archive: str, digest: str) -> bytes | None:
    """One blob of an archive."""
    with tarfile.open(archive) as packed:
        try:
            file = packed.extractfile("blobs/" + digest.replace(":", "/"))
        except KeyError:
            return None
        return None if file is None else file.read()


def manifest_digest(archive: str) -> str:
    """The digest of an archive's only manifest."""
    with tarfile.open(archive) as packed:
        index = packed.extractfile("index.json")
        assert index is not None
        return str(json.load(index)["manifests"][0]["digest"])


class Registry(BaseHTTPRequestHandler):
    """Answers for the images in `shelf`: archives by NAME:TAG."""

    shelf: dict[str, str] = {}  # noqa: RUF012 (set once, before it serves)
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        if self.path == "/v2/":
            self._send(200, b"{}", "application/json", "", with_body)
            return
        match = ASKED.fullmatch(self.path)
        found = self._find(*match.groups()) if match else None
        if found is None:
            code = "MANIFEST_UNKNOWN" if "/manifests/" in self.path else "BLOB_UNKNOWN"
            text = json.dumps({"errors": [{"code": code, "message": "manifest unknown"}]}).encode()
            self._send(404, text, "application/json", "", with_body)
        else:
            self._send(200, *found, with_body)

    def _find(self, name: str, what: str, which: str) -> tuple[bytes, str, str] | None:
        archives = [path for key, path in self.shelf.items() if key.rpartition(":")[0] == name]
        if what == "manifests" and ":" not in which:
            archive = self.shelf.get(f"{name}:{which}")
            if archive is None:
                return None
            archives, which = [archive], manifest_digest(archive)
        for archive in archives:
            content = blob(archive, which)
            if content is not None:
                kind = MANIFEST if what == "manifests" else "application/octet-stream"
                return content, kind, which
        return None

    def _send(self, status: int, content: bytes, kind: str, digest: str, with_body: bool) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        if digest:
            self.send_header("Docker-Content-Digest", digest)
        self.end_headers()
        if with_body:
            self.wfile.write(content)


def main() -> None:
    """Serve until killed."""
    port, *rest = sys.argv[1:]
    Registry.shelf = dict(zip(rest[1::2], rest[::2], strict=True))
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), Registry)
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
