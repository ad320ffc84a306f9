"""IFRS 9: default over the whole life by cohort, warning before default, and what scenarios do that a mean hides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from strongroom.validation.results import NotEvaluable
from strongroom.validation.statistics import calibration

Floats = npt.NDArray[np.float64]
VANISHED = NotEvaluable("the PD of the mean state is too small for float64: nothing can be held against it")


@dataclass(frozen=True, slots=True)
class Horizon:
    """Cumulative default up to the end of one period.

    Attributes:
        period: 1 for the first.
        at_risk, defaults: in this period.
        observed: product-limit estimate of the share that defaulted so far.
        predicted: the model's, over the same people and exits.
        p_value: of the defaults so far, by Jeffreys' rule at the predicted share among as many people as carry the
            same information; small when the model was too low. None without anybody at risk.
    """

    period: int
    at_risk: int
    defaults: int
    observed: float
    predicted: float
    p_value: float | None


@dataclass(frozen=True, slots=True)
class Staging:
    """Was a default seen coming?

    Attributes:
        hit_rate: share of the defaults that were in stage 2 before.
        jump_to_default: share of stage 1 that defaulted from there.
        precision: share of stage 2 that defaulted.
        false_alarm: share of those that did not default who were in stage 2.
    """

    hit_rate: float
    jump_to_default: float | NotEvaluable
    precision: float | NotEvaluable
    false_alarm: float | NotEvaluable


@dataclass(frozen=True, slots=True)
class Nonlinearity:
    """PDs by scenario, and what the mean of the scenarios would have given.

    Attributes:
        by_scenario: PD in each.
        weighted: mean of the PDs.
        at_mean: PD at the mean of the scenarios.
    """

    by_scenario: tuple[float, ...]
    weighted: float
    at_mean: float

    @property
    def ratio(self) -> float:
        """How much larger the weighted PD is than that of the mean scenario."""
        return self.weighted / self.at_mean


def cumulative(hazards: npt.ArrayLike) -> Floats:
    """Share defaulted up to the end of each period, from the probability of default in it given survival.

    Args:
        hazards: 0 to 1, shape [periods].
    """
    h = np.asarray(hazards, dtype=np.float64)
    if h.ndim != 1 or not ((h >= 0.0) & (h <= 1.0)).all():
        raise ValueError("a hazard lies between 0 and 1")
    return np.asarray(1.0 - np.cumprod(1.0 - h), dtype=np.float64)


def curve(period: npt.ArrayLike, outcome: npt.ArrayLike, hazard: npt.ArrayLike) -> tuple[Horizon, ...] | NotEvaluable:
    """Observed against predicted default of one cohort, with those who left before (repaid, sold) at risk till then.

    Args:
        period: of each row, 1 or more: one row for each person and period at risk in it; shape [rows].
        outcome: 1 for default in it, after which the person has no more rows.
        hazard: the model's probability of it.

    Returns:
        A horizon for each period from 1 on, up to the last with somebody at risk.

    Source:
        Kaplan and Meier 1958; Jeffreys' rule as in the ECB's instructions of 2019, on cumulative shares (house rule).
    """
    t, y = np.asarray(period), np.asarray(outcome)
    h = np.asarray(hazard, dtype=np.float64)
    if t.ndim != 1 or not t.shape == y.shape == h.shape:
        raise ValueError("period, outcome and hazard are vectors of one length")
    if not np.isin(y, (0, 1)).all() or not ((h >= 0.0) & (h <= 1.0)).all():
        raise ValueError("an outcome is 0 or 1, a hazard between 0 and 1")
    if not t.size:
        return NotEvaluable("the cohort is empty")
    if not ((t >= 1) & (t == np.rint(t))).all():
        raise ValueError("periods are whole numbers from 1 on")
    last = int(t.max())
    at = t.astype(np.int64) - 1
    n, d, expected = (np.bincount(at, weights=w, minlength=last) for w in (np.ones(t.size), y.astype(float), h))
    if (n == 0).any():
        return NotEvaluable("a period before the last has nobody at risk")
    alive, foreseen, spread = 1.0, 1.0, 0.0
    found = []
    for place in range(last):
        rate, told = d[place] / n[place], expected[place] / n[place]
        alive *= 1.0 - rate
        foreseen *= 1.0 - told
        spread += told / (n[place] * (1.0 - told)) if told < 1.0 else math.inf
        found.append(
            Horizon(place + 1, int(n[place]), int(d[place]), 1.0 - alive, 1.0 - foreseen,
                    _jeffreys(1.0 - alive, 1.0 - foreseen, spread))
        )  # fmt: skip
    return tuple(found)


def staging(
    defaults_from_two: int, defaults_from_one: int, others_in_two: int, others_in_one: int
) -> Staging | NotEvaluable:
    """Figures of the significant increase in credit risk, from four counts of people at the reporting date before.

    Source:
        IFRS 9 5.5.3; no authority gives a threshold.
    """
    counts = (defaults_from_two, defaults_from_one, others_in_two, others_in_one)
    if min(counts) < 0:
        raise ValueError("counts are 0 or more")
    defaults = defaults_from_two + defaults_from_one
    if not defaults:
        return NotEvaluable("nobody defaulted, so no warning could come true")
    return Staging(
        defaults_from_two / defaults,
        _share(defaults_from_one, others_in_one, "stage 1 is empty"),
        _share(defaults_from_two, others_in_two, "stage 2 is empty"),
        _share(others_in_two, others_in_one, "everybody defaulted"),
    )


def nonlinearity(
    pd: float, correlation: float, states: Sequence[float], weights: Sequence[float]
) -> Nonlinearity | NotEvaluable:
    """A through-the-cycle PD in each state of the economy, weighted, against that of the mean state.

    Args:
        pd: through the cycle, between 0 and 1.
        correlation: of the assets, from 0 to below 1.
        states: of the economy, standard normal; below 0 is bad.
        weights: of the states, 0 or more, with sum 1.

    Source:
        Vasicek 2002; IFRS 9 5.5.17(a) asks for the probability-weighted amount, B5.5.42 for more than one scenario.
    """
    z, w = np.asarray(states, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    if z.shape != w.shape or z.ndim != 1 or not np.isfinite(z).all() or (w < 0.0).any() or not 0.0 <= correlation < 1.0:
        raise ValueError("each state has a weight of 0 or more, and the correlation is below 1")
    if z.size < 2:
        return NotEvaluable("one scenario alone cannot differ from its mean")
    if abs(float(w.sum()) - 1.0) > 1e-9:
        raise ValueError("the weights of the scenarios sum to 1")
    if not 0.0 < pd < 1.0:
        return NotEvaluable("a PD of 0 or 1 does not move with the economy")
    by_state = _conditional(pd, correlation, z)
    mean = _conditional(pd, correlation, np.array([float(z @ w)])).item()
    if mean == 0.0:
        return VANISHED
    return Nonlinearity(tuple(float(x) for x in by_state), float(by_state @ w), mean)


def over_all_states(pd: float, correlation: float) -> Nonlinearity | NotEvaluable:
    """The same with every state of the economy, each by its chance: no scenario is chosen.

    Over a standard normal state the mean of the conditional PD is the PD through the cycle itself, so the ratio is that
    PD over the one of the middling state.

    Args:
        pd: through the cycle, between 0 and 1.
        correlation: of the assets, from 0 to below 1.

    Source:
        Vasicek 2002.
    """
    if not 0.0 <= correlation < 1.0:
        raise ValueError("the correlation lies from 0 to below 1")
    if not 0.0 < pd < 1.0:
        return NotEvaluable("a PD of 0 or 1 does not move with the economy")
    middling = _conditional(pd, correlation, np.zeros(1)).item()
    return Nonlinearity((), pd, middling) if middling > 0.0 else VANISHED


def _conditional(pd: float, correlation: float, states: Floats) -> Floats:
    moved = (float(stats.norm.ppf(pd)) - math.sqrt(correlation) * states) / math.sqrt(1.0 - correlation)
    found: Floats = stats.norm.cdf(moved)
    return found


def _jeffreys(observed: float, predicted: float, spread: float) -> float | None:
    if not 0.0 < predicted < 1.0:
        return None
    # Greenwood's sum at the predicted hazards says how many complete lives carry the same information
    people = predicted / ((1.0 - predicted) * spread)
    return float(stats.beta.cdf(predicted, observed * people + 0.5, (1.0 - observed) * people + 0.5))


def _share(part: int, rest: int, reason: str) -> float | NotEvaluable:
    return part / (part + rest) if part + rest else NotEvaluable(reason)


def judged(horizons: Sequence[Horizon]) -> tuple[Horizon, float] | NotEvaluable:
    """The horizon with the smallest p-value, and that value after Holm's adjustment for their number."""
    told = [(horizon, horizon.p_value) for horizon in horizons if horizon.p_value is not None]
    if not told:
        return NotEvaluable("no horizon has a predicted share between 0 and 1")
    adjusted = calibration.holm([p for _, p in told])
    place = min(range(len(told)), key=lambda i: (adjusted[i], i))
    return told[place][0], adjusted[place]
