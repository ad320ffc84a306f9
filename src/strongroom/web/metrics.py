"""`/metrics` for Prometheus, on an address of its own: counts, latencies and drift. Never a subject, never a value.

Each worker counts for itself and leaves a snapshot in the node's state folder (`web.snapshots`); the supervisor adds
them up when it is asked (`web.exposition`), so that one address shows the whole node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from strongroom.monitoring.counters import Counters, Histogram
from strongroom.web.exchange import Exchange

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
