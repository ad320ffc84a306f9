"""After an interruption: what a repeated verb finds done already, and finishes.

Submission, scan and validation are two acts each, one of the registry and one of the case. A process that ends between
them leaves a version that is further than its case; whoever comes next brings the case up to it.
"""

from __future__ import annotations

from typing import Literal, Protocol, TypeVar

from strongroom.approval import actions as approval
from strongroom.approval.four_eyes import voice_of
from strongroom.errors import NotFoundError
from strongroom.office.acts import EntryRef
from strongroom.registry.versions import Version
from strongroom.vocabulary import ModelRef, PersonId
from strongroom.wiring.person import AtDesk


class _Dated(Protocol):
    @property
    def at_us(self) -> int: ...


P = TypeVar("P", bound=_Dated)
Step = Literal["scan", "validate"]

STEPS: tuple[tuple[Step, str, str], ...] = (("scan", "scan", "submitted"), ("validate", "validation", "scanned"))
"""Verb, the evidence that it leaves, and the state of a case that has not taken it in."""


def without_case(desk: AtDesk, author: PersonId, ref: ModelRef) -> Version | None:
    """A version that this author has registered, but whose case was not opened."""
    with desk.room.desk.begin() as transaction:
        books = transaction.books
        known = [one for one in books.versions.of_model(ref.name) if one.ref == ref and one.author == author]
        try:
            books.cases.of_model(ref)
        except NotFoundError:
            return known[0] if known else None
    return None


def catch_up(desk: AtDesk, ref: ModelRef) -> dict[Step, Version]:
    """Take evidence into the case that an interrupted scan or validation left behind.

    Returns:
        The version, under each verb that was finished.

    Raises:
        NotFoundError: no such version, or its submission was interrupted.
        NotPermittedError: the policies must let this person do the verb that was interrupted.
    """
    room, found = desk.room, {}
    for verb, kind, before in STEPS:
        with room.desk.begin() as transaction:
            version = transaction.books.versions.get(ref)
            try:
                case = transaction.books.cases.of_model(ref)
            except NotFoundError:
                raise NotFoundError(
                    f"version {ref} has no case, since its submission was interrupted; its author submits it once more"
                ) from None
        if kind in version.evidence and case.state == before:
            who = desk.ask(verb, "Model", ref.name)
            approval.follow(room.office, who, room.clock(), ref=ref, kind=verb, means=room.means())
            found[verb] = version
    return found


def stated(desk: AtDesk, version: Version, kind: str, predicate_type: str, role: str, shape: type[P]) -> P:
    """What the signed evidence of a version says. Its key is held to the moment of the statement: one that was rotated
    since counts on.

    Raises:
        TamperedError: the signature does not verify, or it is another statement.
        NotAuthenticatedError: the key did not count then, or is compromised.
        EvidenceError: no service in this role signed it, or it is about another version.
    """
    register = desk.room.means().register
    said, key = register.statement(
        desk.room.vault.blobs.get(version.evidence[kind]), version.ref, predicate_type, shape
    )
    voice_of(register.people, key, said.at_us, role)
    return said


def newest_entry(desk: AtDesk) -> EntryRef:
    """Of the governance log; nobody else writes to it while the room is open."""
    seen = desk.room.log.seen()
    return EntryRef(seen.origin, seen.size - 1)
