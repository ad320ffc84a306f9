"""The twenty sections of a report, each drawn up from the dossier; one function a section."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from msgspec import UnsetType

from strongroom.registry.contract import Feature
from strongroom.validation import battery_blocks, report
from strongroom.validation.blocks import Block, Fact, Facts, Grid, Item, Items, Note, Report, ReportSection, Words
from strongroom.validation.dossier import Dossier, gaps, tier_gap
from strongroom.validation.human_text import Signed
from strongroom.validation.kinds import KINDS
from strongroom.validation.scan import ScanPredicate
from strongroom.validation.sections import TITLES, SectionKey
from strongroom.vocabulary import instant, rfc3339

HEADLINES: Mapping[str, tuple[str, str]] = {
    "open": ("Not validated yet", "No battery has passed the gates of the policy for this version."),
    **report.BANNERS,
}


def draw_up(dossier: Dossier) -> Report:
    """The report: all twenty sections, whatever is in them, and what the policy misses in each."""
    results, contract = dossier.results, dossier.contract
    machine = battery_blocks.blocks_of(results) if results else {}
    words: dict[SectionKey, list[Words]] = {}
    for text in dossier.texts:
        words.setdefault(text.said.section, []).append(_words(text))
    blocks: dict[SectionKey, tuple[Block, ...]] = {
        key: (*words.get(key, ()), *CHAPTERS.get(key, _nothing)(dossier), *machine.get(key, ())) for key in TITLES
    }
    filled = frozenset(key for key, found in blocks.items() if found)
    missing: dict[SectionKey, list[str]] = {}
    for gap in gaps(contract.name, dossier.author, dossier.demands, dossier.texts, filled):
        missing.setdefault(gap.section, []).append(gap.message)
    weak = tier_gap(dossier.policy, contract, dossier.author, dossier.texts)
    if weak is not None:
        missing.setdefault("identity", []).append(weak)
    headline, summary = HEADLINES[results.verdict if results else "open"]
    counts = {name: sum(test.verdict == name for test in results.tests) for name in report.VERDICTS} if results else {}
    return Report(
        title=contract.title,
        kicker=f"Model report · {_kind(dossier)} · tier {contract.tier} · policy {dossier.policy.version}",
        model=contract.name,
        manifest=dossier.ref.manifest,
        owner=contract.owner,
        state=results.verdict if results else "open",
        headline=headline,
        summary=summary,
        tally=tuple((report.number(count), report.VERDICTS[name]) for name, count in counts.items() if count),
        as_of=_when(dossier.as_of_us),
        sections=tuple(
            ReportSection(number, key, title, blocks[key], tuple(missing.get(key, ())))
            for number, (key, title) in enumerate(TITLES.items(), 1)
        ),
    )


def lacking(dossier: Dossier) -> tuple[str, ...]:
    """What the policy demands of the report and does not find, in the order of the sections."""
    return tuple(message for section in draw_up(dossier).sections for message in section.lacks)


def _identity(d: Dossier) -> Iterable[Block]:
    c = d.contract
    rows = [
        Fact("Model", c.name, True),
        Fact("Version (manifest)", d.ref.manifest, True),
        Fact("Kind", _kind(d)),
        Fact("Tier", str(c.tier)),
        Fact("Owner", c.owner),
        Fact("Product and process", f"{c.product}, {c.process}"),
        Fact("Author", f"{d.author}, submitted {_when(d.submitted_us)}"),
    ]
    for text in d.texts:
        if isinstance(text.said.materiality, str):
            rated = f"materiality {text.said.materiality}, complexity {text.said.complexity}"
            rows.append(Fact("Rated", f"{rated}, by {text.said.person}"))
    if d.results and d.results_sha256:
        rows += [
            Fact("Artifact", d.results.artifact_sha256, True),
            Fact("Contract", d.results.contract_sha256, True),
            Fact("Results", d.results_sha256, True),
        ]
    signer = f"signed by {d.policy_signer} and the custodians" if d.policy_signer else "signed by the custodians"
    rows += [Fact("Policy", f"{d.policy.version}, {signer}"), Fact("Policy's digest", d.policy_sha256, True)]
    yield Facts(tuple(rows))


def _use(d: Dossier) -> Iterable[Block]:
    c = d.contract
    yield Facts(
        (
            Fact("Purposes", ", ".join(c.purposes)),
            Fact("Jurisdictions", ", ".join(c.jurisdictions)),
            Fact("Environments", ", ".join(c.environments)),
            Fact("Output", f"{c.output.name} ({c.output.unit}), {c.output.minimum} to {c.output.maximum}"),
        )
    )
    yield Note("The gateway refuses every other purpose, jurisdiction and environment.")


def _opinion(d: Dossier) -> Iterable[Block]:
    if d.opinion is not None:
        again = "ran the battery again and got the same bytes" if d.opinion.rerun else "did not run the battery again"
        yield Facts(
            (
                Fact("Opinion", d.opinion.opinion),
                Fact("Validator", f"{d.opinion.person}, {_when(d.opinion.at_us)}; {again}"),
            )
        )
    conditions = [(one.person, text) for one in d.decisions for text in one.conditions]
    if conditions:
        yield Grid("Conditions of the approvers", "", ("Approver", "Condition"), (False, False), tuple(conditions))
    if d.results:
        points = battery_blocks.attention(d.results)
        if points:
            yield points


def _data(d: Dossier) -> Iterable[Block]:
    if d.sample is not None:
        source = f"{d.sample.source} (chosen by {d.sample.person}, {report.number(d.sample.rows)} rows)"
        yield Facts((Fact("Validation sample", source), Fact("Sample (manifest)", d.sample.manifest, True)))
    rows = tuple((f.name, f.type, f.unit, _range(f), f.missing, f.purpose) for f in d.contract.input.features)
    heads = ("Feature", "Type", "Unit", "Range", "Missing", "Needed for")
    yield Grid("Features", "The gateway refuses rows outside this contract.", heads, (False,) * 6, rows)


def _method(d: Dossier) -> Iterable[Block]:
    rows = [Fact("Runtime", d.contract.engine)]
    model = d.scan.result.model if d.scan else None
    booster = d.scan.result.booster if d.scan else None
    if model is not None:
        operators = ", ".join(f"{name} {count}" for name, count in sorted(model.operators.items()))
        rows.append(Fact("Model file", f"{model.nodes} node{'s' if model.nodes != 1 else ''}: {operators}"))
    if booster is not None and not isinstance(booster, UnsetType):
        trees = f"{report.number(booster.trees)} trees of depth {booster.depth} at most, {booster.objective}"
        rows.append(Fact("Model file", trees))
    rows.append(Fact("Features", report.number(len(d.contract.input.features))))
    if d.contract.description:
        rows.append(Fact("Author's description", d.contract.description))
    yield Facts(tuple(rows))


def _development(d: Dossier) -> Iterable[Block]:
    line = d.contract.lineage
    yield Facts(
        (
            Fact("Training code", line.code_commit, True),
            Fact("Replaces", line.parent or "nothing: the first version", True),
            *_hardened(d),
            *(Fact(f"Data {name}", digest, True) for name, digest in sorted(line.data.items())),
            *(Fact(f"Parameter {name}", value) for name, value in sorted(line.parameters.items())),
            *(Fact(f"Package {name}", value) for name, value in sorted(line.environment.items())),
        )
    )


def _hardened(d: Dossier) -> Iterable[Fact]:
    told = d.contract.hardening
    if isinstance(told, UnsetType):
        return
    choices = "".join(f", {name} {text}" for name, text in sorted(told.choices.items()))
    yield Fact("Hardened from package", told.package, True)
    yield Fact("Hardened by", ", ".join(told.measures) + choices)


def _fairness(d: Dossier) -> Iterable[Block]:
    c = d.contract
    kept = ", ".join(c.protected) if c.protected else "none was given"
    rows = [Fact("Protected attributes", f"{kept}; no features, for tests only")]
    if not isinstance(c.explanation, UnsetType):
        e = c.explanation
        rows += [
            Fact("Reason codes", f"{e.method} Shapley values, version {e.v}, at most {e.max_codes} codes an answer"),
            Fact("Code map", f"{e.code_map}: {', '.join(group.code for group in e.groups)}"),
            Fact("Additivity gap", f"no answer above {e.tolerance}"),
        ]
    yield Facts(tuple(rows))


def _oversight(d: Dossier) -> Iterable[Block]:
    rows = tuple((cut.decision, f"below {cut.below}" if cut.below else "all above") for cut in d.contract.cut_offs)
    yield Grid("Decisions", "What the gateway decides by itself.", ("Decision", "Score"), (False, False), rows)
    if d.terms is not None:
        t = d.terms
        yield Facts(
            (
                Fact("When it fails", t.on_failure or "refused, and told so"),
                Fact("Falls back to", t.fallback or "nothing", t.fallback is not None),
                Fact("Machines may", "; ".join(t.rules) or "move nothing by themselves"),
            )
        )
    yield Note("One named person halts the model at once; two lift the halt.")


def _security(d: Dossier) -> Iterable[Block]:
    if d.scan is None:
        return
    result = d.scan.result
    yield Facts(
        (
            Fact("Scan", f"{d.scan.verdict}, {_when(d.scan.at_us)}, isolation {d.scan.isolation}"),
            Fact("Rules", result.rules_sha256, True),
            Fact("Tools", ", ".join(f"{name} {version}" for name, version in sorted(result.tools.items()))),
            Fact("Author's signature", f"OpenSSF model signature by {d.author}, key {d.author_key[:16]}"),
            *_supply(d.scan),
        )
    )
    if result.findings:
        marks = {"refuse": ("fail", "refused"), "note": ("information", "note")}
        yield Items(
            tuple(
                Item(*marks[one.severity], f"{one.file or 'package'}: {one.message} ({one.rule})")
                for one in result.findings
            )
        )
    files = tuple((one.path, one.role, one.sha256) for one in d.scan.files)
    if not isinstance(result.licences, UnsetType) and result.licences.packages:
        packages = tuple(
            (one.package, one.wanted or DASH, one.expression or "not known", LICENCE_WORDS[one.told_by], one.standing)
            for one in result.licences.packages
        )
        caption = "Packages that the model was made with or asks for; judged by the licence rules of the policy."
        heads = ("Package", "Version", "Licence (SPDX)", "Told by", "Policy")
        yield Grid("Licences", caption, heads, (False,) * 5, packages)
    yield Grid("Files", "Every file of the package was looked at.", ("Path", "Role", "SHA-256"), (False,) * 3, files)


LICENCE_WORDS: Mapping[str, str] = {
    "metadata": "its metadata",
    "words": "its metadata, in words",
    "house": "the policy",
    "nobody": "nobody",
}


def _supply(scan: ScanPredicate) -> Iterable[Fact]:
    if not isinstance(scan.bill, UnsetType):
        yield Fact("Bill of materials", scan.bill, True)
    if not isinstance(scan.result.unpacked, UnsetType):
        one = scan.result.unpacked
        what = f"{report.number(one.unpacked_bytes)} bytes of {report.number(one.parts)} compressed parts"
        yield Fact("Saved model", f"{what} were searched for secrets")


def _limitations(d: Dossier) -> Iterable[Block]:
    if d.results:
        points = battery_blocks.not_evaluable(d.results)
        if points:
            yield Note("What could not be evaluated; a gate without an answer fails the battery.")
            yield points
        else:
            yield Note("Every test of the battery gave an answer.")
    if not isinstance(d.contract.guard, UnsetType):
        yield Note("An input guard watches for rows unlike the reference sample.")


def _findings(d: Dossier) -> Iterable[Block]:
    rows = []
    for finding in d.findings:
        raised = finding.raised
        late = ", overdue" if finding.overdue(d.as_of_us) else ""
        rows.append(
            (
                finding.name,
                raised.severity,
                f"{raised.text} To do: {raised.remediation}",
                raised.owner,
                _when(raised.due_us)[:10],
                finding.settled_by(d.as_of_us) + late,
            )
        )
    heads = ("Finding", "Severity", "What", "Owner", "Due", "State")
    if rows:
        yield Grid("Register", "Each step is signed by who took it.", heads, (False,) * 6, tuple(rows))
    else:
        yield Note("No finding was entered in the register.")
    known = {finding.name for finding in d.findings}
    lines = [one for one in (d.opinion.findings if d.opinion else ()) if one.name not in known]
    if lines:
        yield Grid(
            "In the validator's review",
            "",
            ("Finding", "Severity", "What", "State"),
            (False,) * 4,
            tuple((one.name, one.severity, one.text, one.status) for one in lines),
        )


def _monitoring(d: Dossier) -> Iterable[Block]:
    rows = []
    if d.validation is not None:
        m = d.validation.monitors
        rows += [
            Fact("Watched", f"the score and {report.number(len(m.features))} features, population stability (PSI)"),
            Fact("Alert", f"PSI above {m.psi_alert}, from {report.number(m.min_rows)} rows on"),
        ]
    if d.terms is not None:
        rows += [
            Fact("Next review due", _when(d.terms.review_due_us)[:10]),
            Fact("Stages", f"{', '.join(d.terms.stages)}; canary up to {d.terms.max_canary_percent} %"),
        ]
    if rows:
        yield Facts(tuple(rows))


def _history(d: Dossier) -> Iterable[Block]:
    rows = tuple((str(e.index), _when(e.at_us), e.verb, e.who, e.outcome, e.about) for e in d.events)
    if rows:
        heads = ("Entry", "When", "What", "Who", "Outcome", "About")
        caption = f"Entries of the governance log {d.origin} about the model; reading is left out."
        yield Grid("Log", caption, heads, (True, *[False] * 5), rows)


def _privacy(d: Dossier) -> Iterable[Block]:
    grounds: dict[str, int] = {}
    for feature in d.contract.input.features:
        grounds[feature.legal_basis] = grounds.get(feature.legal_basis, 0) + 1
    rows = tuple((basis, report.number(count)) for basis, count in sorted(grounds.items()))
    yield Grid(
        "Legal bases", "As the contract states them, feature by feature.", ("Basis", "Features"), (False, True), rows
    )
    yield Note("Inputs of applicants are encrypted under a key for each; destroying it erases the applicant.")


def _independence(d: Dossier) -> Iterable[Block]:
    rows = [("author", d.author, d.author_key[:16], _when(d.submitted_us))]
    if d.sample is not None:
        rows.append(("chose the sample", d.sample.person, DASH, _when(d.sample.at_us)))
    if d.opinion is not None:
        rows.append(("validator", d.opinion.person, d.opinion.key[:16], _when(d.opinion.at_us)))
    rows += [("approver", one.person, one.key[:16], _when(one.at_us)) for one in d.decisions]
    caption = "Author, validator and two approvers are four persons with four keys; the gateway checks it again."
    yield Grid("Who did what", caption, ("Part", "Person", "Key", "When"), (False,) * 4, tuple(rows))


def _approvals(d: Dossier) -> Iterable[Block]:
    if d.decisions:
        rows = tuple((one.person, one.decision, _when(one.at_us), one.envelope) for one in d.decisions)
        yield Grid("Decisions", "", ("Approver", "Decision", "When", "Signed statement"), (False,) * 4, rows)
    else:
        yield Note("Nobody has approved this version yet.")
    facts = [Fact(kind, digest, True) for kind, digest in d.evidence]
    if d.terms is not None:
        facts.append(Fact("release document", d.terms.release, True))
    yield Facts(tuple(facts))
    again = [Fact("This report", d.command, True)]
    if d.results is not None:
        tools = ", ".join(f"{name} {version}" for name, version in sorted(d.results.tools.items()))
        again += [
            Fact("The results", f"strongroom validate {d.contract.name}@{d.ref.manifest[:16]}", True),
            Fact("Tools", tools),
            Fact("Results to compare", d.results_sha256 or "", True),
        ]
    yield Note("How to repeat it: the same signed inputs give the same bytes, of the results and of this report.")
    yield Facts(tuple(again))


def _nothing(_: Dossier) -> Iterable[Block]:
    return ()


CHAPTERS: Mapping[SectionKey, Callable[[Dossier], Iterable[Block]]] = {
    "identity": _identity,
    "intended-use": _use,
    "opinion": _opinion,
    "data": _data,
    "method": _method,
    "development": _development,
    "fairness": _fairness,
    "oversight": _oversight,
    "security": _security,
    "limitations": _limitations,
    "findings": _findings,
    "monitoring": _monitoring,
    "history": _history,
    "privacy": _privacy,
    "independence": _independence,
    "approvals": _approvals,
}
"""What the records say of each section; sections that are not here have a machine's tests and people's words alone."""

DASH = battery_blocks.DASH


def _words(text: Signed) -> Words:
    said = text.said
    return Words(f"{said.person}, {said.role}", _when(said.at_us), text.envelope, said.paragraphs)


def _kind(d: Dossier) -> str:
    known = KINDS.get(d.contract.kind)
    return known.contract.title if known else d.contract.kind


def _range(feature: Feature) -> str:
    if feature.allowed is not None:
        return "one of " + ", ".join(map(str, feature.allowed))
    return f"{feature.minimum or 'no bound'} to {feature.maximum or 'no bound'}"


def _when(at_us: int) -> str:
    return rfc3339(instant(at_us - at_us % 1_000_000))
