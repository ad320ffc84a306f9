"""What must hold for every exposure: order, floors, continuity, second opinions."""

from __future__ import annotations

from datetime import date
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from strongroom.planning import irb, repayments
from strongroom.planning.classes import CLASSES, CORPORATE, MORTGAGE, REVOLVER, SOVEREIGN, VOLATILE_PROPERTY
from strongroom.planning.concentration import concentration, largest
from strongroom.planning.ecl import Book, lifetime_losses, term_structure
from strongroom.planning.expected_loss import against_provisions
from strongroom.planning.output_floor import apply_floor
from strongroom.planning.parameters import floored_ead, floored_lgd, floored_pd, own_lgd_allowed, supervisory_lgd
from strongroom.planning.rules import RATINGS, Rules, in_force, read_rules
from strongroom.planning.scenario import vasicek
from strongroom.planning.staging import Staging, stages
from strongroom.planning.standardised import mortgage_weights, weights

BOOK = read_rules(files("strongroom").joinpath("policies", "capital.json").read_bytes())
EU = in_force(BOOK, "EU", date(2026, 6, 30))
BCBS = in_force(BOOK, "BCBS", date(2026, 6, 30))
UK = in_force(BOOK, "UK", date(2027, 1, 1))

codes = st.integers(0, len(CLASSES) - 1)
shares = st.floats(1e-6, 1.0 - 1e-6)
NAN = float("nan")


def one(value: Any, kind: Any = np.float64) -> Any:
    return np.array([value], kind)


def weight(code: int, pd: float, lgd: float, years: float = 2.5, sales: float = NAN, large: bool = False) -> float:
    found = irb.weigh(one(code, np.int8), one(pd), one(lgd), one(years), one(sales), one(large, bool))
    return float(found.weight[0])


@given(codes, shares, st.floats(0, 1.2), st.floats(0.1, 10), st.floats(1, 200))
def test_against_the_formula_as_it_is_printed(code: int, pd: float, lgd: float, years: float, sales: float) -> None:
    """Second opinion: scalar, with scipy.stats, as CRE31 prints it."""
    if not MORTGAGE <= code <= 6:
        share = (1 - np.exp(-50 * pd)) / (1 - np.exp(-50))
        r = 0.12 * share + (0.30 if code == VOLATILE_PROPERTY else 0.24) * (1 - share)
        if code == CORPORATE:
            r -= 0.04 * (1 - (min(max(sales, 5), 50) - 5) / 45)
        b = (0.11852 - 0.05478 * np.log(max(pd, irb.SLOPE_FROM_PD))) ** 2
        longer = (1 + (min(max(years, 1), 5) - 2.5) * b) / (1 - 1.5 * b)
    else:
        share = (1 - np.exp(-35 * pd)) / (1 - np.exp(-35))
        r = {MORTGAGE: 0.15, 6: 0.03 * share + 0.16 * (1 - share)}.get(code, 0.04)
        longer = 1.0
    k = lgd * (stats.norm.cdf((stats.norm.ppf(pd) + r**0.5 * stats.norm.ppf(0.999)) / (1 - r) ** 0.5) - pd) * longer
    assert weight(code, pd, lgd, years, sales) == pytest.approx(max(12.5 * k, 0.0), rel=1e-7, abs=1e-9)


@given(codes, st.floats(0, 0.05), st.floats(0, 0.05), st.floats(0.01, 1))
def test_more_pd_asks_for_more_capital_where_it_should(code: int, a: float, b: float, lgd: float) -> None:
    # K itself turns round at high PDs, since expected loss is taken off; up to 5% it rises in every class
    low, high = sorted((a, b))
    assert weight(code, low, lgd) <= weight(code, high, lgd) + 1e-12


@given(codes, shares, st.floats(0, 1), st.floats(0, 1))
def test_more_lgd_asks_for_more_capital(code: int, pd: float, a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert weight(code, pd, low) <= weight(code, pd, high) + 1e-12


@given(shares, st.floats(0.1, 1), st.floats(5, 49))
def test_size_and_financial_institutions(pd: float, lgd: float, sales: float) -> None:
    plain = weight(CORPORATE, pd, lgd)
    assert weight(CORPORATE, pd, lgd, sales=sales) <= plain + 1e-12
    assert weight(CORPORATE, pd, lgd, sales=50.0) == pytest.approx(plain)
    if pd < 0.05:
        assert weight(CORPORATE, pd, lgd, large=True) > plain


@given(codes, st.floats(1e-5, 0.999), st.floats(0.1, 1), st.floats(1, 4.9), st.floats(5, 49.9))
def test_weights_have_no_steps(code: int, pd: float, lgd: float, years: float, sales: float) -> None:
    here = weight(code, pd, lgd, years, sales)
    for other in (
        weight(code, pd * (1 + 1e-7), lgd, years, sales), weight(code, pd, lgd + 1e-7, years, sales),
        weight(code, pd, lgd, years + 1e-7, sales), weight(code, pd, lgd, years, sales + 1e-7),
    ):  # fmt: skip
        assert other == pytest.approx(here, abs=1e-4)


@given(codes)
def test_the_ends_ask_for_nothing(code: int) -> None:
    assert weight(code, 0.0, 0.5) == weight(code, 1.0, 0.5) == 0.0
    # what is not known is not nothing
    assert np.isnan(weight(code, NAN, 0.5))


def test_below_a_thousandth_of_a_percent_the_adjustment_stays_as_it_is() -> None:
    slope = (0.11852 - 0.05478 * np.log(0.00001)) ** 2
    found = irb.maturity_adjustment(np.zeros(3, np.int8), np.array([0.0, 1e-6, 1e-5]), np.full(3, 4.0))
    assert found == pytest.approx([(1 + 1.5 * slope) / (1 - 1.5 * slope)] * 3)


@given(st.floats(0, 1), st.floats(0, 1))
def test_default_asks_for_what_exceeds_the_best_estimate(lgd: float, elbe: float) -> None:
    found = irb.weigh_defaulted(one(lgd), one(elbe))
    assert found.capital[0] == max(0.0, lgd - elbe)


@given(codes, st.floats(0, 1), st.floats(0, 1), st.integers(0, 4), st.floats(0, 1))
def test_floors_bind_and_only_upwards(code: int, pd: float, lgd: float, kind: int, part: float) -> None:
    for rules in (EU, BCBS, UK):
        floored = floored_pd(rules, one(code, np.int8), one(pd))
        assert floored.value[0] >= max(pd, rules.pd_floor[code])
        assert bool(floored.bound[0]) == (pd < rules.pd_floor[code])
        severe = floored_lgd(rules, one(code, np.int8), one(lgd), one(kind, np.int8), one(part))
        assert severe.value[0] >= lgd
        if not severe.bound[0]:
            assert severe.value[0] == lgd


def test_the_floors_of_the_facts() -> None:
    names = dict(zip(CLASSES, EU.pd_floor, strict=True))
    assert {name: floor for name, floor in names.items() if name in CLASSES[:7]} == {
        "sovereign": 0.0, "institution": 0.0005, "corporate": 0.0005, "residential-mortgage": 0.0005,
        "qrre-revolver": 0.001, "qrre-transactor": 0.0005, "other-retail": 0.0005,
    }  # fmt: skip
    assert UK.pd_floor[MORTGAGE] == 0.001
    corporate, none = one(CORPORATE, np.int8), one(0.0)
    found = [float(floored_lgd(EU, corporate, none, one(kind, np.int8), one(1.0)).value[0]) for kind in range(5)]
    assert found == pytest.approx([0.25, 0.0, 0.10, 0.10, 0.15])
    # half secured by receivables: half of each (CRE32.17)
    assert floored_lgd(EU, corporate, none, one(2, np.int8), one(0.5)).value[0] == pytest.approx(0.175)
    # the vector `QRRE revolver PD 0.02% -> floor 0.10%`
    assert floored_pd(EU, one(REVOLVER, np.int8), one(0.0002)).value[0] == 0.001


def test_supervisory_lgd() -> None:
    def found(code: int, *, subordinated: bool = False, financial: bool = False) -> float:
        return float(
            supervisory_lgd(
                EU, one(code, np.int8), one(0, np.int8), one(0.0), one(subordinated, bool), one(financial, bool)
            )[0]
        )

    assert [found(code) for code in (0, 1, 2)] == pytest.approx([0.45, 0.45, 0.40])
    assert found(2, financial=True) == pytest.approx(0.45)
    assert found(2, subordinated=True) == pytest.approx(0.75)
    assert np.isnan(found(MORTGAGE))
    large = own_lgd_allowed(one(CORPORATE, np.int8), one(501.0), one(False, bool))
    assert not large[0]
    assert own_lgd_allowed(one(CORPORATE, np.int8), one(NAN), one(False, bool))[0]


@given(codes, st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6), st.integers(0, 4))
def test_ead_is_not_below_what_is_drawn(code: int, ead: float, drawn: float, limit: float, kind: int) -> None:
    found = floored_ead(EU, one(code, np.int8), one(ead), one(drawn), one(limit), one(kind, np.int8)).value[0]
    # sovereigns have no floor (CRE32.36)
    assert found == ead if code == SOVEREIGN else found >= max(ead, drawn)


@pytest.mark.parametrize(
    ("ltv", "percent"), [(0.5, 20), (0.501, 25), (0.6, 25), (0.8, 30), (0.9, 40), (1, 50), (1.01, 70)]
)
def test_mortgages_by_loan_to_value(ltv: float, percent: float) -> None:
    assert mortgage_weights(BCBS, one(ltv))[0] == pytest.approx(percent / 100)
    assert mortgage_weights(BCBS, one(NAN))[0] == 0.7


def test_mortgages_split() -> None:
    assert mortgage_weights(EU, np.array([0.4, 0.55, 1.1])) == pytest.approx([0.2, 0.2, 0.5 * 0.2 + 0.5 * 0.75])
    assert mortgage_weights(EU, one(NAN))[0] == pytest.approx(0.75)


def standard(rules: Rules, code: int, rating: str, sales: float = NAN, **more: Any) -> float:
    found = weights(
        rules, one(code, np.int8), one(RATINGS.index(rating), np.int8), one(sales), one(0.5),
        one(more.get("defaulted", False), bool), one(more.get("provided", 0.0)),
    )  # fmt: skip
    return float(found[0])


def test_standardised_weights_of_the_facts() -> None:
    ratings = ("AAA-AA", "A", "BBB", "BB", "B", "CCC", "unrated")
    assert [standard(EU, CORPORATE, rating) for rating in ratings] == [0.2, 0.5, 0.75, 1.0, 1.5, 1.5, 1.0]
    # the Union has no weight for unrated small companies: it has a supporting factor, which is not in the plan
    assert [standard(rules, CORPORATE, "unrated", 40.0) for rules in (EU, BCBS, UK)] == [1.0, 0.85, 0.85]
    assert [standard(EU, code, "unrated") for code in (4, 5, 6)] == [0.75, 0.45, 0.75]
    assert standard(EU, CORPORATE, "unrated", defaulted=True) == 1.5
    assert standard(EU, CORPORATE, "unrated", defaulted=True, provided=0.2) == 1.0


@given(st.floats(0, 1e9), st.floats(0, 1e9), st.floats(0, 100))
def test_the_output_floor_only_adds(before: float, general: float, percent: float) -> None:
    found = apply_floor(before, general, percent)
    assert found.rwa >= max(before, general * percent / 100) - 1e-6
    assert found.binding == (found.added > 0)
    capped = apply_floor(before, general, percent, 125.0)
    assert before <= capped.rwa <= max(1.25 * before, before) + 1e-6


@given(st.floats(0, 1e9), st.floats(0, 1e9), st.floats(0, 1e10))
def test_shortfall_or_excess_and_never_both(loss: float, provisions: float, rwa: float) -> None:
    found = against_provisions(loss, provisions, rwa)
    assert found.cet1_deduction == 0.0 or found.tier2_addback == 0.0
    assert found.tier2_addback <= 0.006 * rwa + 1e-9


@settings(max_examples=40)
@given(st.floats(1e-4, 0.5), st.floats(0.01, 0.4), st.floats(-3, 3))
def test_vasicek_averages_to_the_pd_through_the_cycle(pd: float, rho: float, z: float) -> None:
    assert vasicek(one(pd), one(rho), z)[0] >= vasicek(one(pd), one(rho), z + 0.1)[0]
    assert vasicek(one(pd), one(rho), 0.0, 1.0)[0] == pytest.approx(pd, rel=1e-9)
    nodes, chances = np.polynomial.hermite_e.hermegauss(80)
    spread = 0.5
    over = sum(
        chance * vasicek(one(pd), one(rho), z + spread**0.5 * node)[0]
        for node, chance in zip(nodes, chances / chances.sum(), strict=True)
    )
    assert vasicek(one(pd), one(rho), z, spread)[0] == pytest.approx(over, rel=1e-6)


class Steady:
    """The same hazard and LGD in each year."""

    def __init__(self, hazard: float) -> None:
        self._hazard = hazard

    def hazard(self, _year: int) -> Any:
        return one(self._hazard)

    def lgd(self, _year: int, lgd: Any) -> Any:
        return lgd


@given(st.floats(0, 0.5), st.floats(0.1, 1), st.floats(0, 0.2), st.integers(1, 20))
def test_losses_of_many_are_those_of_one(hazard: float, lgd: float, eir: float, years: int) -> None:
    book = Book(one(lgd), one(100.0), one(eir), one(12.0 * years), [one(1.0)] * years)
    found = lifetime_losses(book, Steady(hazard))
    other = term_structure(np.full(years, hazard), np.full(years, lgd), np.full(years, 100.0), eir)
    assert found.first_year[0] == pytest.approx(other.ecl_12m)
    assert found.lifetime[0] == pytest.approx(other.ecl_lifetime)
    longer = lifetime_losses(book._replace(months=one(12.0 * years - 1)), Steady(hazard))
    assert longer.lifetime[0] <= found.lifetime[0] + 1e-9


def test_a_part_of_a_year_is_a_part_of_its_hazard() -> None:
    book = Book(one(1.0), one(1.0), one(0.0), one(6.0), [one(1.0)])
    assert lifetime_losses(book, Steady(0.19)).lifetime[0] == pytest.approx(1 - 0.81**0.5)
    # a hazard of 1 leaves nobody
    assert lifetime_losses(book, Steady(1.0)).lifetime[0] == pytest.approx(1.0)


def test_stages_by_change_and_by_days() -> None:
    cut = Staging(relative=2.0, absolute=0.005, low_risk_pd=0.002)
    pd = np.array([0.010, 0.010, 0.004, 0.0019, NAN, 0.01, 0.01])
    at_first = np.array([0.005, 0.0051, 0.001, 0.0001, 0.001, NAN, 0.01])
    days = np.array([0.0, 0, 0, 0, 31, 30, 91])
    found = stages(cut, pd, at_first, days, np.zeros(7, bool))
    assert found.tolist() == [2, 1, 1, 1, 2, 1, 3]
    assert stages(cut, pd, at_first, days, np.ones(7, bool)).tolist() == [3] * 7


def test_nothing_to_divide_is_none() -> None:
    assert concentration(np.zeros(2, np.int64), np.zeros(2)) is None


@given(st.integers(1, 40))
def test_concentration_of_equals(groups: int) -> None:
    found = concentration(np.arange(groups, dtype=np.int64), np.full(groups, 3.0))
    assert found is not None
    assert found.by_exposure == pytest.approx(1 / groups)
    assert found.effective == pytest.approx(groups)


def test_the_largest_come_first_and_ties_by_code() -> None:
    found = largest(np.array([0, 1, 2, 1], np.int64), np.array([5.0, 2.0, 5.0, 4.0]), 2)
    assert [(code, amount) for code, amount, _ in found] == [(1, 6.0), (0, 5.0)]


@given(
    st.floats(0, 1e6), st.floats(0, 0.3), st.integers(1, 60), st.integers(0, 2), st.floats(0, 0.3), st.floats(0, 0.4)
)
def test_principal_comes_back_once(drawn: float, rate: float, months: int, kind: int, pd: float, early: float) -> None:
    found = repayments.forecast(
        one(drawn), one(rate), one(float(months)), one(kind, np.int8), one(pd), one(False, bool), 72, early
    )
    near = {"rel": 1e-6, "abs": 1e-4}
    assert sum(month.principal for month in found) == pytest.approx(drawn, **near)
    assert found[-1].balance == pytest.approx(0.0, abs=1e-4)
    expected = sum(month.expected_principal for month in found)
    assert expected <= drawn * (1 + 1e-6) + 1e-4
    if pd == 0.0:
        assert expected == pytest.approx(drawn, **near)
    left = repayments.balances(one(rate), one(float(months)), one(kind, np.int8), 6, 0.0)
    for year in range(1, 6):
        assert left[year][0] * drawn == pytest.approx(found[12 * year - 1].balance, rel=1e-5, abs=1e-3)


def test_what_is_in_default_pays_nothing() -> None:
    found = repayments.forecast(one(9.0), one(0.1), one(9.0), one(0, np.int8), one(1.0), one(True, bool), 12, 0.0)
    assert sum(month.principal + month.expected_interest for month in found) == 0.0
