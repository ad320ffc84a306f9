"""Capital and provisions counted by hand at each bound: what a wrong sign, bound or constant would change.

Light on purpose, since mutation testing runs it hundreds of times.
"""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date
from importlib.resources import files
from typing import Any

import msgspec
import numpy as np
import pytest
from scipy import stats

from strongroom.errors import InvalidInputError
from strongroom.planning import irb, repayments
from strongroom.planning.classes import (
    CLASSES,
    CORPORATE,
    INSTITUTION,
    MORTGAGE,
    RETAIL,
    REVOLVER,
    SOVEREIGN,
    is_retail,
)
from strongroom.planning.concentration import concentration, largest
from strongroom.planning.ecl import Book, lifetime_losses, term_structure
from strongroom.planning.expected_loss import against_provisions, expected_loss
from strongroom.planning.output_floor import apply_floor
from strongroom.planning.parameters import (
    blended,
    converted_ead,
    floored_ead,
    floored_lgd,
    floored_pd,
    own_lgd_allowed,
    supervisory_lgd,
)
from strongroom.planning.rules import RATINGS, MortgageSplit, in_force, read_rules
from strongroom.planning.staging import Staging, stages
from strongroom.planning.standardised import mortgage_weights, weights

EU = in_force(
    read_rules(files("strongroom").joinpath("policies", "capital.json").read_bytes()), "EU", date(2026, 6, 30)
)
NAN = float("nan")
ALL = np.arange(7, dtype=np.int8)


def floats(*values: float) -> Any:
    return np.array(values, np.float64)


def codes(*values: int) -> Any:
    return np.array(values, np.int8)


def flags(*values: int) -> Any:
    return np.array(values, np.bool_)


def test_codes_of_the_classes() -> None:
    assert [CLASSES[code] for code in (SOVEREIGN, INSTITUTION, CORPORATE, MORTGAGE, REVOLVER, RETAIL)] == [
        "sovereign", "institution", "corporate", "residential-mortgage", "qrre-revolver", "other-retail",
    ]  # fmt: skip
    assert is_retail(ALL).tolist() == [False] * 3 + [True] * 4


def test_correlation_of_every_class_and_size() -> None:
    found = irb.correlation(ALL, np.full(7, 0.01), np.full(7, NAN), np.zeros(7, bool))
    fifty = (1 - math.exp(-0.5)) / (1 - math.exp(-50))
    retail = (1 - math.exp(-0.35)) / (1 - math.exp(-35))
    large = 0.12 * fifty + 0.24 * (1 - fifty)
    assert found == pytest.approx([large] * 3 + [0.15, 0.04, 0.04, 0.03 * retail + 0.16 * (1 - retail)], rel=1e-12)
    sales = floats(1.0, 5.0, 27.5, 50.0, 900.0, NAN)
    sized = irb.correlation(np.full(6, CORPORATE, np.int8), np.full(6, 0.01), sales, np.zeros(6, bool))
    assert sized == pytest.approx([large - 0.04] * 2 + [large - 0.02] + [large] * 3, rel=1e-12)
    pounds = irb.correlation(codes(2), floats(0.01), floats(24.2), flags(0), (4.4, 44.0))
    assert pounds == pytest.approx([large - 0.02], rel=1e-12)
    # no other class is smaller, and retail is no financial institution
    big = irb.correlation(ALL, np.full(7, 0.01), np.full(7, 5.0), np.ones(7, bool))
    assert big[[0, 1]] == pytest.approx(1.25 * large)
    assert big[2] == pytest.approx(1.25 * (large - 0.04))
    assert big[3:].tolist() == found[3:].tolist()


def test_maturity_between_one_and_five_years() -> None:
    slope = (0.11852 - 0.05478 * math.log(0.01)) ** 2
    years = floats(0.2, 1.0, 2.5, 5.0, 30.0)
    found = irb.maturity_adjustment(np.full(5, CORPORATE, np.int8), np.full(5, 0.01), years)
    wanted = [(1 + (m - 2.5) * slope) / (1 - 1.5 * slope) for m in (1.0, 1.0, 2.5, 5.0, 5.0)]
    assert found == pytest.approx(wanted, rel=1e-12)
    assert found[0] == pytest.approx(1.0)
    assert irb.maturity_adjustment(ALL[3:], np.full(4, 0.01), np.full(4, 5.0)).tolist() == [1.0] * 4
    least = (0.11852 - 0.05478 * math.log(0.00001)) ** 2
    tiny = irb.maturity_adjustment(np.zeros(3, np.int8), floats(0.0, 1e-6, 1e-5), np.full(3, 4.0))
    assert tiny == pytest.approx([(1 + 1.5 * least) / (1 - 1.5 * least)] * 3)


def test_capital_is_the_unexpected_loss() -> None:
    some = np.full(7, 0.02), np.full(7, 0.45), np.full(7, 4.0), np.full(7, NAN), np.zeros(7, bool)
    pd, lgd, years, sales, large = some
    found = irb.weigh(ALL, pd, lgd, years, sales, large)
    for place in range(7):
        r, longer = float(found.correlation[place]), float(found.maturity[place])
        stressed = stats.norm.cdf((stats.norm.ppf(0.02) + math.sqrt(r) * stats.norm.ppf(0.999)) / math.sqrt(1 - r))
        assert found.capital[place] == pytest.approx(0.45 * (stressed - 0.02) * longer, rel=1e-12)
        assert found.weight[place] == pytest.approx(12.5 * found.capital[place], rel=1e-12)
    assert found.correlation.tolist() == irb.correlation(ALL, pd, sales, large).tolist()
    assert found.maturity.tolist() == irb.maturity_adjustment(ALL, pd, years).tolist()
    assert 0.0 < irb.weigh(ALL, np.full(7, 0.9999), lgd, years, sales, large).capital.max() < 0.0001
    for end in (0.0, 1.0):
        assert irb.weigh(ALL, np.full(7, end), lgd, years, sales, large).weight.tolist() == [0.0] * 7
    # what is not known is not nothing
    assert np.isnan(irb.weigh(ALL, np.full(7, NAN), lgd, years, sales, large).weight).all()
    small = irb.weigh(codes(2, 2), floats(0.02, 0.02), floats(0.4, 0.4), floats(1, 1), floats(5.0, 50.0), flags(0, 0))
    assert small.weight[0] < small.weight[1]


def test_in_default_what_exceeds_the_best_estimate() -> None:
    found = irb.weigh_defaulted(floats(0.5, 0.3, 0.3), floats(0.2, 0.3, 0.4))
    assert found.capital == pytest.approx([0.3, 0.0, 0.0])
    assert found.weight == pytest.approx([3.75, 0.0, 0.0])
    assert (found.correlation.tolist(), found.maturity.tolist()) == ([0.0] * 3, [1.0] * 3)


def test_expected_loss_against_provisions() -> None:
    assert expected_loss(
        floats(0.02, 1.0), floats(0.45, 0.45), floats(1000.0, 1000.0), floats(NAN, 0.3), flags(0, 1)
    ) == pytest.approx([9.0, 300.0])
    assert against_provisions(10.0, 4.0, 1000.0) == (10.0, 4.0, 6.0, 0.0)
    assert against_provisions(4.0, 10.0, 1000.0) == (4.0, 10.0, 0.0, pytest.approx(6.0))
    assert against_provisions(4.0, 7.0, 1000.0).tier2_addback == pytest.approx(3.0)
    assert against_provisions(4.0, 11.0, 1000.0).tier2_addback == pytest.approx(6.0)
    assert against_provisions(5.0, 5.0, 1000.0) == (5.0, 5.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("before", "general", "percent", "cap", "rwa", "binding", "capped"),
    [
        (100.0, 200.0, 72.5, None, 145.0, True, False), (100.0, 100.0, 72.5, None, 100.0, False, False),
        (145.0, 200.0, 72.5, None, 145.0, False, False), (100.0, 200.0, 72.5, 125.0, 125.0, True, True),
        (100.0, 200.0, 62.5, 125.0, 125.0, True, False), (100.0, 200.0, 60.0, 125.0, 120.0, True, False),
        (100.0, 200.0, 72.5, 150.0, 145.0, True, False), (0.0, 10.0, 50.0, None, 5.0, True, False),
    ],
)  # fmt: skip
def test_the_output_floor(
    before: float, general: float, percent: float, cap: float | None, rwa: float, binding: bool, capped: bool
) -> None:
    found = apply_floor(before, general, percent, cap)
    assert found == (before, general, percent, pytest.approx(rwa), pytest.approx(rwa - before), binding, capped)


def test_concentration_of_unequal_groups() -> None:
    found = concentration(np.array([0, 2, 2, 3]), floats(1.0, 2.0, 1.0, 6.0))
    assert found == (3, pytest.approx(0.01 + 0.09 + 0.36), pytest.approx((1 + 4 + 1) / 16), pytest.approx(1 / 0.46))
    small = concentration(np.array([0, 1]), floats(0.0002, 0.0002))
    assert small == (2, pytest.approx(0.5), pytest.approx(0.5), pytest.approx(2.0))
    assert concentration(np.array([0, 1]), floats(0.0, 0.0)) is None
    assert largest(np.array([0, 1, 2, 1, 3]), floats(5.0, 2.0, 5.0, 4.0, 0.0), 9) == [
        (1, 6.0, pytest.approx(0.375)), (0, 5.0, pytest.approx(0.3125)), (2, 5.0, pytest.approx(0.3125)),
    ]  # fmt: skip
    assert largest(np.array([0, 1]), floats(0.0004, 0.0006), 1) == [(1, 0.0006, pytest.approx(0.6))]


class Given:
    """A path over two exposures."""

    def hazard(self, year: int) -> Any:
        return floats(0.1, 0.2) * year

    def lgd(self, year: int, lgd: Any) -> Any:
        return lgd + 0.1 * (year - 1)


def test_losses_of_one_and_a_half_years_and_of_three() -> None:
    found = term_structure(floats(0.1, 0.2), floats(0.5, 0.6), floats(100.0, 80.0), 0.05)
    assert found.marginal_pd == pytest.approx([0.1, 0.18])
    assert (found.cumulative_pd, found.ecl_12m) == (pytest.approx(0.28), pytest.approx(5.0 / 1.05))
    assert found.ecl_lifetime == pytest.approx(5.0 / 1.05 + 0.18 * 0.6 * 80.0 / 1.05**2)
    three = term_structure(floats(0.1, 0.2, 0.5), np.ones(3), np.ones(3), 0.0)
    assert three.marginal_pd == pytest.approx([0.1, 0.18, 0.36])
    left = [floats(1.0, 1.0), floats(0.6, 0.7), floats(0.2, 0.4)]
    book = Book(floats(0.4, 0.3), floats(100.0, 200.0), floats(0.05, 0.02), floats(18.0, 36.0), left)
    many = lifetime_losses(book, Given())
    assert many.first_year == pytest.approx([0.1 * 0.4 * 100 / 1.05, 0.2 * 0.3 * 200 / 1.02])
    half = 1 - math.sqrt(1 - 0.2)
    assert many.lifetime[0] == pytest.approx(many.first_year[0] + 0.9 * half * 0.5 * 60 / 1.05**1.5)
    assert many.lifetime[1] == pytest.approx(
        many.first_year[1] + 0.8 * 0.4 * 0.4 * 140 / 1.02**2 + 0.8 * 0.6 * 0.6 * 0.5 * 80 / 1.02**3
    )
    # a few hours of a second year count, and nothing of a third
    hours = lifetime_losses(book._replace(months=floats(12.006, 36.0)), Given())
    assert hours.lifetime[0] - hours.first_year[0] == pytest.approx(
        0.9 * (1 - 0.8**0.0005) * 0.5 * 60 / 1.05**1.0005, rel=1e-6
    )
    # no time left is a month; a hazard of 1 within a part of a year leaves nobody

    class Sure(Given):
        def hazard(self, year: int) -> Any:
            return floats(0.5, 1.0)

    short = lifetime_losses(book._replace(months=floats(0.0, 1.0)), Sure())
    month = 1 - 0.5 ** (1 / 12)
    assert short.lifetime == pytest.approx([month * 40 / 1.05 ** (1 / 12), 60 / 1.02 ** (1 / 12)])
    assert short.first_year.tolist() == short.lifetime.tolist()
    over = lifetime_losses(book._replace(months=floats(24.0, 6.0)), Sure())
    assert over.lifetime == pytest.approx([0.5 * 40 / 1.05 + 0.25 * 0.5 * 60 / 1.05**2, 60 / 1.02**0.5])
    # years without a balance are not counted, and an empty book has no loss
    cut = lifetime_losses(book._replace(balance=left[:1]), Given())
    assert cut.lifetime.tolist() == cut.first_year.tolist() == many.first_year.tolist()
    none = lifetime_losses(Book(*[np.zeros(0)] * 4, left), Given())
    assert (none.first_year.size, none.lifetime.size) == (0, 0)


def test_stages_at_their_cut_offs() -> None:
    cut = Staging()
    pd = floats(0.010, 0.0099999, 0.010, 0.0149, 0.0151, 0.02, NAN, 0.02, NAN)
    first = floats(0.005, 0.005, 0.0050001, 0.0100, 0.0100, NAN, 0.01, 0.02, NAN)
    found = stages(cut, pd, first, np.zeros(9), np.zeros(9, bool))
    assert found.tolist() == [2, 1, 1, 1, 1, 1, 1, 1, 1]
    # a half point and three times as many are that in decimals, and a little less in float64
    assert 0.015 - 0.010 < 0.005
    assert 0.3 < 3.0 * 0.1
    tripled = stages(Staging(relative=3.0), floats(0.3, 0.2999), floats(0.1, 0.1), np.zeros(2), np.zeros(2, bool))
    assert tripled.tolist() == [2, 1]
    steep = stages(Staging(relative=1.0), floats(0.015, 0.0149), floats(0.010, 0.010), np.zeros(2), np.zeros(2, bool))
    assert steep.tolist() == [2, 1]
    low = stages(Staging(low_risk_pd=0.02), floats(0.02, 0.0201), floats(0.001, 0.001), np.zeros(2), np.zeros(2, bool))
    assert low.tolist() == [1, 2]
    none = stages(Staging(absolute=0.0), floats(0.0, 0.0005), floats(0.0, 0.0), np.zeros(2), np.zeros(2, bool))
    assert none.tolist() == [1, 2]
    days = floats(30.0, 31.0, 90.0, 91.0, 0.0)
    late = stages(cut, np.full(5, 0.01), np.full(5, 0.01), days, flags(0, 0, 0, 0, 1))
    assert (late.tolist(), late.dtype) == ([1, 2, 2, 3, 3], np.int8)


def test_cut_offs_that_make_no_sense() -> None:
    Staging(relative=1.0, absolute=0.0, low_risk_pd=0.0, backstop_days=0, default_days=1)
    Staging(absolute=0.9999, low_risk_pd=0.9999)
    for wrong in (
        {"relative": 0.9999}, {"absolute": -0.0005}, {"absolute": 1.0}, {"low_risk_pd": -0.0005}, {"low_risk_pd": 1.0},
        {"relative": NAN}, {"absolute": NAN}, {"backstop_days": -1}, {"backstop_days": 90}, {"default_days": 30},
    ):  # fmt: skip
        with pytest.raises(InvalidInputError):
            Staging(**wrong)
    # a document that says more than this means something else, and nobody changes a cut-off later
    with pytest.raises(msgspec.ValidationError, match="relativ"):
        msgspec.convert({"relativ": 3.0}, Staging)
    with pytest.raises(AttributeError):
        setattr(Staging(), "relative", 3.0)  # noqa: B010  # what mypy would refuse
    with pytest.raises(TypeError):
        Staging(3.0)  # type: ignore[misc]  # by position


def test_floors_of_pd_lgd_and_ead() -> None:
    found = floored_pd(EU, codes(2, 2, 2, 0, 2), floats(0.0004, 0.0005, 0.02, 0.0, NAN))
    assert found.value[:4].tolist() == [0.0005, 0.0005, 0.02, 0.0]
    assert np.isnan(found.value[4])
    assert found.bound.tolist() == [True, False, False, False, False]
    table = np.full((7, 5), NAN)
    table[CORPORATE] = [0.4, 0.0, 0.2, NAN, -0.0005]
    mixed = blended(table, codes(2, 2, 2, 2), codes(1, 2, 3, 4), floats(0.25, 0.5, 0.5, 0.5))
    assert mixed == pytest.approx([0.3, 0.3, 0.4, 0.4])
    severe = floored_lgd(EU, codes(2, 2, 2), floats(0.1, 0.25, NAN), codes(0, 0, 0), floats(0.0, 0.0, 0.0))
    assert severe.value[:2].tolist() == [0.25, 0.25]
    assert np.isnan(severe.value[2])
    assert severe.bound.tolist() == [True, False, False]
    drawn, limit = floats(100.0, 100.0, 100.0, 100.0), floats(300.0, 300.0, 50.0, 300.0)
    rules = replace(EU, conversion=floats(0.1, 0.4))
    assert converted_ead(rules, drawn, limit, codes(1, 0, 1, 1)) == pytest.approx([180.0, 120.0, 100.0, 180.0])
    ead = floored_ead(rules, codes(2, 2, 2, 0), floats(139.9, 110.0, 120.0, 5.0), drawn, limit, codes(1, 0, 1, 1))
    assert ead.value == pytest.approx([140.0, 110.0, 120.0, 5.0])
    assert ead.bound.tolist() == [True, False, False, False]
    owed = floored_ead(rules, codes(0), floats(0.0), drawn[:1], limit[:1], codes(0))
    assert (owed.value.tolist(), owed.bound.tolist()) == ([0.0], [False])


def test_own_and_supervisory_lgd() -> None:
    classes = codes(0, 1, 2, 2, 2, 2, 6, 6)
    sales = floats(900.0, 1.0, 500.0, 500.1, NAN, 1.0, 900.0, 1.0)
    financial = flags(1, 0, 0, 0, 0, 1, 0, 1)
    assert own_lgd_allowed(classes, sales, financial).tolist() == [True, False, True, False, True, False, True, True]
    assert own_lgd_allowed(codes(2, 2), floats(440.0, 440.1), flags(0, 0), 440.0).tolist() == [True, False]
    found = supervisory_lgd(
        EU, codes(0, 1, 2, 2, 2, 0), np.zeros(6, np.int8), np.zeros(6), flags(0, 0, 0, 0, 1, 1), flags(1, 1, 0, 1, 0, 0)
    )
    assert found == pytest.approx([0.45, 0.45, 0.40, 0.45, 0.75, 0.75])


def test_standardised_weights_of_mortgages_and_defaults() -> None:
    whole = replace(EU, split=None, ltv_bounds=floats(0.5, 0.8), ltv_weights=floats(0.2, 0.3, 0.7))
    assert mortgage_weights(whole, floats(-1.0, 0.0, 0.5, 0.5001, 0.8, 0.8001, NAN)) == pytest.approx(
        [0.2, 0.2, 0.2, 0.3, 0.3, 0.7, 0.7]
    )
    at_zero = replace(whole, ltv_bounds=floats(0.0, 0.8))
    assert mortgage_weights(at_zero, floats(0.0, -1.0)).tolist() == [0.2, 0.2]
    parted = replace(EU, split=MortgageSplit(to_ltv=0.55, secured=0.2, rest=0.75))
    assert mortgage_weights(parted, floats(0.0, 0.0005, 0.55, 1.1, NAN)) == pytest.approx([0.2, 0.2, 0.2, 0.475, 0.75])
    table = np.arange(7 * len(RATINGS), dtype=np.float64).reshape(7, -1)
    rules = replace(whole, weights=table, default_weights=(1.5, 1.0, 1.1), sales=EU.sales._replace(sme_to_m=50.0))
    unrated, small = RATINGS.index("unrated"), RATINGS.index("unrated-sme")
    classes, ratings = codes(2, 2, 2, 2, 1, 3), codes(*[unrated] * 3, 0, unrated, unrated)
    sales = floats(50.0, 50.1, NAN, 1.0, 1.0, 1.0)
    rest = np.full(6, 0.6), np.zeros(6, bool), np.zeros(6)
    assert weights(rules, classes, ratings, sales, *rest).tolist() == [
        table[2, small], table[2, unrated], table[2, unrated], table[2, 0], table[1, unrated], 0.3,
    ]  # fmt: skip
    bad = weights(
        rules, codes(2, 2, 2, 3), codes(0, 0, 0, 0), np.full(4, NAN), np.full(4, 0.6), flags(1, 1, 0, 1),
        floats(0.1999, 0.2, 0.5, 0.5),
    )  # fmt: skip
    assert bad.tolist() == [1.5, 1.0, table[2, 0], 1.1]


def test_repayments_month_by_month() -> None:
    """Three loans of 1200 over a year at one percent a month: an annuity, a linear one and a bullet."""
    kinds, rate = codes(0, 1, 2), 1.01**12 - 1
    one = np.ones(3)
    found = repayments.forecast(1200 * one, rate * one, 12 * one, kinds, 0.0 * one, flags(0, 0, 0), 13, 0.0)
    level = 1200 * 0.01 / (1 - 1.01**-12)
    assert [month.month for month in found] == list(range(1, 14))
    assert found[0].interest == pytest.approx(36.0)
    assert found[0].principal == pytest.approx(level - 12 + 100)
    assert found[1].interest == pytest.approx((1200 - (level - 12)) * 0.01 + 11 + 12)
    assert found[11].principal == pytest.approx(level / 1.01 + 100 + 1200)
    assert (found[11].balance, found[12].principal, found[12].interest) == (0.0, 0.0, 0.0)
    for month in found:
        assert (month.expected_principal, month.expected_interest) == (
            pytest.approx(month.principal), pytest.approx(month.interest),
        )  # fmt: skip
        assert month.prepaid == 0.0


def test_repayments_with_defaults_and_prepayment() -> None:
    pd, early = 0.19, 0.36
    found = repayments.forecast(
        floats(1000.0, 500.0), floats(0.0, 0.0), floats(23.2, 24.0), codes(1, 1), floats(pd, pd), flags(0, 1), 24, early
    )
    stay, keep = (1 - pd) ** (1 / 12), (1 - early) ** (1 / 12)
    part, alive = 1000 / 24, 1.0
    for place, month in enumerate(found):
        alive *= stay
        left = 1000 - part * (place + 1)
        ahead = alive * left * (1 - keep)
        assert month.balance == pytest.approx(left, abs=1e-9)
        assert (month.principal, month.interest, month.expected_interest) == (pytest.approx(part), 0.0, 0.0)
        assert month.prepaid == pytest.approx(ahead, abs=1e-9)
        assert month.expected_principal == pytest.approx(alive * part + ahead)
        alive *= keep
    # interest of those that are still there
    paid = repayments.forecast(
        floats(100.0), floats(1.01**12 - 1), floats(24.0), codes(2), floats(pd), flags(0), 2, early
    )
    assert [month.interest for month in paid] == pytest.approx([1.0, 1.0])
    assert [month.expected_interest for month in paid] == pytest.approx([stay, stay**2 * keep])
    # no time left is a month; at a PD of 1 nobody is left to pay
    gone = repayments.forecast(floats(100.0), floats(0.0), floats(0.0), codes(2), floats(1.0), flags(0), 1, 0.0)
    assert (gone[0].principal, gone[0].expected_principal) == (100.0, 0.0)


def test_annuities_of_no_and_of_little_interest() -> None:
    rate = 1.0002**12 - 1
    found = repayments.forecast(
        floats(1200.0, 1000.0),
        floats(0.0, rate),
        floats(24.0, 24.0),
        codes(0, 0),
        floats(0.0, 0.0),
        flags(0, 0),
        1,
        0.0,
    )
    level = 1000 * 0.0002 / (1 - 1.0002**-24)
    assert (found[0].principal, found[0].interest) == (pytest.approx(50 + level - 0.2, rel=1e-9), pytest.approx(0.2))
    left = repayments.balances(floats(0.0, rate), floats(24.0, 24.0), codes(0, 0), 2, 0.0)[1]
    assert left == pytest.approx([0.5, (1 - 1.0002**-12) / (1 - 1.0002**-24)], rel=1e-9)
    codes_of = (repayments.ANNUITY, repayments.LINEAR, repayments.BULLET)
    assert [repayments.KINDS[code] for code in codes_of] == ["annuity", "linear", "bullet"]


def test_balances_at_the_beginning_of_each_year() -> None:
    kinds, early = codes(0, 1, 2, 0), 0.1
    rate = 1.01**12 - 1
    found = repayments.balances(floats(rate, rate, rate, 0.0), floats(30.0, 29.5, 30.0, 24.0), kinds, 4, early)
    assert [part.shape for part in found] == [(4,)] * 4
    assert found[0].tolist() == [1.0] * 4

    def annuity(gone: int) -> float:
        return float((1 - 1.01 ** -(30 - gone)) / (1 - 1.01**-30))

    assert found[1] == pytest.approx([0.9 * annuity(12), 0.9 * 18 / 30, 0.9, 0.9 * 0.5])
    assert found[2] == pytest.approx([0.81 * annuity(24), 0.81 * 6 / 30, 0.81, 0.0])
    assert found[3].tolist() == [0.0] * 4
    assert repayments.balances(floats(0.1), floats(0.0), codes(2), 2, 0.0)[1].tolist() == [0.0]
    assert repayments.monthly_rate(floats(rate)) == pytest.approx([0.01])
