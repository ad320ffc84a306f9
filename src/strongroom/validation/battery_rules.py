"""What the policy demands of a battery, how strict rules of places make it stricter, and how a result is judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from strongroom.errors import InvalidInputError
from strongroom.registry.contract import ModelContract, bound
from strongroom.validation.catalogue import better_of, section_of
from strongroom.validation.results import Role, TestResult, Verdict
from strongroom.validation.sections import TITLES, WRITERS, SectionKey
from strongroom.vocabulary import parse_jurisdiction

BatteryVerdict = Literal["pass", "amber", "fail"]
ReplicationDemand = Literal["same-bytes", "within-tolerance"]
"""What must have come of training a model again: the same bytes, or at least a model that answers alike."""


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the policy; a word that we do not know could be a rule, so it is refused."""


class Rule(Part, frozen=True, kw_only=True):
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


class SectionDemand(Part, frozen=True, kw_only=True):
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


class Battery(Part, frozen=True, kw_only=True):
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


class LocalRules(Part, frozen=True, kw_only=True):
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


_ROLES: tuple[Role, ...] = ("information", "advisory", "gate")
_OUTCOMES: tuple[object, ...] = ("same-bytes", "within-tolerance")


def tightened(battery: Battery, local: LocalRules) -> Battery:
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
