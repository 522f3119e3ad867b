"""What only a cluster can show: sbx inside a Slurm job, containers in elements, ends that Slurm brings."""

import shlex
from collections import Counter
from pathlib import Path

from tests.cluster.box import Site
from tests.cluster.test_scenarios import lab  # noqa: F401 (a fixture)
from tests.scenarios.lab import Lab

WAITING = """
sbx = 1
[pipeline]
name = "waiting"
[modules.work]
run = "sleep 2; echo {body} > messages.txt"
seed = ["1", "2", "3", "4", "5", "6"]
to = ["total"]
resources = { memory = "50M", time = "5m" }
[modules.total]
run = "paste -sd+ {bodies}"
gather = { by = "all" }
resources = { memory = "50M", time = "5m" }
"""


def submit_wrapped(lab: Lab, site: Site) -> str:  # noqa: F811
    """`sbatch --wrap "sbx run --foreground pipeline.toml"` in the lab's directory; returns the job id."""
    command = f"{site.sbx} run --foreground pipeline.toml --site {lab.place.site}"
    done = lab.shell(
        f"sbatch --parsable --time=10 --mem=300M --output=wrap.log --wrap {shlex.quote(command)}"
    )
    assert done.exit_code == 0, str(done)
    return done.stdout.strip()


def job_state(site: Site, job: str) -> str:
    return site.run(site.login, f"squeue --jobs={job} --states=all --noheader --format=%T").stdout.strip()


def test_sbx_inside_a_job_submits_and_finishes_as_on_the_login_node(lab: Lab, site: Site) -> None:  # noqa: F811
    lab.example("primes")
    job = submit_wrapped(lab, site)
    lab.wait(lambda: job_state(site, job) in ("COMPLETED", "FAILED"), 90, "the end of the job")
    log = (lab.directory / "wrap.log").read_text()
    assert job_state(site, job) == "COMPLETED", log
    assert lab.sbx("daemon", "start").exit_code == 0
    assert lab.status()["state"] == "SUCCEEDED", log
    assert lab.result("total.txt").strip() == "78498"
    jobs = {row["job_id"] for row in lab.rows()}
    assert job not in jobs, "tasks run in allocations of their own"


def test_sbx_inside_a_job_ends_in_order_on_term_and_is_continued(lab: Lab, site: Site) -> None:  # noqa: F811
    lab.pipeline(WAITING)
    job = submit_wrapped(lab, site)
    lab.wait((lab.home / "daemon.json").exists, 60, "a daemon inside the job")
    log = lab.directory / "wrap.log"
    lab.wait(lambda: "of 7 done" in log.read_text() or "of 6 done" in log.read_text(), 60, "a run under way")
    done = site.run(site.login, f"scancel --signal=TERM --full {job}")
    assert done.returncode == 0
    lab.wait(lambda: job_state(site, job) not in ("RUNNING", "COMPLETING"), 90, "the end of the job")
    text = log.read_text()
    assert "sbx resume" in text, text
    resumed = lab.sbx("resume")
    assert resumed.exit_code == 0, str(resumed)
    assert lab.wait_for_end()["state"] == "SUCCEEDED"
    [total] = [row for row in lab.rows() if row["module"] == "total" and row["outcome"] == "SUCCEEDED"]
    assert total["stdout"] == "1+2+3+4+5+6\n"


def test_s02_hello_in_an_image(lab: Lab) -> None:  # noqa: F811
    lab.pipeline(
        """
        sbx = 1
        [pipeline]
        name = "boxed"
        [modules.hello]
        image = "/scratch/images/py.sif"
        run = ["python3", "-c", "import os, sys; print(sys.argv[1], os.environ['SBX_TASK'])", "{body}"]
        seed = ["hello", "again"]
        resources = { memory = "200M", time = "5m" }
        """
    )
    lab.run()
    rows = lab.rows()
    assert sorted(row["stdout"] for row in rows) == ["again hello.2\n", "hello hello.1\n"]
    assert Counter(row["exit_code"] for row in rows) == {"0": 2}


def test_what_is_no_image_is_refused_before_anything_is_submitted(lab: Lab) -> None:  # noqa: F811
    lab.pipeline(
        """
        sbx = 1
        [pipeline]
        name = "gone"
        [modules.hello]
        image = "there.sif"
        run = ["echo", "{body}"]
        seed = ["hello"]
        resources = { memory = "200M", time = "5m" }
        """
    )
    lab.file("there.sif", "not an image\n")
    refused = lab.run(exit_code=2)
    assert "modules.hello.image" in refused.text
    assert "there.sif" in refused.text
    assert not list((lab.home / "shared").glob("tries/*"))


def test_the_example_directory_is_left_as_it_was(lab: Lab) -> None:  # noqa: F811
    lab.example("hello")
    before = {path.name for path in Path(lab.directory).iterdir()}
    lab.run()
    after = {path.name for path in Path(lab.directory).iterdir()}
    assert after - before <= {".sbx", "results"}
