"""`/metrics` for Prometheus, on an address of its own: counts, latencies and drift. Never a subject, never a value.

Each worker counts for itself and leaves a snapshot in the node's state folder; the supervisor adds them up when it is
asked (`web.exposition`), so that one address shows the whole node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

import msgspec

from strongroom.monitoring.counters import Counters, Histogram

if TYPE_CHECKING:
    from strongroom.monitoring.watch import DriftWatch
    from strongroom.web.http import Exchange

TEXT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"


class WorkerCounters:
    """What the gateway and the board tell; satisfies `web.gateway.Counters`. One thread."""

    def __init__(self, clock_us: Callable[[], int]) -> None:
        self._counters = Counters()
        self._clock_us = clock_us
        # answers since the last look at `counters`, by model and version: rows, and a histogram that counts requests
        self._lately: dict[tuple[str, str], tuple[list[int], Histogram]] = {}
        # answers since the last `fold`: model, version, rows, when each came
        self._pending: list[tuple[str, str, int, int]] = []

    @property
    def counters(self) -> Counters:
        """Everything so far."""
        self.fold()
        total = self._counters
        for (model, version), (rows, histogram) in self._lately.items():
            label = (("model", model),)
            one = Counters(
                {"strongroom_answers": {label: histogram.count}, "strongroom_rows": {label: rows[0]}},
                {"strongroom_answer_seconds": {label: histogram}},
            )
            if version:
                one.latencies["strongroom_version_seconds"] = {(*label, ("version", version[:12])): histogram}
            total.merge([one])
        self._lately = {}
        return total

    def answered(self, model: str, rows: int, began_us: int, version: str = "") -> None:
        """One request was answered just now; counted by the next `fold`."""
        self._pending.append((model, version, rows, began_us))

    def fold(self) -> None:
        """Count what was answered since the last time, with one look at the clock; called after each batch."""
        pending = self._pending
        if not pending:
            return
        self._pending = []
        now_us = self._clock_us()
        lately = self._lately
        for model, version, rows, began_us in pending:
            known = lately.get((model, version))
            if known is None:
                known = lately[model, version] = ([0], Histogram())
            known[0][0] += rows
            known[1].observe(max(0, now_us - began_us) / 1e6)

    def refused(self, code: str) -> None:
        """One request was refused."""
        self._counters.add("strongroom_refusals", code=code)

    def batch(self, requests: int) -> None:
        """A batch departed with so many requests."""
        self._counters.add("strongroom_batches")
        self._counters.add("strongroom_boarded", requests)

    def waited(self, longest_us: int, requests: int) -> None:
        """A batch departed whose oldest request waited so long."""
        self._counters.observe("strongroom_wait_seconds", longest_us / 1e6, requests)

    def limited(self, counts: dict[tuple[str, str], int]) -> None:
        """Take over what a limiter counted; empties it."""
        for (limit, scope), number in counts.items():
            self._counters.add("strongroom_limited", number, limit=limit, scope=scope)
        counts.clear()

    def shadow(self, model: str, version: str, fate: str, rows: int, seconds: float = 0.0) -> None:
        """What became of rows that a challenger saw."""
        self._counters.add("strongroom_shadows", rows, model=model, version=version[:12], fate=fate)
        if seconds:
            self._counters.observe("strongroom_shadow_seconds", seconds, model=model, version=version[:12])

    def probing(self, pattern: str) -> None:
        """A principal seems to probe."""
        self._counters.add("strongroom_probing", pattern=pattern)

    def http_refused(self, status: int) -> None:
        """One request was refused before it reached a route."""
        self._counters.add("strongroom_http_refusals", status=str(status))


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


class MetricsDoor:
    """Handles exchanges on the metrics address: GET /metrics and nothing else."""

    def __init__(self, snapshots: Callable[[], Iterable[bytes]]) -> None:
        self._snapshots = snapshots

    def __call__(self, exchange: Exchange) -> None:
        """Answer one exchange."""
        request = exchange.request
        if request.target != b"/metrics":
            exchange.reply(404, b'{"error":"there is no such route"}')
        elif request.method != b"GET":
            exchange.reply(405, b'{"error":"this route answers GET only"}', extra=b"allow: GET\r\n")
        else:
            # with the first look, not with the start: a worker, which also counts, never needs it
            from strongroom.web.exposition import render

            exchange.reply(200, render(self._snapshots()), TEXT_TYPE)


def counters_of(one: Snapshot) -> Counters:
    counters = Counters()
    for series in one.series:
        key = tuple(series.labels)
        if series.buckets:
            histogram = counters.latencies.setdefault(series.name, {}).setdefault(key, Histogram())
            histogram.buckets, histogram.total_s = series.buckets, series.total_s
        else:
            counters.counts.setdefault(series.name, {})[key] = series.count
    return counters
