"""The scenarios of tests/scenarios once more, on real Slurm: the same tests, with a lab on a login node."""

import json
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.box import Site
from tests.scenarios.lab import Lab, lab_at

# Taken in by name: a test is collected where it is imported, and `lab` below takes the place of the
# local one.
from tests.scenarios.test_basics import (  # noqa: F401
    test_s01_hello_prints_its_body,
    test_s10_primes_up_to_1000_in_10_ranges,
    test_s12_primes_as_100_000_tasks,
    test_s12_primes_scatter_count_gather,
    test_s94_a_repeated_key,
    test_s94_equal_partial_counts_sent_to_a_gather_all_count,
)
from tests.scenarios.test_examples import (  # noqa: F401
    test_branch_puts_the_bad_samples_aside_with_the_reason,
    test_cohort_merges_each_sample_and_then_all,
    test_phage_equals_the_same_tools_by_hand_on_the_whole_input,
    test_search_feeds_itself_until_the_roots_are_found,
)
from tests.scenarios.test_faults import (  # noqa: F401
    test_a_foreground_run_ends_in_order_and_is_continued,
    test_a_killed_agent_leaves_no_process_of_its_tasks,
    test_agents_work_on_while_the_daemon_is_dead,
    test_kill_9_of_agents_in_the_middle_of_primes,
    test_kill_9_of_daemon_and_agents_together_in_the_middle_of_primes,
    test_kill_9_of_everything_at_once_in_the_middle_of_primes,
    test_kill_9_of_the_daemon_in_the_middle_of_primes,
    test_no_agent_outlives_its_run,
    test_s20_retries_by_exit_code,
    test_s23_a_timeout_ends_the_task_and_not_the_agent,
    test_s24_after_a_timeout_nothing_of_the_attempt_is_alive,
    test_s25_tasks_of_a_killed_agent_come_back_at_once,
)
from tests.scenarios.test_reports import (  # noqa: F401
    test_s50_bytes_text_and_times_of_the_user_are_reported,
    test_s51_all_interface_files_at_once,
    test_s51_listed_files_are_removed_and_nothing_else,
    test_s52_a_failure_keeps_the_end_of_its_output_and_the_log_keeps_all,
    test_s53_the_csv_has_a_row_for_each_attempt_and_loads_in_pandas,
)

SITE_FILE = """
batch = "slurm_cli"
interval = "1s"

[machines.cpu]
partition = "{partition}"
cpus = 2
memory = "2G"
default = true
"""


@dataclass(frozen=True)
class LoginNode:
    """The login node of a site in the box, as its ordinary user."""

    host: Site
    site: str | None = "slurm-in-a-box"
    patience: float = 3.0

    @property
    def sbx(self) -> str:
        return self.host.sbx

    def inside(self, path: Path) -> str:
        return self.host.inside(path)

    def write(self, path: Path, text: str, *, mode: int = 0o644) -> Path:
        return self.host.write(path, text, mode=mode)

    def shell(self, command: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
        return self.host.run(self.host.login, command, check=False, timeout_s=timeout_s)


@pytest.fixture
def lab(site: Site) -> Iterator[Lab]:
    yield from lab_on(site)


def lab_on(site: Site) -> Iterator[Lab]:
    """A lab in the user's home, which all hosts of the site share."""
    directory = site.home / "labs" / uuid.uuid4().hex[:12]
    with lab_at(LoginNode(site), directory) as lab:
        # Labs follow each other faster than a person would: each counts its submissions for itself.
        lab.env["XDG_STATE_HOME"] = site.inside(lab.home / "state")
        lab.file("site-configs/slurm-in-a-box.toml", SITE_FILE.format(partition="main"))
        yield lab
        cancel_what_is_left(lab, site)
    shutil.rmtree(directory, ignore_errors=True)


def cancel_what_is_left(lab: Lab, site: Site) -> None:
    """Cancel what the lab still has in Slurm; its home's id is part of every job's name."""
    contact = lab.home / "shared" / "contact.json"
    if contact.exists():
        home = json.loads(contact.read_text())["home"]
        listed = site.run(site.login, "squeue --me --noheader --format='%A %j'").stdout.splitlines()
        for job in {line.split()[0] for line in listed if home in line}:
            site.run(site.login, f"scancel {job}", check=False)


def test_a_bad_partition_is_refused_by_sbatch_before_anything_is_accepted(lab: Lab) -> None:
    lab.example("hello")
    lab.file("site-configs/slurm-in-a-box.toml", SITE_FILE.format(partition="nowhere"))
    done = lab.run(exit_code=4)
    assert "nowhere" in done.text or "partition" in done.text
    assert "Traceback" not in done.text
