"""A loss model's way through the command line: submitted, scanned, validated, reviewed, approved, served, proven.

Nothing on the way knows its kind but the battery: no cut-offs, an outcome that is a number, an answer that decides
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from examples import loss_models, loss_samples

from tests.journeys.bank import Bank, each_key_derived_once

LOSS = "lgd-drawn"


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    """A bank with a validated and reviewed loss model."""
    with each_key_derived_once():
        bank = Bank(tmp_path_factory.mktemp("losses"))
        bank.hire()
        bank.found()
        bank.run("cora", "people", "delegate", LOSS, "--approver", "paul", "--approver", "petra")
        for custodian in ("celia", "cora"):
            bank.run(custodian, "people", "sign", "--yes")
        loss_models.drawn_lgd(3000).write(bank.folder / "work")
        bank.steps["submit"] = bank.run("ann", "submit", bank.folder / "work" / "package")
        bank.steps["sample"] = bank.run(
            "vera", "sample", LOSS, "--validation", bank.folder / "work" / "sample" / "validation.parquet",
            "--source", "drawn by the validator",
        )  # fmt: skip
        bank.steps["scan"] = bank.run("omar", "scan", LOSS)
        bank.steps["validate"] = bank.run("omar", "validate", LOSS, "--report", bank.folder / "report.html")
        bank.steps["review"] = bank.run("vera", "review", LOSS, "--opinion", "fit")
        yield bank
        assert bank.stop() == 0


def test_it_is_validated_by_the_battery_of_its_kind(bank: Bank) -> None:
    assert bank.steps["validate"]["verdict"] == "pass"
    assert bank.steps["review"]["state"] == "reviewed", "the battery, run again by the reviewer, gave the same bytes"
    page = (bank.folder / "report.html").read_text()
    assert "loss given default" in page
    assert "Generalised AUC" in page
    assert "Loss shortfall" in page
    assert "<script" not in page
    whole = bank.folder / "whole.html"
    drawn = bank.run("vera", "report", LOSS, "--html", whole)
    assert len(drawn["sections"]) == 20
    assert "Loss shortfall" in whole.read_text()
    assert "Default rate" not in whole.read_text()
    card = bank.run("audrey", "show", LOSS, "--card")["card"]
    assert "Nothing is decided by it alone" in card
    assert "share of the exposure at default that was lost" in card


@pytest.mark.slow
def test_it_is_approved_and_answers_without_a_decision(bank: Bank) -> None:
    bank.run("omar", "propose", LOSS, "--days", 365)
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
