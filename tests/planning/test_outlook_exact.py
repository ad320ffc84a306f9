"""Weights, scenarios and losses ahead, row by row and year by year: the arrays against plain loops, each bound exactly.

Light on purpose, since mutation testing runs it hundreds of times.
"""

from __future__ import annotations

import math
from dataclasses import fields, replace
from datetime import date
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from scipy import stats

from strongroom.errors import InvalidInputError, TooLargeError
from strongroom.planning import irb
from strongroom.planning.classes import (
    CLASSES,
    CORPORATE,
    INSTITUTION,
    MORTGAGE,
    OBJECT,
    RETAIL,
    REVOLVER,
    SOVEREIGN,
    VOLATILE_PROPERTY,
)
from strongroom.planning.ecl import Book, lifetime_losses
from strongroom.planning.outlook import losses_ahead, stress
from strongroom.planning.parameters import converted_ead, floored_ead, floored_lgd, floored_pd, supervisory_lgd
from strongroom.planning.portfolio import Part
from strongroom.planning.repayments import KINDS, balances
from strongroom.planning.rules import Rules, in_force, read_rules
from strongroom.planning.scenario import Document, Scenario, by_class, read_scenario, vasicek
from strongroom.planning.staging import stages
from strongroom.planning.standardised import plain, weights
from strongroom.planning.weighing import Weighed, stressed_rwa, weigh

BOOK = read_rules(files("strongroom").joinpath("policies", "capital.json").read_bytes())
EU, UK = (in_force(BOOK, regime, date(2027, 6, 30)) for regime in ("EU", "UK"))
NAN = float("nan")
TEXT = """
v = 1
name = "budget"
purpose = "tests"
author = "val"
effective_from = 2026-01-01
effective_until = 2028-01-01
prepayment_rate = 0.05
reversion_years = 2
horizon_months = 24

[variables.gdp]
unit = "percent"
mean = 1.5
sd = 0.5
weight = 0.5
source = "made up for tests"

[variables.unemployment]
unit = "percent"
mean = 5.0
sd = 2.0
weight = -1.0
source = "made up for tests"

[scenarios.bad]
weight = 0.4
values = { unemployment = [8.6, 8.0], gdp = [1.0, 0.5] }

[scenarios.good]
weight = 0.6
values = { unemployment = [3.0, 3.5], gdp = [2.0, 1.5] }

[link]
kind = "vasicek"
source = "made up for tests"
rho = { default = 0.15, corporate = 0.2 }
lgd_slope = { default = 0.02, corporate = 0.03 }

[own_funds]
cet1 = 90.0
other_rwa = 8.0
other_rwa_standardised = 9.0
"""
ELASTIC = TEXT.replace('"vasicek"', '"elasticity"').replace("rho = { default", "elasticity = { default")


def document(text: str = TEXT) -> Document:
    return read_scenario(text.encode())


def portfolio(rows: int = 150, seed: int = 5) -> Part:
    """Rows of all kinds, figures missing and at their floors among them."""
    random = np.random.default_rng(seed)
    kinds = [
        SOVEREIGN,
        INSTITUTION,
        CORPORATE,
        CORPORATE,
        MORTGAGE,
        REVOLVER,
        RETAIL,
        RETAIL,
        OBJECT,
        VOLATILE_PROPERTY,
    ]
    classes = random.choice(kinds, rows).astype(np.int8)

    def pick(*values: float) -> Any:
        return random.choice(np.array(values, np.float64), rows)

    def whether(chance: float) -> Any:
        return random.random(rows) < chance

    return Part(
        first_row=0, classes=classes, drawn=pick(0, 800, 1000), limit=pick(500, 1000, 3000),
        commitments=random.integers(0, 5, rows).astype(np.int8), standardised=whether(0.1),
        turnover_m=pick(NAN, 10, 450, 1000), large_financial=whether(0.2), maturity_years=pick(0.5, 2.5, 4),
        collateral=random.integers(0, 5, rows).astype(np.int8), collateral_share=pick(0, 0.5, 1),
        terms=plain(rows)._replace(subordinated=whether(0.1)), slots=random.integers(0, 6, rows).astype(np.int8),
        dilution=pick(0, 0, 0.01), ratings=random.integers(0, 8, rows).astype(np.int8), ltv=pick(NAN, 0.5, 0.9),
        defaulted=whether(0.25), days_past_due=pick(0, 40, 100), elbe=pick(NAN, 0.2, 0.4),
        provisions=pick(0, 300, 5000), origination_pd=pick(NAN, 0.005, 0.03), eir=pick(0, 0.06),
        months=pick(0, 1, 11, 12, 13, 30, 100),
        amortisation=random.integers(0, len(KINDS), rows).astype(np.int8),
        pd=pick(NAN, 1e-6, 0.0005, 0.02, 0.02, 0.2, 1), lgd=pick(NAN, 0.01, 0.25, 0.45, 0.45, 1.2),
        ead=pick(NAN, NAN, 100, 1500),
    )  # fmt: skip


PART = portfolio()
PART.months[:2] = 400, 360


def weighed_row(part: Part, rules: Rules, row: int, pieces: dict[str, Any]) -> dict[str, Any]:
    """What `weigh` says of one exposure, decided case by case."""
    code, defaulted = int(part.classes[row]), bool(part.defaulted[row])
    at = {name: values[row] for name, values in pieces.items()}
    large = code == CORPORATE and (bool(part.large_financial[row]) or part.turnover_m[row] > rules.sales.large_m)
    own = code != INSTITUTION and not large
    supervisory = not math.isnan(at["ruled"]) and (not own or math.isnan(part.lgd[row]))
    lgd = at["ruled"] if supervisory else at["lgd"]
    modelled_ead = own and not math.isnan(part.ead[row])
    ead = at["ead"] if modelled_ead else at["converted"]
    elbe = NAN if not defaulted else lgd if supervisory else part.elbe[row]
    slot = 5 if defaulted and part.slots[row] else int(part.slots[row])
    short = 1 if part.maturity_years[row] < 2.5 else 0
    slotted = [table[code, short, slot] for table in (rules.special.slots, rules.special.losses)]
    reason = 0
    if not rules.modelled[code]:
        reason = 5
    elif part.standardised[row]:
        reason = 1
    elif code >= 11 and slot and not any(map(math.isnan, slotted)):
        reason = 6
    elif not rules.special.by_pd[code]:
        reason = 5
    elif math.isnan(part.pd[row]) and not defaulted:
        reason = 2
    elif math.isnan(lgd):
        reason = 3
    elif defaulted and math.isnan(elbe):
        reason = 4
    standard_rwa = at["general"] * max(at["converted"] - part.provisions[row], 0.0)
    told = {
        "reason": reason, "pd": 1.0 if defaulted else at["pd"], "lgd": lgd, "elbe": elbe,
        "ead": at["converted"], "pd_bound": False, "lgd_bound": False, "ead_bound": False, "weight_bound": False,
        "supervisory": False, "weight": at["general"], "rwa": standard_rwa, "standardised_rwa": standard_rwa,
        "expected_loss": 0.0, "dilution_rwa": 0.0,
    }  # fmt: skip
    if reason == 6:
        bound = modelled_ead and bool(at["ead_bound"])
        return told | {
            "ead": ead, "ead_bound": bound, "weight": slotted[0], "rwa": slotted[0] * ead,
            "expected_loss": slotted[1] * ead,
        }  # fmt: skip
    if reason:
        return told
    if defaulted:
        weight, loss = 12.5 * max(lgd - elbe, 0.0), elbe * ead
    else:
        weight = irb.weigh(
            part.classes[row : row + 1], np.array([at["pd"]]), np.array([lgd]), part.maturity_years[row : row + 1],
            part.turnover_m[row : row + 1], part.large_financial[row : row + 1], rules.sales[:2],
        ).weight[0]  # fmt: skip
        loss = at["pd"] * lgd * ead
    least = rules.weight_floor[code]
    low = not defaulted and weight < least
    weight = least if low else weight
    diluted = 0.0
    if part.dilution[row] > 0 and not defaulted:
        diluted = irb.weigh(
            np.array([CORPORATE], np.int8), part.dilution[row : row + 1], np.ones(1), np.ones(1), np.array([NAN]),
            np.zeros(1, bool), rules.sales[:2],
        ).weight[0]  # fmt: skip
        loss += part.dilution[row] * ead
    weight += diluted
    return told | {
        "dilution_rwa": diluted * ead,
        "ead": ead, "pd_bound": not defaulted and bool(at["pd_bound"]), "supervisory": supervisory,
        "lgd_bound": not supervisory and bool(at["lgd_bound"]), "ead_bound": modelled_ead and bool(at["ead_bound"]),
        "weight_bound": low, "weight": weight, "rwa": weight * ead, "expected_loss": loss,
    }  # fmt: skip


@pytest.mark.parametrize("rules", [EU, UK], ids=["EU", "UK"])
def test_each_exposure_is_weighed_as_its_own_case_says(rules: Rules) -> None:
    part = PART
    found = weigh(part, rules)
    pd = floored_pd(rules, part.classes, part.pd)
    lgd = floored_lgd(rules, part.classes, part.lgd, part.collateral, part.collateral_share)
    ead = floored_ead(rules, part.classes, part.ead, part.drawn, part.limit, part.commitments)
    converted = converted_ead(rules, part.drawn, part.limit, part.commitments)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(converted > 0, part.provisions / converted, part.provisions > 0)
    pieces = {
        "pd": pd.value, "pd_bound": pd.bound, "lgd": lgd.value, "lgd_bound": lgd.bound, "ead": ead.value,
        "ead_bound": ead.bound, "converted": converted,
        "ruled": supervisory_lgd(
            rules, part.classes, part.collateral, part.collateral_share, part.subordinated, part.large_financial
        ),
        "general": weights(
            rules, part.classes, part.ratings, part.turnover_m, part.ltv, part.defaulted, np.minimum(share, 1),
            part.terms,
        ),
    }  # fmt: skip
    rows = [weighed_row(part, rules, row, pieces) for row in range(len(part))]
    assert rows[0].keys() == {field.name for field in fields(found)}
    for name in rows[0]:
        np.testing.assert_allclose(getattr(found, name), [row[name] for row in rows], rtol=1e-12, err_msg=name)
    assert set(found.reason.tolist()) == set(range(7))
    assert found.internal.tolist() == [code in (0, 6) for code in found.reason]
    assert (found.dilution_rwa > 0).any()
    for flags in (found.pd_bound, found.lgd_bound, found.ead_bound, found.supervisory):
        assert flags.any()


def test_a_weight_at_the_floor_is_not_below_it() -> None:
    bare = weigh(PART, replace(EU, weight_floor=np.zeros(len(CLASSES))))
    usable = (bare.reason == 0) & ~PART.defaulted & (PART.dilution == 0) & (bare.weight > 0) & (bare.weight < 1)
    row = int(np.argmax(usable))
    at = float(bare.weight[row])
    for least, bound in ((at, False), (float(np.nextafter(at, 1)), True)):
        found = weigh(PART, replace(EU, weight_floor=np.full(len(CLASSES), least)))
        assert bool(found.weight_bound[row]) is bound
        assert found.weight[row] == least


@pytest.mark.parametrize("rules", [EU, UK], ids=["EU", "UK"])
def test_under_stress_only_the_living_that_a_model_weighs_move(rules: Rules) -> None:
    part, before = PART, weigh(PART, rules)
    pd, lgd = np.clip(part.pd * 1.7, 0, 1), part.lgd * 1.1
    found = stressed_rwa(part, before, rules, pd, lgd)
    severity = floored_lgd(rules, part.classes, lgd, part.collateral, part.collateral_share).value
    for row in range(len(part)):
        if before.reason[row] or part.defaulted[row]:
            assert found[row] == before.rwa[row]
            continue
        worse = np.array([max(pd[row], rules.pd_floor[part.classes[row]])])
        harsh = before.lgd[row] if before.supervisory[row] else severity[row]
        weight = irb.weigh(
            part.classes[row : row + 1], worse, np.array([harsh]), part.maturity_years[row : row + 1],
            part.turnover_m[row : row + 1], part.large_financial[row : row + 1], rules.sales[:2],
        ).weight[0]  # fmt: skip
        weight = max(weight, rules.weight_floor[part.classes[row]])
        assert found[row] == pytest.approx(weight * before.ead[row] + before.dilution_rwa[row], rel=1e-12)
    moved = before.reason == 0
    assert before.supervisory[moved].any()
    assert (~before.supervisory[moved]).any()


def state(text: Document, name: str, year: int) -> float:
    """z by its definition, back to 0 in `reversion_years` + 1 steps."""
    values = text.scenarios[name].values
    at = min(year, 2) - 1
    z = 0.5 * (values["gdp"][at] - 1.5) / 0.5 - (values["unemployment"][at] - 5.0) / 2.0
    return z * (1 - unknown(text, year))


def unknown(text: Document, year: int) -> float:
    return min(max(year - 2, 0) / (text.reversion_years + 1), 1.0)


def test_the_state_of_a_scenario_goes_back_to_usual_year_by_year() -> None:
    told = document()
    assert (told.years, told.reversion_years) == (2, 2)
    for year in range(1, 8):
        assert told.spread(year) == pytest.approx(unknown(told, year), abs=1e-15)
        for name in ("bad", "good"):
            assert told.z(name, year) == pytest.approx(state(told, name, year), abs=1e-15)
        mean = 0.4 * state(told, "bad", year) + 0.6 * state(told, "good", year)
        assert told.mean_z(year) == pytest.approx(mean, abs=1e-15)
    assert [round(told.spread(year), 6) for year in (2, 3, 4, 5, 6)] == [0, 0.333333, 0.666667, 1, 1]
    assert told.z("bad", 1) == pytest.approx(-2.3)


@pytest.mark.parametrize("text", [TEXT, ELASTIC], ids=["vasicek", "elasticity"])
def test_pd_and_lgd_move_with_the_state_as_the_link_says(text: str) -> None:
    told = document(text)
    pd, classes = np.array([0.0, 1e-9, 0.02, 0.3, 0.999, 1.0, 0.02]), np.array([6, 6, 6, 6, 6, 6, CORPORATE], np.int8)
    lgd = np.array([0.0, 0.4, 0.99, 0.4, 0.4, 0.4, 0.4])
    for name in ("bad", "good", None):
        path = Scenario(told, name, pd, classes)
        for year in range(1, 7):
            z, spread = told.mean_z(year) if name is None else told.z(name, year), told.spread(year)
            assert path.z(year) == z
            moved = path.hazard(year)
            for row, chance in enumerate(pd):
                part = 0.2 if classes[row] == CORPORATE else 0.15
                if chance in (0.0, 1.0) or spread == 1.0:
                    assert moved[row] == chance
                elif text is TEXT:
                    q = (stats.norm.ppf(chance) - math.sqrt(part) * z) / math.sqrt(1 - part + part * spread)
                    assert moved[row] == pytest.approx(stats.norm.cdf(q), rel=1e-9)
                else:
                    odds = math.exp(math.log(chance / (1 - chance)) - part * z)
                    assert moved[row] == pytest.approx(odds / (1 + odds), rel=1e-9)
                slope = 0.03 if classes[row] == CORPORATE else 0.02
                assert path.lgd(year, lgd)[row] == pytest.approx(min(max(lgd[row] - slope * z, 0), 1), abs=1e-15)
    flat = Scenario(document(text.replace("lgd_slope = { default = 0.02, corporate = 0.03 }", "")), "bad", pd, classes)
    assert flat.lgd(1, lgd) is lgd


def test_figures_by_class_and_the_one_factor_model() -> None:
    for given, rest in (({"default": 0.3}, 0.3), ({}, 0.0)):
        found = by_class({**given, "corporate": 0.1})
        assert found.tolist() == [0.1 if code == CORPORATE else rest for code in range(len(CLASSES))]
    assert by_class({"corporate": 0.1}, 2.0)[:4].tolist() == [2, 2, 0.1, 2]
    pd, rho = np.array([0.02, 0.0, 1.0, 1e-14]), np.full(4, 0.2)
    assert vasicek(pd, rho, 0.0, 1.0) == pytest.approx(pd, rel=1e-9)
    worse = stats.norm.cdf((stats.norm.ppf(0.02) + math.sqrt(0.2) * 2) / math.sqrt(0.8))
    assert vasicek(pd, rho, -2.0)[:3] == pytest.approx([worse, 0, 1], rel=1e-12)
    # the mean over a normal state is the PD through the cycle
    states = stats.norm.ppf((np.arange(4000) + 0.5) / 4000)
    assert np.mean([vasicek(pd, rho, z)[0] for z in states[::8]]) == pytest.approx(0.02, rel=0.02)


@pytest.mark.parametrize("text", [TEXT, ELASTIC + "\n[staging]\nrelative = 1.0\nabsolute = 0.0\n"])
def test_losses_ahead_are_those_of_each_exposure_alone(text: str) -> None:
    part, told = PART, document(text)
    before = weigh(part, EU)
    found = losses_ahead(part, before, EU, told)
    stage = stages(told.staging, part.pd, part.origination_pd, part.days_past_due, part.defaulted)
    converted = converted_ead(EU, part.drawn, part.limit, part.commitments)
    assert found.by_scenario.shape == (2, len(part))
    seen, wanted = set(), []
    for row in range(len(part)):
        lgd = before.lgd[row] if math.isnan(part.lgd[row]) else part.lgd[row]
        ead = converted[row] if math.isnan(part.ead[row]) else part.ead[row]
        dead = stage[row] == 3
        severity = part.elbe[row] if dead and not math.isnan(part.elbe[row]) else lgd
        evaluable = not math.isnan(severity) and (bool(dead) or not math.isnan(part.pd[row]))
        assert (found.stage[row], found.evaluable[row], found.ead[row]) == (stage[row], evaluable, ead)
        first, life = [0.0] * 3, [0.0] * 3
        if evaluable and dead:
            first = life = [severity * ead] * 3
        elif evaluable:
            months = np.maximum(part.months[row : row + 1], 1.0)
            left = balances(
                part.eir[row : row + 1], months, part.amortisation[row : row + 1], math.ceil(months[0] / 12), 0.05
            )
            book = Book(np.array([lgd]), np.array([ead]), part.eir[row : row + 1], months, left)
            for place, name in enumerate(("bad", "good", None)):
                one = lifetime_losses(book, Scenario(told, name, part.pd[row : row + 1], part.classes[row : row + 1]))
                first[place], life[place] = float(one.first_year[0]), float(one.lifetime[0])
        staged = life if stage[row] >= 2 else first
        seen.add((int(stage[row]), evaluable, first != life))
        wanted.append([*staged, *(0.4 * one[0] + 0.6 * one[1] for one in (staged, first, life))])
    told_so = [*found.by_scenario, found.at_mean, found.ecl, found.ecl_12m, found.ecl_lifetime]
    np.testing.assert_allclose(np.array(told_so).T, wanted, rtol=1e-9)
    assert {(1, True, True), (2, True, True), (3, True, False), (1, False, False), (3, False, False)} <= seen


@pytest.mark.parametrize("rules", [EU, UK], ids=["EU", "UK"])
def test_a_year_of_stress_is_the_sum_over_its_exposures(rules: Rules) -> None:
    part, told = PART, document()
    before: Weighed = weigh(part, rules)
    ahead = losses_ahead(part, before, rules, told)
    found = stress(part, before, ahead, rules, told)
    assert len(found) == 4
    lgd = np.nan_to_num(np.where(np.isnan(part.lgd), before.lgd, part.lgd))
    for place, (name, year) in enumerate((name, year) for name in ("bad", "good") for year in (1, 2)):
        path = Scenario(told, name, np.nan_to_num(part.pd), part.classes)
        worse, severity = path.hazard(year), path.lgd(year, lgd)
        own = floored_lgd(rules, part.classes, severity, part.collateral, part.collateral_share).value
        sums = np.zeros(4)
        for row in range(len(part)):
            if ahead.evaluable[row] and ahead.stage[row] < 3:
                ead = ahead.ead[row]
                sums[:3] += (worse[row] * ead, ead, worse[row] * severity[row] * ead)
            if before.reason[row] == 0:
                harsh = before.lgd[row] if before.supervisory[row] else own[row]
                pd = max(worse[row], rules.pd_floor[part.classes[row]])
                rate = before.elbe[row] if part.defaulted[row] else pd * harsh
                more = part.dilution[row] if before.dilution_rwa[row] else 0.0
                sums[3] += (rate + more) * before.ead[row]
            else:
                sums[3] += before.expected_loss[row]
        one = found[place]
        assert (one.pd_ead, one.ead, one.losses, one.expected_loss) == pytest.approx(tuple(sums), rel=1e-9)
        assert one.rwa == pytest.approx(stressed_rwa(part, before, rules, worse, severity).sum(), rel=1e-12)


def more(kind: str, count: int) -> str:
    """A document with so many more scenarios, variables or years."""
    if kind == "scenarios":
        extra = "values = { unemployment = [5, 5], gdp = [1.5, 1.5] }"
        return TEXT + "".join(f"\n[scenarios.s{n}]\nweight = 0.0\n{extra}\n" for n in range(count))
    if kind == "years":
        return TEXT.replace("0]", f"0{', 5.0' * count}]").replace("5]", f"5{', 5.0' * count}]")
    extra = "".join(
        f'\n[variables.v{n}]\nunit = "x"\nmean = 0\nsd = 1\nweight = 0\nsource = "x"\n' for n in range(count)
    )
    return TEXT.replace(", gdp", "".join(f", v{n} = [1, 1]" for n in range(count)) + ", gdp") + extra


def bound(old: str, good: str, bad: str, field: str) -> tuple[str, str, str]:
    assert old in TEXT + ELASTIC
    base = TEXT if old in TEXT else ELASTIC
    return base.replace(old, good), base.replace(old, bad), field


BOUNDS = [
    (more("scenarios", 8), more("scenarios", 9), "scenarios"),
    (more("variables", 18), more("variables", 19), "variables"),
    (more("years", 28), more("years", 29), "scenarios"),
    bound("[8.6, 8.0], gdp = [1.0, 0.5]", "[8.6, 8.0], gdp = [1.0, 0.5]", "[8.6, 8.0], gdp = [1.0]", "scenarios"),
    bound("weight = 0.4", "weight = 0.4000000005", "weight = 0.400000002", "scenarios"),
    bound("weight = 0.4", "weight = 0.3999999995", "weight = 0.399999998", "scenarios"),
    bound("weight = 0.4", "weight = 0.4", "weight = 1.001", "scenarios.bad.weight"),
    bound("weight = 0.5", "weight = 10.0", "weight = 10.001", "variables.gdp.weight"),
    bound("weight = 0.5", "weight = -10.0", "weight = -10.001", "variables.gdp.weight"),
    bound("sd = 0.5", "sd = 0.0001", "sd = 0.0", "variables.gdp.sd"),
    bound("mean = 1.5", "mean = -1e9", "mean = -inf", "variables.gdp.mean"),
    bound("mean = 1.5", "mean = 1e9", "mean = inf", "variables.gdp.mean"),
    bound("[1.0, 0.5]", "[-1e9, 0.5]", "[nan, 0.5]", "scenarios.bad.values.gdp"),
    bound("rho = { default = 0.15", "rho = { default = 0.9", "rho = { default = 0.9001", "link.rho.default"),
    bound("rho = { default = 0.15", "rho = { default = 0.0", "rho = { default = -0.0001", "link.rho.default"),
    bound("corporate = 0.2", "corporate = 0.9", "corporate = 0.9001", "link.rho.corporate"),
    bound("elasticity = { default = 0.15", "elasticity = { default = 10.0", "elasticity = { default = 10.001",
          "link.elasticity.default"),
    bound("elasticity = { default = 0.15", "elasticity = { default = -10.0", "elasticity = { default = -10.001",
          "link.elasticity.default"),
    bound("{ default = 0.02", "{ default = 1.0", "{ default = 1.0001", "link.lgd_slope.default"),
    bound("{ default = 0.02", "{ default = -1.0", "{ default = -1.0001", "link.lgd_slope.default"),
    bound("cet1 = 90.0", "cet1 = 0.0", "cet1 = -0.0001", "own_funds.cet1"),
    bound("other_rwa = 8.0", "other_rwa = 1e15", "other_rwa = 1.0001e15", "own_funds.other_rwa"),
    bound("standardised = 9.0", "standardised = 1e15", "standardised = 1.0001e15", "own_funds.other_rwa_standardised"),
    bound("prepayment_rate = 0.05", "prepayment_rate = 0.9", "prepayment_rate = 0.9001", "prepayment_rate"),
    bound("prepayment_rate = 0.05", "prepayment_rate = 0.0", "prepayment_rate = -0.0001", "prepayment_rate"),
    bound("reversion_years = 2", "reversion_years = 0", "reversion_years = -1", "reversion_years"),
    bound("reversion_years = 2", "reversion_years = 30", "reversion_years = 31", "reversion_years"),
    bound("horizon_months = 24", "horizon_months = 1", "horizon_months = 0", "horizon_months"),
    bound("horizon_months = 24", "horizon_months = 600", "horizon_months = 601", "horizon_months"),
    bound("until = 2028-01-01", "until = 2026-01-02", "until = 2026-01-01", "effective_until"),
    bound('purpose = "tests"', 'purpose = "x"', 'purpose = " "', "purpose"),
    bound('name = "budget"', 'name = "x"', 'name = "a\\tb"', "name"),
    bound('"vasicek"\nsource = "made up', '"vasicek"\nsource = "x', '"vasicek"\nsource = "\\n', "link.source"),
    bound('weight = 0.5\nsource = "made up for tests"', 'weight = 0.5\nsource = "x"', 'weight = 0.5\nsource = " "',
          "variables.gdp"),
    bound(", gdp = [1.0, 0.5] }", ", gdp = [1.0, 0.5] }", " }", "scenarios.bad.values"),
    bound("lgd_slope =", "lgd_slope =", "elasticity = { default = 1.0 }\nlgd_slope =", "link.rho"),
    bound("rho = { default = 0.15, corporate", "rho = { default = 0.15, corporate", "rho = { corporate", "link.rho"),
    bound("elasticity = { default = 0.15", "elasticity = { default = 0.15", "elasticity = { sovereign = 0.15",
          "link.elasticity"),
    bound("{ default = 0.02, corporate", "{ default = 0.02, sovereign", "{ default = 0.02, crypto", "link.lgd_slope"),
    bound('author = "val"', 'author = "dev"', 'author = "Val V."', "author"),
    (TEXT.replace(", 8.0]", "]").replace(", 0.5]", "]").replace(", 3.5]", "]").replace(", 1.5]", "]"),
     TEXT.replace("8.6, 8.0", "").replace("1.0, 0.5", "").replace("3.0, 3.5", "").replace("2.0, 1.5", ""), "scenarios"),
    (TEXT.replace("gdp", "growth"), TEXT.replace("gdp", "Growth"), "variable"),
    bound("[scenarios.bad]", "[scenarios.worse]", "[scenarios.Bad]", "scenario"),
]  # fmt: skip


@pytest.mark.parametrize(("good", "bad", "field"), BOUNDS)
def test_each_bound_of_a_document_holds_exactly(good: str, bad: str, field: str) -> None:
    document(good)
    with pytest.raises(InvalidInputError) as caught:
        document(bad)
    assert caught.value.details["field"] == field


def test_what_was_read_cannot_be_changed_and_is_named_where_it_is_made() -> None:
    told = document()
    parts = (told, told.variables["gdp"], told.scenarios["bad"], told.link, told.own_funds)
    for part in parts:
        name = type(part).__struct_fields__[0]
        with pytest.raises(AttributeError):
            setattr(part, name, 1)
        with pytest.raises(TypeError):
            type(part)(*(getattr(part, field) for field in type(part).__struct_fields__))


def test_what_is_left_out_has_its_default() -> None:
    lines = ("prepayment_rate", "reversion_years", "horizon_months", "other_rwa")
    told = document("\n".join(line for line in TEXT.splitlines() if not line.startswith(lines)))
    assert (told.reversion_years, told.prepayment_rate, told.horizon_months) == (3, 0.0, 36)
    assert told.own_funds is not None
    assert (told.own_funds.cet1, told.own_funds.other_rwa, told.own_funds.other_rwa_standardised) == (90.0, 0.0, 0.0)


def test_a_document_has_a_largest_size_and_its_keys_a_largest_depth() -> None:
    padded = TEXT + "#" * (256 * 1024 - len(TEXT))
    document(padded)
    with pytest.raises(TooLargeError):
        document(padded + "#")
    for dots, words in ((64, "required|unknown|expected"), (65, "too many parts")):
        with pytest.raises(InvalidInputError, match=words):
            document(".".join(["a"] * (dots + 1)) + " = 1\n" + TEXT)
    document(TEXT.replace('purpose = "tests"', f'purpose = "{"." * 100}"'))
    for broken in ("v = 1\nv", "a = [" * 5000, 'x = "\\ud800"'):
        with pytest.raises(InvalidInputError, match="not TOML"):
            document(broken)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("v = 1", "v = 2", "v: .*; it is 1$"),
        ('"vasicek"', '"other"', "link.kind: .*; it is vasicek or elasticity$"),
        ("horizon_months", "horizon", "scenario: .*; it has v, name, .* and may have staging, own_funds, "),
        ("sd = 0.5", "sdd = 0.5", r"variables\[...\]: .*; it has unit, mean, sd, weight, source$"),
        ("cet1 = 90.0", "cet2 = 90.0", "own_funds: .*; it has cet1 and may have other_rwa, other_rwa_standardised$"),
        ("[own_funds]", "[staging]", "staging: .*; may have relative, absolute, "),
        ("sd = 0.5", 'sd = "x"', r"variables\[...\].sd: expected `float`, got `str`$"),
    ],
)
def test_a_wrong_word_is_answered_with_those_that_may_stand_there(old: str, new: str, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        document(TEXT.replace(old, new))
