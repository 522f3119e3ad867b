"""The examples in images, on real Slurm by an ordinary user through Apptainer. S02, S10, S27."""

import hashlib
import json
import time
from collections.abc import Iterator

import pytest

from tests.cluster.box import Site
from tests.cluster.images import oci_archive, put, root_of, sif_of
from tests.cluster.test_scenarios import SITE_FILE, lab  # noqa: F401
from tests.scenarios.lab import EXAMPLES, Lab

VARIANT = "pipeline-image.toml"
PHAGE_TOOLS = "bowtie2 bowtie2-align-s bowtie2-build bowtie2-build-s samtools bcftools"


def test_s02_hello_in_a_sif_image(lab: Lab, site: Site) -> None:  # noqa: F811
    lab.example("hello")
    put(sif_of("hello", site), lab.directory / "hello.sif")
    lab.run(pipeline=VARIANT)
    [row] = lab.rows()
    assert (row["outcome"], row["exit_code"], row["stdout"]) == ("SUCCEEDED", "0", "Hello from scalebox\n")


def test_s02_hello_in_an_image_given_as_an_oci_archive(lab: Lab) -> None:  # noqa: F811
    lab.example("hello")
    oci_archive(root_of("hello"), lab.directory / "hello.tar")
    text = (EXAMPLES / "hello" / VARIANT).read_text()
    assert "hello.sif" in text
    lab.file(VARIANT, text.replace("hello.sif", "oci-archive:hello.tar"))
    lab.run(pipeline=VARIANT)
    [row] = lab.rows()
    assert (row["outcome"], row["exit_code"], row["stdout"]) == ("SUCCEEDED", "0", "Hello from scalebox\n")


def test_s10_primes_in_an_image(lab: Lab, site: Site) -> None:  # noqa: F811
    lab.example("primes")
    put(sif_of("primes", site), lab.directory / "primes.sif")
    lab.run("-p", "limit=1000", "-p", "step=100", pipeline=VARIANT)
    assert lab.states("count") == {"SUCCEEDED": 10}
    assert lab.result("total.txt") == "168\n"


@pytest.fixture
def nodes_without_tools(site: Site) -> Iterator[Site]:
    """The compute nodes as most clusters have them: what phage calls cannot be run there."""
    for node in site.nodes:
        site.run(node, f"cd /usr/bin && chmod a-x {PHAGE_TOOLS}", root=True)
    yield site
    for node in site.nodes:
        site.run(node, f"cd /usr/bin && chmod a+x {PHAGE_TOOLS}", root=True)


def test_phage_in_an_image_equals_the_same_tools_by_hand_on_the_whole_input(
    lab: Lab,  # noqa: F811
    nodes_without_tools: Site,
) -> None:
    lab.example("phage")
    image = sif_of("phage", nodes_without_tools)
    put(image, lab.directory / "phage.sif")
    lab.run(pipeline=VARIANT, timeout_s=300.0)
    assert lab.states("align") == {"SUCCEEDED": 10}
    digest = hashlib.sha256(image.read_bytes()).hexdigest()
    assert {row["image"] for row in lab.rows()} == {f"sha256:{digest}"}
    compared = lab.shell(f"./compare.sh results/{lab.status()['run']}")
    assert compared.exit_code == 0, str(compared)
    mapped, variants = (int(word) for word in compared.stdout.split() if word.isdigit())
    assert mapped > 18_000
    assert variants > 50


@pytest.fixture
def only_on_the_login_node(site: Site) -> Iterator[str]:
    """A directory of images that the compute nodes do not see: each host of the box has a /var of its own."""
    directory = "/var/tmp/sbx-images-of-the-login-node"
    site.run(site.login, f"mkdir -p {directory} && cp /scratch/images/bb.sif {directory}/hello.sif")
    yield directory
    site.run(site.login, f"rm -rf {directory}")


def test_s27_an_image_that_nodes_do_not_see_fails_by_launch_and_is_named(
    lab: Lab,  # noqa: F811
    only_on_the_login_node: str,
) -> None:
    lab.example("hello")
    paths = f'[paths]\nimages = "{only_on_the_login_node}"\n'
    lab.file("site-configs/slurm-in-a-box.toml", SITE_FILE.format(partition="main") + paths)
    bodies = [f"hello {number}" for number in range(20)]
    text = (EXAMPLES / "hello" / VARIANT).read_text()
    lab.file(VARIANT, text.replace('["Hello from scalebox"]', json.dumps(bodies)))
    started = time.monotonic()
    lab.run(pipeline=VARIANT, exit_code=1)
    assert time.monotonic() - started < 30.0
    assert {(task["state"], task["cause"]) for task in lab.tasks()} == {("FAILED", "launch")}
    notes = " ".join(lab.status()["notes"])
    assert only_on_the_login_node in notes
    assert "does not exist" in notes
    # Nothing is tried again and again: attempts are few, and so are the arrays that were asked for.
    rows = lab.rows()
    assert len(rows) < len(bodies) + 10
    assert len({row["job_id"] for row in rows}) <= 2
    assert len(list((lab.home / "shared" / "tries").iterdir())) <= 2
