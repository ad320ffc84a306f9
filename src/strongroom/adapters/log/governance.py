"""The governance log: acts and refusals in a log of the same format as decisions.

Every entry is one record whose payload is the entry document, sealed under the governance record key. An opening or
closing of a shard is two records in one batch: first the plain document of format 10, which verifiers read with public
keys alone, then the sealed entry that says who did it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.approval.log_memory import Proven
from strongroom.approval.statements import GovernanceSeen
from strongroom.encoding import canonical
from strongroom.errors import ConflictError, InvalidInputError, NotFoundError, TamperedError
from strongroom.ledger.checkpoint import open_checkpoint
from strongroom.ledger.leaf import PLAIN, Leaf, LeafType, commitment
from strongroom.ledger.ports import Record, Shard, StoredRecord
from strongroom.ledger.proof import make_proof
from strongroom.ledger.tree import Frontier, MemoryTree, inclusion_proof, leaf_hash
from strongroom.office.acts import EntryRef
from strongroom.office.entries import Entry, public_part
from strongroom.office.ports import LoggedEntry
from strongroom.sealing.records import KEY_ID_SIZE, NONCE_SIZE, open_plain, open_record, plain_payload, seal_record
from strongroom.vocabulary import Digest, digest_of

KEY_BYTES = 32
RETENTION_US = 10 * 366 * 86_400 * 1_000_000
"""Ten years and their leap days: AI Act, article 18, keeps a high-risk system's documents that long."""

_NO_RELEASE = bytes(32)
_OWN_ID = "a governance key has 32 bytes"


@dataclass(frozen=True, slots=True)
class GovernanceKey:
    """The key that entries are sealed under, from the control key ring. Its id is a digest of it."""

    secret: bytes = field(repr=False)
    id: bytes = field(init=False)

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_BYTES:
            raise InvalidInputError(_OWN_ID, rule="length")
        named = hmac.digest(self.secret, b"strongroom/governance-key/v1\n", "sha256")
        object.__setattr__(self, "id", named[:KEY_ID_SIZE])

    def aead(self) -> AESGCM:
        """Ready for use."""
        return AESGCM(self.secret)

    def salt(self, act_id: str, part: bytes) -> bytes:
        """The salt of an entry's commitment, so that the key's holder can open it later without storing it."""
        return hmac.digest(self.secret, b"strongroom/governance-salt/v1\n" + part + act_id.encode(), "sha256")


class ShardGovernanceLog:
    """`office.ports.GovernanceLog` over any shard.

    Args:
        shard: open for writing; its lock keeps other processes out.
        key: for entries.
        random: secure random bytes.
        policy: digest of the access policies in force, or None before there are any.
        older_keys: keys of earlier entries, after a rotation.
        retention_us: how long payloads are kept at least.
    """

    def __init__(
        self,
        shard: Shard,
        key: GovernanceKey,
        random: Callable[[int], bytes],
        policy: Digest | None = None,
        older_keys: tuple[GovernanceKey, ...] = (),
        retention_us: int = RETENTION_US,
    ) -> None:
        self._shard = shard
        self._key = key
        self._keys = {known.id.hex(): known for known in (*older_keys, key)}
        self._random = random
        self._policy = policy
        self._retention_us = retention_us
        self._places: dict[str, int] | None = None

    @property
    def origin(self) -> str:
        """The log's name."""
        return self._shard.origin

    def append(self, act_id: str, kind: str, entry: bytes, at_us: int) -> EntryRef:
        """Durable on return.

        Raises:
            InvalidInputError: not an entry of this kind and act.
            ConflictError: another entry of this act is in the log.
            NotDurableError: it could not be written.
        """
        document = Entry.decode(entry)
        if document.act_id != act_id or document.type != kind:
            raise InvalidInputError("the entry is of another act or kind", rule="entry")
        known = self._index().get(act_id)
        if known is not None:
            if self._entry_at(known, act_id).entry != entry:
                raise ConflictError(f"another entry of act `{act_id}` is in the governance log")
            return EntryRef(self.origin, known)
        records = []
        plain = public_part(document)
        if plain is not None:
            records.append(self._record(document.type, act_id, plain_payload(plain), PLAIN, plain, at_us, b"plain\n"))
        records.append(self._sealed("act" if plain is not None else document.type, act_id, entry, at_us))
        appended = self._shard.append(records)
        self._index()[act_id] = appended.first_index
        return EntryRef(self.origin, appended.first_index)

    def find(self, act_id: str) -> EntryRef | None:
        """Where the entry of an act stands, or None."""
        index = self._index().get(act_id)
        return None if index is None else EntryRef(self.origin, index)

    def entry(self, ref: EntryRef) -> LoggedEntry:
        """One entry, decrypted.

        Raises:
            NotFoundError: there is no such place.
            TamperedError: its bytes are not what was logged.
        """
        if ref.origin != self.origin:
            raise NotFoundError(f"{ref} is in another log")
        record = self._shard.reader().get(ref.index)
        return self._entry_at(ref.index, _leaf(record).decision_id)

    def entries(self) -> Iterator[LoggedEntry]:
        """Every entry, oldest first. Raises TamperedError where bytes are not what was logged."""
        return self._walk(self._shard.reader())

    def _walk(self, records: Iterable[StoredRecord]) -> Iterator[LoggedEntry]:
        opening: tuple[StoredRecord, Leaf] | None = None
        for record in records:
            leaf = _leaf(record)
            if opening is not None:
                yield self._pair(opening, record, leaf)
                opening = None
            elif leaf.key_id == PLAIN:
                opening = (record, leaf)
            else:
                yield self._read(record, leaf)
        if opening is not None:
            raise TamperedError(f"the governance log ends with half an entry at {opening[0].place}")

    def disclose(self, ref: EntryRef) -> bytes:
        """A plain entry with its proof, for verifiers without keys: `{leaf, payload, proof}` (docs/spec/12).

        Raises:
            NotFoundError: there is no such place.
            InvalidInputError: the entry there is sealed.
        """
        if ref.origin != self.origin or not 0 <= ref.index < self._shard.size:
            raise NotFoundError(f"{ref} is not in this log")
        note = self._shard.checkpoint
        size = open_checkpoint(note, self._shard.verifier).size
        tree, reader = MemoryTree(), self._shard.reader()
        for record in reader:
            if record.place == size:
                break
            tree.append(leaf_hash(record.leaf))
        record = reader.get(ref.index)
        if _leaf(record).key_id != PLAIN or record.payload is None:
            raise InvalidInputError(f"{ref} is sealed and cannot be disclosed", rule="sealed")
        return canonical(
            {
                "leaf": base64.b64encode(record.leaf).decode(),
                "payload": base64.b64encode(record.payload).decode(),
                "proof": make_proof(ref.index, inclusion_proof(tree, ref.index, size), note),
            }
        )

    def seen(self) -> GovernanceSeen:
        """The newest checkpoint, for approvers to quote."""
        checkpoint = open_checkpoint(self._shard.checkpoint, self._shard.verifier)
        return GovernanceSeen(origin=checkpoint.origin, size=checkpoint.size, root=Digest(checkpoint.root.hex()))

    def proven(
        self, verbs: Collection[str], since: Sequence[GovernanceSeen] = (), edge: Frontier | None = None
    ) -> Proven:
        """Read the log up to its newest checkpoint, believing nothing but the checkpoint's signature: every leaf is
        hashed into the tree, and every entry opened against its leaf.

        Args:
            verbs: of the entries to give back.
            since: heads that were seen before; the log must go on from each.
            edge: of the tree at one of those heads, up to which the reader has done all this already; None: the whole
                log is read.

        Raises:
            TamperedError: the leaves do not lead to the signed root, an entry is not its leaf's, or the log was cut or
                replaced since one of the heads.
        """
        head, tree = self.seen(), Frontier() if edge is None else edge.copy()
        wanted = {one.size: one for one in (*since, head)}
        for one in since:
            if one.origin != head.origin or one.size > head.size or wanted[one.size].root != one.root:
                raise _cut(one)
        begun = wanted.get(tree.size)
        if begun is not None and begun.root != tree.root().hex():
            raise _cut(begun)

        def hashed() -> Iterator[StoredRecord]:
            for record in self._shard.reader().records(tree.size):
                if record.place == head.size:
                    return
                tree.append(leaf_hash(record.leaf))
                known = wanted.get(tree.size)
                if known is not None and known.root != tree.root().hex():
                    raise _cut(known)
                yield record

        found = [logged.document for logged in self._walk(hashed()) if logged.document.verb in verbs]
        if tree.size != head.size:
            raise TamperedError(f"the governance log has {tree.size} entries, and its head says {head.size}")
        return Proven(head, found, tree)

    def roots(self, sizes: Collection[int]) -> dict[int, Digest]:
        """The roots that the log had at these sizes, from its leaves; sizes that it never had are left out."""
        tree, found = Frontier(), {}
        for record in self._shard.reader():
            tree.append(leaf_hash(record.leaf))
            if tree.size in sizes:
                found[tree.size] = Digest(tree.root().hex())
        return found

    def _index(self) -> dict[str, int]:
        if self._places is None:
            self._places = {}
            for record in self._shard.reader():
                self._places.setdefault(_leaf(record).decision_id, record.place)
        return self._places

    def _sealed(self, kind: LeafType, act_id: str, entry: bytes, at_us: int) -> Record:
        nonce = self._random(NONCE_SIZE)
        payload = seal_record(entry, self._key.aead(), self._key.id, nonce, bytes.fromhex(act_id), _NO_RELEASE)
        return self._record(kind, act_id, payload, self._key.id.hex(), entry, at_us, b"entry\n")

    def _record(
        self, kind: LeafType, act_id: str, payload: bytes, key_id: str, document: bytes, at_us: int, part: bytes
    ) -> Record:
        leaf = Leaf(
            commitment=commitment(self._key.salt(act_id, part), document),
            decision_id=act_id,
            key_id=key_id,
            payload_sha256=digest_of(payload),
            payload_size=len(payload),
            policy=self._policy,
            release=None,
            retain_until_us=at_us + self._retention_us,
            time_us=at_us,
            type=kind,
        )
        return Record(leaf.encode(), payload)

    def _entry_at(self, index: int, act_id: str) -> LoggedEntry:
        reader = self._shard.reader()
        record = reader.get(index)
        leaf = _leaf(record)
        if leaf.decision_id != act_id:
            raise TamperedError(f"the governance log has another act at {index}")
        if leaf.key_id != PLAIN:
            return self._read(record, leaf)
        follower = reader.get(index + 1)
        return self._pair((record, leaf), follower, _leaf(follower))

    def _pair(self, opening: tuple[StoredRecord, Leaf], record: StoredRecord, leaf: Leaf) -> LoggedEntry:
        """A plain document and the sealed entry behind it, which must tell the same."""
        first, named = opening
        if leaf.decision_id != named.decision_id or leaf.key_id == PLAIN or first.payload is None:
            raise TamperedError(f"the governance log has half an entry at {first.place}")
        entry = self._read(record, leaf, sealed_as="act")
        document = entry.document
        if document.type != named.type or public_part(document) != open_plain(first.payload, named.payload_sha256):
            raise TamperedError(f"the two parts of the governance entry at {first.place} differ")
        return LoggedEntry(EntryRef(self.origin, first.place), document, entry.entry)

    def _read(self, record: StoredRecord, leaf: Leaf, sealed_as: str | None = None) -> LoggedEntry:
        if record.payload is None:
            raise NotFoundError(f"the payload of governance entry {record.place} was deleted after its retention")
        key = self._keys.get(leaf.key_id)
        if key is None:
            raise TamperedError(f"governance entry {record.place} is sealed under a key that this room does not have")
        if hashlib.sha256(record.payload).hexdigest() != leaf.payload_sha256:
            raise TamperedError(f"the payload of governance entry {record.place} is not its leaf's")
        document = open_record(record.payload, key.aead(), bytes.fromhex(leaf.decision_id), _NO_RELEASE)
        if not hmac.compare_digest(commitment(key.salt(leaf.decision_id, b"entry\n"), document), leaf.commitment):
            raise TamperedError(f"governance entry {record.place} does not open its commitment")
        try:
            entry = Entry.decode(document)
        except InvalidInputError as error:
            raise TamperedError(f"governance entry {record.place} is not an entry document") from error
        if entry.act_id != leaf.decision_id or leaf.type != (sealed_as or entry.type):
            raise TamperedError(f"governance entry {record.place} and its leaf tell different things")
        return LoggedEntry(EntryRef(self.origin, record.place), entry, document)


def _cut(seen: GovernanceSeen) -> TamperedError:
    return TamperedError(
        f"the governance log is another than the one whose first {seen.size} entries were seen before: it was cut or "
        "replaced; call security"
    )


def _leaf(record: StoredRecord) -> Leaf:
    try:
        return Leaf.decode(record.leaf)
    except InvalidInputError as error:
        raise TamperedError(f"the governance log has no leaf at {record.place}") from error
