"""The office's desk and log in memory. Rules are the ports', to the letter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from strongroom.access.grants import Grants
from strongroom.approval.cases import Case
from strongroom.errors import ConflictError, NotFoundError
from strongroom.office.acts import EntryRef
from strongroom.office.entries import Entry
from strongroom.office.notebook import Notebook
from strongroom.office.ports import LoggedEntry, OutboxRow, Pending
from strongroom.vocabulary import KeyId, ModelRef
from tests.memory.registry import MemoryPointers, MemoryVersions
from tests.memory.subjects import MemoryErasures, MemoryOutcomes


class MemoryCases:
    """`approval.ports.Cases`."""

    def __init__(self) -> None:
        self._cases: dict[str, Case] = {}

    def get(self, case_id: str) -> Case:
        try:
            return self._cases[case_id]
        except KeyError as error:
            raise NotFoundError(f"there is no case `{case_id[:128]}`") from error

    def of_model(self, ref: ModelRef) -> Case:
        found = [case for case in self._cases.values() if case.ref == ref]
        if not found:
            raise NotFoundError(f"there is no case about {ref}")
        return max(found, key=lambda case: (case.history[0].at_us if case.history else 0, case.id))

    def put(self, case: Case) -> None:
        stored = self._cases.get(case.id)
        if case.revision != (stored.revision + 1 if stored else 1):
            raise ConflictError(f"case `{case.id}` was changed by someone else; read it again")
        self._cases[case.id] = case


class MemoryGrants:
    """`access.ports.GrantsShelf`."""

    def __init__(self) -> None:
        self._documents: list[bytes] = []

    def current(self) -> Grants:
        if not self._documents:
            raise NotFoundError("no calling system has been granted anything yet")
        return Grants.decode(self._documents[-1])

    def put(self, grants: Grants) -> None:
        if grants.sequence != len(self._documents) + 1:
            raise ConflictError(f"grants {grants.sequence} do not follow {len(self._documents)}; read them again")
        self._documents.append(grants.encode())


class MemoryNonces:
    """`access.requests.Nonces`."""

    def __init__(self) -> None:
        self._spent: set[tuple[KeyId, str]] = set()

    def spend(self, key_id: KeyId, nonce: str, until_us: int) -> None:
        del until_us  # it forgets with the process
        if (key_id, nonce) in self._spent:
            raise ConflictError("this nonce was used before")
        self._spent.add((key_id, nonce))


class MemoryBooks(Notebook):
    """Every room's shelves."""

    def __init__(self) -> None:
        super().__init__()
        self.versions = MemoryVersions()
        self.pointers = MemoryPointers()
        self.cases = MemoryCases()
        self.grants = MemoryGrants()
        self.outcomes = MemoryOutcomes()
        self.erasures = MemoryErasures()

    def fresh(self) -> MemoryBooks:
        """A copy to work on, with an empty notebook."""
        books = MemoryBooks()
        for name in ("versions", "pointers", "cases", "grants", "outcomes", "erasures"):
            vars(getattr(books, name)).update(
                {field: _copied(value) for field, value in vars(getattr(self, name)).items()}
            )
        return books


def _copied(value: object) -> object:
    """Containers anew, their immutable contents as they are."""
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return list(value) if isinstance(value, list) else value


class MemoryTransaction:
    """`office.ports.Transaction` over a copy."""

    def __init__(self, desk: MemoryDesk) -> None:
        self._desk = desk
        self._rows: list[Pending] = []
        self.books = desk.books.fresh()

    def put_outbox(self, row: Pending) -> None:
        if self._desk.knows(row.act_id) or any(known.act_id == row.act_id for known in self._rows):
            raise ConflictError(f"act `{row.act_id}` has an outbox row already")
        self._rows.append(row)

    def commit(self) -> None:
        self._desk.take(self.books, self._rows)
        self._rows = []


class MemoryDesk:
    """`office.ports.Desk`."""

    def __init__(self) -> None:
        self.books = MemoryBooks()
        self._outbox: dict[str, OutboxRow] = {}

    @contextmanager
    def begin(self) -> Iterator[MemoryTransaction]:
        yield MemoryTransaction(self)

    def pending(self) -> Sequence[Pending]:
        return [Pending(row.act_id, row.entry) for row in self._outbox.values() if row.logged is None]

    def mark_logged(self, act_id: str, ref: EntryRef) -> None:
        row = self._outbox.get(act_id)
        if row is None or row.logged not in (None, ref):
            raise ConflictError(f"act `{act_id}` is unknown to the outbox, or marked at another place")
        self._outbox[act_id] = OutboxRow(act_id, row.entry, ref)

    def rows(self) -> Iterator[OutboxRow]:
        yield from list(self._outbox.values())

    def knows(self, act_id: str) -> bool:
        """Whether there is a row of this act."""
        return act_id in self._outbox

    def take(self, books: MemoryBooks, rows: Sequence[Pending]) -> None:
        """A transaction commits."""
        self.books = books
        self._outbox.update({row.act_id: OutboxRow(row.act_id, row.entry, None) for row in rows})


class MemoryLog:
    """`office.ports.GovernanceLog`."""

    def __init__(self, origin: str = "bank.example/room/eu/control/governance/1") -> None:
        self.origin = origin
        self._entries: list[LoggedEntry] = []

    def append(self, act_id: str, kind: str, entry: bytes, at_us: int) -> EntryRef:
        del kind, at_us  # there is no leaf to carry it
        known = self.find(act_id)
        if known is not None:
            if self._entries[known.index].entry != entry:
                raise ConflictError(f"another entry of act `{act_id}` is in the governance log")
            return known
        ref = EntryRef(self.origin, len(self._entries))
        self._entries.append(LoggedEntry(ref, Entry.decode(entry), entry))
        return ref

    def find(self, act_id: str) -> EntryRef | None:
        return next((entry.ref for entry in self._entries if entry.document.act_id == act_id), None)

    def entries(self) -> Iterator[LoggedEntry]:
        yield from list(self._entries)
