"""Small pipelines that once went silently wrong: what `check` has to do with each."""

import pytest

HEAD = 'sbx = 1\n[pipeline]\nname = "trap"\n'

REFUSED = {
    "a cd before messages.txt": (
        '[modules.a]\nrun = "cd \\"$SBX_RESULTS\\" && echo out-{body} > messages.txt"\nseed = ["1"]\n'
        'to = ["b"]\n[modules.b]\nrun = "echo got {body}"\n',
        "written after `cd`",
    ),
    "a table as a seed file": (
        '[modules.a]\nrun = ["echo", "{body}"]\nseed = { file = "s.csv" }\n',
        "header row",
    ),
    "a placeholder in quotes": (
        '[modules.a]\nrun = """\nfor task in x y; do echo "${task}-{body}"; done\nbody=1; echo ${body}\n"""\n'
        'seed = ["B"]\n',
        "inside quotes",
    ),
}

PASSED = {
    "module names before a comma": (
        "[modules.split]\nrun = \"printf 'merge,call,1\\\\nmerge,2\\\\n' > messages.txt; : {body}\"\n"
        'seed = ["x"]\nto = ["call"]\n[modules.call]\nrun = "echo {body}"\n'
    ),
    "a pipe of which the first part fails": (
        '[modules.align]\nrun = "./fakealign {body} | sort -o \\"$SBX_RESULTS/x.bam\\" -"\nseed = ["chunk"]\n'
        'to = ["merge"]\n[modules.merge]\nrun = "cat {members}"\ngather = {by="all"}\n'
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_check_refuses(refuse_text, name):
    text, fact = REFUSED[name]
    (found,) = refuse_text(HEAD + text, files={"s.csv": "sample,lane\nS1,L1\n"})
    assert fact in found.problem


@pytest.mark.parametrize("name", PASSED)
def test_check_has_nothing_to_say_and_the_contract_decides(load_text, name):
    assert load_text(HEAD + PASSED[name], {"fakealign": "#!/bin/sh\n"}).warnings == ()


def test_a_pipe_fails_with_its_first_part(load_text):
    command = load_text(HEAD + PASSED["a pipe of which the first part fails"], {"fakealign": "#!/bin/sh\n"})
    assert "pipefail" in command.pipeline.modules["align"].command.shell


def test_braces_after_a_dollar_are_the_shells(load_text):
    text = '[modules.a]\nseed = ["B"]\nrun = "for task in x; do echo ${task}-{body}; done; echo ${body}"\n'
    command = load_text(HEAD + text).pipeline.modules["a"].command
    assert command.text == 'for task in x; do echo ${task}-"$1"; done; echo ${body}'
