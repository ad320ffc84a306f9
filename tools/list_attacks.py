"""Write docs/reference/attack-and-fault-tests.md from what pytest collects: `python -m tools.list_attacks`."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests"
SECURITY = (ROOT / "SECURITY.md").read_text()
PAGE = ROOT / "docs" / "reference" / "attack-and-fault-tests.md"
ROW = re.compile(r"^\| .*?\[`(?P<name>[\w/]+\.py)`\].* \| (?P<tests>\d+) \| (?P<slow>\d+) \|$", re.M)

HEAD = """\
# Attack and fault tests, with counts

`python -m tools.list_attacks` makes this page from what pytest collects. Tests hold it to every file and what that says
of itself, and to the threats of [SECURITY.md](../../SECURITY.md). Of the counts they demand less: a page that was not
made again may count fewer tests than there are, never more. So a new test needs no new page, and nothing is claimed
that is gone.

A test is counted once for each case that it is run with. Slow ones run by `make test-slow` and `make test-studies`.
"""


@dataclass(frozen=True, slots=True)
class Count:
    """Tests of one file.

    Attributes:
        tests: all of them.
        slow: those among them that are marked slow.
    """

    tests: int
    slow: int


def attacks(security: str = SECURITY) -> dict[str, list[str]]:
    """Files of attacks, by their paths below `tests`, each with the threats that `SECURITY.md` names it for."""
    found: dict[str, list[str]] = {f"attacks/{path.name}": [] for path in sorted((TESTS / "attacks").glob("test_*.py"))}
    table = security.partition("## Threats and their tests")[2].partition("\n## ")[0]
    for line in table.splitlines():
        cells = line.strip("| ").split(" | ")
        if len(cells) == 4:
            for name in re.findall(r"`([\w/]+\.py)`", cells[2]):
                found.setdefault(name if "/" in name else f"attacks/{name}", []).append(cells[0])
    return found


def faults() -> list[str]:
    """Files of faults, by their paths below `tests`."""
    return [f"faults/{path.name}" for path in sorted((TESTS / "faults").glob("test_*.py"))]


def about(name: str) -> str:
    """The first paragraph of what a file says of itself."""
    text = ast.get_docstring(ast.parse((TESTS / name).read_text())) or ""
    return " ".join(text.partition("\n\n")[0].split()).replace("|", "/")


def page(counts: Mapping[str, Count], security: str = SECURITY) -> str:
    """The page.

    Args:
        counts: of each file, by its path below `tests`.
        security: the threats, as `SECURITY.md` has them.

    Raises:
        KeyError: a file has no count.
    """
    against = attacks(security)
    lines = [HEAD, "## Attacks", "", _sum(counts, against), ""]
    lines += ["| threat | file | what it holds | tests | of them slow |", "|---|---|---|---|---|"]
    lines += [
        f"| {'; '.join(threats) or 'the list itself'} {_cells(name, counts)}" for name, threats in against.items()
    ]
    lines += ["", "## Faults", "", _sum(counts, faults()), ""]
    lines += [
        "What happens at each fault, and which test shows it: [when something breaks](../explanation/faults.md).",
        "",
    ]
    lines += ["| file | what it holds | tests | of them slow |", "|---|---|---|---|"]
    lines += [_cells(name, counts) for name in faults()]
    return "\n".join(lines) + "\n"


def _cells(name: str, counts: Mapping[str, Count]) -> str:
    one = counts[name]
    return f"| [`{name}`](../../tests/{name}) | {about(name)} | {one.tests} | {one.slow} |"


def _sum(counts: Mapping[str, Count], names: Iterable[str]) -> str:
    ones = [counts[name] for name in names]
    return (
        f"{sum(one.tests for one in ones):,} tests in {len(ones)} files, {sum(one.slow for one in ones)} of them slow."
    )


def shown(text: str) -> dict[str, Count]:
    """What a page counts."""
    return {row["name"]: Count(int(row["tests"]), int(row["slow"])) for row in ROW.finditer(text)}


def counted(items: Iterable[pytest.Item]) -> dict[str, Count]:
    """What pytest collected, by the paths of files below `tests`."""
    tests: Counter[str] = Counter()
    slow: Counter[str] = Counter()
    for item in items:
        if item.path.is_relative_to(TESTS):
            name = item.path.relative_to(TESTS).as_posix()
            tests[name] += 1
            slow[name] += item.get_closest_marker("slow") is not None
    return {name: Count(tests[name], slow[name]) for name in tests}


class _Collected:
    def __init__(self) -> None:
        self.counts: dict[str, Count] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.counts = counted(session.items)


def main() -> int:
    """Collect, and write the page."""
    seen, said = _Collected(), io.StringIO()
    files = [str(TESTS / name) for name in (*attacks(), *faults())]
    with contextlib.redirect_stdout(said):
        code = pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", "--rootdir", str(ROOT), *files], [seen])
    if code:
        sys.stderr.write(said.getvalue()[-2000:])
        return int(code)
    PAGE.write_text(page(seen.counts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
