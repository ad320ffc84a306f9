"""Reason codes from the request to the record and back: exact, ranked, recorded, replayed."""

from __future__ import annotations

import base64
import json
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from strongroom import verify
from strongroom.adapters.runtimes.by_name import runtime_of
from strongroom.adapters.runtimes.xgboost_runtime import XGBoostRuntime
from strongroom.approval.release import Release
from strongroom.encoding import canonical
from strongroom.errors import InvalidInputError, TamperedError, UnavailableError, UnsafeArtifactError
from strongroom.ledger.leaf import Leaf
from strongroom.registry.contract import CutOff, ModelContract, OutputContract
from strongroom.registry.explanation import Explanation, ReasonGroup
from strongroom.registry.kinds import UNDECIDED
from strongroom.serving.asked import Asked
from strongroom.serving.decoding import decode
from strongroom.serving.explaining import demand_explainer
from strongroom.serving.question import Question
from strongroom.serving.replay import read_decision, replay
from strongroom.serving.served import ServedModel, make_ready
from strongroom.validation.trees.forests import read_forest
from strongroom.web import v2
from tests.serving.house import FEATURES, GOOD, House, admitted, engine, onnx_model, release_of
from tests.serving.test_replay import LABELS, Kept, decide, key_of, stored
from tests.validation.forest_oracle import by_definition, path_dependent
from tests.validation.packages import contract
from tests.validation.stumps import stumps

NAMES = tuple(feature.name for feature in FEATURES)
ROWS = np.random.default_rng(11).random((60, 4)) * [1e6, 100, 0, 1.1] + [0, 18, 2, -1]
ROWS[:, 1] = np.rint(ROWS[:, 1])
WISH = Explanation(
    v=1, method="interventional", code_map="2026-11", max_codes=2, adverse="high",
    groups=(
        ReasonGroup(code="R1", features=("limit", "status")), ReasonGroup(code="R2", features=("age",)),
        ReasonGroup(code="R3", features=("ratio",), missing="M3"),
    ),
    reference=(("400000", "40", "1", "nan"), ("800000", "60", "2", "-0.5"), ("10", "25", "3", "0.05")),
)  # fmt: skip
ALONG: dict[str, Any] = {"v": 2, "method": "path-dependent", "reference": ()}


@cache
def forest() -> bytes:
    from xgboost import XGBClassifier

    rows = ROWS.astype(np.float32)
    rows[::4, 3] = np.nan
    answer = (rows[:, 0] > 5e5) ^ (rows[:, 1] > 60)
    model = XGBClassifier(n_estimators=15, max_depth=3, n_jobs=1, random_state=2).fit(rows, answer)
    return bytes(model.get_booster().save_raw("ubj"))


def native_release(**changes: Any) -> Release:
    """A release of `forest()` with an explanation."""
    release, machine = release_of(), XGBoostRuntime().machine
    return msgspec.structs.replace(
        release,
        input=msgspec.structs.replace(release.input, tensor="input"),
        output=msgspec.structs.replace(release.output, tensor="probability", column=0),
        numeric_profile=msgspec.structs.replace(
            release.numeric_profile, runtime="xgboost", version=machine.version, provider="cpu", mode="batch-invariant"
        ),
        explanation=msgspec.structs.replace(WISH, **changes),
    )


def ready(**changes: Any) -> ServedModel:
    release = native_release(**changes)
    return make_ready(admitted(release, forest()), runtime_of(release.numeric_profile))


def ask(model: ServedModel, values: Any, subjects: list[str], explain: bool = True, **more: Any) -> Asked:
    rows = 1 if isinstance(values, list) else len(values)
    question = Question(rows, values, tuple(subjects), "credit-decision", "EU", None, explain=explain, **more)
    return Asked(Kept(), "loan-desk", LABELS, engine().digest, model, question)


@pytest.mark.parametrize("changes", [{}, {"v": 2}, ALONG], ids=["first", "second", "path-dependent"])
def test_codes_and_contributions_are_told_recorded_and_replayed(changes: dict[str, Any]) -> None:
    model = ready(**changes)
    house = House(model)
    values = ROWS[:9].copy()
    values[::2, 3] = np.nan
    many = ask(model, values, [f"s-{n}" for n in range(9)])
    plain = ask(model, GOOD, ["plain"], explain=False)
    one = ask(model, values[4].tolist(), ["one"])
    answers = decide(house, [plain, many, one])
    assert answers[0].explained is None
    trees = read_forest(forest(), "xgboost", "probability", 0, 4)
    for answer in answers[1:]:
        for row, decision_id, subject, score, told in zip(
            values if answer.question.rows > 1 else values[4:5], answer.decision_ids, answer.question.subjects,
            answer.scores, answer.explained, strict=True,
        ):  # fmt: skip
            found = np.frombuffer(told.contributions, "<f8")
            narrow = row.astype(np.float32)
            right = (
                path_dependent(trees, narrow)
                if "method" in changes
                else by_definition(trees, narrow, np.array(WISH.rows(), np.float32))
            )
            np.testing.assert_allclose(found, right, atol=1e-6)
            assert told.method == changes.get("method", "interventional")
            margin = float(told.base) + found.sum()
            assert abs(1 / (1 + np.exp(-margin)) - score) <= float(told.gap) + 1e-12 < 1e-5
            weights = {"R1": found[0] + found[2], "R2": found[1], "M3" if np.isnan(row[3]) else "R3": found[3]}
            adverse = sorted((code for code in weights if weights[code] > 0), key=lambda code: -weights[code])
            assert list(told.codes) == adverse[:2]
            decision = read_decision(stored(house, decision_id), key_of(house, subject))
            assert decision.answer.explanation == told
            assert replay(decision, model, 3).score == score
    for answer in answers:
        for line in [stored(house, one) for one in answer.decision_ids]:
            subject = answer.question.subjects[answer.decision_ids.index(Leaf.decode(line.leaf).decision_id)]
            document = read_decision(line, key_of(house, subject)).record.answer
            assert canonical(msgspec.json.decode(document)) == document
    kept = read_decision(stored(house, answers[0].decision_ids[0]), key_of(house, "plain"))
    assert kept.answer.explanation is msgspec.UNSET
    # the same row alone and in a batch: the same bits
    assert answers[1].explained[4] == answers[2].explained[0]


def test_what_drove_an_estimate_of_a_regressor_is_told_recorded_and_replayed() -> None:
    model_file = stumps([(0, 5e5, 0.3), (1, 60.0, 0.2), (3, 0.0, -0.1)], 4)
    release = release_of()
    release = msgspec.structs.replace(
        release, kind="lgd", explanation=msgspec.structs.replace(WISH, v=2), cut_offs=(CutOff(decision=UNDECIDED),),
        input=msgspec.structs.replace(release.input, tensor="input"),
        output=OutputContract(
            tensor="answer", name="lgd", unit="share of exposure", minimum="-0.5", maximum="1.5", column=0
        ),
    )  # fmt: skip
    model = make_ready(admitted(release, model_file), runtime_of(release.numeric_profile))
    house = House(model)
    (answer,) = decide(house, [ask(model, ROWS[:9].copy(), [f"s-{n}" for n in range(9)])])
    trees = read_forest(model_file, "onnxruntime", "answer", 0, 4)
    told = []
    for row, told_one, score, at in zip(ROWS, answer.explained, answer.scores, answer.decision_ids, strict=False):
        found = np.frombuffer(told_one.contributions, "<f8")
        narrow = row.astype(np.float32)
        np.testing.assert_allclose(found, by_definition(trees, narrow, np.array(WISH.rows(), np.float32)), atol=1e-6)
        assert abs(float(told_one.base) + found.sum() - score) <= float(told_one.gap) + 1e-12 < 1e-6
        decision = read_decision(stored(house, at), key_of(house, f"s-{len(told)}"))
        assert decision.answer.explanation == told_one
        assert replay(decision, model, 3).score == score
        weights = {"R1": found[0] + found[2], "R2": found[1], "R3": found[3]}
        adverse = sorted((code for code in weights if weights[code] > 0), key=lambda code: -weights[code])
        assert told_one.codes == tuple(adverse[:2])
        told.append(told_one.codes)
    assert len(set(told)) > 1
    assert set(answer.decisions) == {UNDECIDED}


def test_a_release_may_demand_them_always_and_low_scores_may_be_the_adverse_ones() -> None:
    high, low = ready(always=True), ready(always=True, adverse="low")
    found = [decide(House(model), [ask(model, ROWS[0].tolist(), ["a"], explain=False)])[0] for model in (high, low)]
    told = [answer.explained[0] for answer in found]
    assert told[0].contributions == told[1].contributions
    assert not set(told[0].codes) & set(told[1].codes)


def test_no_answer_leaves_whose_explanation_does_not_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ready()
    assert model.explainer is not None
    monkeypatch.setattr(model.explainer, "_tolerance", -1.0)
    fine = ask(model, GOOD, ["fine"], explain=False)
    house = House(model)
    answers = decide(house, [ask(model, GOOD, ["s-1"]), fine])
    assert isinstance(answers[0], UnavailableError)
    assert answers[1].scores.shape == (1,)


def test_changed_reason_codes_do_not_replay() -> None:
    model = ready()
    house = House(model)
    (answer,) = decide(house, [ask(model, GOOD, ["s-1"])])
    decision = read_decision(stored(house, answer.decision_ids[0]), key_of(house, "s-1"))
    assert isinstance(decision.answer.explanation, msgspec.Struct)
    for change in ({"codes": ("R9",)}, {"base": "0.0"}, {"contributions": bytes(32)}, {"gap": "0.5"}):
        other = msgspec.structs.replace(decision.answer.explanation, **change)
        changed = decision.__class__(
            decision.leaf, decision.record, msgspec.structs.replace(decision.answer, explanation=other)
        )
        with pytest.raises(TamperedError, match="reason codes"):
            replay(changed, model)


def test_the_caller_asks_by_parameter_and_gets_two_outputs() -> None:
    model = ready()
    body = {
        "inputs": [{"name": "input", "shape": [1, 4], "datatype": "FP32", "data": GOOD}],
        "parameters": {"subject": "s-1", "explain": True},
    }
    question = decode(json.dumps(body).encode(), None, model.inputs, model.outputs)
    assert question.explain
    body["parameters"] = {"subject": "s-1"}
    assert not decode(json.dumps(body).encode(), None, model.inputs, model.outputs).explain
    body["parameters"] = {"subject": "s-1", "explain": "yes"}
    with pytest.raises(InvalidInputError):
        decode(json.dumps(body).encode(), None, model.inputs, model.outputs)
    for many in (GOOD, ROWS[:3]):
        subjects = ["a"] if isinstance(many, list) else ["a", "b", "c"]
        for binary in (False, True):
            (answer,) = decide(House(model), [ask(model, many, subjects, binary=binary)])
            text, _, header = v2.answer(answer)
            size = int(header.split(b":")[1]) if binary else len(text)
            told = json.loads(text[:size])
            shapes = {tensor["name"]: (tensor["datatype"], tensor["shape"]) for tensor in told["outputs"]}
            assert shapes["reason_codes"] == ("BYTES", [len(subjects), 2])
            assert shapes["contributions"] == ("FP64", [len(subjects), 4])
            contributions = b"".join(one.contributions for one in answer.explained)
            if binary:
                assert text.endswith(contributions)
                sizes = [tensor["parameters"]["binary_data_size"] for tensor in told["outputs"]]
                assert len(text) == size + sum(sizes)
            else:
                assert told["outputs"][-1]["data"] == np.frombuffer(contributions, "<f8").tolist()
                padded = [[*one.codes, "", ""][:2] for one in answer.explained]
                assert told["outputs"][-2]["data"] == [code for codes in padded for code in codes]
    with pytest.raises(UnavailableError, match="no reason codes"):
        demand_explainer(None, "pd-cards")


def test_a_model_that_cannot_be_explained_exactly_is_not_served_with_a_promise_of_it() -> None:
    release = msgspec.structs.replace(release_of(), explanation=WISH)
    with pytest.raises(UnsafeArtifactError, match="cannot be explained"):
        make_ready(admitted(release, onnx_model(4)), runtime_of(release.numeric_profile))


@pytest.mark.parametrize(
    "change",
    [
        {"groups": ()}, {"groups": (WISH.groups[0], WISH.groups[0])}, {"reference": ()}, {"max_codes": 0},
        {"max_codes": 9}, {"tolerance": "0"}, {"tolerance": "1"}, {"tolerance": "nan"}, {"code_map": ""},
        {"groups": (ReasonGroup(code="M", features=("age",)), ReasonGroup(code="B", features=("limit",), missing="M"))},
        {"groups": (ReasonGroup(code="a\nb", features=NAMES),)}, {"v": 3}, {"method": "lime"},
        {"method": "path-dependent", "v": 2}, {"method": "path-dependent", "reference": ()}, {"v": 2, "reference": ()},
    ],
)  # fmt: skip
def test_an_explanation_that_breaks_a_rule_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises((InvalidInputError, msgspec.ValidationError)):
        msgspec.convert({**msgspec.to_builtins(WISH), **msgspec.to_builtins(change)}, Explanation)


@pytest.mark.parametrize(
    "change",
    [
        {"groups": (ReasonGroup(code="A", features=("limit", "age")),)},
        {"groups": (ReasonGroup(code="A", features=("limit", "age", "late", "sex")),)},
        {"groups": (ReasonGroup(code="A", features=("limit", "age", "late", "late")),)},
        {"reference": (("1", "2"),)},
        {"reference": (("1", "2", "x"),)},
        {"reference": (("1", "2", "1e39"),)},
    ],
)
def test_no_contract_maps_what_is_no_feature_or_drops_one(change: dict[str, Any]) -> None:
    """A protected attribute is no feature, so no code can ever stand for it."""
    sound = msgspec.structs.replace(
        WISH, groups=(ReasonGroup(code="A", features=("limit", "age", "late")),), reference=(("1", "nan", "3"),)
    )
    stated = msgspec.to_builtins(contract())
    made = msgspec.convert({**stated, "explanation": msgspec.to_builtins(sound)}, ModelContract)
    assert made.explanation == sound
    assert b"explanation" not in canonical(contract())
    along = msgspec.to_builtins(msgspec.structs.replace(sound, v=2, method="path-dependent", reference=()))
    with pytest.raises((InvalidInputError, msgspec.ValidationError), match="only `xgboost` keeps"):
        msgspec.convert({**stated, "explanation": along}, ModelContract)
    wrong = msgspec.structs.replace(sound, **change)
    with pytest.raises((InvalidInputError, msgspec.ValidationError)):
        msgspec.convert({**stated, "explanation": msgspec.to_builtins(wrong)}, ModelContract)


def test_what_the_page_for_authors_shows_is_an_explanation() -> None:
    page = Path(__file__).parents[2] / "docs" / "how-to" / "give-reason-codes.md"
    [shown] = re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL)
    wish = msgspec.convert(tomllib.loads(shown)["explanation"], Explanation)
    wish.demand_features(("income", "age", "late"))
    assert (wish.v, wish.method, wish.groups[1].missing) == (2, "interventional", "M02")


@pytest.mark.parametrize("changes", [{}, ALONG], ids=["interventional", "path-dependent"])
def test_the_lone_verifier_holds_the_told_codes_against_the_receipt(changes: dict[str, Any]) -> None:
    model = ready(**changes)
    values = ROWS[:3].copy()
    (answer,) = decide(House(model), [ask(model, values, ["a", "b", "c"], receipt=True)])
    told = json.loads(v2.answer(answer)[0])
    for row in range(3):
        document = json.loads(base64.b64decode(json.loads(answer.receipts[row])["document"]))
        assert verify.fits(document, verify._ANSWERS)
        receipt = verify.Receipt(document, {}, 0, None, False)  # type: ignore[arg-type]  # only the document is looked at
        verify.verify_messages(receipt, None, told, row)
        for name, change in (("reason_codes", "R9"), ("contributions", 0.5), ("decision", "other")):
            changed = json.loads(json.dumps(told))
            [tensor] = [one for one in changed["outputs"] if one["name"] == name]
            width = tensor["shape"][1] if len(tensor["shape"]) == 2 else 1
            tensor["data"][row * width] = change
            with pytest.raises(verify.TamperedError, match=name):
                verify.verify_messages(receipt, None, changed, row)
        del document["explanation"]
        with pytest.raises(verify.TamperedError):
            verify.verify_messages(receipt, None, told, row)
