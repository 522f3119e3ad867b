"""What of the environment reaches Slurm and local elements."""

from __future__ import annotations

from scalebox_hpc.batch.surroundings import for_slurm, stripped


def test_habits_surrounding_jobs_and_our_own_are_left_out() -> None:
    left_out = {
        "SLURM_JOB_ID": "1",
        "SBATCH_PARTITION": "x",
        "SRUN_X": "1",
        "SQUEUE_FORMAT": "%i",
        "SACCT_FORMAT": "x",
        "SALLOC_X": "1",
        "SCANCEL_VERBOSE": "1",
        "XDG_RUNTIME_DIR": "/run",
        "DBUS_SESSION_BUS_ADDRESS": "x",
        "SBX_LEDGER": "postgresql://user:secret@host/db",
    }
    kept = {"PATH": "/bin", "HOME": "/home/sci", "SLURM_CONF": "/etc/slurm/x.conf", "LANG": "de_DE.UTF-8"}
    assert stripped(left_out | kept) == kept


def test_slurm_answers_in_plain_words_and_utc_and_writes_index_lists_in_full() -> None:
    asked = for_slurm({"LC_ALL": "de_DE.UTF-8", "TZ": "Europe/Berlin"})
    assert asked == {"LC_ALL": "C", "LANG": "de_DE.UTF-8", "TZ": "UTC", "SLURM_BITSTR_LEN": "0"}
