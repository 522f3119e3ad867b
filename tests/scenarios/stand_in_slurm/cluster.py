"""A Slurm for scenarios: the commands that sbx uses, over processes of this machine, in one directory.

Each script beside this one is a command; STAND_IN_SLURM names the directory. Elements start at once.
"""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

STATE = Path(os.environ["STAND_IN_SLURM"])
LIVING = ("RUNNING",)


def main(command):
    STATE.mkdir(parents=True, exist_ok=True)
    with (STATE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        jobs = json.loads((STATE / "jobs.json").read_text()) if (STATE / "jobs.json").exists() else {}
        for job in jobs.values():
            look(job)
        COMMANDS[command](sys.argv[1:], jobs)
        (STATE / "jobs.json").write_text(json.dumps(jobs))


def look(job):
    """See which elements have ended: a shell around each leaves its status."""
    for index, element in job["elements"].items():
        status = Path(job["folder"], f"{index}.status")
        if element["state"] in LIVING and status.exists():
            element["state"] = "COMPLETED" if status.read_text().strip() == "0" else "FAILED"


def sbatch(options, jobs):
    text = sys.stdin.read()
    asked = dict(re.findall(r"^#SBATCH --([a-z-]+)=(.*)$", text, re.MULTILINE))
    if "--test-only" in options:
        return
    number = str(1000 + len(jobs))
    folder = STATE / number
    folder.mkdir()
    (folder / "script").write_text(text)
    last = int(asked["array"].partition("-")[2])
    elements = {str(index): start(number, folder, asked, index) for index in range(last + 1)}
    jobs[number] = {"name": asked["job-name"].strip('"'), "folder": str(folder), "elements": elements}
    print(number)


def start(number, folder, asked, index):
    environ = {
        **os.environ,
        "SLURM_JOB_ID": str(int(number) * 100 + index),
        "SLURM_ARRAY_JOB_ID": number,
        "SLURM_ARRAY_TASK_ID": str(index),
    }
    output = asked["output"].strip('"').replace("%a", str(index))
    line = f'sh "{folder}/script" >>"{output}" 2>&1; echo $? >"{folder}/{index}.status"'
    process = subprocess.Popen(
        ["sh", "-c", line],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environ,
        cwd=asked["chdir"].strip('"'),
        start_new_session=True,
    )
    return {"state": "RUNNING", "group": process.pid}


def squeue(_, jobs):
    for number, job in jobs.items():
        for index, element in job["elements"].items():
            native = int(number) * 100 + int(index)
            print(f"{number}|{index}|{native}|{element['state']}|node1|None|{job['name']}")


def scancel(options, jobs):
    names = [word.partition("=")[2] for word in options if word.startswith("--name=")]
    chosen = re.findall(r"_\[(.*)\]", " ".join(options))
    for job in jobs.values():
        for index, element in job["elements"].items():
            if (
                job["name"] in names
                and element["state"] in LIVING
                and (not chosen or index in spread(chosen[0]))
            ):
                element["state"] = "CANCELLED"
                try:
                    os.killpg(element["group"], signal.SIGTERM)
                except ProcessLookupError:
                    pass


def spread(text):
    found = set()
    for span in text.split(","):
        first, _, last = span.partition("-")
        found |= {str(index) for index in range(int(first), int(last or first) + 1)}
    return found


def sacct(_options, _jobs):
    sys.exit("sacct: accounting is disabled")


def scontrol(_options, _jobs):
    print("Configuration data as of now\nMaxArraySize            = 1001\nSLURM_VERSION           = 24.11.5")


COMMANDS = {"sbatch": sbatch, "squeue": squeue, "scancel": scancel, "sacct": sacct, "scontrol": scontrol}
