"""Every test that the page on faults names exists, and every file of fault tests is named there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "faults.md").read_text()
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)


def test_every_test_that_the_page_names_exists() -> None:
    assert len(NAMED) > 25
    for path, name in NAMED:
        assert f"def {name}(" in (ROOT / path).read_text(), f"{path}::{name}"


def test_every_row_names_its_proof() -> None:
    rows = re.findall(r"^\| (?!fault \||---)(.*) \|$", PAGE, re.MULTILINE)
    assert len(rows) > 15
    for row in rows:
        assert "::test_" in row.split(" | ")[-1], row


def test_the_page_knows_every_file_of_fault_tests() -> None:
    rest = {"test_interrupted_verbs.py", "test_shard_process.py"}  # variations of rows that are there
    for path in (ROOT / "tests" / "faults").glob("test_*.py"):
        assert path.name in rest or f"tests/faults/{path.name}" in PAGE, path.name
