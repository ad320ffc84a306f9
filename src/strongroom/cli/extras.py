"""What an installation without an extra lacks, said in one line that names the extra."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from strongroom.errors import UnavailableError

MODULES: Final[dict[str, tuple[str, ...]]] = {
    "validation": ("license_expression", "onnx", "sklearn", "threadpoolctl"),
    "package": ("onnxmltools", "packaging", "pandas", "skl2onnx", "xgboost"),
    "convert": ("cloudpickle", "joblib", "lightgbm", "skops", "statsmodels", "yaml"),
    "report": ("typst",),
}
"""The libraries by whose absence an extra is known; a library of two extras stands with the smaller one. The prover is
not among them: where it has no wheel nothing is proven, and reports say so."""


def lacking(module: str) -> UnavailableError | None:
    """What to say when a module cannot be imported; None where no extra brings it: that is a defect of ours."""
    root = module.partition(".")[0]
    extra = next((name for name, modules in MODULES.items() if root in modules), None)
    return None if extra is None else UnavailableError(f"`{root}` is not installed; install strongroom[{extra}]")


def demand(extra: str) -> None:
    """Before anything is asked, opened or entered on the record.

    Raises:
        UnavailableError: a library of the extra is not installed.
    """
    for module in MODULES[extra]:
        if find_spec(module) is None:
            raise UnavailableError(f"`{module}` is not installed; install strongroom[{extra}]")
