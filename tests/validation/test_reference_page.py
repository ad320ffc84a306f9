"""The reference page says what the code does, for every test and no other."""

from __future__ import annotations

import re
from pathlib import Path

from strongroom.validation.catalogue import CATALOGUE, ENTRIES, reference_page

ROOT = Path(__file__).parents[2]
BATTERIES = (
    *(
        "batteries/pd.py",
        "batteries/pd_portfolio.py",
        "batteries/reasons.py",
        "batteries/every_kind.py",
        "batteries/between_samples.py",
        "batteries/estimates.py",
        "jobs/ead_battery.py",
    ),
    *(
        "batteries/fraud.py",
        "batteries/robustness.py",
        "batteries/conceptual.py",
        "batteries/equity.py",
        "batteries/equity_alarms.py",
        "batteries/equity_crossings.py",
        "batteries/equity_numbers.py",
        "batteries/equity_search.py",
    ),
    *("batteries/forecast.py", "batteries/forecast_soundness.py"),
    "batteries/pd_lifetime.py",
    "batteries/changes.py",
    "batteries/time_in_default.py",
    "batteries/time_order.py",
    "batteries/stress_scenarios.py",
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
