"""From contributions to principal reasons, as the gateway ranks them, and which words a report has for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from strongroom.registry.contract import ModelContract
from strongroom.registry.explanation import Explanation
from strongroom.registry.kinds import CONTRACTS
from strongroom.validation.results import NotEvaluable

Rows = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

_MANY: Final = {"pd": "applicants", "fraud": "transactions", "lgd": "cases", "ead": "facilities"}
_ONE: Final = {"pd": "the applicant", "fraud": "the transaction"}


@dataclass(frozen=True, slots=True)
class Words:
    """What is looked at, in words.

    Attributes:
        many: those that are scored.
        whose: which of them are looked at, with a space before it; empty where all are.
        against, favour: which way a contribution goes that is a reason, and one that is none.
    """

    many: str
    whose: str
    against: str
    favour: str

    @classmethod
    def of(cls, contract: ModelContract, wish: Explanation) -> Words:
        """For a contract's kind."""
        many = _MANY.get(contract.kind, "rows")
        if CONTRACTS[contract.kind].decides:
            one = _ONE.get(contract.kind, "the row")
            return cls(many, " whose decision is not the favourable one", f"against {one}", f"in favour of {one}")
        up, down = "towards a higher estimate", "towards a lower estimate"
        return cls(many, "", up, down) if wish.adverse == "high" else cls(many, "", down, up)


@dataclass(frozen=True, slots=True)
class Ranking:
    """From contributions to principal reasons, as the gateway ranks them.

    Attributes:
        wish: of the contract.
        order: places of the features, group by group, groups in the order of their codes.
        begins: where in `order` each group begins.
        codes: of the groups, in that order.
        missing: for each group, whether it has a code of its own for missing values.
    """

    wish: Explanation
    order: Places
    begins: Places
    codes: tuple[str, ...]
    missing: tuple[bool, ...]

    @classmethod
    def of(cls, wish: Explanation, names: Sequence[str]) -> Ranking:
        """Of an explanation over features in this order."""
        groups = sorted(wish.groups, key=lambda group: group.code)
        place = {name: n for n, name in enumerate(names)}
        order = [place[name] for group in groups for name in group.features]
        begins = np.cumsum([0, *(len(group.features) for group in groups)])[:-1]
        own = tuple(group.missing is not msgspec.UNSET for group in groups)
        return cls(wish, np.array(order, np.int64), begins, tuple(group.code for group in groups), own)

    @property
    def sign(self) -> float:
        """1 where a high score is adverse, -1 where a low one is."""
        return 1.0 if self.wish.adverse == "high" else -1.0

    def weights(self, values: Floats) -> Floats:
        """How much each group speaks against the applicant, shape [rows, groups]; negative speaks for him."""
        found: Floats = self.sign * np.add.reduceat(values.take(self.order, axis=1), self.begins, axis=1)
        return found

    def principal(self, weights: Floats) -> list[tuple[int, ...]]:
        """Places of the principal groups of each row, weightiest first; equal weights by code."""
        ranked = np.argsort(-weights, axis=1, kind="stable")[:, : self.wish.max_codes]
        adverse = np.count_nonzero(weights > 0, axis=1)
        return [tuple(line[:n].tolist()) for line, n in zip(ranked, adverse, strict=True)]

    def members(self, group: int) -> Places:
        """Places of a group's features."""
        ends = np.append(self.begins, len(self.order))
        return self.order[ends[group] : ends[group + 1]]

    def groups(self, width: int) -> Places:
        """The group of each feature, shape [features]."""
        found = np.zeros(width, np.int64)
        for group in range(len(self.codes)):
            found[self.members(group)] = group
        return found


def jaccard(first: Iterable[object], second: Iterable[object]) -> float:
    """Size of the intersection over size of the union, 1 for two empty lists; the order does not count."""
    a, b = set(first), set(second)
    return len(a & b) / len(a | b) if a | b else 1.0


def agreement(first: Sequence[Sequence[int]], second: Sequence[Sequence[int]]) -> float | NotEvaluable:
    """Mean Jaccard index of two lists of reasons, row by row."""
    if not first:
        return NotEvaluable("no row has a reason")
    return float(np.mean([jaccard(a, b) for a, b in zip(first, second, strict=True)]))
