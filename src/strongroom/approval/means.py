"""What the verbs of approval work with, and the draft that waits for signatures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from strongroom.approval.evidence import Register
from strongroom.approval.policy_signature import demand_policy_signature
from strongroom.approval.ports import EvidenceShelf, GovernanceRecord, ReleasePublisher
from strongroom.approval.process import ProcessEngine
from strongroom.approval.release import Release
from strongroom.approval.role_metadata import RoleMetadata, model_role, read_signed, release_path
from strongroom.approval.trust_policy import TrustPolicy, read_trust_policy
from strongroom.encoding import canonical, parse_as
from strongroom.errors import ConflictError, NotFoundError
from strongroom.registry.contract import ModelContract
from strongroom.sealing.ports import Blobs
from strongroom.validation.reporting.blocks import Block
from strongroom.validation.results import BatteryResults
from strongroom.vocabulary import ModelRef


class Capital(Protocol):
    """What a battery's results come to in capital, as blocks of the report. The formulas live in a room above."""

    def __call__(
        self, contract: ModelContract, results: BatteryResults | None, before: BatteryResults | None = None, /
    ) -> tuple[Block, ...]: ...


@dataclass(frozen=True, slots=True)
class Means:
    """What the verbs work with.

    Attributes:
        people: `people.json` in force.
        trust: `policy/trust.json` in force.
        validation: `policy/validation.json` in force.
        validation_signature: the risk function's signature under it, where it is published.
        publisher: the release repository's metadata.
        shelf: its evidence and sealed files.
        blobs: the room's own blobs: evidence and diagrams lie here by digest from the first day.
        engine: runs the diagram.
        governance: the governance log, which knows what the books must not lose.
        capital: draws up a report's section on capital; none: the section holds people's words alone.
    """

    people: bytes
    trust: bytes
    validation: bytes
    publisher: ReleasePublisher
    shelf: EvidenceShelf
    blobs: Blobs
    engine: ProcessEngine
    governance: GovernanceRecord
    validation_signature: bytes | None = None
    capital: Capital | None = None

    @property
    def register(self) -> Register:
        """The people register, ready for verification."""
        return Register.read(self.people)

    @property
    def judging(self) -> bytes:
        """The validation policy that may judge: signed by the risk function, where the room has one.

        Raises:
            EvidenceError, TamperedError: it is not.
        """
        demand_policy_signature(self.validation, self.validation_signature, self.register)
        return self.validation

    @property
    def policy(self) -> TrustPolicy:
        """The trust policy."""
        return read_trust_policy(self.trust)


def proposed(ref: ModelRef, means: Means) -> tuple[RoleMetadata, Release]:
    """The waiting draft of a model's role, and the release that it adds.

    Raises:
        NotFoundError: nothing waits.
        ConflictError: another version does.
    """
    try:
        draft = read_signed(means.publisher.draft(model_role(ref.name)))
    except NotFoundError as error:
        raise NotFoundError(
            f"no terms of `{ref.name}` wait for approval; an operator writes them with `strongroom propose {ref}`"
        ) from error
    entry = draft.targets.get(release_path(ref.name, ref.manifest))
    if entry is None:
        raise ConflictError(f"what waits for signatures is another version of `{ref.name}`")
    return draft, parse_as(canonical(entry.custom), Release)
