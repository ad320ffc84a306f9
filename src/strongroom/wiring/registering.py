"""Changes of the people register after the founding: who comes, who leaves, which key counts no more.

Each change is a draft of the custodians: nothing is in force before two of them have read and signed it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import msgspec

from strongroom.access.people import LEAKED, PeopleRegister, Person, PersonKey, person_key
from strongroom.approval.trust_policy import PEOPLE_PATH
from strongroom.encoding import canonical
from strongroom.errors import ConflictError, FourEyesError, InvalidInputError, NotFoundError
from strongroom.office.acts import Act, EntryRef, Resource
from strongroom.sealing.keys import PublicKey
from strongroom.vocabulary import PersonId, digest_of, micros
from strongroom.wiring.drafts import register_of
from strongroom.wiring.founding import CUSTODIANS_FLOOR, SERVICES
from strongroom.wiring.person import AtDesk

Ending = Literal["left", "rotated", "compromised"]


def enter_person(
    desk: AtDesk,
    name: str,
    roles: Sequence[str],
    key_pem: bytes | None = None,
    units: Sequence[str] = (),
    *,
    service: bool = False,
) -> EntryRef:
    """Draft a new person or machine, or new roles and one more key for a known one.

    Args:
        desk: a custodian's.
        name: person id, which never goes to someone else.
        roles: all roles from now on; none for a known person leaves them as they are.
        key_pem: their public key; needed for a new person.
        units: departments; none for a known person leaves them as they are.
        service: it is a machine of the bank's with a key of its own, such as one that runs approved rules.

    Raises:
        InvalidInputError: a role is unknown or not for this kind, the key is not P-256 or belongs to somebody already;
            or the name is known as the other kind, or as a service of the control plane.
    """
    at_us = micros(desk.room.clock())
    kind: Literal["Person", "Service"] = "Service" if service else "Person"
    new = () if key_pem is None else (person_key(PublicKey.from_pem(key_pem).spki, at_us),)

    def change(register: PeopleRegister) -> Person:
        try:
            known = register.person(name)
        except NotFoundError:
            known = None
        if known is None:
            if not new or not roles:
                raise InvalidInputError("a new person comes with a key and at least one role", field="key") from None
            return Person(person_id=PersonId(name), kind=kind, keys=new, roles=_sorted(roles), units=_sorted(units))
        if name in SERVICES:
            raise InvalidInputError(f"`{name}` is a service; its keys are the control plane's", field="person")
        if known.kind != kind:
            raise InvalidInputError(f"`{name}` is known as a {known.kind.lower()} and stays one", field="person")
        return msgspec.structs.replace(
            known,
            keys=(*known.keys, *new),
            roles=_sorted(roles) or known.roles,
            units=_sorted(units) or known.units,
        )

    body = {"enter": name, "kind": kind, "keys": [key.id for key in new], "roles": list(roles), "units": list(units)}
    return _draft(desk, name, change, canonical(body))


def end_keys(desk: AtDesk, name: str, reason: Ending, key_id: str | None = None) -> EntryRef:
    """Draft the end of a person's keys, or of one of them, as of now.

    What was signed before keeps counting, unless the reason is `compromised`: then it counts at no time.

    Args:
        desk: a custodian's.
        name: person id.
        reason: why.
        key_id: first digits of one key's id; every key that still counts when None.

    Raises:
        NotFoundError: no such person or key.
    """
    at_us = micros(desk.room.clock())

    def change(register: PeopleRegister) -> Person:
        person = register.person(name)
        ended = [key.id for key in person.keys if _ends(key, reason, key_id)]
        if not ended or (key_id is not None and len(ended) > 1):
            raise NotFoundError(f"{len(ended)} keys of `{name}` fit; `strongroom people list` shows the digits")
        return msgspec.structs.replace(
            person,
            keys=tuple(
                msgspec.structs.replace(key, until_us=max(at_us, key.from_us), reason=reason)
                if key.id in ended
                else key
                for key in person.keys
            ),
        )

    return _draft(desk, name, change, canonical({"end": name, "key": key_id, "reason": reason}))


@dataclass(frozen=True, slots=True)
class Renewal:
    """Drafts of root and targets with fresh dates, for the old and the new custodians to sign."""

    custodians: tuple[str, ...]
    threshold: int
    entry: EntryRef


def renew(desk: AtDesk, custodians: Sequence[str] = ()) -> Renewal:
    """Draft the next root and targets, with fresh expiry dates, and say who the custodians are from now on.

    Each stands in root with one key: the one that stands there now if it still counts, else their newest. Who is
    named becomes a custodian in the register too, and who is not stops being one; so nobody signs under one and not
    the other. Root then needs a quorum of the old custodians and one of the new.

    Args:
        desk: a custodian's.
        custodians: person ids; those of the published root when empty.

    Raises:
        FourEyesError: fewer than three persons.
        NotFoundError: nobody of that id.
        ConflictError: one of them has no key that counts.
    """
    room = desk.room
    at = room.clock()
    who = desk.ask("people", "People", "register", canonical({"custodians": list(custodians)}))
    with room.office.open(Act(who, "people", Resource("People", "register"), at)) as books:
        register = _newest(desk)
        listed, threshold = room.repository.custodians()
        names = _sorted(custodians) or _sorted(
            [person.person_id for person in register.people for key in person.keys if key.id in listed]
        )
        if len(names) < CUSTODIANS_FLOOR:
            raise FourEyesError(f"a room has at least {CUSTODIANS_FLOOR} custodians; name them all with --custodian")
        keys = [_one_key(register.person(name), listed, micros(at)) for name in names]
        for person in register.people:
            roles = _sorted([role for role in person.roles if role != "custodian"])
            roles = _sorted([*roles, "custodian"]) if person.person_id in names else roles
            if roles != person.roles:
                register = register.with_person(msgspec.structs.replace(person, roles=roles))
        root = room.repository.stage_root(keys, threshold, at)
        targets = room.repository.stage_targets(at, files={PEOPLE_PATH: register.encode()})
        books.note(root=digest_of(root), draft=digest_of(targets), people=register.digest, custodians=", ".join(names))
    return Renewal(names, threshold, books.receipt)


def _one_key(person: Person, listed: Sequence[str], at_us: int) -> PublicKey:
    counting = [key for key in person.keys if key.until_us is None or (key.until_us > at_us and key.reason != LEAKED)]
    if person.kind != "Person" or not counting:
        raise ConflictError(
            f"`{person.person_id}` has no key that counts; name the custodians without them, with --custodian"
        )
    chosen = [key for key in counting if key.id in listed] or sorted(counting, key=lambda key: key.from_us)[-1:]
    return PublicKey(chosen[0].spki)


def _ends(key: PersonKey, reason: Ending, key_id: str | None) -> bool:
    counts = key.until_us is None or (reason == "compromised" and key.reason != "compromised")
    return counts and key.id.startswith(key_id or "")


def _draft(desk: AtDesk, name: str, change: Callable[[PeopleRegister], Person], body: bytes) -> EntryRef:
    room = desk.room
    at: datetime = room.clock()
    who = desk.ask("people", "People", "register", body)
    with room.office.open(Act(who, "people", Resource("People", "register"), at)) as books:
        register = _newest(desk)
        register = register.with_person(change(register))
        operators = [
            PublicKey(key.spki)
            for person in register.people
            for key in person.keys
            if "operator" in person.roles and key.until_us is None
        ]
        if not operators:
            raise InvalidInputError("a room has at least one operator", field="people", rule="operator")
        draft = room.repository.stage_targets(at, files={PEOPLE_PATH: register.encode()}, operators=operators)
        books.note(person=name, people=register.digest, draft=digest_of(draft))
    return books.receipt


def _newest(desk: AtDesk) -> PeopleRegister:
    """The register of the waiting draft, so that two changes do not undo each other; else the one in force."""
    repository = desk.room.repository
    if "targets" in repository.waiting():
        said = json.loads(repository.draft("targets"), strict=False)
        waiting = register_of(repository.files, said)
        if waiting is not None:
            return waiting
    return desk.room.register


def _sorted(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))
