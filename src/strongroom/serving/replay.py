"""Compute a recorded decision again, in a session of its own, and demand the same bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from strongroom.errors import InvalidInputError, NotFoundError, TamperedError
from strongroom.ledger.leaf import Leaf
from strongroom.ledger.ports import StoredRecord
from strongroom.sealing.records import DecisionRecord, open_decision
from strongroom.sealing.subjects import SubjectKey
from strongroom.serving.answer import Answer, Reason, Tensor, read_answer
from strongroom.serving.guard import CODE, REFUSE, names_of
from strongroom.serving.served import ServedModel

OUTCOMES: Final = {"decision": "answered", "refusal": "refused", "shadow": "shadow"}
"""What a record says of itself, by the type of its leaf."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision read back and held against its leaf."""

    leaf: Leaf
    record: DecisionRecord
    answer: Answer


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came out again, bit for bit as recorded."""

    decision: Decision
    score: float
    batch_rows: int


def read_decision(stored: StoredRecord, key: SubjectKey | None) -> Decision:
    """Open a record of a log.

    1. the payload is there
    2. `sealing.records.open_decision`: digest, key, ciphertext and commitment are the leaf's
    3. the document names the leaf's decision and release, and says what the leaf's type says

    Args:
        stored: leaf and payload.
        key: of the payload's key id, or None when it is destroyed.

    Raises:
        NotFoundError: retention has deleted the payload.
        ErasedError: the subject's key is destroyed.
        TamperedError: anything does not fit.
    """
    try:
        leaf = Leaf.decode(stored.leaf)
    except InvalidInputError as error:
        raise TamperedError("the log holds something that is no leaf") from error
    if stored.payload is None:
        raise NotFoundError(
            "the payload of this record is past its term and was deleted; the leaf stands", rule="retention"
        )
    record = open_decision(leaf, stored.payload, key.aead if key is not None else None)
    answer = read_answer(record.answer)
    if (answer.decision_id, answer.release) != (leaf.decision_id, leaf.release):
        raise TamperedError("the record's document is about another decision or release than its leaf")
    if answer.status != record.outcome or OUTCOMES.get(leaf.type) != answer.status:
        raise TamperedError("leaf, record and document disagree whether the request was answered")
    return Decision(leaf, record, answer)


def replay(decision: Decision, served: ServedModel, batch_rows: int = 1) -> Replayed:
    """Compute the answer again and compare every bit.

    Args:
        decision: from `read_decision`.
        served: the same release, loaded afresh.
        batch_rows: how many rows travel with it; copies of the row itself, the decision's row at a changing place.

    Raises:
        InvalidInputError: the record is a refusal, so there is nothing to compute, or `batch_rows` is below one.
        TamperedError: release, profile, shape, score or decision differ from what was recorded.
    """
    answer = decision.answer
    if not answer.outputs:
        # refused, a fixed decision, or a challenger that failed
        raise InvalidInputError(
            "the request was refused, or decided without a score: there is no answer to compute again"
        )
    if batch_rows < 1:
        raise InvalidInputError("a batch has at least one row", field="batch_rows", rule="range")
    if served.release_digest != decision.leaf.release or served.profile != decision.record.numeric_profile:
        raise TamperedError("the record was made under another release or numeric profile than the one at hand")
    names = served.inputs.names
    if answer.columns not in ((), names):
        raise TamperedError("the record's columns are not those of its release")
    row = _tensor(answer.inputs, served.release.input.tensor, (1, len(names)))
    recorded = _tensor(answer.outputs, served.release.output.name, (1,))
    matrix, faults = served.inputs.check(np.repeat(row, batch_rows, axis=0))
    if faults:
        raise TamperedError("the recorded input breaks the contract under which it was answered")
    scores = served.output.scores(served.scorer.score(matrix), batch_rows)
    if any(score.tobytes() != recorded.tobytes() for score in scores):
        raise TamperedError("the recorded score is not what the model gives: a bit differs")
    if not isinstance(answer.explanation, msgspec.UnsetType):
        again = served.explainer.explain(matrix, scores) if served.explainer is not None else []
        if not again or any(one != answer.explanation for one in again):
            raise TamperedError("the recorded reason codes are not those that the release gives")
    decisions = served.output.decide(scores)
    reasons: tuple[Reason, ...] = ()
    if served.guard is not None and (marks := served.guard.marks(matrix)) is not None:
        if marks[0] == REFUSE:
            raise TamperedError("the recorded input would have been refused by the guard of its release")
        decisions = served.guard.decide(decisions, marks)
        reasons = (Reason(CODE, "", names_of(marks)[0]),)
    if decisions[0] != answer.decision or answer.reasons != reasons:
        raise TamperedError("the recorded decision does not follow from the score, or from the guard of its release")
    return Replayed(decision, float(scores[0]), batch_rows)


def _tensor(tensors: tuple[Tensor, ...], name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    if len(tensors) != 1:
        raise TamperedError("the record does not hold exactly one input and one output")
    tensor = tensors[0]
    size = 4 * int(np.prod(shape))
    if (tensor.name, tensor.datatype, tensor.shape, len(tensor.data)) != (name, "FP32", shape, size):
        raise TamperedError(f"the recorded tensor `{name}` has another name, type, shape or size than its release says")
    return np.frombuffer(tensor.data, "<f4").reshape(shape)
