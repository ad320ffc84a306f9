"""Estimates for loans in default by age of the default: right on the whole is not right at each age."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from strongroom.registry.contract import ModelContract
from strongroom.registry.kinds import OutcomeDefinition, check_outcome
from strongroom.validation import results
from strongroom.validation.batteries.scored import Scored
from strongroom.validation.batteries.time_in_default import time_tests
from strongroom.validation.catalogue import Basis
from strongroom.vocabulary import digest_of

VECTOR = next(
    one
    for one in json.loads((Path(__file__).parents[1] / "vectors" / "losses.json").read_text())["vectors"]
    if one["id"] == "lgd.t_test"
)


def noise(rows: int) -> Any:
    return np.random.default_rng(8).normal(0, 0.2, rows)


def examined(
    realised: Any, estimated: Any, months: Any = None, parameter: str = "elbe"
) -> tuple[results.TestResult, tuple[results.Table, ...]]:
    columns = {} if months is None else {"months_in_default": np.asarray(months, np.float64)}
    told = np.asarray(estimated, np.float64)
    sample = Scored(Basis("validation", digest_of(b"x"), len(told)), told[:, None], told, np.asarray(realised), columns)
    contract: ModelContract = SimpleNamespace(outcome=SimpleNamespace(parameter=parameter))  # type: ignore[assignment]  # only this is read
    (test,), tables = time_tests(sample, contract, 0.95)
    return test, tables


def counts(table: results.Table) -> list[int]:
    return [int(float(row[1] or "nan")) for row in table.rows]


@pytest.mark.parametrize(("parameter", "side"), [("elbe", "p_two_sided_ELBE"), ("lgd-in-default", "p_one_sided")])
@pytest.mark.parametrize("months", [0.0, 3.0, 12.0, 18.0, 61.0])
def test_at_one_age_it_is_the_vectors_t_test(parameter: str, side: str, months: float) -> None:
    given, n = VECTOR["input"], len(VECTOR["input"]["realised"])
    test, (table,) = examined(given["realised"], given["estimated"], [months] * n, parameter)
    assert float(test.figure or "nan") == pytest.approx(VECTOR["expected"][side], abs=VECTOR["tolerance"])
    assert sorted(counts(table)) == [0, 0, 0, 0, 0, n]


def test_right_on_the_whole_and_wrong_at_one_age_is_found() -> None:
    """Half of the recoveries that are expected after two years come in the first: ELBE is too high, then too low."""
    months = np.repeat([6.0, 30.0], 400)
    told = np.full(800, 0.5)
    came = np.where(months < 12, 0.45, 0.55) + noise(800)
    assert stats.ttest_rel(came, told).pvalue > 0.01
    test, (table,) = examined(came, told, months)
    young, old = (stats.ttest_rel(came[months == age], told[months == age]).pvalue for age in (6.0, 30.0))
    assert float(test.figure or "nan") == pytest.approx(2 * min(young, old))
    assert float(test.figure or "nan") < 0.001
    # LGD in default is only asked whether it is too low
    one_sided, _ = examined(came, told, months, "lgd-in-default")
    assert "over 24 to 36 months" in one_sided.sentence
    assert [row[0] for row, rows in zip(table.rows, counts(table), strict=True) if rows] == [
        "over 0 to 12 months",
        "over 24 to 36 months",
    ]
    assert "months" in test.sentence


def test_each_age_holds_its_upper_edge() -> None:
    months = [0.0, 0.5, 12.0, 12.5, 24.0, 36.0, 36.5, 60.0, 60.5, 600.0]
    _, (table,) = examined(np.linspace(0, 1, 10), np.full(10, 0.5), months)
    assert counts(table) == [1, 2, 2, 1, 2, 2]


def test_rows_without_months_are_counted() -> None:
    months = np.where(np.arange(40) < 10, np.nan, 5.0)
    test, (table,) = examined(0.5 + noise(40), np.full(40, 0.5), months)
    assert float({one.name: one.value for one in test.details}["rows without months in default"]) == 10
    assert sum(counts(table)) == 30


@pytest.mark.parametrize(
    ("months", "parameter", "words"),
    [
        ([6.0] * 4, "lgd", "only ELBE and LGD in default"), (None, "elbe", "names no column of months"),
        ([6.0, -1.0, 6.0, 6.0], "elbe", "less than no time"), ([np.nan] * 4, "elbe", "empty"),
        ([1.0, 13.0, 25.0, 37.0], "elbe", "no age of default has two rows"),
    ],
)  # fmt: skip
def test_what_cannot_be_tested_says_why(months: Any, parameter: str, words: str) -> None:
    test, _ = examined([0.1, 0.2, 0.3, 0.5], [0.2, 0.2, 0.2, 0.2], months, parameter)
    assert test.figure is None
    assert words in str(test), test


def test_a_contract_of_losses_may_name_the_column_and_one_of_defaults_may_not() -> None:
    outcome = OutcomeDefinition(
        meaning="what is lost", window="until the workout ends", parameter="elbe", exposure="ead",
        months_in_default="age",
    )  # fmt: skip
    check_outcome("lgd", "share of exposure", outcome)
    assert outcome.columns["months_in_default"] == "age"
    with pytest.raises(Exception, match="months_in_default"):
        check_outcome("pd", "probability", OutcomeDefinition(meaning="x", window="y", months_in_default="age"))
