"""From a judged version to the release document (format 6) that approvers sign."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from strongroom.approval.cases import Case
from strongroom.approval.release import EvidenceRef, Monitors, NumericProfile, Plan, Release
from strongroom.approval.trust_policy import FLOOR
from strongroom.errors import ConflictError, InvalidInputError
from strongroom.registry.versions import Version
from strongroom.vocabulary import Digest, micros


@dataclass(frozen=True, slots=True)
class Terms:
    """What is decided about a release beyond the model itself.

    Attributes:
        not_before: from when it may answer.
        review_due: when it stops answering unless it is approved again.
        plan: what operators may do without asking again.
        policies: digests of the policies in force, by target path.
        min_gateway: oldest gateway that may serve it.
        kek_id: key-encryption key under which the data key is wrapped.
        environments, jurisdictions: narrower than the contract, or None to take the contract's.
    """

    not_before: datetime
    review_due: datetime
    plan: Plan
    policies: Mapping[str, Digest]
    min_gateway: str
    kek_id: str
    environments: tuple[str, ...] | None = None
    jurisdictions: tuple[str, ...] | None = None


def draft_release(version: Version, case: Case, profile: NumericProfile, monitors: Monitors, terms: Terms) -> Release:
    """The release document of a reviewed version.

    Args:
        version: as registered, with its evidence.
        case: reviewed, about this version.
        profile: as the sandbox proved it.
        monitors: reference distributions and alert levels.
        terms: see `Terms`.

    Raises:
        ConflictError: the case is about another version, or evidence is missing.
        InvalidInputError: terms wider than the contract, or dates out of order.
    """
    if case.ref != version.ref:
        raise ConflictError(f"case `{case.id}` is about {case.ref}, not about {version.ref}")
    held = {"submission": version.bundle, **version.evidence}
    missing = sorted(set(FLOOR) - set(held))
    if missing:
        raise ConflictError(f"version {version.ref} has no {missing[0]} evidence yet")
    if terms.not_before >= terms.review_due:
        raise InvalidInputError("a release ends after it begins", field="review_due", rule="order")
    contract = version.contract
    environments = _narrowed(terms.environments, contract.environments, "environments")
    jurisdictions = _narrowed(terms.jurisdictions, contract.jurisdictions, "jurisdictions")
    return Release(
        v=1,
        model=version.ref.name,
        manifest=version.ref.manifest,
        evidence=tuple(EvidenceRef(type=kind, sha256=held[kind]) for kind in sorted(held)),
        kind=contract.kind,
        tier=contract.tier,
        environments=environments,
        jurisdictions=jurisdictions,
        purposes=contract.purposes,
        not_before_us=micros(terms.not_before),
        review_due_us=micros(terms.review_due),
        input=contract.input,
        output=contract.output,
        cut_offs=contract.decisions,
        policies=dict(terms.policies),
        monitors=monitors,
        numeric_profile=profile,
        explanation=contract.explanation,
        min_gateway=terms.min_gateway,
        plan=terms.plan,
        diagram=case.diagram,
        case=case.id,
        kek_id=terms.kek_id,
        artifact=contract.samples.model,
    )


def _narrowed(wanted: tuple[str, ...] | None, allowed: tuple[str, ...], field: str) -> tuple[str, ...]:
    if wanted is None:
        return allowed
    if not wanted or not set(wanted) <= set(allowed):
        raise InvalidInputError(
            f"the {field} of a release are some of those in its contract", field=field, rule="subset"
        )
    return wanted
