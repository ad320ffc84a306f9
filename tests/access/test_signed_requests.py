"""What a request's signature must be, and that each departure from it refuses."""

from __future__ import annotations

import base64
import re
from types import SimpleNamespace
from typing import Any

import http_message_signatures as other
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from strongroom.access.content_digest import check_digest, digest_field, wanted_algorithm
from strongroom.access.grants import CallingSystem, Signing
from strongroom.access.signature_fields import request_lines, signature_base, signed_value, write_signature
from strongroom.access.signed_requests import AHEAD_S, WINDOW_S, check_request, sign_request, terms_of_systems
from strongroom.access.signing_keys import MessageKey, MessageSigner, key_directory, read_directory
from strongroom.adapters.access.memory_nonces import MemoryNonces
from strongroom.errors import InvalidInputError, NotPermittedError
from strongroom.vocabulary import PersonId
from tests.access.issuing import BOUNDS
from tests.access.signing import BODY, EC_KEY, ED_KEY, FIELDS, NOW_S, NOW_US, STRANGER, TARGET, signed, signing, terms

DESK = "loan-desk"


def check(
    headers: dict[bytes, bytes],
    method: bytes = b"POST",
    target: bytes = TARGET,
    body: bytes = BODY,
    at_us: int = NOW_US,
    **more: Any,
) -> bool:
    given = {"terms": terms(EC_KEY, ED_KEY), "nonces": MemoryNonces()} | more
    return check_request(DESK, given["terms"], method, target, headers, body, given["nonces"], at_us)  # type: ignore[arg-type]  # a name


def refused(headers: dict[bytes, bytes], **more: Any) -> str:
    with pytest.raises(NotPermittedError) as raised:
        check(headers, **more)
    assert raised.value.details["field"] == "signature"
    return str(raised.value.details["rule"])


@pytest.mark.parametrize("key", [EC_KEY, ED_KEY], ids=["ecdsa", "ed25519"])
def test_a_signed_request_passes_and_one_without_is_told(key: MessageSigner) -> None:
    assert check(signed(key)) is True
    assert refused(dict(FIELDS)) == "signature-missing"
    assert check(dict(FIELDS), terms=terms(EC_KEY, require=False)) is False
    assert check(dict(FIELDS), terms=None) is False


def test_a_question_without_a_body_needs_no_digest() -> None:
    headers = signed(method=b"GET", target=b"/v2", body=b"")
    assert b"content-digest" not in headers
    assert check(headers, b"GET", b"/v2", b"") is True
    assert refused(headers, method=b"POST", target=b"/v2", body=b"") == "signature-components"
    assert refused(headers, method=b"GET", target=b"/v2", body=b"x") == "signature-components"


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"target": TARGET.replace(b"cards", b"loans")}, "signature-signature"),
        ({"method": b"PUT"}, "signature-signature"),
        ({"target": TARGET + b"?"}, "signature-components"),
        ({"body": BODY + b" "}, "signature-digest"),
        ({"at_us": NOW_US + (WINDOW_S + 1) * 1_000_000}, "signature-time"),
        ({"at_us": NOW_US - (AHEAD_S + 1) * 1_000_000}, "signature-time"),
        ({"terms": terms(STRANGER)}, "signature-key"),
        ({"terms": None}, "signature-key"),
        ({"nonces": MemoryNonces(NOW_S)}, "signature-nonce"),
    ],
)
def test_what_differs_from_what_was_signed_is_refused(change: dict[str, Any], rule: str) -> None:
    assert refused(signed(), **change) == rule


@pytest.mark.parametrize("name", [b"authorization", b"content-type", b"content-digest", b"host"])
def test_every_covered_field_is_held(name: bytes) -> None:
    changed = signed() | {name: b"sha-256=:" + base64.b64encode(bytes(32)) + b":" if b"digest" in name else b"else"}
    assert refused(changed) == "signature-signature"
    gone = signed()
    del gone[name]
    assert refused(gone) == "signature-components"


@pytest.mark.parametrize("name", [b"content-encoding", b"inference-header-content-length"])
def test_a_field_of_meaning_cannot_be_added_on_the_way(name: bytes) -> None:
    assert refused(signed() | {name: b"12"}) == "signature-components"
    assert check(signed(headers={**FIELDS, name: b"12"})) is True


def bent(
    headers: dict[bytes, bytes], pattern: bytes, to: bytes, field: bytes = b"signature-input"
) -> dict[bytes, bytes]:
    value, count = re.subn(pattern, to, headers[field])
    assert count, "the test changes nothing"
    return headers | {field: value}


@pytest.mark.parametrize(
    ("pattern", "to", "rule"),
    [
        (rb'"@method" ', b"", "signature-components"),
        (rb'"@method"', b'"@method" "@method"', "signature-form"),
        (rb'"@method"', b'"@method";req', "signature-components"),
        (rb'"@method"', b'"@method";req=1', "signature-form"),
        (rb'"@method"', b'"@method";key="a"', "signature-form"),
        (rb'"@method"', b'"@method";req;key="a"', "signature-form"),
        (rb'"@method"', b'"@target-uri"', "signature-components"),
        (rb'"content-digest"', b'"content-digest";sf', "signature-form"),
        (rb'"authorization"', b'"authorization" "user-agent"', "signature-components"),
        (rb"created=\d+;", b"", "signature-form"),
        (rb"created=(\d+);", rb"created=\1.5;", "signature-form"),
        (rb"created=(\d+);", rb'created="\1";', "signature-form"),
        (rb"created=\d+;", b"created=1;", "signature-time"),
        (rb"created=(\d+)", rb"created=\1;expires=\1", "signature-time"),
        (rb";nonce=", b";nonsense=", "signature-form"),
        (rb'nonce="[^"]*"', b'nonce="short"', "signature-form"),
        (rb'nonce="[^"]*"', b'nonce="' + b"a" * 129 + b'"', "signature-form"),
        (rb'keyid="[^"]*"', b'keyid="' + STRANGER.public.id.encode() + b'"', "signature-key"),
        (rb'keyid="([^"]*)"', b'keyid="' + ED_KEY.public.id.encode() + b'"', "signature-signature"),
        (rb"(;tag)", rb';alg="hmac-sha256"\1', "signature-algorithm"),
        (rb"(;tag)", rb';alg="ed25519"\1', "signature-algorithm"),
        (rb"(;tag)", rb';alg="ecdsa-p256-sha256"\1', "signature-signature"),
        (rb'tag="[^"]*"', b'tag="strongroom-answer"', "signature-label"),
        (rb'tag="[^"]*"', b"tag=strongroom-request", "signature-form"),
        (rb"^sr=", b"sig=", "signature-form"),
        (rb"$", b", two=()", "signature-form"),
        (rb"^(.*)$", rb"\1, \1", "signature-form"),
        (rb"^.*$", b"sr", "signature-form"),
        (rb"^.*$", b"sr=1", "signature-form"),
        (rb"^.*$", b"", "signature-form"),
        (rb"$", b"\xff", "signature-form"),
        (rb"$", b" " * 2000, "signature-form"),
    ],
)  # fmt: skip
def test_a_bent_input_is_refused(pattern: bytes, to: bytes, rule: str) -> None:
    assert refused(bent(signed(), pattern, to)) == rule


def test_a_bent_signature_is_refused() -> None:
    good = signed()
    value = base64.b64decode(good[b"signature"].split(b":")[1])
    for data in (value[:-1], value + b"\0", bytes(64), value[32:] + value[:32], b"\xff" * 64, b""):
        bad = good | {b"signature": b"sr=:" + base64.b64encode(data) + b":"}
        assert refused(bad) == "signature-signature"
    for field in (b"sr=1", b'sr="text"', b"sr", b"other=:AA==:", b"sr=:!:", b"sr=:AA==:;x", b""):
        assert refused(good | {b"signature": field}) == "signature-form"
    for name in (b"signature", b"signature-input"):
        alone = dict(good)
        del alone[name]
        assert refused(alone) == "signature-form"


@pytest.mark.parametrize("off_s", [-WINDOW_S - 1, -WINDOW_S, 0, AHEAD_S, AHEAD_S + 1])
def test_both_ends_of_the_window_are_in_it(off_s: int) -> None:
    assert (WINDOW_S, AHEAD_S) == (60, 5)
    headers = signed(created_s=NOW_S + off_s)
    if -60 <= off_s <= 5:
        assert check(headers, at_us=NOW_US + 999_999) is True
    else:
        assert refused(headers, at_us=NOW_US + 999_999) == "signature-time"


def expiring(created_s: int, expires_s: int) -> dict[bytes, bytes]:
    """A signed request that says until when it counts."""
    fields = FIELDS | {b"content-digest": digest_field(BODY)}
    lines = request_lines(b"POST", TARGET, fields)
    value = signed_value(
        tuple(lines),
        {"created": created_s, "expires": expires_s, "keyid": EC_KEY.public.id, "nonce": "n" * 16,
         "tag": "strongroom-request"},
    )  # fmt: skip
    signature = EC_KEY.sign(signature_base(list(lines.items()), value))
    return fields | dict(zip((b"signature-input", b"signature"), write_signature("sr", value, signature), strict=True))


@pytest.mark.parametrize(
    ("created", "expires", "holds"),
    [(0, 1, True), (0, 0, False), (-9, 1, True), (-9, 0, False), (-9, -1, False), (5, 5, True), (5, 4, False),
     (5, 6, True)],
)  # fmt: skip
def test_a_request_may_say_until_when_it_counts_and_that_is_after_it_was_made(
    created: int, expires: int, holds: bool
) -> None:
    headers = expiring(NOW_S + created, NOW_S + expires)
    if holds:
        assert check(headers) is True
    else:
        assert refused(headers) == "signature-time"


def test_a_digest_of_an_unsigned_request_is_held_too() -> None:
    relaxed = terms(EC_KEY, require=False)
    for known in (relaxed, None):
        assert check(FIELDS | {b"content-digest": digest_field(BODY)}, terms=known) is False
        with pytest.raises(InvalidInputError, match="not the one"):
            check(FIELDS | {b"content-digest": digest_field(BODY + b" ")}, terms=known)


def test_a_caller_adds_a_digest_where_there_is_a_body_or_should_be_one() -> None:
    def added(method: bytes, body: bytes, **more: bytes) -> dict[bytes, bytes]:
        fields = FIELDS | {name.replace("_", "-").encode(): value for name, value in more.items()}
        return sign_request(EC_KEY, method, TARGET, fields, body, NOW_S)

    for method, body in ((b"POST", b""), (b"PUT", b"x"), (b"PATCH", b""), (b"GET", b"x")):
        assert added(method, body)[b"content-digest"] == digest_field(body)
    assert b"content-digest" not in added(b"GET", b"")
    assert b"content-digest" not in added(b"POST", BODY, content_digest=digest_field(BODY, "sha-512"))
    # 128 bits, in characters of six
    nonces = {re.search(rb'nonce="([^"]*)"', added(b"GET", b"")[b"signature-input"])[1] for _ in range(20)}  # type: ignore[index]  # it is there
    assert {len(nonce) for nonce in nonces} == {22}
    assert len(nonces) == 20


def test_terms_are_those_of_the_grants_that_speak_of_signatures() -> None:
    def system(name: str, **more: Any) -> CallingSystem:
        return CallingSystem(id=PersonId(name), roles=("caller",), bounds=BOUNDS, **more)

    found = terms_of_systems(
        [
            system("silent"),
            system("strict", signing=signing(EC_KEY, ED_KEY)),
            system("told", signing=signing(require=False, answers=True)),
        ]
    )
    assert {name: (one.require_signed, one.sign_answers) for name, one in found.items()} == {
        "strict": (True, False),
        "told": (False, True),
    }
    assert found[PersonId("strict")].keys.keys() == {EC_KEY.public.id, ED_KEY.public.id}
    assert check(signed(ED_KEY), terms=found[PersonId("strict")]) is True
    assert found[PersonId("told")].keys == {}
    assert refused(signed(), terms=found[PersonId("told")]) == "signature-key"


def test_a_nonce_counts_once_for_each_principal() -> None:
    nonces, headers = MemoryNonces(), signed()
    assert check(headers, nonces=nonces)
    assert refused(headers, nonces=nonces) == "signature-nonce"
    assert check_request("other-desk", terms(EC_KEY), b"POST", TARGET, headers, BODY, nonces, NOW_US)  # type: ignore[arg-type]  # a name


def test_a_signature_that_does_not_hold_spends_no_nonce() -> None:
    nonces, good = MemoryNonces(), signed(nonce="n" * 20)
    forged = signed(STRANGER, nonce="n" * 20)
    assert refused(forged, nonces=nonces, terms=terms(EC_KEY)) == "signature-key"
    assert refused(good, nonces=nonces, body=b"{}") == "signature-digest"
    assert check(good, nonces=nonces)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_two_fields_are_refused_and_nothing_else_is_raised(one: bytes, two: bytes) -> None:
    refused(dict(FIELDS) | {b"signature-input": one, b"signature": two})


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_any_digest_field_is_refused_or_right(field: bytes, body: bytes) -> None:
    with pytest.raises(InvalidInputError):
        check_digest(field, body)
    check_digest(digest_field(body), body)
    check_digest(digest_field(body, "sha-512") + b", md5=:AA==:", body)


@pytest.mark.parametrize(
    ("field", "rule"),
    [
        (b"md5=:AA==:", "algorithm"),
        (b"md5=:AA==:, unixsum=:AA==:", "algorithm"),
        (b"sha-256=1", "form"),
        (b"sha-256", "form"),
        (digest_field(b"x") + b", md5=1", "form"),
        (b"md5=1, " + digest_field(b"x"), "form"),
        (b"sha-256=:AA==:", "digest"),
        (digest_field(b"x") + b", sha-512=:AA==:", "digest"),
        (digest_field(b"x") + b", " + digest_field(b"x"), "unique"),
        (b"", "form"),
        (b"(", "form"),
    ],
)
def test_a_digest_that_does_not_say_which_body_is_refused_with_its_reason(field: bytes, rule: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_digest(field, b"x")
    assert (caught.value.details["field"], caught.value.details["rule"]) == ("content-digest", rule)


def test_fields_have_1024_bytes_at_most() -> None:
    good = digest_field(BODY)
    check_digest(good.ljust(1024), BODY)
    with pytest.raises(InvalidInputError, match="1024") as caught:
        check_digest(good.ljust(1025), BODY)
    assert caught.value.details["rule"] == "size"
    for name in (b"signature-input", b"signature"):
        whole = signed()
        assert check(whole | {name: whole[name].ljust(1024)}) is True
        assert refused(whole | {name: whole[name].ljust(1025)}) == "signature-form"


@pytest.mark.parametrize(("length", "holds"), [(15, False), (16, True), (128, True), (129, False)])
def test_a_nonce_has_16_to_128_characters(length: int, holds: bool) -> None:
    headers = signed(nonce="n" * length)
    if holds:
        assert check(headers) is True
    else:
        assert refused(headers) == "signature-form"


@pytest.mark.parametrize(
    ("wish", "algorithm"),
    [(b"sha-256=1", "sha-256"), (b"sha-512=3, sha-256=10", "sha-256"), (b"sha-512=1, sha-256=0", "sha-512"),
     (b"sha-512=0", "sha-256"), (b"sha-256=3, sha-512=3", "sha-256"), (b"sha-512=3, sha-256=3", "sha-512"),
     (b"md5=10", "sha-256"), (b"unixsum=3, sha-512=1", "sha-512")],
)  # fmt: skip
def test_the_preferred_digest_is_made(wish: bytes, algorithm: str) -> None:
    assert wanted_algorithm(wish) == algorithm


@pytest.mark.parametrize(
    "wish", [b"", b"sha-256", b"sha-256=11", b"sha-256=-1", b"sha-256=1.0", b"sha-256=1, sha-256=2"]
)
def test_a_wish_of_another_form_is_refused(wish: bytes) -> None:
    with pytest.raises(InvalidInputError):
        wanted_algorithm(wish)


def test_a_grant_names_keys_by_their_thumbprint_and_no_private_ones() -> None:
    key = EC_KEY.public
    assert read_directory(key_directory(key, ED_KEY.public)).keys() == {key.id, ED_KEY.public.id}
    jwk = dict(key.jwk)
    for bad in (
        {"id": "x"},
        {"alg": "ed25519"},
        {"jwk": jwk | {"d": "AA"}},
        {"jwk": jwk | {"y": jwk["x"]}},
        {"jwk": jwk | {"x": jwk["x"] + "="}},
        {"jwk": jwk | {"crv": "P-384"}},
    ):
        with pytest.raises(InvalidInputError):
            MessageKey(**{"id": key.id, "alg": key.alg, "jwk": jwk} | bad)
    with pytest.raises(InvalidInputError, match="P-256 or Ed25519"):
        MessageKey.of(ec.generate_private_key(ec.SECP384R1()).public_key())
    for bad in ({"require_signed": True}, {}, {"keys": (key, key)}):
        with pytest.raises(InvalidInputError):
            Signing(**bad)
    assert signing(EC_KEY, ED_KEY).require_signed


def test_an_independent_library_verifies_what_we_sign() -> None:
    headers = {name.decode(): value.decode() for name, value in signed().items()}
    message = SimpleNamespace(method="POST", url="https://gateway.example:8443" + TARGET.decode(), headers=headers)
    keys = other.MappingKeyResolver(public_keys={EC_KEY.public.id: EC_KEY._key.public_key()}, private_keys={})
    verifier = other.HTTPMessageVerifier(signature_algorithm=other.algorithms.ECDSA_P256_SHA256, key_resolver=keys)
    verifier.validate_created_and_expires = lambda *_args, **_more: None  # type: ignore[method-assign]  # its clock
    (result,) = verifier.verify(message, body=BODY)
    assert {
        '"@method"',
        '"@authority"',
        '"@path"',
        '"content-digest"',
        '"authorization"',
    } < result.covered_components.keys()


def test_what_an_independent_library_signs_is_accepted_in_any_order() -> None:
    headers = {name.decode(): value.decode() for name, value in FIELDS.items()}
    message = SimpleNamespace(method="POST", url="https://gateway.example:8443" + TARGET.decode(), headers=headers)
    keys = other.MappingKeyResolver(public_keys={}, private_keys={ED_KEY.public.id: ED_KEY._key})
    import datetime

    other.HTTPMessageSigner(signature_algorithm=other.algorithms.ED25519, key_resolver=keys).sign(
        message,
        key_id=ED_KEY.public.id,
        created=datetime.datetime.fromtimestamp(NOW_S, datetime.UTC),
        nonce="q" * 22,
        label="sr",
        tag="strongroom-request",
        covered_component_ids=("authorization", "@path", "@method", "content-type", "@authority"),
        body=BODY,
    )
    assert check({name.lower().encode(): value.encode() for name, value in message.headers.items()})


@given(st.text(st.characters(max_codepoint=300), max_size=30))
def test_a_value_never_makes_a_second_line(value: str) -> None:
    raw = value.encode()
    try:
        base = signature_base([('"a"', raw), ('"b"', b"2")], signed_value(('"a"', '"b"'), {"created": 1}))
    except InvalidInputError:
        assert b"\n" in raw.strip(b" \t") or b"\r" in raw.strip(b" \t") or not raw.isascii()
        return
    assert base.count(b"\n") == 2
    assert write_signature("sr", b"()", b"")[1] == b"sr=::"
