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
from strongroom.validation.blocks import Report, Words
from strongroom.validation.chapters import draw_up, lacking
from strongroom.validation.dossier import Decision, Dossier, Event, Opinion, ReviewFinding, Terms
from strongroom.validation.findings import FindingStep, Raised, SignedStep, read_findings
from strongroom.validation.human_text import SectionText, Signed
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.rejudging import rejudge
from strongroom.validation.report_page import page_of
from strongroom.validation.results import BatteryResults
from strongroom.validation.sections import TITLES
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
        "from strongroom.validation.blocks import Report\n"
        "from strongroom.validation.report_page import page_of\n"
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
    policy["batteries"] = [one for one in policy["batteries"] if one["kind"] != "pd"] or [
        {**policy["batteries"][0], "kind": "other"}
    ]
    assert rejudge(calm, canonical(policy)).after == "fail"
    with pytest.raises(EvidenceError, match="never validated"):
        rejudge(replace(calm, results=None), POLICY_BYTES)
