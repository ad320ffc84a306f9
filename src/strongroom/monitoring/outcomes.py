"""What became of past decisions: the outcome that a caller posts, joined to decisions by id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from strongroom.encoding import parse_as
from strongroom.errors import ConflictError, InvalidInputError
from strongroom.registry.contract import bound
from strongroom.vocabulary import Digest

BATCH_LIMIT: Final = 100_000
BATCH_LIMIT_BYTES: Final = 16 * 1024 * 1024
_HEX: Final = frozenset("0123456789abcdef")


def _check(decision_id: str, observed_at_us: int) -> None:
    if len(decision_id) != 32 or not _HEX.issuperset(decision_id):
        raise InvalidInputError("a decision id is 32 lower-case hexadecimal digits", field="decision_id", rule="id")
    if not 0 <= observed_at_us < 2**53:
        raise InvalidInputError("an instant is microseconds since 1970", field="observed_at_us", rule="range")


def _check_batch(decisions: Sequence[str], words: str, field: str) -> None:
    if not 0 < len(decisions) <= BATCH_LIMIT:
        raise InvalidInputError(f"a batch has 1 to {BATCH_LIMIT} {words}", field=field, rule="count")
    if len(set(decisions)) != len(decisions):
        raise InvalidInputError("a decision stands twice in the batch", field=field, rule="unique")


class Outcome(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One decision's outcome.

    Attributes:
        decision_id: 32 hexadecimal digits.
        outcome: 1 for the event that the model predicts (default), 0 for its absence at the horizon's end.
        observed_at_us: when it was certain.
    """

    decision_id: str
    outcome: Literal[0, 1]
    observed_at_us: int

    def __post_init__(self) -> None:
        _check(self.decision_id, self.observed_at_us)


class OutcomeBatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Version 1 of what a caller posts; canonical JSON."""

    v: Literal[1]
    model: str
    outcomes: tuple[Outcome, ...]

    def __post_init__(self) -> None:
        _check_batch([one.decision_id for one in self.outcomes], "outcomes", "outcomes")

    @staticmethod
    def decode(data: bytes) -> OutcomeBatch:
        """Read a batch.

        Raises:
            InvalidInputError: not canonical, not a batch, or too large.
        """
        return parse_as(data, OutcomeBatch, BATCH_LIMIT_BYTES)


class Realised(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one estimate came to.

    Attributes:
        decision_id: 32 hexadecimal digits.
        realised: decimal string, in the unit of the model's output: the loss, factor or value that came.
        observed_at_us: when it was certain.
    """

    decision_id: str
    realised: str
    observed_at_us: int

    def __post_init__(self) -> None:
        _check(self.decision_id, self.observed_at_us)
        if self.realised != repr(bound(self.realised)):
            raise InvalidInputError(
                "a realised amount is the shortest decimal text of a finite number, such as 0.25",
                field="realised", rule="decimal",
            )  # fmt: skip

    @property
    def value(self) -> float:
        """The amount."""
        return bound(self.realised) or 0.0


class RealisedBatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Version 1 of what is posted for a model whose outcomes are numbers; canonical JSON."""

    v: Literal[1]
    model: str
    realised: tuple[Realised, ...]

    def __post_init__(self) -> None:
        _check_batch([one.decision_id for one in self.realised], "amounts", "realised")

    @staticmethod
    def decode(data: bytes) -> RealisedBatch:
        """Read a batch.

        Raises:
            InvalidInputError: not canonical, not a batch, or too large.
        """
        return parse_as(data, RealisedBatch, BATCH_LIMIT_BYTES)


@dataclass(frozen=True, slots=True)
class Decided:
    """One answered decision, read back from its record.

    Attributes:
        row: the features, float32, as the model saw them.
        score: exactly the float32 that was answered.
    """

    decision_id: str
    time_us: int
    model: str
    manifest: Digest
    release: Digest
    row: NDArray[np.float32] = field(repr=False, compare=False)
    score: float
    decision: str


@dataclass(frozen=True, slots=True)
class Joined:
    """Decisions whose outcome is known, in the order of the ledger.

    Attributes:
        scores: float64.
        outcomes: 0 or 1.
        decisions: of the cut-offs.
        unknown: outcomes without a readable decision: never made here, or erased.
        waiting: decisions without an outcome.
    """

    scores: NDArray[np.float64]
    outcomes: NDArray[np.int64]
    decisions: tuple[str, ...]
    unknown: int
    waiting: int

    def rate(self, decision: str | None = None) -> tuple[int, int]:
        """Events and rows, of one decision or of all."""
        kept = [o for o, d in zip(self.outcomes, self.decisions, strict=True) if decision is None or d == decision]
        return int(sum(kept)), len(kept)


def join(decided: Iterable[Decided], outcomes: Mapping[str, Outcome]) -> Joined:
    """Put outcomes beside decisions by id.

    Raises:
        ConflictError: an outcome was observed before its decision was taken.
    """
    scores: list[float] = []
    events: list[int] = []
    decisions: list[str] = []
    seen: set[str] = set()
    waiting = 0
    for one in decided:
        outcome = outcomes.get(one.decision_id)
        if outcome is None:
            waiting += 1
            continue
        if outcome.observed_at_us < one.time_us:
            raise ConflictError(f"the outcome of `{one.decision_id}` was observed before the decision was taken")
        seen.add(one.decision_id)
        scores.append(one.score)
        events.append(outcome.outcome)
        decisions.append(one.decision)
    return Joined(
        np.array(scores, np.float64),
        np.array(events, np.int64),
        tuple(decisions),
        len(outcomes) - len(seen),
        waiting,
    )


def by_id(outcomes: Sequence[Outcome]) -> dict[str, Outcome]:
    """For `join`."""
    return {one.decision_id: one for one in outcomes}
