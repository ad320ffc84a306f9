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
from strongroom.registry.contract import ModelContract
from strongroom.registry.toml import complaint
from strongroom.validation.study_terms import RobustnessStudy
from strongroom.validation.trees.forests import forest_of
from strongroom.validation.workshop import measures as measures_of
from strongroom.validation.workshop.hardening import STUDY
from strongroom.vocabulary import digest_of

if TYPE_CHECKING:
    import pandas as pd

Measure = Literal["monotone", "adversarial"]
Rows = npt.NDArray[np.float32]

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
    before = measures_of.train(parameters, x, y)
    held: dict[str, Any] = dict(parameters)
    if "monotone" in measures:
        held = measures_of.constrained(stated, held)
    model, added = measures_of.train(held, x, y), 0
    if "adversarial" in measures:
        model, added = measures_of.adversarial(
            stated, held, x, y, lambda trained: forest_of(stated, bytes(trained.get_booster().save_raw("ubj"))),
            rounds=rounds, attacked=attacked, steps=study.steps, seed=study.seed,
        )  # fmt: skip
    after, artifact = measures_of.scorer(model), model
    if decimals is not None:
        artifact, after = _rounded(model, len(names), decimals)
    samples = ((x, y), (_rows(held_out, names), held_out[outcome].to_numpy(np.int64)))
    old, new = (
        _measured(stated, before, measures_of.scorer(before), samples, study),
        _measured(stated, model, after, samples, study),
    )
    made = {**contract, "robustness": {**contract["robustness"], "before": {rule: old[rule][1] for rule in sorted(old)
                                                                           if old[rule][1] is not None}}}  # fmt: skip
    if band is not None:
        made["cut_offs"] = [
            {name: text for name, text in msgspec.to_builtins(cut).items() if text is not None}
            for cut in measures_of.banded(stated.cut_offs, band, refer_to)
        ]
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
    from strongroom.validation.batteries import pd, robustness
    from strongroom.validation.batteries.bench import Subject
    from strongroom.validation.batteries.scored import Scored
    from strongroom.validation.catalogue import Basis

    development, held_out = (
        Scored(Basis(role, digest_of(rows.tobytes()), len(rows)), rows, scorer(rows), outcome)
        for role, (rows, outcome) in zip(("development", "validation"), samples, strict=True)
    )
    bench = _Bench(contract, bytes(model.get_booster().save_raw("ubj")), scorer)
    found, _, _ = robustness.measured(Subject(bench, study, development, held_out))
    ranked = pd.discrimination_tests(development, held_out, LEVEL)
    return {
        test.rule: (test.title, test.figure, test.better)
        for test in [*(one for one in ranked if one.rule == "discrimination.auc"), *found]
    }


def _rounded(model: Any, width: int, decimals: int) -> tuple[bytes, Callable[[Rows], Rows]]:
    """The model as ONNX whose probabilities are rounded, and its scores."""
    from strongroom.adapters.packages.packaging import convert_booster
    from strongroom.validation.batteries.artifact import open_session

    try:
        artifact = measures_of.rounded(convert_booster(model, width), "probabilities", decimals)
    except ImportError as error:
        raise UnavailableError("rounding needs onnx; install strongroom[package]") from error
    session = open_session(artifact)
    tensor = session.get_inputs()[0].name

    def scored(rows: Rows) -> Rows:
        return np.ascontiguousarray(session.run(["probabilities"], {tensor: rows})[0][:, 1], np.float32)

    return artifact, scored


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
        place, what = complaint(error)
        raise InvalidInputError(f"the contract does not hold: {place}: {what}", field=place, rule="schema") from error


def _rows(frame: pd.DataFrame, names: Sequence[str]) -> Rows:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise InvalidInputError(f"the sample lacks feature `{missing[0]}`", field=missing[0], rule="column")
    return np.ascontiguousarray(frame[list(names)].to_numpy(np.float32))


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)
