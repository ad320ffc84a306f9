"""A whole plan over a small portfolio: sums add up, files are whole, bad input is refused with its column."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from strongroom.adapters.tables import portfolio_files
from strongroom.adapters.typst_pdf import print_paper
from strongroom.errors import ConflictError, InvalidInputError, NotFoundError
from strongroom.planning import drawing, results
from strongroom.planning.classes import LEFT_OUT
from strongroom.planning.committee import Chapter, Headline, Paper, paper_of
from strongroom.planning.money import Money
from strongroom.planning.results import Plan
from strongroom.wiring.planning import PlanJob, plan
from tests.planning import house


def job(folder: Path, found: dict[str, Any] | None = None, **changes: Any) -> PlanJob:
    file = house.write(folder / "portfolio.parquet", house.columns() if found is None else found)
    settings: dict[str, Any] = {
        "portfolio": file, "scenario": house.scenario(folder, changes.pop("text", house.SCENARIO)),
        "output": folder / "plan", "as_of": date(2026, 12, 31), "regime": "EU", "currency": "EUR", "models": {},
        "columns": {"pd": "pd", "lgd": "lgd"}, "people": None if "gateway" in changes else house.people(folder),
    }  # fmt: skip
    return PlanJob(**{**settings, **changes})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, pd.DataFrame, Path]:
    folder = tmp_path_factory.mktemp("plan")
    found, where = plan(job(folder))
    return found, pd.read_parquet(where["exposures"]), folder / "plan"


def test_the_document_says_what_its_files_say(made: tuple[Plan, pd.DataFrame, Path]) -> None:
    found, rows, folder = made
    data = (folder / "plan.json").read_bytes()
    assert results.read(data) == found
    assert results.write(found) == data
    assert found.exposures_sha256 == hashlib.sha256((folder / "exposures.parquet").read_bytes()).hexdigest()
    for file in folder.iterdir():
        assert file.stat().st_mode & 0o077 == 0
    assert {file.suffix for file in folder.iterdir()} >= {".json", ".parquet", ".svg"}
    assert [one.kind for one in found.inputs.sources] == ["column", "column", "rule"]
    assert rows[["pd_decision_id", "lgd_decision_id", "ead_decision_id"]].isna().all(axis=None)


def test_sums_add_up(made: tuple[Plan, pd.DataFrame, Path]) -> None:
    found, rows, _ = made
    assert len(rows) == found.inputs.exposures == found.total.exposures == 210
    for figure in ("ead", "rwa", "standardised_rwa", "expected_loss"):
        whole = float(getattr(found.total, figure))
        assert rows[figure].sum() == pytest.approx(whole, abs=0.02)
        assert sum(float(getattr(one, figure)) for one in found.classes) == pytest.approx(whole, abs=0.05)
        by_class = rows.groupby("class")[figure].sum()
        for one in found.classes:
            assert by_class[one.name] == pytest.approx(float(getattr(one, figure)), abs=0.02)
    for figure, every in (("exposures", 210), ("rwa", float(found.total.rwa))):
        assert sum(float(getattr(one, figure)) for one in found.treatments) == pytest.approx(every, abs=0.05)
    assert sum(float(one.ecl) for one in found.ifrs9.stages) == pytest.approx(float(found.ifrs9.ecl), abs=0.05)
    assert rows["ecl"].sum() == pytest.approx(float(found.ifrs9.ecl), abs=0.02)
    weighted = sum(float(one.weight) * float(one.ecl) for one in found.ifrs9.scenarios)
    assert weighted == pytest.approx(float(found.ifrs9.ecl), abs=0.05)
    for stage, group in rows.dropna(subset=["stage"]).astype({"stage": int}).groupby("stage"):
        line = found.ifrs9.stages[int(str(stage)) - 1]
        assert (line.exposures, float(line.ecl)) == (len(group), pytest.approx(group["ecl"].sum(), abs=0.02))


def test_stages_choose_the_horizon(made: tuple[Plan, pd.DataFrame, Path]) -> None:
    rows = made[1]
    assert set(rows["stage"].dropna()) == {1, 2, 3}
    for stage, figure in ((1, "ecl_12m"), (2, "ecl_lifetime"), (3, "ecl_lifetime")):
        some = rows[rows["stage"] == stage]
        assert np.array_equal(some["ecl"], some[figure], equal_nan=True)
    known = rows[rows["ecl"].notna()]
    assert (known["ecl_lifetime"] >= known["ecl_12m"] - 1e-9).all()


def test_worse_paths_cost_more(made: tuple[Plan, pd.DataFrame, Path]) -> None:
    found = made[0]
    good, middle, bad = found.ifrs9.scenarios
    assert float(good.ecl) < float(middle.ecl) < float(bad.ecl)
    # losses bend upwards: the mean path alone hides some
    assert float(found.ifrs9.at_mean_path) < float(found.ifrs9.ecl)
    by = {(row.scenario, row.year): row for row in found.stress}
    for figure in ("losses", "rwa_before_floor", "expected_loss"):
        assert float(getattr(by["good", 1], figure)) < float(getattr(by["bad", 1], figure))
    assert float(by["good", 2].cet1 or 0) > float(by["bad", 2].cet1 or 0)


def test_the_floor_follows_the_days(made: tuple[Plan, pd.DataFrame, Path]) -> None:
    steps = [(row.day, float(row.percent or 0), row.cap_percent) for row in made[0].output_floor]
    assert steps == [
        ("2026-12-31", 55.0, "125.0"), ("2027-12-31", 60.0, "125.0"), ("2028-12-31", 65.0, "125.0"),
        ("2029-12-31", 70.0, "125.0"), ("2030-12-31", 72.5, None), ("2031-12-31", 72.5, None),
    ]  # fmt: skip


def test_equity_is_not_impaired_and_repays_nothing(made: tuple[Plan, pd.DataFrame, Path], tmp_path: Path) -> None:
    found, rows, _ = made
    shares = rows["class"] == "equity"
    assert shares.any()
    assert rows.loc[shares, ["stage", "ecl_12m", "ecl_lifetime", "ecl"]].isna().all(axis=None)
    assert rows.loc[~shares, "stage"].notna().all()
    assert found.ifrs9.not_in_scope == shares.sum()
    assert float(str(found.ifrs9.not_in_scope_ead)) == pytest.approx(rows.loc[shares, "ead"].sum(), abs=0.02)
    assert found.ifrs9.not_evaluable == rows.loc[~shares, "ecl"].isna().sum()
    assert f"{shares.sum()} exposures, EAD" in str(paper_of(found, "0" * 64))
    columns = house.columns()
    columns["class"] = np.where(columns["class"] == "equity", "other-retail", columns["class"])
    lent, _ = plan(job(tmp_path, columns))
    assert lent.ifrs9.not_in_scope is msgspec.UNSET
    assert float(lent.repayments[0].principal) > float(found.repayments[0].principal)


@pytest.mark.parametrize(
    ("column", "said", "fits"),
    [("slot", "strong", "project-finance"), ("holding", "speculative", "equity")],
)
def test_what_a_class_has_no_use_for_is_not_left_unread(column: str, said: str, fits: str, tmp_path: Path) -> None:
    found = house.columns(40)
    nothing = {"slot": "none", "holding": None}[column]
    meant = [said if name == fits else nothing for name in found["class"]]
    assert said in meant
    plan(job(tmp_path, {**found, column: meant}))
    rows = [row for row, name in enumerate(found["class"]) if name == "corporate"]
    for row in rows[:2]:
        meant[row] = said
    told = f"column `{column}` says .* of class `corporate`.* first in row {rows[0]}; leave `{column}` empty .*`{fits}`"
    wanted = job(tmp_path, {**found, column: meant}, output=tmp_path / "unread")
    with pytest.raises(InvalidInputError, match=told) as no:
        plan(wanted)
    assert (no.value.details["field"], no.value.details["rule"], no.value.details["row"]) == (column, "class", rows[0])
    assert "; 2 rows of this part" in no.value.message
    assert len(no.value.message) < 400
    assert not wanted.output.exists()


def test_a_misspelt_column_is_not_left_unread(tmp_path: Path) -> None:
    for wrong, right in (("Limit", "limit"), ("limitt", "limit"), ("LTV", "ltv"), ("days past due", "days_past_due")):
        found = {wrong if name == right else name: values for name, values in house.columns(20).items()}
        told = f"column `{wrong}` and none called `{right}` .*add `{right}`"
        with pytest.raises(InvalidInputError, match=told) as no:
            plan(job(tmp_path, found))
        assert no.value.details["rule"] == "misspelt"
    # what only looks like one is let in beside a column of nulls
    made, _ = plan(job(tmp_path, {**found, "days_past_due": pa.nulls(20)}))
    taken = made.inputs.columns_by_default
    assert isinstance(taken, tuple)
    assert {"days_past_due", "slot", "holding"} <= {*taken}
    assert "limit" not in taken
    assert any(one.lines == taken for chapter in paper_of(made, "0" * 64).sections for one in chapter.lists)


def test_parts_make_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = plan(job(tmp_path))
    monkeypatch.setattr(portfolio_files, "PART_ROWS", 37)
    parts, where = plan(job(tmp_path, output=tmp_path / "parts"))
    assert [one.name for one in parts.classes] == [one.name for one in whole.classes]
    assert float(parts.total.rwa) == pytest.approx(float(whole.total.rwa), rel=1e-9)
    assert float(parts.ifrs9.ecl) == pytest.approx(float(whole.ifrs9.ecl), rel=1e-9)
    assert parts.concentration == whole.concentration
    assert [row.first_row for row in parts.largest] == [row.first_row for row in whole.largest]
    left = pd.read_parquet(where["exposures"])
    pd.testing.assert_frame_equal(left, pd.read_parquet(tmp_path / "plan" / "exposures.parquet"))


def test_the_same_portfolio_gives_the_same_bytes(tmp_path: Path) -> None:
    plan(job(tmp_path))
    plan(job(tmp_path, output=tmp_path / "again"))
    for file in (tmp_path / "plan").iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes(), file.name


def test_a_model_that_has_no_answer_leaves_the_standardised_weight(tmp_path: Path) -> None:
    found = house.columns()
    found["pd"] = pa.array([None if place == 9 else value for place, value in enumerate(found["pd"])])
    found["defaulted"] = np.zeros(210, bool)
    found["approach"] = np.full(210, "irb")
    made, where = plan(job(tmp_path, found))
    assert "1 exposure is weighed standardised: no PD" in str(paper_of(made, "0" * 64))
    row = pd.read_parquet(where["exposures"]).iloc[9]
    assert row["treatment"] == "standardised: no PD"
    assert row["rwa"] == row["standardised_rwa"] > 0
    assert np.isnan(row["ecl"])
    assert made.ifrs9.not_evaluable == 1


def test_only_what_is_required_is_enough(tmp_path: Path) -> None:
    some = ("exposure", "class", "drawn", "remaining_months", "pd", "lgd")
    made, _ = plan(job(tmp_path, {name: house.columns()[name] for name in some}))
    assert made.total.exposures == 210
    assert made.concentration[0].groups == 210


def changed(name: str, change: Callable[[list[Any]], list[Any]]) -> dict[str, Any]:
    found = house.columns()
    found[name] = change(list(found[name]) if not isinstance(found[name], pa.Array) else found[name].to_pylist())
    return found


def at(row: int, value: Any) -> Callable[[list[Any]], list[Any]]:
    return lambda values: [*values[:row], value, *values[row + 1 :]]


BAD = {
    "drawn below 0": ("drawn", at(3, -1.0), "range"),
    "drawn infinite": ("drawn", at(3, float("inf")), "range"),
    "drawn empty": ("drawn", at(3, None), "missing"),
    "drawn NaN": ("drawn", at(3, float("nan")), "nan"),
    "eir NaN": ("eir", at(3, float("nan")), "nan"),
    "PD NaN": ("pd", at(3, float("nan")), "nan"),
    "limit below 0": ("limit", at(3, -1.0), "range"),
    "class unknown": ("class", at(3, "stamps"), "choice"),
    "class empty": ("class", at(3, None), "missing"),
    "rating unknown": ("rating", at(3, "Aaa"), "choice"),
    "text for a number": ("eir", lambda values: [str(value) for value in values], "type"),
    "number for a flag": ("defaulted", lambda values: [int(value) for value in values], "type"),
    "half a day": ("days_past_due", lambda values: [0.5, *(float(value) for value in values[1:])], "range"),
    "PD above 1": ("pd", at(3, 1.1), "range"),
    "LGD below 0": ("lgd", at(3, -0.2), "range"),
    "share above 1": ("collateral_share", at(3, 1.1), "range"),
    "exposure twice": ("exposure", at(3, "e-4"), "twice"),
    "exposure empty": ("exposure", at(3, None), "missing"),
    "group long": ("group", at(3, "e" * 129), "length"),
    "segment long": ("segment", at(3, "e" * 129), "length"),
    "exposure long": ("exposure", at(3, "e" * 129), "length"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_column_is_named(case: str, tmp_path: Path) -> None:
    name, change, rule = BAD[case]
    with pytest.raises(InvalidInputError) as refused:
        plan(job(tmp_path, changed(name, change)))
    assert refused.value.details["field"] == name
    assert refused.value.details["rule"] == rule
    # which row, never what it holds; `e-4` is there first in row 3, by the change
    row = {"exposure twice": 4, "half a day": 0}.get(case, 3)
    assert refused.value.details.get("row") == (None if rule == "type" else row)
    assert rule == "type" or re.search(rf"\b{row}\b", refused.value.message)
    assert not (tmp_path / "plan").exists()


@pytest.mark.parametrize("name", ["exposure", "class", "drawn", "remaining_months", "pd"])
def test_a_column_that_lacks_is_named(name: str, tmp_path: Path) -> None:
    found = house.columns()
    del found[name]
    with pytest.raises(InvalidInputError, match=name):
        plan(job(tmp_path, found))


def test_all_columns_that_lack_are_named_at_once(tmp_path: Path) -> None:
    found = {name: values for name, values in house.columns().items() if name not in ("class", "drawn", "pd")}
    with pytest.raises(InvalidInputError, match=r"no columns `class` \(.*`drawn` \(.*`pd` \(12-month PD\)"):
        plan(job(tmp_path, found))


def test_a_portfolio_without_rows_is_refused_as_such(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="has no rows; a portfolio has one for each exposure"):
        plan(job(tmp_path, {name: values[:0] for name, values in house.columns().items()}))


def test_a_finished_plan_is_not_written_over(tmp_path: Path) -> None:
    plan(job(tmp_path))
    with pytest.raises(ConflictError):
        plan(job(tmp_path))


def test_regimes_without_rules_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="19 March 2026"):
        plan(job(tmp_path, regime="US"))
    with pytest.raises(NotFoundError, match="known are"):
        plan(job(tmp_path, regime="XX"))


def test_the_regime_says_what_a_model_may_weigh(tmp_path: Path) -> None:
    found = {**house.columns(), "lgd": np.full(210, 0.01), "defaulted": np.zeros(210, bool)}
    found |= {"approach": np.full(210, "irb")}
    made, where = plan(job(tmp_path, found, regime="UK", as_of=date(2027, 1, 1)))
    rows = pd.read_parquet(where["exposures"])
    sovereigns, homes = rows[rows["class"] == "sovereign"], rows[rows["class"] == "residential-mortgage"]
    assert set(sovereigns["treatment"]) == {"standardised: the regime lets no model weigh this class"}
    assert (sovereigns["rwa"] == sovereigns["standardised_rwa"]).all()
    assert homes["risk_weight"].min() == 0.1
    assert made.floors.risk_weight == (homes["risk_weight"] == 0.1).sum()
    assert made.output_floor[0].percent == "60.0"
    # years of stress know the same floors: no mortgage is weighed below a tenth
    assert float(made.stress[0].rwa_before_floor) >= 0.1 * homes["ead"].sum()


def test_figures_come_from_one_place(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="not from both"):
        job(tmp_path, models={"pd": "pd-cards"})
    with pytest.raises(InvalidInputError, match="needs PDs"):
        job(tmp_path, columns={"lgd": "lgd"})
    with pytest.raises(InvalidInputError, match="--node"):
        job(tmp_path, models={"pd": "pd-cards"}, columns={})
    with pytest.raises(InvalidInputError, match="currency"):
        job(tmp_path, currency="eur")


def test_the_shipped_rules_say_where_each_figure_stands() -> None:
    rows = json.loads(Path(portfolio_files.__file__).parents[2].joinpath("policies", "capital.json").read_text())[
        "rows"
    ]
    for row in rows:
        assert row["source"].strip()
        assert row["evidence"] in ("text-seen", "project-facts", "secondary", "own-knowledge")


def test_the_paper_is_the_same_bytes_and_says_the_figures(made: tuple[Plan, pd.DataFrame, Path]) -> None:
    pytest.importorskip("typst")
    found, _, folder = made
    printed = (folder / "committee.pdf").read_bytes()
    assert printed.startswith(b"%PDF-")
    digest = hashlib.sha256((folder / "plan.json").read_bytes()).hexdigest()
    paper = paper_of(found, digest)
    assert print_paper(paper) == printed
    words = str(paper)
    for one in found.classes:
        assert one.name in words
    assert digest[:16] in words
    assert found.inputs.portfolio_sha256 in words


def test_no_cell_of_the_paper_is_a_text_and_its_first_figures_have_units(made: tuple[Plan, pd.DataFrame, Path]) -> None:
    found, _, _ = made
    paper = paper_of(found, "0" * 64)
    cells = [cell for chapter in paper.sections for sheet in chapter.tables for row in sheet.rows for cell in row]
    assert max(map(len, cells)) <= 80
    lists = {one.title: one.lines for chapter in paper.sections for one in chapter.lists}
    assert lists["Where the rules stand"] == found.inputs.rules_sources
    for one in paper.figures:
        assert one.value.endswith("%") or one.name.endswith(Money(found).unit)
    ratios = [float(row.cet1_ratio) for row in found.stress if row.cet1_ratio is not None]
    (worst,) = (one for one in paper.figures if one.name == "Lowest CET1 ratio under stress")
    assert worst.value == f"{100 * min(ratios):.2f}%"
    drawn = [one.svg for chapter in paper.sections for one in chapter.pictures]
    assert any(f"RWA, {Money(found).unit}" in svg for svg in drawn), "pictures and tables are in one unit"


def test_the_worst_scenario_alone_is_drawn_in_the_colour_of_what_is_bad(made: tuple[Plan, pd.DataFrame, Path]) -> None:
    found, _, _ = made
    styles = {line.name: line.style for line in drawing._by_scenario(found, "rwa")}
    worst = max(found.ifrs9.scenarios, key=lambda one: float(one.ecl)).name
    assert [name for name, style in styles.items() if style == "cut"] == [worst]
    assert len(styles) == len({*styles.values()}) == 3


def test_words_of_a_document_are_no_markup() -> None:
    pytest.importorskip("typst")
    strange = '#panic("read as code") *bold* $x$ <label> @ref "'
    paper = Paper(strange, strange, strange, (Headline(strange, strange, strange),), (Chapter(strange, (strange,)),))
    assert print_paper(paper).startswith(b"%PDF-")


def test_without_typst_a_plan_has_no_paper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strongroom.wiring.planning.can_print", lambda: False)
    _, where = plan(job(tmp_path))
    assert "committee paper" not in where
    assert (tmp_path / "plan" / "plan.json").exists()


@pytest.mark.parametrize("word", sorted(LEFT_OUT))
def test_what_is_left_out_is_refused_by_name(tmp_path: Path, word: str) -> None:
    columns = house.columns(7)
    columns["class"] = np.array([word, *columns["class"][1:]])
    with pytest.raises(InvalidInputError, match=f"`{word}` is no class of a plan, first in row 0: ") as error:
        plan(job(tmp_path, columns))
    assert LEFT_OUT[word] in error.value.message
    assert not (tmp_path / "plan").exists()
