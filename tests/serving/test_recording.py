"""The tight loops give byte for byte what the plain functions give."""

from __future__ import annotations

import os

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import ErasedError
from strongroom.ledger.frames import ENTRY, entry_frame, frame
from strongroom.ledger.leaf import check_record, commit
from strongroom.ledger.making import RecordMaker
from strongroom.sealing.records import Labels, RecordTemplate, seal_record
from strongroom.sealing.subjects import SubjectKey
from strongroom.serving.answer import AnswerTemplate
from strongroom.serving.decision import Line
from strongroom.serving.recording import NOBODY, seal_lines
from strongroom.vocabulary import Digest, ModelRef, digest_of
from tests.serving.house import feature, release_of

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
