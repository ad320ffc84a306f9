"""Native XGBoost: one thread, from memory, the same bits every time."""

from __future__ import annotations

from strongroom.adapters.runtimes.cpu import isa_class
from strongroom.errors import InvalidInputError, UnsafeArtifactError
from strongroom.serving.ports import Machine
from strongroom.validation.trees.boosters import (
    INPUT,
    OUTPUT,
    PROVIDER,
    RUNTIME,
    Booster,
    Rows,
    library_version,
    open_booster,
)


class BoosterSession:
    """A loaded model that gives one probability a row."""

    def __init__(self, booster: Booster) -> None:
        self._booster = booster

    def run(self, matrix: Rows) -> Rows:
        """Shape [rows]. Raises InvalidInputError: a width or value that the library does not take."""
        return self._booster.predict(matrix)


class XGBoostRuntime:
    """Satisfies `serving.ports.Runtime`."""

    @property
    def machine(self) -> Machine:
        """Raises UnavailableError where the library is not installed, or on a processor whose class is not known."""
        return Machine(RUNTIME, library_version(), PROVIDER, isa_class())

    def load(self, artifact: bytes, input_name: str, output_name: str, features: int) -> BoosterSession:
        """Load from memory, with one thread.

        Raises:
            UnsafeArtifactError: not a model that XGBoost loads, or not the one of such a contract.
        """
        if (input_name, output_name) != (INPUT, OUTPUT):
            raise UnsafeArtifactError(f"a contract of native XGBoost calls its tensors `{INPUT}` and `{OUTPUT}`")
        try:
            booster = open_booster(artifact)
        except InvalidInputError as error:
            raise UnsafeArtifactError("the artifact is not a model that XGBoost loads") from error
        if booster.features != features:
            raise UnsafeArtifactError("the input of the model is not as wide as its contract")
        return BoosterSession(booster)
