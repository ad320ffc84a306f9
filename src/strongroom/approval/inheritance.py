"""Whose findings a version inherits, and which of them nobody has settled. One rule for all who ask: the office before
it lets something through, an approver's machine before it signs, the watch over what is live, and the report.

A version inherits from those of its model that came before it, and from any version, of whatever name, whose model
file it carries: a new name sheds nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import msgspec

from strongroom.approval.evidence import Register
from strongroom.approval.four_eyes import voice_of
from strongroom.approval.means import Means
from strongroom.approval.papers import read_kept_step
from strongroom.approval.statements import FindingSeen, Review
from strongroom.errors import EvidenceError, NotFoundError, TamperedError
from strongroom.office.entries import Entry
from strongroom.registry.ports import RegistryBooks
from strongroom.registry.versions import Version
from strongroom.sealing.manifest import Manifest
from strongroom.sealing.statements import REVIEW
from strongroom.validation.finding_rules import FindingsRule
from strongroom.validation.findings import Accepted, Finding, blocking, read_findings, unrightful
from strongroom.validation.reporting.dossier import Opinion, ReviewFinding, stands_for
from strongroom.vocabulary import Digest, ModelRef, PersonId, instant, rfc3339

LOGGED = frozenset({"submit", "finding", "review"})
"""Verbs whose entries in the governance log say what is known of versions."""
CARRIED = ("model", "former-model")
"""Roles of files by which a version carries a model: its own, and the one that it was hardened from."""

Read = Callable[[Digest], bytes]
"""Bytes by their digest, which the reader holds against it (`sealing.ports.Blobs.get`)."""


@dataclass(frozen=True, slots=True)
class Known:
    """A version, as far as findings go.

    Attributes:
        ref: name and manifest.
        author: who submitted it.
        steps: digests of the signed steps of its findings, in the order in which the room took them in.
        review: digest of its signed review.
    """

    ref: ModelRef
    author: PersonId
    steps: tuple[Digest, ...] = ()
    review: Digest | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A version with its findings read, every signature verified.

    Attributes:
        ref: the version.
        author: who submitted it.
        findings: entered about it.
        opinion: its validator's, or None.
        review_leaked: the key that signed the opinion is compromised by now.
    """

    ref: ModelRef
    author: PersonId
    findings: tuple[Finding, ...]
    opinion: Opinion | None
    review_leaked: bool = False


def known_of(versions: Iterable[Version]) -> tuple[Known, ...]:
    """As the registry has them; of each model in the order of submission."""
    return tuple(Known(one.ref, one.author, one.papers_of("finding"), one.evidence.get("review")) for one in versions)


def known_of_log(entries: Iterable[Entry], before: Iterable[Known] = ()) -> tuple[Known, ...]:
    """As the governance log has them, whatever the registry says.

    Args:
        entries: oldest first; others than those of `LOGGED` are passed over.
        before: what the entries before these said.

    Raises:
        TamperedError: something was said about a version that nobody submitted.
    """
    found: dict[ModelRef, Known] = {one.ref: one for one in before}
    for entry in entries:
        manifest = entry.facts.get("manifest")
        if entry.outcome != "done" or entry.verb not in LOGGED or not isinstance(manifest, str):
            continue
        ref = ModelRef(entry.on.id, Digest(manifest))
        if entry.verb == "submit":
            # the opening of its case is a second entry of the same verb
            found.setdefault(ref, Known(ref, PersonId(entry.who)))
            continue
        known = found.get(ref)
        if known is None:
            raise TamperedError(f"the governance log has a {entry.verb} of version {ref}, which nobody submitted")
        if entry.verb == "finding":
            step = Digest(str(entry.facts["statement"]))
            found[ref] = replace(known, steps=(*known.steps, step))
        elif "evidence" in entry.facts:
            found[ref] = replace(known, review=Digest(str(entry.facts["evidence"])))
    return tuple(found.values())


def demand_held(logged: Sequence[Known], held: Sequence[Known]) -> None:
    """The registry has lost nothing of what the governance log knows.

    Raises:
        TamperedError: a version or a step of a finding is gone.
    """
    by_ref = {one.ref: one for one in held}
    for one in logged:
        here = by_ref.get(one.ref)
        lost = set(one.steps) - set(here.steps if here else ())
        if here is None or lost:
            what = f"statement {min(lost)[:12]} about a finding of version {one.ref}" if here else f"version {one.ref}"
            raise TamperedError(
                f"the governance log knows of {what}, and the books no longer have it; run `strongroom fsck`"
            )


class Family:
    """Who inherits from whom among the versions of a room.

    Args:
        known: every version; of each model in the order of submission.
        read: gives manifests.

    Raises:
        TamperedError: a manifest is not the one that its digest names.
    """

    def __init__(self, known: Sequence[Known], read: Read) -> None:
        self._known = {one.ref: one for one in known}
        self._files = {one.ref: _carried(one.ref, read) for one in known}
        self._of_model: dict[str, list[ModelRef]] = {}
        self._with_file: dict[Digest, list[ModelRef]] = {}
        for ref, carried in self._files.items():
            self._of_model.setdefault(ref.name, []).append(ref)
            for own in carried[:1]:
                self._with_file.setdefault(own, []).append(ref)

    def of(self, ref: ModelRef) -> tuple[Known, ...]:
        """The version itself, first, and all whose findings are its own too.

        Raises:
            NotFoundError: the version is not among them.
        """
        if ref not in self._known:
            raise NotFoundError(f"no version {ref} was ever submitted")
        found, waiting = [ref], [ref]
        while waiting:
            this = waiting.pop(0)
            own = self._of_model[this.name]
            same = [one for file in self._files[this] for one in self._with_file.get(file, ())]
            for one in (*own[: own.index(this)], *same):
                if one not in found:
                    found.append(one)
                    waiting.append(one)
        return tuple(self._known[one] for one in found)


def _carried(ref: ModelRef, read: Read) -> tuple[Digest, ...]:
    """Model files of a version: its own first, then the one that it was hardened from."""
    manifest = Manifest.decode(read(ref.manifest), ref.manifest)
    return tuple(entry.sha256 for role in CARRIED for entry in manifest.files if entry.role == role)


def family(books: RegistryBooks, means: Means) -> Family:
    """The versions of a room, with nothing lost that the governance log knows of.

    Raises:
        TamperedError: the books have lost something.
    """
    held = [one for name in books.versions.models() for one in known_of(books.versions.of_model(name))]
    demand_held(known_of_log(logged.document for logged in means.governance.entries()), held)
    return Family(held, means.blobs.get)


def held_now(books: RegistryBooks, ref: ModelRef, means: Means) -> tuple[Held, ...]:
    """What was found wrong with a version and those that it inherits from, as the office has it.

    Raises:
        TamperedError, NotAuthenticatedError, EvidenceError, NotFoundError: see `family` and `hold`.
    """
    return hold(family(books, means).of(ref), means.blobs.get, means.register)


def hold(
    known: Sequence[Known], read: Read, register: Register, at_us: int | None = None, *, as_then: bool = False
) -> tuple[Held, ...]:
    """Findings and reviews of versions, every signature verified. A key that is compromised by now stops nobody: what
    it said against a version stands until somebody settles it.

    Args:
        known: see `Family.of`.
        read: gives envelopes.
        register: of the people.
        at_us: leave out what was said later; None: nothing.
        as_then: as it counted before anybody knew that a key was compromised.

    Raises:
        TamperedError, NotAuthenticatedError, EvidenceError, NotFoundError: one does not hold, or is gone.
    """
    found = []
    for one in known:
        steps = [read_kept_step(read(digest), one.ref, register) for digest in one.steps]
        if as_then:
            steps = [replace(step, leaked=False) for step in steps]
        findings = read_findings([step for step in steps if at_us is None or step.said.at_us <= at_us])
        opinion = None
        if one.review is not None:
            opinion = read_review(read(one.review), one.ref, register, at_us, even_leaked=True)
        leaked = opinion is not None and register.people.leaked(opinion.key)
        found.append(Held(one.ref, one.author, findings, opinion, leaked))
    return tuple(found)


def read_review(
    envelope: bytes, ref: ModelRef, register: Register, at_us: int | None = None, *, even_leaked: bool = False
) -> Opinion | None:
    """The validator's signed opinion; None where it was signed later than `at_us`.

    Args:
        envelope: the signed review.
        ref: the version.
        register: of the people.
        at_us: see above; None: whenever.
        even_leaked: by a compromised key, too: for its findings alone.

    Raises:
        EvidenceError: it names another person than its signer, who is no validator, or is about another version.
        TamperedError, NotAuthenticatedError: the signature.
    """
    review, key = register.statement(envelope, ref, REVIEW, Review)
    if at_us is not None and review.at_us > at_us:
        return None
    voice = voice_of(register.people, key, review.at_us, "validator", even_leaked=even_leaked)
    if voice.person != review.person:
        raise EvidenceError(f"the review of {ref} names another person than the one who signed it")
    said = tuple(ReviewFinding(one.id, one.severity, one.text, one.status) for one in review.findings)
    return Opinion(voice.person, key, review.at_us, review.opinion, review.rerun is not None, said)


@dataclass(frozen=True, slots=True)
class Standing:
    """One thing that holds a version up, or will.

    Attributes:
        of: the version that it was found in, where it is settled.
        name: of the finding.
        severity: low, medium or high.
        state: how it stands, in words.
        reason: why it blocks, with the verb that helps; None where it does not.
        since_us: since when it blocks, or until when it is accepted.
        step: payload of what was said last; None for a finding of a review that stands in no register.
    """

    of: ModelRef
    name: str
    severity: str
    state: str
    reason: str | None
    since_us: int
    step: Digest | None


def standing(ref: ModelRef, held: Sequence[Held], rule: FindingsRule, at_us: int) -> tuple[Standing, ...]:
    """Everything that was found wrong with a version or those that it inherits from, and is not closed.

    Args:
        ref: the version.
        held: it, and those that it inherits from.
        rule: of the policy that judges.
        at_us: now.
    """
    found: list[Standing] = []
    for one in held:
        of = _named(one.ref, ref)
        for finding in one.findings:
            help_ = (
                f"settle it with `strongroom findings accept {one.ref} {finding.name} --days ... --reason ...` or "
                f"`strongroom findings close {one.ref} {finding.name} --evidence ... --reason ...`"
            )
            wrong = unrightful(finding, one.author, rule)
            status = finding.status(at_us)
            if status == "closed" and wrong is None:
                continue
            severity, does = finding.raised.severity, finding.counts.said.does
            why = next(iter(blocking([finding], rule, at_us, of)), None)
            if wrong is not None and severity in rule.block:
                why = f"finding `{finding.name}`{of} is {severity}, and what settled it does not count: {wrong}"
            ends = does.until_us if isinstance(does, Accepted) and wrong is None else finding.last.said.at_us
            reason = None if why is None else f"{why}; {help_}"
            state = finding.settled_by(at_us)
            found.append(Standing(one.ref, finding.name, severity, state, reason, ends, finding.last.payload))
        found.extend(_of_review(one, of, rule))
        if one.review_leaked and one.opinion is not None and one.ref == ref:
            reason = (
                "the key that signed its review is compromised, and gateways refuse it; submit a new version and have "
                "that reviewed"
            )
            found.append(Standing(ref, "review", "high", "does not count", reason, one.opinion.at_us, None))
    return tuple(found)


def _of_review(one: Held, of: str, rule: FindingsRule) -> Iterator[Standing]:
    said = one.opinion
    for line in said.findings if said else ():
        if said is None or line.severity not in rule.block or line.status == "closed":
            continue
        if any(stands_for(finding, line, said.person) for finding in one.findings):
            continue
        yield Standing(
            one.ref,
            line.name,
            line.severity,
            "in no register",
            f"the review's finding `{line.name}`{of} is {line.severity} and stands in no register; enter its words "
            f"with `strongroom findings add {one.ref} --severity {line.severity} --text ... --owner ... "
            "--remediation ...` and settle it there",
            said.at_us,
            None,
        )


def _named(one: ModelRef, ref: ModelRef) -> str:
    """How a finding's version is told beside the one that it holds up."""
    if one == ref:
        return ""
    return f" of version {one.manifest[:12]}" if one.name == ref.name else f" of {one}, the same model,"


def unsettled(ref: ModelRef, held: Sequence[Held], rule: FindingsRule, at_us: int) -> list[str]:
    """Why findings hold a version up now, each with the verb that helps; empty where they do not."""
    return [one.reason for one in standing(ref, held, rule, at_us) if one.reason is not None]


def seen_of(held: Sequence[Held], at_us: int) -> tuple[FindingSeen, ...]:
    """What an approval names: the findings that are not closed, in the order of the alphabet."""
    found = []
    for one in held:
        for finding in one.findings:
            status, does = finding.status(at_us), finding.counts.said.does
            if status == "closed":
                continue
            until = does.until_us if isinstance(does, Accepted) and status == "accepted" else msgspec.UNSET
            found.append(
                FindingSeen(
                    model=one.ref.name,
                    manifest=one.ref.manifest,
                    finding=finding.name,
                    severity=finding.raised.severity,
                    step=finding.last.payload,
                    until_us=until,
                )
            )
    return tuple(sorted(found, key=lambda seen: (seen.model, seen.manifest, seen.finding)))


def told(seen: FindingSeen) -> str:
    """One line for whoever signs."""
    state = "open" if isinstance(seen.until_us, msgspec.UnsetType) else f"accepted until {_day(seen.until_us)}"
    return f"{seen.finding} of {seen.model}@{seen.manifest[:12]} ({seen.severity}, {state})"


def _day(at_us: int) -> str:
    return rfc3339(instant(at_us))[:10]
