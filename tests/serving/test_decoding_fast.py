"""The short way of decoding says what the long way says, or nothing."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import InvalidInputError, RefusedError
from strongroom.serving import decoding
from tests.serving.house import GOOD, served

MODEL = served()
CHECK, OUTPUTS = MODEL.inputs, MODEL.outputs
texts = st.text(max_size=6) | st.sampled_from(["EU", "credit-decision", "a:b", "s-1", "", "x" * 300, "\u0000"])
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**40), 2**40) | st.none()
parameters = st.dictionaries(
    st.sampled_from(["subject", "purpose", "jurisdiction", "environment", "receipt", "binary_data_output", "other"]),
    texts | st.booleans() | st.none(), max_size=6,
)  # fmt: skip
tensors = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["x", "limit", "y"]),
        "shape": st.sampled_from([[1, 4], [4], [2, 4], [1, 3], [1, 4, 1]]),
        "datatype": st.sampled_from(["FP32", "FP64", "INT32", "BYTES"]),
        "data": st.lists(numbers, min_size=3, max_size=8) | st.just(GOOD),
    },
    optional={"parameters": st.just({})},
)
requests = st.fixed_dictionaries(
    {"inputs": st.lists(tensors, min_size=1, max_size=2), "parameters": parameters},
    optional={"id": texts, "outputs": st.just([]), "unknown": st.just(1)},
)


def the_long_way(body: bytes, patch: pytest.MonkeyPatch) -> object:
    with patch.context() as inside:
        inside.setattr(decoding, "_fast", lambda *_: None)
        try:
            return msgspec.structs.astuple(decoding.decode(body, None, CHECK, OUTPUTS))
        except RefusedError as error:
            return error.message


def compare(body: bytes) -> bool:
    found = decoding._fast(body, CHECK)
    if found is None:
        return False
    assert msgspec.structs.astuple(found) == the_long_way(body, pytest.MonkeyPatch())
    return True


@given(requests)
def test_any_request_that_the_short_way_takes_is_read_alike(request_):
    compare(json.dumps(request_).encode())


@pytest.mark.parametrize("more", [{}, {"receipt": True}, {"environment": "production"}])
def test_the_usual_requests_take_the_short_way(more):
    given_ = {"subject": "s-1", "purpose": "credit-decision", "jurisdiction": "EU", **more}
    tensor = {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [50000, None, 2.0, 0.05]}
    assert compare(json.dumps({"inputs": [tensor], "parameters": given_, "id": "7"}).encode())
    assert compare(json.dumps({"parameters": given_, "inputs": [tensor]}, indent=1).encode())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"subject":"s-1"', b'"subject":"s-1","subject":"s-2"'),
        (b'"subject":"s-1"', b'"subject":"s-1","subj\\u0065ct":"s-2"'),
        (b'"purpose":"p"', b'"purpose":"p","purpose":null'),
        (b'"purpose":"p"', b'"purpose":"p","receipt":false'),
        (b'"datatype":"FP32"', b'"datatype":"FP64","datatype":"FP32"'),
        (b'"data":[1,2,3,4]', b'"data":[9,9,9,9],"data":[1,2,3,4]'),
        (b'{"inputs"', b'{"inputs":[],"inputs"'),
        (b"[1,2,3,4]", b"[1,2,3,NaN]"),
        (b"[1,2,3,4]", b"[1,2,3,1e999]"),
        (b"[1,2,3,4]", b'[1,2,3,"4"]'),
    ],
)
def test_a_repeated_key_or_an_odd_value_never_takes_the_short_way(before, after):
    body = (
        b'{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]}],'
        b'"parameters":{"subject":"s-1","purpose":"p"}}'
    )
    assert decoding._fast(body, CHECK) is not None
    changed = body.replace(before, after)
    assert changed != body
    assert decoding._fast(changed, CHECK) is None


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("bad", ["1.5", "", "NaN", "x"])
def test_a_text_among_numbers_is_refused_and_never_read_as_one(rows, bad):
    data = [*GOOD] * rows
    data[-1] = bad
    document = {
        "inputs": [
            {"name": "x", "shape": [rows, len(GOOD)], "datatype": "FP32", "data": data},
            {"name": "strongroom.subject", "shape": [rows], "datatype": "BYTES", "data": ["s"] * rows},
        ],
        "outputs": [{"name": "decision"}],
    }
    with pytest.raises(InvalidInputError) as refused:
        decoding.decode(json.dumps(document).encode(), None, CHECK, OUTPUTS)
    assert refused.value.details["rule"] == "type"


@pytest.mark.parametrize("rows", [1, 3])
def test_subjects_with_colons_take_the_usual_way_and_hide_no_second_key(rows, monkeypatch):
    subjects = [f"urn:customer:{n}" for n in range(rows)]
    document = {
        "inputs": [
            {"name": "x", "shape": [rows, len(GOOD)], "datatype": "FP32", "data": [*GOOD] * rows},
            {"name": "strongroom.subject", "shape": [rows], "datatype": "BYTES", "data": subjects},
        ],
        "parameters": {"purpose": "credit-decision"},
    }
    if rows == 1:
        document["inputs"].pop()
        document["parameters"]["subject"] = subjects[0]
    body = json.dumps(document).encode()
    slow = []
    monkeypatch.setattr(decoding, "_refuse_duplicates", lambda text: slow.append(text))
    assert decoding.decode(body, None, CHECK, OUTPUTS).subjects == tuple(subjects)
    assert not slow
    monkeypatch.undo()
    # the escaped colon of a subject makes room in the count for the second key's
    twice = body.replace(b"urn:customer:0", b"urn\\u003acustomer:0").replace(
        b'"purpose": "credit-decision"', b'"purpose": "x", "purpose": "credit-decision"'
    )
    with pytest.raises(InvalidInputError) as refused:
        decoding.decode(twice, None, CHECK, OUTPUTS)
    assert refused.value.details["rule"] == "unique"
