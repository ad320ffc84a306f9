"""Hardening: what is asked for is done, and the figures say so before and after."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
import numpy as np
import pytest

import strongroom
from strongroom.errors import InvalidInputError

pytest.importorskip("veritas")
pytest.importorskip("xgboost")
pd = pytest.importorskip("pandas")

STUDY = {"rows": 400, "attacked": 20, "answers": (100, 300)}


def feature(name: str, low: str, high: str) -> dict[str, Any]:
    return {"name": name, "type": "float", "unit": "EUR", "purpose": "credit risk", "legal_basis": "contract",
            "minimum": low, "maximum": high}  # fmt: skip


CONTRACT: dict[str, Any] = {
    "name": "pd-small", "kind": "pd", "tier": 2, "title": "Small loans", "owner": "ann", "product": "small loans",
    "process": "loan origination", "purposes": ["credit-decision"], "jurisdictions": ["EU"],
    "environments": ["production"],
    "input": {"features": [feature("income", "0", "10000"), feature("debt", "0", "50000"), feature("spare", "0", "9")]},
    "output": {"name": "pd", "unit": "probability", "minimum": "0", "maximum": "1", "tensor": "probabilities"},
    "cut_offs": [{"decision": "accept", "below": "0.2"}, {"decision": "decline"}],
    "robustness": {
        "monotone": {"income": "decreasing", "debt": "increasing"}, "cost_unit": "hours", "budget": "4",
        "actions": [{"feature": "spare", "direction": "either", "cost": "1"},
                    {"feature": "debt", "direction": "decrease", "cost": "0.01"}],
    },
}  # fmt: skip


@cache
def loans() -> Any:
    random = np.random.default_rng(11)
    n = 3000
    income, debt = random.uniform(800, 9000, n), random.uniform(0, 40000, n)
    p = 1 / (1 + np.exp(2.2 + income / 2500 - debt / 9000))
    frame = pd.DataFrame({"income": income, "debt": debt, "spare": random.uniform(0, 9, n)})
    return frame.assign(default=(random.random(n) < p).astype(int))


@cache
def hardened(**more: Any) -> Any:
    from strongroom.validation.workshop.hardening import STUDY as FULL

    parameters = {"n_estimators": 60, "max_depth": 3, "learning_rate": 0.2, "n_jobs": 1, "random_state": 0}
    study = msgspec.structs.replace(FULL, **STUDY)
    return strongroom.harden(
        loans()[:2000], loans()[2000:], contract=CONTRACT, outcome="default", parameters=parameters, study=study,
        attacked=60, **more,
    )  # fmt: skip


def figures(made: Any) -> dict[str, tuple[float, float]]:
    return {title: (before, after) for title, before, after, _ in made.table}


def test_monotone_constraints_are_proven_and_fewer_applicants_turn_their_decision() -> None:
    made = hardened()
    told = figures(made)
    before, after = told["Declared monotone features without proof"]
    assert before == 2
    assert after == 0
    before, after = told["Decisions that can be turned by changes"]
    assert after < before
    before, after = told["Area under the ROC curve"]
    assert after > before - 0.03
    assert made.added > 0


def test_the_contract_takes_the_figures_along_and_the_report_shows_both() -> None:
    from strongroom.validation.batteries.before_after import word_of_the_author
    from strongroom.validation.catalogue import Basis, answer
    from strongroom.vocabulary import digest_of
    from tests.validation.worked import contract

    wish = msgspec.convert(hardened().contract["robustness"], strongroom.registry.robustness.Robustness)
    assert wish.before["robustness.monotone"] == "2"
    stated = msgspec.structs.replace(contract(("income", "debt", "spare"), "t", "m"), robustness=wish)
    now = answer("robustness.monotone", 0, "", Basis("validation", digest_of(b"x"), 10))
    (table,) = word_of_the_author(stated, [now])
    assert ("Declared monotone features without proof", "2", "0", "lower") in table.rows
    assert word_of_the_author(contract(("a",), "t", "m"), [now]) == ()


def test_rounded_scores_are_served_rounded_and_a_band_goes_to_a_person(tmp_path: Any) -> None:
    made = hardened(measures=("monotone",), decimals=2, band=0.03)
    assert made.contract["cut_offs"] == [
        {"decision": "accept", "below": "0.17"}, {"decision": "refer", "below": "0.23"}, {"decision": "decline"},
    ]  # fmt: skip
    scores = made.predict(loans()[2000:])
    assert np.abs(scores * 100 - np.rint(scores * 100)).max() < 1e-4
    assert len(set(scores)) <= 101
    package = strongroom.package(
        made.model, tmp_path / "package", contract=made.contract, outcome="default", development=loans()[:2000],
        reference=loans()[2000:], predictions=made.predict(loans()[2000:]),
    )  # fmt: skip
    from strongroom.validation.batteries.artifact import open_model

    predict, _, _ = open_model(package.contract, package.files["model.onnx"])
    rows = np.ascontiguousarray(loans()[2000:][["income", "debt", "spare"]].to_numpy(np.float32))
    assert (predict(rows).astype(float) == scores).all()


@pytest.mark.parametrize(
    ("changes", "more"),
    [
        ({"robustness": None}, {}),
        ({}, {"measures": ("magic",)}),
        ({"robustness": {"monotone": {"income": "decreasing"}}}, {"measures": ("adversarial",)}),
        ({}, {"rounds": 0}),
        ({}, {"decimals": 9}),
        ({}, {"measures": ("monotone",), "band": 0.0}),
        ({"input": {"features": [feature("nope", "0", "1")]}, "robustness": {"monotone": {"nope": "increasing"}}},
         {"measures": ("monotone",)}),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused(changes: dict[str, Any], more: dict[str, Any]) -> None:
    contract = {key: value for key, value in {**CONTRACT, **changes}.items() if value is not None}
    with pytest.raises(InvalidInputError):
        strongroom.harden(
            loans()[:300], loans()[300:600], contract=contract, outcome="default",
            parameters={"n_estimators": 5, "max_depth": 2, "n_jobs": 1}, **more,
        )  # fmt: skip
