"""The validation policy: which tests a model of a kind and tier must pass, and at which figure.

It is a signed file with dates, never part of a model's package, and its digest stays with every result that it judged.
Silence means no: a gate that no test answered, or that could not be evaluated, fails the battery.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from strongroom.encoding import canonical, parse_as
from strongroom.errors import EvidenceError, ExpiredError, InvalidInputError
from strongroom.registry.contract import ModelContract, bound
from strongroom.validation.battery_rules import Battery, LocalRules, Part, tightened
from strongroom.validation.explanation_terms import ExplanationTerms
from strongroom.validation.finding_rules import DEFAULT_FINDINGS, FindingsRule
from strongroom.validation.scans.licences import LicenceRules
from strongroom.validation.statistics.bins import Floor
from strongroom.validation.study_terms import (
    DEFAULT_STRESS,
    Drift,
    Fairness,
    FraudTerms,
    Grades,
    OutcomeWatch,
    RobustnessStudy,
    Scenario,
    StressTerms,
)
from strongroom.validation.tiering import Tiering
from strongroom.vocabulary import lies_in


class ValidationPolicy(Part, frozen=True, kw_only=True):
    """The file as a whole, version 1. Times are microseconds since 1970."""

    v: Literal[1]
    version: str
    effective_from_us: int
    effective_until_us: int
    confidence: str
    psi_bins: int
    psi_floor: str
    parity_tolerance: str
    hosmer_lemeshow_minimum: str
    grades: Grades
    fairness: Fairness
    drift: Drift
    batteries: tuple[Battery, ...]
    asset_correlation: str | msgspec.UnsetType = msgspec.UNSET
    fraud: FraudTerms | msgspec.UnsetType = msgspec.UNSET
    scenarios: tuple[Scenario, ...] | msgspec.UnsetType = msgspec.UNSET
    robustness: RobustnessStudy | msgspec.UnsetType = msgspec.UNSET
    explanation: ExplanationTerms | msgspec.UnsetType = msgspec.UNSET
    findings: FindingsRule | msgspec.UnsetType = msgspec.UNSET
    local: tuple[LocalRules, ...] | msgspec.UnsetType = msgspec.UNSET
    tiering: Tiering | msgspec.UnsetType = msgspec.UNSET
    licences: LicenceRules | msgspec.UnsetType = msgspec.UNSET
    outcomes: tuple[OutcomeWatch, ...] | msgspec.UnsetType = msgspec.UNSET
    stress: StressTerms | msgspec.UnsetType = msgspec.UNSET

    @property
    def stress_terms(self) -> StressTerms:
        """How stress scenarios are put to models."""
        return DEFAULT_STRESS if isinstance(self.stress, msgspec.UnsetType) else self.stress

    @property
    def correlation(self) -> float | None:
        """Of the asset values of obligors, for the binomial test with correlated defaults; None where none is set."""
        return None if isinstance(self.asset_correlation, msgspec.UnsetType) else bound(self.asset_correlation)

    def watched(self, kind: str) -> OutcomeWatch:
        """How realised amounts of a kind are watched; where the policy says nothing, shown by year and not judged."""
        named = () if isinstance(self.outcomes, msgspec.UnsetType) else self.outcomes
        plain = OutcomeWatch(kind=kind, window_days=365, windows=4, min_rows=100, limits={})
        return next((one for one in named if one.kind == kind), plain)

    @property
    def finding_rule(self) -> FindingsRule:
        """How findings bear on approval and release."""
        return DEFAULT_FINDINGS if isinstance(self.findings, msgspec.UnsetType) else self.findings

    def objections(self, contract: ModelContract) -> tuple[str, ...]:
        """What the policy has against the contract's reason codes, their method or their reference."""
        terms = self.explanation
        return () if isinstance(terms, msgspec.UnsetType) else terms.objections(contract)

    @property
    def local_rules(self) -> tuple[LocalRules, ...]:
        """What jurisdictions ask beyond the batteries."""
        return () if isinstance(self.local, msgspec.UnsetType) else self.local

    def __post_init__(self) -> None:
        if not isinstance(self.scenarios, msgspec.UnsetType):
            weights = [bound(scenario.weight) or 0.0 for scenario in self.scenarios]
            states = [bound(scenario.state) for scenario in self.scenarios]
            if len(states) < 2 or min(weights) < 0.0 or abs(sum(weights) - 1.0) > 1e-9:
                raise InvalidInputError(
                    "there are two scenarios or more, with weights that sum to 1", field="scenarios", rule="weights"
                )
        if not isinstance(self.outcomes, msgspec.UnsetType):
            kinds = [one.kind for one in self.outcomes]
            if not kinds or len(set(kinds)) != len(kinds):
                raise InvalidInputError("amounts of a kind are watched in one way", field="outcomes", rule="unique")
        Floor.parse(self.psi_floor)
        if not 0.5 < (bound(self.confidence) or 0.0) < 1.0:
            raise InvalidInputError("the confidence level lies between 0.5 and 1", field="confidence", rule="range")
        if self.correlation is not None and not 0.0 <= self.correlation <= 0.5:
            raise InvalidInputError(
                "an asset correlation lies between 0 and 0.5", field="asset_correlation", rule="range"
            )
        if not 2 <= self.psi_bins <= 100 or not 2 <= self.drift.bins <= 100:
            raise InvalidInputError("there are 2 to 100 bins", field="psi_bins", rule="range")
        if self.effective_until_us <= self.effective_from_us:
            raise InvalidInputError("the policy ends before it begins", field="effective_until_us", rule="order")
        pairs = [(battery.kind, battery.tier) for battery in self.batteries]
        if not pairs or len(set(pairs)) != len(pairs):
            raise InvalidInputError("each kind and tier has one battery", field="batteries", rule="unique")
        places = [(one.jurisdiction, one.kind, one.tier) for one in self.local_rules]
        if len(set(places)) != len(places) or not {place[1:] for place in places} <= set(pairs):
            raise InvalidInputError(
                "each jurisdiction adds once to a battery that the policy has", field="local", rule="unique"
            )

    def encode(self) -> bytes:
        """Canonical bytes (format 1)."""
        return canonical(self)

    @classmethod
    def decode(cls, data: bytes) -> ValidationPolicy:
        """Read `policy/validation.json`.

        Raises:
            InvalidInputError: not canonical, not this document, or a rule in it makes no sense.
        """
        return parse_as(data, cls)

    def in_force(self, at_us: int) -> ValidationPolicy:
        """This policy, if it may judge at that time.

        Raises:
            ExpiredError: it is not yet, or no longer, in force.
        """
        if not self.effective_from_us <= at_us < self.effective_until_us:
            raise ExpiredError(f"the validation policy `{self.version}` is not in force now; publish one that is")
        return self

    def battery(self, kind: str, tier: int, jurisdictions: Sequence[str] = ()) -> Battery:
        """The rules for a kind and tier, with what the model's jurisdictions add.

        Rules of a country bind its parts, and rules of the European Union its members, whichever of them a contract
        lists. A test that several of them judge is held to the strictest: a gate before an advisory, and of every
        cut-off the one that fewer figures reach.

        Args:
            kind, tier: of the model.
            jurisdictions: that the model is for, as its contract lists them.

        Raises:
            EvidenceError: the policy has none.
        """
        for battery in self.batteries:
            if (battery.kind, battery.tier) == (kind, tier):
                for one in self.local_rules:
                    here = any(lies_in(place, one.jurisdiction) for place in jurisdictions)
                    if (one.kind, one.tier) == (kind, tier) and here:
                        battery = tightened(battery, one)
                return battery
        raise EvidenceError(f"the validation policy `{self.version}` has no battery for kind `{kind}` of tier {tier}")
