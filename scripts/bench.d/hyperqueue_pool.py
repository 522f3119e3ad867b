"""The same work by HyperQueue's Python package: a local cluster, one worker, files for output.

Prints the seconds from the submission to the end; 0 where the package is not installed.

    python hyperqueue_pool.py N FOLDER [CPUS [WORD...]]        WORD...: what /bin/true is run by
"""

from __future__ import annotations

import sys
import time
from pathlib import Path


def main(count: int, folder: Path, cpus: int = 2, *words: str) -> None:
    """Run one job of `count` tasks."""
    try:
        from hyperqueue import Job, LocalCluster
        from hyperqueue.cluster import WorkerConfig
    except ImportError:
        print(0)
        return
    with LocalCluster(str(folder / "server"), WorkerConfig(cores=cpus)) as cluster:
        client = cluster.client()
        job = Job(default_workdir=folder)
        for n in range(count):
            job.program(
                [*words, "/bin/true", str(n)],
                stdout=str(folder / f"{n}.out"),
                stderr=str(folder / f"{n}.err"),
            )
        began_s = time.perf_counter()
        client.wait_for_jobs([client.submit(job)])
        print(time.perf_counter() - began_s)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:4]), *sys.argv[4:])
