"""What a model's answers give away: how well they can be copied, and who was in the development sample.

Sources: Tramèr et al., Stealing machine learning models via prediction APIs (2016); Yeom et al., Privacy risk in
machine learning (2018), attack by the loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from strongroom.validation.results import NotEvaluable
from strongroom.validation.statistics import discrimination
from strongroom.validation.statistics.spread import alike

Numbers = npt.NDArray[np.float64]
Rows = npt.NDArray[np.float32]

TREES, DEPTH, RATE = 100, 4, 0.1
"""Of the thief's model: boosted trees, good enough to copy most tabular models and bounded in time."""
LEAST = 1e-9


@dataclass(frozen=True, slots=True)
class Copy:
    """A surrogate, on answers that it never saw.

    Attributes:
        answers: that it was trained on.
        r_squared: share of the score's variance that it explains; 1 is a perfect copy.
        agreement: share of rows with the same decision.
        n: rows that it was held against.
    """

    answers: int
    r_squared: float
    agreement: float
    n: int


def copies(
    rows: Rows, scores: Numbers, cuts: Sequence[float], sizes: Sequence[int], random: np.random.Generator
) -> tuple[Copy, ...] | NotEvaluable:
    """Copies of growing size, made of answers to rows like the bank's own; a third of the rows is held out.

    A thief without such rows does worse. Sizes beyond the sample are left out. Time grows with the largest size times
    the features.

    Args:
        rows: that the thief may ask for, shape [rows, features].
        scores: the model's answers, shape [rows].
        cuts: cut-offs in score units.
        sizes: numbers of answers, ascending.
        random: where order and seed come from.
    """
    from sklearn.ensemble import GradientBoostingRegressor

    order = random.permutation(len(rows))
    held, asked = order[: len(rows) // 3], order[len(rows) // 3 :]
    usable = [size for size in sizes if size <= len(asked)]
    if not usable or len(held) < 10:
        return NotEvaluable(f"the sample has fewer rows than {sizes[0]} answers and a third to hold them against")
    if not np.isfinite(scores).all():
        return NotEvaluable("a score is not finite")
    truth = scores[held]
    if alike(truth):
        return NotEvaluable("all scores are equal: there is nothing to copy")
    spread = float(((truth - truth.mean()) ** 2).sum())
    seed = int(random.integers(2**31))
    # the surrogate knows no missing values: they become a number below all others, and a mark
    clean = np.hstack([np.nan_to_num(rows, nan=float(np.nanmin(rows, initial=0.0)) - 1.0), np.isnan(rows)])
    edges, found = np.asarray(cuts, np.float64), []
    for size in usable:
        thief = GradientBoostingRegressor(
            n_estimators=TREES, max_depth=DEPTH, learning_rate=RATE, subsample=0.5, random_state=seed
        )
        thief.fit(clean[asked[:size]], scores[asked[:size]])
        guess = np.asarray(thief.predict(clean[held]), np.float64)
        same = np.searchsorted(edges, guess, side="right") == np.searchsorted(edges, truth, side="right")
        found.append(Copy(size, 1 - float(((truth - guess) ** 2).sum()) / spread, float(same.mean()), len(held)))
    return tuple(found)


def membership(
    inside: tuple[npt.NDArray[np.int64], Numbers], outside: tuple[npt.NDArray[np.int64], Numbers]
) -> discrimination.Auc | NotEvaluable:
    """How well a low loss tells rows of the development sample from others: 0.5 is a guess.

    Time O(n log n). A development sample of another period differs for other reasons too, so a figure above 0.5 is a
    reason to look, not a proof.

    Args:
        inside, outside: outcome and probability of the development rows, and of rows that the model never saw.
    """
    losses = [_loss(*inside), _loss(*outside)]
    member = np.concatenate([np.ones(len(losses[0]), np.int64), np.zeros(len(losses[1]), np.int64)])
    found = discrimination.auc(member, -np.concatenate(losses))
    return NotEvaluable("one of the samples is empty") if isinstance(found, NotEvaluable) else found


def _loss(outcome: npt.NDArray[np.int64], p: Numbers) -> Numbers:
    held: Numbers = np.clip(np.where(outcome == 1, p, 1 - p), LEAST, 1.0)
    return -np.log(held)
