"""Training and test in the order of time: no row is learnt from that was not known when the first test row came."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Fold:
    """One step of a walk forward: row numbers to learn from, and row numbers to be tested on."""

    train: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]


def walk_forward(time: npt.ArrayLike, count: int, delay: float = 0.0, span: float | None = None) -> tuple[Fold, ...]:
    """Cut rows into `count` + 1 stretches of equal time; each but the first is tested on what was known before it.

    Args:
        time: of each row, finite, any order; shape [rows].
        count: test windows, 1 to 1000.
        delay: how long after its time a row's outcome becomes known, in the unit of `time`; such rows are not learnt
            from although they lie before the test.
        span: learn from so much time only, or from all that came before.

    Returns:
        Folds in order of time; windows without a row to learn from or to test are left out.
    """
    t = np.asarray(time, dtype=np.float64)
    if t.ndim != 1 or not t.size or not np.isfinite(t).all():
        raise ValueError("each row has a time")
    if not 1 <= count <= 1000 or delay < 0.0 or (span is not None and span <= 0.0):
        raise ValueError("1 to 1000 windows, a delay of 0 or more, a span above 0")
    edges = np.linspace(float(t.min()), float(t.max()), count + 2)
    found = []
    for start, end in pairwise(edges[1:]):
        test = (t >= start) & ((t <= end) if end == edges[-1] else (t < end))
        train = (t < start) & (t + delay <= start)
        if span is not None:
            train &= t >= start - span
        if train.any() and test.any():
            found.append(Fold(np.nonzero(train)[0], np.nonzero(test)[0]))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Origin:
    """A point at which forecasts are made: periods up to `last` are known, `ahead` are asked for."""

    last: int
    ahead: tuple[int, ...]


def rolling_origins(length: int, first: int, horizon: int, step: int = 1) -> Iterator[Origin]:
    """Origins of a back-test over a series of `length` periods, numbered from 0.

    Args:
        length: of the series.
        first: the first origin, 0 or more: what lies up to it is known there.
        horizon: how many periods ahead, 1 or more; fewer at the end of the series.
        step: from origin to origin.

    Source:
        Tashman 2000.
    """
    if first < 0 or horizon < 1 or step < 1:
        raise ValueError("a back-test starts at 0 or later, with horizon and step of 1 or more")
    for last in range(first, length - 1, step):
        yield Origin(last, tuple(range(last + 1, min(last + horizon, length - 1) + 1)))


def naive(series: npt.ArrayLike, origin: int, target: int, season: int = 1) -> float:
    """The seasonal naive forecast of `target` made at `origin`: the latest known period of the same season.

    Args:
        series: of which no period after `origin` is looked at; NaN where a period is not known.
        origin: last known period.
        target: after it.
        season: periods in a season; 1 for the plain naive forecast.

    Returns:
        The value, or NaN when the series does not reach back so far.
    """
    if target <= origin or season < 1:
        raise ValueError("the target lies after the origin")
    values = np.asarray(series, dtype=np.float64)
    place = target - season * math.ceil((target - origin) / season)
    return float(values[place]) if 0 <= place < values.size else math.nan
