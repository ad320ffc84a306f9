"""`SECURITY.md` promises what these tests prove: every row names files that exist, and every attack file has a row."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ROW = re.compile(r"^\| (?P<threat>[^|]+) \| (?P<how>[^|]+) \| (?P<files>[^|]+) \| (?P<left>[^|]*) \|$")


def rows() -> list[dict[str, str]]:
    text = (ROOT / "SECURITY.md").read_text()
    table = text.partition("## Threats and their tests")[2].partition("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    found = [ROW.match(line) for line in lines]
    assert all(found), [line for line, one in zip(lines, found, strict=True) if one is None]
    return [one.groupdict() for one in found[1:] if one is not None]


def files_of(row: dict[str, str]) -> list[str]:
    return re.findall(r"`([^`]+)`", row["files"])


def test_every_row_names_files_that_exist() -> None:
    assert len(rows()) > 30
    for row in rows():
        assert files_of(row), row["threat"]
        for name in files_of(row):
            assert (HERE / name).is_file() or (ROOT / "tests" / name).exists(), name
        assert len(row["how"].split()) > 3, f"{row['threat']}: say how it is tried"
        assert row["left"].strip(), f"{row['threat']}: say what is not defended, or `nothing known`"


def test_every_attack_file_has_a_row() -> None:
    named = {name for row in rows() for name in files_of(row)}
    assert {path.name for path in HERE.glob("test_*.py")} - named - {Path(__file__).name} == set()
