"""What two versions of a model made of people's rows, read back from the ledger: answers, shadows and failures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from strongroom.vocabulary import Digest

Kind = Literal["answered", "shadow", "failed"]


@dataclass(frozen=True, slots=True)
class Trial:
    """One row that one version was asked about.

    Attributes:
        decision_id: of the record.
        beside: of a shadow: the decision that was answered; else the record's own.
        release, manifest: the version that was asked.
        kind: `failed` where it gave no answer of its own, whoever stood in.
        row: the features, float32, in the order of the version's contract; empty where it failed before it had them.
        score: NaN where it failed.
        decision: empty where it failed.
    """

    decision_id: str
    beside: str
    time_us: int
    release: Digest
    manifest: Digest
    kind: Kind
    row: NDArray[np.float32] = field(repr=False, compare=False)
    score: float
    decision: str


@dataclass(frozen=True, slots=True)
class Arm:
    """Everything that one release was asked, in the order of time.

    Attributes:
        release: its digest.
        trials: answered, shadowed and failed.
    """

    release: Digest
    trials: tuple[Trial, ...]

    @classmethod
    def of(cls, trials: Iterable[Trial], release: Digest, since_us: int = 0) -> Arm:
        """One release's trials from a moment on."""
        mine = [one for one in trials if one.release == release and one.time_us >= since_us]
        return cls(release, tuple(sorted(mine, key=lambda one: (one.time_us, one.decision_id))))

    @property
    def good(self) -> tuple[Trial, ...]:
        """Those with a score."""
        return tuple(one for one in self.trials if one.kind != "failed")

    @property
    def scores(self) -> NDArray[np.float64]:
        """Of the good ones."""
        return np.array([one.score for one in self.good], np.float64)

    @property
    def failures(self) -> int:
        """How often it failed."""
        return sum(one.kind == "failed" for one in self.trials)

    def windows(self, rows: int, windows: int) -> tuple[Arm, ...] | None:
        """The newest `windows` consecutive stretches of `rows` trials, oldest first; None when there are too few."""
        if len(self.trials) < rows * windows:
            return None
        newest = self.trials[-rows * windows :]
        return tuple(Arm(self.release, newest[start : start + rows]) for start in range(0, rows * windows, rows))

    def between(self, from_us: int, until_us: int) -> Arm:
        """What was asked in a stretch of time, both ends included."""
        return Arm(self.release, tuple(one for one in self.trials if from_us <= one.time_us <= until_us))
