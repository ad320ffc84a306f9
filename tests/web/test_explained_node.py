"""Reason codes over HTTP through whole nodes, held against the receipt by `verify.py` alone: a forest in ONNX against
reference rows, and a native XGBoost model along its own training weights."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from strongroom import verify
from strongroom.approval.release import Release
from strongroom.errors import NotFoundError
from strongroom.validation.trees.attribution import contributions
from strongroom.validation.trees.forests import read_forest
from strongroom.wiring.node import NodeLayout
from strongroom.wiring.records import NodeRecords
from tests.serving.house import release_of
from tests.serving.test_explaining import ALONG, ROWS, WISH, forest, native_release
from tests.web.nodes import PASSPHRASE, Node, make

SUBJECTS = ["ann", "bob", "cy"]


def onnx_forest() -> bytes:
    from onnxmltools.convert import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType
    from xgboost import XGBClassifier

    model = XGBClassifier()
    model.load_model(bytearray(forest()))
    found = convert_xgboost(model, initial_types=[("input", FloatTensorType([None, 4]))], target_opset=15)
    return bytes(found.SerializeToString())


def onnx_release() -> Release:
    plain = release_of()
    return msgspec.structs.replace(
        plain,
        input=msgspec.structs.replace(plain.input, tensor="input"),
        explanation=msgspec.structs.replace(WISH, v=2, always=True),
    )


KINDS = {"onnxruntime": lambda: (onnx_release(), onnx_forest()), "xgboost": lambda: (native_release(**ALONG), forest())}


@pytest.fixture(scope="module", params=sorted(KINDS))
def explained(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Release, bytes]]:
    like, model = KINDS[request.param]()
    node = make(tmp_path_factory.mktemp(request.param), model=model, like=like)
    with node.serving():
        yield node, like, model


def body(rows: Any, **parameters: Any) -> dict[str, Any]:
    subjects = {"name": "strongroom.subject", "shape": [len(rows)], "datatype": "BYTES", "data": SUBJECTS[: len(rows)]}
    tensor = {"name": "input", "shape": [len(rows), 4], "datatype": "FP32", "data": rows.ravel().tolist()}
    labels = {"purpose": "credit-decision", "jurisdiction": "EU", "receipt": True}
    return {"inputs": [tensor, subjects], "parameters": labels | parameters}


def offline(node: Node, folder: Path, asked: Any, answer: Any, receipt: str, row: int = 0) -> int:
    """The exit code of `verify.py receipt` for one row: no key of the bank, only what it publishes."""
    for name, text in (("request", json.dumps(asked)), ("answer", json.dumps(answer)), ("receipt", receipt)):
        (folder / name).write_text(text, encoding="utf-8")
    trust = NodeLayout(node.folder).trust
    trusted = ("--policy", str(trust / "log-policy"), "--openings", str(trust / "openings"))
    messages = ("--request", str(folder / "request"), "--answer", str(folder / "answer"), "--row", str(row))
    return verify.main(["receipt", str(folder / "receipt"), *trusted, *messages])


def _published(node: Node, decision_id: str) -> bool:
    """Whether the log's readers see the decision; publishing may come a moment after the answer."""
    with NodeRecords.open(node.folder, PASSPHRASE) as kept:
        try:
            kept.decision(decision_id)
        except NotFoundError:
            return False
    return True


def test_reasons_are_exact_proven_by_the_receipt_and_replayed(explained: Any, tmp_path: Path) -> None:
    node, like, model = explained
    rows = ROWS[:3].astype(np.float32)
    status, answer = node.ask(asked := body(rows, explain=True))
    assert status == 200, answer
    told = {tensor["name"]: tensor for tensor in answer["outputs"]}
    trees = read_forest(model, like.numeric_profile.runtime, like.output.tensor, like.output.column, 4)
    made = contributions(like.explanation, trees)
    values = np.array(told["contributions"]["data"]).reshape(3, 4)
    assert values.tobytes() == made.values(rows).tobytes()
    np.testing.assert_allclose(trees.scores(made.base + values.sum(axis=1)), told["pd"]["data"], atol=1e-5)
    assert told["reason_codes"]["shape"] == [3, 2]
    assert set(told["reason_codes"]["data"]) <= {"R1", "R2", "R3", ""}

    first = int(answer["parameters"]["decision_id"], 16)
    for row, receipt in enumerate(json.loads(answer["parameters"]["receipts"])):
        text = json.dumps(receipt, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert offline(node, tmp_path, asked, answer, text, row) == 0
        document = json.loads(base64.b64decode(receipt["document"]))
        assert document["explanation"]["method"] == like.explanation.method
        assert base64.b64decode(document["explanation"]["contributions"]) == values[row].tobytes()
        for name, change, width in (("reason_codes", "R9", 2), ("contributions", 0.5, 4)):
            forged = json.loads(json.dumps(answer))
            [tensor] = [tensor for tensor in forged["outputs"] if tensor["name"] == name]
            tensor["data"][row * width] = change
            assert offline(node, tmp_path, asked, forged, text, row) == 4
    node.wait_for(lambda: _published(node, answer["parameters"]["decision_id"]), 30)
    with NodeRecords.open(node.folder, PASSPHRASE) as kept:
        for row in range(3):
            replayed = kept.replay(f"{(first + row) % 2**128:032x}", batch_rows=3)
            assert replayed.score == np.float32(told["pd"]["data"][row])


def test_reasons_come_where_the_release_demands_them_or_the_caller_asks(explained: Any) -> None:
    node, like, _ = explained
    status, answer = node.ask(body(ROWS[:1].astype(np.float32)))
    assert status == 200, answer
    assert ("reason_codes" in [tensor["name"] for tensor in answer["outputs"]]) == like.explanation.always
