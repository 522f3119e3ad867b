"""`sbx put`: copy to a site."""

from __future__ import annotations

from typing import Annotated

import typer

from scalebox_hpc.cli import moving
from scalebox_hpc.cli.options import AsJson, Keep, Limit, Streams, VerifyAll


def put(
    source: Annotated[str, typer.Argument(metavar="PLACE", help="A path here, or SITE:PATH.")],
    target: Annotated[str, typer.Argument(metavar="SITE:PATH", help="Where it goes.", show_default=False)],
    keep: Keep = True,
    limit: Limit = None,
    streams: Streams = None,
    verify_all: VerifyAll = False,
    as_json: AsJson = False,
) -> None:
    """Copy a file or a directory to a site, verified by checksum.

    The same command goes on where it broke off, and leaves alone what is there
    already. Into a directory that exists it goes under its own name.

    \b
    Example:
      sbx put raw/ b:/scratch/me/raw
      sbx put a:/data/night1.fits b:/scratch/me --move
    """
    moving.move(source, target, moving.Choices(keep, limit, streams, verify_all, as_json))
