import subprocess

import pytest

from scalebox_hpc.config.shell_text import scan
from scalebox_hpc.config.templates import parse


def quoted(text):
    return [".".join(part) for part in scan(parse(text)).quoted]


@pytest.mark.parametrize(
    "text",
    [
        'echo "{body}"',
        "echo '{body}'",
        "echo $'it\\'s {body}'",
        'echo "a $(ls) {body}"',
        'echo "`ls {body}`"',
        "echo \\{body}",
        'echo "${x:-{body}}"',
        "awk '{print $1}' x; echo \"{body}\"",
    ],
)
def test_a_placeholder_inside_quotes_is_seen(text):
    assert quoted(text) == ["body"]


@pytest.mark.parametrize(
    "text",
    [
        "echo {body}",
        'echo "a"-{body}-"b"',
        'echo "$(cat {body})"',
        "echo `cat {body}`",
        "# don't\necho {body}",
        "echo x#'y' {body}",
        'echo "\\"" {body}',
        "echo '\\' {body}",
        "awk '{print $1}' {body}",
        "echo ${#x} {body}",
    ],
)
def test_a_placeholder_outside_of_quotes_is_not(text):
    assert quoted(text) == []


@pytest.mark.parametrize(
    "text",
    [
        'echo a-{body}"$(printf %s {body})"',
        "for x in {body} b; do echo $x-{body}; done",
        'x={body}; echo "$x"',
    ],
)
def test_what_passes_keeps_a_value_whole_in_a_real_shell(text):
    value = "two  words; $(touch no) 'x' \"y\" *"
    shell = "".join(part if isinstance(part, str) else '"$1"' for part in parse(text))
    done = subprocess.run(["bash", "-euc", shell, "sbx", value], capture_output=True, text=True, check=True)
    assert quoted(text) == []
    assert value in done.stdout


def words(text):
    return [(word.text, word.place) for word in scan(parse(text)).words]


def test_commands_arguments_and_targets_are_told_apart():
    assert words("X=1 ./a b > out 2>&1 | ./c <in && if ./d; then ./e; fi") == [
        ("X=1", "argument"),
        ("./a", "command"),
        ("b", "argument"),
        ("out", "target"),
        ("1", "target"),
        ("./c", "command"),
        ("in", "argument"),
        ("if", "argument"),
        ("./d", "command"),
        ("then", "argument"),
        ("./e", "command"),
        ("fi", "argument"),
    ]


def moved(text):
    return {word.text: word.moved for word in scan(parse(text)).words}


@pytest.mark.parametrize(
    ("text", "has_moved"),
    [
        ("cd /x && echo a > messages.txt", True),
        ("(cd /x; make); echo a > messages.txt", False),
        ('cd /x; make; cd "$SBX_WORK"; echo a > messages.txt', False),
        ("echo cd; echo a > messages.txt", False),
        ("if true; then cd /x; fi\necho a >messages.txt", True),
    ],
)
def test_a_change_of_directory_is_followed(text, has_moved):
    assert moved(text)["messages.txt"] is has_moved
