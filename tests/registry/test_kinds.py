"""Each kind's contract: what its output, outcome and cut-offs must be, and that nothing older changes its bytes."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from strongroom.adapters.packages.model_toml import write_contract
from strongroom.encoding import canonical, parse_as
from strongroom.errors import EvidenceError, InvalidInputError
from strongroom.registry.contract import CutOff, Feature, InputContract, Lineage, ModelContract, OutputContract, Samples
from strongroom.registry.kinds import CONTRACTS, UNDECIDED, OutcomeDefinition
from strongroom.registry.series import SeriesContract
from strongroom.registry.toml import read_contract
from strongroom.validation.kinds import KINDS, validated_kind

LOSS = OutcomeDefinition(
    meaning="share of the exposure lost, discounted, with costs", window="until the workout ends",
    parameter="lgd", exposure="ead",
)  # fmt: skip
CCF = OutcomeDefinition(
    meaning="share of the undrawn limit that was drawn",
    window="12 months",
    parameter="ccf",
    limit="limit",
    drawn="drawn",
)
EVENT = OutcomeDefinition(meaning="the payment was reported as fraud", window="90 days", amount="amount", time="time")
CASH = OutcomeDefinition(meaning="net cash flow of the week", window="one week", minimum="-1000000", origin="week")
AHEAD = tuple(
    Feature(name=name, type="category", unit="u", purpose="p", legal_basis="contract", allowed=allowed)
    for name, allowed in (("ahead", (1, 4)), ("level", (100, 500, 900)))
)
WEEKLY = SeriesContract(frequency="week", season=52, horizon="ahead", quantile="level")
FAN: dict[str, Any] = {"series": WEEKLY, "input": InputContract(tensor="input", features=AHEAD)}
CUTS = (CutOff(decision="accept", below="0.2"), CutOff(decision="decline"))


def contract(kind: Any, unit: str = "probability", **changes: Any) -> ModelContract:
    feature = Feature(name="x", type="float", unit="EUR", purpose="risk", legal_basis="contract")
    fields: dict[str, Any] = {
        "v": 1, "name": "m", "kind": kind, "tier": 1, "title": "M", "owner": "ann", "product": "loans", "process": "p",
        "purposes": ("capital",), "jurisdictions": ("EU",), "environments": ("production",),
        "input": InputContract(tensor="input", features=(feature,)),
        "output": OutputContract(tensor="variable", name="y", unit=unit, minimum="-1", maximum="2", column=0),
        "samples": Samples(
            model="model.onnx", development="d.parquet", reference="r.parquet", predictions="p.parquet", outcome="y"
        ),
        "lineage": Lineage(data={}, code_commit="unversioned", environment={}, parameters={}),
    }  # fmt: skip
    return ModelContract(**{**fields, **changes})


SOUND: dict[str, dict[str, Any]] = {
    "pd": {"cut_offs": CUTS},
    "lgd": {"unit": "share of exposure", "outcome": LOSS},
    "ead": {"unit": "credit conversion factor", "outcome": CCF},
    "fraud": {"unit": "score", "outcome": EVENT, "cut_offs": CUTS},
    "forecast": {"unit": "EUR", "outcome": CASH, **FAN},
}


@pytest.mark.parametrize("kind", CONTRACTS)
def test_every_kind_has_a_contract_that_holds_as_document_and_as_toml(kind: str) -> None:
    made = contract(kind, **SOUND[kind])
    assert parse_as(canonical(made), ModelContract) == made
    assert read_contract(write_contract(made)) == made


@pytest.mark.parametrize("kind", CONTRACTS)
def test_a_release_has_a_word_where_a_kind_decides_nothing(kind: str) -> None:
    words = [cut.decision for cut in contract(kind, **SOUND[kind]).decisions]
    assert words == (["accept", "decline"] if CONTRACTS[kind].decides else [UNDECIDED])  # type: ignore[index]


def test_what_is_not_used_is_absent_so_older_documents_keep_their_bytes() -> None:
    assert b'"outcome":{' not in canonical(contract("pd", cut_offs=CUTS))
    assert b"[outcome]" not in write_contract(contract("pd", cut_offs=CUTS))
    text = canonical(contract("lgd", **SOUND["lgd"]))
    assert b"downturn" not in text
    assert b"limit" not in text


def changed(of: OutcomeDefinition, **changes: Any) -> OutcomeDefinition:
    return msgspec.structs.replace(of, **changes)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("lgd", {"unit": "probability"}),
        ("lgd", {"outcome": msgspec.UNSET}),
        ("lgd", {"cut_offs": CUTS}),
        ("lgd", {"outcome": changed(LOSS, parameter="ccf")}),
        ("lgd", {"outcome": changed(LOSS, parameter=msgspec.UNSET)}),
        ("lgd", {"outcome": changed(LOSS, exposure=msgspec.UNSET)}),
        ("lgd", {"outcome": changed(LOSS, exposure="y")}),
        ("lgd", {"outcome": changed(LOSS, limit="limit")}),
        ("lgd", {"outcome": changed(LOSS, downturn="ead")}),
        ("lgd", {"outcome": changed(LOSS, minimum="1", maximum="0")}),
        ("lgd", {"outcome": changed(LOSS, minimum="nan")}),
        ("lgd", {"outcome": changed(LOSS, downturn="d", downturn_add_on="-0.1")}),
        ("lgd", {"outcome": changed(LOSS, exposure="sex"), "protected": ("sex",)}),
        ("ead", {"outcome": changed(CCF, drawn=msgspec.UNSET)}),
        ("ead", {"outcome": changed(CCF, parameter="lgd")}),
        ("fraud", {"cut_offs": ()}),
        ("fraud", {"outcome": msgspec.UNSET}),
        ("fraud", {"outcome": changed(EVENT, parameter="lgd")}),
        ("fraud", {"outcome": changed(EVENT, amount=msgspec.UNSET)}),
        ("fraud", {"outcome": changed(EVENT, origin="week")}),
        ("forecast", {"cut_offs": CUTS}),
        ("forecast", {"series": msgspec.UNSET}),
        ("fraud", {"cut_offs": CUTS, **FAN}),
        ("forecast", {"outcome": changed(CASH, origin=msgspec.UNSET)}),
        ("pd", {"cut_offs": ()}),
        ("pd", {"outcome": LOSS}),
    ],
)
def test_what_is_not_of_the_kind_is_refused(kind: str, changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        contract(kind, **{**SOUND[kind], **changes})


def test_an_outcome_is_said_in_words_and_an_add_on_has_its_column() -> None:
    for changes in ({"meaning": " "}, {"window": ""}, {"meaning": "x" * 1001}, {"downturn_add_on": "0.15"}):
        with pytest.raises(InvalidInputError):
            changed(LOSS, **changes)


def test_bounds_that_are_left_out_are_infinite() -> None:
    assert contract("lgd", **SOUND["lgd"]).outcome_range == (-math.inf, math.inf)
    assert contract("forecast", **SOUND["forecast"]).outcome_range == (-1000000.0, math.inf)
    assert contract("pd", cut_offs=CUTS).outcome_range == (-math.inf, math.inf)


def test_a_kind_without_a_battery_is_not_validated() -> None:
    assert set(KINDS) <= set(CONTRACTS)
    for kind in KINDS.values():
        assert kind.battery.startswith("strongroom.validation.jobs.")
    with pytest.raises(EvidenceError):
        validated_kind("astrology")
