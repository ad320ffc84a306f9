"""CWE-524, CWE-639: a cache of credentials that is keyed on less than the whole of them.

What is remembered of one caller lets nobody else in: neither a credential that begins, ends or hashes alike, nor the
same one beside another certificate, nor one that another version of the grants has withdrawn. Prefixes of every
length are tried.
"""

from __future__ import annotations

import hashlib

import pytest

from strongroom.access.authentication import Authenticator
from strongroom.access.certificates import Presented
from strongroom.access.grants import Grants
from strongroom.errors import NotAuthenticatedError
from tests.access.issuing import API_KEY, NOW, PEPPER, bearer, grants, token

GOOD = {"token": bearer(token()), "api key": bearer(API_KEY)}


@pytest.fixture(params=GOOD)
def remembered(request: pytest.FixtureRequest) -> tuple[Authenticator, bytes]:
    """A door that has let this credential in."""
    door, credential = Authenticator(grants(), {1: PEPPER}), GOOD[request.param]
    assert door.authenticate(credential, NOW) is door.authenticate(credential, NOW), "the control: it is remembered"
    return door, credential


def refused(door: Authenticator, credential: bytes, presented: Presented | None = None) -> None:
    with pytest.raises(NotAuthenticatedError):
        door.authenticate(credential, NOW, presented)


def test_no_prefix_and_no_extension_of_a_remembered_credential_is_let_in(
    remembered: tuple[Authenticator, bytes],
) -> None:
    door, good = remembered
    for length in range(1, len(good)):
        refused(door, good[:length])
    for more in (b"a", b"=", b" ", b"\x00", b".", b"A" * 200):
        refused(door, good + more)


def test_no_credential_that_shares_a_beginning_or_an_end_is_let_in(remembered: tuple[Authenticator, bytes]) -> None:
    """A key of the cache made of the first or last 8, 16, 32 ... bytes would let these in."""
    door, good = remembered
    begin = len(b"Bearer ")
    for place in range(begin, len(good)):
        for letter in b"aZ2":
            changed = good[:place] + bytes([letter]) + good[place + 1 :]
            if changed != good:
                refused(door, changed)


def test_what_is_remembered_has_the_whole_digest(remembered: tuple[Authenticator, bytes]) -> None:
    door, good = remembered
    assert list(door._held) == [hashlib.sha256(good).digest()]


def test_a_remembered_credential_beside_a_certificate_is_another_question(
    remembered: tuple[Authenticator, bytes],
) -> None:
    door, good = remembered
    digest = hashlib.sha256(good).digest()
    other = Presented(digest, "ab" * 32, (), (), 0, NOW)
    refused(door, good, other)
    refused(door, b"", other)


def test_new_grants_remember_nothing_of_the_old(remembered: tuple[Authenticator, bytes]) -> None:
    _, good = remembered
    refused(Authenticator(Grants(sequence=2, systems=()), {1: PEPPER}), good)
    refused(Authenticator(grants(), {1: bytes(32)}), bearer(API_KEY))
