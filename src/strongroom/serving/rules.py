"""Everything that the release repository puts in force at a gateway, as one value: which models, who, may they."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from strongroom.access.certificates import Presented
from strongroom.access.principals import Principal
from strongroom.access.signed_requests import Terms
from strongroom.errors import UnavailableError
from strongroom.office.acts import Act
from strongroom.serving.catalogue import Catalogue
from strongroom.serving.limiter import LimitTable
from strongroom.vocabulary import Digest, PersonId


class Authenticator(Protocol):
    """Who sends this credential? Raises NotAuthenticatedError, always in the same words."""

    def authenticate(
        self, authorization: bytes | None, at_us: int, presented: Presented | None = None
    ) -> Principal: ...

    def take_wanted(self) -> frozenset[str]:
        """Issuers whose tokens named a key that is not known, since this was last asked."""


class Authorisation(Protocol):
    """May they? Raises NotPermittedError unless some policy permits."""

    @property
    def digest(self) -> Digest: ...

    def check(self, act: Act) -> None: ...

    def check_score(
        self,
        principal: Principal,
        model: str,
        environment: str,
        jurisdiction: str | None,
        purpose: str | None,
        release: Digest,
        at_us: int,
        signed: bool = False,
    ) -> int: ...


NO_RELEASE: Final = "no release is in force at this node; its log says why"


class Closed:
    """Authenticator and authorisation of a gateway that has no rules yet: everything is refused."""

    digest = Digest("0" * 64)

    def authenticate(self, _authorization: bytes | None, _at_us: int, _presented: Presented | None = None) -> Principal:
        """Raises UnavailableError: without grants nobody can be known."""
        raise UnavailableError(NO_RELEASE, rule="trouble")

    def take_wanted(self) -> frozenset[str]:
        """None: nobody is known."""
        return frozenset()

    def check(self, _act: Act) -> None:
        """Raises UnavailableError."""
        raise UnavailableError(NO_RELEASE, rule="trouble")

    def check_score(self, *_question: object) -> int:
        """Raises UnavailableError."""
        raise UnavailableError(NO_RELEASE, rule="trouble")


def closed() -> Rules:
    """Rules under which nothing is answered. Nobody is known then, so nobody is told more than that."""
    return Rules(Catalogue(trouble=NO_RELEASE), Closed(), Closed())


@dataclass(frozen=True, slots=True)
class Rules:
    """Swapped as a whole, so that no request sees half of a change.

    Attributes:
        signing: of the systems whose grant speaks of signatures.
        callers: how many calling systems have a grant.
    """

    catalogue: Catalogue
    authenticator: Authenticator
    authorisation: Authorisation
    signing: Mapping[PersonId, Terms] = field(default_factory=dict)
    limits: LimitTable | None = None
    callers: int = 0
