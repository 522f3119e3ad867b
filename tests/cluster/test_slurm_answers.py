"""Answers of Slurm that are lost, late or wrong under a run of primes: it stays exact, nothing runs twice."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cluster.box import Site
from tests.cluster.recovery import Fault, Tell, judge, now, start, until_done
from tests.cluster.slurm import in_the_way, root, start_controller, state_of, stop_controller
from tests.cluster.test_scenarios import lab  # noqa: F401 (a fixture)
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
        ("exec sleep 30", "sbatch submits and hangs"),
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
    """Killed before it saved its state, it knows nothing of the job whose script runs on."""
    in_the_way(lab, "sbatch", f"cd '{lab.place.inside(lab.directory)}'\n{HELD_BACK}")
    spool, kept = site.box.state / site.name / "spool" / "slurmctld", lab.directory / "spool"
    stop_controller(site)
    shutil.copytree(spool, kept)  # what is on its disk when it dies within a second of the submission
    start_controller(site)
    start(lab, pause="0.7")
    submitted = lab.directory / "submitted"
    lab.wait(submitted.exists, 30, "the submission")
    job = submitted.read_text().strip()
    stop_controller(site)
    at = "/var/spool/slurmctld"
    root(site, f"cp -a {lab.place.inside(kept)}/. {at}/ && chown -R slurm: {at}")
    start_controller(site)
    over_at = now()
    foreign = "sbatch --parsable --job-name=foreign --output=/dev/null --wrap 'sleep 300'"
    given = [site.run(site.login, foreign).stdout.strip()]
    while int(given[-1]) < int(job):  # a trial of ours took a number, too
        given.append(site.run(site.login, foreign).stdout.strip())
    assert job in given
    lab.file("answer", "")
    try:
        causes = {"agent_lost", "node_lost", "preempted"}
        fault = Fault("slurmctld forgets a job, gives its id away", over_at, causes, loses=False)
        lab.wait(lambda: mended(site) and lab.status()["state"] != "RUNNING", 90, "the end of the run")
        judge(lab, fault, record_property)
        name, state = state_of(site, job).split()
        assert name == "foreign"
        assert state not in ("CANCELLED", "COMPLETING"), "somebody else's job was cancelled"
    finally:
        site.run(site.login, "scancel --name=foreign", check=False)
        mended(site)


def mended(site: Site) -> bool:
    """Resume nodes that Slurm has drained because it found the same job id twice."""
    root(site, "sinfo -hN -p main -t drain,down -o %N | xargs -rI{} scontrol update nodename={} state=resume")
    return True
