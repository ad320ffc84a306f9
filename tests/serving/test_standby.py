"""When a model fails: the approved fallback, then the fixed decision, then a refusal; recorded with the reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from strongroom.adapters.runtimes.onnx_runtime import OnnxRuntime
from strongroom.approval.release import OnFailure, Plan
from strongroom.serving.receipt import verify_receipt
from strongroom.serving.replay import read_decision
from strongroom.serving.served import ServedModel, make_ready
from strongroom.vocabulary import Digest
from tests.serving.house import House, admitted, onnx_model, release_of
from tests.web.gateways import gateway, question

FIRST, SECOND, THIRD = "ab" * 32, "cd" * 32, "ef" * 32


class Broken:
    """A scorer as it is when the runtime raises."""

    def score(self, matrix: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        raise RuntimeError("out of memory")


def version(
    manifest: str,
    role: str = "champion",
    percent: int = 0,
    *,
    fallback: str | None = None,
    decision: str | None = None,
    broken: bool = False,
    **more: object,
) -> ServedModel:
    plan = Plan(
        stages=("shadow", "canary", "live"),
        max_canary_percent=100,
        fallback=Digest(fallback) if fallback else None,
        on_failure=OnFailure(decision=decision) if decision else msgspec.UNSET,
    )
    release = msgspec.structs.replace(release_of(manifest=manifest), plan=plan, **more)
    made = make_ready(admitted(release, onnx_model(4, 0.1), role, percent), OnnxRuntime())
    return replace(made, scorer=Broken()) if broken else made  # type: ignore[arg-type]  # a scorer that fails


def ask(house: House, target: str = "/v2/models/pd-cards/infer") -> tuple[int, Any]:
    with gateway(house) as desk:
        return desk.ask(question(receipt=True), target)


def told(house: House, answer: Any) -> Any:
    return verify_receipt(answer["parameters"]["receipt"].encode(), house.log_key.verifier)[0]


@pytest.mark.parametrize("why", ["runtime", "output-contract"])
def test_the_fallback_answers_and_says_for_whom_and_why(why: str) -> None:
    narrow = msgspec.structs.replace(release_of().output, maximum="0.1")
    failing = {"broken": True} if why == "runtime" else {"output": narrow}
    house = House(version(FIRST, fallback=SECOND, **failing), version(SECOND, "fallback"))  # type: ignore[arg-type]  # of version's own
    status, answer = ask(house)
    assert (status, answer["model_version"]) == (200, SECOND)
    assert (answer["parameters"]["instead_of"], answer["parameters"]["instead_of_reason"]) == (FIRST, why)
    said = told(house, answer)
    assert (said.manifest, said.instead_of.manifest, said.instead_of.rule) == (SECOND, FIRST, why)
    assert not said.is_static


def test_the_fixed_decision_answers_without_a_score() -> None:
    house = House(version(FIRST, decision="refer-to-a-human", broken=True))
    status, answer = ask(house)
    assert status == 200
    assert answer["outputs"] == [{"name": "decision", "datatype": "BYTES", "shape": [1], "data": ["refer-to-a-human"]}]
    assert answer["parameters"]["instead_of"] == answer["model_version"] == FIRST
    said = told(house, answer)
    assert (said.decision, said.outputs, said.is_static) == ("refer-to-a-human", (), True)
    stored = house.shard.reader().find(answer["parameters"]["decision_id"])  # type: ignore[attr-defined]  # a memory shard
    key = house.keys.by_key_id(stored.payload[8:24])
    assert read_decision(stored, key).record.outcome == "answered"


def test_a_fallback_that_fails_too_leads_to_the_fixed_decision_of_the_first() -> None:
    house = House(
        version(FIRST, fallback=SECOND, decision="refer", broken=True),
        version(SECOND, "fallback", decision="accept", broken=True),
    )
    status, answer = ask(house)
    assert (status, answer["outputs"][0]["data"], answer["model_version"]) == (200, ["refer"], FIRST)


def test_without_either_it_is_refused_as_before() -> None:
    status, answer = ask(House(version(FIRST, broken=True)))
    assert (status, answer["rule"]) == (503, "runtime")
    assert "decision_id" in answer


def test_a_canary_that_fails_gives_way_to_the_champion() -> None:
    status, answer = ask(House(version(FIRST), version(SECOND, "challenger", 100, broken=True)))
    assert (status, answer["model_version"], answer["parameters"]["instead_of"]) == (200, FIRST, SECOND)


def test_who_named_a_version_gets_that_version_or_nothing() -> None:
    house = House(version(FIRST, fallback=SECOND, decision="refer", broken=True), version(SECOND, "fallback"))
    assert ask(house, f"/v2/models/pd-cards/versions/{FIRST}/infer")[0] == 503


@pytest.mark.parametrize("narrower", [{"purposes": ("other",)}, {"jurisdictions": ("EU",)}])
def test_a_fallback_that_is_released_for_less_does_not_answer(narrower: dict[str, Any]) -> None:
    house = House(version(FIRST, fallback=SECOND, broken=True), version(SECOND, "fallback", **narrower))
    assert ask(house)[0] == 503


def test_another_version_than_the_approved_fallback_does_not_answer() -> None:
    house = House(version(FIRST, fallback=THIRD, broken=True), version(SECOND, "fallback"))
    assert ask(house)[0] == 503


def test_what_the_fallback_does_not_take_is_not_the_callers_mistake() -> None:
    first = version(FIRST, fallback=SECOND, broken=True)
    features = first.release.input.features
    strict = msgspec.structs.replace(
        first.release.input, features=(msgspec.structs.replace(features[0], maximum="1"), *features[1:])
    )
    status, answer = ask(House(first, version(SECOND, "fallback", input=strict)))
    assert (status, answer["rule"]) == (503, "runtime")


def test_one_failing_request_does_not_cost_another_of_the_batch() -> None:
    narrow = msgspec.structs.replace(release_of().output, maximum="0.7")
    house = House(version(FIRST, fallback=SECOND, output=narrow), version(SECOND, "fallback"))
    with gateway(house) as desk:
        good, bad = desk.ask(question([0, 18, 1, 0.0])), desk.ask(question())
    assert (good[0], good[1]["model_version"]) == (200, FIRST)
    assert (bad[0], bad[1]["model_version"]) == (200, SECOND)
