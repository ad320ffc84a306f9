"""Each rule for files of native XGBoost, against a file that breaks exactly it; and the scan job over a package."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
import xgboost

from strongroom.encoding import canonical, parse_as
from strongroom.errors import InvalidInputError
from strongroom.registry.contract import InputContract, OutputContract
from strongroom.validation.jobs import scan as job
from strongroom.validation.scans import booster_scan
from strongroom.validation.scans.scan import BOOSTER_RULES, BoosterFacts, ScanResult, verdict_of
from strongroom.validation.trees import forests
from tests.validation import packages

INPUTS: InputContract = msgspec.structs.replace(packages.contract().input, tensor="input")
OUTPUT = OutputContract(tensor="probability", name="pd", unit="probability", minimum="0", maximum="1", column=0)


def _train(names: tuple[str, ...] | None = packages.FEATURES, **parameters: Any) -> xgboost.Booster:
    random = np.random.default_rng(5)
    rows = random.normal(size=(400, 3)).astype(np.float32)
    labels = (rows[:, 0] + rows[:, 1] * rows[:, 2] > 0).astype(int)
    data = xgboost.DMatrix(rows, labels, feature_names=list(names) if names else None)
    given = {"objective": "binary:logistic", "max_depth": 3, "nthread": 1, **parameters}
    return xgboost.train(given, data, num_boost_round=4)


BOOSTER = _train()
GOOD = bytes(BOOSTER.save_raw("ubj"))


def _scan(model: bytes, **rules: int) -> tuple[BoosterFacts | None, set[str]]:
    found: set[str] = set()
    limits = msgspec.structs.replace(BOOSTER_RULES, **rules)
    facts = booster_scan.scan_booster(model, INPUTS, OUTPUT, limits, lambda rule, _: found.add(rule))
    return facts, found


def test_a_sound_model_gives_facts() -> None:
    facts, found = _scan(GOOD)
    assert not found
    assert facts is not None
    assert (facts.trees, facts.features, facts.objective) == (4, 3, "binary:logistic")
    assert 1 <= facts.depth <= 3
    assert facts.rules == BOOSTER_RULES
    # a model without names of its own is as good
    assert not _scan(bytes(_train(None).save_raw("ubj")))[1]


@pytest.mark.parametrize(
    ("parameters", "rule"),
    [
        ({"objective": "reg:squarederror"}, "xgboost-objective"),
        ({"objective": "binary:hinge"}, "xgboost-objective"),
        ({"objective": "multi:softprob", "num_class": 3}, "xgboost-classes"),
        ({"booster": "dart", "rate_drop": 0.9}, "xgboost-load"),  # or `xgboost-booster`, from XGBoost 3.4 on
        ({"booster": "gblinear"}, "xgboost-load"),
        ({"names": ("late", "age", "limit")}, "xgboost-features"),
    ],
)
def test_models_of_another_kind_are_refused(parameters: dict[str, Any], rule: str) -> None:
    _, found = _scan(bytes(_train(**parameters).save_raw("ubj")))
    assert found
    if rule != "xgboost-load":
        assert rule in found


def test_trees_that_are_weighted_are_refused() -> None:
    document = json.loads(bytes(BOOSTER.save_raw("json")))
    model = document["learner"]["gradient_booster"]["model"]
    for weights, refused in (([1.0] * 4, False), ([1.0, 1.0, 0.5, 1.0], True), ([float("nan")] * 4, True)):
        model["weight_drop"] = weights
        found: set[str] = set()
        booster_scan.read_forest(document, BOOSTER_RULES, INPUTS, lambda rule, _, found=found: found.add(rule))
        assert ("xgboost-booster" in found) is refused
        if refused:
            with pytest.raises(InvalidInputError, match="count alike"):
                forests._of_document(document)
        else:
            assert len(forests._of_document(document).trees) == 4


@pytest.mark.parametrize("limit", ["model_bytes", "trees", "nodes", "depth"])
def test_limits_hold(limit: str) -> None:
    assert _scan(GOOD, **{limit: 1})[1]


def test_attributes_and_bytes_that_xgboost_would_not_write_are_refused() -> None:
    told = _train()
    told.set_attr(note="anything")
    assert "xgboost-attributes" in _scan(bytes(told.save_raw("ubj")))[1]
    assert _scan(GOOD + b"hidden")[1]
    assert _scan(bytes(BOOSTER.save_raw("json")))[1] == {"xgboost-load"}
    assert _scan(b"")[1] == {"xgboost-load"}


def _tree(document: Any) -> Any:
    return document["learner"]["gradient_booster"]["model"]["trees"][0]


def _set(column: str, at: int, value: Any) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        _tree(document)[column][at] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        _set("left_children", 0, 10_000),
        _set("left_children", 0, -7),
        _set("right_children", 0, 0),
        _set("right_children", 1, 1),
        _set("split_indices", 0, 3),
        _set("split_indices", 0, -1),
        _set("split_conditions", 0, float("inf")),
        _set("split_conditions", 0, float("nan")),
        _set("split_type", 0, 1),
        lambda document: _tree(document)["left_children"].pop(),
        lambda document: _tree(document)["split_indices"].append(0),
        lambda document: _tree(document)["tree_param"].update(num_nodes="1"),
        lambda document: _tree(document)["tree_param"].update(size_leaf_vector="2"),
        lambda document: document["learner"]["gradient_booster"]["model"]["tree_info"].__setitem__(0, 1),
        lambda document: document["learner"]["gradient_booster"]["model"]["trees"].clear(),
        lambda document: document["learner"].pop("objective"),
        lambda document: document["learner"]["gradient_booster"].update(name="dart"),
    ],
)
def test_a_forest_whose_indices_leave_their_bounds_is_refused(change: Callable[[Any], None]) -> None:
    """The document that the library gave back is checked, so that a library that took too much is found out."""
    document = json.loads(bytes(BOOSTER.save_raw("json")))
    change(document)
    found: set[str] = set()
    try:
        booster_scan.read_forest(document, BOOSTER_RULES, INPUTS, lambda rule, _: found.add(rule))
    except (ValueError, KeyError, IndexError):
        found.add("xgboost-form")
    assert found


def _package(model: bytes) -> tuple[dict[str, bytes], dict[str, bytes], list[list[str]]]:
    files = {path: data for path, data in packages.files().items() if path != "model.onnx"} | {"model.ubj": model}
    contract = packages.contract()
    samples = msgspec.structs.replace(contract.samples, model="model.ubj")
    stated = msgspec.structs.replace(contract, runtime="xgboost", input=INPUTS, output=OUTPUT, samples=samples)
    paths = sorted(files)
    inputs = {f"file-{i}": files[path] for i, path in enumerate(paths)} | {"contract.json": canonical(stated)}
    return files, inputs, [[f"file-{i}", path, "x"] for i, path in enumerate(paths)]


def test_the_scan_job_takes_a_package_of_native_xgboost() -> None:
    _, inputs, listing = _package(GOOD)
    result = parse_as(job.run(inputs, {"files": listing})["scan.json"], ScanResult)
    assert result.findings == ()
    assert verdict_of(result) == "pass"
    assert result.model is None
    assert isinstance(result.booster, BoosterFacts)
    _, inputs, listing = _package(b"\x80\x04K\x01.")
    result = parse_as(job.run(inputs, {"files": listing})["scan.json"], ScanResult)
    assert verdict_of(result) == "fail"


def test_an_onnx_model_where_xgboost_is_named_is_refused_and_the_other_way_round() -> None:
    _, inputs, listing = _package(packages.model().SerializeToString())
    assert verdict_of(parse_as(job.run(inputs, {"files": listing})["scan.json"], ScanResult)) == "fail"
    files = packages.files(GOOD)
    paths = sorted(files)
    inputs = {f"file-{i}": files[path] for i, path in enumerate(paths)} | {
        "contract.json": canonical(packages.contract())
    }
    listing = [[f"file-{i}", path, "x"] for i, path in enumerate(paths)]
    assert verdict_of(parse_as(job.run(inputs, {"files": listing})["scan.json"], ScanResult)) == "fail"


def test_a_scan_of_onnx_keeps_its_bytes() -> None:
    """Evidence that was signed before there were boosters decodes and encodes to the same bytes."""
    files = packages.files()
    paths = sorted(files)
    inputs = {f"file-{i}": files[path] for i, path in enumerate(paths)} | {
        "contract.json": canonical(packages.contract())
    }
    found = job.run(inputs, {"files": [[f"file-{i}", path, "x"] for i, path in enumerate(paths)]})["scan.json"]
    assert b"booster" not in found
    assert b"runtime" not in canonical(packages.contract())
    assert json.load(io.BytesIO(found))["model"]
