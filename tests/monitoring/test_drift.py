"""Drift counted while rows come in: exact, cheap, and honest about its error."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from strongroom.approval.release import Bins, Monitors
from strongroom.errors import InvalidInputError
from strongroom.monitoring.alerts import alerts_of
from strongroom.monitoring.chance import chi2_quantile
from strongroom.monitoring.psi import DriftCounter, add_counts, compare
from strongroom.validation.statistics.bins import count_bins
from strongroom.vocabulary import Digest, ModelRef

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "validation.json").read_text())["vectors"]
PSI = {vector["id"]: vector for vector in VECTORS if vector["id"].startswith("stab.psi")}
REF = ModelRef("pd-cards", Digest("ab" * 32))


def _bins(name: str, counts: list[int], missing: int = 0) -> Bins:
    edges = tuple(repr(float(place)) for place in range(1, len(counts)))
    return Bins(name=name, edges=edges, counts=tuple(counts), missing=missing)


def _monitors(*features: Bins, score: Bins, floor: str = "0.0001", alert: str = "0.2", rows: int = 100) -> Monitors:
    return Monitors(features=features, score=score, psi_alert=alert, psi_floor=floor, min_rows=rows)


def test_the_published_vector() -> None:
    vector = PSI["stab.psi"]
    given_, expected = vector["input"], vector["expected"]
    reference = _bins("x", given_["expected"])
    drift = compare(reference, _bins("x", given_["actual"]), _monitors(score=reference))
    assert drift.psi == pytest.approx(expected["psi"], abs=vector["tolerance"])
    assert drift.by_chance == pytest.approx(expected["chi2_critical_95"], abs=vector["tolerance"])


@pytest.mark.parametrize(
    ("floor", "key"), [("0.0001", "eps_1e_4"), ("1e-10", "eps_1e_10"), ("half-count", "half_count")]
)
def test_an_empty_bin_counts_as_the_policy_says(floor: str, key: str) -> None:
    vector = PSI["stab.psi_empty_bin"]
    reference = _bins("x", vector["input"]["expected"])
    drift = compare(reference, _bins("x", vector["input"]["actual"]), _monitors(score=reference, floor=floor))
    assert drift.psi == pytest.approx(vector["expected"][key], abs=vector["tolerance"])


@pytest.mark.parametrize("degrees", [1, 2, 3, 9, 19, 100, 999])
@pytest.mark.parametrize("level", [0.01, 0.5, 0.95, 0.999])
def test_the_quantile_agrees_with_scipy(level: float, degrees: int) -> None:
    assert chi2_quantile(level, degrees) == pytest.approx(float(stats.chi2.ppf(level, degrees)), rel=1e-12)


def test_a_quantile_outside_its_range_is_refused() -> None:
    for level, degrees in ((0.0, 1), (1.0, 1), (0.5, 0)):
        with pytest.raises(ValueError, match="quantile"):
            chi2_quantile(level, degrees)


floats32 = st.floats(width=32, allow_nan=True, allow_infinity=False)


@settings(max_examples=100, deadline=None)
@given(
    values=arrays(np.float32, st.tuples(st.integers(0, 70), st.just(3)), elements=floats32),
    edges=st.lists(st.floats(-1e6, 1e6) | st.floats(-1e6, 1e6, width=32), min_size=1, max_size=6, unique=True).map(
        sorted
    ),
    cuts=st.lists(st.integers(0, 70), max_size=5).map(sorted),
)
def test_streaming_counts_equal_counting_at_once(values: np.ndarray, edges: list[float], cuts: list[int]) -> None:
    """Also for edges between two float32 numbers, for values on an edge, and for any division into batches."""
    texts = tuple(repr(edge) for edge in edges)
    column = Bins(name="x", edges=texts, counts=(1,) * (len(edges) + 1))
    counter = DriftCounter(_monitors(column, msgspec.structs.replace(column, name="y"), score=column))
    places = [0, *cuts, len(values)]
    for start, end in pairwise(places):
        counter.observe(values[start:end, :2], values[start:end, 2])
    for place, seen in enumerate(counter.counts()):
        counts, missing = count_bins(values[:, place], edges)
        assert seen.counts == tuple(counts)
        assert seen.missing == missing
    assert counter.rows == len(values)


def test_a_whole_buffer_and_more_is_counted_once() -> None:
    column = _bins("x", [1, 1, 1])
    counter = DriftCounter(_monitors(column, score=column))
    rows = np.random.default_rng(3).uniform(0, 3, (5000, 1)).astype(np.float32)
    counter.observe(rows, rows[:, 0])
    assert sum(counter.counts()[0].counts) == 5000
    assert counter.counts()[0].counts == counter.counts()[1].counts


def test_counts_of_workers_add_up_and_never_across_bins() -> None:
    a, b = _bins("x", [1, 2, 3], 4), _bins("x", [10, 20, 30], 40)
    assert add_counts([[a], [b]]) == [_bins("x", [11, 22, 33], 44)]
    assert add_counts([]) == []
    with pytest.raises(InvalidInputError):
        add_counts([[a], [_bins("y", [1, 2, 3])]])


def test_bins_that_do_not_fit_are_refused() -> None:
    good = _bins("x", [1, 1])
    for bad in (
        Bins(name="x", edges=("1.0", "1.0"), counts=(1, 1, 1)),
        Bins(name="x", edges=("1.0",), counts=(1, 1, 1)),
        Bins(name="x", edges=("1.0",), counts=(1, -1)),
    ):
        with pytest.raises(InvalidInputError):
            DriftCounter(_monitors(bad, score=good))


def test_missing_values_drift_too() -> None:
    reference = _bins("x", [500, 500])
    drift = compare(reference, _bins("x", [400, 400], missing=200), _monitors(score=reference))
    assert drift.verdict == "alert"
    assert drift.missing == 200


def test_verdicts() -> None:
    reference = _bins("x", [250, 250, 250, 250])
    monitors = _monitors(score=reference)
    assert compare(reference, _bins("x", [0, 0, 0, 0]), monitors).psi is None
    assert compare(reference, _bins("x", [99, 0, 0, 0]), monitors).verdict == "too-few"
    assert compare(reference, _bins("x", [100, 100, 100, 100]), monitors).verdict == "stable"
    assert compare(reference, _bins("x", [400, 0, 0, 0]), monitors).verdict == "alert"
    noisy = _monitors(score=reference, alert="0.0001")
    assert compare(reference, _bins("x", [27, 24, 26, 25]), noisy).verdict == "stable"


def test_without_change_one_in_twenty_exceeds_the_chance_point() -> None:
    random = np.random.default_rng(11)
    shares = np.full(10, 0.1)
    above = 0
    for _ in range(1000):
        old, new = random.multinomial(4000, shares), random.multinomial(2000, shares)
        reference = _bins("x", [int(n) for n in old])
        drift = compare(reference, _bins("x", [int(n) for n in new]), _monitors(score=reference))
        assert drift.psi is not None
        assert drift.by_chance is not None
        above += drift.psi > drift.by_chance
    assert stats.binomtest(above, 1000, 0.05).pvalue > 0.001


def test_the_stated_error_covers_the_spread_of_the_figure() -> None:
    random = np.random.default_rng(12)
    old_shares = np.array([0.1, 0.2, 0.4, 0.2, 0.1])
    new_shares = np.array([0.15, 0.25, 0.3, 0.2, 0.1])
    figures, errors = [], []
    for _ in range(500):
        reference = _bins("x", [int(n) for n in random.multinomial(3000, old_shares)])
        live = _bins("x", [int(n) for n in random.multinomial(1500, new_shares)])
        drift = compare(reference, live, _monitors(score=reference))
        assert drift.psi is not None
        assert drift.error is not None
        figures.append(drift.psi)
        errors.append(drift.error)
    spread, stated = float(np.std(figures)), float(np.mean(errors))
    assert 0.95 * spread < stated < 1.3 * spread


def test_an_alert_says_what_how_much_and_how_sure() -> None:
    reference = _bins("income", [250, 250, 250, 250])
    monitors = _monitors(score=reference)
    drifts = [
        compare(reference, _bins("income", [400, 0, 0, 0]), monitors),
        compare(reference, _bins("income", [100, 100, 100, 100]), monitors),
    ]
    (alert,) = alerts_of(REF, Digest("cd" * 32), drifts, (5, 9), 10)
    assert alert.column == "income"
    assert float(alert.value) == drifts[0].psi
    assert float(alert.value) > float(alert.limit)
    assert (alert.rows, alert.from_us, alert.until_us, alert.raised_us) == (400, 5, 9, 10)
    assert msgspec.json.decode(alert.encode(), type=type(alert)) == alert
    assert math.isfinite(float(alert.error))
