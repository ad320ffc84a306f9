"""What the custodians demand of every release: `policy/trust.json` and `policy/jurisdictions.json`.

The floor is in code, not in the policy: a policy can ask for more evidence, more persons, never for less.
"""

from __future__ import annotations

import msgspec

from strongroom.encoding import parse_as
from strongroom.errors import EvidenceError, InvalidInputError, TamperedError
from strongroom.vocabulary import parse_jurisdiction, parse_name

TRUST_PATH = "policy/trust.json"
JURISDICTIONS_PATH = "policy/jurisdictions.json"
VALIDATION_PATH = "policy/validation.json"
VALIDATION_SIGNATURE_PATH = "policy/validation.dsse"
ACCESS_PATH = "policy/access.cedar"
ACCESS_SCHEMA_PATH = "policy/access.cedarschema"
DIAGRAM_PATH = "process/lifecycle.bpmn"
PEOPLE_PATH = "people.json"
GRANTS_PATH = "access/grants.json"

FLOOR = {"submission": "author", "scan": "scanner", "validation": "validation-service", "review": "validator"}
"""Evidence that every release needs, and the role whose key signs it."""

APPROVERS_FLOOR = 2


class Demand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One type of evidence and the role that must have signed it."""

    type: str
    role: str


class TrustPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`policy/trust.json`.

    Attributes:
        tiers: demands by tier, as text (`"1"`); a tier that is not listed cannot be released.
        approvers: different persons who approve; below 2 counts as 2.
        halter_roles: a person with one of these roles may halt.
        lifter_roles: a person with one of these roles may be one of the two who lift.
    """

    v: int
    tiers: dict[str, tuple[Demand, ...]]
    approvers: int = APPROVERS_FLOOR
    halter_roles: tuple[str, ...] = ("halter",)
    lifter_roles: tuple[str, ...] = ("halter",)

    def __post_init__(self) -> None:
        if self.v != 1:
            raise InvalidInputError("this gateway reads version 1 of the trust policy", field="v")
        for demands in self.tiers.values():
            for demand in demands:
                parse_name(demand.type, "evidence type")
                parse_name(demand.role, "role")

    def demands(self, tier: int) -> dict[str, str]:
        """Role by evidence type for a tier, never less than the floor.

        Raises:
            EvidenceError: the policy does not list the tier, or wants another role for evidence of the floor.
        """
        listed = self.tiers.get(str(tier))
        if not listed:
            raise EvidenceError(f"the trust policy lists no evidence for tier {tier}")
        wanted = dict(FLOOR)
        for demand in listed:
            if wanted.setdefault(demand.type, demand.role) != demand.role:
                raise EvidenceError(
                    f"the trust policy wants {demand.type} from `{demand.role}`, the floor from `{wanted[demand.type]}`"
                )
        return wanted


class Jurisdictions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`policy/jurisdictions.json`: the labels that this organisation knows. Anything else is refused."""

    v: int
    jurisdictions: tuple[str, ...]
    environments: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.v != 1:
            raise InvalidInputError("this gateway reads version 1 of the jurisdictions", field="v")
        for label in self.jurisdictions:
            parse_jurisdiction(label)
        for label in self.environments:
            parse_name(label, "environment")


def read_trust_policy(data: bytes) -> TrustPolicy:
    """Read `policy/trust.json`.

    Raises:
        TamperedError: the custodians' metadata vouches for bytes that are no trust policy.
    """
    try:
        return parse_as(data, TrustPolicy)
    except InvalidInputError as error:
        raise TamperedError(f"`{TRUST_PATH}` is not a trust policy: {error.message}") from error


def read_jurisdictions(data: bytes) -> Jurisdictions:
    """Read `policy/jurisdictions.json`.

    Raises:
        TamperedError: it is no list of jurisdictions.
    """
    try:
        return parse_as(data, Jurisdictions)
    except InvalidInputError as error:
        raise TamperedError(f"`{JURISDICTIONS_PATH}` is not a list of jurisdictions: {error.message}") from error
