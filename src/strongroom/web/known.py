"""What the gateway concludes from the head of a request alone, and remembers with it."""

from __future__ import annotations

from typing import Final

from strongroom.access.principals import Principal
from strongroom.sealing.records import Labels
from strongroom.serving.canary import Canary
from strongroom.serving.catalogue import Catalogue
from strongroom.serving.rules import Rules
from strongroom.serving.served import ServedModel

KNOWN_US: Final = 300_000_000
"""How long what a head says is remembered; never beyond the credential's own end or the next change of the rules."""
GRANTED_LIMIT: Final = 64
UNREAD: Final = -1


class Known:
    """What a head alone says: who asks which model. Holds for the rules under which it was found, and not for long.

    Attributes:
        certificate: of the connection's client; compared by identity, so a head counts for one such connection.
        granted: the labels that the policies let this principal assert to which model, and until when that holds.
        binary: length of the JSON part before binary tensors, or None; read when the body is first looked at.
        coding: of the body, or None for a plain one; read with `binary`.
        prefer: the header of that name.
        signed: the request came with a signature that holds; then nothing of it is remembered.
        served: the model that answers until `served_until_us`, when the metadata expires or its review is due.
        standby, canary: of that model, where no version was named.
    """

    __slots__ = (
        "binary", "canary", "certificate", "coding", "granted", "model", "prefer", "principal", "rules", "served",
        "served_until_us", "signed", "standby", "until_us", "version",
    )  # fmt: skip

    def __init__(
        self,
        rules: Rules,
        certificate: bytes | None,
        principal: Principal,
        model: str,
        version: str | None,
        until_us: int,
        signed: bool,
    ) -> None:
        self.signed = signed
        self.rules = rules
        self.certificate = certificate
        self.principal = principal
        self.model = model
        self.version = version
        self.granted: dict[tuple[ServedModel, str | None, str | None], tuple[Labels, int]] = {}
        self.binary: int | None = UNREAD
        self.coding: bytes | None = None
        self.prefer: bytes | None = None
        self.until_us = until_us
        self.served: ServedModel | None = None
        self.served_until_us = 0
        self.standby: tuple[ServedModel, ...] = ()
        self.canary: Canary | None = None

    def holds(self, rules: Rules) -> bool:
        """Whether it counts under these rules, which come with each look at the repository, mostly with nothing new.

        Which model answers is found again, since that may have changed.
        """
        mine = self.rules
        if mine is rules:
            return True
        if (
            mine.authenticator is not rules.authenticator
            or mine.authorisation is not rules.authorisation
            or mine.signing is not rules.signing
        ):
            return False
        self.rules = rules
        self.served, self.served_until_us, self.standby, self.canary = None, 0, (), None
        return True

    def found(self, served: ServedModel, catalogue: Catalogue) -> None:
        """Remember which model answers, for as long as the same rules and the clock say so."""
        self.served = served
        self.served_until_us = min(catalogue.fresh_until_us, served.release.review_due_us)
        if self.version is None:
            self.standby = catalogue.standby.get(served, ())
            self.canary = catalogue.canaries.get(self.model)

    def grant(self, asked: tuple[ServedModel, str | None, str | None], held: tuple[Labels, int]) -> tuple[Labels, int]:
        """Remember what was asked and granted."""
        if len(self.granted) >= GRANTED_LIMIT:
            self.granted.clear()
        self.granted[asked] = held
        return held
