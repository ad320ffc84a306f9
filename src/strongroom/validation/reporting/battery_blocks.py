"""A battery's signed results as blocks, by the section of the report in which they stand; for every kind of battery."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import UnsetType

from strongroom.validation.reporting import drawing, report
from strongroom.validation.reporting.blocks import (
    Block,
    Fact,
    Facts,
    Grid,
    Item,
    Items,
    Note,
    Plot,
    Plots,
)
from strongroom.validation.results import PURPOSES_TITLE, BatteryResults, TestResult
from strongroom.validation.sections import TITLES, SectionKey, place_of

LIMITS = list(TITLES).index("limitations") + 1
WEIGHTS = {"gate": "gate", "advisory": "advisory", "information": "for information"}
SAMPLES: Final = {
    "predictions": "answers of the source model on the reference sample",
    "protected": "protected attributes, reference sample",
    "validation-protected": "protected attributes, validation sample",
}
DASH = "–"  # noqa: RUF001  # an en dash for 'none' is what a reader expects


def blocks_of(results: BatteryResults) -> Mapping[SectionKey, tuple[Block, ...]]:
    """Verdict tables, pictures and tables of a battery, where they belong."""
    found: dict[SectionKey, list[Block]] = {}
    level = f"{float(results.confidence):.0%}"
    pictures = report.pictures_of(results)
    sections = list(dict.fromkeys(test.section for test in results.tests))
    tables = () if isinstance(results.tables, UnsetType) else results.tables
    # the contract says so itself, in the sections on data and privacy
    tables = tuple(table for table in tables if table.title != PURPOSES_TITLE)
    for section in sections:
        tests = [test for test in results.tests if test.section == section]
        told = [test for test in tests if not _unanswered(test)]
        place = found.setdefault(place_of(section), [])
        rest = len(tests) - len(told)
        silent = f"{rest} test{'s' if rest != 1 else ''} without an answer: see section {LIMITS}." if rest else ""
        if told:
            place.append(report.verdicts_of(report.SECTIONS[section], told, level, silent))
        else:
            place.append(Note(f"{report.SECTIONS[section]}: {silent}"))
        if pictures.get(section):
            place.append(Plots(tuple(plot(picture) for picture in pictures[section])))
        if section == "calibration" and results.grades:
            place.append(_grades(results, level))
        if section == "fairness" and results.air:
            place.append(_groups(results, level))
        place += [_table(report.sheet_of(table)) for table in tables if table.section == section]
    for table in tables:
        if table.section not in sections:
            found.setdefault(place_of(table.section), []).append(_table(report.sheet_of(table)))
    found.setdefault("data", []).insert(0, _samples(results))
    found.setdefault("parity", []).append(_numeric(results))
    return {key: tuple(blocks) for key, blocks in found.items()}


def attention(results: BatteryResults) -> Items | None:
    """What failed, warns, or could not be evaluated although the policy asks for it."""
    judged = [test for test in results.tests if test.role != "information"]
    rows = [_point(test) for test in judged if test.verdict == "fail"]
    # a gate blocks and stands by itself; what only warns stands together where one thing is missing for all of it
    mute: dict[str, list[TestResult]] = {}
    for test in (test for test in judged if test.verdict == "not-evaluable"):
        mute.setdefault(test.reason or "" if test.role == "advisory" else test.id, []).append(test)
    # `gate` sorts behind `advisory`
    for tests in sorted(mute.values(), key=lambda tests: tests[0].role, reverse=True):
        if len(tests) == 1:
            rows.append(_point(tests[0]))
        else:
            titles = "; ".join(dict.fromkeys(test.title for test in tests))
            rows.append(
                Item("not-evaluable", report.VERDICTS["not-evaluable"], _sentence(tests[0].reason or ""), titles)
            )
    rows += [_point(test) for test in judged if test.verdict == "amber"]
    rows += [Item("fail", "missing", reason) for reason in results.reasons if "no test answered" in reason]
    return Items(tuple(rows)) if rows else None


def _point(test: TestResult) -> Item:
    line = report.line_of(test)
    told = f"{line.figure}; the policy asks {line.asked}. {test.sentence}"
    if test.figure is None:
        told = f"{test.sentence} The policy asks {line.asked}."
    return Item(test.verdict, line.verdict, told, test.title)


def not_evaluable(results: BatteryResults) -> Grid | None:
    """Every test without an answer, and why; tests with one reason stand together, those that weigh most first."""
    silent: dict[tuple[str, str], list[str]] = {}
    for role in WEIGHTS:
        for test in results.tests:
            if test.verdict == "not-evaluable" and test.role == role:
                silent.setdefault((role, test.reason or ""), []).append(test.title)
    rows = tuple((_sentence(why), "; ".join(titles), WEIGHTS[role]) for (role, why), titles in silent.items())
    if not rows:
        return None
    caption = "A gate without an answer fails the battery; an advisory test without one warns."
    return Grid("What could not be evaluated", caption, ("Why", "Tests", "Policy"), (False,) * 3, rows)


def _unanswered(test: TestResult) -> bool:
    """No answer, and nobody asked for one: it stands among the limits alone."""
    return test.verdict == "not-evaluable" and test.role == "information"


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:].rstrip(".") + "." if words else ""


def plot(picture: drawing.Picture) -> Plot:
    """A picture as data."""
    return Plot(picture.name, picture.words, str(picture.svg))


def _table(sheet: report.Sheet) -> Grid:
    heads, right = tuple(zip(*sheet.heads, strict=True)) or ((), ())
    heads = tuple(head if head.startswith("p-") else head[:1].upper() + head[1:] for head in heads)
    return Grid(sheet.title, sheet.caption, heads, right, sheet.rows)


def _samples(results: BatteryResults) -> Grid:
    events = report.events_of(results)
    rows = []
    for sample in results.samples:
        counted = [DASH, DASH]
        if sample.defaults is not None:
            counted = [report.number(sample.defaults), f"{100 * sample.defaults / sample.rows:.2f}%"]
        rows.append(
            (
                SAMPLES.get(sample.role, sample.role),
                report.number(sample.rows),
                *(counted if events else []),
                sample.sha256,
            )
        )
    heads = ("Sample", "Rows", *(events or ()), "SHA-256")
    right = (False, True, *((True, True) if events else ()), False)
    return Grid("Samples", "The validator, not the author, chose the validation sample.", heads, right, tuple(rows))


def _grades(results: BatteryResults, level: str) -> Grid:
    rows = tuple(
        (
            str(g.grade), report.percent(g.upper), report.number(g.n), report.number(g.defaults),
            report.percent(g.mean_pd), report.percent(g.rate),
            f"{report.percent(g.interval[0])} to {report.percent(g.interval[1])}" if g.interval else DASH,
            report.p_text(g.jeffreys_p),
        )
        for g in results.grades
    )  # fmt: skip
    heads = ("Grade", "PD up to", "Obligors", "Defaults", "Mean PD", "Rate", f"{level} interval", "Jeffreys p")
    caption = "Jeffreys p: chance that the true rate is at or below the mean PD; small means that the PD was too low."
    return Grid("Rating scale on the validation sample", caption, heads, (False, *[True] * 7), rows)


def _groups(results: BatteryResults, level: str) -> Grid:
    rows = []
    for a in results.air:
        if a.suppressed:
            rows.append((a.attribute, a.group, "not shown", "", "", "", ""))
            continue
        ratio = "reference" if a.reference else f"{float(a.ratio):.3f}" if a.ratio is not None else DASH
        interval = f"{float(a.interval[0]):.3f} to {float(a.interval[1]):.3f}" if a.interval else DASH
        rows.append(
            (
                a.attribute,
                a.group,
                # shown without rows and share, it does not give a smaller one away
                report.number(a.n) if a.rate is not None else DASH,
                report.percent(a.rate),
                ratio,
                interval,
                report.p_text(a.p_value),
            )
        )
    heads = ("Attribute", "Group", "Rows", "Favourable", "Ratio", f"{level} interval", "Fisher p")
    caption = "Groups below the policy's size are not shown: they would say little and could identify people."
    return Grid("Groups", caption, heads, (False, False, True, True, True, True, True), tuple(rows))


def _numeric(results: BatteryResults) -> Facts:
    proof = results.numeric
    profile = proof.profile
    sizes = f"{len(proof.sizes)} batch sizes" if proof.sizes else "no batch"
    return Facts(
        (
            Fact("Numeric profile", f"{profile.mode}, up to {report.number(profile.max_batch)} rows in a batch"),
            Fact("What it means", report.MODES[profile.mode]),
            Fact("Runtime", f"{profile.runtime} {profile.version}, {profile.provider}, one thread, {profile.isa}"),
            Fact(
                "Proof",
                f"{report.number(proof.rows)} rows, {report.number(proof.comparisons)} comparisons bit by bit "
                f"over {sizes}",
            ),
            Fact(
                "Answers with other bits",
                f"{report.number(proof.differ_alone)} against the row alone, {report.number(proof.differ_padded)} "
                f"padded, {report.number(proof.differ_layout)} in another layout, "
                f"{report.number(proof.differ_session)} in a second session",
            ),
        )
    )
