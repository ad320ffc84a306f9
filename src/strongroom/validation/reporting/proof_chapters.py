"""The sections of a report that stand on signatures and logs: scan, findings, monitors, history, people, proof."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import UnsetType

from strongroom.validation.kinds import KINDS
from strongroom.validation.reporting import battery_blocks, predecessor, report
from strongroom.validation.reporting.blocks import Block, Fact, Facts, Grid, Item, Items, Note
from strongroom.validation.reporting.dossier import Dossier, stands_for
from strongroom.validation.study_terms import WATCHED
from strongroom.vocabulary import instant

LICENCE_WORDS = {
    "metadata": "its metadata",
    "words": "its metadata, in words",
    "house": "the policy",
    "nobody": "nobody",
}
SCANS = {"pass": "passed", "fail": "not passed"}
LOOKED_FOR = (
    "files that may hold code, operators that may not run, secrets, protected attributes, samples that do not read"
)
VERBS = {
    "register-sample": "sample",
    "submit": "submission",
    "validate": "validation",
    "write": "words",
    "approve": "approval",
    "reject": "rejection",
}


def when(at_us: int) -> str:
    """A moment as people write it, to the second."""
    return f"{instant(at_us - at_us % 1_000_000):%Y-%m-%d %H:%M:%S} UTC"


def security(d: Dossier) -> Iterable[Block]:
    """The scan, what it found, the files that it looked at, and the bill of materials."""
    if d.scan is None:
        return
    result = d.scan.result
    held = "in a sandbox without network (Linux namespaces)" if d.scan.isolation != "none" else "without isolation"
    found = _count(len(result.findings), "finding")
    facts = [
        Fact("Scan", f"{SCANS[d.scan.verdict]}, {found}, {when(d.scan.at_us)}, {held}"),
        Fact("Looked for", LOOKED_FOR),
        Fact("Rules (digest)", result.rules_sha256, True),
        Fact("Tools", ", ".join(f"{name} {version}" for name, version in sorted(result.tools.items()))),
        Fact("Author's signature", f"OpenSSF model signature by {d.author}, key {d.author_key[:16]}"),
    ]
    if not isinstance(result.unpacked, UnsetType):
        one = result.unpacked
        what = f"{report.number(one.unpacked_bytes)} bytes of {_count(one.parts, 'compressed part')}"
        facts.append(Fact("Saved model", f"{what} were searched for secrets"))
    if d.bill_sha256 is not None:
        data = _count(len(d.contract.lineage.data), "data set")
        libraries = _count(len(d.contract.lineage.environment), "librar", "y", "ies")
        signed = "" if isinstance(d.scan.bill, UnsetType) else "; signed with the scan"
        facts += [
            Fact("Bill of materials", f"CycloneDX 1.6 (ML-BOM): the model, {data}, {libraries}{signed}"),
            Fact("Bill (digest)", d.bill_sha256, True),
            Fact("To print the bill", f"strongroom show {d.ref.name}@{d.ref.manifest[:16]} --bom", True),
        ]
    yield Facts(tuple(facts))
    if result.findings:
        marks = {"refuse": ("fail", "refused"), "note": ("information", "note")}
        yield Items(
            tuple(
                Item(*marks[one.severity], f"{one.message} ({one.rule})", one.file or "package")
                for one in result.findings
            )
        )
    if not isinstance(result.licences, UnsetType) and result.licences.packages:
        packages = tuple(
            (
                one.package,
                one.wanted or battery_blocks.DASH,
                one.expression or "not known",
                LICENCE_WORDS[one.told_by],
                one.standing,
            )
            for one in result.licences.packages
        )
        caption = "Packages that the model was made with or asks for; judged by the licence rules of the policy."
        heads = ("Package", "Version", "Licence (SPDX)", "Told by", "Policy")
        yield Grid("Licences", caption, heads, (False,) * 5, packages)
    sizes = {one.file: f"{report.number(one.rows)} x {one.columns}" for one in result.samples}
    files = tuple((one.path, one.role, sizes.get(one.path, battery_blocks.DASH), one.sha256) for one in d.scan.files)
    parts = ("Path", "What it is", "Rows x columns", "SHA-256")
    yield Grid("Files", "Every file of the package was looked at.", parts, (False, False, True, False), files)


def limitations(d: Dossier) -> Iterable[Block]:
    """What the battery could not answer, and why."""
    if d.results:
        silent = battery_blocks.not_evaluable(d.results)
        yield silent or Note("Every test of the battery gave an answer.")
    if not isinstance(d.contract.guard, UnsetType):
        yield Note("An input guard watches for rows unlike the reference sample.")


def findings(d: Dossier) -> Iterable[Block]:
    """The register, and what the review says besides."""
    rows = []
    for finding in d.findings:
        raised = finding.raised
        late = ", overdue" if finding.overdue(d.as_of_us) else ""
        rows.append(
            (
                finding.name,
                raised.severity,
                raised.text,
                raised.remediation,
                raised.owner,
                when(raised.due_us)[:10],
                finding.settled_by(d.as_of_us) + late,
            )
        )
    heads = ("Finding", "Severity", "What", "To do", "Owner", "Due", "State")
    if rows:
        yield Grid("Register of findings", "Each step is signed by whoever took it.", heads, (False,) * 7, tuple(rows))
    else:
        yield Note("No finding was entered in the register.")
    if d.inherited:
        yield Grid(
            "Findings of earlier versions",
            "Nobody has closed them, so they hold up this version too where the policy says so. They are settled where "
            "they stand. A version under another name is the same model.",
            ("Version", "Finding", "Severity", "What", "Owner", "State"),
            (False,) * 6,
            tuple(
                (
                    of.manifest[:12] if of.name == d.ref.name else f"{of.name}@{of.manifest[:12]}",
                    one.name,
                    one.raised.severity,
                    one.raised.text,
                    one.raised.owner,
                    one.settled_by(d.as_of_us),
                )
                for of, one in d.inherited
            ),
        )
    said = d.opinion
    lines = [
        one
        for one in (said.findings if said else ())
        if said and not any(stands_for(finding, one, said.person) for finding in d.findings)
    ]
    if lines:
        yield Grid(
            "Findings in the validator's review",
            "Signed with the review; they stand in no register.",
            ("Finding", "Severity", "What", "State"),
            (False,) * 4,
            tuple((one.name, one.severity, one.text, one.status) for one in lines),
        )


def monitoring(d: Dossier) -> Iterable[Block]:
    """What is watched of the live model, against which distribution, and when it is reviewed."""
    rows: list[Fact] = []
    known = KINDS.get(d.contract.kind)
    if d.validation is not None:
        m = d.validation.monitors
        rows += [
            Fact("Watched", f"the score and {len(m.features)} features of every answer, by population stability (PSI)"),
            Fact("Alert", f"PSI above {m.psi_alert} of any of them, from {report.number(m.min_rows)} answers on"),
        ]
        if known and "outcomes" in known.monitors:
            rows.append(Fact("Outcomes", "held against the scores by default rate and AUC, once callers post them"))
        if known and "amounts" in known.monitors:
            rows.append(Fact("Realised amounts", _amounts(d)))
        guard = d.contract.guard
        if not isinstance(guard, UnsetType):
            does = zip(("marked", "decided by a person", "refused"), guard.quantiles, strict=True)
            told = ", ".join(f"{what} beyond {level:.2%} of the reference sample" for what, level in does if level)
            rows.append(Fact("Input guard", f"rows unlike the reference sample are {told}"))
    if d.terms is not None:
        rows += [
            Fact("Next review due", when(d.terms.review_due_us)[:10]),
            Fact("Stages", f"{', '.join(d.terms.stages)}; a canary answers at most {d.terms.max_canary_percent}%"),
        ]
    if rows:
        yield Facts(tuple(rows))
    if d.validation is not None:
        m = d.validation.monitors
        lines = []
        for name, one in (("score", m.score), *((feature.name, feature) for feature in m.features)):
            total = sum(one.counts) + one.missing
            lines.append(
                (name, str(len(one.counts)), report.number(total), f"{100 * one.missing / max(total, 1):.2f}%")
            )
        heads = ("Monitor", "Bins", "Reference rows", "Missing")
        caption = "Distributions of the reference sample that the gateway carries; they are signed with the release."
        yield Grid("Monitors", caption, heads, (False, True, True, True), tuple(lines))


def _amounts(d: Dossier) -> str:
    """How the policy has realised amounts watched, in words."""
    rule = d.policy.watched(d.contract.kind)
    words = f"{', '.join(WATCHED[rule.kind])} by window of {rule.window_days} days, once they are posted"
    ways = {"gauc": "below", "coverage": "away from its promise by more than"}
    asked = [f"{name} is {ways.get(name, 'above')} {limit}" for name, limit in sorted(rule.limits.items())]
    if not asked:
        return f"{words}; the policy has no limits for them"
    return f"{words}; alert where {' or '.join(asked)} beyond chance, from {report.number(rule.min_rows)} on"


def history(d: Dossier) -> Iterable[Block]:
    """Versions of the model, what changed since the one before, and the governance log."""
    if d.versions:
        lines = tuple(
            (
                f"{one.manifest[:16]}{' (this one)' if one.manifest == d.ref.manifest else ''}",
                when(one.submitted_us),
                one.author,
                one.parent[:16] if one.parent else battery_blocks.DASH,
            )
            for one in d.versions
        )
        yield Grid("Versions", "", ("Version", "Submitted", "Author", "Replaces"), (False,) * 4, lines)
    if d.before is not None:
        yield from predecessor.since(d.before, d.contract, d.results)
    rows = tuple((str(e.index), when(e.at_us), VERBS.get(e.verb, e.verb), e.who, e.outcome, e.about) for e in d.events)
    if rows:
        heads = ("Entry", "When", "What", "Who", "Outcome", "About")
        caption = f"From the governance log `{d.origin}`; reading is left out."
        yield Grid("What happened", caption, heads, (True, *[False] * 5), rows)


def privacy(d: Dossier) -> Iterable[Block]:
    """Why each feature is processed, and on which ground."""
    grounds: dict[str, list[str]] = {}
    for feature in d.contract.input.features:
        grounds.setdefault(feature.legal_basis, []).append(feature.name)
    rows = tuple((basis, report.number(len(names)), ", ".join(names)) for basis, names in sorted(grounds.items()))
    caption = "As the contract states them; what each feature is needed for stands in section 4."
    yield Grid("Legal bases", caption, ("Basis", "Features", "Which"), (False, True, False), rows)
    yield Note("Inputs of applicants are encrypted under a key for each; destroying it erases the applicant.")


def independence(d: Dossier) -> Iterable[Block]:
    """Which persons and keys took which part."""
    rows = [("author", d.author, d.author_key[:16], when(d.submitted_us))]
    if d.sample is not None:
        rows.append(("chose the sample", d.sample.person, battery_blocks.DASH, when(d.sample.at_us)))
    if d.opinion is not None:
        rows.append(("validator", d.opinion.person, d.opinion.key[:16], when(d.opinion.at_us)))
    rows += [("approver", one.person, one.key[:16], when(one.at_us)) for one in d.decisions]
    caption = "Author, validator and two approvers are four persons with four keys; the gateway checks it again."
    yield Grid("Who did what", caption, ("Part", "Person", "Key", "When"), (False,) * 4, tuple(rows))


def approvals(d: Dossier) -> Iterable[Block]:
    """Decisions, signed statements, and how to repeat report and figures."""
    if d.decisions:
        rows = tuple((one.person, one.decision, when(one.at_us), one.envelope) for one in d.decisions)
        yield Grid("Decisions", "", ("Approver", "Decision", "When", "Signed statement"), (False,) * 4, rows)
    else:
        yield Note("Nobody has approved this version yet.")
    statements = [*d.evidence, *((("release document", d.terms.release),) if d.terms is not None else ())]
    caption = "Each is signed by whoever answers for it; the digests say which bytes."
    yield Grid("Signed statements", caption, ("Statement", "SHA-256"), (False, False), tuple(statements))
    again = [Fact("This report", d.command, True)]
    if d.results is not None:
        tools = ", ".join(f"{name} {version}" for name, version in sorted(d.results.tools.items()))
        again += [
            Fact("The figures", f"strongroom validate {d.contract.name}@{d.ref.manifest[:16]} --again", True),
            Fact("give these results", d.results_sha256 or "", True),
            Fact("with these tools", tools),
            Fact("under this policy", d.policy_sha256, True),
        ]
    yield Note(
        "How to repeat it: the same signed inputs give the same bytes, of the figures and of this report. Each command "
        "is asked with `--room` and `--home`."
    )
    yield Facts(tuple(again))


def _count(number: int, stem: str, one: str = "", many: str = "s") -> str:
    return f"{report.number(number)} {stem}{one if number == 1 else many}"
