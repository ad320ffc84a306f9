"""Do the features know the protected attribute? It is predicted from them, and the features that carry it are named.

This runs on the protected sample alone. What it learns stays here: no model, no prediction and no row leaves, only
areas under curves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from strongroom.validation.results import NotEvaluable
from strongroom.validation.statistics import discrimination

Rows = npt.NDArray[np.float32]
Codes = npt.NDArray[np.int64]
FOLDS = 3
MOST_ROWS = 8_000
"""More rows make the area no sharper than its use needs: its standard error is below 0.007 with balanced groups."""
BINS = 16
SEED = 0


@dataclass(frozen=True, slots=True)
class Carrier:
    """What one feature knows of the attribute.

    Attributes:
        feature: its place in the contract.
        alone: area under the curve of this feature by itself, cross-validated in quantile bins.
        lost: how much the area of all features falls when this one is shuffled.
        best: as `alone`, for the group that this feature tells best.
    """

    feature: int
    alone: float
    lost: float
    best: float


@dataclass(frozen=True, slots=True)
class Proxies:
    """How well the features tell one group from all others.

    Attributes:
        group: the group that is told best.
        auc: its area under the curve on rows that the fit had not seen; 0.5 is chance.
        interval: DeLong's, of `auc`, or None.
        carriers: one per feature, the strongest first.
        rows: how many entered.
    """

    group: int
    auc: float
    interval: tuple[float, float] | None
    carriers: tuple[Carrier, ...]
    rows: int


def find_proxies(
    rows: Rows, groups: Codes, judged: Sequence[int], level: float = 0.95, most_rows: int = MOST_ROWS
) -> Proxies | NotEvaluable:
    """Predict the group from the features by boosted trees on folds, and see what each feature gives.

    Args:
        rows: features, NaN where missing, shape [rows, features].
        groups: group of each row, shape [rows].
        judged: groups that are large enough; rows of others are left out.
        level: of the interval.
        most_rows: rows beyond it are left out evenly.

    Source:
        Feldman et al. 2015 (what predicts the attribute can stand for it); histogram trees of scikit-learn for the
        fit; Breiman 2001 for the shuffling.
    """
    kept = np.flatnonzero(np.isin(groups, np.asarray(judged, dtype=np.int64)))
    # sorted by content, so that neither folds nor figures hang on the order in which rows were delivered
    kept = kept[by_content([*np.nan_to_num(rows[kept].T, nan=np.inf), groups[kept]])]
    if kept.size > most_rows:
        kept = kept[np.linspace(0, kept.size - 1, most_rows).astype(np.int64)]
    x, y = np.ascontiguousarray(rows[kept]), groups[kept]
    counts = np.unique(y, return_counts=True)[1]
    if counts.size < 2:
        return NotEvaluable("fewer than two groups are large enough to be told apart")
    if int(counts.min()) < 5 * FOLDS:
        return NotEvaluable(f"a group has fewer than {5 * FOLDS} rows in the rows that are looked at")
    fold = _folds(y)
    random = np.random.default_rng(SEED)
    shuffles = [random.permutation(int((fold == k).sum())) for k in range(FOLDS)]
    names = np.unique(y)
    whole = np.zeros((y.size, names.size))
    without = np.zeros((x.shape[1], y.size, names.size))
    # sums of several threads differ in their last bits; libraries loaded later than this would not be held
    with threadpool_limits(1):
        for k in range(FOLDS):
            seen, held = fold != k, fold == k
            # trees cannot be grown on a feature of which no row has a value; such a one tells nothing
            told = np.isfinite(x[seen]).any(axis=0)
            if not told.any():
                return NotEvaluable("no feature has a value in the rows that are looked at")
            full = np.where(told, x, np.float32(0.0))
            fit = _fit(full[seen], y[seen])
            whole[held] = fit(full[held])
            for feature in range(x.shape[1]):
                mixed = full[held].copy()
                mixed[:, feature] = mixed[shuffles[k], feature]
                without[feature, held] = fit(mixed)
    areas = [discrimination.auc(y == name, whole[:, place]) for place, name in enumerate(names)]
    good = [(area, place) for place, area in enumerate(areas) if not isinstance(area, NotEvaluable)]
    if not good:
        return NotEvaluable("no group can be told from the others")
    best, place = max(good, key=lambda pair: (pair[0].auc, -pair[1]))
    group = int(names[place])
    carriers = []
    for feature in range(x.shape[1]):
        alone = [_alone(x[:, feature], y == name, fold) for name in names]
        lost = best.auc - _area(y == group, without[feature, :, place])
        carriers.append(Carrier(feature, alone[place], lost, max(alone)))
    carriers.sort(key=lambda c: (-c.lost, -c.alone, c.feature))
    between = best.interval(level)
    return Proxies(group, best.auc, between if isinstance(between, tuple) else None, tuple(carriers), int(y.size))


def by_content(keys: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.intp]:
    """The order that `numpy.lexsort` gives, the last key first, without sorting by keys that no two rows need.

    Args:
        keys: one or more, without NaN, shape [rows] each.
    """
    order = np.argsort(keys[-1], kind="stable")
    run = np.cumsum(_news(keys[-1][order]))
    tied = np.arange(order.size)
    for key in keys[-2::-1]:
        alone = np.append(_news(run), True)
        shared = ~(alone[:-1] & alone[1:])
        tied, run = tied[shared], run[shared]
        if not tied.size:
            break
        rows = order[tied]
        again = np.lexsort((key[rows], run))
        order[tied] = rows[again]
        run = np.cumsum(_news(run) | _news(key[rows[again]]))
    return order


def _news(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Where a sorted value differs from the one before it; the first does."""
    return np.append(np.ones(min(1, values.size), dtype=np.bool_), values[1:] != values[:-1])


def _fit(x: Rows, y: Codes) -> Any:
    return HistGradientBoostingClassifier(
        max_iter=30, max_leaf_nodes=15, learning_rate=0.15, min_samples_leaf=20, early_stopping=False,
        random_state=SEED,
    ).fit(x, y).predict_proba  # fmt: skip


def _folds(y: Codes) -> Codes:
    """Rows of each group dealt out in turn after one shuffle, so that every fold holds every group."""
    random = np.random.default_rng(SEED)
    fold = np.zeros(y.size, dtype=np.int64)
    for name in np.unique(y):
        places = random.permutation(np.flatnonzero(y == name))
        fold[places] = np.arange(places.size) % FOLDS
    return fold


def _alone(values: npt.NDArray[np.float32], member: npt.NDArray[np.bool_], fold: Codes) -> float:
    there = values[np.isfinite(values)]
    edges = np.unique(np.quantile(there, np.arange(1, BINS) / BINS)) if there.size else np.empty(0)
    place = np.where(np.isnan(values), edges.size + 1, np.searchsorted(edges, values, side="left"))
    told = np.zeros(values.size)
    for k in range(FOLDS):
        seen, held = fold != k, fold == k
        n = np.bincount(place[seen], minlength=edges.size + 2)
        hits = np.bincount(place[seen], weights=member[seen], minlength=edges.size + 2)
        told[held] = ((hits + 0.5) / (n + 1.0))[place[held]]
    return _area(member, told)


def _area(member: npt.NDArray[np.bool_], told: npt.NDArray[np.float64]) -> float:
    area = discrimination.auc(member, told)
    return 0.5 if isinstance(area, NotEvaluable) else area.auc
