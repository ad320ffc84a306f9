"""What `/metrics` shows: the workers' snapshots, added up, in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from strongroom.monitoring.counters import BOUNDS_S, Counters, Histogram
from strongroom.web.snapshots import Snapshot, counters_of

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


def render(snapshots: Iterable[bytes]) -> bytes:
    """The exposition text of a node."""
    return generate_latest(_registry([msgspec.json.decode(data, type=Snapshot) for data in snapshots]))


_DRIFT: Final = ("model", "version", "column", "worker")


class _Collected:
    def __init__(self, snapshots: list[Snapshot]) -> None:
        self._snapshots = snapshots

    def collect(self) -> Iterator[Metric]:
        total = Counters()
        for one in self._snapshots:
            total.merge([counters_of(one)])
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


def _cumulated(histogram: Histogram) -> list[tuple[str, float]]:
    result: list[tuple[str, float]] = []
    total = 0
    for bound, number in zip((*map(str, BOUNDS_S), "+Inf"), histogram.buckets, strict=True):
        total += number
        result.append((bound, float(total)))
    return result
