"""The yardstick: starts /bin/true N times, two at a time, and captures what it prints.

Each is started by posix_spawn in a session of its own, its stdout and stderr appended to a file of its
stream, its end seen by a pidfd in one epoll set, its usage read by wait4: what any runner has to do, and
nothing else. Prints the seconds it took, and the CPU seconds of its own.

    python bare_pool.py N FOLDER
"""

from __future__ import annotations

import os
import resource
import select
import sys
import time
from pathlib import Path

STREAMS = 2


def main(count: int, folder: Path) -> None:
    """Run the pool."""
    epoll, null = select.epoll(), os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    redirections = []
    for stream in range(STREAMS):
        out, err = (os.open(folder / f"{stream}.{kind}", flags, 0o600) for kind in ("out", "err"))
        dup = os.POSIX_SPAWN_DUP2
        redirections.append([(dup, null, 0), (dup, out, 1), (dup, err, 2)])
    env, running = dict(os.environ), {}
    started, bad = 0, 0

    def start(stream: int) -> None:
        pid = os.posix_spawn(
            "/bin/true", ["/bin/true", str(started)], env, file_actions=redirections[stream], setsid=True
        )
        fd = os.pidfd_open(pid)
        epoll.register(fd, select.EPOLLIN)
        running[fd] = (pid, stream)

    began_s = time.perf_counter()
    for stream in range(min(STREAMS, count)):
        start(stream)
        started += 1
    while running:
        for fd, _ in epoll.poll():
            pid, stream = running.pop(fd)
            epoll.unregister(fd)
            os.close(fd)
            _, status, _ = os.wait4(pid, 0)
            bad += status != 0
            if started < count:
                start(stream)
                started += 1
    own = resource.getrusage(resource.RUSAGE_SELF)
    print(time.perf_counter() - began_s, own.ru_utime + own.ru_stime)
    if bad:
        raise SystemExit(f"{bad} of {count} failed")


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
