"""One request on its way through the decision path: as it was asked, what came of it, and what its caller is told."""

from __future__ import annotations

from typing import Final, Literal, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from strongroom.errors import StrongroomError
from strongroom.sealing.records import Labels
from strongroom.serving.answer import Explained, InsteadOf
from strongroom.serving.question import Question
from strongroom.serving.served import ServedModel
from strongroom.vocabulary import Digest

WIDE: Final = 128
"""Features after which a row counts as one more: a feature takes about 7 bytes in a record, the rest of it 1 KiB."""


FailureRule = Literal["runtime", "output-contract"]


class Line(msgspec.Struct, eq=False, gc=False):
    """One record to be: a row answered, or a request refused."""

    id: bytes
    decision_id: str
    document: bytes
    salt: bytes
    subject: str


class Share(msgspec.Struct, frozen=True):
    """What a part has of the whole request.

    Attributes:
        rows: numbers of its rows in the whole.
        base: decision id of the whole's first row.
    """

    rows: tuple[int, ...]
    base: int


class Failure(msgspec.Struct, frozen=True):
    """A model that should have answered and did not.

    Attributes:
        rule: `runtime` or `output-contract`.
        decision: of its release's static policy; empty where it has none.
    """

    served: ServedModel
    rule: FailureRule
    decision: str

    @property
    def instead_of(self) -> InsteadOf:
        """As documents say it."""
        return InsteadOf(manifest=self.served.ref.manifest, release=self.served.release_digest, rule=self.rule)


class Answered(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What the caller is told, once it is durable.

    Attributes:
        decision_ids: one for each row.
        scores: float32, shape [rows].
        decisions: one for each row.
        receipts: one for each row if asked for, canonical JSON.
        versions: which model answered each row, where a canary split the request; None: `served` answered all.
        failed: the model that should have answered and failed; `served` stood in, or no score at all but a fixed
            decision (`scores` is empty then).
        guarded: what the input guard says of each row, `flag`, `refer` or nothing; None for nothing at all.
        explained: reason codes of each row, where they were asked for.
    """

    served: ServedModel
    question: Question
    decision_ids: list[str]
    scores: NDArray[np.float32]
    decisions: list[str]
    receipts: list[bytes] | None
    versions: tuple[ServedModel, ...] | None = None
    failed: Failure | None = None
    guarded: list[str] | None = None
    explained: list[Explained] | None = None


class Caller(Protocol):
    """Whoever waits for an answer. Called exactly once, on the loop; must not raise for a client that has gone."""

    def answered(self, answered: Answered) -> None: ...

    def refused(self, error: StrongroomError, decision_id: str | None) -> None:
        """`decision_id` is that of the recorded refusal, None where nothing was recorded."""


class Asked(msgspec.Struct, eq=False):
    """One authenticated request on its way. `error` set means: record the refusal, then tell it.

    Attributes:
        served: the model that answers; None for a refusal that reached none.
        question: None for a refusal.
        subject: of a refused request, as far as it was read.
        policy: digest of the policies in force.
        weight: in rows of ordinary width, about 1 to 2 KiB of the log each.
        since_us: when it came, in microseconds since 1970; 0 where nobody asks.
        until_us: from when on it must not be scored any more; 0 for no such moment.
        standby: models that may answer if `served` fails, in this order.
        named: whether the caller named this very version; then no other, and no fixed decision, stands in.
        failed: the model that failed first, once another stands in.
        parts: requests for each arm of a canary, to be answered as one; empty for whole requests.
        share: of a part: which rows of the whole it has, and the whole's first decision id.
    """

    caller: Caller
    principal: str
    labels: Labels
    policy: Digest
    served: ServedModel | None
    question: Question | None
    error: StrongroomError | None = None
    subject: str = ""
    since_us: int = 0
    until_us: int = 0
    standby: tuple[ServedModel, ...] = ()
    named: bool = False
    failed: Failure | None = None
    parts: tuple[Asked, ...] = ()
    share: Share | None = None
    rows: int = 1
    weight: int = 1

    def __post_init__(self) -> None:
        if self.question is not None:
            self.rows = self.weight = rows = self.question.rows
            if self.served is not None:
                self.weight = rows * (1 + self.served.inputs.width // WIDE)


class Outcome(msgspec.Struct, eq=False, gc=False):
    """One request after prediction: its lines, and its answer unless refused.

    Attributes:
        first: place of its first record in the batch, once it is committed.
        guarded: what the input guard says of each row; None for nothing.
        explained: reason codes of each row, where they were asked for.
    """

    asked: Asked
    lines: list[Line]
    scores: NDArray[np.float32] | None
    decisions: list[str]
    answered: bool
    first: int = 0
    guarded: list[str] | None = None
    explained: list[Explained] | None = None

    def lose(self, error: StrongroomError) -> None:
        """No record can be made of it, so nothing is: neither answer nor decision id."""
        self.lines = []
        self.asked.error = error
