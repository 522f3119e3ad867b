"""Sanity of the cluster itself, so that another test's failure is about what it tests."""

import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.box import Site, wait_until


def finished(site: Site, job: str) -> bool:
    """Whether nothing of a job is queued or running any more."""
    return not site.run(site.login, f"squeue -h -j {job}").stdout


def test_nodes_are_idle(site: Site) -> None:
    wanted = [f"{node} idle" for node in site.nodes]
    wait_until(
        lambda: site.run(site.login, "sinfo -h -p main -N -o '%N %T'").stdout.splitlines() == wanted,
        30,
        "all nodes idle",
    )


@pytest.fixture
def other(site: Site) -> Iterator[Path]:
    """The directory of another site, never up, beside the ones in use."""
    path = site.box.state / "other"
    path.mkdir()
    yield path
    site.box.call("wipe", path.name)


def test_a_site_whose_making_was_cut_short_disturbs_no_other(site: Site, other: Path) -> None:
    (other / "settings").write_text("NODES=1\n")
    site.box.call("up", site.name, settings=site.settings)
    assert "other" not in (site.box.state / "hosts").read_text()


def test_a_site_made_before_a_setting_was_invented_has_its_default(site: Site, other: Path) -> None:
    (other / "settings").write_text("NODES=1\n")
    (other / "number").write_text("249\n")
    for key in ("home/sci/.ssh/id_ed25519.pub", "etc/ssh/ssh_host_ed25519_key.pub"):
        (other / key).parent.mkdir(parents=True)
        (other / key).write_text("ssh-ed25519 AAAA other\n")
    site.box.call("up", site.name, settings=site.settings)
    assert "10.77.249.11 other1\n" in (site.box.state / "hosts").read_text()


def test_srun_reaches_every_node(site: Site) -> None:
    assert sorted(site.run(site.login, "srun -N2 hostname").stdout.split()) == site.nodes


def test_array_job_completes(site: Site) -> None:
    out = site.home / "array"
    script = site.write(out / "job.sh", "#!/bin/sh\necho $SLURM_ARRAY_TASK_ID > out.$SLURM_ARRAY_TASK_ID\n")
    job = site.run(
        site.login, f"cd {site.inside(out)} && sbatch --parsable --array=1-20 -o /dev/null {script.name}"
    ).stdout.strip()
    wait_until(lambda: finished(site, job), 60, f"end of job {job}")
    assert {int(path.read_text()) for path in out.glob("out.*")} == set(range(1, 21))


@pytest.mark.parametrize("image", ["bb", "py"])
def test_container_runs_in_a_job_as_user(site: Site, image: str) -> None:
    done = site.run(site.login, f"srun apptainer -s exec /scratch/images/{image}.sif id -u")
    assert done.stdout == "1000\n"


def test_home_and_scratch_are_shared(site: Site) -> None:
    write = "echo here > /scratch/shared; echo too > ~/shared"
    site.run(site.login, f"srun -w {site.nodes[1]} sh -c '{write}'")
    assert ((site.scratch / "shared").read_text(), (site.home / "shared").read_text()) == ("here\n", "too\n")


def test_sbx_is_installed(site: Site) -> None:
    assert re.match(r"sbx ", site.run(site.login, f"{site.sbx} --version").stdout)


def test_science_tools_and_their_data_are_there(site: Site) -> None:
    examples = "/usr/share/doc/bowtie2/examples"
    site.run(
        site.login,
        f"mkdir align && cd align && zcat {examples}/reference/lambda_virus.fa.gz > ref.fa"
        f" && bowtie2-build -q ref.fa ref"
        f" && bowtie2 --quiet -u 100 -x ref -U {examples}/reads/reads_1.fq.gz | samtools sort -o out.bam"
        " && bcftools mpileup -f ref.fa out.bam > out.vcf",
    )
    assert (site.home / "align" / "out.vcf").stat().st_size > 0


def test_command_is_ended_with_its_timeout(site: Site) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        site.run(site.login, "sleep 98761", timeout_s=0.5)
    assert site.run(site.login, "pgrep -f 'sleep 9876[1]'", check=False).returncode == 1


def test_background_command_is_ended_by_stop(site: Site) -> None:
    process = site.start(site.login, "trap 'echo bye; exit 3' TERM; echo up; sleep 98762 & wait")
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    site.stop(process, signal.SIGTERM)
    assert site.run(site.login, "pgrep -f 'sleep 9876[2]'", check=False).returncode == 1


def test_node_can_be_lost_and_come_back(site: Site) -> None:
    lost = site.nodes[1]
    site.node_stop(lost)
    site.node_start(lost)
    wait_until(
        lambda: site.run(site.login, "srun -t1 -N2 true", check=False, timeout_s=30).returncode == 0,
        60,
        f"return of {lost}",
    )


def test_accounting_knows_a_job(site_dbd: Site) -> None:
    job = site_dbd.run(site_dbd.login, "sbatch --parsable -o /dev/null --wrap 'exit 3'").stdout.strip()
    shown = wait_until(
        lambda: re.match(
            r"FAILED\|3:0$",
            site_dbd.run(site_dbd.login, f"sacct -X -n -P -o State,ExitCode -j {job}").stdout.strip(),
        ),
        30,
        f"record of job {job}",
    )
    assert shown


def test_memory_limit_is_real(site_dbd: Site) -> None:
    if not site_dbd.settings.cgroup:
        pytest.skip("no cgroup v1 memory controller here")
    hungry = "python3 -c 'bytearray(400 << 20)'"
    job = site_dbd.run(
        site_dbd.login, f'sbatch --parsable --mem=100 -o /dev/null --wrap "{hungry}"'
    ).stdout.strip()
    wait_until(
        lambda: "OUT_OF_ME" in site_dbd.run(site_dbd.login, f"sacct -X -n -P -o State -j {job}").stdout,
        30,
        f"job {job} out of memory",
    )
