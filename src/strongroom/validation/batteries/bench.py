"""What the robustness tests are given: a model that can be asked, the sizes of the tests, and two samples."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from strongroom.errors import InvalidInputError
from strongroom.registry.contract import ModelContract, bound
from strongroom.registry.robustness import Robustness
from strongroom.validation.batteries.scored import Scored
from strongroom.validation.results import NotEvaluable
from strongroom.validation.statistics import stress
from strongroom.validation.statistics.tables import outside
from strongroom.validation.study_terms import RobustnessStudy
from strongroom.validation.trees.forests import Forest, forest_of

Rows = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]

NO_PROVER = "the prover `dtai-veritas` is not installed here"


class Bench(Protocol):
    """A model that can be asked: an examination in the sandbox, or the author's own, before there is a package."""

    @property
    def contract(self) -> ModelContract: ...
    @property
    def model(self) -> bytes: ...
    @property
    def level(self) -> float: ...
    def predict(self, rows: Rows, /) -> Rows: ...
    def say(self, what: str, /) -> None: ...


@dataclass(frozen=True)  # no slots: `kept` is made once
class Subject:
    """What is put under stress: a model under a policy that says how large the tests are, and two samples."""

    job: Bench
    study: RobustnessStudy
    development: Scored
    validation: Scored

    @property
    def contract(self) -> ModelContract:
        return self.job.contract

    @cached_property
    def kept(self) -> Scored:
        """The validation rows that the gateway would answer, with finite scores."""
        whole = self.validation
        good = ~outside(whole.rows, self.contract.input) & np.isfinite(whole.scores)
        return Scored(whole.basis, whole.rows[good], whole.scores[good], whole.outcome[good])

    @property
    def cuts(self) -> list[float]:
        return [bound(cut.below) or 0.0 for cut in self.contract.cut_offs[:-1]]

    @property
    def declared(self) -> Robustness | None:
        wish = self.contract.robustness
        return None if isinstance(wish, msgspec.UnsetType) else wish

    def random(self, which: int) -> np.random.Generator:
        """A stream of its own for each test, so that one more test changes no other figure."""
        return np.random.default_rng([self.study.seed, which])


def provable(subject: Subject) -> Forest | NotEvaluable:
    """The forest, or why nothing can be proven."""
    try:
        forest = forest_of(subject.contract, subject.job.model)
    except InvalidInputError as error:
        reason = str(error).rpartition("the model is not ")[2].partition("; ")[0]
        return NotEvaluable(f"only forests can be proven, and the model is not {reason}")
    if forest.link == "exponential" or forest.cut:
        return NotEvaluable("only forests can be proven whose sum is the score or its log-odds, uncut")
    return forest if importlib.util.find_spec("veritas") is not None else NotEvaluable(NO_PROVER)


def encoded(subject: Subject, forest: Forest | NotEvaluable) -> Any:
    """The forest as the prover takes it (`forest_bounds.Encoded`), or why there is none."""
    if isinstance(forest, NotEvaluable):
        return forest
    from strongroom.validation.trees import forest_bounds

    try:
        return forest_bounds.Encoded.of(forest, subject.contract.input)
    except InvalidInputError as error:
        return NotEvaluable(str(error))


@dataclass(frozen=True, slots=True)
class Noisy:
    """Rows of the validation sample with their scores, and the scores with noise on the rows."""

    rows: Rows
    scores: Floats
    disturbed: Floats


def noisy(subject: Subject) -> Noisy:
    """The policy's number of rows, and its noise; the same rows and noise for two models that have the same `kept`."""
    random, sound, study = subject.random(1), subject.kept, subject.study
    kept = np.sort(random.permutation(len(sound.rows))[: study.rows])
    rows = sound.rows[kept]
    spread = stress.spreads(subject.development.rows)
    moved = stress.disturb(rows, subject.contract.input, spread, float(study.noise), random)
    disturbed = subject.job.predict(moved).astype(np.float64)
    return Noisy(rows, sound.scores[kept].astype(np.float64), disturbed)
