"""Conformance to the Open Inference Protocol V2 (REST), our own suite from its text, and tritonclient unmodified."""

from __future__ import annotations

import json

import numpy as np
import pytest

from strongroom.serving.receipt import verify_receipt
from tests.serving.house import GOOD, House, served
from tests.web.gateways import gateway, question

INFER = "/v2/models/pd-cards/infer"


@pytest.fixture(scope="module")
def desk():
    with gateway() as one:
        yield one


def test_health_answers_without_a_credential(desk):
    for target, body in (("/v2/health/live", {"live": True}), ("/v2/health/ready", {"live": True, "ready": True})):
        status, _, answer = desk.raw("GET", target, headers={"Authorization": ""})
        assert status == 200
        assert json.loads(answer) == body


def test_server_metadata(desk):
    status, _, body = desk.raw("GET", "/v2")
    document = json.loads(body)
    assert status == 200
    assert set(document) == {"name", "version", "extensions"}
    assert "binary_tensor_data" in document["extensions"]


@pytest.mark.parametrize("version", ["", "/versions/" + "ab" * 32])
def test_model_metadata_and_ready(desk, version):
    status, _, body = desk.raw("GET", "/v2/models/pd-cards" + version)
    document = json.loads(body)
    assert status == 200
    assert document["name"] == "pd-cards"
    assert document["versions"] == ["ab" * 32]
    assert document["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
    assert document["outputs"][0] == {"name": "pd", "datatype": "FP32", "shape": [-1]}
    status, _, body = desk.raw("GET", f"/v2/models/pd-cards{version}/ready")
    assert (status, json.loads(body)) == (200, {"name": "pd-cards", "ready": True})


def test_the_answer_has_the_protocols_fields_and_echoes_the_id(desk):
    status, answer = desk.ask(question() | {"id": "42"})
    assert status == 200
    assert set(answer) == {"model_name", "model_version", "id", "parameters", "outputs"}
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("pd-cards", "ab" * 32, "42")
    score, decision = answer["outputs"]
    assert (score["name"], score["datatype"], score["shape"]) == ("pd", "FP32", [1])
    assert np.float32(score["data"][0]) == score["data"][0]
    assert decision == {"name": "decision", "datatype": "BYTES", "shape": [1], "data": ["refer"]}
    assert set(answer["parameters"]) == {"decision_id", "model_version", "release"}


def test_the_short_way_of_writing_an_answer_writes_the_same(desk):
    _, short = desk.ask(question() | {"id": 'a"\\é'})
    _, long = desk.ask(question() | {"id": 'a"\\é', "outputs": [{"name": "pd"}, {"name": "decision"}]})
    for answer in (short, long):
        assert len(answer["parameters"].pop("decision_id")) == 32
    assert short == long
    assert list(short) == list(long)


def test_a_versioned_route_answers(desk):
    status, answer = desk.ask(question(), f"/v2/models/pd-cards/versions/{'ab' * 32}/infer")
    assert status == 200
    assert answer["model_version"] == "ab" * 32


def test_only_the_outputs_asked_for_come(desk):
    status, answer = desk.ask(question() | {"outputs": [{"name": "decision"}]})
    assert status == 200
    assert [one["name"] for one in answer["outputs"]] == ["decision"]


def test_every_form_of_the_same_row_gets_the_same_bits(desk):
    names = ("limit", "age", "status", "ratio")
    labels = question()["parameters"]
    columns = [{"name": n, "shape": [1], "datatype": "FP64", "data": [v]} for n, v in zip(names, GOOD, strict=True)]
    columns[1] |= {"datatype": "INT64", "data": [40]}
    columns[2] |= {"datatype": "UINT8", "shape": [1, 1], "data": [[2]]}
    forms = [
        question(),
        {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP64", "data": [GOOD]}], "parameters": labels},
        {"inputs": columns[::-1], "parameters": labels},
        {
            "inputs": [
                question()["inputs"][0],
                {"name": "strongroom.subject", "shape": [1], "datatype": "BYTES", "data": ["s-1"]},
            ],
            "parameters": {name: value for name, value in labels.items() if name != "subject"},
        },
    ]
    answers = [desk.ask(form) for form in forms]
    assert [status for status, _ in answers] == [200] * 4
    assert len({answer["outputs"][0]["data"][0] for _, answer in answers}) == 1


def test_missing_is_null_where_the_contract_allows_it(desk):
    assert desk.ask(question([*GOOD[:3], None]))[0] == 200
    status, answer = desk.ask(question([None, *GOOD[1:]]))
    assert (status, answer["field"], answer["rule"]) == (400, "limit", "missing")


def test_many_rows_carry_a_subject_each_and_a_receipt_each(desk):
    body = {
        "inputs": [
            {"name": "x", "shape": [3, 4], "datatype": "FP32", "data": GOOD * 3},
            {"name": "strongroom.subject", "shape": [3], "datatype": "BYTES", "data": ["a", "b", "c"]},
        ],
        "parameters": {"purpose": "credit-decision", "jurisdiction": "EU", "receipt": True},
    }
    status, answer = desk.ask(body)
    assert status == 200
    assert len(answer["outputs"][0]["data"]) == 3
    receipts = json.loads(answer["parameters"]["receipts"])
    base = int(answer["parameters"]["decision_id"], 16)
    for place, receipt in enumerate(receipts):
        text = json.dumps(receipt, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        proven, _, _ = verify_receipt(text, desk.house.log_key.verifier)
        assert int(proven.decision_id, 16) == base + place


def test_a_receipt_proves_the_answer_that_it_came_with(desk):
    _, answer = desk.ask(question(receipt=True))
    proven, leaf, _ = verify_receipt(answer["parameters"]["receipt"].encode(), desk.house.log_key.verifier)
    assert proven.decision_id == answer["parameters"]["decision_id"] == leaf.decision_id
    assert np.frombuffer(proven.outputs[0].data, "<f4")[0] == answer["outputs"][0]["data"][0]


def test_errors_are_objects_with_an_error_text(desk):
    for target, method in (("/v2/models/none/infer", "POST"), ("/nowhere", "GET"), (INFER, "GET")):
        status, _, body = desk.raw(method, target)
        assert status in (403, 404, 405)
        assert isinstance(json.loads(body)["error"], str)


@pytest.fixture
def triton(desk):
    httpclient = pytest.importorskip("tritonclient.http")
    client = httpclient.InferenceServerClient(f"127.0.0.1:{desk.port}")
    yield httpclient, client, {"Authorization": desk.bearer}
    client.close()


LABELS = {"subject": "s-9", "purpose": "credit-decision", "jurisdiction": "EU"}


def test_tritonclient_reads_health_and_metadata(desk, triton):
    _, client, headers = triton
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("pd-cards", headers=headers)
    assert client.get_server_metadata(headers=headers)["name"] == "strongroom"
    assert client.get_model_metadata("pd-cards", headers=headers)["versions"] == ["ab" * 32]


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("wanted", [None, True, False])
def test_tritonclient_scores_unmodified(desk, triton, binary, wanted):
    httpclient, client, headers = triton
    tensor = httpclient.InferInput("x", [1, 4], "FP32")
    tensor.set_data_from_numpy(np.array([GOOD], np.float32), binary_data=binary)
    outputs = None
    if wanted is not None:
        outputs = [httpclient.InferRequestedOutput(name, binary_data=wanted) for name in ("pd", "decision")]
    result = client.infer("pd-cards", [tensor], outputs=outputs, request_id="r1", headers=headers, parameters=LABELS)
    _, answer = desk.ask(question())
    assert result.as_numpy("pd").tolist() == answer["outputs"][0]["data"]
    assert [x.decode() if isinstance(x, bytes) else x for x in result.as_numpy("decision").tolist()] == ["refer"]
    assert result.get_response()["id"] == "r1"


def test_tritonclient_sends_many_rows_with_subjects(desk, triton):
    httpclient, client, headers = triton
    rows = np.array([GOOD] * 5, np.float32)
    tensor = httpclient.InferInput("x", [5, 4], "FP32")
    tensor.set_data_from_numpy(rows)
    subjects = httpclient.InferInput("strongroom.subject", [5], "BYTES")
    subjects.set_data_from_numpy(np.array([f"ß-{n}" for n in range(5)], object))
    labels = {name: value for name, value in LABELS.items() if name != "subject"}
    result = client.infer("pd-cards", [tensor, subjects], headers=headers, parameters=labels)
    assert result.as_numpy("pd").shape == (5,)


def test_tritonclient_reads_our_errors(desk, triton):
    httpclient, client, headers = triton
    from tritonclient.utils import InferenceServerException

    tensor = httpclient.InferInput("x", [1, 4], "FP32")
    tensor.set_data_from_numpy(np.array([[*GOOD[:3], np.inf]], np.float32))
    with pytest.raises(InferenceServerException, match=r"ratio.*finite"):
        client.infer("pd-cards", [tensor], headers=headers, parameters=LABELS)


def test_two_models_in_one_batch_each_get_their_own():
    models = served(), served(name="pd-loans", manifest="ef" * 32)
    with gateway(House(*models)) as desk:
        _, first = desk.ask(question())
        status, second = desk.ask(question(), "/v2/models/pd-loans/infer")
    assert first["model_version"] == "ab" * 32
    assert status == 403
    assert "granted" in second["error"]
