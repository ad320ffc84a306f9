"""Whole exposures through floors, approaches and weights: order, floors that bind, fallback, sums of parts."""

from __future__ import annotations

from dataclasses import fields
from datetime import date
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.planning.classes import CLASSES, CORPORATE, INSTITUTION, MORTGAGE, RETAIL
from strongroom.planning.expected_loss import against_provisions
from strongroom.planning.output_floor import apply_floor
from strongroom.planning.portfolio import Part
from strongroom.planning.rules import in_force, read_rules
from strongroom.planning.weighing import IRB, Weighed, weigh
from tests.planning.house import part

BOOK = read_rules(files("strongroom").joinpath("policies", "capital.json").read_bytes())
REGIMES = {name: in_force(BOOK, name, date(2027, 6, 30)) for name in ("EU", "BCBS", "UK")}
regimes = st.sampled_from(sorted(REGIMES))
codes = st.integers(0, len(CLASSES) - 1)
NAN = float("nan")
few = settings(max_examples=40)


def weighed(regime: str, **columns: Any) -> Weighed:
    return weigh(part(**columns), REGIMES[regime])


@few
@given(regimes, codes, st.floats(0, 0.05), st.floats(0, 0.05), st.floats(0, 1), st.floats(0, 1))
def test_more_pd_or_lgd_asks_for_more(regime: str, code: int, a: float, b: float, c: float, d: float) -> None:
    (pd, worse), (lgd, harsher) = sorted((a, b)), sorted((c, d))
    found = weighed(regime, classes=[code] * 3, pd=[pd, worse, pd], lgd=[lgd, lgd, harsher])
    for figures in (found.rwa, found.expected_loss):
        assert figures[0] <= figures[1] * (1 + 1e-12) + 1e-9
        assert figures[0] <= figures[2] * (1 + 1e-12) + 1e-9


@few
@given(regimes, codes, st.floats(0, 1), st.floats(0, 1), st.integers(0, 4), st.floats(0, 1))
def test_floors_bind_where_they_say_so_and_nowhere_else(
    regime: str, code: int, pd: float, lgd: float, collateral: int, share: float
) -> None:
    rules = REGIMES[regime]
    found = weighed(
        regime, classes=[code], pd=[pd], lgd=[lgd], collateral=[collateral], collateral_share=[share], turnover_m=[10.0]
    )
    if found.reason[0] != IRB:
        bound = np.array([found.pd_bound, found.lgd_bound, found.ead_bound, found.weight_bound])
        assert not bound.any()
        return
    assert found.pd[0] == max(pd, rules.pd_floor[code])
    assert bool(found.pd_bound[0]) == (pd < rules.pd_floor[code])
    if not found.supervisory[0]:
        assert found.lgd[0] >= lgd
        assert bool(found.lgd_bound[0]) == (found.lgd[0] > lgd)
    assert found.weight[0] >= rules.weight_floor[code]


@few
@given(regimes, codes, st.floats(0.0005, 0.3), st.floats(1, 1e6), st.floats(0, 1))
def test_what_no_model_may_weigh_has_the_standardised_weight_and_its_reason(
    regime: str, code: int, pd: float, drawn: float, provided: float
) -> None:
    # asked for, no PD, no LGD where none is ruled, in default without a best estimate
    found = weighed(
        regime, classes=[code] * 4, drawn=[drawn] * 4, limit=[drawn] * 4, provisions=[provided * drawn] * 4,
        standardised=[True, False, False, False], pd=[pd, NAN, pd, pd], lgd=[0.4, 0.4, NAN, 0.4],
        defaulted=[False, False, False, True],
    )  # fmt: skip
    none = not REGIMES[regime].modelled[code]
    ruled = code not in (*range(3, 7), CLASSES.index("equity"))
    slots_alone = not REGIMES[regime].special.by_pd[code]
    like_a_bank = code in (INSTITUTION, *map(CLASSES.index, ("public-sector", "development-bank", "covered-bond")))
    reasons = found.reason.tolist()
    assert reasons[:2] == ([5, 5] if none else [1, 5] if slots_alone else [1, 2])
    none = none or slots_alone
    assert reasons[2] == (5 if none else IRB if ruled else 3)
    # a bank's LGD is the supervisory one, which is its best estimate too
    assert reasons[3] == (5 if none else IRB if like_a_bank else 4)
    fell = found.reason != IRB
    assert (found.rwa == found.standardised_rwa)[fell].all()
    assert (found.expected_loss == 0.0)[fell].all()
    assert (found.standardised_rwa >= 0.0).all()


@few
@given(regimes, codes, st.floats(0, 1.2), st.floats(0, 1), st.floats(0, 1e6))
def test_in_default_what_exceeds_the_best_estimate_counts(
    regime: str, code: int, lgd: float, elbe: float, drawn: float
) -> None:
    found = weighed(
        regime, classes=[code], drawn=[drawn], limit=[drawn], defaulted=[True], elbe=[elbe], lgd=[lgd], pd=[NAN],
        turnover_m=[10.0],
    )  # fmt: skip
    if found.reason[0] == IRB:
        supervisory = bool(found.supervisory[0])
        assert found.rwa[0] == pytest.approx(0.0 if supervisory else 12.5 * max(0.0, found.lgd[0] - elbe) * drawn)
        assert found.expected_loss[0] == pytest.approx((found.lgd[0] if supervisory else elbe) * drawn)
    assert found.pd[0] == 1.0


@few
@given(st.floats(5, 500), st.floats(5, 500), st.floats(0.1, 8), st.floats(0.1, 8))
def test_smaller_firms_and_shorter_loans_ask_for_less(a: float, b: float, c: float, d: float) -> None:
    (small, large), (short, long) = sorted((a, b)), sorted((c, d))
    found = weighed(
        "EU", classes=[CORPORATE] * 3, turnover_m=[small, large, small], maturity_years=[short, short, long]
    )
    assert found.rwa[0] <= found.rwa[1] + 1e-9
    assert found.rwa[0] <= found.rwa[2] + 1e-9
    # from one year to five, and from five millions to fifty: beyond, nothing changes
    ends = weighed("EU", classes=[CORPORATE] * 4, turnover_m=[5.0, 1.0, 50.0, 400.0], maturity_years=[5, 9, 1, 0.1])
    assert ends.rwa[0] == ends.rwa[1]
    assert ends.rwa[2] == ends.rwa[3]


@few
@given(regimes, st.floats(0.01, 3), st.floats(0.01, 3))
def test_a_mortgage_of_more_loan_to_value_asks_for_no_less(regime: str, a: float, b: float) -> None:
    low, high = sorted((a, b))
    found = weighed(regime, classes=[MORTGAGE] * 3, standardised=[True] * 3, ltv=[low, high, NAN])
    assert found.rwa[0] <= found.rwa[1] + 1e-9
    assert found.rwa[1] <= found.rwa[2] + 1e-9


@few
@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_sums_are_those_of_the_parts_and_order_does_not_count(seed: int, cut: int) -> None:
    random = np.random.default_rng(seed)
    rows = 31
    some = part(
        classes=random.integers(0, len(CLASSES), rows), drawn=random.lognormal(8, 1, rows),
        pd=np.where(random.random(rows) < 0.1, NAN, random.random(rows) ** 4), lgd=random.random(rows),
        defaulted=random.random(rows) < 0.2, elbe=np.where(random.random(rows) < 0.5, 0.3, NAN),
        turnover_m=random.lognormal(3, 2, rows), standardised=random.random(rows) < 0.2,
    )  # fmt: skip
    whole = weigh(some, REGIMES["EU"])
    order = random.permutation(rows)
    found = [weigh(_rows(some, places), REGIMES["EU"]) for places in (order[:cut], order[cut:])]
    for figure in ("rwa", "standardised_rwa", "expected_loss", "ead"):
        parts = np.concatenate([getattr(one, figure) for one in found])
        assert parts.tolist() == getattr(whole, figure)[order].tolist()
    # the floor over both is not the sum of two floors, and never below what either asks for
    sums = [(one.rwa.sum(), one.standardised_rwa.sum()) for one in (*found, whole)]
    floored = [apply_floor(float(rwa), float(general), 72.5).rwa for rwa, general in sums]
    assert max(sums[2][0], 0.725 * sums[2][1]) == pytest.approx(floored[2])
    assert floored[2] <= floored[0] + floored[1] + 1e-6
    loss = against_provisions(float(whole.expected_loss.sum()), 0.0, float(whole.rwa.sum()))
    assert loss.cet1_deduction == pytest.approx(sum(one.expected_loss.sum() for one in found))


def _rows(some: Part, places: Any) -> Part:
    columns = {one.name: getattr(some, one.name) for one in fields(some) if one.name != "first_row"}
    terms = some.terms._make(values[places] for values in columns.pop("terms"))
    return Part(first_row=0, terms=terms, **{name: values[places] for name, values in columns.items()})


def test_the_united_kingdom_counts_sales_in_pounds() -> None:
    sales = [4.4, 44.0, 44.1, 440.0, 440.1]
    eu, uk = (weighed(name, classes=[CORPORATE] * 5, turnover_m=sales, lgd=[0.9] * 5) for name in ("EU", "UK"))
    assert eu.supervisory.tolist() == [False] * 5
    assert uk.supervisory.tolist() == [False, False, False, False, True]
    # 4.4 and 44 are the ends of the adjustment there, and not here
    ends = weighed("EU", classes=[CORPORATE] * 2, turnover_m=[5.0, 50.0], lgd=[0.9] * 2)
    assert uk.rwa[:2].tolist() == ends.rwa.tolist()
    assert uk.rwa[1] == uk.rwa[2] == uk.rwa[3]
    assert eu.rwa[1] < eu.rwa[3]
    assert (uk.standardised_rwa / 1000.0).tolist() == [0.85, 0.85, 1.0, 1.0, 1.0]


def test_transactors_and_revolvers_differ_by_floor_and_by_standardised_weight() -> None:
    names = {name: code for code, name in enumerate(CLASSES)}
    kinds = [names["qrre-revolver"], names["qrre-transactor"], RETAIL]
    found = weighed("EU", classes=kinds, pd=[0.0] * 3, lgd=[0.0] * 3)
    assert found.pd.tolist() == [0.001, 0.0005, 0.0005]
    assert found.lgd.tolist() == [0.5, 0.5, 0.3]
    assert (found.standardised_rwa / 1000.0).tolist() == [0.75, 0.45, 0.75]
