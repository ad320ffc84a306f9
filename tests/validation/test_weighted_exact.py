"""Weighted rows, counted by hand: what a wrong sign, bound or constant would change.

Light on purpose (numpy and scipy alone), since mutation testing runs it hundreds of times.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from strongroom.validation.results import NotEvaluable, evaluable
from strongroom.validation.statistics import discrimination
from strongroom.validation.statistics.weights import effective_number, levelled

Y, SCORE, WEIGHT = [0, 0, 1, 0, 1, 1], [1.0, 2.0, 2.0, 3.0, 4.0, 2.5], [2.0, 1.0, 3.0, 4.0, 1.0, 2.0]


def reason(found: object) -> str:
    assert isinstance(found, NotEvaluable)
    return found.reason


def test_the_number_that_weights_leave() -> None:
    assert effective_number([1.0, 2.0, 3.0]) == pytest.approx(36 / 14)
    assert effective_number([5.0]) == 1.0
    assert effective_number([]) == 0.0
    assert effective_number([1e200, 1e200]) == 2.0
    assert levelled([1.0, 2.0, 3.0]) == pytest.approx([6 / 14, 12 / 14, 18 / 14])
    assert levelled([7.0, 7.0]).tolist() == [1.0, 1.0]
    assert levelled([]).tolist() == []


def test_the_weighted_area_pair_by_pair() -> None:
    found = evaluable(discrimination.auc(Y, SCORE, WEIGHT))
    rows = list(zip(Y, SCORE, WEIGHT, strict=True))
    bad, good = ([(s, w) for y, s, w in rows if y == kind] for kind in (1, 0))
    all_bad, all_good = sum(w for _, w in bad), sum(w for _, w in good)
    before = [sum(w * (0.5 * (o == s) + (o < s)) for o, w in good) / all_good for s, _ in bad]
    after = [sum(w * (0.5 * (o == s) + (o > s)) for o, w in bad) / all_bad for s, _ in good]
    area = sum(v * w for v, (_, w) in zip(before, bad, strict=True)) / all_bad
    variance = sum(
        1.5 * sum((w * (v - area)) ** 2 for v, (_, w) in zip(parts, side, strict=True)) / whole**2
        for parts, side, whole in ((before, bad, all_bad), (after, good, all_good))
    )
    assert (found.auc, found.defaults, found.others) == (pytest.approx(area), 3, 3)
    assert found.variance == pytest.approx(variance)
    # equal weights are none
    plain, same = discrimination.auc(Y, SCORE), evaluable(discrimination.auc(Y, SCORE, [0.0004] * 6))
    assert same.auc == pytest.approx(evaluable(plain).auc)
    assert same.variance == pytest.approx(evaluable(plain).variance)


def test_what_a_weighted_area_needs() -> None:
    for y in ([0, 0, 1], [0, 1, 1]):
        assert evaluable(discrimination.auc(y, [1.0, 2.0, 3.0], [1.0, 2.0, 3.0])).variance is None
    two = evaluable(discrimination.auc([0, 1, 0, 1], [1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 1.0, 1.0]))
    assert two.variance == pytest.approx(evaluable(discrimination.auc([0, 1, 0, 1], [1.0, 2.0, 3.0, 4.0])).variance)
    only = "the sample holds only one outcome class"
    for y in ([0, 0], [1, 1]):
        assert reason(discrimination.auc(y, [1.0, 2.0], [1.0, 1.0])) == only
    assert reason(discrimination.auc([], [], [])) == "the sample is empty"
    assert reason(discrimination.auc([0, 1], [1.0, math.inf], [1.0, 1.0])) == "a score is not finite"
    for wrong in ([1.0], [1.0, 0.0], [1.0, -1.0], [1.0, math.nan], [1.0, math.inf], [[1.0, 1.0]]):
        with pytest.raises(ValueError, match="each row has a weight above 0"):
            discrimination.auc([0, 1], [1.0, 2.0], np.array(wrong))
