"""What hardens a model: monotone constraints, adversarial training, rounded scores, a band that goes to a person.

The training itself is XGBoost's, on one thread, so that the same package gives the same bytes.

Source: Kantchelian, Tygar, Joseph, Evasion and hardening of tree ensemble classifiers, 2016 (adversarial boosting).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from strongroom.errors import InvalidInputError, UnavailableError
from strongroom.registry.contract import CutOff, ModelContract, bound
from strongroom.validation.trees.forests import Forest

Rows = npt.NDArray[np.float32]
Outcomes = npt.NDArray[np.int64]
Parameters = Mapping[str, Any]

OPSET: Final = 15
UNROUNDED: Final = "unrounded"


def train(parameters: Parameters, rows: Rows, outcome: Outcomes) -> Any:
    """An XGBClassifier.

    Raises:
        UnavailableError: XGBoost or scikit-learn is not installed.
        InvalidInputError: XGBoost does not take the parameters.
    """
    try:
        from xgboost import XGBClassifier
        from xgboost.core import XGBoostError
    except ImportError as error:
        raise UnavailableError("hardening needs XGBoost; install strongroom[package]") from error
    try:
        return XGBClassifier(**parameters).fit(rows, outcome)
    except (XGBoostError, ValueError, TypeError) as error:
        first = str(error).partition("\n")[0][:160]
        raise InvalidInputError(f"XGBoost does not train so: {first}", field="parameters", rule="xgboost") from error


def scorer(model: Any) -> Callable[[Rows], Rows]:
    """From rows to probabilities, float32."""
    return lambda rows: np.asarray(model.predict_proba(rows)[:, 1], np.float32)


def constrained(contract: ModelContract, parameters: Parameters) -> dict[str, Any]:
    """The parameters with the monotone constraints that the contract declares.

    Raises:
        InvalidInputError: it declares none.
    """
    wish = contract.robustness
    if isinstance(wish, msgspec.UnsetType) or not wish.monotone:
        raise _undeclared("monotone", "robustness.monotone")
    slopes = {"increasing": 1, "decreasing": -1}
    named = (slopes.get(wish.monotone.get(feature.name, ""), 0) for feature in contract.input.features)
    return {**parameters, "monotone_constraints": tuple(named)}


def demand_actions(contract: ModelContract) -> list[float]:
    """The cut-offs; raises InvalidInputError where adversarial training has nothing to stand on."""
    wish = contract.robustness
    if isinstance(wish, msgspec.UnsetType) or not wish.actions:
        raise _undeclared("adversarial", "robustness.actions")
    cuts = [bound(cut.below) or 0.0 for cut in contract.cut_offs[:-1]]
    if not cuts:
        raise InvalidInputError("adversarial training needs a cut-off", field="cut_offs", rule="given")
    return cuts


def adversarial(
    contract: ModelContract,
    parameters: Parameters,
    rows: Rows,
    outcome: Outcomes,
    forest_of: Callable[[Any], Forest],
    *,
    rounds: int,
    attacked: int,
    steps: int,
    seed: int,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[Any, int]:
    """Train, change rows as an applicant would, train again with these and the outcome that they had.

    Args:
        contract: names the actions and the cut-offs.
        parameters: of `xgboost.XGBClassifier`, constraints included.
        rows, outcome: the training sample.
        forest_of: from a trained model to its forest.
        rounds: of attack and training.
        attacked: rows of each round whose smallest change is sought.
        steps: of one search.
        seed: of the choice of rows.
        say: is told how far it is.

    Returns:
        The model, and how many changed rows joined the training.

    Raises:
        InvalidInputError: the contract names no actions or no cut-off.
        UnavailableError: XGBoost or the prover is not installed.
    """
    cuts = demand_actions(contract)
    try:
        from strongroom.validation.trees import forest_bounds
    except ImportError as error:
        raise UnavailableError("adversarial training needs dtai-veritas; install strongroom[validation]") from error
    from strongroom.validation.statistics.tables import outside

    wish = contract.robustness
    assert not isinstance(wish, msgspec.UnsetType)  # noqa: S101  # `demand_actions` refused it
    random, good = np.random.default_rng(seed), ~outside(rows, contract.input)
    all_rows, outcomes, model, added = rows, outcome, train(parameters, rows, outcome), 0
    for turn in range(rounds):
        scores = scorer(model)(rows).astype(np.float64)
        refused = random.permutation(np.flatnonzero(good & (scores >= cuts[0])))[:attacked]
        encoded = forest_bounds.Encoded.of(forest_of(model), contract.input)
        made, kept = [], []
        for number, place in enumerate(refused):
            if number % 50 == 0:
                say(f"round {turn + 1} of {rounds}, applicant {number} of {len(refused)}")
            cut = max(c for c in cuts if c <= scores[place])
            change = forest_bounds.smallest_change(encoded, rows[place], cut, wish.actions, wish.limit, steps)
            if change.row is not None:
                made.append(change.row)
                kept.append(outcome[place])
        if not made:
            break
        added += len(made)
        all_rows, outcomes = np.vstack([all_rows, *made]), np.concatenate([outcomes, kept])
        model = train(parameters, all_rows, outcomes)
    return model, added


def rounded(model: bytes, tensor: str, decimals: int) -> bytes:
    """An ONNX model with three more steps: its output times a power of ten, rounded, divided.

    Args:
        model: whose output `tensor` is float32.
        tensor: keeps its name; what was called so becomes `unrounded`.
        decimals: 1 to 6.

    Raises:
        InvalidInputError: no such output, or the file is no ONNX.
        UnavailableError: `onnx` is not installed.
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise UnavailableError("rounding needs onnx; install strongroom[package]") from error
    try:
        graph = onnx.load_from_string(model)
    except DecodeError as error:
        raise InvalidInputError("the model file is not ONNX", field="model", rule="onnx") from error
    if not any(tensor in node.output for node in graph.graph.node):
        raise InvalidInputError(f"the model computes no `{tensor}`", field="output.tensor", rule="output tensor")
    if not any(known.domain in ("", "ai.onnx") for known in graph.opset_import):
        graph.opset_import.append(onnx.helper.make_opsetid("", OPSET))
    for node in graph.graph.node:
        node.output[:] = [UNROUNDED if out == tensor else out for out in node.output]
        node.input[:] = [UNROUNDED if name == tensor else name for name in node.input]
    graph.graph.initializer.append(onnx.helper.make_tensor("power", onnx.TensorProto.FLOAT, [], [10.0**decimals]))
    graph.graph.node.extend([
        onnx.helper.make_node("Mul", [UNROUNDED, "power"], ["raised"]),
        onnx.helper.make_node("Round", ["raised"], ["whole"]),
        onnx.helper.make_node("Div", ["whole", "power"], [tensor]),
    ])  # fmt: skip
    onnx.checker.check_model(graph)
    return bytes(graph.SerializeToString())


def round_off(scores: Rows, decimals: int) -> Rows:
    """What `rounded` does to scores, here in numpy: an opinion of its own for the parity test."""
    power = np.float32(10.0**decimals)
    whole: Rows = np.rint(scores.astype(np.float32) * power)
    return (whole / power).astype(np.float32)


def banded(cut_offs: Sequence[CutOff], half: float, refer_to: str) -> tuple[CutOff, ...]:
    """Cut-offs with a band around each that is referred.

    Args:
        cut_offs: of the contract.
        half: half of the band's width, in score units.
        refer_to: the decision of the band.

    Raises:
        InvalidInputError: a band without width, or two that meet; no cut-off to put one around.
    """
    edges = [(bound(cut.below) or 0.0, cut.decision) for cut in cut_offs[:-1]]
    if not edges:
        raise InvalidInputError("a band needs a cut-off to lie around", field="cut_offs", rule="given")
    made: list[CutOff] = []
    for cut, decision in edges:
        low, high = cut - half, cut + half
        if not half > 0 or (made and low <= float(made[-1].below or 0.0)):
            raise InvalidInputError("a band is above 0 wide, and two bands do not meet", field="band", rule="range")
        made += [CutOff(decision=decision, below=f"{low:.10g}"), CutOff(decision=refer_to, below=f"{high:.10g}")]
    made.append(CutOff(decision=cut_offs[-1].decision))
    # two neighbours with one name are one decision
    return tuple(cut for cut, after in zip(made, [*made[1:], None], strict=True)
                 if after is None or cut.decision != after.decision)  # fmt: skip


def _undeclared(measure: str, where: str) -> InvalidInputError:
    return InvalidInputError(
        f"`{measure}` needs features in `{where}` of the contract; declare them in model.toml",
        field="measures",
        rule="declared",
    )
