"""The documentation is true: links lead somewhere, pipelines are accepted, verbs and keys are described."""

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
DOCS = sorted(
    [*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md"), *CHECKOUT.glob("examples/*/README.md")]
)
SBX = str(Path(sys.executable).with_name("sbx"))
VERBS = (
    "run",
    "check",
    "plan",
    "status",
    "ps",
    "show",
    "log",
    "retry",
    "resume",
    "cancel",
    "export",
    "daemon",
    "schema",
    "describe",
)

LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def name_of(path: object) -> str:
    """A document's path in the checkout, as a test id."""
    return path.relative_to(CHECKOUT).as_posix() if isinstance(path, Path) else str(path)


def sbx(*args: str) -> subprocess.CompletedProcess[str]:
    """Type one command."""
    return subprocess.run([SBX, *args], capture_output=True, text=True, check=False, timeout=60)


@cache
def help_of(*verb: str) -> str:
    """What `--help` of a verb says."""
    done = sbx(*verb, "--help")
    assert done.returncode == 0, done.stderr
    return done.stdout


def blocks(language: str) -> list[tuple[Path, str]]:
    """The fenced blocks of a language in all documents."""
    return [(doc, text) for doc in DOCS for kind, text in FENCE.findall(doc.read_text()) if kind == language]


@pytest.mark.parametrize("doc", DOCS, ids=name_of)
def test_links_lead_somewhere(doc: Path) -> None:
    targets = [
        target
        for target in LINK.findall(doc.read_text())
        if "://" not in target and not target.startswith("mailto:")
    ]
    missing = [target for target in targets if not (doc.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("doc", DOCS, ids=name_of)
def test_files_and_scripts_that_are_named_exist(doc: Path) -> None:
    named = re.findall(
        r"(?<![\w/.])((?:scripts|examples|docs|site-configs|scalebox_hpc|tests)/[\w./-]*\w)", doc.read_text()
    )
    missing = [name for name in named if not (CHECKOUT / name).exists() and "/results" not in name]
    assert not missing


@pytest.mark.parametrize(
    ("doc", "text"), [b for b in blocks("toml") if "\n[modules." in b[1] and "sbx = 1" in b[1]]
)
def test_whole_pipelines_in_the_documents_are_accepted(doc: Path, text: str, tmp_path: Path) -> None:
    (tmp_path / "pipeline.toml").write_text(text)
    for name in set(re.findall(r"[\w-]+\.(?:py|sh|sif|csv|txt)\b|\./[\w.-]+", text)):
        made = tmp_path / name
        made.write_text("body\nx\n")
        made.chmod(0o755)
    done = sbx("check", str(tmp_path / "pipeline.toml"))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help_with_an_example_and_is_documented(verb: str) -> None:
    assert verb in help_of()
    if verb != "daemon":
        assert f"sbx {verb}" in help_of(verb).split("\n", 2)[2], "an example in the help"
    pages = "\n".join(doc.read_text() for doc in DOCS if "docs" in doc.parts or doc.name == "README.md")
    assert f"sbx {verb}" in pages


def test_commands_in_the_documents_are_of_verbs_that_exist() -> None:
    typed = {
        (doc.name, verb)
        for doc in DOCS
        for verb in re.findall(r"(?:^|[`\"])\s*sbx ([a-z]+)", doc.read_text(), re.MULTILINE)
    }
    unknown = sorted((name, verb) for name, verb in typed if verb not in VERBS)
    assert not unknown


def test_options_in_the_documents_exist() -> None:
    for doc in DOCS:
        for verb, rest in re.findall(r"^\s*sbx (\w+)([^\n#|&]*)", doc.read_text(), re.MULTILINE):
            for option in re.findall(r"(?<=\s)--[a-z-]+", rest):
                shown = help_of(verb) if verb != "daemon" else help_of(verb, rest.split()[0])
                assert option in shown, f"{doc.name}: sbx {verb} {option}"


def test_every_key_of_the_pipeline_is_in_the_reference() -> None:
    done = sbx("schema")
    assert done.returncode == 0, done.stderr
    reference = (CHECKOUT / "docs" / "pipeline.md").read_text()
    missing = sorted(
        key for key in keys(json.loads(done.stdout)) if not re.search(rf"\b{re.escape(key)}\b", reference)
    )
    assert not missing


def keys(schema: object) -> set[str]:
    """The names of all properties in a JSON Schema."""
    if isinstance(schema, list):
        return set().union(*map(keys, schema)) if schema else set()
    if not isinstance(schema, dict):
        return set()
    own = set(schema["properties"]) if isinstance(schema.get("properties"), dict) else set()
    return own.union(*map(keys, schema.values())) if schema else own


def test_nothing_names_the_machine_it_was_written_on() -> None:
    telling = re.compile(r"/work/|/root/\.")
    files = [
        *DOCS,
        *CHECKOUT.glob("scripts/**/*"),
        *CHECKOUT.glob("scalebox_hpc/**/*.py"),
        *CHECKOUT.glob("examples/**/*"),
    ]
    found = [
        name_of(path) for path in files if path.is_file() and telling.search(path.read_text(errors="replace"))
    ]
    assert not found
