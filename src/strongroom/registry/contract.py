"""What a model promises: `model.toml`, read into types. Everything the gateway enforces comes from here.

Bounds are decimal strings in documents (format 1 has no floats) and compared as float64.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from strongroom.errors import InvalidInputError
from strongroom.registry.explanation import Explanation
from strongroom.registry.guard import GuardWish
from strongroom.registry.hardening import KINDS as HARDENED_KINDS
from strongroom.registry.hardening import Hardening
from strongroom.registry.kinds import CONTRACTS, UNDECIDED, Kind, OutcomeDefinition, check_outcome
from strongroom.registry.robustness import Robustness
from strongroom.registry.series import SeriesContract, check_series
from strongroom.registry.source import Source
from strongroom.registry.stress import StressScenario, demand_features
from strongroom.registry.training import Training
from strongroom.vocabulary import is_plain, parse_jurisdiction, parse_name

FeatureType = Literal["float", "integer", "category"]
RuntimeName = Literal["onnxruntime", "xgboost", "onedal"]
MODEL_SUFFIX: Final = {"onnxruntime": ".onnx", "xgboost": ".ubj", "onedal": ".onnx"}
FEATURE_LIMIT = 4096
ROWS_LIMIT = 100_000


class Feature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One input column.

    Attributes:
        name: as callers send it; up to 128 printable characters.
        type: `float` (float32), `integer` (a whole number within +-2**24) or `category` (one of `allowed`,
            whole numbers).
        unit: of the value, for example `NT dollar`, `months`, `count`, `code`.
        minimum, maximum: inclusive bounds as decimal strings, or None for no bound.
        allowed: whole numbers that a category may have.
        missing: `refuse`, or `nan` when the model was trained to see missing values.
        purpose: why the model needs it.
        legal_basis: on which ground it is processed, for example `GDPR Art. 6(1)(b)`.
    """

    name: str
    type: FeatureType
    unit: str
    purpose: str
    legal_basis: str
    minimum: str | None = None
    maximum: str | None = None
    allowed: tuple[int, ...] | None = None
    missing: Literal["refuse", "nan"] = "refuse"

    def __post_init__(self) -> None:
        if not (0 < len(self.name) <= 128 and self.name.isprintable()):
            raise InvalidInputError("a feature name has 1 to 128 printable characters", field="input.features.name")
        for text in (self.unit, self.purpose, self.legal_basis):
            if not text.strip():
                raise InvalidInputError(
                    f"feature `{self.name}` needs unit, purpose and legal_basis", field=self.name, rule="documented"
                )
        low, high = bound(self.minimum), bound(self.maximum)
        if low is not None and high is not None and low > high:
            raise InvalidInputError(f"feature `{self.name}` has minimum above maximum", field=self.name, rule="range")
        if (self.type == "category") != (self.allowed is not None):
            raise InvalidInputError(
                f"feature `{self.name}`: a category, and only a category, lists `allowed`",
                field=self.name,
                rule="allowed",
            )


class InputContract(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The input tensor: float32, shape [rows, features], columns in this order."""

    tensor: str
    features: tuple[Feature, ...]
    max_rows: int = 1000

    def __post_init__(self) -> None:
        names = [feature.name for feature in self.features]
        if not 0 < len(names) <= FEATURE_LIMIT:
            raise InvalidInputError(f"a model has 1 to {FEATURE_LIMIT} features", field="input.features", rule="count")
        if len(set(names)) != len(names):
            raise InvalidInputError("feature names repeat", field="input.features", rule="unique")
        if not 0 < self.max_rows <= ROWS_LIMIT:
            raise InvalidInputError(f"max_rows is 1 to {ROWS_LIMIT}", field="input.max_rows", rule="range")


class OutputContract(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The output: ONNX tensor `tensor`, column `column` of it, called `name`, float32, finite and within the bounds."""

    tensor: str
    name: str
    unit: str
    minimum: str
    maximum: str
    column: int = 1

    def __post_init__(self) -> None:
        low, high = bound(self.minimum), bound(self.maximum)
        if low is None or high is None or low > high:
            raise InvalidInputError("the output needs minimum and maximum, in order", field="output", rule="range")


class CutOff(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`decision` is taken for scores below `below` (decimal string); the last one has no bound."""

    decision: str
    below: str | None = None


class Samples(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Files of the package, as paths inside it.

    `development` and `reference` are Parquet with the features, the outcome column and no protected attribute;
    `protected` is Parquet with only the protected attributes of the reference sample, row for row; `predictions`
    is Parquet with the column `prediction` (float64): what the source model answered on the reference sample.
    `subject` names the column of development, reference and validation sample that tells whom a row is about (whole
    numbers or texts, pseudonyms will do), so that people who stand in two samples are found; left out, nobody looks.
    """

    model: str
    development: str
    reference: str
    predictions: str
    outcome: str
    protected: str | None = None
    subject: str | msgspec.UnsetType = msgspec.UNSET


class Lineage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the model comes from.

    Attributes:
        data: digests of the source data by name.
        code_commit: of the training code, or `unversioned`.
        environment: package versions by name.
        parameters: of the training, as text.
        parent: manifest digest of the version it replaces, or None.
    """

    data: dict[str, str]
    code_commit: str
    environment: dict[str, str]
    parameters: dict[str, str]
    parent: str | None = None


class ModelContract(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`model.toml` as a whole.

    `runtime` names what runs the model; left out, it is onnxruntime. Read it as `engine`. `guard` says what happens to
    rows unlike the reference sample; left out, nothing does. `kind` says which outputs, outcomes and cut-offs are right
    (`strongroom.registry.kinds`); `outcome` defines the outcome column; `robustness` says what the battery proves and
    attacks. `conditions` are features that may lawfully explain a difference between groups: the fairness tests also
    compare people who are alike in them.
    `series` says what a forecast is of. `hardening` says from which package this one was made. `stress` names shocks of
    the input that the battery puts to the model.
    """

    v: Literal[1]
    name: str
    kind: Kind
    tier: Literal[1, 2, 3]
    title: str
    owner: str
    product: str
    process: str
    purposes: tuple[str, ...]
    jurisdictions: tuple[str, ...]
    environments: tuple[str, ...]
    input: InputContract
    output: OutputContract
    cut_offs: tuple[CutOff, ...] = ()
    samples: Samples
    lineage: Lineage
    protected: tuple[str, ...] = ()
    description: str = ""
    runtime: RuntimeName | msgspec.UnsetType = msgspec.UNSET
    guard: GuardWish | msgspec.UnsetType = msgspec.UNSET
    explanation: Explanation | msgspec.UnsetType = msgspec.UNSET
    outcome: OutcomeDefinition | msgspec.UnsetType = msgspec.UNSET
    robustness: Robustness | msgspec.UnsetType = msgspec.UNSET
    conditions: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    series: SeriesContract | msgspec.UnsetType = msgspec.UNSET
    source: Source | msgspec.UnsetType = msgspec.UNSET
    hardening: Hardening | msgspec.UnsetType = msgspec.UNSET
    training: Training | msgspec.UnsetType = msgspec.UNSET
    stress: dict[str, StressScenario] | msgspec.UnsetType = msgspec.UNSET

    @property
    def decisions(self) -> tuple[CutOff, ...]:
        """The cut-offs that a release carries. Where the kind decides nothing, one word that says so."""
        return self.cut_offs or (CutOff(decision=UNDECIDED),)

    @property
    def outcome_range(self) -> tuple[float, float]:
        """Between which numbers, both included, an outcome may lie; infinite where the contract sets no bound."""
        told = self.outcome
        if isinstance(told, msgspec.UnsetType):
            return -math.inf, math.inf
        ends = (None if isinstance(text, msgspec.UnsetType) else text for text in (told.minimum, told.maximum))
        low, high = map(bound, ends)
        return -math.inf if low is None else low, math.inf if high is None else high

    @property
    def downturn_add_on(self) -> float:
        """What the downturn estimate lies above the output, in the output's unit."""
        if isinstance(self.outcome, msgspec.UnsetType) or isinstance(self.outcome.downturn_add_on, msgspec.UnsetType):
            return 0.0
        return bound(self.outcome.downturn_add_on) or 0.0

    @property
    def stress_scenarios(self) -> dict[str, StressScenario]:
        """Named shocks of the input; none where the contract leaves them out."""
        return {} if isinstance(self.stress, msgspec.UnsetType) else self.stress

    @property
    def sample_columns(self) -> dict[str, str]:
        """Columns of the samples beside features and outcome, by what they hold."""
        return {} if isinstance(self.outcome, msgspec.UnsetType) else self.outcome.columns

    @property
    def engine(self) -> RuntimeName:
        """What runs the model. One a version: the bits of two differ."""
        return "onnxruntime" if self.runtime is msgspec.UNSET else self.runtime

    @property
    def model_input(self) -> str:
        """The name under which the sandbox's jobs are given the model file."""
        return "model" + MODEL_SUFFIX[self.engine]

    def _words(self) -> Iterator[str]:
        """Every text that people read in reports and papers."""
        yield from (self.title, self.owner, self.product, self.process, self.description)
        yield from (*self.purposes, *self.environments, *self.protected)
        yield from (cut.decision for cut in self.cut_offs)
        for one in self.input.features:
            yield from (one.unit, one.purpose, one.legal_basis)
        if not isinstance(self.outcome, msgspec.UnsetType):
            yield from (self.outcome.meaning, self.outcome.window)
        yield from (scenario.means for scenario in self.stress_scenarios.values())

    def __post_init__(self) -> None:
        parse_name(self.name, "model name")
        if not self.purposes or not self.jurisdictions or not self.environments:
            raise InvalidInputError(
                "a model names its purposes, jurisdictions and environments", field="purposes", rule="labels"
            )
        for label in self.jurisdictions:
            parse_jurisdiction(label)
        if not all(map(is_plain, self._words())):
            raise InvalidInputError(
                "the contract has a text with control characters, or with such as turn the direction of writing; "
                "plain words only",
                field="model.toml", rule="text",
            )  # fmt: skip
        seen = {feature.name for feature in self.input.features}
        for name in self.protected:
            if name in seen:
                raise InvalidInputError(
                    f"`{name}` is protected and cannot be a feature; keep it in the protected sample",
                    field=name,
                    rule="protected",
                )
        if not isinstance(self.conditions, msgspec.UnsetType) and (
            not 1 <= len(self.conditions) <= 3
            or len(set(self.conditions)) != len(self.conditions)
            or not seen.issuperset(self.conditions)
        ):
            raise InvalidInputError(
                "`conditions` are one to three features of the model, each named once",
                field="conditions",
                rule="features",
            )
        if not isinstance(self.explanation, msgspec.UnsetType):
            self.explanation.demand_kind(self.kind)
            self.explanation.demand_features(tuple(feature.name for feature in self.input.features))
            if not isinstance(self.explanation.letters, msgspec.UnsetType) and self.cut_offs:
                names = [cut.decision for cut in self.cut_offs]
                self.explanation.letters.demand_decisions(names, names[0 if self.explanation.adverse == "high" else -1])
            if self.explanation.method == "path-dependent" and self.engine != "xgboost":
                raise InvalidInputError(
                    "path-dependent values need the training weights in the model file, which only `xgboost` keeps; "
                    "set `runtime`, or give reference rows",
                    field="explanation",
                    rule="method",
                )
        if not isinstance(self.robustness, msgspec.UnsetType):
            if self.kind not in HARDENED_KINDS:
                raise InvalidInputError(
                    f"what `robustness` promises is proven of models of kind {', '.join(HARDENED_KINDS)} only; leave "
                    "it out, since nobody would test it",
                    field="robustness", rule="kind",
                )  # fmt: skip
            self.robustness.demand_features({feature.name: feature.type for feature in self.input.features})
        if not isinstance(self.stress, msgspec.UnsetType):
            if self.kind == "forecast":
                raise InvalidInputError(
                    "`stress` moves features of people and loans, and those of a forecast are its own past; leave it "
                    "out, since nobody would test it",
                    field="stress", rule="kind",
                )  # fmt: skip
            demand_features(self.stress, {feature.name: feature.type for feature in self.input.features})
        if not isinstance(self.hardening, msgspec.UnsetType):
            if self.kind not in HARDENED_KINDS:
                raise InvalidInputError(
                    f"a hardened model is of kind {', '.join(HARDENED_KINDS)}", field="hardening", rule="kind"
                )
            if isinstance(self.hardening.referred, str) and self.hardening.referred not in {
                cut.decision for cut in self.cut_offs
            }:
                raise InvalidInputError(
                    "the band of `hardening` is one of the decisions", field="hardening", rule="referred"
                )
        check_outcome(self.kind, self.output.unit, self.outcome)
        check_series(self.kind, self.series, self.input.features)
        low, high = self.outcome_range
        if low > high or self.downturn_add_on < 0.0:
            raise InvalidInputError(
                "outcome.minimum is not above outcome.maximum, and a downturn add-on not below 0",
                field="outcome", rule="range",
            )  # fmt: skip
        if hidden := sorted(set(self.sample_columns.values()) & ({self.samples.outcome} | set(self.protected))):
            raise InvalidInputError(
                f"`{hidden[0]}` is the outcome or protected and has no other use", field=hidden[0], rule="unique"
            )
        if not CONTRACTS[self.kind].decides:
            if self.cut_offs:
                raise InvalidInputError(
                    f"a model of kind `{self.kind}` decides nothing; leave `cut_offs` out",
                    field="cut_offs", rule="kind",
                )  # fmt: skip
            return
        if not self.cut_offs or self.cut_offs[-1].below is not None or any(c.below is None for c in self.cut_offs[:-1]):
            raise InvalidInputError("cut-offs ascend, and the last has no bound", field="cut_offs", rule="order")
        bounds = [bound(c.below) or 0.0 for c in self.cut_offs[:-1]]
        if bounds != sorted(set(bounds)):
            raise InvalidInputError("cut-offs ascend", field="cut_offs", rule="order")


def bound(text: str | None) -> float | None:
    """A decimal string as float64.

    Raises:
        InvalidInputError: not a finite decimal number.
    """
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or len(text) > 40:
        raise InvalidInputError("a bound is a finite decimal number", rule="bound")
    return value
