"""Four eyes: who must differ from whom, by person and by key, whatever metadata and diagrams say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from strongroom.access.people import PeopleRegister, Person
from strongroom.approval.trust_policy import APPROVERS_FLOOR
from strongroom.errors import EvidenceError, FourEyesError, NotAuthenticatedError
from strongroom.vocabulary import KeyId, PersonId


@dataclass(frozen=True, slots=True)
class Voice:
    """A verified signature: whose, and by which key."""

    person: PersonId
    key: KeyId


def voice_of(register: PeopleRegister, key_id: KeyId, at_us: int, role: str, *, even_leaked: bool = False) -> Voice:
    """The person behind a key that signed at `at_us`, if they hold `role`.

    Args:
        register: of the people.
        key_id: that signed.
        at_us: when.
        role: that is wanted.
        even_leaked: see `PeopleRegister.key_owner`.

    Raises:
        NotAuthenticatedError: the key counted for nothing then.
        EvidenceError: the person does not hold the role.
    """
    person: Person = register.key_owner(key_id, at_us, even_leaked=even_leaked)
    if role not in person.roles:
        raise EvidenceError(f"`{person.person_id}` signed as `{role}` but does not hold that role")
    return Voice(person.person_id, key_id)


def try_voice(register: PeopleRegister, key_id: KeyId, at_us: int, role: str) -> Voice | None:
    """`voice_of` for counting: None for a signature that does not count."""
    try:
        return voice_of(register, key_id, at_us, role)
    except (NotAuthenticatedError, EvidenceError):
        return None


def check_four_eyes(author: Voice, validator: Voice, approvers: Sequence[Voice], threshold: int) -> None:
    """Author, validator and approvers are different persons with different keys, and the approvers are enough.

    Args:
        author: who signed the submission.
        validator: who signed the review.
        approvers: who signed approvals, or the role's metadata.
        threshold: persons wanted; below 2 counts as 2.

    Raises:
        FourEyesError: somebody has two parts, one key stands for two, or approvers are missing.
    """
    if validator.person == author.person or validator.key == author.key:
        raise FourEyesError(f"`{author.person}` is author and validator; the review needs someone else")
    for approver in approvers:
        for other, part in ((author, "author"), (validator, "validator")):
            if approver.person == other.person or approver.key == other.key:
                raise FourEyesError(f"`{approver.person}` is {part} and approver; the approval needs someone else")
    wanted = max(APPROVERS_FLOOR, threshold)
    persons = {approver.person for approver in approvers}
    keys = {approver.key for approver in approvers}
    if min(len(persons), len(keys)) < wanted:
        raise FourEyesError(f"{len(persons)} person(s) approved, and {wanted} different ones must")
