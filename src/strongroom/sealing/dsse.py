"""DSSE envelopes, read strictly.

An envelope is canonical JSON (format 1) with exactly the members `payload`, `payloadType` and `signatures`, each
signature exactly `keyid` and `sig`. Nothing outside the signed bytes can be changed without refusal: no extra
members, no white space, one spelling of base64, key ids known, distinct and sorted.

Source: https://github.com/secure-systems-lab/dsse, protocol 1.0.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import msgspec

from strongroom.encoding import canonical, parse_as
from strongroom.errors import InvalidInputError, TamperedError
from strongroom.sealing.keys import PublicKey, Signer
from strongroom.vocabulary import KeyId

IN_TOTO = "application/vnd.in-toto+json"
ENVELOPE_LIMIT = 16 * 1024 * 1024
SIGNATURES_LIMIT = 16


class _Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keyid: str
    sig: str


class _Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    payload: str
    payload_type: str = msgspec.field(name="payloadType")
    signatures: tuple[_Signature, ...]


@dataclass(frozen=True, slots=True)
class Opened:
    """What an envelope says, after every signature on it was verified.

    Attributes:
        payload: the signed bytes, as they were stored.
        signers: key ids, ascending; never empty.
    """

    payload: bytes
    signers: tuple[KeyId, ...]


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes that DSSE signs: pre-authentication encoding of type and payload."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign_envelope(payload: bytes, signer: Signer, *, payload_type: str = IN_TOTO) -> bytes:
    """Sign `payload` and return the envelope."""
    signature = signer.sign(pae(payload_type, payload))
    return join_signatures(payload, {signer.public.key_id: signature}, payload_type=payload_type)


def join_signatures(payload: bytes, signatures: Mapping[KeyId, bytes], *, payload_type: str = IN_TOTO) -> bytes:
    """An envelope with signatures that were made elsewhere over `pae(payload_type, payload)`."""
    return canonical(
        {
            "payload": encode64(payload),
            "payloadType": payload_type,
            "signatures": [{"keyid": key_id, "sig": encode64(signatures[key_id])} for key_id in sorted(signatures)],
        }
    )


def open_envelope(data: bytes, keys: Mapping[KeyId, PublicKey], *, payload_type: str = IN_TOTO) -> Opened:
    """Verify an envelope and return what it holds. Every signature on it must verify.

    1. the envelope is canonical JSON with exactly its members;
    2. the payload type is the one asked for;
    3. there is at least one signature, key ids ascend without repetition;
    4. every key id is in `keys`, and the key has that id;
    5. every signature verifies over the pre-authentication encoding of the stored payload bytes.

    Args:
        data: the envelope as stored.
        keys: the keys that may sign this, by id.
        payload_type: the only one accepted.

    Raises:
        TamperedError: any of these fails.
    """
    # 1
    try:
        envelope = parse_as(data, _Envelope, ENVELOPE_LIMIT)
        payload = decode64(envelope.payload)
    except InvalidInputError as error:
        raise TamperedError(f"the envelope is not a DSSE envelope: {error.message}") from error
    # 2
    if envelope.payload_type != payload_type:
        raise TamperedError(f"the envelope does not hold `{payload_type}`")
    # 3
    signers = [KeyId(signature.keyid) for signature in envelope.signatures]
    if not 0 < len(signers) <= SIGNATURES_LIMIT or any(a >= b for a, b in pairwise(signers)):
        raise TamperedError("an envelope has signatures by distinct keys, in ascending order of their ids")
    signed = pae(payload_type, payload)
    for signature in envelope.signatures:
        # 4
        key = keys.get(KeyId(signature.keyid))
        if key is None or key.key_id != signature.keyid:
            raise TamperedError("the envelope is signed by a key that is not expected here")
        # 5
        try:
            key.verify(decode64(signature.sig), signed)
        except InvalidInputError as error:
            raise TamperedError("a signature on the envelope is not base64") from error
    return Opened(payload, tuple(signers))


def envelope_signers(data: bytes) -> Sequence[KeyId]:
    """The key ids that an envelope claims, unverified: to look the keys up before `open_envelope`.

    Raises:
        TamperedError: it is not an envelope.
    """
    try:
        envelope = parse_as(data, _Envelope, ENVELOPE_LIMIT)
    except InvalidInputError as error:
        raise TamperedError(f"the envelope is not a DSSE envelope: {error.message}") from error
    return [KeyId(signature.keyid) for signature in envelope.signatures]


def encode64(data: bytes) -> str:
    """Standard base64 with padding (RFC 4648, section 4)."""
    return base64.b64encode(data).decode("ascii")


def decode64(text: str) -> bytes:
    """Read standard base64 in its one canonical spelling.

    Raises:
        InvalidInputError: other characters, wrong padding, or spare bits that are not zero.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInputError("a field is not base64", rule="base64") from error
    # Without this, the spare bits of the last character could change unnoticed.
    if encode64(data) != text:
        raise InvalidInputError("a field is not canonical base64", rule="base64")
    return data
