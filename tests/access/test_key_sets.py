"""Key sets and discovery documents from strangers: what is taken, what is left out, what is refused."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.access.authentication import Authenticator
from strongroom.access.grants import Denied, Grants
from strongroom.access.issuers import Issuer, IssuerKey, KeySet, KeySource, know
from strongroom.access.key_sets import SIZE_LIMIT, read_discovery, read_key_set
from strongroom.adapters.access.key_set_files import read_key_sets, read_wanted, write_key_sets, write_wanted
from strongroom.errors import InvalidInputError, NotAuthenticatedError, StrongroomError, TamperedError, TooLargeError
from tests.access.issuing import (
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
    grants,
    header,
    public,
    token,
)

SOURCE = KeySource(refresh_s=300, cooldown_s=30, outage_s=3600)


def document(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": list(keys)}).encode()


def key(of: Any = EC, kid: str = "a", **more: Any) -> dict[str, Any]:
    return {**public(of), "kid": kid, **more}


@pytest.mark.parametrize(("of", "alg"), [(EC, "ES256"), (ED, "Ed25519"), (RSA, "RS256")])
def test_the_key_says_its_algorithm(of: Any, alg: str) -> None:
    more = {"use": "sig", "x5c": ["AAAA"], "x5t": "x", "key_ops": ["verify"]}
    for named in ({}, {"alg": alg}, more, {"alg": "EdDSA"} if alg == "Ed25519" else {}):
        (found,) = read_key_set(document(key(of, **named)))
        assert (found.kid, found.alg, found.jwk) == ("a", alg, public(of))


LEFT_OUT: dict[str, dict[str, Any]] = {
    "for encryption": key(use="enc"),
    "cannot verify": key(key_ops=["sign"]),
    "operations as text": key(key_ops="verify"),
    "algorithm of another key": key(alg="RS256"),
    "symmetric algorithm": key(alg="HS256"),
    "PSS": key(RSA, alg="PS256"),
    "algorithm a list": key(alg=["ES256"]),
    "no name": {**public(EC)},
    "empty name": key(kid=""),
    "long name": key(kid="k" * 257),
    "name a number": {**public(EC), "kid": 1},
    "another curve": {"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA", "kid": "a"},
    "not on the curve": {**public(EC), "x": public(EC)["y"], "kid": "a"},
    "curve a list": {**public(EC), "crv": ["P-256"], "kid": "a"},
    "short modulus": {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "a"},
    "unknown type": {"kty": "AKP", "kid": "a"},
    "no type": {"kid": "a"},
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_key_that_is_not_for_us_is_left_out(name: str) -> None:
    assert [one.kid for one in read_key_set(document(LEFT_OUT[name], key(OTHER, "good")))] == ["good"]


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", InvalidInputError),
        (b"[]", InvalidInputError),
        (b"{}", InvalidInputError),
        (b'{"keys":{}}', InvalidInputError),
        (b'{"keys":[1]}', InvalidInputError),
        (b'{"keys":[],"keys":[]}', InvalidInputError),
        (b'{"keys":[NaN]}', InvalidInputError),
        (b'{"keys":' + b"[" * 5000, InvalidInputError),
        (b"\xff\xfe", InvalidInputError),
        (document(key(kid="a"), key(OTHER, "a")), InvalidInputError),
        (document(*[key(kid=str(n)) for n in range(101)]), TooLargeError),
        (b" " * (SIZE_LIMIT + 1), TooLargeError),
        (document(key(d="AAAA")), TamperedError),
        (document({"kty": "oct", "k": "AAAA", "kid": "s"}), TamperedError),
    ],
)
def test_a_set_out_of_form_is_refused_whole(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        read_key_set(data)


@settings(max_examples=30, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(("keys", *key(use="sig", n="", e=""))), inner),
    )
)
def test_whatever_comes_is_read_or_refused(value: Any) -> None:
    for data in (json.dumps(value).encode(), json.dumps({"keys": [value]}).encode()):
        for read in (read_key_set, lambda data: read_discovery(data, "https://a.example")):
            try:
                read(data)
            except StrongroomError:
                continue


def fetched(*keys: tuple[str, Any], at_us: int = NOW, source: KeySource = SOURCE, issuer: str = ISSUER) -> KeySet:
    algs = {"EC": "ES256", "OKP": "Ed25519", "RSA": "RS256"}
    made = tuple(IssuerKey(kid=kid, alg=algs[of.key_type], jwk=public(of)) for kid, of in keys)  # type: ignore[arg-type]
    return KeySet(issuer=issuer, source=source, fetched_us=at_us, keys=made)


def sourced(**changes: Any) -> Grants:
    issuer = Issuer(issuer=ISSUER, audience=AUDIENCE, keys=(), source=SOURCE, **changes)
    return msgspec.structs.replace(grants(), issuers=(issuer,))


def test_a_fetched_set_counts_until_its_outage_ends_and_no_longer() -> None:
    door = Authenticator(sourced(), {1: PEPPER}, key_sets=[fetched(("ec-1", EC))])
    end = NOW + SOURCE.outage_s * 1_000_000
    long = bearer(token(body=claims(exp=NOW_S + 7200)))
    principal = door.authenticate(long, NOW)
    assert principal.token_expires_us == end
    assert door.authenticate(long, end - 1).id == "loans"
    with pytest.raises(NotAuthenticatedError):
        door.authenticate(long, end)


def test_a_set_of_another_source_or_issuer_counts_for_nothing() -> None:
    other = KeySource(jwks_uri="https://elsewhere.example/jwks")
    for found in (fetched(("ec-1", EC), source=other), fetched(("ec-1", EC), issuer="https://other.example")):
        door = Authenticator(sourced(), {1: PEPPER}, key_sets=[found])
        with pytest.raises(NotAuthenticatedError):
            door.authenticate(bearer(token()), NOW)
        assert door.take_wanted() == {ISSUER}
        assert door.take_wanted() == frozenset()


def test_issuers_without_a_source_want_nothing_fetched() -> None:
    door = Authenticator(grants(), {1: PEPPER})
    with pytest.raises(NotAuthenticatedError):
        door.authenticate(bearer(token(header(kid="unknown"))), NOW)
    assert door.take_wanted() == frozenset()


def test_a_pinned_key_goes_before_a_fetched_one_of_its_name() -> None:
    pinned = IssuerKey(kid="ec-1", alg="ES256", jwk=public(EC))
    issuer = Issuer(issuer=ISSUER, audience=AUDIENCE, keys=(pinned,), source=SOURCE)
    known = know(issuer, fetched(("ec-1", OTHER), ("x", OTHER)))
    assert known.keys["ec-1"] == pinned
    assert known.fetched == {"x"}
    denied = know(issuer, fetched(("x", OTHER)), frozenset({"x", "ec-1"}))
    assert denied.keys == {}


def test_an_issuer_may_have_a_shorter_life_for_its_tokens() -> None:
    door = Authenticator(sourced(lifetime_s=300), {1: PEPPER}, key_sets=[fetched(("ec-1", EC))])
    with pytest.raises(NotAuthenticatedError):
        door.authenticate(bearer(token()), NOW)
    assert door.authenticate(bearer(token(body=claims(exp=NOW_S + 300))), NOW).id == "loans"


OUT_OF_FORM: list[Any] = [
    lambda: Issuer(issuer=ISSUER, audience=AUDIENCE, keys=()),
    lambda: Issuer(issuer=ISSUER, audience=AUDIENCE, keys=(), source=SOURCE, lifetime_s=59),
    lambda: Issuer(issuer="not an address", audience=AUDIENCE, keys=(), source=SOURCE),
    lambda: KeySource(refresh_s=4),
    lambda: KeySource(cooldown_s=0),
    lambda: KeySource(outage_s=300),
    lambda: KeySource(outage_s=604_801),
    lambda: Denied(what="token", value="x"),
    lambda: Denied(what="token", value="x", issuer=ISSUER, before_us=1),
    lambda: Denied(what="subject", value="x", issuer=ISSUER),
    lambda: Denied(what="certificate", value="ab" * 32, issuer=ISSUER),
    lambda: Denied(what="certificate", value="ab"),
    lambda: Denied(what="key", value="", issuer=ISSUER),
    lambda: msgspec.structs.replace(grants(), denied=()).__post_init__(),
    lambda: msgspec.structs.replace(
        grants(), denied=tuple(Denied(what="token", value=value, issuer=ISSUER) for value in "ba")
    ).__post_init__(),
]  # fmt: skip


@pytest.mark.parametrize("make", OUT_OF_FORM)
def test_what_is_out_of_form_is_not_granted(make: Any) -> None:
    with pytest.raises(InvalidInputError):
        make()


def test_the_document_with_everything_reads_back() -> None:
    full = sourced(lifetime_s=600)
    for denied in (
        Denied(what="token", value="t", issuer=ISSUER), Denied(what="key", value="k", issuer=ISSUER),
        Denied(what="subject", value="s", issuer=ISSUER, before_us=5), Denied(what="certificate", value="ab" * 32),
        Denied(what="subject", value="s", issuer=ISSUER, before_us=9),
    ):  # fmt: skip
        full = full.with_denied(denied)
    assert [one.what for one in full.denials] == ["certificate", "key", "subject", "token"]
    assert full.denials[2].before_us == 9
    assert Grants.decode(full.encode()) == full
    assert full.sequence == 6


def test_files_between_processes(tmp_path: Any) -> None:
    path, wanted = tmp_path / "keys", tmp_path / "wanted"
    assert read_key_sets(path) == ()
    assert read_wanted(wanted) == frozenset()
    write_key_sets(path, [fetched(("ec-1", EC))])
    write_wanted(wanted, [ISSUER])
    assert read_key_sets(path) == (fetched(("ec-1", EC)),)
    assert read_wanted(wanted) == {ISSUER}
    path.write_bytes(b"[{}]")
    wanted.write_bytes(b"{")
    with pytest.raises(TamperedError):
        read_key_sets(path)
    assert read_wanted(wanted) == frozenset()
