"""Command lines of rsync, and what is read from its words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scalebox_hpc.transfer.causes import Cause, cause_of_command, last_words
from scalebox_hpc.transfer.rsync import (
    Command,
    Mode,
    Rsync,
    at_host,
    progress,
    read_version,
    shell_text,
    words,
)

OLD = Rsync((3, 1, 2))
NEW = Rsync((3, 2, 7), has_zstd=True, may_skip_checks=True)
PLAIN = Command("/a", "b:/x", Mode.WHOLE, shell=("ssh", "-o", "A=b"))
SAID = """rsync  version 3.2.7  protocol version 31
Checksum list:
    xxh128 xxh3 xxh64 (xxhash) md5 md4 sha1 none
Compress list:
    zstd lz4 zlibx zlib none
"""


def test_versions() -> None:
    assert read_version(SAID) == NEW
    assert read_version("rsync  version v3.4.0  protocol version 32\n") == Rsync((3, 4, 0))
    assert read_version("rsync  version 3.0.9  protocol version 30\n") is None
    assert read_version("") is None


def test_each_mode_has_its_options() -> None:
    assert {"--whole-file", "--inplace", "--checksum-choice=none"} <= set(words(PLAIN, NEW, NEW))
    append = words(replace(PLAIN, mode=Mode.APPEND), NEW, NEW)
    assert "--append" in append
    assert "--whole-file" not in append
    assert "--no-whole-file" in words(replace(PLAIN, mode=Mode.DELTA), NEW, NEW)
    many = replace(PLAIN, mode=Mode.MANY, from_list=True, temporary_directory=".sbx-1")
    assert {"--files-from=-", "--from0", "--temp-dir=.sbx-1"} <= set(words(many, NEW, NEW))


def test_an_older_rsync_is_asked_for_nothing_that_it_does_not_know() -> None:
    found = words(replace(PLAIN, compress=True), NEW, OLD)
    assert "--compress" in found
    assert not [
        word for word in found if word.startswith(("--checksum-choice", "--compress-choice", "--modify"))
    ]


def test_a_limit_and_the_shell_are_passed_on() -> None:
    found = words(replace(PLAIN, limit_kib_s=512), NEW, NEW)
    assert "--bwlimit=512" in found
    assert "--rsh=ssh -o A=b" in found
    assert found[-2:] == ["/a", "b:/x"]
    here = words(replace(PLAIN, shell=(), target="/x"), NEW, NEW)
    assert not [word for word in here if word.startswith(("--rsh", "--timeout"))]


def test_words_of_the_shell_are_quoted_as_rsync_takes_them_apart() -> None:
    assert shell_text(["ssh", "-i", "/a b/k", "it's"]) == "ssh -i '/a b/k' 'it''s'"


def test_wildcards_in_a_remote_path_mean_themselves() -> None:
    assert at_host("b", "/a b") == "b:/a b"
    assert at_host("b", "/a*[x]\\") == "b:/a[*][[]x][\\]"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("  1,234,567  12%  306.21MB/s    0:00:03  ", (1_234_567, "")),
        ("     32768   0%    0.00kB/s    0:00:00 (xfr#1, to-chk=0/1)", (32768, "")),
        (
            "     32768   0%    0.00kB/s    0:00:00  rsync: [receiver] write failed",
            (32768, "rsync: [receiver] write failed"),
        ),
        ("rsync error: some", (None, "rsync error: some")),
    ],
)
def test_progress_and_errors_are_told_apart_also_on_one_line(
    line: str, found: tuple[int | None, str]
) -> None:
    assert progress(line) == found


@pytest.mark.parametrize(
    ("exit_code", "said", "cause"),
    [
        (11, 'rsync: [receiver] write failed on "/x": No space left on device (28)', Cause.SPACE),
        (23, 'rsync: [receiver] mkstemp "/x" failed: Disk quota exceeded (122)', Cause.SPACE),
        (23, 'rsync: [sender] send_files failed to open "/x": Permission denied (13)', Cause.PERMISSION),
        (255, "me@b: Permission denied (publickey,password).", Cause.LOGIN),
        (255, "Host key verification failed.", Cause.LOGIN),
        (23, 'rsync: [sender] link_stat "/x" failed: No such file or directory (2)', Cause.MISSING),
        (24, 'file has vanished: "/x"', Cause.MISSING),
        (127, "bash: line 1: rsync: command not found", Cause.TOOL),
        (12, "rsync: connection unexpectedly closed (0 bytes received so far)", Cause.NETWORK),
        (30, "rsync error: timeout in data send/receive (code 30)", Cause.NETWORK),
        (255, "ssh: connect to host b port 22: Connection refused", Cause.NETWORK),
        (-15, "", Cause.NETWORK),
        (23, "something else", Cause.OTHER),
    ],
)
def test_causes(exit_code: int, said: str, cause: Cause) -> None:
    assert cause_of_command(exit_code, said) is cause


def test_the_lines_that_say_most_are_kept() -> None:
    said = "rsync: [sender] x failed\nrsync error: some files could not be transferred (code 23)\n"
    assert last_words(said) == "rsync: [sender] x failed"
    assert last_words("rsync error: only this\n") == "rsync error: only this"
