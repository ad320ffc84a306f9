"""How far apart would chance put the scores of two classes? The Kolmogorov-Smirnov test of one sample's distance."""

from __future__ import annotations

from scipy import stats

from strongroom.validation.results import NotEvaluable


def critical_distance(defaults: int, others: int, level: float) -> float | NotEvaluable:
    """The distance that classes of one distribution stay below with probability `level`.

    Args:
        defaults, others: rows per class.
        level: such as 0.95.

    Source:
        Smirnov 1948; Simard and L'Ecuyer 2011 for the distribution at the effective number of rows, d o / (d + o).
    """
    effective = _effective(defaults, others)
    return effective if isinstance(effective, NotEvaluable) else float(stats.kstwo.isf(1.0 - level, effective))


def distance_p_value(distance: float, defaults: int, others: int) -> float | NotEvaluable:
    """Chance of so large a distance, or a larger one, if the score told nothing; ties make it larger than it is."""
    effective = _effective(defaults, others)
    return effective if isinstance(effective, NotEvaluable) else float(stats.kstwo.sf(distance, effective))


def _effective(defaults: int, others: int) -> int | NotEvaluable:
    if defaults < 1 or others < 1:
        return NotEvaluable("the sample holds only one outcome class")
    return max(1, round(defaults * others / (defaults + others)))
