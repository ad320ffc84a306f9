"""Does the artifact that will be served answer as the source model did?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from strongroom.validation.results import NotEvaluable


@dataclass(frozen=True, slots=True)
class Parity:
    """Distances between two sets of predictions on the same rows.

    Attributes:
        largest: maximum absolute difference.
        beyond: share of rows that differ by more than the tolerance.
        flips: rows on two sides of some cut-off.
        near: rows within the tolerance of a cut-off, where a flip would be no error of conversion.
        n: rows.
    """

    largest: float
    beyond: float
    flips: int
    near: int
    n: int


def parity(
    source: npt.ArrayLike, artifact: npt.ArrayLike, tolerance: float, cut_offs: Sequence[float]
) -> Parity | NotEvaluable:
    """Compare the source model's predictions with the artifact's.

    Args:
        source: predictions of the source model, float64, shape [rows].
        artifact: predictions of the converted artifact on the same rows.
        tolerance: largest difference taken as rounding.
        cut_offs: scores at which the decision changes; a score equal to one lies above it.
    """
    a, b = np.asarray(source, dtype=np.float64), np.asarray(artifact, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1:
        return NotEvaluable(f"the source model gave {a.size} predictions for {b.size} rows")
    if a.size == 0:
        return NotEvaluable("the sample is empty")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return NotEvaluable("a prediction is not finite")
    edges = np.sort(np.asarray(cut_offs, dtype=np.float64))
    gap = np.abs(a - b)
    flips = np.searchsorted(edges, a, side="right") != np.searchsorted(edges, b, side="right")
    near = np.zeros(a.size, dtype=np.bool_)
    for edge in edges:
        near |= np.abs(a - edge) <= tolerance
    return Parity(float(gap.max()), float((gap > tolerance).mean()), int(flips.sum()), int(near.sum()), a.size)
