"""Format 7 key ids, DSSE envelopes, in-toto statements: accept, reject, and what other people's tools say."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement as Reference
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

from strongroom.errors import InvalidInputError, TamperedError
from strongroom.sealing import statements
from strongroom.sealing.dsse import envelope_signers, join_signatures, open_envelope, pae, sign_envelope
from strongroom.sealing.keys import SCHEME, EcSigner, PublicKey
from strongroom.sealing.statements import SCAN, make_statement, read_statement
from strongroom.vocabulary import Digest, KeyId, ModelRef
from tests.sealing.material import AUTHOR, KEYS, OTHER

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "envelopes.json").read_text())
REF = ModelRef(VECTORS["ref"]["name"], Digest(VECTORS["ref"]["manifest"]))
PAYLOAD = bytes.fromhex(VECTORS["payload"])


class Verdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    v: int
    verdict: str


@pytest.mark.parametrize("case", VECTORS["keys"], ids=["author", "other"])
def test_key_ids(case: dict[str, str]) -> None:
    key = EcSigner.from_scalar(int(case["private"], 16)).public
    assert key.spki.hex() == case["spki"]
    assert key.key_id == case["key_id"] == hashlib.sha256(bytes.fromhex(case["spki"])).hexdigest()
    assert key.pem.decode() == case["pem"]
    assert PublicKey.from_pem(case["pem"].encode()) == PublicKey(bytes.fromhex(case["spki"])) == key


def test_keys_of_other_kinds_and_encodings_are_refused() -> None:
    encode, form = serialization.Encoding, serialization.PublicFormat
    compressed = AUTHOR.private.public_key().public_bytes(encode.X962, form.CompressedPoint)
    prefix = AUTHOR.public.spki[:26]
    wrong = [
        b"",
        AUTHOR.public.spki + b"\x00",
        AUTHOR.public.spki[:-1],
        prefix[:1] + bytes([57]) + prefix[2:24] + bytes([34, 0]) + compressed,
        ec.generate_private_key(ec.SECP384R1()).public_key().public_bytes(encode.DER, form.SubjectPublicKeyInfo),
        ec.generate_private_key(ec.SECP256K1()).public_key().public_bytes(encode.DER, form.SubjectPublicKeyInfo),
        ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(encode.DER, form.SubjectPublicKeyInfo),
        prefix + b"\x04" + b"\x01" * 64,
    ]
    for spki in wrong:
        with pytest.raises(InvalidInputError):
            PublicKey(spki)


def test_a_private_key_survives_pkcs8_and_is_never_shown() -> None:
    assert EcSigner.from_pkcs8(AUTHOR.pkcs8()).public == AUTHOR.public
    assert "private" not in repr(AUTHOR)
    with pytest.raises(InvalidInputError):
        EcSigner.from_pkcs8(b"nonsense")


@pytest.mark.parametrize("case", VECTORS["envelopes"]["accept"], ids=["one", "two"])
def test_accept(case: str) -> None:
    opened = open_envelope(bytes.fromhex(case), KEYS)
    assert opened.payload == PAYLOAD
    assert list(opened.signers) == sorted(opened.signers) == list(envelope_signers(bytes.fromhex(case)))
    assert read_statement(opened.payload, SCAN, Verdict) == (REF, Verdict(1, "clean"))


@pytest.mark.parametrize(("name", "case"), VECTORS["envelopes"]["reject"].items())
def test_reject_envelope(name: str, case: str) -> None:
    with pytest.raises(TamperedError):
        open_envelope(bytes.fromhex(case), KEYS)


@pytest.mark.parametrize(("name", "case"), VECTORS["statements"]["reject"].items())
def test_reject_statement_though_signed(name: str, case: str) -> None:
    opened = open_envelope(sign_envelope(bytes.fromhex(case), AUTHOR), KEYS)
    with pytest.raises(TamperedError):
        read_statement(opened.payload, SCAN, Verdict)


def test_the_predicate_must_be_of_its_kind() -> None:
    for predicate in ({"v": 1}, {"v": "1", "verdict": "clean"}, {"v": 1, "verdict": "clean", "more": 1}):
        with pytest.raises(TamperedError, match="the statement does not hold: the document is not a Verdict"):
            read_statement(make_statement(REF, SCAN, predicate), SCAN, Verdict)


def test_no_keys_means_no() -> None:
    envelope = sign_envelope(PAYLOAD, AUTHOR)
    with pytest.raises(TamperedError):
        open_envelope(envelope, {})
    # A map that lies about whose key it holds does not help either.
    with pytest.raises(TamperedError):
        open_envelope(envelope, {AUTHOR.public.key_id: OTHER.public})
    with pytest.raises(TamperedError):
        open_envelope(envelope, KEYS, payload_type="application/json")


def test_too_many_signatures_are_refused() -> None:
    signers = [EcSigner.from_scalar(n) for n in range(2, 19)]
    envelope = join_signatures(
        PAYLOAD, {s.public.key_id: s.sign(pae("application/vnd.in-toto+json", PAYLOAD)) for s in signers}
    )
    with pytest.raises(TamperedError):
        open_envelope(envelope, {s.public.key_id: s.public for s in signers})


def test_pae_is_that_of_the_specification() -> None:
    # The example of the DSSE protocol page.
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_securesystemslib_verifies_our_envelopes() -> None:
    envelope = Envelope.from_dict(json.loads(sign_envelope(PAYLOAD, AUTHOR)))
    key = SSlibKey.from_crypto(AUTHOR.private.public_key(), AUTHOR.public.key_id, SCHEME)
    assert set(envelope.verify([key], 1)) == {AUTHOR.public.key_id}


@pytest.mark.parametrize("kind", [value for name, value in vars(statements).items() if str(value).startswith("urn:")])
def test_in_toto_parses_and_validates_our_statements(kind: str) -> None:
    parsed = json_format.Parse(make_statement(REF, kind, {"v": 1}), statement_pb2.Statement())
    Reference.copy_from_pb(parsed).validate()
    assert parsed.subject[0].digest["sha256"] == REF.manifest
    assert parsed.predicate_type == kind


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_cleanly(data: bytes) -> None:
    for reader in (lambda: open_envelope(data, KEYS), lambda: read_statement(data, SCAN, Verdict)):
        with pytest.raises(TamperedError):
            reader()


@given(st.binary(max_size=100), st.sets(st.integers(1, 6), min_size=1, max_size=4))
def test_round_trip(payload: bytes, scalars: set[int]) -> None:
    signers = [EcSigner.from_scalar(scalar) for scalar in scalars]
    signed: dict[KeyId, bytes] = {s.public.key_id: s.sign(pae("text/plain", payload)) for s in signers}
    keys = {s.public.key_id: s.public for s in signers}
    opened: Any = open_envelope(
        join_signatures(payload, signed, payload_type="text/plain"), keys, payload_type="text/plain"
    )
    assert opened.payload == payload
    assert set(opened.signers) == set(keys)
