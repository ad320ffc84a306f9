"""The data of tensors: every datatype of the protocol, as JSON and as binary, flat and nested."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.errors import InvalidInputError, TooLargeError
from strongroom.serving.contract_check import InputCheck
from strongroom.serving.decoding import decode
from strongroom.serving.question import Question
from strongroom.serving.tensors import INTEGERS, NUMBERS
from tests.serving.house import feature, release_of

FEATURES = tuple(feature(name) for name in ("a", "b", "c"))
CHECK = InputCheck(release_of(features=FEATURES).input)
OUTPUTS = ("pd", "decision")
SUBJECTS = {"name": "strongroom.subject", "datatype": "BYTES"}
CODES = {"FP16": "<f2", "FP32": "<f4", "FP64": "<f8", "BOOL": "u1"} | {n: k.str for n, k in INTEGERS.items()}
ITEM_BYTES = {"BOOL": 1, "BF16": 2} | {name: np.dtype(code).itemsize for name, code in CODES.items()}


def elements(datatype):
    """Values that the datatype holds exactly."""
    if datatype == "BOOL":
        return st.booleans()
    if datatype in INTEGERS:
        info = np.iinfo(INTEGERS[datatype])
        edges = st.sampled_from([int(info.min), int(info.max), 0, 1, min(2**53 + 1, int(info.max))])
        return st.integers(int(info.min), int(info.max)) | edges
    if datatype == "BF16":
        return (
            st.integers(0, 2**16 - 1)
            .map(lambda bits: struct.unpack("<f", struct.pack("<I", bits << 16))[0])
            .filter(np.isfinite)
        )
    if datatype == "FP16":
        # by their bits: floats(width=16) draws doubles and throws away what is too large, which is most of them, until
        # the health check ends the test
        return (
            st.integers(0, 2**16 - 1)
            .map(lambda bits: struct.unpack("<e", struct.pack("<H", bits))[0])
            .filter(np.isfinite)
        )
    return st.floats(allow_nan=False, allow_infinity=False, width={"FP32": 32, "FP64": 64}[datatype])


def packed(datatype, values):
    if datatype == "BF16":
        return b"".join(struct.pack("<f", value)[2:] for value in values)
    return np.array(values, CODES[datatype]).tobytes()


def request(inputs, chunks=b"", rows=1, **more):
    """One row names its subject as a parameter, so that the decoder of plain numbers reads it; more rows as texts."""
    parameters = {"purpose": "p", "jurisdiction": "EU"}
    if rows == 1:
        parameters["subject"] = "s"
    else:
        inputs = [*inputs, SUBJECTS | {"shape": [rows], "data": [f"s-{n}" for n in range(rows)]}]
    text = json.dumps({"inputs": inputs, "parameters": parameters} | more).encode()
    return text + chunks, len(text) if chunks else None


def asked(inputs, chunks=b"", rows=1, **more) -> Question:
    body, length = request(inputs, chunks, rows, **more)
    return decode(body, length, CHECK, OUTPUTS, "m")


def matrix(datatype, rows, **more):
    return {"name": "x", "shape": [rows, 3], "datatype": datatype} | more


@pytest.mark.parametrize("datatype", NUMBERS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_form_of_a_tensor_gives_the_same_numbers(datatype, data):
    rows = data.draw(st.integers(1, 3))
    values = data.draw(st.lists(elements(datatype), min_size=3 * rows, max_size=3 * rows))
    table = [values[3 * row : 3 * row + 3] for row in range(rows)]
    columns = [[row[place] for row in table] for place in range(3)]
    chunk = packed(datatype, values)
    parts = [packed(datatype, column) for column in columns]
    forms = [
        asked([matrix(datatype, rows, data=values)], rows=rows),
        asked([matrix(datatype, rows, data=table)], rows=rows),
        asked([matrix(datatype, rows, parameters={"binary_data_size": len(chunk)})], chunk, rows),
        asked(
            [
                {"name": n, "shape": [rows], "datatype": datatype, "data": c}
                for n, c in zip("abc", columns, strict=True)
            ],
            rows=rows,
        ),
        asked(
            [
                {"name": n, "shape": [rows, 1], "datatype": datatype, "data": [[v] for v in c]}
                for n, c in zip("abc", columns, strict=True)
            ],
            rows=rows,
        ),
        asked(
            [
                {"name": n, "shape": [rows], "datatype": datatype, "parameters": {"binary_data_size": len(part)}}
                for n, part in zip("abc", parts, strict=True)
            ],
            b"".join(parts),
            rows,
        ),
    ]
    expected = np.array([[float(v) for v in row] for row in table], np.float64)
    for form in forms:
        assert np.array_equal(np.array(form.values, np.float64).reshape(rows, 3), expected)


BEYOND = [
    *((n, int(np.iinfo(k).max) + 1) for n, k in INTEGERS.items()),
    *((n, int(np.iinfo(k).min) - 1) for n, k in INTEGERS.items()),
    *((n, 0.5) for n in INTEGERS),
    ("INT64", 1e300), ("INT64", 2.0**63), ("UINT64", 2.0**64), ("UINT64", -1.0), ("INT32", 10**400),
    ("FP16", 0.1), ("FP16", 65520), ("FP16", 1e300), ("BF16", 0.1), ("BF16", 257), ("BF16", 1e39),
]  # fmt: skip


@pytest.mark.parametrize(("datatype", "value"), BEYOND)
@pytest.mark.parametrize("nested", [False, True])
def test_what_a_datatype_cannot_hold_is_refused_with_the_feature(datatype, value, nested):
    row = [1, value, None]
    with pytest.raises(InvalidInputError, match="feature `b` is no " + datatype) as caught:
        asked([matrix(datatype, 1, data=[row] if nested else row)])
    assert caught.value.details == {"field": "b", "rule": "datatype"}
    assert str(value) not in caught.value.message


@pytest.mark.parametrize(("datatype", "value"), [("BOOL", 1), ("BOOL", "true"), ("FP32", True), ("INT8", False)])
@pytest.mark.parametrize("nested", [False, True])
def test_truth_values_and_numbers_are_not_each_other(datatype, value, nested):
    good = True if datatype == "BOOL" else 1
    row = [good, value, None]
    with pytest.raises(InvalidInputError) as caught:
        asked([matrix(datatype, 1, data=[row] if nested else row)])
    assert (caught.value.details["field"], caught.value.details["rule"]) == ("b", "type")


def test_a_boolean_tensor_of_numbers_alone_is_refused():
    with pytest.raises(InvalidInputError, match="feature `a` is no BOOL"):
        asked([matrix("BOOL", 1, data=[1, 0, 1])])


@pytest.mark.parametrize("chunk", [b"\x01\x02\x00", b"\x00\xff\x01"])
def test_a_binary_boolean_is_one_or_nothing(chunk):
    with pytest.raises(InvalidInputError, match="feature `b` is no BOOL"):
        asked([matrix("BOOL", 1, parameters={"binary_data_size": 3})], chunk)


@pytest.mark.parametrize("datatype", NUMBERS)
@pytest.mark.parametrize("difference", [-1, 1])
def test_a_binary_tensor_has_exactly_the_bytes_of_its_shape(datatype, difference):
    chunk = bytes(3 * ITEM_BYTES[datatype] + difference)
    with pytest.raises(InvalidInputError, match="does not hold 3 values"):
        asked([matrix(datatype, 1, parameters={"binary_data_size": len(chunk)})], chunk)


@pytest.mark.parametrize("datatype", NUMBERS)
def test_null_is_a_missing_value_in_every_datatype(datatype):
    good = True if datatype == "BOOL" else 1
    found = asked([matrix(datatype, 2, data=[good, None, good, None, good, None])], rows=2)
    assert np.isnan(np.array(found.values)).ravel().tolist() == [False, True] * 3


@pytest.mark.parametrize("datatype", ["FP16", "BF16", "FP32", "FP64"])
def test_a_binary_nan_is_a_missing_value(datatype):
    chunk = packed(datatype, [1.0, float("nan"), 2.0])
    found = asked([matrix(datatype, 1, parameters={"binary_data_size": len(chunk)})], chunk)
    assert np.isnan(np.array(found.values)).ravel().tolist() == [False, True, False]


@pytest.mark.parametrize(
    "data", [[[1, 2, 3, 4, 5, 6]], [[1], [2], [3], [4], [5], [6]], [[1, 2], [3, 4], [5, 6]], [[1, 2, 3], [4, 5]],
             [1, 2, 3, [4, 5, 6]], [[1, 2, 3], 4, 5, 6], [[[1, 2, 3]], [[4, 5, 6]]], [1, 2, 3, 4, 5], []],
)  # fmt: skip
def test_nested_data_has_the_nesting_of_its_shape(data):
    with pytest.raises(InvalidInputError) as caught:
        asked([matrix("FP32", 2, data=data)], rows=2)
    assert caught.value.details["rule"] in ("shape", "type")


@pytest.mark.parametrize("datatype", ["BYTES", "STRING", "fp32", "", "FP8", "INT128"])
def test_another_datatype_is_refused_and_told_what_to_use(datatype):
    with pytest.raises(InvalidInputError, match="use FP32") as caught:
        asked([matrix(datatype, 1, data=[1, 2, 3])])
    assert caught.value.details["rule"] == "datatype"


@settings(deadline=None)
@given(st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=9), min_size=1, max_size=5))
def test_subjects_come_as_texts_nested_texts_or_binary(names):
    rows = len(names)
    x = matrix("FP32", rows, data=[1.0] * 3 * rows)
    chunk = b"".join(len(n.encode()).to_bytes(4, "little") + n.encode() for n in names)
    forms = [
        ({"shape": [rows], "data": names}, b""),
        ({"shape": [rows, 1], "data": names}, b""),
        ({"shape": [rows, 1], "data": [[n] for n in names]}, b""),
        ({"shape": [rows], "parameters": {"binary_data_size": len(chunk)}}, chunk),
    ]
    for tensor, binary in forms:
        text = json.dumps({"inputs": [x, SUBJECTS | tensor], "parameters": {}}).encode()
        found = decode(text + binary, len(text) if binary else None, CHECK, OUTPUTS)
        assert found.subjects == tuple(names)


@pytest.mark.parametrize(
    ("tensor", "chunk", "error"),
    [
        ({"shape": [1], "data": [["a"]]}, b"", InvalidInputError),
        ({"shape": [1, 1], "data": [["a", "b"]]}, b"", InvalidInputError),
        ({"shape": [1], "data": [7]}, b"", InvalidInputError),
        ({"shape": [2], "data": ["a"]}, b"", InvalidInputError),
        ({"shape": [], "data": ["a"]}, b"", InvalidInputError),
        ({"shape": [101], "data": ["a"] * 101}, b"", TooLargeError),
        ({"shape": [2**64], "data": ["a"]}, b"", TooLargeError),
        ({"shape": [-1], "data": []}, b"", InvalidInputError),
        ({"shape": [1], "parameters": {"binary_data_size": 9}}, b"\0\0\0\0\1\0\0\0a", InvalidInputError),
        ({"shape": [1], "parameters": {"binary_data_size": 5}}, b"\1\0\0\0\xff", InvalidInputError),
        ({"shape": [1], "parameters": {"binary_data_size": 5}}, b"\xff\xff\xff\xffa", InvalidInputError),
        ({"shape": [1], "parameters": {"binary_data_size": 3}}, b"\0\0\0", InvalidInputError),
    ],
)
def test_subjects_that_are_not_as_their_shape_says_are_refused(tensor, chunk, error):
    x = matrix("FP32", 1, data=[1.0] * 3)
    text = json.dumps({"inputs": [x, SUBJECTS | tensor], "parameters": {}}).encode()
    with pytest.raises(error) as caught:
        decode(text + chunk, len(text) if chunk else None, CHECK, OUTPUTS)
    assert caught.value.details["field"] == "strongroom.subject"


def test_a_request_may_repeat_the_name_of_its_model_and_no_other():
    x = [matrix("FP32", 1, data=[1.0, 2.0, 3.0])]
    assert asked(x, model_name="m").rows == 1
    with pytest.raises(InvalidInputError) as caught:
        asked(x, model_name="n")
    assert caught.value.details == {"field": "model_name", "rule": "match"}
