"""Conformance to the Open Inference Protocol V2 over REST and two of its extensions, written from their text.

Each test names the section that it holds the server to. Nothing here is about this project: set `OIP_URL` and what
`conftest.py` lists, and the suite asks any other server.

Sources: Open Inference Protocol, specification/protocol/inference_rest.md; Triton, extension_binary_data.md and
extension_model_repository.md.
"""

from __future__ import annotations

import json
import struct
import sys

import pytest

SECTIONS = (
    "HTTP/REST", "Server Live", "Server Ready", "Model Ready", "Server Metadata",
    "Server Metadata Response JSON Object", "Model Metadata Response JSON Object",
    "Model Metadata Response JSON Error Object", "Platforms", "Inference Request JSON Object", "Request Input",
    "Request Output", "Inference Response JSON Object", "Response Output", "Inference Response JSON Error Object",
    "Parameters", "Tensor Data", "Tensor Data Types", "Inference Request Examples", "Binary Tensor Data Extension",
    "Model Repository Extension: Index", "Model Repository Extension: Load and Unload",
)  # fmt: skip
DATATYPES = {
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES",
}  # fmt: skip
section = pytest.mark.section


def test_every_section_has_a_test():
    here = vars(sys.modules[__name__]).values()
    named = {mark.args[0] for one in here for mark in getattr(one, "pytestmark", ()) if mark.name == "section"}
    assert named == set(SECTIONS)


@pytest.fixture(scope="module")
def metadata(target):
    return target.get(f"/v2/models/{target.model}").document


@pytest.fixture(scope="module")
def version(metadata):
    versions = metadata.get("versions")
    if not versions:
        pytest.skip("the server has no versions, which the protocol leaves open")
    return versions[0]


# --- health


@section("Server Live")
def test_live(target):
    answer = target.get("/v2/health/live")
    assert answer.status == 200
    assert answer.document["live"] is True


@section("Server Ready")
def test_ready(target):
    answer = target.get("/v2/health/ready")
    assert answer.status == 200
    # the text names `live` here, the servers and clients of the protocol `ready`
    assert answer.document.get("ready", answer.document.get("live")) is True


@section("Model Ready")
def test_model_ready(target):
    answer = target.get(f"/v2/models/{target.model}/ready")
    assert answer.status == 200
    assert answer.document == {"name": target.model, "ready": True}


@section("Model Ready")
def test_model_version_ready(target, version):
    answer = target.get(f"/v2/models/{target.model}/versions/{version}/ready")
    assert answer.status == 200
    assert answer.document == {"name": target.model, "ready": True}


@section("Model Ready")
def test_a_model_that_does_not_exist_is_not_ready(target):
    assert target.get("/v2/models/no-such-model/ready").status >= 400


# --- metadata


@section("Server Metadata")
def test_server_metadata_is_json(target):
    answer = target.get("/v2")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("application/json")


@section("Server Metadata Response JSON Object")
def test_server_metadata(target):
    document = target.get("/v2").document
    assert isinstance(document["name"], str)
    assert isinstance(document["version"], str)
    assert all(isinstance(one, str) for one in document["extensions"])


@section("Model Metadata Response JSON Object")
def test_model_metadata(target, metadata):
    assert metadata["name"] == target.model
    assert isinstance(metadata["platform"], str)
    assert all(isinstance(one, str) for one in metadata.get("versions", []))
    for tensor in metadata["inputs"] + metadata["outputs"]:
        assert isinstance(tensor["name"], str)
        assert tensor["datatype"] in DATATYPES
        assert all(isinstance(size, int) and size >= -1 for size in tensor["shape"])
    assert metadata["inputs"]
    assert metadata["outputs"]


@section("Model Metadata Response JSON Object")
def test_metadata_of_each_version_that_may_be_asked_for(target, metadata):
    for version in metadata.get("versions", []):
        assert target.get(f"/v2/models/{target.model}/versions/{version}").document["name"] == target.model


@section("Model Metadata Response JSON Error Object")
def test_metadata_of_no_model_is_an_error_object(target):
    for path in ("/v2/models/no-such-model", f"/v2/models/{target.model}/versions/no-such-version"):
        answer = target.get(path)
        assert answer.status >= 400
        assert isinstance(answer.document["error"], str)


@section("Platforms")
def test_the_platform_has_the_form_project_format(metadata):
    project, _, form = metadata["platform"].partition("_")
    assert project
    assert form


# --- inference


@section("HTTP/REST")
def test_strings_are_case_sensitive_and_verbs_are_those_of_the_table(target):
    assert target.get(f"/v2/models/{target.model}/infer").status >= 400
    assert target.get(f"/V2/models/{target.model}").status >= 400
    document = target.changed(datatype=target.request["inputs"][0]["datatype"].lower())
    assert target.infer(document).status >= 400


@section("Inference Request JSON Object")
def test_an_id_is_returned(target):
    for given in ("42", "", 'quotes " and \\ and \u00e9'):
        assert target.infer(target.request | {"id": given}).document["id"] == given


@section("Inference Request JSON Object")
@pytest.mark.parametrize("change", [{"inputs": None}, {"inputs": {}}, {"id": 7}, {"parameters": []}, {"outputs": {}}])
def test_a_request_of_another_form_is_an_error(target, change):
    document = {name: value for name, value in (target.request | change).items() if value is not None}
    answer = target.infer(document)
    assert 400 <= answer.status < 500
    assert isinstance(answer.document["error"], str)


@section("Inference Request JSON Object")
def test_a_version_may_be_named(target, version):
    answer = target.infer(path=f"/v2/models/{target.model}/versions/{version}/infer")
    assert answer.status == 200
    assert answer.document["model_version"] == version


@section("Request Input")
@pytest.mark.parametrize("part", ["name", "shape", "datatype", "data"])
def test_the_parts_of_an_input_are_required(target, part):
    assert 400 <= target.infer(target.changed(**{part: None})).status < 500


@section("Request Input")
@pytest.mark.parametrize("shape", [[-1, 4], ["1", 4], [1.5, 4], 4, [2**64, 4], [2**63, 2**63], []])
def test_a_shape_is_a_list_of_unsigned_integers_that_fits_the_data(target, shape):
    assert 400 <= target.infer(target.changed(shape=shape)).status < 500


@section("Request Output")
def test_only_the_outputs_asked_for_come(target, metadata):
    for output in metadata["outputs"]:
        answer = target.infer(target.request | {"outputs": [{"name": output["name"]}]})
        assert [one["name"] for one in answer.document["outputs"]] == [output["name"]]


@section("Request Output")
def test_all_outputs_come_when_none_is_asked_for(target, metadata):
    names = {output["name"] for output in metadata["outputs"]}
    assert {one["name"] for one in target.infer().document["outputs"]} == names


@section("Request Output")
def test_an_output_that_the_model_has_not_is_an_error(target):
    assert 400 <= target.infer(target.request | {"outputs": [{"name": "no-such-output"}]}).status < 500


@section("Inference Response JSON Object")
def test_the_response_names_model_and_version(target, metadata):
    answer = target.infer()
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.document["model_name"] == target.model
    if "model_version" in answer.document and "versions" in metadata:
        assert answer.document["model_version"] in metadata["versions"]
    assert isinstance(answer.document.get("parameters", {}), dict)


@section("Response Output")
def test_outputs_are_as_the_metadata_says(target, metadata):
    said = {output["name"]: output for output in metadata["outputs"]}
    for output in target.infer().document["outputs"]:
        promised = said[output["name"]]
        assert output["datatype"] == promised["datatype"]
        assert len(output["shape"]) == len(promised["shape"])
        for size, wanted in zip(output["shape"], promised["shape"], strict=True):
            assert wanted in (-1, size)
        count = 1
        for size in output["shape"]:
            count *= size
        assert len(output["data"]) == count


@section("Inference Response JSON Error Object")
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"{}", b'{"inputs": []}'])
def test_a_failed_request_is_an_error_object(target, body):
    answer = target.infer(body)
    assert 400 <= answer.status < 500
    assert isinstance(answer.document["error"], str)


@section("Inference Response JSON Error Object")
def test_a_model_that_does_not_exist_is_an_error_object(target):
    answer = target.infer(path="/v2/models/no-such-model/infer")
    assert 400 <= answer.status < 500
    assert isinstance(answer.document["error"], str)


@section("Parameters")
@pytest.mark.parametrize("value", [["a"], {"a": 1}])
def test_a_parameter_is_a_text_a_number_or_a_boolean(target, value):
    parameters = target.request.get("parameters", {}) | {"odd": value}
    assert 400 <= target.infer(target.request | {"parameters": parameters}).status < 500


@section("Tensor Data")
def test_flat_and_nested_data_are_the_same(target):
    flat = target.request["inputs"][0]["data"]
    first = target.infer(target.changed(data=flat)).document["outputs"]
    assert target.infer(target.changed(data=[flat])).document["outputs"] == first


@section("Tensor Data")
def test_data_that_is_not_as_many_elements_as_the_shape_says_is_an_error(target):
    flat = target.request["inputs"][0]["data"]
    for data in (flat[:-1], [*flat, 1], [], [flat, flat], [[]]):
        assert 400 <= target.infer(target.changed(data=data)).status < 500


@section("Tensor Data Types")
def test_a_datatype_that_is_none_is_an_error(target):
    for datatype in ("FP31", "fp32", "", "float"):
        assert 400 <= target.infer(target.changed(datatype=datatype)).status < 500


@section("Tensor Data Types")
@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
def test_floating_types_give_the_same_answer(target, datatype):
    usual = target.infer().document["outputs"]
    assert target.infer(target.changed(datatype=datatype)).document["outputs"] == usual


@section("Tensor Data Types")
def test_elements_are_of_the_type_that_is_said(target):
    size = len(target.request["inputs"][0]["data"])
    for datatype, value in (("UINT8", 256), ("UINT8", -1), ("INT8", 128), ("INT32", 2**31), ("INT64", 0.5)):
        document = target.changed(datatype=datatype, data=[value] * size)
        assert 400 <= target.infer(document).status < 500, datatype


@section("Inference Request Examples")
def test_white_space_and_order_of_keys_do_not_matter(target):
    usual = target.infer().document["outputs"]
    spaced = json.dumps(dict(reversed(target.request.items())), indent=4).encode()
    assert target.infer(b"\n " + spaced + b"\r\n\t ").document["outputs"] == usual


# --- binary tensor data extension

CODES = {"FP32": "f", "FP64": "d", "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q",
         "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q"}  # fmt: skip


@pytest.fixture(scope="module")
def binary(target):
    if "binary_tensor_data" not in target.extensions():
        pytest.skip("the server does not report binary_tensor_data")

    def send(document=None, chunk=None, length=None, **headers):
        first = target.request["inputs"][0]
        if chunk is None:
            chunk = struct.pack(f"<{len(first['data'])}{CODES[first['datatype']]}", *first["data"])
        if document is None:
            document = target.changed(data=None, parameters={"binary_data_size": len(chunk)})
        text = json.dumps(document).encode()
        size = str(len(text) if length is None else length)
        return target.infer(
            text + chunk, content_type="application/octet-stream", inference_header_content_length=size, **headers
        )

    return send


def split(answer):
    """The JSON and the binary tensors of a response, by name."""
    size = int(answer.headers["inference-header-content-length"])
    document, rest = json.loads(answer.body[:size]), answer.body[size:]
    chunks = {}
    for output in document["outputs"]:
        if (count := output.get("parameters", {}).get("binary_data_size")) is not None:
            chunks[output["name"]], rest = rest[:count], rest[count:]
    assert rest == b""
    return document, chunks


def elements(output, chunk):
    if output["datatype"] != "BYTES":
        return list(struct.unpack(f"<{len(chunk) // struct.calcsize(CODES[output['datatype']])}"
                                  f"{CODES[output['datatype']]}", chunk))  # fmt: skip
    found = []
    while chunk:
        (size,) = struct.unpack_from("<I", chunk)
        found.append(chunk[4 : 4 + size].decode())
        chunk = chunk[4 + size :]
    return found


@section("Binary Tensor Data Extension")
def test_a_binary_input_gives_the_same_answer(target, binary):
    answer = binary()
    assert answer.status == 200
    assert "inference-header-content-length" not in answer.headers
    assert answer.document["outputs"] == target.infer().document["outputs"]


@section("Binary Tensor Data Extension")
@pytest.mark.parametrize("way", ["parameters", "outputs"])
def test_binary_outputs_hold_the_same_elements(target, metadata, way):
    if "binary_tensor_data" not in target.extensions():
        pytest.skip("the server does not report binary_tensor_data")
    document = dict(target.request)
    if way == "parameters":
        document["parameters"] = document.get("parameters", {}) | {"binary_data_output": True}
    else:
        document["outputs"] = [{"name": o["name"], "parameters": {"binary_data": True}} for o in metadata["outputs"]]
    answer = target.infer(document)
    assert answer.status == 200
    found, chunks = split(answer)
    usual = {output["name"]: output["data"] for output in target.infer().document["outputs"]}
    assert set(chunks) == set(usual)
    for output in found["outputs"]:
        assert "data" not in output
        assert elements(output, chunks[output["name"]]) == usual[output["name"]]


@section("Binary Tensor Data Extension")
def test_an_output_overrides_what_the_request_says_of_all(target, metadata):
    if "binary_tensor_data" not in target.extensions():
        pytest.skip("the server does not report binary_tensor_data")
    name = metadata["outputs"][0]["name"]
    parameters = target.request.get("parameters", {}) | {"binary_data_output": True}
    outputs = [{"name": name, "parameters": {"binary_data": False}}]
    answer = target.infer(target.request | {"parameters": parameters, "outputs": outputs})
    assert answer.document["outputs"][0]["data"]


@section("Binary Tensor Data Extension")
@pytest.mark.parametrize("length", [0, -1, 10**9, "x", 3])
def test_a_length_of_the_json_that_is_wrong_is_an_error(binary, length):
    answer = binary(length=length)
    assert 400 <= answer.status < 500
    assert isinstance(answer.document["error"], str)


@section("Binary Tensor Data Extension")
@pytest.mark.parametrize("size", [-1, 0, 1, 2**40, "16"])
def test_a_size_that_is_not_that_of_the_tensor_is_an_error(target, binary, size):
    document = target.changed(data=None, parameters={"binary_data_size": size})
    assert 400 <= binary(document).status < 500


@section("Binary Tensor Data Extension")
def test_bytes_that_no_tensor_has_are_an_error(binary):
    assert 400 <= binary(chunk=b"\0" * 3).status < 500


# --- model repository extension, as far as it reads


@pytest.fixture(scope="module")
def index(target):
    if "model_repository" not in target.extensions():
        pytest.skip("the server does not report model_repository")

    def ask(body):
        return target.ask("POST", "/v2/repository/index", body, content_type="application/json")

    return ask


@section("Model Repository Extension: Index")
@pytest.mark.parametrize("body", [b"{}", b'{"ready": false}', b'{"ready": true}'])
def test_the_index_lists_models(target, index, body):
    answer = index(body)
    assert answer.status == 200
    mine = [entry for entry in answer.document if entry["name"] == target.model]
    assert mine
    for entry in answer.document:
        assert isinstance(entry["state"], str)
        assert isinstance(entry["reason"], str)
        assert isinstance(entry.get("version", ""), str)


@section("Model Repository Extension: Index")
def test_a_failed_index_request_is_an_error_object(index):
    answer = index(b"{")
    assert 400 <= answer.status < 500
    assert isinstance(answer.document["error"], str)


@section("Model Repository Extension: Load and Unload")
@pytest.mark.parametrize("act", ["load", "unload"])
def test_a_failed_load_is_an_error_object(target, index, act):
    answer = target.ask("POST", f"/v2/repository/models/no-such-model/{act}", b"{}", content_type="application/json")
    assert answer.status >= 400
    assert isinstance(answer.document["error"], str)
