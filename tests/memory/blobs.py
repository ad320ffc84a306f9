"""Blobs and keys in memory."""

from __future__ import annotations

import hashlib
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.errors import NotFoundError, TamperedError, UnavailableError
from strongroom.sealing.ports import WrappedKey
from strongroom.vocabulary import Digest, digest_of, parse_digest


class MemoryBlobs:
    """`sealing.ports.Blobs`."""

    def __init__(self) -> None:
        self._blobs: dict[Digest, bytes] = {}

    def put(self, data: bytes) -> Digest:
        digest = digest_of(data)
        self._blobs[digest] = bytes(data)
        return digest

    def get(self, digest: Digest) -> bytes:
        try:
            data = self._blobs[parse_digest(digest)]
        except KeyError as error:
            raise NotFoundError(f"blob {digest[:12]} is not stored here") from error
        if digest_of(data) != digest:
            raise TamperedError(f"blob {digest[:12]} holds other bytes than its name says")
        return data

    def __contains__(self, digest: object) -> bool:
        return digest in self._blobs


class MemoryKeyRing:
    """`sealing.ports.KeyRing`."""

    def __init__(self, kek: bytes | None = None) -> None:
        self._keks: dict[str, bytes] = {}
        self._current = self.add(kek or secrets.token_bytes(32))

    @property
    def current_kek(self) -> str:
        return self._current

    def add(self, kek: bytes) -> str:
        """Take a KEK and make it current. Returns its id."""
        self._current = hashlib.sha256(b"strongroom/kek-id/v1\n" + kek).hexdigest()
        self._keks[self._current] = kek
        return self._current

    def wrap(self, key: bytes, context: bytes) -> WrappedKey:
        nonce = secrets.token_bytes(12)
        return WrappedKey(self._current, nonce + AESGCM(self._keks[self._current]).encrypt(nonce, key, context))

    def unwrap(self, wrapped: WrappedKey, context: bytes) -> bytes:
        kek = self._keks.get(wrapped.kek_id)
        if kek is None:
            raise UnavailableError(f"KEK {wrapped.kek_id[:12]} is not in this ring")
        try:
            return AESGCM(kek).decrypt(wrapped.blob[:12], wrapped.blob[12:], context)
        except (InvalidTag, ValueError) as error:
            raise TamperedError(f"a key wrapped under KEK {wrapped.kek_id[:12]} was changed") from error
