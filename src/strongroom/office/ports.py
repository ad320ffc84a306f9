"""What the office needs from outside: a policy, a transaction, a log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from strongroom.office.acts import Act, EntryRef, Scalar
from strongroom.office.entries import Entry


class Notes(Protocol):
    """Every Books offers this (`office.notebook.Notebook` implements it)."""

    def note(self, **facts: Scalar) -> None:
        """Facts for the ledger entry, such as digests. Never personal data of applicants."""

    @property
    def facts(self) -> Mapping[str, Scalar]: ...

    @property
    def receipt(self) -> EntryRef:
        """Where the act's entry stands; to be read after the block."""

    def file(self, receipt: EntryRef) -> None:
        """For the door alone."""


B_co = TypeVar("B_co", bound=Notes, covariant=True)


class Policy(Protocol):
    """Says no by raising; anything else that goes wrong is a no as well."""

    def check(self, act: Act, /) -> None:
        """Raises NotPermittedError unless some policy permits and none forbids."""


@dataclass(frozen=True, slots=True)
class Pending:
    """An outbox row: an entry that is committed with the state but not yet in the log."""

    act_id: str
    entry: bytes


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """An outbox row as `fsck` sees it: `logged` is None while the entry is not known to be in the log."""

    act_id: str
    entry: bytes
    logged: EntryRef | None


@dataclass(frozen=True, slots=True)
class LoggedEntry:
    """An entry as the log holds it, decrypted: what it says, and its bytes."""

    ref: EntryRef
    document: Entry
    entry: bytes


class Transaction(Protocol[B_co]):
    """One unit of work over the control plane's database.

    Everything written through `books` and `outbox` commits together or not at all. Not shared between threads.
    """

    @property
    def books(self) -> B_co: ...

    def put_outbox(self, row: Pending) -> None: ...

    def commit(self) -> None:
        """Durable on return. Raises UnavailableError if it could not be committed."""


class Desk(Protocol[B_co]):
    """Opens transactions and keeps the outbox."""

    def begin(self) -> AbstractContextManager[Transaction[B_co]]:
        """Leaving the block without `commit` rolls back."""

    def pending(self) -> Sequence[Pending]:
        """Rows whose entry is not known to be in the log, oldest first."""

    def mark_logged(self, act_id: str, ref: EntryRef) -> None:
        """Durable on return; marking again with the same place changes nothing."""

    def rows(self) -> Iterator[OutboxRow]:
        """Every row that was ever put, oldest first."""


class GovernanceLog(Protocol):
    """The log of acts and refusals. Safe to call from one process at a time (a file lock sees to it)."""

    def append(self, act_id: str, kind: str, entry: bytes, at_us: int) -> EntryRef:
        """Durable on return. Appending an `act_id` that is in the log already returns its place (idempotent)."""

    def find(self, act_id: str) -> EntryRef | None: ...

    def entries(self) -> Iterator[LoggedEntry]:
        """Every entry, oldest first. Raises TamperedError where bytes are not what was logged."""
