"""What one worker leaves behind of its figures, for the supervisor and for commands."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from strongroom.monitoring.counters import Counters, Histogram

if TYPE_CHECKING:
    from strongroom.monitoring.watch import DriftWatch


class _Series(msgspec.Struct):
    name: str
    labels: list[tuple[str, str]]
    count: int = 0
    buckets: list[int] = []
    total_s: float = 0.0


class DriftFigure(msgspec.Struct):
    """PSI of one column of one release, as one worker saw it."""

    model: str
    manifest: str
    column: str
    rows: int
    psi: float
    alert: bool


class Snapshot(msgspec.Struct):
    """What one worker leaves behind for the supervisor."""

    slot: int
    ready: bool
    records: int
    models: list[tuple[str, str, str]]
    series: list[_Series]
    drift: list[DriftFigure]
    fresh_until_us: int = 0
    waiting: int = 0


def drift_figures(drift: DriftWatch) -> list[DriftFigure]:
    """What the drift counters of a worker say now."""
    return [
        DriftFigure(ref.name, ref.manifest, figure.name, figure.rows, figure.psi, figure.verdict == "alert")
        for (ref, _), found in drift.drift().items()
        for figure in found
        if figure.psi is not None
    ]


def snapshot(
    slot: int,
    ready: bool,
    records: int,
    models: Iterable[tuple[str, str, str]],
    counters: Counters,
    drift: list[DriftFigure],
    fresh_until_us: int = 0,
    waiting: int = 0,
) -> bytes:
    """Encode a worker's figures. `models` are name, version and role; `fresh_until_us` 0 when nothing is in force;
    `waiting` requests wait for a batch."""
    series = [
        _Series(name, list(labels), number)
        for name, family in counters.counts.items()
        for labels, number in family.items()
    ]
    for name, histograms in counters.latencies.items():
        for labels, one in histograms.items():
            series.append(_Series(name, list(labels), 0, one.buckets, one.total_s))
    return msgspec.json.encode(Snapshot(slot, ready, records, list(models), series, drift, fresh_until_us, waiting))


def latencies_of(snapshots: Iterable[bytes]) -> dict[str, float]:
    """Bound of the 99th percentile in seconds, by the first 12 digits of a version: of what it answered in canary or
    live, or of a chunk of rows where it was only shadowed; over all workers since they started."""
    total = Counters()
    for data in snapshots:
        total.merge([counters_of(msgspec.json.decode(data, type=Snapshot))])
    found: dict[str, float] = {}
    for name in ("strongroom_shadow_seconds", "strongroom_version_seconds"):
        for labels, histogram in total.latencies.get(name, {}).items():
            found[dict(labels)["version"]] = histogram.quantile_bound(0.99)
    return found


def counters_of(one: Snapshot) -> Counters:
    """What a worker had counted."""
    counters = Counters()
    for series in one.series:
        key = tuple(series.labels)
        if series.buckets:
            histogram = counters.latencies.setdefault(series.name, {}).setdefault(key, Histogram())
            histogram.buckets, histogram.total_s = series.buckets, series.total_s
        else:
            counters.counts.setdefault(series.name, {})[key] = series.count
    return counters
