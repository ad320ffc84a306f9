"""The runtimes of this machine by name. Which one answers is the release's word, never ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from strongroom.adapters.runtimes.onnx_runtime import OnnxRuntime
from strongroom.adapters.runtimes.xgboost_runtime import XGBoostRuntime
from strongroom.approval.release import NumericProfile
from strongroom.errors import NumericProfileError, UnavailableError
from strongroom.serving.ports import Machine, Runtime

RUNTIMES: Final[Mapping[str, type[OnnxRuntime] | type[XGBoostRuntime]]] = {
    "onnxruntime": OnnxRuntime,
    "xgboost": XGBoostRuntime,
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


def machines() -> tuple[Machine, ...]:
    """What this machine computes with; a runtime that is not installed is left out.

    Raises:
        UnavailableError: none is to be had, since the processor's class is not known.
    """
    found = []
    reason: UnavailableError | None = None
    for made in RUNTIMES.values():
        try:
            found.append(made().machine)
        except UnavailableError as error:
            reason = error
    if not found:
        raise reason or UnavailableError("no runtime is installed")
    return tuple(found)
