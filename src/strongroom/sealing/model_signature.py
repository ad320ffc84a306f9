"""The author's signature over a model: OpenSSF Model Signing v1.0 with an EC key, over bytes in memory.

A Sigstore bundle (v0.3, JSON) around a DSSE envelope around an in-toto statement that lists every file by name and
digest. The public `model_signing verify key` accepts what we write. We read more strictly than that tool: name and
manifest leave one possible statement, and its bundle has one possible form but for the signature, so any other bytes
are refused (in the tool, the root digest omits file names, and members it does not know go unnoticed).

Source: https://github.com/ossf/model-signing-spec; https://github.com/sigstore/model-transparency.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from strongroom.encoding import canonical, parse
from strongroom.errors import InvalidInputError, TamperedError
from strongroom.sealing.dsse import IN_TOTO, decode64, encode64, pae
from strongroom.sealing.keys import PublicKey, Signer
from strongroom.sealing.manifest import Manifest
from strongroom.sealing.statements import STATEMENT_TYPE
from strongroom.vocabulary import digest_of

BUNDLE_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
PREDICATE_TYPE: Final = "https://model_signing/signature/v1.0"
BUNDLE_LIMIT = 4 * 1024 * 1024
SIGNATURE_FILE = "model.sig"
"""Where `unseal` writes the bundle; no file of a package may have this name."""


def model_statement(name: str, manifest: Manifest) -> bytes:
    """The statement that the author signs: canonical JSON.

    The subject's digest is SHA-256 over the raw digests of all files in order, as the specification has it; the names
    are in `resources`, which the signature covers.
    """
    root = hashlib.sha256(b"".join(bytes.fromhex(entry.sha256) for entry in manifest)).hexdigest()
    return canonical(
        {
            "_type": STATEMENT_TYPE,
            "predicate": {
                "resources": [
                    {"algorithm": "sha256", "digest": entry.sha256, "name": entry.path} for entry in manifest
                ],
                "serialization": {
                    "allow_symlinks": False,
                    "hash_type": "sha256",
                    "ignore_paths": [],
                    "method": "files",
                },
            },
            "predicateType": PREDICATE_TYPE,
            "subject": [{"digest": {"sha256": root}, "name": name}],
        }
    )


def sign_model(name: str, manifest: Manifest, signer: Signer) -> bytes:
    """Sign a model version; returns the bundle."""
    statement = model_statement(name, manifest)
    return canonical(_bundle(statement, signer.public, signer.sign(pae(IN_TOTO, statement))))


def verify_model(bundle: bytes, name: str, manifest: Manifest, author: PublicKey) -> None:
    """Check that `bundle` is the author's signature over exactly these files under this name.

    1. the bundle is canonical JSON and holds one signature in base64;
    2. but for that signature it is byte for byte what `sign_model` would write for name, manifest and key;
    3. the signature verifies over the statement, under the author's key.

    Raises:
        TamperedError: one of these fails.
    """
    # 1
    try:
        signature = decode64(_signature_of(parse(bundle, BUNDLE_LIMIT)))
    except InvalidInputError as error:
        raise TamperedError(f"the model signature does not read: {error.message}") from error
    # 2
    statement = model_statement(name, manifest)
    if canonical(_bundle(statement, author, signature)) != bundle:
        raise TamperedError(
            f"the model signature is not about `{name}`, manifest {digest_of(manifest.encode())[:12]}, "
            f"by key {author.key_id[:12]}"
        )
    # 3
    author.verify(signature, pae(IN_TOTO, statement))


def key_hint(bundle: bytes) -> str:
    """Which key a bundle says signed it: SHA-256 of the PEM. Only to look the key up; `verify_model` proves it.

    Raises:
        TamperedError: it is not such a bundle.
    """
    try:
        return msgspec.convert(parse(bundle, BUNDLE_LIMIT), _Bundle).material.public_key.hint
    except (InvalidInputError, msgspec.ValidationError) as error:
        raise TamperedError("the model signature is not a Sigstore bundle with an EC key") from error


class _Signature(msgspec.Struct):
    sig: str


class _PublicKey(msgspec.Struct):
    hint: str


class _Material(msgspec.Struct):
    public_key: _PublicKey = msgspec.field(name="publicKey")


class _Envelope(msgspec.Struct):
    signatures: tuple[_Signature]


class _Bundle(msgspec.Struct):
    envelope: _Envelope = msgspec.field(name="dsseEnvelope")
    material: _Material = msgspec.field(name="verificationMaterial")


def _signature_of(document: Any) -> str:
    # Only the place of the signature is read here; step 2 compares every other byte.
    try:
        return msgspec.convert(document, _Bundle).envelope.signatures[0].sig
    except msgspec.ValidationError as error:
        raise InvalidInputError("it is not a Sigstore bundle with one DSSE signature", rule="schema") from error


def _bundle(statement: bytes, public: PublicKey, signature: bytes) -> dict[str, Any]:
    return {
        "dsseEnvelope": {
            "payload": encode64(statement),
            "payloadType": IN_TOTO,
            "signatures": [{"keyid": "", "sig": encode64(signature)}],
        },
        "mediaType": BUNDLE_TYPE,
        "verificationMaterial": {
            # The specification's hint is the digest of the PEM, not of the DER: it is not our key id.
            "publicKey": {"hint": digest_of(public.pem)},
            "tlogEntries": [],
        },
    }
