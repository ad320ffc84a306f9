"""`strongroom score --node`: a Parquet file through the decision path of a node, in this process.

The log is one of the node's own, beside those of its workers. Keys of data subjects come from the node's keeper, or
from one started here while the node is not served. While one chunk is sealed, written and synced on a thread of its
own, the next is scored.
"""

from __future__ import annotations

import fcntl
import gc
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa

from strongroom.adapters.files.safe_files import replace_atomically
from strongroom.adapters.log.shard_files import LOCKED
from strongroom.adapters.releases.time_floor import read_floor
from strongroom.adapters.tables.score_files import (
    ANSWERS,
    CODES,
    REJECTS,
    Intent,
    RowsFile,
    RunFile,
    WorkFolder,
    sorted_by_row,
    write_parquet,
)
from strongroom.encoding import canonical
from strongroom.errors import (
    ConflictError,
    ErasedError,
    InvalidInputError,
    NotFoundError,
    RefusedError,
    StrongroomError,
    TamperedError,
    TooManyRequestsError,
    UnavailableError,
)
from strongroom.ledger.leaf import PLAIN, Leaf, decision_id_of
from strongroom.ledger.ports import StoredRecord
from strongroom.serving.asked import WIDE, Outcome
from strongroom.serving.batching import ROWS_A_BATCH
from strongroom.serving.bulk import SUBJECT, Bulk, Predicted, Reject, Standing, Wish, records_of
from strongroom.serving.limiter import Limiter
from strongroom.serving.replay import read_decision
from strongroom.serving.rules import Rules
from strongroom.serving.steady_clock import SteadyClock
from strongroom.vocabulary import micros
from strongroom.wiring.gateway import WorkerParts
from strongroom.wiring.node import NodeLayout
from strongroom.wiring.node_settings import BATCH_SLOT, NodeSettings
from strongroom.wiring.refreshing import Refresher, keeper

log = logging.getLogger(__name__)

GC_OBJECTS: Final = 100_000
RECORD_BYTES: Final = 4096
"""Of a row in the log at the very most, so that a chunk fits a segment."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be done.

    Attributes:
        file: the Parquet file that is scored.
        output: where the answers go; rejects and proof lie beside it.
        credential: the caller's API key or token.
        subject: column that says who a row is about.
    """

    file: Path
    output: Path
    credential: bytes
    wish: Wish
    subject: str = SUBJECT

    @property
    def rejects(self) -> Path:
        return self.output.with_name(f"{self.output.stem}.rejects.parquet")

    @property
    def proof(self) -> Path:
        return self.output.with_name(f"{self.output.name}.proof.json")

    @property
    def work(self) -> Path:
        return self.output.with_name(f"{self.output.name}.work")


def score_file(
    folder: Path,
    passphrase: bytes,
    job: Job,
    tell: Callable[[int, int], None] = lambda _done, _rows: None,
    step: Callable[[str], None] = lambda _word: None,
) -> dict[str, Any]:
    """Score a file, or go on where an earlier run of the same job was stopped.

    Args:
        folder: of the node.
        passphrase: of its key file.
        job: see there.
        tell: how many rows are done, of how many.
        step: called with a word after every durable step.

    Returns:
        The proof, as it also lies beside the output.

    Raises:
        NotFoundError: no node, no log for files, or no such file.
        ConflictError: another file is being scored, the output is there, or another run was begun there.
        RefusedError: the caller may not; recorded.
        UnavailableError: something is missing just now; the same command goes on from here later.
    """
    layout = NodeLayout(folder)
    settings = layout.read()
    if not (layout.ledger(BATCH_SLOT) / "shard.json").exists():
        raise NotFoundError(
            f"`{folder.name}` has no log for files; have the operator run `strongroom node open-batch {folder}`"
        )
    if job.output.exists() and not job.work.exists():
        raise ConflictError(f"`{job.output.name}` is there already; choose another output, or remove it first")
    if not job.output.parent.is_dir():
        raise NotFoundError(f"there is no folder `{job.output.parent}` for the output")
    with ExitStack() as stack:
        file = RowsFile(job.file)
        stack.callback(file.close)
        refresher = stack.enter_context(_keeping(layout, settings))
        try:
            parts = WorkerParts.open(folder, BATCH_SLOT, passphrase)
        except ConflictError as error:
            if error.details.get("rule") == LOCKED:
                raise ConflictError(f"another file is being scored at `{folder.name}`; wait until it is done") from None
            raise
        stack.callback(parts.close)
        # a chunk makes some ten thousand objects that all live until it is durable: looking earlier finds nothing
        stack.callback(gc.set_threshold, *gc.get_threshold())
        gc.set_threshold(GC_OBJECTS, 20, 20)
        return _Run(parts, file, job, refresher, tell, step).all()


@contextmanager
def _keeping(layout: NodeLayout, settings: NodeSettings) -> Iterator[Refresher | None]:
    """While the node is not served: its lock, a keeper, and the refreshing of releases."""
    layout.lock.parent.mkdir(parents=True, exist_ok=True)
    with layout.lock.open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield None
            return
        refresher = Refresher(layout, settings)
        try:
            refresher.refresh()
        except StrongroomError as error:
            if not layout.trusted_state.exists():
                raise UnavailableError(f"no releases can be had yet: {error.message}") from error
            log.warning("the release repository was not refreshed: %s", error.message)
        with keeper(layout, settings):
            yield refresher


class _Run:
    """One run over one file."""

    def __init__(
        self, parts: WorkerParts, file: RowsFile, job: Job, refresher: Refresher | None,
        tell: Callable[[int, int], None], step: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._parts, self._file, self._job = parts, file, job
        self._refresher, self._tell, self._step = refresher, tell, step
        settings = parts.settings
        self._clock = SteadyClock(lambda: time.time_ns() // 1000)
        floor = read_floor(parts.layout.time_floor)
        if floor is not None:
            self._clock.raise_to(micros(floor))
        self._bulk = Bulk(parts.decider, settings.environment, os.urandom)
        self._limiter = Limiter(settings.workers)
        self._work = WorkFolder(job.work, step)
        self._header = b"Bearer " + job.credential
        self._schema = ANSWERS.append(CODES) if job.wish.explain else ANSWERS
        self._forked: list[TamperedError] = []
        self._refreshed_s = time.monotonic()
        self._rules: Rules
        self._standing: Standing

    def all(self) -> dict[str, Any]:
        """From the first question to the proof."""
        job, file, parts = self._job, self._file, self._parts
        parts.admission.changed()
        self._rules = parts.admission.admit()
        self._limiter.learn(self._rules.limits)
        self._standing = standing = self._stand()
        features = standing.served.inputs.names
        try:
            file.demand_columns(features, job.subject)
        except RefusedError as error:
            self._bulk.refuse(self._rules, standing.principal, job.wish, error, self._clock(), standing.served)
            raise
        options = {**msgspec.to_builtins(job.wish), "caller": standing.principal.id, "subject": job.subject}
        most = min(ROWS_A_BATCH, parts.settings.segment_bytes // RECORD_BYTES) // (1 + len(features) // WIDE)
        run = self._work.begin(
            RunFile(
                input_sha256=file.sha256, options=options, origin=parts.shard.origin, chunk_rows=max(1, most),
            )
        )  # fmt: skip
        parts.start_publishing(self._forked.append)
        firsts = self._chunks(features, run.chunk_rows)
        file.demand_unchanged()
        return self._finish(run, firsts)

    def _chunks(self, features: Sequence[str], chunk_rows: int) -> list[int]:
        firsts: list[int] = []
        pending: Future[None] | None = None
        with ThreadPoolExecutor(1, "commit") as committing:
            for first, values, subjects in self._file.chunks(features, self._job.subject, chunk_rows):
                firsts.append(first)
                if not self._work.done(first) and not self._recovered(first, subjects):
                    self._follow(features)
                    self._admit_rows(len(subjects))
                    predicted = self._bulk.predict(self._standing, self._job.wish, first, values, subjects)
                    if pending is not None:
                        pending.result()
                    pending = committing.submit(self._commit, first, predicted, subjects, self._clock())
                self._tell(first + len(subjects), self._file.rows)
            if pending is not None:
                pending.result()
        return firsts

    def _follow(self, features: Sequence[str]) -> None:
        """See what has changed in the rules since the last chunk: halts, grants, pointers, expiry."""
        if self._forked:
            raise self._forked[0]
        parts = self._parts
        if self._refresher is not None and time.monotonic() - self._refreshed_s >= parts.settings.refresh_s:
            self._refreshed_s = time.monotonic()
            try:
                self._refresher.refresh()
            except StrongroomError as error:
                log.warning("the release repository was not refreshed: %s", error.message)
        changed = parts.admission.changed()
        if changed:
            try:
                self._rules = parts.admission.admit()
                self._limiter.learn(self._rules.limits)
            except StrongroomError as error:
                # what is in force stays so until it expires, as in a worker
                log.error("the release repository is refused: %s", error.message)
        if changed or self._clock() >= self._standing.until_us:
            self._standing = self._stand()
            if self._standing.served.inputs.names != tuple(features):
                raise ConflictError(
                    "the model that answers now takes other features than the one that began; score the rest as a file"
                )

    def _stand(self) -> Standing:
        return self._bulk.stand(self._rules, self._header, self._job.wish, self._clock())

    def _admit_rows(self, rows: int) -> None:
        """Wait until the limits of caller, unit and model let so many rows in, as so many requests."""
        if not self._limiter.active:
            return
        standing, at_once = self._standing, self._standing.request_rows
        for start in range(0, rows, at_once):
            while True:
                now_us = self._clock()
                try:
                    accounts = self._limiter.enter(standing.principal, 0, now_us)
                    ticket = self._limiter.board(accounts, self._job.wish.model, standing.principal, 0, now_us)
                    ticket.charge_rows(min(at_once, rows - start), now_us)
                    ticket.leave()
                    break
                except (TooManyRequestsError, UnavailableError) as error:
                    wait_s = error.details.get("retry_after_s")
                    if wait_s is None:
                        raise
                    time.sleep(int(wait_s))

    def _commit(self, first: int, predicted: Predicted, subjects: Sequence[str | None], now_us: int) -> None:
        """Intent, records, answers: each durable before the next. On the committing thread."""
        ids, rows = records_of(predicted)
        size = self._parts.shard.size
        self._work.intend(first, Intent(size, rows, ids, [(one.row, one.field, one.rule) for one in predicted.rejects]))
        committed = self._parts.decider.commit(predicted.batch.outcomes, now_us)
        self._step("committed")
        tables = [self._table(numbers.tolist(), outcome, first, subjects) for numbers, outcome in predicted.answered()]
        self._done(first, tables, predicted.rejects, size, len(committed.records))

    def _table(self, rows: list[int], outcome: Outcome, first: int, subjects: Sequence[str | None]) -> pa.Table:
        served, count = outcome.asked.served, len(rows)
        if served is None or outcome.scores is None:
            raise ValueError("an answered outcome has a model and scores")
        columns = [
            pa.array(rows, pa.int64()),
            pa.array([subjects[row - first] for row in rows], pa.string()),
            pa.array([line.decision_id for line in outcome.lines], pa.string()),
            # a fixed decision has no score
            pa.array(outcome.scores) if len(outcome.scores) else pa.nulls(count, pa.float32()),
            pa.array(outcome.decisions, pa.string()),
            pa.repeat(pa.scalar(served.version, pa.string()), count),
            pa.repeat(pa.scalar(str(served.release_digest), pa.string()), count),
        ]
        if self._job.wish.explain:
            told = outcome.explained
            codes = (
                pa.nulls(count, CODES.type) if told is None else pa.array([list(one.codes) for one in told], CODES.type)
            )
            columns.append(codes)
        return pa.table(columns, schema=self._schema)

    def _done(
        self, first: int, tables: list[pa.Table], rejects: Sequence[Sequence[Any]], size: int, records: int
    ) -> None:
        answers = sorted_by_row(pa.concat_tables(tables)) if tables else self._schema.empty_table()
        about = {"first": str(size), "records": str(records)}
        rows, fields, rules = zip(*rejects, strict=True) if rejects else ((), (), ())
        refused = pa.table([list(rows), list(fields), list(rules)], schema=REJECTS)
        self._work.finish(first, answers.replace_schema_metadata(about), refused)

    # --- after a kill

    def _recovered(self, first: int, subjects: Sequence[str | None]) -> bool:
        """Whether the records of a chunk without answers are in the log; then the answers are read back from it."""
        intent = self._work.intent(first)
        if intent is None:
            return False
        reader = self._parts.shard.reader()
        try:
            if not intent.ids:
                return False
            rows_of = {ids.hex(): row for ids, row in zip(intent.ids, intent.rows, strict=True)}
            found: list[tuple[int, StoredRecord]] = []
            for index in range(intent.size, min(intent.size + len(rows_of), reader.size)):
                stored = reader.get(index)
                row = rows_of.get(decision_id_of(stored.leaf))
                if row is None:
                    break
                found.append((row, stored))
        finally:
            reader.close()
        if not found:
            return False
        rejects = [Reject(*one) for one in intent.rejects]
        lines: list[tuple[Any, ...]] = []
        for row, stored in found:
            if row < 0:
                continue
            try:
                lines.append(self._line(row, subjects[row - first], stored))
            except ErasedError:
                rejects.append(Reject(row, SUBJECT, "erased"))
        known = {row for row, _ in found} | {one.row for one in rejects}
        # their key could not be had, so nothing was recorded of them
        rejects += [Reject(row, SUBJECT, "unavailable") for row in intent.rows if row not in known]
        columns = [list(column) for column in zip(*lines, strict=True)] or [[] for _ in self._schema]
        table = pa.table([pa.array(c, f.type) for c, f in zip(columns, self._schema, strict=True)], schema=self._schema)
        self._done(first, [table], sorted(rejects), intent.size, len(found))
        return True

    def _line(self, row: int, subject: str | None, stored: StoredRecord) -> tuple[Any, ...]:
        leaf = Leaf.decode(stored.leaf)
        key = None if leaf.key_id == PLAIN else self._parts.keys.by_key_id(bytes.fromhex(leaf.key_id))
        answer = read_decision(stored, key).answer
        score = None
        if answer.outputs:
            score = memoryview(answer.outputs[0].data).cast("f")[0]
        line = (row, subject, answer.decision_id, score, answer.decision, answer.manifest, answer.release)
        if not self._job.wish.explain:
            return line
        told = answer.explanation
        return (*line, None if isinstance(told, msgspec.UnsetType) else list(told.codes))

    # --- at the end

    def _finish(self, run: RunFile, firsts: list[int]) -> dict[str, Any]:
        ranges: list[list[int]] = []
        versions: dict[tuple[str, str], int] = {}

        def answers() -> Iterator[pa.Table]:
            for part in self._work.parts("answers", firsts):
                about = part.schema.metadata or {}
                begin, records = int(about[b"first"]), int(about[b"records"])
                if records and ranges and ranges[-1][1] + 1 == begin:
                    ranges[-1][1] += records
                elif records:
                    ranges.append([begin, begin + records - 1])
                counted = part.group_by(["model_version", "release"]).aggregate([([], "count_all")])
                for one in counted.to_pylist():
                    place = one["model_version"], one["release"]
                    versions[place] = versions.get(place, 0) + one["count_all"]
                yield part.replace_schema_metadata(None)

        answered, output_sha256 = write_parquet(self._job.output, self._schema, answers())
        self._step("output")
        rejected, rejects_sha256 = write_parquet(self._job.rejects, REJECTS, self._work.parts("rejects", firsts))
        if answered + rejected != self._file.rows:
            raise TamperedError(
                f"the parts in `{self._work.path.name}` do not add up to the rows of the input; see what happened there"
            )
        proof: dict[str, Any] = {
            "answered": answered,
            "checkpoint": self._parts.shard.checkpoint.decode(),
            "first_index": ranges[0][0] if ranges else None,
            "input": {"rows": self._file.rows, "sha256": run.input_sha256},
            "last_index": ranges[-1][1] if ranges else None,
            "options": run.options,
            "origin": run.origin,
            "output": {"rows": answered, "sha256": output_sha256},
            "ranges": ranges,
            "rejected": rejected,
            "rejects": {"rows": rejected, "sha256": rejects_sha256},
            "v": 1,
            "versions": [
                {"model_version": version, "release": release, "rows": rows}
                for (version, release), rows in sorted(versions.items())
            ],
        }
        replace_atomically(self._job.proof, canonical(proof) + b"\n", 0o600)
        self._step("proof")
        self._work.remove()
        return proof


def wish_of(model: str, purpose: str, jurisdiction: str, environment: str | None, *, explain: bool) -> Wish:
    """From the command line: `model`, or `model@manifest` for one version.

    Raises:
        InvalidInputError: a text is empty.
    """
    name, _, version = model.partition("@")
    for what, text in (("model", name), ("purpose", purpose), ("jurisdiction", jurisdiction)):
        if not text:
            raise InvalidInputError(f"`{what}` is empty", field=what, rule="required")
    return Wish(
        model=name, purpose=purpose, jurisdiction=jurisdiction, version=version or None, environment=environment,
        explain=explain,
    )  # fmt: skip
