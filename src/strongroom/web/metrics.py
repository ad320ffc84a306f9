"""`/metrics` for Prometheus, on an address of its own: counts, latencies and drift. Never a subject, never a value.

Each worker counts for itself and leaves a snapshot in the node's state folder; the supervisor adds them up when it is
asked, so that one address shows the whole node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from strongroom.monitoring.counters import BOUNDS_S, Counters, Histogram
from strongroom.monitoring.watch import DriftWatch
from strongroom.web.http import Exchange

TEXT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"

ABOUT: Final = {
    "strongroom_answers": "Requests that were answered, by model.",
    "strongroom_rows": "Rows that were decided, by model.",
    "strongroom_refusals": "Requests that were refused, by error code.",
    "strongroom_batches": "Batches that departed.",
    "strongroom_boarded": "Requests that travelled in them, refusals included.",
    "strongroom_limited": "Requests that were refused for a limit, by limit and whose it is (never a name).",
    "strongroom_wait_seconds": "How long the request that waited longest waited, counted for each of its batch.",
    "strongroom_probing": "Times that a caller seemed to probe a model, by pattern (never by whom).",
    "strongroom_http_refusals": "Requests refused before they reached a route, by status.",
    "strongroom_version_seconds": "As strongroom_answer_seconds, by model and version.",
    "strongroom_shadows": "Rows that a challenger saw in shadow, by model, version and what became of them.",
    "strongroom_shadow_seconds": "How long a challenger took for a chunk of shadowed rows, by model and version.",
    "strongroom_answer_seconds": "From the end of a request to its answer, record durable, by model.",
}


class WorkerCounters:
    """What the gateway and the board tell; satisfies `web.gateway.Counters`. One thread."""

    def __init__(self, clock_us: Callable[[], int]) -> None:
        self._counters = Counters()
        self._clock_us = clock_us
        # answers since the last look at `counters`, by model and version: rows, and a histogram that counts requests
        self._lately: dict[tuple[str, str], tuple[list[int], Histogram]] = {}

    @property
    def counters(self) -> Counters:
        """Everything so far."""
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
        """One request was answered."""
        known = self._lately.get((model, version))
        if known is None:
            known = self._lately[model, version] = ([0], Histogram())
        known[0][0] += rows
        known[1].observe(max(0, self._clock_us() - began_us) / 1e6)

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


def snapshot(
    slot: int,
    ready: bool,
    records: int,
    models: Iterable[tuple[str, str, str]],
    counters: Counters,
    drift: DriftWatch,
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
    figures = [
        DriftFigure(ref.name, ref.manifest, figure.name, figure.rows, figure.psi, figure.verdict == "alert")
        for (ref, _), found in drift.drift().items()
        for figure in found
        if figure.psi is not None
    ]
    return msgspec.json.encode(Snapshot(slot, ready, records, list(models), series, figures, fresh_until_us, waiting))


def latencies_of(snapshots: Iterable[bytes]) -> dict[str, float]:
    """Bound of the 99th percentile in seconds, by the first 12 digits of a version: of what it answered in canary or
    live, or of a chunk of rows where it was only shadowed; over all workers since they started."""
    total = Counters()
    for data in snapshots:
        total.merge([_counters(msgspec.json.decode(data, type=Snapshot))])
    found: dict[str, float] = {}
    for name in ("strongroom_shadow_seconds", "strongroom_version_seconds"):
        for labels, histogram in total.latencies.get(name, {}).items():
            found[dict(labels)["version"]] = histogram.quantile_bound(0.99)
    return found


def render(snapshots: Iterable[bytes]) -> bytes:
    """The exposition text of a node."""
    return generate_latest(_registry([msgspec.json.decode(data, type=Snapshot) for data in snapshots]))


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
            exchange.reply(200, render(self._snapshots()), TEXT_TYPE)


_DRIFT: Final = ("model", "version", "column", "worker")


class _Collected:
    def __init__(self, snapshots: list[Snapshot]) -> None:
        self._snapshots = snapshots

    def collect(self) -> Iterator[Metric]:
        total = Counters()
        for one in self._snapshots:
            total.merge([_counters(one)])
        for name, family in total.counts.items():
            names = sorted({label for key in family for label, _ in key})
            counter = CounterMetricFamily(name, ABOUT[name], labels=names)
            for key, number in family.items():
                counter.add_metric([dict(key)[label] for label in names], number)
            yield counter
        for name, histograms in total.latencies.items():
            names = sorted({label for key in histograms for label, _ in key})
            metric = HistogramMetricFamily(name, ABOUT[name], labels=names)
            for key, histogram in histograms.items():
                metric.add_metric([dict(key)[label] for label in names], _cumulated(histogram), histogram.total_s)
            yield metric
        yield from self._gauges()

    def _gauges(self) -> Iterator[Metric]:
        ready = GaugeMetricFamily("strongroom_worker_ready", "Whether a worker can answer.", labels=["worker"])
        records = GaugeMetricFamily(
            "strongroom_ledger_records", "Durable records of a worker's log.", labels=["worker"]
        )
        waiting = GaugeMetricFamily("strongroom_waiting", "Requests that wait for a batch.", labels=["worker"])
        models = GaugeMetricFamily("strongroom_model", "Admitted models.", labels=["model", "version", "role"])
        psi = GaugeMetricFamily(
            "strongroom_psi", "Population stability index against the reference.", labels=_DRIFT
        )  # fmt: skip
        alert = GaugeMetricFamily(
            "strongroom_psi_alert", "Whether PSI is above limit and chance.", labels=_DRIFT
        )  # fmt: skip
        seen: set[tuple[str, str, str]] = set()
        for one in self._snapshots:
            worker = str(one.slot)
            ready.add_metric([worker], float(one.ready))
            records.add_metric([worker], one.records)
            waiting.add_metric([worker], one.waiting)
            seen.update(one.models)
            for figure in one.drift:
                labels = [figure.model, figure.manifest[:12], figure.column, worker]
                psi.add_metric(labels, figure.psi)
                alert.add_metric(labels, float(figure.alert))
        for name, version, role in sorted(seen):
            models.add_metric([name, version[:12], role], 1)
        yield from (ready, records, waiting, models, psi, alert)
        fresh = [one.fresh_until_us for one in self._snapshots if one.fresh_until_us]
        if fresh:
            # the worker that falls silent first counts
            yield GaugeMetricFamily(
                "strongroom_release_fresh_until_seconds",
                "When the release metadata in force expires, in seconds since 1970; from then on nothing is answered.",
                value=min(fresh) / 1e6,
            )


def _registry(snapshots: list[Snapshot]) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(_Collected(snapshots))
    return registry


def _counters(one: Snapshot) -> Counters:
    counters = Counters()
    for series in one.series:
        key = tuple(series.labels)
        if series.buckets:
            histogram = counters.latencies.setdefault(series.name, {}).setdefault(key, Histogram())
            histogram.buckets, histogram.total_s = series.buckets, series.total_s
        else:
            counters.counts.setdefault(series.name, {})[key] = series.count
    return counters


def _cumulated(histogram: Histogram) -> list[tuple[str, float]]:
    result: list[tuple[str, float]] = []
    total = 0
    for bound, number in zip((*map(str, BOUNDS_S), "+Inf"), histogram.buckets, strict=True):
        total += number
        result.append((bound, float(total)))
    return result
