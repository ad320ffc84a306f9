"""A forecast by the command line alone: let in, asked for a fan of quantiles, and watched until an alert is raised.

The house of this journey takes narrow intervals as a warning, and watches the bias of its forecasts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Any

import pandas as pd
import pytest
import tomli_w
from examples import forecast as example

from strongroom.encoding import canonical
from tests.journeys.bank import Bank, each_key_derived_once

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

NAME = "turnover-forecast"
MEDIAN = 500


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    """A bank with a forecast in force, and a gateway."""
    with each_key_derived_once():
        bank = Bank(tmp_path_factory.mktemp("forecast"))
        bank.hire()
        bank.found()
        bank.run("cora", "people", "delegate", NAME, "--approver", "paul", "--approver", "petra")
        for custodian in ("celia", "cora"):
            bank.run(custodian, "people", "sign", "--yes")
        watch_bias(bank)
        try:
            let_in(bank)
            grant = bank.run(
                "omar", "grant", "add", "treasury", "--model", NAME, "--jurisdiction", "EU",
                "--purpose", "liquidity-planning",
            )  # fmt: skip
            bank.secret("treasury", grant["api_key"])
            bank.make_node()
            bank.serve()
            yield bank
        finally:
            assert bank.stop() == 0


def watch_bias(bank: Bank) -> None:
    """Policies are the bank's: this one is published by its custodians."""
    told = json.loads((files("strongroom") / "policies" / "validation.json").read_bytes())
    for battery in told["batteries"]:
        for place, rule in enumerate(battery["rules"]):
            if battery["kind"] == "forecast" and rule["test"] == "coverage.kupiec":
                battery["rules"][place] = {**rule, "role": "advisory", "fail": None}
    watched = {"kind": "forecast", "window_days": 30, "windows": 1, "min_rows": 4, "limits": {"bias": "0.05"}}
    told["outcomes"] = [one for one in told["outcomes"] if one["kind"] != "forecast"] + [watched]
    folder = bank.folder / "policies"
    folder.mkdir()
    (folder / "validation.json").write_bytes(canonical(told))
    assert bank.run("cora", "policy", "propose", folder)["changed"] == ["policy/validation.json"]
    for custodian in ("cyril", "celia"):
        bank.run(custodian, "people", "sign", "--yes")


def let_in(bank: Bank) -> None:
    work = bank.folder / "work"
    work.mkdir()
    development, reference, validation = example.samples(example.turnover())
    model = example.fit(development)
    (work / "m.onnx").write_bytes(model.onnx())
    (work / "c.toml").write_text(tomli_w.dumps(example.contract()))
    development.to_parquet(work / "d.parquet")
    reference.to_parquet(work / "r.parquet")
    pd.DataFrame({"prediction": model.predict(reference)}).to_parquet(work / "p.parquet")
    validation[[*example.FEATURES, "turnover", "origin"]].to_parquet(work / "v.parquet")
    bank.run(
        None, "package", work / "package", "--model", work / "m.onnx", "--contract", work / "c.toml",
        "--development", work / "d.parquet", "--reference", work / "r.parquet", "--predictions", work / "p.parquet",
        "--outcome", "turnover",
    )  # fmt: skip
    bank.run("ann", "submit", work / "package")
    bank.run("vera", "sample", NAME, "--validation", work / "v.parquet", "--source", "the later years")
    bank.run("omar", "scan", NAME)
    bank.steps["validate"] = bank.run("omar", "validate", NAME)
    bank.run("vera", "review", NAME, "--opinion", "fit", "--finding", "medium:intervals hold too little")
    words = work / "rated.txt"
    words.write_text("One firm's receipts.")
    bank.run(
        "vera", "write", NAME, "--section", "identity", "--role", "validator", "--file", words,
        "--materiality", "low", "--complexity", "low",
    )  # fmt: skip
    bank.run("omar", "propose", NAME)
    for approver in ("paul", "petra"):
        bank.run(approver, "approve", NAME, "--yes")
    bank.run("omar", "release", NAME)


def asked(bank: Bank, origins: Sequence[int]) -> pd.DataFrame:
    """The fans of some origins as they were answered, with what came."""
    rows = example.samples(example.turnover())[2]
    rows = rows[rows["origin"].isin(origins)].reset_index(drop=True)
    file = bank.folder / "work" / f"asked-{origins[0]}.parquet"
    rows[list(example.FEATURES)].assign(subject="firm-1").to_parquet(file)
    told = bank.run(
        None, "score", file, "--url", f"http://127.0.0.1:{bank.port}", "--purpose", "liquidity-planning",
        "--jurisdiction", "EU", "--token-file", bank.secret("treasury"), "--model", NAME,
    )  # fmt: skip
    assert {one["decision"] for one in told} == {"estimate"}
    return rows.assign(told=[one["turnover"] for one in told], decision_id=[one["decision_id"] for one in told])


def posted(bank: Bank, rows: pd.DataFrame, amounts: Any) -> list[object]:
    """The words of `strongroom outcomes` for what came."""
    file = bank.folder / "work" / "came.csv"
    frame = pd.DataFrame({"decision_id": rows["decision_id"], "outcome": amounts})
    frame.assign(observed_at="2099-01-01T00:00:00+00:00").to_csv(file, index=False)
    return ["outcomes", NAME, file]


def test_a_bias_beyond_the_policys_limit_raises_an_alert_that_stands_in_the_log(bank: Bank) -> None:
    assert "kupiec" in " ".join(bank.steps["validate"]["warnings"])
    calm = asked(bank, [192])
    medians = calm.set_index("horizon").query("quantile == @MEDIAN")["told"]
    bank.run("omar", *posted(bank, calm, calm["horizon"].map(medians)))
    bank.wait_for(lambda: bank.try_("audrey", "replay", calm["decision_id"].iloc[-1]).exit_code == 0)
    before = bank.run("omar", "monitor", NAME, "--alert")
    figures = before["outcomes"]["windows"][-1]["figures"]
    assert (figures["bias"]["standing"], figures["bias"]["value"]) == ("stable", 0.0)
    assert figures["wape"]["standing"] == "unjudged", "a figure without a limit is shown"
    assert not [line for line in before["alerts"] if "bias" in line]

    boom = asked(bank, [193, 194])
    waiting = before["outcomes"]["waiting"]
    # a monitor reads what is published, which is a moment after the answer
    bank.wait_for(lambda: bank.run("omar", "monitor", NAME)["outcomes"]["waiting"] >= waiting + len(boom))
    bank.run("omar", *posted(bank, boom, boom["turnover"] * 1.5))
    bank.wait_for(lambda: bank.try_("audrey", "replay", boom["decision_id"].iloc[-1]).exit_code == 0)
    after = bank.run("omar", "monitor", NAME, "--alert")
    newest = after["outcomes"]["windows"][-1]
    assert newest["rows"] == len(calm) + len(boom)
    assert newest["figures"]["bias"]["standing"] == "alert"
    assert newest["figures"]["bias"]["value"] < -0.15, "forecasts were too low"
    assert [line for line in after["alerts"] if "bias" in line]
    shown = bank.try_("omar", "monitor", NAME, "--alert", COLUMNS="200").stdout
    assert "realised amounts by window of 30 days" in shown
    assert "alert: " in shown
    told = [one for one in bank.run("audrey", "log", "--last", 20) if one["verb"] == "alert"]
    assert told
    assert {one["who"] for one in told} == {"omar"}


def test_what_cannot_be_posted_is_refused_with_what_would_be(bank: Bank) -> None:
    rows = asked(bank, [196])
    words = posted(bank, rows, rows["turnover"])
    file = bank.folder / "work" / "wrong.csv"
    pd.read_csv(words[-1])[["outcome"]].to_csv(file, index=False)  # type: ignore[arg-type]  # it is a path
    assert "lacks columns `decision_id`, `observed_at`" in bank.refused("omar", "outcomes", NAME, file)["message"]
    assert bank.refused("ann", *words)["error"] == "not-permitted"
    assert "bounds of an outcome, 0 or more" in bank.refused("omar", *posted(bank, rows, -1.0))["message"]
    assert "finite number" in bank.refused("omar", *posted(bank, rows, "much"))["message"]
    assert "was ever submitted" in bank.refused("omar", "outcomes", "turnover", words[-1])["message"]
