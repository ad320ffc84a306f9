"""The page that counts attacks and faults knows every file and threat, and counts no test that is not there."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from tools.list_attacks import PAGE, ROOT, SECURITY, Count, attacks, counted, faults, page, shown

COUNTS = shown(PAGE.read_text())
AGAIN = "run `python -m tools.list_attacks`"


def overstated(told: Mapping[str, Count], found: Mapping[str, Count], *, slow: bool) -> list[str]:
    """Files of which more is told than was found, among those that were looked at."""
    return [
        name
        for name, one in told.items()
        if (there := found.get(name))
        and (one.tests - one.slow > there.tests - there.slow or (slow and one.slow > there.slow))
    ]


def test_the_page_knows_every_file_every_threat_and_what_each_file_holds() -> None:
    assert set(COUNTS) == {*attacks(), *faults()}, AGAIN
    assert PAGE.read_text() == page(COUNTS), AGAIN
    assert all(one.tests >= one.slow >= 0 < one.tests for one in COUNTS.values())
    assert PAGE.relative_to(ROOT).as_posix() in SECURITY


def test_a_threat_that_goes_and_a_file_that_comes_are_missed() -> None:
    row = next(line for line in SECURITY.splitlines() if line.startswith("| compression bombs"))
    assert PAGE.read_text() != page(COUNTS, SECURITY.replace(row, ""))
    with pytest.raises(KeyError, match="test_redos"):
        page({name: one for name, one in COUNTS.items() if "redos" not in name})


def test_the_page_counts_no_test_that_this_run_did_not_collect(request: pytest.FixtureRequest) -> None:
    option = request.config.option
    if option.keyword or option.deselect or getattr(option, "lf", False) or option.markexpr not in ("", "not slow"):
        pytest.skip("this run picks tests within files; the whole suite holds the counts")
    picked = {arg.partition("::")[0] for arg in request.config.args if "::" in arg}
    found = counted(request.session.items)
    held = {name: one for name, one in COUNTS.items() if not any(arg.endswith(name) for arg in picked)}
    if not found.keys() & held.keys():
        pytest.skip("this run collects no attacks and faults; the whole suite holds the counts")
    assert overstated(held, found, slow=not option.markexpr) == [], AGAIN


def test_more_than_is_there_is_told_apart_from_less() -> None:
    there = {"a.py": Count(10, 2)}
    for told, wrong in [((10, 2), False), ((9, 2), False), ((9, 0), True), ((11, 2), True), ((11, 3), True)]:
        assert bool(overstated({"a.py": Count(*told)}, there, slow=True)) is wrong, told
    assert overstated({"a.py": Count(11, 3)}, {"a.py": Count(8, 0)}, slow=False) == []
    assert overstated({"b.py": Count(1, 0)}, there, slow=True) == []
