"""On a person's side: words for a model's report, findings, and the report itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from strongroom.approval import papers
from strongroom.approval.dossiers import gather, policy_bytes, review_findings
from strongroom.approval.inheritance import family
from strongroom.approval.papers import findings_of, sign_section, sign_step
from strongroom.errors import ConflictError, InvalidInputError, NotFoundError, TamperedError
from strongroom.office.acts import Act, Resource
from strongroom.office.entries import Entry
from strongroom.registry.versions import Version
from strongroom.validation.findings import Accepted, Closed, Finding, FindingStep, Raised, Severity, find
from strongroom.validation.human_text import SectionText
from strongroom.validation.reporting.dossier import Dossier, Event
from strongroom.validation.results import ValidationPredicate
from strongroom.validation.sections import SectionKey
from strongroom.vocabulary import Digest, ModelRef, PersonId, digest_of, instant, micros, parse_digest
from strongroom.wiring.judging import battery_inputs, read_log, run_again, validation_of, version_of
from strongroom.wiring.person import AtDesk

WORDS_LIMIT = 160
"""Characters of a reason that an entry shows."""
CHANGES = frozenset(
    [
        "submit",
        "register-sample",
        "scan",
        "validate",
        "replicate",
        "write",
        "finding",
        "review",
        "approve",
        "reject",
        "release",
        "rollback",
        "halt",
        "lift",
        "alert",
        "unseal",
    ]
)
"""Verbs whose entries stand in a report's history; reading is left out, or the next report would differ by itself."""


def write(
    desk: AtDesk,
    ref: ModelRef,
    section: SectionKey,
    role: str,
    text: str,
    *,
    materiality: str | None = None,
    complexity: str | None = None,
) -> Version:
    """Sign words for a section of the report and hand them in.

    Raises:
        InvalidInputError: no such section or role, or no text.
        NotPermittedError, EvidenceError, ConflictError: see `approval.papers.write`.
    """
    room, at = desk.room, desk.room.clock()
    rated = {name: value for name, value in (("materiality", materiality), ("complexity", complexity)) if value}
    said = SectionText(v=1, section=section, role=role, text=text, person=desk.person, at_us=micros(at), **rated)
    envelope = sign_section(ref, said, desk.home)
    who = desk.ask("write", "Model", ref.name, envelope)
    return papers.write(room.office, who, at, ref=ref, envelope=envelope, means=room.means())


def raise_finding(
    desk: AtDesk,
    ref: ModelRef,
    *,
    severity: Severity,
    text: str,
    owner: str,
    days: int,
    remediation: str,
    name: str | None = None,
) -> Finding:
    """Enter a finding; without a name it gets the next free one.

    Raises:
        NotFoundError: the owner is not in the register.
        ConflictError: the name is taken.
    """
    at = desk.room.clock()
    desk.room.register.person(owner)
    does = Raised(
        severity=severity,
        text=text,
        owner=PersonId(owner),
        due_us=micros(at + timedelta(days=days)),
        remediation=remediation,
    )
    version = version_of(desk, ref)
    taken = {finding.name for finding in _findings(desk, ref)} | review_findings(version, desk.room.means(), at)
    free = next(f"f-{number}" for number in range(1, len(taken) + 2) if f"f-{number}" not in taken)
    return _say(desk, ref, name or free, does, at)


def accept_finding(desk: AtDesk, ref: ModelRef, name: str, *, days: int, reason: str) -> Finding:
    """Carry the risk of a finding until a day; after it the finding is open again by itself."""
    at = desk.room.clock()
    return _say(desk, ref, name, Accepted(until_us=micros(at + timedelta(days=days)), reason=reason), at)


def close_finding(desk: AtDesk, ref: ModelRef, name: str, *, file: str, content: bytes, reason: str) -> Finding:
    """End a finding with the file that shows that it is mended."""
    does = Closed(evidence=digest_of(content), name=file, reason=reason)
    return _say(desk, ref, name, does, desk.room.clock(), content)


def list_findings(desk: AtDesk, ref: ModelRef) -> tuple[tuple[Finding, ...], int]:
    """The findings of a version and the moment by which their state is judged, on the record.

    Raises:
        TamperedError: the books lost something that the governance log knows of, or it is not the log that this
            person saw before.
    """
    room, at = desk.room, desk.room.clock()
    who = desk.ask("show", "Model", ref.name)
    with room.office.open(Act(who, "show", Resource("Model", ref.name), at)) as books:
        version = books.versions.get(ref)
        books.note(manifest=ref.manifest)
        family(books, room.means())  # nothing is lost that the log knows of
    read_log(desk)
    return findings_of(version, room.vault.blobs, room.means().register), micros(at)


def dossier_of(desk: AtDesk, ref: ModelRef, as_of: datetime | None = None) -> Dossier:
    """What the report of a version is made of, verified, on the record.

    Args:
        desk: of anybody inside.
        ref: the version.
        as_of: the moment that it speaks of; now when None. What was signed later is left out, so the
            same moment gives the same report.

    Raises:
        InvalidInputError: a moment that has not come.
        TamperedError, EvidenceError: something signed does not hold.
    """
    room, now = desk.room, desk.room.clock()
    moment = as_of or now
    if moment > now:
        raise InvalidInputError("a report speaks of a moment that has come", field="as_of", rule="past")
    who, means = desk.ask("show", "Model", ref.name), room.means()
    with room.office.open(Act(who, "show", Resource("Model", ref.name), now)) as books:
        version = books.versions.get(ref)
        versions = books.versions.of_model(ref.name)
        kin = family(books, means).of(ref)
        come = {one.ref for one in map(books.versions.get, (one.ref for one in kin)) if one.submitted_at <= moment}
        books.note(manifest=ref.manifest, as_of_us=micros(moment))
    policy = means.validation
    entries = _entries(desk, version)
    failed, judged_by = _failed(entries, moment)
    if "validation" in version.evidence:
        passed: ValidationPredicate = validation_of(desk, version)
        judged_by = passed.policy_sha256 if passed.at_us <= micros(moment) else judged_by
    if judged_by is not None:
        try:
            policy = policy_bytes(judged_by, means)
        except NotFoundError:
            policy = room.policy_published(judged_by)
    return gather(
        version,
        means,
        moment,
        policy=policy,
        policy_signer=room.policy_signer(policy),
        events=_events(entries),
        origin=room.settings.governance_origin,
        command=f"strongroom report {ref.name}@{ref.manifest[:16]} --as-of {instant(micros(moment)).isoformat()} "
        "--html report.html --pdf report.pdf",
        failed=failed,
        versions=versions,
        kin=[one for one in kin if one.ref in come],
        capital=means.capital,
    )


def lost_papers(entries: Iterable[Entry], versions: Sequence[Version]) -> Iterator[tuple[Version, str]]:
    """What the log knows of and the room's books no longer hold: words, findings, and training done again.

    Args:
        entries: of the governance log.
        versions: of the registry.

    Yields:
        The version, and the lost statement in words.
    """
    held = {(str(one.ref.name), str(one.ref.manifest)): one for one in versions}
    for entry in entries:
        if entry.verb not in ("write", "finding", "replicate") or entry.outcome != "done":
            continue
        version = held.get((entry.on.id, str(entry.facts.get("manifest", ""))))
        statement = str(entry.facts.get("statement", ""))
        if version is not None and statement not in {paper.statement for paper in version.papers}:
            what = next((entry.facts[key] for key in ("finding", "section", "outcome") if key in entry.facts), "")
            signed = f"`{entry.who}` signed statement {statement[:12]} (`{what}`)"
            yield version, f"{signed}, and the books no longer have it"


def rerun(desk: AtDesk, ref: ModelRef, progress: Callable[[str], None] | None = None) -> tuple[Digest, Digest]:
    """Run the battery of a validated version again, under the policy that judged it; nothing changes.

    Args:
        desk: of whoever asks.
        ref: the version.
        progress: is given what the battery says of its progress, where the desk's sandbox is our own.

    Returns:
        digests of the results that were signed, and of those that came now.

    Raises:
        ConflictError: it was never validated, or has no sample.
        NotFoundError: no such version.
        TamperedError, EvidenceError, SandboxError, UnavailableError: as when it was validated.
    """
    room = desk.room
    who = desk.ask("show", "Model", ref.name)
    with room.office.open(Act(who, "show", Resource("Model", ref.name), room.clock())) as books:
        version = books.versions.get(ref)
        books.note(manifest=ref.manifest)
    dossier = dossier_of(desk, ref)
    if dossier.results_sha256 is None or version.sample is None:
        raise ConflictError(f"version {ref} was never validated; ask for `strongroom validate` without `--again`")
    try:
        policy = policy_bytes(dossier.policy_sha256, room.means())
    except NotFoundError:
        policy = room.policy_published(dossier.policy_sha256)
    inputs = battery_inputs(desk, version, policy)
    with room.apart():
        results = run_again(desk, version, inputs, progress)
    return dossier.results_sha256, digest_of(results)


def _entries(desk: AtDesk, version: Version) -> list[tuple[int, Entry]]:
    """Entries of the governance log that changed something about the version, or about its model as a whole."""
    found = []
    for logged in desk.room.log.entries():
        entry = logged.document
        for _, lost in lost_papers([entry], [version]):
            raise TamperedError(f"entry {logged.ref.index} of the governance log: {lost}; run `strongroom fsck`")
        if entry.on.kind != "Model" or entry.on.id != version.ref.name or entry.verb not in CHANGES:
            continue
        if str(entry.facts.get("manifest", "")) in ("", version.ref.manifest):
            found.append((logged.ref.index, entry))
    return found


def _failed(entries: Sequence[tuple[int, Entry]], moment: datetime) -> tuple[Digest | None, Digest | None]:
    """Statement and policy of the latest validation up to a moment that was not passed; the log alone keeps them."""
    for _, entry in reversed(entries):
        facts = entry.facts
        if entry.verb == "validate" and "verdict" in facts and entry.at_us <= micros(moment):
            if facts["verdict"] == "pass":
                break
            return parse_digest(str(facts["evidence"])), parse_digest(str(facts["policy"]))
    return None, None


def _events(entries: Sequence[tuple[int, Entry]]) -> list[Event]:
    found: list[Event] = []
    asked: set[tuple[str, str]] = set()
    for index, entry in entries:
        request = str(entry.facts.get("request", ""))
        # what moves the case stands in an entry of its own, under the request that asked for both
        if request and "case" in entry.facts and (entry.verb, request) in asked:
            continue
        asked.add((entry.verb, request))
        words = entry.reason or ", ".join(
            str(entry.facts[name]) for name in ("section", "finding", "step", "verdict", "phase", "reason")
            if name in entry.facts
        )  # fmt: skip
        # what a refusal told the person to do next is no history
        told = words.split("; ")[0] if entry.outcome == "refused" else words
        found.append(Event(index, entry.verb, entry.who, entry.at_us, entry.outcome, _short(told)))
    return found


def finding_names(desk: AtDesk, ref: ModelRef) -> frozenset[str]:
    """Names of findings that stand in the register of a version."""
    return frozenset(finding.name for finding in _findings(desk, ref))


def _short(words: str) -> str:
    """The beginning of a long reason; without backticks, of which a cut could leave one alone."""
    plain = words.replace("`", "")
    return plain if len(plain) <= WORDS_LIMIT else f"{plain[: WORDS_LIMIT - 1].rstrip()}…"


def _findings(desk: AtDesk, ref: ModelRef) -> tuple[Finding, ...]:
    return findings_of(version_of(desk, ref), desk.room.vault.blobs, desk.room.means().register)


def _say(
    desk: AtDesk,
    ref: ModelRef,
    name: str,
    does: Raised | Accepted | Closed,
    at: datetime,
    evidence: bytes | None = None,
) -> Finding:
    known = _findings(desk, ref)
    previous = None if isinstance(does, Raised) else find(known, name).last.payload
    step = FindingStep(v=1, finding=name, does=does, previous=previous, person=desk.person, at_us=micros(at))
    envelope = sign_step(ref, step, desk.home)
    who = desk.ask("finding", "Model", ref.name, envelope)
    room = desk.room
    said = papers.say_of_finding(
        room.office, who, at, ref=ref, envelope=envelope, evidence=evidence, means=room.means()
    )
    if not any(digest_of(envelope) in one.steps for one in read_log(desk).versions if one.ref == ref):
        raise TamperedError(f"the governance log does not name what was just said of finding `{name}`; call security")
    return said
