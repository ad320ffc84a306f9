"""Whose signatures count: from the people register to keys that verify."""

from __future__ import annotations

from strongroom.access.people import PeopleRegister, Person
from strongroom.errors import NotAuthenticatedError, NotPermittedError
from strongroom.sealing.keys import PublicKey
from strongroom.vocabulary import KeyId, PersonId


def keys_of(register: PeopleRegister, person_id: str, at_us: int) -> dict[KeyId, PublicKey]:
    """The keys of one person whose signatures count at `at_us`, by id; never empty.

    Raises:
        NotFoundError: nobody has this id.
        NotAuthenticatedError: no key of theirs counts then.
    """
    keys = _counting(register, register.person(person_id), at_us)
    if not keys:
        raise NotAuthenticatedError(f"no key of `{person_id}` counts at that time; enter a new one in the register")
    return keys


def keys_with_role(register: PeopleRegister, role: str, at_us: int) -> dict[KeyId, PublicKey]:
    """The keys of everybody with `role` whose signatures count at `at_us`, by id; may be empty."""
    found: dict[KeyId, PublicKey] = {}
    for person in register.people:
        if role in person.roles:
            found.update(_counting(register, person, at_us))
    return found


def only_signer(register: PeopleRegister, signers: tuple[KeyId, ...], role: str, at_us: int) -> PersonId:
    """The one person who signed, who must have `role`.

    Args:
        signers: from `open_envelope`.

    Raises:
        NotAuthenticatedError: a key counts for nobody at that time.
        NotPermittedError: several persons signed, or the one has not the role.
    """
    persons = {register.key_owner(key_id, at_us).person_id for key_id in signers}
    if len(persons) != 1:
        raise NotPermittedError(f"this statement is signed by one person, not {len(persons)}")
    (person,) = persons
    if role not in register.person(person).roles:
        raise NotPermittedError(f"`{person}` signed, but is no {role}")
    return person


def _counting(register: PeopleRegister, person: Person, at_us: int) -> dict[KeyId, PublicKey]:
    keys: dict[KeyId, PublicKey] = {}
    for key in person.keys:
        try:
            counting = register.key(key.id, at_us)
        except NotAuthenticatedError:
            continue
        keys[key.id] = PublicKey(counting.spki)
    return keys
