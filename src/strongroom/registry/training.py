"""`[training]` in `model.toml`: the code that trained the model, and of which data. Nobody but a job in the sandbox
runs it.
"""

from __future__ import annotations

import math
import re
from typing import Final

import msgspec

from strongroom.errors import InvalidInputError
from strongroom.vocabulary import parse_digest

FOLDER: Final = "training/"
SCRIPT_FILE: Final = "training/train.py"
SUFFIX: Final = ".py"
SCRIPT_LIMIT: Final = 1024 * 1024
CODE_FILES_LIMIT: Final = 32
TOLERANCE: Final = "1e-06"

_MODULE: Final = re.compile(r"training(/[A-Za-z_][A-Za-z0-9_]*)+\.py")


class Training(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the model can be trained again.

    Attributes:
        script: path of one Python file in the package, below `training/`, with a function
            `train(development, features, outcome, parameters)` that returns a fitted model or the bytes of the model
            file.
        modules: paths of further Python files below `training/`, which the script imports by their names from there on:
            `training/prepare/clean.py` is `prepare.clean`. Left out, there are none.
        data: SHA-256 of the file that it was trained on; left out, the package's development sample.
        tolerance: largest difference of a prediction where the bytes differ; decimal string, at most 0.01.
    """

    script: str
    modules: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    data: str | msgspec.UnsetType = msgspec.UNSET
    tolerance: str = TOLERANCE

    def __post_init__(self) -> None:
        if not self.script.startswith(FOLDER) or not self.script.endswith(SUFFIX):
            raise InvalidInputError(
                f"the training script is a {SUFFIX} file below {FOLDER}", field="training.script", rule="folder"
            )
        if not isinstance(self.modules, msgspec.UnsetType):
            _check_modules(self.modules, self.script)
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

    @property
    def code(self) -> tuple[str, ...]:
        """Every file of code: the script first."""
        return (self.script, *(() if isinstance(self.modules, msgspec.UnsetType) else self.modules))


def _check_modules(modules: tuple[str, ...], script: str) -> None:
    if not 0 < len(modules) < CODE_FILES_LIMIT:
        raise InvalidInputError(
            f"training code has at most {CODE_FILES_LIMIT} files, the script among them; without others leave "
            "`modules` out",
            field="training.modules", rule="count",
        )  # fmt: skip
    if len({script, *modules}) != 1 + len(modules):
        raise InvalidInputError("each file of training code is named once", field="training.modules", rule="unique")
    for path in modules:
        if not _MODULE.fullmatch(path):
            raise InvalidInputError(
                f"a module of the training is a {SUFFIX} file below {FOLDER}, whose folders and name are of letters, "
                "digits and `_`",
                field="training.modules", rule="module",
            )  # fmt: skip
    stems = {path.removesuffix(SUFFIX) for path in modules}
    if any(path.startswith(f"{stem}/") for stem in stems for path in modules):
        raise InvalidInputError(
            "a module and a folder of the training have one name; rename one", field="training.modules", rule="folder"
        )
