"""`relay.pyz depot`: does in a shared folder what the daemon asks for, and ends.

One line of JSON comes in, `{"root": DIR, "asked": [[VERB, ARGUMENT...], ...]}`, behind it the contents
of the files to be put, in their order; one line goes out, a value or a problem for each thing asked.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Callable
from typing import Any, BinaryIO, NoReturn

from scalebox_hpc.relay import clearing, folder
from scalebox_hpc.relay.clearing import Gone
from scalebox_hpc.relay.folder import Changed, Frame, Parcel

Verb = Callable[..., Any]


def _log(root: str, path: str, offset: int, length: int) -> str:
    return base64.b64encode(folder.read_log(path, offset, length)).decode("ascii")


def _remove(root: str, paths: list[str]) -> None:
    for path in paths:
        folder.remove(path)


VERBS: dict[str, Verb] = {
    "make": folder.make,
    "expand": folder.expand,
    "write": folder.write,
    "lacks": lambda root, parcels: folder.lacks(root, [Parcel(*each) for each in parcels]),
    "endings": folder.endings,
    "run_folders": folder.run_folders,
    "remove": _remove,
    "spool": folder.spool,
    "last_words": folder.last_words,
    "find_frame": lambda root, *frame: folder.find_frame(root, Frame(*frame)),
    "read_log": _log,
    "clear": lambda root, *gone: clearing.clear(root, Gone(*gone)),
    "sizes": lambda root, *gone: clearing.sizes(root, Gone(*gone)),
    "sweep": clearing.sweep,
}


def answer(request: dict[str, Any], content: BinaryIO) -> list[dict[str, Any]]:
    """Do what is asked, one after the other; a thing that fails does not keep the next from being done."""
    return [_one(request["root"], verb, arguments, content) for verb, *arguments in request["asked"]]


def _one(root: str, verb: str, arguments: list[Any], content: BinaryIO) -> dict[str, Any]:
    try:
        if verb == "put":
            _put(root, Parcel(*arguments), content)
            return {"value": None}
        return {"value": VERBS[verb](root, *arguments)}
    except Changed as error:
        return {"changed": str(error)}
    except OSError as error:
        path = error.filename if isinstance(error.filename, str) else root
        return {"errno": error.errno, "strerror": error.strerror or str(error), "path": path}


def _put(root: str, parcel: Parcel, content: BinaryIO) -> None:
    """Put one file; what of its content was not taken is passed over, as the next one's stands behind it."""
    left = parcel.size

    def read(most: int) -> bytes:
        nonlocal left
        piece = content.read(min(most, left))
        left -= len(piece)
        return piece

    try:
        folder.put(root, parcel, read)
    finally:
        while left and read(folder.PIECE_BYTES):
            pass


def main() -> NoReturn:
    """Serve one request."""
    request = json.loads(sys.stdin.buffer.readline())
    answers = json.dumps({"answers": answer(request, sys.stdin.buffer)})
    sys.stdout.write(answers + "\n")
    sys.stdout.flush()
    os._exit(0)
