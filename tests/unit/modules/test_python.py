"""The standard module `python`: what a function is called with, and what comes of what it returns."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[3] / "modules" / "python" / "sbx_python.py"

MINE = """
import os, sys
from dataclasses import dataclass
from pathlib import Path

def square(body):
    return int(body) ** 2
def nothing():
    pass
def both(text, headers):
    return {"body": text, "to": "next", "headers": {"n": headers["n"], "ok": True, "x": 1.5}}
def headers_first(headers, body):
    return headers["n"] + body
def optional(body, scale=3, *more, **others):
    return body * scale
def several(body):
    yield body
    yield 2
    yield Path("/a/b")
def none_at_all(body):
    return []
def moved(body):
    os.chdir("/")
    return (body, True)
def total(members):
    return sum(int(member["body"]) for member in members)
def beside(body):
    import neighbour
    return neighbour.NAME
def fails(body):
    raise ValueError("no such star")
def leaves(body):
    sys.exit(75)
def prints(body):
    print("seen", body)
def lines(body):
    return "a\\nb"
def wrong(body):
    return {"bdoy": body}
def deep(body):
    return [["x"]]
def needs(body, catalogue):
    pass
@dataclass
class Star:
    name: str
    @staticmethod
    def seen(body):
        return Star(body).name
if __name__ == "__main__":
    print("program", sys.argv[1], __file__)
"""


@pytest.fixture
def call(tmp_path):
    """Run the program as a task would: started through a link, in a work directory."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "sbx_python.py").symlink_to(PROGRAM)
    (tmp_path / "work" / "mine.py").write_text(MINE)
    (tmp_path / "work" / "neighbour.py").write_text("NAME = 'next door'\n")

    def run(what, body="7", members=None):
        env = {"PATH": os.environ["PATH"], "SBX_BODY": body, "SBX_HEADERS": '{"n": "1"}', "CALL": what}
        env["PYTHONDONTWRITEBYTECODE"] = "1"
        if members is not None:
            (tmp_path / "members").write_text("".join(json.dumps({"body": each}) + "\n" for each in members))
            env["SBX_MEMBERS"] = str(tmp_path / "members")
        work = tmp_path / "work"
        words = [sys.executable, "sbx_python.py"]
        return subprocess.run(
            words, cwd=work, env=env, capture_output=True, text=True, check=False, timeout=60
        )

    return run


@pytest.fixture
def sent(call, tmp_path):
    """Call a function that must do well, and return its messages; None where it left no file."""

    def run(what, *args, **more):
        done = call(what, *args, **more)
        assert done.returncode == 0, done.stderr
        file = tmp_path / "work" / "messages.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else None

    return run


@pytest.mark.parametrize(
    ("function", "messages"),
    [
        ("square", [{"body": "49"}]),
        ("nothing", None),
        ("none_at_all", []),
        ("both", [{"body": "7", "to": "next", "headers": {"n": "1", "ok": "true", "x": "1.5"}}]),
        ("headers_first", [{"body": "17"}]),
        ("optional", [{"body": "777"}]),
        ("several", [{"body": "7"}, {"body": "2"}, {"body": "/a/b"}]),
        ("moved", [{"body": "7"}, {"body": "true"}]),
        ("beside", [{"body": "next door"}]),
        ("Star.seen", [{"body": "7"}]),
    ],
)
def test_what_a_function_returns_becomes_messages(sent, function, messages):
    assert sent(f"mine.py:{function}") == messages


def test_a_module_is_imported_by_its_name(sent):
    assert sent("mine:square", "3") == [{"body": "9"}]
    assert sent("posixpath:basename", "/a/b") == [{"body": "b"}]


def test_a_gather_hands_over_its_members(sent):
    assert sent("mine.py:total", "all", members=["1", "2", "3"]) == [{"body": "6"}]


def test_without_a_function_a_file_runs_as_a_program(call):
    for what in ("mine.py", "mine"):
        done = call(what)
        assert (done.returncode, done.stdout.split()[:2]) == (0, ["program", "7"])


@pytest.mark.parametrize(
    ("what", "exit_code", "said"),
    [
        ("mine.py:fails", 1, "ValueError: no such star"),
        ("mine.py:leaves", 75, ""),
        ("mine.py:lines", 1, "a body is one line of text"),
        ("mine.py:wrong", 1, "a dict of body, to and headers, not {'bdoy': '7'}"),
        ("mine.py:deep", 1, "json.dumps makes a text"),
        ("mine.py:needs", 1, "the function needs catalogue"),
        ("mine.py:total", 1, "a module with `gather` only"),
        ("mine.py:absent", 1, "mine.py has no absent"),
        ("gone.py:x", 1, "there is no file gone.py"),
        ("nowhere_at_all:x", 1, "No module named"),
        ("", 1, "CALL is not set"),
    ],
)
def test_what_goes_wrong_is_said_and_ends_in_failure(call, what, exit_code, said):
    done = call(what)
    assert done.returncode == exit_code
    assert said in done.stderr


def test_old_pythons_can_read_it():
    assert ast.parse(PROGRAM.read_text(), feature_version=(3, 6))
