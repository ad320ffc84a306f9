"""Who is let in, by which proof, until when, and what is remembered of it: each rule at its edge."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import pytest

from strongroom.access import authentication
from strongroom.access.authentication import (
    CACHE_LIMIT,
    CACHE_TIME_US,
    HEADER_LIMIT,
    UNIFORM,
    Authenticator,
)
from strongroom.access.certificates import CertificateName, Presented
from strongroom.access.credentials import ApiKey
from strongroom.access.grants import CallingSystem, Denied, Grants, Secret, TokenSubject
from strongroom.access.issuers import KeySource
from strongroom.access.principals import Principal
from strongroom.errors import NotAuthenticatedError, UnavailableError
from strongroom.vocabulary import PersonId
from tests.access.issuing import (
    API_KEY,
    BOUNDS,
    EC,
    ISSUER,
    NOW,
    NOW_S,
    OTHER,
    PEPPER,
    PINNED,
    SECOND,
    bearer,
    claims,
    encode,
    grants,
    header,
    token,
)

SPKI, URI = "22" * 32, "spiffe://bank.example/loans"
CERTIFIED = {"certificates": (CertificateName(by="spki", value=SPKI), CertificateName(by="uri", value=URI))}
LETTER = ApiKey("zzzzzzzzzzzz", "z" * 52)
LETTERS = CallingSystem(
    id=PersonId("letters"), roles=("caller",), bounds=BOUNDS, key_id=LETTER.id,
    secrets=(Secret(digest=LETTER.digest(PEPPER), from_us=0),),
    certificates=(CertificateName(by="dns", value="letters.bank.example"),),
)  # fmt: skip


def certificate(**changes: Any) -> Presented:
    fields = {"digest": b"d" * 32, "spki": SPKI, "uris": (), "dns": (), "from_us": 0, "until_us": NOW + 10**9}
    return Presented(**{**fields, **changes})


STRANGER = certificate(digest=b"s" * 32, spki="33" * 32)
THEIRS = certificate(digest=b"t" * 32, spki="44" * 32, dns=("letters.bank.example",))


class Register:
    """Of used tokens: it keeps what it is told."""

    def __init__(self) -> None:
        self.spent: list[tuple[bytes, int, int, int]] = []

    def spend(self, digest: bytes, issued_us: int, ends_us: int, at_us: int) -> None:
        if digest in {one[0] for one in self.spent}:
            raise NotAuthenticatedError("used before")
        self.spent.append((digest, issued_us, ends_us, at_us))


def document(denied: tuple[Denied, ...] = (), subject: dict[str, Any] | None = None, **system: Any) -> Grants:
    """Two systems: `loans`, with these changes, and `letters`."""
    (loans,) = grants().systems
    if subject is not None:
        system["tokens"] = (TokenSubject(issuer=ISSUER, subject="loans-client", **subject),)
    made = msgspec.structs.replace(grants(), systems=(LETTERS, msgspec.structs.replace(loans, **system)))
    return msgspec.structs.replace(made, denied=denied) if denied else made


def door(denied: tuple[Denied, ...] = (), used: Register | None = None, **changes: Any) -> Authenticator:
    return Authenticator(document(denied, **changes), {1: PEPPER}, used=used)


def refused(
    at: Authenticator, credential: bytes | None, presented: Presented | None = None, at_us: int = NOW
) -> BaseException | None:
    """Why, for our own logs; the caller reads the same words always."""
    with pytest.raises(NotAuthenticatedError) as raised:
        at.authenticate(credential, at_us, presented)
    assert (raised.value.message, raised.value.details) == (UNIFORM, {})
    return raised.value.__cause__


def says(found: BaseException | None, what: str) -> None:
    assert what in str(found), found


def test_a_system_comes_in_by_each_of_its_proofs() -> None:
    at = door(**CERTIFIED)

    def proofs(credential: bytes | None, presented: Presented | None = None) -> tuple[str, set[str], int | None]:
        found = at.authenticate(credential, NOW, presented)
        return found.id, set(found.proofs), found.token_expires_us

    ends, shorter = NOW + 10**9, NOW + 600 * 10**6
    assert proofs(bearer(API_KEY)) == ("loans", {"api-key"}, None)
    assert proofs(bearer(token())) == ("loans", {"token"}, shorter)
    assert proofs(None, certificate()) == ("loans", {"certificate"}, ends)
    assert proofs(b"", certificate()) == ("loans", {"certificate"}, ends)
    assert proofs(None, certificate(digest=b"u" * 32, spki="00" * 32, uris=(URI,))) == ("loans", {"certificate"}, ends)
    assert proofs(None, THEIRS) == ("letters", {"certificate"}, ends)
    assert proofs(bearer(API_KEY), certificate()) == ("loans", {"api-key", "certificate"}, ends)
    # a certificate that no grant names says nothing, but ends what was proven on its line
    assert proofs(bearer(API_KEY), STRANGER) == ("loans", {"api-key"}, ends)
    assert proofs(bearer(token()), certificate()) == ("loans", {"token", "certificate"}, shorter)
    soon = certificate(digest=b"e" * 32, until_us=NOW + 5)
    assert proofs(bearer(token()), soon) == ("loans", {"token", "certificate"}, NOW + 5)
    until = (Secret(digest=API_KEY.digest(PEPPER), from_us=0, until_us=NOW + 3),)
    assert door(secrets=until).authenticate(bearer(API_KEY), NOW, STRANGER).token_expires_us == NOW + 3


def test_the_scheme_is_bearer_in_any_case_and_nothing_else() -> None:
    at = door()
    for scheme in (b"Bearer ", b"bearer ", b"BEARER ", b"bEaReR "):
        assert at.authenticate(scheme + str(API_KEY).encode(), NOW).id == "loans"
    for scheme in (b"", b"Basic ", b"Bearer", b"Bearer: ", b"Bearer\t", b" Bearer ", b"DPoP "):
        says(refused(at, scheme + str(API_KEY).encode()), "Bearer")
    assert isinstance(refused(at, b"Bearer sr_\xff"), UnicodeDecodeError)


@pytest.mark.parametrize("presented", [None, certificate()], ids=["alone", "beside a certificate"])
def test_a_header_that_is_too_long_is_not_looked_at(presented: Presented | None) -> None:
    assert HEADER_LIMIT == 8192 + 16
    at = door(**CERTIFIED)
    says(refused(at, b"Bearer ".ljust(HEADER_LIMIT, b"x"), presented), "8192")
    # refused without a cause: nobody read it
    assert refused(at, b"Bearer ".ljust(HEADER_LIMIT + 1, b"x"), presented) is None


def test_nothing_at_all_is_nobody_and_is_not_looked_at() -> None:
    assert refused(door(), None) is None
    assert refused(door(), b"") is None


def test_a_wrong_key_is_told_from_none_in_our_log_only() -> None:
    at = door()
    for key in (ApiKey(API_KEY.id, "j" * 52), ApiKey("abcdefgh2346", "k" * 52)):
        says(refused(at, bearer(key)), "no such API key")


def test_a_certificate_beside_a_credential_is_of_the_same_system() -> None:
    at = door(**CERTIFIED)
    says(refused(at, bearer(API_KEY), THEIRS), "of another system")
    says(refused(at, bearer(LETTER), certificate()), "of another system")
    assert at.authenticate(bearer(LETTER), NOW, THEIRS).id == "letters"
    says(refused(at, None, STRANGER), "by this certificate alone")
    # the certificate lets nobody in whose credential is wrong
    says(refused(at, bearer(ApiKey(API_KEY.id, "j" * 52)), certificate()), "no such API key")


def test_a_certificate_that_is_needed_beside_is_not_enough_and_not_missing() -> None:
    at = door(beside=True, **CERTIFIED)
    says(refused(at, None, certificate()), "by this certificate alone")
    says(refused(at, bearer(API_KEY)), "needs a certificate")
    says(refused(at, bearer(API_KEY), STRANGER), "needs a certificate")
    says(refused(at, bearer(API_KEY), THEIRS), "of another system")
    assert at.authenticate(bearer(API_KEY), NOW, certificate()).proofs == {"api-key", "certificate"}


def test_a_certificate_counts_between_its_dates_and_while_it_is_not_denied() -> None:
    at = door(**CERTIFIED)
    dated = certificate(from_us=NOW, until_us=NOW + 2)
    for when, holds in ((NOW - 1, False), (NOW, True), (NOW + 1, True), (NOW + 2, False)):
        if holds:
            assert at.authenticate(None, when, dated).id == "loans"
        else:
            says(refused(at, None, dated, when), "not valid now")
            says(refused(at, bearer(API_KEY), dated, when), "not valid now")
    denied = door((Denied(what="certificate", value=(b"d" * 32).hex()),), **CERTIFIED)
    says(refused(denied, None, certificate()), "is denied")
    says(refused(denied, bearer(API_KEY), certificate()), "is denied")
    assert denied.authenticate(None, NOW, certificate(digest=b"e" * 32)).id == "loans"
    # no grant names any certificate: its dates and denials count all the same
    plain = Authenticator(
        msgspec.structs.replace(grants(), denied=(Denied(what="certificate", value=(b"d" * 32).hex()),)), {1: PEPPER}
    )
    says(refused(plain, bearer(API_KEY), certificate()), "is denied")
    says(refused(plain, bearer(API_KEY), certificate(digest=b"e" * 32, until_us=NOW)), "not valid now")
    assert plain.authenticate(bearer(API_KEY), NOW, certificate(digest=b"e" * 32)).proofs == {"api-key"}


def test_a_certificate_with_names_of_two_systems_is_nobodys() -> None:
    at = door(**CERTIFIED)
    both = certificate(dns=("letters.bank.example",))
    says(refused(at, None, both), "more than one system")
    says(refused(at, bearer(API_KEY), both), "more than one system")
    assert at.authenticate(None, NOW, certificate(uris=(URI,))).id == "loans", "two names of one system are no doubt"


def bound(digest: bytes) -> bytes:
    return bearer(token(body=claims(cnf={"x5t#S256": encode(digest)})))


def test_a_bound_token_is_nothing_without_its_certificate() -> None:
    at = door(**CERTIFIED)
    mine = bound(b"d" * 32)
    says(refused(at, mine), "bound to another certificate")
    says(refused(at, bound(b"e" * 32), certificate()), "bound to another certificate")
    assert at.authenticate(mine, NOW, certificate()).proofs == {"token", "bound-token", "certificate"}
    assert at.authenticate(bound(b"s" * 32), NOW, STRANGER).proofs == {"token", "bound-token"}


def test_a_grant_may_take_bound_tokens_only() -> None:
    at = door(subject={"bound": True}, **CERTIFIED)
    says(refused(at, bearer(token()), certificate()), "bound to a certificate, and this one is not")
    assert at.authenticate(bound(b"d" * 32), NOW, certificate()).id == "loans"
    assert at.authenticate(bearer(API_KEY), NOW).id == "loans"


def test_a_token_of_nobodys_subject_is_refused() -> None:
    says(refused(door(), bearer(token(body=claims(sub="somebody")))), "no calling system stands for")
    says(
        refused(door(), bearer(token(header(kid="x-1"), claims(iss=SECOND.issuer), OTHER))),
        "no calling system stands for",
    )


def test_a_denied_token_is_one_of_one_issuer() -> None:
    says(refused(door((Denied(what="token", value="1", issuer=ISSUER),)), bearer(token())), "token is denied")
    for other in (
        Denied(what="token", value="2", issuer=ISSUER),
        Denied(what="token", value="1", issuer=SECOND.issuer),
        # names of keys and of subjects are no names of tokens
        Denied(what="key", value="1", issuer=ISSUER),
        Denied(what="subject", value="1", issuer=ISSUER, before_us=NOW + 1),
    ):
        assert door((other,)).authenticate(bearer(token()), NOW).id == "loans"


@pytest.mark.parametrize(("before", "holds"), [(NOW - 1, True), (NOW, True), (NOW + 1, False)])
def test_a_denied_subject_has_its_tokens_of_before_denied(before: int, holds: bool) -> None:
    at = door((Denied(what="subject", value="loans-client", issuer=ISSUER, before_us=before),))
    if holds:
        assert at.authenticate(bearer(token()), NOW).id == "loans"
    else:
        says(refused(at, bearer(token())), "token is denied")
    assert at.authenticate(bearer(API_KEY), NOW).id == "loans"


def test_another_subject_and_another_issuers_are_not_denied() -> None:
    for other in (
        Denied(what="subject", value="other-client", issuer=ISSUER, before_us=NOW + 1),
        Denied(what="subject", value="loans-client", issuer=SECOND.issuer, before_us=NOW + 1),
    ):
        assert door((other,)).authenticate(bearer(token()), NOW).id == "loans"


def test_a_denied_key_is_one_of_one_issuer() -> None:
    says(refused(door((Denied(what="key", value="ec-1", issuer=ISSUER),)), bearer(token())), "not one of its issuer's")
    for other in (
        Denied(what="key", value="ec-1", issuer=SECOND.issuer),
        Denied(what="key", value="ed-1", issuer=ISSUER),
        Denied(what="token", value="ec-1", issuer=ISSUER),
    ):
        assert door((other,)).authenticate(bearer(token()), NOW).id == "loans"


def test_keys_that_are_wanted_are_told_once_and_of_issuers_with_a_source_only() -> None:
    strange = bearer(token(header(kid="new"), key=EC))
    plain = door()
    says(refused(plain, strange), "not one of its issuer's")
    assert plain.take_wanted() == frozenset()
    sourced = msgspec.structs.replace(document(), issuers=(msgspec.structs.replace(PINNED, source=KeySource()), SECOND))
    at = Authenticator(sourced, {1: PEPPER})
    assert at.take_wanted() == frozenset()
    says(refused(at, bearer(token(header(kid="new"), claims(iss=SECOND.issuer), OTHER))), "not one of its issuer's")
    assert at.take_wanted() == frozenset()
    for _ in range(2):
        says(refused(at, strange), "not one of its issuer's")
        assert at.take_wanted() == {ISSUER}
        assert at.take_wanted() == frozenset()


def test_a_token_that_counts_once_is_spent_under_all_that_it_is() -> None:
    used = Register()
    at = door(used=used, subject={"one_time": True})
    first = at.authenticate(bearer(token()), NOW + 7)
    assert first.proofs == {"token", "one-time"}
    data = b"strongroom/one-time-token/v1\n" + b"".join(
        len(part).to_bytes(4, "big") + part for part in (ISSUER.encode(), b"1")
    )
    assert used.spent == [(hashlib.sha256(data).digest(), NOW, NOW + 600 * 10**6, NOW + 7)]
    # it is not remembered: that it was used is asked every time
    says(refused(at, bearer(token()), at_us=NOW + 7), "used before")
    assert at._held == {}
    assert at.authenticate(bearer(token(body=claims(jti="2"))), NOW).id == "loans"
    assert at.authenticate(bearer(token(body=claims(jti="\ud800"))), NOW).id == "loans"
    assert len(used.spent) == 3
    # other proofs of the same system are remembered as ever
    assert at.authenticate(bearer(API_KEY), NOW) is at.authenticate(bearer(API_KEY), NOW)
    assert len(used.spent) == 3


def test_what_is_refused_for_another_reason_is_not_used_up() -> None:
    used = Register()
    at = door(used=used, subject={"one_time": True}, beside=True, **CERTIFIED)
    says(refused(at, bearer(token())), "needs a certificate")
    says(refused(at, bearer(token()), THEIRS), "of another system")
    assert used.spent == []
    assert at.authenticate(bearer(token()), NOW, certificate()).proofs == {"token", "one-time", "certificate"}
    assert len(used.spent) == 1


def test_a_node_without_a_register_takes_no_token_that_counts_once() -> None:
    says(refused(door(subject={"one_time": True}), bearer(token())), "no register of used tokens")


def test_a_register_that_cannot_be_asked_is_no_wrong_credential() -> None:
    class Broken(Register):
        def spend(self, digest: bytes, issued_us: int, ends_us: int, at_us: int) -> None:
            raise UnavailableError("no room")

    with pytest.raises(UnavailableError):
        door(used=Broken(), subject={"one_time": True}).authenticate(bearer(token()), NOW)


def same(at: Authenticator, credential: bytes | None, first_us: int, then_us: int, *line: Presented) -> bool:
    """Whether the second time nothing was verified again."""
    first: Principal = at.authenticate(credential, first_us, *line)
    return at.authenticate(credential, then_us, *line) is first


def test_what_held_is_remembered_for_its_time_and_no_longer() -> None:
    assert CACHE_TIME_US == 300_000_000
    assert same(door(), bearer(API_KEY), NOW, NOW + CACHE_TIME_US - 1)
    assert not same(door(), bearer(API_KEY), NOW, NOW + CACHE_TIME_US)
    short = bearer(token(body=claims(exp=NOW_S + 5)))
    assert same(door(), short, NOW, NOW + 4_999_999)
    assert same(door(**CERTIFIED), None, NOW, NOW + 4, certificate(until_us=NOW + 5))
    with pytest.raises(NotAuthenticatedError):
        same(door(**CERTIFIED), None, NOW, NOW + 5, certificate(until_us=NOW + 5))
    with pytest.raises(NotAuthenticatedError):
        same(door(), short, NOW, NOW + 5_000_000)


def test_each_credential_and_each_certificate_is_remembered_for_itself() -> None:
    at = door(**CERTIFIED)
    whole = (b"d" * 32).hex()
    asked: list[tuple[bytes | None, Presented | None]] = [
        (bearer(API_KEY), None), (bearer(API_KEY), certificate()), (None, certificate()), (bearer(LETTER), THEIRS),
        (bearer(token()), certificate()), (bearer(API_KEY), STRANGER),
    ]  # fmt: skip
    first = [at.authenticate(credential, NOW, presented) for credential, presented in asked]
    assert len({id(one) for one in first}) == len(asked)
    again = [at.authenticate(credential, NOW, presented) for credential, presented in asked]
    assert all(one is other for one, other in zip(first, again, strict=True))
    assert {key.hex()[:64] for key in at._held if len(key) == 64} == {whole, "74" * 32, "73" * 32}
    # a good one on this line makes no other good on it
    says(refused(at, bearer(ApiKey(API_KEY.id, "j" * 52)), certificate()), "no such API key")
    says(refused(at, bearer(LETTER), certificate()), "of another system")


def test_the_one_that_came_first_makes_room() -> None:
    at = Authenticator(document(), {1: PEPPER}, cache_limit=2)
    three = [bearer(API_KEY), bearer(token()), bearer(LETTER)]
    kept = [at.authenticate(one, NOW) for one in three]
    assert list(at._held) == [hashlib.sha256(one).digest() for one in three[1:]]
    assert [at.authenticate(one, NOW) is first for one, first in zip(three[1:], kept[1:], strict=True)] == [True, True]
    assert at.authenticate(three[0], NOW) is not kept[0]
    assert len(at._held) == 2


def test_there_is_room_for_two_of_each_system() -> None:
    assert CACHE_LIMIT == 16_384
    assert door()._limit == 16_384
    assert Authenticator(document(), {1: PEPPER}, cache_limit=3)._limit == 3
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(authentication, "CACHE_LIMIT", 3)
        assert door()._limit == 4
        patched.setattr(authentication, "CACHE_LIMIT", 5)
        assert door()._limit == 5
