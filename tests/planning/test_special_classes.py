"""Exposures that are more than a class and a rating, by numbers worked out by hand from the rules' rows."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from strongroom.errors import InvalidInputError
from strongroom.planning.classes import CLASSES, PROPERTIES
from strongroom.planning.irb import correlation
from strongroom.planning.irb import weigh as formula
from strongroom.planning.rules import RATINGS, RuleBook, Rules, in_force, read_rules
from strongroom.planning.special_rules import EQUITIES, PHASES, SLOTS
from strongroom.planning.standardised import property_weights
from strongroom.planning.weighing import IRB, SLOTTED, Weighed, demand_weighable, stressed_rwa, weigh
from tests.planning.exposures import part

BOOK = read_rules(files("strongroom").joinpath("policies", "capital.json").read_bytes())
DAYS = {"EU": date(2026, 6, 30), "BCBS": date(2026, 6, 30), "UK": date(2027, 6, 30)}
REGIMES = {name: in_force(BOOK, name, day) for name, day in DAYS.items()}
CODE = {name: code for code, name in enumerate(CLASSES)}
NAN = float("nan")


def standard(regime: str | Rules, name: str, **terms: Any) -> float:
    """Standardised weight in percent of 1000 drawn; terms by their words."""
    rules = REGIMES[regime] if isinstance(regime, str) else regime
    words = {"rating": ("ratings", RATINGS), "backer": ("backer", RATINGS), "property": ("secured_by", PROPERTIES),
             "phase": ("phase", PHASES), "holding": ("holding", EQUITIES)}  # fmt: skip
    columns = {
        words[key][0] if key in words else key: [words[key][1].index(value) if key in words else value]
        for key, value in terms.items()
    }
    found = weigh(part(classes=[CODE[name]], standardised=[True], pd=[NAN], **columns), rules)
    assert found.reason[0] in (1, 5)
    assert found.rwa[0] == found.standardised_rwa[0]
    return round(float(found.standardised_rwa[0]) / 10.0, 6)


@pytest.mark.parametrize(
    ("regime", "name", "terms", "percent"),
    [
        ("EU", "sovereign", {"rating": "BBB"}, 50), ("EU", "sovereign", {"rating": "BBB", "local": True}, 0),
        ("UK", "sovereign", {"rating": "CCC", "local": True}, 0),
        # a lower weight at home is for each supervisor to give: the Basel text has none
        ("BCBS", "sovereign", {"rating": "BBB", "local": True}, 50),
        ("EU", "institution", {"rating": "A"}, 30), ("EU", "institution", {"rating": "A", "short": True}, 20),
        ("BCBS", "institution", {"rating": "BBB", "short": True}, 20),
        ("UK", "institution", {"rating": "B", "short": True}, 50),
        ("EU", "institution", {"rating": "CCC", "short": True}, 150),
        ("EU", "institution", {"rating": "SCRA-A+"}, 30), ("EU", "institution", {"rating": "SCRA-A"}, 40),
        ("UK", "institution", {"rating": "SCRA-B"}, 75), ("UK", "institution", {"rating": "SCRA-B", "short": True}, 50),
        ("BCBS", "institution", {"rating": "SCRA-A", "short": True}, 20),
        ("BCBS", "institution", {"rating": "unrated", "short": True}, 150),
        ("EU", "institution", {"rating": "A", "short": True, "subordinated": True}, 150),
        ("EU", "corporate", {"rating": "AAA-AA", "subordinated": True}, 150),
        ("EU", "public-sector", {"rating": "A"}, 50), ("EU", "public-sector", {"rating": "unrated"}, 100),
        ("EU", "public-sector", {"rating": "unrated", "backer": "AAA-AA"}, 20),
        ("UK", "public-sector", {"rating": "unrated", "backer": "BBB"}, 100),
        # an own rating goes before that of the sovereign
        ("EU", "public-sector", {"rating": "A", "backer": "CCC"}, 50),
        ("EU", "public-sector", {"rating": "unrated", "backer": "BBB", "short": True}, 20),
        ("BCBS", "public-sector", {"rating": "unrated", "backer": "CCC"}, 50),
        ("EU", "development-bank", {"rating": "A"}, 30), ("BCBS", "development-bank", {"rating": "unrated"}, 50),
        ("UK", "development-bank", {"rating": "CCC", "listed": True}, 0),
        # claims on development banks have no lower weight for being short
        ("EU", "development-bank", {"rating": "BBB", "short": True}, 50),
        ("EU", "covered-bond", {"rating": "AAA-AA"}, 10), ("UK", "covered-bond", {"rating": "BB"}, 50),
        ("EU", "covered-bond", {"rating": "unrated", "backer": "A"}, 15),
        ("UK", "covered-bond", {"rating": "unrated", "backer": "SCRA-A"}, 20),
        ("BCBS", "covered-bond", {"rating": "unrated", "backer": "SCRA-B"}, 35),
        ("EU", "covered-bond", {"rating": "unrated", "backer": "unrated"}, 100),
        ("EU", "equity", {}, 130), ("EU", "equity", {"holding": "speculative"}, 160),
        ("EU", "equity", {"holding": "programme"}, 100), ("BCBS", "equity", {}, 190),
        ("BCBS", "equity", {"holding": "speculative"}, 280), ("UK", "equity", {}, 160),
        ("UK", "equity", {"holding": "speculative"}, 220), ("UK", "equity", {"holding": "programme"}, 160),
        ("EU", "project-finance", {}, 130), ("EU", "project-finance", {"phase": "operational"}, 100),
        ("UK", "project-finance", {"phase": "high-quality"}, 80),
        ("EU", "project-finance", {"rating": "A", "phase": "high-quality"}, 50),
        ("BCBS", "object-finance", {}, 100), ("UK", "commodities-finance", {"rating": "BBB"}, 75),
        ("UK", "commodities-finance", {"subordinated": True}, 150),
    ],
)  # fmt: skip
def test_standardised_weights_by_hand(regime: str, name: str, terms: dict[str, Any], percent: float) -> None:
    assert standard(regime, name, **terms) == percent


@pytest.mark.parametrize(
    ("regime", "name", "kind", "ltv", "percent"),
    [
        # homes for income: whole loan
        ("BCBS", "income-real-estate", "residential-income", 0.5, 30),
        ("EU", "corporate", "residential-income", 0.75, 45), ("UK", "corporate", "residential-income", 0.65, 40),
        ("EU", "income-real-estate", "residential-income", 1.2, 105),
        # commercial for income
        ("EU", "income-real-estate", "none", 0.6, 70), ("BCBS", "corporate", "commercial-income", 0.8, 90),
        ("EU", "income-real-estate", "none", 0.81, 110), ("UK", "income-real-estate", "none", 0.3, 100),
        ("EU", "income-real-estate", "none", NAN, 110),
        # a company's own premises: 55 of 100 at 60%, the rest at the company's 100%: (55 x 60 + 45 x 100) / 100
        ("EU", "corporate", "commercial", 1.0, 78), ("UK", "corporate", "commercial", 0.5, 60),
        ("EU", "corporate", "commercial", NAN, 100), ("EU", "other-retail", "commercial", 1.1, 67.5),
        # the Basel text: up to 60% the lower of 60% and the company's, above the company's
        ("BCBS", "corporate", "commercial", 0.6, 60), ("BCBS", "corporate", "commercial", 0.61, 100),
        # homes of somebody who is no household: 55 of 110 at 20%, the rest at the company's 100%
        ("EU", "corporate", "residential", 1.1, 60), ("EU", "residential-mortgage", "none", 1.1, 47.5),
        ("EU", "residential-mortgage", "residential", 1.1, 47.5),
        ("EU", "corporate", "development", 0.2, 150), ("EU", "corporate", "development-homes", NAN, 100),
        ("UK", "high-volatility-real-estate", "none", 0.2, 150),
    ],
)  # fmt: skip
def test_property_by_hand(regime: str, name: str, kind: str, ltv: float, percent: float) -> None:
    assert standard(regime, name, property=kind, ltv=ltv) == pytest.approx(percent)


def test_a_good_company_is_not_weighed_up_by_its_premises_under_basel() -> None:
    assert standard("BCBS", "corporate", property="commercial", ltv=0.4, rating="AAA-AA") == 20
    assert standard("EU", "corporate", property="commercial", ltv=0.4, rating="AAA-AA") == 60


def test_in_default_only_homes_that_are_lived_in_have_the_lower_weight() -> None:
    for kind, percent in (("residential", 100), ("residential-income", 150), ("commercial", 150), ("none", 150)):
        assert standard("EU", "corporate", property=kind, defaulted=True, ltv=0.4) == percent
    assert standard("EU", "equity", defaulted=True) == 130


@pytest.mark.parametrize(
    ("regime", "years"), [("BCBS", range(2023, 2029)), ("EU", range(2025, 2031)), ("UK", range(2027, 2031))]
)
def test_equity_steps_up_year_by_year(regime: str, years: range) -> None:
    other, speculative = (
        [standard(in_force(BOOK, regime, date(year, 1, 1)), "equity", holding=kind) for year in years]
        for kind in ("other", "speculative")
    )
    assert other == [100, 130, 160, 190, 220, 250][-len(other) :]
    assert speculative == [100, 160, 220, 280, 340, 400][-len(speculative) :]
    last = in_force(BOOK, regime, date(years[-1] + 4, 12, 31))
    assert [standard(last, "equity", holding=kind) for kind in ("other", "speculative")] == [250, 400]
    # no model may weigh a holding
    assert weigh(part(classes=[CODE["equity"]]), last).reason[0] == 5


def slotted(regime: str, name: str, slot: str, **columns: Any) -> Weighed:
    return weigh(part(classes=[CODE[name]], slots=[SLOTS.index(slot)], **columns), REGIMES[regime])


@pytest.mark.parametrize(
    ("regime", "name", "years", "weights", "losses"),
    [
        ("EU", "project-finance", 2.5, (70, 90, 115, 250, 0), (0.4, 0.8, 2.8, 8, 50)),
        ("EU", "income-real-estate", 2.4, (50, 70, 115, 250, 0), (0, 0.4, 2.8, 8, 50)),
        ("BCBS", "object-finance", 1.0, (70, 90, 115, 250, 0), (0.4, 0.8, 2.8, 8, 50)),
        ("BCBS", "high-volatility-real-estate", 2.5, (95, 120, 140, 250, 0), (0.4, 0.4, 2.8, 8, 50)),
        ("UK", "income-real-estate", 2.4, (70, 90, 115, 250, 0), (0.4, 0.8, 2.8, 8, 50)),
    ],
)
def test_slots_by_hand(
    regime: str, name: str, years: float, weights: tuple[float, ...], losses: tuple[float, ...]
) -> None:
    for slot, weight, loss in zip(SLOTS[1:], weights, losses, strict=True):
        found = slotted(regime, name, slot, maturity_years=[years])
        assert found.reason[0] == SLOTTED
        assert found.rwa[0] == pytest.approx(10.0 * weight)
        assert found.expected_loss[0] == pytest.approx(10.0 * loss)
        assert found.internal[0]
    # in default whatever the slot was, no weight and half of it expected to be lost
    bad = slotted(regime, name, "good", defaulted=[True])
    assert (bad.rwa[0], bad.expected_loss[0]) == (0.0, 500.0)


def test_a_slot_goes_before_a_pd_and_a_standardised_exposure_has_neither() -> None:
    by_pd = weigh(part(classes=[CODE["project-finance"]], pd=[0.02]), REGIMES["EU"])
    assert by_pd.reason[0] == IRB
    assert slotted("EU", "project-finance", "weak", pd=[0.02]).rwa[0] == 2500.0
    assert slotted("EU", "project-finance", "weak", standardised=[True]).reason[0] == 1
    # a slot of something that is no specialised lending is none
    assert slotted("EU", "corporate", "weak").reason[0] == IRB
    # the United Kingdom lets no PD weigh income from property, and the Union knows no high volatility
    assert weigh(part(classes=[CODE["income-real-estate"]], pd=[0.02]), REGIMES["UK"]).reason[0] == 5
    assert slotted("EU", "high-volatility-real-estate", "strong").reason[0] == 5
    # under stress a slot stays what it is
    exposures = part(classes=[CODE["project-finance"]], slots=[2])
    assert stressed_rwa(
        exposures, weigh(exposures, REGIMES["EU"]), REGIMES["EU"], exposures.pd * 5, exposures.lgd
    ).tolist() == [900.0]


def test_specialised_lending_by_pd_is_a_corporates_and_high_volatility_has_more_correlation() -> None:
    codes = np.array([CODE[n] for n in ("corporate", "income-real-estate", "high-volatility-real-estate")], np.int8)
    pd, none, no = np.full(3, 0.01), np.full(3, NAN), np.zeros(3, bool)
    share = (1 - np.exp(-0.5)) / (1 - np.exp(-50))
    plain, more = 0.12 * share + 0.24 * (1 - share), 0.12 * share + 0.30 * (1 - share)
    assert correlation(codes, pd, none, no) == pytest.approx([plain, plain, more])
    found = weigh(part(classes=codes, pd=[0.01] * 3, lgd=[NAN] * 3), REGIMES["BCBS"])
    assert found.lgd.tolist() == [0.4] * 3
    b = (0.11852 - 0.05478 * np.log(0.01)) ** 2
    k = 0.4 * (norm.cdf((norm.ppf(0.01) + more**0.5 * norm.ppf(0.999)) / (1 - more) ** 0.5) - 0.01) / (1 - 1.5 * b)
    assert found.rwa[2] == pytest.approx(12.5 * k * 1000.0)
    assert found.rwa[0] == found.rwa[1] < found.rwa[2]


def test_floors_and_supervisory_lgd_of_the_new_classes() -> None:
    names = ("public-sector", "development-bank", "covered-bond", "project-finance")
    exposures = part(classes=[CODE[name] for name in names], pd=[0.0] * 4, lgd=[0.0] * 4)
    found = {regime: weigh(exposures, rules) for regime, rules in REGIMES.items()}
    assert found["EU"].pd.tolist() == [0.0003, 0.0005, 0.0005, 0.0005]
    # own LGDs of the first three are not taken; that of a project is, down to half the floor until the end of 2027
    assert found["EU"].lgd.tolist() == [0.45, 0.45, 0.1125, 0.125]
    assert found["BCBS"].lgd.tolist() == [0.45, 0.45, 0.45, 0.25]
    assert found["UK"].reason.tolist() == [5, 5, IRB, IRB]
    later = [float(weigh(exposures, in_force(BOOK, "EU", date(year, 1, 1))).lgd[3]) for year in (2027, 2028, 2029)]
    assert later == pytest.approx([0.125, 0.2, 0.25])


def test_dilution_is_added_as_a_corporate_of_a_year_that_loses_all() -> None:
    exposures = part(classes=[CODE["corporate"]] * 2, dilution=[0.0, 0.01], lgd=[0.4] * 2)
    found = weigh(exposures, REGIMES["EU"])
    share = (1 - np.exp(-0.5)) / (1 - np.exp(-50))
    r = 0.12 * share + 0.24 * (1 - share)
    b = (0.11852 - 0.05478 * np.log(0.01)) ** 2
    k = (norm.cdf((norm.ppf(0.01) + r**0.5 * norm.ppf(0.999)) / (1 - r) ** 0.5) - 0.01) * (1 - 1.5 * b) / (1 - 1.5 * b)
    assert found.rwa[1] - found.rwa[0] == pytest.approx(12.5 * k * 1000.0)
    assert found.dilution_rwa.tolist() == pytest.approx([0.0, 12.5 * k * 1000.0])
    assert found.expected_loss[1] - found.expected_loss[0] == pytest.approx(10.0)
    worse = stressed_rwa(exposures, found, REGIMES["EU"], exposures.pd, exposures.lgd)
    assert worse == pytest.approx(found.rwa)
    # in default, and where standardised, nothing more dilutes
    for more in ({"defaulted": [True], "elbe": [0.2]}, {"standardised": [True]}):
        assert weigh(part(dilution=[0.5], **more), REGIMES["EU"]).dilution_rwa.tolist() == [0.0]
    assert formula(*(np.array([x]) for x in (2, 0.01, 1.0, 1.0, NAN, False))).weight[0] == pytest.approx(12.5 * k)


def test_a_class_that_a_rule_book_does_not_know_is_refused_by_name_before_anything_is_scored() -> None:
    older = RuleBook(
        v=1, version="old", note="", absent=(),
        rows=tuple(row for row in BOOK.rows if row.of not in CLASSES[7:] and row.of not in PROPERTIES[2:]),
    )  # fmt: skip
    rules = in_force(older, "EU", date(2026, 6, 30))
    demand_weighable(part(classes=list(range(7))), rules)
    for name in CLASSES[7:]:
        with pytest.raises(InvalidInputError, match=f"`EU` on 2026-06-30 have no weight for class `{name}`") as error:
            demand_weighable(part(classes=[0, CODE[name]]), rules)
        assert error.value.details["row"] == 1
    with pytest.raises(InvalidInputError, match="class `corporate` secured by `commercial`"):
        demand_weighable(part(classes=[2], secured_by=[2]), rules)


def test_what_the_rules_do_not_know_has_no_weight_and_an_issuer_beyond_them_the_last() -> None:
    older = REGIMES["EU"]
    older = replace(older, special=older.special._replace(properties={}))
    assert np.isnan(property_weights(older, 2, np.array([0.5]), np.array([1.0]))).tolist() == [True]
    weights = older.weights.copy()
    weights[CODE["institution"], RATINGS.index("CCC")] = 2.5
    harsher = replace(older, weights=weights)
    assert standard(harsher, "covered-bond", rating="unrated", backer="CCC") == 100


def test_every_class_and_property_of_every_regime_has_a_weight() -> None:
    pairs = [(code, kind) for code in range(len(CLASSES)) for kind in range(len(PROPERTIES))]
    for rules in REGIMES.values():
        demand_weighable(part(classes=[c for c, _ in pairs], secured_by=[k for _, k in pairs]), rules)
