"""Threat: a caller forges, bends or replays a credential. Every attempt ends in the same sentence."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from strongroom.access import credentials
from strongroom.access.authentication import CACHE_TIME_US, UNIFORM, Authenticator
from strongroom.access.credentials import ApiKey
from strongroom.access.grants import Secret
from strongroom.errors import NotAuthenticatedError
from tests.access.issuing import (
    API_KEY,
    AUDIENCE,
    EC,
    ED,
    ISSUER,
    NOW,
    NOW_S,
    OTHER,
    PEPPER,
    RSA,
    bearer,
    claims,
    encode,
    grants,
    header,
    public,
    token,
)

PUBLIC_PEM = EC.as_pem(private=False)


@pytest.fixture
def door() -> Authenticator:
    return Authenticator(grants(), {1: PEPPER})


def refused(door: Authenticator, credential: bytes | None, at_us: int = NOW) -> BaseException | None:
    with pytest.raises(NotAuthenticatedError) as raised:
        door.authenticate(credential, at_us)
    assert raised.value.message == UNIFORM
    assert raised.value.details == {}
    return raised.value.__cause__


@pytest.mark.parametrize(
    "good",
    [
        token(),
        token(header(alg="Ed25519", kid="ed-1"), key=ED),
        token(header(alg="RS256", kid="rs-1"), key=RSA),
        token(header(typ="application/at+JWT")),
        token(body=claims(aud=["https://elsewhere.example", AUDIENCE])),
        token(body=claims(nbf=NOW_S, scope="score")),
    ],
)
def test_the_control_honest_tokens_pass(door: Authenticator, good: str) -> None:
    principal = door.authenticate(bearer(good), NOW)
    assert (principal.id, principal.kind, principal.roles) == ("loans", "Service", {"caller"})
    assert principal.token_expires_us == NOW + 600 * 1_000_000
    assert principal.grants["models"] == {"pd-cards"}


def test_the_control_an_honest_api_key_passes(door: Authenticator) -> None:
    assert door.authenticate(bearer(API_KEY), NOW).id == "loans"


def hs256(head: dict[str, object], secret: bytes) -> str:
    text = f"{encode(head)}.{encode(claims())}"
    return f"{text}.{encode(hmac.digest(secret, text.encode(), 'sha256'))}"


FORGED = {
    "none": f"{encode(header(alg='none'))}.{encode(claims())}.",
    "none, other spelling": f"{encode(header(alg='nOnE'))}.{encode(claims())}.",
    "none with a signature": token(header(alg="none")),
    "no algorithm": token(header(alg=None)),
    "public key as HMAC secret": hs256(header(alg="HS256"), PUBLIC_PEM),
    "public x as HMAC secret": hs256(header(alg="HS256"), public(EC)["x"].encode()),
    "algorithm of another key": token(header(alg="RS256")),
    "RSA signature under the name of the EC key": token(header(alg="RS256", kid="ec-1"), key=RSA),
    "EC key under the name of the RSA key": token(header(alg="ES256", kid="rs-1")),
    "old name of Ed25519": token(header(alg="EdDSA", kid="ed-1"), key=ED),
    "algorithm list": token(header(alg=["ES256", "none"])),
    "own key under the pinned name": token(key=OTHER),
    "own key brought along": token(header(jwk=public(OTHER)), key=OTHER),
    "address of own keys": token(header(jku="https://evil.example/keys"), key=OTHER),
    "address of own certificate": token(header(x5u="https://evil.example/cert"), key=OTHER),
    "own certificate": token(header(x5c=["AAAA"]), key=OTHER),
    "critical extension": token(header(crit=["exp"])),
    "unencoded payload": token(header(b64=False)),
    "compressed": token(header(zip="DEF")),
    "kid is a path": token(header(kid="../../dev/null")),
    "kid is a query": token(header(kid="' OR 1=1 --")),
    "kid is a list": token(header(kid=["ec-1"])),
    "no kid": token(header(kid=None)),
    "kid of another issuer": token(header(kid="x-1"), key=OTHER),
    "another issuer's key for our issuer": token(body=claims(), head=header(kid="x-1"), key=OTHER),
    "our subject at another issuer": token(header(kid="x-1"), claims(iss="https://other.example"), OTHER),
    "unknown issuer": token(body=claims(iss="https://evil.example")),
    "issuer with a slash": token(body=claims(iss=ISSUER + "/")),
    "issuer list": token(body=claims(iss=[ISSUER])),
    "no issuer": token(body=claims(iss=None)),
    "wrong audience": token(body=claims(aud="https://console.bank.example")),
    "audience prefix": token(body=claims(aud=AUDIENCE + ".evil.example")),
    "no audience": token(body=claims(aud=None)),
    "audience map": token(body=claims(aud={AUDIENCE: 1})),
    "expired": token(body=claims(iat=NOW_S - 700, exp=NOW_S - 1)),
    "expires now": token(body=claims(iat=NOW_S - 700, exp=NOW_S)),
    "no expiry": token(body=claims(exp=None)),
    "expiry as text": token(body=claims(exp="9999999999")),
    "expiry true": token(body=claims(exp=True)),
    "expiry fractional": token(body=claims(exp=NOW_S + 0.5)),
    "lives too long": token(body=claims(exp=NOW_S + 10 * 86_400)),
    "not before the future": token(body=claims(nbf=NOW_S + 60)),
    "not before as text": token(body=claims(nbf="0")),
    "issued in the future": token(body=claims(iat=NOW_S + 60)),
    "no issue time": token(body=claims(iat=None)),
    "no subject": token(body=claims(sub=None)),
    "empty subject": token(body=claims(sub="")),
    "unknown subject": token(body=claims(sub="someone")),
    "no client": token(body=claims(client_id=None)),
    "no token id": token(body=claims(jti=None)),
    "an ID token": token(header(typ="JWT")),
    "no type": token(header(typ=None)),
    "claims repeated": token(body=b'{"iss":"https://evil.example","iss":"%s","sub":"a"}' % ISSUER.encode()),
    "claims not JSON": token(body=b"{"),
    "claims NaN": token(body=b'{"exp": NaN}'),
    "claims a list": token(body=b"[]"),
    "claims deep": token(body=b"[" * 5000),
    "signature cut": token()[:-4],
    "signature empty": token().rsplit(".", 1)[0] + ".",
    "payload swapped": ".".join((token().split(".")[0], encode(claims(sub="loans-clienT")), token().split(".")[2])),
    "four parts": token() + ".x",
    "one part": "eyJ",
    "padding": token().replace(".", "=.", 1),
    "too large": token(body=claims(pad="x" * 9000)),
    "white space": token() + " ",
    "empty": "",
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_token_is_refused(door: Authenticator, name: str) -> None:
    assert refused(door, bearer(FORGED[name])) is not None or name == "too large"


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"Bearer",
        b"Bearer ",
        b"Basic " + str(API_KEY).encode(),
        str(API_KEY).encode(),
        b"Bearer  " + str(API_KEY).encode(),
        b"Bearer " + str(API_KEY).encode() + b", Bearer x",
        b"Bearer \xff\xfe",
        b"Bearer " + b"x" * 20_000,
        bearer(ApiKey("abcdefgh2345", "j" * 52)),
        bearer(ApiKey("abcdefgh2346", "k" * 52)),
        bearer(str(API_KEY)[:-1]),
        bearer(str(API_KEY) + "k"),
        bearer(str(API_KEY).upper()),
        bearer("sr_abcdefgh2345_"),
        bearer("sr__" + "k" * 52),
    ],
)
def test_anything_else_is_refused_in_the_same_words(door: Authenticator, value: bytes | None) -> None:
    refused(door, value)


def test_a_remembered_token_does_not_let_its_relatives_in(door: Authenticator) -> None:
    """The cache is keyed on the whole credential: neither its beginning nor its signed part is enough."""
    good = token()
    door.authenticate(bearer(good), NOW)
    signed, signature = good.rsplit(".", 1)
    for relative in (good[:-1], good + "A", signed + "." + signature[::-1], signed + ".", good.swapcase()):
        refused(door, bearer(relative))
    door.authenticate(bearer(API_KEY), NOW)
    refused(door, bearer(ApiKey(API_KEY.id, API_KEY.secret[:-1] + "j")))


def test_a_remembered_credential_ends_with_its_own_time(door: Authenticator) -> None:
    short = bearer(token(body=claims(exp=NOW_S + 5)))
    first = door.authenticate(short, NOW)
    assert door.authenticate(short, NOW + 4_999_999) is first
    refused(door, short, NOW + 5_000_000)
    ending = Authenticator(grants(Secret(digest=API_KEY.digest(PEPPER), from_us=0, until_us=NOW + 10)), {1: PEPPER})
    assert ending.authenticate(bearer(API_KEY), NOW).token_expires_us == NOW + 10
    refused(ending, bearer(API_KEY), NOW + 10)


def test_a_credential_is_not_remembered_for_ever(door: Authenticator, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = credentials.match_secret
    monkeypatch.setattr(
        "strongroom.access.authentication.match_secret", lambda *args: (asked.append(1), real(*args))[1]
    )
    for at in (NOW, NOW + 1, NOW + CACHE_TIME_US - 1, NOW + CACHE_TIME_US):
        door.authenticate(bearer(API_KEY), at)
    assert len(asked) == 2


def test_callers_who_take_turns_do_not_push_each_other_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strongroom.access.authentication.CACHE_LIMIT", 1)
    assert len(grants().systems) == 1
    door = Authenticator(grants(), {1: PEPPER})
    by_key, by_token = (bearer(API_KEY), bearer(token()))
    first = [door.authenticate(one, NOW) for one in (by_key, by_token)]
    again = [door.authenticate(one, NOW) for one in (by_key, by_token)]
    assert [one is other for one, other in zip(first, again, strict=True)] == [True, True]
    narrow = Authenticator(grants(), {1: PEPPER}, cache_limit=1)
    assert narrow.authenticate(by_key, NOW) is not None
    narrow.authenticate(by_token, NOW)
    assert len(narrow._held) == 1


def test_wrong_guesses_do_not_push_others_out(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Authenticator(grants(), {1: PEPPER}, cache_limit=2)
    first = door.authenticate(bearer(API_KEY), NOW)
    for number in range(50):
        refused(door, bearer(ApiKey(API_KEY.id, f"{number:052d}".translate(str.maketrans("0189", "abcd")))))
    assert door.authenticate(bearer(API_KEY), NOW) is first


def test_an_unknown_id_costs_what_a_wrong_secret_costs(door: Authenticator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways compute the keyed digest once and compare it in constant time at least once."""
    compared: list[tuple[str, str]] = []
    digested: list[bytes] = []
    real_compare, real_new = hmac.compare_digest, hmac.new

    def compare(left: str, right: str) -> bool:
        compared.append((left, right))
        return real_compare(left, right)

    def new(key: bytes, message: bytes, algorithm: object) -> object:
        digested.append(message)
        assert algorithm is hashlib.sha256
        return real_new(key, message, hashlib.sha256)

    monkeypatch.setattr(credentials.hmac, "compare_digest", compare)
    monkeypatch.setattr(credentials.hmac, "new", new)
    refused(door, bearer(ApiKey("zzzzzzzzzzzz", "k" * 52)))
    unknown = (len(digested), len(compared))
    refused(door, bearer(ApiKey(API_KEY.id, "j" * 52)))
    known = (len(digested) - unknown[0], len(compared) - unknown[1])
    assert unknown[0] == known[0] == 1
    assert unknown[1] == known[1]
    assert all(len(left) == len(right) == 64 for left, right in compared)


def test_nothing_secret_is_kept_or_shown(door: Authenticator) -> None:
    door.authenticate(bearer(API_KEY), NOW)
    assert API_KEY.secret not in repr(API_KEY)
    assert API_KEY.secret not in grants().encode().decode()
    assert all(isinstance(key, bytes) and len(key) == 32 for key in door._held)
    other_pepper = bytes(32)
    assert API_KEY.digest(PEPPER) != API_KEY.digest(other_pepper)
    refused(Authenticator(grants(), {1: other_pepper}), bearer(API_KEY))
