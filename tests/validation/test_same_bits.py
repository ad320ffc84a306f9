"""What was made quicker gives the bits of the plain way: signed results may not move by the last digit."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from strongroom.validation.results import NotEvaluable
from strongroom.validation.statistics.bins import quantile_edges
from strongroom.validation.statistics.calibration import holm
from strongroom.validation.statistics.data_quality import repeated, told_apart
from strongroom.validation.statistics.discrimination import placements
from strongroom.validation.statistics.proxies import by_content
from strongroom.validation.statistics.soundness import weak_spots

LEVELS = (2, 7, 1 << 40)
"""Different values that there can be: from ties everywhere to none."""


@pytest.mark.parametrize("rows", [2, 3, 17, 5000])
@pytest.mark.parametrize("levels", LEVELS)
def test_placements_are_those_of_three_rankings(rows: int, levels: int) -> None:
    random = np.random.default_rng(rows)
    score = random.integers(0, levels, rows) / 3.0
    y = np.append([0, 1], random.integers(0, 2, rows - 2))
    found = placements(y, score)
    assert not isinstance(found, NotEvaluable)
    bad = y == 1
    ranks = stats.rankdata(score)
    v10 = (ranks[bad] - stats.rankdata(score[bad])) / (~bad).sum()
    v01 = 1.0 - (ranks[~bad] - stats.rankdata(score[~bad])) / bad.sum()
    assert (found[0].tobytes(), found[1].tobytes()) == (v10.tobytes(), v01.tobytes())


@pytest.mark.parametrize("rows", [0, 1, 2, 600])
@pytest.mark.parametrize("levels", LEVELS)
def test_the_order_by_content_is_that_of_a_whole_sort(rows: int, levels: int) -> None:
    random = np.random.default_rng(rows)
    keys = [random.integers(0, levels, rows).astype(np.float32) for _ in range(4)]
    keys[1][: rows // 2] = np.inf
    keys.append(random.integers(0, 3, rows))
    for width in range(1, len(keys) + 1):
        assert by_content(keys[:width]).tolist() == np.lexsort(keys[:width]).tolist()


@pytest.mark.parametrize("event", [True, False])
def test_weak_spots_are_those_of_one_mask_a_segment(event: bool) -> None:
    random = np.random.default_rng(3)
    rows = random.normal(0, 1, (4001, 10)).astype(np.float32)
    rows[:, 2] = np.rint(rows[:, 2])
    rows[random.random(4001) < 0.2, 5] = np.nan
    rows[:, 7] = 1.0
    expected = random.uniform(0.05, 0.4, 4001)
    outcome = (random.random(4001) < expected * 1.2).astype(np.int64) if event else random.normal(0, 1, 4001)
    names, least = [f"f{place}" for place in range(10)], 150
    found = weak_spots(rows, outcome, expected, names, least)
    assert not isinstance(found, NotEvaluable)

    residual = outcome - expected
    variance = expected * (1 - expected) if event else np.full(4001, residual.var(ddof=1))
    masks = []
    for column in rows.T.astype(np.float64):
        edges = quantile_edges(column, 4)
        cells = np.where(np.isnan(column), len(edges) + 1, np.searchsorted(edges, column, side="left"))
        masks.append([cells == cell for cell in range(len(edges) + 2)])

    def z(mask: np.ndarray) -> float:
        return float(abs(residual[mask].sum()) / np.sqrt(variance[mask].sum()))

    strength = [max((z(mask) for mask in feature if mask.sum() >= least), default=0.0) for feature in masks]
    strongest = sorted(range(10), key=lambda place: (-strength[place], place))[:8]
    every = [mask for feature in masks for mask in feature]
    every += [a & b for first, second in combinations(strongest, 2) for a in masks[first] for b in masks[second]]
    told = [mask for mask in every if least <= mask.sum() < 4001]
    adjusted = holm([float(2.0 * stats.norm.sf(z(mask))) for mask in told])
    plain = sorted(
        (q, int(m.sum()), float(outcome[m].mean()), float(expected[m].mean()))
        for q, m in zip(adjusted, told, strict=True)
    )  # fmt: skip
    assert sorted((spot.p_value, spot.n, spot.observed, spot.expected) for spot in found) == plain


def test_repeated_rows_are_those_whose_bytes_repeat() -> None:
    random = np.random.default_rng(1)
    rows = random.integers(0, 3, (400, 3)).astype(np.float32)
    rows[::7, 0] = np.nan
    rows[::5, 1] = -0.0
    outcome = random.integers(0, 2, 400)
    lines = {(row + np.float32(0.0)).tobytes() + bytes([y]) for row, y in zip(rows, outcome, strict=True)}
    assert repeated(rows, outcome) == 1.0 - len(lines) / 400
    assert repeated(rows[:0], outcome[:0]) == 0.0


def test_samples_are_told_apart_by_the_distance_that_scipy_gives() -> None:
    random = np.random.default_rng(2)
    old, new = random.normal(0, 1, (300, 2)).astype(np.float32), random.normal(0.3, 1, (500, 2)).astype(np.float32)
    new[::4, 1] = np.nan
    found = told_apart(old, new, ["a", "b"])
    assert not isinstance(found, NotEvaluable)
    for one in found:
        place = "ab".index(one.name)
        values = new[:, place][np.isfinite(new[:, place])]
        assert one.figure == pytest.approx(stats.ks_2samp(old[:, place], values).statistic, abs=1e-12)
