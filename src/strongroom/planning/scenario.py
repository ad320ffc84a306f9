"""Scenario documents: macro paths with weights, and how they move PD and LGD. TOML, version 1.

A path is a series by year. Its state in a year is `z = sum_k weight_k (x_k - mean_k) / sd_k` over its variables:
above 0 is better than usual. After the last year of a path, nobody knows the state: its mean goes back to 0 and
its variance up to 1 in straight lines over `reversion_years`, so that PDs come back to those through the cycle.

Two links are known, and a document names one:

- `vasicek`: `PD(z) = N((G(PD) - sqrt(rho) z) / sqrt(1 - rho + rho v))`, the conditional PD of the one-factor model,
  where v is the variance of the state, 0 within the path and 1 when it is over;
- `elasticity`: `logit PD(z) = logit PD - elasticity z`.

LGD moves in a straight line: `LGD(z) = LGD - lgd_slope z`, held between 0 and 1.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

import msgspec
import numpy as np
from scipy.special import expit, logit, ndtr, ndtri

from strongroom.errors import InvalidInputError, TooLargeError
from strongroom.planning.classes import CLASSES, Codes, Floats
from strongroom.planning.staging import Staging
from strongroom.vocabulary import one_line, parse_name, quoted

SIZE_LIMIT: Final = 256 * 1024
SCENARIO_LIMIT, VARIABLE_LIMIT, YEAR_LIMIT = 10, 20, 30
WEIGHT_TOLERANCE: Final = 1e-9
LINE_DOTS: Final = 64


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A misspelt key must not become no key."""


class Variable(_Part, frozen=True, kw_only=True):
    """A macro variable.

    Attributes:
        unit: such as `percent`.
        mean, sd: its long-run mean and standard deviation.
        weight: how much it counts in z; positive where a higher value is better.
        source: where mean, deviation and weight come from.
    """

    unit: str
    mean: float
    sd: float
    weight: float
    source: str


class PathOfVariables(_Part, frozen=True, kw_only=True):
    """A scenario.

    Attributes:
        weight: its probability.
        values: of each variable, by year from the first year after today.
    """

    weight: float
    values: dict[str, tuple[float, ...]]


class Link(_Part, frozen=True, kw_only=True):
    """How z moves PD and LGD; see the module.

    Attributes:
        kind: `vasicek` or `elasticity`.
        rho: asset correlation by exposure class, for `vasicek`; `default` for all others.
        elasticity: change of logit PD for one z, by class, for `elasticity`; `default` for all others.
        lgd_slope: change of LGD for one z, by class; `default` for all others.
        source: where the figures come from.
    """

    kind: Literal["vasicek", "elasticity"]
    source: str
    rho: dict[str, float] = {}
    elasticity: dict[str, float] = {}
    lgd_slope: dict[str, float] = {}


class OwnFunds(_Part, frozen=True, kw_only=True):
    """What the bank has today, for ratios; amounts in the currency of the portfolio.

    Attributes:
        cet1: before any shortfall of provisions.
        other_rwa: risk-weighted assets of other risks and portfolios, by the approaches that are used, and
        other_rwa_standardised: if standardised; the floor is one over the whole bank.
    """

    cet1: float
    other_rwa: float = 0.0
    other_rwa_standardised: float = 0.0


class Document(_Part, frozen=True, kw_only=True):
    """The document as a whole.

    Attributes:
        v: 1.
        name: of the document.
        purpose: what it is for, in words.
        author: who answers for it and signs it, as the people register names them.
        effective_from: first day of a plan that it may be used for.
        effective_until: first day on which it may not.
        variables: by name.
        scenarios: by name; weights add up to 1.
        link: see there.
        staging: see there.
        own_funds: for capital ratios; absent where none are wanted.
        reversion_years: until z is 0 again after a path.
        prepayment_rate: share of the balance that is repaid early in a year.
        horizon_months: of the repayment forecast.
    """

    v: Literal[1]
    name: str
    purpose: str
    author: str
    effective_from: date
    effective_until: date
    variables: dict[str, Variable]
    scenarios: dict[str, PathOfVariables]
    link: Link
    staging: Staging = Staging()
    own_funds: OwnFunds | None = None
    reversion_years: int = 3
    prepayment_rate: float = 0.0
    horizon_months: int = 36

    @property
    def years(self) -> int:
        """Of the paths."""
        return len(next(iter(next(iter(self.scenarios.values())).values.values())))

    def z(self, scenario: str, year: int) -> float:
        """State in a year, from 1."""
        path, last = self.scenarios[scenario], self.years
        at = min(year, last) - 1
        found = math.fsum(
            one.weight * (path.values[name][at] - one.mean) / one.sd for name, one in sorted(self.variables.items())
        )
        return found * (1.0 - self.spread(year))

    def spread(self, year: int) -> float:
        """Variance of the state in a year: 0 within the paths, 1 when they are over."""
        return min(1.0, max(0, year - self.years) / (self.reversion_years + 1))

    def mean_z(self, year: int) -> float:
        """The probability-weighted state, for the effect of taking one central path instead of all."""
        return math.fsum(path.weight * self.z(name, year) for name, path in sorted(self.scenarios.items()))


def read_scenario(data: bytes) -> Document:
    """Read a scenario document.

    Raises:
        TooLargeError: more than 256 KiB.
        InvalidInputError: not TOML, a key too many or too few, or a figure outside its rule; `field` names the place.
    """
    if len(data) > SIZE_LIMIT:
        raise TooLargeError(f"a scenario document has at most {SIZE_LIMIT} bytes", field="scenario", rule="size")
    try:
        text = data.decode()
        # a key of thousands of parts costs the parser quadratic time
        if any(line.count(".") > LINE_DOTS and "=" not in line.partition(".")[0] for line in text.splitlines()):
            raise InvalidInputError("the scenario document has a key of too many parts", field="scenario", rule="toml")
        plain = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"the scenario document is not TOML: {error}", field="scenario", rule="toml") from error
    try:
        document = msgspec.convert(plain, Document)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at ")
        place = where.strip("`").removeprefix("$").lstrip(".") or "scenario"
        raise InvalidInputError(
            f"{'' if place == 'scenario' else 'scenario, '}{place}: {what.lower()}{_allowed(place, what)}",
            field=place,
            rule="schema",
        ) from error
    _check(document)
    return document


_PARTS: Final[Mapping[str, type[msgspec.Struct]]] = {
    "scenario": Document, "variables": Variable, "scenarios": PathOfVariables, "link": Link, "staging": Staging,
    "own_funds": OwnFunds,
}  # fmt: skip
_CHOICES: Final = {"v": "1", "link.kind": "vasicek or elasticity"}


def _allowed(place: str, what: str) -> str:
    """Which words may stand at a place, for whoever wrote another one or left one out."""
    if "enum value" in what:
        return f"; it is {_CHOICES[place]}" if place in _CHOICES else ""
    if "unknown field" not in what and "required field" not in what:
        return ""
    fields = msgspec.structs.fields(_PARTS[re.split(r"[.\[]", place)[0]])
    needed = ", ".join(one.encode_name for one in fields if one.required)
    free = ", ".join(one.encode_name for one in fields if not one.required)
    told = [f"it has {needed}"] if needed else []
    return "; " + " and ".join([*told, f"may have {free}"] if free else told)


def _check(document: Document) -> None:
    for text, what in ((document.name, "name"), (document.purpose, "purpose"), (document.link.source, "link.source")):
        if not text.strip() or not text.isprintable():
            raise InvalidInputError(f"scenario, {what}: needs words", field=what, rule="documented")
    parse_name(document.author, "author")
    if not document.effective_from < document.effective_until:
        raise InvalidInputError(
            "scenario, effective_until: a day after effective_from", field="effective_until", rule="order"
        )
    _count(document.variables, VARIABLE_LIMIT, "variables")
    _count(document.scenarios, SCENARIO_LIMIT, "scenarios")
    for name, one in document.variables.items():
        parse_name(name, "variable")
        _within(one.sd, 0.0, math.inf, f"variables.{name}.sd", above=True)
        _within(one.mean, -math.inf, math.inf, f"variables.{name}.mean")
        _within(one.weight, -10.0, 10.0, f"variables.{name}.weight")
        if not one.source.strip():
            raise InvalidInputError(f"variables.{name} needs a source", field=f"variables.{name}", rule="documented")
    lengths = set()
    for name, path in document.scenarios.items():
        parse_name(name, "scenario")
        _within(path.weight, 0.0, 1.0, f"scenarios.{name}.weight")
        if set(path.values) != set(document.variables):
            raise InvalidInputError(
                f"scenarios.{name} has values for each variable and for no other: {quoted(sorted(document.variables))}",
                field=f"scenarios.{name}.values", rule="variables",
            )  # fmt: skip
        for variable, values in path.values.items():
            lengths.add(len(values))
            for value in values:
                _within(value, -math.inf, math.inf, f"scenarios.{name}.values.{variable}")
    if len(lengths) != 1 or not 1 <= min(lengths) <= YEAR_LIMIT:
        raise InvalidInputError(
            f"all paths have the same number of years, 1 to {YEAR_LIMIT}", field="scenarios", rule="years"
        )
    if abs(math.fsum(path.weight for path in document.scenarios.values()) - 1.0) > WEIGHT_TOLERANCE:
        raise InvalidInputError("the weights of the scenarios add up to 1", field="scenarios", rule="weights")
    link = document.link
    figures, low, high, place = (
        (link.rho, 0.0, 0.9, "rho") if link.kind == "vasicek" else (link.elasticity, -10.0, 10.0, "elasticity")
    )
    if (link.elasticity if link.kind == "vasicek" else link.rho) or "default" not in figures:
        raise InvalidInputError(
            f"a link of kind `{link.kind}` has `{place}` with a `default`, and nothing of the other kind",
            field=f"link.{place}", rule="link",
        )  # fmt: skip
    for table, bottom, top, name in ((figures, low, high, place), (link.lgd_slope, -1.0, 1.0, "lgd_slope")):
        for key, value in table.items():
            if key not in (*CLASSES, "default"):
                raise InvalidInputError(
                    f"link.{name}: `{one_line(key[:40])}` is no class; classes are default, {', '.join(CLASSES)}",
                    field=f"link.{name}", rule="class",
                )  # fmt: skip
            _within(value, bottom, top, f"link.{name}.{key}")
    if document.own_funds is not None:
        for name in ("cet1", "other_rwa", "other_rwa_standardised"):
            _within(getattr(document.own_funds, name), 0.0, 1e15, f"own_funds.{name}")
    _within(document.prepayment_rate, 0.0, 0.9, "prepayment_rate")
    _within(document.reversion_years, 0, 30, "reversion_years")
    _within(document.horizon_months, 1, 600, "horizon_months")


def _count(table: dict[str, object] | dict[str, Variable] | dict[str, PathOfVariables], most: int, what: str) -> None:
    if not 1 <= len(table) <= most:
        raise InvalidInputError(f"scenario: 1 to {most} {what}", field=what, rule="count")


def _within(value: float, low: float, high: float, field: str, *, above: bool = False) -> None:
    if not math.isfinite(value) or not low <= value <= high or (above and value == low):
        edge = "above" if above else "from"
        raise InvalidInputError(f"scenario, {field}: a number {edge} {low:g} to {high:g}", field=field, rule="range")


def by_class(figures: dict[str, float], missing: float = 0.0) -> Floats:
    """Figures of a link as an array over the classes."""
    return np.array([figures.get(name, figures.get("default", missing)) for name in CLASSES])


def vasicek(pd: Floats, rho: Floats, z: float, spread: float = 0.0) -> Floats:
    """PD in the state z of the one-factor model; 0 and 1 stay what they are.

    Args:
        pd: through the cycle, a fraction.
        rho: asset correlation, a fraction.
        z: state, or its mean where it is not known for sure.
        spread: variance of the state; at 1 with z = 0 the PD is that through the cycle.

    Source: Vasicek (2002); a normal state leaves the mean of the conditional PD in closed form.
    """
    inside = (pd > 0.0) & (pd < 1.0)
    moved = ndtr((ndtri(np.clip(pd, 1e-15, 1 - 1e-15)) - np.sqrt(rho) * z) / np.sqrt(1.0 - rho + rho * spread))
    return np.where(inside, moved, pd)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One path over given exposures; arrays of the shape [exposures].

    Args:
        document: where it stands.
        name: its name; None for the path at the weighted mean state.
        pd: 12-month PD through the cycle.
        classes: codes.
    """

    document: Document
    name: str | None
    pd: Floats
    classes: Codes

    def z(self, year: int) -> float:
        """State in a year, from 1."""
        return self.document.mean_z(year) if self.name is None else self.document.z(self.name, year)

    def hazard(self, year: int) -> Floats:
        """Probability of default in a year, from 1."""
        if self.document.spread(year) == 1.0:
            return self.pd
        link, z = self.document.link, self.z(year)
        if link.kind == "vasicek":
            return vasicek(self.pd, by_class(link.rho)[self.classes], z, self.document.spread(year))
        inside = (self.pd > 0.0) & (self.pd < 1.0)
        moved = expit(logit(np.clip(self.pd, 1e-15, 1 - 1e-15)) - by_class(link.elasticity)[self.classes] * z)
        return np.where(inside, moved, self.pd)

    def lgd(self, year: int, lgd: Floats) -> Floats:
        """LGD in a year, from 1."""
        slope = by_class(self.document.link.lgd_slope)
        if not slope.any():
            return lgd
        return np.clip(lgd - slope[self.classes] * self.z(year), 0.0, 1.0)
