"""docs/security.md claims nothing without a test: each claim names one, and each that is named is there."""

import re
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = (CHECKOUT / "docs/security.md").read_text()


def claims() -> list[tuple[str, list[str]]]:
    """Each claim of the table with the tests that it names."""
    section = PAGE.partition("## What we claim")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+) \| (.+) \|$", section, re.M)[1:]
    return [(claim, re.findall(r"`([^`]+)`", named)) for claim, named in rows]


def test_each_claim_names_tests_that_exist() -> None:
    found = claims()
    assert len(found) > 15
    for claim, named in found:
        assert named, f"no test shows: {claim}"
        for name in named:
            text = (CHECKOUT / name).read_text()
            assert re.search(r"^def test_", text, re.M), f"{name} has no test"


def test_each_file_of_security_tests_is_named() -> None:
    here = {f"tests/security/{path.name}" for path in Path(__file__).parent.glob("test_*.py")}
    named = {name for _, names in claims() for name in names}
    assert here - named == {"tests/security/test_claims.py"}
