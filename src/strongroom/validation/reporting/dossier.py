"""What a model's report is made of, verified, and the report drawn up from it: the same input, the same blocks.

Nothing here reads a clock, a file or the room: whoever gathers a dossier has checked every signature in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import UnsetType

from strongroom.registry.contract import ModelContract
from strongroom.registry.samples import SampleStatement
from strongroom.validation.battery_rules import Battery, SectionDemand
from strongroom.validation.findings import SEVERITIES, Finding
from strongroom.validation.human_text import Signed
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.reporting.blocks import Block
from strongroom.validation.results import BatteryResults, ValidationPredicate
from strongroom.validation.scans.scan import ScanPredicate
from strongroom.validation.sections import TITLES, SectionKey
from strongroom.validation.workshop.replication import ReplicationPredicate
from strongroom.vocabulary import Digest, KeyId, ModelRef, PersonId


@dataclass(frozen=True, slots=True)
class ReviewFinding:
    """One line of the findings in a signed review."""

    name: str
    severity: str
    text: str
    status: str


@dataclass(frozen=True, slots=True)
class Opinion:
    """The independent validator's signed review.

    Attributes:
        person, key: who signed.
        at_us: when.
        opinion: `fit` or `unfit`.
        rerun: whether the validator ran the battery again and got the same bytes.
        findings: of the review.
    """

    person: PersonId
    key: KeyId
    at_us: int
    opinion: str
    rerun: bool
    findings: tuple[ReviewFinding, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """One approver's signed decision."""

    person: PersonId
    key: KeyId
    at_us: int
    decision: str
    conditions: tuple[str, ...]
    reason: str
    envelope: Digest


@dataclass(frozen=True, slots=True)
class Terms:
    """What the approvers approve besides the model: what a machine enforces of the release."""

    review_due_us: int
    stages: tuple[str, ...]
    max_canary_percent: int
    fallback: Digest | None
    on_failure: str | None
    rules: tuple[str, ...]
    release: Digest


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the governance log about the model: index, what, who, when, how it ended."""

    index: int
    verb: str
    who: str
    at_us: int
    outcome: str
    about: str


@dataclass(frozen=True, slots=True)
class VersionLine:
    """A version of the model, as its submission has it."""

    manifest: Digest
    author: PersonId
    submitted_us: int
    parent: str | None


@dataclass(frozen=True, slots=True)
class Before:
    """The version that this one replaces.

    Attributes:
        ref, contract: the version.
        results: signed, where it was validated by then.
        leaked: the key that signed them, where that is compromised by now: it may have signed anything, so there are
            no results.
    """

    ref: ModelRef
    contract: ModelContract
    results: BatteryResults | None
    leaked: KeyId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dossier:
    """Everything that is known of a version at a moment.

    Attributes:
        ref, contract: the version.
        author, author_key: who signed the submission, and with which key.
        submitted_us: when.
        as_of_us: the moment; findings are judged by it.
        policy, policy_sha256: that the battery was judged by, or that would judge it now.
        policy_signer: the person of the risk function who signed the policy; None where the custodians alone did.
        results, results_sha256: of the battery, once there is one.
        validation, scan: what the machines signed.
        replication: what came of training it again, the latest.
        replication_leaked: it was trained again, and the key that signed what came of it is compromised by now.
        sample: what the validator signed of the sample.
        bill_sha256: digest of the bill of materials.
        evidence: types and digests of the signed statements.
        texts: the words of people that count now.
        findings: of the register.
        inherited: findings that nobody has closed of versions that this one inherits from, each with its version.
        opinion, decisions, terms: of people, once there are.
        origin, events: of the governance log.
        versions: of the model up to the moment, oldest first.
        before: the version that this one replaces, where the room has it.
        capital: what the results come to in capital, drawn up by whoever knows the formulas.
        command: that draws this very report again.
    """

    ref: ModelRef
    contract: ModelContract
    author: PersonId
    author_key: KeyId
    submitted_us: int
    as_of_us: int
    policy: ValidationPolicy
    policy_sha256: Digest
    policy_signer: PersonId | None = None
    results: BatteryResults | None = None
    results_sha256: Digest | None = None
    validation: ValidationPredicate | None = None
    scan: ScanPredicate | None = None
    replication: ReplicationPredicate | None = None
    replication_leaked: bool = False
    sample: SampleStatement | None = None
    bill_sha256: Digest | None = None
    evidence: tuple[tuple[str, Digest], ...] = ()
    texts: tuple[Signed, ...] = ()
    findings: tuple[Finding, ...] = ()
    inherited: tuple[tuple[ModelRef, Finding], ...] = ()
    opinion: Opinion | None = None
    decisions: tuple[Decision, ...] = ()
    terms: Terms | None = None
    origin: str = ""
    events: tuple[Event, ...] = ()
    versions: tuple[VersionLine, ...] = ()
    before: Before | None = None
    capital: tuple[Block, ...] = ()
    command: str = ""

    @property
    def battery(self) -> Battery:
        """What the policy asks of this kind, tier and place."""
        contract = self.contract
        return self.policy.battery(contract.kind, contract.tier, contract.jurisdictions)


@dataclass(frozen=True, slots=True)
class Gap:
    """A demand that is not met, in words with the verb that helps."""

    section: SectionKey
    message: str


def stands_for(finding: Finding, one: ReviewFinding, reviewer: PersonId) -> bool:
    """Whether a finding of the register is that of the review: no milder, and its name in the reviewer's own hand or
    its very words. Anybody can take a name."""
    if SEVERITIES.index(finding.raised.severity) < SEVERITIES.index(one.severity):
        return False
    named = finding.name == one.name and finding.steps[0].said.person == reviewer
    return named or finding.raised.text.split() == one.text.split()


def gaps(
    ref: ModelRef,
    author: PersonId,
    demands: Sequence[SectionDemand],
    texts: Sequence[Signed],
    filled: frozenset[SectionKey],
) -> tuple[Gap, ...]:
    """What the policy demands of the report and does not find.

    Args:
        ref: the version, for the command.
        author: of the version, who is asked as its author and in no other role that they hold.
        demands: of the policy.
        texts: that count now.
        filled: sections in which anything stands.
    """
    order = list(TITLES)
    written = {
        (text.said.section, text.said.role)
        for text in texts
        if text.said.person != author or text.said.role == "author"
    }
    found = []
    for demand in demands:
        number, title = order.index(demand.section) + 1, TITLES[demand.section]
        role = demand.by if isinstance(demand.by, str) else "author"
        command = f"`strongroom write {ref} --section {demand.section} --role {role} --file ...`"
        if isinstance(demand.by, str):
            if (demand.section, demand.by) not in written:
                message = f"section {number} `{title}` lacks the words of someone in the role `{demand.by}`"
                found.append(Gap(demand.section, f"{message}; they sign them with {command}"))
        elif demand.section not in filled:
            message = f"section {number} `{title}` is empty"
            found.append(Gap(demand.section, f"{message}; somebody signs words for it with {command}"))
    return tuple(found)


def tier_gap(
    ref: ModelRef, policy: ValidationPolicy, tier: int, author: PersonId, texts: Sequence[Signed]
) -> str | None:
    """Why the model's tier is weaker than its materiality and complexity ask for, or None.

    Ratings are signed with the section `identity`. The strictest that counts holds, and the author's own counts only
    where it is stricter than the tier: a model that nobody else has rated is of the strictest tier of the table. A
    rating by levels that the policy no longer has asks for the strictest, too.
    """
    if isinstance(policy.tiering, UnsetType):
        return None
    table = policy.tiering
    rated = [text.said for text in texts if isinstance(text.said.materiality, str)]
    asked = {said: table.tier_or_strictest(str(said.materiality), str(said.complexity)) for said in rated}
    if asked and (wanted := min(asked.values())) < tier:
        said = next(one for one in rated if asked[one] == wanted)
        return (
            f"the model is of tier {tier}, and materiality {said.materiality} with complexity {said.complexity} asks "
            f"for tier {wanted}; submit it with `tier = {wanted}`"
        )
    if tier > table.strictest and all(said.person == author for said in rated):
        return (
            f"the model is of tier {tier} by its contract, and nobody but its author has rated it; someone else does "
            f"with `strongroom write {ref} --section identity --role validator --file ... "
            f"--materiality {table.words[0]} --complexity {table.words[1]}`"
        )
    return None
