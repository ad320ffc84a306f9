"""Rules of subject keys: tags that tell nothing, wrapping that binds a key to its id."""

from __future__ import annotations

import hmac
import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import ErasedError, InvalidInputError, TamperedError
from strongroom.sealing.subjects import (
    CANDIDATE_RANDOM_SIZE,
    KEY_SIZE,
    PUBLIC_SIZE,
    WRAPPED_SIZE,
    HeldKeys,
    SubjectKey,
    make_candidate,
    make_candidates,
    subject_tag,
    subject_tags,
    unwrap,
    unwrap_rows,
)

KEK = AESGCM(b"k" * 32)
INDEX = b"i" * 32


@given(
    one=st.tuples(st.sampled_from(["EU", "US", "US-NY", "E"]), st.text(min_size=1, max_size=256)),
    two=st.tuples(st.sampled_from(["EU", "US", "US-NY", "E"]), st.text(min_size=1, max_size=256)),
)
def test_tags_differ_exactly_when_region_or_subject_do(one: tuple[str, str], two: tuple[str, str]) -> None:
    first, second = subject_tag(INDEX, *one), subject_tag(INDEX, *two)
    assert (first == second) == (one == two)
    assert len(first) == 32
    assert subject_tag(b"j" * 32, *one) != first


def test_a_subject_needs_a_name_of_bounded_length() -> None:
    for name in ("", "x" * 257):
        with pytest.raises(InvalidInputError):
            subject_tag(INDEX, "EU", name)
    with pytest.raises(ValueError, match="32 bytes"):
        subject_tag(b"short", "EU", "x")


@given(st.lists(st.text(min_size=1, max_size=40), max_size=5))
def test_tags_of_many_are_the_tags_of_each(subjects: list[str]) -> None:
    context = b"strongroom/subject-tag/v1\n\0\2EU"
    expected = [
        hmac.digest(INDEX, context + subject.encode("utf-8", "surrogatepass"), "sha256") for subject in subjects
    ]
    assert subject_tags(INDEX, "EU", subjects) == expected
    assert [subject_tag(INDEX, "EU", subject) for subject in subjects] == expected


def test_candidates_of_many_are_candidates_of_each() -> None:
    public, secrets = os.urandom(3 * PUBLIC_SIZE), bytearray(os.urandom(3 * 32))
    rows = make_candidates(KEK, public, secrets)
    for n in range(3):
        told, row = public[28 * n : 28 * n + 28], rows[76 * n : 76 * n + 76]
        one = make_candidate(KEK, told[:16] + secrets[32 * n : 32 * n + 32] + told[16:])
        assert row == one.key_id + one.wrapped
    found = unwrap_rows(KEK, rows)
    assert [key and key.key_id for key in found] == [public[28 * n : 28 * n + 16] for n in range(3)]
    rows[KEY_SIZE + 5] ^= 1
    assert [key is None for key in unwrap_rows(KEK, rows)] == [False, True, False]
    with pytest.raises(TamperedError):
        unwrap_rows(KEK, rows[:-1])
    for wrong in (public[:-1], public + b"x"):
        with pytest.raises(ValueError, match="random"):
            make_candidates(KEK, wrong, secrets)


def test_a_wrapped_key_opens_under_its_own_id_only() -> None:
    candidate = make_candidate(KEK, os.urandom(CANDIDATE_RANDOM_SIZE))
    key = unwrap(KEK, candidate.key_id, candidate.wrapped)
    again = unwrap(KEK, candidate.key_id, candidate.wrapped)
    sealed = key.aead.encrypt(b"n" * 12, b"x", None)
    assert again.aead.decrypt(b"n" * 12, sealed, None) == b"x"
    with pytest.raises(TamperedError):
        unwrap(KEK, b"o" * 16, candidate.wrapped)
    with pytest.raises(TamperedError):
        unwrap(AESGCM(b"l" * 32), candidate.key_id, candidate.wrapped)
    with pytest.raises(TamperedError):
        unwrap(KEK, candidate.key_id, candidate.wrapped[:-1])


def test_every_changed_byte_of_a_wrapped_key_is_refused() -> None:
    candidate = make_candidate(KEK, os.urandom(CANDIDATE_RANDOM_SIZE))
    for place in range(WRAPPED_SIZE):
        changed = bytearray(candidate.wrapped)
        changed[place] ^= 1
        with pytest.raises(TamperedError):
            unwrap(KEK, candidate.key_id, changed)


def test_a_forgotten_key_says_so() -> None:
    candidate = make_candidate(KEK, os.urandom(CANDIDATE_RANDOM_SIZE))
    key = unwrap(KEK, candidate.key_id, candidate.wrapped)
    key.forget()
    assert key.forgotten
    with pytest.raises(ErasedError):
        _ = key.aead


def test_a_name_is_held_as_long_as_its_key() -> None:
    held = HeldKeys()
    first, second = (SubjectKey(bytes([n]) * 16, AESGCM(bytes(32))) for n in (1, 2))
    held.update({"a": first, "b": second})
    assert held.get("a") is first
    assert held.get("c") is None
    third = SubjectKey(b"3" * 16, AESGCM(bytes(32)))
    held.update({"a": third})
    del first
    assert held.get("a") is third
    del second
    assert held.get("b") is None
    del third
    assert len(held) == 0
