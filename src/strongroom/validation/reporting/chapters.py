"""The twenty sections of a report, each drawn up from the dossier; one function a section."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import UnsetType

from strongroom.registry.contract import CutOff, Feature, ModelContract
from strongroom.validation.human_text import Signed
from strongroom.validation.kinds import KINDS
from strongroom.validation.reporting import battery_blocks, proof_chapters, report
from strongroom.validation.reporting.blocks import Block, Fact, Facts, Grid, Note, Report, ReportSection, Words
from strongroom.validation.reporting.dossier import Dossier, gaps, tier_gap
from strongroom.validation.reporting.glance import at_a_glance
from strongroom.validation.reporting.proof_chapters import when
from strongroom.validation.reporting.sample_chapter import proofs
from strongroom.validation.reporting.training_chapter import replication, replication_gap
from strongroom.validation.sections import TITLES, SectionKey

PARAMETERS = {
    "lgd": "LGD of exposures that are not in default",
    "elbe": "best estimate of the expected loss of exposures in default (ELBE)",
    "lgd-in-default": "LGD of exposures in default",
    "ccf": "credit conversion factor (CCF)",
}
MISSING = {"refuse": "refused", "nan": "allowed"}
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
        key: (
            *words.get(key, ()),
            *CHAPTERS.get(key, _nothing)(dossier),
            *machine.get(key, ()),
            *LAST.get(key, _nothing)(dossier),
        )
        for key in TITLES
    }
    filled = frozenset(key for key, found in blocks.items() if found)
    missing: dict[SectionKey, list[str]] = {}
    for gap in gaps(dossier.ref, dossier.author, dossier.battery.demanded, dossier.texts, filled):
        missing.setdefault(gap.section, []).append(gap.message)
    weak = tier_gap(dossier.ref, dossier.policy, contract.tier, dossier.author, dossier.texts)
    if weak is not None:
        missing.setdefault("identity", []).append(weak)
    undone = replication_gap(dossier.ref, contract, dossier.battery.replication, dossier.replication)
    if undone is not None:
        missing.setdefault("development", []).append(undone)
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
        glance=tuple(at_a_glance(dossier, [key for key in TITLES if key in missing])),
        as_of=when(dossier.as_of_us),
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
        Fact("Author", f"{d.author}, submitted {when(d.submitted_us)}"),
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
            *_outcome(c),
        )
    )
    yield Note("The gateway refuses every other purpose, jurisdiction and environment.")


def _outcome(c: ModelContract) -> Iterable[Fact]:
    if isinstance(c.outcome, UnsetType):
        yield Fact("Outcome", "not defined: the contract does not say what counts as the event, and within which time")
        return
    yield Fact("Outcome", f"{c.outcome.meaning}; {c.outcome.window}")
    if isinstance(c.outcome.parameter, str):
        yield Fact("Regulatory parameter", PARAMETERS[c.outcome.parameter])
    if c.downturn_add_on:
        yield Fact("Downturn", f"the model's output and {c.downturn_add_on:g} on top")


def _opinion(d: Dossier) -> Iterable[Block]:
    if d.opinion is not None:
        again = "ran the battery again and got the same bytes" if d.opinion.rerun else "did not run the battery again"
        yield Facts(
            (
                Fact("Opinion", d.opinion.opinion),
                Fact("Validator", f"{d.opinion.person}, {when(d.opinion.at_us)}; {again}"),
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
    yield from proofs(d)


def _features(d: Dossier) -> Iterable[Block]:
    rows = tuple((f.name, f.type, f.unit, _range(f), MISSING[f.missing], f.purpose) for f in d.contract.input.features)
    heads = ("Feature", "Type", "Unit", "Range", "Missing", "Needed for")
    yield Grid("Features", "The gateway refuses rows outside this contract.", heads, (False,) * 6, rows)


def _method(d: Dossier) -> Iterable[Block]:
    rows = [Fact("Runtime", d.contract.engine)]
    model = d.scan.result.model if d.scan else None
    booster = d.scan.result.booster if d.scan else None
    if model is not None:
        operators = ", ".join(
            f"{name.removeprefix('ai.onnx.ml.').removeprefix('ai.onnx.')}{f' ({count} times)' if count > 1 else ''}"
            for name, count in sorted(model.operators.items())
        )
        rows.append(
            Fact("Model file", f"ONNX graph of {model.nodes} node{'s' if model.nodes != 1 else ''}: {operators}")
        )
    if booster is not None and not isinstance(booster, UnsetType):
        trees = f"XGBoost, {report.number(booster.trees)} trees of depth {booster.depth} at most, {booster.objective}"
        rows.append(Fact("Model file", trees))
    rows.append(Fact("Features", report.number(len(d.contract.input.features))))
    rows += _declared(d.contract)
    if d.contract.description:
        rows.append(Fact("Author's description", d.contract.description))
    yield Facts(tuple(rows))


def _development(d: Dossier) -> Iterable[Block]:
    line = d.contract.lineage
    packages = ", ".join(f"{name} {value}" for name, value in sorted(line.environment.items()))
    converted = () if isinstance(d.contract.source, UnsetType) else (Fact("Converted from", d.contract.source.format),)
    yield Facts(
        (
            Fact("Training code", line.code_commit, line.code_commit != "unversioned"),
            Fact("Replaces", line.parent or "nothing: the first version", line.parent is not None),
            *converted,
            *_hardened(d),
            *(Fact(f"Data: {name}", digest, True) for name, digest in sorted(line.data.items())),
            *((Fact("Packages", packages),) if packages else ()),
        )
    )
    if line.parameters:
        rows = tuple(sorted(line.parameters.items()))
        yield Grid("Parameters of the training", "", ("Parameter", "Value"), (False, False), rows)
    yield from replication(d)


def _hardened(d: Dossier) -> Iterable[Fact]:
    told = d.contract.hardening
    if isinstance(told, UnsetType):
        return
    choices = "".join(f", {name} {text}" for name, text in sorted(told.choices.items()))
    yield Fact("Hardened from package", told.package, True)
    yield Fact("Hardened by", ", ".join(told.measures) + choices)


def _fairness(d: Dossier) -> Iterable[Block]:
    c = d.contract
    kept = (
        f"{', '.join(c.protected)}; for tests only, the model never sees them"
        if c.protected
        else "none in the package, so nothing is known of groups"
    )
    rows = [Fact("Protected attributes", kept)]
    if not isinstance(c.explanation, UnsetType):
        e = c.explanation
        rows += [
            Fact("Reason codes", f"{e.method} Shapley values, version {e.v}, at most {e.max_codes} codes an answer"),
            Fact("Code map", f"{e.code_map}: {', '.join(group.code for group in e.groups)}"),
            Fact("Additivity gap", f"no answer above {e.tolerance}"),
        ]
    yield Facts(tuple(rows))


def _oversight(d: Dossier) -> Iterable[Block]:
    if d.contract.cut_offs:
        heads = ("Decision", d.contract.output.name)
        rows = tuple(_decisions(d.contract.cut_offs))
        yield Grid("Decisions", "What the gateway decides by itself.", heads, (False, False), rows)
    else:
        yield Note("The model estimates; nothing is decided by it alone.")
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


def _decisions(cut_offs: Sequence[CutOff]) -> Iterable[tuple[str, str]]:
    low = None
    for cut in cut_offs:
        if cut.below is None:
            yield cut.decision, "all" if low is None else f"{low} and above"
        else:
            yield cut.decision, f"below {cut.below}" if low is None else f"from {low} to below {cut.below}"
        low = cut.below


def _declared(c: ModelContract) -> Iterable[Fact]:
    """What the author declared of the model's shape, which the battery proves or attacks."""
    if isinstance(c.robustness, UnsetType):
        return
    told = c.robustness.monotone
    if told:
        yield Fact("Declared monotone", ", ".join(f"{name} ({way})" for name, way in told.items()))


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
    "security": proof_chapters.security,
    "limitations": proof_chapters.limitations,
    "findings": proof_chapters.findings,
    "monitoring": proof_chapters.monitoring,
    "history": proof_chapters.history,
    "privacy": proof_chapters.privacy,
    "independence": proof_chapters.independence,
    "approvals": proof_chapters.approvals,
    "capital": lambda d: d.capital,
}
"""What the records say of each section; sections that are not here have a machine's tests and people's words alone."""

LAST: Mapping[SectionKey, Callable[[Dossier], Iterable[Block]]] = {"data": _features}
"""Long lists that one looks up, behind what one reads."""


def _words(text: Signed) -> Words:
    said = text.said
    return Words(f"{said.person}, {said.role}", when(said.at_us), text.envelope, said.paragraphs)


def _kind(d: Dossier) -> str:
    known = KINDS.get(d.contract.kind)
    return known.contract.title if known else d.contract.kind


def _range(feature: Feature) -> str:
    if feature.allowed is not None:
        return "one of " + ", ".join(map(str, feature.allowed))
    low, high = (_number(end) for end in (feature.minimum, feature.maximum))
    if low is None or high is None:
        return "any number" if low is high else f"{low} and above" if high is None else f"up to {high}"
    return f"{low} to {high}"


def _number(text: str | None) -> str | None:
    """A bound as people write it; the contract keeps every digit."""
    return None if text is None else f"{float(text):,.10g}"
