"""From the people register to keys that verify: who counts, when, and in which role."""

from __future__ import annotations

import msgspec
import pytest

from strongroom.access.people import PeopleRegister, Person, PersonKey, person_key
from strongroom.errors import NotAuthenticatedError, NotFoundError, NotPermittedError
from strongroom.sealing.keys import EcSigner
from strongroom.sealing.signers import keys_of, keys_with_role, only_signer
from strongroom.vocabulary import PersonId

ANN, ANN_OLD, BEN, CY = (EcSigner.from_scalar(n) for n in (11, 12, 13, 14))


def person(name: str, *keys: PersonKey, roles: tuple[str, ...]) -> Person:
    return Person(person_id=PersonId(name), kind="Person", keys=keys, roles=roles)


def key(signer: EcSigner, until: int | None = None, reason: str = "") -> PersonKey:
    return msgspec.structs.replace(person_key(signer.public.spki, 100), until_us=until, reason=reason)


REGISTER = PeopleRegister(
    1,
    (
        person("ann", key(ANN), key(ANN_OLD, 200, "rotated"), roles=("approver",)),
        person("ben", key(BEN), roles=("approver", "validator")),
        person("cy", key(CY, 300, "compromised"), roles=("approver",)),
    ),
)


def test_keys_count_between_their_dates() -> None:
    assert set(keys_of(REGISTER, "ann", 150)) == {ANN.public.key_id, ANN_OLD.public.key_id}
    assert keys_of(REGISTER, "ann", 200) == {ANN.public.key_id: ANN.public}
    for name, at in (("ann", 99), ("cy", 150), ("cy", 400)):
        with pytest.raises(NotAuthenticatedError):
            keys_of(REGISTER, name, at)
    with pytest.raises(NotFoundError):
        keys_of(REGISTER, "dan", 150)


def test_keys_by_role() -> None:
    assert set(keys_with_role(REGISTER, "approver", 250)) == {ANN.public.key_id, BEN.public.key_id}
    assert set(keys_with_role(REGISTER, "validator", 250)) == {BEN.public.key_id}
    assert keys_with_role(REGISTER, "auditor", 250) == {}


def test_one_person_signs() -> None:
    ann, old, ben, cy = (signer.public.key_id for signer in (ANN, ANN_OLD, BEN, CY))
    assert only_signer(REGISTER, (ben,), "validator", 150) == "ben"
    assert only_signer(REGISTER, (ann, old), "approver", 150) == "ann"
    with pytest.raises(NotPermittedError, match="no validator"):
        only_signer(REGISTER, (ann,), "validator", 150)
    with pytest.raises(NotPermittedError, match="one person, not 2"):
        only_signer(REGISTER, (ann, ben), "approver", 150)
    with pytest.raises(NotPermittedError, match="one person, not 0"):
        only_signer(REGISTER, (), "approver", 150)
    for signers in ((cy,), (ann, cy), (EcSigner.from_scalar(99).public.key_id,)):
        with pytest.raises(NotAuthenticatedError):
            only_signer(REGISTER, signers, "approver", 150)
