"""Steps of an answer from what a stepped worker counted."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from bench.profile import between, dearest, divide, read_stacks

from bench import stepped_worker


def figures(**changes: Any) -> dict[str, Any]:
    return {
        "costs_ns": [100, 200, 10], "missing": [], "seen": {}, "cells": {},
        "cpu_ns": {"MainThread": 0, "commit": 0, "publish": 0},
    } | changes  # fmt: skip


def test_time_between_two_reports_is_divided_among_the_steps() -> None:
    late = figures(
        cpu_ns={"MainThread": 100_000, "commit": 50_000, "publish": 5_000},
        cells={
            "decode|gateway.decode": [1, 10, 31_000, 0],
            "route|gateway.Gateway.__call__": [1, 10, 43_000, 10],
            "seal|decision.seal_record @commit": [10, 10, 21_000, 0],
        },
    )
    document = divide(between(figures(), late), answers=10)
    # 10 calls of 3.0 us once the clock's 100 ns are off; the caller's own also without the 200 ns a call within it
    assert document["functions_us"] == {
        "route|gateway.Gateway.__call__": 4.0, "decode|gateway.decode": 3.0, "seal|decision.seal_record @commit": 2.0,
    }  # fmt: skip
    assert document["calls_an_answer"]["decode|gateway.decode"] == 1.0
    steps = document["steps_us"]
    assert steps["decode"] == 3.0
    assert steps["background"] == 0.5
    # main thread: 10 us an answer, less two timed calls (600 ns) and 18 passed (180 ns) in ten answers, less 7 known
    assert steps["loop"] == pytest.approx(10 - 0.078 - 7, abs=0.01)
    assert steps["hand over"] == pytest.approx(5 - 0.3 - 2, abs=0.01)


def test_timed_calls_book_their_own_time_and_not_that_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stepped_worker, "CELLS", {})
    monkeypatch.setattr(stepped_worker, "SEEN", {})

    def spin(ms: float) -> None:
        end = time.thread_time_ns() + int(ms * 1e6)
        while time.thread_time_ns() < end:
            pass

    inner = stepped_worker.wrap(lambda: spin(4), "inner", 1)

    def body() -> None:
        inner()
        inner()

    outer = stepped_worker.wrap(body, "outer", 1)
    outer()
    elsewhere = threading.Thread(target=outer, name="publish")
    elsewhere.start()
    elsewhere.join()
    cells = stepped_worker.CELLS
    assert (cells["inner"].calls, cells["outer"].calls, cells["outer"].inner_calls) == (2, 1, 2)
    # what the outer one called is not its own: with it, it would have as much as the inner one, and more
    assert cells["inner"].self_ns > 2 * cells["outer"].self_ns > 0


def test_a_call_that_raises_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stepped_worker, "CELLS", {})
    monkeypatch.setattr(stepped_worker, "SEEN", {})

    def fail() -> None:
        raise KeyError

    for waits in (False, True):
        inner = stepped_worker.wrap(fail, "inner", 1, waits)
        outer = stepped_worker.wrap(inner, "outer", 1)
        with pytest.raises(KeyError):
            outer()
        assert stepped_worker._thread.span is None
        assert stepped_worker.CELLS["outer"].calls == 1


def test_every_place_that_is_timed_is_in_the_product() -> None:
    import importlib

    gone = []
    for _, place in stepped_worker.PLACES:
        module, _, path = place.partition(":")
        holder: Any = importlib.import_module(module)
        *outer, last = path.split(".")
        for part in outer:
            holder = getattr(holder, part, None)
        if holder is None or last not in vars(holder):
            gone.append(place)
    # a few may go or come as the product changes; most must be there or the profile says nothing
    assert len(gone) < len(stepped_worker.PLACES) / 3, gone


def test_stacks_of_py_spy_are_read_and_counted() -> None:
    stacks = read_stacks(
        [
            "main (/x/strongroom/web/worker.py:208);run (/x/asyncio/runners.py:118) 3",
            "main (/x/strongroom/web/worker.py:208);decode (/x/strongroom/serving/decoding.py:9) 1",
        ]
    )
    assert dearest(stacks, 5) == {
        "samples": 4,
        "functions_share": {"web/worker.py:main": 0.75, "serving/decoding.py:decode": 0.25},
        "lines_share": {"web/worker.py:208 main": 0.75, "serving/decoding.py:9 decode": 0.25},
    }
