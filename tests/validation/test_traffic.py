"""Weighted samples: what is left stands for the traffic, whatever the order of delivery."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.validation.batteries import traffic
from strongroom.validation.batteries.scored import Scored
from strongroom.validation.catalogue import Basis
from strongroom.vocabulary import digest_of


def sample(n: int, seed: int, weights: tuple[float, float]) -> Scored:
    random = np.random.default_rng(seed)
    rows = random.normal(size=(n, 2)).astype(np.float32)
    outcome = (random.random(n) < 0.3).astype(np.int64)
    weight = np.where(outcome == 1, *weights)
    columns = {"weight": weight, "time": random.normal(size=n)}
    return Scored(Basis("validation", digest_of(b"x"), n), rows, rows[:, 0].copy(), outcome, columns)


@given(st.integers(2, 400), st.integers(0, 50), st.tuples(st.floats(0.1, 50), st.floats(0.1, 50)))
@settings(max_examples=40, deadline=None)
def test_each_class_keeps_its_share_of_the_weight(n: int, seed: int, weights: tuple[float, float]) -> None:
    drawn = sample(n, seed, weights)
    kept = drawn.at(traffic.even(drawn))
    for name in (0, 1):
        due = drawn.columns["weight"][drawn.outcome == name].sum() / drawn.columns["weight"].max()
        assert abs((kept.outcome == name).sum() - due) <= 1.0
    assert kept.basis.rows == len(kept.rows) >= 1
    alike = drawn.at(traffic.even_by_class(drawn))
    assert np.array_equal(alike.outcome, drawn.outcome), "one weight a class: nobody is left out"


def test_a_mean_of_what_is_kept_is_the_weighted_mean() -> None:
    drawn = sample(20_000, 3, (1.0, 20.0))
    weight = drawn.columns["weight"] * np.where(drawn.rows[:, 1] > 0, 1.0, 3.0)
    drawn = Scored(drawn.basis, drawn.rows, drawn.scores, drawn.outcome, {**drawn.columns, "weight": weight})
    kept = drawn.at(traffic.even(drawn))
    for values, of in ((kept.rows[:, 1], drawn.rows[:, 1]), (kept.outcome, drawn.outcome)):
        assert values.mean() == pytest.approx(np.average(of, weights=weight), abs=0.01)
    frauds = drawn.at(traffic.even_by_class(drawn))
    bad = drawn.outcome == 1
    told = frauds.rows[frauds.outcome == 1, 1].mean()
    assert told == pytest.approx(np.average(drawn.rows[bad, 1], weights=weight[bad]), abs=0.02)


def test_order_of_delivery_and_equal_weights_change_nothing() -> None:
    drawn = sample(500, 5, (1.0, 7.0))
    order = np.random.default_rng(0).permutation(500)
    turned = drawn.at(order)
    rows = {row.tobytes() for row in drawn.at(traffic.even(drawn)).rows}
    assert {row.tobytes() for row in turned.at(traffic.even(turned)).rows} == rows
    assert drawn.at(np.arange(500)) is drawn
    assert not np.array_equal(turned.rows, drawn.rows), "a full permutation is no identity"
    nobody = drawn.at(drawn.outcome == 2)
    assert len(traffic.even(nobody)) == len(traffic.even_by_class(nobody)) == 0
    equal = sample(50, 1, (4.0, 4.0))
    assert equal.at(traffic.even(equal)) is equal
    plain = Scored(equal.basis, equal.rows, equal.scores, equal.outcome)
    assert plain.at(traffic.even_by_class(plain)) is plain
