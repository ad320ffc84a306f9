"""Every test that a battery can give: what it computes, where it comes from, when it has no answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from strongroom.errors import InvalidInputError
from strongroom.registry.contract import ModelContract
from strongroom.validation.entries.entry import OUTPUT, Entry
from strongroom.validation.entries.equity_entries import EQUITY_ENTRIES
from strongroom.validation.entries.every_kind_entries import EVERY_KIND_ENTRIES
from strongroom.validation.entries.forecast_entries import FORECAST_ENTRIES
from strongroom.validation.entries.fraud_entries import FRAUD_ENTRIES
from strongroom.validation.entries.lifetime_entries import LIFETIME_ENTRIES
from strongroom.validation.entries.loss_entries import LOSS_ENTRIES
from strongroom.validation.entries.pd_entries import PD_ENTRIES
from strongroom.validation.entries.reason_entries import REASON_ENTRIES
from strongroom.validation.entries.robustness_entries import ROBUSTNESS_ENTRIES
from strongroom.validation.results import Detail, NotEvaluable, TestResult, decimal
from strongroom.vocabulary import Digest

ENTRIES = (
    *PD_ENTRIES, *EQUITY_ENTRIES, *REASON_ENTRIES, *EVERY_KIND_ENTRIES, *LOSS_ENTRIES, *FRAUD_ENTRIES,
    *ROBUSTNESS_ENTRIES, *FORECAST_ENTRIES, *LIFETIME_ENTRIES,
)  # fmt: skip

CATALOGUE = {entry.rule: entry for entry in ENTRIES}


def better_of(rule: str) -> Literal["higher", "lower"]:
    """Which way a test's figure is better.

    Raises:
        InvalidInputError: the catalogue has no such rule.
    """
    return _entry(rule).better


def section_of(rule: str) -> str | None:
    """The section of a test; None of one that the catalogue does not have."""
    entry = CATALOGUE.get(rule)
    return None if entry is None else entry.section


def unit_of(rule: str, contract: ModelContract) -> str:
    """The unit of a test's figure for a model.

    Raises:
        InvalidInputError: the catalogue has no such rule.
    """
    entry = _entry(rule)
    return contract.output.unit if contract.kind in entry.in_output_unit else entry.unit


@dataclass(frozen=True, slots=True)
class Basis:
    """The sample that a figure stands on."""

    role: str
    sha256: Digest
    rows: int


def answer(
    rule: str,
    figure: float | int | NotEvaluable,
    sentence: str,
    basis: Basis,
    *,
    suffix: str = "",
    interval: tuple[float, float] | NotEvaluable | None = None,
    p_value: float | None = None,
    details: Sequence[tuple[str, float | int | str]] = (),
) -> TestResult:
    """A test's result in the words of the catalogue, not yet judged. `conclude` of an examination sets the unit.

    Args:
        rule: of the catalogue.
        figure: the figure, or why there is none.
        sentence: in plain language; replaced by the reason when there is no figure.
        basis: the sample.
        suffix: tells several answers to one rule apart.
        interval, p_value, details: as `TestResult` says.

    Raises:
        InvalidInputError: the catalogue has no such rule.
    """
    entry = _entry(rule)
    missing = figure if isinstance(figure, NotEvaluable) else None
    return TestResult(
        id=f"{rule}/{suffix}" if suffix else rule,
        rule=rule,
        title=f"{entry.title}: {suffix}" if suffix else entry.title,
        section=entry.section,
        sentence=f"Not evaluable: {missing.reason}." if missing else sentence,
        figure=None if isinstance(figure, NotEvaluable) else _text(figure),
        unit=entry.unit,
        better=entry.better,
        source=entry.source,
        sample=basis.role,
        sample_sha256=basis.sha256,
        n=basis.rows,
        interval=(decimal(interval[0]), decimal(interval[1])) if isinstance(interval, tuple) else None,
        p_value=None if p_value is None else decimal(p_value),
        reason=missing.reason if missing else None,
        details=tuple(Detail(name=name, value=v if isinstance(v, str) else _text(v)) for name, v in details),
    )


def in_its_words(test: TestResult, contract: ModelContract) -> bool:
    """Whether a result says of its test what the catalogue says: title, section, unit, source, which way is better."""
    entry = CATALOGUE.get(test.rule)
    if entry is None:
        return False
    suffix = test.id.removeprefix(f"{test.rule}/") if test.id != test.rule else ""
    return (test.id, test.title, test.section, test.unit, test.source, test.better) == (
        f"{test.rule}/{suffix}" if suffix else test.rule,
        f"{entry.title}: {suffix}" if suffix else entry.title,
        entry.section,
        unit_of(test.rule, contract),
        entry.source,
        entry.better,
    )


def reference_page() -> str:
    """The text of `docs/reference/validation-tests.md`."""
    lines = [
        "# Validation tests", "",
        "Every test that a battery can give. The page is made from `strongroom.validation.catalogue` (`python -m "
        "pytest tests/validation` "
        "compares them). Which of them block, warn or inform, and at which figure, says the signed validation policy "
        "(`src/strongroom/policies/validation.json`), per kind and tier. A test without an answer is `not-evaluable` "
        "with its reason, "
        "never a NaN; where it is a gate, the battery fails.", "",
    ]  # fmt: skip
    section = ""
    order = list(dict.fromkeys(entry.section for entry in ENTRIES))
    for entry in sorted(ENTRIES, key=lambda entry: order.index(entry.section)):
        if entry.section != section:
            section = entry.section
            lines += [f"## {section.capitalize()}", ""]
        lines += [
            f"### `{entry.rule}`: {entry.title}", "",
            f"- **Figure:** {entry.formula} (unit: {_units(entry)}; {entry.better} is better)",
            f"- **Source:** {entry.source}",
            f"- **Edge cases:** {entry.edge_cases}", "",
        ]  # fmt: skip
    return "\n".join(lines)


def _entry(rule: str) -> Entry:
    entry = CATALOGUE.get(rule)
    if entry is None:
        raise InvalidInputError(f"the catalogue has no test `{rule}`", rule="catalogue")
    return entry


def _units(entry: Entry) -> str:
    if not entry.in_output_unit:
        return entry.unit
    own = "" if entry.unit == OUTPUT else f"{entry.unit}; for {', '.join(entry.in_output_unit)} "
    return f"{own}that of the output"


def _text(value: float | int) -> str:
    return str(value) if isinstance(value, int) else decimal(value)
