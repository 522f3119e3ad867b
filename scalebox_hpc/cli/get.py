"""`sbx get`: copy from a site."""

from __future__ import annotations

from typing import Annotated

import typer

from scalebox_hpc.cli import moving
from scalebox_hpc.cli.options import AsJson, Keep, Limit, Streams, VerifyAll


def get(
    source: Annotated[
        str, typer.Argument(metavar="SITE:PATH", help="A file or directory.", show_default=False)
    ],
    target: Annotated[str, typer.Argument(metavar="[PLACE]", help="A path here, or SITE:PATH.")] = ".",
    keep: Keep = True,
    limit: Limit = None,
    streams: Streams = None,
    verify_all: VerifyAll = False,
    as_json: AsJson = False,
) -> None:
    """Copy a file or a directory from a site, verified by checksum.

    The same command goes on where it broke off, and leaves alone what is there
    already. Into a directory that exists it goes under its own name.

    \b
    Example:
      sbx get b:/scratch/run7/result.h5
      sbx get b:/scratch/run7 /data/run7 --limit 50M
    """
    moving.move(source, target, moving.Choices(keep, limit, streams, verify_all, as_json))
