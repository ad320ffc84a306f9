"""Models of numbers are explained as those of events are: held to all sets of features, asked of the runtime."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cache
from math import factorial
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from strongroom.errors import InvalidInputError
from strongroom.registry.explanation import Explanation, ReasonGroup
from strongroom.validation.batteries.artifact import open_session
from strongroom.validation.jobs.source_graphs import convert
from strongroom.validation.trees.attribution import Attribution, contributions
from strongroom.validation.trees.boosters import open_booster
from strongroom.validation.trees.forests import read_forest
from strongroom.validation.trees.graph_tails import model_proto, read_tail
from tests.validation.forest_oracle import path_dependent

NAMES = tuple("abcd")
Margins = Callable[[Any], npt.NDArray[np.float64]]


@cache
def drawn() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    random = np.random.default_rng(5)
    rows = random.random((300, 4)).astype(np.float32)
    return rows, rows[:, 0] * 0.5 + (rows[:, 1] > 0.4) * 0.3 * rows[:, 2] + random.random(300) * 0.2


@cache
def source(which: str) -> tuple[bytes, str, int]:
    """A trained model as its converter writes it: bytes, tensor, column."""
    rows, came = drawn()
    given: Any = {"n_estimators": 6, "max_depth": 3}
    if which.startswith("xgboost"):
        from xgboost import XGBRegressor

        objective = {"xgboost": "reg:squarederror", "xgboost tweedie": "reg:tweedie", "xgboost counts": "count:poisson"}
        holed = rows.copy()
        holed[::5, 2] = np.nan
        model = XGBRegressor(**given, n_jobs=1, objective=objective[which]).fit(holed, came)
    elif which.startswith("lightgbm"):
        from lightgbm import LGBMClassifier, LGBMRegressor

        given |= {"verbose": -1, "n_jobs": 1}
        if which == "lightgbm classifier":
            model = LGBMClassifier(**given).fit(rows, came > 0.5)
        else:
            counts = {"objective": "poisson"} if which == "lightgbm counts" else {}
            model = LGBMRegressor(**given, **counts).fit(rows, came)
    else:
        from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor

        kind = GradientBoostingRegressor if which == "gradient boosting" else RandomForestRegressor
        model = kind(**given, random_state=1).fit(rows, came)
    made = convert(model, NAMES, "onnxruntime")
    return made.model, made.tensor, made.column


def served(model: bytes, tensor: str, column: int) -> Margins:
    session = open_session(model)

    def answer(rows: Any) -> npt.NDArray[np.float64]:
        found = session.run([tensor], {"input": np.ascontiguousarray(rows, np.float32)})[0]
        return np.asarray(found, np.float64).reshape(len(rows), -1)[:, column]

    return answer


def by_coalitions(margins: Margins, row: Any, reference: Any) -> npt.NDArray[np.float64]:
    """Shapley's formula over all sets, each asked of whatever answers."""
    width = len(row)
    sets = [set(one) for size in range(width + 1) for one in itertools.combinations(range(width), size)]
    mixed = np.stack([np.where([n in one for n in range(width)], row, reference) for one in sets])
    worth = margins(mixed.reshape(-1, width)).reshape(len(sets), -1).mean(axis=1)
    told = {frozenset(one): value for one, value in zip(sets, worth, strict=True)}
    found = np.zeros(width)
    for one, value in told.items():
        for n in set(range(width)) - one:
            share = factorial(len(one)) * factorial(width - len(one) - 1) / factorial(width)
            found[n] += share * (told[one | {n}] - value)
    return found


LINKS: dict[str, Callable[[Any], Any]] = {
    "identity": lambda score: score, "exponential": np.log, "logistic": lambda score: np.log(score / (1 - score)),
}  # fmt: skip


@pytest.mark.parametrize(
    ("which", "link"),
    [
        ("xgboost", "identity"), ("lightgbm", "identity"), ("gradient boosting", "identity"), ("forest", "identity"),
        ("xgboost tweedie", "exponential"), ("xgboost counts", "exponential"), ("lightgbm counts", "exponential"),
        ("lightgbm classifier", "logistic"),
    ],
)  # fmt: skip
def test_what_our_converters_write_is_explained_as_the_runtime_answers(which: str, link: str) -> None:
    model, tensor, column = source(which)
    forest = read_forest(model, "onnxruntime", tensor, column, 4)
    assert (forest.link, forest.cut) == (link, False)
    answer, rows = served(model, tensor, column), drawn()[0][:40].copy()
    if which == "xgboost":
        rows[::3, 2] = np.nan
    reference, asked = rows[:5], rows[5:]
    made = Attribution(forest, reference)
    values = made.values(asked)
    assert np.abs(forest.scores(made.base + values.sum(axis=1)) - answer(asked)).max() < 2e-6
    margins: Margins = lambda mixed: LINKS[link](answer(mixed))  # noqa: E731  # a name for a type
    for row, found in zip(asked[:6], values, strict=False):
        np.testing.assert_allclose(found, by_coalitions(margins, row, reference), atol=3e-6)


def graph(nodes: list[Any], held: dict[str, Any] | None = None, opset: int = 15, **changes: Any) -> bytes:
    """Two stumps, and what is put behind them. `changes` are attributes of the ensemble."""
    ensemble = helper.make_node(
        "TreeEnsembleRegressor", ["input"], ["sum"], domain="ai.onnx.ml",
        **{
            "n_targets": 1, "nodes_treeids": [0, 0, 0, 1, 1, 1], "nodes_nodeids": [0, 1, 2, 0, 1, 2],
            "nodes_featureids": [0, 0, 0, 1, 0, 0], "nodes_values": [0.5, 0.0, 0.0, 0.25, 0.0, 0.0],
            "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF", "BRANCH_LT", "LEAF", "LEAF"],
            "nodes_truenodeids": [1, 0, 0, 1, 0, 0], "nodes_falsenodeids": [2, 0, 0, 2, 0, 0],
            "nodes_missing_value_tracks_true": [1, 0, 0, 0, 0, 0],
            "target_treeids": [0, 0, 1, 1], "target_nodeids": [1, 2, 1, 2], "target_ids": [0, 0, 0, 0],
            "target_weights": [0.2, 0.9, -0.1, 0.4], "base_values": [0.05], **changes,
        },
    )  # fmt: skip
    made = helper.make_graph(
        [ensemble, *nodes], "model",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("out" if nodes else "sum", TensorProto.FLOAT, [None, None])],
        [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in (held or {}).items()],
    )  # fmt: skip
    domains = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    whole = helper.make_model(made, opset_imports=domains)
    whole.ir_version = 8
    return bytes(whole.SerializeToString())


ROWS = np.array([[a, b] for a in (0.0, 0.5, 0.7, np.nan) for b in (0.0, 0.25, 0.9, np.nan)], np.float32)
CUT = helper.make_node("Clip", ["sum", "low", "high"], ["out"])


@pytest.mark.parametrize(
    ("nodes", "held", "opset", "changes"),
    [
        ([], {}, 15, {}),
        ([helper.make_node("Mul", ["two", "sum"], ["out"])], {"two": [2.0]}, 15, {}),
        ([CUT], {"low": 0.0, "high": 1.0}, 15, {}),
        ([helper.make_node("Clip", ["sum", "", "high"], ["out"])], {"high": 0.6}, 15, {}),
        ([helper.make_node("Clip", ["sum"], ["out"], min=0.2)], {}, 10, {}),
        ([helper.make_node("Exp", ["sum"], ["e"]), helper.make_node("Mul", ["e", "half"], ["m"]),
          helper.make_node("Clip", ["m", "low", "high"], ["out"])], {"half": [0.5], "low": 0.0, "high": 1.0}, 15, {}),
        ([], {}, 15, {"aggregate_function": "SUM", "base_values": []}),
    ],
)  # fmt: skip
def test_scale_exponential_and_cut_behind_a_forest_are_followed(
    nodes: list[Any], held: dict[str, Any], opset: int, changes: dict[str, Any]
) -> None:
    changes = {name: value for name, value in changes.items() if value != []}
    model = graph(nodes, held, opset, **changes)
    tensor = "out" if nodes else "sum"
    forest = read_forest(model, "onnxruntime", tensor, 0, 2)
    made = Attribution(forest, ROWS[:3])
    told = forest.scores(made.base + made.values(ROWS).sum(axis=1))
    assert np.abs(told - served(model, tensor, 0)(ROWS)).max() < 1e-6
    assert forest.cut == any(node.op_type == "Clip" for node in nodes)


@pytest.mark.parametrize(
    ("nodes", "held", "changes", "why"),
    [
        ([helper.make_node("Sqrt", ["sum"], ["out"])], {}, {}, "`Sqrt`"),
        ([helper.make_node("Mul", ["sum", "by"], ["out"])], {"by": [-1.0]}, {}, "`Mul`"),
        ([helper.make_node("Mul", ["sum", "sum"], ["out"])], {}, {}, "whose answer is the contract's output"),
        ([helper.make_node("Mul", ["sum", "by"], ["out"])], {"by": [1.0, 2.0]}, {}, "answer is the contract's output"),
        ([helper.make_node("Exp", ["sum"], ["e"]), helper.make_node("Exp", ["e"], ["out"])], {}, {}, "`Exp`"),
        ([helper.make_node("Clip", ["sum", "by"], ["c"]), helper.make_node("Mul", ["c", "by"], ["out"])],
         {"by": [2.0]}, {}, "`Mul`"),
        ([helper.make_node("Clip", ["sum", "by"], ["c"]), helper.make_node("Clip", ["c", "by"], ["out"])],
         {"by": [2.0]}, {}, "two cuts"),
        ([helper.make_node("Identity", ["input"], ["out"])], {}, {}, "whose answer is the contract's output"),
        ([], {}, {"aggregate_function": "AVERAGE"}, "whose trees are summed"),
        ([], {}, {"aggregate_function": "MAX"}, "whose trees are summed"),
        ([], {}, {"post_transform": "PROBIT"}, "the score or its log-odds"),
        ([], {}, {"post_transform": "LOGISTIC"}, "the score or its log-odds"),
        ([], {}, {"n_targets": 2, "target_ids": [0, 1, 0, 1]}, "of one output"),
    ],
)  # fmt: skip
def test_what_is_no_plain_forest_is_refused_with_the_next_step(
    nodes: list[Any], held: dict[str, Any], changes: dict[str, Any], why: str
) -> None:
    model = graph(nodes, held, **changes)
    with pytest.raises(InvalidInputError, match=r"leave \[explanation\] out") as refused:
        read_forest(model, "onnxruntime", "out" if nodes else "sum", 0, 2)
    assert why in str(refused.value)
    with pytest.raises(InvalidInputError):
        read_forest(model, "onnxruntime", "elsewhere", 0, 2)


@pytest.mark.parametrize(
    "change", [{"raw_data": b"\0\0\0"}, {"data_type": 11}, {"dims": [-1]}, {"float_data": [np.inf]}]
)
def test_a_constant_that_is_none_is_no_scale(change: dict[str, Any]) -> None:
    scale = {"name": "by", "data_type": 1, "dims": [1], "float_data": [2.0]}
    nodes = [helper.make_node("Mul", ["sum", "by"], ["out"])]
    for given, refused in ((scale, False), (scale | {"float_data": []} | change, True)):
        proto = model_proto()()
        made = onnx.GraphProto(node=nodes, initializer=[onnx.TensorProto(**given)])
        proto.ParseFromString(onnx.ModelProto(graph=made).SerializeToString())
        if refused:
            with pytest.raises(InvalidInputError, match="answer is the contract's output"):
                read_tail(proto.graph, "sum", "out", "identity")
        else:
            assert read_tail(proto.graph, "sum", "out", "identity").factor == 2.0


def test_a_long_way_to_the_output_is_not_followed_for_ever() -> None:
    nodes = [helper.make_node("Identity", [f"n{n}"], [f"n{n + 1}"]) for n in range(20)]
    ring = [helper.make_node("Identity", ["b"], ["a"]), helper.make_node("Identity", ["a"], ["b"])]
    for made, end in ((nodes, "n20"), (ring, "a")):
        proto = model_proto()()
        proto.ParseFromString(onnx.ModelProto(graph=onnx.GraphProto(node=made)).SerializeToString())
        with pytest.raises(InvalidInputError, match="answer is the contract's output"):
            read_tail(proto.graph, "n0", end, "identity")


@pytest.mark.parametrize("method", ["interventional", "path-dependent"])
def test_a_native_regression_of_shares_is_explained_both_ways(method: Any) -> None:
    from xgboost import XGBRegressor

    rows, came = drawn()
    model = XGBRegressor(n_estimators=6, max_depth=3, n_jobs=1, objective="reg:logistic").fit(rows, came)
    data = bytes(model.get_booster().save_raw("ubj"))
    forest = read_forest(data, "xgboost", "probability", 0, 4)
    reference = rows[:4] if method == "interventional" else rows[:0]
    wish = Explanation(
        v=2, method=method, code_map="1", groups=(ReasonGroup(code="A", features=NAMES),),
        reference=tuple(tuple(repr(float(x)) for x in row) for row in reference),
    )  # fmt: skip
    made, booster = contributions(wish, forest), open_booster(data)
    values = made.values(rows[10:30])
    assert np.abs(forest.scores(made.base + values.sum(axis=1)) - booster.predict(rows[10:30])).max() < 1e-6
    for row, found in zip(rows[10:14], values, strict=False):
        right = (
            by_coalitions(lambda mixed: booster.margins(np.ascontiguousarray(mixed)), row, reference)
            if method == "interventional"
            else path_dependent(forest, row)
        )
        np.testing.assert_allclose(found, right, atol=2e-6)
