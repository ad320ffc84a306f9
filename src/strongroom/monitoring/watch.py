"""The decision path's watcher: drift counters of whatever is being served in this worker."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from strongroom.monitoring.psi import Drift, DriftCounter
from strongroom.serving.served import ServedModel
from strongroom.vocabulary import Digest, ModelRef


class DriftWatch:
    """Fits `serving.decision.Watch`. One counter for each release that this worker has scored with."""

    def __init__(self) -> None:
        self._counters: dict[Digest, tuple[ModelRef, DriftCounter]] = {}

    def __call__(self, served: ServedModel, matrix: NDArray[np.float32], scores: NDArray[np.float32]) -> None:
        """Count a batch."""
        known = self._counters.get(served.release_digest)
        if known is None:
            known = self._counters[served.release_digest] = (served.ref, DriftCounter(served.release.monitors))
        known[1].observe(matrix, scores)

    def drift(self) -> dict[tuple[ModelRef, Digest], list[Drift]]:
        """Figures by model version and release."""
        return {(ref, digest): counter.drift() for digest, (ref, counter) in self._counters.items()}
