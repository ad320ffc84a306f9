"""From a loaded source model to the bytes of what will be served, and to the source's own answers.

scikit-learn goes through skl2onnx, LightGBM and XGBoost through onnxmltools. A generalised linear model of statsmodels
is two operators, which are written here by hand, in float64 but for the ends: no library converts it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from strongroom.errors import UnsafeArtifactError
from strongroom.registry.contract import RuntimeName
from strongroom.validation.trees.boosters import OUTPUT

OPSET: Final = 15
TENSOR: Final = "input"
PROBABILITIES: Final = "probabilities"
VARIABLE: Final = "variable"

Rows = npt.NDArray[Any]
Answer = Callable[[Rows], npt.NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Conversion:
    """A converted model.

    Attributes:
        model: bytes of ONNX, or XGBoost's UBJSON.
        tensor, column: where the served output is.
        answer: the source's own answers for rows [rows, features]; shape [rows].
        kind: class of the source model.
        notes: what the conversion had to do, for the statement.
        parameters: of the training, as far as the source kept them.
    """

    model: bytes
    tensor: str
    column: int
    answer: Answer
    kind: str
    notes: tuple[str, ...]
    parameters: dict[str, str]


def convert(model: Any, names: Sequence[str], runtime: RuntimeName) -> Conversion:
    """Convert a loaded model.

    Args:
        model: as `source_loading.load_source` gives it.
        names: the contract's features, in order.
        runtime: what will run it.

    Raises:
        UnsafeArtifactError: it cannot be converted; the message says what to do.
    """
    origin = type(model).__module__.partition(".")[0]
    if runtime == "xgboost" and origin != "xgboost":
        raise UnsafeArtifactError(f"a model of {origin} cannot stay native XGBoost; leave `runtime` out")
    if origin == "xgboost":
        return _from_xgboost(model, names, runtime)
    if origin == "lightgbm":
        return _from_lightgbm(model, names)
    if origin == "statsmodels":
        return _from_statsmodels(model, names)
    if origin == "sklearn":
        return _from_sklearn(model, names)
    raise UnsafeArtifactError(
        f"the file holds a {type(model).__name__[:60]} of {origin[:60]}, which is not converted; save a model of "
        "scikit-learn, LightGBM, XGBoost or statsmodels, or bring ONNX (strongroom package)"
    )


def _from_sklearn(model: Any, names: Sequence[str]) -> Conversion:
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    classifies = hasattr(model, "predict_proba")
    _width(getattr(model, "n_features_in_", len(names)), names)
    if classifies and len(getattr(model, "classes_", (0, 1))) != 2:
        raise UnsafeArtifactError("the classifier has more than two classes; fit one for the outcome and its absence")
    told = [str(name) for name in getattr(model, "feature_names_in_", names)]
    if told != list(names):
        raise UnsafeArtifactError("the model was fitted on other columns, or in another order, than the contract lists")
    try:
        converted = to_onnx(
            model,
            name="model",
            initial_types=[(TENSOR, FloatTensorType([None, len(names)]))],
            options={id(model): {"zipmap": False}} if classifies else None,
            target_opset=OPSET,
        )
    except Exception as error:  # converters raise a dozen classes, and ValueError where onnx refuses what they made
        raise UnsafeArtifactError(
            f"skl2onnx does not convert this {type(model).__name__[:60]} or a part of it; use parts that it knows "
            "(HistGradientBoosting: fit LightGBM or XGBoost in its place)"
        ) from error
    named = getattr(model, "feature_names_in_", None) is not None

    def answer(rows: Rows) -> npt.NDArray[np.float64]:
        import pandas as pd

        given = pd.DataFrame(rows, columns=list(names)) if named else rows
        values = model.predict_proba(given)[:, 1] if classifies else model.predict(given)
        return np.asarray(values, dtype=np.float64).reshape(len(rows))

    return Conversion(
        bytes(converted.SerializeToString()),
        PROBABILITIES if classifies else VARIABLE,
        1 if classifies else 0,
        answer,
        type(model).__name__,
        ("the graph computes in float32",),
        _parameters(model),
    )


def _from_xgboost(model: Any, names: Sequence[str], runtime: RuntimeName) -> Conversion:
    import xgboost

    booster = model if isinstance(model, xgboost.Booster) else model.get_booster()
    best = booster.attributes().get("best_iteration")
    booster = booster[: int(best) + 1] if best is not None else booster.copy()
    booster.set_attr(**dict.fromkeys(booster.attributes()))
    _width(booster.num_features(), names)
    told = booster.feature_names
    if told and told != list(names):
        raise UnsafeArtifactError("the model was fitted on other columns, or in another order, than the contract lists")
    objective = str(json.loads(booster.save_config())["learner"]["objective"]["name"])
    classifies = objective == "binary:logistic"
    if objective.startswith(("multi", "rank", "survival")):
        raise UnsafeArtifactError(
            f"the objective {objective[:40]} is not converted; fit binary:logistic or a regression"
        )
    # the source answers from its own copy, before names are taken away for the converter
    own = booster.copy()

    def answer(rows: Rows) -> npt.NDArray[np.float64]:
        matrix = xgboost.DMatrix(rows, feature_names=own.feature_names)
        return np.asarray(own.predict(matrix), dtype=np.float64).reshape(len(rows))

    parameters = {} if isinstance(model, xgboost.Booster) else _parameters(model)
    kind = type(model).__name__
    if runtime == "xgboost":
        return Conversion(bytes(booster.save_raw("ubj")), OUTPUT, 0, answer, kind, ("kept as it is",), parameters)
    import onnxmltools
    from onnxmltools.convert.common.data_types import FloatTensorType

    copy = xgboost.XGBClassifier() if classifies else xgboost.XGBRegressor()
    copy.load_model(booster.save_raw("ubj"))
    copy.get_booster().feature_names = None
    try:
        converted = onnxmltools.convert_xgboost(
            copy, name="model", initial_types=[(TENSOR, FloatTensorType([None, len(names)]))], target_opset=OPSET
        )
    except Exception as error:
        raise UnsafeArtifactError(
            'onnxmltools does not convert this XGBoost model; set runtime = "xgboost" to keep it as it is'
        ) from error
    return Conversion(
        bytes(converted.SerializeToString()),
        PROBABILITIES if classifies else VARIABLE,
        1 if classifies else 0,
        answer,
        kind,
        ("sums of leaves are taken in float32, in another order than XGBoost's",),
        parameters,
    )


def _from_lightgbm(model: Any, names: Sequence[str]) -> Conversion:
    import lightgbm
    import onnxmltools
    from onnxmltools.convert.common.data_types import FloatTensorType

    booster = model if isinstance(model, lightgbm.Booster) else model.booster_
    _width(booster.num_feature(), names)
    told = booster.feature_name()
    # columns without a name are called Column_0, Column_1, ...
    if told != list(names) and told != [f"Column_{n}" for n in range(len(names))]:
        raise UnsafeArtifactError("the model was fitted on other columns, or in another order, than the contract lists")
    text = booster.model_to_string(num_iteration=booster.best_iteration if booster.best_iteration > 0 else None)
    objective = re.search(r"^objective=(\w+)", text, re.MULTILINE)
    name = objective.group(1) if objective else ""
    if name in ("multiclass", "multiclassova", "lambdarank", "rank_xendcg", ""):
        raise UnsafeArtifactError(f"the objective `{name}` is not converted; fit `binary` or a regression")
    if re.search(r"^is_linear=1", text, re.MULTILINE):
        raise UnsafeArtifactError("trees with linear leaves are not converted; fit with linear_tree off")
    classifies = name in ("binary", "cross_entropy")
    narrowed, moved = _narrow_thresholds(text)
    source = lightgbm.Booster(model_str=text)
    try:
        converted = onnxmltools.convert_lightgbm(
            lightgbm.Booster(model_str=narrowed),
            name="model",
            initial_types=[(TENSOR, FloatTensorType([None, len(names)]))],
            zipmap=False,
            target_opset=OPSET,
        )
    except Exception as error:
        raise UnsafeArtifactError(
            "onnxmltools does not convert this LightGBM model; fit numeric features and a plain objective"
        ) from error

    def answer(rows: Rows) -> npt.NDArray[np.float64]:
        return np.asarray(source.predict(rows, num_threads=1), dtype=np.float64).reshape(len(rows))

    return Conversion(
        bytes(converted.SerializeToString()),
        PROBABILITIES if classifies else VARIABLE,
        1 if classifies else 0,
        answer,
        type(model).__name__,
        (
            f"{moved} thresholds of float64 were moved to the float32 below, which changes no answer for float32 rows",
            "leaves are float32, and their sum is taken in float32",
        ),
        _parameters(model) if not isinstance(model, lightgbm.Booster) else {},
    )


def _narrow_thresholds(text: str) -> tuple[str, int]:
    """Each threshold t as the largest float32 not above it: for a float32 value x, x <= t says the same of both."""
    moved = 0

    def narrow(match: re.Match[str]) -> str:
        nonlocal moved
        values = []
        for word in match.group(1).split():
            exact = float(word)
            single = np.float32(exact)
            if float(single) > exact:
                single = np.nextafter(single, np.float32(-np.inf))
            moved += float(single) != exact
            values.append(repr(float(single)))
        return "threshold=" + " ".join(values)

    narrowed = re.sub(r"^threshold=(.*)$", narrow, text, flags=re.MULTILINE)
    # it gives the length of each tree in bytes, and LightGBM trusts it; without it the text is read line by line
    kept = [line for line in narrowed.split("\n") if not line.startswith("tree_sizes=")]
    return "\n".join(kept), moved


def _from_statsmodels(results: Any, names: Sequence[str]) -> Conversion:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = results.model
    terms = [str(name) for name in model.exog_names]
    weights = np.asarray(results.params, dtype=np.float64)
    if weights.shape != (len(terms),):
        raise UnsafeArtifactError("the results have other parameters than one a term; use GLM, Logit, Probit or OLS")
    if any(
        np.any(np.asarray(getattr(model, name, 0.0) if getattr(model, name, None) is not None else 0.0))
        for name in ("offset", "exposure")
    ):
        raise UnsafeArtifactError("a model with an offset is not converted; make the offset a feature")
    link = _link(results)
    constants = [place for place, term in enumerate(terms) if term in ("const", "Intercept")]
    places = {name: place for place, name in enumerate(names)}
    unknown = [term for place, term in enumerate(terms) if place not in constants and term not in places]
    if unknown:
        raise UnsafeArtifactError(
            f"the term `{unknown[0][:60]}` is no feature of the contract; compute it before fitting and make it one"
        )
    used = [places[term] for place, term in enumerate(terms) if place not in constants]
    if len(set(used)) != len(names):
        raise UnsafeArtifactError("the contract lists features that the model does not use; leave them out")
    column = np.zeros((len(names), 1))
    for term, weight in zip(terms, weights, strict=True):
        if term in places:
            column[places[term], 0] = weight
    start = np.array([weights[constants].sum()])
    nodes = [
        helper.make_node("Cast", [TENSOR], ["wide"], to=TensorProto.DOUBLE),
        helper.make_node("MatMul", ["wide", "weights"], ["sum"]),
        helper.make_node("Add", ["sum", "start"], ["predictor"]),
        *_INVERSES[link](helper),
        helper.make_node("Cast", ["mean"], [VARIABLE], to=TensorProto.FLOAT),
    ]
    held = [numpy_helper.from_array(column, "weights"), numpy_helper.from_array(start, "start")]
    held += [numpy_helper.from_array(np.array([value]), name) for name, value in _HELD[link].items()]
    graph = helper.make_graph(
        nodes,
        "model",
        [helper.make_tensor_value_info(TENSOR, TensorProto.FLOAT, [None, len(names)])],
        [helper.make_tensor_value_info(VARIABLE, TensorProto.FLOAT, [None, 1])],
        held,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="strongroom")
    made.ir_version = 8
    onnx.checker.check_model(made)

    def answer(rows: Rows) -> npt.NDArray[np.float64]:
        exog = np.ones((len(rows), len(terms)))
        for place, term in enumerate(terms):
            if place not in constants:
                exog[:, place] = rows[:, places[term]]
        return np.asarray(model.predict(results.params, exog), dtype=np.float64).reshape(len(rows))

    return Conversion(
        bytes(made.SerializeToString()),
        VARIABLE,
        0,
        answer,
        type(model).__name__,
        (f"a linear predictor and its inverse {link}, written by hand, in float64; the answer is rounded to float32",),
        {"link": link, "terms": ", ".join(terms)[:500]},
    )


def _link(results: Any) -> str:
    kind = type(results.model).__name__
    family = getattr(results.model, "family", None)
    if family is not None:
        name = type(family.link).__name__.lower()
    else:
        name = {"Logit": "logit", "OLS": "identity", "WLS": "identity", "Poisson": "log"}.get(kind, kind.lower())
    if name not in _INVERSES:
        raise UnsafeArtifactError(
            f"{kind[:40]} with link {name[:40]} is not converted; known are {', '.join(sorted(_INVERSES))}"
        )
    return name


# inverse links in operators whose float64 kernels onnxruntime has; a probit has none (Erf is float32 only)
_INVERSES: Final[dict[str, Callable[[Any], list[Any]]]] = {
    "logit": lambda helper: [helper.make_node("Sigmoid", ["predictor"], ["mean"])],
    "identity": lambda helper: [helper.make_node("Identity", ["predictor"], ["mean"])],
    "log": lambda helper: [helper.make_node("Exp", ["predictor"], ["mean"])],
    "cloglog": lambda helper: [
        helper.make_node("Exp", ["predictor"], ["rate"]),
        helper.make_node("Neg", ["rate"], ["less"]),
        helper.make_node("Exp", ["less"], ["survival"]),
        helper.make_node("Sub", ["one", "survival"], ["mean"]),
    ],
}
_HELD: Final[dict[str, dict[str, float]]] = {"logit": {}, "identity": {}, "log": {}, "cloglog": {"one": 1.0}}


def _width(found: int, names: Sequence[str]) -> None:
    if int(found) != len(names):
        raise UnsafeArtifactError(f"the model takes {int(found)} features, the contract lists {len(names)}")


def _parameters(model: Any) -> dict[str, str]:
    plain = {name: value for name, value in model.get_params().items() if isinstance(value, (str, int, float, bool))}
    return {str(name)[:60]: str(value)[:200] for name, value in sorted(plain.items())}
