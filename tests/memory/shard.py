"""A log in memory. Not durable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from strongroom.errors import InvalidInputError, NotFoundError
from strongroom.ledger.checkpoint import Checkpoint, LogKey, VerifierKey, sign_checkpoint
from strongroom.ledger.leaf import check_record, decision_id_of
from strongroom.ledger.ports import Appended, Record, StoredRecord
from strongroom.ledger.tree import EMPTY_ROOT, Frontier, leaf_hash


class MemoryShard:
    """Records in a list. See `strongroom.ledger.ports.Shard`."""

    def __init__(self, origin: str, log_key: LogKey) -> None:
        if log_key.name != origin:
            raise InvalidInputError(f"the key of `{log_key.name}` does not sign for `{origin}`", rule="origin")
        self._key = log_key
        self._frontier = Frontier()
        self._records: list[Record] = []
        self._note = sign_checkpoint(Checkpoint(origin, 0, EMPTY_ROOT), log_key)

    @property
    def origin(self) -> str:
        return self._key.name

    @property
    def verifier(self) -> VerifierKey:
        return self._key.verifier

    @property
    def size(self) -> int:
        return len(self._records)

    @property
    def checkpoint(self) -> bytes:
        return self._note

    def append(self, records: Sequence[Record]) -> Appended:
        """See `Shard.append`."""
        if not records:
            raise InvalidInputError("a batch has at least one record", rule="batch")
        for leaf, payload in records:
            check_record(leaf, payload)
        first = len(self._records)
        span = self._frontier.extend([leaf_hash(record.leaf) for record in records])
        self._note = sign_checkpoint(Checkpoint(self.origin, self._frontier.size, self._frontier.root()), self._key)
        self._records += records
        return Appended(first, self._note, span)

    def reader(self) -> MemoryRecords:
        return MemoryRecords(self._records)


class MemoryRecords:
    """Reads a `MemoryShard`."""

    def __init__(self, records: list[Record]) -> None:
        self._records = records

    @property
    def size(self) -> int:
        return len(self._records)

    def get(self, index: int) -> StoredRecord:
        """See `Records.get`."""
        if not 0 <= index < len(self._records):
            raise NotFoundError(f"the log has no record {index} yet")
        return StoredRecord(index, *self._records[index])

    def find(self, decision_id: str) -> StoredRecord:
        """See `Records.find`."""
        for stored in self:
            if decision_id_of(stored.leaf) == decision_id:
                return stored
        raise NotFoundError("the log has no record of this decision")

    def __iter__(self) -> Iterator[StoredRecord]:
        return self.records()

    def records(self, start: int = 0) -> Iterator[StoredRecord]:
        """See `Records.records`."""
        for index in range(start, len(self._records)):
            yield self.get(index)
