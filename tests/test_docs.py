"""The documentation is true: links lead somewhere, pipelines are accepted, all there is is described."""

import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

from scalebox_hpc.agent import messages
from scalebox_hpc.client import Daemon, answers
from scalebox_hpc.config import keys as known
from scalebox_hpc.config import settings
from scalebox_hpc.config import site as sites
from scalebox_hpc.config.pipeline import load
from scalebox_hpc.config.standard import read_standard
from scalebox_hpc.daemon.routes import USER_ROUTES
from scalebox_hpc.domain import task as tasks
from scalebox_hpc.domain.site import Machine, Site
from scalebox_hpc.engine import elements
from scalebox_hpc.report.csv import COLUMNS

CHECKOUT = Path(__file__).resolve().parents[1]
DOCS = sorted(
    [
        *CHECKOUT.glob("*.md"),
        *CHECKOUT.glob("docs/**/*.md"),
        *CHECKOUT.glob("examples/*/README.md"),
        *CHECKOUT.glob("modules/*/README.md"),
    ]
)
SBX = str(Path(sys.executable).with_name("sbx"))
VERBS = (
    "run",
    "check",
    "plan",
    "graph",
    "status",
    "ps",
    "show",
    "log",
    "retry",
    "resume",
    "cancel",
    "export",
    "image",
    "site",
    "daemon",
    "ledger",
    "schema",
    "describe",
    "module",
    "doctor",
    "rm",
    "get",
    "put",
)
NOUNS = ("image", "site", "daemon", "ledger", "module")

LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]*)(?:#([^)\s]*))?\)")
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


def page(name: str) -> str:
    """The text of a page of docs/."""
    return (CHECKOUT / "docs" / name).read_text()


def anchors(doc: Path) -> set[str]:
    """What `#...` can lead to in a document, made as GitHub makes it."""
    plain = FENCE.sub("", doc.read_text())
    heads = [re.sub(r"[^\w\- ]", "", head.lower()) for head in re.findall(r"^#+ (.*)$", plain, re.MULTILINE)]
    return {head.strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("doc", DOCS, ids=name_of)
def test_links_lead_somewhere(doc: Path) -> None:
    missing = []
    for target, anchor in LINK.findall(FENCE.sub("", doc.read_text())):
        if "://" in target or target.startswith("mailto:"):
            continue
        found = (doc.parent / target).resolve() if target else doc
        if not found.exists() or (anchor and anchor not in anchors(found)):
            missing.append(f"{target}#{anchor}")
    assert not missing


@pytest.mark.parametrize("doc", DOCS, ids=name_of)
def test_files_and_scripts_that_are_named_exist(doc: Path) -> None:
    named = re.findall(
        r"(?<![\w/.])((?:scripts|examples|docs|modules|site-configs|scalebox_hpc|tests)/[\w./-]*\w)",
        doc.read_text(),
    )
    missing = [name for name in named if not (CHECKOUT / name).exists() and "/results" not in name]
    assert not missing


def numbered(language: str, begins: str) -> list[object]:
    """The blocks of a language that begin like this, each with an id."""
    found = [(doc, text) for doc, text in blocks(language) if text.startswith(begins)]
    return [pytest.param(text, id=f"{name_of(doc)}-{index}") for index, (doc, text) in enumerate(found)]


@pytest.mark.parametrize("text", numbered("toml", "sbx = 1"))
def test_whole_pipelines_in_the_documents_are_accepted(text: str, tmp_path: Path) -> None:
    (tmp_path / "pipeline.toml").write_text(text)
    columns = re.findall(r"\{([a-z]+)\}", "".join(re.findall(r'csv = .*?body = "([^"]*)"', text)))
    for name in set(re.findall(r"[\w-]+\.(?:py|sh|sif|csv|txt)\b|\./[\w.-]+", text)):
        made = tmp_path / name
        made.write_text(f"{','.join(columns or ['body'])}\n")
        made.chmod(0o755)
    roomy = Machine("roomy", cpus=64, memory_mib=1 << 18)
    checked = load(
        tmp_path / "pipeline.toml", sites=lambda name: Site(name, "local", machines={"roomy": roomy})
    )
    assert not checked.warnings


@pytest.mark.parametrize("text", numbered("toml", "batch ="))
def test_site_files_in_the_documents_are_accepted(text: str, tmp_path: Path) -> None:
    (tmp_path / "hpc1.toml").write_text(text)
    assert sites.read_site(tmp_path / "hpc1.toml").machines


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help_with_an_example_and_is_documented(verb: str) -> None:
    assert verb in help_of()
    if verb not in NOUNS:
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
                shown = help_of(verb) if verb not in NOUNS else help_of(verb, rest.split()[0])
                assert option in shown, f"{doc.name}: sbx {verb} {option}"


def undocumented(words: Iterable[str], text: str) -> list[str]:
    """The words that do not stand in the text as code."""
    return sorted(word for word in words if f"`{word}`" not in text)


def test_every_key_of_the_pipeline_is_in_the_reference() -> None:
    text = page("pipeline.md")
    tables = [known.TOP, known.PIPELINE, known.PARAM, known.MODULE, known.POOL, known.RESOURCES]
    tables += [known.RETRY, known.GATHER, known.SEED, known.CONTAINER, known.STAGE]
    listed = set().union(*tables) - {"body"}
    assert not undocumented(listed | known.LATER | known.LATER_RETRY | known.LATER_SEED, text)
    rows = re.findall(r"^\| (.*?) \|", text, re.MULTILINE)
    without_a_row = sorted(key for key in listed if not any(f"`{key}`" in row or key == row for row in rows))
    assert not without_a_row


def test_the_schema_has_no_key_that_the_reference_lacks() -> None:
    done = sbx("schema")
    assert done.returncode == 0, done.stderr
    assert not undocumented(properties(json.loads(done.stdout)) - {"body"}, page("pipeline.md"))


def properties(schema: object) -> set[str]:
    """The names of all properties in a JSON Schema."""
    if isinstance(schema, list):
        return set().union(*map(properties, schema)) if schema else set()
    if not isinstance(schema, dict):
        return set()
    own = set(schema["properties"]) if isinstance(schema.get("properties"), dict) else set()
    return own.union(*map(properties, schema.values())) if schema else own


def test_every_key_of_a_site_is_in_the_reference() -> None:
    done = sbx("schema", "site")
    assert done.returncode == 0, done.stderr
    assert not undocumented(properties(json.loads(done.stdout)), page("sites.md"))


def test_every_key_of_the_settings_is_in_the_manual() -> None:
    assert not undocumented({*settings.SETTINGS_KEYS, *settings.RETENTION_KEYS}, page("operations.md"))


def test_every_key_of_a_standard_module_is_in_the_reference() -> None:
    assert not undocumented({*known.STANDARD, *known.INPUT}, page("pipeline.md"))


@pytest.mark.parametrize("name", sorted(path.name for path in (CHECKOUT / "modules").iterdir()))
def test_every_standard_module_has_a_manual_and_is_in_the_reference(name: str) -> None:
    standard = read_standard(CHECKOUT / "modules" / name)
    manual = (CHECKOUT / "modules" / name / "README.md").read_text()
    assert manual.startswith(f"# {name}\n")
    assert all((item.variable or item.name) in manual for item in standard.inputs)
    assert f"`{name}`" in page("pipeline.md")


def test_every_input_of_the_modules_that_move_data_is_in_their_section() -> None:
    (section,) = re.findall(
        r"^## Modules that move data\n(.*?)^## ", page("modules.md"), re.DOTALL | re.MULTILINE
    )
    files = sorted(CHECKOUT.glob("modules/*/module.toml"))
    moving = [read_standard(each.parent) for each in files if 'kind = "transfer"' in each.read_text()]
    assert len(moving) == 6
    for each in moving:
        rows = [row for row in section.splitlines() if re.match(rf"\| \[?`{each.name}`", row)]
        for word in (item.variable or item.name for item in each.inputs if item.name != "body"):
            assert re.search(rf"\b{re.escape(word)}\b", "\n".join(rows)), f"{each.name}: {word}"


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_of_a_verb_is_in_its_section(verb: str) -> None:
    sections = re.split(r"^## ", page("cli.md"), flags=re.MULTILINE)
    (section,) = [text for text in sections if text.startswith(f"sbx {verb}\n")]
    options = set(re.findall(r"(?<=\s)--[a-z-]+", help_of(verb).partition("Options:")[2])) - {"--help"}
    missing = sorted(option for option in options if option not in section)
    assert not missing
    if verb in NOUNS:
        commands = re.findall(r"^  ([a-z]+) ", help_of(verb).partition("Commands:")[2], re.MULTILINE)
        assert commands
        assert not undocumented([f"sbx {verb} {command}" for command in commands], section)


def test_every_request_of_the_user_is_documented() -> None:
    text = page("api.md")
    for route in USER_ROUTES:
        row = next((row for row in text.splitlines() if f"`{route.method} {route.path}`" in row), "")
        assert row, route
        assert not undocumented({*route.query, *route.body}, row), route


def test_every_method_of_the_client_is_documented() -> None:
    text = page("api.md")
    methods = [name for name, _ in inspect.getmembers(Daemon, inspect.isfunction) if not name.startswith("_")]
    assert not [name for name in methods if f"`{name}(" not in text and name != "close"]


def test_what_the_commands_print_as_json_is_documented() -> None:
    shapes = (answers.RunStatus, answers.ModuleStatus, answers.PoolStatus, answers.DaemonStatus, answers.Task)
    names = {name for shape in shapes for name in inspect.get_annotations(shape)}
    assert not undocumented(names | set(inspect.get_annotations(answers.RetryResult)), page("cli.md"))
    assert not undocumented(COLUMNS, page("cli.md"))


def test_every_variable_and_file_of_the_contract_is_documented() -> None:
    text = page("modules.md")
    assert not undocumented(messages.FILES, text)
    source = (CHECKOUT / "scalebox_hpc" / "agent" / "command.py").read_text()
    named = set(re.findall(r"\bSBX_[A-Z_]*[A-Z]\b", source)) - {"SBX_HEADER", "SBX_PARAM"}
    assert not undocumented(named, text)


def test_every_cause_and_state_is_explained() -> None:
    assert not undocumented(tasks.Cause, page("guide.md"))
    text = page("state-machines.md")
    for state in (*tasks.TaskState, *elements.TryState):
        assert f"| {state} |" in text


def test_the_drawn_state_machines_equal_their_tables() -> None:
    drawn = [text for doc, text in blocks("mermaid") if doc.name == "state-machines.md"]
    assert drawn == [tasks.diagram(), elements.diagram()]


def test_commands_of_the_readme_can_be_typed() -> None:
    readme = (CHECKOUT / "README.md").read_text()
    for script in ("scripts/demo", "scripts/test"):
        assert f"\n{script}\n" in readme
        assert (CHECKOUT / script).stat().st_mode & 0o111


def test_nothing_names_the_machine_it_was_written_on() -> None:
    telling = re.compile(r"/work/|/root/\.")
    files = [
        *DOCS,
        *CHECKOUT.glob("scripts/**/*"),
        *CHECKOUT.glob("scalebox_hpc/**/*.py"),
        *CHECKOUT.glob("examples/**/*"),
        *CHECKOUT.glob("modules/**/*"),
    ]
    found = [
        name_of(path) for path in files if path.is_file() and telling.search(path.read_text(errors="replace"))
    ]
    assert not found
