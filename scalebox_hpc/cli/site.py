"""`sbx site`: the clusters that site files describe."""

from __future__ import annotations

import typer

from scalebox_hpc.cli import site_check

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look at the sites that there are.")
app.command("check")(site_check.check)


@app.callback()
def root() -> None:
    """Look at the sites that there are."""
