"""The published and computed vectors of capital and provisions, recomputed by our formulas."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from strongroom.planning import classes, irb
from strongroom.planning.ecl import Book, lifetime_losses, term_structure
from strongroom.planning.expected_loss import against_provisions
from strongroom.planning.output_floor import apply_floor
from strongroom.planning.scenario import vasicek
from strongroom.validation.results import evaluable
from strongroom.validation.statistics.lifetime import staging

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "capital.json").read_text())["vectors"]
BY_ID = {vector["id"]: vector for vector in VECTORS}
PUBLISHED = [vector for vector in VECTORS if "rw_percent_published" in vector["expected"]]
WORKED = [vector for vector in VECTORS if vector["id"].startswith("irb.worked.")]
NAMES = {
    "corporate": classes.CORPORATE, "mortgage": classes.MORTGAGE, "QRRE": classes.REVOLVER, "other": classes.RETAIL,
    "large": classes.CORPORATE, "SME": classes.CORPORATE,
}  # fmt: skip


def weighed(words: str, pd: list[float]) -> irb.Weights:
    """A case as its words have it, such as `corporate SME S=5 LGD40`."""
    code = NAMES[words.split()[0]]
    lgd = float(re.search(r"LGD\s*(\d+)", words)[1]) / 100  # type: ignore[index]
    size = re.search(r"S=(\d+)", words)
    maturity = re.search(r"M([\d.]+)", words)
    rows = len(pd)
    return irb.weigh(
        np.full(rows, code, np.int8), np.array(pd), np.full(rows, lgd),
        np.full(rows, float(maturity[1]) if maturity else 2.5), np.full(rows, float(size[1]) if size else np.nan),
        np.full(rows, words.startswith("large FI")),
    )  # fmt: skip


def test_no_vector_is_forgotten() -> None:
    rest = {"irb.defaulted", "floor.output", "el.shortfall", "ifrs9.ecl", "ifrs9.nonlinearity", "ifrs9.sicr"}
    assert {v["id"] for v in (*PUBLISHED, *WORKED)} | rest == set(BY_ID)
    assert len(PUBLISHED) == 11


@pytest.mark.parametrize("vector", PUBLISHED, ids=lambda v: str(v["id"]))
def test_published_risk_weights(vector: dict[str, Any]) -> None:
    found = 100 * weighed(vector["input"]["cls"], vector["input"]["pd"]).weight
    assert found == pytest.approx(vector["expected"]["rw_percent_published"], abs=vector["tolerance"])
    assert found == pytest.approx(vector["expected"]["rw_percent_computed"], abs=6e-7)


@pytest.mark.parametrize("vector", WORKED, ids=lambda v: str(v["id"]))
def test_worked_risk_weights(vector: dict[str, Any]) -> None:
    expected, words = vector["expected"], vector["input"]["case"]
    found = weighed(words, [expected["pd_applied"]])
    near = {"abs": vector["tolerance"], "rel": 0}
    assert found.correlation[0] == pytest.approx(expected["R"], **near)
    assert found.maturity[0] == pytest.approx(expected["MA"], **near)
    assert found.capital[0] == pytest.approx(expected["K"], **near)
    assert found.weight[0] == pytest.approx(expected["RW"], **near)


def test_defaulted() -> None:
    vector = BY_ID["irb.defaulted"]
    given, expected = vector["input"], vector["expected"]
    found = irb.weigh_defaulted(np.array([given["lgd_in_default"]]), np.array([given["elbe"]]))
    assert found.capital[0] == pytest.approx(expected["K"], abs=1e-9)
    assert found.weight[0] == pytest.approx(expected["RW"], abs=1e-9)
    assert found.weight[0] * given["ead"] == pytest.approx(expected["RWA"], rel=1e-9)
    assert given["elbe"] * given["ead"] == pytest.approx(expected["EL"], rel=1e-9)


def test_output_floor() -> None:
    given, expected = BY_ID["floor.output"]["input"], BY_ID["floor.output"]["expected"]
    for percent, name in ((55, "rwa_055"), (60, "rwa_060"), (72.5, "rwa_0725")):
        found = apply_floor(given["rwa_irb"], given["rwa_sa"], percent)
        assert found.rwa == pytest.approx(expected[name], rel=1e-9)
        assert found.binding
    assert 9e9 / given["rwa_irb"] == pytest.approx(expected["cet1_ratio_before"], abs=1e-9)
    assert 9e9 / found.rwa == pytest.approx(expected["cet1_ratio_after"], abs=1e-9)


def test_shortfall() -> None:
    given, expected = BY_ID["el.shortfall"]["input"], BY_ID["el.shortfall"]["expected"]
    found = against_provisions(given["el"], given["provisions"], given["irb_rwa"])
    assert (found.cet1_deduction, found.tier2_addback) == (expected["cet1_deduction"], expected["tier2_addback"])


def test_expected_credit_losses() -> None:
    given, expected = BY_ID["ifrs9.ecl"]["input"], BY_ID["ifrs9.ecl"]["expected"]
    hazard, lgd, ead = (np.array(given[name]) for name in ("hazard", "lgd", "ead"))
    found = term_structure(hazard, lgd, ead, given["eir"])
    assert found.marginal_pd == pytest.approx(expected["marginal_pd"], abs=1e-9)
    assert found.cumulative_pd == pytest.approx(expected["cumulative_pd"], abs=1e-9)
    assert found.ecl_12m == pytest.approx(expected["ecl_12m"], abs=1e-9)
    assert found.ecl_lifetime == pytest.approx(expected["ecl_lifetime"], abs=1e-9)

    class Given:
        """The same hazards and LGDs, as a path over one exposure."""

        def hazard(self, year: int) -> Any:
            return hazard[year - 1 : year]

        def lgd(self, year: int, _today: Any) -> Any:
            return lgd[year - 1 : year]

    one = np.ones(1)
    book = Book(one, one * ead[0], one * given["eir"], one * 60, [np.array([part / ead[0]]) for part in ead])
    many = lifetime_losses(book, Given())
    assert many.first_year[0] == pytest.approx(expected["ecl_12m"], abs=1e-9)
    assert many.lifetime[0] == pytest.approx(expected["ecl_lifetime"], abs=1e-9)


def test_non_linearity() -> None:
    given, expected = BY_ID["ifrs9.nonlinearity"]["input"], BY_ID["ifrs9.nonlinearity"]["expected"]
    pd, rho = np.array([given["pd_ttc"]]), np.array([given["rho"]])
    states = [float(vasicek(pd, rho, z)[0]) for z in given["z"]]
    assert states == pytest.approx(expected["pit_pd"], abs=1e-9)
    assert np.dot(states, given["weights"]) == pytest.approx(expected["weighted"], abs=1e-9)
    mean = float(np.dot(given["z"], given["weights"]))
    assert vasicek(pd, rho, mean)[0] == pytest.approx(expected["at_mean_z"], abs=1e-9)


def test_staging_quality() -> None:
    given, expected = BY_ID["ifrs9.sicr"]["input"], BY_ID["ifrs9.sicr"]["expected"]
    found = evaluable(
        staging(
            given["defaulted_via_stage2"], given["defaulted_direct_from_stage1"], given["stage2_not_defaulted"],
            given["stage1_not_defaulted"],
        )
    )  # fmt: skip
    assert {
        "hit_rate": found.hit_rate, "jump_to_default": found.jump_to_default, "stage2_precision": found.precision,
        "false_alarm": found.false_alarm,
    } == pytest.approx(expected, abs=1e-9)  # fmt: skip
