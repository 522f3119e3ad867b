"""The words for OpenSSH and the text for the login shell, without a network."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from itertools import pairwise

import pytest

from scalebox_hpc.domain.site import Ssh
from scalebox_hpc.sites import command_line
from scalebox_hpc.sites.base import Finished

FULL = Ssh(host="b", user="me", port=2222, key="/k y", known_hosts="/known%hosts", config="/conf")


def options(words: list[str]) -> list[str]:
    """What is said by -o."""
    return [value for flag, value in pairwise(words) if flag == "-o"]


def test_all_that_a_site_says_is_among_the_words() -> None:
    words = command_line.ssh_words(FULL)
    assert words[0] == "ssh"
    assert ("-F", "/conf") == (words[words.index("-F")], words[words.index("-F") + 1])
    assert " -l me -p 2222 " in f" {' '.join(words)} "
    said = options(words)
    assert {"BatchMode=yes", "StrictHostKeyChecking=yes", "IdentitiesOnly=yes"} <= set(said)
    assert 'IdentityFile="/k y"' in said
    assert "UserKnownHostsFile=/known%%hosts" in said
    assert command_line.destination(FULL) == "b"


def test_what_a_site_does_not_say_is_left_to_openssh() -> None:
    said = " ".join(command_line.ssh_words(Ssh("b")))
    assert not re.search(r"-F|-l |-p |IdentityFile|IdentitiesOnly|UserKnownHostsFile|ProxyCommand", said)


def test_with_a_master_nothing_connects_but_through_it() -> None:
    ssh = replace(FULL, master=True)
    said = options(command_line.ssh_words(ssh))
    assert f"ControlPath={command_line.control_path(ssh)}" in said
    assert "ProxyCommand=false" in said


def test_each_way_to_a_site_has_a_socket_of_its_own() -> None:
    others = [FULL, Ssh("b"), Ssh("c"), replace(FULL, port=1), replace(FULL, jump=("gate",))]
    assert len({command_line.control_path(ssh) for ssh in others}) == len(others)
    assert command_line.control_path(FULL) == command_line.control_path(
        replace(FULL, master=True, python="x")
    )
    assert len(command_line.control_path(FULL)) < 70


def test_openssh_reads_what_it_is_given_through_two_jump_hosts() -> None:
    """Each level of jump takes one level of quoting and of `%` away."""
    ssh = replace(FULL, config=None, jump=("one@gate1:21", "gate2"))
    said = read_by_openssh([*command_line.ssh_words(ssh), ssh.host])
    assert (said["hostname"], said["user"], said["port"]) == ("b", "me", "2222")
    assert said["userknownhostsfile"] == "/known%hosts"
    for host, port, then in (("gate2", "22", "b"), ("gate1", "21", "gate2")):
        command = said["proxycommand"]
        assert command.endswith(f"-W '[%h]:%p' {host}"), then
        filled_in = {"%": "%", "h": then, "p": "22"}
        words = shell_words(expand(command, filled_in))
        said = read_by_openssh(words)
        assert (said["hostname"], said["port"], said["batchmode"]) == (host, port, "yes")
        assert said["userknownhostsfile"] == "/known%hosts"
    assert "proxycommand" not in said


def read_by_openssh(words: list[str]) -> dict[str, str]:
    """What OpenSSH makes of its options."""
    done = subprocess.run([words[0], "-G", *words[1:]], capture_output=True, text=True, check=True)
    pairs = (line.partition(" ") for line in done.stdout.splitlines())
    return {key: value for key, _, value in pairs}


def expand(command: str, values: dict[str, str]) -> str:
    """A command with its `%` filled in, as OpenSSH does it."""
    return re.sub(r"%([%hp])", lambda found: values[found[1]], command)


def shell_words(text: str) -> list[str]:
    """A command's words as a shell finds them."""
    script = f"set -- {text}; printf '%s\\0' \"$@\""
    return (
        subprocess.run(["sh", "-c", script], capture_output=True, check=True).stdout.decode().split("\0")[:-1]
    )


@pytest.mark.parametrize("word", ["a\nb", "a!b", "a\\b", "\\n", "%s\\", "ä\n"])
def test_text_for_a_login_shell_has_nothing_that_csh_or_fish_read_otherwise(word: str) -> None:
    text = command_line.command_text(["printf", "%s", word], "m")
    assert not re.search(r"[\n!]|\\[\\']", text)
    done = subprocess.run(["sh", "-c", text], capture_output=True, check=True)
    assert command_line.finished(done.stdout, done.stderr, "m") == Finished(0, word.encode(), b"")


@pytest.mark.parametrize(
    ("stdout", "stderr"),
    [(b"", b""), (b"out", b"#err"), (b"#out", b"#err"), (b"#out", b"#err#"), (b"#out", b"#err#12")],
)
def test_a_command_without_its_end_is_not_taken_for_finished(stdout: bytes, stderr: bytes) -> None:
    assert command_line.finished(stdout, stderr, "#") is None


def test_what_others_write_after_the_end_does_not_change_it() -> None:
    assert command_line.finished(b"noise#out", b"noise#err#12.late", "#") == Finished(12, b"out", b"err")
