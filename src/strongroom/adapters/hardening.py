"""On the author's side: train a model again so that it is harder to push about, and say what that did.

Four measures, each asked for by name: monotone constraints as the contract declares them; adversarial training, where
the cheapest changes that turn a decision join the training rows with the outcome that they had; scores rounded to a
few decimals, so that each answer tells a thief less; a band around each cut-off that goes to a person.

The training itself is XGBoost's. This runs where the author's code runs, never in the room: nothing here is evidence.
The validator's battery measures the result again.

Source: Kantchelian, Tygar, Joseph, Evasion and hardening of tree ensemble classifiers, 2016 (adversarial boosting).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from strongroom.errors import InvalidInputError, UnavailableError
from strongroom.registry.contract import CutOff, ModelContract, bound
from strongroom.validation.policy import RobustnessStudy
from strongroom.vocabulary import digest_of

if TYPE_CHECKING:
    import pandas as pd

Measure = Literal["monotone", "adversarial"]
Rows = npt.NDArray[np.float32]

STUDY: Final = RobustnessStudy(
    seed=1,
    rows=5000,
    noise="0.05",
    near="0.02",
    missing="0.1",
    attacked=50,
    steps=2000,
    calls=1000,
    answers=(250, 1000),
)
"""The sizes of the house's default policy."""
LEVEL: Final = 0.95


@dataclass(frozen=True, slots=True)
class Hardened:
    """What came of it.

    Attributes:
        model: the hardened XGBClassifier; `strongroom.package` takes it. With rounded scores, bytes of ONNX.
        before: the classifier trained with the same parameters and without any measure.
        contract: with the band, if one was asked for, and the figures of `before`.
        table: a test's title, its figure before and after, and which side is better.
        added: changed rows that joined the training.
        predict: scores of the hardened model, float64, for `package(predictions=...)`.
    """

    model: Any
    before: Any
    contract: dict[str, Any]
    table: tuple[tuple[str, float | None, float | None, str], ...]
    added: int
    predict: Callable[[pd.DataFrame], npt.NDArray[np.float64]]


def harden(
    development: pd.DataFrame,
    held_out: pd.DataFrame,
    *,
    contract: Mapping[str, Any],
    outcome: str,
    parameters: Mapping[str, Any],
    measures: Sequence[Measure] = ("monotone", "adversarial"),
    rounds: int = 3,
    attacked: int = 300,
    decimals: int | None = None,
    band: float | None = None,
    refer_to: str = "refer",
    study: RobustnessStudy = STUDY,
) -> Hardened:
    """Train an XGBoost classifier as it is and hardened, and hold both against the robustness tests.

    Time grows with rounds times (one training + applicants times the prover's searches).

    Args:
        development: features and outcome; the model is trained on these.
        held_out: the same columns, other rows; both models are measured on these.
        contract: as `strongroom.package` takes it, with `robustness`.
        outcome: column with 1 and 0.
        parameters: of `xgboost.XGBClassifier`.
        measures: `monotone`, `adversarial`.
        rounds: of adversarial training.
        attacked: rows of each round whose smallest change is sought.
        decimals: 1 to 6 decimals of the score, or None to leave it as it is. Rounded models are no forests any more to
            those who read them: nothing can be proven about them and no reason codes are made. The proofs of `table`
            are then about the sums before rounding.
        band: half of the width of the band around each cut-off that is referred, in score units; None for none.
        refer_to: the decision of the band.
        study: how large the tests are.

    Raises:
        InvalidInputError: the contract breaks a rule, or a measure has nothing to stand on.
        UnavailableError: XGBoost, the prover or scikit-learn is not installed; install
            `strongroom[package,validation]`.
    """
    stated = _stated(contract)
    wish = stated.robustness
    if isinstance(wish, msgspec.UnsetType):
        raise InvalidInputError("hardening needs `robustness` in the contract", field="robustness", rule="given")
    if set(measures) - {"monotone", "adversarial"}:
        raise InvalidInputError("a measure is `monotone` or `adversarial`", field="measures", rule="name")
    if ("monotone" in measures and not wish.monotone) or ("adversarial" in measures and not wish.actions):
        raise InvalidInputError(
            "`monotone` needs declared features in `robustness.monotone`, `adversarial` needs `robustness.actions`",
            field="measures", rule="declared",
        )  # fmt: skip
    if not 1 <= rounds <= 50 or attacked < 1 or (decimals is not None and not 1 <= decimals <= 6):
        raise InvalidInputError("1 to 50 rounds, 1 attacked row or more, 1 to 6 decimals", field="rounds", rule="range")
    names = [feature.name for feature in stated.input.features]
    x, y = _rows(development, names), development[outcome].to_numpy(np.int64)
    before = _train(parameters, x, y)
    slopes = {"increasing": 1, "decreasing": -1}
    held: dict[str, Any] = dict(parameters)
    if "monotone" in measures:
        held["monotone_constraints"] = tuple(slopes.get(wish.monotone.get(name, ""), 0) for name in names)
    model, added = _train(held, x, y), 0
    if "adversarial" in measures:
        model, added = _adversarial(stated, held, x, y, rounds, attacked, study)
    after, artifact = _scorer(model), model
    if decimals is not None:
        artifact, after = _rounded(model, len(names), decimals)
    samples = ((x, y), (_rows(held_out, names), held_out[outcome].to_numpy(np.int64)))
    old, new = (
        _measured(stated, before, _scorer(before), samples, study),
        _measured(stated, model, after, samples, study),
    )
    made = {**contract, "robustness": {**contract["robustness"], "before": {rule: old[rule][1] for rule in sorted(old)
                                                                           if old[rule][1] is not None}}}  # fmt: skip
    if band is not None:
        made["cut_offs"] = _band(stated.cut_offs, band, refer_to)
    table = tuple((title, _number(figure), _number(new[rule][1]), side) for rule, (title, figure, side) in old.items())

    def predict(frame: pd.DataFrame) -> npt.NDArray[np.float64]:
        return after(_rows(frame, names)).astype(np.float64)

    return Hardened(artifact, before, made, table, added, predict)


@dataclass(frozen=True, slots=True)
class _Bench:
    contract: ModelContract
    model: bytes
    scorer: Callable[[Rows], Rows]
    level: float = LEVEL

    def predict(self, rows: Rows, /) -> Rows:
        return self.scorer(rows)

    def say(self, what: str, /) -> None:
        """The author sees the result; the tests of one model take seconds."""


def _measured(
    contract: ModelContract, model: Any, scorer: Callable[[Rows], Rows], samples: Any, study: RobustnessStudy
) -> dict[str, tuple[str, str | None, str]]:
    """Title, figure and better side of each test, by its rule."""
    from strongroom.validation import pd, robustness
    from strongroom.validation.catalogue import Basis
    from strongroom.validation.scored import Scored

    development, held_out = (
        Scored(Basis(role, digest_of(rows.tobytes()), len(rows)), rows, scorer(rows), outcome)
        for role, (rows, outcome) in zip(("development", "validation"), samples, strict=True)
    )
    bench = _Bench(contract, bytes(model.get_booster().save_raw("ubj")), scorer)
    found, _, _ = robustness.measured(robustness.Subject(bench, study, development, held_out))
    ranked = pd.discrimination_tests(development, held_out, LEVEL)
    return {
        test.rule: (test.title, test.figure, test.better)
        for test in [*(one for one in ranked if one.rule == "discrimination.auc"), *found]
    }


def _adversarial(
    contract: ModelContract,
    parameters: Mapping[str, Any],
    x: Rows,
    y: npt.NDArray[np.int64],
    rounds: int,
    attacked: int,
    study: RobustnessStudy,
) -> tuple[Any, int]:
    """Train, change rows as an applicant would, train again with these and the outcome that they had."""
    try:
        from strongroom.validation import forest_bounds
    except ImportError as error:
        raise UnavailableError("adversarial training needs dtai-veritas; install strongroom[validation]") from error
    from strongroom.validation.forests import forest_of
    from strongroom.validation.tables import outside

    wish, cuts = contract.robustness, [bound(cut.below) or 0.0 for cut in contract.cut_offs[:-1]]
    if isinstance(wish, msgspec.UnsetType) or not cuts:
        raise InvalidInputError("adversarial training needs a cut-off", field="cut_offs", rule="given")
    random, good = np.random.default_rng(study.seed), ~outside(x, contract.input)
    rows, outcomes, model, added = x, y, _train(parameters, x, y), 0
    for _ in range(rounds):
        scores = _scorer(model)(x).astype(np.float64)
        refused = random.permutation(np.flatnonzero(good & (scores >= cuts[0])))[:attacked]
        forest = forest_of(contract, bytes(model.get_booster().save_raw("ubj")))
        encoded = forest_bounds.Encoded.of(forest, contract.input)
        made, kept = [], []
        for place in refused:
            cut = max(c for c in cuts if c <= scores[place])
            change = forest_bounds.smallest_change(encoded, x[place], cut, wish.actions, wish.limit, study.steps)
            if change.row is not None:
                made.append(change.row)
                kept.append(y[place])
        if not made:
            break
        added += len(made)
        rows, outcomes = np.vstack([rows, *made]), np.concatenate([outcomes, kept])
        model = _train(parameters, rows, outcomes)
    return model, added


def _train(parameters: Mapping[str, Any], x: Rows, y: npt.NDArray[np.int64]) -> Any:
    try:
        from xgboost import XGBClassifier
    except ImportError as error:
        raise UnavailableError("hardening needs XGBoost; install strongroom[package]") from error
    return XGBClassifier(**parameters).fit(x, y)


def _scorer(model: Any) -> Callable[[Rows], Rows]:
    return lambda rows: np.asarray(model.predict_proba(rows)[:, 1], np.float32)


def _rounded(model: Any, width: int, decimals: int) -> tuple[bytes, Callable[[Rows], Rows]]:
    """The model as ONNX with three more steps: times a power of ten, rounded, divided."""
    try:
        import onnx
    except ImportError as error:
        raise UnavailableError("rounding needs onnx; install strongroom[package]") from error
    from strongroom.adapters.packaging import OPSET, convert_booster

    graph = onnx.load_from_string(convert_booster(model, width))
    if not any(known.domain == "" for known in graph.opset_import):
        graph.opset_import.append(onnx.helper.make_opsetid("", OPSET))
    name, inner = "probabilities", "unrounded"
    for node in graph.graph.node:
        node.output[:] = [inner if out == name else out for out in node.output]
    power = onnx.helper.make_tensor("power", onnx.TensorProto.FLOAT, [], [10.0**decimals])
    graph.graph.initializer.append(power)
    graph.graph.node.extend([
        onnx.helper.make_node("Mul", [inner, "power"], ["raised"]),
        onnx.helper.make_node("Round", ["raised"], ["whole"]),
        onnx.helper.make_node("Div", ["whole", "power"], [name]),
    ])  # fmt: skip
    onnx.checker.check_model(graph)
    artifact = graph.SerializeToString()
    from strongroom.validation.artifact import open_session

    session = open_session(artifact)
    tensor = session.get_inputs()[0].name

    def scored(rows: Rows) -> Rows:
        return np.ascontiguousarray(session.run([name], {tensor: rows})[0][:, 1], np.float32)

    return artifact, scored


def _band(cut_offs: Sequence[CutOff], half: float, refer_to: str) -> list[dict[str, Any]]:
    """Cut-offs with a band around each that is referred."""
    edges = [(bound(cut.below) or 0.0, cut.decision) for cut in cut_offs[:-1]]
    made: list[dict[str, Any]] = []
    for cut, decision in edges:
        low, high = cut - half, cut + half
        if not half > 0 or (made and low <= float(made[-1]["below"])):
            raise InvalidInputError("a band is above 0 wide, and two bands do not meet", field="band", rule="range")
        made += [{"decision": decision, "below": f"{low:.10g}"}, {"decision": refer_to, "below": f"{high:.10g}"}]
    return [*made, {"decision": cut_offs[-1].decision}]


def _stated(contract: Mapping[str, Any]) -> ModelContract:
    """The contract with what `package` would fill in; the model is native XGBoost, for the prover."""
    document = {
        **{key: value for key, value in contract.items() if key != "samples"},
        "v": 1,
        "runtime": "xgboost",
        "input": {"tensor": "input", **contract["input"]},
        "output": {**contract["output"], "tensor": "probability", "column": 0},
        "samples": {
            "model": "model.ubj", "development": "d.parquet", "reference": "r.parquet", "predictions": "p.parquet",
            "outcome": "outcome",
        },
        "lineage": {"data": {}, "code_commit": "unversioned", "environment": {}, "parameters": {}},
    }  # fmt: skip
    try:
        return msgspec.convert(document, ModelContract)
    except msgspec.ValidationError as error:
        raise InvalidInputError(f"the contract does not hold: {error}", field="contract", rule="schema") from error


def _rows(frame: pd.DataFrame, names: Sequence[str]) -> Rows:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise InvalidInputError(f"the sample lacks feature `{missing[0]}`", field=missing[0], rule="column")
    return np.ascontiguousarray(frame[list(names)].to_numpy(np.float32))


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)
