"""The twenty sections of the report of a model, in the order in which every committee finds them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

SectionKey = Literal[
    "identity",
    "intended-use",
    "opinion",
    "data",
    "method",
    "development",
    "outcomes",
    "sensitivity",
    "fairness",
    "oversight",
    "parity",
    "security",
    "capital",
    "limitations",
    "findings",
    "monitoring",
    "history",
    "privacy",
    "independence",
    "approvals",
]

TITLES: Final[Mapping[SectionKey, str]] = MappingProxyType(
    {
        "identity": "Identity and tier",
        "intended-use": "Intended use",
        "opinion": "Opinion and conditions",
        "data": "Data",
        "method": "Method",
        "development": "Development",
        "outcomes": "Outcomes",
        "sensitivity": "Sensitivity",
        "fairness": "Fairness and explanation",
        "oversight": "Oversight",
        "parity": "Implementation parity",
        "security": "Security and supply chain",
        "capital": "Capital impact",
        "limitations": "Limitations and overlays",
        "findings": "Findings",
        "monitoring": "Monitoring plan",
        "history": "Change history",
        "privacy": "Privacy assessments",
        "independence": "Independence",
        "approvals": "Approvals and proof",
    }
)
"""Titles by key, in the report's order."""

WRITERS: Final = frozenset({"approver", "author", "dpo", "operator", "risk", "validator"})
"""Roles of those whose words may stand in a report."""

_PLACES: Final[Mapping[str, SectionKey]] = MappingProxyType(
    {
        "data": "data",
        "stability": "data",
        "fairness": "fairness",
        "explanation": "fairness",
        "implementation": "parity",
        "sensitivity": "sensitivity",
        "robustness": "sensitivity",
        "capital": "capital",
        "security": "security",
        "monitoring": "monitoring",
    }
)


def place_of(section: str) -> SectionKey:
    """Where the tests of a battery's section stand: what nobody placed elsewhere is an outcome."""
    return _PLACES.get(section, "outcomes")
