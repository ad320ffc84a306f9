"""Does a forecast make sense? What moves it, when it is weak, and whether a feature knows what nobody could know.

Neighbouring forecasts share targets and errors, so segments are judged by their gain on naive forecasts of the same
targets, not by a test that takes rows for independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from strongroom.registry.contract import ModelContract
from strongroom.registry.series import MEDIAN
from strongroom.validation.batteries import conceptual
from strongroom.validation.batteries.conceptual import Found
from strongroom.validation.batteries.forecast import Backtest, Known, series_of
from strongroom.validation.batteries.scored import Scored
from strongroom.validation.catalogue import answer
from strongroom.validation.results import Column, NotEvaluable, Table, TestResult, decimal
from strongroom.validation.statistics.calibration import holm
from strongroom.validation.statistics.soundness import Predict

Floats = npt.NDArray[np.float64]
LEAST = 6
"""Forecasts that a segment must have."""
LEAST_PAIRS = 20
"""Origins at one horizon from which a feature's order is read."""
NOTHING = 1e-6
"""Of a feature's size: what is left beyond the known values when it is one of them, as float32."""
STRETCHES = 3
"""Parts of the back-test, in order of time."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Forecasts that have a horizon, a place in the season, or a stretch of time in common.

    Attributes:
        words: which.
        n: how many.
        mine, naive: mean absolute error of the median, and of the better of two naive forecasts.
        p_value: of the sign test that the model is worse, over targets, after Holm's adjustment for all segments.
    """

    words: str
    n: int
    mine: float
    naive: float
    p_value: float

    @property
    def skill(self) -> float:
        """1 less the one error over the other."""
        return 1.0 - self.mine / self.naive


def soundness_tests(found: Backtest, known: Known, sample: Scored, contract: ModelContract, predict: Predict) -> Found:
    """Sensitivity to inputs, stress, weak periods, and features that know the future.

    Args:
        found: the back-test.
        known: the series.
        sample: the validation sample.
        contract: of the model.
        predict: answers of rows, float32, shape [rows].
    """
    series = series_of(contract)
    names = [feature.name for feature in contract.input.features]
    rows = sample.rows[sample.rows[:, names.index(series.quantile)] == MEDIAN]
    made = conceptual.effect_tests(
        rows, contract, predict, sample.basis, unit=contract.output.unit, left_out=(series.horizon, series.quantile)
    )
    weak, table = _weak(found, contract)
    tests = [*made.tests, weak, foresight_test(found, known, sample, contract)]
    return Found(tests, (*made.tables, *table), made.charts)


def segments(found: Backtest, season: int) -> tuple[Segment, ...] | NotEvaluable:
    """Segments by horizon, place in the season and stretch of time, the lowest gain first.

    Args:
        found: the back-test; forecasts without a naive one are left out.
        season: periods after which the series is expected to look alike.

    Source:
        Arbuthnott 1710 and Conover 1999 for the sign test; Holm 1979; the segments are house policy.
    """
    known = np.isfinite(found.plain) & np.isfinite(found.seasonal) & np.isfinite(found.median)
    target = found.origin + found.horizon
    parts: list[tuple[str, npt.NDArray[np.bool_]]] = [
        (f"horizon {h}", found.horizon == h) for h in sorted(set(found.horizon.tolist()))
    ]
    if season > 1:
        parts += [
            (f"period {place + 1} of the season of {season}", target % season == place) for place in range(season)
        ]
    edges = np.quantile(found.origin, np.linspace(0.0, 1.0, STRETCHES + 1))
    for i in range(STRETCHES):
        inside = (found.origin >= edges[i]) & ((found.origin < edges[i + 1]) | (i == STRETCHES - 1))
        parts.append((f"stretch {i + 1} of {STRETCHES}, origins from {int(np.ceil(edges[i]))} on", inside))
    raw: list[tuple[str, int, float, float, float]] = []
    for words, member in parts:
        at = member & known
        if int(at.sum()) < LEAST:
            continue
        mine = np.abs(found.actual - found.median)[at]
        both = [np.abs(found.actual - guess)[at] for guess in (found.plain, found.seasonal)]
        best = min(both, key=lambda error: float(error.mean()))
        if best.mean() > 0.0:
            raw.append((words, int(at.sum()), float(mine.mean()), float(best.mean()), _sign(mine - best, target[at])))
    if not raw:
        return NotEvaluable(f"no segment has {LEAST} forecasts beside naive ones")
    adjusted = holm([one[4] for one in raw])
    made = [Segment(w, n, m, b, p) for (w, n, m, b, _), p in zip(raw, adjusted, strict=True)]
    return tuple(sorted(made, key=lambda segment: (segment.skill, segment.words)))


def foresight_test(found: Backtest, known: Known, sample: Scored, contract: ModelContract) -> TestResult:
    """Does a feature alone order what came, beyond what the values known at the origin say?

    Source:
        Yule 1907 for the partial correlation; Spearman 1904 for its ranks.
    """
    rule, series = "data.foresight", series_of(contract)
    names = [feature.name for feature in contract.input.features]
    place = found.origin - known.first - series.season
    before = np.where(place >= 0, known.values[np.clip(place, 0, known.values.size - 1)], np.nan)
    rows = _rows_of(sample, contract)
    strongest: tuple[float, str, int] | None = None
    for h in sorted(set(found.horizon.tolist())):
        told = np.column_stack([found.plain, found.seasonal, before])
        at = (found.horizon == h) & np.isfinite(told).all(axis=1)
        if int(at.sum()) < LEAST_PAIRS:
            continue
        for column, name in enumerate(names):
            if name in (series.horizon, series.quantile):
                continue
            strength = _beyond(rows[at, column], found.actual[at], told[at])
            if strength is not None and (strongest is None or strength > strongest[0]):
                strongest = (strength, name, int(h))
    if strongest is None:
        reason = NotEvaluable(f"no feature says anything of its own beside {LEAST_PAIRS} forecasts at one horizon")
        return answer(rule, reason, "", found.basis)
    figure, name, h = strongest
    sentence = (
        f"Beyond the values known at the origin, `{name}` alone orders what came at horizon {h} best, at {figure:.2f} "
        "of a perfect order; near 1 it would have been made after the fact."
    )
    return answer(rule, figure, sentence, found.basis, details=[("feature", name), ("horizon", h)])


def _weak(found: Backtest, contract: ModelContract) -> tuple[TestResult, tuple[Table, ...]]:
    rule = "sensitivity.weak-periods"
    if not np.isfinite(found.quantiles).all():
        return answer(rule, NotEvaluable("a forecast is not finite"), "", found.basis), ()
    parts = segments(found, series_of(contract).season)
    if isinstance(parts, NotEvaluable):
        return answer(rule, parts, "", found.basis), ()
    worst, unit = parts[0], contract.output.unit
    sentence = (
        f"Of {len(parts)} segments, the gain on the better naive forecast is lowest for {worst.words}: "
        f"{worst.skill:+.1%} over {worst.n} forecasts."
    )
    table = Table(
        section="sensitivity", title="Weakest periods",
        caption="Gain: 1 less the mean absolute error of the median over that of the better of two naive forecasts. "
        "The season is counted from period 0. p-values of the sign test that the model is worse, over targets, after "
        "Holm's adjustment.",
        columns=(Column(name="segment", unit="text"), Column(name="forecasts", unit="count"),
                 Column(name="MAE", unit=unit), Column(name="naive MAE", unit=unit),
                 Column(name="gain", unit="share"), Column(name="p-value", unit="p-value")),
        rows=tuple((s.words, str(s.n), decimal(s.mine), decimal(s.naive), decimal(s.skill), decimal(s.p_value))
                   for s in parts[: conceptual.LISTED]),
    )  # fmt: skip
    details: Sequence[tuple[str, float | int | str]] = [("segment", worst.words), ("forecasts", worst.n)]
    return answer(rule, worst.skill, sentence, found.basis, p_value=worst.p_value, details=details), (table,)


def _sign(difference: Floats, target: npt.NDArray[np.int64]) -> float:
    """One-sided: in how many targets, each counted once, is the model's error the larger one?"""
    places = np.unique(target, return_inverse=True)[1]
    mean = np.bincount(places, weights=difference) / np.bincount(places)
    worse, told = int((mean > 0.0).sum()), int((mean != 0.0).sum())
    return float(stats.binomtest(worse, told, 0.5, alternative="greater").pvalue) if told else 1.0


def _beyond(values: Floats, actual: Floats, told: Floats) -> float | None:
    """Rank correlation of a feature and the outcome, both less what a line through the known values gives."""
    there = np.isfinite(values)
    if int(there.sum()) < LEAST_PAIRS:
        return None
    known = np.column_stack([np.ones(int(there.sum())), told[there]])
    left = []
    for column in (values[there], actual[there]):
        rest = column - known @ np.linalg.lstsq(known, column, rcond=None)[0]
        if float(rest.std()) <= NOTHING * max(float(np.abs(column).max()), 1e-300):
            return None
        left.append(rest)
    return abs(float(stats.spearmanr(left[0], left[1]).statistic))


def _rows_of(sample: Scored, contract: ModelContract) -> Floats:
    """Features of the median's rows, in the order of the back-test."""
    series, names = series_of(contract), [feature.name for feature in contract.input.features]
    median = sample.rows[:, names.index(series.quantile)] == MEDIAN
    rows, origin = sample.rows[median].astype(np.float64), sample.columns["origin"][median]
    ordered: Floats = rows[np.lexsort((rows[:, names.index(series.horizon)], origin))]
    return ordered
