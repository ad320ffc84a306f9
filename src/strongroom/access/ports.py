"""What the access room needs from outside: something that evaluates policies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from strongroom.access.grants import Grants
from strongroom.access.principals import Principal
from strongroom.vocabulary import Digest

Attribute = str | int | bool | frozenset[str]


@dataclass(frozen=True, slots=True)
class Question:
    """Everything that a policy may look at.

    Attributes:
        who: the principal, with roles, units and grants.
        verb: what they ask for.
        kind, id: the resource.
        attributes: of the resource.
        context: labels of the request, such as `environment`, `jurisdiction`, `purpose`, `release`.
        at_us: time of the request in microseconds since 1970.
    """

    who: Principal
    verb: str
    kind: str
    id: str
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    context: Mapping[str, str | int | bool] = field(default_factory=dict)
    at_us: int = 0


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the policies say: `allowed`, and the names of the rules that decided."""

    allowed: bool
    rules: tuple[str, ...] = ()


class PolicyEngine(Protocol):
    """Evaluates one set of policies, which never changes. Safe to call from several threads."""

    @property
    def digest(self) -> Digest:
        """Of policies and schema together."""

    def rule_on(self, question: Question) -> Ruling:
        """Whatever prevents a clean evaluation is raised, never answered: the caller takes it for a no."""

    def knows(self, verb: str, kind: str) -> bool:
        """Whether the policies' schema has such an act at all; what it does not know, no policy can permit."""

    def depends_on_time(self, verb: str) -> bool:
        """Whether any policy that could apply to `verb` looks at the time."""

    def reads(self, attribute: str) -> bool:
        """Whether any policy reads this attribute of the context."""


class ResourceLike(Protocol):
    """The shape of `office.acts.Resource`, which lies above this room."""

    @property
    def kind(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def attributes(self) -> Mapping[str, Attribute]: ...


class ActLike(Protocol):
    """The shape of `office.acts.Act`, which lies above this room."""

    @property
    def who(self) -> Principal: ...
    @property
    def verb(self) -> str: ...
    @property
    def on(self) -> ResourceLike: ...
    @property
    def at(self) -> datetime: ...
    @property
    def context(self) -> Mapping[str, str | int | bool]: ...


class Nonces(Protocol):
    """Which signed requests a node has seen lately: shared by its workers, and kept over a restart of any of them."""

    def spend(self, principal: str, nonce: str, created_s: int, now_s: int) -> None:
        """Use a nonce up. A nonce is remembered for as long as `created_s` lets the request through.

        Args:
            principal: whose nonce it is; others may use the same.
            nonce: at most 128 characters.
            created_s: when the request was signed, in seconds since 1970; within the window by `now_s`.
            now_s: now.

        Raises:
            NotPermittedError: it was used before, or the request is older than what is remembered.
            TooManyRequestsError: this principal has no room for more within the window.
            UnavailableError: the memory cannot be asked; nothing is let through.
        """


class GrantsShelf(Protocol):
    """The grants as the control plane edits them; every version is kept."""

    def current(self) -> Grants:
        """Raises NotFoundError before the first one."""

    def put(self, grants: Grants) -> None:
        """Raises ConflictError unless `sequence` is the current one plus one, from 1."""


class UsedTokens(Protocol):
    """Tokens that count once, shared by all workers of a node. Bounded; what it cannot remember it does not allow."""

    def spend(self, digest: bytes, issued_us: int, ends_us: int, at_us: int) -> None:
        """Mark a token as used.

        Args:
            digest: 32 bytes that stand for issuer and `jti`.
            issued_us: `iat` of the token.
            ends_us: when it could not be used anyway, so that its place is free again.
            at_us: now.

        Raises:
            NotAuthenticatedError: it was used before, or is older than the register's memory.
            UnavailableError: there is no place to remember it.
        """
