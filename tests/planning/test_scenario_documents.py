"""Scenario documents and rule books: what is accepted, and what is refused with its place."""

from __future__ import annotations

import json
from datetime import date
from importlib.resources import files
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from strongroom.errors import InvalidInputError, NotFoundError, TooLargeError
from strongroom.planning.classes import CLASSES
from strongroom.planning.rules import RuleBook, cap_on, floor_on, in_force, read_rules
from strongroom.planning.scenario import Scenario, read_scenario
from tests.planning.house import SCENARIO

SHIPPED = files("strongroom").joinpath("policies", "capital.json").read_bytes()
ELASTIC = SCENARIO.replace('kind = "vasicek"', 'kind = "elasticity"').replace("rho = {", "elasticity = {")


def test_a_document_is_read() -> None:
    found = read_scenario(SCENARIO.encode())
    assert (found.years, found.horizon_months, found.staging.backstop_days) == (2, 24, 30)
    assert found.z("good", 1) == pytest.approx(1.0)
    assert found.z("bad", 1) == pytest.approx(-1.8)
    assert found.mean_z(1) == pytest.approx(0.3 * 1.0 - 0.2 * 1.8)


def test_after_the_path_the_state_is_not_known() -> None:
    found = read_scenario(SCENARIO.encode())
    assert [found.spread(year) for year in range(1, 9)] == [0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert [found.z("bad", year) for year in range(2, 8)] == pytest.approx([-1.5, -1.125, -0.75, -0.375, 0.0, 0.0])
    path = Scenario(found, "bad", np.array([0.02, 0.0, 1.0]), np.zeros(3, np.int8))
    hazards = [float(path.hazard(year)[0]) for year in range(1, 8)]
    assert hazards == sorted(hazards, reverse=True)
    assert hazards[-1] == 0.02
    assert path.hazard(1)[1:].tolist() == [0.0, 1.0]
    assert path.lgd(1, np.array([0.4, 0.0, 0.99])) == pytest.approx([0.436, 0.036, 1.0])


def test_the_other_link() -> None:
    found = read_scenario(ELASTIC.encode())
    path = Scenario(found, "bad", np.array([0.02, 0.0, 1.0]), np.zeros(3, np.int8))
    assert path.hazard(1) == pytest.approx([float(expit(logit(0.02) + 0.15 * 1.8)), 0.0, 1.0])
    assert Scenario(found, None, np.array([0.02]), np.zeros(1, np.int8)).z(1) == pytest.approx(-0.06)


REFUSED = {
    "not TOML": (SCENARIO + "[", "scenario"),
    "not UTF-8": (b"\xff", "scenario"),
    "version": (SCENARIO.replace("v = 1", "v = 2"), "v"),
    "misspelt key": (SCENARIO.replace("prepayment_rate", "prepayment"), "scenario"),
    "no purpose": (SCENARIO.replace('purpose = "tests"', 'purpose = " "'), "purpose"),
    "no author": (SCENARIO.replace('author = "val"\n', ""), "scenario"),
    "author of no register": (SCENARIO.replace('author = "val"', 'author = "Val V."'), "author"),
    "no day": (SCENARIO.replace("effective_from = 2026-01-01\n", ""), "scenario"),
    "a moment for a day": (SCENARIO.replace("= 2028-01-01", "= 2028-01-01T00:00:00Z"), "effective_until"),
    "no time at all": (SCENARIO.replace("= 2028-01-01", "= 2026-01-01"), "effective_until"),
    "line break": (SCENARIO.replace('name = "budget"', 'name = "a\\nb"'), "name"),
    "no source": (
        SCENARIO.replace('source = "made up for tests"\n\n[scen', 'source = ""\n\n[scen'), "variables.unemployment",
    ),
    "sd of 0": (SCENARIO.replace("sd = 2.0", "sd = 0.0"), "variables.unemployment.sd"),
    "sd below 0": (SCENARIO.replace("sd = 2.0", "sd = -1.0"), "variables.unemployment.sd"),
    "mean infinite": (SCENARIO.replace("mean = 5.0", "mean = inf"), "variables.unemployment.mean"),
    "value not a number": (SCENARIO.replace("[8.6, 8.0]", "[8.6, nan]"), "scenarios.bad.values.unemployment"),
    "weights": (SCENARIO.replace("weight = 0.2", "weight = 0.3"), "scenarios"),
    "weight below 0": (SCENARIO.replace("weight = 0.2", "weight = -0.2"), "scenarios.bad.weight"),
    "years": (SCENARIO.replace("[8.6, 8.0]", "[8.6]"), "scenarios"),
    "no years": (
        SCENARIO.replace("[8.6, 8.0]", "[]").replace("[5.0, 5.0]", "[]").replace("[3.0, 3.5]", "[]"), "scenarios",
    ),
    "variables": (SCENARIO.replace("{ unemployment = [8.6, 8.0] }", "{ gdp = [8.6, 8.0] }"), "scenarios.bad.values"),
    "rho of 1": (SCENARIO.replace("default = 0.15", "default = 1.0"), "link.rho.default"),
    "no default": (SCENARIO.replace("{ default = 0.15 }", "{ corporate = 0.15 }"), "link.rho"),
    "both links": (SCENARIO.replace("lgd_slope", "elasticity = { default = 1.0 }\nlgd_slope"), "link.rho"),
    "unknown class": (SCENARIO.replace("{ default = 0.02 }", "{ stamps = 0.02 }"), "link.lgd_slope"),
    "name": (SCENARIO.replace("[scenarios.bad]", "[scenarios.Bad]"), "scenario"),
    "staging": (SCENARIO + "\n[staging]\nbackstop_days = 90\n", "staging"),
    "relative": (SCENARIO + "\n[staging]\nrelative = 0.5\n", "staging"),
    "prepayment": (SCENARIO.replace("prepayment_rate = 0.05", "prepayment_rate = 1.0"), "prepayment_rate"),
    "horizon": (SCENARIO.replace("horizon_months = 24", "horizon_months = 601"), "horizon_months"),
    "own funds": (SCENARIO.replace("90_000_000.0", "-1.0"), "own_funds.cet1"),
    "eleven scenarios": (
        SCENARIO
        + "".join(f"\n[scenarios.s{n}]\nweight = 0.0\nvalues = {{ unemployment = [1, 1] }}\n" for n in range(8)),
        "scenarios",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_document_is_refused_with_its_place(case: str) -> None:
    text, field = REFUSED[case]
    with pytest.raises(InvalidInputError) as refused:
        read_scenario(text if isinstance(text, bytes) else text.encode())
    assert refused.value.details["field"] == field


@pytest.mark.parametrize(
    ("wrong", "right", "says"),
    [
        ('kind = "vasicek"', 'kind = "vasicec"', r"scenario, link.kind: .*; it is vasicek or elasticity"),
        ("v = 1", "v = 2", "scenario, v: .*; it is 1"),
        ("sd = 2.0", "sigma = 2.0", "`sigma`; it has unit, mean, sd, weight, source"),
        ('author = "val"\n', "", r"^scenario: .*`author`; it has v, name, purpose, author,.* and may have staging"),
        ("[link]", "[staging]\nrelativ = 2.0\n\n[link]", "`relativ`; may have relative, absolute"),
        ("{ default = 0.02 }", "{ stamps = 0.02 }", "`stamps` is no class; classes are default, sovereign"),
        ("{ unemployment = [8.6, 8.0] }", "{ gdp = [8.6, 8.0] }", "for no other: `unemployment`"),
    ],
)
def test_a_wrong_word_is_refused_with_those_that_may_stand_there(wrong: str, right: str, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        read_scenario(SCENARIO.replace(wrong, right).encode())


def test_a_large_document_is_refused() -> None:
    with pytest.raises(TooLargeError):
        read_scenario(SCENARIO.encode() + b"#" * 300_000)
    with pytest.raises(InvalidInputError, match="too many parts"):
        read_scenario(b"a" + b".a" * 5000 + b" = 1")


@given(st.binary(max_size=300))
def test_no_bytes_break_the_readers(data: bytes) -> None:
    for reader in (read_scenario, read_rules):
        with pytest.raises(InvalidInputError):
            reader(data)


def changed(**row: Any) -> bytes:
    book = json.loads(SHIPPED)
    book["rows"][0] |= row
    return json.dumps(book).encode()


@pytest.mark.parametrize(
    "row",
    [
        {"value": "ten"},
        {"value": "-1"},
        {"value": "nan"},
        {"value": "1251"},
        {"of": "stamps"},
        {"table": "x"},
        {"x": 1},
    ],
)
def test_a_bad_rule_is_refused(row: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        read_rules(changed(**row))


def test_a_large_rule_book_is_refused() -> None:
    with pytest.raises(TooLargeError):
        read_rules(SHIPPED + b" " * 1024 * 1024)


def test_rules_begin_and_end_on_their_days() -> None:
    book = read_rules(SHIPPED)
    steps = {
        "EU": (
            (2024, 12, 31, None),
            (2025, 1, 1, "50"),
            (2025, 12, 31, "50"),
            (2026, 1, 1, "55"),
            (2030, 1, 1, "72.5"),
        ),
        "UK": ((2026, 12, 31, None), (2027, 1, 1, "60"), (2029, 12, 31, "70"), (2031, 1, 1, "72.5")),
        "BCBS": ((2022, 12, 31, None), (2023, 1, 1, "50"), (2028, 1, 1, "72.5")),
        "US": ((2031, 1, 1, None),),
    }
    for regime, days in steps.items():
        for year, month, day, percent in days:
            found = floor_on(book, regime, date(year, month, day))
            assert (found and found.value) == percent, (regime, year)
    assert cap_on(book, "EU", date(2029, 12, 31)) is not None
    assert cap_on(book, "EU", date(2030, 1, 1)) is None
    with pytest.raises(NotFoundError):
        in_force(book, "EU", date(2022, 1, 1))
    # before its own rules begin, a regime is not planned with those of others
    with pytest.raises(NotFoundError, match="`UK` on 2026-12-31"):
        in_force(book, "UK", date(2026, 12, 31))
    with pytest.raises(InvalidInputError, match="mortgage-split residential-mortgage secured-to-ltv"):
        in_force(_without(book, "mortgage-split"), "UK", date(2027, 1, 1))
    for regime in ("US", "CH", "JP"):
        with pytest.raises(NotFoundError, match=f"no rules for regime `{regime}`: "):
            in_force(book, regime, date(2027, 1, 1))


def _without(book: RuleBook, table: str) -> RuleBook:
    return msgspec.structs.replace(book, rows=tuple(row for row in book.rows if row.table != table))


def test_each_row_stands_in_the_law_of_its_regime() -> None:
    law = {"BCBS": ("CRE", "RBC"), "EU": ("CRR Article",), "UK": ("PRA PS1/26",)}
    book = read_rules(SHIPPED)
    for row in book.rows:
        (regime,) = row.regimes
        assert row.source.startswith(law[regime]), row
    for regime in law:
        rules = in_force(book, regime, date(2027, 1, 1))
        held = [
            row
            for row in book.rows
            if regime in row.regimes
            and not row.table.startswith("output-floor")
            and row.begins <= date(2027, 1, 1)
            and (row.until is None or row.until > date(2027, 1, 1))
        ]
        newest = {(row.table, row.of, row.where): row for row in sorted(held, key=lambda row: row.begins)}
        held = list(newest.values())
        assert rules.unchecked == sum(row.evidence != "text-seen" for row in held) > 0


def test_the_united_kingdom_weighs_sovereigns_by_no_model_and_mortgages_not_below_a_tenth() -> None:
    book = read_rules(SHIPPED)
    uk, eu = (in_force(book, regime, date(2027, 1, 1)) for regime in ("UK", "EU"))
    unmodelled = [[name for name, may in zip(CLASSES, rules.modelled, strict=True) if not may] for rules in (uk, eu)]
    assert unmodelled[0] == ["sovereign", "public-sector", "development-bank", "equity"]
    assert unmodelled[1] == ["equity", "high-volatility-real-estate"]
    assert dict(zip(CLASSES, uk.weight_floor, strict=True)) == {
        **dict.fromkeys(CLASSES, 0.0), "residential-mortgage": 0.1,
    }  # fmt: skip
    assert not eu.weight_floor.any()


def test_the_newest_row_counts() -> None:
    book = json.loads(SHIPPED)
    floor = next(
        row for row in book["rows"] if (row["table"], row["of"], row["regimes"]) == ("pd-floor", "corporate", ["EU"])
    )
    book["rows"].insert(0, {**floor, "value": "0.07", "from": "2026-01-01", "until": "2026-07-01"})
    found = read_rules(json.dumps(book).encode())
    values = [in_force(found, "EU", date(*day)).pd_floor[2] for day in ((2025, 12, 31), (2026, 1, 1), (2026, 7, 1))]
    assert values == pytest.approx([0.0005, 0.0007, 0.0005])
