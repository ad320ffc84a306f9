"""The command line from end to end, as an auditor would read it.

One room is made through `strongroom` commands alone: ten people, a room, a model's way in, a second version, a gateway.
Each test then looks at one part of what happened, or does one more thing; none needs another to have run before.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pandas as pd
import pytest

from strongroom.cli.output import EXIT_CODES
from strongroom.compliance.subjects import ErasureRequest
from strongroom.encoding import canonical
from strongroom.errors import SandboxError
from strongroom.vocabulary import micros
from strongroom.wiring import control, submitting
from strongroom.wiring.control import ControlPlane
from strongroom.wiring.records import NodeRecords
from tests.journeys import challenger
from tests.journeys.bank import (
    HELD_OUT,
    LETTERS,
    MODEL,
    REASONS,
    REFERENCE,
    ROLES,
    SOURCE,
    Bank,
    applicants,
    each_key_derived_once,
)
from tests.journeys.drill import elsewhere, load

REFUSED, TAMPERED, UNAVAILABLE = (EXIT_CODES[name] for name in ("refused", "tampered", "unavailable"))


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    """A bank with a released model, an approved second version that may fall back on it, and a running gateway."""
    with each_key_derived_once():
        yield from _open(Bank(tmp_path_factory.mktemp("bank")))


def _open(bank: Bank) -> Iterator[Bank]:
    bank.hire()
    bank.found()
    bank.delegate()
    first = bank.let_in(bank.package("one", 30))
    bank.steps["first"] = first
    bank.steps["release"] = bank.run("omar", "release", MODEL, "--stage", "live")
    bank.grant()
    bank.make_node()
    bank.serve()
    try:
        bank.steps["scored"] = bank.score(applicants(50, "client"), "--receipts", bank.folder / "receipts")
        two = bank.converted("two", 40, parent=first)
        bank.steps["second"] = bank.let_in(two, f"{MODEL}@{first[:16]}", challenger.terms(bank.folder))
        yield bank
    finally:
        assert bank.stop() == 0


# the report ----------------------------------------------------------------------------------------------------------


def test_findings_words_and_the_report_of_a_released_model(bank: Bank) -> None:
    this = f"{MODEL}@{bank.steps['first'][:16]}"
    page, printed = bank.folder / "report.html", bank.folder / "report.pdf"
    use = bank.folder / "use.txt"
    use.write_text("For applications.\n\nNot for limits.")
    assert bank.run("ann", "write", this, "--section", "intended-use", "--role", "author", "--file", use)["statement"]
    wrong = bank.refused("ann", "write", this, "--section", "opinion", "--role", "validator", "--file", use)
    assert wrong["error"] == "evidence"
    add = (
        "findings",
        "add",
        this,
        "--severity",
        "high",
        "--text",
        "too low",
        "--owner",
        "ann",
        "--remediation",
        "mend",
    )
    assert bank.run("vera", *add)["finding"] == "f-2", "the review has an f-1"
    assert bank.refused("ann", *add)["error"] == "not-permitted"
    # whatever answers now: the second version inherits from the first
    for tried in bank.run("vera", "policy", "try"):
        assert tried["after"] == "fail"
        assert any("finding `f-2`" in reason and "is high and open" in reason for reason in tried["reasons"])
    told = bank.run("omar", "findings", "watch", "--alert", "--act")
    assert {(one["finding"], one["due"], one["blocks"]) for one in told["watched"]} == {("f-2", "alert", True)}
    assert (len(told["alerts"]), told["done"]) == (len(told["watched"]), [])
    assert bank.run("omar", "findings", "watch", "--alert")["alerts"] == []
    accept = ("findings", "accept", this, "f-2", "--days", "30", "--reason", "small")
    assert bank.refused("paul", *accept)["error"] == "four-eyes"
    assert bank.run("vera", *accept)["status"] == "accepted"
    told = bank.run("omar", "findings", "watch", "--alert")
    assert {one["due"] for one in told["watched"]} == {"warning"}
    assert len(told["alerts"]) == len(told["watched"])
    after = bank.folder / "report-two.html"
    bank.run("audrey", "report", f"{MODEL}@{bank.steps['second'][:16]}", "--html", after)
    assert b"Findings of earlier versions" in after.read_bytes(), "accepted, and not closed"
    close = ("findings", "close", this, "f-2", "--evidence", use, "--reason", "mended")
    assert bank.run("vera", *close)["status"] == "closed"
    assert [one["status"] for one in bank.run("audrey", "findings", "list", this)] == ["closed"]
    drawn = bank.run("audrey", "report", this, "--html", page, "--pdf", printed)
    assert len(drawn["sections"]) == 20
    assert not drawn["lacks"]
    bank.run("vera", "write", this, "--section", "opinion", "--role", "validator", "--file", use)
    moment = drawn["command"].split("--as-of ")[1].split()[0]
    again = bank.run("audrey", "report", this, "--as-of", moment, "--html", page, "--pdf", printed)
    assert again["sha256"] == drawn["sha256"], "what was signed since is left out"
    assert b"Not for limits." in page.read_bytes()
    assert bank.refused("audrey", "report", this, "--as-of", "2999-01-01T00:00:00+00:00")["error"] == "invalid-input"
    with closing(sqlite3.connect(bank.room / "room.db")) as books:
        change, first = "UPDATE versions SET document = ? WHERE manifest = ?", bank.steps["first"]
        ((kept,),) = books.execute("SELECT document FROM versions WHERE manifest = ?", [first])
        books.execute(change, [_without_findings(kept), first])
        books.commit()
        lost = bank.refused("audrey", "report", this, code=4)
        found = bank.run("audrey", "fsck", code=4)
        books.execute(change, [kept, first])
        books.commit()
    assert "the books no longer have it" in lost["message"]
    (told,) = (one for one in found["checked"] if one["what"] == "words and findings")
    assert len(told["findings"]) == 3, "raised, accepted, closed"


def _without_findings(document: bytes | str) -> bytes | str:
    """A version as somebody with the database in hand would like it."""
    told = json.loads(document)
    told["papers"] = [paper for paper in told["papers"] if paper["kind"] != "finding"]
    made = json.dumps(told)
    return made if isinstance(document, str) else made.encode()


def test_a_new_policy_is_tried_on_what_answers(bank: Bank) -> None:
    policy = json.loads((SOURCE / "strongroom" / "policies" / "validation.json").read_bytes())
    for battery in policy["batteries"]:
        battery["sections"] = [{"section": "privacy", "by": "dpo"}]
    file = bank.folder / "stricter.json"
    file.write_bytes(canonical(policy))
    found = bank.run("audrey", "policy", "try", file)
    assert {one["after"] for one in found} == {"fail"}
    assert all(any("`Privacy assessments`" in reason for reason in one["reasons"]) for one in found)
    assert bank.refused("audrey", "policy", "sign", file)["error"] == "not-permitted"
    tier = bank.run(None, "policy", "tier", "--exposure", "250000000", "--complexity", "low")
    assert tier == {"materiality": "high", "complexity": "low", "tier": 2}


# founding ------------------------------------------------------------------------------------------------------------


def test_nothing_is_in_force_before_two_custodians_signed(bank: Bank) -> None:
    assert bank.steps["init"]["missing_signatures"] == {"root": 2, "targets": 2}
    assert bank.steps["init"]["origin"] == "first-bank/credit/eu/control/governance/1"
    assert bank.steps["before signing"]["error"] == "conflict"
    assert "people sign" in bank.steps["before signing"]["message"]
    assert [(one["role"], one["missing"], one["published"]) for one in bank.steps["sign 1"]] == [
        ("root", 1, False),
        ("targets", 1, False),
    ]
    assert [(one["role"], one["missing"], one["published"]) for one in bank.steps["sign 2"]] == [
        ("root", 0, True),
        ("targets", 0, True),
    ]
    assert all(one["entry"] for one in bank.steps["sign 2"])


def test_a_custodian_reads_what_they_sign(bank: Bank) -> None:
    root, targets = bank.steps["sign 1"]
    assert any("root: 2 of 3 key(s)" in line for line in root["signed"])
    read = "\n".join(targets["signed"])
    for name, roles in ROLES.items():
        assert f"+ person {name}: {', '.join(sorted(roles))}" in read
    assert "+ policy/access.cedar" in read
    assert bank.steps["sign delegation"][0]["signed"][-1].strip() == f"+ model-{MODEL}: 2 of paul, petra"


def test_the_register_lists_ten_people_and_three_services(bank: Bank) -> None:
    listed = {one["id"]: one for one in bank.run(None, "people", "list")["people"]}
    assert set(listed) >= {*ROLES, "scanner", "validation-service", "control-plane"}
    assert listed["paul"]["roles"] == "approver, halter"


def test_nothing_waits_after_the_custodians_are_done(bank: Bank) -> None:
    assert bank.run("celia", "people", "sign", "--yes") == []
    assert "nothing waits" in bank.try_("celia", "people", "sign").stdout


def test_a_second_room_in_the_same_folder_is_refused(bank: Bank) -> None:
    words = ("--org", "first-bank", "--name", "credit", "--people", bank.folder / "people.toml")
    assert bank.refused(None, "init", bank.room, *words)["error"] == "conflict"


# a model's way in ----------------------------------------------------------------------------------------------------


def test_the_way_in_leaves_evidence_at_every_step(bank: Bank) -> None:
    assert bank.steps["package one"]["manifest"] == bank.steps["first"]
    assert bank.steps["validate one"]["verdict"] == "pass"
    assert bank.steps["review one"]["state"] == "reviewed"
    assert bank.steps["approve 1 one"]["approvers"] == ["paul"]
    assert bank.steps["approve 1 one"]["state"] == "reviewed"
    assert bank.steps["approve 2 one"]["approvers"] == ["paul", "petra"]
    assert bank.steps["approve 2 one"]["state"] == "approved"
    signed = bank.steps["approve 2 one"]["signed"]
    for step in ("scan one", "validate one"):
        assert bank.steps[step]["evidence"] in signed
    assert "finding    f-1 (low, accepted): small sample" in signed
    assert bank.steps["release"] == {"model": MODEL, "manifest": bank.steps["first"], "sequence": 1}


def test_the_report_is_one_page_without_script(bank: Bank) -> None:
    page = (bank.folder / "report-one.html").read_text()
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert "<script" not in page
    assert "<svg" in page
    assert MODEL in page


def test_a_saved_model_comes_in_by_conversion(bank: Bank) -> None:
    """The second version was a LightGBM text file: converted in the sandbox, then scanned, validated and approved."""
    told = bank.steps["convert two"]
    assert told["manifest"] == bank.steps["second"]
    assert told["rows"] == REFERENCE
    assert float(told["largest_difference"]) < 1e-6
    assert bank.steps["validate two"]["verdict"] == "pass"
    this = f"{MODEL}@{bank.steps['second'][:16]}"
    assert bank.refused("audrey", "replicate", this)["error"] == "not-permitted"
    again = bank.run("vera", "replicate", this)
    assert again["outcome"] == "same-bytes", again
    page = bank.folder / "report-converted.html"
    bank.run("audrey", "report", this, "--html", page)
    assert "source/m.txt" in page.read_text()
    assert "Training repeated: " in page.read_text()
    printed = bank.try_("audrey", "show", this, "--bom").stdout
    assert hashlib.sha256(printed.encode()).hexdigest() in page.read_text(), "the report names the bill by its digest"
    assert "BSD-3-Clause" in page.read_text(), "and the licences that the scan found"
    bill = json.loads(printed)
    model = bill["metadata"]["component"]
    assert model["version"] == bank.steps["second"]
    assert {"name": "strongroom:converted-from", "value": "lightgbm"} in model["properties"]
    assert {"lightgbm", "onnxmltools"} <= {one["name"] for one in bill["components"]}


def test_the_author_cannot_approve_their_own_model(bank: Bank) -> None:
    said = bank.steps["author approves"]
    assert said["error"] in ("four-eyes", "not-permitted")
    assert "ann" in said["message"]
    assert bank.steps["validator approves"]["error"] == "four-eyes"


def test_approving_what_is_decided_already_is_a_conflict(bank: Bank) -> None:
    said = bank.refused("paul", "approve", f"{MODEL}@{bank.steps['first'][:12]}", "--yes")
    assert said["error"] == "conflict"
    assert "released" in said["message"]


def test_the_same_package_twice_is_refused_and_recorded(bank: Bank) -> None:
    said = bank.refused("ann", "submit", bank.folder / "packages" / "one")
    assert said["error"] == "conflict"
    last = bank.run("audrey", "log", "--last", 20)
    assert any(row["verb"] == "submit" and row["outcome"].startswith("conflict") for row in last)


def test_somebody_without_the_role_is_refused_with_the_entry(bank: Bank) -> None:
    said = bank.refused("audrey", "release", MODEL)
    assert said["error"] == "not-permitted"
    origin, _, index = said["entry"].partition("#")
    assert origin == bank.steps["init"]["origin"]
    rows = {row["entry"]: row for row in bank.run("audrey", "log", "--last", 400)}
    assert rows[int(index)]["who"] == "audrey"
    assert rows[int(index)]["outcome"].startswith("not-permitted")


def test_a_rejected_case_ends_with_its_reason(bank: Bank) -> None:
    package = bank.package("three", 10, parent=bank.steps["first"])
    manifest = bank.run("ann", "submit", package)["manifest"]
    this = f"{MODEL}@{manifest[:16]}"
    assert bank.run("petra", "reject", this, "--reason", "ten trees are too few")["state"] == "rejected"
    assert bank.refused("omar", "propose", this)["error"] in ("conflict", "evidence")
    assert bank.run("audrey", "show", this)["state"] == "rejected"
    assert any("ten trees" in json.dumps(row) or row["verb"] == "reject" for row in bank.run("audrey", "log"))


# reading -------------------------------------------------------------------------------------------------------------


def test_show_names_people_digests_and_lineage(bank: Bank) -> None:
    shown = bank.run("audrey", "show", f"{MODEL}@{bank.steps['second'][:16]}")
    assert shown["author"] == "ann"
    assert shown["parent"] == bank.steps["first"]
    assert shown["version"] == bank.steps["second"]
    assert set(shown["evidence"]) >= {"scan", "validation", "review"}
    assert shown["lineage"]["code_commit"] == "journey"


def test_show_without_a_model_lists_all(bank: Bank) -> None:
    listed = bank.run("audrey", "show")
    assert {bank.steps["first"], bank.steps["second"]} <= {one["version"] for one in listed}
    assert {one["model"] for one in listed} == {MODEL}


def test_the_card_is_markdown_with_front_matter(bank: Bank) -> None:
    card = bank.run("audrey", "show", f"{MODEL}@{bank.steps['first'][:16]}", "--card")["card"]
    assert card.startswith("---\n")
    assert "Probability of default" in card


def test_history_says_what_was_live_and_by_whom(bank: Bank) -> None:
    whole = bank.run("audrey", "history", MODEL)
    first = whole["pointers"][0]
    assert (first["champion"], first["by"]) == (bank.steps["first"], "omar")
    live = bank.run("audrey", "history", MODEL, "--at", first["at"].replace("+00:00", ".999999+00:00"))
    assert live["champion"] == bank.steps["first"]
    assert live["by"] == "omar"
    assert bank.refused("audrey", "history", MODEL, "--at", "2001-01-01T00:00:00+00:00")["error"] == "not-found"
    assert "2026-11-21T12:00:00" in bank.refused("audrey", "history", MODEL, "--at", "yesterday")["message"]


# running -------------------------------------------------------------------------------------------------------------


def test_a_calling_system_scores_and_keeps_receipts(bank: Bank) -> None:
    answers = bank.steps["scored"]
    assert len(answers) == 50
    assert all(0.0 <= one["pd"] <= 1.0 and one["model_version"] == bank.steps["first"] for one in answers)
    assert {one["decision"] for one in answers} <= {"accept", "refer", "decline"}
    kept = {path.stem for path in (bank.folder / "receipts").iterdir()}
    assert kept == {one["decision_id"] for one in answers}


def test_scoring_writes_answers_and_speaks_to_people(bank: Bank) -> None:
    rows = bank.folder / "work" / "rows.csv"
    applicants(3, "csv").to_csv(rows, index=False)
    output = bank.folder / "work" / "answers.parquet"
    done = bank.try_(
        None, "score", rows, "--url", f"http://127.0.0.1:{bank.port}", "--purpose", "credit-decision",
        "--jurisdiction", "TW", "--token-file", bank.secret("loan-desk"), "--output", output,
    )  # fmt: skip
    assert done.exit_code == 0, done.stdout + done.stderr
    assert "3 decisions" in done.stdout
    assert len(pd.read_parquet(output)) == 3


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("--jurisdiction", "US"), "not-permitted"),
        (("--purpose", "marketing"), "not-permitted"),
        (("--environment", "test"), "not-permitted"),
    ],
)
def test_labels_beyond_the_grant_are_refused(bank: Bank, words: tuple[str, str], error: str) -> None:
    assert bank.score(applicants(1, "x"), *words, code=REFUSED)["error"] == error


def test_a_wrong_key_is_refused(bank: Bank) -> None:
    wrong = bank.secret("wrong-key", "sr_aaaaaaaaaaaaaaaa_" + "b" * 52)
    assert bank.score(applicants(1, "x"), "--token-file", wrong, code=REFUSED)["error"] == "not-authenticated"


def test_a_value_outside_the_contract_is_refused_by_name(bank: Bank) -> None:
    said = bank.score(applicants(1, "x").assign(LIMIT_BAL=-5.0), code=REFUSED)
    assert said["error"] == "invalid-input"
    assert said["details"]["field"] == "LIMIT_BAL"


def test_a_gateway_that_is_not_there_is_unavailable(bank: Bank) -> None:
    said = bank.score(applicants(1, "x"), "--url", "http://127.0.0.1:9", code=UNAVAILABLE)
    assert "does not answer" in said["message"]


def test_a_rotated_key_works_beside_the_old_one(bank: Bank) -> None:
    new = bank.run("omar", "grant", "rotate", "loan-desk")["api_key"]
    old = bank.steps["grant"]["api_key"]
    assert new != old
    assert new.split("_")[1] == old.split("_")[1]
    fresh = bank.secret("rotated", new)
    bank.wait_for(lambda: _works(bank, fresh))
    bank.score(applicants(1, "rotated"))
    leaked = bank.run("omar", "grant", "add", "batch-desk", "--model", MODEL, "--jurisdiction", "TW",
                      "--purpose", "credit-decision")["api_key"]  # fmt: skip
    new = bank.secret("after-the-leak", bank.run("omar", "grant", "rotate", "batch-desk", "--at-once")["api_key"])
    bank.wait_for(lambda: _works(bank, new))
    assert not _works(bank, bank.secret("leaked", leaked))
    assert bank.refused("omar", "grant", "add", "loan-desk", "--model", MODEL, "--jurisdiction", "TW",
                        "--purpose", "credit-decision")["error"] == "conflict"  # fmt: skip
    assert bank.refused("omar", "grant", "rotate", "nobody")["error"] == "not-found"
    assert _works(bank, new)
    bank.run("omar", "grant", "end", "batch-desk")
    bank.wait_for(lambda: not _works(bank, new))


def test_a_second_version_is_released_and_rolled_back_while_the_sandbox_is_at_work(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = bank.steps["first"], bank.steps["second"]
    before = bank.run("audrey", "history", MODEL)["pointers"][-1]["sequence"]

    def meanwhile(*_: object) -> None:
        released = bank.run("omar", "release", f"{MODEL}@{second[:16]}", "--reason", "more trees")
        assert released["sequence"] == before + 1
        bank.wait_for(lambda: _champion(bank) == second)
        rolled = bank.run("omar", "rollback", MODEL, "--reason", "only tried")
        assert rolled == {"model": MODEL, "champion": first, "sequence": before + 2}
        raise SandboxError("the script took too long", reason="wall")

    monkeypatch.setattr(submitting.replicating, "work", meanwhile)
    told = bank.refused("vera", "replicate", f"{MODEL}@{second[:16]}")
    assert (told["error"], told["details"]) == ("sandbox", {"reason": "wall"})
    assert told["entry"], "what went wrong while others had the room is on the record too"
    bank.wait_for(lambda: _champion(bank) == first)


def test_a_canary_beyond_the_plan_is_refused(bank: Bank) -> None:
    this = f"{MODEL}@{bank.steps['second'][:16]}"
    said = bank.refused("omar", "release", this, "--stage", "canary", "--percent", 90)
    assert said["error"] == "not-permitted"
    assert said["entry"], "a refusal within the plan is on the record too"
    assert bank.try_("omar", "release", this, "--stage", "somewhere").exit_code == EXIT_CODES["usage"]


def test_a_halt_does_not_wait_for_a_battery(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another command has the room open, whoever may halt gets a signed file that stops a gateway at once."""
    monkeypatch.setattr(control, "ROOM_WAIT_S", 0.0)
    file, words = bank.folder / "halt-apart.json", ("halt", MODEL, "--reason", "scores look wrong")
    with ControlPlane.open(bank.room, bank.secret("room").read_bytes()):
        assert "with --file you get the signed halt at once" in bank.refused("paul", *words)["message"]
        told = bank.run("paul", *words, "--file", file)
        assert bank.refused("paul", "halt", "pd-others", *words[2:], "--file", file)["error"] == "not-found"
    assert told == {"model": MODEL, "halt": None, "published": False}
    shutil.copy(file, bank.node / "halt")
    bank.wait_for(lambda: not _answers(bank))
    assert bank.refused("omar", *words, "--signed", file)["error"] == "not-permitted", "not his halt, nor his role"
    assert bank.run("paul", *words, "--signed", file)["published"] is True
    for who, free in (("paul", False), ("petra", True)):
        assert bank.run(who, "lift", MODEL, "--reason", "cause found")["free"] is free
    bank.wait_for(lambda: _answers(bank))
    assert bank.refused("paul", *words, "--signed", file)["error"] == "conflict", "it was lifted, and stops nothing"


def test_one_person_halts_and_two_lift(bank: Bank) -> None:
    file = bank.folder / "halt.json"
    halted = bank.run("paul", "halt", MODEL, "--reason", "scores look wrong", "--file", file)
    assert halted["model"] == MODEL
    assert json.loads(file.read_bytes())["signatures"]
    bank.wait_for(lambda: not _answers(bank))
    assert bank.score(applicants(1, "halted"), code=REFUSED)["error"] == "halted"
    assert bank.run("paul", "lift", MODEL, "--reason", "cause found")["free"] is False
    assert bank.refused("paul", "lift", MODEL, "--reason", "me again")["error"] in ("four-eyes", "conflict")
    assert bank.run("petra", "lift", MODEL, "--reason", "checked too")["free"] is True
    bank.wait_for(lambda: _answers(bank))
    assert bank.refused("petra", "lift", MODEL, "--reason", "nothing is halted")["error"] == "not-found"


def test_a_running_gateway_is_not_started_twice_nor_closed(bank: Bank) -> None:
    again = subprocess.run(
        [sys.executable, "-m", "strongroom", "serve", str(bank.node), "--json"],
        env={**bank.environment(None), "PYTHONPATH": str(SOURCE), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert again.returncode == REFUSED, again.stderr
    assert json.loads(again.stdout)["error"] == "conflict"
    assert "stop the gateway first" in bank.refused("omar", "node", "close", bank.node)["message"]


# challengers ---------------------------------------------------------------------------------------------------------


def test_the_approvers_signed_what_a_machine_may_do(bank: Bank) -> None:
    signed = bank.steps["approve 2 two"]["signed"]
    assert "withdraw: roll-back if psi above 1.5 in each of the last 1 windows of 100 decisions" in signed
    assert "promote: promote if error-rate below 0.2 and latency-p99-s below 60 and psi below 6" in signed
    rules = bank.folder / "work" / "wrong-rules.toml"
    rules.write_text(challenger.RULES.replace('"promote"', '"retrain"'))
    this = f"{MODEL}@{bank.steps['second'][:16]}"
    assert bank.refused("omar", "propose", this, "--rules", rules)["error"] == "invalid-input"


def test_a_challenger_in_shadow_is_compared_with_the_champion(bank: Bank) -> None:
    first, second = bank.steps["first"], bank.steps["second"]
    since = datetime.now(UTC).isoformat()
    bank.run("omar", "release", f"{MODEL}@{second[:16]}", "--stage", "shadow")

    def seen() -> bool:
        bank.score(applicants(40, "shadowed"))
        done = bank.try_("omar", "compare", MODEL, "--since", since, "--json")
        # until the gateway has fetched the challenger there is nothing to compare
        return done.exit_code == 0 and json.loads(done.stdout)["pairs"] >= 40

    bank.wait_for(seen, 60)
    page = bank.folder / "compare.html"
    found = bank.run("omar", "compare", MODEL, "--since", since, "--report", page)
    assert (found["champion"]["version"], found["challenger"]["version"]) == (first, second)
    assert found["champion"]["shadowed"] == found["challenger"]["answered"] == 0
    assert found["challenger"]["shadowed"] == found["pairs"] <= found["champion"]["answered"]
    assert found["score_shift"]["paired"]
    assert 0 < abs(found["score_shift"]["mean"]) < 0.2, "forty trees are not thirty"
    assert sum(one["rows"] for one in found["swaps"]) == found["pairs"]
    assert "<script" not in page.read_text()
    assert second[:12] in page.read_text()
    assert "decisions that would differ" in bank.try_("omar", "compare", MODEL, "--since", since).stdout
    bank.run("omar", "release", f"{MODEL}@{first[:16]}")
    assert bank.refused("omar", "compare", MODEL)["error"] == "not-found", "no challenger stands beside it now"
    assert (
        bank.refused(
            "dora", "compare", MODEL, "--champion", f"{MODEL}@{first[:16]}", "--challenger", f"{MODEL}@{second[:16]}"
        )["error"]
        == "not-permitted"
    )


def test_signed_rules_promote_a_canary_and_roll_it_back(bank: Bank) -> None:
    """Every link: a machine's key, a canary at a real gateway, its ledger, the rule, the pointer, who follows."""
    first, second = bank.steps["first"], bank.steps["second"]
    this = f"{MODEL}@{second[:16]}"
    challenger.enter_machine(bank)
    bank.run("omar", "release", this, "--stage", "canary", "--percent", challenger.PERCENT)
    before = bank.run("audrey", "history", MODEL)["pointers"][-1]["sequence"]
    # until the gateway has fetched the challenger there is nothing to look at, whichever test came first
    bank.wait_for(lambda: bank.try_("night-watch", "run-rules", MODEL, "--json").exit_code == 0, 60)
    quiet = bank.run("night-watch", "run-rules", MODEL)
    assert (quiet["did"], quiet["looked"]) == (None, 2), "nothing was asked yet"
    # no machine moves a pointer but by a rule, and no stranger may let rules act
    assert bank.refused("night-watch", "release", this, "--stage", "live")["error"] == "not-permitted"
    assert bank.refused("dora", "run-rules", MODEL)["error"] == "not-permitted"

    def arms() -> set[str]:
        return {one["model_version"] for one in bank.score(applicants(30, "arm"))}

    bank.wait_for(lambda: arms() == {first, second}, 60)
    bank.score(applicants(200, "canary"))
    turns = count()

    def promoted() -> bool:
        # who falls into the canary is drawn by a secret: a window of thirty may look odd, and the next one does not
        if bank.run("night-watch", "run-rules", MODEL)["did"] == "promote":
            return True
        bank.score(applicants(100, f"canary-{next(turns)}"))
        return False

    bank.wait_for(promoted, 60)
    # the pointer says by which rule, signed by the machine's own key; the gateway follows
    moved = bank.run("audrey", "history", MODEL)["pointers"][-1]
    assert (moved["sequence"], moved["champion"], moved["challenger"]) == (before + 1, second, None)
    assert moved["by"] == "night-watch"
    bank.wait_for(lambda: _champion(bank) == second, 60)
    with ControlPlane.open(bank.room, bank.secret("room").read_bytes()) as room:
        pointer = room.repository.pointer(MODEL)
    assert pointer is not None
    assert (pointer.rule.name, pointer.rule.sha256) == ("promote", challenger.digest_of_rule("promote"))  # type: ignore[union-attr]  # set
    (entry,) = challenger.acts_by_rule(bank, "promote")
    assert (entry["verb"], entry["who"], entry["on"]) == ("release", "night-watch", f"Model {MODEL}")
    assert entry["facts"]["rule_sha256"] == challenger.digest_of_rule("promote")
    assert entry["facts"]["champion"] == second
    assert {f"figure_{name}" for name in challenger.FIGURES} <= set(entry["facts"])
    # the same client over and over is no longer what the model was approved on
    assert bank.run("night-watch", "run-rules", MODEL)["did"] is None, "the count starts anew with each move"
    bank.score(challenger.extremes(130, "same"), "--receipts", bank.folder / "drifted-receipts")
    bank.wait_for(lambda: bank.run("night-watch", "run-rules", MODEL)["did"] == "roll-back", 60)
    bank.wait_for(lambda: _champion(bank) == first, 60)
    (entry,) = challenger.acts_by_rule(bank, "withdraw")
    assert (entry["verb"], entry["facts"]["champion"]) == ("rollback", first)
    assert float(entry["facts"]["figure_psi"]) > 1.5
    # and an auditor can prove it: the logs hold, everything signed is whole, a decision of then is that version's
    assert challenger.verify_logs(bank) == 0
    assert bank.run("audrey", "fsck", "--node", bank.node)["findings"] == 0
    kept = next(iter((bank.folder / "drifted-receipts").iterdir()))
    bank.run(None, "verify", kept, "--policy", bank.policy, "--openings", bank.openings)
    assert bank.refused("night-watch", "run-rules", "no-such-model")["error"] == "not-found"


# proof ---------------------------------------------------------------------------------------------------------------


def test_a_receipt_verifies_offline_and_not_for_another_answer(bank: Bank) -> None:
    kept = bank.folder / "receipts" / f"{bank.steps['scored'][3]['decision_id']}.json"
    trust = ("--policy", bank.policy, "--openings", bank.openings)
    found = bank.run(None, "verify", kept, *trust)
    assert found["decision_id"] == kept.stem
    assert found["origin"] == bank.steps["node"]["origins"][0]
    document = json.loads(kept.read_bytes())
    text = json.dumps(document)
    changed = bank.folder / "work" / "changed.json"
    salt = document["salt"]
    changed.write_text(text.replace(salt, salt[::-1]))
    assert bank.refused(None, "verify", changed, *trust, code=TAMPERED)["error"] == "tampered"
    assert bank.refused(None, "verify", kept, *trust, "--cosigned", code=TAMPERED)["error"] == "tampered"


def test_the_receipt_of_a_past_decision_is_written_again(bank: Bank) -> None:
    decision = bank.steps["scored"][4]["decision_id"]
    to = bank.folder / "work" / "again.json"
    bank.wait_for(lambda: bank.try_("audrey", "receipt", decision, "--to", to).exit_code == 0)
    found = bank.run(None, "verify", to, "--policy", bank.policy, "--openings", bank.openings)
    assert found["decision_id"] == decision


def test_decisions_replay_bit_for_bit(bank: Bank) -> None:
    asked = bank.steps["scored"][5:8]
    for batch in (1, 5):
        replayed = bank.run("audrey", "replay", *(one["decision_id"] for one in asked), "--batch", batch)
        # the answer is a float32 whose JSON has as many digits as a float32 needs
        assert [pytest.approx(one["score"], abs=1e-9) for one in replayed] == [one["pd"] for one in asked]
    assert bank.refused("audrey", "replay", "0" * 32)["error"] == "not-found"
    assert bank.refused("ann", "replay", asked[0]["decision_id"])["error"] == "not-permitted"


def test_a_declined_applicant_gets_the_recorded_reasons_in_each_approved_language(bank: Bank) -> None:
    declined = [one for one in bank.steps["scored"] if one["decision"] == "decline"]
    assert declined, "some of fifty are declined"
    decision = declined[0]["decision_id"]
    bank.wait_for(lambda: bank.try_("audrey", "letter", decision, "--language", "en").exit_code == 0)
    for place, (language, (subject, opening, rights, reference)) in enumerate(LETTERS.items()):
        told = bank.run("audrey", "letter", decision, "--language", language)
        assert 0 < len(told["codes"]) <= 4
        reasons = [f"{n}. {REASONS[code][place]}" for n, code in enumerate(told["codes"], 1)]
        lines = [subject, "", opening, "", *reasons, "", rights, "", f"{reference}: {decision}", ""]
        assert told == {
            "decision_id": decision, "decision": "decline", "language": language, "texts": "2026-11",
            "code_map": "2026-11", "codes": told["codes"], "letter": "\n".join(lines),
        }  # fmt: skip
        # for people: the letter as it is sent, nothing spelled out and nothing around it
        printed = bank.try_("audrey", "letter", decision, "--language", language)
        assert printed.stdout == told["letter"]
        to = bank.folder / "work" / f"letter-{language}.txt"
        saved = bank.run("audrey", "letter", decision, "--language", language, "--to", to)
        assert saved["file"] == str(to)
        assert "letter" not in saved
        assert to.read_text(encoding="utf-8") == told["letter"]


def test_no_letter_is_written_in_another_language_nor_before_a_person_decided(bank: Bank) -> None:
    by = {one["decision"]: one["decision_id"] for one in bank.steps["scored"]}
    refused = bank.refused("audrey", "letter", by["decline"], "--language", "it")
    assert "it has de, en, fr; have the texts approved" in refused["message"]
    assert "needs no letter" in bank.refused("audrey", "letter", by["accept"], "--language", "de")["message"]
    assert "tell of decline alone" in bank.refused("audrey", "letter", by["refer"], "--language", "de")["message"]
    assert bank.refused("audrey", "letter", "0" * 32, "--language", "de")["error"] == "not-found"
    assert bank.refused("ann", "letter", by["decline"], "--language", "de")["error"] == "not-permitted"


def test_outcomes_are_posted_and_joined(bank: Bank) -> None:
    file = bank.folder / "work" / "outcomes.csv"
    ids = [one["decision_id"] for one in bank.steps["scored"][10:30]]
    moment = datetime.now(UTC).isoformat()
    pd.DataFrame({"decision_id": ids, "outcome": [n % 2 for n in range(20)], "observed_at": moment}).to_csv(file)
    assert "was ever submitted" in bank.refused("omar", "outcomes", "pd-card", file)["message"]
    posted = bank.run("omar", "outcomes", MODEL, file)
    assert posted["posted"] == 20
    watched = bank.run("omar", "monitor", MODEL)
    assert watched["rows"] >= 50
    assert watched["outcomes"]
    assert {row["column"] for row in watched["drift"]} >= {"LIMIT_BAL", "EDUCATION"}
    assert watched["alerts"] == []


def test_drift_raises_an_alert_on_the_record(bank: Bank) -> None:
    since = datetime.now(UTC).isoformat()
    rows = applicants(HELD_OUT, "drift")
    rows["LIMIT_BAL"] = 1_000_000.0
    for times in range(4):  # a verdict needs 1,000 rows
        bank.score(rows.assign(subject=[f"drift-{times}-{number}" for number in range(HELD_OUT)]))
    # until the first of them is published there is nothing to look at
    bank.wait_for(lambda: bank.try_("omar", "monitor", MODEL, "--since", since).exit_code == 0)
    bank.wait_for(lambda: bank.run("omar", "monitor", MODEL, "--since", since)["rows"] >= 4 * HELD_OUT)
    watched = bank.run("omar", "monitor", MODEL, "--since", since, "--alert")
    assert any(line.startswith("LIMIT_BAL") for line in watched["alerts"]), watched
    assert any(row["verb"] == "alert" for row in bank.run("audrey", "log", "--last", 100))
    assert "2026-11-21T12:00:00" in bank.refused("omar", "monitor", MODEL, "--since", "last week")["message"]


def test_an_erased_subject_cannot_be_read_and_the_log_still_verifies(bank: Bank) -> None:
    scored = bank.score(applicants(1, "forget-me"), "--receipts", bank.folder / "erased-receipts")
    decision = scored[0]["decision_id"]
    bank.wait_for(lambda: bank.try_("audrey", "replay", decision).exit_code == 0)
    certificate = bank.folder / "certificate.json"
    assert bank.refused("omar", "erase", "forget-me-0")["error"] == "not-permitted"
    erased = bank.run("dora", "erase", "forget-me-0", "--certificate", certificate)
    assert erased["online"] <= erased["backups"]
    assert json.loads(certificate.read_bytes())["signatures"]
    assert bank.refused("audrey", "replay", decision)["error"] == "erased"
    # what the caller kept stays provable: the log did not change
    kept = bank.folder / "erased-receipts" / f"{decision}.json"
    assert (
        bank.run(None, "verify", kept, "--policy", bank.policy, "--openings", bank.openings)["decision_id"] == decision
    )
    assert bank.run("dora", "erase", "--pending") == {"finished": []}
    assert bank.refused("dora", "erase")["error"] == "invalid-input"
    assert bank.refused("dora", "erase", "someone", "--pending")["error"] == "invalid-input"


def test_an_erasure_that_was_interrupted_is_finished(bank: Bank) -> None:
    decision = bank.score(applicants(1, "interrupted"))[0]["decision_id"]
    bank.wait_for(lambda: bank.try_("audrey", "replay", decision).exit_code == 0)
    with NodeRecords.open(bank.node, bank.secret("node").read_bytes()) as records:
        tag = records.tag("interrupted-0").hex()
    # what a crash leaves after the decision was recorded and before any store was asked
    request = ErasureRequest(region="eu", tag=tag, requested_by="dora", requested_us=micros(datetime.now(UTC)))
    with ControlPlane.open(bank.room, bank.secret("room").read_bytes()) as room, room.desk.begin() as books:
        books.books.erasures.put(request)
        books.commit()
    assert bank.refused("omar", "erase", "--pending")["error"] == "not-permitted"
    assert [one["tag"] for one in bank.run("dora", "erase", "--pending")["finished"]] == [tag]
    assert bank.refused("audrey", "replay", decision)["error"] == "erased"
    assert bank.run("dora", "erase", "--pending") == {"finished": []}


def test_a_file_is_scored_at_the_gateways_machine_and_its_decisions_are_like_any_other(bank: Bank) -> None:
    bank.run("omar", "node", "open-batch", bank.node)
    assert "already" in bank.refused("omar", "node", "open-batch", bank.node)["message"]
    file, output = bank.folder / "work" / "month-end.parquet", bank.folder / "month-end-answers.parquet"
    applicants(20, "batch").to_parquet(file)
    words = (
        "score", file, "--node", bank.node, "--model", MODEL, "--purpose", "credit-decision", "--jurisdiction", "TW",
        "--output", output,
    )  # fmt: skip
    assert bank.refused(None, *words, "--token-file", bank.secret("wrong", "sr_no_key"))["error"] == "not-authenticated"
    key = {"STRONGROOM_TOKEN": bank.secret("loan-desk").read_text()}
    done = bank.try_(None, *words, **key)
    assert done.exit_code == 0, done.output
    assert "20 decisions" in done.stdout
    answers = pd.read_parquet(output)
    asked = list(answers["decision_id"][:2])
    bank.wait_for(lambda: bank.try_("audrey", "replay", asked[0]).exit_code == 0)
    bank.run("audrey", "replay", *asked)
    assert bank.refused(None, *words, "--token-file", bank.secret("loan-desk"))["error"] == "conflict"


def test_fsck_finds_everything_whole(bank: Bank) -> None:
    found = bank.run("audrey", "fsck", "--node", bank.node)
    assert found["findings"] == 0, found
    what = {one["what"] for one in found["checked"]}
    assert {"governance log", "outbox", "sealed files", "people register"} <= what
    assert f"log {bank.steps['node']['origins'][0]}" in what


def test_the_governance_log_tells_the_story(bank: Bank) -> None:
    rows = bank.run("audrey", "log", "--last", 2000)
    assert [row["entry"] for row in rows] == sorted(row["entry"] for row in rows)
    done = [(row["verb"], row["who"]) for row in rows if row["outcome"] == "done"]
    story = [
        ("init", "cyril"), ("people", "cora"), ("submit", "ann"), ("register-sample", "vera"), ("scan", "omar"),
        ("validate", "omar"), ("review", "vera"), ("approve", "paul"), ("approve", "petra"), ("release", "omar"),
        ("add-grant", "omar"), ("open-shard", "omar"),
    ]  # fmt: skip
    told = iter(done)
    assert all(step in told for step in story), done


def test_unsealing_is_recorded_and_the_public_tool_accepts_it(bank: Bank) -> None:
    to = bank.folder / "unsealed"
    this = f"{MODEL}@{bank.steps['first'][:16]}"
    assert bank.refused("ann", "unseal", this, "--to", to, "--reason", "curious")["error"] == "not-permitted"
    done = bank.run("audrey", "unseal", this, "--to", to, "--reason", "supervisor's request 17")
    assert (to / "model.onnx").read_bytes() == (bank.folder / "packages" / "one" / "model.onnx").read_bytes()
    tool = [str(Path(sys.executable).with_name("model_signing")), "verify", "key", str(to)]
    tool += ["--signature", done["signature"], "--public_key", done["public_key"]]
    assert subprocess.run(tool, capture_output=True).returncode == 0
    assert bank.refused("audrey", "unseal", this, "--to", to, "--reason", "again")["error"] == "conflict"


# who is who ----------------------------------------------------------------------------------------------------------


def test_a_home_that_names_somebody_else_is_nobody(bank: Bank) -> None:
    """home.json is not signed: ann writes `paul` into hers, keeps her key, and tries what paul may do."""
    forged = bank.folder / "homes" / "ann-as-paul"
    shutil.copytree(bank.folder / "homes" / "ann", forged)
    card = json.loads((forged / "home.json").read_bytes())
    (forged / "home.json").write_text(json.dumps({**card, "person": "paul"}, sort_keys=True, separators=(",", ":")))
    for words in (("halt", MODEL, "--reason", "x"), ("show", MODEL), ("reject", MODEL, "--reason", "x")):
        said = bank.refused("ann", *words, "--home", forged)
        assert said["error"] == "not-authenticated"
        assert "registered for `ann`" in said["message"]


def test_a_new_key_under_a_known_name_is_nobody(bank: Bank) -> None:
    home = bank.folder / "homes" / "false-paul"
    bank.run("paul", "people", "new", home, "--person", "paul")
    said = bank.refused("paul", "halt", MODEL, "--reason", "x", "--home", home)
    assert said["error"] == "not-authenticated"
    assert "nowhere in the people register" in said["message"]


def test_a_key_does_not_open_without_its_passphrase(bank: Bank) -> None:
    wrong = bank.secret("not-pauls", "something else entirely")
    said = bank.refused("paul", "halt", MODEL, "--reason", "x", "--passphrase-file", wrong)
    assert said["error"] == "not-authenticated"
    said = bank.refused("paul", "halt", MODEL, "--reason", "x", "--room-passphrase-file", wrong)
    assert said["error"] == "not-authenticated"


def test_keys_of_people_do_not_lie_in_the_room(bank: Bank) -> None:
    said = bank.refused("paul", "people", "new", bank.room / "homes" / "paul", "--person", "paul")
    assert said["error"] == "invalid-input"
    assert "outside" in said["message"]
    shared = bank.secret("readable", "a passphrase that others can read")
    shared.chmod(0o644)
    assert "chmod 600" in bank.refused("paul", "show", "--passphrase-file", shared)["message"]


def test_nothing_is_signed_unread(bank: Bank) -> None:
    assert bank.steps["unread"]["error"] == "conflict"
    assert "--yes" in bank.steps["unread"]["message"]


# upkeep --------------------------------------------------------------------------------------------------------------


def test_a_fresh_timestamp_is_signed(bank: Bank) -> None:
    expires = datetime.fromisoformat(bank.run(None, "timestamp")["expires"].replace("Z", "+00:00"))
    assert expires > datetime.now(UTC)


def test_the_key_store_is_backed_up_beside_the_running_gateway(bank: Bank) -> None:
    made = bank.run(None, "node", "backup", bank.node)
    assert Path(made["backup"]).is_file()
    assert made["expired"] == []
    # a key store that is there is never overwritten
    said = bank.refused("cora", "node", "restore", bank.node, "--backup", made["backup"])
    assert said["error"] == "conflict"
    assert bank.refused("omar", "node", "restore", bank.node, "--backup", made["backup"])["error"] == "not-permitted"


def test_a_lost_key_store_is_restored_from_its_backup(bank: Bank) -> None:
    other = bank.folder / "gw-2"
    bank.run("omar", "node", "create", other, "--name", "gw-2", "--jurisdiction", "TW", "--listen", "127.0.0.1:0")
    backup = bank.run(None, "node", "backup", other)["backup"]
    (other / "keystore" / "keystore.db").unlink()
    assert bank.run("cora", "node", "restore", other, "--backup", backup)["entry"]
    assert (other / "keystore" / "keystore.db").exists()
    assert len(bank.run("omar", "node", "close", other)["entries"]) == 1


def test_a_backup_is_refused_to_others_and_restored_over_nothing(bank: Bank) -> None:
    to = bank.folder / "refused-backup"
    assert bank.refused("ann", "backup", to)["error"] == "not-permitted"
    assert not to.exists()
    made = bank.run("omar", "backup", to)
    assert bank.refused("omar", "backup", to)["error"] == "conflict"
    newest = bank.room / "ledger" / "governance" / "public" / "checkpoint"
    assert "--checkpoint" in bank.refused("cora", "restore", to)["message"]
    assert bank.refused("cora", "restore", to, "--checkpoint", newest)["error"] == "conflict", "the room is there"
    assert made["logs"][bank.steps["init"]["origin"]] > 0


def test_the_drill_loses_nothing_that_was_backed_up(bank: Bank, tmp_path: Path) -> None:
    """docs/how-to/back-up-and-restore.md, with both disks lost."""
    gone = bank.score(applicants(1, "gone"))[0]["decision_id"]
    receipts = tmp_path / "receipts"
    with load(bank, receipts) as told:
        bank.wait_for(lambda: len(told) >= 10)
        # 1. back up: the gateway under load, then the room
        before = list(told)
        made = bank.run("omar", "backup", tmp_path / "gateway-backup", "--node", bank.node)
        after = list(told)
        bank.wait_for(lambda: len(told) >= len(after) + 10)
    bank.run("dora", "erase", "gone-0")
    bank.run("omar", "backup", tmp_path / "room-backup")
    ledger, governance = bank.node / "ledger" / "0" / "public", bank.room / "ledger" / "governance" / "public"
    bank.wait_for(lambda: int((ledger / "checkpoint").read_text().split("\n")[1]) > min(made["logs"].values()))
    # 2. both are lost
    saved = elsewhere(bank, tmp_path / "elsewhere")
    # 3. the room first, and it knows what was erased since the gateway's backup
    seen = governance / "checkpoint"
    words = ("restore", tmp_path / "room-backup", "--checkpoint", seen)
    assert saved.refused("omar", *words)["error"] == "not-permitted"
    assert not (saved.room / "room.toml").exists()
    shutil.rmtree(saved.room)
    assert saved.run("cora", *words)["findings"] == []
    # 4. the gateway: new logs, and somebody else opens them
    words = ("--backup-keys", saved.folder / "keys-of-backups", "--checkpoint", ledger / "checkpoint")
    restored = saved.run("cora", "restore", tmp_path / "gateway-backup", "--node", saved.node, *words)
    assert restored["lost"][0]["count"] >= 10, "it says how much came after the backup"
    with pytest.raises(AssertionError, match="rotate-logs"):
        saved.serve()
    saved.stop()
    assert saved.refused("cora", "node", "rotate-logs", saved.node)["error"] == "not-permitted"
    assert len(saved.run("omar", "node", "rotate-logs", saved.node)["logs"]) == 1
    # 5. it serves again, under the next generation
    saved.serve()
    try:
        new = saved.score(applicants(3, "new"), "--receipts", receipts)
        saved.wait_for(lambda: saved.try_("audrey", "replay", new[0]["decision_id"]).exit_code == 0)
    finally:
        assert saved.stop() == 0
    trust = ("--policy", saved.policy, "--openings", saved.openings)
    for decision in [*before, *(one["decision_id"] for one in new)]:
        assert saved.run(None, "verify", receipts / f"{decision}.json", *trust)["decision_id"] == decision
    # 6. what was backed up can be read and computed again; who was erased since stays erased
    saved.run("audrey", "replay", before[0], before[-1])
    assert saved.refused("audrey", "replay", gone)["error"] == "erased"
    assert saved.run("audrey", "fsck", "--node", saved.node)["findings"] == 0
    origins = {log.read_text().split("\n")[0] for log in (saved.node / "ledger").glob("*/public/checkpoint")}
    assert {origin.rsplit("/", 1)[1] for origin in origins} == {"1", "2"}


def test_policies_are_checked_without_a_room(bank: Bank) -> None:
    checked = bank.run(None, "policy", "check")
    assert {"access.cedar", "trust.json", "validation.json", "lifecycle.bpmn"} <= set(checked)
    own = bank.folder / "policies"
    own.mkdir(exist_ok=True)
    (own / "access.cedar").write_text("permit (principal, action, nonsense);")
    assert bank.refused(None, "policy", "check", own)["error"] == "invalid-input"
    (own / "access.cedar").unlink()
    (own / "lifecycle.bpmn").write_text("<definitions/>")
    assert bank.refused(None, "policy", "check", own)["error"] == "invalid-input"


def test_a_witness_is_made_and_knows_a_log(bank: Bank) -> None:
    folder, secret = bank.folder / "w1", bank.secret("witness")
    vkey = bank.run(None, "witness", folder, "--create", "witness.example/w1", "--passphrase-file", secret)["vkey"]
    assert vkey.startswith("witness.example/w1+")
    log_key = next(line.split()[1] for line in bank.policy.read_text().splitlines() if line.startswith("log "))
    assert bank.run(None, "witness", folder, "--add-log", log_key)["added"] == bank.steps["init"]["origin"]


def test_a_new_person_counts_once_two_custodians_signed(bank: Bank) -> None:
    home = bank.folder / "homes" / "pia"
    key = bank.folder / "work" / "pia.pem"
    key.write_text(bank.run("pia", "people", "new", home, "--person", "pia")["key_pem"])
    assert bank.refused("pia", "show")["error"] == "not-authenticated"
    assert bank.refused("omar", "people", "enter", "pia", "--role", "auditor", "--key", key)["error"] == "not-permitted"
    assert bank.refused("cora", "people", "enter", "pia", "--role", "scanner", "--key", key)["error"] == "invalid-input"
    bank.run("cora", "people", "enter", "pia", "--role", "auditor", "--key", key)
    assert "has no say" in bank.refused("ann", "people", "sign", "--yes")["message"]
    (first,) = bank.run("cyril", "people", "sign", "--yes")
    assert any("+ person pia: auditor" in line for line in first["signed"])
    assert bank.refused("pia", "show")["error"] == "not-authenticated"
    bank.run("celia", "people", "sign", "--yes")
    assert bank.run("pia", "history", MODEL)["versions"]
    bank.run("cora", "people", "end", "pia", "--reason", "left")
    for custodian in ("cora", "cyril"):
        (signed,) = bank.run(custodian, "people", "sign", "--yes")
    assert any("~ person pia" in line and "(left)" in line for line in signed["signed"])
    assert bank.refused("pia", "show")["error"] == "not-authenticated"


def _champion(bank: Bank) -> str:
    """Who answers everybody; nobody while a canary still answers its share."""
    found = {str(one["model_version"]) for one in bank.score(applicants(30, "look"))}
    return found.pop() if len(found) == 1 else ""


def _answers(bank: Bank) -> bool:
    rows = bank.folder / "work" / "one.csv"
    applicants(1, "look").to_csv(rows, index=False)
    return _ask(bank, rows, bank.secret("loan-desk")) == 0


def _works(bank: Bank, token: Path) -> bool:
    rows = bank.folder / "work" / "one.csv"
    applicants(1, "look").to_csv(rows, index=False)
    return _ask(bank, rows, token) == 0


def _ask(bank: Bank, rows: Path, token: Path) -> int:
    return bank.try_(
        None, "score", rows, "--url", f"http://127.0.0.1:{bank.port}", "--purpose", "credit-decision",
        "--jurisdiction", "TW", "--token-file", token, "--model", MODEL, "--json",
    ).exit_code  # fmt: skip
