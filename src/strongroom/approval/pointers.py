"""Which approved version answers: the operator's pointer, and what the approved plan lets it say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from strongroom.access.credentials import FIRST_PEPPER
from strongroom.access.grants import numbered
from strongroom.approval.release import Release
from strongroom.errors import ConflictError, InvalidInputError, NotPermittedError
from strongroom.vocabulary import Digest, PersonId, parse_digest, parse_name

Role = Literal["champion", "challenger", "fallback"]


class RuleUsed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The approved rule by which a machine changed the pointer: its name in the plan, and its digest."""

    name: str
    sha256: Digest


class Pointer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`pointers/<model>.json`, signed by an operator.

    Attributes:
        champion: manifest digest of the version that answers, or None when none does yet.
        challenger: version that runs beside it, in shadow (0 %) or as a canary.
        canary_percent: share of subjects that the challenger answers, 0 to 100.
        sequence: counts up by one with every change.
        previous: the champion before this change, so that 'what was live at T' can be read from the chain.
        rule: the rule that did it; absent where a person decided.
        pepper: number of the room's pepper that says who is in the canary; absent for the first. It stays while the
            canary stays, so that nobody changes arms when the pepper is replaced.
    """

    v: Literal[1]
    model: str
    champion: Digest | None
    challenger: Digest | None
    canary_percent: int
    sequence: int
    previous: Digest | None
    by: PersonId
    at_us: int
    reason: str = ""
    rule: RuleUsed | msgspec.UnsetType = msgspec.UNSET
    pepper: int | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        parse_name(self.model, "model name")
        if isinstance(self.pepper, int) and (self.pepper <= FIRST_PEPPER or not self.canary_percent):
            raise InvalidInputError(
                "`pepper` stands beside a canary share only, and not for the first", field="pepper", rule="absent"
            )
        for digest in (self.champion, self.challenger, self.previous):
            if digest is not None:
                parse_digest(digest)

    @property
    def pepper_number(self) -> int:
        """Of the pepper that says who is in the canary, from 1."""
        return self.pepper if isinstance(self.pepper, int) else FIRST_PEPPER


def check_pointer(pointer: Pointer, approved: Mapping[Digest, Release]) -> None:
    """Refuse a pointer that says more than the approvers allowed.

    Args:
        pointer: as the operator signed it.
        approved: releases of this model by manifest digest, as the approvers signed them.

    Raises:
        NotPermittedError: a version that is not approved, a stage outside its plan, or too large a share.
    """
    if pointer.champion is None and pointer.challenger is None:
        raise NotPermittedError(f"the pointer of `{pointer.model}` names no version")
    if pointer.champion is not None:
        _stage(pointer.champion, "live", approved, pointer.model)
    if pointer.challenger is None:
        if pointer.canary_percent != 0:
            raise NotPermittedError(f"the pointer of `{pointer.model}` gives a share to a challenger it does not name")
        return
    if pointer.challenger == pointer.champion:
        raise NotPermittedError(f"the pointer of `{pointer.model}` names one version as champion and challenger")
    if not 0 <= pointer.canary_percent <= 100:
        raise NotPermittedError(f"a canary share is 0 to 100 percent, not {pointer.canary_percent}")
    challenger = _stage(pointer.challenger, "canary" if pointer.canary_percent else "shadow", approved, pointer.model)
    if pointer.canary_percent > challenger.plan.max_canary_percent:
        raise NotPermittedError(
            f"`{pointer.model}`: a canary of {pointer.canary_percent} % is beyond the approved "
            f"{challenger.plan.max_canary_percent} %; ask the approvers for another plan"
        )
    if pointer.canary_percent and pointer.champion is None:
        raise NotPermittedError(f"`{pointer.model}` has a canary but no champion to answer the rest")


def check_rule(pointer: Pointer, now: Pointer | None, approved: Mapping[Digest, Release]) -> None:
    """Refuse a change that says it is a rule's and is not: nothing but what an approved rule of the plan says.

    Args:
        pointer: with a `rule`.
        now: the pointer before it.
        approved: releases of this model by manifest digest.

    Raises:
        NotPermittedError: no such rule stands in the plan of champion or challenger, or it says something else.
    """
    used = pointer.rule
    if now is None or isinstance(used, msgspec.UnsetType):
        raise NotPermittedError(f"the pointer of `{pointer.model}` names no rule, and a machine moves by rules only")

    def says(manifest: Digest | None, action: str) -> bool:
        plan = approved[manifest].plan if manifest is not None and manifest in approved else None
        if plan is None or isinstance(plan.rules, msgspec.UnsetType):
            return False
        return any((rule.name, rule.digest, rule.then) == (used.name, used.sha256, action) for rule in plan.rules)

    to = (pointer.champion, pointer.challenger, pointer.canary_percent)
    champion = approved.get(now.champion) if now.champion is not None else None
    back = champion.plan.fallback if champion is not None else None
    if (
        (to == (now.challenger, None, 0) and now.challenger is not None and says(now.challenger, "promote"))
        or (to == (now.champion, None, 0) and now.challenger is not None and says(now.challenger, "roll-back"))
        or (to == (back, None, 0) and back is not None and says(now.champion, "roll-back"))
    ):
        return
    raise NotPermittedError(f"no approved rule `{used.name}` of `{pointer.model}` moves the pointer so")


def rolled_back(
    now: Pointer,
    approved: Mapping[Digest, Release],
    by: PersonId,
    at_us: int,
    reason: str,
    rule: RuleUsed | msgspec.UnsetType = msgspec.UNSET,
) -> Pointer:
    """The pointer after going back to the champion's approved fallback.

    Raises:
        ConflictError: there is no champion, or its plan names no fallback.
        NotPermittedError: the fallback is not approved.
    """
    champion = approved.get(now.champion) if now.champion else None
    if champion is None:
        raise ConflictError(f"`{now.model}` has no champion to roll back from")
    if champion.plan.fallback is None:
        raise ConflictError(f"the plan of `{now.model}` names no fallback; promote another version or halt it")
    return _next(
        now, approved, by, at_us, reason, champion=champion.plan.fallback, challenger=None, percent=0, rule=rule
    )


def pointed(
    now: Pointer | None,
    model: str,
    approved: Mapping[Digest, Release],
    by: PersonId,
    at_us: int,
    reason: str,
    *,
    champion: Digest | None,
    challenger: Digest | None,
    percent: int,
    rule: RuleUsed | msgspec.UnsetType = msgspec.UNSET,
    pepper: int = FIRST_PEPPER,
) -> Pointer:
    """The next pointer, checked against the plan.

    Args:
        pepper: number of the room's pepper, for a canary that begins; one that goes on keeps its own.

    Raises:
        NotPermittedError: see `check_pointer`.
    """
    start = now or Pointer(
        v=1,
        model=model,
        champion=None,
        challenger=None,
        canary_percent=0,
        sequence=0,
        previous=None,
        by=by,
        at_us=at_us,
    )
    if challenger is not None and challenger == start.challenger and start.canary_percent:
        pepper = start.pepper_number
    return _next(
        start, approved, by, at_us, reason,
        champion=champion, challenger=challenger, percent=percent, rule=rule, pepper=pepper,
    )  # fmt: skip


def _next(
    now: Pointer,
    approved: Mapping[Digest, Release],
    by: PersonId,
    at_us: int,
    reason: str,
    *,
    champion: Digest | None,
    challenger: Digest | None,
    percent: int,
    rule: RuleUsed | msgspec.UnsetType,
    pepper: int = FIRST_PEPPER,
) -> Pointer:
    pointer = Pointer(
        v=1,
        model=now.model,
        champion=champion,
        challenger=challenger,
        canary_percent=percent,
        sequence=now.sequence + 1,
        previous=now.champion,
        by=by,
        at_us=at_us,
        reason=reason,
        rule=rule,
        pepper=numbered(pepper) if percent else msgspec.UNSET,
    )
    check_pointer(pointer, approved)
    return pointer


def _stage(
    manifest: Digest, stage: Literal["shadow", "canary", "live"], approved: Mapping[Digest, Release], model: str
) -> Release:
    release = approved.get(manifest)
    if release is None:
        raise NotPermittedError(
            f"the pointer of `{model}` names version {manifest[:12]}, which is not approved; two approvers sign it "
            "with `strongroom approve`, and `strongroom release` publishes it"
        )
    if stage not in release.plan.stages:
        raise NotPermittedError(f"version {manifest[:12]} of `{model}` is not approved for stage `{stage}`")
    return release
