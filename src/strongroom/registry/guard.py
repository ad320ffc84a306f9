"""The input guard: what a model's contract wishes of it, and the table that a release carries for it.

The table is a Chow-Liu tree: each feature's binned value, given that of one other feature, as often as it was in the
reference sample. A row's surprise is the sum over its features, in hundredths of a bit: whole numbers, so that a row
has the same surprise alone, in any batch and on any machine.

Source: Chow and Liu, Approximating discrete probability distributions with dependence trees, IEEE Transactions on
Information Theory 14 (3), 1968.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from strongroom.errors import InvalidInputError

EDGES_LIMIT = 24
SURPRISE_LIMIT = 10_000
"""Hundredths of a bit that one feature may add."""

LEVELS = ("flag", "refer", "refuse")


class GuardWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[guard]` of `model.toml`.

    Attributes:
        flag_above, refer_above, refuse_above: quantiles of the reference sample's surprise (decimal strings from 0.5,
            below 1, ascending in this order); what lies above is marked, decided by a person, or refused.
        refer_to: the decision that says so.
    """

    method: Literal["chow-liu"] = "chow-liu"
    flag_above: str | msgspec.UnsetType = msgspec.UNSET
    refer_above: str | msgspec.UnsetType = msgspec.UNSET
    refuse_above: str | msgspec.UnsetType = msgspec.UNSET
    refer_to: str = "refer"

    def __post_init__(self) -> None:
        quantiles = [quantile for quantile in self.quantiles if quantile is not None]
        if not quantiles or quantiles != sorted(quantiles):
            raise InvalidInputError(
                "a guard has one to three levels, ascending from flag over refer to refuse", field="guard", rule="order"
            )
        _check_decision(self.refer_to)

    @property
    def quantiles(self) -> tuple[float | None, float | None, float | None]:
        """Of flag, refer and refuse; None where there is no such level."""
        first, second, third = (_quantile(text) for text in (self.flag_above, self.refer_above, self.refuse_above))
        return first, second, third


class GuardTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a gateway needs of the reference sample; in the monitors of a release (format 6).

    Attributes:
        edges: of each feature, ascending decimal strings. A value x is in bin 1 + (number of edges below x); a missing
            one in bin 0. So there are two bins more than edges.
        parents: of each feature, the place of the one that it is looked at beside; its own place for the root.
        surprise: of each feature, for each bin of its parent in turn, that of each bin of its own; hundredths of a bit.
        levels: surprise above which a row is flagged, referred, refused; -1 for no such level.
        refer_to: the decision of what is referred.
        rows: of the reference sample.
    """

    method: Literal["chow-liu"]
    edges: tuple[tuple[str, ...], ...]
    parents: tuple[int, ...]
    surprise: tuple[tuple[int, ...], ...]
    levels: tuple[int, int, int]
    refer_to: str
    rows: int

    def __post_init__(self) -> None:
        _check_decision(self.refer_to)
        count = len(self.edges)
        if not (count == len(self.parents) == len(self.surprise)) or not all(0 <= p < count for p in self.parents):
            raise InvalidInputError("a guard has edges, a parent and surprises for each feature", field="guard")
        for place, listed in enumerate(self.edges):
            numbers = [float(edge) for edge in listed]
            if len(numbers) > EDGES_LIMIT or not all(map(math.isfinite, numbers)) or numbers != sorted(set(numbers)):
                raise InvalidInputError("the edges of a guard ascend", field="guard", rule="order")
            size = (len(listed) + 2) * (len(self.edges[self.parents[place]]) + 2)
            found = self.surprise[place]
            if len(found) != size or not all(0 <= one <= SURPRISE_LIMIT for one in found):
                raise InvalidInputError("a guard has a surprise for each pair of bins", field="guard", rule="shape")
        levels = [level for level in self.levels if level >= 0]
        if not levels or levels != sorted(levels) or min(self.levels) < -1:
            raise InvalidInputError("the levels of a guard ascend, and there is one", field="guard", rule="order")


def _quantile(text: str | msgspec.UnsetType) -> float | None:
    if isinstance(text, msgspec.UnsetType):
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.5 <= value < 1:
        raise InvalidInputError("a level of the guard is a quantile from 0.5, below 1", field="guard", rule="quantile")
    return value


def _check_decision(text: str) -> None:
    if not 1 <= len(text) <= 63 or not text.isprintable():
        raise InvalidInputError("a decision is 1 to 63 printable characters", field="guard.refer_to", rule="text")
