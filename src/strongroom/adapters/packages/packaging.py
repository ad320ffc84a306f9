"""On the author's side: turn a trained model and its samples into the folder that `strongroom submit` takes.

Converters are heavy and come with the extra `package`; they are imported when a model needs them, never at import.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from strongroom.adapters.packages.model_toml import write_contract
from strongroom.adapters.packages.package_folder import write_folder
from strongroom.errors import InvalidInputError, UnavailableError, UnsafeArtifactError
from strongroom.registry.contract import MODEL_SUFFIX, ModelContract, RuntimeName
from strongroom.registry.kinds import COLUMNS, CONTRACTS
from strongroom.registry.packages import Package, read_package
from strongroom.registry.toml import complaint
from strongroom.registry.training import FOLDER, SCRIPT_FILE
from strongroom.validation.trees.boosters import OUTPUT
from strongroom.vocabulary import digest_of, quoted

if TYPE_CHECKING:
    import pandas as pd

OPSET: Final = 15
"""ONNX operator set that converters and runtime of today and of some years ago all know."""

_TENSOR: Final = "input"
_FILES: Final = {
    "development": "development.parquet",
    "reference": "reference.parquet",
    "predictions": "predictions.parquet",
}
_REGRESSION: Final = "variable"
"""What both converters call the output of a regression."""
_PROTECTED_FILE: Final = "protected.parquet"


def package(
    model: Any,
    folder: str | Path,
    *,
    contract: Mapping[str, Any],
    outcome: str,
    development: pd.DataFrame,
    reference: pd.DataFrame,
    predictions: npt.ArrayLike | None = None,
    runtime: RuntimeName = "onnxruntime",
    beside: Mapping[str, bytes] | None = None,
    training: bytes | Mapping[str, bytes] | None = None,
) -> Package:
    """Write a package: `model.toml`, the model file, the samples, and the source model's predictions.

    Args:
        model: an XGBoost or scikit-learn classifier, or a pipeline that ends in one, for kinds whose outcome is an
            event; such a regressor for kinds whose outcome is a number; or the bytes of an ONNX file whose input is
            float [rows, features], or of an XGBoost file (UBJSON) for that runtime.
        folder: new or empty.
        contract: what `model.toml` says, as nested dicts and lists. Left out and filled in: `v`, `samples` (of which it
            may name `subject`, a column of both samples that tells whom a row is about),
            `input.tensor`, `output.tensor` (for converted models), `lineage.environment`, `lineage.parameters`, and in
            `lineage.data` the digest of the development sample.
        outcome: column with 1 for default and 0 for none, or with a number, as the kind has it.
        development: features, outcome, protected attributes, and the columns that `contract["outcome"]` names; other
            columns are left out.
        reference: the same columns, other rows: what live data is compared with.
        predictions: of the source model on `reference`, shape [rows]; needed for bytes, else computed.
        runtime: what will run it. `xgboost` keeps an XGBoost model as it is, for XGBoost's own library: quicker on
            many rows, slower on one, and other bits than its ONNX. `onedal` runs the ONNX of a forest with Intel's
            library, quicker the more rows there are.
        training: the training script, or all files of the training by path with the script as `train.py`, so that
            others can train the model again (`strongroom replicate`); `contract["training"]` may state the digest of
            the data and a tolerance.
        beside: the files of `contract["source"]` and the statement of the conversion, by path (`strongroom convert`).

    Returns:
        The package, as the registry will read it.

    Raises:
        InvalidInputError: a column or key is missing, or the contract breaks a rule.
        UnsafeArtifactError: the model is of no kind that we convert.
        UnavailableError: a converter is not installed; install `strongroom[package]`.
        ConflictError: the folder is not empty.
    """
    plain = {key: value for key, value in contract.items() if key != "samples"}
    names = _feature_names(plain)
    protected = list(plain.get("protected", ()))
    rows = _rows(reference, names, "reference")
    kind = CONTRACTS.get(plain.get("kind", "pd"))
    event = kind is None or kind.outcome == "event"
    optional = () if kind is None else kind.optional_columns
    told = plain.get("outcome", {})
    more = [(str(told[name]), name in optional) for name in COLUMNS if name in told]
    subject = contract.get("samples", {}).get("subject")
    more += [] if subject is None else [(str(subject), False)]
    artifact, tensor = _native(model) if runtime == "xgboost" else _convert(model, rows)
    model_file = "model" + MODEL_SUFFIX[runtime]
    files = {
        model_file: artifact,
        _FILES["development"]: _sample(development, names, outcome, more, "development", event=event),
        _FILES["reference"]: _sample(reference, names, outcome, more, "reference", event=event),
        _FILES["predictions"]: _predictions(model, rows, {} if runtime == "xgboost" else plain, predictions),
    }
    samples: dict[str, str] = {"model": model_file, **_FILES, "outcome": outcome}
    if subject is not None:
        samples["subject"] = str(subject)
    if protected:
        files[_PROTECTED_FILE] = _parquet({name: _column(reference, name, "reference") for name in protected})
        samples["protected"] = _PROTECTED_FILE
    lineage = dict(plain.get("lineage", {}))
    lineage.setdefault("code_commit", "unversioned")
    lineage.setdefault("environment", _environment())
    lineage.setdefault("parameters", _parameters(model))
    lineage["data"] = {"development": digest_of(files[_FILES["development"]]), **lineage.get("data", {})}
    output = dict(plain.get("output", {}))
    if tensor is not None:
        output.setdefault("tensor", tensor)
    if tensor == _REGRESSION:
        output.setdefault("column", 0)
    if runtime == "xgboost":
        output.setdefault("column", 0)
    if runtime != "onnxruntime":
        plain["runtime"] = runtime
    if training is not None:
        named = training if isinstance(training, Mapping) else {SCRIPT_FILE.removeprefix(FOLDER): training}
        code = {FOLDER + path: data for path, data in named.items()}
        files |= code
        modules = [path for path in sorted(code) if path != SCRIPT_FILE]
        stated_modules = {"modules": modules} if modules else {}
        plain["training"] = {**plain.get("training", {}), "script": SCRIPT_FILE, **stated_modules}
    document = {
        **plain,
        "v": 1,
        "input": {"tensor": _TENSOR, **plain["input"]},
        "output": output,
        "samples": samples,
        "lineage": lineage,
    }
    try:
        stated = msgspec.convert(document, ModelContract)
    except msgspec.ValidationError as error:
        place, what = complaint(error)
        raise InvalidInputError(f"the contract does not hold: {place}: {what}", field=place, rule="schema") from error
    files |= beside or {}
    files["model.toml"] = write_contract(stated)
    checked = read_package(files)
    write_folder(Path(folder), files)
    return checked


def _native(model: Any) -> tuple[bytes, str]:
    """XGBoost's own UBJSON, holding the trees that the source model answers with and nothing else."""
    if isinstance(model, (bytes, bytearray)):
        return bytes(model), OUTPUT
    if type(model).__module__.partition(".")[0] != "xgboost" or not hasattr(model, "predict_proba"):
        raise UnsafeArtifactError(
            "native XGBoost takes an XGBClassifier, or the bytes of a model that it saved as UBJSON"
        )
    booster = model.get_booster()
    # where training stopped early, the classifier answers with the best trees only
    best = booster.attributes().get("best_iteration")
    booster = booster[: int(best) + 1] if best is not None else booster.copy()
    booster.set_attr(**dict.fromkeys(booster.attributes()))
    return bytes(booster.save_raw("ubj")), OUTPUT


def _convert(model: Any, rows: pd.DataFrame) -> tuple[bytes, str | None]:
    """ONNX bytes, and the name of the output tensor where we made it: probabilities, float [rows, 2], or the one
    column of a regression."""
    if isinstance(model, (bytes, bytearray)):
        return bytes(model), None
    origin = type(model).__module__.partition(".")[0]
    width = rows.shape[1]
    try:
        if origin == "xgboost":
            return convert_booster(model, width), _tensor(model)
        if origin == "sklearn":
            return _convert_sklearn(model, width), _tensor(model)
    except ImportError as error:
        raise UnavailableError(f"`{error.name}` is not installed; install strongroom[package]") from error
    raise UnsafeArtifactError(
        f"a model of `{origin}` is not converted; give an XGBoost or scikit-learn classifier, or the bytes of ONNX; "
        "saved models of other kinds come in by `strongroom convert`"
    )


def _tensor(model: Any) -> str:
    return "probabilities" if hasattr(model, "predict_proba") else _REGRESSION


def convert_booster(model: Any, width: int) -> bytes:
    """An XGBoost model as ONNX.

    Raises:
        UnsafeArtifactError: neither classifier nor regressor, or no plain boosted trees: the converter would leave out
            the weights that dropout gives to trees.
    """
    import onnxmltools
    from onnxmltools.convert.common.data_types import FloatTensorType
    from xgboost import XGBClassifier, XGBRegressor

    if not isinstance(model, (XGBClassifier, XGBRegressor)):
        raise UnsafeArtifactError(
            "of XGBoost, classifiers and regressors are converted; fit an XGBClassifier or an XGBRegressor"
        )
    trees = msgspec.json.decode(bytes(model.get_booster().save_raw("json")))["learner"]["gradient_booster"]
    if trees["name"] != "gbtree" or any(weight != 1 for weight in trees["model"].get("weight_drop", ())):
        raise UnsafeArtifactError(
            "of XGBoost, plain boosted trees are converted; train without dropout (`dart`, `rate_drop`)"
        )
    # The converter accepts no feature names but f0, f1, ...; a copy forgets them, the author's model keeps them.
    copy = XGBClassifier() if isinstance(model, XGBClassifier) else XGBRegressor()
    copy.load_model(model.get_booster().save_raw("ubj"))
    copy.get_booster().feature_names = None
    converted = onnxmltools.convert_xgboost(
        copy, name="model", initial_types=[(_TENSOR, FloatTensorType([None, width]))], target_opset=OPSET
    )
    return bytes(converted.SerializeToString())


def _convert_sklearn(model: Any, width: int) -> bytes:
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    converted = to_onnx(
        model,
        name="model",
        initial_types=[(_TENSOR, FloatTensorType([None, width]))],
        # Without this the output is a list of dicts, one per row, which no contract describes.
        options={id(model): {"zipmap": False}} if hasattr(model, "predict_proba") else None,
        target_opset=OPSET,
    )
    return bytes(converted.SerializeToString())


def _predictions(model: Any, rows: pd.DataFrame, contract: Mapping[str, Any], given: npt.ArrayLike | None) -> bytes:
    if given is None:
        if isinstance(model, (bytes, bytearray)):
            raise InvalidInputError(
                "a model file needs the predictions of the model it was made from", field="predictions", rule="missing"
            )
        # A model that was fitted on arrays refuses frames, and the other way round.
        source = rows if getattr(model, "feature_names_in_", None) is not None else rows.to_numpy()
        if hasattr(model, "predict_proba"):
            given = np.asarray(model.predict_proba(source))[:, int(contract.get("output", {}).get("column", 1))]
        else:
            given = np.asarray(model.predict(source)).ravel()
    values = np.asarray(given, dtype=np.float64)
    if values.shape != (len(rows),) or not np.isfinite(values).all():
        raise InvalidInputError(
            "there is one finite prediction for each reference row", field="predictions", rule="shape"
        )
    return _parquet({"prediction": pa.array(values)})


def _sample(
    frame: pd.DataFrame, names: Sequence[str], outcome: str, more: Sequence[tuple[str, bool]], what: str, *, event: bool
) -> bytes:
    rows = _rows(frame, names, what)
    columns: dict[str, pa.Array] = {name: pa.array(rows[name].to_numpy(), from_pandas=False) for name in names}
    answer = _column(frame, outcome, what)
    there = [name for name, optional in more if name not in columns and not (optional and name not in frame.columns)]
    columns |= {name: _column(frame, name, what) for name in there}
    if not event:
        if not np.isfinite(frame[outcome].to_numpy(np.float64, na_value=np.nan)).all():
            raise InvalidInputError(
                f"the outcome of the {what} sample is a finite number", field=outcome, rule="outcome"
            )
        return _parquet({**columns, outcome: answer.cast(pa.float64())})
    if answer.null_count or not set(answer.unique().to_pylist()) <= {0, 1}:
        raise InvalidInputError(f"the outcome of the {what} sample is 0 or 1", field=outcome, rule="outcome")
    return _parquet({**columns, outcome: answer.cast(pa.int8())})


def _rows(frame: pd.DataFrame, names: Sequence[str], what: str) -> pd.DataFrame:
    """The features as float32, in the contract's order: what the gateway will hand to the model."""
    missing = [name for name in names if name not in frame.columns]
    if missing:
        noun = "feature" if len(missing) == 1 else "features"
        raise InvalidInputError(f"the {what} sample lacks {noun} {quoted(missing)}", field=missing[0], rule="column")
    if frame.empty:
        raise InvalidInputError(f"the {what} sample has no rows", rule="rows")
    for name in names:
        try:
            frame[name].astype(np.float32)
        except (TypeError, ValueError) as error:
            raise InvalidInputError(
                f"feature `{name}` of the {what} sample does not hold numbers; encode it first", field=name, rule="type"
            ) from error
    return frame[list(names)].astype(np.float32)


def _column(frame: pd.DataFrame, name: str, what: str) -> pa.Array:
    if name not in frame.columns:
        raise InvalidInputError(f"the {what} sample lacks column `{name}`", field=name, rule="column")
    return pa.array(frame[name])


def _parquet(columns: Mapping[str, pa.Array]) -> bytes:
    sink = pa.BufferOutputStream()
    # No pandas metadata: it would name index and versions that are no part of the sample.
    pq.write_table(pa.table(dict(columns)), sink, compression="zstd", store_schema=False)
    return bytes(sink.getvalue())


def _feature_names(contract: Mapping[str, Any]) -> list[str]:
    try:
        return [str(feature["name"]) for feature in contract["input"]["features"]]
    except (KeyError, TypeError) as error:
        raise InvalidInputError(
            "the contract lists `input.features`, each with a name", field="input.features", rule="missing"
        ) from error


def _environment() -> dict[str, str]:
    wanted = ["numpy", "onnx", "onnxmltools", "skl2onnx", "scikit-learn", "xgboost-cpu", "xgboost"]
    found = {}
    for name in wanted:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _parameters(model: Any) -> dict[str, str]:
    if not hasattr(model, "get_params"):
        return {}
    plain = {name: value for name, value in model.get_params().items() if isinstance(value, (str, int, float, bool))}
    return {name: str(value) for name, value in sorted(plain.items())}
