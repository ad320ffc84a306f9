"""On a person's side: release, point within the plan, roll back, halt, lift; and let calling systems in."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Literal

import msgspec

from strongroom.access.allowance import Allowance
from strongroom.access.credentials import ApiKey, new_api_key
from strongroom.access.grants import Bounds, CallingSystem, Grants, Secret, Signing, TokenSubject
from strongroom.access.issuers import Issuer
from strongroom.adapters.database.desk import SqlBooks
from strongroom.adapters.keys.homes import Home
from strongroom.adapters.keys.keyring import KeyFile
from strongroom.approval import actions as approval
from strongroom.approval import standing
from strongroom.approval.cases import Case
from strongroom.approval.role_metadata import OPERATIONS_ROLE
from strongroom.approval.signing import sign_halt, sign_lift
from strongroom.approval.standing import draft_pointer, draft_rollback, open_halts
from strongroom.approval.trust_policy import GRANTS_PATH
from strongroom.encoding import canonical
from strongroom.errors import ConflictError, InvalidInputError, NotFoundError, RefusedError
from strongroom.office.acts import Act, Resource
from strongroom.registry.versions import PointerChange
from strongroom.vocabulary import Digest, ModelRef, PersonId, digest_of, micros, parse_name
from strongroom.wiring.control import now
from strongroom.wiring.founding import open_repository
from strongroom.wiring.person import AtDesk
from strongroom.wiring.settings import Layout

Whose = Literal["system", "unit", "model"]
ROTATION_OVERLAP = timedelta(days=7)


def release(desk: AtDesk, ref: ModelRef) -> Case:
    """As the operator: publish an approved version. Nothing answers from it before `point`."""
    room = desk.room
    who = desk.ask("release", "Model", ref.name, canonical({"release": ref.manifest}))
    return approval.release(room.office, who, room.clock(), ref=ref, means=room.means())


def point(
    desk: AtDesk,
    model: str,
    *,
    champion: Digest | None,
    challenger: Digest | None = None,
    canary_percent: int = 0,
    reason: str = "",
) -> PointerChange:
    """As the operator: say which approved version answers, and which runs beside it.

    Raises:
        NotPermittedError: outside the approved plan; nothing is staged then.
    """
    room, at = desk.room, desk.room.clock()
    means = room.means()
    room.repository.discard(OPERATIONS_ROLE)
    with _refusals_on_record(desk, "release", model):
        pointer, draft = draft_pointer(
            desk.person,
            at,
            model=model,
            champion=champion,
            challenger=challenger,
            canary_percent=canary_percent,
            reason=reason,
            means=means,
            pepper=room.pepper_number,
        )
    who = desk.ask("release", "Model", model, draft)
    return standing.point(
        room.office,
        who,
        at,
        pointer=pointer,
        key_id=desk.home.public.key_id,
        signature=desk.home.sign(draft),
        means=means,
    )


@contextmanager
def _refusals_on_record(desk: AtDesk, verb: str, model: str) -> Iterator[None]:
    """Drafting happens before the door is asked; what it refuses goes through the door all the same."""
    try:
        yield
    except RefusedError as error:
        who, at = desk.ask(verb, "Model", model), desk.room.clock()
        with desk.room.office.open(Act(who, verb, Resource("Model", model), at)):
            raise error from None


def point_at(desk: AtDesk, ref: ModelRef, stage: str, percent: int, reason: str) -> PointerChange:
    """As the operator: put a version at a stage; the champion stays unless the stage is `live`.

    Raises:
        InvalidInputError: no such stage.
        NotPermittedError: outside the approved plan.
    """
    if stage not in ("shadow", "canary", "live"):
        raise InvalidInputError("a stage is shadow, canary or live", field="stage", rule="choice")
    if stage == "live":
        return point(desk, ref.name, champion=ref.manifest, reason=reason)
    now = desk.room.repository.pointer(ref.name)
    champion = now.champion if now else None
    share = percent if stage == "canary" else 0
    return point(desk, ref.name, champion=champion, challenger=ref.manifest, canary_percent=share, reason=reason)


def rollback(desk: AtDesk, model: str, reason: str) -> PointerChange:
    """As the operator: point back at the champion's approved fallback, in one step."""
    room, at = desk.room, desk.room.clock()
    means = room.means()
    room.repository.discard(OPERATIONS_ROLE)
    with _refusals_on_record(desk, "rollback", model):
        pointer, draft = draft_rollback(desk.person, at, model=model, reason=reason, means=means)
    who = desk.ask("rollback", "Model", model, draft)
    return standing.point(
        room.office,
        who,
        at,
        pointer=pointer,
        key_id=desk.home.public.key_id,
        signature=desk.home.sign(draft),
        means=means,
        verb="rollback",
    )


def halt(desk: AtDesk, ref: ModelRef, reason: str, signed: bytes | None = None) -> tuple[Digest, bytes]:
    """Stop all versions of a model.

    Args:
        desk: of whoever halts.
        ref: the version that gave the reason.
        reason: in words.
        signed: a halt that `halt_apart` signed before; it is published as it is.

    Returns:
        The halt's name, and its envelope: dropped into a gateway's `halt/` folder it works there at once.
    """
    room, at = desk.room, desk.room.clock()
    envelope = signed or sign_halt(ref, desk.home, desk.person, micros(at), reason)
    who = desk.ask("halt", "Model", ref.name, envelope)
    return standing.halt(room.office, who, at, model=ref.name, envelope=envelope, means=room.means()), envelope


def halt_apart(folder: Path, of_room: bytes, home: Path, of_home: bytes, model: str, reason: str) -> bytes:
    """A signed halt while somebody else has the room open, for the `halt/` folders of gateways.

    Only what is published is read. Nothing is published by this, and nothing goes on the record.

    Args:
        folder, home: of the room and of the person.
        of_room, of_home: passphrases.
        model: name, or name and digits of a version; without digits it is the one that answers.
        reason: in words.

    Raises:
        NotFoundError: no such version is released.
    """
    layout = Layout(folder)
    layout.read()
    repository = open_repository(layout, KeyFile.open(layout.keyring, of_room))
    name, _, digits = model.partition("@")
    pointer = repository.pointer(name)
    answers = digits or (pointer.champion or pointer.challenger if pointer else None)
    found = [one for one in repository.releases(name) if answers and one.manifest.startswith(answers)]
    if not found:
        raise NotFoundError(f"no released version fits `{model[:80]}`, so there is nothing to halt")
    person = Home.open(home, of_home)
    return sign_halt(ModelRef(name, found[-1].manifest), person, person.person, micros(now()), reason)


def lift(desk: AtDesk, ref: ModelRef, reason: str, halt_name: Digest | None = None) -> bool:
    """One of the two voices that end a halt; the newest open one unless it is named.

    Returns:
        Whether nothing halts the model any more.

    Raises:
        NotFoundError: the model is not halted.
    """
    room, at = desk.room, desk.room.clock()
    means = room.means()
    payloads = {digest_of(payload): payload for payload in _halt_payloads(ref.name, means)}
    standing_halts = [name for name, persons in open_halts(ref.name, means).items() if len(persons) < standing.LIFTERS]
    wanted = halt_name or (standing_halts[-1] if standing_halts else None)
    if wanted is None or wanted not in payloads:
        raise NotFoundError(f"`{ref.name}` is not halted")
    envelope = sign_lift(ref, payloads[wanted], desk.home, desk.person, micros(at), reason)
    who = desk.ask("lift", "Model", ref.name, envelope)
    return standing.lift(room.office, who, at, model=ref.name, envelope=envelope, means=means)


def _halt_payloads(model: str, means: approval.Means) -> list[bytes]:
    return [means.register.open(envelope)[0] for envelope in means.publisher.halts(model)]


def grant(
    desk: AtDesk,
    system: str,
    *,
    models: Sequence[str],
    environments: Sequence[str],
    jurisdictions: Sequence[str],
    purposes: Sequence[str],
    issuers: Sequence[Issuer] = (),
    tokens: Sequence[TokenSubject] = (),
    units: Sequence[str] = (),
    limits: Allowance | None = None,
    with_key: bool = True,
) -> ApiKey:
    """As the operator: let a calling system in, within bounds, and sign that.

    Returns:
        Its API key, shown this once. Without `with_key` it counts for nothing.

    Raises:
        NotFoundError: no version of such a model was ever submitted.
        ConflictError: the system is known; rotate its key instead.
    """
    key = new_api_key(os.urandom)
    at_us = micros(desk.room.clock())
    made = CallingSystem(
        id=PersonId(system),
        roles=("caller",),
        bounds=Bounds(
            models=tuple(models),
            environments=tuple(environments),
            jurisdictions=tuple(jurisdictions),
            purposes=tuple(purposes),
        ),
        key_id=key.id if with_key else None,
        secrets=(Secret.under(desk.room.pepper_number, key.digest(desk.room.pepper), at_us),) if with_key else (),
        tokens=tuple(tokens),
        units=tuple(sorted({parse_name(unit, "unit") for unit in units})),
        limits=limits or msgspec.UNSET,
    )

    def check(books: SqlBooks) -> None:
        unknown = sorted(set(models) - set(books.versions.models()))
        if unknown:
            raise NotFoundError(
                f"no model `{unknown[0]}` was ever submitted; `strongroom show` lists those that were",
                field="model",
            )

    def change(grants: Grants) -> Grants:
        if any(known.id == system for known in grants.systems):
            raise ConflictError(f"`{system}` has a grant already; rotate its key instead")
        # issuers first: a token subject may only name one that is pinned
        pinned = {issuer.issuer: issuer for issuer in (*grants.issuers, *issuers)}
        wider = msgspec.structs.replace(grants, issuers=tuple(pinned[name] for name in sorted(pinned)))
        return wider.with_system(made)

    change_grants(desk, "add-grant", system, change, canonical({"add": made, "issuers": list(issuers)}), check)
    return key


def end_grant(desk: AtDesk, system: str) -> None:
    """As the operator: let a calling system in no more; gateways refuse it as soon as they follow.

    Raises:
        NotFoundError: no such system.
    """
    change_grants(desk, "add-grant", system, lambda grants: grants.without_system(system), canonical({"end": system}))


def set_signing(desk: AtDesk, system: str, signing: Signing | None) -> None:
    """As the operator: what holds for the signatures of a system's messages from now on, as a whole.

    Args:
        system: its name.
        signing: keys and demands; None: the grant speaks of signatures no more.

    Raises:
        NotFoundError: no such system.
    """

    def change(grants: Grants) -> Grants:
        for known in grants.systems:
            if known.id == system:
                return grants.with_system(msgspec.structs.replace(known, signing=signing or msgspec.UNSET))
        raise NotFoundError(f"no calling system `{system}` has a grant")

    change_grants(desk, "add-grant", system, change, canonical({"signing": signing, "system": system}))


def set_limits(desk: AtDesk, of: Whose, name: str, limits: Allowance | None) -> None:
    """As the operator: how much a system, a unit or a model may take from now on, as a whole; None: no limit any more.

    Raises:
        NotFoundError: no such system or model, or nothing to end.
        InvalidInputError: a weight for something else than a system.
    """

    def check(books: SqlBooks) -> None:
        if of == "model" and limits is not None and name not in books.versions.models():
            raise NotFoundError(f"no model `{name}` was ever submitted; `strongroom show` lists those that were")

    def change(grants: Grants) -> Grants:
        if of != "system":
            return grants.with_shared_limits(of, name, limits)
        for known in grants.systems:
            if known.id == name:
                return grants.with_system(msgspec.structs.replace(known, limits=limits or msgspec.UNSET))
        raise NotFoundError(f"no calling system `{name}` has a grant; `strongroom grant list` names those that do")

    change_grants(desk, "add-grant", name, change, canonical({"limits": limits, "name": name, "of": of}), check)


def list_limits(desk: AtDesk) -> Sequence[tuple[Whose, str, Allowance]]:
    """Every limit that is signed, on the record."""
    grants = _current(desk)
    if grants is None:
        return ()
    found: list[tuple[Whose, str, Allowance]] = [
        ("system", one.id, one.limits) for one in grants.systems if not isinstance(one.limits, msgspec.UnsetType)
    ]
    units, models = grants.shared_limits
    found += [("unit", name, limits) for name, limits in units.items()]
    found += [("model", name, limits) for name, limits in models.items()]
    return found


def list_grants(desk: AtDesk) -> Sequence[CallingSystem]:
    """Who may call, on the record; nobody before the first grant."""
    grants = _current(desk)
    return () if grants is None else grants.systems


def _current(desk: AtDesk) -> Grants | None:
    room = desk.room
    who, name = desk.ask("show", "Room", room.settings.room), room.settings.room
    with room.office.open(Act(who, "show", Resource("Room", name), room.clock())) as books:
        try:
            return books.grants.current()
        except NotFoundError:
            return None


def rotate(desk: AtDesk, system: str, overlap: timedelta = ROTATION_OVERLAP) -> ApiKey:
    """As the operator: a new secret for a calling system under the same id; the old one ends in a week.

    Args:
        system: its name.
        overlap: how long the old secret counts beside the new one; none after a leak.

    Raises:
        NotFoundError: no such system.
    """
    at_us = micros(desk.room.clock())
    overlap_us = overlap // timedelta(microseconds=1)
    made: list[ApiKey] = []

    def change(grants: Grants) -> Grants:
        for known in grants.systems:
            if known.id == system:
                key = new_api_key(os.urandom, known.key_id)
                made.append(key)
                digest, number = key.digest(desk.room.pepper), desk.room.pepper_number
                return grants.with_system(known.rotated(digest, at_us, overlap_us, number))
        raise NotFoundError(f"no calling system `{system}` has a grant")

    change_grants(desk, "rotate-key", system, change, canonical({"overlap_us": overlap_us, "rotate": system}))
    return made[0]


def change_grants(
    desk: AtDesk,
    verb: str,
    system: str,
    change: Callable[[Grants], Grants],
    body: bytes,
    check: Callable[[SqlBooks], None] = lambda _: None,
) -> None:
    """Books first, metadata after: a crash between leaves grants that the next change publishes too."""
    room, at = desk.room, desk.room.clock()
    who = desk.ask(verb, "Grant", system, body)
    with room.office.open(Act(who, verb, Resource("Grant", system), at)) as books:
        check(books)
        try:
            grants = change(books.grants.current())
        except NotFoundError:
            # the first document; a change counts up by one, so it starts from one before the first
            grants = msgspec.structs.replace(change(Grants(sequence=1)), sequence=1)
        books.grants.put(grants)
        room.repository.discard(OPERATIONS_ROLE)
        draft = room.repository.stage_operations({GRANTS_PATH: grants.encode()}, at)
        room.repository.sign(OPERATIONS_ROLE, desk.home.public.key_id, desk.home.sign(draft))
        room.repository.publish(OPERATIONS_ROLE, at)
        books.note(grants=digest_of(grants.encode()), sequence=grants.sequence)
