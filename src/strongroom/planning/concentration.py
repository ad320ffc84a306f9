"""How much of the portfolio hangs on few names or segments.

The Herfindahl-Hirschman index is the sum of squared shares: 1/n for n equal ones, 1 for a single one. Its inverse is
the number of equal exposures that would be as concentrated.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from strongroom.planning.classes import Floats


class Concentration(NamedTuple):
    """Attributes:
    groups: with any exposure.
    by_exposure: HHI over amounts.
    by_number: HHI over counts.
    effective: 1 / `by_exposure`.
    """

    groups: int
    by_exposure: float
    by_number: float
    effective: float


def concentration(groups: NDArray[np.int64], amounts: Floats) -> Concentration | None:
    """HHI by exposure and by number; None where there is nothing to divide.

    Args:
        groups: shape [exposures], code of the group of each, from 0.
        amounts: shape [exposures].
    """
    sums = np.bincount(groups, weights=amounts)
    counts = np.bincount(groups)
    total = float(sums.sum())
    if total <= 0.0:
        return None
    by_exposure = float(np.square(sums / total).sum())
    by_number = float(np.square(counts / counts.sum()).sum())
    return Concentration(int(np.count_nonzero(counts)), by_exposure, by_number, 1.0 / by_exposure)


def largest(groups: NDArray[np.int64], amounts: Floats, n: int) -> list[tuple[int, float, float]]:
    """Code, amount and share of the n largest groups, the largest first; ties by code.

    Args:
        groups: as above.
        amounts: as above.
        n: how many.
    """
    sums = np.bincount(groups, weights=amounts)
    total = float(sums.sum())
    order = np.lexsort((np.arange(len(sums)), -sums))[:n]
    return [(int(code), float(sums[code]), float(sums[code]) / total) for code in order if sums[code] > 0.0]
