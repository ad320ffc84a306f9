"""What signed results come to in capital: published weights, proportions, and nothing where no formula asks."""

from __future__ import annotations

from datetime import date
from importlib.resources import files
from typing import Any

import msgspec
import numpy as np
import pytest
from scipy.stats import norm

from strongroom.planning import impact
from strongroom.planning.classes import CORPORATE, MORTGAGE, RETAIL, REVOLVER
from strongroom.planning.rules import in_force, read_rules
from strongroom.validation.reporting.blocks import Block, Grid, Note, Plots
from strongroom.validation.results import BUCKETS_TITLE, MEANS_TITLE, BatteryResults, Column, GradeRow, Table
from tests.validation.test_pd_battery import sound
from tests.validation.worked import package


def results(**changes: Any) -> BatteryResults:
    return msgspec.structs.replace(sound("xgboost"), **changes)


def contract(kind: str) -> Any:
    class Told:
        downturn_add_on = 0.1

    Told.kind = kind  # type: ignore[attr-defined]  # what this room reads of a contract, and no more
    return package("xgboost").contract if kind == "pd" else Told()


def grid(blocks: tuple[Block, ...], title: str) -> Grid:
    return next(block for block in blocks if isinstance(block, Grid) and block.title == title)


def grade(number: int, n: int, defaults: int, mean: str, ends: tuple[str, str]) -> GradeRow:
    return GradeRow(
        grade=number, upper=None, n=n, defaults=defaults, mean_pd=mean, rate=repr(defaults / n), interval=ends,
        jeffreys_p=None,
    )  # fmt: skip


@pytest.mark.parametrize(("code", "weight"), [(CORPORATE, 0.9232), (MORTGAGE, 0.5640), (RETAIL, 0.4577)])
def test_risk_weights_are_those_that_the_committee_published(code: int, weight: float) -> None:
    """Basel II (2006), Annex 5: PD 1%, LGD 45%, corporate at 2.5 years."""
    assert impact.weighted(code, [0.01], [1]).density == pytest.approx(weight, abs=5e-5)


def test_floors_are_those_of_the_rules_in_force() -> None:
    book = read_rules(files("strongroom").joinpath("policies", "capital.json").read_bytes())
    rules = in_force(book, "BCBS", date(2026, 1, 1))
    for code, floor in impact.PD_FLOORS.items():
        assert rules.pd_floor[code] == pytest.approx(floor)
        assert impact.weighted(code, [0.0], [1]) == impact.weighted(code, [floor], [1])
    assert rules.lgd_floor[RETAIL, 0] == pytest.approx(impact.LGD_FLOOR)


def test_grades_weigh_by_their_obligors_and_every_column_is_its_own_pd() -> None:
    grades = (grade(1, 300, 3, "0.02", ("0.004", "0.03")), grade(2, 100, 30, "0.2", ("0.2", "0.9")))
    found = impact.capital_impact(contract("pd"), results(grades=grades))

    def by_hand(pd: float) -> float:
        r = 0.03 * (1 - np.exp(-35 * pd)) / (1 - np.exp(-35)) + 0.16 * (1 - (1 - np.exp(-35 * pd)) / (1 - np.exp(-35)))
        return 12.5 * 0.45 * float(norm.cdf((norm.ppf(pd) + r**0.5 * norm.ppf(0.999)) / (1 - r) ** 0.5) - pd)

    weights = {row[0]: row[1:] for row in grid(found, "Risk weight").rows}["Other retail"]
    model, came = 0.75 * by_hand(0.02) + 0.25 * by_hand(0.2), 0.75 * by_hand(0.01) + 0.25 * by_hand(0.3)
    assert weights[:2] == (f"{100 * model:.1f}%", f"{100 * came:.1f}%")
    assert weights[-1] == f"{100 * (model - came):+.1f} points"
    losses = grid(found, "Expected loss").rows
    assert losses[0][1] == f"{100 * 0.45 * (0.75 * 0.02 + 0.25 * 0.2):.2f}%"
    assert losses[1][2] == "–"  # noqa: RUF001  # the line itself
    # from 20% to 90% the weight rises and falls again: the interval holds its top
    top = grid(found, "Risk weight by grade").rows[1][-1].split(" to ")[1]
    assert top == f"{100 * max(by_hand(p) for p in np.linspace(0.2, 0.9, 51)):.1f}%"
    assert any(isinstance(block, Plots) for block in found)


def test_the_version_before_stands_beside_and_an_empty_scale_says_so() -> None:
    grades = (grade(1, 300, 3, "0.02", ("0.004", "0.03")),)
    older = results(grades=(grade(1, 10, 1, "0.05", ("0.01", "0.2")),))
    found = impact.capital_impact(contract("pd"), results(grades=grades), older)
    assert "of the version before" in grid(found, "Risk weight").heads[-2]
    (note,) = impact.capital_impact(contract("pd"), results(grades=()))
    assert isinstance(note, Note)
    assert "No grade" in note.text


def buckets(*rows: tuple[str, str, str]) -> Table:
    heads = tuple(Column(name=str(i), unit="share") for i in range(8))
    told = tuple(("1", None, n, estimated, realised, None, None, None) for n, estimated, realised in rows)
    return Table(section="calibration", title=BUCKETS_TITLE, caption="", columns=heads, rows=told)


def test_losses_and_exposures_move_capital_in_proportion() -> None:
    told = results(tables=(buckets(("3.0", "0.2", "0.4"), ("1.0", "0.6", "0.4")),))
    model, came = grid(impact.capital_impact(contract("lgd"), told), "Risk weight and expected loss").rows
    assert (model[1], model[2]) == ("30.0%", "40.0%"), "the mean by rows, and with the downturn's add-on"
    assert came[2] == "40.0%"
    assert model[3] == came[3] == f"{100 * impact.weighted(RETAIL, [0.01], [1], 0.4).density:.1f}%"
    model, came = grid(impact.capital_impact(contract("ead"), told), "For each 100 undrawn").rows
    assert (model[1], came[1]) == ("30.0", "40.0")
    assert came[3] == f"{40 * impact.weighted(RETAIL, [0.05], [1]).density:.1f}"
    assert float(came[4]) == pytest.approx(40 * 0.01 * 0.45, abs=0.005)
    means = tuple(Column(name=str(i), unit="share") for i in range(4))
    built = Table(
        section="calibration", title=MEANS_TITLE, caption="", columns=means, rows=(("development", "9", "0.25", "0.2"),)
    )
    both = results(tables=(*told.tables, built))
    rows = grid(impact.capital_impact(contract("lgd"), both), "Risk weight and expected loss").rows
    assert rows[:2] == grid(impact.capital_impact(contract("lgd"), told), "Risk weight and expected loss").rows
    assert rows[2][:3] == (impact.BUILT, "25.0%", "25.0%, below the floor"), "what came has no add-on"
    assert grid(impact.capital_impact(contract("ead"), both), "For each 100 undrawn").rows[2][1] == "25.0"
    for kind in ("lgd", "ead"):
        (note,) = impact.capital_impact(contract(kind), results(tables=()))
        assert isinstance(note, Note)


@pytest.mark.parametrize("kind", ["fraud", "forecast"])
def test_kinds_that_no_capital_formula_asks_for_say_so(kind: str) -> None:
    (note,) = impact.capital_impact(contract(kind), results())
    assert isinstance(note, Note)
    assert "No capital formula" in note.text
    assert impact.capital_impact(contract(kind), None) == ()
    assert REVOLVER in impact.NAMES
