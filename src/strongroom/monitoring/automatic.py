"""Does an approved rule say that a machine should act now? Figures from the ledger, each held against chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from strongroom.approval.automatic import AutomaticRule, Condition
from strongroom.approval.release import Release
from strongroom.monitoring.psi import DriftCounter
from strongroom.monitoring.shift import ONE_SIDED, distance, pairs_of, rate, shift
from strongroom.monitoring.trials import Arm
from strongroom.vocabulary import Digest


@dataclass(frozen=True, slots=True)
class Measured:
    """One figure of one window.

    Attributes:
        value: observed.
        low, high: what it is at least, at most, but for chance (one-sided 95 %).
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Fired:
    """A rule whose conditions hold.

    Attributes:
        release: whose plan has the rule.
        figures: what was measured in the newest window, by figure, as text.
        rows: decisions looked at.
    """

    rule: AutomaticRule
    release: Digest
    figures: dict[str, str]
    rows: int


def evaluate(
    rules: Sequence[AutomaticRule],
    release: Release,
    mine: Arm,
    champion: Arm | None,
    latency_p99_s: float | None,
    stood_s: float,
) -> Fired | None:
    """The first rule of a plan whose conditions hold.

    Args:
        rules: of the plan, in its order.
        release: whose plan and monitors they are.
        mine: trials of that release since the pointer changed.
        champion: trials of the champion since then; None when `mine` is the champion's.
        latency_p99_s: bound of the 99th percentile of the version's answers, None where nothing is known.
        stood_s: how long the pointer has stood.
    """
    for rule in rules:
        windows = mine.windows(rule.window_rows, rule.windows)
        if windows is None or stood_s < rule.min_s:
            continue
        figures: dict[str, str] = {}
        if all(_holds(rule.when, release, window, champion, latency_p99_s, figures) for window in windows):
            return Fired(rule, mine.release, figures, rule.window_rows * rule.windows)
    return None


def _holds(
    conditions: Sequence[Condition],
    release: Release,
    window: Arm,
    champion: Arm | None,
    latency_p99_s: float | None,
    figures: dict[str, str],
) -> bool:
    for condition in conditions:
        measured = _measure(condition, release, window, champion, latency_p99_s)
        if measured is None:
            # what cannot be known is no ground to act on
            return False
        figures[condition.figure] = f"{measured.value:.6g}"
        beyond = measured.low > condition.limit if condition.is_above else measured.high < condition.limit
        if not beyond:
            return False
    return True


def _measure(
    condition: Condition, release: Release, window: Arm, champion: Arm | None, latency_p99_s: float | None
) -> Measured | None:
    if condition.figure == "error-rate":
        found = rate(window.failures, len(window.trials))
        return Measured(found.share, found.low, found.high)
    if condition.figure == "latency-p99-s":
        return None if latency_p99_s is None else Measured(latency_p99_s, latency_p99_s, latency_p99_s)
    if condition.figure == "psi":
        return _psi(release, window)
    if champion is None:
        return None
    times = [one.time_us for one in window.trials]
    beside = champion.between(min(times), max(times))
    if condition.figure == "ks":
        # a shadow is recorded after the decision beside it, so the same rows are found by name, not by time
        shadowed = any(one.kind == "shadow" for one in window.trials)
        far = distance(*(pairs_of(champion, window) if shadowed else (beside.scores, window.scores)))
        if far is None:
            return None
        # a distance is never below zero, so what chance gives is taken off once and put on once
        return Measured(far.distance, far.distance - far.by_chance, far.distance + far.by_chance)
    moved = shift(champion, window) if any(one.kind == "shadow" for one in window.trials) else shift(beside, window)
    if moved is None:
        return None
    half = ONE_SIDED * moved.error
    return Measured(abs(moved.mean), abs(moved.mean) - half, abs(moved.mean) + half)


def _psi(release: Release, window: Arm) -> Measured | None:
    good = [one for one in window.good if len(one.row) == len(release.monitors.features)]
    if not good:
        return None
    counter = DriftCounter(release.monitors)
    counter.observe(np.array([one.row for one in good], np.float32), np.array([one.score for one in good], np.float32))
    score = counter.drift()[-1]
    if score.psi is None or score.error is None or score.by_chance is None:
        return None
    # within what chance gives, nothing is known but that it is not negative
    low = score.psi - ONE_SIDED * score.error if score.psi > score.by_chance else 0.0
    return Measured(score.psi, low, score.psi + ONE_SIDED * score.error)


def facts_of(fired: Fired) -> Mapping[str, str | int]:
    """What an act by a rule says of itself in its entry."""
    return {
        "rule": fired.rule.name,
        "rule_sha256": fired.rule.digest,
        "release": fired.release,
        "rows": fired.rows,
        **{f"figure_{name.replace('-', '_')}": value for name, value in fired.figures.items()},
    }
