"""TUF role metadata, read again without the TUF library.

`tuf.ngclient` verifies metadata as its authors say. One public key under two key ids satisfies a threshold of two
there, and a threshold of one is as good as two. So approvers before they sign, and gateways before they open
anything, read the same bytes a second time here, and count key material instead of names.

Source: TUF specification 1.0.31, section 4; OLPC canonical JSON for the signed part.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from strongroom.errors import InvalidInputError, StrongroomError, TamperedError
from strongroom.sealing.keys import SCHEME, PublicKey
from strongroom.vocabulary import Digest, KeyId, digest_of, parse_digest

MODEL_ROLE = "model-"
OPERATIONS_ROLE = "operations"
HALTS_ROLE = "halts"
DRAFTS_FIELD = "x-strongroom-drafts"
"""In a model role's signed part: digests of the signed parts of its earlier versions, oldest first."""

_WILD = set("*?[")
EXPIRES_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class TargetEntry:
    """One target as metadata describes it."""

    length: int
    sha256: Digest
    custom: Any


@dataclass(frozen=True, slots=True)
class RoleMetadata:
    """Parsed, not yet trusted.

    Attributes:
        signed: the exact bytes that signatures cover.
        signatures: signature by claimed key id.
        drafts: digests of the signed parts of earlier versions.
        delegates: whether it hands its rights on, which no role of ours may.
    """

    version: int
    expires: datetime
    signed: bytes
    signatures: Mapping[str, bytes]
    targets: Mapping[str, TargetEntry]
    drafts: tuple[Digest, ...]
    delegates: bool

    @property
    def digest(self) -> Digest:
        """SHA-256 of the signed part: what an approval names as `tuf_draft`."""
        return digest_of(self.signed)


@dataclass(frozen=True, slots=True)
class Delegation:
    """One delegation of the top-level targets. `keys` maps the id in the metadata to the key it stands for."""

    name: str
    threshold: int
    terminating: bool
    paths: tuple[str, ...]
    keys: Mapping[str, PublicKey]

    def meets(self, paths: Sequence[str]) -> bool:
        """Whether a client might ask this role for something that `paths` cover as well. In doubt, yes."""
        return any(_meet(mine.split("/"), theirs.split("/")) for mine in self.paths for theirs in paths)


def model_role(model: str) -> str:
    """Name of the role that lists a model's approved versions."""
    return MODEL_ROLE + model


def release_path(model: str, manifest: Digest) -> str:
    """Target path of a release."""
    return f"models/{model}/{manifest}.json"


def pointer_path(model: str) -> str:
    """Target path of a model's pointer."""
    return f"pointers/{model}.json"


def halts_path(model: str) -> str:
    """Target path of a model's halts and lifts."""
    return f"halts/{model}.json"


def signed_part(signed: Any) -> bytes:
    """OLPC canonical JSON: sorted keys, no space, only quote and backslash escaped, no floats.

    Raises:
        TamperedError: it holds a float or another type that metadata cannot hold.
    """
    if isinstance(signed, str):
        return b'"' + signed.replace("\\", "\\\\").replace('"', '\\"').encode() + b'"'
    if signed is True:
        return b"true"
    if signed is False:
        return b"false"
    if signed is None:
        return b"null"
    if isinstance(signed, int):
        return str(signed).encode()
    if isinstance(signed, list):
        return b"[" + b",".join(signed_part(item) for item in signed) + b"]"
    if isinstance(signed, dict):
        return b"{" + b",".join(signed_part(key) + b":" + signed_part(signed[key]) for key in sorted(signed)) + b"}"
    raise TamperedError("metadata holds a number with a fraction")


def read_role(data: bytes) -> RoleMetadata:
    """Read a metadata file of type `targets`.

    Raises:
        TamperedError: it is not one.
    """
    document = _load(data)
    try:
        role = _read_signed(document["signed"], signed_part(document["signed"]))
        signatures = {item["keyid"]: bytes.fromhex(item["sig"]) for item in document["signatures"]}
        if len(signatures) != len(document["signatures"]):
            raise TamperedError("one key id signs the metadata twice")
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise TamperedError("the metadata has not the form of TUF metadata") from error
    return replace(role, signatures=signatures)


def read_signed(signed: bytes) -> RoleMetadata:
    """Read the signed part of a draft; it has no signatures yet.

    Raises:
        TamperedError: the bytes are not the canonical signed part of targets metadata.
    """
    # OLPC canonical JSON leaves control characters as they are, which strict JSON forbids.
    document = _load(signed, strict=False)
    try:
        canonical = signed_part(document)
    except (ValueError, RecursionError) as error:
        raise TamperedError("the draft nests too deep or holds what is no text") from error
    if canonical != signed:
        raise TamperedError("the draft is not in canonical form")
    return _read_signed(document, signed)


def read_delegations(data: bytes) -> dict[str, Delegation]:
    """Delegations of trusted top-level targets metadata, by role name, in their order.

    Raises:
        TamperedError: they are not of the form that Strongroom publishes: hashed bins, other key types, repeated names.
    """
    try:
        delegations = _load(data)["signed"]["delegations"]
        if set(delegations) - {"keys", "roles"}:
            raise TamperedError("the top-level targets delegate in a way that Strongroom does not use")
        keys = {key_id: _key(entry) for key_id, entry in delegations["keys"].items()}
        found: dict[str, Delegation] = {}
        for entry in delegations["roles"]:
            if "path_hash_prefixes" in entry or entry["name"] in found:
                raise TamperedError("the top-level targets delegate in a way that Strongroom does not use")
            found[entry["name"]] = Delegation(
                name=entry["name"],
                threshold=_integer(entry["threshold"]),
                terminating=entry["terminating"] is True,
                paths=tuple(str(path) for path in entry["paths"]),
                keys={key_id: keys[key_id] for key_id in entry["keyids"]},
            )
    except (KeyError, TypeError, ValueError, AttributeError, InvalidInputError) as error:
        raise TamperedError("the top-level targets have no readable delegations") from error
    return found


def valid_signers(role: RoleMetadata, delegation: Delegation) -> dict[KeyId, PublicKey]:
    """Keys of the delegation whose signature over the role's signed part verifies, once per key material.

    A signature that does not verify is passed over here, as in TUF; the caller counts what remains.
    """
    found: dict[KeyId, PublicKey] = {}
    for key_id, key in delegation.keys.items():
        signature = role.signatures.get(key_id)
        if signature is None:
            continue
        try:
            key.verify(signature, role.signed)
        except StrongroomError:
            continue
        # By fingerprint: the same key under a second id does not count twice.
        found[key.key_id] = key
    return found


def _meet(one: list[str], two: list[str]) -> bool:
    # TUF matches segment by segment. Two patterns that both have wildcards are taken to meet.
    return len(one) == len(two) and all(
        fnmatch.fnmatchcase(a, b) or fnmatch.fnmatchcase(b, a) or bool(_WILD & set(a) and _WILD & set(b))
        for a, b in zip(one, two, strict=True)
    )


def _read_signed(document: Any, signed: bytes) -> RoleMetadata:
    try:
        if document["_type"] != "targets":
            raise TamperedError("the metadata is not of type targets")
        return RoleMetadata(
            version=_integer(document["version"]),
            expires=datetime.strptime(document["expires"], EXPIRES_FORMAT).replace(tzinfo=UTC),
            signed=signed,
            signatures={},
            targets={path: _target(entry) for path, entry in document["targets"].items()},
            drafts=tuple(parse_digest(item) for item in document.get(DRAFTS_FIELD, [])),
            delegates=document.get("delegations") is not None,
        )
    except (KeyError, TypeError, ValueError, AttributeError, InvalidInputError, RecursionError) as error:
        raise TamperedError("the metadata has not the form of TUF metadata") from error


def _load(data: bytes, *, strict: bool = True) -> Any:
    try:
        return json.loads(data, object_pairs_hook=_unique, strict=strict)
    except (ValueError, RecursionError) as error:
        raise TamperedError("the metadata is not JSON") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key repeats")
    return found


def _target(entry: Any) -> TargetEntry:
    if set(entry["hashes"]) != {"sha256"}:
        raise TamperedError("a target has other hashes than SHA-256")
    return TargetEntry(_integer(entry["length"]), parse_digest(entry["hashes"]["sha256"]), entry.get("custom"))


def _key(entry: Any) -> PublicKey:
    if entry["scheme"] != SCHEME:
        raise TamperedError(f"a delegated key is not of scheme {SCHEME}")
    return PublicKey.from_pem(entry["keyval"]["public"].encode())


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("an integer is expected")
    return value
