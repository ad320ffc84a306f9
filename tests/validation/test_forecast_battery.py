"""The battery for forecasts on a worked example: figures as counted plainly, sabotage found, no origin looks ahead."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from examples import forecast as example
from examples.battery import POLICY, parquet
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.adapters.packages.package_folder import read_folder
from strongroom.encoding import canonical, parse_as
from strongroom.errors import InvalidInputError
from strongroom.registry.contract import Feature, ModelContract
from strongroom.registry.explanation import Explanation, ReasonGroup
from strongroom.registry.packages import read_package
from strongroom.registry.samples import VALIDATION_FILE
from strongroom.registry.series import SeriesContract
from strongroom.validation import results as documents
from strongroom.validation.batteries import forecast, forecast_soundness
from strongroom.validation.batteries.scored import Scored
from strongroom.validation.catalogue import Basis
from strongroom.validation.jobs import forecast_battery, profile
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.reporting.report import render
from strongroom.validation.results import BatteryResults
from strongroom.validation.validating import job_inputs
from tests.validation.drawn import drawn_twice


@cache
def worked() -> tuple[BatteryResults, dict[str, bytes]]:
    with TemporaryDirectory() as folder:
        out = Path(folder)
        found = example.work(out, example.turnover())
        files = read_folder(out / "package")
        contract = read_package(files).contract
        sample = {VALIDATION_FILE: (out / "validation.parquet").read_bytes()}
        inputs = job_inputs(contract, files, sample, POLICY.read_bytes())
    return found, inputs | {"profile.json": profile.run(inputs, {"isa": "x86_64-avx2"})["profile.json"]}


def battery(changes: dict[str, bytes]) -> BatteryResults:
    given = {**worked()[1], **changes}
    return BatteryResults.decode(forecast_battery.run(given, {"manifest": "ab" * 32})["results.json"])


def sample(role: str) -> pd.DataFrame:
    return pd.read_parquet(io.BytesIO(worked()[1][f"{role}.parquet"]))


def as_bytes(frame: pd.DataFrame) -> bytes:
    return parquet(pa.Table.from_pandas(frame, preserve_index=False))


def contract() -> ModelContract:
    return parse_as(worked()[1]["contract.json"], ModelContract)


def result(found: BatteryResults, name: str) -> documents.TestResult:
    return next(test for test in found.tests if test.id == name)


def figure(found: BatteryResults, name: str) -> float:
    return float(result(found, name).figure or "nan")


def answers(rows: pd.DataFrame) -> np.ndarray[Any, Any]:
    import onnxruntime as ort

    session = ort.InferenceSession(worked()[1]["model.onnx"])
    x = rows[list(example.FEATURES)].to_numpy(np.float32)
    return np.asarray(session.run(["turnover"], {"input": x})[0])[:, 0].astype(np.float64)


def test_the_example_beats_naive_forecasts_and_its_narrow_intervals_are_caught() -> None:
    found, _ = worked()
    assert figure(found, "accuracy.mase") < 0.5
    assert result(found, "accuracy.skill").verdict == "pass"
    assert result(found, "coverage.crossing").figure == "0"
    assert result(found, "data.look-ahead").figure == "0"
    assert result(found, "implementation.parity").verdict == "pass"
    assert 0.7 < figure(found, "coverage.interval") < 0.9
    assert result(found, "coverage.kupiec").verdict == "fail"
    page = render(found.encode())
    for words in (b"Fan from period", b"Coverage by horizon", b"By horizon", b"forecast"):
        assert words in page


def test_reason_codes_of_a_forecast_that_nobody_would_test_are_refused_with_the_next_step() -> None:
    names = tuple(feature.name for feature in contract().input.features)
    wish = Explanation(
        v=2, method="interventional", code_map="1", groups=(ReasonGroup(code="A", features=names),),
        reference=(("0",) * len(names),),
    )  # fmt: skip
    with pytest.raises(InvalidInputError, match=r"leave \[explanation\] out .* nobody would test it.* sensitivity"):
        msgspec.structs.replace(contract(), explanation=wish)
    policy = ValidationPolicy.decode(POLICY.read_bytes())
    assert not [rule for rule in policy.battery("forecast", 2).rules if rule.test.startswith("explanation.")]


def test_the_figures_are_those_of_a_plain_count() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    found, rows, series = worked()[0], sample("validation"), example.turnover()
    told = answers(rows)
    median, low, high = (told[rows["quantile"] == q] for q in (500, 50, 950))
    y, origin = (rows.loc[rows["quantile"] == 500, name].to_numpy() for name in ("turnover", "origin"))
    horizon = rows.loc[rows["quantile"] == 500, "horizon"].to_numpy()
    known = series[: origin.min() + 1]
    # the first periods stand in no sample: the first target is the first origin and one month
    known = known[int((sample("development")["origin"] + sample("development")["horizon"]).min()) :]
    scale = np.abs(known[12:] - known[:-12]).mean()
    assert figure(found, "accuracy.mase") == pytest.approx(np.abs(y - median).mean() / scale)
    assert figure(found, "coverage.interval") == pytest.approx(((y >= low) & (y <= high)).mean())
    losses = [
        metrics.mean_pinball_loss(y, told[rows["quantile"] == q], alpha=q / 1000) for q in (50, 250, 500, 750, 950)
    ]
    assert figure(found, "accuracy.pinball") == pytest.approx(np.mean(losses))
    plain = np.abs(series[origin + horizon] - series[origin]).mean()
    seasonal = np.abs(series[origin + horizon] - series[origin + horizon - 12]).mean()
    assert figure(found, "accuracy.skill") == pytest.approx(
        1 - np.abs(y - median).mean() / min(plain, seasonal), abs=1e-6
    )


def test_an_outcome_that_was_not_known_yet_fails_the_battery() -> None:
    late = sample("validation").iloc[:40]
    found = battery({"development.parquet": as_bytes(pd.concat([sample("development"), late]))})
    assert result(found, "data.look-ahead").figure == "40"
    assert found.verdict == "fail"


def test_what_moves_it_and_its_weak_periods_are_told_in_the_unit_of_the_output() -> None:
    found, rows, series = worked()[0], sample("validation"), example.turnover()
    assert result(found, "sensitivity.effects").unit == contract().output.unit
    assert {chart.title for chart in found.charts or ()} >= {"Effect of base"}
    assert not {"Effect of horizon", "Effect of quantile"} & {chart.title for chart in found.charts or ()}
    weak = result(found, "sensitivity.weak-periods")
    median = rows[rows["quantile"] == 500]
    y, origin, horizon = (median[name].to_numpy() for name in ("turnover", "origin", "horizon"))
    mine = np.abs(y - answers(median))
    plain, seasonal = np.abs(y - series[origin]), np.abs(y - series[origin + horizon - 12])
    first = np.quantile(origin, [0, 1 / 3, 2 / 3, 1])
    parts = [horizon == h for h in example.HORIZONS] + [(origin + horizon) % 12 == m for m in range(12)]
    parts += [(origin >= a) & (origin < b) for a, b in ((first[0], first[1]), (first[1], first[2]))]
    parts.append(origin >= first[2])
    gains = [1 - mine[p].mean() / min(plain[p].mean(), seasonal[p].mean()) for p in parts if p.sum() >= 6]
    assert figure(found, "sensitivity.weak-periods") == pytest.approx(min(gains), abs=1e-6)
    assert weak.verdict == ("amber" if min(gains) < 0 else "pass")


def test_a_season_that_goes_wrong_is_the_weakest_period() -> None:
    origin, horizon = (part.ravel() for part in np.meshgrid(np.arange(120), np.array([1, 2]), indexing="ij"))
    random = np.random.default_rng(6)
    actual = 100 + 10 * np.sin((origin + horizon) * np.pi / 6) + random.normal(0, 3, origin.size)
    median = actual + random.normal(0, 1, origin.size) + 12 * ((origin + horizon) % 12 == 4)
    plain, seasonal = (actual + random.normal(0, spread, origin.size) for spread in (9, 4))
    levels, quantiles = (500,), median[:, None]
    basis = Basis("validation", "ab" * 32, origin.size)
    parts = forecast_soundness.segments(
        forecast.Backtest(basis, origin, horizon, actual, levels, quantiles, plain, seasonal), 12
    )
    assert not isinstance(parts, documents.NotEvaluable)
    assert parts[0].words == "period 5 of the season of 12"
    assert parts[0].p_value < 0.05 < parts[-1].p_value
    assert min(part.skill for part in parts[1:]) > parts[0].skill
    few = forecast.Backtest(basis, origin[:4], horizon[:4], actual[:4], levels, quantiles[:4], plain[:4], seasonal[:4])
    assert isinstance(forecast_soundness.segments(few, 12), documents.NotEvaluable)


def test_a_feature_made_after_the_fact_is_found_and_sound_ones_are_not() -> None:
    honest = result(worked()[0], "data.foresight")
    assert honest.verdict == "pass"
    assert 0.05 < float(honest.figure or 0) < 0.8
    rows, series = sample("validation"), example.turnover()
    target = (rows["origin"] + rows["horizon"]).to_numpy()
    leaked = rows.assign(momentum=np.log(rows["turnover"] / series[target - 12]))
    found = result(battery({"validation.parquet": as_bytes(leaked)}), "data.foresight")
    assert (found.verdict, found.details[0].value) == ("amber", "momentum")


def test_quantiles_out_of_order_and_a_forecast_without_a_number_are_caught() -> None:
    rows = sample("validation")
    swapped = rows["quantile"].replace({50: 950, 950: 50})
    found = battery({"validation.parquet": as_bytes(rows.assign(quantile=swapped))})
    assert result(found, "coverage.crossing").figure == "0"  # the row asks for another quantile, and gets it
    sound = forecast.backtest(*_parts())
    crossed = forecast.Backtest(
        **{**{name: getattr(sound, name) for name in sound.__slots__}, "quantiles": sound.quantiles[:, ::-1]}
    )
    tests = {test.rule: test for test in forecast.coverage_tests(crossed)}
    assert tests["coverage.crossing"].figure == str(len(sound.actual))
    assert tests["coverage.winkler"].figure is None
    broken = sound.quantiles.copy()
    broken[0, 0] = np.nan
    lost = forecast.Backtest(**{**{name: getattr(sound, name) for name in sound.__slots__}, "quantiles": broken})
    known = forecast.known_series({"validation": _parts()[0]}, contract())
    for test in [*forecast.coverage_tests(lost), *forecast.accuracy_tests(lost, known, contract())]:
        assert test.figure is None
        assert "not finite" in (test.reason or "")


def _parts() -> tuple[Scored, forecast.Known, ModelContract]:
    rows = sample("validation")
    scored = Scored(
        Basis("validation", "ab" * 32, len(rows)),  # type: ignore[arg-type]  # a digest as text
        rows[list(example.FEATURES)].to_numpy(np.float32), answers(rows).astype(np.float32),
        rows["turnover"].to_numpy(), {"origin": rows["origin"].to_numpy(np.float64)},
    )  # fmt: skip
    return scored, forecast.known_series({"validation": scored}, contract()), contract()


@pytest.mark.parametrize("change", ["drop", "twice", "other value", "other quantile", "half an origin"])
def test_a_sample_that_is_not_one_row_for_each_question_is_refused(change: str) -> None:
    rows = sample("validation")
    if change == "drop":
        rows = rows.iloc[1:]
    elif change == "twice":
        rows = pd.concat([rows, rows.iloc[:5]])
    elif change == "other value":
        rows.loc[rows.index[7], "turnover"] += 1.0
    elif change == "other quantile":
        rows.loc[rows.index[0], "quantile"] = 100
    else:
        rows["origin"] = rows["origin"].astype(float)
        rows.loc[rows.index[0], "origin"] += 0.5
    with pytest.raises(InvalidInputError):
        battery({"validation.parquet": as_bytes(rows)})


def test_without_history_naive_forecasts_have_a_reason() -> None:
    rows = sample("validation")
    first = rows[rows["origin"] == rows["origin"].min()]
    found = battery({"validation.parquet": as_bytes(first)})
    assert result(found, "accuracy.dm-naive/horizon 1").figure is None
    assert result(found, "data.origins").verdict == "fail"
    gap = battery({"validation.parquet": as_bytes(rows[rows["origin"] % 2 == 0])})
    assert "one period apart" in (result(gap, "accuracy.dm-naive/horizon 1").reason or "")


@given(st.integers(30, 200), st.floats(0.1, 10.0))
@settings(max_examples=30, deadline=None)
def test_features_at_an_origin_do_not_move_with_what_comes_after(origin: int, factor: float) -> None:
    series = example.turnover()
    later = series.copy()
    later[origin + 1 :] *= factor
    targets = tuple(origin + h for h in example.HORIZONS)
    told, other = (example.rows_at(s, origin, targets)[list(example.FEATURES)] for s in (series, later))
    pd.testing.assert_frame_equal(told, other)


def test_the_naive_forecasts_of_the_battery_do_not_move_with_what_comes_after() -> None:
    scored, known, stated = _parts()
    middle = int(np.median(scored.columns["origin"]))
    bent = forecast.Known(known.first, np.where(np.arange(len(known.values)) + known.first > middle, 1e9, known.values))
    told, other = forecast.backtest(scored, known, stated), forecast.backtest(scored, bent, stated)
    early = told.origin <= middle
    assert early.any()
    np.testing.assert_array_equal(told.plain[early], other.plain[early])
    np.testing.assert_array_equal(told.seasonal[early], other.seasonal[early])


def _with(name: str, **changes: Any) -> ModelContract:
    stated = contract()
    features = tuple(msgspec.structs.replace(f, **changes) if f.name == name else f for f in stated.input.features)
    return msgspec.structs.replace(stated, input=msgspec.structs.replace(stated.input, features=features))


@pytest.mark.parametrize(
    "make",
    [
        lambda: msgspec.structs.replace(contract(), series=msgspec.UNSET),
        lambda: _with("horizon", allowed=(0, 1)),
        lambda: _with("horizon", type="integer", allowed=None),
        lambda: _with("quantile", allowed=(50, 950)),
        lambda: _with("quantile", allowed=(500, 1000)),
        lambda: SeriesContract(frequency="month", season=0, horizon="horizon", quantile="quantile"),
        lambda: SeriesContract(frequency="month", season=12, horizon="horizon", quantile="horizon"),
    ],
)
def test_a_series_that_does_not_fit_its_features_is_refused(make: Any) -> None:
    with pytest.raises(InvalidInputError):
        make()


def test_a_series_belongs_to_a_forecast_alone_and_older_contracts_keep_their_bytes() -> None:
    stated = contract()
    assert parse_as(canonical(stated), ModelContract) == stated
    feature = Feature(name="x", type="float", unit="EUR", purpose="risk", legal_basis="contract")
    with pytest.raises(InvalidInputError):
        msgspec.structs.replace(
            stated, kind="lgd", input=msgspec.structs.replace(stated.input, features=(feature,))
        )  # fmt: skip


def test_its_report_comes_out_the_same_on_screen_and_in_print_though_it_failed() -> None:
    found, inputs = worked()
    page = drawn_twice(inputs["contract.json"], found.encode())
    assert "Not passed" in page
    assert "Coverage by horizon" in page
    assert "nothing is decided by it alone" in page
