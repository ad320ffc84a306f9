"""Past decisions out of logs and keys: `monitoring.ports.DecisionReader`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

import msgspec
import numpy as np

from strongroom.errors import ErasedError, InvalidInputError, TamperedError
from strongroom.ledger.leaf import Leaf
from strongroom.ledger.ports import Records
from strongroom.monitoring.outcomes import Decided
from strongroom.monitoring.trials import Kind, Trial
from strongroom.sealing.records import DecisionRecord, open_decision
from strongroom.sealing.subjects import SubjectKeys
from strongroom.serving.answer import Answer, read_answer
from strongroom.vocabulary import Digest

FAILURES: Final = ("runtime", "output-contract")
"""Rules of refusals and shadows that are the model's fault."""


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

    def trials(self, model: str) -> Iterator[Trial]:
        """See `monitoring.ports.TrialReader`."""
        for log in self._logs:
            for stored in log:
                leaf = _leaf(stored.leaf)
                if leaf.type not in ("decision", "refusal", "shadow") or stored.payload is None:
                    continue
                with suppress(ErasedError):
                    answer = read_answer(self._record(leaf, stored.payload).answer)
                    if (answer.decision_id, answer.release) != (leaf.decision_id, leaf.release):
                        raise TamperedError(f"the record of decision `{leaf.decision_id}` is of another decision")
                    if answer.model == model:
                        yield from _trials(leaf, answer)

    def _record(self, leaf: Leaf, payload: bytes) -> DecisionRecord:
        return open_decision(leaf, payload, self._keys.by_key_id(bytes.fromhex(leaf.key_id)).aead)


def _leaf(data: bytes) -> Leaf:
    try:
        return Leaf.decode(data)
    except InvalidInputError as error:
        raise TamperedError("a log holds something that is not a leaf") from error


def _trials(leaf: Leaf, answer: Answer) -> Iterator[Trial]:
    """What a record says of the versions in it: one that failed, one that answered, or both."""
    beside = answer.decision_id if isinstance(answer.beside, msgspec.UnsetType) else answer.beside
    row = np.frombuffer(answer.inputs[0].data, "<f4") if answer.inputs else np.empty(0, np.float32)

    def trial(release: Digest, manifest: Digest, kind: Kind, score: float, decision: str) -> Trial:
        return Trial(answer.decision_id, beside, leaf.time_us, release, manifest, kind, row, score, decision)

    if not isinstance(answer.instead_of, msgspec.UnsetType):
        yield trial(answer.instead_of.release, answer.instead_of.manifest, "failed", math.nan, "")
    if answer.release is None or answer.manifest is None or answer.is_static:
        return
    if answer.outputs:
        score = float(np.frombuffer(answer.outputs[0].data, "<f4")[0])
        kind: Kind = "shadow" if leaf.type == "shadow" else "answered"
        yield trial(answer.release, answer.manifest, kind, score, answer.decision or "")
    elif answer.reasons and answer.reasons[0].rule in FAILURES:
        yield trial(answer.release, answer.manifest, "failed", math.nan, "")


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
