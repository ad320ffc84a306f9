"""What custodians do: sign root and top-level targets. And what keeps the repository fresh."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from strongroom.access.people import PeopleRegister
from strongroom.access.requests import Target, new_request, sign_request
from strongroom.adapters.keys.homes import Home
from strongroom.adapters.keys.keyring import KeyFile
from strongroom.adapters.policies.cedar import CedarEngine
from strongroom.adapters.process.spiff import SpiffEngine
from strongroom.adapters.releases.tuf_repository import TufRepository
from strongroom.approval import trust_policy as paths
from strongroom.approval.policy_signature import demand_policy_signature
from strongroom.encoding import canonical
from strongroom.errors import ConflictError, InvalidInputError, NotAuthenticatedError, NotFoundError, NotPermittedError
from strongroom.office.acts import Act, EntryRef, Resource
from strongroom.sealing.keys import PublicKey
from strongroom.validation.policy import ValidationPolicy
from strongroom.vocabulary import KeyId, digest_of, micros, rfc3339
from strongroom.wiring.control import ControlPlane, now
from strongroom.wiring.drafts import describe_draft
from strongroom.wiring.founding import open_repository, standard_documents
from strongroom.wiring.person import AtDesk
from strongroom.wiring.settings import Layout

CUSTODIAN_ROLES = ("root", "targets")
MACHINE_ROLES = ("halts", "snapshot", "timestamp")
"""What the control plane renews by itself with every timestamp."""

SOON = timedelta(days=30)
"""How long before their end expiring signatures of people are told."""


@dataclass(frozen=True, slots=True)
class Signed:
    """One draft that was signed: how many signatures it still lacks, or that it was published."""

    role: str
    digest: str
    missing: int
    published: bool
    entry: EntryRef | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A draft that waits for custodians: its signed part, and what it says, in lines to read."""

    role: str
    draft: bytes
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Freshness:
    """When the new timestamp expires, and which roles of people expire within `SOON`, with their dates."""

    expires: str
    soon: tuple[tuple[str, str], ...]


def read_waiting(folder: Path, passphrase: bytes) -> list[Waiting]:
    """What waits for the custodians' signatures, root first, to be read before it is signed."""
    repository = _repository(folder, passphrase)
    waiting = [role for role in CUSTODIAN_ROLES if role in repository.waiting()]
    return [
        Waiting(role, repository.draft(role), tuple(describe_draft(repository.files, role, repository.draft(role))))
        for role in waiting
    ]


def sign_waiting(folder: Path, passphrase: bytes, home: Home, read: Sequence[Waiting] | None = None) -> list[Signed]:
    """Sign every waiting draft of the custodians; publish them, root first, once none lacks a signature.

    The entry of a publication names the digest of what was published and who signed last.

    Args:
        folder: of the room.
        passphrase: of its key file.
        home: a custodian's.
        read: what was shown to the custodian; another draft is not signed. None signs whatever waits.

    Raises:
        NotPermittedError: something waits, but this key has no say in it.
        ConflictError: what waits is not what was read.
    """
    repository = _repository(folder, passphrase)
    shown = {one.role: one.draft for one in read} if read is not None else None
    done: list[tuple[str, bytes]] = []
    refused: NotPermittedError | None = None
    for role in CUSTODIAN_ROLES:
        if role not in repository.waiting():
            continue
        draft = repository.draft(role)
        if shown is not None and shown.get(role) != draft:
            raise ConflictError(f"the draft of `{role}` changed after it was read; read it again")
        try:
            repository.sign(role, home.public.key_id, home.sign(draft))
        except NotPermittedError as error:
            refused = error
            continue
        done.append((role, draft))
    if refused is not None and not done:
        raise refused
    lacking = {role: missing for role, (_, missing) in repository.waiting().items() if role in CUSTODIAN_ROLES}
    # a new root may leave the old targets without a quorum, so what waits together is published together
    complete = bool(done) and not any(lacking.values())
    entry = _publish(folder, passphrase, home, repository, done) if complete else None
    return [Signed(role, digest_of(draft), lacking[role], complete, entry) for role, draft in done]


def _repository(folder: Path, passphrase: bytes) -> TufRepository:
    layout = Layout(folder)
    layout.read()
    return open_repository(layout, KeyFile.open(layout.keyring, passphrase))


def _publish(
    folder: Path, passphrase: bytes, home: Home, repository: TufRepository, done: Sequence[tuple[str, bytes]]
) -> EntryRef:
    """Publish what is complete, and record it under whoever signed last.

    Who signs their own role away is still a custodian before the publication, who joins only after it; so the act is
    opened before it if the register in force lets this person, else after it. At the founding there is no register yet.
    """
    content = repository.target(paths.PEOPLE_PATH)
    if content is None:
        _publish_all(repository)
        return _record(folder, passphrase, home, "init", done)
    if _is_custodian(PeopleRegister.decode(content), home.public.key_id):
        return _record(folder, passphrase, home, "people", done, lambda: _publish_all(repository))
    _publish_all(repository)
    return _record(folder, passphrase, home, "people", done)


def _publish_all(repository: TufRepository) -> None:
    for role in CUSTODIAN_ROLES:
        # the publication of root takes the targets along where the old ones would not stand under it
        if role in repository.waiting():
            repository.publish(role, now())


def _is_custodian(register: PeopleRegister, key_id: KeyId) -> bool:
    try:
        return "custodian" in register.key_owner(key_id, micros(now())).roles
    except NotAuthenticatedError:
        return False


def _record(
    folder: Path,
    passphrase: bytes,
    home: Home,
    verb: str,
    published: Sequence[tuple[str, bytes]],
    publish: Callable[[], None] = lambda: None,
) -> EntryRef:
    with ControlPlane.open(folder, passphrase) as room:
        kind, name = ("Room", room.settings.room) if verb == "init" else ("People", "register")
        at = room.clock()
        body = b"".join(draft for _, draft in published)
        request = new_request(
            room.settings.governance_origin, verb, Target(kind=kind, id=name), body, micros(at), os.urandom
        )
        who, _ = room.authenticate(sign_request(request, home.public.key_id, home), body)
        with room.office.open(Act(who, verb, Resource(kind, name), at)) as books:
            publish()
            books.note(**{f"{role}_sha256": digest_of(draft) for role, draft in published})
            books.note(people=room.register.digest)
        return books.receipt


def stage_delegation(room: ControlPlane, model: str, approvers: Sequence[str], at: datetime) -> bytes:
    """Draft the delegation of a model to the keys of these persons, for the custodians to sign.

    Raises:
        NotFoundError: a person is not in the register.
        NotPermittedError: a person is not an approver.
        FourEyesError: fewer than two distinct keys.
    """
    register = room.register
    keys = []
    for name in approvers:
        person = register.person(name)
        if "approver" not in person.roles:
            raise NotPermittedError(f"`{name}` is not an approver; custodians give roles in the people register")
        keys += [PublicKey(key.spki) for key in person.keys if key.until_us is None or key.until_us > micros(at)]
    return room.repository.stage_targets(at, models={model: keys})


def renew_timestamp(folder: Path, passphrase: bytes) -> Freshness:
    """Sign a fresh timestamp, and tell when it expires and what else soon will."""
    layout = Layout(folder)
    layout.read()
    repository = open_repository(layout, KeyFile.open(layout.keyring, passphrase))
    at = now()
    repository.renew(at)
    soon = tuple(
        (role, rfc3339(expires))
        for role, expires in repository.expiries().items()
        if role not in MACHINE_ROLES and expires - at < SOON
    )
    return Freshness(rfc3339(at + repository.timestamp_life), soon)


def propose_policies(desk: AtDesk, folder: Path | None) -> tuple[tuple[str, ...], EntryRef]:
    """Draft new policies for the custodians to sign: the access policies and schema that ship, or those of a folder.

    Args:
        desk: a custodian's.
        folder: with files named as those that ship; what it lacks stays as it is in the room. None for the access
            policies and schema of this version.

    Returns:
        Target paths of what changes, and the entry.

    Raises:
        InvalidInputError: what the room would have then does not hold; the message says where.
        ConflictError: the room has exactly these.
    """
    room, at = desk.room, desk.room.clock()
    shipped = standard_documents()
    inside = {path: room.repository.target(path) or content for path, content in shipped.items()}
    if folder is None:
        new = {path: shipped[path] for path in (paths.ACCESS_PATH, paths.ACCESS_SCHEMA_PATH)}
    else:
        new = _documents_in(folder, shipped)
        signature = folder / Path(paths.VALIDATION_SIGNATURE_PATH).name
        if signature.exists():
            new[paths.VALIDATION_SIGNATURE_PATH] = signature.read_bytes()
            inside[paths.VALIDATION_SIGNATURE_PATH] = room.repository.target(paths.VALIDATION_SIGNATURE_PATH) or b""
    changed = {path: content for path, content in new.items() if content != inside[path]}
    body = canonical({path: digest_of(content) for path, content in changed.items()})
    who = desk.ask("people", "People", "register", body)
    with room.office.open(Act(who, "people", Resource("People", "register"), at)) as books:
        if not changed:
            raise ConflictError("the room has exactly these policies; nothing waits for a signature")
        after = {**inside, **changed}
        _demand_sound(after)
        if {paths.VALIDATION_PATH, paths.VALIDATION_SIGNATURE_PATH} & set(changed):
            demand_policy_signature(
                after[paths.VALIDATION_PATH], after.get(paths.VALIDATION_SIGNATURE_PATH), room.means().register
            )
        draft = room.repository.stage_targets(at, files=changed)
        books.note(draft=digest_of(draft), **{Path(path).name: digest_of(changed[path]) for path in sorted(changed)})
    return tuple(sorted(changed)), books.receipt


def check_documents(folder: Path | None) -> dict[str, str]:
    """Parse policies and validate them against their schema, and validation policy and diagram against their rules.

    Args:
        folder: with files named as in the policies folder that ships; None for those.

    Returns:
        For each document that it holds, its digest, and whether it is the folder's or the one that ships.

    Raises:
        InvalidInputError: one does not hold; the message says where.
        NotFoundError: the folder is not there, or holds none of them.
    """
    shipped = standard_documents()
    own = {} if folder is None else _documents_in(folder, shipped)
    documents = {**shipped, **own}
    _demand_sound(documents)
    return {
        Path(path).name: f"holds, {digest_of(content)[:12]}" + ("" if path in own else ", as shipped")
        for path, content in documents.items()
    }


def _documents_in(folder: Path, shipped: Mapping[str, bytes]) -> dict[str, bytes]:
    """The documents of a folder. A name that is none of theirs is refused: what it says would count for nothing."""
    if not folder.is_dir():
        raise NotFoundError(f"`{folder}` is not a folder; name the one with your policies")
    names = {Path(path).name: path for path in shipped}
    kinds = {Path(name).suffix for name in names}
    present = {file.name for file in folder.iterdir() if file.is_file()}
    strange = sorted(name for name in present - set(names) if Path(name).suffix in kinds)
    if strange:
        known = ", ".join(f"`{name}`" for name in names)
        raise InvalidInputError(
            f"`{folder.name}` has `{strange[0]}`, which is no name of a policy; there are {known}", field=strange[0]
        )
    if not present & set(names):
        known = ", ".join(f"`{name}`" for name in names)
        raise NotFoundError(f"`{folder.name}` has none of the policies; they are named {known}")
    return {path: (folder / name).read_bytes() for name, path in names.items() if name in present}


def _demand_sound(documents: Mapping[str, bytes]) -> None:
    CedarEngine(documents[paths.ACCESS_PATH], documents[paths.ACCESS_SCHEMA_PATH])
    paths.read_trust_policy(documents[paths.TRUST_PATH])
    paths.read_jurisdictions(documents[paths.JURISDICTIONS_PATH])
    ValidationPolicy.decode(documents[paths.VALIDATION_PATH])
    SpiffEngine().load(documents[paths.DIAGRAM_PATH])
