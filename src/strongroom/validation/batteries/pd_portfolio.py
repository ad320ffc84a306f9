"""Tests of a rating system that ask for more than score and outcome: years, exposures, earlier grades, a champion.

Each further column is optional. Where it is not there, the test says so and names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
from msgspec import UNSET, UnsetType

from strongroom.validation.catalogue import Basis, answer
from strongroom.validation.results import MATRIX_TITLE, Column, NotEvaluable, Table, TestResult
from strongroom.validation.statistics import calibration, discrimination, migration
from strongroom.validation.statistics.grading import Scale

Floats = npt.NDArray[np.float64]

TIMES = (1900, 2200)
"""Years outside are an error of the data."""


class Sample(Protocol):
    """A scored sample: `strongroom.validation.batteries.scored.Scored` is one."""

    @property
    def basis(self) -> Basis: ...
    @property
    def outcome(self) -> npt.NDArray[np.int64]: ...
    @property
    def pd(self) -> Floats: ...


@dataclass(frozen=True, slots=True)
class Columns:
    """Further columns of one sample.

    Attributes:
        role: of the sample.
        names: the column's name by what it holds, as the contract says.
        values: by what they hold; NaN where missing. A column that the contract names and the sample lacks is absent.
    """

    role: str
    names: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Floats] = field(default_factory=dict)

    def get(self, what: str) -> Floats | NotEvaluable:
        """A column, or which one is missing and where to name it."""
        if what not in self.names:
            return NotEvaluable(
                f"the contract names no column with the {_words(what)}; name it as `{what}` in [outcome]"
            )
        if what not in self.values:
            return NotEvaluable(f"the {self.role} sample has no column `{self.names[what]}` with the {_words(what)}")
        return self.values[what]

    def complete(self, what: str, *, low: float, high: float, whole: bool) -> Floats | NotEvaluable:
        """A column without gaps whose numbers all lie from `low` to `high`."""
        found = self.get(what)
        if isinstance(found, NotEvaluable):
            return found
        fits = np.isfinite(found) & (found >= low) & (found <= high)
        if whole:
            fits &= found == np.rint(np.where(np.isfinite(found), found, 0.5))
        if not fits.all():
            kind, wrong = "whole numbers" if whole else "numbers", int((~fits).sum())
            return NotEvaluable(
                f"column `{self.names[what]}` does not hold {kind} from {low:g} to {high:g} in {wrong} rows"
            )
        return found


def champion_test(validation: Sample, columns: Columns, level: float) -> TestResult:
    """DeLong's test of this model against the champion's scores on the same rows."""
    rule, basis = "discrimination.champion", validation.basis
    champion = columns.get("champion")
    if isinstance(champion, NotEvaluable):
        return answer(rule, champion, "", basis)
    found = discrimination.paired(validation.outcome, validation.pd, champion)
    if isinstance(found, NotEvaluable):
        return answer(rule, found, "", basis)
    gain = found.first - found.second
    word = "more" if gain > 0 else "less" if gain < 0 else "as much"
    sentence = f"The AUC is {found.first:.4f}, the champion's {found.second:.4f} on the same rows: it separates {word}."
    return answer(
        rule, gain, sentence, basis, interval=found.interval(level), p_value=found.p_value,
        details=[("z", found.z), ("champion's AUC", found.second)],
    )  # fmt: skip


def correlated_test(validation: Sample, correlation: float | None) -> TestResult:
    """The binomial test where one common factor moves all obligors."""
    rule, basis = "calibration.binomial-correlated", validation.basis
    if correlation is None:
        return answer(rule, NotEvaluable("the policy documents no asset correlation"), "", basis)
    n, defaults, mean = validation.outcome.size, int(validation.outcome.sum()), float(validation.pd.mean())
    tail = calibration.binomial_correlated(n, defaults, mean, correlation)
    sentence = (
        f"Chance of at least as many defaults at the mean PD if one common factor moves all obligors, with an asset "
        f"correlation of {correlation:g}."
    )
    return answer(
        rule, tail, sentence, basis, details=[("asset correlation", correlation), ("mean PD", mean)]
    )  # fmt: skip


def years_test(validation: Sample, columns: Columns) -> TestResult:
    """The normal test over yearly default rates."""
    rule, basis = "calibration.normal-years", validation.basis
    year = columns.complete("year", low=TIMES[0], high=TIMES[1], whole=True)
    if isinstance(year, NotEvaluable):
        return answer(rule, year, "", basis)
    years, place = np.unique(year, return_inverse=True)
    rows = np.bincount(place)
    rates = np.bincount(place, weights=validation.outcome) / rows
    means = np.bincount(place, weights=validation.pd) / rows
    found = calibration.normal_test(rates, means)
    if isinstance(found, NotEvaluable):
        return answer(rule, found, "", basis)
    above = int((rates > means).sum())
    sentence = f"In {above} of {years.size} years more obligors defaulted than the mean PD said."
    return answer(
        rule, found.upper, sentence, basis, details=[("z", found.z), ("years", years.size), ("years above", above)]
    )


def migration_tests(validation: Sample, scale: Scale, columns: Columns) -> tuple[list[TestResult], Table | None]:
    """Matrix weighted bandwidths, and whether migration grows rarer with distance; with the matrix."""
    rules = ("stability.migration-upper", "stability.migration-lower", "stability.migration-z")
    basis, grades = validation.basis, len(scale.edges) + 1
    before = columns.get("previous_grade")
    if isinstance(before, NotEvaluable):
        return [answer(rule, before, "", basis) for rule in rules], None
    rated = np.isfinite(before)
    whole = rated & (before >= 1) & (before <= grades) & (before == np.rint(np.where(rated, before, 0.5)))
    missing: NotEvaluable | None = None
    if grades < 2:
        missing = NotEvaluable("the rating scale has one grade")
    elif (rated & ~whole).any():
        missing = NotEvaluable(
            f"column `{columns.names['previous_grade']}` does not hold grades 1 to {grades} of the policy's scale in "
            f"{int((rated & ~whole).sum())} rows"
        )
    if missing is not None:
        return [answer(rule, missing, "", basis) for rule in rules], None
    counts = np.zeros((grades, grades))
    np.add.at(counts, (before[rated].astype(np.int64) - 1, scale.assign(validation.pd[rated]) - 1), 1)
    wide = migration.weighted_bandwidth(counts)
    if isinstance(wide, NotEvaluable):
        return [answer(rule, wide, "", basis) for rule in rules], None
    told: list[tuple[str, float | int | str]] = [("obligors with an earlier grade", int(rated.sum()))]
    worse, better = int(np.triu(counts, 1).sum()), int(np.tril(counts, -1).sum())
    found = [
        answer(rules[0], wide.upper, f"{worse:,} obligors moved to a worse grade.", basis, details=told),
        answer(rules[1], wide.lower, f"{better:,} obligors moved to a better grade.", basis, details=told),
        _monotone(rules[2], counts, basis),
    ]
    return found, _matrix(counts)


def concentration_tests(
    development: Sample, validation: Sample, scale: Scale, first: Columns, now: Columns
) -> list[TestResult]:
    """Do ratings pile up in few grades more than they did, by number and by exposure?"""
    number = _concentration("stability.concentration-number", development, validation, scale, (None, None), "obligors")
    rule = "stability.concentration-exposure"
    weights = [columns.complete("exposure", low=0.0, high=1e15, whole=False) for columns in (first, now)]
    for weight in weights:
        if isinstance(weight, NotEvaluable):
            return [number, answer(rule, weight, "", validation.basis)]
    old, new = (None if isinstance(weight, NotEvaluable) else weight for weight in weights)
    return [number, _concentration(rule, development, validation, scale, (old, new), "exposure")]


def mapping_test(validation: Sample, scale: Scale, columns: Columns) -> TestResult:
    """Does the grade that the bank's system gave fit the PD, by the policy's scale?"""
    rule, basis, grades = "calibration.scale-mapping", validation.basis, len(scale.edges) + 1
    given = columns.complete("grade", low=1, high=grades, whole=True)
    if isinstance(given, NotEvaluable):
        return answer(rule, given, "", basis)
    mapped = scale.assign(validation.pd)
    far = np.abs(given - mapped)
    counts = np.bincount(mapped - 1, minlength=grades)
    sentence = (
        f"{int((far > 0).sum()):,} of {far.size:,} obligors have another grade than their PD gives; "
        f"{int((far > 1).sum()):,} are more than one grade away."
    )
    return answer(
        rule, float((far > 0).mean()), sentence, basis,
        details=[
            ("more than one grade away", int((far > 1).sum())), ("largest distance in grades", int(far.max())),
            ("filled grades", int((counts > 0).sum())), ("grades", grades),
            ("largest share in one grade", float(counts.max() / far.size)),
        ],
    )  # fmt: skip


def portfolio_tests(
    development: Sample, validation: Sample, scale: Scale, columns: tuple[Columns, Columns], *,
    level: float, correlation: float | None,
) -> tuple[list[TestResult], tuple[Table, ...] | UnsetType]:  # fmt: skip
    """All tests of this module, and the migration matrix where there is one.

    Args:
        scale: the policy's.
        columns: of the development and of the validation sample.
        level: of intervals.
        correlation: of asset values, by the policy; None where it documents none.
    """
    first, now = columns
    moves, matrix = migration_tests(validation, scale, now)
    tests = [
        champion_test(validation, now, level),
        correlated_test(validation, correlation),
        years_test(validation, now),
        mapping_test(validation, scale, now),
        *moves,
        *concentration_tests(development, validation, scale, first, now),
    ]
    return tests, UNSET if matrix is None else (matrix,)


def _matrix(counts: Floats) -> Table:
    grades = range(1, len(counts) + 1)
    return Table(
        section="stability",
        title=MATRIX_TITLE,
        caption="Obligors by their grade a year before (rows) and now (columns); grade 1 has the lowest PD.",
        columns=(Column(name="from grade", unit="text"), *(Column(name=str(k), unit="count") for k in grades)),
        rows=tuple((str(k), *(str(int(n)) for n in counts[k - 1])) for k in grades),
    )


def _monotone(rule: str, counts: Floats, basis: Basis) -> TestResult:
    cells = [
        (cell, *found) for cell, found in sorted(migration.migration_z(counts).items())
        if not isinstance(found, NotEvaluable)
    ]  # fmt: skip
    if not cells:
        return answer(rule, NotEvaluable("no cell beside the diagonal has a variance"), "", basis)
    adjusted = calibration.holm([p for _, _, p in cells])
    worst = min(range(len(cells)), key=lambda i: (adjusted[i], i))
    (start, end), z, p = cells[worst]
    sentence = (
        f"Of {len(cells)} cells, the move from grade {start} to {end} speaks most against migration that grows rarer "
        "with distance."
    )
    return answer(
        rule, adjusted[worst], sentence, basis,
        details=[("from grade", start), ("to grade", end), ("z", z), ("unadjusted p", p), ("cells", len(cells))],
    )  # fmt: skip


def _concentration(
    rule: str, development: Sample, validation: Sample, scale: Scale,
    weights: tuple[Floats | None, Floats | None], what: str,
) -> TestResult:  # fmt: skip
    grades = len(scale.edges) + 1
    then, now = (
        np.bincount(scale.assign(sample.pd) - 1, weights=weight, minlength=grades).astype(np.float64)
        for sample, weight in zip((development, validation), weights, strict=True)
    )
    found = migration.concentration(now, then)
    if isinstance(found, NotEvaluable):
        return answer(rule, found, "", validation.basis)
    top = int(np.argmax(now))
    sentence = (
        f"The Herfindahl index of the {what} over {grades} grades is {found.index:.3f}, {found.initial_index:.3f} at "
        f"development; grade {top + 1} holds {now[top] / now.sum():.1%}."
    )
    return answer(
        rule, found.p_value, sentence, validation.basis,
        details=[
            ("index", found.index), ("index at development", found.initial_index), ("statistic", found.statistic),
            ("coefficient of variation", found.variation), ("filled grades", int((now > 0).sum())),
        ],
    )  # fmt: skip


def _words(what: str) -> str:
    words = {
        "previous_grade": "earlier grade",
        "champion": "champion's score",
        "booked_loss": "expected loss that was booked",
        "realised_loss": "loss that came",
    }
    return words.get(what, what)
