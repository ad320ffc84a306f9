"""One test of the catalogue: what it computes, where it comes from, when it has no answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from strongroom.registry.kinds import Kind
from strongroom.validation.results import Section

ECB: Final = "ECB, Instructions for reporting the validation results of internal models (2019)"
WP14: Final = "BCBS working paper 14 (2005)"
OUTPUT: Final = "output"
"""The unit of a test of kinds that all measure it in the unit of their output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One test of the catalogue; `docs/reference/validation-tests.md` says the same, and a test compares them.

    `in_output_unit`: kinds for which the figure is in the unit of the model's output; for others it is in `unit`.
    """

    rule: str
    title: str
    section: Section
    unit: str
    better: Literal["higher", "lower"]
    formula: str
    source: str
    edge_cases: str
    in_output_unit: tuple[Kind, ...] = ()
