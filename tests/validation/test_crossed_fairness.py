"""Alarms and residuals where attributes cross: what no single attribute shows is found, small cells stay untold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from strongroom.registry.contract import CutOff
from strongroom.validation import results as documents
from strongroom.validation.batteries import traffic
from strongroom.validation.batteries.equity_alarms import alarm_tests
from strongroom.validation.batteries.equity_crossings import crossed_alarms, crossed_residuals
from strongroom.validation.batteries.equity_numbers import number_tests
from strongroom.validation.batteries.protected_groups import WORDS, People, gather
from strongroom.validation.batteries.scored import Scored
from strongroom.validation.catalogue import Basis
from strongroom.validation.policy import ValidationPolicy
from strongroom.vocabulary import digest_of
from tests.validation.worked import POLICY, contract

LIMITS = ValidationPolicy.decode(POLICY.read_bytes()).fairness
Cell = tuple[str, str]


def gathered(
    score: npt.ArrayLike, outcome: npt.ArrayLike, cells: Sequence[Cell], kind: str, weight: npt.ArrayLike | None = None
) -> People:
    about = msgspec.structs.replace(
        contract(("a",), "t", "t"),
        protected=("sex", "age"),
        cut_offs=(CutOff(decision="pass", below="0.5"), CutOff(decision="alarm")),
    )
    told = np.asarray(score, dtype=np.float32)
    columns = {} if weight is None else {"weight": np.asarray(weight, dtype=np.float64)}
    sample = Scored(Basis("validation", digest_of(b"x"), told.size), told[:, None], told, np.asarray(outcome), columns)
    kept = traffic.even_by_class(sample)
    groups = {name: [cells[i][place] for i in kept] for place, name in enumerate(("sex", "age"))}
    found = gather(sample.at(kept), groups, about, LIMITS, 0.95)
    return replace(found, words=WORDS[kind], probable=False)


def alarms(counts: dict[Cell, tuple[int, int]]) -> People:
    """Cells with so many genuine transactions and so many alarms among them, and 30 frauds each."""
    score: list[float] = []
    outcome: list[int] = []
    cells: list[Cell] = []
    for cell, (n, hit) in counts.items():
        score += [0.9] * hit + [0.1] * (n - hit) + [0.8] * 30
        outcome += [0] * n + [1] * 30
        cells += [cell] * (n + 30)
    return gathered(score, outcome, cells, "fraud")


def estimates(sizes: dict[Cell, int], off: dict[Cell, float], seed: int = 1) -> People:
    """Cells of so many rows whose outcomes lie so far off their estimates."""
    random = np.random.default_rng(seed)
    cells = [cell for cell, n in sizes.items() for _ in range(n)]
    told = random.uniform(0.2, 0.8, len(cells))
    came = told + random.normal(0.0, 0.1, len(cells)) + np.array([off.get(cell, 0.0) for cell in cells])
    return gathered(told, came, cells, "lgd")


def only(tests: Sequence[documents.TestResult]) -> documents.TestResult:
    (found,) = tests
    return found


CROSSED = {("f", "o"): (1000, 60), ("f", "y"): (1000, 10), ("m", "o"): (1000, 10), ("m", "y"): (1000, 60)}


def test_alarms_that_no_attribute_alone_shows_are_found_where_they_cross() -> None:
    people = alarms(CROSSED)
    assert all(float(test.figure or 9) < 1.1 for test in alarm_tests(people))
    tests, (table,) = crossed_alarms(people)
    found = only(tests)
    assert (found.id, found.details[0].value) == ("fairness.false-alarms/sex x age", "sex: f, age: o")
    assert float(found.figure or 0) == np.ceil(100 * (60 / 1000) / (80 / 3000)) / 100
    p = 4 * stats.fisher_exact([[60, 940], [80, 2920]]).pvalue
    assert float(found.p_value or 0) == pytest.approx(np.ceil(100 * p) / 100)
    assert len(table.rows) == 4
    assert all(float(text) == round(float(text), 2) for row in table.rows for text in row[1:] if text is not None)


def test_a_small_crossing_is_neither_judged_nor_named() -> None:
    people = alarms({**CROSSED, ("canary", "y"): (12, 12), ("canary", "o"): (11, 0)})
    tests, tables = crossed_alarms(people)
    assert "canary" not in msgspec.json.encode([tests, tables]).decode()
    few = alarms({("f", "o"): (1000, 9), ("f", "y"): (30, 1), ("m", "o"): (30, 1), ("m", "y"): (20, 1)})
    assert len(few.attributes) == 2, "each attribute alone can be judged"
    assert "fewer than two" in (only(crossed_alarms(few)[0]).reason or "")


def test_without_two_attributes_or_alarms_nothing_crosses_or_a_reason_stands() -> None:
    one = alarms({("f", "o"): (500, 9), ("m", "o"): (500, 9)})
    assert (crossed_alarms(one), crossed_residuals(one, "share of exposure")) == (([], ()), ([], ()))
    silent = only(crossed_alarms(alarms(dict.fromkeys(CROSSED, (500, 0))))[0])
    assert "none of the genuine" in (silent.reason or "")


def test_estimates_too_high_where_attributes_cross_are_found() -> None:
    sizes = {(sex, age): 400 for sex in "fm" for age in "oy"}
    off = {("f", "o"): -0.1, ("f", "y"): 0.1, ("m", "o"): 0.1, ("m", "y"): -0.1}
    people = estimates(sizes, off)
    alone, _ = number_tests(people, "share of exposure")
    assert all(float(t.figure or 9) < 0.03 for t in alone if t.rule == "fairness.residual")
    tests, (table,) = crossed_residuals(people, "share of exposure")
    found = only(tests)
    assert found.details[0].value in {"sex: f, age: o", "sex: m, age: y", "sex: f, age: y", "sex: m, age: o"}
    residual = people.sample.outcome - people.scores
    place = np.array([(sex, age) for (sex, age), n in sizes.items() for _ in range(n)])
    gaps = {}
    for row, (sex, age) in zip(table.rows, sizes, strict=True):
        member = (place == (sex, age)).all(axis=1)
        assert row[:2] == (f"sex: {sex}, age: {age}", "400")
        assert float(row[2] or 0) == pytest.approx(residual[member].mean())
        gaps[row[0]] = stats.ttest_ind(residual[member], residual[~member], equal_var=False)
    worst = gaps[found.details[0].value]
    apart = max(
        abs(gap.confidence_interval(0.95).low + gap.confidence_interval(0.95).high) / 2 for gap in gaps.values()
    )
    assert float(found.figure or 0) == pytest.approx(apart)
    assert worst.pvalue < float(found.p_value or 1) <= 4 * worst.pvalue * 1.000001, "adjusted after Holm"


def test_a_small_crossing_of_estimates_cannot_be_reckoned() -> None:
    sizes = {("f", "o"): 400, ("f", "y"): 300, ("m", "o"): 380, ("m", "y"): 12}
    people = estimates(sizes, {("m", "y"): 0.9})
    tests, tables = crossed_residuals(people, "share of exposure")
    told = {row[0]: row for table in tables for row in table.rows}
    assert "sex: m, age: y" not in msgspec.json.encode([tests, tables]).decode()
    # rows of both men and of the young are told by the single attributes: with a neighbour's, 12 would follow
    assert not {"sex: m, age: o", "sex: f, age: y"} & told.keys()
    found = only(tests)
    assert float(found.figure or 0.123) == round(float(found.figure or 0.123), 2)
    lonely = estimates({("f", "o"): 400, ("f", "y"): 60, ("m", "o"): 60, ("m", "y"): 60}, {})
    assert len(lonely.attributes) == 2
    assert "fewer than two" in (only(crossed_residuals(lonely, "x")[0]).reason or "")


def test_weighted_rows_give_the_ratio_of_repeated_ones() -> None:
    random = np.random.default_rng(3)
    n = 24_000
    cells = [("fm"[i], "oy"[j]) for i, j in random.integers(0, 2, (n, 2))]
    hit = random.random(n) < np.array([0.12 if cell == ("f", "o") else 0.04 for cell in cells])
    # what was drawn often is alarmed less: without weights the ratio is another one
    weight = np.where(hit & np.array([cell[0] == "f" for cell in cells]), 1, random.integers(1, 4, n))
    args = np.where(hit, 0.9, 0.1), np.zeros(n, dtype=np.int64)
    many = np.repeat(np.arange(n), weight)
    told = [
        float(only(crossed_alarms(people)[0]).figure or 0)
        for people in (
            gathered(*args, cells, "fraud", weight),
            gathered(args[0][many], args[1][many], [cells[i] for i in many], "fraud"),
            gathered(*args, cells, "fraud"),
        )
    ]
    assert told[0] == pytest.approx(told[1], rel=0.06)
    assert abs(told[2] / told[1] - 1) > 0.15
