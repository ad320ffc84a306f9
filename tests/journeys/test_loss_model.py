"""A loss model's way through the command line: submitted, scanned, validated, reviewed, approved, served, proven.

Nothing on the way knows its kind but the battery: no cut-offs, an outcome that is a number, an answer that decides
nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from examples import loss_models, loss_samples

from tests.journeys.bank import Bank, each_key_derived_once

LOSS = "lgd-drawn"


def review_loss_model(bank: Bank, loss: str, **contract: str) -> None:
    """A loss model of that name, from the delegation to the review; its contract as drawn, but for what is given."""
    bank.run("cora", "people", "delegate", loss, "--approver", "paul", "--approver", "petra")
    for custodian in ("celia", "cora"):
        bank.run(custodian, "people", "sign", "--yes")
    made = loss_models.drawn_lgd(3000)
    replace(made, contract={**made.contract, "explanation": told(made), **contract}).write(bank.folder / "work")
    bank.steps["submit"] = bank.run("ann", "submit", bank.folder / "work" / "package")
    bank.steps["sample"] = bank.run(
        "vera", "sample", loss, "--validation", bank.folder / "work" / "sample" / "validation.parquet",
        "--source", "drawn by the validator",
    )  # fmt: skip
    bank.steps["scan"] = bank.run("omar", "scan", loss)
    bank.steps["validate"] = bank.run("omar", "validate", loss, "--report", bank.folder / "report.html")
    bank.steps["review"] = bank.run("vera", "review", loss, "--opinion", "fit")


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    """A bank with a validated and reviewed loss model."""
    with each_key_derived_once():
        bank = Bank(tmp_path_factory.mktemp("losses"))
        bank.hire()
        bank.found()
        review_loss_model(bank, LOSS)
        yield bank
        assert bank.stop() == 0


def told(made: loss_models.Worked) -> dict[str, Any]:
    """What drives an estimate up, against eight loans of the reference sample."""
    rows = made.split.reference[list(made.features)].head(8).astype("float64").to_numpy().tolist()
    return {
        "v": 2, "method": "interventional", "code_map": "1", "max_codes": 2, "always": True,
        "reference": [[repr(value) for value in row] for row in rows],
        "groups": [{"code": name[:8], "features": [name]} for name in made.features],
    }  # fmt: skip


def test_it_is_validated_by_the_battery_of_its_kind(bank: Bank) -> None:
    assert bank.steps["validate"]["verdict"] == "pass"
    assert bank.steps["review"]["state"] == "reviewed", "the battery, run again by the reviewer, gave the same bytes"
    page = (bank.folder / "report.html").read_text()
    assert "loss given default" in page
    assert "Generalised AUC" in page
    assert "Loss shortfall" in page
    assert "Groups behind the codes" in page
    assert "explanation.proxies" in " ".join(bank.steps["validate"]["warnings"]), "no protected attribute is named"
    assert "<script" not in page
    whole = bank.folder / "whole.html"
    drawn = bank.run("vera", "report", LOSS, "--html", whole)
    assert len(drawn["sections"]) == 20
    assert "Loss shortfall" in whole.read_text()
    assert "Default rate" not in whole.read_text()
    assert "alert where bias is above 0.05 or gauc is below 0.55 beyond chance, from 100 on" in whole.read_text()
    card = bank.run("audrey", "show", LOSS, "--card")["card"]
    assert "Nothing is decided by it alone" in card
    assert "share of the exposure at default that was lost" in card


@pytest.mark.slow
def test_the_commands_that_the_report_prints_give_the_same_again(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = bank.run("audrey", "report", LOSS, "--html", "once.html", "--pdf", "once.pdf")
    page = (tmp_path / "once.html").read_text()
    assert "Risk weight and expected loss" in page
    plain = re.sub(r'<span class="w">([^<]*)</span>', r"\1", page)
    report, again, bill = (
        shlex.split(re.search(rf"<code>strongroom ({verb} [^<]*)</code>", plain)[1])  # type: ignore[index]  # they are
        for verb in ("report", "validate", "show")
    )
    assert bank.run("vera", *report)["sha256"] == told["sha256"], "page and print, by another person"
    assert (tmp_path / "report.pdf").read_bytes() == (tmp_path / "once.pdf").read_bytes()
    state = bank.run("audrey", "show", LOSS)["state"]
    came = bank.run("vera", *again)
    assert came["same"]
    assert came["results"] in page
    assert bank.run("audrey", "show", LOSS)["state"] == state, "nothing moved"
    bank.refused("vera", *again, "--report", "again.html")
    assert hashlib.sha256(bank.try_("audrey", *bill).stdout.encode()).hexdigest() in page


@pytest.mark.slow
def test_a_validation_that_was_not_passed_is_reported_with_its_figures(bank: Bank) -> None:
    low = loss_models.drawn_lgd(3000, 2)
    low = replace(low, contract={**low.contract, "name": "lgd-low"})
    folder = bank.folder / "low"
    low.write(folder)
    worse = pd.read_parquet(folder / "sample" / "validation.parquet")
    worse.assign(lgd=(worse["lgd"] + 0.2).clip(upper=1.5)).to_parquet(folder / "worse.parquet")
    bank.run("ann", "submit", folder / "package")
    bank.run("vera", "sample", "lgd-low", "--validation", folder / "worse.parquet", "--source", "a bad year")
    bank.run("omar", "scan", "lgd-low")
    before = bank.run("audrey", "report", "lgd-low")
    assert before["verdict"] == "open"
    refused = bank.refused("omar", "validate", "lgd-low")
    drawn = bank.run("audrey", "report", "lgd-low", "--html", folder / "low.html")
    page = (folder / "low.html").read_text()
    assert drawn["verdict"] == "fail"
    assert "Not passed" in page
    assert refused["details"]["results"] in page
    assert "t-test of realised against estimated" in page
    assert bank.run("vera", "validate", "lgd-low", "--again")["results"] == refused["details"]["results"]
    assert bank.run("audrey", "report", "lgd-low", "--as-of", before["as_of"])["verdict"] == "open", "not known then"


@pytest.mark.slow
def test_it_is_approved_and_answers_without_a_decision(bank: Bank) -> None:
    bank.run("omar", "propose", LOSS, "--days", 365)
    words = bank.folder / "identity.txt"
    words.write_text("Enters the capital of a small book.")
    bank.run(
        "vera", "write", LOSS, "--section", "identity", "--role", "validator", "--file", words,
        "--materiality", "low", "--complexity", "high",
    )  # fmt: skip
    said = bank.run("paul", "approve", LOSS, "--yes")
    assert "cut-offs     estimate" in said["signed"]
    bank.run("petra", "approve", LOSS, "--yes")
    bank.run("omar", "release", LOSS, "--stage", "live")
    grant = bank.run(
        "omar", "grant", "add", "capital", "--model", LOSS, "--jurisdiction", "EU", "--purpose", "capital"
    )  # fmt: skip
    token = bank.secret("capital", grant["api_key"])
    bank.make_node()
    bank.serve()
    loans = loss_samples.drawn_lgd(40, 99)[list(loss_samples.LGD_FEATURES)]
    file = bank.folder / "work" / "loans.parquet"
    loans.assign(subject=[f"loan-{number}" for number in range(40)]).to_parquet(file)
    answers = bank.run(
        None, "score", file, "--url", f"http://127.0.0.1:{bank.port}", "--purpose", "capital", "--jurisdiction", "EU",
        "--token-file", token, "--model", LOSS, "--receipts", bank.folder / "receipts",
    )  # fmt: skip
    assert {one["decision"] for one in answers} == {"estimate"}
    high = max(answers, key=lambda one: one["lgd"])["decision_id"]
    receipt = json.loads((bank.folder / "receipts" / f"{high}.json").read_bytes())
    driven = json.loads(base64.b64decode(receipt["document"]))["explanation"]["codes"]
    assert 0 < len(driven) <= 2, "the highest estimate is above the reference, and something drove it there"
    expected = loss_models.drawn_lgd(3000).model.predict(loans.to_numpy("float32"))
    assert [one["lgd"] for one in answers] == pytest.approx(expected, abs=1e-6)
    kept = bank.folder / "receipts" / f"{answers[3]['decision_id']}.json"
    proven = bank.run(None, "verify", kept, "--policy", bank.policy, "--openings", bank.openings)
    assert proven["decision_id"] == kept.stem
    ids = [one["decision_id"] for one in answers[:2]]
    posted = bank.folder / "work" / "outcomes.csv"

    def write(amounts: list[float]) -> None:
        rows = [f"{one['decision_id']},{amount!r},2099-01-01T00:00:00+00:00"
                for one, amount in zip(answers, amounts, strict=True)]  # fmt: skip
        posted.write_text("\n".join(["decision_id,outcome,observed_at", *rows]) + "\n")

    came = [one["lgd"] + 0.2 + 0.01 * (place % 5) for place, one in enumerate(answers)]
    write(came)
    assert bank.run("omar", "outcomes", LOSS, posted)["posted"] == 40
    write([amount + 0.5 for amount in came])
    assert "another amount" in bank.refused("omar", "outcomes", LOSS, posted)["message"]
    bank.wait_for(lambda: bank.try_("audrey", "replay", *ids).exit_code == 0)
    watched = bank.run("omar", "monitor", LOSS, "--alert")
    assert (watched["outcomes"]["rows"], watched["outcomes"]["waiting"]) == (40, 0)
    newest = watched["outcomes"]["windows"][-1]
    assert newest["rows"] == 40
    assert newest["figures"]["bias"]["value"] == pytest.approx(0.22, abs=1e-5)
    assert newest["figures"]["bias"]["standing"] == "too-few", "the room's policy wants 100 of them before an alert"
    assert newest["figures"]["gauc"]["standing"] in ("too-few", "not-evaluable")
    replayed = bank.run("audrey", "replay", *ids)
    assert [one["score"] for one in replayed] == pytest.approx([one["lgd"] for one in answers[:2]], abs=1e-9)
