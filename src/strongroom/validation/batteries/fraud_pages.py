"""Pictures and tables of the report on a fraud model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from strongroom.validation.batteries.scored import Scored
from strongroom.validation.results import Chart, Column, NotEvaluable, Series, Table, decimal
from strongroom.validation.statistics import detection
from strongroom.validation.statistics.calibration import jeffreys_interval

POINTS = 1000
"""Points of a curve in a picture."""
SHOWN_COST = 1.5
"""Cost over the cost without a model, up to which the curve is drawn."""
HISTOGRAM_BINS = 30


def precision_recall(table: detection.Steps, area: detection.AveragePrecision) -> Chart:
    """Precision against recall, as steps."""
    rising = np.nonzero(np.diff(table.recall) > 0.0)[0] + 1  # between frauds the curve only falls: a step shows no more
    x = np.repeat(np.concatenate([[0.0], table.recall[rising]]), 2)[1:]
    y = np.repeat(table.precision[rising], 2)
    rate = decimal(area.rate)
    return Chart(
        section="discrimination",
        title="Precision and recall",
        words=f"Precision against the share of frauds found, as steps; the area is {area.value:.3f}. The dashed line "
        "is a random order.",
        x="share of frauds found", y="precision", percent="xy",
        series=(
            Series(name="a random order", form="line", style="chance", points=(("0.0", rate), ("1.0", rate))),
            Series(name="the model", form="line", style="curve", points=_points(x[: len(y)], y)),
        ),
    )  # fmt: skip


def roc(table: detection.Steps, area: float) -> Chart:
    """The ROC curve, transactions by weight."""
    return Chart(
        section="discrimination",
        title="ROC curve",
        words=f"Share of frauds found against the share of genuine transactions with an alarm, at each threshold; the "
        f"area under the curve is {area:.3f}. The dashed line is a random order.",
        x="share of genuine transactions with an alarm", y="share of frauds found", percent="xy",
        series=(
            Series(name="a random order", form="line", style="chance", points=(("0.0", "0.0"), ("1.0", "1.0"))),
            Series(name="the model", form="line", style="curve", points=_points(table.false / table.others,
                                                                                table.recall)),
        ),
    )  # fmt: skip


def histogram(validation: Scored) -> Chart:
    """Scores of frauds and of genuine transactions, each class as a whole of its own, by weight."""
    score, weight = validation.estimate, validation.columns.get("weight")
    low, high = float(score.min()), float(score.max())
    edges = np.linspace(low, high if high > low else low + 1.0, HISTOGRAM_BINS + 1)
    middle = (edges[1:] + edges[:-1]) / 2.0

    def shares(event: int) -> tuple[tuple[str, str], ...]:
        member = validation.outcome == event
        sums = np.histogram(score[member], edges, weights=None if weight is None else weight[member])[0]
        return tuple((decimal(x), decimal(y)) for x, y in zip(middle, sums / sums.sum(), strict=True))

    return Chart(
        section="discrimination",
        title="Scores by outcome",
        words="Share of each outcome class per band of the score; the further apart, the better the model separates. "
        "Frauds are so few that both classes are drawn as a whole of their own.",
        x="score", y="share of the class", percent="y",
        series=(
            Series(name="genuine transactions", form="bars", style="others", points=shares(0)),
            Series(name="frauds", form="bars", style="defaults", points=shares(1)),
        ),
    )  # fmt: skip


def cost_curve(now: detection.Costs, threshold: float, chosen: float, without: float) -> Chart:
    """Cost at each threshold, over the cost without a model."""
    # far above the cost without a model nobody would choose: such points would press the rest to the ground
    inside = np.isfinite(now.threshold) & (now.cost <= SHOWN_COST * without)
    x, y = now.threshold[inside], now.cost[inside] / without
    ends = ("0.0", decimal(max(float(y.max(initial=0.0)), 1.0)))
    marks: list[tuple[str, float, Literal["cut", "chance"]]] = [
        ("the contract's", threshold, "cut"), ("chosen by cost", chosen, "chance"),
    ]  # fmt: skip
    return Chart(
        section="cost",
        title="Cost by threshold",
        words="Cost of false alarms and missed frauds at each threshold, as a share of the cost without a model "
        f"(thresholds that cost more than {SHOWN_COST:g} times as much are left out); "
        "upright lines mark the contract's threshold and the one that was cheapest on the reference sample.",
        x="threshold", y="cost over cost without a model",
        series=(
            Series(name="", form="line", style="curve", points=_points(x[::-1], y[::-1])),
            *(
                Series(name=name, form="line", style=style, points=tuple((decimal(at), end) for end in ends))
                for name, at, style in marks if math.isfinite(at)
            ),
        ),
    )  # fmt: skip


def window_table(parts: Sequence[detection.Window]) -> Table:
    """What was found in each window."""
    return Table(
        section="stability",
        title="Windows of equal time",
        caption="Frauds found and alarms are those at the contract's lowest cut-off; alarms and shares are by weight. "
        "Average precision moves with the rate of fraud, the share found does not.",
        columns=tuple(
            Column(name=name, unit=unit)
            for name, unit in (
                ("Window", "text"), ("From", "number"), ("Rows", "count"), ("Frauds", "count"), ("Alarms", "count"),
                ("Found", "share"), ("Average precision", "AUC"),
            )
        ),
        rows=tuple(
            (
                str(place + 1), decimal(part.start), str(part.rows), str(part.frauds), decimal(part.alarms),
                None if part.recall is None else decimal(part.recall),
                None if isinstance(part.precision, NotEvaluable) else decimal(part.precision.value),
            )
            for place, part in enumerate(parts)
        ),
    )  # fmt: skip


def window_chart(parts: Sequence[detection.Window], least: int, level: float) -> Chart:
    """Share of frauds found in each window, with Jeffreys intervals."""
    shown = [(place + 1, part) for place, part in enumerate(parts) if detection.told(part, least)]
    ends = [jeffreys_interval(part.effective, part.found, level) for _, part in shown]
    sure = [end for end in ends if not isinstance(end, NotEvaluable)]
    return Chart(
        section="stability",
        title="Frauds found by window of time",
        words=f"Share of frauds found at one threshold in each window of equal time, with {level:.0%} intervals; "
        f"windows with fewer than {least} frauds are left out.",
        x="window", y="share of frauds found", percent="y",
        series=(
            Series(
                name="", form="points", style="rate",
                points=tuple((decimal(place), decimal(part.recall or 0.0)) for place, part in shown),
                low=tuple(decimal(a) for a, _ in sure), high=tuple(decimal(b) for _, b in sure),
            ),
        ),
    )  # fmt: skip


def _points(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> tuple[tuple[str, str], ...]:
    keep = np.unique(np.linspace(0, len(x) - 1, min(len(x), POINTS)).round().astype(int))
    return tuple((decimal(a), decimal(b)) for a, b in zip(x[keep], y[keep], strict=True))
