"""Ratios from runs, each beside its bar."""

from __future__ import annotations

from typing import Any

import pytest
from bench.ratios import BARS, beside, ratios


def run(server: str, rate: float, session: str = "core", **changes: Any) -> dict[str, Any]:
    return {
        "server": server, "controls": server == "strongroom", "subjects": "known", "rows": 1, "connections": 64,
        "requests_per_s": rate, "p50_ms": 1.0, "p99_ms": 2.0, "errors": 0, "session": session, "encoding": "json",
        "load": "full",
    } | changes  # fmt: skip


def test_a_ratio_is_of_medians_within_a_session() -> None:
    runs = [run("strongroom", rate) for rate in (90.0, 110.0, 500.0)] + [run("bare", rate) for rate in (100, 1, 200)]
    assert beside(runs, "bare", 1, 64) == 1.1


def test_runs_of_different_sessions_are_never_compared() -> None:
    runs = [run("strongroom", 100.0, "a"), run("bare", 50.0, "b")]
    assert beside(runs, "bare", 1, 64) is None


def test_the_median_of_sessions_counts() -> None:
    runs = [
        one
        for session, ours in (("a", 100.0), ("b", 120.0), ("c", 900.0))
        for one in (run("strongroom", ours, session), run("bare", 100.0, session))
    ]
    assert beside(runs, "bare", 1, 64) == 1.2


def test_new_subjects_binary_tensors_and_half_load_are_kept_apart() -> None:
    runs = [
        run("strongroom", 100.0), run("bare", 100.0),
        run("strongroom", 80.0, "new", subjects="new"), run("bare", 100.0, "new"),
        run("strongroom", 10.0, rows=1000, connections=8), run("bare", 20.0, rows=1000, connections=8),
        run("strongroom", 30.0, "binary", rows=1000, connections=8, encoding="binary"),
        run("bare", 20.0, "binary", rows=1000, connections=8),
        run("strongroom", 1.0, connections=256, load="half", p99_ms=7.5),
        run("bare", 1.0, connections=256, load="half", p99_ms=5.0),
    ]  # fmt: skip
    assert ratios(runs, {}, {}) == {
        "bare_1row_64conn_known": 1.0, "bare_1row_64conn_new": 0.8, "bare_json_1000row": 0.5,
        "binary_vs_bare_json_1000row": 1.5, "half_load_p99_minus_bare_ms": 2.5,
    }  # fmt: skip


def test_the_best_framework_is_the_one_that_we_beat_by_least() -> None:
    runs = [
        one
        for name, rate in (("mlserver", 10.0), ("kserve", 5.0), ("litserve", 50.0))
        for one in (run("strongroom", 100.0, name), run(name, rate, name))
    ]
    found = ratios(runs, {}, {})
    assert found["best_framework_1row_64conn"] == 10.0
    assert (found["kserve_1row_64conn"], found["litserve_1row_64conn"]) == (20.0, 2.0)


def test_start_and_memory_come_from_what_was_weighed() -> None:
    found = ratios([], {"strongroom": [1.4, 9.0, 1.2]}, {"strongroom": {"worker_rss_mib": 137.5}})
    assert found == {"start_to_verified_s": 1.4, "worker_memory_mib": 137.5}


@pytest.mark.parametrize("bar", BARS, ids=lambda bar: bar.name)
def test_a_bar_is_met_at_its_limit_and_not_beyond(bar: Any) -> None:
    if bar.at_least is not None:
        assert bar.met(bar.at_least)
        assert not bar.met(bar.at_least - 0.001)
    elif bar.at_most is not None:
        assert bar.met(bar.at_most)
        assert not bar.met(bar.at_most + 0.001)
    else:
        assert bar.met(0.0) is None


def test_every_bar_of_the_issue_is_there() -> None:
    assert {bar.name: bar.at_least or bar.at_most for bar in BARS if bar.at_least or bar.at_most} == {
        "bare_1row_64conn_known": 1.0, "bare_direct_1row_64conn_known": 0.5, "bare_1row_64conn_new": 0.8,
        "fastapi_1row_64conn": 4.0, "best_framework_1row_64conn": 9.0, "fastapi_1row_8conn": 1.2,
        "half_load_p99_minus_bare_ms": 3.0, "bare_json_1000row": 0.8, "binary_vs_bare_json_1000row": 0.9,
        "native_vs_bare_json_1000row": 1.3,
        "start_to_verified_s": 1.5, "worker_memory_mib": 200.0,
    }  # fmt: skip


def test_native_xgboost_is_held_against_the_json_of_bare_and_never_mixed_with_the_other_runtime() -> None:
    runs = [
        run("strongroom", 10.0, rows=1000, connections=8), run("bare", 20.0, rows=1000, connections=8),
        run("strongroom", 18.0, "native", rows=1000, connections=8, runtime="xgboost"),
        run("bare", 20.0, "native", rows=1000, connections=8),
        run("strongroom", 26.0, "native binary", rows=1000, connections=8, runtime="xgboost", encoding="binary"),
        run("bare", 20.0, "native binary", rows=1000, connections=8),
    ]  # fmt: skip
    assert ratios(runs, {}, {}) == {
        "bare_json_1000row": 0.5, "native_json_1000row": 0.9, "native_vs_bare_json_1000row": 1.3,
    }  # fmt: skip


def test_onedal_is_held_against_bare_in_its_own_sessions_and_has_no_bar() -> None:
    runs = [
        run("strongroom", 10.0, rows=1, connections=64), run("bare", 20.0, rows=1, connections=64),
        run("strongroom", 15.0, "onedal", rows=1, connections=64, runtime="onedal"),
        run("bare", 20.0, "onedal", rows=1, connections=64),
        run("strongroom", 12.0, "onedal new", rows=1, connections=64, runtime="onedal", subjects="new"),
        run("bare", 20.0, "onedal new", rows=1, connections=64),
        run("strongroom", 30.0, "onedal binary", rows=32, connections=32, runtime="onedal", encoding="binary"),
        run("bare", 20.0, "onedal binary", rows=32, connections=32),
    ]  # fmt: skip
    assert ratios(runs, {}, {}) == {
        "bare_1row_64conn_known": 0.5, "onedal_1row_64conn_known": 0.75, "onedal_1row_64conn_new": 0.6,
        "onedal_binary_vs_bare_json_32row": 1.5,
    }  # fmt: skip
    assert all(bar.met(0.0) is None for bar in BARS if bar.name.startswith("onedal"))
