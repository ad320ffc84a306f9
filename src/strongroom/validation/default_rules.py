"""The house's default rules for each kind and tier: `src/strongroom/policies/validation.json` is written from these.

Write the file anew with `python -m tools.write_policy`. A bank changes its policy by editing and signing its own
file, not here. Cut-offs without a supervisor's text behind them are the house's judgement, and the catalogue says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from strongroom.registry.kinds import Kind
from strongroom.validation.battery_rules import Battery, Rule, SectionDemand

Line = tuple[Rule | None, Rule | None, Rule | None]
"""How a test is judged in tier 1, 2 and 3; None where that tier does not name it."""


def gate(test: str, amber: str, fail: str, *, tier_2: str | None = None) -> Line:
    """A gate in every tier; `tier_2` is another figure to fail at in tiers 2 and 3."""
    rule = Rule(test=test, role="gate", amber=amber, fail=fail)
    lower = rule if tier_2 is None else Rule(test=test, role="gate", amber=amber, fail=tier_2)
    return rule, lower, lower


def advisory(test: str, amber: str) -> Line:
    """An advisory in every tier."""
    rule = Rule(test=test, role="advisory", amber=amber)
    return rule, rule, rule


def information(test: str) -> Line:
    """Shown in every tier, judged in none."""
    rule = Rule(test=test, role="information")
    return rule, rule, rule


def _gate(test: str, amber: str, fail: str) -> Rule:
    return Rule(test=test, role="gate", amber=amber, fail=fail)


def _advisory(test: str, amber: str) -> Rule:
    return Rule(test=test, role="advisory", amber=amber)


_JEFFREYS, _AIR, _DEFAULTS = "calibration.jeffreys-grades", "fairness.air", "data.defaults"
_ORDER = "sensitivity.scenario-order"
"""In tier 1 a model without stress scenarios is a warning, as one whose answer falls under them is."""

STABILITY: Final = (gate("stability.psi-score", "0.1", "0.25"), gate("stability.psi-features", "0.1", "0.25"))
PARITY: Final = gate("implementation.parity", "1e-06", "1e-05")
BOUNDS: Final = gate("implementation.bounds", "0", "0")
SENSE: Final = (
    advisory("data.lone-strength", "0.9"),
    advisory("data.special-categories", "0"),
    *map(information, ("data.telling-gaps", "data.repeats", "data.missing-change", "data.told-apart")),
    *map(information, ("sensitivity.effects", "sensitivity.stress", "sensitivity.weak-spots")),
    information("sensitivity.scenarios"),
    (_advisory(_ORDER, "0"), Rule(test=_ORDER, role="information"), Rule(test=_ORDER, role="information")),
)
"""Data quality and conceptual soundness, for kinds whose battery looks at them."""
SAMPLE: Final = (
    gate("data.contract", "0.001", "0.01"),
    advisory("data.overlap", "0.05"),
    information("data.subjects"),
)
MOMENTS: Final = (advisory("data.time-order", "0"), advisory("data.time-leaks", "0"))
"""Where the columns are optional: a sample without times is a warning, as one that leaks is. Name the columns, and make
both gates."""
DRIFT: Final = advisory("data.drift", "0.25")
FAIRNESS: Final = (
    (_gate(_AIR, "0.9", "0.8"), _gate(_AIR, "0.9", "0.8"), _advisory(_AIR, "0.8")),
    advisory("fairness.odds", "0.1"),
    advisory("fairness.calibration", "0.01"),
    advisory("fairness.smd", "0.3"),
    information("fairness.cdd"),
    information("fairness.common-odds"),
    advisory("fairness.intersections", "0.8"),
    advisory("fairness.proxies", "0.75"),
    advisory("fairness.alternatives", "0.05"),
)

_MONOTONE = "robustness.monotone"
REASONS: Final = (
    gate("explanation.additivity", "1e-05", "0.0001"),
    advisory("explanation.repeat", "1"),
    advisory("explanation.background", "0.7"),
    advisory("explanation.noise", "0.8"),
    advisory("explanation.margin", "0.2"),
    advisory("explanation.correlation", "0.9"),
    advisory("explanation.missing", "0"),
    advisory("explanation.faithfulness", "0.9"),
    advisory("explanation.proxies", "0.75"),
)
"""Asked of contracts with reason codes alone: `Battery.asked_of`."""
EXPLANATION: Final = (*REASONS, advisory("explanation.reference", "0.99"))
ROBUSTNESS: Final = (
    advisory("robustness.noise", "0.05"),
    advisory("robustness.near", "0.5"),
    advisory("robustness.missing", "0.1"),
    information("robustness.range"),
    (_gate(_MONOTONE, "0", "0"), _advisory(_MONOTONE, "0"), _advisory(_MONOTONE, "0")),
    information("robustness.change"),
    information("robustness.extraction"),
    advisory("robustness.membership", "0.6"),
)
"""A model that declares a monotone feature in tier 1 has to prove it."""

_ALARMS: Final = (
    advisory("fairness.false-alarms", "1.25"),
    advisory(_AIR, "0.8"),
    advisory("fairness.odds", "0.1"),
    *map(information, ("fairness.calibration", "fairness.smd", "fairness.cdd", "fairness.common-odds")),
    advisory("fairness.intersections", "0.8"),
    advisory("fairness.proxies", "0.75"),
)
"""Fairness of alarms. None is a gate: few houses hold protected attributes of payers, and an alarm is no refusal."""

_ESTIMATES: Final = (
    gate("discrimination.gauc", "0.55", "0.5"),
    gate("discrimination.gauc-change", "0.05", "0.1"),
    information("discrimination.somers-d"),
    information("discrimination.r-squared"),
    gate("calibration.t-test", "0.05", "0.01"),
    advisory("calibration.buckets", "0.01"),
    gate("calibration.shortfall", "0.05", "0.1"),
    information("calibration.mad"),
    advisory("calibration.downturn", "0.05"),
    *STABILITY,
    PARITY,
    BOUNDS,
    *SAMPLE,
    *MOMENTS,
    DRIFT,
    *SENSE,
    advisory("fairness.residual", "0.05"),
    *map(information, ("fairness.smd", "fairness.proxies")),
    *REASONS,
    advisory("sensitivity.simple-estimate", "-0.01"),
    gate("data.estimate-bounds", "0", "0.01"),
    advisory("data.outcome-bounds", "0.1"),
    (
        _gate("data.observations", "200", "100"),
        _gate("data.observations", "100", "50"),
        _gate("data.observations", "100", "50"),
    ),
)

RULES: Final[Mapping[Kind, tuple[Line, ...]]] = {
    "pd": (
        gate("discrimination.auc", "0.7", "0.65"),
        advisory("discrimination.auc-grades", "0.7"),
        information("discrimination.gini"),
        gate("discrimination.ks", "0.25", "0.2"),
        gate("discrimination.auc-change", "0.03", "0.06"),
        information("discrimination.champion"),
        gate("calibration.jeffreys-portfolio", "0.05", "0.01"),
        (_gate(_JEFFREYS, "0.05", "0.01"), _advisory(_JEFFREYS, "0.05"), _advisory(_JEFFREYS, "0.05")),
        information("calibration.binomial"),
        *map(information, ("lifetime.cumulative", "lifetime.sicr", "lifetime.losses", "lifetime.nonlinearity")),
        *map(information, ("calibration.binomial-correlated", "calibration.normal-years", "calibration.scale-mapping")),
        advisory("calibration.hosmer-lemeshow", "0.01"),
        advisory("calibration.spiegelhalter", "0.01"),
        advisory("calibration.line", "0.01"),
        information("calibration.brier"),
        advisory("calibration.inversions", "0"),
        *STABILITY,
        *map(information, ("stability.migration-upper", "stability.migration-lower", "stability.migration-z")),
        *map(information, ("stability.concentration-number", "stability.concentration-exposure")),
        *FAIRNESS,
        *EXPLANATION,
        PARITY,
        gate("implementation.flips", "0", "0", tier_2="2"),
        BOUNDS,
        *SAMPLE,
        *MOMENTS,
        DRIFT,
        *SENSE,
        information("sensitivity.benchmark"),
        (_gate(_DEFAULTS, "200", "100"), _gate(_DEFAULTS, "100", "50"), _gate(_DEFAULTS, "100", "50")),
        *ROBUSTNESS,
    ),
    "lgd": (*_ESTIMATES, information("calibration.time-in-default")),
    "ead": (
        *_ESTIMATES,
        gate("calibration.ead-t-test", "0.05", "0.01"),
        information("data.undrawn"),
        advisory("data.drawn-below-zero", "0.05"),
    ),
    "fraud": (
        gate("discrimination.average-precision", "0.4", "0.2"),
        information("discrimination.auc"),
        information("discrimination.precision-at-k"),
        gate("discrimination.value-at-k", "0.5", "0.3"),
        gate("cost.saving", "0.3", "0.0"),
        advisory("cost.threshold", "0.05"),
        advisory("stability.time", "0.01"),
        gate("stability.psi-score", "0.1", "0.25"),
        advisory("stability.psi-features", "0.25"),
        PARITY,
        gate("implementation.flips", "0", "0", tier_2="2"),
        BOUNDS,
        *SAMPLE,
        DRIFT,
        gate("data.time-order", "0", "0"),
        gate("data.frauds", "100", "50"),
        *_ALARMS,
        *SENSE,
        information("sensitivity.benchmark"),
        *EXPLANATION,
        *ROBUSTNESS,
    ),
    "forecast": (
        gate("accuracy.mase", "1.0", "1.5"),
        information("accuracy.wape"),
        information("accuracy.bias"),
        information("accuracy.pinball"),
        gate("accuracy.skill", "0.05", "0.0"),
        advisory("accuracy.dm-naive", "0.1"),
        advisory("accuracy.dm-seasonal", "0.1"),
        gate("coverage.kupiec", "0.05", "0.001"),
        information("coverage.interval"),
        information("coverage.winkler"),
        gate("coverage.crossing", "0", "0"),
        information("stability.psi-score"),
        information("stability.psi-features"),
        PARITY,
        BOUNDS,
        *SAMPLE,
        information("data.drift"),
        gate("data.look-ahead", "0", "0"),
        gate("data.origins", "24", "12"),
        advisory("data.foresight", "0.95"),
        advisory("data.special-categories", "0"),
        *map(information, ("data.telling-gaps", "data.repeats", "data.missing-change", "data.told-apart")),
        *map(information, ("sensitivity.effects", "sensitivity.stress")),
        advisory("sensitivity.weak-periods", "0"),
    ),
}


SECTIONS: Final[Mapping[int, tuple[SectionDemand, ...]]] = {
    1: (
        SectionDemand(section="intended-use", by="author"),
        SectionDemand(section="opinion", by="validator"),
        SectionDemand(section="limitations", by="author"),
    ),
}
"""What people must have written in the reports of the strictest tier before anybody approves."""


def batteries() -> tuple[Battery, ...]:
    """Every kind in every tier, as the policy lists them."""
    return tuple(
        Battery(
            kind=kind,
            tier=tier,
            rules=tuple(rule for line in lines if (rule := line[tier - 1]) is not None),
            sections=SECTIONS.get(tier, msgspec.UNSET),
        )
        for kind, lines in RULES.items()
        for tier in (1, 2, 3)
    )
