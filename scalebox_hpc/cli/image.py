"""`sbx image`: fetch, make, look at and remove the images that modules run in."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalebox_hpc.cli import say
from scalebox_hpc.cli.image_store import store_of
from scalebox_hpc.cli.options import AsJson
from scalebox_hpc.cli.reach import daemon_of
from scalebox_hpc.errors import ConflictError, DaemonAbsent, EnvironmentProblem, SbxError

if TYPE_CHECKING:
    from scalebox_hpc.containers.images import ImageStore
    from scalebox_hpc.containers.store import Stored
    from scalebox_hpc.domain.image import Image

ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")

app = typer.Typer(no_args_is_help=True, help="Fetch, make and look at images.", rich_markup_mode=None)

Site = Annotated[
    str | None,
    typer.Option("--site", metavar="NAME", help="In the store of this site; default: the pipeline's site."),
]
Sources = Annotated[list[str], typer.Argument(metavar="SOURCE...", help="docker://..., a file, a directory.")]
Refresh = Annotated[bool, typer.Option("--refresh", help="Fetch again what the store has already.")]
Names = Annotated[
    list[str], typer.Argument(metavar="IMAGE...", help="A digest or its beginning, a path, or a source.")
]


@app.command()
def pull(
    sources: Sources,
    refresh: Refresh = False,
    no_https: Annotated[bool, typer.Option("--no-https", help="Ask the registry by plain http.")] = False,
    site: Site = None,
    as_json: AsJson = False,
) -> None:
    """Fetch images into the store.

    Each is fetched once, however many ask; a run uses what the store has for an
    address until it is fetched again with --refresh.

    \b
    Example:
      sbx image pull docker://debian:12
      sbx image pull docker://debian:12 --refresh
    """
    store = store_of(site)
    found = [store.ensure(each, Path.cwd(), refresh=refresh, no_https=no_https) for each in sources]
    _print_images(found, as_json)


@app.command()
def build(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A .def file, a sandbox, an archive.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write a copy of the image here.")
    ] = None,
    refresh: Refresh = False,
    site: Site = None,
    as_json: AsJson = False,
) -> None:
    """Make an image and keep it in the store.

    \b
    Example:
      sbx image build tools.def -o tools.sif
      sbx image build oci-archive:tools.tar
    """
    image = store_of(site).build(source, Path.cwd(), refresh=refresh)
    if output is not None:
        _copy(Path(image.path), output)
    _print_images([image], as_json)


def _copy(image: Path, output: Path) -> None:
    from scalebox_hpc.disk import problem_with

    temporary = output.with_name(f".{output.name}.part")
    try:
        shutil.copyfile(image, temporary)
        temporary.replace(output)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise problem_with(output, error, "write", "name a place where you may write") from error


def _print_images(images: Sequence[Image], as_json: bool) -> None:
    if as_json:
        say.json_object({"images": [asdict(image) for image in images]})
        return
    for image in images:
        say.text(f"{image.source}\n  {image.digest}\n  {image.path}")


@app.command()
def inspect(
    image: Annotated[
        str, typer.Argument(metavar="IMAGE", help="A file, a directory, a digest, or a source in the store.")
    ],
    site: Site = None,
    as_json: AsJson = False,
) -> None:
    """Show what an image is, and what it says of itself.

    Labels and definition come from Apptainer, where there is one.

    \b
    Example:
      sbx image inspect python.sif
    """
    found = _inspected(store_of(site), image)
    if as_json:
        say.json_object(found)
        return
    for key, value in found.items():
        shown = "\n".join(f"  {line}" for line in _lines(value)) if isinstance(value, (dict, list)) else value
        say.text(f"{key}\n{shown}" if isinstance(value, (dict, list)) else f"{key:10}  {shown}")


def _inspected(store: ImageStore, name: str) -> dict[str, Any]:
    from scalebox_hpc.containers.images import describe
    from scalebox_hpc.errors import ImageMissing

    try:
        stored = store.stored(name, Path.cwd())
    except ImageMissing:
        found = describe(name, Path.cwd())
    else:
        found = describe(stored.path, Path.cwd()) | {"sources": list(stored.sources)}
    return {**found, **store.inspect(str(found["path"]))}


def _lines(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [f"{key}: {inner}" for key, inner in value.items()]
    return [_line(each) for each in value]


def _line(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {inner}" for key, inner in value.items() if inner != "")
    return str(value)


@app.command()
def verify(
    images: Annotated[
        list[str] | None, typer.Argument(metavar="IMAGE...", help="As for rm; default: all of the store.")
    ] = None,
    site: Site = None,
    as_json: AsJson = False,
) -> None:
    """Read images of the store from end to end.

    Says of each whether its content is what it was when it came. Exit status 1 when one is not.

    \b
    Example:
      sbx image verify
    """
    store = store_of(site)
    here = Path.cwd()
    chosen = [store.stored(name, here) for name in images] if images else store.shelf.all()
    results = [(stored, _problem(store, stored)) for stored in chosen]
    if as_json:
        say.json_object(
            {"images": [{"digest": each.digest, "path": each.path, "problem": bad} for each, bad in results]}
        )
    else:
        for each, bad in results:
            say.text(f"{each.digest[:19]}  {bad or 'ok'}")
    raise typer.Exit(1 if any(bad for _, bad in results) else 0)


def _problem(store: ImageStore, stored: Stored) -> str:
    try:
        store.verify(stored)
    except SbxError as error:
        return error.fact
    return ""


@app.command("ls")
def list_images(site: Site = None, as_json: AsJson = False) -> None:
    """List the images of the store, the newest first.

    \b
    Example:
      sbx image ls --json
    """
    from scalebox_hpc.report.text import table
    from scalebox_hpc.units import show_size

    store = store_of(site)
    found = store.shelf.all()
    if as_json:
        say.json_object({"directory": str(store.shelf.directory), "images": [asdict(each) for each in found]})
        return
    rows = [["digest", "arch", "size", "source"]]
    for each in found:
        sources = each.problem or ", ".join(each.sources) or "-"
        rows.append([each.digest[:19], each.arch or "-", show_size(each.size_bytes), sources])
    say.text("\n".join(table(rows)) if found else f"no images in {store.shelf.directory}")


@app.command("rm")
def remove(
    context: typer.Context,
    images: Names,
    force: Annotated[bool, typer.Option("--force", help="Also where an open run uses it.")] = False,
    site: Site = None,
    as_json: AsJson = False,
) -> None:
    """Remove images from the store.

    One that an open run of this home uses is refused (exit status 3).

    \b
    Example:
      sbx image rm docker://debian:12
      sbx image rm sha256:1f3a9c
    """
    store = store_of(site)
    chosen = [store.stored(name, Path.cwd()) for name in images]
    if not force:
        _must_be_unused(context, chosen)
    for stored in chosen:
        store.shelf.remove(stored)
    if as_json:
        say.json_object({"removed": [stored.digest for stored in chosen]})
    else:
        say.text("\n".join(f"removed {stored.digest[:19]}" for stored in chosen))


def _must_be_unused(context: typer.Context, chosen: Sequence[Stored]) -> None:
    try:
        runs = daemon_of(context).runs()
    except (DaemonAbsent, EnvironmentProblem):
        say.remark("no daemon answers, so nobody knows whether an interrupted run uses it")
        return
    for stored in chosen:
        users = [run["run"] for run in runs if run["state"] not in ENDED and stored.digest in run["images"]]
        if users:
            raise ConflictError(
                f"the image {stored.digest[:19]} is used by {', '.join(users)}",
                f"end it first (sbx cancel {users[0]}), or say --force",
            )
