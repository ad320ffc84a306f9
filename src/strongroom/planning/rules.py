"""The dated rules of the regimes, as data: floors, supervisory values, standardised weights, the output floor's steps.

Every row says which regimes it is of, from when (and until when), where it stands and how it was come by. What holds
on a day is the newest row of each place that has begun and not ended. A regime without rows is refused, with the
reason where the document gives one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal, NamedTuple

import msgspec
import numpy as np

from strongroom.errors import InvalidInputError, NotFoundError, TooLargeError
from strongroom.planning.classes import CLASSES, CORPORATE, MORTGAGE, PROPERTIES, RETAIL, Flags, Floats
from strongroom.planning.special_rules import Special, special_rules

SIZE_LIMIT: Final = 1024 * 1024
COLLATERAL: Final = ("none", "financial", "receivables", "real-estate", "physical")
COMMITMENTS: Final = ("cancellable", "commitment", "trade", "transaction", "guarantee")
RATINGS: Final = (
    "AAA-AA", "A", "BBB", "BB", "B", "CCC", "unrated", "unrated-sme", "SCRA-A", "SCRA-B", "SCRA-C", "SCRA-A+",
)  # fmt: skip
RATED: Final = ("sovereign", "institution", "corporate")
"""Classes whose standardised weight depends on a rating, in every regime."""
RATED_TOO: Final = (
    "public-sector", "development-bank", "covered-bond", "project-finance", "object-finance", "commodities-finance",
)  # fmt: skip
"""The same, in regimes that have rows for them."""
FLAT: Final = ("qrre-revolver", "qrre-transactor", "other-retail")

Table = Literal[
    "output-floor", "output-floor-cap", "pd-floor", "lgd-floor", "supervisory-lgd", "standardised",
    "standardised-default", "mortgage-by-ltv", "mortgage-split", "conversion", "irb", "risk-weight-floor",
    "sales", "standardised-short", "standardised-backed", "covered-unrated", "slot", "slot-loss",
]  # fmt: skip
Evidence = Literal["text-seen", "project-facts", "secondary", "own-knowledge"]


class Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One figure.

    Attributes:
        table: what it is.
        of: exposure class, kind of property, or empty.
        where: collateral, rating, bound of loan to value, kind of commitment, slot, or empty.
        value: percent; of `irb`, 0 where no model may weigh the class; of `sales`, millions of the regime's currency.
        regimes: labels such as `EU`.
        begins: first day.
        until: first day on which it no longer holds.
        source: provision.
        evidence: how the figure was come by.
    """

    table: Table
    of: str
    where: str
    value: str
    regimes: tuple[str, ...]
    begins: date = msgspec.field(name="from")
    source: str
    evidence: Evidence
    until: date | None = None


class Absent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A regime that the document knows and has no rules for."""

    regime: str
    reason: str


class RuleBook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The document `policies/capital.json`."""

    v: Literal[1]
    version: str
    note: str
    absent: tuple[Absent, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class MortgageSplit:
    """The part of a mortgage up to a loan to value has one weight, the rest another; fractions."""

    to_ltv: float
    secured: float
    rest: float


class Sales(NamedTuple):
    """Annual sales in millions of the regime's currency: where the adjustment for small companies begins and ends, and
    above which own estimates of LGD and EAD are not allowed."""

    sme_from_m: float
    sme_to_m: float
    large_m: float


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds in a regime on a day; fractions, NaN where there is nothing.

    Attributes:
        pd_floor: shape [classes].
        lgd_floor: shape [classes, collateral].
        supervisory_lgd: shape [classes, collateral].
        subordinated_lgd: shape [classes].
        weights: standardised, shape [classes, ratings]; one and the same in all columns where no rating counts.
        ltv_bounds: upper bounds of loan to value; with `ltv_weights`, one more.
        split: instead of bounds, where the regime splits a mortgage.
        default_weights: in default, little provided for, provided for, and mortgages.
        conversion: shape [commitments].
        modelled: where a model may weigh at all, shape [classes].
        weight_floor: of a model's risk weight, not in default; shape [classes], 0 where none.
        sales: of corporates.
        special: what is more than a class and a rating.
        sources: of every row that holds, for the document.
        unchecked: how many of the rows that hold nobody has held against the text: all but `text-seen`.
    """

    regime: str
    day: date
    pd_floor: Floats
    lgd_floor: Floats
    supervisory_lgd: Floats
    subordinated_lgd: Floats
    weights: Floats
    ltv_bounds: Floats
    ltv_weights: Floats
    split: MortgageSplit | None
    default_weights: tuple[float, float, float]
    conversion: Floats
    modelled: Flags
    weight_floor: Floats
    sales: Sales
    special: Special
    sources: tuple[str, ...]
    unchecked: int


def read_rules(data: bytes) -> RuleBook:
    """Read a rule book.

    Raises:
        TooLargeError: more than a mebibyte.
        InvalidInputError: not such a document; `field` names the place.
    """
    if len(data) > SIZE_LIMIT:
        raise TooLargeError(f"a rule book has at most {SIZE_LIMIT} bytes", field="rules", rule="size")
    try:
        book = msgspec.json.decode(data, type=RuleBook)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInputError(f"the rule book cannot be read: {error}", field="rules", rule="schema") from error
    for place, row in enumerate(book.rows):
        try:
            percent = float(row.value)
        except ValueError:
            percent = -1.0
        if not 0.0 <= percent <= 1250.0:
            raise InvalidInputError(f"rule {place + 1} is no percentage up to 1250", field="rules", rule="range")
        if row.of and row.of not in (*CLASSES, *PROPERTIES[1:]):
            raise InvalidInputError(
                f"rule {place + 1} is of no exposure class and no property", field="rules", rule="class"
            )
    return book


def in_force(book: RuleBook, regime: str, day: date) -> Rules:
    """The rules of a regime on a day.

    Raises:
        NotFoundError: no such regime, or it has no rules on that day.
        InvalidInputError: the rows that hold lack something that every exposure needs.
    """
    held = _holding(book, regime, day)
    seen: dict[tuple[str, str, str], Row] = {}

    def percent(table: str, of: str = "", where: str = "") -> float:
        row = held.get((table, of, where))
        if row is None:
            return float("nan")
        seen[table, of, where] = row
        return float(row.value) / 100.0

    def demanded(table: Table, of: str = "", where: str = "") -> float:
        value = percent(table, of, where)
        if np.isnan(value):
            words = " ".join(filter(None, (table, of, where)))
            raise InvalidInputError(f"regime `{regime}` has no rule `{words}` on {day}", field="rules", rule="missing")
        return value

    weights = np.full((len(CLASSES), len(RATINGS)), np.nan)
    for code, name in enumerate(CLASSES):
        if name in FLAT:
            weights[code] = demanded("standardised", name)
        elif name in RATED:
            unrated = demanded("standardised", name, "unrated")
            for place, rating in enumerate(RATINGS):
                value = percent("standardised", name, rating)
                weights[code, place] = unrated if np.isnan(value) else value
        elif name in RATED_TOO:
            row = np.array([percent("standardised", name, rating) for rating in RATINGS])
            weights[code] = np.where(np.isnan(row), row[RATINGS.index("unrated")], row)
    # what a property secures is a claim on somebody too: on a household, or on a company
    weights[MORTGAGE] = weights[RETAIL]
    weights[[CLASSES.index("income-real-estate"), CLASSES.index("high-volatility-real-estate")]] = weights[CORPORATE]
    bounds = sorted(
        float(where)
        for table, of, where in held
        if (table, of) == ("mortgage-by-ltv", "residential-mortgage") and where.replace(".", "", 1).isdigit()
    )
    split = None
    ladder = [demanded("mortgage-by-ltv", "residential-mortgage", f"{bound:g}") for bound in bounds]
    if bounds:
        ladder.append(demanded("mortgage-by-ltv", "residential-mortgage", "above"))
    else:
        split = MortgageSplit(
            *(
                demanded("mortgage-split", "residential-mortgage", where)
                for where in ("secured-to-ltv", "secured", "rest")
            )
        )
    default_weights = (
        demanded("standardised-default", "", "little-provided"), demanded("standardised-default", "", "provided"),
        demanded("standardised-default", "residential-mortgage"),
    )  # fmt: skip
    special = special_rules(percent, held, RATINGS)
    return Rules(
        regime=regime,
        day=day,
        pd_floor=np.array([np.nan_to_num(percent("pd-floor", name), nan=0.0) for name in CLASSES]),
        lgd_floor=np.array(
            [[np.nan_to_num(percent("lgd-floor", name, kind), nan=-1.0) for kind in COLLATERAL] for name in CLASSES]
        ),
        supervisory_lgd=np.array([[percent("supervisory-lgd", name, kind) for kind in COLLATERAL] for name in CLASSES]),
        subordinated_lgd=np.array([percent("supervisory-lgd", name, "subordinated") for name in CLASSES]),
        weights=weights,
        ltv_bounds=np.array(bounds) / 100.0,
        ltv_weights=np.array(ladder),
        split=split,
        default_weights=default_weights,
        conversion=np.array([demanded("conversion", "", kind) for kind in COMMITMENTS]),
        modelled=np.array([percent("irb", name) != 0.0 for name in CLASSES]),
        weight_floor=np.array([np.nan_to_num(percent("risk-weight-floor", name), nan=0.0) for name in CLASSES]),
        sales=Sales(*(100.0 * demanded("sales", "corporate", where) for where in ("sme-from", "sme-to", "large"))),
        special=special,
        sources=tuple(sorted({row.source for row in seen.values()})),
        unchecked=sum(row.evidence != "text-seen" for row in seen.values()),
    )


def floor_on(book: RuleBook, regime: str, day: date) -> Row | None:
    """The output floor's step on a day; None before the first."""
    return _step(book, "output-floor", regime, day)


def cap_on(book: RuleBook, regime: str, day: date) -> Row | None:
    """The transitional cap on what the floor adds; None where there is none."""
    return _step(book, "output-floor-cap", regime, day)


def _step(book: RuleBook, table: Table, regime: str, day: date) -> Row | None:
    held = [row for row in book.rows if row.table == table and regime in row.regimes and _holds(row, day)]
    return max(held, key=lambda row: row.begins, default=None)


def _holding(book: RuleBook, regime: str, day: date) -> Mapping[tuple[str, str, str], Row]:
    held: dict[tuple[str, str, str], Row] = {}
    for row in book.rows:
        place = (row.table, row.of, row.where)
        if regime in row.regimes and _holds(row, day) and (place not in held or held[place].begins < row.begins):
            held[place] = row
    if not held:
        for absent in book.absent:
            if absent.regime == regime:
                raise NotFoundError(f"there are no rules for regime `{regime}`: {absent.reason}")
        known = ", ".join(sorted({name for row in book.rows for name in row.regimes}))
        raise NotFoundError(f"there are no rules for regime `{regime}` on {day}; known are {known}")
    return held


def _holds(row: Row, day: date) -> bool:
    return row.begins <= day and (row.until is None or day < row.until)
