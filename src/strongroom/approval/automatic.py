"""Rules by which a machine moves a release within its plan: approved with the plan, figured out from the ledger.

A rule looks at windows: the newest `windows` consecutive stretches of `window_rows` decisions of the version, all since
the pointer last changed. Every condition must hold in every window, each by more than chance. So one odd window moves
nothing, a rule starts anew after each move, and whoever has the ledger can compute the same again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from strongroom.encoding import canonical
from strongroom.errors import InvalidInputError
from strongroom.registry.contract import bound
from strongroom.vocabulary import Digest, digest_of, parse_name

RULES_LIMIT: Final = 16
CONDITIONS_LIMIT: Final = 8
ROWS_FLOOR: Final = 30
"""A window of fewer rows says nothing: the standard errors that the conditions use are those of large samples."""

Figure = Literal["error-rate", "latency-p99-s", "psi", "score-shift", "ks"]
Action = Literal["promote", "roll-back", "halt"]


class Condition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One figure against one limit; either `above` or `below`, a decimal string.

    Attributes:
        figure: `error-rate` of the version: failures among attempts; `latency-p99-s`: bound of the 99th percentile in
            seconds, since the nodes' workers started; `psi` of its score against the reference; `score-shift`: absolute
            difference of mean scores to the champion (paired in shadow); `ks`: two-sample Kolmogorov-Smirnov distance
            to the champion's scores.
    """

    figure: Figure
    above: str | msgspec.UnsetType = msgspec.UNSET
    below: str | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        if (self.above is msgspec.UNSET) == (self.below is msgspec.UNSET):
            raise InvalidInputError("a condition says either `above` or `below`", field="when", rule="choice")
        if self.limit < 0:
            raise InvalidInputError("a condition's limit is a decimal number from 0", field="when", rule="decimal")

    @property
    def limit(self) -> float:
        """The limit."""
        limit = bound(self.above if self.above is not msgspec.UNSET else str(self.below))
        return -1.0 if limit is None else limit

    @property
    def is_above(self) -> bool:
        """Whether the figure must exceed the limit, rather than stay under it."""
        return self.above is not msgspec.UNSET


class AutomaticRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule of a plan.

    Attributes:
        name: unique in the plan.
        when: conditions; all must hold.
        then: `promote` a challenger to champion; `roll-back`: a challenger is withdrawn, a champion gives way to its
            fallback; `halt` the model.
        window_rows: decisions in one window, at least 30.
        windows: how many windows in a row.
        min_s: how long the pointer must have stood.
    """

    name: str
    when: tuple[Condition, ...]
    then: Action
    window_rows: int
    windows: int
    min_s: int

    def __post_init__(self) -> None:
        parse_name(self.name, "rule name")
        if not 1 <= len(self.when) <= CONDITIONS_LIMIT:
            raise InvalidInputError(f"a rule has 1 to {CONDITIONS_LIMIT} conditions", field="when", rule="count")
        if not ROWS_FLOOR <= self.window_rows <= 1_000_000 or not 1 <= self.windows <= 100:
            raise InvalidInputError(
                f"a rule looks at 1 to 100 windows of {ROWS_FLOOR} to 1000000 rows", field="windows", rule="range"
            )
        if not 0 <= self.min_s <= 366 * 86_400:
            raise InvalidInputError("min_s is 0 to a year", field="min_s", rule="range")

    def __str__(self) -> str:
        """For people who sign it."""
        limits = [f"{one.figure} {'above' if one.is_above else 'below'} {one.limit:g}" for one in self.when]
        return (
            f"{self.name}: {self.then} if {' and '.join(limits)} in each of the last {self.windows} windows of "
            f"{self.window_rows} decisions, not before {self.min_s} s"
        )

    @property
    def digest(self) -> Digest:
        """SHA-256 of the rule's canonical bytes: what an act by this rule names."""
        return digest_of(canonical(self))


class _RulesFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rule: tuple[AutomaticRule, ...]


def read_rules(data: bytes) -> tuple[AutomaticRule, ...]:
    """Rules as people write them: TOML, one `[[rule]]` table each, with `[[rule.when]]` tables.

    Raises:
        InvalidInputError: not of this form.
    """
    try:
        rules = msgspec.toml.decode(data, type=_RulesFile).rule
    except (msgspec.MsgspecError, ValueError) as error:
        raise InvalidInputError(f"the rules are not understood: {error}", field="rules", rule="schema") from error
    check_rules(rules)
    return rules


def check_rules(rules: Sequence[AutomaticRule]) -> None:
    """Demand that the rules of a plan can be told apart.

    Raises:
        InvalidInputError: none, too many, or one name twice.
    """
    if not 1 <= len(rules) <= RULES_LIMIT:
        raise InvalidInputError(f"a plan with rules has 1 to {RULES_LIMIT}", field="rules", rule="count")
    if len({rule.name for rule in rules}) != len(rules):
        raise InvalidInputError("two rules of a plan have one name", field="rules", rule="unique")
