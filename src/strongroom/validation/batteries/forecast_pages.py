"""Tables and pictures of a back-test, for the report."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from strongroom.registry.contract import ModelContract
from strongroom.registry.series import MEDIAN
from strongroom.validation.batteries.forecast import Backtest, Known, series_of
from strongroom.validation.results import Chart, Column, NotEvaluable, Series, Table, decimal
from strongroom.validation.statistics import forecasting

HISTORY = 24
"""Periods before the last origin that the fan is drawn with."""


def by_horizon(found: Backtest, contract: ModelContract) -> Table:
    """Errors and coverage for each horizon."""
    unit, rows = contract.output.unit, []
    low, high = found.quantiles[:, 0], found.quantiles[:, -1]
    for h in sorted(set(found.horizon.tolist())):
        at = found.horizon == h
        y, f = found.actual[at], found.median[at]
        errors = [_mean(np.abs(y - guess)) for guess in (f, found.plain[at], found.seasonal[at])]
        inside = (
            forecasting.inside(y, low[at], high[at]) / int(at.sum()) if np.isfinite(found.quantiles).all() else None
        )
        share = forecasting.weighted_error(y, f) if np.isfinite(f).all() else NotEvaluable("a forecast is not finite")
        rows.append(
            (
                str(h), str(int(at.sum())), *errors, None if isinstance(share, NotEvaluable) else decimal(share),
                None if inside is None else decimal(inside),
            )
        )  # fmt: skip
    heads = (
        ("Horizon", "text"), ("Forecasts", "count"), ("MAE", unit), ("Naive", unit), ("Seasonal naive", unit),
        ("WAPE", "share"), ("In the interval", "share"),
    )  # fmt: skip
    return Table(
        section="accuracy",
        title="By horizon",
        caption=f"Periods ahead, in {series_of(contract).frequency}s. Errors are those of the median; the "
        f"interval promises {found.promised:.0%}.",
        columns=tuple(Column(name=name, unit=unit) for name, unit in heads),
        rows=tuple(rows),
    )


def charts(found: Backtest, known: Known, contract: ModelContract) -> tuple[Chart, ...]:
    """The fan from the last complete origin, and coverage by horizon."""
    if not np.isfinite(found.quantiles).all():
        return ()
    return (_fan(found, known, contract), *([_coverage(found)] if len(found.levels) > 1 else []))


def _fan(found: Backtest, known: Known, contract: ModelContract) -> Chart:
    horizons = len(set(found.horizon.tolist()))
    full = [int(o) for o in set(found.origin.tolist()) if int((found.origin == o).sum()) == horizons]
    last = max(full or found.origin.tolist())
    at = found.origin == last
    target, told = found.origin[at] + found.horizon[at], found.quantiles[at]
    bands = [
        Series(
            name=f"{(found.levels[-1 - i] - found.levels[i]) / 1000:.0%} interval", form="band", style="wash",
            points=tuple((decimal(t), decimal(v)) for t, v in zip(target, told[:, i], strict=True)),
            low=tuple(decimal(v) for v in told[:, i]), high=tuple(decimal(v) for v in told[:, -1 - i]),
        )
        for i in range(len(found.levels) // 2)
    ]  # fmt: skip
    median = told[:, found.levels.index(MEDIAN)]
    past = [
        (period, float(known.values[period - known.first]))
        for period in range(max(known.first, last - HISTORY), int(target.max()) + 1)
        if np.isfinite(known.values[period - known.first])
    ]
    return Chart(
        section="accuracy",
        title=f"Fan from period {last}",
        words="The last origin of the back-test: the median and the intervals between quantiles, and what came "
        "(line with the history before).",
        x="period", y=f"{contract.output.name} ({contract.output.unit})",
        series=(
            *bands,
            Series(
                name="what came", form="line", style="chance",
                points=tuple((decimal(a), decimal(b)) for a, b in past),
            ),
            Series(
                name="median", form="line", style="curve",
                points=tuple((decimal(t), decimal(v)) for t, v in zip(target, median, strict=True)),
            ),
        ),
    )  # fmt: skip


def _coverage(found: Backtest) -> Chart:
    horizons = sorted(set(found.horizon.tolist()))
    low, high, points = found.quantiles[:, 0], found.quantiles[:, -1], []
    for h in horizons:
        at = found.horizon == h
        points.append((decimal(h), decimal(forecasting.inside(found.actual[at], low[at], high[at]) / int(at.sum()))))
    ends = (decimal(horizons[0] - 0.5), decimal(horizons[-1] + 0.5))
    return Chart(
        section="coverage",
        title="Coverage by horizon",
        words=f"Share of values inside the widest interval; the dashed line is its promise, "
        f"{found.promised:.0%}.",
        x="periods ahead", y="share inside", percent="y",
        series=(
            Series(name="", form="points", style="rate", points=tuple(points)),
            Series(name="", form="line", style="chance", points=tuple((end, decimal(found.promised)) for end in ends)),
        ),
    )  # fmt: skip


def _mean(errors: npt.NDArray[np.float64]) -> str | None:
    good = errors[np.isfinite(errors)]
    return decimal(float(good.mean())) if good.size else None
