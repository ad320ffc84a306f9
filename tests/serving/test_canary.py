"""Who is answered by the challenger: a share, keyed, sticky, growing only; and one answer from two versions."""

from __future__ import annotations

import dataclasses
import json
import math

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from strongroom import verify
from strongroom.adapters.runtimes.onnx_runtime import OnnxRuntime
from strongroom.approval.release import Plan
from strongroom.serving.canary import Canary, canary_secret
from strongroom.serving.catalogue import Catalogue
from strongroom.serving.receipt import verify_receipt
from strongroom.serving.served import ServedModel, make_ready
from strongroom.vocabulary import Digest
from tests.serving.house import FAR_US, FEATURES, GOOD, House, admitted, onnx_model, release_of
from tests.web.gateways import gateway

SECRET = b"s" * 32
RELEASE = Digest("12" * 32)


def version(manifest: str, bias: float, role: str = "champion", percent: int = 0, **more: object) -> ServedModel:
    """One version of the model, at its place."""
    plan = Plan(stages=("shadow", "canary", "live"), max_canary_percent=100, fallback=None)
    release = msgspec.structs.replace(release_of(manifest=manifest, **more), plan=plan)  # type: ignore[arg-type]  # as release_of takes them
    return make_ready(admitted(release, onnx_model(4, bias), role, percent), OnnxRuntime())


CHAMPION = version("ab" * 32, 0.0)


def with_canary(percent: int, **more: object) -> House:
    return House(CHAMPION, version("cd" * 32, 1.0, "challenger", percent, **more))


def canary(percent: int, release: Digest = RELEASE) -> Canary:
    return Canary(CHAMPION, percent, canary_secret(SECRET, release))


@given(st.text(), st.integers(1, 99), st.integers(1, 99))
def test_who_is_in_stays_in_while_the_share_grows(subject: str, one: int, other: int) -> None:
    small, large = sorted((one, other))
    assert canary(large).takes(subject) or not canary(small).takes(subject)


def test_nobody_at_zero_and_everybody_at_a_hundred() -> None:
    subjects = [f"s-{n}" for n in range(2000)]
    assert not any(canary(0).takes(one) for one in subjects)
    assert all(canary(100).takes(one) for one in subjects)


def test_the_share_is_the_share() -> None:
    subjects = [f"customer {n}" for n in range(40_000)]
    for percent in (1, 5, 25, 50):
        found = sum(canary(percent).takes(one) for one in subjects)
        share = percent / 100
        # six standard deviations of a binomial; the secret is fixed, so this passes or fails for ever
        assert abs(found - share * len(subjects)) < 6 * math.sqrt(len(subjects) * share * (1 - share))


def test_the_arms_of_two_releases_and_two_rooms_have_nothing_to_do_with_each_other() -> None:
    subjects = [f"customer {n}" for n in range(10_000)]
    mine = np.array([canary(50).takes(one) for one in subjects])
    for other in (canary(50, Digest("34" * 32)), Canary(CHAMPION, 50, canary_secret(b"t" * 32, RELEASE))):
        theirs = np.array([other.takes(one) for one in subjects])
        assert abs((mine == theirs).mean() - 0.5) < 0.03


def test_a_secret_is_not_shown() -> None:
    assert "secret" not in repr(canary(5))


def test_there_is_no_canary_without_a_secret_or_with_other_inputs() -> None:
    challenger = version("cd" * 32, 1.0, "challenger", 50)
    assert not Catalogue.of([CHAMPION, challenger], {}, FAR_US).canaries
    renamed = msgspec.structs.replace(FEATURES[0], name="cap")
    other = version("cd" * 32, 1.0, "challenger", 50, features=(renamed, *FEATURES[1:]))
    assert not Catalogue.of([CHAMPION, other], {}, FAR_US, {1: SECRET}).canaries
    assert Catalogue.of([CHAMPION, challenger], {}, FAR_US, {1: SECRET}).canaries["pd-cards"].percent == 50


def test_a_canary_is_divided_by_the_pepper_that_its_pointer_names() -> None:
    one, two = b"1" * 32, b"2" * 32
    release = msgspec.structs.replace(release_of(manifest="cd" * 32), plan=CHAMPION.release.plan)
    asked = dataclasses.replace(admitted(release, onnx_model(4, 1.0), "challenger", 50), canary_pepper=2)
    challenger = make_ready(asked, OnnxRuntime())
    found = Catalogue.of([CHAMPION, challenger], {}, FAR_US, {1: one, 2: two}).canaries["pd-cards"]
    assert found.secret == canary_secret(two, challenger.release_digest)
    assert not Catalogue.of([CHAMPION, challenger], {}, FAR_US, {1: one}).canaries, "the champion answers all"


def rows(subjects: list[str]) -> dict[str, object]:
    values = [[GOOD[0] + place, *GOOD[1:]] for place in range(len(subjects))]
    return {
        "id": "r-1",
        "inputs": [
            {"name": "x", "shape": [len(subjects), 4], "datatype": "FP32", "data": [v for row in values for v in row]},
            {"name": "strongroom.subject", "shape": [len(subjects)], "datatype": "BYTES", "data": subjects},
        ],
        "parameters": {"purpose": "credit-decision", "jurisdiction": "EU", "receipt": True},
    }


def sigmoid(row: int, bias: float) -> float:
    limit, age, status, ratio = GOOD[0] + row, *GOOD[1:]
    return 1 / (1 + math.exp(-(1e-6 * limit + 0.01 * age + 0.2 * status + 0.5 * ratio + bias)))


def test_a_subject_is_answered_by_its_arm_and_told_which_version_that_was() -> None:
    house = with_canary(50)
    arm = house.catalogue.canaries["pd-cards"]
    with gateway(house) as desk:
        for number in range(12):
            subject = f"s-{number}"
            status, answer = desk.ask(rows([subject]))
            assert status == 200
            manifest = ("cd" if arm.takes(subject) else "ab") * 32
            assert answer["model_version"] == answer["parameters"]["model_version"] == manifest
            score = answer["outputs"][0]["data"][0]
            assert math.isclose(score, sigmoid(0, 1.0 if arm.takes(subject) else 0.0), rel_tol=1e-5)


def test_rows_of_one_request_go_to_their_own_arms_and_come_back_in_order() -> None:
    house = with_canary(40)
    arm = house.catalogue.canaries["pd-cards"]
    subjects = [f"s-{number}" for number in range(20)]
    arms = [arm.takes(subject) for subject in subjects]
    assert 0 < sum(arms) < 20
    question = rows(subjects)
    with gateway(house) as desk:
        status, answer = desk.ask(question)
    assert status == 200
    wanted = [("cd" if taken else "ab") * 32 for taken in arms]
    assert "model_version" not in {*answer, *answer["parameters"]}
    assert json.loads(answer["parameters"]["model_versions"]) == wanted
    scores = answer["outputs"][0]["data"]
    for place, taken in enumerate(arms):
        assert math.isclose(scores[place], sigmoid(place, 1.0 if taken else 0.0), rel_tol=1e-5)
    first = int(answer["parameters"]["decision_id"], 16)
    receipts = json.loads(answer["parameters"]["receipts"])
    policy = verify.read_policy(f"log {house.log_key.verifier}\nquorum none\n".encode())
    for place, receipt in enumerate(receipts):
        data = json.dumps(receipt, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
        said, leaf, _ = verify_receipt(data, house.log_key.verifier)
        assert (said.manifest, leaf.release) == (wanted[place], said.release)
        assert int(said.decision_id, 16) == (first + place) % (1 << 128)
        verify.verify_messages(verify.verify_receipt(data, policy, []), question, answer, place)


def test_another_rows_version_does_not_pass_for_this_rows() -> None:
    house = with_canary(40)
    subjects = [f"s-{number}" for number in range(20)]
    question = rows(subjects)
    with gateway(house) as desk:
        _, answer = desk.ask(question)
    versions = json.loads(answer["parameters"]["model_versions"])
    receipt = json.loads(answer["parameters"]["receipts"])[0]
    data = json.dumps(receipt, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
    policy = verify.read_policy(f"log {house.log_key.verifier}\nquorum none\n".encode())
    checked = verify.verify_receipt(data, policy, [])
    for wrong in (list(reversed(versions)), versions[:0], ["ef" * 32, *versions[1:]]):
        if wrong[:1] == versions[:1]:
            continue
        answer["parameters"]["model_versions"] = json.dumps(wrong)
        try:
            verify.verify_messages(checked, question, answer, 0)
        except verify.TamperedError:
            continue
        raise AssertionError(wrong)


def test_one_bad_row_refuses_the_whole_request_and_names_the_row_that_was_sent() -> None:
    house = with_canary(40)
    subjects = [f"s-{number}" for number in range(20)]
    arm = house.catalogue.canaries["pd-cards"]
    for taken in (True, False):
        bad = next(place for place in range(3, 20) if arm.takes(subjects[place]) is taken)
        question = rows(subjects)
        question["inputs"][0]["data"][4 * bad + 1] = 200.0  # type: ignore[index]  # the age of one row
        size = house.shard.size  # type: ignore[attr-defined]  # a memory shard
        with gateway(house) as desk:
            status, answer = desk.ask(question)
        assert (status, answer["field"], answer["rule"]) == (400, "age", "range")
        assert f"in row {bad}" in answer["error"]
        assert house.shard.size == size + 1  # type: ignore[attr-defined]  # the refusal, and no answer of either arm


def test_a_caller_who_names_the_champion_gets_the_champion() -> None:
    house = with_canary(100)
    with gateway(house) as desk:
        target = f"/v2/models/pd-cards/versions/{'ab' * 32}/infer"
        assert desk.ask(rows(["s-1"]), target)[1]["model_version"] == "ab" * 32
        status, _ = desk.ask(rows(["s-1"]), f"/v2/models/pd-cards/versions/{'cd' * 32}/infer")
        assert status == 404
        assert desk.ask(rows(["s-1"]))[1]["model_version"] == "cd" * 32
