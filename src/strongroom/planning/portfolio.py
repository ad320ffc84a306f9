"""The columns of a portfolio: what they are called, what they may hold, what stands in where a column is missing.

One amount is one currency: whoever makes the file converts. A null is the default of its column.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from strongroom.errors import InvalidInputError
from strongroom.planning.classes import (
    CLASSES,
    EQUITY,
    LEFT_OUT,
    PROJECT,
    PROPERTIES,
    Codes,
    Flags,
    Floats,
    is_specialised,
)
from strongroom.planning.repayments import KINDS
from strongroom.planning.rules import COLLATERAL, COMMITMENTS, RATINGS
from strongroom.planning.special_rules import EQUITIES, PHASES, SLOTS
from strongroom.planning.standardised import Terms

TEXT_LIMIT: Final = 128
AMOUNT_LIMIT: Final = 1e15
ROWS_LIMIT: Final = 20_000_000

Kind = Literal["text", "number", "whole", "flag", "choice"]


class Column(NamedTuple):
    """A column.

    Attributes:
        name: in the file.
        kind: of its values.
        words: what it holds, for people.
        required: whether it must be there and without null.
        low, high: bounds of a number.
        default: where it is null or missing; NaN stands for not known.
        choices: of a choice, by code.
    """

    name: str
    kind: Kind
    words: str
    required: bool = False
    low: float = 0.0
    high: float = AMOUNT_LIMIT
    default: float = float("nan")
    choices: tuple[str, ...] = ()


RATING_WORDS: Final = tuple(name for name in RATINGS if name != "unrated-sme")
COLUMNS: Final = (
    Column("exposure", "text", "identifier of the exposure, each once", required=True),
    Column("class", "choice", "exposure class", required=True, choices=CLASSES),
    Column("drawn", "number", "drawn amount", required=True),
    Column("remaining_months", "number", "months until the last payment", required=True, high=1200.0),
    Column("limit", "number", "limit; the drawn amount where missing"),
    Column("commitment", "choice", "kind of the undrawn part", default=1, choices=COMMITMENTS),
    Column("approach", "choice", "what the bank may use for it", default=0, choices=("irb", "standardised")),
    Column("turnover_m", "number", "annual sales of the obligor's group in EUR m (UK: GBP m); not known where missing"),
    Column("large_financial", "flag", "large or unregulated financial institution", default=0),
    Column("maturity_years", "number", "effective maturity M", high=100.0, default=2.5),
    Column("collateral", "choice", "kind of collateral", default=0, choices=COLLATERAL),
    Column("collateral_share", "number", "part covered after haircuts", high=1.0, default=0.0),
    Column("subordinated", "flag", "subordinated claim", default=0),
    Column("rating", "choice", "external rating, for standardised weights", default=6, choices=RATING_WORDS),
    Column(
        "backer_rating", "choice", "rating of who stands behind: of the sovereign, for a public-sector entity; of the "
        "issuer, for a covered bond", default=6, choices=RATING_WORDS,
    ),
    Column("short_term", "flag", "at most three months long when made, or six for the movement of goods", default=0),
    Column("local_currency", "flag", "owed by a sovereign in its own currency, and funded in it", default=0),
    Column("listed", "flag", "development bank that the regime lists at its lowest weight", default=0),
    Column(
        "property", "choice", "what secures it, for standardised weights; where none is named homes for "
        "`residential-mortgage`, commercial for income for `income-real-estate`, development for "
        "`high-volatility-real-estate`", default=0, choices=PROPERTIES,
    ),
    Column("phase", "choice", "of project finance without a rating of its own", default=0, choices=PHASES),
    Column("holding", "choice", "kind of equity, of `equity` alone", default=0, choices=EQUITIES),
    Column("slot", "choice", "supervisory category, of specialised lending alone; with one no PD weighs it", default=0,
           choices=SLOTS),
    Column("dilution", "number", "expected loss from dilution of purchased receivables in a year, a share of EAD",
           high=1.0, default=0.0),
    Column("ltv", "number", "loan to value of what a property secures, a fraction; not known where missing", high=10.0),
    Column("defaulted", "flag", "in default", default=0),
    Column("days_past_due", "whole", "days past due", high=36500.0, default=0),
    Column("elbe", "number", "best estimate of the expected loss in default", high=1.0),
    Column("provisions", "number", "specific provisions for it", default=0.0),
    Column("origination_pd", "number", "12-month PD at first recognition; not known where missing", high=1.0),
    Column("eir", "number", "effective interest rate a year, a fraction", high=2.0, default=0.0),
    Column("amortisation", "choice", "how it is paid back", default=0, choices=KINDS),
    Column("group", "text", "group of connected clients; the exposure itself where missing"),
    Column("segment", "text", "segment for concentration, such as a sector; the exposure class where missing"),
)  # fmt: skip
GIVEN: Final = {
    "pd": Column("pd", "number", "12-month PD", high=1.0),
    "lgd": Column("lgd", "number", "LGD", high=1.5),
    "ead": Column("ead", "number", "exposure at default"),
}
"""What a column named by `--pd-column` and the like may hold."""

Values = NDArray[np.float64] | NDArray[np.int8] | NDArray[np.bool_]


def check(column: Column, values: Floats, first_row: int = 0, name: str | None = None) -> Floats:
    """Numbers of a column within its bounds, nulls (NaN) replaced by its default.

    Args:
        column: what it may hold.
        values: as the file has them, NaN for null.
        first_row: number of the first value's row in the file.
        name: as the file calls it, where that is another.

    Raises:
        InvalidInputError: a null where none may be, or a number outside; which row, never which value.
    """
    called = name or column.name
    empty = np.isnan(values)
    with np.errstate(invalid="ignore"):
        outside = ~empty & ~((values >= column.low) & (values <= column.high))
        if column.kind == "whole":
            outside |= ~empty & (values != np.floor(values))
    noun = "whole number" if column.kind == "whole" else "number"
    for bad, rule, words in (
        (outside, "range", f"holds no {noun} from {column.low:g} to {column.high:g}"),
        (empty if column.required else np.zeros(0, np.bool_), "missing", "is empty, and may not be"),
    ):  # fmt: skip
        if bad.any():
            row = first_row + int(np.argmax(bad))
            raise InvalidInputError(
                f"column `{called}` {words}, first in row {row}; {int(bad.sum())} rows of this part", field=called,
                rule=rule, row=row,
            )  # fmt: skip
    return np.where(empty, column.default, values)


def codes_of(column: Column, dictionary: Sequence[str | None], indices: NDArray[np.int64], first_row: int = 0) -> Codes:
    """Codes of a choice.

    Args:
        column: with choices.
        dictionary: the distinct texts of the column.
        indices: place of each row's text in it, -1 for null.
        first_row: as in `check`.

    Raises:
        InvalidInputError: a text that is no choice, or a null where none may be.
    """
    known = {name: code for code, name in enumerate(column.choices)}
    if column.choices == RATING_WORDS:
        known |= {name: RATINGS.index(name) for name in RATING_WORDS}
    places = np.full(len(dictionary) + 1, -1, np.int64)
    for place, text in enumerate(dictionary):
        places[place] = known.get(text or "", -1)
    places[-1] = -1 if column.required or np.isnan(column.default) else int(column.default)
    found = places[indices]
    if (found < 0).any():
        row = first_row + int(np.argmax(found < 0))
        rule = "missing" if indices[row - first_row] < 0 else "choice"
        said = dictionary[int(indices[row - first_row])] if rule == "choice" else None
        if column.name == "class" and said is not None and said in LEFT_OUT:
            raise InvalidInputError(
                f"`{said}` is no class of a plan, first in row {row}: {LEFT_OUT[said]}", field="class",
                rule="left-out", row=row,
            )  # fmt: skip
        raise InvalidInputError(
            f"column `{column.name}` is none of {', '.join(column.choices)}, first in row {row}", field=column.name,
            rule=rule, row=row,
        )  # fmt: skip
    return found.astype(np.int8)


def demand_meant(column: str, codes: Codes, classes: Codes, first_row: int = 0) -> None:
    """Refuse what a column says of an exposure whose class it means nothing for: it would be ignored, and the class may
    be the mistake.

    Args:
        column: `holding` or `slot`.
        codes: of its choices; 0 says nothing.
        classes: of the exposures.
        first_row: as in `check`.

    Raises:
        InvalidInputError: which row and class, and what to do.
    """
    of = _MEANT[column]
    wrong = (codes != 0) & ~of.applies(classes)
    if wrong.any():
        place = int(np.argmax(wrong))
        row = first_row + place
        raise InvalidInputError(
            f"column `{column}` says {of.words} of an exposure of class `{CLASSES[classes[place]]}`, which has none, "
            f"first in row {row}; leave `{column}` empty there, or give the exposure's own class, {of.classes}; "
            f"{int(wrong.sum())} rows of this part",
            field=column, rule="class", row=row,
        )  # fmt: skip


class _Meant(NamedTuple):
    applies: Callable[[Codes], Flags]
    words: str
    classes: str


_MEANT: Final = {
    "holding": _Meant(lambda classes: np.asarray(classes == EQUITY), "a kind of equity", "`equity`"),
    "slot": _Meant(
        is_specialised, "a supervisory category",
        "one of " + ", ".join(f"`{name}`" for code, name in enumerate(CLASSES) if code >= PROJECT),
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of a portfolio, checked. Arrays of the shape [exposures]; see `COLUMNS`.

    Attributes:
        first_row: number in the file of the first.
        pd, lgd, ead: as scored or given, NaN where there is none.
    """

    first_row: int
    classes: Codes
    drawn: Floats
    limit: Floats
    commitments: Codes
    standardised: Flags
    turnover_m: Floats
    large_financial: Flags
    maturity_years: Floats
    collateral: Codes
    collateral_share: Floats
    ratings: Codes
    terms: Terms
    slots: Codes
    dilution: Floats
    ltv: Floats
    defaulted: Flags
    days_past_due: Floats
    elbe: Floats
    provisions: Floats
    origination_pd: Floats
    eir: Floats
    months: Floats
    amortisation: Codes
    pd: Floats
    lgd: Floats
    ead: Floats

    @property
    def subordinated(self) -> Flags:
        """Whether it ranks behind ordinary claims."""
        return self.terms.subordinated

    def __len__(self) -> int:
        return len(self.classes)
