"""Each rule of the scan, against a package that breaks exactly it: the job's functions on files of ours."""

from __future__ import annotations

import gzip
import io
import pickle
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from strongroom.encoding import canonical, parse_as
from strongroom.validation.jobs import scan as job
from strongroom.validation.scans.scan import RULES, ScanResult, rules_digest, verdict_of
from tests.validation import packages


def _scan(files: dict[str, bytes], **contract: Any) -> ScanResult:
    paths = sorted(files)
    inputs = {f"file-{i}": files[path] for i, path in enumerate(paths)}
    inputs["contract.json"] = canonical(packages.contract(**contract))
    listing = [[f"file-{i}", path, "x"] for i, path in enumerate(paths)]
    return parse_as(job.run(inputs, {"files": listing})["scan.json"], ScanResult)


def _rules(result: ScanResult) -> set[str]:
    return {finding.rule for finding in result.findings if finding.severity == "refuse"}


def _broken(**changes: Any) -> set[str]:
    return _rules(_scan(packages.files(packages.model(**changes).SerializeToString())))


def test_a_sound_package_passes_with_facts() -> None:
    result = _scan(packages.files())
    assert result.findings == ()
    assert verdict_of(result) == "pass"
    assert result.model is not None
    assert result.model.operators == {"ai.onnx.Gemm": 1, "ai.onnx.Softmax": 1}
    assert result.model.opsets == {"ai.onnx": 17}
    assert result.model.tensor_bytes == 4 * 8
    assert [sample.rows for sample in result.samples] == [packages.ROWS] * 4
    assert result.rules_sha256 == rules_digest()
    assert set(result.tools) == {"onnx", "pyarrow"}


def test_external_data() -> None:
    model = packages.model()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../../etc/passwd")
    assert "onnx-external-data" in _rules(_scan(packages.files(model.SerializeToString())))


def test_external_data_in_an_attribute_of_an_inner_graph() -> None:
    tensor = helper.make_tensor("t", TensorProto.FLOAT, [1], [1.0])
    tensor.external_data.add(key="location", value="weights.bin")
    inner = helper.make_graph([helper.make_node("Constant", [], ["i"], value=tensor)], "i", [], [])
    node = helper.make_node("If", ["c"], ["o"], then_branch=inner, else_branch=inner)
    assert "onnx-external-data" in _broken(body=[node, *packages.nodes()])


def test_foreign_domain() -> None:
    foreign = helper.make_node("Open", ["x"], ["y"], domain="com.microsoft")
    assert _broken(body=[foreign, *packages.nodes()], extra_opsets=(("com.microsoft", 1),)) == {"onnx-domain"}
    assert _broken(extra_opsets=(("org.evil", 1),)) == {"onnx-domain"}


@pytest.mark.parametrize(
    "name", ["Loop", "Scan", "RandomNormal", "StringConcat", "ImageDecoder", "Multinomial", "SequenceMap", "Nonsense"]
)
def test_operators_off_the_list(name: str) -> None:
    assert _broken(body=[helper.make_node(name, ["x"], ["y"]), *packages.nodes()]) == {"onnx-operator"}


def _nested(depth: int) -> onnx.NodeProto:
    inner = [helper.make_node("Identity", ["x"], ["y"])] if depth == 0 else [_nested(depth - 1)]
    graph = helper.make_graph(inner, "i", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    return helper.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=graph)


def test_nesting_depth() -> None:
    assert "onnx-depth" in _broken(body=[_nested(6), *packages.nodes()])


def test_nesting_beyond_what_the_parser_takes() -> None:
    """By hand: a graph in an attribute in a node in a graph, two thousand times; the parser stops at a hundred."""
    data = b""
    for _ in range(2000):
        data = b"\x0a" + _varint(len(data)) + data  # node in graph
        data = b"\x32" + _varint(len(data)) + data  # graph in attribute
        data = b"\x2a" + _varint(len(data)) + data  # attribute in node
    graph = b"\x0a" + _varint(len(data)) + data
    whole = b"\x08\x09" + b"\x3a" + _varint(len(graph)) + graph
    assert _rules(_scan(packages.files(whole))) == {"onnx-parse"}


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def test_node_count() -> None:
    many = [helper.make_node("Identity", ["x"], [f"y{i}"]) for i in range(RULES.nodes + 1)]
    assert _broken(body=many) == {"onnx-nodes"}


def test_tensor_that_only_claims_to_be_huge() -> None:
    claim = TensorProto(name="big", data_type=TensorProto.FLOAT, dims=[2**40])
    body = [helper.make_node("Constant", [], ["k"], value=claim), *packages.nodes()]
    assert _broken(body=body) == {"onnx-tensor-size"}
    claim.dims[0] = -1
    assert _broken(body=[helper.make_node("Constant", [], ["k"], value=claim), *packages.nodes()]) == {"onnx-tensor"}


def test_functions_and_training() -> None:
    model = packages.model()
    model.functions.append(
        helper.make_function("local", "F", ["a"], ["b"], [helper.make_node("Identity", ["a"], ["b"])], [])
    )
    assert "onnx-functions" in _rules(_scan(packages.files(model.SerializeToString())))
    model = packages.model()
    model.training_info.add()
    assert "onnx-training" in _rules(_scan(packages.files(model.SerializeToString())))


@pytest.mark.parametrize(("opset", "ir"), [(1, 9), (99, 9), (17, 1), (17, 99)])
def test_versions(opset: int, ir: int) -> None:
    assert _broken(opset=opset, ir=ir) & {"onnx-opset", "onnx-ir"}


def test_one_domain_in_two_spellings() -> None:
    assert _broken(extra_opsets=(("ai.onnx", 17),)) == set()
    assert _broken(extra_opsets=(("ai.onnx", 18),)) == {"onnx-opset"}


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"input_type": TensorProto.DOUBLE}, "contract-input"),
        ({"features": 4}, "contract-input"),
        ({"rows": 8}, "contract-input"),
        ({"output": "other"}, "contract-output"),
        ({"output_type": TensorProto.INT64}, "contract-output"),
    ],
)
def test_contract(changes: dict[str, Any], rule: str) -> None:
    assert rule in _broken(**changes)


def test_checker_finds_what_the_rules_do_not() -> None:
    assert _broken(body=[helper.make_node("Softmax", ["nowhere"], ["probabilities"])]) == {"onnx-checker"}


def test_types_that_contradict_each_other() -> None:
    model = packages.model()
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 7
    assert _rules(_scan(packages.files(model.SerializeToString()))) == {"onnx-checker"}


def _zip() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("data.pkl", b"x")
    return data.getvalue()


@pytest.mark.parametrize(
    "data",
    [pickle.dumps({"a": np.float64(1)}), pickle.dumps([1], protocol=2), _zip(), gzip.compress(b"x"), b"\x7fELF\x02"],
    ids=["pickle", "pickle 2", "zip", "gzip", "program"],
)
def test_renamed_files(data: bytes) -> None:
    assert "foreign-file" in _rules(_scan(packages.files(data)))
    assert "foreign-file" in _rules(_scan(packages.files() | {"notes.md": data}))


@pytest.mark.parametrize("data", [b"", b"\x08", b"x" * 1000, pickle.dumps(1, protocol=0)])
def test_what_is_no_model(data: bytes) -> None:
    result = _scan(packages.files(data))
    assert _rules(result) == {"onnx-parse"}
    assert verdict_of(result) == "fail"


def test_truncated_model() -> None:
    whole = packages.model().SerializeToString()
    for end in range(0, len(whole), 7):
        assert verdict_of(_scan(packages.files(whole[:end]))) == "fail", end


@pytest.mark.parametrize("name", ["weights.bin", "model.pkl", "train.py", "second.onnx", "extra.parquet", "a.md\0"])
def test_files_that_no_package_needs(name: str) -> None:
    assert "foreign-file" in _rules(_scan(packages.files() | {name: b"text"}))


Spoil = Callable[[dict[str, bytes]], object]


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        (lambda f: f.pop("reference.parquet"), "package-missing"),
        (lambda f: f.pop("model.onnx"), "package-missing"),
        (lambda f: f.update({"reference.parquet": b"PAR1" + b"x" * 100 + b"PAR1"}), "sample"),
        (lambda f: f.update({"reference.parquet": f["predictions.parquet"]}), "sample"),
        (lambda f: f.update({"predictions.parquet": f["protected.parquet"]}), "sample"),
        (lambda f: f.update({"predictions.parquet": packages.parquet(prediction=np.zeros(3))}), "sample-rows"),
        (lambda f: f.update({"protected.parquet": packages.parquet(sex=np.zeros(3))}), "sample-rows"),
        (lambda f: f.update({"protected.parquet": packages.parquet(race=np.zeros(40))}), "sample-columns"),
        (
            lambda f: f.update({"predictions.parquet": packages.parquet(prediction=np.zeros(40), sex=np.zeros(40))}),
            "sample-protected",
        ),
        (lambda f: f.update({"predictions.parquet": packages.parquet(prediction=np.array(["a"] * 40))}), "sample"),
    ],
)
def test_samples(spoil: Spoil, rule: str) -> None:
    files = packages.files()
    spoil(files)
    result = _scan(files)
    assert rule in _rules(result)
    assert verdict_of(result) == "fail"


def test_a_column_without_purpose_is_a_note() -> None:
    files = packages.files()
    files["predictions.parquet"] = packages.parquet(prediction=np.zeros(40), other=np.zeros(40))
    result = _scan(files)
    assert [(finding.rule, finding.severity) for finding in result.findings] == [("sample-columns", "note")]
    assert verdict_of(result) == "pass"


@pytest.mark.parametrize(
    "secret",
    [
        "-----BEGIN " + "PRIVATE KEY-----",
        "-----BEGIN RSA " + "PRIVATE KEY-----",
        "AKIA" + "IOSFODNN7EXAMPLE",
        "ghp_" + "a" * 36,
        "xoxb-" + "1234567890-abcdef",
        "AIza" + "b" * 35,
        "sk_live_" + "c" * 24,
        "postgresql://risk:" + "hunter2@db.bank.example/models",
    ],
)
def test_secrets_are_found_and_not_repeated(secret: str) -> None:
    result = _scan(packages.files() | {"README.md": f"first line\ntoken = {secret}\n".encode()})
    assert _rules(result) == {"secret"}
    assert "line 2" in result.findings[0].message
    assert secret not in canonical(result).decode()
    model = packages.model()
    model.doc_string = secret
    assert _rules(_scan(packages.files(model.SerializeToString()))) == {"secret"}


def test_names_in_findings_are_short_and_printable() -> None:
    node = helper.make_node("A" * 5000 + "\x1b[31m", ["x"], ["y"])
    result = _scan(packages.files(packages.model(body=[node, *packages.nodes()]).SerializeToString()))
    assert all(len(finding.message) < 400 and finding.message.isprintable() for finding in result.findings)


def test_a_thousand_foreign_operators_are_one_finding() -> None:
    body = [helper.make_node("Bad", ["x"], [f"y{i}"]) for i in range(1000)]
    result = _scan(packages.files(packages.model(body=body).SerializeToString()))
    assert len(result.findings) == 1
