"""Records as a writer makes them: the payload hashed once, the leaf right by its making.

A log checks what it is given (`check_record`), because a record that recovery would call tampered must never be
written. A record that was made here needs no second look: its leaf was filled into a form that was checked as a whole,
with digits of fixed number, and names the digest of the very payload beside it. Reading and recovery check everything.
"""

from __future__ import annotations

import hashlib
from binascii import hexlify
from collections.abc import Sequence
from typing import Final, overload

from strongroom.ledger.frames import entry_content, record_of
from strongroom.ledger.leaf import Leaf, LeafType
from strongroom.ledger.ports import Record
from strongroom.ledger.tree import leaf_hash
from strongroom.vocabulary import Digest

_sha256: Final = hashlib.sha256
LEAF_HEAD: Final = b'{"commitment":"%b","decision_id":"%b","key_id":"%b","payload_sha256":"%b","payload_size":%d%b'


class MadeRecord(Record):
    """A record that only `RecordMaker.make` builds."""

    __slots__ = ()


class RecordMaker:
    """Makes the records of one batch that share type, policy, release and times.

    Args:
        type, policy, release, retain_until_us, time_us: as in `Leaf`.

    Attributes:
        tail: the constant end of their leaves.

    Raises:
        InvalidInputError: one of them is out of its form.
    """

    __slots__ = ("tail",)

    def __init__(
        self, type: LeafType, policy: Digest | None, release: Digest | None, retain_until_us: int, time_us: int
    ) -> None:
        whole = Leaf(
            commitment="0" * 64, decision_id="0" * 32, key_id="0" * 32, payload_sha256=Digest("0" * 64),
            payload_size=0, policy=policy, release=release, retain_until_us=retain_until_us, time_us=time_us, type=type,
        ).encode()  # fmt: skip
        Leaf.decode(whole)
        self.tail = whole[whole.index(b',"policy":') :]

    def make(self, commitment: bytes, decision_id: bytes, key_id: bytes, payload: bytes) -> MadeRecord:
        """One record.

        Args:
            commitment: 32 bytes, see `ledger.leaf.commit`.
            decision_id: 16 bytes.
            key_id: 16 bytes.
            payload: as it will be stored.

        Raises:
            ValueError: an argument has the wrong length; a mistake in our own code.
        """
        if len(commitment) != 32 or len(decision_id) != 16 or len(key_id) != 16:
            raise ValueError("a record is made of a commitment, a decision id and a key id of 32, 16 and 16 bytes")
        leaf = LEAF_HEAD % (
            hexlify(commitment), hexlify(decision_id), hexlify(key_id), hexlify(_sha256(payload).digest()),
            len(payload), self.tail,
        )  # fmt: skip
        return MadeRecord(leaf, payload)


class MadeRecords(Sequence[Record]):
    """Many records that were made together, in the form in which a log writes them; each is a `MadeRecord` on demand.

    Attributes:
        contents: of their frames, see `ledger.frames.entry_content`.
        leaves: of each.
        hashes: leaf hashes.
    """

    __slots__ = ("contents", "hashes", "leaves")

    def __init__(self) -> None:
        self.contents: list[bytes] = []
        self.leaves: list[bytes] = []
        self.hashes: list[bytes] = []

    def add(self, contents: Sequence[bytes], leaves: Sequence[bytes], hashes: Sequence[bytes]) -> None:
        """Take records whose parts belong together by their making."""
        self.contents += contents
        self.leaves += leaves
        self.hashes += hashes

    def add_records(self, records: Sequence[MadeRecord]) -> None:
        """Take records that were made one by one."""
        self.contents += [entry_content(leaf, payload) for leaf, payload in records]
        self.leaves += [record.leaf for record in records]
        self.hashes += [leaf_hash(record.leaf) for record in records]

    def __len__(self) -> int:
        return len(self.contents)

    @overload
    def __getitem__(self, place: int) -> MadeRecord: ...

    @overload
    def __getitem__(self, place: slice) -> list[Record]: ...

    def __getitem__(self, place: int | slice) -> MadeRecord | list[Record]:
        if isinstance(place, slice):
            return [MadeRecord(*record_of(content)) for content in self.contents[place]]
        return MadeRecord(*record_of(self.contents[place]))
