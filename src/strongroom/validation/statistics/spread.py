"""Whether numbers differ at all: what rounding leaves of equal ones is no variance to divide by."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

ROUNDING = 1e-12
"""Numbers whose spread is this far below the size of what they came from are equal: the rest is float64's rounding."""


def alike(values: npt.ArrayLike, *origins: npt.ArrayLike) -> bool:
    """Whether all values are equal, up to the rounding of what they were reckoned from.

    Args:
        values: finite, at least one.
        origins: what they are differences or shares of, if their own size does not tell the rounding.
    """
    data = np.asarray(values, dtype=np.float64)
    size = max(float(np.abs(np.asarray(one, dtype=np.float64)).max()) for one in (data, *origins))
    return bool(np.ptp(data) <= ROUNDING * size)
