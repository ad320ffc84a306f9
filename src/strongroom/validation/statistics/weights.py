"""Weighted rows: how many equal rows say as much, and weights that add up to that number.

A row of weight 3 counts in a share as three rows would, and says no more than one row does: figures are those of the
repeated rows, uncertainty is that of the rows that are there.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def effective_number(weight: npt.ArrayLike) -> float:
    """How many rows of equal weight have a mean as sure as that of these; 0 without rows.

    Args:
        weight: above 0, shape [rows].

    Source:
        Kish 1965, section 8.2 (the number of rows over the design effect of unequal weights).
    """
    w = np.asarray(weight, dtype=np.float64)
    if not w.size:
        return 0.0
    share = w / w.max()
    return float(share.sum()) ** 2 / float((share**2).sum())


def levelled(weight: npt.ArrayLike) -> Floats:
    """The same weights on the scale on which they add up to the effective number of rows; equal ones become 1."""
    w = np.asarray(weight, dtype=np.float64)
    if not w.size:
        return w
    share = w / w.max()
    scaled: Floats = share * (share.sum() / (share**2).sum())
    return scaled
