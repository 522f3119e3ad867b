"""The part of pyslurm that `scalebox_hpc.batch.slurm_child` uses, over the jobs of `fake_slurm`.

A file `pyslurm.fault` in the directory named by FAKE_SLURM (JSON: at, and one of problem, exit, hang)
makes one call misbehave: load, config, list, submit or cancel.
"""

import json
import os
import re
import signal
import sys
from pathlib import Path

STATE = Path(os.environ["FAKE_SLURM"])
__version__ = (STATE / "pyslurm.version").read_text() if (STATE / "pyslurm.version").exists() else "24.11.0"


class PyslurmError(Exception):
    pass


class RPCError(PyslurmError):
    pass


def fault(at):
    with (STATE / "pyslurm.calls").open("a") as calls:
        calls.write(f"{at}\n")
    path = STATE / "pyslurm.fault"
    wanted = json.loads(path.read_text()) if path.exists() else {"at": ""}
    if wanted["at"] != at:
        return
    if "problem" in wanted:
        raise RPCError(wanted["problem"])
    if "exit" in wanted:  # as libslurm's fatal() does
        print(f"python: fatal: {wanted['exit']}", file=sys.stderr, flush=True)
        os._exit(1)
    signal.pause()


def read():
    path = STATE / "jobs.json"
    return json.loads(path.read_text()) if path.exists() else {}


def write(jobs):
    (STATE / "jobs.json").write_text(json.dumps(jobs))


class Config:
    cli_filter_plugins = ["lua"] if (STATE / "cli_filter").exists() else []
    propagate_resource_limits = ("ALL",)
    propagate_resource_limits_except = ()

    @staticmethod
    def load():
        fault("config")
        return Config()


class slurmctld:
    Config = Config


class Job:
    def __init__(self, job_id):
        self.id = job_id
        self.user_id = os.getuid()
        self.array_id = self.array_task_id = self.array_tasks_waiting = self.allocated_nodes = None
        self.state_reason = "None"

    def cancel(self):
        fault("cancel")
        jobs = read()
        for job, facts in jobs.items():
            for index, state in facts["elements"].items():
                alive = state in ("PENDING", "RUNNING")
                if alive and self.id in (int(job), int(job) * 100 + int(index)):
                    facts["elements"][index] = "CANCELLED"
        write(jobs)


class Jobs(dict):
    @staticmethod
    def load():
        fault("list")
        found = Jobs()
        for job, facts in read().items():
            if facts["listed"]:
                found.add(int(job), facts)
        for number in range(int((STATE / "others").read_text()) if (STATE / "others").exists() else 0):
            found[-number] = other = Job(-number)
            other.user_id, other.name = os.getuid() + 1, "somebody's"
        return found

    def add(self, job, facts):
        waiting = [index for index, state in facts["elements"].items() if state == "PENDING"]
        if waiting:
            self[job] = one = Job(job)
            one.state, one.state_reason, one.array_tasks_waiting = "PENDING", "Resources", ",".join(waiting)
            one.name, one.array_id = facts["name"], job
        for index, state in facts["elements"].items():
            if state != "PENDING":
                self[job * 100 + int(index)] = one = Job(job * 100 + int(index))
                one.state, one.allocated_nodes, one.array_task_id = state, "node1", int(index) or None
                one.name, one.array_id = facts["name"], job


class JobSubmitDescription:
    def __init__(self, **fields):
        self.fields = fields

    def submit(self):
        fault("submit")
        jobs = read()
        job = str(100 + len(jobs))
        last = int(re.fullmatch(r"0-(\d+)", self.fields["array"])[1])
        jobs[job] = {
            "name": self.fields["name"],
            "script": self.fields["script"],
            "fields": {name: value for name, value in self.fields.items() if name != "environment"},
            "environ": self.fields["environment"],
            "elements": {str(index): "PENDING" for index in range(last + 1)},
            "listed": True,
        }
        write(jobs)
        fault("submitted")
        return int(job)


(STATE / "pyslurm.pid").write_text(str(os.getpid()))
fault("load")
