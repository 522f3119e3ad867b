"""`sbx module`: the standard modules that a pipeline can take by `use`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scalebox_hpc.cli import say
from scalebox_hpc.cli.options import AsJson

if TYPE_CHECKING:
    from scalebox_hpc.config.standard import Input

app = typer.Typer(
    no_args_is_help=True, help="Look at the standard modules that `use` takes.", rich_markup_mode=None
)


@app.command("ls")
def list_all(as_json: AsJson = False) -> None:
    """List the standard modules.

    Those in `modules/` here, in ~/.config/sbx/modules, and those that came with sbx.

    \b
    Example:
      sbx module ls
    """
    from scalebox_hpc.config.standard import find_modules, read_standard, search_path
    from scalebox_hpc.report.text import table

    found = [read_standard(path) for path in find_modules(search_path(Path.cwd())).values()]
    if as_json:
        say.json_object({"standard": [standard.as_data() for standard in found]})
        return
    rows = [[standard.name, standard.description, str(standard.directory)] for standard in found]
    say.text("\n".join(table([["name", "which is to", "where"], *rows])))


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The standard module.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Show what goes into a standard module and what comes out.

    \b
    Example:
      sbx module show python
    """
    from scalebox_hpc.config.standard import load_standard, search_path

    standard = load_standard(name, search_path(Path.cwd()))
    if as_json:
        say.json_object(standard.as_data())
        return
    say.text(f"{standard.name}: {standard.description}")
    _echo_table("goes in", standard.inputs)
    _echo_table("comes out", standard.outputs)
    say.text(f"\n{standard.directory}")


def _echo_table(title: str, items: tuple[Input, ...]) -> None:
    from scalebox_hpc.report.text import table

    if items:
        rows = [[item.name, item.meaning] for item in items]
        say.text("\n" + "\n".join(table([[title, "meaning"], *rows])))
