"""Read what a site file says of a site that is reached by ssh: `[ssh]`, `[transfers]`, paths there.

Paths of a remote site are kept as they are written: `~` and variables are filled in there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from scalebox_hpc.config import site_keys
from scalebox_hpc.config.places import filled
from scalebox_hpc.config.table import Table
from scalebox_hpc.domain.site import Ssh, Transfers, jump_host

_MIB: Final = 1 << 20
_HOST: Final = re.compile(r"[^-\s@/\[\]][^\s@/\[\]]*")
_USER: Final = re.compile(r"[^-\s@:/][^\s@:/]*")


def read_ssh(top: Table) -> Ssh | None:
    """Read `[ssh]`; None for a site whose login node is this machine."""
    if not isinstance(top.data.get("ssh"), Mapping):
        top.table("ssh")  # notes what it is instead
        return None
    table = top.table("ssh")
    table.allow(site_keys.SSH, ())
    usual = Ssh("")
    return Ssh(
        host=_host(table),
        user=_user(table),
        port=table.whole("port", 0, least=1, most=65535) or None,
        key=_file_here(table, "key"),
        jump=_jump(table),
        known_hosts=_file_here(table, "known_hosts"),
        config=_file_here(table, "config"),
        master=table.flag("master", usual.master),
        python=_python(table, usual.python),
    )


def read_transfers(top: Table) -> Transfers:
    """Read `[transfers]`."""
    table = top.table("transfers")
    table.allow(site_keys.TRANSFERS, ())
    bandwidth = table.size_bytes("bandwidth", 0)
    if bandwidth <= 0 and isinstance(table.data.get("bandwidth"), str):
        table.problem("bandwidth", "is nothing", "write how much a second: '10M'; without it any is allowed")
    return Transfers(
        streams=table.whole("streams", Transfers().streams, least=1, most=site_keys.MOST_STREAMS),
        bandwidth_mib_s=bandwidth / _MIB or None,
        keep_s=table.duration_s("keep", Transfers().keep_s),
    )


def path_there(table: Table, key: str) -> str | None:
    """Read a path of a remote site, as it is written."""
    text = table.text(key)
    if text is not None and not re.match(r"/|~(?:/|$)|\$", text):
        remedy = "begin it with /, ~/ or a variable that is set on the login node there"
        table.problem(key, f"{text or 'an empty text'} is not an absolute path", remedy)
    elif text is not None and "\n" in text:
        table.problem(key, "holds a line end", "write one path")
    return text


def _host(table: Table) -> str:
    text = table.text("host", "") or ""
    if not _HOST.fullmatch(text):
        user, _, host = text.rpartition("@")
        remedy = (
            f'write user = "{user}" and host = "{host}"'
            if user
            else "write a name of ~/.ssh/config or of DNS"
        )
        table.problem("host", f"{text!r} is no host" if text else "is missing", remedy)
    return text


def _user(table: Table) -> str | None:
    text = table.text("user")
    if text is not None and not _USER.fullmatch(text):
        table.problem("user", f"{text!r} is no user name", "write who you are there, or take the key out")
    return text


def _jump(table: Table) -> tuple[str, ...]:
    value = table.data.get("jump")
    jumps = (value,) if isinstance(value, str) else table.texts("jump")
    for text in jumps:
        if jump_host(text) is None:
            remedy = 'write [USER@]HOST[:PORT], the nearest to us first: ["me@gate.example.org"]'
            table.problem("jump", f"{text!r} is no jump host", remedy)
    return jumps


def _file_here(table: Table, key: str) -> str | None:
    text = table.text(key)
    if text is None:
        return None
    full = filled(text)
    if "$" in full:
        table.problem(key, f"{text} has a variable that is not set here", "write the path in full")
    elif not full.startswith("/"):
        table.problem(key, f"{text or 'an empty text'} is not an absolute path", "begin it with / or ~")
    return full


def _python(table: Table, usual: str) -> str:
    text = table.text("python")
    if text == "":
        table.problem("python", "is empty", "name a Python 3.9 or newer on the login node there")
    return text or usual
