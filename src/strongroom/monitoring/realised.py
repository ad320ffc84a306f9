"""What became of estimates that are numbers: realised amounts beside them, by window of time, held against limits.

Not imported by the gateway: it loads scipy.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from msgspec import UnsetType

from strongroom.errors import ConflictError
from strongroom.monitoring.outcomes import Decided, Realised
from strongroom.registry.contract import ModelContract, bound
from strongroom.validation.results import NotEvaluable
from strongroom.validation.statistics import forecasting, ordering
from strongroom.validation.study_terms import OutcomeWatch
from strongroom.vocabulary import Digest

Floats = npt.NDArray[np.float64]
Standing = Literal["unjudged", "too-few", "stable", "watch", "alert"]
ONE_SIDED: Final = 1.6448536269514722
"""95 % point of the standard normal distribution."""
DAY_US: Final = 86_400 * 1_000_000
LEAST: Final = 2


@dataclass(frozen=True, slots=True)
class Realisations:
    """Decisions whose realised amount is known, by time.

    Attributes:
        times_us: ascending, shape [rows].
        estimates, amounts: float64, shape [rows].
        rows: features, float32, shape [rows, features].
        version: manifest and release of each decision.
        unknown: amounts without a readable decision: never made here, or erased.
        waiting: decisions without an amount.
    """

    times_us: npt.NDArray[np.int64]
    estimates: Floats
    amounts: Floats
    rows: npt.NDArray[np.float32] = field(repr=False)
    version: tuple[tuple[Digest, Digest], ...] = field(repr=False)
    unknown: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of one window.

    Attributes:
        value: in the unit that the figure has.
        error: standard error, errors of rows taken for independent.
        distance: how far from what it should be, larger is worse: for `gauc` less its value, for `coverage` its
            distance from the promise, for `bias` its size.
        n: rows, or forecasts, behind it.
        limit: of the policy, or None.
        standing: `alert` when it is beyond the limit by more than chance (one-sided 5 %), `watch` when it is beyond
            it, `too-few` below the policy's rows, `unjudged` without a limit.
    """

    value: float
    error: float
    distance: float
    n: int
    limit: float | None = None
    standing: Standing = "unjudged"


@dataclass(frozen=True, slots=True)
class Window:
    """One stretch of time, from `from_us` on and before `until_us`.

    Attributes:
        rows: decisions with an amount.
        figures: by name, or why there is none.
        version: manifest and release of its newest decision, None where there is none.
    """

    from_us: int
    until_us: int
    rows: int
    figures: Mapping[str, Figure | NotEvaluable]
    version: tuple[Digest, Digest] | None


def join_realised(decided: Iterable[Decided], amounts: Mapping[str, Realised]) -> Realisations:
    """Put realised amounts beside decisions by id.

    Raises:
        ConflictError: an amount was observed before its decision was taken, or rows have different features.
    """
    found: list[tuple[int, float, float, npt.NDArray[np.float32], tuple[Digest, Digest]]] = []
    waiting = 0
    for one in decided:
        amount = amounts.get(one.decision_id)
        if amount is None:
            waiting += 1
            continue
        if amount.observed_at_us < one.time_us:
            raise ConflictError(f"the amount of `{one.decision_id}` was observed before the decision was taken")
        found.append((one.time_us, one.score, amount.value, one.row, (one.manifest, one.release)))
    found.sort(key=lambda row: row[0])
    if len({len(row[3]) for row in found}) > 1:
        raise ConflictError("versions of this model have different features; their amounts are not read together")
    width = len(found[0][3]) if found else 0
    return Realisations(
        np.array([row[0] for row in found], np.int64),
        np.array([row[1] for row in found], np.float64),
        np.array([row[2] for row in found], np.float64),
        np.array([row[3] for row in found], np.float32).reshape(len(found), width),
        tuple(row[4] for row in found),
        len(amounts) - len(found),
        waiting,
    )


def watch(joined: Realisations, contract: ModelContract, rule: OutcomeWatch) -> tuple[Window, ...]:
    """Figures of each window, oldest first; the newest ends with the newest decision that has an amount.

    Args:
        joined: decisions with amounts.
        contract: of the model; says of a forecast which features are horizon and quantile.
        rule: of the policy.

    Returns:
        As many windows as the rule names, empty ones included; none without any amount.
    """
    if not joined.times_us.size:
        return ()
    end, length = int(joined.times_us[-1]) + 1, rule.window_days * DAY_US
    edges = [end - length * place for place in range(rule.windows, -1, -1)]
    made = []
    for start, until in pairwise(edges):
        places = np.flatnonzero((joined.times_us >= start) & (joined.times_us < until))
        figures = _figures(joined, places, contract)
        judged = {name: _judged(figure, name, rule) for name, figure in figures.items()}
        version = joined.version[int(places[-1])] if places.size else None
        made.append(Window(start, until, int(places.size), judged, version))
    return tuple(made)


def estimate_figures(came: Floats, told: Floats) -> dict[str, Figure | NotEvaluable]:
    """Bias (realised less estimated), mean absolute error and generalised AUC of estimates.

    Args:
        came, told: shape [rows].

    Source:
        ECB 2019, Annex 3.2 for the generalised AUC.
    """
    if came.size < LEAST:
        return dict.fromkeys(("bias", "mae", "gauc"), NotEvaluable("fewer than two decisions have an amount"))
    away = came - told
    order = ordering.gauc(came, told)
    return {
        "bias": _mean(away, size=True),
        "mae": _mean(np.abs(away)),
        "gauc": order
        if isinstance(order, NotEvaluable)
        else Figure(order.value, order.error, -order.value, int(came.size)),
    }


def forecast_figures(
    came: Floats, told: Floats, level: npt.NDArray[np.int64], question: npt.NDArray[np.intp], promised: tuple[int, int]
) -> dict[str, Figure | NotEvaluable]:
    """Bias and WAPE of the median, mean quantile loss, and coverage of the widest interval.

    Args:
        came, told: shape [rows]; a row asks for one quantile.
        level: quantile of each row, in thousandths.
        question: number of what each row asks, but for the quantile; the newest row of a quantile counts.
        promised: lowest and highest quantile of the contract, in thousandths.
    """
    few = NotEvaluable("fewer than two decisions have an amount")
    found: dict[str, Figure | NotEvaluable] = dict.fromkeys(("bias", "wape", "pinball", "coverage"), few)
    middle = level == 500
    if int(middle.sum()) >= LEAST:
        y, away = came[middle], told[middle] - came[middle]
        found["bias"] = _share(away, np.abs(y), size=True)
        found["wape"] = _share(np.abs(away), np.abs(y))
    if came.size >= LEAST:
        q = level / 1000.0
        found["pinball"] = _mean(np.maximum(q * (came - told), (q - 1.0) * (came - told)))
    ends = [{int(w): place for place, w in enumerate(question) if level[place] == end} for end in promised]
    both = sorted(set(ends[0]) & set(ends[1]))
    if promised[0] == promised[1]:
        found["coverage"] = NotEvaluable("the contract has one quantile, so there is no interval")
    elif len(both) >= LEAST:
        low, high = (np.array([told[end[w]] for w in both]) for end in ends)
        truth, due = np.array([came[ends[0][w]] for w in both]), (promised[1] - promised[0]) / 1000.0
        share = forecasting.inside(truth, low, high) / len(both)
        found["coverage"] = Figure(share, math.sqrt(due * (1.0 - due) / len(both)), abs(share - due), len(both))
    return found


def _figures(
    joined: Realisations, places: npt.NDArray[np.intp], contract: ModelContract
) -> dict[str, Figure | NotEvaluable]:
    came, told = joined.amounts[places], joined.estimates[places]
    if isinstance(contract.series, UnsetType):
        return estimate_figures(came, told)
    column = [feature.name for feature in contract.input.features].index(contract.series.quantile)
    rows = joined.rows[places]
    level = rows[:, column].astype(np.int64) if len(rows) else np.zeros(0, np.int64)
    others = np.delete(rows, column, axis=1)
    question = np.unique(others, axis=0, return_inverse=True)[1].reshape(-1) if len(rows) else np.zeros(0, np.intp)
    asked = sorted(contract.input.features[column].allowed or ())
    return forecast_figures(came, told, level, question, (asked[0], asked[-1]))


def _judged(figure: Figure | NotEvaluable, name: str, rule: OutcomeWatch) -> Figure | NotEvaluable:
    limit = bound(rule.limits.get(name))
    if isinstance(figure, NotEvaluable) or limit is None:
        return figure
    beyond = figure.distance - (-limit if name == "gauc" else limit)
    standing: Standing = "stable"
    if figure.n < rule.min_rows:
        standing = "too-few"
    elif beyond > 0.0:
        standing = "alert" if beyond > ONE_SIDED * figure.error else "watch"
    return Figure(figure.value, figure.error, figure.distance, figure.n, limit, standing)


def _mean(values: Floats, *, size: bool = False) -> Figure:
    mean = float(values.mean())
    error = float(values.std(ddof=1)) / math.sqrt(values.size)
    return Figure(mean, error, abs(mean) if size else mean, int(values.size))


def _share(parts: Floats, of: Floats, *, size: bool = False) -> Figure | NotEvaluable:
    """A ratio of sums, with the error of its linear part."""
    whole = math.fsum(of.tolist())
    if whole <= 0.0:
        return NotEvaluable("the realised amounts are 0 in total")
    ratio = math.fsum(parts.tolist()) / whole
    error = math.sqrt(parts.size) * float((parts - ratio * of).std(ddof=1)) / whole
    return Figure(ratio, error, abs(ratio) if size else ratio, int(parts.size))
