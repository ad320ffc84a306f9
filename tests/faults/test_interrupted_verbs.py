"""A verb of two acts that ends between them: whoever repeats it, or comes next, gets on."""

from __future__ import annotations

from pathlib import Path

import pytest

from strongroom.wiring import resuming, submitting
from tests.journeys.bank import MODEL, Bank


class PowerCutError(BaseException):
    """Nothing after it happens."""


def cut(*_: object, **__: object) -> None:
    raise PowerCutError


def interrupted(bank: Bank, module: object, name: str, person: str, *words: object) -> None:
    """Run a command that ends where this function would be called."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, name, cut)
        with pytest.raises(PowerCutError):
            bank.try_(person, *words)


def test_interrupted_submission_scan_and_validation(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    bank.hire()
    bank.found()
    package = bank.package("one", 20)
    interrupted(bank, submitting, "_open_case", "ann", "submit", package)
    told = bank.refused("omar", "scan", MODEL)
    assert "submits it once more" in told["message"]
    assert bank.run("ann", "submit", package)["state"] == "submitted"
    bank.refused("ann", "submit", package)

    interrupted(bank, submitting.approval, "follow", "omar", "scan", MODEL)
    again = bank.run("omar", "scan", MODEL)
    assert again["evidence"] == bank.run("audrey", "show", MODEL)["evidence"]["scan"]
    bank.refused("omar", "scan", MODEL)

    work = bank.folder / "work" / "one"
    _samples(work)
    bank.run(
        "vera", "sample", MODEL, "--validation", work / "v.parquet", "--protected", work / "a.parquet",
        "--source", "drawn by the validator",
    )  # fmt: skip
    interrupted(bank, resuming.approval, "follow", "omar", "validate", MODEL)
    reviewed = bank.run("vera", "review", MODEL, "--opinion", "fit")
    assert reviewed["state"] == "reviewed"


def _samples(work: Path) -> None:
    from demo.data import FEATURES, OUTCOME, PROTECTED

    from tests.journeys.bank import samples

    validation = samples()[2]
    validation[[*FEATURES, OUTCOME]].astype("float64").to_parquet(work / "v.parquet")
    validation[list(PROTECTED)].astype("float64").to_parquet(work / "a.parquet")
