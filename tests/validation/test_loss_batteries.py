"""The batteries for LGD and EAD on drawn and real loans: honest figures, sabotage found, the same bytes each time."""

from __future__ import annotations

import io
import re
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from examples import loss_models, loss_samples
from markupsafe import escape
from scipy import stats

from strongroom.adapters.packages.package_folder import read_folder
from strongroom.encoding import canonical
from strongroom.errors import InvalidInputError
from strongroom.registry.contract import ModelContract
from strongroom.registry.explanation import Explanation, ReasonGroup
from strongroom.registry.letters import Letters, LetterText
from strongroom.registry.robustness import Robustness
from strongroom.registry.samples import PROTECTED_FILE, VALIDATION_FILE
from strongroom.validation import results as documents
from strongroom.validation.batteries import reasons
from strongroom.validation.batteries.equity_numbers import residual_gap
from strongroom.validation.jobs import ead_battery, lgd_battery, pd_battery, profile
from strongroom.validation.reporting.report import render
from strongroom.validation.results import BatteryResults
from strongroom.validation.validating import job_inputs
from tests.validation.drawn import drawn_twice
from tests.validation.worked import POLICY, Order

MANIFEST = {"manifest": "ab" * 32}
JOBS = {"lgd": lgd_battery, "ead": ead_battery}
DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("losses")


@cache
def prepared(name: str, folder: Path, *files: Path) -> tuple[ModelContract, dict[str, bytes]]:
    """Contract and inputs of the battery, the profile proven."""
    made = loss_models.READERS[name](*files)
    package = made.write(folder / name)
    sample = {VALIDATION_FILE: (folder / name / "sample" / "validation.parquet").read_bytes()}
    protected = folder / name / "sample" / "protected.parquet"
    if protected.exists():
        sample[PROTECTED_FILE] = protected.read_bytes()
    inputs = job_inputs(package.contract, read_folder(folder / name / "package"), sample, POLICY.read_bytes())
    return package.contract, inputs | {"profile.json": profile.run(inputs, {"isa": "x86_64-avx2"})["profile.json"]}


def battery(name: str, folder: Path, changes: dict[str, bytes] | None = None, *files: Path) -> BatteryResults:
    contract, inputs = prepared(name, folder, *files)
    return BatteryResults.decode(JOBS[contract.kind].run({**inputs, **(changes or {})}, MANIFEST)["results.json"])


def result(results: BatteryResults, name: str) -> documents.TestResult:
    return next(test for test in results.tests if test.id == name)


def figure(results: BatteryResults, name: str) -> float:
    return float(result(results, name).figure or "nan")


def sample_with(name: str, folder: Path, **columns: Any) -> dict[str, bytes]:
    """The validation sample with columns changed: values, or functions of the sample."""
    sink = io.BytesIO()
    data = prepared(name, folder)[1]["validation.parquet"]
    pd.read_parquet(io.BytesIO(data)).assign(**columns).to_parquet(sink)
    return {"validation.parquet": sink.getvalue()}


def test_a_sound_lgd_model_passes(folders: Path) -> None:
    found = battery("lgd", folders)
    # the contract names no protected attribute, and says so
    assert [reason for reason in found.reasons if "protected attribute" not in reason] == [], found.reasons
    assert (found.battery, found.kind, found.grades, found.plots) == ("lgd", "lgd", (), msgspec.UNSET)
    assert 0.6 < figure(found, "discrimination.gauc") < 0.7
    assert 0.1 < figure(found, "discrimination.r-squared") < 0.3
    assert abs(figure(found, "calibration.shortfall")) < 0.05
    assert figure(found, "data.outcome-bounds") > 0.01
    assert figure(found, "sensitivity.simple-estimate") > -0.01
    assert {t.figure for t in found.tests if t.rule in ("data.time-order", "data.time-leaks")} == {"0"}
    assert figure(found, "implementation.parity") < 1e-6
    assert result(found, "implementation.parity").unit == "share of exposure"
    assert {s.role: s.defaults for s in found.samples}["validation"] is None
    assert all(test.rule != "implementation.flips" for test in found.tests)


def test_a_sound_ead_model_passes(folders: Path) -> None:
    found = battery("ead", folders)
    # the contract names no downturn, and lines with a credit balance or without undrawn limit are told
    assert found.verdict == "amber"
    assert [reason for reason in found.reasons if "downturn" not in reason and "protected" not in reason] == [], (
        found.reasons
    )
    assert figure(found, "calibration.t-test/ccf") > 0.01
    assert figure(found, "calibration.ead-t-test") > 0.01
    assert 0.01 < figure(found, "data.drawn-below-zero") < 0.04
    assert 0.01 < figure(found, "data.undrawn") < 0.05
    assert result(found, "discrimination.gauc").n == 2100 - round(2100 * figure(found, "data.undrawn"))


@pytest.mark.parametrize("name", ["lgd", "ead"])
def test_results_and_report_are_the_same_bytes_every_time(
    name: str, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = battery(name, folders).encode()
    # one part after the other, or side by side
    monkeypatch.setattr("strongroom.validation.batteries.examination.SIDE_BY_SIDE", 1)
    second = battery(name, folders).encode()
    assert first == second
    page = render(first).decode()
    assert page.encode() == render(second)
    assert "loss given default" in page if name == "lgd" else "exposure at default" in page
    assert "Buckets of the estimate" in page
    assert "<title>Calibration by bucket</title>" in page
    assert "Means in development and now" in page
    assert "realised in development" in page
    assert "Adverse impact" not in page
    assert "Default rate" not in page
    for test in BatteryResults.decode(first).tests:
        assert escape(test.title) in page
    whole = drawn_twice(prepared(name, folders)[1]["contract.json"], first)
    assert "Expected loss at PD 1%" in whole
    assert "<title>Reliability by segment</title>" in whole


@pytest.mark.parametrize("name", ["lgd", "ead"])
def test_means_of_development_stand_beside_those_of_now(name: str, folders: Path) -> None:
    contract, inputs = prepared(name, folders)
    found = battery(name, folders)
    table = next(one for one in found.tables if one.title == "Means in development and now")
    exposed = next((t for t in found.tables if t.title == "Exposures at default in development and now"), None)
    for place, role in enumerate(("development", "validation")):
        rows = pd.read_parquet(io.BytesIO(inputs[f"{role}.parquet"]))
        if name == "ead":
            undrawn = np.maximum(rows["limit"] - np.maximum(rows["drawn"], 0.0), 0.0)
            amounts = np.maximum(rows["drawn"], 0.0) + rows["ccf"] * undrawn
            assert float(exposed.rows[place][2] or 0) == pytest.approx(amounts.mean())
            rows = rows[undrawn > 0.0]
        realised = rows[contract.samples.outcome].mean()
        assert table.rows[place][:2] == (role, str(len(rows)))
        assert float(table.rows[place][2] or 0) == pytest.approx(realised)
        if name == "lgd":
            by_exposure = np.average(rows["lgd"], weights=rows["ead"])
            assert float(table.rows[place][4] or 0) == pytest.approx(by_exposure)
    test = next(test for test in found.tests if test.rule == "calibration.t-test")
    assert {d.name: d.value for d in test.details}["realised mean in development"] == table.rows[0][2]
    assert (exposed is None) == (name == "lgd")


@pytest.mark.parametrize("name", ["lgd", "ead"])
def test_outcomes_that_were_known_when_they_were_estimated_are_found(name: str, folders: Path) -> None:
    found = battery(name, folders, sample_with(name, folders, outcome_known=1.0, observed=1.0))
    assert result(found, "data.time-order").verdict == "amber"
    assert result(found, "data.time-leaks/development").verdict == "pass"
    leak = result(found, "data.time-leaks/validation")
    assert (leak.verdict, leak.figure) == ("amber", "2100")


def test_estimates_that_are_too_low_are_found(folders: Path) -> None:
    found = battery("lgd", folders, sample_with("lgd", folders, lgd=lambda rows: rows["lgd"] + 0.06))
    assert result(found, "calibration.t-test/lgd").verdict == "fail"
    assert result(found, "calibration.shortfall").verdict == "fail"
    assert found.verdict == "fail"


def test_elbe_is_read_on_both_sides(folders: Path) -> None:
    contract, _ = prepared("lgd", folders)
    outcome = msgspec.structs.replace(contract.outcome, parameter="elbe")
    changes = sample_with("lgd", folders, lgd=lambda rows: rows["lgd"] - 0.06)
    one_sided = battery("lgd", folders, changes)
    assert figure(one_sided, "calibration.t-test/lgd") > 0.99
    changes |= sample_with(
        "lgd", folders, lgd=lambda rows: rows["lgd"] - 0.06, age=lambda rows: np.arange(len(rows)) % 40
    )
    named = msgspec.structs.replace(outcome, months_in_default="age")
    changes["contract.json"] = canonical(msgspec.structs.replace(contract, outcome=named))
    both = battery("lgd", folders, changes)
    assert result(both, "calibration.t-test/elbe").verdict == "fail"
    # and at each age of the default, in a table of its own
    assert figure(both, "calibration.time-in-default") < 0.05
    assert "Time in default on the validation sample" in render(both.encode()).decode()
    assert result(one_sided, "calibration.time-in-default").verdict == "not-evaluable"


def test_the_downturn_is_held_against_its_own_estimate(folders: Path) -> None:
    contract, inputs = prepared("lgd", folders)
    assert result(battery("lgd", folders), "calibration.downturn").verdict == "pass"
    none = msgspec.structs.replace(contract.outcome, downturn_add_on=msgspec.UNSET)
    changes = {"contract.json": canonical(msgspec.structs.replace(contract, outcome=none))}
    changes |= sample_with("lgd", folders, lgd=lambda rows: rows["lgd"] + 0.1 * rows["downturn"])
    low = result(battery("lgd", folders, changes), "calibration.downturn")
    assert low.verdict == "amber"
    assert low.n == int(pd.read_parquet(io.BytesIO(inputs["validation.parquet"]))["downturn"].sum())
    changes |= sample_with("lgd", folders, downturn=0)
    assert result(battery("lgd", folders, changes), "calibration.downturn").verdict == "not-evaluable"


@pytest.mark.parametrize("name", ["lgd", "ead"])
def test_estimates_too_high_for_one_group_are_found_and_small_groups_are_not_told(
    name: str, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = Order(monkeypatch)
    contract, inputs = prepared(name, folders)
    rows = pd.read_parquet(io.BytesIO(inputs["validation.parquet"]))
    random = np.random.default_rng(4)
    group = np.where(random.random(len(rows)) < 0.4, "a", "b").astype("<U6")
    group[:30] = "canary"
    outcome = contract.samples.outcome
    harmed = sample_with(name, folders, **{outcome: rows[outcome] - 0.15 * (group == "a")})
    contract = msgspec.structs.replace(contract, protected=("sex",))
    sink = io.BytesIO()
    pd.DataFrame({"sex": group}).to_parquet(sink)
    told = {"contract.json": canonical(contract), "validation-protected.parquet": sink.getvalue()}
    found = battery(name, folders, {**harmed, **told})
    assert order.silent
    unfair = result(found, "fairness.residual/sex")
    assert (unfair.verdict, unfair.details[0].value, unfair.unit) == ("amber", "a", contract.output.unit)
    assert 0.1 < float(unfair.figure or 0) < 0.2
    assert "estimates are too high" in unfair.sentence
    assert result(found, "fairness.proxies/sex").figure is not None
    assert abs(figure(found, "fairness.smd/sex")) < 0.3
    assert b"canary" not in found.encode()
    if name == "ead":
        assert unfair.n == result(found, "discrimination.gauc").n < len(rows)
    (table,) = (t for t in found.tables or () if t.title == "Residuals and estimates by group")
    assert len(table.rows) == 1, "beside the smaller large group the canary could be reckoned"


def test_residuals_by_group_are_those_of_welch_and_student() -> None:
    random = np.random.default_rng(8)
    own, others = random.normal(0.1, 1.0, 150), random.normal(0.0, 2.0, 400)
    gap = residual_gap(own, others, 0.95)
    assert not isinstance(gap, documents.NotEvaluable)
    welch = stats.ttest_ind(own, others, equal_var=False)
    assert (gap.apart, gap.p_value) == (pytest.approx(own.mean() - others.mean()), pytest.approx(welch.pvalue))
    assert gap.apart_interval == pytest.approx(tuple(welch.confidence_interval(0.95)))
    assert gap.interval == pytest.approx(tuple(stats.ttest_1samp(own, 0.0).confidence_interval(0.95)))
    for few in ([], [1.0], [1.0, 1.0], [1.0, np.nan]):
        assert isinstance(residual_gap(few, others, 0.95), documents.NotEvaluable)


def test_an_order_turned_round_is_found(folders: Path) -> None:
    found = battery("lgd", folders, sample_with("lgd", folders, lgd=lambda rows: 0.7 - rows["lgd"]))
    assert result(found, "discrimination.gauc").verdict == "fail"
    assert result(found, "discrimination.gauc-change").verdict == "fail"
    assert float(result(found, "discrimination.gauc-change").p_value or 1) < 1e-6


def test_outcomes_that_cannot_be_told_apart_are_not_evaluable_and_fail(folders: Path) -> None:
    full = battery("ead", folders, sample_with("ead", folders, drawn=1e9))
    assert result(full, "discrimination.gauc").verdict == "not-evaluable"
    assert result(full, "calibration.t-test/ccf").verdict == "not-evaluable"
    assert result(full, "calibration.buckets").reason
    assert (figure(full, "data.undrawn"), full.verdict) == (1.0, "fail")
    assert not re.search(r"\b(nan|inf|NaN|Infinity)\b", full.encode().decode())
    same = battery("lgd", folders, sample_with("lgd", folders, lgd=0.4))
    assert "one segment" in (result(same, "discrimination.gauc").reason or "")
    assert "nothing to explain" in (result(same, "discrimination.r-squared").reason or "")


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("lgd", {"lgd": np.nan}), ("lgd", {"ead": 0.0}), ("lgd", {"downturn": 2}), ("ead", {"limit": -1.0}),
        ("ead", {"ccf": np.inf}),
    ],
)  # fmt: skip
def test_a_sample_whose_columns_cannot_be_is_refused(name: str, columns: dict[str, Any], folders: Path) -> None:
    with pytest.raises(InvalidInputError):
        battery(name, folders, sample_with(name, folders, **columns))


def test_an_outcome_outside_the_contracts_range_is_refused(folders: Path) -> None:
    contract, _ = prepared("lgd", folders)
    outcome = msgspec.structs.replace(contract.outcome, minimum="0", maximum="1")
    with pytest.raises(InvalidInputError, match="range"):
        battery("lgd", folders, {"contract.json": canonical(msgspec.structs.replace(contract, outcome=outcome))})


def test_the_battery_of_another_kind_refuses_the_model(folders: Path) -> None:
    for job, name in ((pd_battery, "lgd"), (ead_battery, "lgd"), (lgd_battery, "ead")):
        with pytest.raises(InvalidInputError, match="kind"):
            job.run(prepared(name, folders)[1], MANIFEST)


@pytest.mark.shared_data
def test_a_real_loss_that_nothing_explains_is_told_and_not_let_through(folders: Path) -> None:
    file = DATA / "lendingclub_2015_outcomes.csv.gz"
    if not file.exists():
        pytest.skip("needs the data folder beside the project")
    found = battery("lendingclub", folders, None, file)
    assert abs(figure(found, "discrimination.r-squared")) < 0.02
    assert 0.48 < figure(found, "discrimination.gauc") < 0.53
    assert found.verdict == "fail"


@pytest.mark.shared_data
def test_a_real_loss_with_some_order_in_it(folders: Path) -> None:
    file = DATA / "sba_case_loans.csv"
    if not file.exists():
        pytest.skip("needs the data folder beside the project")
    found = battery("sba", folders, None, file)
    assert 0.05 < figure(found, "discrimination.r-squared") < 0.3
    assert 0.6 < figure(found, "discrimination.gauc") < 0.75
    assert result(found, "calibration.t-test/lgd").verdict == "pass"
    assert render(found.encode())


def test_conversion_factors_of_real_cards_have_some_order_and_the_right_height(folders: Path) -> None:
    found = battery("cards", folders, None, client_file())
    assert 0.2 < figure(found, "discrimination.r-squared") < 0.35
    assert 0.74 < figure(found, "discrimination.gauc") < 0.8
    assert result(found, "calibration.t-test/ccf").verdict == "pass"
    assert abs(figure(found, "calibration.shortfall")) < 0.05
    # amounts of single cards stay far off, which nobody may overlook
    assert figure(found, "calibration.mad") > 0.3
    assert result(found, "fairness.residual/sex").figure is not None
    assert {result(found, f"data.subjects/{a} and validation").figure for a in ("development", "reference")} == {"0.0"}
    assert found.verdict == "amber"
    assert result(found, "data.time-order").verdict == "amber", "one cohort is not tested out of time"
    told = ("downturn", "overlap", "time-order")
    assert [one for one in found.reasons if not any(word in one for word in told)] == []


def test_what_cards_are_estimated_from_was_known_at_the_reference_date(tmp_path: Path) -> None:
    whole = pd.read_csv(client_file())
    later = [name for name in whole if name.startswith(("PAY_", "BILL_")) and not name.endswith("6")]
    assert len(later) == 15
    defaulted = whole[whole["default.payment.next.month"] == 1]
    other = defaulted.assign(**{name: defaulted[name].to_numpy()[::-1] for name in later})
    other.to_csv(tmp_path / "other.csv", index=False)
    told, changed = loss_samples.cards(client_file()), loss_samples.cards(tmp_path / "other.csv")
    known = [*loss_samples.CARD_FEATURES, "drawn", "sex", "subject"]
    pd.testing.assert_frame_equal(told[known], changed[known])
    assert not told["ccf"].equals(changed["ccf"])
    # the definition, once more and by row
    rows = whole.set_index("ID").loc[told["subject"]]
    used = np.maximum(rows["BILL_AMT6"], 0)
    drawn_later = np.maximum(rows["BILL_AMT1"] - used, 0)
    assert np.abs(told["ccf"].to_numpy() * (rows["LIMIT_BAL"] - used) - drawn_later).max() < 1e-6
    assert (rows["PAY_6"].max(), told["utilisation"].max() <= 0.8) == (2, True)
    assert (len(defaulted), int((defaulted["PAY_6"] < 3).sum()), len(told)) == (6636, 6426, 5115)


def client_file() -> Path:
    """The credit card clients, as a package of the lock carries them; a test without it skips."""
    try:
        carried = metadata.files("mercury-robust") or []
    except metadata.PackageNotFoundError:
        pytest.skip("needs the package that carries the credit card clients (requirements/data.txt)")
    return Path(str(next(file for file in carried if file.name == "UCI_Credit_card.csv").locate()))


@pytest.mark.slow
@pytest.mark.shared_data
def test_what_is_left_of_real_loans_at_charge_off(folders: Path) -> None:
    file = DATA / "lendingclub_2015_outcomes.csv.gz"
    if not file.exists():
        pytest.skip("needs the data folder beside the project")
    table = loss_samples.lendingclub(file)
    assert table["ccf"].mean() == pytest.approx(0.584, abs=5e-4)
    assert np.allclose(table["ccf"] * table["amount"], table["ead"])
    found = battery("lendingclub-ead", folders, None, file)
    assert 0.03 < figure(found, "discrimination.r-squared") < 0.07
    assert 0.55 < figure(found, "discrimination.gauc") < 0.6
    assert result(found, "calibration.t-test/ccf").verdict == "pass"
    assert abs(figure(found, "calibration.shortfall")) < 0.02
    assert (figure(found, "data.undrawn"), figure(found, "data.time-order"), found.verdict) == (0.0, 0.0, "amber")


def test_tables_and_charts_hold_what_they_say(folders: Path) -> None:
    found = battery("lgd", folders)
    table = found.tables[0]
    for change in ({"rows": ((None,),)}, {"columns": ()}):
        with pytest.raises(InvalidInputError):
            msgspec.structs.replace(table, **change)
    series = found.charts[0].series[0]
    for change in ({"points": (("0", "nan"),), "low": (), "high": ()}, {"low": ("0",)}, {"high": ()}):
        with pytest.raises(InvalidInputError):
            msgspec.structs.replace(series, **change)
    many = (("0", "0"),) * 2001
    with pytest.raises(InvalidInputError):
        msgspec.structs.replace(series, points=many, low=(), high=())


def test_what_a_battery_says_cannot_become_markup(folders: Path) -> None:
    evil = '<img src=x onerror="alert(1)">'
    found = battery("lgd", folders)
    table = msgspec.structs.replace(found.tables[0], title=evil, caption=evil, rows=((evil, *[None] * 5),))
    chart = msgspec.structs.replace(found.charts[0], title=evil, words=evil, x=evil, y=evil)
    page = render(msgspec.structs.replace(found, tables=(table,), charts=(chart,)).encode()).decode()
    assert "<img" not in page
    assert page.count("&lt;img") >= 5


def told_reasons(contract: ModelContract, inputs: dict[str, bytes], **more: Any) -> Explanation:
    """A code a feature, against sixteen rows of the reference sample."""
    names = [feature.name for feature in contract.input.features]
    rows = pd.read_parquet(io.BytesIO(inputs["reference.parquet"]))[names].astype("float32").head(16)
    groups = tuple(ReasonGroup(code=f"R{n:02d}", features=(name,)) for n, name in enumerate(names))
    reference = tuple(tuple(repr(float(x)) for x in row) for row in rows.to_numpy())
    return Explanation(
        v=2, method="interventional", code_map="1", groups=groups, reference=reference, max_codes=2, **more
    )


@pytest.mark.parametrize(("name", "adverse"), [("lgd", "high"), ("ead", "low")])
def test_what_drove_an_estimate_is_told_and_tested(name: str, adverse: Any, folders: Path) -> None:
    contract, inputs = prepared(name, folders)
    contract = msgspec.structs.replace(
        contract, protected=("sex",), explanation=told_reasons(contract, inputs, adverse=adverse)
    )
    strongest = contract.input.features[0].name
    rows = pd.read_parquet(io.BytesIO(inputs["validation.parquet"]))
    sink = io.BytesIO()
    pd.DataFrame({"sex": np.where(rows[strongest] > rows[strongest].mean(), "a", "b")}).to_parquet(sink)
    changes = {"contract.json": canonical(contract), "validation-protected.parquet": sink.getvalue()}
    profile.run({**inputs, **changes}, {"isa": "x86_64-avx2"})
    found = battery(name, folders, changes)
    told = {test.rule: test for test in found.tests if test.rule.startswith("explanation.")}
    assert set(told) == set(reasons.RULES) - {"explanation.reference"}, "no side is better where nothing is decided"
    assert told["explanation.additivity"].unit == contract.output.unit
    assert told["explanation.additivity"].verdict == told["explanation.repeat"].verdict == "pass"
    assert told["explanation.faithfulness"].verdict == "pass"
    # whoever has the proxy among his features, and a code for it, is warned
    assert result(found, "explanation.proxies/sex").verdict == "amber"
    assert strongest in result(found, "explanation.proxies/sex").sentence
    page = render(found.encode()).decode()
    assert f"towards a {'lower' if adverse == 'high' else 'higher'} estimate" in page
    assert "applicant" not in page
    for title in ("Groups behind the codes", "How sure each place is", "What the codes know of protected attributes"):
        assert title in page
    drawn_twice(changes["contract.json"], found.encode())


def test_a_kind_that_decides_nothing_writes_no_letters(folders: Path) -> None:
    contract, inputs = prepared("lgd", folders)
    wish = told_reasons(contract, inputs)
    text = LetterText(
        language="en", subject="x", opening="x", closing="x", reference="x",
        reasons={group.code: "x" for group in wish.groups},
    )  # fmt: skip
    letters = msgspec.structs.replace(wish, letters=Letters(version="1", texts=(text,)))
    with pytest.raises(InvalidInputError, match=r"leave \[explanation.letters\] out"):
        msgspec.structs.replace(contract, explanation=letters)


@pytest.mark.parametrize("name", ["lgd", "ead"])
def test_a_promise_that_nobody_would_test_is_refused(name: str, folders: Path) -> None:
    contract, _ = prepared(name, folders)
    promised = Robustness(monotone={contract.input.features[0].name: "increasing"})
    with pytest.raises(InvalidInputError, match="nobody would test it"):
        msgspec.structs.replace(contract, robustness=promised)
