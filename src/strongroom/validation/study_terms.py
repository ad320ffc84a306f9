"""How large the studies of a battery are and what they assume: parts of the policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from strongroom.errors import InvalidInputError
from strongroom.registry.contract import bound
from strongroom.validation.battery_rules import Part
from strongroom.validation.finding_rules import DEFAULT_FINDINGS as DEFAULT_FINDINGS
from strongroom.validation.finding_rules import FindingsRule as FindingsRule


class Grades(Part, frozen=True, kw_only=True):
    """The rating scale: fixed edges (PDs, ascending), or so many quantiles of the development sample's scores."""

    edges: tuple[str, ...] | None = None
    quantiles: int | None = None

    def __post_init__(self) -> None:
        if (self.edges is None) == (self.quantiles is None):
            raise InvalidInputError("a rating scale has either edges or quantiles", field="grades", rule="either")
        values = [bound(edge) or 0.0 for edge in self.edges or ()]
        if values != sorted(set(values)) or (self.edges is not None and not values):
            raise InvalidInputError("the edges of a rating scale ascend", field="grades", rule="order")
        if self.quantiles is not None and not 2 <= self.quantiles <= 100:
            raise InvalidInputError("a rating scale has 2 to 100 quantiles", field="grades", rule="range")


class Fairness(Part, frozen=True, kw_only=True):
    """How groups are compared.

    Attributes:
        min_group: smaller groups are suppressed.
        max_groups: an attribute with more values needs bands first.
        favourable: `first`: the decision below the lowest cut-off is the favourable one (PD: the best risks).
        min_outcomes: least defaulters, and least others, of a group whose error rates are told.
        loss_of_auc: what a less discriminatory alternative may cost in area under the curve.
        loss_of_profit: and in profit, as a share of the present one.
        search_rows: rows at most in the search for proxies and alternatives, which take most of the section's time.
    """

    min_group: int
    max_groups: int
    favourable: Literal["first"]
    min_outcomes: int | msgspec.UnsetType = msgspec.UNSET
    loss_of_auc: str | msgspec.UnsetType = msgspec.UNSET
    loss_of_profit: str | msgspec.UnsetType = msgspec.UNSET
    search_rows: int | msgspec.UnsetType = msgspec.UNSET

    @property
    def most_searched(self) -> int:
        """`search_rows`; policies from before it have 20,000."""
        return 20_000 if isinstance(self.search_rows, msgspec.UnsetType) else self.search_rows

    @property
    def least_outcomes(self) -> int:
        """`min_outcomes`; policies from before it have 25."""
        return 25 if isinstance(self.min_outcomes, msgspec.UnsetType) else self.min_outcomes

    @property
    def accepted_losses(self) -> tuple[float, float]:
        """Of area and of profit; policies from before them have 0.01 and 0.05."""
        area = "0.01" if isinstance(self.loss_of_auc, msgspec.UnsetType) else self.loss_of_auc
        profit = "0.05" if isinstance(self.loss_of_profit, msgspec.UnsetType) else self.loss_of_profit
        return bound(area) or 0.0, bound(profit) or 0.0

    def __post_init__(self) -> None:
        if self.min_group < 2 or self.max_groups < 2 or self.least_outcomes < 2:
            raise InvalidInputError("a group that is told has two rows or more", field="fairness", rule="range")
        if not 100 <= self.most_searched <= 1_000_000:
            raise InvalidInputError("a search takes 100 to 1,000,000 rows", field="fairness", rule="range")
        if not all(0.0 <= loss <= 1.0 for loss in self.accepted_losses):
            raise InvalidInputError("an accepted loss lies between 0 and 1", field="fairness", rule="range")


class StressTerms(Part, frozen=True, kw_only=True):
    """How the stress scenarios of contracts are put to models.

    Attributes:
        severities: multiples of the contract's sizes, ascending, 1 among them.
        required: names of scenarios that each contract must size; left out, none.
    """

    severities: tuple[str, ...]
    required: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET

    @property
    def levels(self) -> tuple[float, ...]:
        """The severities as numbers."""
        return tuple(bound(text) or 0.0 for text in self.severities)

    @property
    def asked(self) -> tuple[str, ...]:
        """Names that a contract must size."""
        return () if isinstance(self.required, msgspec.UnsetType) else self.required

    def __post_init__(self) -> None:
        levels = self.levels
        if not 1 <= len(levels) <= 10 or list(levels) != sorted(set(levels)) or levels[0] <= 0.0 or 1.0 not in levels:
            raise InvalidInputError(
                "1 to 10 severities ascend from above 0, 1 among them", field="stress", rule="order"
            )
        if levels[-1] > 100.0 or len(set(self.asked)) != len(self.asked) or len(self.asked) > 10:
            raise InvalidInputError(
                "a severity is at most 100, and at most 10 scenarios are asked for, each once", field="stress",
                rule="range",
            )  # fmt: skip


DEFAULT_STRESS: Final = StressTerms(severities=("0.5", "1", "2"))
"""Where the policy says nothing of stress."""


class Drift(Part, frozen=True, kw_only=True):
    """The monitors that a release takes along: bins of the reference sample, alert level, least rows to judge."""

    bins: int
    alert: str
    min_rows: int


class Scenario(Part, frozen=True, kw_only=True):
    """One state of the economy: a standard normal number, below 0 for bad times, and its weight."""

    state: str
    weight: str


class FraudTerms(Part, frozen=True, kw_only=True):
    """What alarms cost the house, and how they are looked at.

    Attributes:
        false_alarm: cost of an alarm on a genuine transaction, in the unit of the amounts; a missed fraud costs its
            amount.
        alarm_share: share of all transactions that people can look at.
        windows: so many stretches of equal time are compared.
        least_frauds: windows with fewer are shown and not compared.
    """

    false_alarm: str
    alarm_share: str
    windows: int
    least_frauds: int

    def __post_init__(self) -> None:
        if (bound(self.false_alarm) or 0.0) < 0.0 or not 0.0 < (bound(self.alarm_share) or 0.0) <= 1.0:
            raise InvalidInputError("a false alarm costs 0 or more, and a share lies above 0", field="fraud")
        if not 2 <= self.windows <= 100 or self.least_frauds < 1:
            raise InvalidInputError("2 to 100 windows are compared, by 1 fraud or more", field="fraud", rule="range")


class OutcomeWatch(Part, frozen=True, kw_only=True):
    """How realised amounts of a kind whose outcomes are numbers are watched, once they come in.

    Attributes:
        kind: of the models; `lgd`, `ead` or `forecast`.
        window_days: length of a window, by the time of the decision.
        windows: how many are shown, the newest of which raises alerts.
        min_rows: a window with fewer is shown and raises none.
        limits: by figure, decimal strings in the figure's unit: `bias` (its size), `mae`, `wape`, `pinball` and
            `coverage` (distance from the promise) not above it, `gauc` not below it. A figure without a limit is shown.
    """

    kind: str
    window_days: int
    windows: int
    min_rows: int
    limits: dict[str, str]

    def __post_init__(self) -> None:
        allowed = WATCHED.get(self.kind)
        if allowed is None:
            raise InvalidInputError(
                f"realised amounts are watched of {', '.join(sorted(WATCHED))}", field="outcomes", rule="kind"
            )
        if unknown := sorted(set(self.limits) - set(allowed)):
            raise InvalidInputError(
                f"kind `{self.kind}` has no figure `{unknown[0][:40]}`; it has {', '.join(allowed)}",
                field="outcomes", rule="figure",
            )  # fmt: skip
        if any((bound(limit) or 0.0) < 0.0 for limit in self.limits.values()):
            raise InvalidInputError("a limit is 0 or more", field="outcomes", rule="range")
        if not (1 <= self.window_days <= 3660 and 1 <= self.windows <= 120 and self.min_rows >= 2):
            raise InvalidInputError(
                "1 to 120 windows of 1 to 3660 days are watched, by 2 rows or more", field="outcomes", rule="range"
            )


WATCHED: Final[Mapping[str, tuple[str, ...]]] = {
    "lgd": ("bias", "mae", "gauc"),
    "ead": ("bias", "mae", "gauc"),
    "forecast": ("bias", "wape", "pinball", "coverage"),
}
"""Figures of realised amounts, by kind."""


class RobustnessStudy(Part, frozen=True, kw_only=True):
    """How large the robustness tests are; without it they are not run.

    Attributes:
        seed: of all random draws.
        rows: of the validation sample that are stressed.
        noise: standard deviation of the noise, as a share of each feature's own spread.
        near: distance from a cut-off, in score units, within which a row is near it.
        missing: share of values that are taken away where the contract lets them be missing.
        attacked: applicants whose smallest change is sought.
        steps: of one search for a proof; what is not proven by then stays open.
        calls: scores that an attack without proof may ask for, per applicant.
        answers: sizes of the thief's sample, ascending.
    """

    seed: int
    rows: int
    noise: str
    near: str
    missing: str
    attacked: int
    steps: int
    calls: int
    answers: tuple[int, ...]

    def __post_init__(self) -> None:
        shares = [bound(text) or 0.0 for text in (self.noise, self.near, self.missing)]
        if not all(0 < share <= 1 for share in shares):
            raise InvalidInputError("noise, near and missing are above 0 and at most 1", field="robustness")
        sizes = (self.rows, self.attacked, self.steps, self.calls, *self.answers)
        if not self.answers or list(self.answers) != sorted(set(self.answers)) or min(sizes) < 10:
            raise InvalidInputError("the sizes of `robustness` are at least 10, and answers ascend", field="robustness")
        if max(self.rows, *self.answers) > 1_000_000 or max(self.attacked, self.calls, self.steps) > 100_000:
            raise InvalidInputError("the sizes of `robustness` are too large", field="robustness", rule="range")
