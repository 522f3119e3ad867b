"""What an end of a transfer says of files that somebody still writes to."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from scalebox_hpc.transfer import end

SECOND_NS = 1_000_000_000


@pytest.mark.parametrize(
    ("mtime_ns", "now_ns", "waits"),
    [
        (50 * SECOND_NS + 1, 50 * SECOND_NS + 5_000_000, True),  # within a tick of the kernel
        (50 * SECOND_NS + 1, 50 * SECOND_NS + 50_000_000, False),
        (50 * SECOND_NS, 50 * SECOND_NS + 700_000_000, True),  # whole seconds: so the file system may count
        (50 * SECOND_NS, 52 * SECOND_NS, False),
        (90 * SECOND_NS, 50 * SECOND_NS, False),  # another clock
    ],
)
@pytest.mark.parametrize("call", ["look", "walk", "survey"])
def test_a_change_within_one_tick_of_the_clock_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mtime_ns: int, now_ns: int, waits: bool, call: str
) -> None:
    file, clock_ns = tmp_path / "x", [now_ns]
    file.touch()
    os.utime(file, ns=(0, mtime_ns))

    def sleep(seconds: float) -> None:
        """Somebody writes a little later, which would have had the same time a tick before."""
        clock_ns[0] += round(seconds * 1e9)
        file.write_bytes(b"late")
        os.utime(file, ns=(0, mtime_ns - 5 * SECOND_NS))

    monkeypatch.setattr(end, "time", SimpleNamespace(time_ns=lambda: clock_ns[0], sleep=sleep))
    words = {"look": ([str(file)],), "walk": (str(tmp_path),), "survey": (str(tmp_path), ["x"])}[call]
    found = list(end.CALLS[call](*words))
    size = found[-1][2] if call == "walk" else found[0][1]
    assert size == (4 if waits else 0)


def test_two_directories_have_one_fingerprint_as_long_as_nothing_tells_them_apart(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "below").mkdir(parents=True)
        (tmp_path / name / "below" / "file").write_text("text")
        for path in ("below/file", "below", ""):
            os.utime(tmp_path / name / path, ns=(0, 10**18))
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    fingerprint = partial(end.fingerprint, temporary=".sbx-x")
    assert fingerprint(one) == fingerprint(two) == end.fingerprint_of(list(end.walk(one))) != ""
    os.utime(tmp_path / "two" / "below" / "file", ns=(0, 10**18 + 1))
    assert fingerprint(one) != fingerprint(two)
    assert fingerprint(str(tmp_path / "none")) == ""
    (tmp_path / "two" / ".sbx-x").mkdir()
    assert fingerprint(two) == "begun"


def test_what_a_killed_try_has_dressed_can_be_filled_again(tmp_path: Path) -> None:
    temporary = tmp_path / ".sbx-x" / "whole"
    temporary.parent.mkdir()
    temporary.write_bytes(b"123")
    temporary.chmod(0o444)
    assert end.begin(str(temporary), 5) == 3
    assert temporary.stat().st_mode & 0o777 == 0o600
