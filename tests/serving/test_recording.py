"""The tight loops give byte for byte what the plain functions give."""

from __future__ import annotations

import os
from random import Random

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import ErasedError, UnavailableError
from strongroom.ledger.frames import ENTRY, entry_frame, frame
from strongroom.ledger.leaf import Leaf, check_record, commit
from strongroom.ledger.making import MadeRecord, MadeRecords, RecordMaker
from strongroom.sealing.records import Labels, RecordTemplate, open_decision, seal_record
from strongroom.sealing.subjects import SubjectKey
from strongroom.serving.answer import AnswerTemplate
from strongroom.serving.asked import Asked, Line
from strongroom.serving.bulk import NO_CALLER
from strongroom.serving.bulk_recording import _commitments, ids_from, seal_many
from strongroom.serving.question import Question
from strongroom.serving.recording import NOBODY, seal_lines
from strongroom.vocabulary import Digest, ModelRef, digest_of
from tests.serving.house import GOOD, House, feature, release_of

LABELS = Labels(purpose="credit-decision", jurisdiction="EU", environment="production")
TEMPLATE = RecordTemplate("answered", "scoring", LABELS, {"isa": "x86_64", "max_batch": 1024})
RELEASE = digest_of(b"release")
MAKER = RecordMaker("decision", Digest("a" * 64), RELEASE, 2_000, 1_000)

lines = st.lists(
    st.tuples(
        st.binary(min_size=16, max_size=16),
        st.binary(max_size=300),
        st.binary(min_size=32, max_size=32),
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30),
    ),
    max_size=6,
)


@given(lines, st.randoms(use_true_random=False))
def test_seal_lines_equals_the_plain_functions(made, random):
    given_lines = [Line(i, i.hex(), document, salt, subject) for i, document, salt, subject in made]
    keys = {line.subject: SubjectKey(random.randbytes(16), AESGCM(random.randbytes(32))) for line in given_lines}
    nonces = random.randbytes(12 * len(given_lines))
    records = seal_lines(given_lines, keys, nonces, 0, TEMPLATE, MAKER, bytes.fromhex(RELEASE))
    assert len(records) == len(given_lines)
    for n, (line, record) in enumerate(zip(given_lines, records, strict=True)):
        key = keys[line.subject]
        plain = TEMPLATE.fill(line.document, line.salt, line.subject if line.subject != NOBODY else "")
        payload = seal_record(
            plain, key.aead, key.key_id, nonces[12 * n : 12 * n + 12], line.id, bytes.fromhex(RELEASE)
        )
        assert record == MAKER.make(commit(line.salt, line.document), line.id, key.key_id, payload)
        check_record(record.leaf, record.payload)


def many_lines(random, count, sizes, names):
    return [
        Line(
            random.randbytes(16), "", random.randbytes(random.choice(sizes)), random.randbytes(32), random.choice(names)
        )
        for _ in range(count)
    ]  # fmt: skip


@given(
    st.integers(1, 40),
    st.lists(st.integers(0, 90), min_size=1, max_size=3),
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9), min_size=1, max_size=4),
    st.booleans(),
    st.integers(2, 50),
    st.integers(0, 4),
    st.randoms(use_true_random=False),
)
def test_sealing_many_lines_equals_sealing_each(count, sizes, names, nobody, piece, few, random):
    made = many_lines(random, count, sizes, [*names, NOBODY] if nobody else names)
    keys = {line.subject: SubjectKey(random.randbytes(16), AESGCM(random.randbytes(32))) for line in made}
    nonces = random.randbytes(12 * count)
    release = bytes.fromhex(RELEASE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("strongroom.serving.bulk_recording.PIECE", piece)
        patch.setattr("strongroom.serving.bulk_recording.FEW", few)
        whole = seal_many(made, keys, nonces, TEMPLATE, MAKER, release)
    records = seal_lines(made, keys, nonces, 0, TEMPLATE, MAKER, release)
    each = MadeRecords()
    each.add_records(records)
    together = MadeRecords()
    together.add(*whole)
    assert list(together) == list(each) == records
    assert together.leaves == each.leaves
    assert together.hashes == each.hashes
    assert together[1:] == records[1:]
    assert all(type(record) is MadeRecord for record in together)


@given(st.integers(1, 5), st.integers(0, 200), st.sampled_from([None, 0x00, 0x36, 0x5C, 0xFF]), st.randoms())
def test_commitments_of_many_rows_are_what_the_standard_library_gives(rows, size, filled, random):
    salts = [random.randbytes(32) if filled is None else bytes([filled]) * 32 for _ in range(rows)]
    documents = [random.randbytes(size) for _ in range(rows)]
    made = _commitments(
        np.frombuffer(b"".join(salts), np.uint8).reshape(rows, 32),
        np.frombuffer(b"".join(documents) or b"", np.uint8).reshape(rows, size),
    )
    assert made == [commit(salt, document) for salt, document in zip(salts, documents, strict=True)]


def test_many_lines_with_a_missing_or_forgotten_key_make_no_record():
    made = many_lines(Random(7), 5, [10], ["s-1", "s-2"])
    keys = {name: SubjectKey(bytes(16), AESGCM(os.urandom(32))) for name in ("s-1", "s-2")}
    keys["s-2"].forget()
    for held in (keys, {"s-1": keys["s-1"]}):
        with pytest.raises(ErasedError):
            seal_many(made, held, bytes(60), TEMPLATE, MAKER, bytes(32))


@pytest.mark.parametrize(("decision_id", "salt", "release"), [(15, 32, 32), (16, 31, 32), (16, 32, 31)])
def test_wrong_lengths_in_many_lines_are_our_own_mistake(decision_id, salt, release):
    made = [Line(bytes(decision_id), "", b"{}", bytes(salt), "s-1")] * 3
    keys = {"s-1": SubjectKey(bytes(16), AESGCM(os.urandom(32)))}
    with pytest.raises(ValueError, match="bytes"):
        seal_many(made, keys, bytes(36), TEMPLATE, MAKER, bytes(release))


@given(st.binary(min_size=16, max_size=16) | st.sampled_from([b"\xff" * 16, bytes(8) + b"\xff" * 8]), st.integers(1, 5))
def test_ids_count_up_from_the_first(first, rows):
    base = int.from_bytes(first, "big")
    assert ids_from(first, rows) == [((base + n) % 2**128).to_bytes(16, "big") for n in range(rows)]


def test_a_request_of_many_rows_loses_nobody_else_s_records(monkeypatch):
    """A subject's key goes while a batch of large requests is sealed: only that request is lost."""
    monkeypatch.setattr("strongroom.serving.decision.MANY", 8)
    monkeypatch.setattr("strongroom.serving.bulk_recording.MANY", 8)
    house = House()
    decider = house.decider()
    policy = house.models[0].policy_digest

    def asking(name):
        subjects = tuple(f"{name}-{n}" for n in range(8))
        question = Question(8, np.array([GOOD] * 8), subjects, "credit-decision", "EU", None)
        return Asked(NO_CALLER, "loan-desk", LABELS, policy, house.models[0], question)

    first = decider.predict([asking(name) for name in "abc"]).outcomes
    decider.commit(first, 1_000)
    assert [outcome.first for outcome in first] == [0, 8, 16]
    again = decider.predict([asking(name) for name in "abc"]).outcomes
    keys = decider._keys_at_hand(again)
    keys["b-3"].forget()
    committed = decider.commit(again, 2_000, decider._seal(again, keys, 2_000))
    assert [outcome.first for outcome in again if outcome.asked.error is None] == [0, 8]
    assert isinstance(again[1].asked.error, UnavailableError)
    assert again[1].lines == []
    assert committed.appended.size == 40
    for outcome in (again[0], again[2]):
        for place, line in enumerate(outcome.lines, outcome.first):
            leaf = Leaf.decode(committed.records[place].leaf)
            assert leaf.decision_id == line.decision_id
            key = house.keys.by_key_id(bytes.fromhex(leaf.key_id))
            assert open_decision(leaf, committed.records[place].payload, key.aead).subject == line.subject


def test_a_missing_or_forgotten_key_makes_no_record():
    line = Line(bytes(16), "0" * 32, b"{}", bytes(32), "s-1")
    key = SubjectKey(bytes(16), AESGCM(os.urandom(32)))
    key.forget()
    for keys in ({}, {"s-1": key}):
        with pytest.raises(ErasedError):
            seal_lines([line], keys, bytes(12), 0, TEMPLATE, MAKER, bytes(32))


@pytest.mark.parametrize(("decision_id", "salt", "release"), [(15, 32, 32), (16, 31, 32), (16, 32, 31)])
def test_wrong_lengths_are_our_own_mistake(decision_id, salt, release):
    line = Line(bytes(decision_id), "", b"{}", bytes(salt), "s-1")
    keys = {"s-1": SubjectKey(bytes(16), AESGCM(os.urandom(32)))}
    with pytest.raises(ValueError, match="bytes"):
        seal_lines([line], keys, bytes(12), 0, TEMPLATE, MAKER, bytes(release))


@given(st.integers(1, 9), st.integers(1, 7), st.randoms(use_true_random=False))
def test_documents_equal_the_documents_of_single_rows(rows, width, random):
    like = release_of(features=tuple(feature(f"f{n}") for n in range(width)))
    decisions = tuple(cut.decision for cut in like.cut_offs)
    template = AnswerTemplate.make(ModelRef("pd-cards", digest_of(b"m")), RELEASE, like.input, like.output, decisions)
    matrix = np.frombuffer(random.randbytes(4 * rows * width), np.float32).reshape(rows, width)
    scores = np.frombuffer(random.randbytes(4 * rows), np.float32)
    ids = [random.randbytes(16) for _ in range(rows)]
    said = [random.choice(decisions) for _ in range(rows)]
    by_column = [random.random() < 0.5 for _ in range(rows)]
    assert template.documents(ids, matrix, scores, said, by_column) == [
        template.answered(ids[n].hex(), matrix[n].tobytes(), scores[n : n + 1].tobytes(), said[n], by_column[n])
        for n in range(rows)
    ]


@given(st.integers(0, 2**63), st.binary(max_size=1024), st.binary(max_size=2000))
def test_the_frame_of_an_entry_is_a_frame(index, leaf, payload):
    assert entry_frame(index, leaf, payload) == frame(ENTRY, index, len(leaf).to_bytes(2, "big") + leaf + payload)
