"""What a test of a model found: one figure, how sure it is, what the policy asks of it, and the verdict.

The whole battery is one canonical document (format 1): the report is drawn from it and from nothing else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

import msgspec

from strongroom.encoding import canonical, parse_as
from strongroom.errors import InvalidInputError
from strongroom.registry.contract import bound
from strongroom.registry.guard import GuardTable
from strongroom.registry.kinds import Kind
from strongroom.vocabulary import Digest

Verdict = Literal["pass", "amber", "fail", "not-evaluable", "information"]
Role = Literal["gate", "advisory", "information"]
Section = Literal[
    "discrimination",
    "calibration",
    "lifetime",
    "accuracy",
    "coverage",
    "cost",
    "stability",
    "fairness",
    "explanation",
    "implementation",
    "data",
    "robustness",
    "sensitivity",
]

BUCKETS_TITLE: Final = "Buckets of the estimate on the validation sample"
MEANS_TITLE: Final = "Means in development and now"
MATRIX_TITLE: Final = "Migration matrix"
PURPOSES_TITLE: Final = "Purpose and legal basis"
SEGMENTS_TITLE: Final = "Weakest segments"
"""Tables that the report looks up by their title, to draw them or to leave out what it says elsewhere."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NotEvaluable:
    """A figure that does not exist for this sample, and why. Never a NaN."""

    reason: str


def evaluable(value: T | NotEvaluable) -> T:
    """The figure itself, for callers that cannot go on without it.

    Raises:
        InvalidInputError: there is none; the message is the reason.
    """
    if isinstance(value, NotEvaluable):
        raise InvalidInputError(value.reason, rule="evaluable")
    return value


def decimal(value: float) -> str:
    """A finite number as the shortest decimal string that reads back to the same float64.

    Raises:
        ValueError: not finite; a statistic that can be so returns NotEvaluable instead.
    """
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("a figure in a document is finite")
    return repr(number)


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Unknown fields are refused: a reader must not skip what a signer meant."""


class Detail(_Document, frozen=True, kw_only=True):
    """A named figure beside the main one."""

    name: str
    value: str


class TestResult(_Document, frozen=True, kw_only=True):
    """One line of the verdict table.

    Attributes:
        id: unique in the battery, such as `fairness.air/sex`.
        rule: the policy's test that judges it, such as `fairness.air`.
        title: for people.
        section: of the report.
        sentence: what was found, in plain language.
        figure: decimal string, or None when not evaluable.
        unit: what the figure is: `AUC`, `p-value`, `ratio`, `count` ...
        interval: lower and upper bound at the battery's confidence level, or None.
        p_value: decimal string or None.
        better: whether a `higher` or a `lower` figure is better.
        amber, fail: the policy's cut-offs, stored with every result; None where the policy has none.
        role: how the policy uses it: a `gate` blocks, an `advisory` warns, `information` is not judged.
        verdict: see `battery_rules.judge`.
        reason: why not evaluable, or None.
        source: where the formula and the rule come from.
        sample: which sample, by its role.
        sample_sha256: digest of that sample's file.
        n: rows that entered the figure.
        details: further figures.
    """

    id: str
    rule: str
    title: str
    section: Section
    sentence: str
    figure: str | None
    unit: str
    better: Literal["higher", "lower"]
    source: str
    sample: str
    sample_sha256: Digest
    n: int
    interval: tuple[str, str] | None = None
    p_value: str | None = None
    amber: str | None = None
    fail: str | None = None
    role: Role = "information"
    verdict: Verdict = "information"
    reason: str | None = None
    details: tuple[Detail, ...] = ()


class SampleRef(_Document, frozen=True, kw_only=True):
    """A sample by what it is for and by the digest of its bytes."""

    role: str
    sha256: Digest
    rows: int
    defaults: int | None


class GradeRow(_Document, frozen=True, kw_only=True):
    """One grade of the rating scale on the validation sample. Grade 1 has the lowest PD."""

    grade: int
    upper: str | None
    n: int
    defaults: int
    mean_pd: str | None
    rate: str | None
    interval: tuple[str, str] | None
    jeffreys_p: str | None


class Histogram(_Document, frozen=True, kw_only=True):
    """Counts between equally spaced edges from `low` to `high`, by outcome."""

    low: str
    high: str
    others: tuple[int, ...]
    defaults: tuple[int, ...]


class PsiRow(_Document, frozen=True, kw_only=True):
    """Population stability of one feature or of the score."""

    name: str
    psi: str
    sampling_point: str
    bins: int


class AirRow(_Document, frozen=True, kw_only=True):
    """One group of a protected attribute against the group with the highest favourable rate."""

    attribute: str
    group: str
    n: int
    rate: str | None
    ratio: str | None
    interval: tuple[str, str] | None
    p_value: str | None
    reference: bool
    suppressed: bool


Provider = Literal["CPUExecutionProvider", "cpu", "cpu-float64"]


class Profile(_Document, frozen=True, kw_only=True):
    """The numeric profile, field for field as format 6 carries it (this room stands below the one that owns it)."""

    runtime: Literal["onnxruntime", "xgboost", "onedal"]
    version: str
    provider: Provider
    threads: Literal[1]
    isa: str
    mode: Literal["batch-invariant", "padded", "by-row"]
    max_batch: int


class ProfileProof(_Document, frozen=True, kw_only=True):
    """How the numeric profile was found: what was compared and how many bits differed."""

    profile: Profile
    rows: int
    sizes: tuple[int, ...]
    comparisons: int
    differ_alone: int
    differ_padded: int
    differ_layout: int
    differ_session: int
    note: str


class ReferenceBins(_Document, frozen=True, kw_only=True):
    """Reference distribution of one feature or of the score, field for field as format 6's `Bins`."""

    name: str
    edges: tuple[str, ...]
    counts: tuple[int, ...]
    missing: int = 0


class MonitorBins(_Document, frozen=True, kw_only=True):
    """What is watched live, field for field as format 6's `Monitors`."""

    features: tuple[ReferenceBins, ...]
    score: ReferenceBins
    psi_alert: str
    psi_floor: str
    min_rows: int
    guard: GuardTable | msgspec.UnsetType = msgspec.UNSET


class Plots(_Document, frozen=True, kw_only=True):
    """Data of the report's pictures that no table carries."""

    roc: tuple[tuple[str, str], ...]
    scores: Histogram


class Column(_Document, frozen=True, kw_only=True):
    """A column of a table: its head, and the unit that its figures are written in (`text` for words)."""

    name: str
    unit: str


class Table(_Document, frozen=True, kw_only=True):
    """A table of the report that stands in a section, for kinds without one of their own among the fields below.

    Attributes:
        section: of the report.
        title: its heading.
        caption: one sentence on how to read it.
        columns: the first one heads the rows.
        rows: one text for each column; None where there is nothing.
    """

    section: Section
    title: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str | None, ...], ...]

    def __post_init__(self) -> None:
        if not self.columns or any(len(row) != len(self.columns) for row in self.rows):
            raise InvalidInputError(f"each row of `{self.title}` has one text a column", field="tables", rule="shape")


class Series(_Document, frozen=True, kw_only=True):
    """What one mark of a chart shows. Points are pairs of decimal strings, x and y.

    Attributes:
        name: for the key; empty for none.
        form: `line`, `points`, `bars` (from 0 to y, as wide as the step in x) or `band` (between `low` and `high`).
        style: of the style sheet: `curve`, `rate`, `pd`, `chance`, `others`, `defaults`, `bar`, `cut`, `wash`.
        points: at most 2000.
        low, high: ends of a whisker at each point, or empty.
    """

    name: str
    form: Literal["line", "points", "bars", "band"]
    style: Literal["curve", "rate", "pd", "chance", "others", "defaults", "bar", "cut", "wash"]
    points: tuple[tuple[str, str], ...]
    low: tuple[str, ...] = ()
    high: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.points) > 2000 or {len(self.low), len(self.high)} - {0, len(self.points)}:
            raise InvalidInputError("a series has up to 2000 points, and a whisker for all or none", field="charts")
        if len(self.low) != len(self.high):
            raise InvalidInputError("a whisker has two ends", field="charts", rule="shape")
        for text in (*(text for point in self.points for text in point), *self.low, *self.high):
            bound(text)


class Chart(_Document, frozen=True, kw_only=True):
    """A picture of the report that stands in a section.

    Attributes:
        section: of the report.
        title: its name.
        words: one sentence on how to read it, for those who cannot see it too.
        x, y: what the axes show; `percent` writes an axis in percent.
        percent: which axes are shares.
        series: drawn in this order.
    """

    section: Section
    title: str
    words: str
    x: str
    y: str
    percent: Literal["", "x", "y", "xy"] = ""
    series: tuple[Series, ...]


class FormerRef(_Document, frozen=True, kw_only=True):
    """The model before hardening, beside which a hardened one was measured: its package's manifest, and its files."""

    package: Digest
    contract_sha256: Digest
    artifact_sha256: Digest


class BatteryResults(_Document, frozen=True, kw_only=True):
    """Everything that a battery found, version 1. Signed by digest; the report is a pure function of it.

    `grades`, `air` and `plots` are those of PD models. Other kinds bring `tables` and `charts`, absent where unused.
    `former` names the model that a hardened one was made from.
    """

    v: Literal[1]
    battery: Kind
    model: str
    manifest: Digest
    title: str
    owner: str
    kind: str
    tier: int
    contract_sha256: Digest
    artifact_sha256: Digest
    policy_sha256: Digest
    policy_version: str
    confidence: str
    samples: tuple[SampleRef, ...]
    tests: tuple[TestResult, ...]
    verdict: Literal["pass", "amber", "fail"]
    reasons: tuple[str, ...]
    grades: tuple[GradeRow, ...]
    psi: tuple[PsiRow, ...]
    air: tuple[AirRow, ...]
    plots: Plots | msgspec.UnsetType = msgspec.UNSET
    tables: tuple[Table, ...] | msgspec.UnsetType = msgspec.UNSET
    charts: tuple[Chart, ...] | msgspec.UnsetType = msgspec.UNSET
    numeric: ProfileProof
    tools: dict[str, str]
    former: FormerRef | msgspec.UnsetType = msgspec.UNSET

    def encode(self) -> bytes:
        """Canonical bytes (format 1)."""
        return canonical(self)

    @classmethod
    def decode(cls, data: bytes) -> BatteryResults:
        """Read `results.json`.

        Raises:
            InvalidInputError: not canonical, or not this document.
        """
        return parse_as(data, cls)


class ValidationPredicate(_Document, frozen=True, kw_only=True):
    """Predicate of the `validation` statement, signed by the validation service.

    Attributes:
        verdict: `pass` when every gate is passed, with or without warnings; else `fail`.
        warnings: what asks for a human judgement although it passed.
        results, report: digests of `results.json` and of the page that is drawn from it.
        sample: the validator's sample, by its manifest digest.
        samples: every sample that was used, by the digest of its file.
        contract_sha256, artifact_sha256: what was tested, by file.
        policy_sha256, policy_version: what it was judged by.
        profile, monitors: what the release will carry.
        tools: versions of what computed.
        isolation: how the sandbox held the model.
        at_us: when, by the control plane's clock.
    """

    v: Literal[1]
    verdict: Literal["pass", "fail"]
    warnings: tuple[str, ...]
    results: Digest
    report: Digest
    sample: Digest
    samples: tuple[SampleRef, ...]
    contract_sha256: Digest
    artifact_sha256: Digest
    policy_sha256: Digest
    policy_version: str
    profile: Profile
    monitors: MonitorBins
    tools: dict[str, str]
    isolation: str
    at_us: int
