"""From a batch of questions to records and answers: predict, then commit, and only then tell.

`predict` computes and makes documents, `seal` makes records with keys that are at hand; both run where the requests are
read. `commit` gets missing keys and appends; it blocks on the key store and the disk and runs on the committing thread,
which so has little to do beside waiting. Nothing of an answer may leave before `commit` has returned.
"""

from __future__ import annotations

import contextlib
import logging
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from strongroom.errors import ErasedError, InvalidInputError, TamperedError, UnavailableError
from strongroom.ledger.leaf import LeafType
from strongroom.ledger.making import MadeRecords, RecordMaker
from strongroom.ledger.ports import Appended, Record, Shard
from strongroom.sealing.records import NONCE_SIZE, RELEASE_SIZE, SALT_SIZE, Labels, RecordTemplate
from strongroom.sealing.subjects import HeldKeys, SubjectKey, SubjectKeys, subject_tags
from strongroom.serving.answer import Reason, refused_document
from strongroom.serving.asked import Answered, Asked, Line, Outcome
from strongroom.serving.bulk_recording import MANY, Form, ids_from, lines_of, seal_outcomes
from strongroom.serving.guard import Marks, mark_lines, names_of
from strongroom.serving.probing import ProbeWatch
from strongroom.serving.question import Values
from strongroom.serving.receipt import make_receipt
from strongroom.serving.recording import NOBODY, seal_line, seal_lines
from strongroom.serving.served import ServedModel
from strongroom.serving.standby import fail, give_up, next_model, special_lines, static_lines
from strongroom.vocabulary import Digest

log = logging.getLogger(__name__)

MANY_EACH: Final = 4
"""Lines of a request, on average, from which on those of a batch are sealed together."""
TEMPLATES: Final = 4096
NO_RELEASE: Final = bytes(RELEASE_SIZE)


@dataclass(frozen=True, slots=True)
class Sealed:
    """The records of a batch, ready to be appended."""

    records: Sequence[Record]


@dataclass(frozen=True, slots=True)
class Committed:
    """A durable batch, with the records that receipts need. Nothing was appended where every request was lost."""

    appended: Appended | None
    records: Sequence[Record]


Watch = Callable[[ServedModel, NDArray[np.float32], NDArray[np.float32]], None]
"""Sees the rows and scores of one model in one batch, after they are durable, for drift counters."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A predicted batch: one outcome for each request, and what was scored for the drift counters."""

    outcomes: list[Outcome]
    scored: list[tuple[ServedModel, NDArray[np.float32], NDArray[np.float32]]]


class Decider:
    """The decision path of one worker.

    Args:
        shard: this worker's log.
        keys: subject keys of this region.
        index_key: 32 secret bytes for subject tags.
        region: of the key store.
        random: gives fresh random bytes.
        retain_us: how long a payload is kept at least.
        watch: sees what was scored.
    """

    def __init__(
        self,
        shard: Shard,
        keys: SubjectKeys,
        index_key: bytes,
        region: str,
        random: Callable[[int], bytes],
        retain_us: int,
        watch: Watch | None = None,
    ) -> None:
        self._shard = shard
        self._keys = keys
        self._index_key = index_key
        self._region = region
        self._random = random
        self._retain_us = retain_us
        self._watch = watch
        # by name, for as long as the keys' own cache holds them: what is forgotten or expired there is gone here too
        self._held = HeldKeys()
        self._failing: list[Asked] = []
        # who looks for probing; None: nobody does
        self.probes: ProbeWatch | None = None
        self._templates: dict[tuple[bool, str, Labels, Digest | None], RecordTemplate] = {}

    # --- on the loop

    def predict(self, batch: Sequence[Asked]) -> Batch:
        """Check, score and document a batch; one runtime call for each model in it.

        A request that breaks its contract becomes a refusal. A model that fails, or answers outside its output
        contract, costs its own requests an `UnavailableError`, recorded as a refusal, and no one else's.
        """
        self._failing = []
        groups: dict[ServedModel, list[Asked]] = {}
        whole: Sequence[Asked] = batch
        for asked in batch:
            if asked.parts:
                whole = [part for one in batch for part in one.parts or (one,)]
                break
        for asked in whole:
            if asked.error is None and asked.served is not None:
                groups.setdefault(asked.served, []).append(asked)
        outcomes: dict[int, Outcome] = {}
        scored: list[tuple[ServedModel, NDArray[np.float32], NDArray[np.float32]]] = []
        work = list(groups.items())
        for served, group in work:
            result = self._predict_group(served, group, outcomes)
            if result is not None:
                scored.append((served, *result))
            if self._failing:
                work += self._stand_in(outcomes).items()
        if whole is not batch:
            return Batch([one for asked in batch for one in self._joined(asked, outcomes)], scored)
        return Batch([outcomes.get(id(asked)) or self._refusal(asked) for asked in batch], scored)

    def _stand_in(self, outcomes: dict[int, Outcome]) -> dict[ServedModel, list[Asked]]:
        """Requests whose model failed: to the next approved fallback, or to the static policy, or refused."""
        failing, self._failing = self._failing, []
        groups: dict[ServedModel, list[Asked]] = {}
        for asked in failing:
            following = next_model(asked)
            if following is not None:
                groups.setdefault(following, []).append(asked)
                continue
            lines = static_lines(asked, self._random)
            if lines is None:
                give_up(asked)
            else:
                decisions = [asked.failed.decision] * asked.rows if asked.failed is not None else []
                outcomes[id(asked)] = Outcome(asked, lines, np.empty(0, np.float32), decisions, True)
        return groups

    def _joined(self, asked: Asked, outcomes: dict[int, Outcome]) -> list[Outcome]:
        """The outcomes of a request: one for each arm, or one refusal for all of it."""
        wrong = next((part.error for part in asked.parts if part.error is not None), None)
        if wrong is not None:
            asked.error = wrong
        if asked.error is not None or not asked.parts:
            return [outcomes.get(id(asked)) or self._refusal(asked)]
        return [outcomes[id(part)] for part in asked.parts]

    def watch(self, batch: Batch) -> None:
        """Count what was scored; called after the batch is durable."""
        if self._watch is not None:
            for served, matrix, scores in batch.scored:
                self._watch(served, matrix, scores)

    def _predict_group(
        self, served: ServedModel, group: list[Asked], outcomes: dict[int, Outcome]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        values = _stack(group, len(served.inputs.names))
        matrix, faults = served.inputs.check(values)
        if faults:
            starts: list[int] = []
            total = 0
            for asked in group:
                starts.append(total)
                total += asked.rows
            for fault in faults:
                place = int(np.searchsorted(starts, fault.row, side="right")) - 1
                asked = group[place]
                if asked.failed is not None:
                    # what the approved model takes and its fallback does not is no mistake of the caller
                    if asked not in self._failing:
                        self._failing.append(asked)
                elif asked.error is None:
                    row = fault.row - starts[place]
                    many = asked.rows > 1
                    if asked.share is not None:
                        row, many = asked.share.rows[row], True
                    where = f" in row {row}" if many else ""
                    asked.error = InvalidInputError(fault.message + where, field=fault.field, rule=fault.rule)
            kept = [(asked, start) for asked, start in zip(group, starts, strict=True)
                    if asked.error is None and not (self._failing and asked in self._failing)]  # fmt: skip
            if not kept:
                return None
            matrix = np.concatenate([matrix[start : start + asked.rows] for asked, start in kept])
            group = [asked for asked, _ in kept]
        marks = None
        if served.guard is not None and served.role != "challenger":
            # what a challenger would refer or refuse is nobody's matter: its answers go to nobody
            marks = served.guard.marks(matrix)
            stay = None if marks is None else served.guard.refuse(group, marks, served.ref.name)
            if marks is not None and stay is not None:
                matrix, marks = matrix[stay], marks[stay]
                group = [asked for asked in group if asked.error is None]
                if not group:
                    return None
        try:
            scores = served.output.scores(served.scorer.score(matrix), len(matrix))
        except Exception as error:  # the runtime has errors of its own kind; none may cost other models' requests
            log.warning("model `%s` failed to answer: %s", served.ref, type(error).__name__)
            for asked in group:
                fail(asked, served, "runtime")
            self._failing += group
            return None
        good = served.output.good(scores)
        decisions = served.output.decide(scores)
        if marks is not None and served.guard is not None:
            decisions = served.guard.decide(decisions, marks)
        if self.probes is not None and served.role != "challenger":
            self.probes.see(served, group, matrix, scores, marks)
        random = self._random(16 * len(group) + SALT_SIZE * len(matrix))
        salts = 16 * len(group)
        all_good = bool(good.all())
        row = 0
        ids: list[bytes] = []
        by_column: list[bool] = []
        for place, asked in enumerate(group):
            question = asked.question
            if question is None:
                raise ValueError("a request without a question cannot be answered")
            first_id = random[16 * place : 16 * place + 16]
            if asked.rows == 1:
                ids.append(first_id)
                by_column.append(question.by_column)
            else:
                ids += ids_from(first_id, asked.rows)
                by_column += [question.by_column] * asked.rows
        documents = served.template.documents(ids, matrix, scores, decisions, by_column)
        for asked in group:
            question = asked.question
            if question is None:
                raise ValueError("a request without a question cannot be answered")
            end = row + asked.rows
            if not all_good and not good[row:end].all():
                fail(asked, served, "output-contract")
                self._failing.append(asked)
                row = end
                continue
            if asked.share is not None or asked.failed is not None:
                lines = special_lines(
                    asked, served, ids[row], matrix[row:end], scores[row:end], decisions[row:end],
                    random[salts + SALT_SIZE * row : salts + SALT_SIZE * end],
                )  # fmt: skip
                outcomes[id(asked)] = _outcome(asked, lines, scores[row:end], decisions[row:end], marks, row)
                row = end
                continue
            if asked.rows == 1:
                salt = random[salts + SALT_SIZE * row : salts + SALT_SIZE * end]
                lines = [Line(ids[row], ids[row].hex(), documents[row], salt, question.subjects[0])]
            else:
                lines = lines_of(
                    ids[row:end], documents[row:end], random[salts + SALT_SIZE * row : salts + SALT_SIZE * end],
                    question.subjects,
                )  # fmt: skip
            outcomes[id(asked)] = _outcome(asked, lines, scores[row:end], decisions[row:end], marks, row)
            row = end
        if served.explainer is not None:
            for asked in served.explainer.add(group, outcomes, matrix, scores):
                fail(asked, served, "output-contract")
                self._failing.append(asked)
        return (matrix, scores) if all_good else (matrix[good], scores[good])

    def _refusal(self, asked: Asked) -> Outcome:
        """The line of a request that is refused: code, field and rule, no value."""
        error = asked.error
        if error is None:
            raise ValueError("a request that was answered is not refused")
        random = self._random(16 + SALT_SIZE)
        decision_id = random[:16].hex()
        reason = Reason(error.code, str(error.details.get("field", "")), str(error.details.get("rule", "")))
        served = asked.served
        document = refused_document(
            decision_id, reason, served.ref if served else None, served.release_digest if served else None
        )
        subject = asked.question.subjects[0] if asked.question is not None else asked.subject
        return Outcome(asked, [Line(random[:16], decision_id, document, random[16:], subject)], None, [], False)

    # --- on the loop if every key is at hand, else on the committing thread

    def seal(self, outcomes: list[Outcome], time_us: int) -> Sealed | None:
        """Make the records of a batch with the keys that this worker holds; None when one is missing. Never blocks."""
        keys = self._keys_at_hand(outcomes)
        return None if keys is None else self._seal(outcomes, keys, time_us)

    def _seal(self, outcomes: list[Outcome], keys: dict[str, SubjectKey], time_us: int) -> Sealed:
        """A request whose key cannot be had, or is destroyed meanwhile, gets its `error` set and no record."""
        records: list[Record] = []
        count = sum([len(outcome.lines) for outcome in outcomes])
        nonces = self._random(NONCE_SIZE * count)
        if count >= MANY and count >= MANY_EACH * len(outcomes):
            return Sealed(self._seal_many(outcomes, keys, time_us, nonces))
        makers: dict[tuple[bool, Digest, Digest | None], RecordMaker] = {}
        templates = self._templates.get
        place = 0
        for outcome in outcomes:
            asked, lines = outcome.asked, outcome.lines
            served = asked.served
            if served is not None:
                release, release_bytes = served.release_digest, served.release_bytes
            else:
                release, release_bytes = None, NO_RELEASE
            form = (outcome.answered, asked.policy, release)
            maker = makers.get(form)
            if maker is None:
                kind: LeafType = "decision" if outcome.answered else "refusal"
                maker = makers[form] = RecordMaker(kind, asked.policy, release, time_us + self._retain_us, time_us)
            template = templates((outcome.answered, asked.principal, asked.labels, release)) or self._template(outcome)
            outcome.first = len(records)
            end = place + NONCE_SIZE * len(lines)
            try:
                if len(lines) == 1:
                    line = lines[0]
                    nonce, key = nonces[place:end], keys.get(line.subject)
                    records.append(seal_line(line, key, nonce, template.middle, maker.tail, release_bytes))
                else:
                    records += seal_lines(lines, keys, nonces, place, template, maker, release_bytes)
            except ErasedError:
                _lose(outcome)
            place = end
        return Sealed(records)

    def _seal_many(
        self, outcomes: list[Outcome], keys: dict[str, SubjectKey], time_us: int, nonces: bytes
    ) -> MadeRecords:
        """The same where there are many lines for each request: those of one form are made together."""
        until_us = time_us + self._retain_us
        makers: dict[tuple[bool, Digest, Digest | None], RecordMaker] = {}
        forms: dict[tuple[int, int], Form] = {}
        for outcome in outcomes:
            served = outcome.asked.served
            release = served.release_digest if served is not None else None
            kind = (outcome.answered, outcome.asked.policy, release)
            maker = makers.get(kind)
            if maker is None:
                maker = makers[kind] = RecordMaker(
                    "decision" if outcome.answered else "refusal", outcome.asked.policy, release, until_us, time_us
                )
            template = self._template(outcome)
            form = forms.get((id(template), id(maker)))
            if form is None:
                release_bytes = served.release_bytes if served is not None else NO_RELEASE
                form = forms[id(template), id(maker)] = Form(template, maker, release_bytes)
            form.outcomes.append(outcome)
        records, lost = seal_outcomes(outcomes, forms.values(), keys, nonces)
        for outcome in lost:
            _lose(outcome)
        return records

    # --- on the committing thread

    def commit(self, outcomes: list[Outcome], time_us: int, sealed: Sealed | None = None) -> Committed:
        """Make the batch durable: keys first, then the records.

        A request whose key cannot be had, or is destroyed while the batch is sealed, gets its `error` set and no
        record; the others of the batch do not notice.

        Args:
            outcomes: of `predict`.
            time_us: of the records.
            sealed: what `seal` gave, or None when keys must be had first.

        Raises:
            NotDurableError: not written; no answer may leave.
            UnavailableError: the key store cannot be reached.
        """
        if sealed is None:
            sealed = self._seal(outcomes, self._subject_keys(outcomes), time_us)
        records = sealed.records
        if not records:
            return Committed(None, [])
        return Committed(self._shard.append(records), records)

    def _template(self, outcome: Outcome) -> RecordTemplate:
        asked, served = outcome.asked, outcome.asked.served
        release = served.release_digest if served is not None else None
        key = (outcome.answered, asked.principal, asked.labels, release)
        template = self._templates.get(key)
        if template is None:
            if len(self._templates) >= TEMPLATES:
                self._templates.clear()
            profile = served.profile if outcome.answered and served is not None else {}
            template = RecordTemplate(
                "answered" if outcome.answered else "refused", asked.principal, asked.labels, profile
            )
            self._templates[key] = template
        return template

    def write_to(self, shard: Shard) -> None:
        """Another log from the next batch on. Call on the thread that commits, so that no batch is cut in two."""
        self._shard = shard

    def _keys_at_hand(self, outcomes: list[Outcome]) -> dict[str, SubjectKey] | None:
        # lets keys go whose time is up, also while no key is ever missing
        self._keys.get_or_create(())
        keys: dict[str, SubjectKey] = {}
        held = self._held.get
        for outcome in outcomes:
            for line in outcome.lines:
                subject = line.subject
                if not subject:
                    subject = line.subject = NOBODY
                if subject not in keys:
                    key = held(subject)
                    if key is None or key.forgotten:
                        return None
                    keys[subject] = key
        return keys

    def _subject_keys(self, outcomes: list[Outcome]) -> dict[str, SubjectKey]:
        for outcome in outcomes:
            for line in outcome.lines:
                if not line.subject:
                    line.subject = NOBODY
        subjects = list({line.subject: None for outcome in outcomes for line in outcome.lines})
        tags = subject_tags(self._index_key, self._region, subjects)
        keys: dict[str, SubjectKey] = {}
        try:
            keys = dict(zip(subjects, self._keys.get_or_create(tags), strict=True))
        except (ErasedError, TamperedError) as error:
            log.critical("the key store handed out a key that is damaged or going: %s", error.message)
            # one by one, so that one subject's damaged key does not cost everybody who travels with them
            for subject, tag in zip(subjects, tags, strict=True):
                with contextlib.suppress(ErasedError, TamperedError):
                    keys[subject] = self._keys.get_or_create([tag])[0]
        self._held.update(keys)
        return keys


def _lose(outcome: Outcome) -> None:
    # nobody is told whose key it was, and no log either
    outcome.lose(UnavailableError("the key of a data subject could not be had; nothing was decided, try again"))
    log.warning("a request was lost with the key of its subject")


def answer_of(outcome: Outcome, committed: Committed) -> Answered:
    """What a request is told after its lines are durable. For answered outcomes only."""
    asked, lines = outcome.asked, outcome.lines
    question, served, scores = asked.question, asked.served, outcome.scores
    if question is None or served is None or scores is None:
        raise ValueError("a refused request has no answer")
    receipts = None
    if question.receipt:
        appended, first = committed.appended, outcome.first
        if appended is None:
            raise ValueError("nothing was appended, so nothing can be proven")
        receipts = [
            make_receipt(
                committed.records[first + place].leaf, line.salt, line.document, appended.first_index + first + place,
                appended.proof(appended.first_index + first + place), appended.checkpoint,
            )
            for place, line in enumerate(lines)
        ]  # fmt: skip
    return Answered(
        served,
        question,
        [line.decision_id for line in lines],
        scores,
        outcome.decisions,
        receipts,
        None,
        asked.failed,
        outcome.guarded,
        outcome.explained,
    )


def _outcome(
    asked: Asked, lines: list[Line], scores: NDArray[np.float32], decisions: list[str], marks: Marks | None, row: int
) -> Outcome:
    """An answered request, its rows marked by the guard where there is something to mark."""
    outcome = Outcome(asked, lines, scores, decisions, True)
    if marks is not None and (mine := marks[row : row + asked.rows]).any():
        mark_lines(lines, mine)
        outcome.guarded = names_of(mine)
    return outcome


def _stack(group: list[Asked], width: int) -> Values:
    """The rows of a group as one matrix; None becomes NaN."""
    values = [asked.question.values for asked in group if asked.question is not None]
    if all(type(one) is list for one in values):
        pack = _packer(width)
        try:
            packed = b"".join([pack(*one) for one in values])
        except struct.error:
            return np.array(values, np.float64)
        return np.frombuffer(packed, np.float64).reshape(len(values), width)
    parts: list[Values] = [
        np.array(one, np.float64).reshape(1, width) if isinstance(one, list) else one for one in values
    ]
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts)  # type: ignore[return-value]  # numpy's stubs lose the element type


@cache
def _packer(width: int) -> Callable[..., bytes]:
    """Float64 in native order from so many numbers; refuses None. Half the time that numpy takes for a list."""
    return struct.Struct(f"={width}d").pack
