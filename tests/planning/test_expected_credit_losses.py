"""IFRS 9 where it has edges: nothing owed, default on the day of the report, no rate, no time left, prepayment."""

from __future__ import annotations

from datetime import date
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.planning.outlook import Outlook, losses_ahead
from strongroom.planning.plan import Groups, Tally
from strongroom.planning.repayments import BULLET
from strongroom.planning.rules import in_force, read_rules
from strongroom.planning.scenario import Document, read_scenario
from strongroom.planning.weighing import weigh
from tests.planning.house import SCENARIO, part

EU = in_force(
    read_rules(files("strongroom").joinpath("policies", "capital.json").read_bytes()), "EU", date(2026, 6, 30)
)
PLAIN = read_scenario(SCENARIO.replace("prepayment_rate = 0.05", "prepayment_rate = 0.0").encode())
NAN = float("nan")


def ahead(document: Document = PLAIN, **columns: Any) -> Outlook:
    some = part(**columns)
    return losses_ahead(some, weigh(some, EU), EU, document)


def test_nothing_owed_loses_nothing_and_divides_nothing() -> None:
    found = ahead(drawn=[0.0, 0.0], limit=[0.0, 0.0], defaulted=[False, True], elbe=[NAN, 0.4])
    assert found.ecl.tolist() == found.ecl_lifetime.tolist() == [0.0, 0.0]
    assert found.evaluable.tolist() == [True, True]
    tally = Tally(EU, PLAIN)
    tally.add(part(drawn=[0.0], limit=[0.0]))
    assert all(np.isfinite(values).all() for values in tally.sums.values())
    assert Groups(np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1)).ead.sum() == 0.0


def test_in_default_on_the_day_of_the_report_the_best_estimate_counts_and_no_pd_rate_or_life() -> None:
    worse = {"pd": [0.02, NAN, 1.0, 0.02], "eir": [0.06, 0.0, 0.5, 0.06], "months": [36.0, 0.0, 300.0, 36.0]}
    found = ahead(defaulted=[True] * 4, elbe=[0.3, 0.3, 0.3, NAN], **worse)
    assert found.stage.tolist() == [3] * 4
    assert found.ecl.tolist() == found.ecl_12m.tolist() == found.ecl_lifetime.tolist() == [300.0, 300.0, 300.0, 450.0]
    assert found.by_scenario.tolist() == [[300.0, 300.0, 300.0, 450.0]] * 3
    # by days alone, one day over
    assert ahead(days_past_due=[90.0, 91.0]).stage.tolist() == [2, 3]


def test_what_is_not_known_is_counted_and_not_guessed() -> None:
    found = ahead(pd=[NAN, 0.02, NAN], lgd=[0.45, NAN, NAN], defaulted=[False, False, True])
    assert found.evaluable.tolist() == [False, False, False]
    assert found.ecl.tolist() == [0.0, 0.0, 0.0]


def test_a_loss_is_discounted_at_the_loans_own_rate_to_the_end_of_its_year() -> None:
    rates = [0.0, 0.03, 0.10]
    found = ahead(eir=rates, amortisation=[BULLET] * 3, months=[12.0] * 3, days_past_due=[40.0] * 3)
    assert found.ecl == pytest.approx(found.ecl[0] / (1.0 + np.array(rates)))
    half = ahead(eir=rates, amortisation=[BULLET] * 3, months=[6.0] * 3, days_past_due=[40.0] * 3)
    assert half.ecl == pytest.approx(half.ecl[0] / (1.0 + np.array(rates)) ** 0.5)


def test_no_time_left_is_a_month_and_a_life_of_a_year_is_twelve_months() -> None:
    found = ahead(months=[0.0, 1.0, 12.0, 13.0], days_past_due=[40.0] * 4, amortisation=[BULLET] * 4)
    assert found.ecl[0] == found.ecl[1] > 0.0
    assert found.ecl_12m[2] == found.ecl_lifetime[2]
    assert found.ecl_lifetime[3] > found.ecl_12m[3]


@settings(max_examples=25)
@given(st.floats(0.0, 0.9), st.floats(0.0, 0.9), st.floats(0.001, 0.5), st.floats(1.0, 120.0))
def test_prepayment_lowers_the_life_and_leaves_the_first_year(a: float, b: float, pd: float, months: float) -> None:
    low, high = sorted((a, b))
    text = SCENARIO.replace("prepayment_rate = 0.05", "prepayment_rate = %r")
    slow, fast = (ahead(read_scenario((text % rate).encode()), pd=[pd], months=[months]) for rate in (low, high))
    assert fast.ecl_lifetime[0] <= slow.ecl_lifetime[0] * (1 + 1e-12)
    assert fast.ecl_12m[0] == slow.ecl_12m[0]


@settings(max_examples=25)
@given(st.floats(0.0001, 0.5), st.floats(0.0001, 0.5), st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.floats(1.0, 400.0))
def test_worse_never_costs_less(a: float, b: float, c: float, d: float, months: float) -> None:
    (pd, worse), (lgd, harsher) = sorted((a, b)), sorted((c, d))
    found = ahead(pd=[pd, worse, pd], lgd=[lgd, lgd, harsher], months=[months] * 3)
    for figures in (found.ecl_12m, found.ecl_lifetime if months <= 12.0 else found.ecl_12m):
        assert figures[0] <= figures[1] * (1 + 1e-9) + 1e-9
    assert found.ecl_lifetime[0] <= found.ecl_lifetime[2] * (1 + 1e-9) + 1e-9
    assert (found.ecl_12m <= found.ecl_lifetime + 1e-9).all()
    weights = [path.weight for path in PLAIN.scenarios.values()]
    assert np.array(weights) @ found.by_scenario == pytest.approx(found.ecl)


@settings(max_examples=25)
@given(st.lists(st.sampled_from([0.0, 0.001, 0.02, 0.3, 1.0]), min_size=1, max_size=6))
def test_losses_of_a_portfolio_are_those_of_its_parts(pds: list[float]) -> None:
    whole = ahead(pd=pds, months=[12.0 * (place + 1) for place in range(len(pds))])
    parts = [ahead(pd=[pd], months=[12.0 * (place + 1)]) for place, pd in enumerate(pds)]
    assert whole.ecl.tolist() == [float(one.ecl[0]) for one in parts]
    assert whole.ecl_lifetime == pytest.approx([float(one.ecl_lifetime[0]) for one in parts])
    assert (whole.ecl[np.array(pds) == 0.0] == 0.0).all()
