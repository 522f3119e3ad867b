"""`sbx site`: the clusters that can be reached, and how."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalebox_hpc.cli import say, site_check, site_login
from scalebox_hpc.cli.options import AsJson

if TYPE_CHECKING:
    from scalebox_hpc.domain.site import Site, Ssh

app = typer.Typer(
    no_args_is_help=True, help="Look at sites, check them, write a site file, log in.", rich_markup_mode=None
)
app.command("login")(site_login.login)
app.command("check")(site_check.check)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The site.", show_default=False)]


@app.command("ls")
def list_all(as_json: AsJson = False) -> None:
    """List the sites: here, in ~/.config/sbx/sites, and those that came with sbx.

    No site is asked whether it can be reached.

    \b
    Example:
      sbx site ls
    """
    from scalebox_hpc.config.site import find_sites, search_path
    from scalebox_hpc.report.text import table

    found = [_row(name, path) for name, path in find_sites(search_path(Path.cwd())).items()]
    if as_json:
        say.json_object({"sites": found})
        return
    rows = [
        [row["site"], row["batch"] or "-", row["host"] or "-", row["problem"] or row["file"]] for row in found
    ]
    say.text("\n".join(table([["site", "batch", "host", "file"], *rows])))


def _row(name: str, path: Path) -> dict[str, str]:
    from scalebox_hpc.config.site import read_site
    from scalebox_hpc.errors import PipelineErrors

    row = {"site": name, "batch": "", "host": "", "file": str(path), "problem": ""}
    try:
        site = read_site(path)
    except PipelineErrors as error:
        return row | {"problem": str(error.problems[0]).splitlines()[0]}
    return row | {"batch": site.batch, "host": site.ssh.host if site.ssh else ""}


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show all values of a site and where each comes from.

    For a site elsewhere also the hosts on the way, as OpenSSH's files say them. Nothing is
    connected to.

    \b
    Example:
      sbx site show hpc2
    """
    from scalebox_hpc.config.site_values import values_of
    from scalebox_hpc.report.text import table

    path = site_login.file_of(name)
    site, values = values_of(path)
    way = _way(site)
    if as_json:
        say.json_object(
            {"site": name, "file": str(path), "values": [asdict(value) for value in values], "way": way}
        )
        return
    say.text(f"{name}: {path}")
    say.text(
        "\n".join(table([["key", "value", "from"], *([v.key, _shown(v.value), v.origin] for v in values)]))
    )
    for title, told in way.items():
        say.text(f"{title}: {told if isinstance(told, str) else ' -> '.join(told)}")


def _shown(value: Any) -> str:
    if value is None or value in ((), "", [], {}):
        return "-"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _way(site: Site) -> dict[str, str | list[str]]:
    from scalebox_hpc.errors import SiteUnreachable
    from scalebox_hpc.sites.resolved import way_to

    if site.ssh is None:
        return {"reached": "this machine"}
    try:
        hops = [f"{hop.user}@{hop.host}:{hop.port}" for hop in way_to(site.ssh)]
        return {"hosts": hops, "reached": _transport(site.ssh)}
    except SiteUnreachable as error:
        return {"reached": f"not known: {error.fact}"}


def _transport(ssh: Ssh) -> str:
    from scalebox_hpc.sites.registry import only_openssh

    if ssh.master:
        return "through the OpenSSH connection of `sbx site login`"
    why = only_openssh(ssh)
    return f"by OpenSSH, for its files say {why}" if why else "by paramiko"


@app.command()
def init(
    name: Name,
    host: Annotated[
        str | None,
        typer.Option(
            "--host", metavar="[USER@]HOST", help="Reached by ssh: a host, or a name of ~/.ssh/config."
        ),
    ] = None,
    here: Annotated[
        bool, typer.Option("--here", help="In site-configs/ here, for the pipeline beside it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a site file from the commented template, to be filled in.

    In ~/.config/sbx/sites, for all your pipelines. A file that is there already is left alone
    (exit status 3).

    \b
    Example:
      sbx site init hpc1
      sbx site init hpc2 --host login.hpc2.example.org
    """
    from scalebox_hpc.config.places import installed, settings_folder
    from scalebox_hpc.errors import UsageError

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or name == "template":
        raise UsageError(f"{name!r} is no name for a site", "use letters, digits, `-`, `_` and `.`")
    folder = Path("site-configs").absolute() if here else settings_folder() / "sites"
    template = (installed("site-configs") / "template.toml").read_text("utf-8")
    path = folder / f"{name}.toml"
    _write_new(path, "".join(_filled_in(template.splitlines(keepends=True), host)))
    if as_json:
        say.json_object({"site": name, "file": str(path)})
        return
    say.text(f"wrote {path}")
    say.text(f"edit it, then: sbx site {'login' if host else 'show'} {name}")


def _filled_in(lines: Iterable[str], host: str | None) -> Iterable[str]:
    """The template; with a host, [USER@]HOST, in force what it says of `[ssh]`."""
    if host is None:
        yield from lines
        return
    user, name = _parts(host)
    said = {"# [ssh]": "[ssh]\n", "# host = ": f'host = "{name}"\n'}
    said |= {"# user = ": f'user = "{user}"\n'} if user else {}
    for line in lines:
        yield next((text for start, text in said.items() if line.startswith(start)), line)


def _parts(host: str) -> tuple[str, str]:
    """The user ("" where none is named) and the host of [USER@]HOST."""
    from scalebox_hpc.errors import UsageError

    if not (found := re.fullmatch(r"(?:([\w.][\w.-]*)@)?([^\s\"\\@/-][^\s\"\\@/]*)", host)):
        raise UsageError(
            f"--host: {host!r} is no host",
            "write a host, or a name of ~/.ssh/config, as in me@login.example.org",
        )
    return found[1] or "", found[2]


def _write_new(path: Path, text: str) -> None:
    from scalebox_hpc.disk import problem_with
    from scalebox_hpc.errors import ConflictError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise ConflictError(f"there is {path} already", "edit it, or take another name") from error
    except OSError as error:
        raise problem_with(path, error, "write", "name a place where you may write") from error
