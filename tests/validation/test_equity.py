"""Fairness tests of a sample with several attributes: figures, symmetry, order, and what is never told."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

import msgspec
import numpy as np
import pytest

from strongroom.registry.contract import ModelContract
from strongroom.validation import results as documents
from strongroom.validation.batteries.equity import SMALL, group_tests
from strongroom.validation.batteries.equity_search import alternative_tests, crossing_tests, known_proxies, proxy_tests
from strongroom.validation.batteries.protected_groups import People, gather
from strongroom.validation.batteries.scored import Scored
from strongroom.validation.catalogue import Basis
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.results import Table
from strongroom.validation.statistics.alternatives import mute
from strongroom.vocabulary import digest_of
from tests.validation.worked import POLICY, contract

N = 3000
NAMES = ("income", "debt", "tenure")
LIMITS = ValidationPolicy.decode(POLICY.read_bytes()).fairness


@cache
def about() -> ModelContract:
    plain = contract(NAMES, "t", "t")
    return msgspec.structs.replace(plain, protected=("sex", "region"), conditions=("income",))


@cache
def world() -> tuple[Scored, dict[str, list[str]]]:
    random = np.random.default_rng(21)
    sex = np.where(random.random(N) < 0.45, "f", "m").astype("<U9")
    sex[:40] = "zz-canary"
    region = np.array(["north", "south", "west"])[random.integers(0, 3, N)]
    x = np.column_stack([random.normal(0, 1, N) - 0.5 * (sex == "f"), random.normal(0, 1, N), random.normal(0, 1, N)])
    p = 1 / (1 + np.exp(1.6 + x[:, 0] - 0.8 * x[:, 1] - 0.3 * (region == "south")))
    y = (random.random(N) < p).astype(np.int64)
    rows = x.astype(np.float32)
    sample = Scored(Basis("validation", digest_of(b"x"), N), rows, answers(rows), y)
    return sample, {"sex": sex.tolist(), "region": region.tolist()}


def answers(rows: np.ndarray) -> np.ndarray:
    return (1 / (1 + np.exp(1.6 + rows[:, 0] - 0.8 * rows[:, 1]))).astype(np.float32)


def people(order: np.ndarray | None = None, groups: dict[str, list[str]] | None = None) -> People:
    sample, told = world()
    told = told if groups is None else groups
    if order is not None:
        sample = Scored(sample.basis, sample.rows[order], sample.scores[order], sample.outcome[order])
        told = {name: [labels[i] for i in order] for name, labels in told.items()}
    return gather(sample, told, about(), LIMITS, 0.95)


def everything(who: People) -> tuple[dict[str, documents.TestResult], list[Table], str]:
    tests, air, tables = group_tests(who)
    crossed, crossings = crossing_tests(who)
    known, carriers = proxy_tests(who, NAMES, known_proxies(who))
    other, ways, charts = alternative_tests(who, mute(answers, who.sample.rows), NAMES)
    text = msgspec.json.encode((tests, air, tables, crossed, crossings, known, carriers, other, ways, charts)).decode()
    return {t.id: t for t in (*tests, *crossed, *known, *other)}, [*tables, *crossings, *carriers, *ways], text


@cache
def found() -> tuple[dict[str, documents.TestResult], list[Table], str]:
    return everything(people())


def test_every_rule_of_fairness_is_answered_for_each_attribute() -> None:
    tests = found()[0]
    rules = ("air", "odds", "calibration", "smd", "cdd", "common-odds", "proxies")
    wanted = {f"fairness.{rule}/{name}" for rule in rules for name in ("sex", "region")}
    assert set(tests) == wanted | {"fairness.intersections/sex x region", "fairness.alternatives"}
    assert all(test.figure is not None for test in tests.values()), [t.reason for t in tests.values()]


def test_fairlearn_agrees_on_the_attribute_without_a_veil() -> None:
    metrics = pytest.importorskip("fairlearn.metrics")
    sample, groups = world()
    refused = ~people().favoured
    region = groups["region"]
    tests = found()[0]
    odds = metrics.equalized_odds_difference(sample.outcome, refused, sensitive_features=region)
    assert float(tests["fairness.odds/region"].figure or 0) == pytest.approx(odds)
    ratio = metrics.demographic_parity_ratio(sample.outcome, ~refused, sensitive_features=region)
    assert float(tests["fairness.air/region"].figure or 0) == pytest.approx(ratio)
    cells = [f"{a}/{b}" for a, b in zip(*groups.values(), strict=True)]
    keep = np.array([not cell.startswith("zz") for cell in cells])
    crossed = metrics.demographic_parity_ratio(
        sample.outcome[keep], ~refused[keep], sensitive_features=np.array(cells)[keep]
    )
    told = float(tests["fairness.intersections/sex x region"].figure or 0)
    assert told == pytest.approx(np.floor(crossed * 100 + 1e-9) / 100)  # sex has a veil, so in hundredths


def test_people_alike_in_income_are_refused_alike_although_the_groups_are_not() -> None:
    tests = found()[0]
    assert float(tests["fairness.air/sex"].figure or 0) < 0.95
    assert float(tests["fairness.smd/sex"].figure or 0) > 0.3
    raw = float(tests["fairness.common-odds/sex"].figure or 0)
    assert 0.6 < raw < 1.1
    assert float(tests["fairness.cdd/sex"].figure or 0) < 0.1
    assert found()[0]["fairness.proxies/sex"].details[2].value == "income"


def test_people_of_whom_nobody_is_refused_take_no_answer_from_the_others() -> None:
    sample, groups = world()
    richest = sample.rows[:, 0] > np.quantile(sample.rows[:, 0], 0.75, method="inverted_cdf")
    scores = np.where(richest, np.float32(0.01), sample.scores)
    who = gather(Scored(sample.basis, sample.rows, scores, sample.outcome), groups, about(), LIMITS, 0.95)
    told = next(test for test in group_tests(who)[0] if test.id == "fairness.cdd/region")
    named = {detail.name: detail.value for detail in told.details}
    assert (named["strata"], named["strata with one decision only, left out"]) == ("3", "1")
    income = sample.rows[~richest, 0]
    edges = np.quantile(sample.rows[:, 0], [0.25, 0.5], method="inverted_cdf")
    refused, place = ~who.favoured[~richest], np.searchsorted(edges, income, side="left")
    codes = np.array([groups["region"][k] for k in np.flatnonzero(~richest)])
    gaps = {}
    for group in {"north", "south", "west"} - {named["reference group"]}:
        either = np.isin(codes, (group, named["reference group"]))
        parts = [
            (rows.sum(), (codes[rows & refused] == group).mean() - (codes[rows & ~refused] == group).mean())
            for rows in (either & (place == k) for k in range(3))
        ]
        gaps[group] = sum(n * gap for n, gap in parts) / sum(n for n, _ in parts)
    assert float(told.figure or 0) == pytest.approx(max(gaps.values()), abs=1e-9)
    assert named["group"] == max(gaps, key=lambda group: gaps[group])


def test_the_order_of_rows_moves_nothing_but_the_last_bits_of_sums() -> None:
    order = np.random.default_rng(2).permutation(N)
    tests, tables, _ = everything(people(order))
    for name, test in found()[0].items():
        assert float(tests[name].figure or 0) == pytest.approx(float(test.figure or 0), abs=1e-9), name
        assert [d.name for d in tests[name].details] == [d.name for d in test.details]
    for one, two in zip(tables, found()[1], strict=True):
        assert [row[0] for row in one.rows] == [row[0] for row in two.rows]


def test_no_word_of_a_small_group_is_told() -> None:
    _, tables, text = found()
    assert "zz-canary" not in text
    assert SMALL in text
    _, groups = world()
    sex = np.array(groups["sex"])
    favoured = people().favoured
    for name in ("m", "f"):  # what would give the 40 away beside the total: a large group, exactly
        rate = float(favoured[sex == name].mean())
        shown = repr(rate) in text
        assert shown == (name == max(("m", "f"), key=lambda n: int((sex == n).sum())))
    assert not any(row[0] and "zz" in row[0] for table in tables for row in table.rows)


def test_figures_of_a_veiled_attribute_stand_in_hundredths() -> None:
    for name, test in found()[0].items():
        if name.endswith("/sex") and "proxies" not in name:
            for figure in (test.figure, test.p_value, *(test.interval or ())):
                assert figure is None or re.fullmatch(r"-?\d+(\.\d{1,2})?", figure), (name, figure)


def test_names_of_groups_do_not_matter() -> None:
    _, groups = world()
    swapped = {"m": "a", "f": "b", "zz-canary": "c"}
    renamed = everything(people(groups={**groups, "sex": [swapped[g] for g in groups["sex"]]}))[0]
    for name, test in found()[0].items():
        # the folds of the search for proxies are dealt group by group, in the order of names
        near = 0.03 if "proxies" in name else 1e-9
        assert float(renamed[name].figure or 0) == pytest.approx(float(test.figure or 0), abs=near), name


def test_a_group_that_is_split_in_crumbs_is_gone_and_said_to_be() -> None:
    _, groups = world()
    crumbs = [f"g{i % 19}" if g == "f" and i % 30 == 0 else g for i, g in enumerate(groups["sex"])]
    text = everything(people(groups={**groups, "sex": crumbs}))[2]
    assert not re.search(r"\bg\d+\b", text)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"protected": ()}, "names no protected attribute"),
        ({"conditions": msgspec.UNSET}, "names no feature under"),
    ],
)
def test_what_the_contract_leaves_out_is_said(change: dict[str, object], word: str) -> None:
    sample, groups = world()
    who = gather(sample, groups, msgspec.structs.replace(about(), **change), LIMITS, 0.95)
    tests = everything(who)[0]
    assert any(word in (test.reason or "") for test in tests.values())
    assert all(test.reason or test.figure is not None for test in tests.values())


def _small(outcome: Sequence[int]) -> People:
    sample, groups = world()
    return gather(Scored(sample.basis, sample.rows, sample.scores, np.array(outcome)), groups, about(), LIMITS, 0.95)


def test_without_defaults_error_rates_are_not_evaluable_and_nothing_is_nan() -> None:
    tests, _, text = everything(_small([0] * N))
    assert tests["fairness.odds/sex"].figure is None
    assert "defaulters or more" in (tests["fairness.odds/sex"].reason or "")
    assert tests["fairness.alternatives"].figure is None
    assert not re.search(r"\b(nan|inf|NaN|Infinity)\b", text)
