"""Call a Python function, or run a Python file, on the body of a task's message.

$CALL says which: FILE.py:FUNCTION, MODULE:FUNCTION, FILE.py or MODULE. What a function returns
becomes messages. Needs nothing but Python 3.6 or newer; README.md beside it is the manual.
"""

import importlib
import importlib.util
import inspect
import json
import numbers
import os
import runpy
import sys

USAGE = "write FILE.py:FUNCTION, MODULE:FUNCTION or FILE.py"


def main():
    """Do what $CALL says."""
    work = os.getcwd()
    sys.path[0] = work  # this file was started through a link, and Python looks where that leads
    where, _, name = os.environ.get("CALL", "").partition(":")
    if not where:
        sys.exit("CALL is not set: " + USAGE)
    if is_file(where):
        sys.path.insert(0, os.path.dirname(os.path.abspath(where)))
    if name:
        function = find(load(where), where, name)
        send(function(**arguments(function)), os.path.join(work, "messages.jsonl"))
    else:
        run(where)


def run(where):
    """Run a file or a module as a program; its first argument is the body."""
    sys.argv = [where, os.environ["SBX_BODY"]]
    if is_file(where):
        runpy.run_path(where, run_name="__main__")
    else:
        runpy.run_module(where, run_name="__main__", alter_sys=True)


def is_file(where):
    """Tell a file from a module by its name."""
    return where.endswith(".py") or "/" in where


def load(where):
    """Import a file by its path, or a module by its name."""
    if not is_file(where):
        return importlib.import_module(where)
    if not os.path.isfile(where):
        sys.exit("CALL: there is no file " + where)
    name = os.path.splitext(os.path.basename(where))[0]
    spec = importlib.util.spec_from_file_location(name, where)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # so that pickle and dataclasses find it
    spec.loader.exec_module(module)
    return module


def find(module, where, name):
    """Return the function; a name may lead into a class, as in Stars.count."""
    function = module
    for part in name.split("."):
        if not hasattr(function, part):
            sys.exit(f"CALL: {where} has no {name}")
        function = getattr(function, part)
    return function


def arguments(function):
    """Return what the function is called with, by name.

    `headers` and `members` get what they say; the first other parameter gets the body.
    """
    given, body = {}, {"body": os.environ["SBX_BODY"]}
    for item in inspect.signature(function).parameters.values():
        if item.kind in (item.VAR_POSITIONAL, item.VAR_KEYWORD):
            continue
        if item.kind == item.POSITIONAL_ONLY:
            sys.exit("CALL: a function that takes arguments by place only cannot be called")
        if item.name == "headers":
            given["headers"] = json.loads(os.environ["SBX_HEADERS"])
        elif item.name == "members":
            given["members"] = members()
        elif body:
            given[item.name] = body.pop("body")
        elif item.default is item.empty:
            sys.exit(f"CALL: the function needs {item.name}, which no message has")
    return given


def members():
    """Return the members of a gather task, each with body, headers and task."""
    path = os.environ.get("SBX_MEMBERS")
    if not path:
        sys.exit("CALL: there are members in a module with `gather` only")
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def send(value, path):
    """Write what a function returned as messages; None says nothing, and no file is written."""
    if value is None:
        return
    is_one = isinstance(value, (str, bytes, dict, numbers.Number, os.PathLike))
    with open(path, "w", encoding="utf-8") as file:
        for item in [value] if is_one else value:
            file.write(json.dumps(message(item), ensure_ascii=False) + "\n")


def message(value):
    """Return one message as messages.jsonl has it: a body, or a dict of body, to and headers."""
    if not isinstance(value, dict):
        return {"body": text(value)}
    if "body" not in value or set(value) - {"body", "to", "headers"}:
        raise ValueError(f"a message is a text, or a dict of body, to and headers, not {value!r}")
    sent = dict(value, body=text(value["body"]))
    if sent.get("headers"):
        sent["headers"] = {name: text(each) for name, each in sent["headers"].items()}
    return {key: each for key, each in sent.items() if each is not None}


def text(value):
    """Return a text, number or path as a line of text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, numbers.Number):
        value = str(value)
    if not isinstance(value, str):
        raise TypeError(f"a body is a text or a number, not {value!r}; json.dumps makes a text")
    if "\n" in value or "\0" in value:
        raise ValueError(f"a body is one line of text: {value!r}")
    return value


if __name__ == "__main__":
    main()
