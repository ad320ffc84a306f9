"""How good was it, now that the outcomes are known? Not imported by the gateway: it loads scipy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from strongroom.monitoring.outcomes import Joined
from strongroom.validation.results import NotEvaluable
from strongroom.validation.statistics.discrimination import Auc, auc


@dataclass(frozen=True, slots=True)
class Performance:
    """Realised performance.

    Attributes:
        rows: with a known outcome.
        events: defaults among them.
        mean_score: what the model expected, as a rate.
        auc: realised, or why there is none.
        interval: 95 %, DeLong, or why there is none.
        by_decision: events and rows for each decision.
        waiting: decisions without an outcome yet.
        unknown: outcomes without a readable decision.
    """

    rows: int
    events: int
    mean_score: float | None
    auc: Auc | NotEvaluable
    interval: tuple[float, float] | NotEvaluable
    by_decision: dict[str, tuple[int, int]]
    waiting: int
    unknown: int


def performance(joined: Joined) -> Performance:
    """Realised figures of one model."""
    figure = auc(joined.outcomes, joined.scores)
    return Performance(
        rows=len(joined.scores),
        events=int(joined.outcomes.sum()),
        mean_score=float(np.mean(joined.scores)) if len(joined.scores) else None,
        auc=figure,
        interval=figure if isinstance(figure, NotEvaluable) else figure.interval(0.95),
        by_decision={decision: joined.rate(decision) for decision in sorted(set(joined.decisions))},
        waiting=joined.waiting,
        unknown=joined.unknown,
    )
