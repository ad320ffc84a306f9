"""Data quality and soundness: planted faults are found, sound data stay quiet, figures agree with other libraries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from strongroom.validation.results import NotEvaluable
from strongroom.validation.statistics import data_quality, soundness

NAMES = ("income", "age", "noise")


def sample(n: int = 4000, seed: int = 7) -> tuple[Any, Any, Any]:
    """Rows, outcomes and the true probability: income lowers risk, age bends it, noise says nothing."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(n, 3)).astype(np.float32)
    p = 1.0 / (1.0 + np.exp(2.0 + 1.2 * rows[:, 0] - 0.5 * rows[:, 1] ** 2))
    return rows, (random.random(n) < p).astype(np.int64), p.astype(np.float64)


def true_model(rows: Any) -> Any:
    return (1.0 / (1.0 + np.exp(2.0 + 1.2 * rows[:, 0] - 0.5 * rows[:, 1] ** 2))).astype(np.float32)


def test_a_target_among_the_features_stands_out() -> None:
    rows, outcome, _ = sample()
    honest = data_quality.lone_strength(rows, outcome, NAMES)
    assert not isinstance(honest, NotEvaluable)
    assert honest[0].name == "income"
    assert honest[0].figure == pytest.approx(abs(2 * roc_auc_score(outcome, rows[:, 0]) - 1), abs=1e-12)
    leaking = np.column_stack([rows, outcome + 0.01 * rows[:, 2]]).astype(np.float32)
    found = data_quality.lone_strength(leaking, outcome, (*NAMES, "collections"))
    assert not isinstance(found, NotEvaluable)
    assert (found[0].name, round(found[0].figure, 6)) == ("collections", 1.0)


@pytest.mark.parametrize("number", [False, True])
def test_a_target_that_hides_in_gaps_or_in_bends_stands_out_too(number: bool) -> None:
    """Filled for defaulters alone, or far from the middle for them: neither rises with the outcome."""
    (before, was, p), (rows, came, q) = sample(seed=1), sample(seed=2)
    learnt, outcome = (p * 1.0, q * 1.0) if number else (was, came)
    for hide in (
        lambda values: np.where(values > (0.15 if number else 0.5), 1.0, np.nan),
        lambda values: np.where(values > (0.15 if number else 0.5), 9.0, 1.0) * np.resize([1, -1], len(values)),
    ):
        old, new = (
            np.column_stack([part, hide(values)]).astype(np.float32)
            for part, values in ((before, learnt), (rows, outcome))
        )
        plain = data_quality.lone_strength(new, outcome, (*NAMES, "hidden"))
        found = data_quality.lone_strength(new, outcome, (*NAMES, "hidden"), (old, learnt))
        assert not isinstance(found, NotEvaluable)
        assert not isinstance(plain, NotEvaluable)
        assert all(one.figure < 0.5 for one in plain if one.name == "hidden")
        hidden = next(one for one in found if one.name == "hidden")
        assert hidden.binned
        assert hidden.figure > (0.6 if number else 0.999)


def test_strength_of_numbers_is_spearmans() -> None:
    rows, _, p = sample()
    found = data_quality.lone_strength(rows, p, NAMES)
    assert not isinstance(found, NotEvaluable)
    by_name = {one.name: one.figure for one in found}
    assert by_name["age"] == pytest.approx(abs(stats.spearmanr(rows[:, 1], p).statistic))


def test_gaps_that_tell_are_found_and_gaps_by_chance_are_not() -> None:
    rows, outcome, _ = sample()
    random = np.random.default_rng(1)
    told, chance = rows.copy(), rows.copy()
    told[(outcome == 1) & (random.random(len(rows)) < 0.3), 2] = np.nan
    chance[random.random(len(rows)) < 0.1, 2] = np.nan
    found = data_quality.telling_gaps(told, outcome, NAMES)
    quiet = data_quality.telling_gaps(chance, outcome, NAMES)
    assert not isinstance(found, NotEvaluable)
    assert not isinstance(quiet, NotEvaluable)
    assert found[0].name == "noise"
    assert found[0].p_value < 1e-6 < 0.01 < quiet[0].p_value
    assert found[0].difference > 0.5
    assert isinstance(data_quality.telling_gaps(rows, outcome, NAMES), NotEvaluable)


def test_gaps_of_numbers_are_compared_by_rank() -> None:
    rows, _, p = sample()
    gone = rows.copy()
    gone[:500, 1] = np.nan
    found = data_quality.telling_gaps(gone, p, NAMES)
    assert not isinstance(found, NotEvaluable)
    assert found[0].p_value == pytest.approx(stats.mannwhitneyu(p[:500], p[500:]).pvalue)


def test_repeats_gaps_and_other_populations_are_measured() -> None:
    rows, outcome, _ = sample(1000)
    assert data_quality.repeated(rows, outcome) == 0.0
    assert data_quality.repeated(np.vstack([rows, rows[:250]]), np.append(outcome, outcome[:250])) == pytest.approx(0.2)
    other = rows.copy()
    other[:100, 1] = np.nan
    assert data_quality.missing_change(rows, other, NAMES) == data_quality.Named("age", 0.1)
    moved = rows + np.float32([0, 0, 1])
    found = data_quality.told_apart(rows, moved, NAMES)
    assert not isinstance(found, NotEvaluable)
    assert found[0].name == "noise"
    assert found[0].figure == pytest.approx(stats.ks_2samp(rows[:, 2], moved[:, 2]).statistic)


def test_special_categories_are_hinted_at_unless_a_ground_is_named() -> None:
    names, purposes = ("a", "Diagnosis code", "b"), ("risk", "affordability", "member of a trade union")
    assert data_quality.special(names, purposes, ("6(1)(b)",) * 3) == ("Diagnosis code", "b")
    assert data_quality.special(names, purposes, ("6(1)(b)", "GDPR Art. 9(2)(a)", "9 (2) (h)")) == ()


def test_effects_have_the_shape_of_the_model_and_skip_what_it_ignores() -> None:
    rows, _, _ = sample()
    made = soundness.effects(true_model, rows, NAMES)
    assert not isinstance(made, NotEvaluable)
    by_name = {effect.name: effect for effect in made}
    assert [effect.name for effect in made][-1] == "noise"
    assert by_name["noise"].span == pytest.approx(0.0, abs=1e-6)
    assert all(np.diff(by_name["income"].effect) < 0)
    bent = by_name["age"].effect
    assert min(bent) == min(bent[3:8]), "lowest in the middle"
    assert bent[0] > min(bent) < bent[-1]


def test_the_effect_of_a_sum_is_its_own_term() -> None:
    rows, _, _ = sample()
    made = soundness.effects(lambda part: 2 * part[:, 0] - 3 * part[:, 1], rows, NAMES)
    assert not isinstance(made, NotEvaluable)
    for effect in made:
        slope = {"income": 2.0, "age": -3.0, "noise": 0.0}[effect.name]
        assert np.diff(effect.effect) == pytest.approx(slope * np.diff(effect.edges), abs=1e-4)


def test_a_weak_spot_is_found_and_a_right_model_has_none() -> None:
    rows, outcome, p = sample(20_000)
    right = soundness.weak_spots(rows, outcome, p, NAMES, 100)
    assert not isinstance(right, NotEvaluable)
    assert right[0].p_value > 0.01
    blind = p.copy()
    corner = (rows[:, 0] > 0.7) & (rows[:, 1] > 0.7)
    blind[corner] *= 0.3
    found = soundness.weak_spots(rows, outcome, blind, NAMES, 100)
    assert not isinstance(found, NotEvaluable)
    assert found[0].p_value < 1e-4
    assert "income above" in found[0].words
    assert "age above" in found[0].words
    assert found[0].observed > found[0].expected
    assert isinstance(soundness.weak_spots(rows[:50], outcome[:50], p[:50], NAMES, 100), NotEvaluable)


def test_the_scorecard_agrees_with_another_library_and_beats_chance() -> None:
    rows, outcome, _ = sample()
    gaps = rows.copy()
    gaps[::10, 2] = np.nan
    card = soundness.scorecard(gaps, outcome)
    assert not isinstance(card, NotEvaluable)
    columns = np.column_stack([
        weight[np.where(np.isnan(gaps[:, i]), len(edges) + 1, np.searchsorted(edges, gaps[:, i]))]
        for i, (edges, weight) in enumerate(zip(card.edges, card.weights, strict=True))
    ])  # fmt: skip
    other = LogisticRegression(C=1.0, tol=1e-10, max_iter=1000).fit(columns, outcome)
    assert card.coefficients == pytest.approx(np.append(other.intercept_, other.coef_[0]), abs=1e-4)
    assert roc_auc_score(outcome, card.score(gaps)) > 0.7
    assert isinstance(soundness.scorecard(rows, np.zeros(len(rows), np.int64)), NotEvaluable)


def test_stress_goes_against_the_applicant_and_stays_within_the_sample() -> None:
    rows, _, _ = sample()
    seen: list[Any] = []

    def predict(part: Any) -> Any:
        seen.append(part)
        return true_model(part)

    made = soundness.effects(true_model, rows, NAMES)
    assert not isinstance(made, NotEvaluable)
    assert soundness.stressed(predict, rows, made, NAMES, 1.0) > 0.01
    few = soundness.some(rows)
    for part in seen:
        assert (part >= few.min(axis=0)).all()
        assert (part <= few.max(axis=0)).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40))
def test_nothing_is_ever_nan(seed: int, n: int) -> None:
    random = np.random.default_rng(seed)
    rows = random.choice(np.float32([0.0, 1.0, np.nan, 3.5]), size=(n, 3))
    outcome = random.integers(0, 2, n)
    for found in (
        data_quality.lone_strength(rows, outcome, NAMES), data_quality.telling_gaps(rows, outcome, NAMES),
        data_quality.told_apart(rows, rows[::-1], NAMES),
        data_quality.lone_strength(rows, outcome, NAMES, (rows[: n // 2], outcome[: n // 2])),
    ):  # fmt: skip
        if not isinstance(found, NotEvaluable):
            assert all(np.isfinite(one.figure if hasattr(one, "figure") else one.p_value) for one in found)
    made = soundness.effects(lambda part: np.nan_to_num(part).sum(axis=1), rows, NAMES)
    if not isinstance(made, NotEvaluable):
        assert all(np.isfinite(effect.effect).all() for effect in made)
    card = soundness.scorecard(rows, outcome)
    if not isinstance(card, NotEvaluable):
        assert np.isfinite(card.score(rows)).all()
    spots = soundness.weak_spots(rows, outcome, random.random(n), NAMES, 2)
    if not isinstance(spots, NotEvaluable):
        assert all(0.0 <= spot.p_value <= 1.0 for spot in spots)
