"""Everything that the release repository puts in force at a gateway, as one value: which models, who, may they."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from strongroom.access.principals import Principal
from strongroom.office.acts import Act
from strongroom.serving.catalogue import Catalogue
from strongroom.vocabulary import Digest


class Authenticator(Protocol):
    """Who sends this credential? Raises NotAuthenticatedError, always in the same words."""

    def authenticate(self, authorization: bytes | None, at_us: int) -> Principal: ...


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
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Rules:
    """Swapped as a whole, so that no request sees half of a change."""

    catalogue: Catalogue
    authenticator: Authenticator
    authorisation: Authorisation
