"""The tables and pictures' data of the PD report, beside the tests' figures."""

from __future__ import annotations

import numpy as np

from strongroom.validation.batteries.scored import Scored
from strongroom.validation.results import GradeRow, Histogram, NotEvaluable, Plots, decimal
from strongroom.validation.statistics import calibration, discrimination
from strongroom.validation.statistics.grading import GradeTable, Scale

HISTOGRAM_BINS = 40


def grade_rows(scale: Scale, table: GradeTable, jeffreys: calibration.Jeffreys, level: float) -> tuple[GradeRow, ...]:
    """The rating scale on the sample, with Jeffreys intervals at `level`."""
    rows = []
    for i, (n, bad, mean, p) in enumerate(zip(table.n, table.defaults, table.mean_pd, jeffreys.grades, strict=True)):
        around = calibration.jeffreys_interval(n, bad, level)
        rows.append(
            GradeRow(
                grade=i + 1,
                upper=decimal(scale.edges[i]) if i < len(scale.edges) else None,
                n=n,
                defaults=bad,
                mean_pd=decimal(mean) if n else None,
                rate=decimal(bad / n) if n else None,
                interval=None if isinstance(around, NotEvaluable) else (decimal(around[0]), decimal(around[1])),
                jeffreys_p=None if isinstance(p, NotEvaluable) else decimal(p),
            )
        )
    return tuple(rows)


def plots(validation: Scored) -> Plots:
    """What the report draws beyond its tables. Bins with few rows hold counts only, never a row's values."""
    curve = discrimination.roc(validation.outcome, validation.pd)
    points = () if isinstance(curve, NotEvaluable) else tuple((decimal(x), decimal(y)) for x, y in curve)
    p = validation.pd
    high = max(float(np.quantile(p, 0.995)), 1e-6)
    place = np.minimum((p / high * HISTOGRAM_BINS).astype(int), HISTOGRAM_BINS - 1)
    counts = [np.bincount(place[validation.outcome == k], minlength=HISTOGRAM_BINS) for k in (0, 1)]
    others, defaults = (tuple(int(x) for x in count) for count in counts)
    return Plots(roc=points, scores=Histogram(low="0.0", high=decimal(high), others=others, defaults=defaults))
