"""What `sbx site check` finds out about moving data, over a real sshd."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scalebox_hpc.doctor.ask_site import movers
from scalebox_hpc.domain.site import Site
from scalebox_hpc.testing.sshd import program, running

pytestmark = pytest.mark.skipif(program() is None, reason="no sshd is installed")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site on this machine, behind an sshd."""
    with running(tmp_path / "sshd") as server:
        yield Site("b", ssh=server.ssh)


def begin_with(script: str, keys: Path) -> None:
    """Let the site do something before each command."""
    keys.write_text(f'command="{script}; eval \\"$SSH_ORIGINAL_COMMAND\\"" {keys.read_text()}')


def test_both_ends_are_asked_by_the_ssh_of_transfers(site: Site, tmp_path: Path) -> None:
    seen = movers(site)
    assert seen.rsync_here == seen.rsync_there != ""
    assert (seen.checksum, seen.problem, seen.noise) == ("xxh3", "", "")
    assert "BatchMode=yes" in seen.command
    old = tmp_path / "rsync"
    old.write_text("#!/bin/sh\necho 'rsync  version 3.0.9  protocol version 30'\n")
    old.chmod(0o755)
    begin_with(f"PATH={tmp_path}:$PATH", tmp_path / "sshd" / "authorized_keys")
    assert movers(site).rsync_there == "", "too old"


def test_a_site_that_lets_nobody_in_is_told_with_what_to_type(site: Site, tmp_path: Path) -> None:
    (tmp_path / "sshd" / "authorized_keys").write_text("")
    seen = movers(site)
    assert "Permission denied" in seen.problem
    assert seen.command.startswith("ssh ")


def test_start_files_that_print_are_noticed(site: Site, tmp_path: Path) -> None:
    begin_with("echo Welcome", tmp_path / "sshd" / "authorized_keys")
    assert movers(site).noise == "Welcome"


def test_a_site_that_is_here_needs_no_ssh(site: Site) -> None:
    seen = movers(replace(site, ssh=None))
    assert (seen.command, seen.rsync_here) == ("", seen.rsync_there)
