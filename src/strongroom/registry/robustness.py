"""`[robustness]` of `model.toml`: which way a score must move with a feature, and what an applicant can change.

The author declares it, the battery proves or refutes it, and the approvers sign it with the contract.
"""

from __future__ import annotations

import math
import re
from typing import Literal

import msgspec

from strongroom.errors import InvalidInputError

ACTIONS_LIMIT = 64

_RULE = re.compile(r"[a-z]{1,32}\.[a-z-]{1,64}")
_FIGURE = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,24})?(e-?[0-9]{1,3})?")

Slope = Literal["increasing", "decreasing"]
Direction = Literal["increase", "decrease", "either"]


class Action(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A feature that an applicant can change.

    Attributes:
        feature: of the contract; no category, since codes have no distance.
        direction: in which the applicant can move it.
        cost: of one unit of the feature, in `cost_unit`; a decimal string above 0.
    """

    feature: str
    direction: Direction
    cost: str

    @property
    def cost_per_unit(self) -> float:
        return _positive(self.cost, "cost")

    def __post_init__(self) -> None:
        _positive(self.cost, "cost")


class Robustness(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the contract promises about small changes of its inputs. Each part may be left out.

    Attributes:
        monotone: features with which the score never falls (`increasing`) or never rises (`decreasing`).
        actions: what an applicant can change.
        cost_unit: of the costs, such as `hours` or `EUR`.
        budget: what an applicant spends on any one feature at most; a decimal string above 0.
        before: figures of the model as it was before it was hardened, by the catalogue's rule; the author's word. The
            report shows them beside what the battery found.
    """

    monotone: dict[str, Slope] = {}
    actions: tuple[Action, ...] = ()
    cost_unit: str | msgspec.UnsetType = msgspec.UNSET
    budget: str | msgspec.UnsetType = msgspec.UNSET
    before: dict[str, str] | msgspec.UnsetType = msgspec.UNSET

    @property
    def limit(self) -> float:
        """The budget. Raises InvalidInputError: there is none."""
        return _positive("" if isinstance(self.budget, msgspec.UnsetType) else self.budget, "budget")

    def __post_init__(self) -> None:
        if not self.monotone and not self.actions:
            raise _wrong("declares a monotone feature, or an action", "empty")
        names = [action.feature for action in self.actions]
        if len(names) > ACTIONS_LIMIT or len(set(names)) != len(names):
            raise _wrong(f"names at most {ACTIONS_LIMIT} actions, each feature once", "unique")
        wanted = bool(self.actions)
        if (self.budget is not msgspec.UNSET) != wanted or (self.cost_unit is not msgspec.UNSET) != wanted:
            raise _wrong("has `budget` and `cost_unit` where it names actions, and only there", "budget")
        if isinstance(self.cost_unit, str) and not (0 < len(self.cost_unit) <= 32 and self.cost_unit.isprintable()):
            raise _wrong("has a `cost_unit` of 1 to 32 printable characters", "text")
        for rule, figure in ({} if isinstance(self.before, msgspec.UnsetType) else self.before).items():
            if not _RULE.fullmatch(rule) or not _FIGURE.fullmatch(figure):
                raise _wrong("names figures `before` by rule, each a decimal number", "before")
        if self.actions:
            _positive(str(self.budget), "budget")

    def demand_features(self, kinds: dict[str, str]) -> None:
        """Hold it against the contract.

        Args:
            kinds: type of each feature by its name.

        Raises:
            InvalidInputError: it names what is no feature, or a category.
        """
        for name in (*self.monotone, *(action.feature for action in self.actions)):
            if name not in kinds:
                raise _wrong(f"names `{name[:64]}`, which is no feature of the input", "feature")
            if kinds[name] == "category":
                raise _wrong(f"names `{name}`, a category: codes have no order and no distance", "category")


def _positive(text: str, field: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (0 < value < math.inf) or len(text) > 40:
        raise InvalidInputError(f"a {field} of `robustness` is a number above 0", field="robustness", rule=field)
    return value


def _wrong(what: str, rule: str) -> InvalidInputError:
    return InvalidInputError(f"`robustness` {what}", field="robustness", rule=rule)
