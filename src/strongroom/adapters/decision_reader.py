"""Past decisions out of logs and keys: `monitoring.ports.DecisionReader`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

import numpy as np

from strongroom.errors import ErasedError, InvalidInputError, TamperedError
from strongroom.ledger.leaf import Leaf
from strongroom.ledger.ports import Records
from strongroom.monitoring.outcomes import Decided
from strongroom.sealing.records import DecisionRecord, open_decision
from strongroom.sealing.subjects import SubjectKeys
from strongroom.serving.answer import Answer, read_answer
from strongroom.vocabulary import Digest


class LedgerDecisions:
    """Reads every log given, in order.

    Args:
        logs: of the region's nodes, already verified as logs.
        keys: of the region.
    """

    def __init__(self, logs: Sequence[Records], keys: SubjectKeys) -> None:
        self._logs = logs
        self._keys = keys

    def decided(self, model: str, release: Digest | None = None) -> Iterator[Decided]:
        """See the port. Erased decisions, and payloads that retention deleted, are passed over."""
        for log in self._logs:
            for stored in log:
                leaf = _leaf(stored.leaf)
                if leaf.type != "decision" or stored.payload is None or (release and leaf.release != release):
                    continue
                with suppress(ErasedError):
                    answer = read_answer(self._record(leaf, stored.payload).answer)
                    # a fixed decision has no score to look at
                    if answer.model == model and not answer.is_static:
                        yield _decided(leaf, answer)

    def _record(self, leaf: Leaf, payload: bytes) -> DecisionRecord:
        return open_decision(leaf, payload, self._keys.by_key_id(bytes.fromhex(leaf.key_id)).aead)


def _leaf(data: bytes) -> Leaf:
    try:
        return Leaf.decode(data)
    except InvalidInputError as error:
        raise TamperedError("a log holds something that is not a leaf") from error


def _decided(leaf: Leaf, answer: Answer) -> Decided:
    if (
        answer.decision_id != leaf.decision_id
        or answer.release != leaf.release
        or answer.status != "answered"
        or len(answer.inputs) != 1
        or len(answer.outputs) != 1
        or answer.model is None
        or answer.manifest is None
        or answer.release is None
        or answer.decision is None
    ):
        raise TamperedError(f"the record of decision `{leaf.decision_id}` is of another decision, or of none")
    return Decided(
        decision_id=leaf.decision_id,
        time_us=leaf.time_us,
        model=answer.model,
        manifest=answer.manifest,
        release=answer.release,
        row=np.frombuffer(answer.inputs[0].data, "<f4"),
        score=float(np.frombuffer(answer.outputs[0].data, "<f4")[0]),
        decision=answer.decision,
    )
