"""The part `findings` of a validation policy: what they hold up, who accepts them, what becomes of live versions."""

from __future__ import annotations

from typing import Literal

import msgspec

from strongroom.errors import InvalidInputError, TamperedError
from strongroom.vocabulary import parse_name


class LiveRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens to a version that answers when a finding holds it up that did not before: a new one, or one whose
    acceptance ended. An alert comes in any case.

    Attributes:
        then: `alert` and nothing more, `roll-back` to the approved fallback, or `halt`.
        days: for so long a finding may hold a live version up before that is done.
        warn_days: acceptances that end within so many days are told beforehand.
    """

    then: Literal["alert", "roll-back", "halt"]
    days: int
    warn_days: int

    def __post_init__(self) -> None:
        if not 0 <= self.days <= 365 or not 0 <= self.warn_days <= 365:
            raise InvalidInputError("days are 0 to 365", field="findings.live", rule="range")


DEFAULT_LIVE = LiveRule(then="alert", days=0, warn_days=30)
"""Where a policy says nothing of live versions."""


class FindingsRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How findings bear on approval, release and versions that answer.

    Attributes:
        block: severities of which none may be open, or accepted until a day that has passed.
        accept: roles that may accept a finding for a time.
        max_accept_days: how long an acceptance lasts at most.
        live: what happens to a version that answers; left out, an alert.
    """

    block: tuple[Literal["low", "medium", "high"], ...]
    accept: tuple[str, ...]
    max_accept_days: int
    live: LiveRule | msgspec.UnsetType = msgspec.UNSET

    @property
    def of_live(self) -> LiveRule:
        """The part `live`, or what holds without it."""
        return DEFAULT_LIVE if isinstance(self.live, msgspec.UnsetType) else self.live

    def __post_init__(self) -> None:
        if "high" not in self.block:
            raise InvalidInputError("open high findings block in every house", field="findings.block", rule="floor")
        if not self.accept or not 1 <= self.max_accept_days <= 3650:
            raise InvalidInputError(
                "somebody accepts findings, for 1 to 3650 days", field="findings.accept", rule="range"
            )
        for role in self.accept:
            parse_name(role, "role")


DEFAULT_FINDINGS = FindingsRule(block=("high",), accept=("risk", "validator"), max_accept_days=365)
"""Where a policy says nothing: policies from before findings."""


class _FindingsPart(msgspec.Struct, frozen=True):
    findings: FindingsRule | msgspec.UnsetType = msgspec.UNSET


def finding_rule_of(policy: bytes) -> FindingsRule:
    """How findings bear on approval, read from a policy without its other parts: whoever approves need not know those.

    Args:
        policy: whose digest was held against a signed document.

    Raises:
        TamperedError: it does not read.
    """
    try:
        part = msgspec.json.decode(policy, type=_FindingsPart).findings
    except (msgspec.DecodeError, InvalidInputError) as error:
        raise TamperedError("the validation policy that the release names does not read") from error
    return DEFAULT_FINDINGS if isinstance(part, msgspec.UnsetType) else part
