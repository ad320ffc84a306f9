"""The input and output contracts, enforced on whole batches at once.

Whole numbers and codes are checked on the values as sent (float64 where JSON or FP64 brought them), ranges on the
float32 that the model will see, against bounds rounded to float32 the same way: rounding keeps order, so a value
that equals its bound passes however it was sent.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from strongroom.errors import InvalidInputError, UnavailableError
from strongroom.registry.contract import CutOff, InputContract, OutputContract, bound

Matrix = NDArray[np.float32]
WHOLE_LIMIT: Final = float(2**24)
TABLE_LIMIT: Final = 4096
_F32: Final = float(np.finfo(np.float32).max)


class Fault(NamedTuple):
    """The first broken rule of one row: which feature, which rule; never the value."""

    row: int
    field: str
    rule: str

    @property
    def message(self) -> str:
        return f"feature `{self.field}` {RULES[self.rule]}"


RULES: Final = {
    "missing": "is missing and the model was not made for that",
    "finite": "is not a finite number",
    "whole-number": "must be a whole number",
    "allowed": "is not one of the codes that the contract allows",
    "range": "is outside the range that the contract allows",
}


class InputCheck:
    """Checks rows against an input contract.

    Attributes:
        names: features in column order.
        places: column of each feature by name.
        width: number of features.
        one_row: shape of the input tensor with one row.
        plain_tensor: name of the input tensor unless a feature has the same.
    """

    def __init__(self, contract: InputContract) -> None:
        features = contract.features
        self.contract = contract
        self.names: Final = tuple(feature.name for feature in features)
        self.places: Final = {name: place for place, name in enumerate(self.names)}
        self.width: Final = len(self.names)
        self.one_row: Final = (1, self.width)
        self.plain_tensor: Final = None if contract.tensor in self.places else contract.tensor
        low = [bound(feature.minimum) for feature in features]
        high = [bound(feature.maximum) for feature in features]
        edge = [_F32 if feature.type == "float" else WHOLE_LIMIT for feature in features]
        self._low = np.array([-e if b is None else max(b, -e) for b, e in zip(low, edge, strict=True)], np.float32)
        self._high = np.array([e if b is None else min(b, e) for b, e in zip(high, edge, strict=True)], np.float32)
        self._missing = np.array([feature.missing == "nan" for feature in features], bool)
        self._any_missing = bool(self._missing.any())
        self._whole = np.array([place for place, f in enumerate(features) if f.type != "float"], np.intp)
        tables: list[tuple[int, tuple[int, ...]]] = []
        self._sets: list[tuple[int, NDArray[np.float64]]] = []
        for place, feature in enumerate(features):
            if feature.allowed is None:
                continue
            allowed = feature.allowed
            if allowed and max(allowed) - min(allowed) < TABLE_LIMIT:
                tables.append((place, allowed))
            else:
                self._sets.append((place, np.array(allowed, np.float64)))
        self._coded = np.array([place for place, _ in tables], np.intp)
        self._coded_rows = np.arange(len(tables), dtype=np.intp)
        self._base = np.array([min(allowed) for _, allowed in tables], np.float64)
        width = max((max(allowed) - min(allowed) + 1 for _, allowed in tables), default=0)
        # one more column, always false, for whatever lies outside the table
        self._table = np.zeros((len(tables), width + 1), bool)
        self._width = width
        for row, (_, allowed) in enumerate(tables):
            self._table[row, [code - min(allowed) for code in allowed]] = True

    def check(self, values: NDArray[np.float64] | Matrix) -> tuple[Matrix, list[Fault]]:
        """Check rows.

        Args:
            values: shape [rows, features], as sent; NaN stands for a missing value.

        Returns:
            The float32 matrix that the model sees (rows with faults included), and the first fault of each bad row.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            matrix = np.ascontiguousarray(values, np.float32)
            good = (matrix >= self._low) & (matrix <= self._high)
            if self._whole.size:
                whole = values[:, self._whole]
                good[:, self._whole] &= np.floor(whole) == whole
            if self._coded.size:
                codes = values[:, self._coded] - self._base
                inside = (codes >= 0) & (codes < self._width)
                places = np.where(inside, codes, self._width).astype(np.intp)
                good[:, self._coded] &= self._table[self._coded_rows, places]
            for place, allowed in self._sets:
                good[:, place] &= np.isin(values[:, place], allowed)
            if self._any_missing:
                good |= np.isnan(values) & self._missing
        if good.all():
            return matrix, []
        faults = []
        for row in np.flatnonzero(~good.all(axis=1)).tolist():
            place = int(np.argmin(good[row]))
            faults.append(Fault(row, self.names[place], self._rule(place, float(values[row, place]))))
        return matrix, faults

    def _rule(self, place: int, value: float) -> str:
        feature = self.contract.features[place]
        if np.isnan(value):
            return "missing"
        if np.isinf(value) or abs(value) > _F32:
            return "finite"
        if feature.type != "float" and value != np.floor(value):
            return "whole-number"
        if feature.allowed is not None and value not in feature.allowed:
            return "allowed"
        return "range"


class OutputCheck:
    """Takes the score out of what the model returned, and the decision out of the score.

    Raises:
        InvalidInputError: the cut-offs do not give every score one decision.
    """

    def __init__(self, contract: OutputContract, cut_offs: tuple[CutOff, ...]) -> None:
        edges = [bound(cut.below) for cut in cut_offs]
        known = [edge for edge in edges if edge is not None]
        if edges[-1:] != [None] or len(known) != len(edges) - 1 or known != sorted(set(known)):
            raise InvalidInputError(
                "the release's cut-offs give no decision to some scores: they ascend, and the last has no bound",
                field="cut_offs", rule="order",
            )  # fmt: skip
        self.contract = contract
        self._low = float(bound(contract.minimum) or 0.0)
        self._high = float(bound(contract.maximum) or 0.0)
        self._bounds = np.array([bound(cut.below) or 0.0 for cut in cut_offs[:-1]], np.float64)
        self.decisions: Final = tuple(cut.decision for cut in cut_offs)
        self.cut_points: Final = self._bounds if self._bounds.size else np.array([np.inf])

    def scores(self, output: NDArray[np.float32], rows: int) -> Matrix:
        """The score of each row, float32, shape [rows].

        Raises:
            UnavailableError: type or shape is not what the contract promises.
        """
        column = self.contract.column
        if output.dtype == np.float32 and output.ndim == 2 and output.shape[0] == rows and column < output.shape[1]:
            return np.ascontiguousarray(output[:, column])
        if output.dtype == np.float32 and output.ndim == 1 and output.shape[0] == rows and column == 0:
            return output
        raise UnavailableError(
            f"output `{self.contract.tensor}` of the model has another type or shape than its contract",
            field=self.contract.name,
            rule="shape",
        )

    def good(self, scores: Matrix) -> NDArray[np.bool_]:
        """Which scores are finite and within the contract's bounds. NaN compares false, so it is not good."""
        wide = scores.astype(np.float64)
        result: NDArray[np.bool_] = (wide >= self._low) & (wide <= self._high)
        return result

    def decide(self, scores: Matrix) -> list[str]:
        """The decision of each score: the first cut-off that the score is below."""
        places = np.searchsorted(self._bounds, scores.astype(np.float64), side="right")
        decisions = self.decisions
        return [decisions[place] for place in places.tolist()]
