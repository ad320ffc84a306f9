"""Whatever comes in: a V2 error that names field and rule, never a 500, and a record of the refusal without values."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

from strongroom.ledger.leaf import Leaf
from tests.serving.house import GOOD
from tests.web.gateways import gateway, question

SECRET = 123456.789


@pytest.fixture(scope="module")
def desk():
    with gateway() as one:
        yield one


def inputs(**changes):
    body = question()
    body["inputs"][0] |= changes
    return body


def columns(names=("limit", "age", "status", "ratio"), rows=1):
    body = question()
    body["inputs"] = [{"name": n, "shape": [rows], "datatype": "FP32", "data": [1.0] * rows} for n in names]
    return body


def deep(levels):
    return b'{"inputs":' + b"[" * levels + b"]" * levels + b"}"


CASES = {
    "wrong type": (inputs(data=[50000.0, "40", 2, 0]), 400, "age", "type"),
    "boolean": (inputs(data=[50000.0, 40, True, 0]), 400, "status", "type"),
    "missing feature": (columns(("limit", "age", "status")), 400, "ratio", "required"),
    "unknown feature": (columns(("limit", "age", "status", "ratio", "shoe")), 400, "shoe", "unknown"),
    "unknown tensor": (inputs(name="y"), 400, "y", "unknown"),
    "duplicate input": (columns(("limit", "age", "status", "ratio", "age")), 400, "age", "unique"),
    "NaN": (json.dumps(inputs(data=[50000.0, 40, float("nan"), 0])).encode(), 400, "body", "finite"),
    "infinity": (json.dumps(inputs(data=[50000.0, 40, float("inf"), 0])).encode(), 400, "body", "finite"),
    "overflowing number": (json.dumps(inputs()).replace("50000.0", "1e999").encode(), 400, "body", "finite"),
    "out of float32": (inputs(data=[1e300, 40, 2, 0]), 400, "limit", "finite"),
    "out of range": (inputs(data=[50000.0, 140, 2, 0]), 400, "age", "range"),
    "not whole": (inputs(data=[50000.0, 40.5, 2, 0]), 400, "age", "whole-number"),
    "unknown code": (inputs(data=[50000.0, 40, 9, 0]), 400, "status", "allowed"),
    "huge integer": (inputs(data=[50000.0, 10**400, 2, 0]), 400, None, "finite"),
    "missing value": (inputs(data=[None, 40, 2, 0]), 400, "limit", "missing"),
    "empty batch": (inputs(shape=[0, 4], data=[]), 400, "x", "rows"),
    "negative rows": (inputs(shape=[-1, 4]), 400, "x", "rows"),
    "too many rows": (inputs(shape=[101, 4], data=[1.0] * 404), 413, "x", "rows"),
    "wrong shape": (inputs(shape=[4]), 400, "x", "shape"),
    "wrong width": (inputs(shape=[1, 5], data=[*GOOD, 1.0]), 400, "x", "shape"),
    "data shorter than shape": (inputs(data=GOOD[:3]), 400, "x", "shape"),
    "ragged data": (inputs(shape=[2, 4], data=[GOOD, GOOD[:3]]), 400, "x", "shape"),
    "wrong datatype": (inputs(datatype="BYTES"), 400, "x", "datatype"),
    "no datatype of ours": (inputs(datatype="FP31"), 400, "x", "datatype"),
    "fraction as integer": (inputs(datatype="INT32"), 400, "ratio", "datatype"),
    "no inputs": (question() | {"inputs": []}, 400, "inputs", "count"),
    "inputs missing": ({"parameters": {}}, 400, "$", "schema"),
    "unknown field": (question() | {"extra": 1}, 400, "$", "schema"),
    "not an object": (b"[]", 400, "$", "schema"),
    "no JSON": (b"{", 400, "body", "json"),
    "empty body": (b"", 400, "body", "json"),
    "not UTF-8": (b'{"inputs":"\xff"}', 400, "body", "json"),
    "two documents": (json.dumps(question()).encode() + b"{}", 400, "body", "json"),
    "deep JSON": (deep(100_000), 400, "body", "depth"),
    "deep parameters": (question() | {"parameters": {"subject": {"a": [1]}}}, 400, "$.parameters[...]", "schema"),
    "duplicate key": (
        json.dumps(question()).replace('"subject"', '"subject":"x","subject"').encode(),
        400,
        "subject",
        "unique",
    ),
    "duplicate inputs key": (
        json.dumps(question()).replace('"parameters"', '"inputs":[],"parameters"').encode(),
        400,
        "inputs",
        "unique",
    ),
    "no subject": (question(subject=None), 400, "subject", "required"),
    "empty subject": (question(subject=""), 400, "subject", "type"),
    "long subject": (question(subject="s" * 300), 400, "subject", "type"),
    "subject with a NUL": (question(subject="a\0b"), 400, "subject", "type"),
    "subject of another type": (question(subject=5), 400, "subject", "type"),
    "receipt of another type": (question(receipt="yes"), 400, "receipt", "type"),
    "unknown parameter": (question(colour="red"), 400, "colour", "unknown"),
    "unknown output": (question() | {"outputs": [{"name": "lgd"}]}, 400, "lgd", "unknown"),
    "output twice": (question() | {"outputs": [{"name": "pd"}, {"name": "pd"}]}, 400, "pd", "unique"),
    "no jurisdiction": (question(jurisdiction=None), 403, "jurisdiction", None),
    "jurisdiction not released": (question(jurisdiction="FR"), 403, None, None),
    "jurisdiction not granted": (question(jurisdiction="DE"), 403, None, None),
    "no purpose": (question(purpose=None), 403, "purpose", None),
    "another environment": (question(environment="test"), 403, "environment", "environment"),
    "binary size without data": (inputs(parameters={"binary_data_size": 16}), 400, "x", "binary"),
}


@pytest.mark.parametrize("name", CASES)
def test_is_refused_with_field_and_rule_and_recorded_without_values(desk, name):
    body, expected, field, rule = copy.deepcopy(CASES[name])
    before = desk.house.shard.size
    status, answer = desk.ask(body)
    assert status == expected, answer
    assert isinstance(answer["error"], str)
    assert answer["error"]
    if field is not None:
        assert answer["field"] == field
    if rule is not None:
        assert answer["rule"] == rule
    stored = desk.house.shard.reader().get(before)
    leaf = Leaf.decode(stored.leaf)
    assert desk.house.shard.size == before + 1
    assert leaf.type == "refusal"
    assert leaf.decision_id == answer["decision_id"]
    assert desk.ask(question())[0] == 200


def test_messages_do_not_quote_values(desk):
    for row in ([SECRET * 1e6, 40, 2, 0], [50.0, SECRET, 2, 0], [50.0, 40, SECRET, 0], [5.0, 40, 2, SECRET]):
        _, answer = desk.ask(inputs(data=row))
        assert "123456" not in json.dumps(answer)


def test_a_body_of_ten_megabytes_is_refused_before_it_is_read(desk):
    with desk.run.socket() as sock:
        sock.sendall(
            f"POST /v2/models/pd-cards/infer HTTP/1.1\r\nHost: h\r\nAuthorization: {desk.bearer}\r\n"
            "Content-Length: 10000000\r\n\r\n".encode()
        )
        assert sock.recv(4096).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_another_content_type_is_refused(desk, kind):
    status, answer = desk.ask(question(), **{"Content-Type": kind})
    assert (status, answer["code"], answer["field"]) == (415, "unsupported", "content-type")


def binary(parts, chunk, header=None):
    text = json.dumps({"inputs": parts, "parameters": question()["parameters"]}).encode()
    return text + chunk, {"Inference-Header-Content-Length": str(len(text) if header is None else header)}


def tensor(size, **changes):
    return {"name": "x", "shape": [1, 4], "datatype": "FP32", "parameters": {"binary_data_size": size}} | changes


ROW = np.array(GOOD, "<f4").tobytes()


@pytest.mark.parametrize(
    ("parts", "chunk", "header", "field", "rule"),
    [
        ([tensor(16)], ROW[:12], None, "body", "binary"),
        ([tensor(12)], ROW[:12], None, "x", "shape"),
        ([tensor(16)], ROW + b"1234", None, "body", "binary"),
        ([tensor(-1)], b"", None, "x", "binary"),
        ([tensor(2**70)], ROW, None, "body", "binary"),
        ([tensor(16)], ROW, 10**9, "body", "length"),
        ([tensor(16)], ROW, 0, "body", "length"),
        (
            [tensor(16)],
            np.array([50000, 40, 2, np.nan], "<f4").tobytes()[:12] + np.array([np.inf], "<f4").tobytes(),
            None,
            "ratio",
            "finite",
        ),
        ([tensor(16)], np.array([np.nan, 40, 2, 0], "<f4").tobytes(), None, "limit", "missing"),
        ([tensor(16, data=GOOD)], ROW, None, "x", "binary"),
        ([tensor(16), tensor(16)], ROW * 2, None, "x", "unique"),
        (
            [
                tensor(16),
                {
                    "name": "strongroom.subject",
                    "shape": [1],
                    "datatype": "BYTES",
                    "parameters": {"binary_data_size": 8},
                },
            ],
            ROW + b"\xff\xff\xff\xffabcd",
            None,
            "strongroom.subject",
            "shape",
        ),
    ],
)
def test_broken_binary_tensors_are_refused(desk, parts, chunk, header, field, rule):
    body, headers = binary(parts, chunk, header)
    status, answer = desk.ask(body, **headers)
    assert (status, answer.get("field"), answer.get("rule")) == (400, field, rule), answer


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "99999999999999"])
def test_a_header_length_that_is_no_number_is_refused(desk, length):
    status, _ = desk.ask(question(), **{"Inference-Header-Content-Length": length})
    assert status == 400
