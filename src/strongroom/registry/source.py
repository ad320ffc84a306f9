"""`[source]` in `model.toml`: from which saved model the served file was converted. The saved model stays closed here.

Source files may be pickles. This room keeps their bytes and never looks into them; only `validation.jobs.convert`,
inside the sandbox, loads them.
"""

from __future__ import annotations

import math
from typing import Final, Literal

import msgspec

from strongroom.errors import InvalidInputError

SourceFormat = Literal["sklearn", "lightgbm", "xgboost", "statsmodels", "mlflow"]
FOLDER: Final = "source/"
CONVERSION_FILE: Final = "conversion.json"
SOURCE_LIMIT: Final = 256 * 1024 * 1024
SOURCE_FILES_LIMIT: Final = 10
TOLERANCE: Final = "1e-05"


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The saved model that the served file was made from.

    Attributes:
        format: `sklearn` (pickle, joblib, cloudpickle or skops), `lightgbm` (text model, or a pickled estimator),
            `xgboost` (JSON or UBJSON, or a pickled estimator), `statsmodels` (saved results), or `mlflow` (a model
            folder of one of these flavours).
        files: paths in the package, all below `source/`; exactly one but for an MLflow folder.
        tolerance: largest difference of a prediction from the source's own that is taken as rounding; decimal string.
    """

    format: SourceFormat
    files: tuple[str, ...]
    tolerance: str = TOLERANCE

    def __post_init__(self) -> None:
        if not 0 < len(self.files) <= SOURCE_FILES_LIMIT:
            raise InvalidInputError(f"a source has 1 to {SOURCE_FILES_LIMIT} files", field="source.files", rule="count")
        if len(set(self.files)) != len(self.files):
            raise InvalidInputError("a source file is listed twice", field="source.files", rule="unique")
        if self.format != "mlflow" and len(self.files) != 1:
            raise InvalidInputError(
                f"a source of format `{self.format}` is one file", field="source.files", rule="count"
            )
        if not all(path.startswith(FOLDER) for path in self.files):
            raise InvalidInputError(f"source files lie below {FOLDER}", field="source.files", rule="folder")
        if self.format == "mlflow" and FOLDER + "MLmodel" not in self.files:
            raise InvalidInputError("an MLflow folder has a file MLmodel", field="source.files", rule="mlmodel")
        try:
            value = float(self.tolerance)
        except ValueError:
            value = math.nan
        if not 0.0 < value <= 0.001 or len(self.tolerance) > 40:
            raise InvalidInputError(
                "source.tolerance lies above 0 and is at most 0.001", field="source.tolerance", rule="range"
            )
