"""Who acts: a person or a calling system, with what the people register or a grant says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from strongroom.vocabulary import Digest, PersonId


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated actor.

    Attributes:
        id: name in the people register (persons, services) or of the grant (calling systems).
        kind: `Person` signs with a key of their own; `Service` is a machine of ours or a calling system.
        roles: what they are: author, validator, approver, operator, ... (`access.verbs.ROLES`)
        units: departments or tenants.
        grants: bounds on labels a caller may assert, by name: `models`, `environments`, `jurisdictions`, `purposes`.
        token_expires_us: end of the credential's validity in microseconds, or None for credentials without one.
        request: digest of the signed request by which a person asked, as it is kept (`access.requests`); no part of
            who they are.
        proofs: how a calling system proved who it is, for policies: `api-key`, `token`, `certificate` (one that its
            grant names), `bound-token` (a token bound to the certificate on the line), `one-time` (it counts once).
    """

    id: PersonId
    kind: Literal["Person", "Service"]
    roles: frozenset[str]
    units: frozenset[str] = frozenset()
    grants: Mapping[str, frozenset[str]] = field(default_factory=dict, hash=False)
    token_expires_us: int | None = None
    request: Digest | None = field(default=None, compare=False)
    proofs: frozenset[str] = field(default=frozenset(), hash=False)

    def __post_init__(self) -> None:
        # decisions are remembered per principal, so nobody may widen the grants of one that is remembered
        object.__setattr__(self, "grants", MappingProxyType(dict(self.grants)))
