"""What the reason codes say of a whole sample: which groups weigh, whom they are told, how a feature's share runs.

Everything is summed over people: no point of a chart and no cell of a table belongs to one applicant.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from strongroom.registry.contract import ModelContract
from strongroom.registry.kinds import CONTRACTS
from strongroom.validation.batteries.reason_ranking import Words
from strongroom.validation.results import Chart, Column, Series, Table, decimal

Rows = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]

PICTURED: Final = 3
"""Features whose course is drawn, those that weigh most."""
PARTS: Final = 10
LEAST: Final = 10
"""Applicants in a part of a course; a smaller part is not told."""


def groups_told(
    contract: ModelContract, codes: Sequence[str], weights: Floats, principal: Sequence[Sequence[int]], words: Words
) -> Table:
    """The groups behind the codes: their mean weight, and how often each is told.

    Args:
        codes: of the groups, in the order of the weights' columns.
        weights: shape [rows, groups], positive against the applicant.
        principal: places of the groups told, row by row, the weightiest first.
    """
    wish = contract.explanation
    features = {group.code: group.features for group in wish.groups} if hasattr(wish, "groups") else {}
    people = len(weights)
    first = np.bincount([line[0] for line in principal if len(line)], minlength=len(codes))
    any_place = np.bincount([place for line in principal for place in line], minlength=len(codes))
    size = np.abs(weights).mean(axis=0)
    rows = [
        (
            codes[n], _listed(features.get(codes[n], ())), decimal(float(size[n])),
            decimal(float(weights[:, n].mean())), decimal(first[n] / people), decimal(any_place[n] / people),
        )
        for n in np.argsort(-size, kind="stable")
    ]  # fmt: skip
    unit = " (log-odds)" if CONTRACTS[contract.kind].decides else ""
    return Table(
        section="explanation",
        title="Groups behind the codes",
        caption=f"Over {people:,} {words.many}{words.whose}. Weights are in units of the model's sum{unit}; the mean "
        f"is above 0 where the group speaks {words.against}.",
        columns=(
            Column(name="Code", unit="text"), Column(name="Features", unit="text"),
            Column(name="Mean size", unit="weight"), Column(name="Mean", unit="weight"),
            Column(name="Told first", unit="share"), Column(name="Told at all", unit="share"),
        ),
        rows=tuple(rows),
    )  # fmt: skip


def told_chart(codes: Sequence[str], principal: Sequence[Sequence[int]], people: int, words: Words) -> Chart:
    """How often each code is told, by its place in the order of the codes."""
    any_place = np.bincount([place for line in principal for place in line], minlength=len(codes))
    order = np.argsort(-any_place, kind="stable")[:20]
    return Chart(
        section="explanation",
        title="How often a code is told",
        words=f"Share of the {words.many} with the code, by rank: " + ", ".join(codes[n] for n in order) + ".",
        x="rank",
        y=f"share of {words.many}",
        percent="y",
        series=(
            Series(name="", form="bars", style="bar",
                   points=tuple((str(k + 1), decimal(any_place[n] / people)) for k, n in enumerate(order))),
        ),
    )  # fmt: skip


def courses(contract: ModelContract, rows: Rows, values: Floats, words: Words, sign: float) -> tuple[Chart, ...]:
    """How the contribution of the weightiest features runs with their values, in parts of equal numbers of people.

    Args:
        rows: shape [rows, features].
        values: contributions, shape [rows, features], in units of the model's sum.
        sign: 1 where a high score speaks against the applicant, else -1.
    """
    found = []
    size = np.abs(values).mean(axis=0)
    for place in np.argsort(-size, kind="stable")[:PICTURED]:
        feature = contract.input.features[int(place)]
        points = _course(rows[:, place].astype(np.float64), sign * values[:, place])
        if size[place] > 0 and len(points) > 1:
            found.append(
                Chart(
                    section="explanation",
                    title=f"What {feature.name} contributes",
                    words=f"Mean contribution {words.against} along {feature.name} ({feature.unit}), in parts of at "
                    f"least {LEAST} {words.many} each; missing values are left out.",
                    x=f"{feature.name} ({feature.unit}), mean of the part",
                    y="mean contribution",
                    series=(Series(name="", form="line", style="curve", points=points),),
                )
            )
    return tuple(found)


def _course(column: Floats, weight: Floats) -> tuple[tuple[str, str], ...]:
    """Mean value and mean contribution of each part; equal values stay in one part."""
    seen = np.isfinite(column)
    column, weight = column[seen], weight[seen]
    if not column.size:
        return ()
    edges = np.unique(np.quantile(column, np.linspace(0, 1, PARTS + 1)[1:-1]))
    part = np.searchsorted(edges, column, side="left")
    points = []
    for n in np.unique(part):
        members = part == n
        if members.sum() >= LEAST:
            points.append((float(f"{column[members].mean():.4g}"), float(f"{weight[members].mean():.4g}")))
    return tuple((decimal(x), decimal(y)) for x, y in sorted(points))


def _listed(features: Sequence[str]) -> str:
    shown = ", ".join(features[:8])
    return shown if len(features) <= 8 else f"{shown} and {len(features) - 8} more"
