"""The examples, as a reader would run them, and the pipelines that people would write."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.lab import EXAMPLES, Lab, has

NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/pipeline.toml"))
WITH_IMAGES = sorted(path.parent.name for path in EXAMPLES.glob("*/pipeline-image.toml"))


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_right_and_says_what_it_is(lab: Lab, name: str) -> None:
    lab.example(name)
    checked = lab.sbx("check", "pipeline.toml")
    assert checked.exit_code == 0, str(checked)
    assert "warning" not in checked.text.lower(), str(checked)
    assert (EXAMPLES / name / "README.md").read_text().startswith("# ")


@pytest.mark.parametrize("name", WITH_IMAGES)
def test_the_variant_with_an_image_is_right(lab: Lab, name: str) -> None:
    lab.example(name)
    lab.file(f"{name}.sif", "")
    checked = lab.sbx("check", "pipeline-image.toml")
    assert checked.exit_code == 0, str(checked)
    assert "warning" not in checked.text.lower(), str(checked)


@pytest.mark.parametrize("name", WITH_IMAGES)
def test_the_variant_with_an_image_differs_by_the_image_only(name: str) -> None:
    plain = tomllib.loads((EXAMPLES / name / "pipeline.toml").read_text())
    variant = tomllib.loads((EXAMPLES / name / "pipeline-image.toml").read_text())
    assert images_taken_out(variant) == {f"{name}.sif"}
    assert variant | {"defaults": variant.get("defaults", {})} == plain | {
        "defaults": plain.get("defaults", {})
    }


def images_taken_out(pipeline: dict[str, Any]) -> set[str]:
    """Take the key `image` out of a pipeline's modules, and return what it named."""
    tables = [pipeline.get("defaults", {}), *pipeline["modules"].values()]
    return {table.pop("image") for table in tables if "image" in table}


def test_both_ways_to_make_the_phage_image_take_the_same_packages() -> None:
    """The definition file has besides only what is in its base image anyway."""
    [installed] = re.findall(
        r"apt-get install .*-recommends (.*)", (EXAMPLES / "phage/phage.def").read_text()
    )
    [unpacked] = re.findall(r"phage\) packages=\((.*)\)", (EXAMPLES / "build-image").read_text())
    assert set(installed.split()) <= set(unpacked.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [((), "usage"), (("cohort", "new"), "no image is known for cohort"), (("hello", "."), "exists")],
)
def test_building_an_image_says_what_is_wrong(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    done = subprocess.run(
        [EXAMPLES / "build-image", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert not list(tmp_path.iterdir())


def test_an_image_that_does_not_exist_is_refused_before_anything_is_submitted(lab: Lab) -> None:
    """S27, where it can be seen from here."""
    lab.example("hello")
    refused = lab.run(pipeline="pipeline-image.toml", exit_code=2)
    assert "pipeline-image.toml:8: modules.hello.image: there is no file hello.sif" in refused.stderr
    assert "looked for" in refused.stderr
    assert not (lab.home / "ledger.db").exists() or not lab.json("status", "--all")["runs"]


def test_cohort_merges_each_sample_and_then_all(lab: Lab) -> None:
    lab.example("cohort")
    lab.run(timeout_s=300.0)
    assert lab.result("joint.vcf") == "joint: 200 samples, 796 lanes\n"
    assert lab.result("report.txt") == "align 796\ncall 200\njoint 1\n"
    counts = {module["module"]: module["succeeded"] for module in lab.status()["modules"]}
    assert counts == {"align": 796, "merge": 200, "call": 200, "joint": 1, "report": 1}


def test_cohort_merges_a_sample_before_the_last_lane_is_done(lab: Lab) -> None:
    lab.example("cohort")
    lab.run(timeout_s=300.0)
    rows = lab.rows()
    first_merge = min(row["started"] for row in rows if row["module"] == "merge")
    last_lane = max(row["ended"] for row in rows if row["module"] == "align")
    assert first_merge < last_lane


def test_cohort_with_a_bad_lane_says_what_is_missing_and_goes_on_once_it_is_mended(lab: Lab) -> None:
    lab.example("cohort")
    sheet = (EXAMPLES / "cohort" / "samples.csv").read_text().splitlines(keepends=True)
    lab.file("samples.csv", "".join(sheet[: 1 + 4 * 10]))  # ten samples of four lanes
    bad = lab.file("bad-lanes.txt", "S007.L2\n")
    lab.run(exit_code=1)
    causes = {task["task"]: task["cause"] for task in lab.tasks() if task["state"] == "FAILED"}
    assert sorted(causes.values()) == ["exit", "incomplete", "incomplete"]
    assert "missing align" in lab.result("report.txt")
    assert "S007.L2" in lab.result("report.txt")

    bad.unlink()
    retried = lab.sbx("retry")
    assert retried.exit_code == 0, str(retried)
    assert lab.wait_for_end()["state"] == "SUCCEEDED"
    assert lab.result("joint.vcf") == "joint: 10 samples, 40 lanes\n"
    assert lab.result("report.txt") == "align 40\ncall 10\njoint 1\n"


def test_search_feeds_itself_until_the_roots_are_found(lab: Lab) -> None:
    lab.example("search")
    lab.run()
    roots = [float(line) for line in lab.result("roots.txt").splitlines()]
    assert roots == pytest.approx([1.5708, 4.7124, 7.8540], abs=1e-3)


def test_branch_puts_the_bad_samples_aside_with_the_reason(lab: Lab) -> None:
    lab.example("branch")
    lab.run()
    results = lab.results()
    assert sorted(path.name for path in (results / "processed").iterdir()) == ["a=30", "c=25"]
    reasons = {path.name: path.read_text().strip() for path in (results / "quarantine").iterdir()}
    assert reasons == {"b=12": "score 12 below 20", "d=x": "no score"}
    assert lab.result("summary.txt") == "process 2\nquarantine 2\n"
    texts = {row["user_text"].strip() for row in lab.rows() if row["module"] == "quarantine"}
    assert texts == set(reasons.values())


def test_phage_equals_the_same_tools_by_hand_on_the_whole_input(lab: Lab) -> None:
    if lab.place.site is None and not all(map(has, ("bowtie2", "samtools", "bcftools"))):
        pytest.skip("needs bowtie2, bowtie2-examples, samtools and bcftools: apt-get install them")
    lab.example("phage")
    lab.run(timeout_s=300.0)
    assert lab.states("align") == {"SUCCEEDED": 10}
    compared = lab.shell(f"./compare.sh results/{lab.status()['run']}")
    assert compared.exit_code == 0, str(compared)
    assert compared.stdout.startswith("equal: ")
    mapped, variants = (int(word) for word in compared.stdout.split() if word.isdigit())
    assert mapped > 18_000
    assert variants > 50
