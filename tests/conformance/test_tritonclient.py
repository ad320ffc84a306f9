"""`tritonclient[http]`, unmodified: codings, datatypes, versions, binary both ways, the repository, errors."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from tests.serving.house import GOOD

httpclient = pytest.importorskip("tritonclient.http")
aio = pytest.importorskip("tritonclient.http.aio")
from tritonclient.utils import InferenceServerException  # noqa: E402  # after the check that it is there

MODEL, VERSION = "pd-cards", "ab" * 32
LABELS = {"subject": "s-9", "purpose": "credit-decision", "jurisdiction": "EU"}
NAMES = ("limit", "age", "status", "ratio")
WHOLE = {"limit": 100, "age": 40, "status": 2, "ratio": 0}


@pytest.fixture
def triton(desk):
    with httpclient.InferenceServerClient(f"127.0.0.1:{desk.port}") as client:
        yield client, {"Authorization": desk.bearer}


def tensor(rows=1, binary=True, dtype=np.float32):
    one = httpclient.InferInput("x", [rows, 4], "FP32" if dtype is np.float32 else "FP64")
    one.set_data_from_numpy(np.array([GOOD] * rows, dtype), binary_data=binary)
    return one


def texts(result, name):
    return [item.decode() if isinstance(item, bytes) else item for item in result.as_numpy(name).ravel().tolist()]


@pytest.mark.parametrize("request_coding", [None, "gzip", "deflate"])
@pytest.mark.parametrize("response_coding", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
def test_codings_of_request_and_response(triton, request_coding, response_coding, binary):
    client, headers = triton
    rows = 100
    subjects = httpclient.InferInput("strongroom.subject", [rows], "BYTES")
    subjects.set_data_from_numpy(np.array([f"s-{n}" for n in range(rows)], object), binary_data=binary)
    labels = {name: value for name, value in LABELS.items() if name != "subject"}
    outputs = [httpclient.InferRequestedOutput(name, binary_data=binary) for name in ("pd", "decision")]
    result = client.infer(
        MODEL, [tensor(rows, binary), subjects], outputs=outputs, headers=headers, parameters=labels,
        request_compression_algorithm=request_coding, response_compression_algorithm=response_coding, request_id="7",
    )  # fmt: skip
    assert result.as_numpy("pd").shape == (rows,)
    assert result.as_numpy("pd").dtype == np.float32
    assert texts(result, "decision") == ["refer"] * rows
    assert result.get_response()["id"] == "7"


INTEGERS = ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
KINDS = {"FP16": np.float16, "FP32": np.float32, "FP64": np.float64} | {n: np.dtype(n.lower()).type for n in INTEGERS}


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("datatype", KINDS)
def test_every_numeric_datatype_by_column(triton, datatype, binary):
    client, headers = triton
    columns = []
    for name in NAMES:
        one = httpclient.InferInput(name, [1], datatype)
        one.set_data_from_numpy(np.array([WHOLE[name]], KINDS[datatype]), binary_data=binary)
        columns.append(one)
    usual = httpclient.InferInput("x", [1, 4], "FP32")
    usual.set_data_from_numpy(np.array([[WHOLE[name] for name in NAMES]], np.float32))
    found = [client.infer(MODEL, inputs, headers=headers, parameters=LABELS) for inputs in (columns, [usual])]
    assert found[0].as_numpy("pd").tobytes() == found[1].as_numpy("pd").tobytes()


@pytest.mark.parametrize("binary", [True, False])
def test_a_boolean_column(triton, binary):
    client, headers = triton
    columns = []
    for name in NAMES:
        one = httpclient.InferInput(name, [1], "BOOL" if name == "ratio" else "INT32")
        one.set_data_from_numpy(np.array([WHOLE[name]], bool if name == "ratio" else np.int32), binary_data=binary)
        columns.append(one)
    assert texts(client.infer(MODEL, columns, headers=headers, parameters=LABELS), "decision") == ["refer"]


def test_a_bfloat16_matrix(triton):
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="the client makes BF16 of ml_dtypes only")
    client, headers = triton
    one = httpclient.InferInput("x", [1, 4], "BF16")
    one.set_data_from_numpy(np.array([[128, 40, 2, 0]], ml_dtypes.bfloat16))
    assert texts(client.infer(MODEL, [one], headers=headers, parameters=LABELS), "decision") == ["refer"]


def test_versions(triton):
    client, headers = triton
    assert client.is_model_ready(MODEL, VERSION, headers=headers)
    assert not client.is_model_ready(MODEL, "1", headers=headers)
    assert client.get_model_metadata(MODEL, VERSION, headers=headers)["versions"] == [VERSION]
    result = client.infer(MODEL, [tensor()], model_version=VERSION, headers=headers, parameters=LABELS)
    assert result.get_response()["model_version"] == VERSION
    with pytest.raises(InferenceServerException, match="version"):
        client.infer(MODEL, [tensor()], model_version="1", headers=headers, parameters=LABELS)


def test_the_repository_is_read_only(triton):
    client, headers = triton
    assert client.get_model_repository_index(headers=headers)[0]["name"] == MODEL
    for act in (client.load_model, client.unload_model):
        with pytest.raises(InferenceServerException, match="signed releases alone"):
            act(MODEL, headers=headers)


def test_a_client_without_a_credential_is_told_so(desk):
    with httpclient.InferenceServerClient(f"127.0.0.1:{desk.port}") as client:
        assert client.is_server_live()
        with pytest.raises(InferenceServerException, match="401"):
            client.get_server_metadata()


def test_many_requests_at_once_on_the_asynchronous_client(desk):
    async def main():
        client = aio.InferenceServerClient(f"127.0.0.1:{desk.port}")
        try:
            one = aio.InferInput("x", [1, 4], "FP32")
            one.set_data_from_numpy(np.array([GOOD], np.float32))
            ask = [
                client.infer(
                    MODEL, [one], headers={"Authorization": desk.bearer}, request_id=str(n),
                    parameters=LABELS | {"subject": f"s-{n}"}, request_compression_algorithm="gzip",
                )
                for n in range(16)
            ]  # fmt: skip
            return await asyncio.gather(*ask)
        finally:
            await client.close()

    found = asyncio.run(main())
    assert [one.get_response()["id"] for one in found] == [str(n) for n in range(16)]
    assert len({one.as_numpy("pd").tobytes() for one in found}) == 1
