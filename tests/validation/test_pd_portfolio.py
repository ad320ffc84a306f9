"""Tests of a rating system beyond score and outcome: figures by other means, and a reason where a column is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from strongroom.registry.kinds import CONTRACTS
from strongroom.validation.batteries import pd_portfolio
from strongroom.validation.batteries.pd_portfolio import Columns
from strongroom.validation.catalogue import Basis
from strongroom.validation.results import TestResult as Result
from strongroom.validation.statistics.grading import Scale
from strongroom.vocabulary import digest_of

SCALE = Scale((0.02, 0.05, 0.1, 0.2))
ROWS = 4000


@dataclass(frozen=True)
class Sample:
    basis: Basis
    outcome: npt.NDArray[np.int64]
    pd: npt.NDArray[np.float64]


def sample(role: str, seed: int, lift: float = 1.0) -> Sample:
    random = np.random.default_rng(seed)
    pd = random.beta(1.2, 12, ROWS)
    outcome = (random.random(ROWS) < np.minimum(pd * lift, 1)).astype(np.int64)
    return Sample(Basis(role, digest_of(role.encode()), ROWS), outcome, pd)


DEVELOPMENT, VALIDATION = sample("development", 1), sample("validation", 2)
RANDOM = np.random.default_rng(3)
VALUES: dict[str, npt.NDArray[np.float64]] = {
    "exposure": RANDOM.lognormal(9, 1, ROWS),
    "year": RANDOM.integers(2018, 2025, ROWS).astype(np.float64),
    "previous_grade": np.clip(SCALE.assign(VALIDATION.pd) + RANDOM.integers(-1, 2, ROWS), 1, 5).astype(np.float64),
    "grade": SCALE.assign(VALIDATION.pd).astype(np.float64),
    "champion": np.clip(VALIDATION.pd + RANDOM.normal(0, 0.03, ROWS), 0, 1),
}
NAMES = {name: f"c_{name}" for name in CONTRACTS["pd"].optional_columns}


def found(values: Mapping[str, Any] = VALUES, names: Mapping[str, str] = NAMES, **more: Any) -> dict[str, Result]:
    columns = Columns("development", names, values), Columns("validation", names, values)
    wish = {"level": 0.95, "correlation": 0.04, **more}
    tests, _ = pd_portfolio.portfolio_tests(DEVELOPMENT, VALIDATION, SCALE, columns, **wish)
    return {test.rule: test for test in tests}


def figure(test: Result) -> float:
    assert test.figure is not None, test.reason
    return float(test.figure)


def detail(test: Result, name: str) -> float:
    return next(float(one.value) for one in test.details if one.name == name)


NEEDS = {
    "discrimination.champion": "champion",
    "calibration.normal-years": "year",
    "calibration.scale-mapping": "grade",
    "stability.migration-upper": "previous_grade",
    "stability.migration-lower": "previous_grade",
    "stability.migration-z": "previous_grade",
    "stability.concentration-exposure": "exposure",
}


def test_every_test_answers_where_its_column_is_there() -> None:
    tests = found()
    assert set(tests) == {*NEEDS, "calibration.binomial-correlated", "stability.concentration-number"}
    assert all(test.figure is not None for test in tests.values())


@pytest.mark.parametrize(("rule", "column"), NEEDS.items())
def test_a_column_that_nobody_names_is_asked_for_by_its_word(rule: str, column: str) -> None:
    test = found({}, {})[rule]
    assert test.figure is None
    assert f"`{column}` in [outcome]" in (test.reason or "")


@pytest.mark.parametrize(("rule", "column"), NEEDS.items())
def test_a_column_that_the_sample_lacks_is_named(rule: str, column: str) -> None:
    test = found({name: data for name, data in VALUES.items() if name != column})[rule]
    assert test.figure is None
    assert f"`c_{column}`" in (test.reason or "")


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("year", np.nan, "calibration.normal-years"),
        ("year", 2020.5, "calibration.normal-years"),
        ("year", 1066.0, "calibration.normal-years"),
        ("exposure", -1.0, "stability.concentration-exposure"),
        ("exposure", np.inf, "stability.concentration-exposure"),
        ("grade", 6.0, "calibration.scale-mapping"),
        ("grade", 0.0, "calibration.scale-mapping"),
        ("previous_grade", 6.0, "stability.migration-z"),
        ("previous_grade", 1.5, "stability.migration-upper"),
        ("champion", np.nan, "discrimination.champion"),
    ],
)
def test_one_impossible_value_is_a_reason_and_no_figure(column: str, value: float, rule: str) -> None:
    data = VALUES[column].copy()
    data[7] = value
    test = found({**VALUES, column: data})[rule]
    assert test.figure is None
    assert "1 rows" in (test.reason or "") or "not finite" in (test.reason or "")


def test_who_had_no_grade_before_is_left_out_of_the_migration() -> None:
    data = VALUES["previous_grade"].copy()
    data[: ROWS // 2] = np.nan
    test = found({**VALUES, "previous_grade": data})["stability.migration-upper"]
    assert detail(test, "obligors with an earlier grade") == ROWS // 2
    nobody = found({**VALUES, "previous_grade": np.full(ROWS, np.nan)})
    assert all(nobody[f"stability.migration-{name}"].figure is None for name in ("upper", "lower", "z"))


def matrix() -> npt.NDArray[np.int64]:
    counts = np.zeros((5, 5), np.int64)
    for before, now in zip(VALUES["previous_grade"].astype(int), np.digitize(VALIDATION.pd, SCALE.edges), strict=True):
        counts[before - 1, now] += 1
    return counts


def test_riskvalidation_agrees_on_migration_and_concentration() -> None:
    from riskvalidation.validation.rating_system import (
        concentration,
        matrix_weighted_bandwidth,
        rating_hhi,
    )

    tests = found()
    upper, lower = matrix_weighted_bandwidth(matrix().tolist())
    assert figure(tests["stability.migration-upper"]) == pytest.approx(upper, abs=1e-12)
    assert figure(tests["stability.migration-lower"]) == pytest.approx(lower, abs=1e-12)
    then, now = (
        np.bincount(np.digitize(one.pd, SCALE.edges), minlength=5).tolist() for one in (DEVELOPMENT, VALIDATION)
    )
    number = tests["stability.concentration-number"]
    assert detail(number, "index") == pytest.approx(concentration(now)[1], abs=1e-12)
    assert figure(number) == pytest.approx(rating_hhi(now, then).p_value, abs=1e-12)
    place = np.digitize(VALIDATION.pd, SCALE.edges)
    weighed = [float(VALUES["exposure"][place == grade].sum()) for grade in range(5)]
    assert detail(tests["stability.concentration-exposure"], "index") == pytest.approx(
        concentration(weighed)[1], abs=1e-9
    )


def test_the_worst_cell_is_the_least_by_holm() -> None:
    from statsmodels.stats.multitest import multipletests

    counts, p = matrix(), []
    for i in range(5):
        n = counts[i].sum()
        for j in range(5):
            near = j + 1 if j < i else j - 1
            a, b = counts[i, j] / n, counts[i, near] / n
            spread = (a * (1 - a) + b * (1 - b) + 2 * a * b) / n
            if i != j and spread > 0:
                p.append(stats.norm.cdf((b - a) / np.sqrt(spread)))
    test = found()["stability.migration-z"]
    assert figure(test) == pytest.approx(min(multipletests(p, method="holm")[1]), abs=1e-12)
    assert detail(test, "cells") == len(p)


def test_obligors_who_leap_are_seen() -> None:
    now = SCALE.assign(VALIDATION.pd)
    # from the first grade many more go three grades down than one or two
    before = np.where(now == 4, 1, now).astype(np.float64)
    test = found({**VALUES, "previous_grade": before})["stability.migration-z"]
    assert figure(test) < 1e-6
    assert (detail(test, "from grade"), detail(test, "to grade")) == (1, 4)


def test_years_are_judged_by_their_gaps() -> None:
    gaps = []
    for year in range(2018, 2025):
        rows = VALUES["year"] == year
        gaps.append(VALIDATION.outcome[rows].mean() - VALIDATION.pd[rows].mean())
    z = sum(gaps) / np.sqrt(len(gaps) * np.var(gaps, ddof=1))
    test = found()["calibration.normal-years"]
    assert figure(test) == pytest.approx(stats.norm.sf(z), rel=1e-9)
    # a t test of the same gaps has the same statistic
    assert detail(test, "z") == pytest.approx(stats.ttest_1samp(gaps, 0).statistic, rel=1e-9)
    few = found({**VALUES, "year": np.where(VALUES["year"] > 2020, 2020.0, VALUES["year"])})
    assert "at least 5 years" in (few["calibration.normal-years"].reason or "")


def test_correlation_is_the_policys_and_makes_the_tail_fatter() -> None:
    from riskvalidation.validation.calibration import default_count_sf

    defaults, mean = int(VALIDATION.outcome.sum()), float(VALIDATION.pd.mean())
    test = found()["calibration.binomial-correlated"]
    assert figure(test) == pytest.approx(default_count_sf(defaults, ROWS, mean, 0.04), abs=1e-5)
    # their quadrature is coarser than this one: the mean over a fine grid of the factor's quantiles
    factor = stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000)
    rate = stats.norm.cdf((stats.norm.ppf(mean) - np.sqrt(0.04) * factor) / np.sqrt(0.96))
    assert figure(test) == pytest.approx(stats.binom.sf(defaults - 1, ROWS, rate).mean(), abs=1e-9)
    none = found(correlation=None)["calibration.binomial-correlated"]
    assert "asset correlation" in (none.reason or "")
    independent = found(correlation=0.0)["calibration.binomial-correlated"]
    assert figure(independent) == pytest.approx(stats.binom.sf(defaults - 1, ROWS, mean), abs=1e-12)


def test_a_champion_is_compared_on_the_same_rows() -> None:
    from sklearn.metrics import roc_auc_score

    test = found()["discrimination.champion"]
    ours, theirs = (roc_auc_score(VALIDATION.outcome, score) for score in (VALIDATION.pd, VALUES["champion"]))
    assert figure(test) == pytest.approx(ours - theirs, abs=1e-12)
    assert test.interval is not None
    assert float(test.interval[0]) < figure(test) < float(test.interval[1])
    # the variance of a paired difference, by resampling rows within each class
    random, y = np.random.default_rng(0), VALIDATION.outcome
    bad, good = np.flatnonzero(y), np.flatnonzero(1 - y)
    draws = []
    for _ in range(150):
        rows = np.concatenate([random.choice(bad, bad.size), random.choice(good, good.size)])
        draws.append(roc_auc_score(y[rows], VALIDATION.pd[rows]) - roc_auc_score(y[rows], VALUES["champion"][rows]))
    half = (float(test.interval[1]) - float(test.interval[0])) / 2
    assert half / 1.959964 == pytest.approx(float(np.std(draws)), rel=0.25)
    same = found({**VALUES, "champion": VALIDATION.pd})["discrimination.champion"]
    assert "rank the rows alike" in (same.reason or "")


def test_grades_of_another_system_are_mapped() -> None:
    assert figure(found()["calibration.scale-mapping"]) == 0.0
    other = VALUES["grade"].copy()
    other[:100] = np.where(other[:100] > 2, other[:100] - 2, other[:100] + 2)
    test = found({**VALUES, "grade": other})["calibration.scale-mapping"]
    assert figure(test) == pytest.approx(100 / ROWS)
    assert detail(test, "more than one grade away") == 100
    assert detail(test, "grades") == 5


def test_no_order_of_rows_changes_a_figure() -> None:
    turn = np.random.default_rng(9).permutation(ROWS)
    turned = Sample(VALIDATION.basis, VALIDATION.outcome[turn], VALIDATION.pd[turn])
    columns = Columns("validation", NAMES, {name: data[turn] for name, data in VALUES.items()})
    first = Columns("development", NAMES, VALUES)
    again, _ = pd_portfolio.portfolio_tests(DEVELOPMENT, turned, SCALE, (first, columns), level=0.95, correlation=0.04)
    for test in again:
        assert figure(test) == pytest.approx(figure(found()[test.rule]), rel=1e-9, abs=1e-12)
