"""The reference page says what the code does, for every test and no other."""

from __future__ import annotations

import re
from pathlib import Path

from strongroom.validation.catalogue import CATALOGUE, ENTRIES, reference_page

ROOT = Path(__file__).parents[2]
BATTERIES = (
    *("pd.py", "pd_portfolio.py", "reasons.py", "every_kind.py", "estimates.py", "jobs/ead_battery.py"),
    *(
        "fraud.py",
        "robustness.py",
        "conceptual.py",
        "equity.py",
        "equity_alarms.py",
        "equity_numbers.py",
        "equity_search.py",
    ),
    *("forecast.py", "forecast_soundness.py"),
    "pd_lifetime.py",
    "changes.py",
    "time_in_default.py",
)
"""Where tests are answered."""
PAGE = ROOT / "docs" / "reference" / "validation-tests.md"


def test_the_page_is_the_catalogue() -> None:
    assert PAGE.read_text() == reference_page(), "write the page anew from catalogue.reference_page()"


def test_every_test_that_the_battery_answers_is_in_the_catalogue_and_the_other_way_round() -> None:
    text = "".join((ROOT / "src/strongroom/validation" / name).read_text() for name in BATTERIES)
    sections = {entry.section for entry in ENTRIES}
    named = {word for word in re.findall(r"\"([a-z]+\.[a-z-]+)\"", text) if word.split(".")[0] in sections}
    # two lists spell the rule in two parts
    for section, words in re.findall(
        r"f\"([a-z]+)\.\{(?:rule|name)\}\"[^(]*?for (?:rule|name) in (\([^)]*\)|rules)", text
    ):
        named |= {f"{section}.{word}" for word in re.findall(r"\"([a-z-]+)\"", words)}
    assert named <= set(CATALOGUE)
    assert set(CATALOGUE) - named == set(), "no code answers these"


def test_no_rule_is_there_twice_and_all_is_said() -> None:
    assert len(CATALOGUE) == len(ENTRIES)
    assert all(entry.formula and entry.source and entry.edge_cases for entry in ENTRIES)
