"""How each kind of model is validated: which sandbox job, which sections, which rules by default.

A kind without a line here has a contract (`strongroom.registry.kinds`) and cannot be validated, so it cannot be
released either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from strongroom.errors import EvidenceError
from strongroom.registry.kinds import CONTRACTS, Kind, KindContract
from strongroom.validation.default_rules import RULES, Line
from strongroom.validation.results import Section


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidatedKind:
    """A kind with its battery.

    Attributes:
        contract: output, outcome column, decisions.
        battery: the sandbox job.
        sections: of the report, in its order.
        rules: the default policy's, by tier.
        monitors: what is watched live: `psi` of features and output; `outcomes` that callers post, 0 or 1; realised
            `amounts`, where the outcome is a number.
    """

    contract: KindContract
    battery: str
    sections: tuple[Section, ...]
    rules: tuple[Line, ...]
    monitors: tuple[str, ...]


def _kind(kind: Kind, sections: tuple[Section, ...]) -> ValidatedKind:
    contract = CONTRACTS[kind]
    return ValidatedKind(
        contract=contract,
        battery=f"strongroom.validation.jobs.{kind}_battery",
        sections=sections,
        rules=RULES[kind],
        monitors=("psi", "outcomes" if contract.outcome == "event" else "amounts"),
    )


_ESTIMATES: Final[tuple[Section, ...]] = (
    *("discrimination", "calibration", "stability", "fairness", "implementation", "data", "sensitivity"),
)

KINDS: Final[Mapping[str, ValidatedKind]] = {
    "pd": _kind(
        "pd",
        (
            "discrimination",
            "calibration",
            "lifetime",
            "stability",
            "fairness",
            "implementation",
            "data",
            "robustness",
            "sensitivity",
        ),
    ),
    "lgd": _kind("lgd", _ESTIMATES),
    "ead": _kind("ead", _ESTIMATES),
    "fraud": _kind(
        "fraud",
        (
            "discrimination",
            "cost",
            "stability",
            "fairness",
            "implementation",
            "data",
            "robustness",
            "sensitivity",
        ),
    ),
    "forecast": _kind("forecast", ("accuracy", "coverage", "stability", "implementation", "data", "sensitivity")),
}


def validated_kind(kind: str) -> ValidatedKind:
    """How a kind is validated.

    Raises:
        EvidenceError: there is no battery for it.
    """
    found = KINDS.get(kind)
    if found is None:
        raise EvidenceError(f"there is no battery for models of kind `{kind}`; it cannot be validated yet")
    return found
