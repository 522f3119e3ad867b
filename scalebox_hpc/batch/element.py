"""The shell script of one element: starts an agent, outlives it, and says that it ended.

Pure text, the same for every back end; POSIX sh as dash, busybox and bash know it. It holds no
secret: the agent reads its join token from the shared folder.
"""

from __future__ import annotations

import math
from shlex import quote

from scalebox_hpc.domain.allocation import AllocationRequest

START = """\
sbx_began=$(date +%s)
sbx_agent='' sbx_told=''
trap 'sbx_told=1; [ -z "$sbx_agent" ] || kill -TERM "$sbx_agent" 2>/dev/null' TERM INT
"""

RUN = """\
set +eu
command -v "$sbx_python" >/dev/null 2>&1 || {{
    echo "sbx: $sbx_python was not found on $(uname -n):" >&2
    echo "     set the site key 'python', or load it in 'prologue'" >&2
    exit 127
}}
[ -r "$sbx_shared/agent.pyz" ] || {{
    echo "sbx: $sbx_shared/agent.pyz cannot be read on $(uname -n):" >&2
    echo "     set the site key 'paths.shared' to a folder that compute nodes reach" >&2
    exit 126
}}
[ -z "$sbx_told" ] || exit 143
SBX_INCARNATION=$sbx_inc "$sbx_python" -I "$sbx_shared/agent.pyz" {verb} --shared "$sbx_shared" {identity} \\
    {share} --walltime-s "$(({walltime_s} - ($(date +%s) - sbx_began)))" &
sbx_agent=$!
[ -z "$sbx_told" ] || kill -TERM "$sbx_agent" 2>/dev/null
sbx_status=127
while :; do
    sbx_told=''
    wait "$sbx_agent"
    sbx_now=$?
    [ "$sbx_now" -eq 127 ] || sbx_status=$sbx_now
    [ -n "$sbx_told" ] || break
done
sbx_agent=''
"""

SWEEP = """\
sbx_marked() {
    if printf 'a\\000b' | grep -qF b; then
        grep -lsF "SBX_INCARNATION=$sbx_inc" /proc/[0-9]*/environ
        return
    fi
    for sbx_path in /proc/[0-9]*/environ; do # a grep that sees nothing behind a NUL
        tr '\\000' '\\n' <"$sbx_path" | grep -qF "SBX_INCARNATION=$sbx_inc" && echo "$sbx_path"
    done 2>/dev/null
}
trap '' TERM INT
sbx_round=0
while [ "$sbx_round" -lt 60 ]; do
    sbx_found=$(sbx_marked)
    [ -n "$sbx_found" ] || break
    for sbx_path in $sbx_found; do
        sbx_pid=${sbx_path#/proc/}
        kill -9 "${sbx_pid%/environ}" 2>/dev/null
    done
    sbx_round=$((sbx_round + 1))
    [ "$sbx_round" -lt 30 ] || sleep 1
done
"""

END = """\
"$sbx_python" -I "$sbx_shared/agent.pyz" ended --shared "$sbx_shared" {identity}{ranks} --status "$sbx_status"
"""


def element_script(request: AllocationRequest, *, element: str, restart: str, register: str = "") -> str:
    """Return the shell lines that run one element, from its first to its last.

    `element` and `restart` are shell words that give the array index and Slurm's restart count.
    `register` are lines run once `$sbx_inc` is drawn and before the site's prologue. The script's
    exit status is the agent's; 126 and 127 say that no agent could be started.
    """
    launch = request.launch
    identity = (
        f"--home {quote(launch.home)} --try {quote(request.name)}"
        f' --element "$sbx_element" --restart "$sbx_restart" --incarnation "$sbx_inc"'
    )
    share = f"--cpus {request.cpus} --memory-mib {request.memory_mib} --gpus {request.gpus}"
    if launch.scratch is not None:
        share += f" --scratch {quote(launch.scratch)}"
    walltime_s = math.floor(request.walltime_s)
    parts = [
        START,
        _identity_lines(launch.shared, launch.python, element, restart),
        register,
        "".join(f"{line}\n" for line in launch.prologue),
        RUN.format(verb=launch.verb, identity=identity, share=share, walltime_s=walltime_s),
        SWEEP,
        END.format(identity=identity, ranks=" --steps 1" if request.ranks is not None else "")
        if launch.verb == "run"
        else "",
        'exit "$sbx_status"\n',
    ]
    return "".join(parts)


def _identity_lines(shared: str, python: str, element: str, restart: str) -> str:
    return (
        f"sbx_shared={quote(shared)}\n"
        f"sbx_python={quote(python)}\n"
        f"sbx_element={element} sbx_restart={restart}\n"
        "sbx_inc=$(od -An -N8 -tx1 /dev/urandom | tr -d ' \\n')\n"
    )
