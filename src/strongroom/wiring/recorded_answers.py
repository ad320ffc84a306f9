"""Answers that lie in a folder from an earlier run, held against the log that they name.

Nobody signs a file of answers, and whoever can write to its folder can write its proof too. What an earlier run left is
therefore worth what the log says: each answer is a decision whose receipt holds, of this row and of this question.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from strongroom.adapters.tables.score_files import RowsFile
from strongroom.errors import ConflictError, ErasedError, NotFoundError, TamperedError
from strongroom.ledger.checkpoint import Checkpoint, open_checkpoint
from strongroom.ledger.leaf import decision_id_of
from strongroom.ledger.tree import leaf_hash, verify_inclusion
from strongroom.serving.decoding import SUBJECT_LIMIT
from strongroom.serving.guard import REFUSE
from strongroom.serving.replay import Decision
from strongroom.serving.served import ServedModel
from strongroom.vocabulary import parse_digest
from strongroom.wiring.generations import every_log
from strongroom.wiring.records import NodeRecords
from strongroom.wiring.scoring import Job

ROWS_A_PART: Final = 16_384


def hold_against_log(
    folder: Path, passphrase: bytes, job: Job, proof: dict[str, Any],
    tell: Callable[[int, int], None] = lambda _done, _rows: None,
) -> tuple[str, ...]:  # fmt: skip
    """Demand that every answer is what a decision in the node's log says of the same row.

    1. no row and no decision is there twice
    2. each decision's leaf is in the tree of a checkpoint that the log's key signed
    3. payload, key, commitment and document are the leaf's (`serving.replay.read_decision`)
    4. record and document are about the model, version, purpose and jurisdiction that are asked for
    5. score, decision, version and release are the recorded ones
    6. subject and input are those of the row, bit for bit as the release reads it
    7. a row without an answer is one that the contract or the guard refuses

    Args:
        folder, passphrase: of the node.
        job: whose output is held against the log.
        proof: beside the output; says only where in the log to look.
        tell: how many answers have been looked at, of how many.

    Returns:
        The manifest digests that answered, sorted.

    Raises:
        TamperedError: an answer is not what was decided.
        ConflictError: what was decided cannot be read any more: the answers have to be made again.
    """
    answers = _Answers.read(job)
    try:
        with NodeRecords.open(folder, passphrase) as records:
            models = {release: records.served(parse_digest(release)) for release in set(answers.releases)}
            asked: NDArray[np.bytes_] = np.zeros(len(answers.ids), "S64")
            for done, (place, decision) in enumerate(_decisions(records, proof, answers, job), 1):
                asked[place] = answers.demand(place, decision)
                tell(done, len(answers.ids))
            if not asked.all():
                raise _altered(job, f"names {int((asked == b'').sum())} decisions that the log does not have for it")
            _demand_rows(job, answers, asked, models)
    except ErasedError as error:
        raise _again(job, "is about a person who was erased since") from error
    return tuple(sorted({model.version for model in models.values()}))


def _altered(job: Job, what: str) -> TamperedError:
    return TamperedError(f"`{job.output.name}` {what}; see what happened to it")


def _again(job: Job, why: str) -> ConflictError:
    return ConflictError(f"`{job.output.name}` {why}; remove it, and plan again")


class _Answers(NamedTuple):
    """Columns of the output, by place in it; `places` leads from a decision to its place."""

    job: Job
    rows: NDArray[np.int64]
    subjects: list[str]
    ids: list[str]
    scores: NDArray[np.float32]
    scored: NDArray[np.bool_]
    decisions: list[str]
    versions: list[str]
    releases: list[str]
    places: dict[str, int]

    @classmethod
    def read(cls, job: Job) -> _Answers:
        try:
            table = pq.read_table(job.output, use_threads=False)
            score = table.column("score").cast(pa.float32())
            rows = table.column("row").cast(pa.int64()).to_numpy()
            texts = [
                table.column(name).cast(pa.string()).to_pylist()
                for name in ("subject", "decision_id", "decision", "model_version", "release")
            ]
        except (pa.ArrowException, KeyError, ValueError) as error:
            raise _altered(job, "holds no answers") from error
        subjects, ids, decisions, versions, releases = texts
        places = {one: place for place, one in enumerate(ids)}
        if len(places) != len(ids) or (rows[1:] <= rows[:-1]).any():
            raise _altered(job, "names a row or a decision twice")
        if not ids:
            raise _again(job, "has no answer")
        scored = ~score.is_null().to_numpy()
        return cls(job, rows, subjects, ids, score.to_numpy(), scored, decisions, versions, releases, places)

    def demand(self, place: int, decision: Decision) -> bytes:
        """Hold an answer against its decision.

        Returns:
            Digest of the subject and the input that were decided about.
        """
        answer, record, wish = decision.answer, decision.record, self.job.wish
        said = (self.decisions[place], self.versions[place], self.releases[place], self.subjects[place])
        labels = (record.labels.purpose, record.labels.jurisdiction)
        score = self.scores[place].tobytes() if self.scored[place] else b""
        fits = (
            answer.status == "answered"
            and said == (answer.decision, answer.manifest, answer.release, record.subject)
            and score == b"".join(tensor.data for tensor in answer.outputs)
            and (answer.model, wish.version or answer.manifest) == (wish.model, answer.manifest)
            and labels == (wish.purpose, wish.jurisdiction)
            and len(answer.inputs) == 1
        )
        if not fits:
            raise _altered(self.job, f"says of row {self.rows[place]} what was not decided")
        return _question(record.subject, answer.inputs[0].data)


def _question(subject: str | None, row: bytes) -> bytes:
    return hashlib.sha256((subject or "").encode() + b"\0" + row).hexdigest().encode()


def _decisions(
    records: NodeRecords, proof: dict[str, Any], answers: _Answers, job: Job
) -> Iterator[tuple[int, Decision]]:
    """Decisions of answers, each under a signed checkpoint; the proof says where to look."""
    logs = zip(every_log(records.layout, records.settings), records.readers, strict=True)
    log, reader = next(((log, reader) for log, reader in logs if log.origin == proof.get("origin")), (None, None))
    if log is None or reader is None:
        raise _altered(job, "names a log that this node does not have")
    verifier = log.verifier(records.ring)
    heads: dict[bytes, Checkpoint] = {}
    try:
        ranges = [range(first, last + 1) for first, last in proof["ranges"]]
    except (KeyError, TypeError, ValueError) as error:
        raise _altered(job, "has a proof that names no records") from error
    for index in (index for one in ranges for index in one):
        try:
            stored = reader.get(index)
            note, path = reader.prove(index)
        except NotFoundError as error:
            raise _again(job, "names records that the log does not show") from error
        if note not in heads:
            heads[note] = open_checkpoint(note, verifier)
        verify_inclusion(leaf_hash(stored.leaf), index, heads[note].size, path, heads[note].root)
        place = answers.places.get(decision_id_of(stored.leaf))
        if place is not None:
            yield place, records.read(stored)


def _demand_rows(job: Job, answers: _Answers, asked: NDArray[np.bytes_], models: dict[str, ServedModel]) -> None:
    """Hold what was decided about against the rows of the file, and rows without an answer against the contract."""
    names = {model.inputs.names for model in models.values()}
    if len(names) != 1:
        raise _altered(job, "is of models that take other features than one another")
    (features,) = names
    file = RowsFile(job.file)
    try:
        file.demand_columns(features, job.subject)
        for first, values, subjects in file.chunks(features, job.subject, ROWS_A_PART):
            begin, end = np.searchsorted(answers.rows, (first, first + len(subjects)))
            here = answers.rows[begin:end] - first
            matrix = np.ascontiguousarray(values, np.float32)
            for place, row in enumerate(here.tolist(), int(begin)):
                if asked[place] != _question(subjects[row], matrix[row].tobytes()):
                    raise _altered(job, f"has the answer to another row in row {first + row}")
            left = np.ones(len(subjects), bool)
            left[here] = False
            for model in models.values():
                left &= ~_refused(model, values, subjects)
            if left.any():
                raise _again(job, f"has no answer for row {first + int(np.argmax(left))}, which the model would take")
        if len(answers.rows) and not 0 <= answers.rows[0] <= answers.rows[-1] < file.rows:
            raise _altered(job, "holds rows that the portfolio does not have")
    finally:
        file.close()


def _refused(model: ServedModel, values: NDArray[Any], subjects: list[str | None]) -> NDArray[np.bool_]:
    """Rows that a release takes no decision about, as `serving.bulk` has them. Shape [rows]."""
    bad = np.array([not one or len(one) > SUBJECT_LIMIT or not one.isprintable() for one in subjects], bool)
    matrix, faults = model.inputs.check(values)
    bad[[fault.row for fault in faults]] = True
    if model.guard is not None and not bad.all():
        places = np.flatnonzero(~bad)
        marks = model.guard.marks(matrix[places])
        if marks is not None:
            bad[places[marks >= REFUSE]] = True
    return bad
