"""Do the moments of a row come in the order in which they must? Inputs, observation, outcome."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Leaks:
    """Rows that knew what was not yet known.

    Attributes:
        outcomes: whose outcome came by the time of observation.
        inputs: whose newest input is newer than the observation.
        either: with one or both; a row counts once.
        compared: rows with a time of observation and another one.
    """

    outcomes: int
    inputs: int
    either: int
    compared: int


def leaks(observed: npt.ArrayLike, outcome: npt.ArrayLike, inputs: npt.ArrayLike) -> Leaks:
    """Count rows whose moments stand in the wrong order; a moment that is missing (NaN) is compared with nothing.

    Args:
        observed: when the row was observed, in a unit that rises with time. Shape [rows].
        outcome: when its outcome came, in the same unit: it must be later.
        inputs: when its newest input became known, in the same unit: it must not be later.

    Source:
        Kaufman, Rosset, Perlich and Stitelman 2012: what is known after the moment of prediction is no input.
    """
    at, came, known = (np.asarray(moments, dtype=np.float64) for moments in (observed, outcome, inputs))
    if at.ndim != 1 or not at.shape == came.shape == known.shape:
        raise ValueError("moments are vectors of one length")
    there = np.isfinite(at)
    # a comparison with NaN is false
    early, late = there & (came <= at), there & (known > at)
    compared = there & (np.isfinite(came) | np.isfinite(known))
    return Leaks(int(early.sum()), int(late.sum()), int((early | late).sum()), int(compared.sum()))
