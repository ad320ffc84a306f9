"""The validation policy: which tests a model of a kind and tier must pass, and at which figure.

It is a signed file with dates, never part of a model's package, and its digest stays with every result that it judged.
Silence means no: a gate that no test answered, or that could not be evaluated, fails the battery.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from strongroom.encoding import canonical, parse_as
from strongroom.errors import EvidenceError, ExpiredError, InvalidInputError
from strongroom.registry.contract import ModelContract, bound
from strongroom.validation.catalogue import better_of, section_of
from strongroom.validation.explanation_terms import ExplanationTerms
from strongroom.validation.finding_rules import DEFAULT_FINDINGS as DEFAULT_FINDINGS
from strongroom.validation.finding_rules import FindingsRule as FindingsRule
from strongroom.validation.results import Role, TestResult, Verdict
from strongroom.validation.scans.licences import LicenceRules
from strongroom.validation.sections import TITLES, WRITERS, SectionKey
from strongroom.validation.statistics.bins import Floor
from strongroom.validation.tiering import Tiering
from strongroom.vocabulary import lies_in, parse_jurisdiction

BatteryVerdict = Literal["pass", "amber", "fail"]
ReplicationDemand = Literal["same-bytes", "within-tolerance"]
"""What must have come of training a model again: the same bytes, or at least a model that answers alike."""


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the policy; a word that we do not know could be a rule, so it is refused."""


class Rule(_Part, frozen=True, kw_only=True):
    """How one test is judged.

    Attributes:
        test: the rule's name, such as `discrimination.auc`.
        role: a `gate` blocks, an `advisory` warns at most, `information` is shown unjudged.
        amber: a figure worse than this is amber.
        fail: a figure worse than this fails (gates only; a gate without it is refused).
    """

    test: str
    role: Role
    amber: str | None = None
    fail: str | None = None

    def __post_init__(self) -> None:
        needs = {"gate": (True, True), "advisory": (True, False), "information": (False, False)}[self.role]
        if (bound(self.amber) is not None, bound(self.fail) is not None) != needs:
            raise InvalidInputError(
                f"rule `{self.test}`: a gate has amber and fail, an advisory amber only, information neither",
                field=self.test,
                rule="thresholds",
            )


class SectionDemand(_Part, frozen=True, kw_only=True):
    """A section of the report that must not be empty.

    Attributes:
        section: its key.
        by: the role of whoever must have written and signed it; left out, what the records fill will do.
    """

    section: SectionKey
    by: str | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        if self.by is not msgspec.UNSET and self.by not in WRITERS:
            raise InvalidInputError(
                f"nobody in the role `{self.by[:40]}` writes in reports; one of {', '.join(sorted(WRITERS))} does",
                field="sections",
                rule="role",
            )
        if self.section == "approvals" and self.by is msgspec.UNSET:
            raise InvalidInputError(
                "the section `approvals` fills itself and cannot be demanded before it", field="sections", rule="order"
            )


class Battery(_Part, frozen=True, kw_only=True):
    """The rules for models of one kind and tier. Without a gate there would be nothing to fail.

    `sections` are those of the report that must not be empty before anybody approves; left out, none must.
    `replication` is what must have come of training the model again by then; left out, nobody must have done so.
    """

    kind: str
    tier: int
    rules: tuple[Rule, ...]
    sections: tuple[SectionDemand, ...] | msgspec.UnsetType = msgspec.UNSET
    replication: ReplicationDemand | msgspec.UnsetType = msgspec.UNSET

    @property
    def demanded(self) -> tuple[SectionDemand, ...]:
        """Sections that must not be empty, in the order of the report."""
        given = () if isinstance(self.sections, msgspec.UnsetType) else self.sections
        order = list(TITLES)
        return tuple(sorted(given, key=lambda demand: (order.index(demand.section), str(demand.by))))

    def asked_of(self, contract: ModelContract) -> Battery:
        """The rules that a contract gives something to hold them against: those about reason codes only where it tells
        reasons. Which kinds must tell them, `explanation` of the policy says.
        """
        if not isinstance(contract.explanation, msgspec.UnsetType):
            return self
        kept = tuple(rule for rule in self.rules if section_of(rule.test) != "explanation")
        return msgspec.structs.replace(self, rules=kept)

    def __post_init__(self) -> None:
        asked = [(demand.section, str(demand.by)) for demand in self.demanded]
        if len(set(asked)) != len(asked):
            raise InvalidInputError(f"the battery {self.kind}/{self.tier} demands a section twice", rule="unique")
        names = [rule.test for rule in self.rules]
        if len(set(names)) != len(names):
            raise InvalidInputError(f"the battery {self.kind}/{self.tier} names a test twice", rule="unique")
        if not any(rule.role == "gate" for rule in self.rules):
            raise InvalidInputError(f"the battery {self.kind}/{self.tier} has no gate", rule="gate")


class LocalRules(_Part, frozen=True, kw_only=True):
    """What a jurisdiction asks beyond the battery of a kind and tier: more rules, or stricter ones, more sections, and
    training done again.

    It can add and tighten, never relax: see `ValidationPolicy.battery`.
    """

    jurisdiction: str
    kind: str
    tier: int
    rules: tuple[Rule, ...] = ()
    sections: tuple[SectionDemand, ...] = ()
    replication: ReplicationDemand | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        parse_jurisdiction(self.jurisdiction)
        names = [rule.test for rule in self.rules]
        if len(set(names)) != len(names):
            raise InvalidInputError(f"the rules of {self.jurisdiction} name a test twice", rule="unique")
        if not self.rules and not self.sections and self.replication is msgspec.UNSET:
            raise InvalidInputError(f"the rules of {self.jurisdiction} ask nothing", field="local", rule="empty")


class Grades(_Part, frozen=True, kw_only=True):
    """The rating scale: fixed edges (PDs, ascending), or so many quantiles of the development sample's scores."""

    edges: tuple[str, ...] | None = None
    quantiles: int | None = None

    def __post_init__(self) -> None:
        if (self.edges is None) == (self.quantiles is None):
            raise InvalidInputError("a rating scale has either edges or quantiles", field="grades", rule="either")
        values = [bound(edge) or 0.0 for edge in self.edges or ()]
        if values != sorted(set(values)) or (self.edges is not None and not values):
            raise InvalidInputError("the edges of a rating scale ascend", field="grades", rule="order")
        if self.quantiles is not None and not 2 <= self.quantiles <= 100:
            raise InvalidInputError("a rating scale has 2 to 100 quantiles", field="grades", rule="range")


class Fairness(_Part, frozen=True, kw_only=True):
    """How groups are compared.

    Attributes:
        min_group: smaller groups are suppressed.
        max_groups: an attribute with more values needs bands first.
        favourable: `first`: the decision below the lowest cut-off is the favourable one (PD: the best risks).
        min_outcomes: least defaulters, and least others, of a group whose error rates are told.
        loss_of_auc: what a less discriminatory alternative may cost in area under the curve.
        loss_of_profit: and in profit, as a share of the present one.
        search_rows: rows at most in the search for proxies and alternatives, which take most of the section's time.
    """

    min_group: int
    max_groups: int
    favourable: Literal["first"]
    min_outcomes: int | msgspec.UnsetType = msgspec.UNSET
    loss_of_auc: str | msgspec.UnsetType = msgspec.UNSET
    loss_of_profit: str | msgspec.UnsetType = msgspec.UNSET
    search_rows: int | msgspec.UnsetType = msgspec.UNSET

    @property
    def most_searched(self) -> int:
        """`search_rows`; policies from before it have 20,000."""
        return 20_000 if isinstance(self.search_rows, msgspec.UnsetType) else self.search_rows

    @property
    def least_outcomes(self) -> int:
        """`min_outcomes`; policies from before it have 25."""
        return 25 if isinstance(self.min_outcomes, msgspec.UnsetType) else self.min_outcomes

    @property
    def accepted_losses(self) -> tuple[float, float]:
        """Of area and of profit; policies from before them have 0.01 and 0.05."""
        area = "0.01" if isinstance(self.loss_of_auc, msgspec.UnsetType) else self.loss_of_auc
        profit = "0.05" if isinstance(self.loss_of_profit, msgspec.UnsetType) else self.loss_of_profit
        return bound(area) or 0.0, bound(profit) or 0.0

    def __post_init__(self) -> None:
        if self.min_group < 2 or self.max_groups < 2 or self.least_outcomes < 2:
            raise InvalidInputError("a group that is told has two rows or more", field="fairness", rule="range")
        if not 100 <= self.most_searched <= 1_000_000:
            raise InvalidInputError("a search takes 100 to 1,000,000 rows", field="fairness", rule="range")
        if not all(0.0 <= loss <= 1.0 for loss in self.accepted_losses):
            raise InvalidInputError("an accepted loss lies between 0 and 1", field="fairness", rule="range")


class StressTerms(_Part, frozen=True, kw_only=True):
    """How the stress scenarios of contracts are put to models.

    Attributes:
        severities: multiples of the contract's sizes, ascending, 1 among them.
        required: names of scenarios that each contract must size; left out, none.
    """

    severities: tuple[str, ...]
    required: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET

    @property
    def levels(self) -> tuple[float, ...]:
        """The severities as numbers."""
        return tuple(bound(text) or 0.0 for text in self.severities)

    @property
    def asked(self) -> tuple[str, ...]:
        """Names that a contract must size."""
        return () if isinstance(self.required, msgspec.UnsetType) else self.required

    def __post_init__(self) -> None:
        levels = self.levels
        if not 1 <= len(levels) <= 10 or list(levels) != sorted(set(levels)) or levels[0] <= 0.0 or 1.0 not in levels:
            raise InvalidInputError(
                "1 to 10 severities ascend from above 0, 1 among them", field="stress", rule="order"
            )
        if levels[-1] > 100.0 or len(set(self.asked)) != len(self.asked) or len(self.asked) > 10:
            raise InvalidInputError(
                "a severity is at most 100, and at most 10 scenarios are asked for, each once", field="stress",
                rule="range",
            )  # fmt: skip


DEFAULT_STRESS: Final = StressTerms(severities=("0.5", "1", "2"))
"""Where the policy says nothing of stress."""


class Drift(_Part, frozen=True, kw_only=True):
    """The monitors that a release takes along: bins of the reference sample, alert level, least rows to judge."""

    bins: int
    alert: str
    min_rows: int


class Scenario(_Part, frozen=True, kw_only=True):
    """One state of the economy: a standard normal number, below 0 for bad times, and its weight."""

    state: str
    weight: str


class FraudTerms(_Part, frozen=True, kw_only=True):
    """What alarms cost the house, and how they are looked at.

    Attributes:
        false_alarm: cost of an alarm on a genuine transaction, in the unit of the amounts; a missed fraud costs its
            amount.
        alarm_share: share of all transactions that people can look at.
        windows: so many stretches of equal time are compared.
        least_frauds: windows with fewer are shown and not compared.
    """

    false_alarm: str
    alarm_share: str
    windows: int
    least_frauds: int

    def __post_init__(self) -> None:
        if (bound(self.false_alarm) or 0.0) < 0.0 or not 0.0 < (bound(self.alarm_share) or 0.0) <= 1.0:
            raise InvalidInputError("a false alarm costs 0 or more, and a share lies above 0", field="fraud")
        if not 2 <= self.windows <= 100 or self.least_frauds < 1:
            raise InvalidInputError("2 to 100 windows are compared, by 1 fraud or more", field="fraud", rule="range")


class OutcomeWatch(_Part, frozen=True, kw_only=True):
    """How realised amounts of a kind whose outcomes are numbers are watched, once they come in.

    Attributes:
        kind: of the models; `lgd`, `ead` or `forecast`.
        window_days: length of a window, by the time of the decision.
        windows: how many are shown, the newest of which raises alerts.
        min_rows: a window with fewer is shown and raises none.
        limits: by figure, decimal strings in the figure's unit: `bias` (its size), `mae`, `wape`, `pinball` and
            `coverage` (distance from the promise) not above it, `gauc` not below it. A figure without a limit is shown.
    """

    kind: str
    window_days: int
    windows: int
    min_rows: int
    limits: dict[str, str]

    def __post_init__(self) -> None:
        allowed = WATCHED.get(self.kind)
        if allowed is None:
            raise InvalidInputError(
                f"realised amounts are watched of {', '.join(sorted(WATCHED))}", field="outcomes", rule="kind"
            )
        if unknown := sorted(set(self.limits) - set(allowed)):
            raise InvalidInputError(
                f"kind `{self.kind}` has no figure `{unknown[0][:40]}`; it has {', '.join(allowed)}",
                field="outcomes", rule="figure",
            )  # fmt: skip
        if any((bound(limit) or 0.0) < 0.0 for limit in self.limits.values()):
            raise InvalidInputError("a limit is 0 or more", field="outcomes", rule="range")
        if not (1 <= self.window_days <= 3660 and 1 <= self.windows <= 120 and self.min_rows >= 2):
            raise InvalidInputError(
                "1 to 120 windows of 1 to 3660 days are watched, by 2 rows or more", field="outcomes", rule="range"
            )


WATCHED: Final[Mapping[str, tuple[str, ...]]] = {
    "lgd": ("bias", "mae", "gauc"),
    "ead": ("bias", "mae", "gauc"),
    "forecast": ("bias", "wape", "pinball", "coverage"),
}
"""Figures of realised amounts, by kind."""


class RobustnessStudy(_Part, frozen=True, kw_only=True):
    """How large the robustness tests are; without it they are not run.

    Attributes:
        seed: of all random draws.
        rows: of the validation sample that are stressed.
        noise: standard deviation of the noise, as a share of each feature's own spread.
        near: distance from a cut-off, in score units, within which a row is near it.
        missing: share of values that are taken away where the contract lets them be missing.
        attacked: applicants whose smallest change is sought.
        steps: of one search for a proof; what is not proven by then stays open.
        calls: scores that an attack without proof may ask for, per applicant.
        answers: sizes of the thief's sample, ascending.
    """

    seed: int
    rows: int
    noise: str
    near: str
    missing: str
    attacked: int
    steps: int
    calls: int
    answers: tuple[int, ...]

    def __post_init__(self) -> None:
        shares = [bound(text) or 0.0 for text in (self.noise, self.near, self.missing)]
        if not all(0 < share <= 1 for share in shares):
            raise InvalidInputError("noise, near and missing are above 0 and at most 1", field="robustness")
        sizes = (self.rows, self.attacked, self.steps, self.calls, *self.answers)
        if not self.answers or list(self.answers) != sorted(set(self.answers)) or min(sizes) < 10:
            raise InvalidInputError("the sizes of `robustness` are at least 10, and answers ascend", field="robustness")
        if max(self.rows, *self.answers) > 1_000_000 or max(self.attacked, self.calls, self.steps) > 100_000:
            raise InvalidInputError("the sizes of `robustness` are too large", field="robustness", rule="range")


class ValidationPolicy(_Part, frozen=True, kw_only=True):
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
                        battery = _tightened(battery, one)
                return battery
        raise EvidenceError(f"the validation policy `{self.version}` has no battery for kind `{kind}` of tier {tier}")


_ROLES: tuple[Role, ...] = ("information", "advisory", "gate")
_OUTCOMES: tuple[object, ...] = ("same-bytes", "within-tolerance")


def _tightened(battery: Battery, local: LocalRules) -> Battery:
    rules = {rule.test: rule for rule in battery.rules}
    for rule in local.rules:
        rules[rule.test] = _stricter(rules[rule.test], rule) if rule.test in rules else rule
    known = {(demand.section, str(demand.by)) for demand in battery.demanded}
    more = tuple(demand for demand in local.sections if (demand.section, str(demand.by)) not in known)
    sections = (*battery.demanded, *more) or msgspec.UNSET
    asked = [one.replication for one in (battery, local) if one.replication is not msgspec.UNSET]
    return Battery(
        kind=battery.kind,
        tier=battery.tier,
        rules=tuple(rules.values()),
        sections=sections,
        replication=min(asked, default=msgspec.UNSET, key=_OUTCOMES.index),
    )


def _stricter(one: Rule, other: Rule) -> Rule:
    role = max(one.role, other.role, key=_ROLES.index)
    return Rule(
        test=one.test,
        role=role,
        amber=_tighter(one.test, one.amber, other.amber) if role != "information" else None,
        fail=_tighter(one.test, one.fail, other.fail) if role == "gate" else None,
    )


def _tighter(test: str, one: str | None, other: str | None) -> str | None:
    if one is None or other is None:
        return one if other is None else other
    # which way a figure is better stands in the catalogue; a test that it does not know has no cut-off to compare
    if better_of(test) == "higher":
        return one if float(one) >= float(other) else other
    return one if float(one) <= float(other) else other


def judge(result: TestResult, rule: Rule | None) -> TestResult:
    """The result with its cut-offs and verdict. A test that the policy does not name is information."""
    if rule is None:
        role: Role = "information"
        return msgspec.structs.replace(result, role=role, verdict=_unjudged(result))
    verdict: Verdict = _unjudged(result)
    if verdict == "information" and rule.role != "information":
        figure = float(result.figure or "nan")
        verdict = "pass"
        if not _holds(figure, rule.amber, result.better):
            verdict = "amber"
        if rule.role == "gate" and not _holds(figure, rule.fail, result.better):
            verdict = "fail"
    return msgspec.structs.replace(result, role=rule.role, amber=rule.amber, fail=rule.fail, verdict=verdict)


def conclude(battery: Battery, tests: Sequence[TestResult]) -> tuple[BatteryVerdict, tuple[str, ...]]:
    """The battery's verdict over judged tests, and the reasons for anything but a pass."""
    failed: list[str] = []
    warned: list[str] = []
    for rule in battery.rules:
        answers = [test for test in tests if test.rule == rule.test]
        if rule.role == "information":
            continue
        if not answers:
            (failed if rule.role == "gate" else warned).append(f"`{rule.test}` is required, and no test answered it")
        for test in answers:
            if test.verdict == "not-evaluable":
                line = f"`{test.id}` could not be evaluated: {test.reason}"
                (failed if rule.role == "gate" else warned).append(line)
            elif test.verdict == "fail":
                failed.append(f"`{test.id}` is {float(test.figure or 0):.4g}, beyond {test.fail}")
            elif test.verdict == "amber":
                warned.append(f"`{test.id}` is {float(test.figure or 0):.4g}, beyond {test.amber}")
    if failed:
        return "fail", (*failed, *warned)
    return ("amber" if warned else "pass"), tuple(warned)


def _unjudged(result: TestResult) -> Verdict:
    return "not-evaluable" if result.figure is None else "information"


def _holds(figure: float, cut_off: str | None, better: Literal["higher", "lower"]) -> bool:
    # a comparison with NaN is false, so a missing cut-off or figure does not hold
    limit = float(cut_off or "nan")
    return figure >= limit if better == "higher" else figure <= limit
