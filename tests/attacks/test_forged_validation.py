"""Whoever holds the room's passphrase holds the validation service's key, and has it sign better figures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from demo.data import FEATURES, OUTCOME, PROTECTED

from strongroom.encoding import canonical
from strongroom.validation import validating
from tests.journeys.bank import MODEL, Bank, samples


def test_the_validator_runs_the_battery_again_before_signing(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    bank.hire()
    bank.found()
    bank.run("ann", "submit", bank.package("one", 20))
    validation = samples()[2]
    validation[[*FEATURES, OUTCOME]].astype("float64").to_parquet(tmp_path / "v.parquet")
    validation[list(PROTECTED)].astype("float64").to_parquet(tmp_path / "a.parquet")
    bank.run(
        "vera", "sample", MODEL, "--validation", tmp_path / "v.parquet", "--protected", tmp_path / "a.parquet",
        "--source", "drawn by the validator",
    )  # fmt: skip
    bank.run("omar", "scan", MODEL)
    honest = validating.examine

    def forged(*args: Any, **options: Any) -> Any:
        found = honest(*args, **options)
        results = json.loads(found.results)
        next(test for test in results["tests"] if test["figure"])["figure"] = "0.99"
        return replace(found, results=canonical(results))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validating, "examine", forged)
        assert bank.run("omar", "validate", MODEL)["verdict"] == "pass"
    told = bank.refused("vera", "review", MODEL, "--opinion", "fit")
    assert told["error"] == "evidence"
    assert "run again" in told["message"]
    assert told["entry"], "whoever looks into it finds it on the record"
