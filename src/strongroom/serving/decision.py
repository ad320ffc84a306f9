"""From a batch of questions to records and answers: predict, then commit, and only then tell.

`predict` computes and makes documents, `seal` makes records with keys that are at hand; both run where the requests are
read. `commit` gets missing keys and appends; it blocks on the key store and the disk and runs on the committing thread,
which so has little to do beside waiting. Nothing of an answer may leave before `commit` has returned.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from strongroom.errors import ErasedError, TamperedError, UnavailableError
from strongroom.ledger.leaf import LeafType
from strongroom.ledger.making import MadeRecords, RecordMaker
from strongroom.ledger.ports import Appended, Record, Shard
from strongroom.sealing.records import NONCE_SIZE, RELEASE_SIZE, Labels, RecordTemplate
from strongroom.sealing.subjects import HeldKeys, SubjectKey, SubjectKeys, subject_tags
from strongroom.serving.asked import Answered, Asked, Outcome
from strongroom.serving.bulk_recording import MANY, Form, seal_outcomes
from strongroom.serving.predicting import Batch, Predictor, Watch
from strongroom.serving.receipt import make_receipt
from strongroom.serving.recording import NOBODY, seal_line, seal_lines
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
        self.predictor = Predictor(random, watch)
        # by name, for as long as the keys' own cache holds them: what is forgotten or expired there is gone here too
        self._held = HeldKeys()
        self._templates: dict[tuple[bool, str, Labels, Digest | None], RecordTemplate] = {}

    def predict(self, batch: Sequence[Asked]) -> Batch:
        """See `Predictor.predict`; on the loop."""
        return self.predictor.predict(batch)

    def watch(self, batch: Batch) -> None:
        """Count what was scored; called after the batch is durable."""
        self.predictor.watch(batch)

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
