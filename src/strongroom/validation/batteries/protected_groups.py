"""The protected sample beside the answers of a model that never saw it: who belongs where, and what may be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from strongroom.registry.contract import ModelContract, bound
from strongroom.registry.kinds import CONTRACTS
from strongroom.validation.batteries.scored import Scored
from strongroom.validation.catalogue import Basis
from strongroom.validation.results import NotEvaluable
from strongroom.validation.statistics.disclosure import Veil, veil
from strongroom.validation.study_terms import Fairness

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Words:
    """What a kind calls its outcomes and its answers.

    Attributes:
        events, others: the two outcomes.
        scores: the answers, in the plural.
        came: the event as something that comes, in the plural.
    """

    events: str
    others: str
    scores: str
    came: str


WORDS: Final[Mapping[str, Words]] = {
    "pd": Words("defaulters", "others", "PDs", "defaults"),
    "fraud": Words("frauds", "genuine transactions", "scores", "frauds"),
    "lgd": Words("", "", "estimates", ""),
    "ead": Words("", "", "estimates", ""),
}
"""For each kind whose models are about people. Estimates decide nothing, and have no events."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One protected attribute with two or more groups that are large enough.

    Attributes:
        name: of the attribute.
        names: of its groups, in order.
        codes: place of each row's group in `names`, shape [rows].
        sizes: rows of each group.
        favoured: how many of them get the favourable decision.
        veil: what of each group may be told.
        lead: the judged group with the highest share of favourable decisions; where nothing is decided, the largest.
    """

    name: str
    names: tuple[str, ...]
    codes: Codes
    sizes: tuple[int, ...]
    favoured: tuple[int, ...]
    veil: Veil
    lead: int

    def called(self, place: int) -> str:
        """A group as tables name it."""
        return f"{self.name}: {self.names[place]}"


@dataclass(frozen=True, slots=True)
class People:
    """The rows of a sample, their decisions and their groups.

    Attributes:
        basis: the sample.
        sample: features, answers and outcomes.
        favoured: who gets the favourable decision, shape [rows].
        decision: its name.
        cut_off: it is taken below.
        attributes: that can be judged.
        missing: why the others cannot, by name; empty name where nothing can be.
        limits: of the policy.
        level: of intervals.
        conditions: places of the features that may explain a difference.
        words: of the kind.
        probable: whether the answers are probabilities of the event.
    """

    basis: Basis
    sample: Scored
    favoured: npt.NDArray[np.bool_]
    decision: str
    cut_off: float
    attributes: tuple[Attribute, ...]
    missing: Mapping[str, NotEvaluable]
    limits: Fairness
    level: float
    conditions: tuple[int, ...]
    words: Words
    probable: bool

    @property
    def scores(self) -> npt.NDArray[np.float64]:
        """The answers, as probabilities where they are such."""
        return self.sample.pd if self.probable else self.sample.estimate


def gather(
    sample: Scored, groups: Mapping[str, Sequence[str]], contract: ModelContract, limits: Fairness, level: float
) -> People:
    """Put a sample and its protected attributes together.

    Args:
        sample: with the model's answers.
        groups: of each row, by attribute; read from the protected sample.
        contract: names the protected attributes, the cut-offs and the conditions.
        limits: of the policy.
        level: of intervals.
    """
    missing: dict[str, NotEvaluable] = {}
    first = bound(contract.cut_offs[0].below) if contract.cut_offs else None
    names = [feature.name for feature in contract.input.features]
    conditions = tuple(names.index(name) for name in contract.conditions or ())
    if not contract.protected:
        missing[""] = NotEvaluable("the contract names no protected attribute")
    elif first is None and CONTRACTS[contract.kind].decides:
        missing[""] = NotEvaluable("the contract has one decision only, so none is favourable")
    favoured = np.zeros(len(sample.scores), dtype=np.bool_)
    if first is not None:
        favoured = sample.scores.astype(np.float64) < first
    attributes = []
    for name in contract.protected if not missing else ():
        found = _attribute(name, groups.get(name), favoured, limits)
        if isinstance(found, NotEvaluable):
            missing[name] = found
        else:
            attributes.append(found)
    decision = contract.cut_offs[0].decision if contract.cut_offs else ""
    return People(
        sample.basis, sample, favoured, decision, first or 0.0, tuple(attributes), missing, limits, level, conditions,
        WORDS[contract.kind], contract.kind == "pd" or contract.output.unit == "probability",
    )  # fmt: skip


def _attribute(
    name: str, labels: Sequence[str] | None, favoured: npt.NDArray[np.bool_], limits: Fairness
) -> Attribute | NotEvaluable:
    if labels is None:
        return NotEvaluable(f"no sample carries `{name}`")
    if len(labels) != favoured.size:
        raise ValueError("each row has a group")
    names = sorted(set(labels))
    if len(names) > limits.max_groups:
        return NotEvaluable(f"`{name}` has more than {limits.max_groups} groups; band it")
    place = {label: i for i, label in enumerate(names)}
    codes = np.fromiter((place[label] for label in labels), dtype=np.int64, count=len(labels))
    sizes = np.bincount(codes, minlength=len(names))
    wins = np.bincount(codes[favoured], minlength=len(names))
    told = veil(sizes.tolist(), limits.min_group)
    if len(told.large) < 2:
        return NotEvaluable(f"fewer than two groups have {limits.min_group} rows or more")
    lead = max(told.large, key=lambda i: (wins[i] / sizes[i], sizes[i], -i))
    return Attribute(name, tuple(names), codes, tuple(sizes.tolist()), tuple(wins.tolist()), told, lead)
