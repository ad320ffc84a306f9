"""Stages of IFRS 9: whether the credit risk has increased significantly since the beginning, and what is in default.

Source: IFRS 9 5.5.3, 5.5.5, 5.5.9 (change in the risk of a default), 5.5.10 (low credit risk), 5.5.11 (more than 30
days past due, rebuttable), B5.5.37 (90 days, rebuttable). The standard sets no cut-off for the change: it is the
bank's, and stands in the scenario document.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from strongroom.errors import InvalidInputError
from strongroom.planning.classes import Flags, Floats

ROUNDING: Final = 1e-12
"""What lies this close to a cut-off has reached it: 1.5% is half a point above 1%, though not in float64."""


class Staging(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Cut-offs.

    Attributes:
        relative: the PD is at least so many times that of the beginning, and
        absolute: it is at least so much higher (a fraction).
        backstop_days: more days past due than this are stage 2 whatever the PD.
        default_days: more days past due than this are stage 3.
        low_risk_pd: at or below this PD the change is not looked at; 0 for no such relief.
    """

    relative: float = 2.0
    absolute: float = 0.005
    backstop_days: int = 30
    default_days: int = 90
    low_risk_pd: float = 0.0

    def __post_init__(self) -> None:
        if not (self.relative >= 1.0 and 0.0 <= self.absolute < 1.0 and 0.0 <= self.low_risk_pd < 1.0):
            raise InvalidInputError(
                "staging needs relative of at least 1, absolute and low_risk_pd between 0 and 1", field="staging",
                rule="range",
            )  # fmt: skip
        if not 0 <= self.backstop_days < self.default_days:
            raise InvalidInputError("backstop_days comes before default_days", field="staging", rule="range")


def stages(
    cut: Staging, pd: Floats, origination_pd: Floats, days_past_due: Floats, defaulted: Flags
) -> NDArray[np.int8]:
    """1, 2 or 3 for each exposure.

    Args:
        cut: the bank's cut-offs.
        pd: 12-month PD today, NaN where there is none: then the days decide alone.
        origination_pd: the same at first recognition, NaN where not known: then the change is not looked at.
        days_past_due: days.
        defaulted: known to be in default.
    """
    with np.errstate(invalid="ignore"):
        worse = (
            (pd >= cut.relative * origination_pd - ROUNDING)
            & (pd - origination_pd >= cut.absolute - ROUNDING)
            & (pd > cut.low_risk_pd)
        )
    found = np.where(worse | (days_past_due > cut.backstop_days), 2, 1)
    return np.where(defaulted | (days_past_due > cut.default_days), 3, found).astype(np.int8)
