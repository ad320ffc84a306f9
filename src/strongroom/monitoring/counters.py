"""Counters and latency histograms of a worker, without personal data; `web.metrics` renders them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

BOUNDS_S: Final = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Inclusive upper bounds of latency in seconds; what is above them counts in one more bucket."""

Labels = tuple[tuple[str, str], ...]


class Histogram:
    """Latencies in fixed buckets."""

    __slots__ = ("buckets", "total_s")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS_S) + 1)
        self.total_s = 0.0

    def observe(self, seconds: float, times: int = 1) -> None:
        """Count `times` requests that took `seconds`."""
        self.buckets[bisect_left(BOUNDS_S, seconds)] += times
        self.total_s += seconds * times

    @property
    def count(self) -> int:
        """Requests seen."""
        return sum(self.buckets)

    def quantile_bound(self, share: float) -> float:
        """An upper bound of the `share` quantile: the bound of its bucket, infinite in the last; 0 when empty."""
        rank = share * self.count
        below = 0
        for bound, number in zip((*BOUNDS_S, float("inf")), self.buckets, strict=True):
            below += number
            if below and below >= rank:
                return bound
        return 0.0


@dataclass(frozen=True, slots=True)
class Counters:
    """What a worker counts. Labels come from a fixed set (model, outcome, code); never a subject, never a value."""

    counts: dict[str, dict[Labels, int]] = field(default_factory=dict)
    latencies: dict[str, dict[Labels, Histogram]] = field(default_factory=dict)

    def add(self, name: str, number: int = 1, **labels: str) -> None:
        """Count `number` events."""
        family = self.counts.setdefault(name, {})
        key = tuple(sorted(labels.items()))
        family[key] = family.get(key, 0) + number

    def observe(self, name: str, seconds: float, times: int = 1, **labels: str) -> None:
        """Count a latency."""
        family = self.latencies.setdefault(name, {})
        key = tuple(sorted(labels.items()))
        histogram = family.get(key)
        if histogram is None:
            histogram = family[key] = Histogram()
        histogram.observe(seconds, times)

    def merge(self, others: Iterable[Counters]) -> None:
        """Take in what other workers counted."""
        for other in others:
            for name, family in other.counts.items():
                for key, number in family.items():
                    self.add(name, number, **dict(key))
            for name, histograms in other.latencies.items():
                for key, theirs in histograms.items():
                    mine = self.latencies.setdefault(name, {}).setdefault(key, Histogram())
                    mine.buckets = [a + b for a, b in zip(mine.buckets, theirs.buckets, strict=True)]
                    mine.total_s += theirs.total_s

    def value(self, name: str, labels: Mapping[str, str]) -> int:
        """One count, 0 where nothing was counted."""
        return self.counts.get(name, {}).get(tuple(sorted(labels.items())), 0)
