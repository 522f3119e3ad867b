"""Files that others wrote: whatever is in them, they are read or refused, and nothing is run."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from scalebox_hpc.agent.attempt import NOTE_MOST
from scalebox_hpc.agent.contract import as_text
from scalebox_hpc.agent.messages import FILES
from scalebox_hpc.config.pipeline import load
from scalebox_hpc.config.seeds import read_seed
from scalebox_hpc.config.site import read_site
from scalebox_hpc.errors import PipelineErrors, UsageError
from scalebox_hpc.wire import codec
from tests.security.leavings import collected

CHECKOUT = Path(__file__).resolve().parents[2]
PIPELINES = [path.read_text() for path in sorted((CHECKOUT / "examples").glob("*/pipeline.toml"))]
SITES = [path.read_text() for path in sorted((CHECKOUT / "site-configs").glob("*.toml"))]
WORDS = [
    "sbx = 1\n",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    ".",
    '"',
    "'",
    '"""',
    "\n",
    "\\",
    "#",
    "\0",
    "\ufeff",
]
WORDS += [
    "[pipeline]\n",
    'name = "p"\n',
    "[modules.a]\n",
    'run = "echo {body}"\n',
    'seed = ["x"]\n',
    "\ud7ff",
]
WORDS += [
    "gather = { by = 'all' }\n",
    'to = ["a"]\n',
    "{params.x}",
    "{headers.",
    "../",
    "/etc/passwd",
    "~",
    "1" * 5000,
]
WORDS += [
    "true",
    "-1",
    "1e999",
    "nan",
    "1979-05-27",
    "use = 'python'\n",
    "[params.x]\n",
    "[pools.p]\n",
    "x" * 300,
]

QUICK = settings(
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@st.composite
def mutated(draw: st.DrawFn, texts: list[str]) -> bytes:
    """A file that was right until something in it was cut, doubled, put elsewhere or replaced."""
    text = draw(st.sampled_from(texts))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 40)))
        piece = draw(st.sampled_from([*WORDS, "", text[start:end] * 2]) | st.text(max_size=8))
        text = text[:start] + piece + text[end:]
    return text.encode("utf-8", "surrogatepass")


tomlish = st.lists(st.sampled_from(WORDS) | st.text(max_size=5), max_size=25).map(
    lambda words: "".join(words).encode("utf-8", "surrogatepass")
)


@pytest.fixture(scope="module")
def examples() -> Iterator[Path]:
    """One directory with all that the examples ship, so that mutants get beyond missing files."""
    folder = Path(tempfile.mkdtemp())
    for source in (CHECKOUT / "examples").glob("*/*"):
        if source.is_file() and source.name != "pipeline.toml":
            shutil.copy(source, folder)
    yield folder
    shutil.rmtree(folder)


def read(folder: Path, content: bytes) -> None:
    path = folder / "pipeline.toml"
    path.write_bytes(content)
    before = sorted(folder.iterdir())
    with suppress(PipelineErrors, UsageError):
        assert load(path, params={}, cwd=folder).pipeline.modules
    assert sorted(folder.iterdir()) == before, "reading makes nothing"


@QUICK
@given(content=mutated(PIPELINES))
def test_a_pipeline_file_that_was_changed_is_read_or_refused(examples: Path, content: bytes) -> None:
    read(examples, content)


@QUICK
@given(content=tomlish | st.binary(max_size=60))
@example(content=b"sbx = " + b"[" * 20_000)
@example(content=b"a." * 50_000 + b"b = 1")
@example(content=b"sbx = 1" + b"0" * 10_000)
def test_any_bytes_as_a_pipeline_file_are_refused(examples: Path, content: bytes) -> None:
    read(examples, content)


@QUICK
@given(content=mutated(SITES) | tomlish)
def test_any_site_file_is_read_or_refused(examples: Path, content: bytes) -> None:
    path = examples / "some.toml"
    path.write_bytes(content)
    with suppress(PipelineErrors, UsageError):
        assert read_site(path).name == "some"
    path.unlink()


def test_reading_a_foreign_pipeline_runs_nothing_of_it(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    (tmp_path / "pipeline.toml").write_text(
        'sbx = 1\n[pipeline]\nname = "p"\n[modules.a]\n'
        f'run = "touch {mark}"\nseed = {{ command = "touch {mark}" }}\n'
    )
    seed = load(tmp_path / "pipeline.toml").pipeline.modules["a"].seed
    assert not mark.exists()
    assert seed is not None
    assert list(read_seed(seed, tmp_path)) == []
    assert mark.exists(), "a run does: it is for pipelines that you trust"


# ---- what a task leaves

RULES = {
    "name": "work",
    "to": ["next", "sum"],
    "modules": ["work", "next", "sum", "other"],
    "gathers": {"sum": {"by": "regex", "pattern": "^(.)"}},
}
PARTS = [
    b"next,",
    b"sum,",
    b"other,",
    b",{",
    b"}",
    b'{"to":',
    b'"body":',
    b'"headers":',
    b'"x"',
    b"[",
    b"]",
    b"\0",
]
PARTS += [
    b"\n",
    b"\r\n",
    b"\xff",
    b"\xed\xa0\x80",
    b'"\\ud800"',
    b"1" * 5000,
    b"[" * 3000,
    b"x" * 70_000,
    b"null",
]
PARTS += [
    b'{"a":1}',
    b'"sbx_key"',
    b"../../../etc/passwd",
    b"/dev/zero",
    b"~",
    b"2030-01-31T12:00:00",
    b"NaN",
    b":",
]
PARTS += [b'{"statusCode":', b'{"inputBytes":', b"-1", b"1e999", b'{"timestamps":{"a":', b"t,", b"{", b" "]
leavings = st.dictionaries(
    st.sampled_from(FILES),
    st.lists(st.sampled_from(PARTS) | st.binary(max_size=6), max_size=12).map(b"".join),
)


@settings(QUICK, max_examples=300)
@given(files=leavings)
@example(files={"task-exec.json": b'{"inputBytes": -1}'})
@example(files={"task-exec.json": b'{"inputBytes": 1' + b"0" * 30 + b"}"})
@example(files={"task-exec.json": b'{"userText": "\\ud800"}'})
@example(files={"task-exec.json": b'{"timestamps": {"\\ud800": "2030-01-31T12:00:00"}}'})
@example(files={"timestamps.txt": b"\xff,2030-01-31T12:00:00\n"})
@example(files={"input-files.txt": b"\xff\0\n" + b"a" * 9000})
@example(files={"custom-out.txt": "é".encode() * 40_000})
def test_whatever_a_task_leaves_is_taken_in_or_is_cause_output(files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        work, results = Path(folder, "work"), Path(folder, "results")
        work.mkdir()
        results.mkdir()
        for name, content in files.items():
            (work / name).write_bytes(content)
        found = collected(work, results, RULES, chunks=results / "chunk")
    report = {
        "lease": "1.00000001.1",
        "outcome": "failed" if found.problem or found.status else "ok",
        "cause": "output" if found.problem else "exit" if found.status else None,
        "exit_code": found.status,
        "note": as_text("; ".join([found.problem, *found.notes[:5]])[:NOTE_MOST]),
        "in": found.in_bytes,
        "out": found.out_bytes,
        "user_text": found.user_text,
        "user_times": found.user_times,
        "messages": [list(message) for message in found.messages],
    }
    told = codec.result(report)  # the daemon takes it
    assert found.problem == "" or not told.messages
