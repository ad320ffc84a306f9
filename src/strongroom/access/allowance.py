"""How much a calling system, a unit or a model may take: an optional part of `access/grants.json`, signed by operators.

What is not named is not limited here; the node's own capacity (`node.toml`) always holds. Every figure is a whole
number, so that no two nodes round differently.
"""

from __future__ import annotations

from typing import Final

import msgspec

from strongroom.errors import InvalidInputError
from strongroom.vocabulary import parse_name

FIGURE_LIMIT: Final = 10**9
WEIGHT_LIMIT: Final = 100
ABSENT: Final = msgspec.UNSET

Figure = int | msgspec.UnsetType


class Allowance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """Limits of one account. Fields that are not used are absent from the document.

    Attributes:
        requests_per_s: sustained rate of requests, refused ones included.
        burst: requests at once after a pause; as many as a second brings when absent.
        concurrent: requests that have no answer yet.
        rows_per_s: sustained rate of rows; one larger request is let in and paid back by waiting.
        rows: of one request.
        bytes_per_s: sustained rate of bytes of bodies.
        body_bytes: of one body.
        wait_ms: how long a request may wait for its turn before it is refused.
        weight: share of the queue among those who wait, 1 to 100; for calling systems only.
    """

    requests_per_s: Figure = ABSENT
    burst: Figure = ABSENT
    concurrent: Figure = ABSENT
    rows_per_s: Figure = ABSENT
    rows: Figure = ABSENT
    bytes_per_s: Figure = ABSENT
    body_bytes: Figure = ABSENT
    wait_ms: Figure = ABSENT
    weight: Figure = ABSENT

    def __post_init__(self) -> None:
        named = {name: getattr(self, name) for name in self.__struct_fields__}
        given = {name: figure for name, figure in named.items() if figure is not ABSENT}
        if not given:
            raise InvalidInputError("limits name at least one figure, or are left out", field="limits", rule="count")
        for name, figure in given.items():
            most = WEIGHT_LIMIT if name == "weight" else FIGURE_LIMIT
            if isinstance(figure, bool) or not 1 <= figure <= most:
                raise InvalidInputError(f"limit `{name}` is 1 to {most}", field=name, rule="range")
        if self.burst is not ABSENT and self.requests_per_s is ABSENT:
            raise InvalidInputError("limit `burst` comes with `requests_per_s`", field="burst", rule="pair")


class NamedAllowance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of one unit or one model, shared by everybody who belongs to it or calls it."""

    name: str
    limits: Allowance

    def __post_init__(self) -> None:
        parse_name(self.name, "unit or model of a limit")
        if self.limits.weight is not ABSENT:
            raise InvalidInputError("a weight belongs to a calling system", field="weight", rule="place")


class SharedLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The section `limits` of the grants: units (tenants) and models, each list sorted by name."""

    units: tuple[NamedAllowance, ...] | msgspec.UnsetType = ABSENT
    models: tuple[NamedAllowance, ...] | msgspec.UnsetType = ABSENT

    def __post_init__(self) -> None:
        if self.units is ABSENT and self.models is ABSENT:
            raise InvalidInputError("shared limits name a unit or a model, or are left out", field="limits")
        for what in ("units", "models"):
            listed = getattr(self, what)
            if listed is ABSENT:
                continue
            names = [one.name for one in listed]
            if not names or names != sorted(set(names)):
                raise InvalidInputError(f"limits of {what} stand once each, sorted by name", field=what, rule="sorted")


def figure(value: Figure) -> int | None:
    """A figure, or None where it is absent."""
    return None if isinstance(value, msgspec.UnsetType) else value
