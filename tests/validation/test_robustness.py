"""Stress, copies, traces and attacks: by vectors, by known answers, by the prover, and in the battery."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.encoding import canonical, parse
from strongroom.errors import InvalidInputError
from strongroom.registry.contract import InputContract
from strongroom.registry.robustness import Action, Robustness
from strongroom.registry.toml import read_contract
from strongroom.validation.jobs import pd_battery, profile
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.reporting.report import render
from strongroom.validation.results import BatteryResults, NotEvaluable
from strongroom.validation.statistics import exposure, stress
from strongroom.validation.statistics.boundary_attack import Reach, attack
from tests.validation.test_forest_bounds import CONTRACT, feature
from tests.validation.worked import POLICY, package

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "validation.json").read_text())["vectors"]
WISH = Robustness(
    monotone={"LIMIT_BAL": "decreasing"},
    cost_unit="EUR",
    budget="300",
    actions=(
        Action(feature="PAY_AMT1", direction="increase", cost="0.03"),
        Action(feature="PAY_AMT2", direction="increase", cost="0.03"),
    ),
)


def test_the_vector_of_the_flip_rate() -> None:
    vector = next(v for v in VECTORS if v["id"] == "robust.flip_rate")
    given, wanted = vector["input"], vector["expected"]
    found = stress.flips(np.array(given["scores"]), np.array(given["perturbed"]), [given["cutoff"]])
    assert isinstance(found, stress.Flips)
    assert found.rate == pytest.approx(wanted["flip_rate"], abs=vector["tolerance"])
    assert found.max_abs_delta == pytest.approx(wanted["max_abs_delta"], abs=vector["tolerance"])


def test_a_score_at_the_cut_off_is_not_below_it_and_what_has_no_answer_says_why() -> None:
    at = stress.flips(np.array([0.2, 0.2]), np.array([0.2, np.nextafter(0.2, 0)]), [0.2])
    assert isinstance(at, stress.Flips)
    assert at.flipped == 1
    for scores, cuts in (([], [0.2]), ([0.1], []), ([np.nan], [0.2])):
        assert isinstance(stress.flips(np.array(scores), np.array(scores), cuts), NotEvaluable)
    with pytest.raises(InvalidInputError):
        stress.flips(np.zeros(2), np.zeros(3), [0.1])


@given(st.integers(0, 10**6), st.floats(0.01, 1))
@settings(max_examples=20, deadline=None)
def test_disturbed_rows_are_rows_that_the_gateway_takes(seed: int, share: float) -> None:
    from strongroom.validation.statistics.tables import outside

    random = np.random.default_rng(seed)
    rows = np.column_stack(
        [random.uniform(-4, 4, 50), random.integers(-4, 5, 50), random.uniform(-4, 4, 50), random.choice([1, 3, 7], 50)]
    ).astype(np.float32)
    rows[::7, 2] = np.nan
    for made in (
        stress.disturb(rows, CONTRACT, stress.spreads(rows), share, random),
        stress.take_away(rows, CONTRACT, share, random),
    ):
        assert not isinstance(made, NotEvaluable)
        assert not outside(made, CONTRACT).any()
        assert (made[:, 3] == rows[:, 3]).all()
        assert np.isnan(made[::7, 2]).all()


def test_the_spread_is_that_of_a_normal_distribution() -> None:
    rows = np.random.default_rng(1).normal(3, 2, (20_000, 1)).astype(np.float32)
    assert stress.spreads(rows)[0] == pytest.approx(2, rel=0.03)
    rare = np.zeros((100, 2), np.float32)
    rare[0, 0] = 10
    rare[:, 1] = np.nan
    assert stress.spreads(rare).tolist() == pytest.approx([float(rare[:, 0].std()), 0.0])


def test_a_smooth_model_is_copied_and_noise_is_not() -> None:
    random = np.random.default_rng(2)
    rows = random.normal(size=(1500, 3)).astype(np.float32)
    smooth = 1 / (1 + np.exp(-rows.astype(float).sum(axis=1)))
    first, last = exposure.copies(rows, smooth, [0.5], (100, 900), np.random.default_rng(0))  # type: ignore[misc]  # evaluable
    assert first.r_squared < last.r_squared
    assert last.r_squared > 0.9
    assert last.agreement > 0.9
    noise = exposure.copies(rows, random.random(1500), [0.5], (900,), np.random.default_rng(0))
    assert not isinstance(noise, NotEvaluable)
    assert noise[0].r_squared < 0.1
    for few, scores in ((rows[:40], smooth[:40]), (rows, np.ones(1500)), (rows, np.full(1500, np.nan))):
        assert isinstance(exposure.copies(few, scores, [0.5], (100,), np.random.default_rng(0)), NotEvaluable)


def test_a_model_that_learnt_by_heart_gives_its_rows_away_and_a_guess_does_not() -> None:
    random = np.random.default_rng(3)
    y = random.integers(0, 2, 2000)
    heart = np.where(y == 1, 0.97, 0.03)
    fair = np.clip(random.uniform(0.3, 0.7, 2000), 0, 1)
    found = exposure.membership((y, heart), (y, fair))
    assert not isinstance(found, NotEvaluable)
    assert found.auc == 1.0
    same = exposure.membership((y[:1000], fair[:1000]), (y[1000:], fair[1000:]))
    assert not isinstance(same, NotEvaluable)
    interval = same.interval(0.99)
    assert not isinstance(interval, NotEvaluable)
    assert interval[0] < 0.5 < interval[1]
    assert isinstance(exposure.membership((y[:0], fair[:0]), (y, fair)), NotEvaluable)


LINE = InputContract(tensor="input", features=(feature("x"), feature("y"), feature("n", type="integer")))


def line(rows: Any) -> Any:
    """A straight line: the cheapest change in the largest-change norm can be written down."""
    return (0.5 * rows[:, 0] + 0.25 * rows[:, 1] + 0.0 * rows[:, 2]).astype(np.float32)


def test_the_attack_comes_close_to_the_best_change_of_a_line_and_keeps_to_its_calls() -> None:
    actions = (
        Action(feature="x", direction="decrease", cost="1"),
        Action(feature="y", direction="decrease", cost="1"),
        Action(feature="n", direction="either", cost="1"),
    )
    row, asked = np.array([2, 2, 0], np.float32), 0

    def counted(rows: Any) -> Any:
        nonlocal asked
        asked += len(rows)
        return line(rows)

    found = attack(counted, Reach.of(row, LINE, actions, 5.0), 0.9, 1000, np.random.default_rng(0))
    assert found is not None
    assert line(found[2][None, :])[0] < 0.9
    # 1.5 - 0.75 c = 0.9
    assert 0.8 <= found[0] <= 0.9
    assert asked <= 1000 + 64
    again = attack(line, Reach.of(row, LINE, actions, 5.0), 0.9, 1000, np.random.default_rng(0))
    assert again is not None
    assert again[0] == found[0]
    # neither the wrong direction nor too small a budget leads anywhere
    up = (Action(feature="x", direction="increase", cost="1"),)
    assert attack(line, Reach.of(row, LINE, up, 5.0), 0.9, 500, np.random.default_rng(0)) is None
    assert attack(line, Reach.of(row, LINE, actions, 0.5), 0.9, 500, np.random.default_rng(0)) is None


def test_the_attack_never_beats_the_proof() -> None:
    pytest.importorskip("veritas")
    from strongroom.validation.batteries.artifact import open_model
    from strongroom.validation.statistics.tables import feature_rows, read_table
    from strongroom.validation.trees.forest_bounds import Encoded, smallest_change
    from strongroom.validation.trees.forests import forest_of

    made = package("xgboost")
    contract, model = made.contract, made.inputs["model.onnx"]
    predict, _, _ = open_model(contract, model)
    encoded = Encoded.of(forest_of(contract, model), contract.input)
    rows = feature_rows(read_table(made.inputs["validation.parquet"], "validation"), contract.input, "validation")
    won = 0
    for row in rows[predict(rows) >= 0.5][:5]:
        proof = smallest_change(encoded, row, 0.5, WISH.actions, WISH.limit, 2000)
        reach = Reach.of(row, contract.input, WISH.actions, WISH.limit)
        found = attack(predict, reach, 0.5, 600, np.random.default_rng(4))
        if found is not None:
            won += 1
            assert found[0] >= proof.low * (1 - 1e-9)
    assert won


def battery(kind: Any, wish: Robustness | None, **study: Any) -> BatteryResults:
    made = package(kind)
    policy = ValidationPolicy.decode(made.inputs["policy.json"])
    assert not isinstance(policy.robustness, msgspec.UnsetType)
    small = {"rows": 1000, "attacked": 12, "calls": 300, "answers": (100, 400), **study}
    policy = msgspec.structs.replace(policy, robustness=msgspec.structs.replace(policy.robustness, **small))
    contract = made.contract if wish is None else msgspec.structs.replace(made.contract, robustness=wish)
    inputs = {**made.inputs, "contract.json": canonical(contract), "policy.json": policy.encode()}
    inputs["profile.json"] = PROOFS.setdefault(kind, profile.run(inputs, {"isa": "x86_64-avx2"})["profile.json"])
    return BatteryResults.decode(pd_battery.run(inputs, {"manifest": "ab" * 32})["results.json"])


PROOFS: dict[str, bytes] = {}


def figures(found: BatteryResults) -> dict[str, Any]:
    return {test.rule: test for test in found.tests if test.section == "robustness"}


def test_a_forest_is_proven_in_the_battery_and_the_page_shows_it() -> None:
    pytest.importorskip("veritas")
    found = battery("xgboost", WISH)
    told = figures(found)
    assert len(told) == 8
    assert told["robustness.monotone"].verdict == "fail", "nothing held this model to it"
    assert "LIMIT_BAL" in told["robustness.monotone"].sentence
    change = told["robustness.change"]
    details = {detail.name: detail.value for detail in change.details}
    assert details["method"] == "proof"
    assert 0 < int(details["turned"]) <= change.n == 12
    assert float(change.figure or 0) >= int(details["turned"]) / 12 - 1e-9  # a figure has 16 digits at most
    assert float(told["robustness.range"].figure or 1) == 0.0
    assert float(told["robustness.near"].figure or 0) > float(told["robustness.noise"].figure or 1)
    assert 0.4 < float(told["robustness.membership"].figure or 0) < 0.6
    page = render(found.encode()).decode()
    for words in ("Cost of turning a decision", "What turns a decision", "A copy made of answers", "HopSkipJump"):
        assert words in page
    assert "dtai-veritas" in found.tools
    assert battery("xgboost", WISH).encode() == found.encode()


def test_without_a_forest_an_attack_stands_in_and_says_that_nothing_is_proven() -> None:
    told = figures(battery("logistic", WISH))
    assert told["robustness.monotone"].verdict == "not-evaluable"
    assert told["robustness.range"].verdict == "not-evaluable"
    details = {detail.name: detail.value for detail in told["robustness.change"].details}
    assert (details["method"], details["proven safe"]) == ("attack", "0")
    assert "nothing is proven" in told["robustness.change"].sentence


def test_a_contract_that_declares_nothing_is_told_so_and_a_policy_without_sizes_asks_nothing() -> None:
    told = figures(battery("xgboost", None))
    assert told["robustness.monotone"].verdict == "pass"
    assert told["robustness.change"].verdict == "not-evaluable"
    document = parse(POLICY.read_bytes())
    del document["robustness"]
    made = package("xgboost")
    inputs = {**made.inputs, "policy.json": canonical(document)}
    inputs["profile.json"] = PROOFS["xgboost"]
    none = BatteryResults.decode(pd_battery.run(inputs, {"manifest": "ab" * 32})["results.json"])
    assert not figures(none)
    # the policy's own rules still demand answers: silence means no
    assert none.verdict == "fail"


def test_a_sample_that_the_gateway_would_refuse_has_no_answers_and_no_errors() -> None:
    from strongroom.validation.batteries import bench, robustness
    from strongroom.validation.batteries.artifact import open_model
    from strongroom.validation.batteries.scored import Scored
    from strongroom.validation.catalogue import Basis
    from strongroom.vocabulary import digest_of

    made = package("xgboost")
    predict, _, _ = open_model(made.contract, made.inputs["model.onnx"])
    study = ValidationPolicy.decode(POLICY.read_bytes()).robustness
    assert not isinstance(study, msgspec.UnsetType)

    class Asked:
        contract = msgspec.structs.replace(made.contract, robustness=WISH)
        model = made.inputs["model.onnx"]
        level = 0.95

        def predict(self, rows: Any, /) -> Any:
            return predict(rows)

        def say(self, what: str, /) -> None:
            pass

    width = len(made.contract.input.features)
    rows = np.full((50, width), 9e9, np.float32)
    outcome = np.arange(50) % 2
    sample = Scored(Basis("validation", digest_of(b"x"), 50), rows, predict(rows), outcome)
    found, tables, charts = robustness.measured(bench.Subject(Asked(), study, sample, sample))
    told = {test.rule: test for test in found}
    for rule in ("robustness.noise", "robustness.near", "robustness.missing", "robustness.change"):
        assert told[rule].figure is None
        assert told[rule].reason
    assert told["robustness.extraction"].figure is None
    assert (tables, charts) == ((), ())


@pytest.mark.parametrize(
    "change",
    [
        {"monotone": {"NOPE": "increasing"}},
        {"monotone": {}, "actions": []},
        {"actions": [{"feature": "PAY_AMT1", "direction": "up", "cost": "1"}]},
        {"actions": [{"feature": "PAY_AMT1", "direction": "increase", "cost": "0"}]},
        {"actions": [{"feature": "PAY_AMT1", "direction": "increase", "cost": "nan"}]},
        {"actions": [{"feature": "NOPE", "direction": "increase", "cost": "1"}]},
        {"actions": [{"feature": "PAY_AMT1", "direction": "increase", "cost": "1"}] * 2},
        {"budget": "0"},
        {"budget": "inf"},
        {"actions": []},
        {"cost_unit": ""},
        {"unknown": 1},
    ],
)
def test_a_wish_that_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    from strongroom.encoding import parse_as
    from strongroom.registry.contract import ModelContract

    document = parse(canonical(msgspec.structs.replace(package("xgboost").contract, robustness=WISH)))
    assert parse_as(canonical(document), ModelContract).robustness == WISH
    document["robustness"] = {**document["robustness"], **change}
    with pytest.raises(InvalidInputError):
        parse_as(canonical(document), ModelContract)


@pytest.mark.parametrize(
    "change",
    [{"rows": 1}, {"noise": "0"}, {"near": "2"}, {"missing": "nan"}, {"answers": []}, {"answers": [500, 100]},
     {"attacked": 10**9}, {"seed": "x"}, {"unknown": 1}],
)  # fmt: skip
def test_sizes_that_make_no_sense_are_refused(change: dict[str, Any]) -> None:
    document = parse(POLICY.read_bytes())
    document["robustness"] |= change
    with pytest.raises(InvalidInputError):
        ValidationPolicy.decode(canonical(document))


def test_numbers_of_the_file_become_text() -> None:
    import msgspec.toml

    from tests.validation.worked import contract

    wish = {"monotone": {"A": "increasing"}, "cost_unit": "EUR", "budget": 300,
            "actions": [{"feature": "A", "direction": "increase", "cost": 0.03}]}  # fmt: skip
    document = {**msgspec.to_builtins(contract(("A",), "t", "m")), "robustness": wish}
    read = read_contract(msgspec.toml.encode(_without_none(document)))
    assert not isinstance(read.robustness, msgspec.UnsetType)
    assert (read.robustness.limit, read.robustness.actions[0].cost) == (300.0, "0.03")


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(one) for key, one in value.items() if one is not None}
    return [_without_none(one) for one in value] if isinstance(value, list | tuple) else value
