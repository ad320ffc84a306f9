"""Subject keys: one AES-256 key for each data subject of a region; destroy it, and their records are noise.

The store that keeps them sees no subject ids and no usable keys: a subject is a keyed tag, a key is wrapped under the
region's key-encryption key. The worker makes and wraps a candidate; the store keeps the first one for a tag. So the
process that owns the store needs no secret at all.
"""

from __future__ import annotations

import hmac
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.errors import ErasedError, InvalidInputError, TamperedError
from strongroom.sealing.records import KEY_ID_SIZE, NONCE_SIZE, TAG_SIZE, Aead
from strongroom.vocabulary import Jurisdiction

TAG_BYTES: Final = 32
SUBJECT_KEY_SIZE: Final = 32
WRAPPED_SIZE: Final = NONCE_SIZE + SUBJECT_KEY_SIZE + TAG_SIZE
CANDIDATE_RANDOM_SIZE: Final = KEY_ID_SIZE + SUBJECT_KEY_SIZE + NONCE_SIZE
KEY_SIZE: Final = KEY_ID_SIZE + WRAPPED_SIZE
"""Of a row as stores give it: key id, wrapped key."""
PUBLIC_SIZE: Final = KEY_ID_SIZE + NONCE_SIZE
SUBJECT_LIMIT: Final = 256
BACKUP_DAYS: Final = 35

_TAG_CONTEXT: Final = b"strongroom/subject-tag/v1\n"
_WRAP_CONTEXT: Final = b"strongroom/subject-key/v1\n"


def subject_tag(index_key: bytes, region: Jurisdiction | str, subject: str) -> bytes:
    """HMAC-SHA-256 over region and subject id: finds the key, tells nothing to whoever lacks `index_key`.

    Args:
        index_key: 32 secret bytes of this region.
        region: whose store it is; the same person has unrelated tags in two regions.
        subject: the data subject as the caller names them, 1 to 256 characters.

    Raises:
        InvalidInputError: the subject is empty or too long.
        ValueError: the index key is not 32 bytes; a mistake in our own wiring.
    """
    return subject_tags(index_key, region, (subject,))[0]


def subject_tags(index_key: bytes, region: Jurisdiction | str, subjects: Sequence[str]) -> list[bytes]:
    """`subject_tag` of each; what is the same for all is hashed once."""
    if len(index_key) != TAG_BYTES:
        raise ValueError("an index key has 32 bytes")
    place = region.encode()
    begun = hmac.new(index_key, _TAG_CONTEXT + len(place).to_bytes(2, "big") + place, "sha256")
    tags: list[bytes] = []
    for subject in subjects:
        if not 0 < len(subject) <= SUBJECT_LIMIT:
            raise InvalidInputError(f"a subject has 1 to {SUBJECT_LIMIT} characters", field="subject", rule="length")
        tag = begun.copy()
        tag.update(subject.encode("utf-8", "surrogatepass"))
        tags.append(tag.digest())
    return tags


class SubjectKey:
    """A key that is ready for use, until it is forgotten.

    Holders keep it only while they seal or open records: an erasure waits until nobody does (`weakref`), and after a
    short grace it is emptied under their hands, so that a record of an erased subject cannot come into being.
    """

    __slots__ = ("__weakref__", "_aead", "key_id")

    def __init__(self, key_id: bytes, aead: Aead) -> None:
        self.key_id = key_id
        self._aead: Aead | None = aead

    @property
    def aead(self) -> Aead:
        """Raises ErasedError once the key has been forgotten."""
        if self._aead is None:
            raise ErasedError("the key of this subject is destroyed")
        return self._aead

    @property
    def forgotten(self) -> bool:
        """Whether it is destroyed."""
        return self._aead is None

    def forget(self) -> None:
        """Drop the key; OpenSSL clears its memory when the last reference goes."""
        self._aead = None


class _Named(weakref.ref[SubjectKey]):
    __slots__ = ("name",)
    name: str


class HeldKeys:
    """Keys by the name of their subject, for as long as somebody else holds them; then the name is gone too.

    What `weakref.WeakValueDictionary` is, in a third of its time for a key that is used once. A key that goes just when
    another comes in under its name may take that one's place with it: whoever misses a key asks for it again.
    """

    __slots__ = ("_gone", "_refs", "get")

    def __init__(self) -> None:
        refs: dict[str, _Named] = {}

        def gone(ref: _Named) -> None:
            if refs.get(ref.name) is ref:
                refs.pop(ref.name, None)

        def get(name: str) -> SubjectKey | None:
            ref = refs.get(name)
            return None if ref is None else ref()

        self._refs, self._gone, self.get = refs, gone, get

    def __len__(self) -> int:
        return len(self._refs)

    def update(self, keys: Mapping[str, SubjectKey]) -> None:
        """Take keys in."""
        refs, gone = self._refs, self._gone
        for name, key in keys.items():
            refs[name] = ref = _Named(key, gone)
            ref.name = name


class SubjectKeys(Protocol):
    """The keys of one region, as the commit thread of a worker sees them.

    Blocking. Safe for one caller thread; forgetting may happen at any moment on another.
    """

    def get_or_create(self, tags: Sequence[bytes]) -> list[SubjectKey]:
        """One key for each tag, in their order; the same tag gives the same key.

        A new key is durable in the store when this returns: a record is written only after its key is.

        Raises:
            UnavailableError: the store cannot be reached or cannot write; no key was handed out.
            TamperedError: the store returned a key that does not unwrap.
        """

    def by_key_id(self, key_id: bytes) -> SubjectKey:
        """The key that a record's header names; for replay, which does not know the subject yet.

        Raises:
            ErasedError: there is none (destroyed, or never made).
            UnavailableError: the store cannot be reached.
        """

    def find(self, tag: bytes) -> SubjectKey:
        """The key of one tag, never a new one; for subject access.

        Raises:
            ErasedError: there is none (destroyed, or never made).
            UnavailableError: the store cannot be reached.
        """

    def forget(self, tag: bytes) -> Forgotten:
        """Destroy the key: row deleted, tombstone kept, every cache confirmed empty. Repeating it is harmless.

        Raises:
            UnavailableError: something has not confirmed yet; the key is gone from the store, the erasure stays pending
                and is asked again. No certificate may be written.
        """


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What a store has confirmed.

    Attributes:
        store: its name, for the certificate.
        key_ids: hexadecimal ids of the tag's destroyed keys, earlier ones too; empty if there never was a key.
        online_us: when the last of them was gone from the store and all caches.
        backups_us: when the last backup key that can open an older copy is destroyed, at the latest.
        caches: how many processes confirmed that they hold it no longer.
    """

    store: str
    key_ids: tuple[str, ...]
    online_us: int
    backups_us: int
    caches: int


class Candidate(NamedTuple):
    """A fresh key, offered to the store: kept only if the tag has none yet."""

    key_id: bytes
    wrapped: bytearray


def make_candidate(kek: AESGCM, random: bytes | bytearray) -> Candidate:
    """Wrap a fresh subject key under the region's key.

    Args:
        kek: the region's key-encryption key.
        random: 60 fresh random bytes: key id 16, key 32, nonce 12.

    Raises:
        ValueError: `random` is not 60 bytes.
    """
    if len(random) != CANDIDATE_RANDOM_SIZE:
        raise ValueError(f"a candidate key needs {CANDIDATE_RANDOM_SIZE} random bytes")
    key_id = bytes(random[:KEY_ID_SIZE])
    plain = memoryview(random)[KEY_ID_SIZE : KEY_ID_SIZE + SUBJECT_KEY_SIZE]
    nonce = bytes(random[-NONCE_SIZE:])
    wrapped = bytearray(WRAPPED_SIZE)
    wrapped[:NONCE_SIZE] = nonce
    # into the array itself: an intermediate `bytes` would stay in freed memory, where an erasure cannot reach it
    kek.encrypt_into(nonce, plain, _WRAP_CONTEXT + key_id, memoryview(wrapped)[NONCE_SIZE:])
    return Candidate(key_id, wrapped)


def make_candidates(kek: AESGCM, public: bytes, secrets: bytearray) -> bytearray:
    """Wrap many fresh subject keys under the region's key.

    Args:
        kek: the region's key-encryption key.
        public: 28 fresh random bytes for each: key id 16, nonce 12.
        secrets: 32 fresh random bytes for each: the keys.

    Returns:
        Key id and wrapped key of each, 76 bytes.

    Raises:
        ValueError: so many are not in both.
    """
    count, rest = divmod(len(secrets), SUBJECT_KEY_SIZE)
    if rest or len(public) != PUBLIC_SIZE * count:
        raise ValueError(f"a candidate key needs {PUBLIC_SIZE} and {SUBJECT_KEY_SIZE} random bytes")
    rows = bytearray(KEY_SIZE * count)
    at, wrap = 0, kek.encrypt_into
    with memoryview(rows) as into, memoryview(secrets) as keys:
        for place in range(count):
            told = public[PUBLIC_SIZE * place : PUBLIC_SIZE * (place + 1)]
            secret = keys[SUBJECT_KEY_SIZE * place : SUBJECT_KEY_SIZE * (place + 1)]
            into[at : at + PUBLIC_SIZE] = told
            # into the array itself, as in `make_candidate`
            wrap(told[KEY_ID_SIZE:], secret, _WRAP_CONTEXT + told[:KEY_ID_SIZE], into[at + PUBLIC_SIZE : at + KEY_SIZE])
            at += KEY_SIZE
    return rows


def unwrap_rows(kek: AESGCM, rows: bytes | bytearray | memoryview) -> list[SubjectKey | None]:
    """Unwrap many subject keys; None for each that was not wrapped under this key and its own id.

    Args:
        rows: key id and wrapped key of each, 76 bytes.

    Raises:
        TamperedError: not whole rows.
    """
    if len(rows) % KEY_SIZE:
        raise TamperedError("a wrapped subject key has the wrong length")
    found: list[SubjectKey | None] = []
    plain = bytearray(SUBJECT_KEY_SIZE)
    with memoryview(rows) as view:
        try:
            for at in range(0, len(rows), KEY_SIZE):
                told = bytes(view[at : at + PUBLIC_SIZE])
                key_id = told[:KEY_ID_SIZE]
                try:
                    kek.decrypt_into(
                        told[KEY_ID_SIZE:], view[at + PUBLIC_SIZE : at + KEY_SIZE], _WRAP_CONTEXT + key_id, plain
                    )
                except InvalidTag:
                    found.append(None)
                else:
                    found.append(SubjectKey(key_id, AESGCM(plain)))
        finally:
            plain[:] = bytes(SUBJECT_KEY_SIZE)
    return found


def unwrap(kek: AESGCM, key_id: bytes, wrapped: bytes | bytearray | memoryview) -> SubjectKey:
    """Unwrap a subject key; its id is associated data, so a store cannot pass one subject's key off as another's.

    Raises:
        TamperedError: not a key that this region wrapped under this id.
    """
    view = memoryview(wrapped)
    if len(view) != WRAPPED_SIZE or len(key_id) != KEY_ID_SIZE:
        raise TamperedError("a wrapped subject key has the wrong length")
    plain = bytearray(SUBJECT_KEY_SIZE)
    try:
        kek.decrypt_into(bytes(view[:NONCE_SIZE]), view[NONCE_SIZE:], _WRAP_CONTEXT + key_id, plain)
        return SubjectKey(key_id, AESGCM(plain))
    except InvalidTag as error:
        raise TamperedError("a wrapped subject key does not unwrap under the region's key and its own id") from error
    finally:
        plain[:] = bytes(SUBJECT_KEY_SIZE)


def rewrap(
    old: AESGCM, new: AESGCM, key_id: bytes, wrapped: bytes | bytearray | memoryview, random: Callable[[int], bytes]
) -> bytearray:
    """The same subject key under another key-encryption key.

    Args:
        random: gives fresh random bytes; 12 are taken for the nonce.

    Raises:
        InvalidTag: `old` is not the key that it is wrapped under, or it is another id's.
    """
    view = memoryview(wrapped)
    plain = bytearray(SUBJECT_KEY_SIZE)
    try:
        old.decrypt_into(bytes(view[:NONCE_SIZE]), view[NONCE_SIZE:], _WRAP_CONTEXT + key_id, plain)
        nonce = random(NONCE_SIZE)
        anew = bytearray(WRAPPED_SIZE)
        anew[:NONCE_SIZE] = nonce
        new.encrypt_into(nonce, plain, _WRAP_CONTEXT + key_id, memoryview(anew)[NONCE_SIZE:])
        return anew
    finally:
        plain[:] = bytes(SUBJECT_KEY_SIZE)
