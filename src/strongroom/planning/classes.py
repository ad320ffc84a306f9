"""Exposure classes of the IRB approach (CRE30.4 to CRE30.26) and of the standardised one, as small codes in arrays."""

from __future__ import annotations

from collections.abc import Mapping
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
PUBLIC: Final = 7
DEVELOPMENT_BANK: Final = 8
COVERED: Final = 9
EQUITY: Final = 10
PROJECT: Final = 11
OBJECT: Final = 12
COMMODITIES: Final = 13
INCOME_PROPERTY: Final = 14
VOLATILE_PROPERTY: Final = 15

CLASSES: Final = (
    "sovereign", "institution", "corporate", "residential-mortgage", "qrre-revolver", "qrre-transactor",
    "other-retail", "public-sector", "development-bank", "covered-bond", "equity", "project-finance", "object-finance",
    "commodities-finance", "income-real-estate", "high-volatility-real-estate",
)  # fmt: skip
"""By code. `qrre` is a qualifying revolving retail exposure; a transactor has always repaid in full (CRE30.24). The
last five are specialised lending."""

PROPERTIES: Final = (
    "none", "residential", "commercial", "residential-income", "commercial-income", "development", "development-homes",
)  # fmt: skip
"""What secures an exposure, by code: `income` is repaid from the property's own cash flows, `development` is land
acquisition, development and construction, `development-homes` the same with what earns the lower weight."""
HOMES: Final = 1
USUAL_PROPERTY: Final = np.array([0, 0, 0, HOMES, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 5], np.int8)
"""By class: the property of an exposure that names none."""

LEFT_OUT: Final[Mapping[str, str]] = {
    "securitisation": "tranches need the pool and the seniority, which one row does not hold",
    "fund": "units of a fund are weighed by what it holds; give its holdings as rows",
    "central-counterparty": "exposures to central counterparties are weighed by trades and default funds",
    "derivative": "counterparty risk is an exposure value that is computed from trades",
    "central-bank": "give it as `sovereign`",
    "regional-government": "give it as `sovereign` where the supervisor treats it so, or else as `public-sector`",
    "purchased-receivables": "give the class of the debtors, and what dilutes in the column `dilution`",
    "short-term-institution": "give it as `institution` with `short_term` true",
    "subordinated-debt": "give the class of the debtor with `subordinated` true",
    "commercial-mortgage": "give the class of the debtor with `property` commercial, or `income-real-estate`",
}
"""Words that people look for, and why they are no class here."""

Codes = NDArray[np.int8]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def is_retail(classes: Codes) -> Flags:
    """Classes without maturity adjustment and without supervisory LGD. Shape [exposures]."""
    return np.asarray((classes >= MORTGAGE) & (classes <= RETAIL), np.bool_)


def is_specialised(classes: Codes) -> Flags:
    """Specialised lending, which may be weighed by supervisory slots. Shape [exposures]."""
    return np.asarray(classes >= PROJECT, np.bool_)
