"""`[training]` in `model.toml`: the script that trained the model, and of which data. Nobody but a job in the sandbox
runs it.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

from strongroom.errors import InvalidInputError
from strongroom.vocabulary import parse_digest

FOLDER: Final = "training/"
SCRIPT_FILE: Final = "training/train.py"
SUFFIX: Final = ".py"
SCRIPT_LIMIT: Final = 1024 * 1024
TOLERANCE: Final = "1e-06"


class Training(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the model can be trained again.

    Attributes:
        script: path of one Python file in the package, below `training/`, with a function
            `train(development, features, outcome, parameters)` that returns a fitted model or the bytes of the model
            file.
        data: SHA-256 of the file that it was trained on; left out, the package's development sample.
        tolerance: largest difference of a prediction where the bytes differ; decimal string, at most 0.01.
    """

    script: str
    data: str | msgspec.UnsetType = msgspec.UNSET
    tolerance: str = TOLERANCE

    def __post_init__(self) -> None:
        if not self.script.startswith(FOLDER) or not self.script.endswith(SUFFIX):
            raise InvalidInputError(
                f"the training script is a {SUFFIX} file below {FOLDER}", field="training.script", rule="folder"
            )
        if not isinstance(self.data, msgspec.UnsetType):
            parse_digest(self.data)
        try:
            value = float(self.tolerance)
        except ValueError:
            value = math.nan
        if not 0.0 < value <= 0.01 or len(self.tolerance) > 40:
            raise InvalidInputError(
                "training.tolerance lies above 0 and is at most 0.01", field="training.tolerance", rule="range"
            )
