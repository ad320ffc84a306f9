"""Counters and histograms of a worker."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from strongroom.monitoring.counters import BOUNDS_S, Counters, Histogram


@given(seconds=st.lists(st.floats(0, 20), max_size=200))
def test_every_latency_is_in_the_bucket_of_its_bound(seconds: list[float]) -> None:
    histogram = Histogram()
    for one in seconds:
        histogram.observe(one)
    assert histogram.count == len(seconds)
    below = 0
    for bound, number in zip(BOUNDS_S, histogram.buckets, strict=False):
        below += number
        assert below == sum(1 for one in seconds if one <= bound)
    if seconds:
        assert histogram.quantile_bound(1.0) >= max(seconds)


def test_an_empty_histogram_has_no_quantile() -> None:
    assert Histogram().quantile_bound(0.99) == 0.0


def test_workers_add_up() -> None:
    one, two = Counters(), Counters()
    one.add("requests", model="a", outcome="answered")
    two.add("requests", 4, outcome="answered", model="a")
    two.add("requests", model="b", outcome="refused")
    one.observe("latency", 0.003, model="a")
    two.observe("latency", 0.004, 3, model="a")
    total = Counters()
    total.merge([one, two])
    assert total.value("requests", {"model": "a", "outcome": "answered"}) == 5
    assert total.value("requests", {"model": "c"}) == 0
    assert total.latencies["latency"][(("model", "a"),)].count == 4
    assert one.value("requests", {"model": "a", "outcome": "answered"}) == 1
