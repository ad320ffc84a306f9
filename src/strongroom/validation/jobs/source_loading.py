"""Saved models, loaded. Loading a pickle runs whatever its author put in: this module is for the sandbox alone.

`tests/attacks/test_hostile_sources.py` holds that nothing but the job `convert` imports it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from strongroom.errors import InvalidInputError, UnsafeArtifactError
from strongroom.registry.source import FOLDER, SourceFormat
from strongroom.sealing.manifest import check_path
from strongroom.validation.workshop.conversion import SavedAs

MLMODEL_LIMIT: Final = 64 * 1024
_FLAVOURS: Final = ("sklearn", "lightgbm", "xgboost", "statsmodels")
_ZIP: Final = b"PK\x03\x04"
_BOOSTER_JSON: Final = (b"{", b"[")


def load_source(form: SourceFormat, files: Mapping[str, bytes]) -> tuple[Any, SavedAs]:
    """The source model, and how it was saved.

    Args:
        form: as the contract says.
        files: content by path, below `source/`.

    Returns:
        A model object: a scikit-learn, LightGBM or XGBoost estimator, `lightgbm.Booster`, `xgboost.Booster`, or results
        of statsmodels; and one of `pickle`, `skops`, `text`, `json`, `ubj`.

    Raises:
        UnsafeArtifactError: skops names types that are not known to be safe, or an MLflow folder wants code of its own.
        InvalidInputError: the file is not of its format.
        Exception: whatever the file raises when it is loaded.
    """
    if form == "mlflow":
        form, path = _flavour(files)
    else:
        (path,) = files
    data = files[path]
    if form == "lightgbm" and data.lstrip()[:4] == b"tree":
        return _lightgbm(data), "text"
    if form == "xgboost" and data[:1] == b"{":
        return _xgboost(data), "ubj" if data[1:2] == b"L" else "json"
    if form == "sklearn" and data.startswith(_ZIP):
        return _skops(data), "skops"
    return _pickled(data), "pickle"


def _flavour(files: Mapping[str, bytes]) -> tuple[SourceFormat, str]:
    """What `MLmodel` says, read as data. No flavour's loader, no code of the folder and no environment is used."""
    import yaml

    data = files[FOLDER + "MLmodel"]
    if len(data) > MLMODEL_LIMIT:
        raise InvalidInputError(f"MLmodel has more than {MLMODEL_LIMIT} bytes", field="MLmodel", rule="size")
    # aliases make small documents large
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(data, Loader=yaml.SafeLoader)):
        raise UnsafeArtifactError("MLmodel uses YAML aliases; write it without")
    document = yaml.safe_load(data)
    flavours = document.get("flavors") if isinstance(document, dict) else None
    if not isinstance(flavours, dict):
        raise InvalidInputError("MLmodel lists no flavors", field="MLmodel", rule="flavors")
    for name, told in flavours.items():
        # MLflow puts such a folder on the path of imports
        if isinstance(told, dict) and (told.get("code") or told.get("code_paths")):
            raise UnsafeArtifactError(
                f"flavor {str(name)[:40]} of MLmodel brings code of its own (code_paths); log the model without it"
            )
    for name in _FLAVOURS:
        told = flavours.get(name)
        if not isinstance(told, dict):
            continue
        inner = told.get("pickled_model", told.get("data", told.get("model_data")))
        if not isinstance(inner, str):
            raise InvalidInputError(f"flavor {name} of MLmodel names no file", field="MLmodel", rule="data")
        check_path(inner)
        if FOLDER + inner not in files:
            raise InvalidInputError(f"flavor {name} of MLmodel names a file that is not in the folder", field="MLmodel")
        form: SourceFormat = name  # type: ignore[assignment]
        return form, FOLDER + inner
    raise UnsafeArtifactError(
        f"MLmodel has no flavor that is converted ({', '.join(_FLAVOURS)}); a pyfunc alone is code"
    )


def _lightgbm(data: bytes) -> Any:
    import lightgbm

    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInputError("the LightGBM model is not text", field="source", rule="utf-8") from error
    return lightgbm.Booster(model_str=text)


def _xgboost(data: bytes) -> Any:
    import xgboost

    if data[1:2] != b"L":
        try:
            msgspec.json.decode(data)
        except (msgspec.DecodeError, RecursionError) as error:
            raise InvalidInputError("the XGBoost model is not JSON", field="source", rule="json") from error
    booster = xgboost.Booster()
    booster.load_model(bytearray(data))
    return booster


def _skops(data: bytes) -> Any:
    import skops.io

    unknown = skops.io.get_untrusted_types(data=data)
    if unknown:
        raise UnsafeArtifactError(
            f"the skops file names {len(unknown)} types that skops does not trust; use scikit-learn's own parts"
        )
    return skops.io.loads(data, trusted=[])


def _pickled(data: bytes) -> Any:
    import joblib

    # whatever it does, it does in the sandbox: this job runs nowhere else (tests/attacks/test_hostile_sources.py)
    return joblib.load(io.BytesIO(data))
