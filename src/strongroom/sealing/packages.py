"""Format 5, the documents: which ciphertext is which file, and the wrapped data key.

The container index and the wrapped keys are two documents, so that wrapping the data key anew, under another
key-encryption key or for another region, changes no digest that anyone signed. Neither is signed: whatever they say,
`open_sealed` accepts only the plaintext bytes that the manifest names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from strongroom.encoding import canonical, parse_as
from strongroom.errors import InvalidInputError, TamperedError, UnavailableError
from strongroom.sealing.dsse import decode64, encode64
from strongroom.sealing.ports import Blobs, KeyRing, WrappedKey
from strongroom.vocabulary import Digest, parse_digest

DOCUMENT_LIMIT = 4 * 1024 * 1024
WRAPPINGS_LIMIT = 64
_KEY_TAG: Final = b"strongroom/data-key/v1\n"


class SealedFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ciphertext: of which path, and where it lies by its own digest."""

    path: str
    sha256: Digest
    size_bytes: int


class ContainerIndex(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The container index; files ascend by path as in the manifest."""

    v: Literal[1]
    manifest: Digest
    scheme: Literal["AES256_GCM_HKDF_1MB"]
    files: tuple[SealedFile, ...]


class Wrapping(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The data key under one key-encryption key, whose id is 64 hexadecimal digits; `blob` is base64."""

    kek_id: str
    blob: str


class WrappedKeys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The wrapped-keys document; wrappings ascend by `kek_id`, each once."""

    v: Literal[1]
    manifest: Digest
    keys: tuple[Wrapping, ...]


@dataclass(frozen=True, slots=True)
class Sealed:
    """Where the ciphertext of a set of files lies: three documents by digest, and the ciphertexts that one names.

    Attributes:
        manifest: digest of the format 4 bytes, which are stored under it.
        container: digest of the container index.
        wrapped: digest of the wrapped-keys document; the only one that key rotation changes.
    """

    manifest: Digest
    container: Digest
    wrapped: Digest


@dataclass(frozen=True, slots=True)
class SealedPackage:
    """The three documents as stored."""

    manifest: bytes
    container: bytes
    wrapped: bytes

    @classmethod
    def load(cls, sealed: Sealed, blobs: Blobs) -> SealedPackage:
        """Fetch the documents.

        Raises:
            NotFoundError, TamperedError: see `Blobs.get`.
        """
        return cls(blobs.get(sealed.manifest), blobs.get(sealed.container), blobs.get(sealed.wrapped))


def key_context(manifest: Digest) -> bytes:
    """The associated data under which a data key is wrapped: what the key is for."""
    return _KEY_TAG + bytes.fromhex(manifest)


def read_index(data: bytes, manifest: Digest) -> ContainerIndex:
    """Read a container index.

    Raises:
        TamperedError: it is not one, or is about another manifest.
    """
    try:
        index = parse_as(data, ContainerIndex, DOCUMENT_LIMIT)
        for file in index.files:
            parse_digest(file.sha256)
    except InvalidInputError as error:
        raise TamperedError(f"the container index does not read: {error.message}") from error
    if index.manifest != manifest:
        raise TamperedError(f"the container index is about another version than {manifest[:12]}")
    return index


def write_wrapped(manifest: Digest, wrapped: WrappedKey, *others: WrappedKey) -> bytes:
    """The wrapped-keys document with one wrapping per KEK; a later one of the same KEK replaces an earlier."""
    by_kek = {one.kek_id: one for one in (wrapped, *others)}
    keys = tuple(Wrapping(kek_id=kek_id, blob=encode64(by_kek[kek_id].blob)) for kek_id in sorted(by_kek))
    return canonical(WrappedKeys(v=1, manifest=manifest, keys=keys))


def read_wrapped(data: bytes, manifest: Digest) -> tuple[WrappedKey, ...]:
    """Read a wrapped-keys document.

    Raises:
        TamperedError: it is not one, is about another manifest, or names a KEK twice.
    """
    try:
        document = parse_as(data, WrappedKeys, DOCUMENT_LIMIT)
        found = tuple(WrappedKey(parse_digest(one.kek_id), decode64(one.blob)) for one in document.keys)
    except InvalidInputError as error:
        raise TamperedError(f"the wrapped keys do not read: {error.message}") from error
    ids = [one.kek_id for one in found]
    if document.manifest != manifest or not 0 < len(ids) <= WRAPPINGS_LIMIT or ids != sorted(set(ids)):
        raise TamperedError(f"the wrapped keys are not those of version {manifest[:12]}")
    return found


def unwrap_data_key(data: bytes, manifest: Digest, ring: KeyRing) -> bytes:
    """The data key, from the first wrapping whose KEK the ring holds.

    Raises:
        TamperedError: the document or its wrapping was changed.
        UnavailableError: the ring holds none of the KEKs.
    """
    for wrapped in read_wrapped(data, manifest):
        try:
            return ring.unwrap(wrapped, key_context(manifest))
        except UnavailableError:
            continue
    raise UnavailableError(f"no key-encryption key of version {manifest[:12]} is in this key ring; import it")
