"""The part of Slurm that our commands use, kept in one file of the directory named by FAKE_SLURM.

Each script beside this one is a command. It runs nothing; a test moves the elements. A file
`<command>.fault` there (JSON: status, stdout, stderr, hang, after) makes that command misbehave.
"""

import fcntl
import json
import os
import re
import signal
import sys
from pathlib import Path

STATE = Path(os.environ["FAKE_SLURM"])


def main(command):
    options = sys.argv[1:]
    note = {"command": command, "options": options, "environ": dict(os.environ)}
    with (STATE / "calls.jsonl").open("a") as calls:
        calls.write(json.dumps(note) + "\n")
    fault_file = STATE / f"{command}.fault"
    fault = json.loads(fault_file.read_text()) if fault_file.exists() else None
    if fault and not fault.get("after"):
        fail(fault)
    with (STATE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        jobs = read()
        COMMANDS[command](options, jobs)
        (STATE / "jobs.json").write_text(json.dumps(jobs))
    sys.stdout.flush()
    if fault:
        fail(fault)


def fail(fault):
    if fault.get("hang"):
        signal.pause()
    sys.stdout.write(fault.get("stdout", ""))
    sys.stderr.write(fault.get("stderr", ""))
    sys.exit(fault.get("status", 0))


def read():
    path = STATE / "jobs.json"
    return json.loads(path.read_text()) if path.exists() else {}


def option(options, name):
    found = [word.partition("=")[2] for word in options if word.startswith(f"--{name}=")]
    return found[-1] if found else ""


def sbatch(options, jobs):
    text = sys.stdin.read()
    asked = dict(re.findall(r"^#SBATCH --([a-z-]+)=(.*)$", text, re.MULTILINE))
    if "--test-only" in options:
        print("sbatch: Job 1 to start at 2030-01-01T00:00:00", file=sys.stderr)
        return
    job = str(100 + len(jobs))
    last = int(asked["array"].partition("-")[2])
    elements = {str(index): "PENDING" for index in range(last + 1)}
    jobs[job] = {"name": asked["job-name"], "script": text, "elements": elements, "listed": True}
    print(f"Welcome to the cluster.\n{job};fake")


def squeue(options, jobs):
    for job, facts in jobs.items():
        if not facts["listed"]:
            continue
        pending = [int(index) for index, state in facts["elements"].items() if state == "PENDING"]
        if pending:
            print(f"{job}|{spans(pending)}%4|{job}|PENDING||Resources, or so|{facts['name']}")
        for index, state in facts["elements"].items():
            if state != "PENDING":
                print(f"{job}|{index}|{int(job) * 100 + int(index)}|{state}|node1|None|{facts['name']}")
    print("7|N/A|7|RUNNING|node1|None|somebody's|own\njob")


def spans(indices):
    whole = indices == list(range(indices[0], indices[-1] + 1))
    return f"{indices[0]}-{indices[-1]}" if whole and len(indices) > 1 else ",".join(map(str, indices))


def scancel(options, jobs):
    name = option(options, "name")  # one only: Slurm takes no list here
    states = [option(options, "state")] if option(options, "state") else ["PENDING", "RUNNING"]
    wanted = [word for word in options if not word.startswith("-")]
    for job, facts in jobs.items():
        if facts["name"] != name:
            continue
        for index, state in facts["elements"].items():
            if state in states and (not wanted or named(job, int(index), wanted)):
                facts["elements"][index] = "CANCELLED"


def named(job, index, wanted):
    for word in wanted:
        base, _, listed = word.partition("_")
        if base != job:
            continue
        if not listed:
            return True
        for span in listed.strip("[]").split(","):
            first, _, last = span.partition("-")
            if int(first) <= index <= int(last or first):
                return True
    return False


def sacct(options, jobs):
    names = option(options, "name").split(",")
    for job, facts in jobs.items():
        for index, state in facts["elements"].items():
            if facts["name"] in names:
                shown = "CANCELLED by 1000" if state == "CANCELLED" else state
                print(f"{job}_{index}|{int(job) * 100 + int(index)}|{shown}|node1|{facts['name']}")


def scontrol(options, jobs):
    if "partition" in options:
        path = STATE / "partitions"
        print(path.read_text() if path.exists() else "")
        return
    print("Configuration data as of now\nMaxArraySize            = 1001\nSLURM_VERSION           = 24.11.5")


def sinfo(options, jobs):
    path = STATE / "nodes"
    print(path.read_text() if "--Node" in options and path.exists() else "")


COMMANDS = {
    "sinfo": sinfo,
    "sbatch": sbatch,
    "squeue": squeue,
    "scancel": scancel,
    "sacct": sacct,
    "scontrol": scontrol,
}
