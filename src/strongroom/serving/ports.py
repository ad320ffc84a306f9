"""What serving needs from outside: a runtime that scores, and a thread that commits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Machine:
    """What this machine computes with; compared with a release's numeric profile before its model is loaded.

    Attributes:
        runtime: for example `onnxruntime`.
        version: of the runtime.
        provider: for example `CPUExecutionProvider`.
        isa: instruction-set class, for example `x86_64-avx512`.
    """

    runtime: str
    version: str
    provider: str
    isa: str


class Session(Protocol):
    """A loaded model. One thread at a time."""

    def run(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """The output tensor of the contract for rows of shape [rows, features]."""


@runtime_checkable
class Stoppable(Protocol):
    """A session whose runtime can be asked to give up a call, between two steps of the model."""

    def arm(self) -> None:
        """Make calls such that they can be stopped; once, before the first."""

    def stop(self) -> None:
        """Ask the call that runs now to end with an error. From another thread; calls made later are not concerned."""


class Runtime(Protocol):
    """Loads models from memory; writes nothing to disk."""

    @property
    def machine(self) -> Machine: ...

    def load(self, artifact: bytes, input_name: str, output_name: str, features: int) -> Session:
        """Load a model.

        Raises:
            UnsafeArtifactError: the bytes are no model, or lack the named input or output.
        """


class Runner(Protocol):
    """Runs one function at a time away from the event loop, in order."""

    def run(self, work: Callable[[], Any], done: Callable[[Any, BaseException | None], None]) -> None:
        """Call `work` on the committing thread, then `done(result, error)` on the loop."""
