"""What a forecast is of: a regular series, how far ahead, and which quantiles. `[series]` of `model.toml`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, Protocol

import msgspec

from strongroom.errors import InvalidInputError
from strongroom.registry.kinds import Kind

Frequency = Literal["day", "week", "month", "quarter", "year"]
HORIZON_LIMIT: Final = 1000
SEASON_LIMIT: Final = 1000
MEDIAN: Final = 500
"""Quantiles are counted in thousandths, so that they are whole numbers for callers, rows and records alike."""


class _Column(Protocol):
    """A feature, as far as this module looks at it."""

    @property
    def name(self) -> str: ...
    @property
    def allowed(self) -> tuple[int, ...] | None: ...


class SeriesContract(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row asks for one quantile at one horizon; both are features, and their `allowed` values are the contract.

    Attributes:
        frequency: length of a period.
        season: periods after which the series is expected to look alike; 1 for none.
        horizon: the feature with the number of periods ahead, a category of 1 and more.
        quantile: the feature with the quantile in thousandths, a category of 1 to 999 that has the median.
    """

    frequency: Frequency
    season: int
    horizon: str
    quantile: str

    def __post_init__(self) -> None:
        if not 1 <= self.season <= SEASON_LIMIT:
            raise InvalidInputError(f"a season has 1 to {SEASON_LIMIT} periods", field="series.season", rule="range")
        if self.horizon == self.quantile:
            raise InvalidInputError("horizon and quantile are two features", field="series.quantile", rule="unique")


def check_series(kind: Kind, series: SeriesContract | msgspec.UnsetType, features: Sequence[_Column]) -> None:
    """Hold `[series]` against the kind and the features.

    Raises:
        InvalidInputError: a forecast without it, another kind with it, or a feature that is not there or has other
            values.
    """
    if isinstance(series, msgspec.UnsetType):
        if kind == "forecast":
            raise InvalidInputError(
                "a forecast says of what; add `[series]` with frequency, season, horizon and quantile",
                field="series", rule="missing",
            )  # fmt: skip
        return
    if kind != "forecast":
        raise InvalidInputError(
            f"a model of kind `{kind}` forecasts no series; leave `[series]` out", field="series", rule="kind"
        )
    steps, levels = (allowed_of(features, name) for name in (series.horizon, series.quantile))
    if not steps or min(steps) < 1 or max(steps) > HORIZON_LIMIT:
        raise InvalidInputError(
            f"`{series.horizon}` is a category of horizons from 1 to {HORIZON_LIMIT}",
            field="series.horizon", rule="horizons",
        )  # fmt: skip
    if min(levels, default=0) < 1 or max(levels) > 999 or MEDIAN not in levels:
        raise InvalidInputError(
            f"`{series.quantile}` is a category of quantiles in thousandths, 1 to 999, with the median {MEDIAN}",
            field="series.quantile", rule="quantiles",
        )  # fmt: skip


def allowed_of(features: Sequence[_Column], name: str) -> tuple[int, ...]:
    """The values of a category in ascending order; empty where there is no such category."""
    return next((tuple(sorted(set(f.allowed or ()))) for f in features if f.name == name), ())
