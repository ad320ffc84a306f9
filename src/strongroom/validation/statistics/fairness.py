"""Do groups fare alike? Ratios with their uncertainty, error rates, and disparity within strata."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from strongroom.validation.results import NotEvaluable

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class AdverseImpact:
    """Favourable rate of a group over that of the reference group.

    Attributes:
        ratio: the adverse impact ratio.
        difference: of the two rates.
        z, z_p: pooled two-proportion test, two-sided; None when no one or everyone was favoured.
        fisher_p: exact two-sided test.
        interval: of the ratio on the log scale, or why there is none.
    """

    ratio: float
    difference: float
    z: float | None
    z_p: float | None
    fisher_p: float
    interval: tuple[float, float] | NotEvaluable


@dataclass(frozen=True, slots=True)
class EqualisedOdds:
    """True and false positive rates by group, and the larger of the two gaps."""

    true_rates: Mapping[str, float]
    false_rates: Mapping[str, float]
    true_gap: float
    false_gap: float

    @property
    def gap(self) -> float:
        """The larger gap."""
        return max(self.true_gap, self.false_gap)


def adverse_impact(
    favoured: int, n: int, reference_favoured: int, reference_n: int, level: float = 0.95
) -> AdverseImpact | NotEvaluable:
    """Adverse impact ratio with tests and interval.

    Source:
        29 CFR 1607.4(D) for the four-fifths rule (made for employment); Katz et al. 1978 for the interval.
    """
    if n == 0 or reference_n == 0:
        return NotEvaluable("a group is empty")
    if reference_favoured == 0:
        return NotEvaluable("no one in the reference group was favoured")
    rate, reference = favoured / n, reference_favoured / reference_n
    pooled = (favoured + reference_favoured) / (n + reference_n)
    variance = pooled * (1.0 - pooled) * (1.0 / n + 1.0 / reference_n)
    z = z_p = None
    if variance > 0.0:
        z = (rate - reference) / math.sqrt(variance)
        z_p = float(2.0 * stats.norm.sf(abs(z)))
    table = np.array([[favoured, n - favoured], [reference_favoured, reference_n - reference_favoured]])
    fisher = float(stats.fisher_exact(table)[1])
    interval: tuple[float, float] | NotEvaluable = NotEvaluable(
        "no one in the group was favoured: the ratio has no log"
    )
    if favoured > 0:
        spread = math.sqrt(1.0 / favoured - 1.0 / n + 1.0 / reference_favoured - 1.0 / reference_n)
        half = float(stats.norm.ppf(0.5 + level / 2.0)) * spread
        interval = (rate / reference * math.exp(-half), rate / reference * math.exp(half))
    return AdverseImpact(rate / reference, rate - reference, z, z_p, fisher, interval)


def equalised_odds(
    outcome: npt.ArrayLike, flagged: npt.ArrayLike, group: Sequence[str]
) -> EqualisedOdds | NotEvaluable:
    """How often each group's defaulters, and its others, are flagged.

    Source:
        Hardt, Price, Srebro 2016.
    """
    y, hit, labels = np.asarray(outcome, np.bool_), np.asarray(flagged, np.bool_), np.asarray(group, np.str_)
    true_rates, false_rates = {}, {}
    for name in np.unique(labels):
        member = labels == name
        bad, good = member & y, member & ~y
        if not bad.any() or not good.any():
            return NotEvaluable("a group holds only one outcome class")
        true_rates[str(name)] = float(hit[bad].mean())
        false_rates[str(name)] = float(hit[good].mean())
    if len(true_rates) < 2:
        return NotEvaluable("fewer than two groups")
    gaps = [max(rates.values()) - min(rates.values()) for rates in (true_rates, false_rates)]
    return EqualisedOdds(true_rates, false_rates, gaps[0], gaps[1])


def conditional_disparity(
    strata: Sequence[tuple[int, int, int, int]],
) -> tuple[float, tuple[float | None, ...]] | NotEvaluable:
    """Conditional demographic disparity: share of the group among the refused less its share among the accepted.

    Args:
        strata: for each, refused and all of the protected group, refused and all of the reference group.

    Returns:
        The mean over strata, weighted by their rows, and each stratum's disparity, None where it refuses no one or
        accepts no one: it says nothing of who is refused, and is left out of the mean.

    Source:
        Wachter, Mittelstadt, Russell 2021.
    """
    if not strata:
        return NotEvaluable("no strata")
    parts: list[float | None] = []
    told = []
    for refused_p, n_p, refused_r, n_r in strata:
        refused, accepted = refused_p + refused_r, n_p + n_r - refused_p - refused_r
        part = refused_p / refused - (n_p - refused_p) / accepted if refused and accepted else None
        parts.append(part)
        if part is not None:
            told.append((n_p + n_r, part))
    if not told:
        return NotEvaluable("every stratum refuses no one or accepts no one")
    return math.fsum(rows * part for rows, part in told) / sum(rows for rows, _ in told), tuple(parts)
