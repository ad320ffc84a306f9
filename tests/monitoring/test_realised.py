"""Realised amounts: posted through the door, joined by id, counted plainly by window, alerts beyond chance."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from scipy import stats

from strongroom.encoding import canonical
from strongroom.errors import ConflictError, InvalidInputError
from strongroom.monitoring.actions import post_realised, raise_amount_alerts, read_realised
from strongroom.monitoring.outcomes import Decided, Realised, RealisedBatch
from strongroom.monitoring.realised import (
    DAY_US,
    ONE_SIDED,
    Figure,
    Realisations,
    Window,
    estimate_figures,
    forecast_figures,
    join_realised,
    watch,
)
from strongroom.office.entries import Entry
from strongroom.registry.contract import Feature, ModelContract
from strongroom.registry.kinds import OutcomeDefinition
from strongroom.registry.series import SeriesContract
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.results import NotEvaluable
from strongroom.validation.statistics.ordering import gauc
from strongroom.validation.study_terms import OutcomeWatch
from strongroom.vocabulary import Digest
from tests.monitoring.conftest import House
from tests.monitoring.test_outcomes import MODEL, OPERATOR, Ledger, ledger
from tests.validation.worked import POLICY, contract

__all__ = ["ledger"]
VERSION = (Digest("ab" * 32), Digest("cd" * 32))


def rule(**changes: Any) -> OutcomeWatch:
    plain: dict[str, Any] = {"kind": "lgd", "window_days": 10, "windows": 3, "min_rows": 50, "limits": {"bias": "0.05"}}
    return OutcomeWatch(**{**plain, **changes})


def losses(shift: float = 0.0, n: int = 200, days: int = 28) -> Realisations:
    random = np.random.default_rng(3)
    told = random.beta(2, 3, n)
    came = told + random.normal(0.0, 0.15, n)
    times = np.sort(random.integers(0, days * DAY_US, n))
    came[times > (days - 10) * DAY_US] += shift
    rows = np.zeros((n, 1), np.float32)
    return Realisations(times, told, came, rows, (VERSION,) * n, 0, 0)


def figure(window: Window, name: str) -> Figure:
    found = window.figures[name]
    assert isinstance(found, Figure)
    return found


def test_figures_of_estimates_are_those_of_a_plain_count() -> None:
    joined = losses()
    found = estimate_figures(joined.amounts, joined.estimates)
    away = joined.amounts - joined.estimates
    bias, error, order = (found[name] for name in ("bias", "mae", "gauc"))
    assert isinstance(bias, Figure)
    assert isinstance(error, Figure)
    assert isinstance(order, Figure)
    assert bias.value == pytest.approx(away.mean())
    assert bias.error == pytest.approx(stats.sem(away))
    assert error.value == pytest.approx(np.abs(away).mean())
    known = gauc(joined.amounts, joined.estimates)
    assert not isinstance(known, NotEvaluable)
    assert (order.value, order.error) == (known.value, known.error)
    assert all(isinstance(one, NotEvaluable) for one in estimate_figures(np.ones(1), np.ones(1)).values())
    assert isinstance(estimate_figures(np.ones(5), np.ones(5))["gauc"], NotEvaluable)


def test_windows_end_with_the_newest_amount_and_only_what_is_beyond_chance_alerts() -> None:
    calm, moved, few = watch(losses(), one(), rule()), watch(losses(0.1), one(), rule()), rule(min_rows=5000)
    assert [w.until_us - w.from_us for w in calm] == [10 * DAY_US] * 3
    assert calm[-1].until_us == losses().times_us[-1] + 1
    assert sum(w.rows for w in calm) == 200
    assert {figure(w, "bias").standing for w in calm} == {"stable"}
    assert [figure(w, "bias").standing for w in moved] == ["stable", "stable", "alert"]
    assert figure(moved[-1], "mae").standing == "unjudged"
    assert figure(watch(losses(0.1), one(), few)[-1], "bias").standing == "too-few"
    bias = figure(moved[-1], "bias")
    for part, standing in ((0.5, "watch"), (1.5, "alert"), (-0.5, "stable")):
        limit = repr(bias.distance - part * ONE_SIDED * bias.error)
        assert figure(watch(losses(0.1), one(), rule(limits={"bias": limit}))[-1], "bias").standing == standing
    worse = rule(limits={"gauc": "0.99"})
    assert figure(watch(losses(), one(), worse)[-1], "gauc").standing == "alert"
    nothing = Realisations(np.zeros(0, np.int64), np.zeros(0), np.zeros(0), np.zeros((0, 0), np.float32), (), 0, 0)
    assert watch(nothing, one(), rule()) == ()
    gap = watch(losses(days=28), one(), rule(window_days=1, windows=60))
    assert len(gap) == 60
    assert (gap[0].rows, gap[0].version) == (0, None)


def one() -> ModelContract:
    return contract(("a",), "t", "t")


def series() -> ModelContract:
    why: dict[str, Any] = {"purpose": "planning", "legal_basis": "none", "unit": "code"}
    features = (
        Feature(name="level", type="float", unit="m", purpose="planning", legal_basis="none"),
        Feature(name="h", type="category", allowed=(1, 2), **why),
        Feature(name="q", type="category", allowed=(100, 500, 900), **why),
    )
    plain = one()
    return msgspec.structs.replace(
        plain,
        kind="forecast",
        cut_offs=(),
        input=msgspec.structs.replace(plain.input, features=features),
        outcome=OutcomeDefinition(meaning="cash", window="a month", origin="o"),
        series=SeriesContract(frequency="month", season=12, horizon="h", quantile="q"),
    )


def forecasts(width: float = 1.2816, n: int = 120) -> Realisations:
    random = np.random.default_rng(5)
    level = random.uniform(80, 120, n).astype(np.float32)
    came = level + random.normal(0, 5, n)
    rows, told, amounts = [], [], []
    for place in range(n):
        for q, z in ((100, -width), (500, 0.0), (900, width)):
            rows.append([level[place], 1 + place % 2, q])
            told.append(level[place] + 5 * z)
            amounts.append(came[place])
    times = np.repeat(np.arange(n) * DAY_US // 10, 3)
    return Realisations(
        times, np.array(told), np.array(amounts), np.array(rows, np.float32), (VERSION,) * (3 * n), 0, 0
    )


def test_figures_of_forecasts_are_those_of_scikit_learn_and_narrow_intervals_alert() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    joined, held = forecasts(), rule(kind="forecast", window_days=30, windows=1, limits={"coverage": "0.1"})
    (window,) = watch(joined, series(), held)
    q = joined.rows[:, 2].astype(int)
    y, f = joined.amounts[q == 500], joined.estimates[q == 500]
    assert figure(window, "wape").value == pytest.approx(np.abs(y - f).sum() / np.abs(y).sum())
    assert figure(window, "bias").value == pytest.approx((f - y).sum() / np.abs(y).sum())
    losses_ = [metrics.mean_pinball_loss(y, joined.estimates[q == one_], alpha=one_ / 1000) for one_ in (100, 500, 900)]
    assert figure(window, "pinball").value == pytest.approx(np.mean(losses_))
    inside = ((y >= joined.estimates[q == 100]) & (y <= joined.estimates[q == 900])).mean()
    cover = figure(window, "coverage")
    assert cover.value == pytest.approx(inside)
    assert (cover.n, cover.standing) == (120, "stable")
    assert cover.error == pytest.approx(math.sqrt(0.8 * 0.2 / 120))
    (narrow,) = watch(forecasts(0.5), series(), held)
    assert figure(narrow, "coverage").standing == "alert"
    lone = forecast_figures(np.ones(4), np.ones(4), np.full(4, 500), np.arange(4), (500, 500))
    assert "one quantile" in str(lone["coverage"])
    zero = forecast_figures(np.zeros(4), np.ones(4), np.full(4, 500), np.arange(4), (100, 900))
    assert isinstance(zero["wape"], NotEvaluable)


def batch(**amounts: str) -> RealisedBatch:
    made = tuple(Realised(decision_id=name, realised=text, observed_at_us=9000) for name, text in amounts.items())
    return RealisedBatch(v=1, model=MODEL, realised=made)


def test_posted_amounts_meet_their_decisions_and_alerts_are_recorded(house: House, ledger: Ledger) -> None:
    ids = [ledger.decide(n, [0.1, 0.1], score) for n, score in enumerate((0.1, 0.2, 0.6, 0.9))]
    post_realised(
        house.office, OPERATOR, batch(**{ids[0]: "0.5", ids[1]: "0.625", "f" * 32: "1.0"}), house.clock, "number"
    )
    joined = read_realised(house.office, ledger.reader, OPERATOR, MODEL, house.clock)
    assert joined.amounts.tolist() == [0.5, 0.625]
    assert (joined.unknown, joined.waiting) == (1, 2)
    held = rule(min_rows=2)
    windows = watch(joined, one(), held)
    assert figure(windows[-1], "bias").value == pytest.approx(0.4125, abs=1e-6)
    raised = raise_amount_alerts(house.office, OPERATOR, MODEL, "lgd", windows, house.clock)
    assert [(alert.monitor, alert.column, alert.rows) for alert, _ in raised] == [("bias", "lgd", 2)]
    assert [Entry.decode(e.entry).verb for e in house.log.entries()] == ["outcomes", "monitor", "alert"]


def test_an_amount_stands_and_impossible_or_misplaced_ones_are_refused(house: House) -> None:
    post_realised(house.office, OPERATOR, batch(**{"a" * 32: "0.5"}), house.clock, "number")
    for bad, takes, between in (
        (batch(**{"a" * 32: "0.25"}), "number", (-9.0, 9.0)),
        (batch(**{"b" * 32: "1.5"}), "number", (0.0, 1.0)),
        (batch(**{"b" * 32: "1.0"}), "event", (-9.0, 9.0)),
    ):
        with pytest.raises(ConflictError):
            post_realised(house.office, OPERATOR, bad, house.clock, takes, between)  # type: ignore[arg-type]  # as named
    with house.desk.begin() as transaction:
        assert [row.realised for row in transaction.books.outcomes.realised_of(MODEL)] == ["0.5"]
    assert [Entry.decode(e.entry).outcome for e in house.log.entries()] == ["done", "refused", "refused", "refused"]


def test_batches_that_make_no_sense_are_refused() -> None:
    good = {"decision_id": "a" * 32, "realised": "0.5", "observed_at_us": 1}
    data = canonical({"v": 1, "model": "m", "realised": [good]})
    assert canonical(RealisedBatch.decode(data)) == data
    for change in (
        {"realised": 0.5}, {"realised": "nan"}, {"realised": "inf"}, {"realised": "0.50"}, {"realised": "1e400"},
        {"decision_id": "A" * 32}, {"observed_at_us": -1}, {"outcome": 1},
    ):  # fmt: skip
        with pytest.raises((InvalidInputError, TypeError)):
            RealisedBatch.decode(canonical({"v": 1, "model": "m", "realised": [{**good, **change}]}))
    for rows in ([], [good, good]):
        with pytest.raises(InvalidInputError):
            RealisedBatch.decode(canonical({"v": 1, "model": "m", "realised": rows}))


def test_an_amount_before_its_decision_is_a_mistake() -> None:
    row = np.zeros(1, np.float32)
    decided = Decided("a" * 32, 100, "m", *VERSION, row, 0.5, "estimate")
    with pytest.raises(ConflictError, match="before"):
        join_realised([decided], {"a" * 32: Realised(decision_id="a" * 32, realised="0.1", observed_at_us=99)})


@pytest.mark.parametrize(
    "changes",
    [{"kind": "pd"}, {"limits": {"wape": "1"}}, {"limits": {"bias": "-1"}}, {"windows": 0}, {"window_days": 0},
     {"min_rows": 1}, {"limits": {"bias": "much"}}],
)  # fmt: skip
def test_a_watch_that_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        rule(**changes)


def test_the_policy_names_how_amounts_are_watched_and_older_ones_only_show_them() -> None:
    shipped = ValidationPolicy.decode(POLICY.read_bytes())
    assert shipped.watched("lgd").limits["bias"] == "0.05"
    older = msgspec.structs.replace(shipped, outcomes=msgspec.UNSET)
    assert b'"outcomes":[' not in older.encode()
    assert older.watched("forecast").limits == {}
    with pytest.raises(InvalidInputError):
        msgspec.structs.replace(shipped, outcomes=(rule(), rule()))
