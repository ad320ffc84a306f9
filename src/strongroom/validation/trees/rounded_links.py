"""From a margin in float64 to a score in float32 that is the right one: the exact value, rounded once.

The exponential function of numpy, or of the C library, may differ in its last bits from release to release, from one
instruction set to the next, and between the first rows of an array and the last. A float32 has 29 bits less, so these
bits decide only where a value lies almost in the middle between two float32. Such values, one in millions, are
computed again with 50 digits. So the score is a matter of mathematics and hangs on no library.
"""

from __future__ import annotations

import math
from decimal import Context, Decimal
from struct import Struct
from typing import Final

import numpy as np
import numpy.typing as npt

from strongroom.validation.trees.graph_tails import Link

Margins = npt.NDArray[np.float64]
Scores = npt.NDArray[np.float32]

DOUBT: Final = 2.0**-46
"""Of a value, relative: how far it may be wrong. 64 units in the last place of float64; libraries promise four."""
_LOW: Final = 1.0 - DOUBT
_HIGH: Final = 1.0 + DOUBT
_LEAST: Final = -200.0
"""Below this margin both links are 0 as float32, whose least number is exp(-103)."""
_DIGITS: Final = Context(prec=50)
_PAIR: Final = Struct("=ff")


def scores(margins: Margins, link: Link) -> Scores:
    """Scores of margins, shape [rows].

    Args:
        margins: finite.
        link: `logistic`, `identity` or `exponential`; what is too large for a float32 comes out infinite.
    """
    with np.errstate(over="ignore"):
        if link == "identity":
            return margins.astype(np.float32)
        kept = np.maximum(margins, _LEAST)
        wide = 1.0 / (1.0 + np.exp(-kept)) if link == "logistic" else np.exp(kept)
        low, high = (wide * _LOW).astype(np.float32), (wide * _HIGH).astype(np.float32)
    if low.tobytes() != high.tobytes():
        for place in np.flatnonzero(low != high).tolist():
            low[place] = exact(float(kept[place]), link)
    return low


def score(margin: float, link: Link) -> float:
    """As `scores`, of one margin: arrays would take as long as the forest does."""
    if link != "logistic":
        return float(scores(np.array([margin]), link)[0])
    wide = 1.0 / (1.0 + math.exp(-max(margin, _LEAST)))
    # a detour that rounds to float32 and back
    low, high = _PAIR.unpack(_PAIR.pack(wide * _LOW, wide * _HIGH))
    return low if low == high else float(exact(max(margin, _LEAST), link))


def exact(margin: float, link: Link) -> np.float32:
    """The score of one margin from 50 digits."""
    power = _DIGITS.exp(Decimal(-margin if link == "logistic" else margin))
    value = _DIGITS.divide(Decimal(1), _DIGITS.add(Decimal(1), power)) if link == "logistic" else power
    return _nearest(value)


def _nearest(value: Decimal) -> np.float32:
    """The float32 next to a value. Rounded to float64 on the way, it could come to lie in the middle of two."""
    with np.errstate(over="ignore"):
        near = np.float32(float(value))
    around = (np.nextafter(near, np.float32(-np.inf)), near, np.nextafter(near, np.float32(np.inf)))
    finite = [one for one in around if np.isfinite(one)]
    return min(finite, key=lambda one: abs(Decimal(float(one)) - value)) if np.isfinite(near) else near
