"""oneDAL: one thread, from memory, sums that are exact."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from strongroom.adapters.runtimes.cpu import isa_class
from strongroom.errors import InvalidInputError, UnsafeArtifactError
from strongroom.serving.ports import Machine

if TYPE_CHECKING:
    from strongroom.validation.trees.onedal import VectorForest

# `validation.trees.onedal` is imported where it is needed: a worker whose releases do not name it does without


class ForestSession:
    """A loaded model that gives the output of a classifier or of a regressor."""

    def __init__(self, forest: VectorForest) -> None:
        self._forest = forest

    def run(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """Shape [rows, columns]. Raises InvalidInputError: another width or type than the model's."""
        return self._forest.output(matrix)


class OneDalRuntime:
    """Satisfies `serving.ports.Runtime`."""

    @property
    def machine(self) -> Machine:
        """Raises UnavailableError where the library is not installed, or on a processor whose class is not known."""
        from strongroom.validation.trees.onedal import PROVIDER, RUNTIME, library_version

        return Machine(RUNTIME, library_version(), PROVIDER, isa_class())

    def load(self, artifact: bytes, input_name: str, output_name: str, features: int) -> ForestSession:
        """Load from memory, with one thread.

        Raises:
            UnsafeArtifactError: no forest of such a contract, or one whose sums are not exact; the message says which.
            UnavailableError: the library does not load.
        """
        from strongroom.validation.trees.onedal import open_forest

        try:
            return ForestSession(open_forest(artifact, input_name, output_name, features))
        except InvalidInputError as error:
            raise UnsafeArtifactError(error.message) from error
