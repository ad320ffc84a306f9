"""The verbs for a released model: point within the plan, roll back, halt, lift.

Like all verbs they take signatures: an operator signs the metadata that carries the pointer, halters sign halts.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from strongroom.access.credentials import FIRST_PEPPER
from strongroom.access.principals import Principal
from strongroom.approval.actions import Means
from strongroom.approval.dossiers import demand_settled
from strongroom.approval.four_eyes import voice_of
from strongroom.approval.inheritance import held_now
from strongroom.approval.pointers import Pointer, RuleUsed, check_pointer, check_rule, pointed, rolled_back
from strongroom.approval.ports import ApprovalBooks
from strongroom.approval.role_metadata import OPERATIONS_ROLE, pointer_path, read_signed
from strongroom.approval.statements import Halt, Lift, halt_id
from strongroom.encoding import canonical
from strongroom.errors import ConflictError, NotFoundError, NotPermittedError, RefusedError, TamperedError
from strongroom.office.acts import Act, Resource
from strongroom.registry.ports import Door
from strongroom.registry.versions import PointerChange
from strongroom.sealing.statements import HALT, LIFT, read_statement
from strongroom.vocabulary import Digest, KeyId, ModelRef, PersonId, digest_of, micros

LIFTERS = 2


def draft_pointer(
    by: PersonId,
    at: datetime,
    *,
    model: str,
    champion: Digest | None,
    challenger: Digest | None,
    canary_percent: int,
    reason: str,
    means: Means,
    rule: RuleUsed | msgspec.UnsetType = msgspec.UNSET,
    pepper: int = FIRST_PEPPER,
) -> tuple[Pointer, bytes]:
    """Stage a pointer for an operator to sign. Nothing changes before `point`.

    Args:
        pepper: number of the room's pepper, for a canary that begins.

    Returns:
        The pointer, and the signed part of the metadata that carries it.

    Raises:
        NotPermittedError: outside the approved plan.
    """
    approved = {one.manifest: one for one in means.publisher.releases(model)}
    now = means.publisher.pointer(model)
    pointer = pointed(
        now,
        model,
        approved,
        by,
        micros(at),
        reason,
        champion=champion,
        challenger=challenger,
        percent=canary_percent,
        rule=rule,
        pepper=pepper,
    )
    return pointer, means.publisher.stage_pointer(pointer, at)


def draft_rollback(
    by: PersonId,
    at: datetime,
    *,
    model: str,
    reason: str,
    means: Means,
    rule: RuleUsed | msgspec.UnsetType = msgspec.UNSET,
) -> tuple[Pointer, bytes]:
    """Stage the pointer back to the champion's approved fallback.

    Raises:
        ConflictError: nothing is live, or the plan names no fallback.
    """
    now = means.publisher.pointer(model)
    if now is None:
        raise ConflictError(f"`{model}` has no champion to roll back from")
    approved = {one.manifest: one for one in means.publisher.releases(model)}
    pointer = rolled_back(now, approved, by, micros(at), reason, rule)
    return pointer, means.publisher.stage_pointer(pointer, at)


def point(
    door: Door[ApprovalBooks],
    by: Principal,
    at: datetime,
    *,
    pointer: Pointer,
    key_id: KeyId,
    signature: bytes,
    means: Means,
    verb: str = "release",
    facts: Mapping[str, str | int] | None = None,
) -> PointerChange:
    """Publish a pointer that an operator signed.

    Args:
        pointer: as drafted.
        key_id: the operator's key.
        signature: over the signed part of the draft.
        verb: `release` to point or promote, `rollback` to go back.
        facts: more for the entry: the rule that acts and the figures that it looked at.

    Raises:
        NotPermittedError: outside the plan, or not the operator's own signature.
        EvidenceError: a finding holds up a version that would answer more than it does; going back is never held up.
        ConflictError: the draft carries another pointer, or does not follow the published one.
        TamperedError: the signature.
    """
    with door.open(Act(by, verb, Resource("Model", pointer.model), at)) as books:
        draft = read_signed(means.publisher.draft(OPERATIONS_ROLE))
        entry = draft.targets.get(pointer_path(pointer.model))
        if entry is None or entry.sha256 != digest_of(canonical(pointer)):
            raise ConflictError(f"what waits for the operator's signature is another pointer of `{pointer.model}`")
        now = means.publisher.pointer(pointer.model)
        if pointer.sequence != (now.sequence + 1 if now else 1):
            raise ConflictError(f"pointer {pointer.sequence} of `{pointer.model}` does not follow the published one")
        approved = {one.manifest: one for one in means.publisher.releases(pointer.model)}
        check_pointer(pointer, approved)
        if by.kind == "Service" or pointer.rule is not msgspec.UNSET:
            check_rule(pointer, now, approved)
        if verb == "rollback":
            expected = (
                rolled_back(now, approved, pointer.by, pointer.at_us, pointer.reason, pointer.rule) if now else None
            )
            if expected != pointer:
                raise NotPermittedError("a roll-back goes to the champion's approved fallback and nowhere else")
        if verb != "rollback":
            for manifest in _answers_more(pointer, now):
                ref = ModelRef(pointer.model, manifest)
                demand_settled(ref, means, at, held_now(books, ref, means))
        voice = voice_of(means.register.people, key_id, micros(at), "operator")
        if voice.person != by.id or pointer.by != by.id:
            raise NotPermittedError(
                f"the pointer is signed by `{voice.person}` and names `{pointer.by}`, not `{by.id}`"
            )
        means.publisher.sign(OPERATIONS_ROLE, key_id, signature)
        means.publisher.publish(OPERATIONS_ROLE, at)
        change = _change(
            books,
            pointer.model,
            by.id,
            at,
            pointer.reason,
            champion=pointer.champion,
            challenger=pointer.challenger,
            percent=pointer.canary_percent,
            halted=_halted(books, pointer.model),
        )
        books.note(
            champion=pointer.champion or "none",
            challenger=pointer.challenger or "none",
            canary_percent=pointer.canary_percent,
            sequence=pointer.sequence,
            key_id=key_id,
            **(facts or {}),
        )
    return change


def halt(
    door: Door[ApprovalBooks], by: Principal, at: datetime, *, model: str, envelope: bytes, means: Means
) -> Digest:
    """Publish one person's halt. It reaches gateways with their next refresh.

    Returns:
        The halt's name, for those who will lift it.

    Raises:
        NotPermittedError: the policies, or someone else's signature.
        ConflictError: this very halt was published before: what lifted it would lift it again.
        TamperedError, NotAuthenticatedError: the signature.
    """
    with door.open(Act(by, "halt", Resource("Model", model), at)) as books:
        payload, key_id = means.register.open(envelope)
        ref, found = read_statement(payload, HALT, Halt)
        _check_voice(found, ref, model, key_id, by, means.policy.halter_roles, means)
        if halt_id(payload) in open_halts(model, means):
            raise ConflictError(f"this halt of `{model}` was published before; sign a new one")
        means.publisher.publish_halts(model, [*means.publisher.halts(model), envelope], at)
        _change(books, model, by.id, at, found.reason, halted=True)
        books.note(halt=halt_id(payload), reason=found.reason, key_id=key_id, manifest=ref.manifest)
    return halt_id(payload)


def lift(door: Door[ApprovalBooks], by: Principal, at: datetime, *, model: str, envelope: bytes, means: Means) -> bool:
    """Publish one of the two voices that end a halt.

    Returns:
        Whether nothing halts the model any more.

    Raises:
        NotFoundError: no such halt.
        ConflictError: this person has lifted it already; another must.
        NotPermittedError, TamperedError, NotAuthenticatedError: as `halt`.
    """
    with door.open(Act(by, "lift", Resource("Model", model), at)) as books:
        payload, key_id = means.register.open(envelope)
        ref, found = read_statement(payload, LIFT, Lift)
        _check_voice(found, ref, model, key_id, by, means.policy.lifter_roles, means)
        voices = open_halts(model, means)
        if found.halt not in voices:
            raise NotFoundError(f"`{model}` has no halt {found.halt[:12]}")
        if by.id in voices[found.halt]:
            raise ConflictError(f"`{by.id}` has lifted this halt already; someone else must, too")
        means.publisher.publish_halts(model, [*means.publisher.halts(model), envelope], at)
        voices[found.halt].add(by.id)
        free = all(len(persons) >= LIFTERS for persons in voices.values())
        if free:
            _change(books, model, by.id, at, found.reason, halted=False)
        books.note(halt=found.halt, reason=found.reason, key_id=key_id, free=free)
    return free


def open_halts(model: str, means: Means) -> dict[Digest, set[PersonId]]:
    """Published halts of a model, and who has lifted each so far. Two lift; fewer leave it standing.

    Raises:
        TamperedError: the published list holds something that is neither.
    """
    voices: dict[Digest, set[PersonId]] = {}
    lifts: list[Lift] = []
    for envelope in means.publisher.halts(model):
        payload, _ = means.register.open(envelope)
        try:
            read_statement(payload, HALT, Halt)
            voices[halt_id(payload)] = set()
        except TamperedError:
            lifts.append(read_statement(payload, LIFT, Lift)[1])
    for one in lifts:
        voices.setdefault(one.halt, set()).add(one.person)
    return voices


def _answers_more(pointer: Pointer, now: Pointer | None) -> list[Digest]:
    """Versions that a pointer lets answer more than the one before: a new champion, a canary that begins or grows."""
    found = []
    if pointer.champion is not None and pointer.champion != (now.champion if now else None):
        found.append(pointer.champion)
    before = now.canary_percent if now and now.challenger == pointer.challenger else 0
    if pointer.challenger is not None and pointer.canary_percent > before:
        found.append(pointer.challenger)
    return found


def _check_voice(
    found: Halt | Lift, ref: ModelRef, model: str, key_id: KeyId, by: Principal, roles: tuple[str, ...], means: Means
) -> None:
    if ref.name != model or found.model != model:
        raise TamperedError(f"the statement is about another model than `{model}`")
    for role in roles:
        try:
            voice = voice_of(means.register.people, key_id, found.at_us, role)
        except RefusedError:
            continue
        if voice.person == by.id and found.person == by.id:
            return
    raise NotPermittedError(f"the statement is not signed by `{by.id}` as {' or '.join(roles)}")


def _halted(books: ApprovalBooks, model: str) -> bool:
    history = books.pointers.history(model)
    return bool(history) and history[-1].halted


def _change(
    books: ApprovalBooks,
    model: str,
    by: PersonId,
    at: datetime,
    reason: str,
    *,
    halted: bool,
    champion: Digest | None = None,
    challenger: Digest | None = None,
    percent: int = 0,
) -> PointerChange:
    """Add to the history of what was live; without a version named, the versions stay as they were."""
    history = books.pointers.history(model)
    last = history[-1] if history else None
    if champion is None and challenger is None and last is not None:
        champion, challenger, percent = last.champion, last.challenger, last.canary_percent
    change = PointerChange(
        model, (last.sequence if last else 0) + 1, at, by, champion, challenger, percent, halted, reason
    )
    books.pointers.add(change)
    return change
