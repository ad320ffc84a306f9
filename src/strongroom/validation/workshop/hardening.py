"""From a package to a hardened one: the order, the two jobs in the sandbox, and what came of it.

The first job opens the former model and trains. The second one holds both models against the same tests, as the battery
will do again on the validator's sample; its figures are for the author, and none of them enters the package.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NoReturn

import msgspec

from strongroom.encoding import canonical, parse_as
from strongroom.errors import InvalidInputError, SandboxError, UnavailableError
from strongroom.registry.contract import MODEL_SUFFIX, ModelContract, RuntimeName, bound
from strongroom.registry.hardening import Measure
from strongroom.validation.batteries.former_files import former_files
from strongroom.validation.batteries.side_by_side import Line
from strongroom.validation.ports import MIB, Job, Limits, Sandbox
from strongroom.validation.study_terms import RobustnessStudy
from strongroom.validation.workshop.measures import banded, demand_actions

HARDEN: Final = "strongroom.validation.jobs.harden"
CHECK: Final = "strongroom.validation.jobs.hardening_check"
MADE: Final = "hardened.json"
FIGURES: Final = "figures.json"
PREDICTIONS: Final = "predictions.parquet"
LIMITS: Final = Limits(cpu_s=3600, wall_s=7200, memory_bytes=6144 * MIB, output_bytes=1024 * MIB, output_files=4)
EXTRA: Final = "strongroom[package,validation]"
SEED: Final = 1

Kind = Literal["int", "float", "str"]
PARAMETERS: Final[Mapping[str, Kind]] = {
    "n_estimators": "int", "max_depth": "int", "max_leaves": "int", "max_bin": "int", "num_parallel_tree": "int",
    "random_state": "int", "learning_rate": "float", "subsample": "float", "colsample_bytree": "float",
    "colsample_bylevel": "float", "colsample_bynode": "float", "min_child_weight": "float", "gamma": "float",
    "reg_alpha": "float", "reg_lambda": "float", "scale_pos_weight": "float", "max_delta_step": "float",
    "base_score": "float", "grow_policy": "str", "tree_method": "str",
}  # fmt: skip
"""Parameters of `xgboost.XGBClassifier` that are passed on. Others change what the model is, or where it runs."""

STUDY: Final = RobustnessStudy(
    seed=SEED,
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


class HardeningOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a developer asks for. Numbers are decimal strings.

    Attributes:
        measures: what is done.
        parameters: of the training, as text, by XGBoost's names; needed where a measure trains.
        rounds, attacked: of adversarial training.
        decimals: of rounded scores; 0 without rounding.
        band: half of its width in score units; "0" without one.
        refer_to: its decision.
        study: how large the tests before and after are.
    """

    measures: tuple[Measure, ...]
    parameters: dict[str, str] = {}
    rounds: int = 3
    attacked: int = 300
    decimals: int = 0
    band: str = "0"
    refer_to: str = "refer"
    study: RobustnessStudy = STUDY

    @property
    def trains(self) -> bool:
        """Whether a measure trains the model again."""
        return bool({"monotone", "adversarial"} & set(self.measures))

    @property
    def runtime(self) -> RuntimeName | None:
        """What will run it where rounding leaves no choice."""
        return "onnxruntime" if "rounding" in self.measures else None

    def __post_init__(self) -> None:
        if not self.measures or len(set(self.measures)) != len(self.measures):
            raise InvalidInputError(
                "a hardening asks for one measure or more: monotone, adversarial, decimals, band",
                field="measures", rule="given",
            )  # fmt: skip
        if not 1 <= self.rounds <= 50 or not 1 <= self.attacked <= 100_000:
            raise InvalidInputError("1 to 50 rounds, and 1 to 100,000 attacked rows", field="rounds", rule="range")
        if ("rounding" in self.measures) != (self.decimals > 0) or not 0 <= self.decimals <= 6:
            raise InvalidInputError("scores are rounded to 1 to 6 decimals", field="decimals", rule="range")
        if ("band" in self.measures) != ((bound(self.band) or 0.0) > 0.0):
            raise InvalidInputError("a band is above 0 wide", field="band", rule="range")

    def settings(self) -> dict[str, Any]:
        """The parameters as XGBoost takes them: typed, on one thread.

        Raises:
            InvalidInputError: a name that is not passed on, or a value of another type.
        """
        found: dict[str, Any] = {"n_jobs": 1, "random_state": 0}
        for name, text in self.parameters.items():
            if name not in PARAMETERS:
                raise InvalidInputError(
                    f"`{name[:40]}` is not passed on to the training; known are {', '.join(sorted(PARAMETERS))}",
                    field="parameters", rule="name",
                )  # fmt: skip
            found[name] = _typed(name, text)
        return found


class Made(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the training job says of its model.

    Attributes:
        runtime, tensor, column: how it is run.
        added: changed rows that joined the training.
        tools: versions of the libraries.
    """

    v: Literal[1]
    runtime: RuntimeName
    tensor: str
    column: int
    added: int
    tools: dict[str, str]


class Figures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Both models on the reference sample; for the author."""

    v: Literal[1]
    rows: int
    lines: tuple[Line, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HardenedModel:
    """A trained model.

    Attributes:
        model: bytes of its file.
        predictions: Parquet with the column `prediction`: the trained model's own answers on the reference sample.
        told: how it is run.
    """

    model: bytes
    predictions: bytes
    told: Made


def demand(order: HardeningOrder, contract: ModelContract) -> ModelContract:
    """Hold an order against the contract before minutes are spent on it.

    Returns:
        The contract with the cut-offs that the hardened model will have.

    Raises:
        InvalidInputError: a measure has nothing to stand on; the message says what to add.
    """
    wish = contract.robustness
    order.settings()
    if "monotone" in order.measures and (isinstance(wish, msgspec.UnsetType) or not wish.monotone):
        raise InvalidInputError(
            "the contract declares no monotone feature; add [robustness.monotone] to model.toml",
            field="robustness.monotone", rule="declared",
        )  # fmt: skip
    if "adversarial" in order.measures:
        demand_actions(contract)
    if order.trains and "n_estimators" not in order.parameters:
        raise InvalidInputError(
            "the package does not say how its model was trained; give --parameters with XGBoost's names",
            field="parameters", rule="given",
        )  # fmt: skip
    if "rounding" in order.measures and not isinstance(contract.explanation, msgspec.UnsetType):
        raise InvalidInputError(
            "rounded scores are no sum of leaves, so they have no reason codes; leave --decimals or [explanation] out",
            field="decimals", rule="explanation",
        )  # fmt: skip
    if "band" not in order.measures:
        return contract
    cuts = banded(contract.cut_offs, float(order.band), order.refer_to)
    edges = [bound(cut.below) or 0.0 for cut in cuts[:-1]]
    low, high = bound(contract.output.minimum) or 0.0, bound(contract.output.maximum) or 0.0
    if min(edges) <= low or max(edges) >= high:
        raise InvalidInputError(
            f"a band of {order.band} reaches beyond the scores that the contract allows; make it narrower",
            field="band", rule="range",
        )  # fmt: skip
    return msgspec.structs.replace(contract, cut_offs=cuts)


def harden_model(
    order: HardeningOrder,
    contract: ModelContract,
    model: bytes,
    samples: Mapping[str, bytes],
    sandbox: Sandbox,
    limits: Limits = LIMITS,
) -> HardenedModel:
    """Train in the sandbox.

    Args:
        contract: of the former package.
        model: its model file.
        samples: `development.parquet` and `reference.parquet`.

    Raises:
        InvalidInputError: what the job refuses, in its own words.
        UnavailableError: XGBoost, the prover or a converter is not installed, or this machine cannot isolate.
        SandboxError: the job broke a limit.
    """
    inputs = {"contract.json": canonical(contract), "order.json": canonical(order), contract.model_input: model}
    ran = _run(sandbox, Job(entry=HARDEN, inputs=inputs | dict(samples), limits=limits))
    try:
        told = parse_as(ran[MADE], Made, MIB)
        return HardenedModel(ran["model" + MODEL_SUFFIX[told.runtime]], ran[PREDICTIONS], told)
    except (KeyError, InvalidInputError) as error:
        raise SandboxError("the hardening left no readable result", reason="output") from error


def compare_models(
    order: HardeningOrder,
    former: tuple[ModelContract, bytes],
    hardened: tuple[ModelContract, bytes],
    samples: Mapping[str, bytes],
    sandbox: Sandbox,
    limits: Limits = LIMITS,
) -> Figures:
    """Hold both models against the same tests on the reference sample, in the sandbox.

    Raises:
        InvalidInputError, UnavailableError, SandboxError: as of `harden_model`.
    """
    inputs = {
        "order.json": canonical(order),
        "contract.json": canonical(hardened[0]),
        hardened[0].model_input: hardened[1],
        **former_files(former[0], canonical(former[0]), former[1]),
        **samples,
    }
    ran = _run(sandbox, Job(entry=CHECK, inputs=inputs, limits=limits))
    try:
        return parse_as(ran[FIGURES], Figures, MIB)
    except (KeyError, InvalidInputError) as error:
        raise SandboxError("the comparison left no readable result", reason="output") from error


def _run(sandbox: Sandbox, job: Job) -> Mapping[str, bytes]:
    try:
        return sandbox.run(job).files
    except SandboxError as error:
        _explain(error)


def _explain(error: SandboxError) -> NoReturn:
    """A job's own refusals in their own words; what broke a limit or crashed stays a failure of the sandbox."""
    raised = error.details.get("exception")
    said = error.message.partition("): ")[2].removeprefix(f"{raised}: ")
    if error.details.get("reason") != "exception" or not raised:
        raise error
    if raised in ("InvalidInputError", "UnsafeArtifactError"):
        raise InvalidInputError(f"the package is not hardened: {said}", field="package", rule="harden") from error
    if raised in ("ModuleNotFoundError", "ImportError", "UnavailableError"):
        raise UnavailableError(f"the package is not hardened: {said}; install {EXTRA}") from error
    raise error


def _typed(name: str, text: str) -> int | float | str:
    kind = PARAMETERS[name]
    if kind == "str":
        if text.isidentifier() and len(text) <= 32:
            return text
    else:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if math.isfinite(number) and len(text) <= 40 and (kind == "float" or number == int(number)):
            return int(number) if kind == "int" else number
    raise InvalidInputError(f"`{name}` is of type {kind}", field=f"parameters.{name}", rule="type")
