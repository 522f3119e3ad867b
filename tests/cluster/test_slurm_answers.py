"""Answers of Slurm that are lost, late or wrong under a run of primes: it stays exact, nothing runs twice."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cluster.box import Site
from tests.cluster.recovery import Fault, Tell, judge, now, start, until_done
from tests.cluster.slurm import in_the_way, root, state_of, without_controller
from tests.cluster.test_scenarios import SITE_FILE, lab  # noqa: F401 (a fixture)
from tests.scenarios.lab import Lab

# ruff: noqa: F811

TIMED_OUT = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"
FIRST_SUBMISSION = """
case "$*" in *--test-only*) exec /usr/bin/sbatch "$@" ;; esac
[ ! -e submitted ] || exec /usr/bin/sbatch "$@"
/usr/bin/sbatch "$@" > submitted
"""


def made_at(file: Path) -> datetime:
    """When a file was last written."""
    return datetime.fromtimestamp(file.stat().st_mtime, UTC)


@pytest.mark.parametrize(
    ("then", "name"),
    [
        ("exit 0", "sbatch submits and says nothing"),
        (f"echo '{TIMED_OUT}' >&2; exit 1", "sbatch submits and fails"),
        ("exec sleep 15", "sbatch submits and hangs"),
    ],
)
def test_an_answer_of_sbatch_is_lost(lab: Lab, record_property: Tell, then: str, name: str) -> None:
    here = f"cd '{lab.place.inside(lab.directory)}'"
    in_the_way(lab, "sbatch", f"{here}\n{FIRST_SUBMISSION}{then}\n")
    start(lab, tasks=20)
    lab.wait((lab.directory / "submitted").exists, 30, "the submission")
    submitted_at = made_at(lab.directory / "submitted")
    judge(lab, Fault(name, submitted_at, set(), loses=False), record_property)


def test_squeue_hangs(lab: Lab, record_property: Tell) -> None:
    hang, pid = (lab.place.inside(lab.directory / name) for name in ("hang", "pid"))
    in_the_way(lab, "squeue", f'[ -e {hang} ] || exec /usr/bin/squeue "$@"\necho $$ > {pid}\nexec sleep 60\n')
    start(lab)
    until_done(lab, 20)
    lab.file("hang", "")
    lab.wait((lab.directory / "pid").exists, 30, "a squeue that hangs")
    try:
        judge(lab, Fault("squeue hangs", made_at(lab.directory / "pid"), set(), loses=False), record_property)
    finally:
        (lab.directory / "hang").unlink()
        lab.shell(f"kill $(cat {pid})")


HELD_BACK = """
case "$*" in *--test-only*) exec /usr/bin/sbatch "$@" ;; esac
[ ! -e submitted ] || exec /usr/bin/sbatch "$@"
job=$(/usr/bin/sbatch "$@")
until /usr/bin/squeue --noheader --jobs=$job --states=R | grep -q .; do sleep 0.1; done
echo $job > submitted
until [ -e answer ]; do sleep 0.1; done
echo $job
"""


def test_slurmctld_forgets_a_job_and_gives_its_id_to_another(
    lab: Lab, site: Site, record_property: Tell
) -> None:
    """Killed before it had saved its state. The node's slurmd then kills what slurmctld does not know."""
    text = SITE_FILE.format(partition="main")
    lab.file("site-configs/slurm-in-a-box.toml", f'lost_after = "15s"\n{text}')
    in_the_way(lab, "sbatch", f"cd '{lab.place.inside(lab.directory)}'\n{HELD_BACK}")
    spool, kept = site.box.state / site.name / "spool" / "slurmctld", lab.directory / "spool"
    with without_controller(site):
        shutil.copytree(spool, kept)  # what is on its disk if it dies within a second of the submission
    start(lab, tasks=40)
    submitted = lab.directory / "submitted"
    lab.wait(submitted.exists, 30, "the submission")
    job = submitted.read_text().strip()
    with without_controller(site):
        at = "/var/spool/slurmctld"
        root(site, f"cp -a {lab.place.inside(kept)}/. {at}/ && chown -R slurm: {at}")
    over_at = now()
    try:
        foreign(site, job)
        lab.file("answer", "")
        fault = Fault("slurmctld forgets a job, gives its id away", over_at, {"agent_lost"})
        judge(lab, fault, record_property)
        assert state_of(site, job) == "foreign PENDING", "somebody else's job was cancelled"
    finally:
        site.run(site.login, "scancel --name=foreign", check=False)


def foreign(site: Site, job: str) -> None:
    """Submit jobs of somebody else, held, until one has got this id."""
    given = ""
    while given != job:  # a trial of ours took a number, too
        done = site.run(site.login, "sbatch --parsable --hold --job-name=foreign --wrap true")
        given = done.stdout.strip()
        assert int(given) <= int(job), "slurmctld has not forgotten it"
