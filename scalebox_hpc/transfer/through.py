"""One rsync from a site to another through this machine, where the two cannot see each other.

rsync runs at the source's site and takes a helper of ours for its remote shell. The helper's input and
output are those of the ssh command that started it, which we join to a second one: `rsync --server` at
the target's site. So nothing is kept here, and what holds for one rsync holds for this one.
"""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import ExitStack
from typing import IO, Final

from scalebox_hpc.domain.site import Ssh
from scalebox_hpc.transfer.ends import remote_words
from scalebox_hpc.transfer.rsync import own_link

FAR: Final = "far"  # the host that the helper stands for

# Both programs find their order in front of what the two halves of rsync say to each other: its length
# in eight bytes, then JSON. So they read no more than that.
_ORDER: Final = """
import json, os, subprocess, sys, tempfile, threading
def take(count):
    data = b""
    while len(data) < count:
        more = os.read(0, count - len(data))
        if not more:
            sys.exit(255)
        data += more
    return data
order = json.loads(take(int.from_bytes(take(8), "big")))
"""

# At the source's site. The link becomes 103 and 104; what rsync says goes to standard error.
_NEAR: Final = f"""{_ORDER}
names = tempfile.TemporaryFile()
names.write(order["names"].encode("utf-8", "surrogateescape"))
names.seek(0)
os.dup2(0, 103)
os.dup2(1, 104)
process = subprocess.Popen(order["words"], stdin=names, stdout=2, pass_fds=(103, 104))
for descriptor in (0, 1, 103, 104):
    os.close(descriptor)
sys.exit(process.wait() % 256)
"""

# Started by rsync as its remote shell: `HELPER far rsync --server ...`.
_HELPER: Final = """
import json, os, sys, threading
order = json.dumps(sys.argv[2:]).encode()
def carry(source, target, data=b""):
    while True:
        while data:
            data = data[os.write(target, data):]
        data = os.read(source, 262144)
        if not data:
            return
first = (0, 104, len(order).to_bytes(8, "big") + order)
threading.Thread(target=carry, args=first, daemon=True).start()
carry(103, 1)
"""

# At the target's site.
_REMOTE: Final = f"""{_ORDER}
os.execvp(order[0], order)
"""


def helper(python: str) -> tuple[str, ...]:
    """What rsync at the source's site takes for its remote shell."""
    return (python, "-c", _HELPER)


def start(
    source: Ssh, line: list[str], names: IO[bytes], target: Ssh, stack: ExitStack
) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
    """Start rsync at the source's site and its other half at the target's; the other one ends with `stack`.

    Returns the source's process, and what both sides say.
    """
    order = {"words": line, "names": names.read().decode("utf-8", "surrogateescape")}
    first = json.dumps(order).encode()
    to_near, from_far = os.pipe()
    to_far, from_near = os.pipe()
    says, saying = os.pipe()
    listening = stack.enter_context(os.fdopen(says, "rb"))
    ours = [to_near, from_far, to_far, from_near, saying]
    try:
        words = remote_words(source, [source.python, "-c", _NEAR], own_link(source.master))
        near = subprocess.Popen(words, stdin=to_near, stdout=from_near, stderr=saying)
        with os.fdopen(os.dup(from_far), "wb") as order_pipe:
            order_pipe.write(len(first).to_bytes(8, "big") + first)
        words = remote_words(target, [target.python, "-c", _REMOTE], own_link(target.master))
        far = subprocess.Popen(words, stdin=to_far, stdout=from_far, stderr=saying)
    finally:
        for descriptor in ours:
            os.close(descriptor)
    stack.callback(far.wait)
    stack.callback(far.terminate)
    return near, listening
