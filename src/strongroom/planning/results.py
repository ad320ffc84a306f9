"""What a plan came to: one canonical document (format 1). Everything that people read is drawn from it alone.

Amounts are decimal strings with at most two places, in the one currency of the portfolio; shares and percentages are
decimal strings rounded to ten significant places, so that the same portfolio gives the same bytes.
"""

from __future__ import annotations

import math
from typing import Final, Literal

import msgspec

from strongroom.encoding import canonical, parse_as
from strongroom.vocabulary import Digest

SIZE_LIMIT: Final = 4 * 1024 * 1024
LIMITATIONS: Final = (
    "Credit risk only, as the portfolio has it: no securitisation, funds, counterparty risk or central "
    "counterparties, and no guarantees other than collateral shares.",
    "Rules are research and no legal advice; only rows with evidence `text-seen` have been held against the text.",
    "Annual sales are in millions of euros, under the rules of the United Kingdom in pounds; its commitments to "
    "mortgages convert at 50%, which is not told apart here.",
    "No supporting factors (CRR Articles 501, 501a), no transitional weights for unrated corporates or cancellable "
    "commitments, no currency mismatch, no junior liens, no property that fails the conditions of its weight, no "
    "national minimum weights.",
    "Purchased receivables are weighed as claims on their debtors, dilution as resolved within a year; public-sector "
    "entities, development banks and covered bonds have supervisory LGDs.",
    "IFRS 9 uses the PD, LGD and EAD of the models without regulatory floors; whether a downturn LGD or a "
    "conservative margin is in them is for the models' owners to say.",
    "Stress is over a static balance sheet: no income, no tax, no new business, no write-off; losses of a year are "
    "taken from CET1 and count as provisions afterwards.",
    "Recoveries on exposures in default are not in the repayment forecast.",
    "Concentration is shown and asks for no capital here: the IRB formula assumes a portfolio of endless grain.",
)


def amount(value: float) -> str:
    """An amount with at most two places."""
    return _finite(round(float(value), 2))


def share(value: float) -> str:
    """A share, ratio or percentage with ten significant places."""
    return _finite(float(f"{float(value):.10g}"))


def _finite(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError("a figure in a document is finite")
    # -0.0 and 0.0 are one figure
    return repr(value + 0.0)


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Unknown fields are refused."""


class Source(_Document, frozen=True, kw_only=True):
    """Where PD, LGD or EAD come from.

    Attributes:
        figure: which.
        kind: `model` (scored, each with a decision id), `column` (given with the portfolio, not scored), `rule`
            (supervisory LGD, conversion factor).
        name: of model or column.
        answered, refused: rows with and without a decision.
        proof_sha256: of the proof beside the answers, which names log, records and versions.
        origin: of the log that holds the decisions.
        versions: manifest digests that answered.
    """

    figure: Literal["pd", "lgd", "ead"]
    kind: Literal["model", "column", "rule"]
    name: str
    answered: int = 0
    refused: int = 0
    proof_sha256: Digest | None = None
    origin: str | None = None
    versions: tuple[str, ...] = ()


class ScenarioSigned(_Document, frozen=True, kw_only=True):
    """Who answers for the scenario document, and when it counts.

    Attributes:
        author: of the people register.
        key_id: that signed.
        signature_sha256: of the envelope beside the document.
        register_sha256: of the people register that the key stands in.
        effective_from, effective_until: first day, and first day on which it no longer counts.
    """

    author: str
    key_id: Digest
    signature_sha256: Digest
    register_sha256: Digest
    effective_from: str
    effective_until: str


class Inputs(_Document, frozen=True, kw_only=True):
    """What the plan is made of.

    Attributes:
        as_of: day, as 2026-12-31.
        scenario_signed: absent in plans of before 2026-11-26, whose scenarios nobody signed.
        rules_unchecked: rows of the rules that hold and that nobody has held against the text.
        columns_by_default: columns that the portfolio lacks, each taken at its default; absent in earlier plans.
    """

    portfolio_sha256: Digest
    exposures: int
    currency: str
    as_of: str
    regime: str
    rules_version: str
    rules_sha256: Digest
    rules_unchecked: int
    rules_sources: tuple[str, ...]
    scenario_sha256: Digest
    scenario_name: str
    link: str
    sources: tuple[Source, ...]
    scenario_signed: ScenarioSigned | msgspec.UnsetType = msgspec.UNSET
    columns_by_default: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET


class ClassRow(_Document, frozen=True, kw_only=True):
    """Sums of an exposure class, or of all. `density` is RWA over EAD; averages are weighted by EAD."""

    name: str
    exposures: int
    defaulted: int
    drawn: str
    ead: str
    mean_pd: str | None
    mean_lgd: str | None
    rwa: str
    density: str | None
    standardised_rwa: str
    expected_loss: str
    capital: str


class Floors(_Document, frozen=True, kw_only=True):
    """How many exposures a floor of a parameter moved, and how they are weighed.

    Attributes:
        risk_weight: moved by a floor of the risk weight; absent where the regime has none.
    """

    pd: int
    lgd: int
    ead: int
    supervisory_lgd: int
    risk_weight: int | msgspec.UnsetType = msgspec.UNSET


class Treatment(_Document, frozen=True, kw_only=True):
    """How exposures are weighed, and why."""

    words: str
    exposures: int
    ead: str
    rwa: str


class FloorYear(_Document, frozen=True, kw_only=True):
    """The output floor on a day; None where none is in force."""

    day: str
    percent: str | None
    cap_percent: str | None
    source: str | None
    before: str
    standardised: str
    rwa: str
    added: str
    binding: bool
    capped: bool


class Provisions(_Document, frozen=True, kw_only=True):
    """Expected loss of IRB exposures against their provisions."""

    expected_loss: str
    provisions: str
    cet1_deduction: str
    tier2_addback: str


class StageRow(_Document, frozen=True, kw_only=True):
    """A stage of IFRS 9; `coverage` is ECL over EAD."""

    stage: int
    exposures: int
    ead: str
    ecl: str
    coverage: str | None


class ScenarioRow(_Document, frozen=True, kw_only=True):
    """ECL if this scenario were certain (stages as they are)."""

    name: str
    weight: str
    ecl: str
    z: tuple[str, ...]


class Ifrs9(_Document, frozen=True, kw_only=True):
    """Expected credit losses.

    Attributes:
        ecl: by stages, weighted over scenarios.
        twelve_months, lifetime: if all exposures that are not in default were in stage 1, or in stage 2.
        at_mean_path: if the one path at the weighted mean state were taken: what non-linearity would hide.
        not_evaluable: exposures without a PD or LGD, whose ECL is not known, and their EAD.
        not_in_scope: exposures that cannot be impaired, which is equity, and their EAD; absent where there is none.
    """

    ecl: str
    twelve_months: str
    lifetime: str
    at_mean_path: str
    not_evaluable: int
    not_evaluable_ead: str
    stages: tuple[StageRow, ...]
    scenarios: tuple[ScenarioRow, ...]
    not_in_scope: int | msgspec.UnsetType = msgspec.UNSET
    not_in_scope_ead: str | msgspec.UnsetType = msgspec.UNSET


class StressRow(_Document, frozen=True, kw_only=True):
    """A year of a scenario; ratios only where own funds are given."""

    scenario: str
    year: int
    z: str
    mean_pd: str | None
    losses: str
    expected_loss: str
    rwa_before_floor: str
    rwa: str
    floor_binding: bool
    cet1: str | None
    cet1_ratio: str | None


class Ratios(_Document, frozen=True, kw_only=True):
    """CET1 today, after the shortfall, over floored and unfloored risk-weighted assets of the whole bank."""

    cet1: str
    before_floor: str | None
    after_floor: str | None


class ConcentrationRow(_Document, frozen=True, kw_only=True):
    """Over which grouping; see `concentration`."""

    name: str
    groups: int
    by_exposure: str
    by_number: str
    effective: str


class NameRow(_Document, frozen=True, kw_only=True):
    """One of the largest groups of connected clients, by rank; its name stands in the exposures' file only."""

    rank: int
    first_row: int
    ead: str
    share: str


class MonthRow(_Document, frozen=True, kw_only=True):
    """A month of the repayment forecast; see `repayments.Month`."""

    month: int
    principal: str
    interest: str
    expected_principal: str
    expected_interest: str
    prepaid: str
    balance: str


class Plan(_Document, frozen=True, kw_only=True):
    """The whole document."""

    v: Literal[1] = 1
    inputs: Inputs
    total: ClassRow
    classes: tuple[ClassRow, ...]
    floors: Floors
    treatments: tuple[Treatment, ...]
    output_floor: tuple[FloorYear, ...]
    provisions: Provisions
    ratios: Ratios | None
    ifrs9: Ifrs9
    stress: tuple[StressRow, ...]
    concentration: tuple[ConcentrationRow, ...]
    largest: tuple[NameRow, ...]
    repayments: tuple[MonthRow, ...]
    exposures_sha256: Digest
    limitations: tuple[str, ...] = LIMITATIONS


def write(plan: Plan) -> bytes:
    """The document's bytes."""
    return canonical(plan)


def read(data: bytes) -> Plan:
    """A document from its bytes.

    Raises:
        TooLargeError: more than 4 MiB.
        InvalidInputError: not such a document.
    """
    return parse_as(data, Plan, SIZE_LIMIT)
