"""On the operator's side: what a room shares with its gateways is replaced while they answer.

Both rotations go by steps, and every command does all that is possible now and says what is missing: the next key is
made and lies apart; each gateway takes it; it comes into use; nothing depends on the old one any more; it is destroyed,
in the room and then at each gateway. Every command may be repeated, and completes what was interrupted; that it never
begins another rotation by itself is what lets a person repeat it without thinking.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from strongroom.access.credentials import PEPPER_BYTES
from strongroom.access.grants import Grants
from strongroom.adapters.database.desk import SqlBooks
from strongroom.adapters.keys.keyring import KeyFile, kek_id_of
from strongroom.adapters.releases.release_mirror import ReleaseShelf
from strongroom.adapters.releases.trusted_state_files import read_state
from strongroom.approval.pointers import Pointer
from strongroom.encoding import parse_as
from strongroom.errors import ConflictError, NotFoundError, UnavailableError
from strongroom.ledger.origin import Origin
from strongroom.office.acts import Act, EntryRef, Resource
from strongroom.office.entries import Entry
from strongroom.registry.actions import wrap_anew
from strongroom.sealing.packages import read_wrapped
from strongroom.serving.admission_ports import TrustedState
from strongroom.vocabulary import micros
from strongroom.wiring.node import NodeLayout
from strongroom.wiring.person import AtDesk
from strongroom.wiring.room_keys import (
    NEXT_KEK,
    next_pepper,
    next_pepper_name,
    pepper_name,
    peppers,
    shared_keks,
    shared_peppers,
)

Phase = Literal["begun", "in-use", "done"]


@dataclass(frozen=True, slots=True)
class Rotation:
    """How far a rotation has come.

    Attributes:
        what: `pepper` or `model-kek`.
        phase: `begun`: the next key is made, and not used before every gateway has it; `in-use`: what is made now is
            under it; `done`: the old one is destroyed in the room.
        key: the next key: number of a pepper, id of a KEK.
        gateways: that have not taken it.
        systems: whose API keys are still under the old pepper.
        canaries: models whose canary is still divided by the old pepper.
        wrapped: data keys that were wrapped anew.
    """

    what: Literal["pepper", "model-kek"]
    phase: Phase
    key: int | str
    gateways: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()
    canaries: tuple[str, ...] = ()
    wrapped: int = 0


@dataclass(frozen=True, slots=True)
class Taken:
    """What a gateway took from its room.

    Attributes:
        added, dropped: peppers as `pepper 2`, KEKs as `kek 0123456789ab`.
        kept: what the room has destroyed and this gateway still needs; the command drops it later.
        entry: in the governance log.
    """

    added: tuple[str, ...]
    dropped: tuple[str, ...]
    kept: tuple[str, ...]
    entry: EntryRef


# the pepper -----------------------------------------------------------------------------------------------------------


def rotate_pepper(desk: AtDesk, begin: bool = False) -> Rotation:
    """Replace the pepper of API keys as far as it can be done now.

    1. The next one is made; nothing is under it yet.
    2. When every gateway with an open log has it, secrets made from now on are under it, and canaries that begin are
       divided by it. Secrets and canaries from before stay under the old one, which gateways still have.
    3. When no secret counts under the old one any more (`grant rotate`, and its overlap) and no canary is divided by
       it, it is destroyed.

    The digest of a secret cannot be made anew without the secret, which the room never keeps; so step 3 waits for the
    callers' new keys, and locks nobody out.

    Args:
        begin: make the next one where no rotation is in progress; else there is nothing to do then.

    Raises:
        NotPermittedError: the policies.
    """
    keys = desk.room.keys
    coming, old = next_pepper(keys), peppers(keys)
    if not coming and len(old) == 1:
        if not begin:
            return Rotation("pepper", "done", max(old))
        number = max(old) + 1
        with desk.room.office.open(_room_act(desk, b"pepper")) as books:
            keys.new_secret(next_pepper_name(number), PEPPER_BYTES)
            books.note(what="pepper", phase="begun", pepper=number)
        coming = next_pepper(keys)
    for number, secret in coming.items():
        missing = _gateways_without(desk, "pepper", number)
        if missing:
            return Rotation("pepper", "begun", number, gateways=missing)
        with desk.room.office.open(_room_act(desk, b"pepper")) as books:
            if number not in peppers(keys):
                keys.put(pepper_name(number), secret)
            keys.forget(next_pepper_name(number))
            books.note(what="pepper", phase="in-use", pepper=number)
    newest = max(peppers(keys))
    older = [number for number in peppers(keys) if number != newest]
    with desk.room.office.open(_room_act(desk, b"pepper")) as books:
        systems, canaries = _under(desk, books, older)
        if systems or canaries:
            books.note(what="pepper", phase="in-use", pepper=newest, systems=len(systems), canaries=len(canaries))
        else:
            books.note(what="pepper", phase="done", pepper=newest)
    if systems or canaries:
        return Rotation("pepper", "in-use", newest, systems=systems, canaries=canaries)
    # after the entry: where this is interrupted, the command finds what it has to destroy, and enters it again
    for number in older:
        keys.forget(pepper_name(number))
    return Rotation("pepper", "done", newest)


def _under(desk: AtDesk, books: SqlBooks, numbers: Sequence[int]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Systems and models that depend on one of these peppers."""
    at_us = micros(desk.room.clock())
    try:
        grants = books.grants.current()
    except NotFoundError:
        grants = Grants(sequence=1)
    systems = {system for number in numbers for system in grants.under_pepper(number, at_us)}
    found = {model: desk.room.repository.pointer(model) for model in books.versions.models()}
    canaries = {model for model, pointer in found.items() if pointer is not None and _divides(pointer, numbers)}
    return tuple(sorted(systems)), tuple(sorted(canaries))


def _divides(pointer: Pointer, numbers: Sequence[int]) -> bool:
    return pointer.canary_percent > 0 and pointer.pepper_number in numbers


# the KEK of sealed models ---------------------------------------------------------------------------------------------


def rotate_model_kek(desk: AtDesk, begin: bool = False) -> Rotation:
    """Replace the KEK under which models and samples are sealed, as far as it can be done now.

    1. The next one is made; nothing is sealed under it yet.
    2. When every gateway with an open log has it, it is the one that seals; the data keys of all versions and samples
       are wrapped under it alone, the released ones in the repository too.
    3. The old one is destroyed in the room. Gateways keep it until their copies are those of step 2.

    No ciphertext, manifest or signature changes.

    Args:
        begin: make the next one where no rotation is in progress; else there is nothing to do then.

    Raises:
        NotPermittedError: the policies.
        TamperedError, UnavailableError: a data key does not unwrap; nothing was destroyed.
    """
    room, keys = desk.room, desk.room.keys
    if NEXT_KEK not in keys.names and len(keys.keks) == 1:
        if not begin:
            return Rotation("model-kek", "done", keys.current_kek)
        with room.office.open(_room_act(desk, b"model-kek")) as books:
            kek_id = kek_id_of(keys.new_secret(NEXT_KEK))
            books.note(what="model-kek", phase="begun", kek=kek_id)
    if NEXT_KEK in keys.names:
        kek = keys.get(NEXT_KEK)
        missing = _gateways_without(desk, "kek", kek_id_of(kek))
        if missing:
            return Rotation("model-kek", "begun", kek_id_of(kek), gateways=missing)
        with room.office.open(_room_act(desk, b"model-kek")) as books:
            if keys.current_kek != kek_id_of(kek):
                keys.import_kek(kek)
            keys.forget(NEXT_KEK)
            books.note(what="model-kek", phase="in-use", kek=keys.current_kek)
    who = desk.ask("rotate-key", "Room", room.settings.room, b"model-kek")
    wrapped = wrap_anew(room.office, who, room.clock(), room=room.settings.room, vault=room.vault, keep=False)
    old = [kek_id for kek_id in keys.keks if kek_id != keys.current_kek]
    with room.office.open(_room_act(desk, b"model-kek")) as books:
        for name in books.versions.models():
            for version in books.versions.of_model(name):
                room.shelf.publish_wrapped(version.sealed, room.vault.blobs)
                for sealed in (version.sealed, *([version.sample.sealed] if version.sample is not None else [])):
                    document = room.vault.blobs.get(sealed.wrapped)
                    if {one.kek_id for one in read_wrapped(document, sealed.manifest)} != {keys.current_kek}:
                        raise ConflictError(f"version {version.ref} was sealed meanwhile; run this command again")
        books.note(what="model-kek", phase="done", kek=keys.current_kek, dropped=" ".join(old), data_keys=wrapped)
    # after the entry, by which gateways know what to drop
    for kek_id in old:
        keys.drop_kek(kek_id)
    return Rotation("model-kek", "done", keys.current_kek, wrapped=wrapped)


# a gateway ------------------------------------------------------------------------------------------------------------


def take_keys(desk: AtDesk, folder: Path, passphrase: bytes) -> Taken:
    """Bring a gateway's key file up to its room's, while it serves or not; its workers see it within half a second.

    What the room has destroyed is dropped unless the releases and grants that this gateway follows still need it.

    Raises:
        ConflictError: the file has another key under a name of the room's, or another process changes it just now.
        NotPermittedError: the policies.
    """
    layout, room = NodeLayout(folder), desk.room
    node = layout.read().node
    ring = KeyFile.open(layout.keyring, passphrase)
    wanted, keks = shared_peppers(room.keys), shared_keks(room.keys)
    who = desk.ask("rotate-key", "Node", node, b"room-keys")
    with room.office.open(Act(who, "rotate-key", Resource("Node", node), room.clock())) as books:
        added = []
        for number, secret in wanted.items():
            if pepper_name(number) not in ring.names:
                ring.put(pepper_name(number), secret)
                added.append(f"pepper {number}")
            elif not hmac.compare_digest(ring.get(pepper_name(number)), secret):
                raise ConflictError(f"gateway `{node}` has another pepper {number} than this room; is it this room's?")
        for kek_id, kek in keks.items():
            if kek_id not in ring.keks:
                ring.import_kek(kek)
                added.append(f"kek {kek_id[:12]}")
        state = _state(layout)
        dropped, kept = [], []
        for number in [number for number in peppers(ring) if number < min(wanted)]:
            if state is not None and _needs_pepper(state, number, micros(room.clock())):
                kept.append(f"pepper {number}")
                continue
            ring.forget(pepper_name(number))
            dropped.append(f"pepper {number}")
        for kek_id in sorted((_dropped_keks(desk) & set(ring.keks)) - keks.keys()):
            if state is not None and _needs_kek(state, ReleaseShelf(layout.mirror), kek_id, set(ring.keks) - {kek_id}):
                kept.append(f"kek {kek_id[:12]}")
                continue
            if kek_id == ring.current_kek:
                ring.import_kek(keks[room.keys.current_kek])
            ring.drop_kek(kek_id)
            dropped.append(f"kek {kek_id[:12]}")
        newest = list(keks)[-1]
        books.note(what="room-keys", pepper=max(wanted), kek=newest, dropped=len(dropped), kept=len(kept))
    return Taken(tuple(added), tuple(dropped), tuple(kept), books.receipt)


def _state(layout: NodeLayout) -> TrustedState | None:
    """What the gateway follows; None before its first refresh, when it needs nothing old."""
    try:
        return read_state(layout.trusted_state)
    except UnavailableError:
        return None


def _needs_pepper(state: TrustedState, number: int, at_us: int) -> bool:
    grants = Grants.decode(state.grants) if state.grants is not None else Grants(sequence=1)
    if grants.under_pepper(number, at_us):
        return True
    return any(_divides(parse_as(data, Pointer), [number]) for data in state.pointers.values())


def _needs_kek(state: TrustedState, mirror: ReleaseShelf, kek_id: str, others: set[str]) -> bool:
    """Whether a version that may be served is wrapped under this KEK and none of the others."""
    found = [mirror.wrapped_under(manifest) for documents in state.releases.values() for manifest in documents]
    return any(kek_id in under and not under & others for under in found)


# on the record --------------------------------------------------------------------------------------------------------


def _room_act(desk: AtDesk, what: bytes) -> Act:
    name = desk.room.settings.room
    who = desk.ask("rotate-key", "Room", name, what)
    return Act(who, "rotate-key", Resource("Room", name), desk.room.clock())


def _done(desk: AtDesk) -> list[Entry]:
    return [logged.document for logged in desk.room.log.entries() if logged.document.outcome == "done"]


def _gateways_without(desk: AtDesk, kind: Literal["pepper", "kek"], key: int | str) -> tuple[str, ...]:
    """Gateways with an open log that neither took this key nor were made after it."""
    what = {"pepper": "pepper", "kek": "model-kek"}[kind]
    logs: dict[str, set[str]] = {}
    holding: set[str] = set()
    begun = False
    for entry in _done(desk):
        match entry.verb, entry.on.kind:
            case "open-shard", "Log":
                node = Origin.parse(entry.on.id).node
                if begun and node not in logs:
                    # made with all that the room had by then
                    holding.add(node)
                logs.setdefault(node, set()).add(entry.on.id)
            case "close-shard", "Log":
                logs.get(Origin.parse(entry.on.id).node, set()).discard(entry.on.id)
            case "rotate-key", "Room":
                begun |= (entry.facts.get("what"), entry.facts.get("phase")) == (what, "begun") and (
                    entry.facts.get(kind) == key
                )
            case "rotate-key", "Node" if entry.facts.get("what") == "room-keys" and entry.facts.get(kind) == key:
                holding.add(entry.on.id)
    return tuple(sorted(node for node, still in logs.items() if still and node not in holding))


def _dropped_keks(desk: AtDesk) -> set[str]:
    """Every KEK that the room has destroyed."""
    return {
        kek_id
        for entry in _done(desk)
        if entry.verb == "rotate-key" and entry.on.kind == "Room" and entry.facts.get("phase") == "done"
        for kek_id in str(entry.facts.get("dropped", "")).split()
    }
