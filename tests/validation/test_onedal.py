"""Forests on oneDAL: the answers of onnxruntime to rounding, the same bits alone and in any batch, and those that
arithmetic without rounding gives."""

from __future__ import annotations

import itertools
import math
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.adapters.sandbox.linux import LinuxSandbox
from strongroom.encoding import canonical, parse
from strongroom.errors import InvalidInputError, UnavailableError
from strongroom.registry.contract import InputContract, OutputContract
from strongroom.validation.batteries.artifact import open_session
from strongroom.validation.ports import Job
from strongroom.validation.trees import onedal, rounded_links
from strongroom.validation.trees.forests import Forest, Tree
from strongroom.validation.trees.rounded_links import exact, score, scores
from strongroom.validation.trees.sound_forests import DEPTH_LIMIT, exact_leaves
from strongroom.validation.workshop.conversion import ConversionOrder
from tests.validation.forests_by_hand import OUTPUT, TENSOR_IN, Split, chain, grown, lists, margins, written
from tests.validation.test_explained_regressors import drawn, source
from tests.validation.worked import parquet

Kind = Literal["classifier", "regressor"]
WHEELS = sys.platform == "linux" and platform.machine() == "x86_64"
needs_wheel = pytest.mark.skipif(not WHEELS, reason="oneDAL has no wheel for this machine")

TINY = float(np.float32(1e-45))
THRESHOLDS = (0.0, -0.0, TINY, -TINY, 1.5, -1.5, 0.1, 1e-38, 3e38, -3e38)
FEATURES = 4


def around(thresholds: tuple[float, ...] = THRESHOLDS) -> list[float]:
    """Values at which a comparison could go either way, and those that are no usual numbers."""
    at = [np.float32(one) for one in thresholds]
    beside = [np.nextafter(one, np.float32(end)) for one in at for end in (-np.inf, np.inf)]
    return [float(one) for one in (*at, *beside, np.inf, -np.inf, np.nan, np.finfo(np.float32).max)]


def rows_of(random: np.random.Generator, count: int) -> npt.NDArray[np.float32]:
    values = np.array(around(), np.float32)
    return np.where(
        random.random((count, FEATURES)) < 0.7,
        random.choice(values, (count, FEATURES)),
        random.normal(size=(count, FEATURES)).astype(np.float32),
    )


def opened(model: bytes, kind: Kind, features: int = FEATURES) -> onedal.VectorForest:
    return onedal.open_forest(model, TENSOR_IN, OUTPUT[kind], features)


def bits(values: Any) -> list[int]:
    return np.ascontiguousarray(values, np.float32).view(np.uint32).tolist()


def by_onnxruntime(model: bytes, kind: Kind, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    answer = open_session(model).run([OUTPUT[kind]], {TENSOR_IN: rows})[0]
    return np.asarray(answer).reshape(len(rows), -1)[:, -1]


@needs_wheel
@pytest.mark.parametrize("kind", ["classifier", "regressor"])
@pytest.mark.parametrize(("depth", "count"), [(0, 3), (1, 1), (1, 40), (4, 25), (9, 12)])
def test_answers_are_the_exact_sum_and_those_of_onnxruntime(kind: Kind, depth: int, count: int) -> None:
    random = np.random.default_rng(depth * 100 + count)
    trees = [grown(random, depth, FEATURES, THRESHOLDS) for _ in range(count)]
    base = 0.25
    model = written(lists(trees), FEATURES, kind, base)
    rows = rows_of(random, 300)
    found = opened(model, kind).predict(rows)
    told = margins(trees, rows) + base
    wanted = [exact(one, "logistic") for one in told] if kind == "classifier" else told.astype(np.float32)
    assert bits(found) == bits(np.array(wanted))
    np.testing.assert_allclose(found, by_onnxruntime(model, kind, rows), rtol=0, atol=1e-6)


@needs_wheel
@pytest.mark.parametrize("mode", ["LT", "LEQ"])
@pytest.mark.parametrize("missing_yes", [False, True])
def test_each_side_of_every_threshold(mode: Literal["LT", "LEQ"], missing_yes: bool) -> None:
    values = around()
    rows = np.zeros((len(values), FEATURES), np.float32)
    rows[:, 1] = values
    for threshold in THRESHOLDS:
        model = written(lists([Split(1, mode, threshold, missing_yes, 1.0, 2.0)]), FEATURES, "regressor")
        found = opened(model, "regressor").predict(rows)
        assert found.tolist() == by_onnxruntime(model, "regressor", rows).tolist(), threshold
        bound = float(np.float32(threshold))
        yes = [
            missing_yes if math.isnan(v) else (v < bound if mode == "LT" else v <= bound) for v in rows[:, 1].tolist()
        ]
        assert found.tolist() == [1.0 if one else 2.0 for one in yes], threshold


@needs_wheel
@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_a_row_has_the_same_bits_alone_and_in_every_batch(kind: Kind) -> None:
    random = np.random.default_rng(7)
    trees = [grown(random, 6, FEATURES, THRESHOLDS) for _ in range(30)]
    # leaves of all magnitudes: those that the sum cannot keep are rounded before, and not on the way
    wide = [
        Split(
            0, "LT", float(n), False, float(np.float32(random.normal() * 10.0**-n)), float(np.float32(random.normal()))
        )
        for n in range(30)
    ]
    forest = opened(written(lists([*trees, *wide]), FEATURES, kind, 0.1), kind)
    rows = rows_of(random, 1000)
    whole = bits(forest.predict(rows))
    for size in (*range(1, 131), 500, 999):
        starts = range(0, 1000 if size in (1, 2, 7, 64) else 2 * size, size)
        for start in starts:
            assert bits(forest.predict(rows[start : start + size])) == whole[start : start + size], size
    order = random.permutation(1000)
    assert bits(forest.predict(rows[order])) == np.array(whole)[order].tolist()
    assert bits(forest.predict(np.asfortranarray(rows))) == whole
    assert forest.predict(rows[:0]).shape == (0,)


@needs_wheel
def test_threads_with_a_session_each_get_the_bits_of_one() -> None:
    random = np.random.default_rng(3)
    model = written(lists([grown(random, 6, FEATURES, THRESHOLDS) for _ in range(30)]), FEATURES, "classifier")
    rows = rows_of(random, 200)
    wanted = bits(opened(model, "classifier").predict(rows))
    forests = [opened(model, "classifier") for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda one: [bits(one.predict(rows)) for _ in range(20)], forests):
            assert all(one == wanted for one in found)


@needs_wheel
@pytest.mark.parametrize("count", [20, pytest.param(1500, marks=pytest.mark.slow)])
def test_any_sound_forest_is_built_and_answered(count: int) -> None:
    """The builder is not proof against hostile trees; what the reader lets through must not hurt it."""
    random = np.random.default_rng(11)
    for _ in range(count):
        features = int(random.integers(1, 6))
        trees = [grown(random, int(random.integers(0, 12)), features, THRESHOLDS) for _ in range(random.integers(1, 8))]
        model = written(lists(trees), features, "regressor")
        rows = random.choice(np.array(around(), np.float32), (5, features))
        found = opened(model, "regressor", features).predict(rows)
        assert bits(found) == bits(margins(trees, rows).astype(np.float32))


@needs_wheel
def test_the_deepest_tree_that_is_taken() -> None:
    deepest = chain(DEPTH_LIMIT)
    rows = np.arange(-1, DEPTH_LIMIT + 3, dtype=np.float32)[:, None]
    forest = opened(written(lists([deepest]), 1, "regressor"), "regressor", 1)
    assert bits(forest.predict(rows)) == bits(margins([deepest], rows).astype(np.float32))


def test_a_deeper_tree_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="levels") as told:
        onedal.read_model(written(lists([chain(DEPTH_LIMIT + 1)]), 1, "regressor"), TENSOR_IN, "answer", 1)
    assert told.value.details["rule"] == "depth"


def test_what_is_behind_the_forest_and_cannot_be_exact_is_refused() -> None:
    """A scale makes leaves that are no float32."""
    import onnx
    from onnx import helper

    model = onnx.load_model_from_string(written(lists([Split(0, "LT", 0.5, False, 0.1, 0.2)]), 1, "regressor"))
    model.graph.node.append(helper.make_node("Mul", ["answer", "by"], ["scaled"]))
    model.graph.initializer.append(helper.make_tensor("by", onnx.TensorProto.FLOAT, [], [0.3]))
    model.graph.output[0].name = "scaled"
    with pytest.raises(InvalidInputError, match="float32"):
        onedal.read_model(bytes(model.SerializeToString()), TENSOR_IN, "scaled", 1)


@needs_wheel
@pytest.mark.parametrize(("low", "high"), [(0.2, 0.4), (0.0, 1.0)])
def test_a_cut_behind_the_forest_is_kept(low: float, high: float) -> None:
    import onnx
    from onnx import helper

    random = np.random.default_rng(5)
    model = onnx.load_model_from_string(
        written(lists([grown(random, 5, FEATURES, THRESHOLDS) for _ in range(9)]), FEATURES, "regressor")
    )
    model.graph.node.append(helper.make_node("Clip", ["answer", "low", "high"], ["cut"]))
    for name, value in (("low", low), ("high", high)):
        model.graph.initializer.append(helper.make_tensor(name, onnx.TensorProto.FLOAT, [], [value]))
    model.graph.output[0].name = "cut"
    data = bytes(model.SerializeToString())
    rows = rows_of(random, 100)
    found = onedal.open_forest(data, TENSOR_IN, "cut", FEATURES).predict(rows)
    wanted = np.asarray(open_session(data).run(["cut"], {TENSOR_IN: rows})[0])[:, 0]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)
    assert {np.float32(low), np.float32(high)} & set(found.tolist()) or (low, high) == (0.0, 1.0)


@needs_wheel
def test_the_column_of_the_contract_is_the_one_that_is_computed() -> None:
    model = written(lists([0.5]), 1, "classifier")
    feature: Any = {"name": "x", "type": "float", "unit": "x", "purpose": "x", "legal_basis": "x"}
    import msgspec

    inputs = msgspec.convert({"tensor": TENSOR_IN, "features": [feature], "max_rows": 8}, InputContract)
    output = OutputContract(tensor="probabilities", name="pd", unit="1", minimum="0", maximum="1", column=1)
    assert (
        onedal.open_contracted(model, inputs, output).output(np.zeros((3, 1), np.float32))[:, 1].tolist()
        == [float(exact(0.5, "logistic"))] * 3
    )
    assert np.isnan(onedal.open_contracted(model, inputs, output).output(np.zeros((3, 1), np.float32))[:, 0]).all()
    with pytest.raises(InvalidInputError, match="column 1"):
        onedal.open_contracted(model, inputs, msgspec.structs.replace(output, column=0))


LEAVES = st.floats(-(2.0**30), 2.0**30, width=32, allow_nan=False)


def of_leaves(leaves: list[float], base: float = 0.0) -> Forest:
    trees = tuple(
        Tree(
            *(np.array([-1], np.int32) for _ in range(2)), np.zeros(1, np.int32), np.zeros(1, np.float32),
            np.zeros(1, np.bool_), np.array([float(np.float32(leaf))]),
        )
        for leaf in leaves
    )  # fmt: skip
    return Forest(trees, base, "identity", 1)


@settings(max_examples=60, deadline=None)
@given(st.lists(LEAVES, min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_leaves_are_such_that_every_order_of_the_sum_gives_the_same_bits(leaves: list[float], random: Any) -> None:
    kept = [float(one[0]) for one in exact_leaves(of_leaves(leaves))]
    whole = math.fsum(kept)
    for _ in range(5):
        random.shuffle(kept)
        assert sum(kept) == whole
        assert float(np.sum(np.array(kept))) == whole
    largest = math.fsum(abs(float(np.float32(one))) for one in leaves)
    for one, leaf in zip(sorted(kept), sorted(leaves), strict=True):
        assert float(np.float32(one)) == one
        # what a single addition in float64 may lose
        assert abs(one - float(np.float32(leaf))) <= largest * 2.0**-52


def test_usual_leaves_are_kept_as_they_are_and_without_rounding_no_order_would_be_safe() -> None:
    usual = np.random.default_rng(0).normal(0, 0.05, 500).astype(np.float32).tolist()
    assert [one[0] for one in exact_leaves(of_leaves(usual))] == usual
    bad = [1.0, 2.0**-53, 2.0**-53]
    assert len({sum(order) for order in itertools.permutations(bad)}) == 2
    assert [one[0] for one in exact_leaves(of_leaves(bad))] == [1.0, 0.0, 0.0]
    assert [one[0] for one in exact_leaves(of_leaves([0.0, 0.0]))] == [0.0, 0.0]


@pytest.mark.parametrize("leaf", [math.nan, math.inf, -math.inf])
def test_a_leaf_that_is_no_number_is_refused(leaf: float) -> None:
    with pytest.raises(InvalidInputError):
        exact_leaves(of_leaves([0.5, leaf]))


MARGINS = [0.0, -0.0, 1e-300, 88.7, 89.0, -103.0, -104.5, 200.0, -200.0, 1e4, -1e4, 709.0, 710.0, -745.2, 0.5, -7.25]


def middle(link: str) -> npt.NDArray[np.float64]:
    """Margins whose score lies between two float32 as nearly as float64 can say it: where a library would decide."""
    halves = np.arange(0.25, 0.75, 0.01).astype(np.float32)
    between = (halves.astype(np.float64) + np.nextafter(halves, np.float32(1)).astype(np.float64)) / 2
    return np.log(between / (1 - between)) if link == "logistic" else np.log(between)


@pytest.mark.parametrize("link", ["logistic", "exponential"])
def test_a_score_is_the_exact_value_rounded_once(link: Any) -> None:
    random = np.random.default_rng(1)
    told = np.concatenate([random.normal(0, 4, 400), MARGINS, middle(link)])
    wanted = [exact(max(one, -200.0), link) for one in told.tolist()]
    assert bits(scores(told, link)) == bits(np.array(wanted))
    assert bits(np.array([score(one, link) for one in told.tolist()])) == bits(np.array(wanted))


@pytest.mark.parametrize("off", [1 - 2.0**-50, 1 + 2.0**-50])
def test_no_other_exponential_function_gives_another_score(monkeypatch: pytest.MonkeyPatch, off: float) -> None:
    told = np.concatenate([middle("logistic"), np.random.default_rng(2).normal(0, 4, 10_000)])
    wanted = bits(scores(told, "logistic"))
    few = told[:500].tolist()
    alone = bits(np.array([score(one, "logistic") for one in few]))
    exp, one_exp = np.exp, math.exp
    asked: list[float] = []
    slow = exact
    monkeypatch.setattr(rounded_links.np, "exp", lambda values: exp(values) * off)
    monkeypatch.setattr(rounded_links.math, "exp", lambda value: one_exp(value) * off)
    monkeypatch.setattr(rounded_links, "exact", lambda margin, link: (asked.append(margin), slow(margin, link))[1])
    assert bits(scores(told, "logistic")) == wanted
    # few are in doubt, and some are: without them the bits would be the library's
    assert 0 < len(asked) <= len(middle("logistic"))
    assert bits(np.array([score(one, "logistic") for one in few])) == alone == wanted[:500]


@pytest.mark.slow
@needs_wheel
@pytest.mark.parametrize(
    "which",
    [
        "xgboost", "xgboost tweedie", "xgboost counts", "lightgbm", "lightgbm counts", "lightgbm classifier",
        "gradient boosting", "forest",
    ],
)  # fmt: skip
def test_what_our_converters_write_is_taken(which: str) -> None:
    model, tensor, column = source(which)
    rows = drawn()[0].copy()
    rows[::7, 1] = np.nan
    forest = onedal.open_forest(model, "input", tensor, rows.shape[1])
    assert forest.columns - 1 == column
    wanted = np.asarray(open_session(model).run([tensor], {"input": rows})[0]).reshape(len(rows), -1)[:, column]
    np.testing.assert_allclose(forest.predict(rows), wanted, rtol=0, atol=1e-6)


@needs_wheel
def test_behind_the_walls_it_finds_its_libraries_and_answers_as_here() -> None:
    """The job that holds a converted model against its source, in the sandbox."""
    trees = [Split(0, "LT", 0.5, False, 0.25, -0.5), Split(1, "LEQ", 0.0, True, 0.125, 1.0)]
    rows = np.random.default_rng(4).normal(size=(50, 2)).astype(np.float32)
    answers = opened(written(lists(trees), 2, "classifier"), "classifier", 2).predict(rows).astype(np.float64)
    order = ConversionOrder(
        format="xgboost", runtime="onedal", features=("a", "b"), cut_offs=("0.5",), tolerance="0.000000001"
    )  # fmt: skip
    job = Job(
        entry="strongroom.validation.jobs.conversion_check",
        inputs={
            "contract.json": canonical(order), "model.onnx": written(lists(trees), 2, "classifier"),
            "reference.parquet": parquet({"a": rows[:, 0], "b": rows[:, 1]}),
            "predictions.parquet": parquet({"prediction": answers, "wide": answers}),
        },
        parameters={"tensor": "probabilities", "column": 1},
    )  # fmt: skip
    figures = parse(LinuxSandbox().run(job).files["figures.json"])
    assert (figures["rows"], figures["beyond"], figures["largest"]) == (50, 0, "0.0")


@needs_wheel
def test_nothing_heavy_is_loaded_with_it() -> None:
    asked = (
        "import sys\n"
        "from strongroom.validation.trees.onedal import library, library_version\n"
        "assert library_version() and library()\n"
        "heavy = [m for m in sys.modules if m.split('.')[0] in ('sklearn', 'pandas', 'scipy', 'onnx', 'xgboost')]\n"
        "assert not heavy, heavy[:5]\n"
        "import pandas\n"
    )
    subprocess.run([sys.executable, "-c", asked], check=True, timeout=120)


def test_where_it_is_not_installed_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    ask = onedal.library_version.__wrapped__
    monkeypatch.setattr(onedal.metadata, "version", absent)
    with pytest.raises(UnavailableError, match=r"strongroom\[onedal\]"):
        ask()
    monkeypatch.setattr(onedal.metadata, "version", lambda name: {"daal": "2026.2.0"}.get(name, "2026.1.0"))
    with pytest.raises(UnavailableError, match="two versions"):
        ask()


@needs_wheel
def test_a_library_of_another_version_than_its_wheel_says_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onedal, "library_version", lambda: "2025.9.0")
    with pytest.raises(UnavailableError, match="not the installed"):
        onedal.library.__wrapped__()


@needs_wheel
def test_a_script_in_the_place_of_the_extension_does_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "_daal4py.py").write_text("raise SystemExit('it ran')\n")
    spec = ModuleSpec("daal4py", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(onedal.importlib.util, "find_spec", lambda _: spec)
    with pytest.raises(UnavailableError, match="for this Python"):
        onedal.library.__wrapped__()


@needs_wheel
@pytest.mark.parametrize("rows", [np.zeros((2, 3), np.float32), np.zeros((2, 4)), np.zeros(4, np.float32)])
def test_rows_of_another_form_are_not_answered(rows: Any) -> None:
    forest = opened(written(lists([Split(0, "LT", 0.0, False, 0.1, 0.2)]), FEATURES, "regressor"), "regressor")
    with pytest.raises(InvalidInputError):
        forest.predict(rows)
