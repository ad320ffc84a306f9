"""Champion beside challenger: scores, decisions that would differ, drift, failures, outcomes; each with its interval.

Not imported by the gateway: it loads scipy.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from strongroom.approval.release import Release
from strongroom.monitoring.outcomes import Outcome
from strongroom.monitoring.psi import Drift, DriftCounter
from strongroom.monitoring.shift import TWO_SIDED, Distance, Rate, Shift, distance, pairs_of, rate, shift
from strongroom.monitoring.trials import Arm
from strongroom.validation.results import NotEvaluable
from strongroom.validation.statistics.discrimination import Auc, auc, paired

QUANTILES: Final = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
BINS: Final = 20


@dataclass(frozen=True, slots=True)
class Side:
    """One version.

    Attributes:
        rows: it was asked about.
        answered: rows that it answered callers.
        shadowed: rows that it scored in shadow.
        errors: failures among `rows`, with Wilson's 95 % interval.
        quantiles: of its scores, at `QUANTILES`; empty without scores.
        histogram: scores in 20 bins of equal width over both versions' range.
        decisions: how often each.
        drift: every monitored column against the reference of its own release; the score last.
        latency_p99_s: bound of the 99th percentile, None where nothing is known.
        auc: realised, on the rows whose outcome is known, or why there is none.
    """

    manifest: str
    rows: int
    answered: int
    shadowed: int
    errors: Rate
    quantiles: tuple[float, ...]
    histogram: tuple[int, ...]
    decisions: dict[str, int]
    drift: tuple[Drift, ...]
    latency_p99_s: float | None
    auc: Auc | NotEvaluable


@dataclass(frozen=True, slots=True)
class AucDifference:
    """Challenger's AUC less the champion's.

    Attributes:
        paired: DeLong on the same rows; else two samples.
        rows: with a known outcome, of the smaller side.
    """

    value: float
    low: float
    high: float
    p_value: float
    paired: bool
    rows: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """The report.

    Attributes:
        window_us: first and last decision looked at.
        edges: 21 edges of the histograms.
        pairs: rows that both scored.
        swaps: of the pairs: how often the champion decided the first and the challenger the second.
        differing: share of pairs whose decision differs, with its 95 % interval.
        scores: difference of means, or None with too few rows.
        ks: distance of the distributions, or None.
        auc: difference, or why there is none.
    """

    model: str
    window_us: tuple[int, int]
    champion: Side
    challenger: Side
    edges: tuple[float, ...]
    pairs: int
    swaps: dict[tuple[str, str], int]
    differing: Rate
    scores: Shift | None
    ks: Distance | None
    auc: AucDifference | NotEvaluable


def compare(
    champion: tuple[Release, Arm],
    challenger: tuple[Release, Arm],
    outcomes: Mapping[str, Outcome],
    latencies: Mapping[str, float],
) -> Comparison:
    """Put two versions side by side.

    Args:
        champion, challenger: release and trials, over the same stretch of time.
        outcomes: by decision id.
        latencies: bound of the 99th percentile in seconds, by the first 12 digits of a version.
    """
    first, second = champion[1], challenger[1]
    times = [one.time_us for arm in (first, second) for one in arm.trials] or [0]
    every = np.concatenate([first.scores, second.scores])
    low, high = (float(every.min()), float(every.max())) if len(every) else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
    by_id = {one.decision_id: one for one in first.good}
    both = [(by_id[one.beside], one) for one in second.good if one.kind == "shadow" and one.beside in by_id]
    swaps = Counter((one.decision, other.decision) for one, other in both)
    differing = sum(count for (one, other), count in swaps.items() if one != other)
    return Comparison(
        model=champion[0].model,
        window_us=(min(times), max(times)),
        champion=_side(*champion, outcomes, latencies, edges),
        challenger=_side(*challenger, outcomes, latencies, edges),
        edges=tuple(float(edge) for edge in edges),
        pairs=len(both),
        swaps=dict(sorted(swaps.items())),
        differing=rate(differing, len(both), TWO_SIDED),
        scores=shift(first, second),
        ks=distance(*(pairs_of(first, second) if both else (first.scores, second.scores))),
        auc=_auc_difference(first, second, outcomes),
    )


def _side(
    release: Release,
    arm: Arm,
    outcomes: Mapping[str, Outcome],
    latencies: Mapping[str, float],
    edges: np.ndarray[Any, Any],
) -> Side:
    good, scores = arm.good, arm.scores
    counter = DriftCounter(release.monitors)
    whole = [one for one in good if len(one.row) == len(release.monitors.features)]
    if whole:
        rows = np.array([one.row for one in whole], np.float32)
        counter.observe(rows, np.array([one.score for one in whole], np.float32))
    known, events = _known(arm, outcomes)
    return Side(
        manifest=release.manifest,
        rows=len(arm.trials),
        answered=sum(one.kind == "answered" for one in arm.trials),
        shadowed=sum(one.kind == "shadow" for one in arm.trials),
        errors=rate(arm.failures, len(arm.trials), TWO_SIDED),
        quantiles=tuple(float(q) for q in np.quantile(scores, QUANTILES)) if len(scores) else (),
        histogram=tuple(int(n) for n in np.histogram(scores, edges)[0]),
        decisions=dict(sorted(Counter(one.decision for one in good).items())),
        drift=tuple(counter.drift()),
        latency_p99_s=latencies.get(release.manifest[:12]),
        auc=auc(events, known),
    )


def _known(arm: Arm, outcomes: Mapping[str, Outcome]) -> tuple[list[float], list[int]]:
    """Scores and outcomes; a shadow's outcome is that of the decision beside it."""
    found = [(one.score, outcomes[one.beside].outcome) for one in arm.good if one.beside in outcomes]
    return [score for score, _ in found], [outcome for _, outcome in found]


def _auc_difference(first: Arm, second: Arm, outcomes: Mapping[str, Outcome]) -> AucDifference | NotEvaluable:
    by_id = {one.decision_id: one.score for one in first.good}
    both = [
        (outcomes[one.beside].outcome, by_id[one.beside], one.score)
        for one in second.good
        if one.kind == "shadow" and one.beside in by_id and one.beside in outcomes
    ]
    if both:
        found = paired([y for y, _, _ in both], [a for _, a, _ in both], [b for _, _, b in both])
        if isinstance(found, NotEvaluable):
            return found
        value, half = found.second - found.first, TWO_SIDED * math.sqrt(found.variance)
        return AucDifference(value, value - half, value + half, found.p_value, True, len(both))
    sides: list[tuple[Auc, int]] = []
    for arm in (first, second):
        scores, events = _known(arm, outcomes)
        one = auc(events, scores)
        if isinstance(one, NotEvaluable):
            return one
        if not one.variance:
            return NotEvaluable("the variance of an AUC is zero or not known")
        sides.append((one, len(scores)))
    (a, n), (b, m) = sides
    value, error = b.auc - a.auc, math.sqrt((a.variance or 0.0) + (b.variance or 0.0))
    p_value = math.erfc(abs(value) / error / math.sqrt(2.0))
    return AucDifference(value, value - TWO_SIDED * error, value + TWO_SIDED * error, p_value, False, min(n, m))


def facts(found: Comparison) -> dict[str, Any]:
    """The report as one plain document."""
    return {
        "model": found.model,
        "from_us": found.window_us[0],
        "until_us": found.window_us[1],
        "champion": _facts_of(found.champion),
        "challenger": _facts_of(found.challenger),
        "edges": list(found.edges),
        "pairs": found.pairs,
        "swaps": [{"champion": a, "challenger": b, "rows": n} for (a, b), n in found.swaps.items()],
        "differing": _rate_of(found.differing),
        "score_shift": None
        if found.scores is None
        else {
            "mean": found.scores.mean,
            "error": found.scores.error,
            "interval": list(found.scores.interval),
            "rows": found.scores.rows,
            "paired": found.scores.paired,
        },
        "ks": None if found.ks is None else {"distance": found.ks.distance, "by_chance": found.ks.by_chance},
        "auc_difference": {"not_evaluable": found.auc.reason}
        if isinstance(found.auc, NotEvaluable)
        else {
            "value": found.auc.value,
            "interval": [found.auc.low, found.auc.high],
            "p_value": found.auc.p_value,
            "paired": found.auc.paired,
            "rows": found.auc.rows,
        },
    }


def _facts_of(side: Side) -> dict[str, Any]:
    interval = side.auc if isinstance(side.auc, NotEvaluable) else side.auc.interval(0.95)
    return {
        "version": side.manifest,
        "rows": side.rows,
        "answered": side.answered,
        "shadowed": side.shadowed,
        "errors": _rate_of(side.errors),
        "quantiles": {f"{q:g}": value for q, value in zip(QUANTILES, side.quantiles, strict=False)},
        "histogram": list(side.histogram),
        "decisions": side.decisions,
        "psi": [
            {"column": one.name, "psi": one.psi, "error": one.error, "by_chance": one.by_chance, "verdict": one.verdict}
            for one in side.drift
        ],
        "latency_p99_s": side.latency_p99_s,
        "auc": {"not_evaluable": side.auc.reason}
        if isinstance(side.auc, NotEvaluable)
        else {
            "value": side.auc.auc,
            "interval": None if isinstance(interval, NotEvaluable) else list(interval),
            "rows": side.auc.defaults + side.auc.others,
            "events": side.auc.defaults,
        },
    }


def _rate_of(found: Rate) -> dict[str, Any]:
    return {"events": found.events, "rows": found.rows, "share": found.share, "interval": [found.low, found.high]}
