"""Images with the real Apptainer, as an ordinary user: made, pulled, refused, replaced under a run."""

import json
import shlex
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.box import Site, wait_until
from tests.cluster.images import oci_archive
from tests.cluster.test_scenarios import lab  # noqa: F401 (a fixture)
from tests.scenarios.lab import Lab

REGISTRY = Path(__file__).with_name("registry.py")
BUSYBOX = "/scratch/images/bb.sif"


@dataclass
class Bench:
    """A directory of the site's user, with an image store of its own."""

    site: Site
    directory: Path  # from outside

    @property
    def store(self) -> Path:
        return self.directory / ".sbx" / "shared" / "images"

    def shell(self, command: str, exit_code: int | None = 0) -> subprocess.CompletedProcess[str]:
        line = f"cd {self.site.inside(self.directory)} && {command}"
        done = self.site.run(self.site.login, line, check=False, timeout_s=180)
        assert exit_code in (None, done.returncode), f"{command}\n{done.stdout}\n{done.stderr}"
        return done

    def image(self, *words: str, exit_code: int = 0) -> subprocess.CompletedProcess[str]:
        return self.shell(shlex.join([self.site.sbx, "image", *words]), exit_code)

    def made(self, *words: str) -> dict[str, Any]:
        """The one image that a command made."""
        (image,) = json.loads(self.image(*words, "--json").stdout)["images"]
        assert isinstance(image, dict)
        return image

    def says(self, image: dict[str, Any], command: str) -> str:
        """What a command prints inside an image."""
        return self.shell(f"apptainer exec {image['path']} {command}").stdout.strip()

    def sandbox(self, name: str, marker: str) -> Path:
        """A busybox with a file /marker."""
        self.shell(f"apptainer build --sandbox {name} {BUSYBOX} && echo {marker} >{name}/marker")
        return self.directory / name

    def files(self) -> list[str]:
        return sorted(path.name for path in self.store.glob("[!.]*"))

    def archive(self, name: str, marker: str) -> Path:
        """An OCI archive of a busybox with a file /marker; replaced in one step where there is one."""
        root = self.sandbox(f"{name}.root", marker)
        fresh = self.directory / f"{name}.new"
        oci_archive(root, fresh)
        self.shell(f"rm -rf {name}.root")
        return fresh.replace(self.directory / name)


@pytest.fixture
def bench(site: Site) -> Iterator[Bench]:
    directory = site.home / "benches" / uuid.uuid4().hex[:12]
    site.write(directory / "note.txt", "noted\n")
    yield Bench(site, directory)
    shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def registry(bench: Bench, port: int, **images: str) -> Iterator[str]:
    """A registry on the login node with these archives; yields the address that images begin with."""
    script = bench.site.write(bench.directory / "registry.py", REGISTRY.read_text())
    words = [word for name, archive in images.items() for word in (archive, f"lab/{name}:1")]
    where = bench.site.inside(bench.directory)
    line = f"cd {where} && exec python3 {script.name} {port} {shlex.join(words)} >registry.log 2>&1"
    process = bench.site.start(bench.site.login, line)
    log = bench.directory / "registry.log"
    try:
        wait_until(lambda: log.exists() and "ready" in log.read_text(), 10, "the registry")
        yield f"docker://127.0.0.1:{port}/lab"
    finally:
        bench.site.stop(process)


def test_a_sandbox_and_a_definition_become_images(bench: Bench) -> None:
    bench.sandbox("box", "one")
    packed = bench.made("build", "box", "-o", "box.sif")
    assert bench.says(packed, "cat /marker") == "one"
    assert (bench.directory / "box.sif").read_bytes() == (
        bench.store / Path(packed["path"]).name
    ).read_bytes()
    definition = "Bootstrap: localimage\nFrom: box.sif\n%files\n  note.txt /note\n%labels\n  org.lab yes\n"
    bench.site.write(bench.directory / "a.def", definition)
    built = bench.made("build", "a.def")
    assert bench.says(built, "cat /marker /note") == "one\nnoted"
    assert bench.made("build", "a.def") == built
    bench.site.write(bench.directory / "note.txt", "noted anew\n")
    again = bench.made("build", "a.def")
    assert bench.says(again, "cat /note") == "noted anew"
    assert len(bench.files()) == 3
    shown = json.loads(bench.image("inspect", again["digest"], "--json").stdout)
    assert shown["labels"]["org.lab"] == "yes"
    assert (shown["kind"], shown["arch"]) == ("sif", "amd64")
    bench.image("verify")


def test_an_oci_archive_becomes_an_image(bench: Bench) -> None:
    bench.archive("box.tar", "archived")
    image = bench.made("build", "oci-archive:box.tar")
    assert bench.says(image, "cat /marker") == "archived"
    assert bench.made("pull", "oci-archive:box.tar") == image


def test_a_registry_is_pulled_from_once_and_again_on_refresh(bench: Bench) -> None:
    bench.archive("box.tar", "first")
    with registry(bench, 5999, box="box.tar") as address:
        source = f"{address}/box:1"
        first = bench.made("pull", source, "--no-https")
        assert bench.says(first, "cat /marker") == "first"
        missing = bench.image("pull", f"{address}/nothing:1", "--no-https", exit_code=2)
        assert f"the registry has no image {address}/nothing:1" in missing.stderr
        bench.archive("box.tar", "second")
        assert bench.made("pull", source) == first
        second = bench.made("pull", source, "--refresh", "--no-https")
        assert bench.says(second, "cat /marker") == "second"
        assert bench.says(first, "cat /marker") == "first"
    assert bench.made("pull", source) == second
    away = bench.image("pull", source, "--refresh", "--no-https", exit_code=4)
    assert f"the registry of {source} cannot be reached" in away.stderr
    listed = json.loads(bench.image("ls", "--json").stdout)["images"]
    assert {each["digest"]: each["sources"] for each in listed} == {
        first["digest"]: [],
        second["digest"]: [source],
    }
    bench.image("rm", first["digest"])
    assert len(bench.files()) == 1


def test_ten_real_pulls_at_once_make_one_file(bench: Bench) -> None:
    bench.archive("box.tar", "one")
    with registry(bench, 5998, box="box.tar") as address:
        pull = f"{bench.site.sbx} image pull --no-https {address}/box:1"
        bench.shell(f"for i in 1 2 3 4 5 6 7 8 9 10; do {pull} >out.$i 2>&1 & done; wait")
        asked = (bench.directory / "registry.log").read_text()
    said = [(bench.directory / f"out.{number}").read_text() for number in range(1, 11)]
    assert all("sha256:" in each for each in said), said
    assert sum("making" in each for each in said) == 1
    assert len(bench.files()) == 1
    assert asked.count("GET /v2/lab/box/manifests/1 ") <= 2


PIPELINE = """
sbx = 1
[pipeline]
name = "images"

[modules.whole]
image = "whole.sif"
run = ["cat", "/marker"]
seed = ["1"]
to = ["cut", "secret", "arm"]

[modules.cut]
image = "cut.sif"
run = ["echo", "{body}"]

[modules.secret]
image = "secret.sif"
run = ["echo", "{body}"]

[modules.arm]
image = "arm.sif"
run = ["echo", "{body}"]
"""


def test_what_cannot_be_used_is_refused_all_at_once_before_anything_is_submitted(
    lab: Lab,  # noqa: F811
    site: Site,
) -> None:
    whole = (site.scratch / "images" / "bb.sif").read_bytes()
    of_arm = whole.replace(b"01\x0002\x00", b"01\x0004\x00", 1).replace(
        b"\x02\0\0\x0002\0", b"\x02\0\0\x0004\0"
    )
    for name, content in [
        ("whole.sif", whole),
        ("cut.sif", whole[:-1]),
        ("secret.sif", whole),
        ("arm.sif", of_arm),
    ]:
        lab.file(name, "").write_bytes(content)
    (lab.directory / "secret.sif").chmod(0)
    lab.pipeline(PIPELINE)
    refused = lab.run(exit_code=2)
    for line, key, why in [
        (13, "modules.cut.image", "cut.sif is damaged"),
        (17, "modules.secret.image", "secret.sif may not be read by you"),
        (21, "modules.arm.image", "is for arm64 processors"),
    ]:
        assert f"pipeline.toml:{line}: {key}: the image " in refused.stderr
        assert why in refused.stderr
    assert "whole.sif" not in refused.stderr
    assert lab.json("status", "--all")["runs"] == []


REPLACED = """
sbx = 1
[pipeline]
name = "replaced"

[modules.look]
image = "tools.sif"
run = "cat /marker; while [ ! -e $SBX_PIPELINE/go.{headers.wait} ]; do sleep 0.1; done; exit {body}"
seed = ['0,{"wait": "1"}', '0,{"wait": "2"}', '3,{"wait": "2"}']
"""


def test_an_image_replaced_while_a_run_is_on_changes_nothing_in_it(lab: Lab, site: Site) -> None:  # noqa: F811
    bench = Bench(site, lab.directory)
    lab.file("go.1", "")
    bench.sandbox("box", "old")
    bench.shell("apptainer build tools.sif box")
    lab.pipeline(REPLACED)
    lab.run("--detach")
    lab.wait(lambda: lab.module("look")["succeeded"] == 1, 60, "the first task")
    bench.shell("echo new >box/marker && apptainer build --force tools.sif box")
    bench.shell("touch go.2")
    assert lab.wait_for_end()["state"] == "FAILED"
    rows = lab.rows()
    assert {row["stdout"] for row in rows} == {"old\n"}
    (digest,) = {row["image"] for row in rows}
    assert digest.startswith("sha256:")
    assert lab.json("status", "--all")["runs"][0]["images"] == [digest]
    changed = lab.sbx("resume")
    assert changed.exit_code == 3
    assert "look: its image changed" in changed.stderr
    assert lab.sbx("resume", "--keep", "look").exit_code == 0
    lab.wait_for_end()
    assert {row["image"] for row in lab.rows()} == {digest}
