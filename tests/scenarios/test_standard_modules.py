"""Pipelines that take standard modules by `use`, run by the real command on this machine."""

import re
from pathlib import Path

from tests.scenarios.lab import Lab

SHELL = """
sbx = 1
[pipeline]
name = "commands"
[modules.each]
use = "shell"
seed = { file = "commands.txt" }
to = ["after"]
forward = true
[modules.after]
use = "shell"
env = { WORD = "{params.word}" }
[params]
word = "done"
"""

COMMANDS = """\
echo one | tee "$SBX_RESULTS"/one.txt; echo 'echo "$WORD"' > messages.txt
false | cat; echo never
exit 7
"""


def test_the_shell_module_runs_bodies_as_command_lines(lab: Lab) -> None:
    lab.pipeline(SHELL)
    lab.file("commands.txt", COMMANDS)
    lab.run(exit_code=1)
    rows = {row["task"]: row for row in lab.rows()}
    ended = [(rows[f"each.{n}"]["outcome"], rows[f"each.{n}"]["exit_code"]) for n in (1, 2, 3)]
    assert ended == [("SUCCEEDED", "0"), ("FAILED", "1"), ("FAILED", "7")]
    assert rows["each.2"]["stdout"] == ""
    assert lab.result("one.txt") == "one\n"
    assert rows["after.1"]["stdout"] == "done\n"


PYTHON = """
sbx = 1
[pipeline]
name = "squares"
[modules.square]
use = "python"
env = { CALL = "mine.py:square" }
seed = ["1", "2", "3"]
to = ["total"]
[modules.total]
use = "python"
env = { CALL = "mine.py:total" }
gather = { by = "all" }
"""

MINE = """
def square(body, headers):
    return {"body": int(body) ** 2, "headers": {"sbx_order": body}}

def total(members):
    print("+".join(member["body"] for member in members), "=", sum(int(member["body"]) for member in members))
"""


def test_the_python_module_calls_functions_of_a_file(lab: Lab) -> None:
    lab.pipeline(PYTHON, mine_py=MINE)
    lab.run()
    [total] = [row for row in lab.rows() if row["module"] == "total"]
    assert total["stdout"] == "1+4+9 = 14\n"


OWN = """
sbx = 1
[pipeline]
name = "own"
[modules.greet]
use = "greet"
seed = ["you"]
env = { GREETING = "Good day" }
"""

GREET = """
description = "greet somebody"
run = "./greet {body}"
env = { GREETING = "Hello", MARK = "!" }
"""


def test_a_standard_module_of_ones_own_lies_beside_the_pipeline(lab: Lab) -> None:
    lab.pipeline(OWN)
    lab.file("modules/greet/module.toml", GREET)
    lab.file("modules/greet/greet", '#!/bin/sh\necho "$GREETING, $1$MARK"\n')
    lab.run()
    assert [row["stdout"] for row in lab.rows()] == ["Good day, you!\n"]


def test_a_name_that_is_none_is_refused_before_anything_is_submitted(lab: Lab) -> None:
    lab.pipeline(OWN.replace('"greet"', '"gret"'))
    done = lab.sbx("run")
    assert done.exit_code == 2
    assert "there is no standard module 'gret'" in done.text
    assert "python, shell" in done.text


def test_a_directory_of_sbx_is_not_bound_into_a_container(lab: Lab) -> None:
    lab.pipeline(OWN.replace("env =", 'image = "x.sif"\nbinds = [".sbx:/x"]\nenv ='))
    lab.file("modules/greet/module.toml", GREET)
    lab.file("modules/greet/greet", "#!/bin/sh\n")
    lab.file("x.sif", "")
    lab.sbx("daemon", "start")
    done = lab.sbx("run")
    assert done.exit_code == 2
    assert "modules.greet.binds" in done.text
    assert "no container may see" in done.text


MANUAL = Path(__file__).parents[2] / "docs" / "modules.md"


def test_the_example_of_modules_that_move_data_moves_them(lab: Lab, tmp_path: Path) -> None:
    (text,) = re.findall(
        r'```toml\n(sbx = 1\n\n\[pipeline\]\nname = "bring-home".*?)```', MANUAL.read_text(), re.DOTALL
    )
    there, here = tmp_path / "night1", tmp_path / "archive"
    (there / "deep").mkdir(parents=True)
    for name in ("a.fits", "deep/b.fits", "left.txt"):
        (there / name).write_text(name)
    lab.pipeline(text.replace("b:/data/night1", str(there)).replace("/archive/night1", str(here)))
    lab.run()
    assert {path.name: path.read_text() for path in here.iterdir()} == {
        "a.fits": "a.fits",
        "b.fits": "deep/b.fits",
    }
    assert [path.name for path in there.rglob("*") if path.is_file()] == ["left.txt"]
    assert {name: lab.states(name)["SUCCEEDED"] for name in ("sum", "fetch", "delete")} == {
        "sum": 2, "fetch": 2, "delete": 2,
    }  # fmt: skip
