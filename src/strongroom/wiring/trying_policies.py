"""On a person's side: sign a validation policy as the risk function, and see whom it would fail."""

from __future__ import annotations

from dataclasses import dataclass

from strongroom.approval.dossiers import gather, policy_bytes
from strongroom.approval.inheritance import family, hold, unsettled
from strongroom.approval.live import answering
from strongroom.approval.policy_signature import ROLE, sign_policy
from strongroom.errors import NotFoundError, NotPermittedError, RefusedError
from strongroom.office.acts import Act, Resource
from strongroom.registry.versions import Version
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.rejudging import Rejudged, rejudge
from strongroom.vocabulary import ModelRef, digest_of, micros
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


def try_policy(desk: AtDesk, wanted: bytes | None) -> list[Tried]:
    """Which versions that answer now would fail under a policy: from their stored results, without a new run.

    Args:
        desk: of whoever tries.
        wanted: the policy; the one in force when None, under which a version fails whose findings came later.

    Raises:
        InvalidInputError: it is no validation policy.
        NotPermittedError: the policies.
    """
    room = desk.room
    means = room.means()
    policy = means.validation if wanted is None else wanted
    rule = ValidationPolicy.decode(policy).finding_rule
    who, at = desk.ask("policy-check", "Room", room.settings.room, policy), room.clock()
    live: list[tuple[str, Version]] = []
    with room.office.open(Act(who, "policy-check", Resource("Room", room.settings.room), at)) as books:
        live += [(stage, books.versions.get(ref)) for stage, ref in answering(books, means)]
        known = family(books, means)
        books.note(policy=digest_of(policy), versions=len(live))
    found = []
    for stage, version in live:
        try:
            digest = validation_of(desk, version).policy_sha256
            try:
                judged_by = policy_bytes(digest, means)
            except NotFoundError:
                judged_by = room.policy_published(digest)
            held = hold(known.of(version.ref), means.blobs.get, means.register)
            held_up = unsettled(version.ref, held, rule, micros(at))
            judged = rejudge(gather(version, means, at, policy=judged_by), policy, held_up)
        except RefusedError as error:
            judged = Rejudged("unknown", "fail", (error.message,), ())
        found.append(Tried(version.ref, stage, judged))
    return found
