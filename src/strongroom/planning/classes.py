"""Exposure classes of the IRB approach (CRE30.4 to CRE30.26), as small codes in arrays."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

SOVEREIGN: Final = 0
INSTITUTION: Final = 1
CORPORATE: Final = 2
MORTGAGE: Final = 3
REVOLVER: Final = 4
TRANSACTOR: Final = 5
RETAIL: Final = 6

CLASSES: Final = (
    "sovereign", "institution", "corporate", "residential-mortgage", "qrre-revolver", "qrre-transactor",
    "other-retail",
)  # fmt: skip
"""By code. `qrre` is a qualifying revolving retail exposure; a transactor has always repaid in full (CRE30.24)."""

Codes = NDArray[np.int8]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def is_retail(classes: Codes) -> Flags:
    """Classes without maturity adjustment and without supervisory LGD. Shape [exposures]."""
    return np.asarray(classes >= MORTGAGE, np.bool_)
