"""What a model's signed results come to in capital: risk weights and expected loss at its estimates, and at what came.

A report speaks of a model, not of a portfolio: every obligor, loss or commitment of the validation sample weighs the
same, and what the model does not estimate is put in at a stated value. The amounts of a portfolio are the business of
`strongroom plan`. Everything here is a function of the results alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from msgspec import UnsetType

from strongroom.planning.classes import CORPORATE, MORTGAGE, RETAIL, REVOLVER, Floats
from strongroom.planning.irb import MATURITY_STANDARD, weigh
from strongroom.registry.contract import ModelContract
from strongroom.validation.reporting import drawing
from strongroom.validation.reporting.blocks import Block, Grid, Note, Plot, Plots
from strongroom.validation.results import BUCKETS_TITLE, MEANS_TITLE, BatteryResults, Chart, GradeRow, Series, decimal

LGD: Final = 0.45
"""Put in where a model does not estimate it; capital and expected loss are proportional to it (CRE31.5, CRE35.3)."""
STEPS: Final = 51
"""PDs over an interval at which the formula is looked at."""
PDS: Final = (0.01, 0.05)
"""Put in where a model does not estimate it."""
PD_FLOORS: Final = {CORPORATE: 0.0005, MORTGAGE: 0.0005, REVOLVER: 0.001, RETAIL: 0.0005}
"""CRE32.4, CRE32.58."""
LGD_FLOOR: Final = 0.30
"""Of unsecured retail exposures (CRE32.58)."""
NAMES: Final = {
    CORPORATE: f"Corporate, {MATURITY_STANDARD:g} years", MORTGAGE: "Residential mortgage",
    REVOLVER: "Qualifying revolving (revolver)", RETAIL: "Other retail",
}  # fmt: skip
DASH = "–"  # noqa: RUF001  # an en dash for 'none' is what a reader expects


class Weighted(NamedTuple):
    """Capital of a sample whose members weigh the same.

    Attributes:
        density: mean risk weight, a fraction.
        loss: mean expected loss, a fraction of the exposure.
    """

    density: float
    loss: float


def capital_impact(
    contract: ModelContract, results: BatteryResults | None, before: BatteryResults | None = None, /
) -> tuple[Block, ...]:
    """The report's section on capital.

    Args:
        contract: of the model.
        results: of its battery; none where it was not validated.
        before: of the version that it replaces.
    """
    if results is None:
        return ()
    drawn = CHAPTERS.get(contract.kind)
    if drawn is None:
        return (
            Note("No capital formula asks for a model of this kind: its figures move no risk weight by themselves."),
        )
    return tuple(drawn(contract, results, before))


def weighted(code: int, pd: Sequence[float], counts: Sequence[int], lgd: float = LGD) -> Weighted:
    """Risk weight and expected loss of obligors with these PDs.

    Args:
        code: exposure class.
        pd: fractions, one a grade; the class's floor is put in.
        counts: obligors of each grade, one at least in all.
        lgd: fraction.

    Source: CRE31.5, CRE31.14 to CRE31.16, CRE35.3; floors CRE32.4 and CRE32.58.
    """
    floored = np.maximum(np.asarray(pd, np.float64), PD_FLOORS[code])
    weights = risk_weights(code, floored, lgd)
    share = np.asarray(counts, np.float64) / sum(counts)
    return Weighted(float(share @ weights), float(share @ (floored * lgd)))


def risk_weights(code: int, pd: Floats, lgd: float) -> Floats:
    """Risk weights of one class as fractions. Shape [grades]."""
    classes = np.full(pd.shape, code, np.int8)
    other = np.full(pd.shape, np.nan)
    maturity = np.full(pd.shape, MATURITY_STANDARD)
    return weigh(classes, pd, np.full(pd.shape, lgd), maturity, other, np.zeros(pd.shape, np.bool_)).weight


def _pd(_: ModelContract, results: BatteryResults, before: BatteryResults | None) -> Iterable[Block]:
    grades = [row for row in results.grades if row.n and row.mean_pd and row.rate]
    if not grades:
        yield Note("No grade of the rating scale is filled, so no risk weight can be given.")
        return
    counts = [row.n for row in grades]
    built = next((s for s in results.samples if s.role == "development" and s.defaults is not None), None)
    flat = None if built is None or not built.rows else [(built.defaults or 0) / built.rows] * len(grades)
    told = {
        "at the model's PDs": [float(row.mean_pd or 0) for row in grades],
        "at the observed default rates": [float(row.rate or 0) for row in grades],
        **({"at the development sample's mean": flat} if flat else {}),
    }
    found = {name: {code: weighted(code, pd, counts) for code in NAMES} for name, pd in told.items()}
    if before is not None and (old := [row for row in before.grades if row.n and row.mean_pd]):
        pds, numbers = [float(row.mean_pd or 0) for row in old], [row.n for row in old]
        found["of the version before, on its sample"] = {code: weighted(code, pds, numbers) for code in NAMES}
    yield Note(
        f"Were every obligor of the validation sample an exposure of the same size, with an LGD of {LGD:.0%}, the "
        "internal ratings-based approach would ask for the risk weights below. The mean PD of each grade enters, not "
        "below the floor of its class; capital is 8% of the risk weight. A risk weight below the observed one says "
        "that the model asks for too little capital on this sample, by chance or not: section 7 tells which."
    )
    first, second = list(found.values())[:2]
    rows = tuple(
        (
            NAMES[code],
            *(_percent(one[code].density) for one in found.values()),
            f"{100 * (first[code].density - second[code].density):+.1f} points",
        )
        for code in NAMES
    )
    heads = ("Exposure class", *(f"Risk weight {name}" for name in found), "Model less observed")
    caption = f"Source: CRE31.5 and CRE31.14 to CRE31.16; PD floors CRE32.4 and CRE32.58. LGD {LGD:.0%} throughout."
    yield Grid("Risk weight", caption, heads, (False, *[True] * (len(found) + 1)), rows)
    losses = tuple(
        (
            name,
            _percent(one[RETAIL].loss, 2),
            DASH if one is second else f"{100 * (one[RETAIL].loss - second[RETAIL].loss):+.2f} points",
        )
        for name, one in found.items()
    )
    yield Grid(
        "Expected loss", f"Share of the exposure, PD times an LGD of {LGD:.0%} (CRE35.3).",
        ("Expected loss", "Share", "Against observed"), (False, True, True), losses,
    )  # fmt: skip
    yield from _by_grade(grades)


def _by_grade(grades: Sequence[GradeRow]) -> Iterable[Block]:
    def at(values: Sequence[float]) -> Floats:
        return risk_weights(RETAIL, np.maximum(np.asarray(values, np.float64), PD_FLOORS[RETAIL]), LGD)

    model, came = (at([float(getattr(row, name)) for row in grades]) for name in ("mean_pd", "rate"))
    ends = np.array([_ends(row, at) for row in grades]).T
    rows = tuple(
        (
            str(row.grade), f"{row.n:,}", _percent(float(row.mean_pd or 0), 2), _percent(float(row.rate or 0), 2),
            _percent(model[i]), _percent(came[i]),
            f"{_percent(ends[0, i])} to {_percent(ends[1, i])}" if row.interval else DASH,
        )
        for i, row in enumerate(grades)
    )  # fmt: skip
    heads = ("Grade", "Obligors", "Mean PD", "Default rate", "Risk weight, model", "Risk weight, observed", "Interval")
    caption = f"Other retail, LGD {LGD:.0%}; the interval is the default rate's, put through the formula."
    yield Grid("Risk weight by grade", caption, heads, (False, *[True] * 6), rows)
    series = [
        Series(
            name="at the default rate, with its interval", form="points", style="rate",
            points=tuple((str(row.grade), decimal(came[i])) for i, row in enumerate(grades)),
            low=tuple(map(decimal, ends[0])), high=tuple(map(decimal, ends[1])),
        ),
        Series(
            name="at the model's PD", form="points", style="pd",
            points=tuple((str(row.grade), decimal(model[i])) for i, row in enumerate(grades)),
        ),
    ]  # fmt: skip
    yield _plot(
        "Risk weight by grade", f"Other retail with an LGD of {LGD:.0%}: what the model asks for, and what came would.",
        "grade (1 is the best)", "risk weight", series,
    )  # fmt: skip


def _ends(row: GradeRow, at: Callable[[Sequence[float]], Floats]) -> tuple[float, float]:
    """Lowest and highest weight over the interval of the default rate: weights fall again beyond a PD of some 30%."""
    low, high = (float(end) for end in row.interval or (row.rate or "0", row.rate or "0"))
    weights = at([*np.linspace(low, high, STEPS), float(row.rate or 0)])
    return float(weights.min()), float(weights.max())


def _lgd(contract: ModelContract, results: BatteryResults, before: BatteryResults | None) -> Iterable[Block]:
    found = _levels(results, before)
    if not found:
        yield Note("The estimates fill no bucket, so no risk weight can be given.")
        return
    yield Note(
        "Capital and expected loss are proportional to the LGD. Were every loss of the validation sample an exposure "
        "of the same size in the class other retail, these risk weights would follow; capital is 8% of the risk weight."
    )
    add_on = contract.downturn_add_on
    rows = []
    for name, level in found.items():
        entered = max(level + (0.0 if name in (OBSERVED, BUILT) else add_on), 0.0)
        weights = risk_weights(RETAIL, np.array(PDS), entered)
        floored = f"{_percent(entered)}{', below the floor' if entered < LGD_FLOOR else ''}"
        losses = (_percent(pd * entered, 2) for pd in PDS)
        rows.append((name, _percent(level), floored, *(_percent(weight) for weight in weights), *losses))
    more = f", the model's with the downturn add-on of {add_on:g}" if add_on else ""
    caption = (
        f"Mean LGD{more}; CRE31.16, CRE35.3. The floor of unsecured retail is {LGD_FLOOR:.0%} (CRE32.58); it is named "
        "and not put in, so that the model is seen."
    )
    heads = (
        "LGD", "Mean", "Enters with",
        *(f"Risk weight at PD {pd:.0%}" for pd in PDS), *(f"Expected loss at PD {pd:.0%}" for pd in PDS),
    )  # fmt: skip
    yield Grid("Risk weight and expected loss", caption, heads, (False, *[True] * 6), tuple(rows))


def _ead(_: ModelContract, results: BatteryResults, before: BatteryResults | None) -> Iterable[Block]:
    found = _levels(results, before)
    if not found:
        yield Note("The estimates fill no bucket, so no risk-weighted amount can be given.")
        return
    yield Note(
        "Of each 100 that are undrawn, this much counts as exposure, and comes to these risk-weighted amounts and "
        f"expected losses in the class other retail with an LGD of {LGD:.0%}. Every commitment of the validation "
        "sample weighs the same; capital is 8% of the risk-weighted amount."
    )
    weights = risk_weights(RETAIL, np.array(PDS), LGD)
    rows = tuple(
        (
            name, f"{100 * level:.1f}", *(f"{100 * level * weight:.1f}" for weight in weights),
            *(f"{100 * level * pd * LGD:.2f}" for pd in PDS),
        )
        for name, level in found.items()
    )  # fmt: skip
    heads = (
        "Conversion factor", "Exposure",
        *(f"Risk-weighted at PD {pd:.0%}" for pd in PDS), *(f"Expected loss at PD {pd:.0%}" for pd in PDS),
    )  # fmt: skip
    yield Grid(
        "For each 100 undrawn", "CRE31.16, CRE32.30, CRE35.3; the floor of CRE32.31 is not put in.",
        heads, (False, *[True] * 5), rows,
    )  # fmt: skip


OBSERVED: Final = "realised on the validation sample"
BUILT: Final = "realised on the development sample"


def _levels(results: BatteryResults, before: BatteryResults | None) -> Mapping[str, float]:
    """Mean estimate, mean outcome now and in development, and the estimate of the version before, as signed."""
    mine = _means(results)
    if mine is None:
        return {}
    found = {"estimated by the model": mine[0], OBSERVED: mine[1]}
    built = _built(results)
    if built is not None:
        found[BUILT] = built
    old = None if before is None else _means(before)
    return found if old is None else {**found, "estimated by the version before, on its sample": old[0]}


def _means(results: BatteryResults) -> tuple[float, float] | None:
    """Means of estimates and outcomes over all rows in buckets."""
    tables = () if isinstance(results.tables, UnsetType) else results.tables
    for table in tables:
        if table.title == BUCKETS_TITLE:
            rows = [(float(row[2]), float(row[3]), float(row[4])) for row in table.rows if row[2] and row[3] and row[4]]
            total = sum(count for count, _, _ in rows)
            if total:
                return sum(n * told for n, told, _ in rows) / total, sum(n * came for n, _, came in rows) / total
    return None


def _built(results: BatteryResults) -> float | None:
    """Mean outcome of the development sample; results from before this table have none."""
    tables = () if isinstance(results.tables, UnsetType) else results.tables
    rows = [row for table in tables if table.title == MEANS_TITLE for row in table.rows if row[0] == "development"]
    return float(rows[0][2]) if rows and rows[0][2] else None


def _percent(share: float, places: int = 1) -> str:
    return f"{100 * share:.{places}f}%"


def _plot(title: str, words: str, x: str, y: str, series: Sequence[Series]) -> Plots:
    # a chart belongs to a section of a battery; this one is placed by whoever asks for it
    told = Chart(section="calibration", title=title, words=words, x=x, y=y, percent="y", series=tuple(series))
    made = drawing.chart(told)
    return Plots((Plot(made.name, made.words, str(made.svg)),))


_Chapter = Callable[[ModelContract, BatteryResults, BatteryResults | None], Iterable[Block]]
CHAPTERS: Final[Mapping[str, _Chapter]] = {"pd": _pd, "lgd": _lgd, "ead": _ead}
"""Kinds whose estimates enter a capital formula."""
