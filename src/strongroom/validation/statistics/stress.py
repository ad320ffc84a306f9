"""Small disturbances of the inputs: how many decisions turn, and how far the score moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from strongroom.errors import InvalidInputError
from strongroom.registry.contract import InputContract, bound
from strongroom.validation.results import NotEvaluable

Numbers = npt.NDArray[np.float64]
Rows = npt.NDArray[np.float32]

IQR_OF_NORMAL = 1.3489795003921634
"""Interquartile range of a normal distribution over its standard deviation."""


@dataclass(frozen=True, slots=True)
class Flips:
    """Decisions before and after a disturbance.

    Attributes:
        flipped: rows whose decision turned.
        n: rows.
        max_abs_delta: largest move of a score.
    """

    flipped: int
    n: int
    max_abs_delta: float

    @property
    def rate(self) -> float:
        return self.flipped / self.n


def flips(scores: Numbers, disturbed: Numbers, cuts: Sequence[float]) -> Flips | NotEvaluable:
    """Rows that stand on another side of some cut-off than before; a score equal to a cut-off is not below it.

    Args:
        scores, disturbed: shape [rows].
        cuts: ascending, in score units.

    Raises:
        InvalidInputError: the two have different lengths.
    """
    if scores.shape != disturbed.shape:
        raise InvalidInputError("scores before and after have different lengths", rule="length")
    if not scores.size:
        return NotEvaluable("there are no rows")
    if not cuts:
        return NotEvaluable("the contract has one decision only, so none can turn")
    if not (np.isfinite(scores).all() and np.isfinite(disturbed).all()):
        return NotEvaluable("a score is not finite")
    edges = np.asarray(cuts, np.float64)
    turned = np.searchsorted(edges, scores, side="right") != np.searchsorted(edges, disturbed, side="right")
    return Flips(int(turned.sum()), int(scores.size), float(np.abs(scores - disturbed).max()))


def near(scores: Numbers, cuts: Sequence[float], distance: float) -> npt.NDArray[np.bool_]:
    """Rows whose score lies within `distance` of a cut-off, shape [rows]."""
    found = np.zeros(len(scores), np.bool_)
    for cut in cuts:
        found |= np.abs(scores - cut) <= distance
    return found


def spreads(rows: Rows) -> Numbers:
    """Each feature's spread: its interquartile range as that of a normal distribution, else its standard deviation.

    Returns:
        Shape [features], in each feature's unit; 0 for a constant feature or one without values.
    """
    found = []
    for column in rows.T.astype(np.float64):
        seen = column[np.isfinite(column)]
        if not seen.size:
            found.append(0.0)
            continue
        low, high = np.quantile(seen, (0.25, 0.75))
        found.append(float((high - low) / IQR_OF_NORMAL or seen.std()))
    return np.array(found)


def disturb(rows: Rows, contract: InputContract, spread: Numbers, share: float, random: np.random.Generator) -> Rows:
    """Rows with normal noise on every number, kept within the contract; categories and missing values stay.

    Args:
        rows: shape [rows, features].
        contract: of the input.
        spread: of each feature, in its unit.
        share: standard deviation of the noise over the spread.
        random: where the noise comes from.
    """
    made = rows.astype(np.float64)
    for place, feature in enumerate(contract.features):
        noise = random.standard_normal(len(rows)) * spread[place] * share
        if feature.type == "category":
            continue
        values = made[:, place] + noise
        if feature.type == "integer":
            values = np.rint(values)
        made[:, place] = within(values, bound(feature.minimum), bound(feature.maximum))
    return made.astype(np.float32)


def take_away(rows: Rows, contract: InputContract, share: float, random: np.random.Generator) -> Rows | NotEvaluable:
    """Rows with a share of the values missing, where the contract lets them be."""
    nullable = np.array([feature.missing == "nan" for feature in contract.features])
    if not nullable.any():
        return NotEvaluable("the contract lets no feature be missing")
    gone = (random.random(rows.shape) < share) & nullable
    return np.where(gone, np.float32(np.nan), rows).astype(np.float32)


def within(values: Numbers, low: float | None, high: float | None) -> Numbers:
    """Values moved to the nearest bound where they lie outside, so that float32 does not round them past it."""
    # the bounds as the nearest float32 inside them; a float32 is held against a plain number as if that were a float32
    # too, so it is made a float first
    if low is not None:
        edge = np.float32(low)
        values = np.maximum(values, edge if float(edge) >= low else np.nextafter(edge, np.float32(np.inf)))
    if high is not None:
        edge = np.float32(high)
        values = np.minimum(values, edge if float(edge) <= high else np.nextafter(edge, np.float32(-np.inf)))
    return values
