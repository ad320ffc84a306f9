"""What sealing needs from outside: somewhere to keep bytes, and keys that wrap keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from strongroom.vocabulary import Digest


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A key encrypted under a key-encryption key (KEK).

    Attributes:
        kek_id: which KEK; 64 hexadecimal digits, no secret.
        blob: nonce and ciphertext, as the key ring made them.
    """

    kek_id: str
    blob: bytes


class KeyRing(Protocol):
    """Holds KEKs and never shows them."""

    @property
    def current_kek(self) -> str:
        """The id of the KEK that `wrap` uses now."""

    def wrap(self, key: bytes, context: bytes) -> WrappedKey:
        """Encrypt `key` under the current KEK, bound to `context` (what the key is for)."""

    def unwrap(self, wrapped: WrappedKey, context: bytes) -> bytes:
        """Get the key back.

        Raises:
            UnavailableError: this ring does not hold that KEK.
            TamperedError: the blob or the context differ from what was wrapped.
        """


class Blobs(Protocol):
    """Bytes by their digest. Several processes may read and write at once; puts of the same bytes are one."""

    def put(self, data: bytes) -> Digest:
        """Store; durable on return.

        Raises:
            UnavailableError: it could not be stored; nothing was.
        """

    def get(self, digest: Digest) -> bytes:
        """The bytes whose digest this is, checked again on reading.

        Raises:
            NotFoundError: no such bytes are here.
            TamperedError: what is stored under the name has another digest.
        """

    def __contains__(self, digest: object) -> bool: ...
