"""On a person's side: sign a validation policy as the risk function, and see whom it would fail."""

from __future__ import annotations

from dataclasses import dataclass

from strongroom.approval.dossiers import gather, policy_bytes
from strongroom.approval.policy_signature import ROLE, sign_policy
from strongroom.errors import NotFoundError, NotPermittedError, RefusedError
from strongroom.office.acts import Act, Resource
from strongroom.registry.versions import Version
from strongroom.validation.rejudging import Rejudged, rejudge
from strongroom.vocabulary import ModelRef, digest_of
from strongroom.wiring.judging import validation_of
from strongroom.wiring.person import AtDesk


@dataclass(frozen=True, slots=True)
class Tried:
    """What a policy says of one version that answers, or might."""

    ref: ModelRef
    stage: str
    judged: Rejudged


def sign(desk: AtDesk, policy: bytes) -> bytes:
    """As the risk function: the signature under a policy, to be published with it by the custodians.

    Raises:
        NotPermittedError: somebody else.
        InvalidInputError: it is no validation policy.
    """
    room = desk.room
    envelope = sign_policy(policy, desk.home)
    who, at = desk.ask("policy-check", "Room", room.settings.room, envelope), room.clock()
    with room.office.open(Act(who, "policy-check", Resource("Room", room.settings.room), at)) as books:
        if ROLE not in who.roles:
            raise NotPermittedError(f"`{who.id}` is not of the risk function, whose signature a policy bears")
        books.note(policy=digest_of(policy), signature=digest_of(envelope))
    return envelope


def try_policy(desk: AtDesk, policy: bytes) -> list[Tried]:
    """Which versions that answer now would fail under a policy: from their stored results, without a new run.

    Raises:
        InvalidInputError: it is no validation policy.
        NotPermittedError: the policies.
    """
    room = desk.room
    who, at = desk.ask("policy-check", "Room", room.settings.room, policy), room.clock()
    live: list[tuple[str, Version]] = []
    with room.office.open(Act(who, "policy-check", Resource("Room", room.settings.room), at)) as books:
        for name in books.versions.models():
            pointer = room.repository.pointer(name)
            if pointer is None:
                continue
            for stage, manifest in (("champion", pointer.champion), ("challenger", pointer.challenger)):
                if manifest is not None:
                    live.append((stage, books.versions.get(ModelRef(name, manifest))))
        books.note(policy=digest_of(policy), versions=len(live))
    means = room.means()
    found = []
    for stage, version in live:
        digest = validation_of(desk, version).policy_sha256
        try:
            judged_by = policy_bytes(digest, means)
        except NotFoundError:
            judged_by = room.policy_published(digest)
        try:
            judged = rejudge(gather(version, means, at, policy=judged_by), policy)
        except RefusedError as error:
            judged = Rejudged("unknown", "fail", (error.message,), ())
        found.append(Tried(version.ref, stage, judged))
    return found
