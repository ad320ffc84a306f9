"""`[stress.NAME]` of `model.toml`: what a bad state of the world does to the model's inputs, in their own units.

The author sizes the shocks, since only who built the model knows its inputs; the policy can ask for scenarios by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from strongroom.errors import InvalidInputError

SCENARIOS_LIMIT: Final = 10
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}\Z")
_SIZE = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?%?\Z")


class StressScenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One scenario at severity 1.

    Attributes:
        means: in words, what happens and where the sizes come from.
        shocks: by feature, what is added to its value, in its unit; with `%`, by which share of itself it moves.
    """

    means: str
    shocks: dict[str, str]

    def __post_init__(self) -> None:
        if not 0 < len(self.means.strip()) <= 400:
            raise _wrong("says in 1 to 400 characters what it `means`", "documented")
        if not self.shocks:
            raise _wrong("shocks one feature or more", "empty")
        if not all(_SIZE.match(text) and float(text.rstrip("%")) != 0.0 for text in self.shocks.values()):
            raise _wrong('has sizes other than 0, such as "-2.5" in the feature\'s unit or "-20%"', "size")


def moved(text: str, severity: float) -> tuple[float, float]:
    """Factor and summand of a shock: a value x becomes `factor x + summand`. A value is never moved past 0 by a share.

    Args:
        text: of `shocks`.
        severity: 1 for the shock as it is named.
    """
    size = severity * float(text.rstrip("%"))
    return (max(0.0, 1.0 + size / 100.0), 0.0) if text.endswith("%") else (1.0, size)


def demand_features(scenarios: Mapping[str, StressScenario], kinds: Mapping[str, str]) -> None:
    """Hold the scenarios against the contract.

    Args:
        scenarios: by name.
        kinds: type of each feature by its name.

    Raises:
        InvalidInputError: too many, or one has a name that is none, or shocks what is no feature, or a category.
    """
    if not 1 <= len(scenarios) <= SCENARIOS_LIMIT:
        raise _wrong(f"names 1 to {SCENARIOS_LIMIT} scenarios", "count")
    for name, scenario in scenarios.items():
        if not _NAME.match(name):
            raise _wrong("has names of 1 to 40 small letters, digits and hyphens", "name")
        for feature in scenario.shocks:
            if feature not in kinds:
                raise _wrong(f"shocks `{feature[:64]}`, which is no feature of the input", "feature")
            if kinds[feature] == "category":
                raise _wrong(f"shocks `{feature}`, a category: codes have no size", "category")


def _wrong(what: str, rule: str) -> InvalidInputError:
    return InvalidInputError(f"`stress` {what}", field="stress", rule=rule)
