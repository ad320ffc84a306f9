"""The runtimes of this machine by name. Which one answers is the release's word, never ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from strongroom.adapters.runtimes.onedal_runtime import OneDalRuntime
from strongroom.adapters.runtimes.onnx_runtime import OnnxRuntime
from strongroom.adapters.runtimes.xgboost_runtime import XGBoostRuntime
from strongroom.approval.release import NumericProfile
from strongroom.errors import NumericProfileError, UnavailableError
from strongroom.serving.ports import Machine, Runtime

RUNTIMES: Final[Mapping[str, type[OnnxRuntime] | type[XGBoostRuntime] | type[OneDalRuntime]]] = {
    "onnxruntime": OnnxRuntime,
    "xgboost": XGBoostRuntime,
    "onedal": OneDalRuntime,
}


def runtime_of(profile: NumericProfile) -> Runtime:
    """The runtime that a release was approved for.

    Raises:
        NumericProfileError: none of that name.
    """
    made = RUNTIMES.get(profile.runtime)
    if made is None:
        raise NumericProfileError(f"there is no runtime `{profile.runtime}` here", field="runtime")
    return made()


def machine_of(name: str) -> Machine | None:
    """What this machine computes with under a runtime's name; None where it is not installed, or is none of ours.

    Nothing of the others is loaded.
    """
    made = RUNTIMES.get(name)
    try:
        return None if made is None else made().machine
    except UnavailableError:
        return None
