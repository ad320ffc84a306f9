"""A model whose contract names oneDAL: submitted, scanned, validated, approved, served, explained, proven, replayed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from examples import loss_models, loss_samples

from strongroom.adapters.runtimes.by_name import machine_of
from tests.journeys.bank import Bank, each_key_derived_once
from tests.journeys.test_loss_model import review_loss_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(machine_of("onedal") is None, reason="oneDAL has no wheel for this machine"),
]
LOSS = "lgd-onedal"


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    """A bank in which the model is live."""
    with each_key_derived_once():
        bank = Bank(tmp_path_factory.mktemp("onedal"))
        bank.hire()
        bank.found()
        review_loss_model(bank, LOSS, name=LOSS, runtime="onedal")
        bank.run("omar", "propose", LOSS, "--days", 365)
        words = bank.folder / "identity.txt"
        words.write_text("Enters the capital of a small book.")
        bank.run(
            "vera", "write", LOSS, "--section", "identity", "--role", "validator", "--file", words,
            "--materiality", "low", "--complexity", "high",
        )  # fmt: skip
        bank.run("paul", "approve", LOSS, "--yes")
        bank.run("petra", "approve", LOSS, "--yes")
        bank.run("omar", "release", LOSS, "--stage", "live")
        grant = bank.run(
            "omar", "grant", "add", "capital", "--model", LOSS, "--jurisdiction", "EU", "--purpose", "capital"
        )  # fmt: skip
        bank.steps["token"] = {"file": str(bank.secret("capital", grant["api_key"]))}
        bank.make_node()
        bank.serve()
        yield bank
        assert bank.stop() == 0


def test_it_is_validated_with_the_library_that_serves_it(bank: Bank) -> None:
    assert bank.steps["validate"]["verdict"] == "pass"
    assert "onedal" in (bank.folder / "report.html").read_text()


def test_its_answers_are_the_models_one_by_one_and_together_and_come_again(bank: Bank) -> None:
    loans = loss_samples.drawn_lgd(40, 99)[list(loss_samples.LGD_FEATURES)]
    expected = loss_models.drawn_lgd(3000).model.predict(loans.to_numpy("float32"))

    def scored(first: int, last: int) -> list[dict[str, object]]:
        file = bank.folder / "work" / f"loans-{first}.parquet"
        loans.iloc[first:last].assign(subject=[f"loan-{number}" for number in range(first, last)]).to_parquet(file)
        answers = bank.run(
            None, "score", file, "--url", f"http://127.0.0.1:{bank.port}", "--purpose", "capital",
            "--jurisdiction", "EU", "--token-file", Path(bank.steps["token"]["file"]), "--model", LOSS,
            "--receipts", bank.folder / "receipts",
        )  # fmt: skip
        assert isinstance(answers, list)
        return answers

    together = scored(0, 40)
    assert [one["lgd"] for one in together] == pytest.approx(expected, abs=1e-6)
    for place in range(3):
        [alone] = scored(place, place + 1)
        assert alone["lgd"] == together[place]["lgd"]
    kept = bank.folder / "receipts" / f"{together[3]['decision_id']}.json"
    proven = bank.run(None, "verify", kept, "--policy", bank.policy, "--openings", bank.openings)
    assert proven["decision_id"] == kept.stem
    ids = [str(one["decision_id"]) for one in together[:2]]
    bank.wait_for(lambda: bank.try_("audrey", "replay", *ids).exit_code == 0)
    assert [one["score"] for one in bank.run("audrey", "replay", *ids)] == pytest.approx(
        [one["lgd"] for one in together[:2]], abs=1e-9
    )
