"""What `strongroom.package` writes: a package that the registry takes, and a model that answers as the source does."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import Booster, XGBClassifier, XGBRegressor

import strongroom
from strongroom.adapters.packages.package_folder import read_folder
from strongroom.adapters.packages.packaging import convert_booster
from strongroom.errors import ConflictError, InvalidInputError, UnsafeArtifactError
from strongroom.registry.packages import read_package
from tests.registry.models import FEATURES, contract, frame

DEVELOPMENT, REFERENCE = frame(400, 1), frame(300, 2)


def fitted(kind: str, names: bool) -> Any:
    rows = DEVELOPMENT[list(FEATURES)].astype("float32")
    model = (
        XGBClassifier(n_estimators=12, max_depth=3, n_jobs=1, random_state=1)
        if kind == "xgboost"
        else make_pipeline(StandardScaler(), LogisticRegression())
    )
    return model.fit(rows if names else rows.to_numpy(), DEVELOPMENT["default"])


def write(model: Any, folder: Path, **changes: Any) -> Any:
    given: dict[str, Any] = {
        "contract": contract(),
        "outcome": "default",
        "development": DEVELOPMENT,
        "reference": REFERENCE,
    }
    return strongroom.package(model, folder, **{**given, **changes})


@pytest.mark.parametrize("names", [True, False], ids=["frame", "array"])
@pytest.mark.parametrize("kind", ["xgboost", "sklearn"])
def test_package_is_taken_and_answers_like_its_source(kind: str, names: bool, tmp_path: Path) -> None:
    model = fitted(kind, names)
    made = write(model, tmp_path / "package")
    files = read_folder(tmp_path / "package")
    assert read_package(files).ref == made.ref
    samples = {f"{name}.parquet" for name in ("development", "reference", "predictions", "protected")}
    assert set(files) == {"model.toml", "model.onnx"} | samples
    stated = made.contract
    assert stated.lineage.parameters["random_state" if kind == "xgboost" else "verbose"]
    assert stated.lineage.environment["numpy"]
    assert stated.lineage.code_commit == "unversioned"

    session = ort.InferenceSession(files["model.onnx"], providers=["CPUExecutionProvider"])
    rows = REFERENCE[list(FEATURES)].to_numpy("float32")
    (answer,) = session.run([stated.output.tensor], {stated.input.tensor: rows})
    assert answer.dtype == np.float32
    assert answer.shape == (len(rows), 2)
    source = pq.read_table(io.BytesIO(files["predictions.parquet"]))["prediction"].to_numpy()
    assert np.abs(answer[:, 1] - source).max() < 1e-5
    assert source.std() > 0.05

    reference = pq.read_table(io.BytesIO(files["reference.parquet"]))
    assert reference.column_names == [*FEATURES, "default"]
    assert pq.read_table(io.BytesIO(files["protected.parquet"])).column_names == ["sex"]


def test_the_authors_model_keeps_its_feature_names(tmp_path: Path) -> None:
    model = fitted("xgboost", True)
    write(model, tmp_path / "package")
    assert model.get_booster().feature_names == list(FEATURES)


def test_same_inputs_give_the_same_identity(tmp_path: Path) -> None:
    model = fitted("sklearn", True)
    assert write(model, tmp_path / "one").ref == write(model, tmp_path / "two").ref


def test_onnx_bytes_need_predictions_of_their_source(tmp_path: Path) -> None:
    made = write(fitted("sklearn", True), tmp_path / "first")
    given = contract()
    given["output"]["tensor"] = "probabilities"
    with pytest.raises(InvalidInputError, match="predictions of the model"):
        write(made.files["model.onnx"], tmp_path / "second", contract=given)
    again = write(made.files["model.onnx"], tmp_path / "third", contract=given, predictions=np.full(300, 0.5))
    assert again.contract.output.tensor == "probabilities"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"outcome": "age"}, "0 or 1"),
        ({"outcome": "nowhere"}, "lacks column"),
        ({"reference": REFERENCE.drop(columns="age")}, "the reference sample lacks feature `age`"),
        (
            {"development": REFERENCE.drop(columns=["age", "income"])},
            "the development sample lacks features `income`, `age`",
        ),
        ({"reference": REFERENCE.drop(columns="sex")}, "lacks column `sex`"),
        ({"predictions": [0.1]}, "one finite prediction"),
        ({"contract": {**contract(), "tier": "two"}}, "contract does not hold"),
        ({"contract": {**contract(), "colour": "red"}}, "contract does not hold"),
        ({"contract": {**contract(), "tier": 5}}, "tier: invalid enum value 5; it is one of 1, 2, 3"),
        ({"contract": {**contract(), "kind": "pdx"}}, "it is one of pd, lgd, ead, fraud, forecast"),
        (
            {"contract": {**contract(), "cut_offs": [{"decision": "a", "below": 0.2}]}},
            "numbers in a contract are texts",
        ),
        ({"reference": REFERENCE.assign(age="old")}, "`age` of the reference sample does not hold numbers"),
        ({"development": DEVELOPMENT.iloc[:0]}, "sample has no rows"),
        ({"contract": {"name": "x"}}, "input.features"),
    ],
)
def test_what_is_missing_is_named(change: dict[str, Any], error: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=error):
        write(fitted("sklearn", True), tmp_path / "package", **change)
    assert not (tmp_path / "package").exists()


def test_other_kinds_of_model_and_full_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsafeArtifactError, match="not converted"):
        write({"weights": [1, 2]}, tmp_path / "package")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(ConflictError, match="not an empty folder"):
        write(fitted("sklearn", True), tmp_path / "full")


@pytest.mark.parametrize("names", [True, False], ids=["frame", "array"])
def test_xgboost_stays_as_it_is_where_its_own_library_is_to_answer(names: bool, tmp_path: Path) -> None:
    from strongroom.adapters.runtimes.xgboost_runtime import XGBoostRuntime

    model = fitted("xgboost", names)
    made = write(model, tmp_path / "package", runtime="xgboost")
    files = read_folder(tmp_path / "package")
    assert read_package(files).ref == made.ref
    assert "model.ubj" in files
    assert "model.onnx" not in files
    stated = made.contract
    assert (stated.engine, stated.output.tensor, stated.output.column) == ("xgboost", "probability", 0)
    rows = REFERENCE[list(FEATURES)].astype("float32").to_numpy()
    found = XGBoostRuntime().load(files["model.ubj"], "input", "probability", len(FEATURES)).run(rows)
    wanted = pq.read_table(io.BytesIO(files["predictions.parquet"]))["prediction"].to_numpy()
    assert (found == wanted.astype(np.float32)).all()
    with pytest.raises(UnsafeArtifactError):
        write(fitted("sklearn", False), tmp_path / "other", runtime="xgboost")
    again = write(files["model.ubj"], tmp_path / "again", runtime="xgboost", predictions=wanted)
    assert again.files["model.ubj"] == files["model.ubj"]


@pytest.mark.parametrize("booster", [{"booster": "dart", "rate_drop": 0.9}, {"booster": "gblinear"}])
def test_boosters_that_the_converter_would_change_are_refused(booster: dict[str, Any]) -> None:
    rows = DEVELOPMENT[list(FEATURES)].astype("float32")
    model = XGBClassifier(n_estimators=6, max_depth=2, n_jobs=1, **booster).fit(rows, DEVELOPMENT["default"])
    with pytest.raises(UnsafeArtifactError, match="plain boosted trees"):
        convert_booster(model, len(FEATURES))


def test_of_a_model_that_stopped_early_the_answering_trees_are_packed(tmp_path: Path) -> None:
    rows, answer = DEVELOPMENT[list(FEATURES)].astype("float32"), DEVELOPMENT["default"]
    model = XGBClassifier(n_estimators=200, max_depth=4, n_jobs=1, learning_rate=0.5, early_stopping_rounds=3)
    model.fit(
        rows, answer, eval_set=[(REFERENCE[list(FEATURES)].astype("float32"), REFERENCE["default"])], verbose=False
    )
    made = write(model, tmp_path / "package", runtime="xgboost")
    booster = Booster()
    booster.load_model(bytearray(made.files["model.ubj"]))
    assert booster.num_boosted_rounds() == model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    assert not booster.attributes()


@pytest.mark.parametrize("kind", ["xgboost", "sklearn"])
def test_a_regressor_is_packaged_for_a_kind_whose_outcome_is_a_number(kind: str, tmp_path: Path) -> None:
    numbered = [sample.assign(lgd=sample["default"] * 0.6 + 0.1, ead=100.0) for sample in (DEVELOPMENT, REFERENCE)]
    rows = numbered[0][list(FEATURES)].astype("float32")
    model = XGBRegressor(n_estimators=5, max_depth=2, n_jobs=1) if kind == "xgboost" else LinearRegression()
    stated = {key: value for key, value in contract("lgd-small").items() if key != "cut_offs"} | {
        "kind": "lgd",
        "output": {"name": "lgd", "unit": "share of exposure", "minimum": "-1", "maximum": "2"},
        "outcome": {"meaning": "share lost", "window": "36 months", "parameter": "lgd", "exposure": "ead"},
    }
    given = {"contract": stated, "outcome": "lgd", "development": numbered[0], "reference": numbered[1]}
    made = write(model.fit(rows, numbered[0]["lgd"]), tmp_path / "package", **given)
    assert (made.contract.output.tensor, made.contract.output.column, made.contract.cut_offs) == ("variable", 0, ())
    files = read_folder(tmp_path / "package")
    sample = pq.read_table(io.BytesIO(files["reference.parquet"]))
    assert {"ead", "lgd"} < set(sample.column_names)
    session = ort.InferenceSession(files["model.onnx"])
    x = np.column_stack([sample[name].to_numpy() for name in FEATURES]).astype(np.float32)
    answers = session.run(["variable"], {"input": x})[0][:, 0]
    given_by_source = pq.read_table(io.BytesIO(files["predictions.parquet"]))["prediction"].to_numpy()
    assert np.abs(answers - given_by_source).max() < 1e-5
    spoilt = numbered[0].assign(lgd=np.nan)
    with pytest.raises(InvalidInputError):
        write(model, tmp_path / "other", **{**given, "development": spoilt})
