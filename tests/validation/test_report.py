"""The report with its twenty sections: the same bytes again, inert, nothing left out, gaps said with their verb."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from strongroom.adapters.typst_pdf import print_report
from strongroom.encoding import canonical
from strongroom.errors import EvidenceError
from strongroom.planning.impact import capital_impact
from strongroom.registry.contract import Lineage
from strongroom.registry.kinds import OutcomeDefinition
from strongroom.validation.findings import FindingStep, Raised, SignedStep, read_findings
from strongroom.validation.human_text import SectionText, Signed
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.rejudging import rejudge
from strongroom.validation.reporting import table_drawing
from strongroom.validation.reporting.blocks import Grid, Items, Note, Plots, Report, Verdicts, Words
from strongroom.validation.reporting.chapters import draw_up, lacking
from strongroom.validation.reporting.dossier import Before, Decision, Dossier, Event, Opinion, ReviewFinding, Terms
from strongroom.validation.reporting.glance import at_a_glance
from strongroom.validation.reporting.report_page import page_of
from strongroom.validation.reporting.templates import ticked
from strongroom.validation.results import BatteryResults, Column, Table
from strongroom.validation.sections import TITLES
from strongroom.validation.workshop.replication import Compared, ReplicationPredicate
from strongroom.vocabulary import KeyId, ModelRef, PersonId, digest_of
from tests.validation.test_pd_battery import sound
from tests.validation.worked import POLICY, package

AT = 1_764_000_000_000_000
HOSTILE = '<script>alert(1)</script> #eval("1") $x$ *b* \\ @ref & \u202e'
WORDS = f"For cards.\n\n{HOSTILE[:-1]}"
POLICY_BYTES = POLICY.read_bytes()


@cache
def results() -> bytes:
    return sound("xgboost").encode()


def dossier(**changes: Any) -> Dossier:
    found = BatteryResults.decode(results())
    words = SectionText(
        v=1,
        section="intended-use",
        role="author",
        text=WORDS,
        person=PersonId("ann"),
        at_us=AT,
    )
    raised = Raised(severity="high", text=HOSTILE[:-1], owner=PersonId("ann"), due_us=AT + 1, remediation="recalibrate")
    step = FindingStep(v=1, finding="f-2", does=raised, previous=None, person=PersonId("vera"), at_us=AT)
    digest = digest_of(b"x")
    values: dict[str, Any] = {
        "ref": ModelRef(found.model, found.manifest),
        "contract": package("xgboost").contract,
        "author": PersonId("ann"),
        "author_key": KeyId("a" * 64),
        "submitted_us": AT,
        "as_of_us": AT + 5,
        "policy": ValidationPolicy.decode(POLICY_BYTES),
        "policy_sha256": digest_of(POLICY_BYTES),
        "results": found,
        "results_sha256": digest_of(results()),
        "texts": (Signed(words, digest, "k"),),
        "findings": read_findings([SignedStep(step, digest, digest)]),
        "opinion": Opinion(
            PersonId("vera"), KeyId("b" * 64), AT, "fit", True, (ReviewFinding("f-1", "low", HOSTILE, "accepted"),)
        ),
        "decisions": (Decision(PersonId("paul"), KeyId("c" * 64), AT, "approve", (HOSTILE,), "", digest),),
        "terms": Terms(AT, ("shadow", "live"), 10, None, None, (), digest),
        "origin": "bank/room/eu/control/governance/1",
        "events": (Event(3, "submit", "ann", AT, "done", HOSTILE),),
        "evidence": (("submission", digest),),
        "command": "strongroom report x",
    }
    return Dossier(**{**values, **changes})


def demanding(*sections: dict[str, str]) -> ValidationPolicy:
    policy = json.loads(POLICY_BYTES)
    for one in policy["batteries"]:
        one["sections"] = list(sections)
    return ValidationPolicy.decode(canonical(policy))


def test_there_are_twenty_sections_in_the_order_of_the_issue() -> None:
    report = draw_up(dossier())
    assert len(TITLES) == len(report.sections) == 20
    assert [section.number for section in report.sections] == list(range(1, 21))
    page = page_of(report).decode()
    heads = re.findall(r'<h2 id="([a-z-]+)">', page)
    assert heads == list(TITLES)
    for test in dossier().results.tests:  # type: ignore[union-attr]  # it has results
        assert str(msgspec.to_builtins(test.title)).split(":")[0] in page, "every test stands somewhere"


def test_the_page_is_inert_whatever_people_wrote() -> None:
    page = page_of(draw_up(dossier())).decode()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r"""(src|href)=["'](?!#)""", page)
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    style = re.search(r"<style>(.*?)</style>", page, re.S)
    assert style
    assert "url(" not in style[1]


def test_the_words_of_people_are_marked_and_signed() -> None:
    report = draw_up(dossier())
    (words,) = (block for section in report.sections for block in section.blocks if isinstance(block, Words))
    assert (words.by, words.paragraphs[0]) == ("ann, author", "For cards.")
    assert "Written by a person, not measured" in page_of(report).decode()


def test_a_contract_that_leaves_its_event_undefined_is_told_so() -> None:
    plain = dossier()
    assert "not defined: the contract does not say what counts" in page_of(draw_up(plain)).decode()
    meant = OutcomeDefinition(meaning="90 days past due", window="12 months")
    page = page_of(draw_up(replace(plain, contract=msgspec.structs.replace(plain.contract, outcome=meant)))).decode()
    assert "90 days past due; 12 months" in page
    assert "not defined" not in page


def test_the_same_dossier_gives_the_same_bytes_here_and_in_another_process(tmp_path: Path) -> None:
    pytest.importorskip("typst")
    report = draw_up(dossier())
    page, printed = page_of(report), print_report(report)
    assert (page, printed) == (page_of(draw_up(dossier())), print_report(draw_up(dossier())))
    assert printed.startswith(b"%PDF-")
    (tmp_path / "report.json").write_bytes(msgspec.json.encode(report))
    code = (
        "import hashlib, sys, msgspec\n"
        "from strongroom.adapters.typst_pdf import print_report\n"
        "from strongroom.validation.reporting.blocks import Report\n"
        "from strongroom.validation.reporting.report_page import page_of\n"
        "report = msgspec.json.decode(open(sys.argv[1], 'rb').read(), type=Report)\n"
        "print(*(hashlib.sha256(made(report)).hexdigest() for made in (page_of, print_report)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "report.json")], capture_output=True, text=True, timeout=120,
        env={"TZ": "Pacific/Auckland", "PYTHONHASHSEED": "7", "PATH": "/usr/bin"}, check=True,
    )  # fmt: skip
    assert done.stdout.split() == [hashlib.sha256(one).hexdigest() for one in (page, printed)]


def test_blocks_survive_their_own_encoding() -> None:
    report = draw_up(dossier())
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report


def test_what_the_policy_misses_is_said_with_section_and_verb() -> None:
    policy = demanding(
        {"section": "intended-use", "by": "author"}, {"section": "privacy", "by": "dpo"}, {"section": "capital"},
        {"section": "outcomes"},
    )  # fmt: skip
    capital, privacy = lacking(dossier(policy=policy))
    assert "section 13 `Capital impact` is empty" in capital
    assert "strongroom write" in capital
    assert "section 18 `Privacy assessments` lacks the words of someone in the role `dpo`" in privacy
    assert "--section privacy --role dpo" in privacy
    page = page_of(draw_up(dossier(policy=policy))).decode()
    assert page.count("Demanded by the policy") == 2
    assert page.count("incomplete</span>") == 2
    without = lacking(dossier(policy=policy, results=None, results_sha256=None, texts=()))
    assert any("section 7 `Outcomes` is empty" in line for line in without)
    assert any("section 2 `Intended use`" in line for line in without)


def test_a_version_without_anything_is_reported_too() -> None:
    bare = dossier(
        results=None, results_sha256=None, texts=(), findings=(), opinion=None, decisions=(), terms=None, events=()
    )
    report = draw_up(bare)
    assert report.state == "open"
    assert b"Not validated yet" in page_of(report)


def test_stored_results_are_judged_by_another_policy_without_a_new_run() -> None:
    told = tuple(
        Signed(SectionText(v=1, section=section, role=role, text=WORDS, person=PersonId(person), at_us=AT),
               digest_of(section.encode()), "k")
        for section, role, person in (
            ("intended-use", "author", "ann"), ("limitations", "author", "ann"), ("opinion", "validator", "vera")
        )
    )  # fmt: skip
    calm = dossier(findings=(), texts=told)
    same = rejudge(calm, POLICY_BYTES)
    assert (same.before, same.rerun) == (same.after, ())
    policy = json.loads(POLICY_BYTES)
    policy["psi_bins"] = 12
    for one in policy["batteries"]:
        for rule in one["rules"]:
            if rule["test"] == "discrimination.auc" and rule["role"] == "gate":
                rule["amber"], rule["fail"] = "0.99", "0.98"
    strict = rejudge(calm, canonical(policy))
    assert strict.after == "fail"
    assert "`discrimination.auc`" in strict.reasons[0]
    assert strict.rerun == ("psi_bins",)
    assert rejudge(dossier(), POLICY_BYTES).after == "fail", "an open high finding"
    lacks = rejudge(calm, demanding({"section": "privacy", "by": "dpo"}).encode())
    assert (lacks.after, len([one for one in lacks.reasons if "privacy" in one])) == ("fail", 1)
    told = json.loads(POLICY_BYTES)
    told["batteries"] = [{**one, "replication": "same-bytes"} for one in told["batteries"]]
    undone = rejudge(calm, canonical(told))
    assert (undone.after, "has no code for it" in undone.reasons[-1], undone.rerun) == ("fail", True, ())
    policy["batteries"] = [one for one in policy["batteries"] if one["kind"] != "pd"] or [
        {**policy["batteries"][0], "kind": "other"}
    ]
    assert rejudge(calm, canonical(policy)).after == "fail"
    with pytest.raises(EvidenceError, match="never validated"):
        rejudge(replace(calm, results=None), POLICY_BYTES)


def grids(report: Report, section: str) -> dict[str, Grid]:
    found = next(one for one in report.sections if one.key == section)
    return {block.title: block for block in found.blocks if isinstance(block, Grid)}


def test_what_nobody_asked_for_and_no_test_answered_stands_once_with_its_reason() -> None:
    report = draw_up(dossier())
    found = BatteryResults.decode(results())
    silent = [one for one in found.tests if one.verdict == "not-evaluable" and one.role == "information"]
    assert silent
    tables = [block for section in report.sections for block in section.blocks if isinstance(block, Verdicts)]
    lines = [line.title for block in tables for line in block.lines]
    assert len(lines) == len(found.tests) - len(silent)
    rows = grids(report, "limitations")["What could not be evaluated"].rows
    for one in silent:
        (row,) = (row for row in rows if one.title in row[1].split("; "))
        assert (one.reason or "?").lower() in row[0].lower()
    assert len({(row[0], row[2]) for row in rows}) == len(rows), "tests with one reason and one weight stand together"


def test_a_gate_without_an_answer_stays_in_the_table_and_leads_the_points_to_look_at() -> None:
    found = BatteryResults.decode(results())
    mute = msgspec.structs.replace(
        found.tests[0], figure=None, interval=None, role="gate", verdict="not-evaluable", reason="one outcome class",
        sentence="Not evaluable: one outcome class.", amber="0.7", fail="0.65",
    )  # fmt: skip
    report = draw_up(dossier(results=msgspec.structs.replace(found, tests=(mute, *found.tests[1:]))))
    opinion = next(section for section in report.sections if section.key == "opinion")
    (points,) = (block for block in opinion.blocks if isinstance(block, Items))
    assert (points.rows[0].mark, points.rows[0].head) == ("not-evaluable", mute.title)
    outcomes = next(section for section in report.sections if section.key == "outcomes")
    assert mute.title in [line.title for b in outcomes.blocks if isinstance(b, Verdicts) for line in b.lines]
    assert grids(report, "limitations")["What could not be evaluated"].rows[0][2] == "gate"


def test_the_section_on_capital_fills_itself_and_then_the_policy_is_content() -> None:
    policy = demanding({"section": "capital"})
    found = BatteryResults.decode(results())
    assert len(lacking(dossier(policy=policy))) == 1
    filled = dossier(policy=policy, capital=capital_impact(package("xgboost").contract, found))
    assert lacking(filled) == ()
    assert "Risk weight by grade" in grids(draw_up(filled), "capital")


def test_what_changed_since_the_version_before_is_told_side_by_side() -> None:
    contract, found = package("xgboost").contract, BatteryResults.decode(results())
    old = msgspec.structs.replace(
        contract, tier=3, lineage=msgspec.structs.replace(contract.lineage, code_commit="earlier"),
        input=msgspec.structs.replace(contract.input, features=contract.input.features[1:]),
    )  # fmt: skip
    weaker = msgspec.structs.replace(
        found, tests=tuple(msgspec.structs.replace(one, figure="0.5") if one.rule == "discrimination.auc" else one
                           for one in found.tests)
    )  # fmt: skip
    before = Before(ModelRef(contract.name, digest_of(b"old")), old, weaker)
    assert isinstance(contract.lineage, Lineage)
    told = grids(draw_up(dossier(before=before)), "history")
    rows = {row[0]: row[1:] for row in told["What changed in the contract"].rows}
    assert rows["Tier"] == ("3", str(contract.tier))
    assert rows["Training code"] == ("earlier", contract.lineage.code_commit)
    assert rows["Features added"] == ("", contract.input.features[0].name)
    assert "Owner" not in rows
    figures = {row[0]: row[1:] for row in told["What changed in the figures that decide"].rows}
    assert figures["Area under the ROC curve"][0].startswith("0.500")
    assert figures["Area under the ROC curve"][1].startswith("0.7")
    same = draw_up(dossier(before=replace(before, contract=contract)))
    history = next(section for section in same.sections if section.key == "history")
    assert any(isinstance(block, Note) and "promises the same" in block.text for block in history.blocks)


def test_backticks_set_code_and_open_no_door() -> None:
    assert str(ticked("name it as `year` here")) == "name it as <code>year</code> here"
    assert str(ticked("`<b>`&")) == "<code>&lt;b&gt;</code>&amp;"
    assert str(ticked("one ` alone <i>")) == "one ` alone &lt;i&gt;"


def test_the_migration_matrix_and_weak_segments_are_drawn_from_their_tables() -> None:
    counts = (("1", "90", "10"), ("2", "0", "0"))
    heads = tuple(Column(name=name, unit="count") for name in ("from grade", "1", "2"))
    table = Table(section="stability", title="Migration matrix", caption="", columns=heads, rows=counts)
    drawn = str(table_drawing.matrix(table).svg)
    assert drawn.count("<rect") == 4
    assert ">90%</text>" in drawn
    assert ">10%</text>" in drawn
    columns = tuple(Column(name=name, unit="text") for name in ("segment", "rows", "observed", "expected", "p-value"))
    rows = (("a<b above 2 and c up to 1", "1200", "0.1", "0.3", "0.2"),)
    weak = table_drawing.segments(
        Table(section="sensitivity", title="Weakest segments", caption="", columns=columns, rows=rows)
    )
    assert weak is not None
    assert "a&lt;b &gt; 2" in weak.svg
    assert "(1,200)" in weak.svg
    none = Table(section="sensitivity", title="Weakest segments", caption="", columns=columns, rows=())
    assert table_drawing.segments(none) is None


PAIRS = [
    ("--ink", "--paper", 4.5), ("--ink", "--wash", 4.5), ("--soft", "--paper", 4.5), ("--soft", "--wash", 4.5),
    ("--blue", "--paper", 4.5), ("--blue", "--wash", 4.5), ("--good", "#e9f5ed", 4.5), ("--warn", "#fdf3dc", 4.5),
    ("--warn", "--paper", 4.5), ("--bad", "--paper", 4.5), ("--ink", "#fdf1f0", 4.5), ("#fff", "--bad", 4.5),
    ("svg .bar", "--paper", 3.0), ("svg .chance", "--paper", 3.0), ("svg .curve", "--paper", 3.0),
    ("svg .bar.off", "--paper", 3.0), ("svg .cut", "--paper", 3.0), ("svg .tick", "--paper", 4.5),
]  # fmt: skip
"""Text on ground: 4.5; marks of pictures: 3 (WCAG 2.2, 1.4.3 and 1.4.11)."""


@pytest.mark.parametrize(("text", "ground", "least"), PAIRS)
def test_colours_can_be_told_from_their_ground(text: str, ground: str, least: float) -> None:
    style = (Path(table_drawing.__file__).parent / "pages" / "report.css").read_text()

    def colour(name: str) -> str:
        if name.startswith("--"):
            found = re.search(rf"{name}:(#[0-9a-f]{{3,6}})", style)
        elif name.startswith("svg"):
            found = re.search(rf"^{re.escape(name)}\{{[^}}]*?(?:fill|stroke):(#[0-9a-f]{{6}})", style, re.M)
        else:
            return name
        assert found, name
        return found[1]

    def luminance(name: str) -> float:
        digits = colour(name)[1:]
        digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
        parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(text), luminance(ground)), reverse=True)
    assert (high + 0.05) / (low + 0.05) >= least


def test_training_done_again_is_shown_with_its_outcome() -> None:
    digest = digest_of(b"model")
    known = {"v": 1, "artifact": digest, "at_us": 7, "script": digest, "data": digest, "tolerance": "1e-06"}
    alike = Compared(rows=9000, largest="2.0e-07", beyond=0, flips=0)
    other = Compared(rows=9000, largest="0.3", beyond=4000, flips=12)

    def page(outcome: str | None, reason: str = "", **more: Any) -> str:
        said = None if outcome is None else ReplicationPredicate(**known, outcome=outcome, reason=reason, **more)
        return page_of(draw_up(dossier(replication=said))).decode()

    assert "Training was not repeated: the package gives no training script." in page(None)
    assert "Not evaluable: no script." in page("not-evaluable", "no script")
    assert "The same bytes came out." in page("same-bytes", replica=digest)
    near = page("within-tolerance", replica=digest_of(b"x"), compared=alike)
    assert "on 9,000 rows the answers differ by up to 2.0e-07 (tolerance 1e-06)" in near
    assert digest_of(b"x") in near
    far = page("differs", replica=digest_of(b"x"), compared=other)
    assert "Another model came out" in far
    assert "4,000 rows beyond it, 12 decisions differ" in far
    failed = page("failed", "the script failed: <script>")
    assert "Failed: the script failed" in failed
    assert "<script>" not in failed


def test_findings_that_earlier_versions_left_and_names_that_others_took_are_shown() -> None:
    (left,) = dossier().findings
    review = (ReviewFinding("f-2", "high", "leaks the outcome", "accepted"),)
    opinion = Opinion(PersonId("vera"), KeyId("b" * 64), AT, "fit", True, review)
    mild = msgspec.structs.replace(left.raised, severity="low")
    taken = replace(left, raised=mild, steps=left.steps)
    before, other = ModelRef(dossier().ref.name, digest_of(b"old")), ModelRef("loans", digest_of(b"twin"))
    page = page_of(draw_up(dossier(inherited=((before, left), (other, left)), findings=(taken,), opinion=opinion)))
    for words in (
        b"Findings of earlier versions",
        digest_of(b"old")[:12].encode(),
        str(other).encode()[:18],
        b"leaks the outcome",
    ):
        assert words in page
    assert b"Findings of earlier versions" not in page_of(draw_up(dossier()))
    entered = draw_up(dossier(findings=(left,), opinion=opinion))
    assert b"leaks the outcome" not in page_of(entered), "it stands in the register, entered by the reviewer"


def test_the_first_page_says_who_judged_what_warns_and_what_is_open() -> None:
    policy = demanding({"section": "privacy", "by": "dpo"}, {"section": "capital"})
    page = draw_up(dossier(policy=policy))
    told = {fact.name: fact.value for fact in page.glance}
    assert told["Validator's opinion"].startswith("fit, by vera on 2025-11-24")
    assert told["Approvers"] == "approved by paul on 2025-11-24, under 1 condition"
    assert told["Open findings"] == "1 high; 1 overdue"
    assert told["Incomplete"] == "sections 13 (Capital impact), 18 (Privacy assessments)"
    found = BatteryResults.decode(results())
    warned = [one.title for one in found.tests if one.verdict == "amber" and one.role != "information"]
    assert told["Warnings"] == "; ".join(dict.fromkeys(warned))
    parts = [msgspec.structs.replace(found.tests[0], title=f"Drift: {name}", verdict="amber", role="advisory")
             for name in ("SEX", "AGE", "SEX")]  # fmt: skip
    several = replace(dossier(), results=msgspec.structs.replace(found, tests=tuple(parts)))
    assert {fact.name: fact.value for fact in at_a_glance(several, ())}["Warnings"] == "Drift: SEX, AGE"
    html = page_of(page).decode()
    assert html.index("Validator&#39;s opinion") < html.index('id="contents"')
    none = {
        fact.name: fact.value
        for fact in draw_up(dossier(results=None, opinion=None, decisions=(), findings=(), terms=None)).glance
    }
    assert none["Validator's opinion"] == "none yet"
    assert none["Approvers"] == "nobody has decided yet"
    assert none["Open findings"] == "none in the register"


def test_long_lists_stand_behind_what_is_read_and_no_picture_is_without_words() -> None:
    report = draw_up(dossier())
    data = next(section for section in report.sections if section.key == "data")
    last = data.blocks[-1]
    assert isinstance(last, Grid)
    assert last.title == "Features"
    pictures = [one for section in report.sections for block in section.blocks if isinstance(block, Plots)
                for one in block.pictures]  # fmt: skip
    assert len(pictures) > 5
    for one in pictures:
        assert f"<title>{one.name}</title><desc>" in one.svg
        assert len(one.words) > 20
        axes = re.findall(r'<text class="axis"', one.svg)
        assert axes, f"{one.name} has no name on its axes"
