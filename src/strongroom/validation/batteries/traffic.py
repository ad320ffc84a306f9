"""A weighted sample as the traffic would have given it: rows that all stand for equally many cases.

Counts, exact tests, areas and suppression all count rows. Where frauds were drawn more often than other transactions,
rows are left out until a plain count is right again, rather than every test made to carry weights: an exact test of
weighted counts does not exist.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from strongroom.validation.batteries.scored import Scored

Places = npt.NDArray[np.intp]


def even(sample: Scored) -> Places:
    """Places of rows that stand for the traffic as it is, ascending; every row where there are no weights.

    A row is kept with the chance of its weight over the largest, drawn systematically down the rows sorted by content,
    so that neither chance nor the order of delivery moves a figure.

    Args:
        sample: with a column `weight` above 0 or without one.

    Source:
        Madow 1949 (systematic sampling with unequal probabilities).
    """
    weight = sample.columns.get("weight")
    everything = np.arange(len(sample.rows), dtype=np.intp)
    return everything if weight is None else np.sort(_drawn(sample, weight, everything))


def even_by_class(sample: Scored) -> Places:
    """The same within events and within others: for what is asked of one class at a time. Keeps every event that was
    drawn like the other events."""
    weight = sample.columns.get("weight")
    if weight is None:
        return np.arange(len(sample.rows), dtype=np.intp)
    classes = (np.flatnonzero(sample.outcome == name) for name in (0, 1))
    return np.sort(np.concatenate([_drawn(sample, weight, places) for places in classes]))


def _drawn(sample: Scored, weight: npt.NDArray[np.float64], places: Places) -> Places:
    share = weight[places] / weight[places].max(initial=0.0)
    if (share == 1.0).all():
        return places
    others = (sample.columns[name][places] for name in sorted(sample.columns))
    features = np.nan_to_num(sample.rows[places].T.astype(np.float64), nan=np.inf)
    order = np.lexsort([*others, *features, sample.outcome[places]])
    reached = np.floor(np.cumsum(share[order]) + 0.5)
    return places[order[np.diff(reached, prepend=0.0) > 0.0]]
