"""Each check of a token at its edge: what is just good passes, what is just not is refused for that reason."""

from __future__ import annotations

from typing import Any

import pytest

from strongroom.access.issuers import KID_LIMIT, LIFETIME_LIMIT_S, Issuer, IssuerKey, KnownIssuer
from strongroom.access.tokens import UnknownKeyError, VerifiedToken, verify_token
from strongroom.errors import ExpiredError, InvalidInputError, NotAuthenticatedError, StrongroomError, TooLargeError
from tests.access.issuing import AUDIENCE, EC, ED, ISSUER, KEYS, NOW, NOW_S, claims, encode, header, public, token

SECOND_US = 1_000_000


def known(
    keys: tuple[IssuerKey, ...] = KEYS, fetched: tuple[str, ...] = (), until_us: int = 0, **more: Any
) -> KnownIssuer:
    issuer = Issuer(issuer=ISSUER, audience=AUDIENCE, keys=KEYS, **more)
    return KnownIssuer(issuer, {key.kid: key for key in keys}, frozenset(fetched), until_us)


def verified(text: str, at_us: int = NOW, issuer: KnownIssuer | None = None) -> VerifiedToken:
    return verify_token(text, {ISSUER: issuer or known()}, at_us)


def refused(
    kind: type[StrongroomError], why: str, text: str, at_us: int = NOW, issuer: KnownIssuer | None = None
) -> StrongroomError:
    with pytest.raises(kind, match=why) as error:
        verified(text, at_us, issuer)
    assert type(error.value) is kind
    return error.value


def of(**changes: Any) -> str:
    return token(body=claims(**changes))


def test_what_a_token_says_is_handed_on() -> None:
    found = verified(of(iat=NOW_S - 10, exp=NOW_S + 7, sub="s", client_id="c", jti="j"))
    ends_us = NOW + 7 * SECOND_US
    assert found == VerifiedToken(ISSUER, "s", "c", "j", NOW - 10 * SECOND_US, ends_us, ends_us, None)


def test_a_token_has_at_most_eight_kibibytes() -> None:
    kinds = ((header(), EC), (header(alg="Ed25519", kid="ed-1"), ED))
    made = [token(head, claims(scope="x" * n), key) for head, key in kinds for n in range(5820, 5850)]
    long = {len(text): text for text in made}
    verified(long[8192])
    refused(TooLargeError, "at most 8192 bytes", long[8193])


@pytest.mark.parametrize("bend", [lambda t: t + ".AA", lambda t: t.rpartition(".")[0], lambda t: t[:-1] + "\u00e9"])
def test_a_token_has_three_parts_of_ascii(bend: Any) -> None:
    refused(InvalidInputError, "three parts", bend(token()))


def test_parts_have_one_spelling() -> None:
    head, _, rest = token(header(kid="ec-1")).partition(".")
    refused(InvalidInputError, "are base64url$", f"!{head}.{rest}")
    refused(InvalidInputError, "are base64url$", f"{head[:-1]}.{rest}" if len(head) % 4 == 2 else f"{head}A.{rest}")
    for kid in ("ec-1", "ec-10", "ec-100"):
        head = encode(header(kid=kid))
        if len(head) % 4:
            bent = head[:-1] + chr(ord(head[-1]) + 1)
            refused(InvalidInputError, "shortest form", f"{bent}.{rest}")
            break
    else:
        raise AssertionError("no header with unused bits")


def test_a_key_that_is_not_known_is_told_with_its_issuer() -> None:
    error = refused(UnknownKeyError, "not one of its issuer's keys", token(header(kid="ec-2")))
    assert isinstance(error, UnknownKeyError)
    assert error.issuer == ISSUER


def test_names_of_keys_are_bounded() -> None:
    for size, good in ((KID_LIMIT, True), (KID_LIMIT + 1, False)):
        kid = "k" * size
        issuer = known((IssuerKey(kid=kid, alg="ES256", jwk=public(EC)),))
        text = token(header(kid=kid))
        if good:
            verified(text, issuer=issuer)
        else:
            refused(UnknownKeyError, "issuer's keys", text, issuer=issuer)


def test_fetched_keys_count_until_they_were_not_fetched_for_too_long() -> None:
    issuer = known(fetched=("ec-1",), until_us=NOW + 1)
    found = verified(token(), NOW, issuer)
    assert (found.expires_us, found.ends_us) == (NOW + 1, NOW + 600 * SECOND_US)
    refused(NotAuthenticatedError, "could not be fetched for too long", token(), NOW + 1, issuer)
    # a pinned key beside them has no such end, and an end behind the token's own changes nothing
    assert verified(token(), NOW + 1, known(fetched=("ed-1",), until_us=NOW)).expires_us == NOW + 600 * SECOND_US
    late = known(fetched=("ec-1",), until_us=NOW + 10**12)
    assert verified(token(), NOW, late).expires_us == NOW + 600 * SECOND_US


def test_the_key_says_the_algorithm() -> None:
    refused(NotAuthenticatedError, "algorithm is not its key's, ES256", token(header(alg="RS256")))


@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_an_issuers_clock_may_be_five_seconds_ahead(name: str) -> None:
    # where there is no nbf, iat stands for it
    text = of(**({"nbf": NOW_S - 1} | {name: NOW_S + 5}))
    verified(text, NOW)
    refused(NotAuthenticatedError, "not valid yet", text, NOW - 1)


def test_a_token_lives_as_long_as_its_issuers_tokens_may() -> None:
    for exp in (NOW_S + 3, NOW_S + 2):
        refused(NotAuthenticatedError, "lives at most", of(iat=NOW_S + 3, exp=exp))
    verified(of(iat=NOW_S + 3, exp=NOW_S + 4))
    verified(of(exp=NOW_S + LIFETIME_LIMIT_S))
    refused(NotAuthenticatedError, f"at most {LIFETIME_LIMIT_S} s", of(exp=NOW_S + LIFETIME_LIMIT_S + 1))
    verified(of(exp=NOW_S + 90), issuer=known(lifetime_s=90))
    refused(NotAuthenticatedError, "at most 90 s", of(exp=NOW_S + 91), issuer=known(lifetime_s=90))


def test_expiry_has_no_leeway() -> None:
    text = of(exp=NOW_S + 10)
    verified(text, NOW + 10 * SECOND_US - 1)
    refused(ExpiredError, "has expired", text, NOW + 10 * SECOND_US)


def test_times_are_whole_seconds_from_1970_to_two_to_the_40() -> None:
    assert verified(of(iat=0, exp=600), 0).issued_us == 0
    end = 2**40
    verified(of(iat=end - 600, exp=end - 1), (end - 600) * SECOND_US)
    refused(NotAuthenticatedError, "lacks the claim exp", of(iat=end - 600, exp=end), (end - 600) * SECOND_US)
    refused(NotAuthenticatedError, "lacks the claim iat", of(iat=-1, exp=600), 0)
    refused(NotAuthenticatedError, "lacks the claim iat", of(iat=True, exp=600), 0)
    refused(NotAuthenticatedError, "claim nbf", of(nbf=0.5))


def test_a_bound_token_names_a_certificate_and_nothing_else() -> None:
    digest = bytes(range(32))
    assert verified(of(cnf={"x5t#S256": encode(digest)})).thumbprint == digest
    for wrong in ({"jkt": "x"}, {"x5t#S256": encode(digest), "jkt": "x"}, {}, ["x5t#S256"], "x5t#S256", 7, False):
        refused(NotAuthenticatedError, "bound in a way that is not understood", of(cnf=wrong))
    for wrong in (7, None, [encode(digest)]):
        refused(NotAuthenticatedError, "is not text", of(cnf={"x5t#S256": wrong}))
    for size in (31, 33):
        refused(NotAuthenticatedError, "is not a SHA-256", of(cnf={"x5t#S256": encode(bytes(size))}))
    refused(InvalidInputError, "base64url", of(cnf={"x5t#S256": "!" * 43}))


@pytest.mark.parametrize("name", ["sub", "client_id", "jti"])
def test_names_are_texts_with_something_in_them(name: str) -> None:
    for wrong in (None, "", 7, ["x"]):
        refused(NotAuthenticatedError, f"lacks the claim {name}", of(**{name: wrong}))
