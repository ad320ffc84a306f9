"""Shadow: a challenger scores rows that the champion has answered, for the record and for nobody else.

Everything here happens after the answer left. A shadow's record stands under the same subject's key as the decision
beside it, by that key's id: a subject who was erased meanwhile gets no new record, under no new key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from strongroom.encoding import canonical
from strongroom.errors import ErasedError, UnavailableError
from strongroom.ledger.leaf import commit
from strongroom.ledger.making import RecordMaker
from strongroom.ledger.ports import Record, Shard
from strongroom.sealing.records import NONCE_SIZE, SALT_SIZE, Labels, RecordTemplate, seal_record
from strongroom.sealing.subjects import SubjectKeys
from strongroom.serving.answer import VERSION, read_answer
from strongroom.serving.asked import Outcome
from strongroom.serving.decision import Committed
from strongroom.serving.served import ServedModel
from strongroom.serving.standby import ID_SIZE
from strongroom.vocabulary import Digest

CHUNK_ROWS: Final = 64
"""Rows scored and recorded at a time: an append of so many takes its turn between two batches of answers."""
QUEUE_ROWS: Final = 4096

Fate = Literal["recorded", "failed", "skipped", "dropped", "erased"]


class Scores(Protocol):
    """A challenger somewhere else, where neither its time nor its end is ours."""

    def score(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """The raw output tensor.

        Raises:
            UnavailableError: it failed, took too long, or has gone.
        """


class Seen(msgspec.Struct, frozen=True):
    """An answered row whose record is durable.

    Attributes:
        document: the answer document.
        subject: as the caller named them.
        key_id: of the subject's key at that time, 16 bytes.
        policy: in force for the answer.
    """

    document: bytes
    subject: str
    key_id: bytes
    principal: str
    labels: Labels
    policy: Digest


def seen_rows(outcome: Outcome, committed: Committed) -> list[Seen]:
    """The rows of one answered request."""
    asked = outcome.asked
    payloads = [record.payload for record in committed.records[outcome.first : outcome.first + len(outcome.lines)]]
    return [
        Seen(line.document, line.subject, payload[8:24], asked.principal, asked.labels, asked.policy)
        for line, payload in zip(outcome.lines, payloads, strict=True)
    ]


def columns_of(champion: ServedModel, challenger: ServedModel) -> NDArray[np.intp] | None:
    """Where the challenger finds its features in the champion's rows; None when one is not there."""
    places = champion.inputs.places
    if not set(challenger.inputs.names) <= set(places):
        return None
    return np.array([places[name] for name in challenger.inputs.names], np.intp)


@dataclass(frozen=True, slots=True)
class Shadowed:
    """What a challenger made of some rows: documents to be recorded, and what became of each row so far."""

    lines: list[tuple[Seen, bytes, bytes, bytes]] = field(repr=False)
    failed: int
    skipped: int


def shadow(
    seen: Sequence[Seen],
    challenger: ServedModel,
    columns: NDArray[np.intp],
    scores: Scores,
    random: Callable[[int], bytes],
) -> Shadowed:
    """Score rows and make their documents. Rows that break the challenger's contract are skipped; a challenger that
    fails is on the record as failing for each row.

    Args:
        seen: rows.
        challenger: whose contract holds.
        columns: of `columns_of`.
        scores: the challenger, elsewhere.
        random: fresh random bytes.
    """
    answers = [read_answer(one.document) for one in seen]
    matrix = np.array([np.frombuffer(answer.inputs[0].data, "<f4") for answer in answers], np.float32)[:, columns]
    matrix, faults = challenger.inputs.check(np.ascontiguousarray(matrix))
    wrong = {fault.row for fault in faults}
    kept = [row for row in range(len(seen)) if row not in wrong]
    if not kept:
        return Shadowed([], 0, len(seen))
    rule, found = "", np.empty(0, np.float32)
    good: NDArray[np.bool_] = np.zeros(len(kept), np.bool_)
    try:
        found = challenger.output.scores(scores.score(np.ascontiguousarray(matrix[kept])), len(kept))
        good = challenger.output.good(found)
    except UnavailableError:
        rule = "runtime"
    decisions = challenger.output.decide(found) if not rule else []
    contract, output = challenger.release.input, challenger.release.output
    fresh = random((ID_SIZE + SALT_SIZE) * len(kept))
    lines = []
    for place, row in enumerate(kept):
        start = (ID_SIZE + SALT_SIZE) * place
        raw_id, salt = fresh[start : start + ID_SIZE], fresh[start + ID_SIZE : start + ID_SIZE + SALT_SIZE]
        document: dict[str, Any] = {
            "beside": answers[row].decision_id,
            "columns": [],
            "decision": None,
            "decision_id": raw_id.hex(),
            "inputs": [
                {
                    "data": matrix[row].tobytes(),
                    "datatype": "FP32",
                    "name": contract.tensor,
                    "shape": [1, len(contract.features)],
                }
            ],
            "manifest": challenger.ref.manifest,
            "model": challenger.ref.name,
            "outputs": [],
            "reasons": [],
            "release": challenger.release_digest,
            "status": "shadow",
            "v": VERSION,
        }
        if good[place]:
            data = found[place : place + 1].astype("<f4").tobytes()
            document["outputs"] = [{"data": data, "datatype": "FP32", "name": output.name, "shape": [1]}]
            document["decision"] = decisions[place]
        else:
            document["reasons"] = [{"code": "unavailable", "field": output.name, "rule": rule or "output-contract"}]
        lines.append((seen[row], raw_id, salt, canonical(document)))
    return Shadowed(lines, len(kept) - int(good.sum()), len(wrong))


class ShadowRecords:
    """Writes shadows into the worker's own log.

    Args:
        shard, keys, random, retain_us: as the decision path has them.
    """

    def __init__(self, shard: Shard, keys: SubjectKeys, random: Callable[[int], bytes], retain_us: int) -> None:
        self._shard, self._keys, self._random, self._retain_us = shard, keys, random, retain_us

    def write_to(self, shard: Shard) -> None:
        """As the decision path's."""
        self._shard = shard

    def write(self, shadowed: Shadowed, challenger: ServedModel, time_us: int) -> int:
        """Seal and append; on the committing thread.

        Returns:
            How many were recorded; the others' subjects were erased meanwhile.

        Raises:
            NotDurableError: not written.
            UnavailableError: the key store cannot be reached.
        """
        records: list[Record] = []
        nonces = self._random(NONCE_SIZE * len(shadowed.lines))
        for place, (seen, raw_id, salt, document) in enumerate(shadowed.lines):
            template = RecordTemplate("shadow", seen.principal, seen.labels, challenger.profile)
            maker = RecordMaker("shadow", seen.policy, challenger.release_digest, time_us + self._retain_us, time_us)
            nonce = nonces[NONCE_SIZE * place : NONCE_SIZE * (place + 1)]
            try:
                key = self._keys.by_key_id(seen.key_id)
                plain = template.fill(document, salt, seen.subject)
                payload = seal_record(plain, key.aead, key.key_id, nonce, raw_id, challenger.release_bytes)
            except ErasedError:
                continue
            records.append(maker.make(commit(salt, document), raw_id, seen.key_id, payload))
        if records:
            self._shard.append(records)
        return len(records)
