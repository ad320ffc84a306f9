"""The one door: no act, no books.

Whoever wants to change state opens the office with an act. The door asks the policies, lets the rule work on the books,
commits state and entry together, and gives the receipt once the entry is durable in the governance log. What is refused
is recorded as well. Nobody can forget authorisation or audit, because there is no other way to the books.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from strongroom.errors import (
    NotDurableError,
    NotPermittedError,
    RefusedError,
    StrongroomError,
    TamperedError,
    UnavailableError,
)
from strongroom.office.acts import Act, EntryRef, Resource, Scalar
from strongroom.office.entries import Entry, done, refused
from strongroom.office.ports import Desk, GovernanceLog, Notes, Pending, Policy
from strongroom.vocabulary import Clock, micros

B = TypeVar("B", bound=Notes)

Describe = Callable[[B, Resource], Mapping[str, Scalar | frozenset[str]]]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that `fsck` found wrong between outbox and log."""

    what: str
    act_id: str
    entry: EntryRef | None = None


class Office(Generic[B]):
    """Where acts become state and history. One per process; acts do not nest.

    Args:
        policy: says no by raising.
        desk: opens transactions over the books.
        log: the governance log.
        clock: when an entry is appended.
        random: secure random bytes, for act ids.
        describe: what the books know of a resource (its author, for example), for the policies. It is read in the
            act's own transaction and outranks what the act says, so that nobody passes by leaving an attribute out.
    """

    def __init__(
        self,
        policy: Policy,
        desk: Desk[B],
        log: GovernanceLog,
        clock: Clock,
        random: Callable[[int], bytes],
        describe: Describe[B] | None = None,
    ) -> None:
        self._policy = policy
        self._desk = desk
        self._log = log
        self._clock = clock
        self._random = random
        self._describe = describe

    @contextmanager
    def open(self, act: Act) -> Iterator[B]:
        """Do one act.

        1. Entries left over from an earlier failure go into the log, so that history keeps its order.
        2. The policies are asked; anything but a plain yes is a no.
        3. The body of the `with` block works on the books.
        4. State and entry commit in one transaction.
        5. The entry is appended to the log; `books.receipt` says where.
        If 2, 3 or 4 raises, the state is as before, and the refusal goes the same way.

        Raises:
            StrongroomError: as the policy or the body raised it, with `entry` naming the recorded refusal.
            NotDurableError: the refusal could not be recorded; or the act took place, but its entry is not in the log
                yet (it is in the outbox, and the next act or start-up appends it).
            TamperedError: also when the log's own bytes are wrong; the entry then waits in the outbox.
            Exception: anything unexpected from the body, after the rollback; recorded without its text.
        """
        act_id = self._random(16).hex()
        self._drain()
        try:
            with self._desk.begin() as transaction:
                books = transaction.books
                act = self._described(act, books)
                self._permit(act)
                yield books
                row = Pending(act_id, done(act_id, act, books.facts).encode())
                transaction.put_outbox(row)
                transaction.commit()
        except Exception as error:  # also the unexpected: a crash inside a verb leaves a trace in the log too
            self._record(act_id, act, error)
            raise
        try:
            books.file(self._append(row))
        except TamperedError:
            raise
        except Exception as error:
            raise NotDurableError(
                f"`{act.verb}` took place, but its entry is not in the governance log yet; the next act appends it",
                act_id=act_id,
            ) from error

    @contextmanager
    def prepare(self, act: Act) -> Iterator[B]:
        """Look whether an act may be done and what it needs, before long work that is done outside.

        Nothing is kept of what the body does to the books, and nothing is recorded: the act takes place at `open`,
        after the work, and is judged anew there. A refusal is one, and goes into the log.

        Raises:
            StrongroomError, NotDurableError, Exception: as `open`.
        """
        act_id = self._random(16).hex()
        self._drain()
        try:
            with self._desk.begin() as transaction:
                act = self._described(act, transaction.books)
                self._permit(act)
                yield transaction.books
        except Exception as error:
            self._record(act_id, act, error)
            raise

    def reconcile(self) -> int:
        """At start-up: append what an earlier process committed but did not log.

        Returns:
            How many entries went into the log.

        Raises:
            UnavailableError: database or log cannot be reached.
        """
        return self._drain()

    def fsck(self) -> list[Finding]:
        """Compare outbox and log, entry by entry.

        Returns:
            Rows without an entry in the log, entries without a row, and pairs that differ; empty when all is well.

        Raises:
            TamperedError: the log's own bytes are wrong.
        """
        findings: list[Finding] = []
        rows = {row.act_id: row for row in self._desk.rows()}
        seen: set[str] = set()
        for logged in self._log.entries():
            act_id = logged.document.act_id
            row = rows.get(act_id)
            if act_id in seen:
                findings.append(Finding("the log has a second entry for one act", act_id, logged.ref))
            elif row is None:
                findings.append(Finding("the log has an entry that the outbox does not know", act_id, logged.ref))
            elif row.entry != logged.entry:
                findings.append(Finding("outbox and log differ about an act", act_id, logged.ref))
            elif row.logged is None:
                findings.append(Finding("an entry is in the log but still pending; reconcile", act_id, logged.ref))
            elif row.logged != logged.ref:
                findings.append(Finding("the outbox names another place in the log", act_id, logged.ref))
            seen.add(act_id)
        for row in rows.values():
            if row.act_id not in seen:
                findings.append(Finding("the outbox has a row without an entry in the log", row.act_id, row.logged))
        return findings

    def _described(self, act: Act, books: B) -> Act:
        if self._describe is None:
            return act
        known = self._describe(books, act.on)
        return replace(act, on=replace(act.on, attributes={**act.on.attributes, **known}))

    def _permit(self, act: Act) -> None:
        """Ask the policy.

        Raises:
            NotPermittedError: also when the policy itself fails.
            RefusedError: as the policy raised it.
        """
        try:
            self._policy.check(act)
        except RefusedError:
            raise
        except Exception as error:  # a policy that breaks has not said yes
            raise NotPermittedError(
                f"the policies could not be asked about `{act.verb}`, so the answer is no"
            ) from error

    def _record(self, act_id: str, act: Act, error: Exception) -> None:
        """Write the refusal and set `error.entry`.

        Raises:
            NotDurableError: it could not be written, and the error is one that a caller would act upon. A
                `TamperedError` or an unexpected one goes on to whoever must hear of it, with a note.
        """
        row = Pending(act_id, refused(act_id, act, error).encode())
        try:
            with self._desk.begin() as transaction:
                transaction.put_outbox(row)
                transaction.commit()
            ref = self._append(row)
        except StrongroomError as failure:
            if isinstance(error, RefusedError):
                raise NotDurableError(f"the refusal of `{act.verb}` could not be recorded; try again") from failure
            error.add_note(f"this failure could not be recorded in the governance log: {failure}")
            return
        if isinstance(error, StrongroomError):
            error.entry = ref

    def _drain(self) -> int:
        rows = self._desk.pending()
        for row in rows:
            self._append(row)
        return len(rows)

    def _append(self, row: Pending) -> EntryRef:
        ref = self._log.append(row.act_id, Entry.decode(row.entry).type, row.entry, micros(self._clock()))
        try:
            self._desk.mark_logged(row.act_id, ref)
        except UnavailableError:
            # the entry is durable, which is what the caller was promised; the row is found again by act id and marked
            # by the next act
            return ref
        return ref
