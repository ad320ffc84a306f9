"""A model's tier from its materiality and its complexity, by a small table of the validation policy."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

import msgspec

from strongroom.errors import InvalidInputError

LEVELS_LIMIT = 10


class Level(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One level of materiality or complexity.

    Attributes:
        name: such as `high`.
        means: when a model has it, in words for whoever must choose.
        exposure_from: for materiality: the exposure (in the house's currency) from which a model has at least this
            level, a decimal string; left out where people choose by the words.
    """

    name: str
    means: str
    exposure_from: str | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        if not self.name.strip() or not self.means.strip():
            raise InvalidInputError("a level has a name and says what it means", field="tiering", rule="documented")
        if isinstance(self.exposure_from, str):
            amount(self.exposure_from)


class Tiering(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table: a row per level of materiality, a column per level of complexity, both from least to most.

    Tier 1 is the strictest. More material or more complex is never a weaker tier.
    """

    materiality: tuple[Level, ...]
    complexity: tuple[Level, ...]
    tiers: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        for levels in (self.materiality, self.complexity):
            names = [level.name for level in levels]
            if not 1 <= len(names) <= LEVELS_LIMIT or len(set(names)) != len(names):
                raise InvalidInputError("levels have different names", field="tiering", rule="unique")
        if [len(row) for row in self.tiers] != [len(self.complexity)] * len(self.materiality):
            raise InvalidInputError(
                "the table has a row for each materiality and a column for each complexity",
                field="tiering",
                rule="shape",
            )
        if not all(1 <= tier <= 3 for row in self.tiers for tier in row):
            raise InvalidInputError("tiers are 1, 2 and 3", field="tiering", rule="range")
        columns = list(zip(*self.tiers, strict=True))
        if any(list(line) != sorted(line, reverse=True) for line in (*self.tiers, *columns)):
            raise InvalidInputError(
                "more material or more complex is never a weaker tier", field="tiering", rule="order"
            )
        floors = [amount(one.exposure_from) for one in self.materiality if isinstance(one.exposure_from, str)]
        if floors != sorted(set(floors)) or len(floors) not in (0, len(self.materiality)):
            raise InvalidInputError(
                "each level of materiality has an exposure, ascending, or none has one", field="tiering", rule="order"
            )

    def tier(self, materiality: str, complexity: str) -> int:
        """The tier of a model.

        Raises:
            InvalidInputError: the policy has no such level; the message names those that it has.
        """
        return self.tiers[_place(self.materiality, materiality, "materiality")][
            _place(self.complexity, complexity, "complexity")
        ]

    def tier_or_strictest(self, materiality: str, complexity: str) -> int:
        """The tier of a model, the strictest one where the table does not know a level."""
        try:
            return self.tier(materiality, complexity)
        except InvalidInputError:
            return self.strictest

    @property
    def strictest(self) -> int:
        """The lowest number in the table."""
        return min(min(row) for row in self.tiers)

    @property
    def words(self) -> tuple[str, str]:
        """The levels to choose from, of materiality and of complexity, for a command's help."""
        return "|".join(level.name for level in self.materiality), "|".join(level.name for level in self.complexity)

    def materiality_of(self, exposure: str) -> str:
        """The level of materiality of an exposure.

        Raises:
            InvalidInputError: not a decimal amount, below the lowest level, or the policy goes by words alone.
        """
        floors = [one for one in self.materiality if isinstance(one.exposure_from, str)]
        reached = [one.name for one in floors if amount(str(one.exposure_from)) <= amount(exposure)]
        if not reached:
            raise InvalidInputError(
                "this policy sets no level of materiality for that exposure; choose one by its words",
                field="exposure",
                rule="level",
            )
        return reached[-1]


def amount(text: str) -> Decimal:
    """A decimal amount, finite and not negative.

    Raises:
        InvalidInputError: it is none.
    """
    try:
        value = Decimal(text) if len(text) <= 40 else Decimal("nan")
    except InvalidOperation:
        value = Decimal("nan")
    if not value.is_finite() or value < 0:
        raise InvalidInputError("an exposure is a decimal amount, 0 or more", field="exposure", rule="decimal")
    return value


def _place(levels: tuple[Level, ...], name: str, what: str) -> int:
    names = [level.name for level in levels]
    if name not in names:
        raise InvalidInputError(
            f"the policy has no {what} `{name[:40]}`; it has {', '.join(names)}", field=what, rule="level"
        )
    return names.index(name)
