"""The founding of a room: keys of its services, the first register and policies, drafts for the custodians to sign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Literal

import msgspec

from strongroom.access.people import PeopleRegister, Person, person_key
from strongroom.adapters.files.safe_files import replace_atomically
from strongroom.adapters.keys.keyring import KeyFile
from strongroom.adapters.releases.tuf_files import TufFiles
from strongroom.adapters.releases.tuf_repository import TufRepository
from strongroom.approval import trust_policy as paths
from strongroom.errors import FourEyesError, InvalidInputError
from strongroom.ledger.note import LogKey, VerifierKey
from strongroom.ledger.trust import TrustPolicy
from strongroom.sealing.keys import PublicKey
from strongroom.vocabulary import PersonId, micros, parse_name
from strongroom.wiring.room_keys import PEPPER
from strongroom.wiring.settings import Layout, RoomSettings

SERVICES: Mapping[str, str] = {
    "scanner": "scanner",
    "validation-service": "validation-service",
    "control-plane": "control-plane",
}
"""Services of the control plane that sign, and their role in the register."""

GOVERNANCE_SEED = "governance-log"
RECORD_KEY = "governance-records"
CUSTODIANS_FLOOR = 3
QUORUM = 2


class Member(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person at the founding: who, which roles, and their public key in PEM; `more_keys_pem` for further ones."""

    person_id: str
    roles: tuple[str, ...]
    key_pem: str
    units: tuple[str, ...] = ()
    more_keys_pem: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Founding:
    """What `found` made: drafts wait for the custodians."""

    layout: Layout
    settings: RoomSettings
    waiting: dict[str, int]


def standard_documents() -> dict[str, bytes]:
    """Policies and process that ship with Strongroom, by target path. A bank may bring its own."""
    package = files("strongroom")
    return {
        paths.ACCESS_PATH: (package / "policies" / "access.cedar").read_bytes(),
        paths.ACCESS_SCHEMA_PATH: (package / "policies" / "access.cedarschema").read_bytes(),
        paths.VALIDATION_PATH: (package / "policies" / "validation.json").read_bytes(),
        paths.TRUST_PATH: (package / "policies" / "trust.json").read_bytes(),
        paths.JURISDICTIONS_PATH: (package / "policies" / "jurisdictions.json").read_bytes(),
        paths.DIAGRAM_PATH: (package / "process" / "lifecycle.bpmn").read_bytes(),
    }


def found(
    layout: Layout,
    settings: RoomSettings,
    members: Sequence[Member],
    passphrase: bytes,
    at: datetime,
    documents: Mapping[str, bytes] | None = None,
) -> Founding:
    """Make a room in a new folder. Nothing is in force until two custodians have signed root and targets.

    Args:
        layout: where; the folder is new.
        settings: its names.
        members: everyone at the founding, with at least three custodians.
        passphrase: of the control plane's key file.
        at: now.
        documents: policies and process by target path; the standard ones where not named.

    Raises:
        ConflictError: the folder is not empty.
        FourEyesError: fewer than three custodians, or one key for two persons.
        InvalidInputError: a member is not understood.
    """
    register, custodians = first_register(members, at)
    layout.make(settings)
    keys = KeyFile.create(layout.keyring, passphrase, settings.profile)
    for name, role in SERVICES.items():
        register = register.with_person(_service(name, role, keys.new_signing_key(name), at))
    log = LogKey(settings.governance_origin, keys.new_secret(GOVERNANCE_SEED))
    keys.new_secret(RECORD_KEY)
    keys.new_secret(PEPPER)
    replace_atomically(layout.trust_policy, log_policy(log.verifier, settings).encode(), 0o644)
    repository = open_repository(layout, keys)
    repository.stage_root(custodians, QUORUM, at)
    content = {**standard_documents(), **(documents or {}), paths.PEOPLE_PATH: register.encode()}
    operators = [PublicKey(key.spki) for person in register.people if "operator" in person.roles for key in person.keys]
    repository.stage_targets(at, files=content, operators=operators)
    return Founding(layout, settings, {role: missing for role, (_, missing) in repository.waiting().items()})


def open_repository(layout: Layout, keys: KeyFile) -> TufRepository:
    """The control side of the release repository."""
    return TufRepository(TufFiles(layout.repository, layout.staged), keys.signer("control-plane"))


def first_register(members: Sequence[Member], at: datetime) -> tuple[PeopleRegister, list[PublicKey]]:
    """The register of version 1, and the custodians' keys.

    Raises:
        FourEyesError: fewer than three custodians.
    """
    people = []
    custodians = []
    for member in members:
        key = PublicKey.from_pem(member.key_pem.encode())
        more = [PublicKey.from_pem(pem.encode()) for pem in member.more_keys_pem]
        parse_name(member.person_id, "person id")
        people.append(
            Person(
                person_id=PersonId(member.person_id),
                kind="Person",
                keys=tuple(person_key(one.spki, micros(at)) for one in (key, *more)),
                roles=tuple(sorted(set(member.roles))),
                units=tuple(sorted(set(member.units))),
            )
        )
        if "custodian" in member.roles:
            custodians.append(key)
    if len({key.key_id for key in custodians}) < CUSTODIANS_FLOOR:
        raise FourEyesError(f"a room has at least {CUSTODIANS_FLOOR} custodians, each with a key of their own")
    if not any("operator" in person.roles for person in people):
        raise InvalidInputError("a room has at least one operator", field="people", rule="operator")
    return PeopleRegister(1, tuple(sorted(people, key=lambda person: person.person_id))), custodians


def log_policy(governance: VerifierKey, settings: RoomSettings) -> TrustPolicy:
    """What auditors trust: the governance log, and a quorum of all witnesses (none where there is no witness)."""
    named = {f"w{number}": witness for number, witness in enumerate(settings.witnesses, 1)}
    witnesses = {name: key for name, (key, _) in named.items()}
    urls = {name: url for name, (_, url) in named.items() if url is not None}
    groups: dict[str, tuple[Literal["all"] | int, tuple[str, ...]]] = {}
    quorum = "none"
    if len(witnesses) == 1:
        quorum = "w1"
    elif witnesses:
        groups["witnesses"] = (len(witnesses), tuple(witnesses))
        quorum = "witnesses"
    return TrustPolicy({governance.name: governance}, witnesses, groups, quorum, urls)  # type: ignore[arg-type]  # int threshold


def _service(name: str, role: str, key: PublicKey, at: datetime) -> Person:
    return Person(person_id=PersonId(name), kind="Service", keys=(person_key(key.spki, micros(at)),), roles=(role,))
