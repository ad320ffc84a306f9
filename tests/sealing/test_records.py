"""Format 3: what is sealed opens to the same bytes under its own key, decision and release, and under nothing else."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.encoding import canonical
from strongroom.errors import ErasedError, InvalidInputError, TamperedError
from strongroom.ledger.leaf import Leaf, commitment
from strongroom.sealing.records import (
    HEADER_SIZE,
    DecisionRecord,
    Labels,
    RecordTemplate,
    decode_record,
    encode_record,
    open_decision,
    open_plain,
    open_record,
    plain_payload,
    read_header,
    seal_record,
)
from strongroom.vocabulary import Digest, digest_of

KEY = AESGCM(bytes(range(32)))
OTHER = AESGCM(bytes(32))
KEY_ID, NONCE, DECISION, RELEASE = b"k" * 16, b"n" * 12, b"d" * 16, b"r" * 32

texts = st.text(st.characters(codec="utf-8"), max_size=40)
records = st.builds(
    DecisionRecord,
    outcome=st.sampled_from(["answered", "refused"]),
    answer=st.binary(max_size=200),
    salt=st.binary(min_size=32, max_size=32),
    subject=texts,
    principal=texts,
    labels=st.builds(Labels, purpose=texts, jurisdiction=texts, environment=texts),
    numeric_profile=st.dictionaries(
        st.text(st.characters(codec="ascii"), max_size=20), texts | st.integers(0, 2**53 - 1), max_size=8
    ),
)


def _record(**changes: object) -> DecisionRecord:
    record = DecisionRecord(
        outcome="answered",
        answer=b'{"v":1}',
        salt=b"s" * 32,
        subject="applicant-1",
        principal="scoring",
        labels=Labels(purpose="credit", jurisdiction="EU", environment="live"),
        numeric_profile={"runtime": "onnxruntime", "threads": 1},
    )
    return msgspec.structs.replace(record, **changes)


def _decision(record: DecisionRecord) -> tuple[Leaf, bytes]:
    payload = seal_record(encode_record(record), KEY, KEY_ID, NONCE, DECISION, RELEASE)
    leaf = Leaf(
        commitment=commitment(record.salt, record.answer),
        decision_id=DECISION.hex(),
        key_id=KEY_ID.hex(),
        payload_sha256=digest_of(payload),
        payload_size=len(payload),
        policy=None,
        release=Digest(RELEASE.hex()),
        retain_until_us=2,
        time_us=1,
        type="decision",
    )
    return leaf, payload


@settings(max_examples=150, deadline=None)
@given(record=records)
def test_a_record_is_canonical_and_comes_back_as_it_was(record: DecisionRecord) -> None:
    data = encode_record(record)
    assert data == canonical(record)
    payload = seal_record(data, KEY, KEY_ID, NONCE, DECISION, RELEASE)
    assert decode_record(open_record(payload, KEY, DECISION, RELEASE)) == record


def test_every_changed_byte_of_a_payload_is_refused() -> None:
    payload = seal_record(encode_record(_record()), KEY, KEY_ID, NONCE, DECISION, RELEASE)
    for place in range(len(payload)):
        for bit in (0x01, 0x80):
            changed = bytearray(payload)
            changed[place] ^= bit
            with pytest.raises(TamperedError):
                open_record(bytes(changed), KEY, DECISION, RELEASE)


@pytest.mark.parametrize("cut", [0, 1, HEADER_SIZE - 1, HEADER_SIZE, HEADER_SIZE + 15])
def test_a_payload_cut_short_is_refused(cut: int) -> None:
    payload = seal_record(b"x", KEY, KEY_ID, NONCE, DECISION, RELEASE)
    with pytest.raises(TamperedError):
        open_record(payload[:cut], KEY, DECISION, RELEASE)


def test_a_record_cannot_move_to_another_decision_release_or_key() -> None:
    payload = seal_record(b"x", KEY, KEY_ID, NONCE, DECISION, RELEASE)
    for key, decision, release in (
        (OTHER, DECISION, RELEASE),
        (KEY, b"e" * 16, RELEASE),
        (KEY, DECISION, b"q" * 32),
        (KEY, DECISION + b"r", RELEASE[1:]),
    ):
        with pytest.raises(TamperedError):
            open_record(payload, key, decision, release)


def test_without_its_key_a_record_is_erased_not_tampered() -> None:
    payload = seal_record(b"x", KEY, KEY_ID, NONCE, DECISION, RELEASE)
    with pytest.raises(ErasedError):
        open_record(payload, None, DECISION, RELEASE)


def test_plain_and_sealed_payloads_do_not_stand_in_for_each_other() -> None:
    plain = plain_payload(b"open")
    sealed = seal_record(b"open", KEY, KEY_ID, NONCE, DECISION, RELEASE)
    assert open_plain(plain, digest_of(plain)) == b"open"
    with pytest.raises(TamperedError):
        open_record(plain, KEY, DECISION, RELEASE)
    with pytest.raises(TamperedError):
        open_plain(sealed, digest_of(sealed))
    for place in range(len(plain)):
        changed = bytearray(plain)
        changed[place] ^= 1
        with pytest.raises(TamperedError):
            open_plain(bytes(changed), digest_of(plain))


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=200) | st.binary(max_size=100).map(lambda tail: b"SRP3\x01\x01\0\0" + tail))
def test_arbitrary_bytes_are_refused_in_our_words(data: bytes) -> None:
    with pytest.raises(TamperedError):
        open_record(data, KEY, DECISION, RELEASE)
    with pytest.raises(TamperedError):
        decode_record(data)


def test_a_decision_is_held_against_its_leaf() -> None:
    record = _record()
    leaf, payload = _decision(record)
    assert open_decision(leaf, payload, KEY) == record


def test_a_leaf_that_says_otherwise_is_refused() -> None:
    leaf, payload = _decision(_record())
    other = hashlib.sha256(b"other").hexdigest()
    for change in (
        {"payload_sha256": other},
        {"payload_size": len(payload) + 1},
        {"key_id": "00" * 16},
        {"decision_id": "00" * 16},
        {"release": other},
        {"release": None},
        {"commitment": other},
    ):
        with pytest.raises(TamperedError):
            open_decision(msgspec.structs.replace(leaf, **change), payload, KEY)
    with pytest.raises(ErasedError):
        open_decision(leaf, payload, None)


def test_one_output_bit_changed_and_encrypted_again_does_not_match_the_commitment() -> None:
    record = _record()
    leaf, _ = _decision(record)
    forged = seal_record(encode_record(_record(answer=b'{"v":0}')), KEY, KEY_ID, NONCE, DECISION, RELEASE)
    again = msgspec.structs.replace(leaf, payload_sha256=digest_of(forged), payload_size=len(forged))
    with pytest.raises(TamperedError, match="commits"):
        open_decision(again, forged, KEY)


def test_wrong_lengths_are_our_own_mistake() -> None:
    with pytest.raises(ValueError, match="seal_record needs"):
        seal_record(b"", KEY, KEY_ID[1:], NONCE, DECISION, RELEASE)
    with pytest.raises(InvalidInputError):
        _record(salt=b"short")
    assert read_header(seal_record(b"", KEY, KEY_ID, NONCE, DECISION, RELEASE)) == (1, KEY_ID, NONCE)


@given(
    st.sampled_from(["answered", "refused"]), texts, texts, texts, texts, texts, st.binary(max_size=200),
    st.binary(min_size=32, max_size=32), st.dictionaries(texts, st.integers(0, 10) | texts, max_size=4),
)  # fmt: skip
def test_a_template_writes_what_the_encoder_writes(outcome, who, one, two, three, subject, answer, salt, profile):
    labels = Labels(purpose=one, jurisdiction=two, environment=three)
    record = DecisionRecord(
        outcome=outcome,
        answer=answer,
        salt=salt,
        subject=subject,
        principal=who,
        labels=labels,
        numeric_profile=profile,
    )
    assert RecordTemplate(outcome, who, labels, profile).fill(answer, salt, subject) == encode_record(record)
