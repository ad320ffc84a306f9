"""What the ledger needs from outside: a place that makes records durable, and one that reads them back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from strongroom.ledger.note import VerifierKey
from strongroom.ledger.tree import Span


class Record(NamedTuple):
    """What is appended: a leaf (format 2) and the payload (format 3) that it names."""

    leaf: bytes
    payload: bytes


class StoredRecord(NamedTuple):
    """What is read back. `payload` is None once retention has deleted it; the leaf stays."""

    place: int
    leaf: bytes
    payload: bytes | None


@dataclass(frozen=True, slots=True)
class Appended:
    """A durable batch.

    Attributes:
        first_index: of its first record; the others follow without a gap.
        checkpoint: the signed note over the tree that ends with this batch.
    """

    first_index: int
    checkpoint: bytes
    _span: Span = field(repr=False)

    @property
    def size(self) -> int:
        """Size of the tree that `checkpoint` signs."""
        return self._span.end

    def proof(self, index: int) -> list[bytes]:
        """The inclusion proof of one of the batch's records in the tree of `checkpoint`. No I/O.

        Raises:
            InvalidInputError: the record is not of this batch.
        """
        return self._span.proof(index)


class Shard(Protocol):
    """One log with one writer.

    `append` may be called from one thread at a time; the properties from any.
    """

    @property
    def origin(self) -> str: ...

    @property
    def verifier(self) -> VerifierKey: ...

    @property
    def size(self) -> int:
        """Number of durable records."""

    @property
    def checkpoint(self) -> bytes:
        """The newest durable checkpoint; of size 0 in a new log."""

    def append(self, records: Sequence[Record]) -> Appended:
        """Durable on return, all or none. Nobody sees the checkpoint earlier.

        Raises:
            InvalidInputError: no record, a leaf out of form, a payload other than its leaf names, or too large.
            NotDurableError: not written. After a failed write or sync every further call fails too: end the process.
        """

    def reader(self) -> Records:
        """Reads up to the newest durable record."""


class Records(Protocol):
    """The records of one log, read back. Raises TamperedError where bytes are not what was logged."""

    @property
    def size(self) -> int: ...

    def get(self, index: int) -> StoredRecord:
        """Raises NotFoundError beyond the end."""

    def find(self, decision_id: str) -> StoredRecord:
        """The first record of this id. Raises NotFoundError where there is none."""

    def __iter__(self) -> Iterator[StoredRecord]: ...

    def records(self, start: int = 0) -> Iterator[StoredRecord]:
        """From one on, to the end as it is when the reading begins."""
