"""The kinds of model that a bank has: what each puts out, what its outcome column holds, whether it decides.

One line of this table is a kind's contract with everything outside validation; how a kind is validated stands beside
its battery, in `strongroom.validation.kinds`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from strongroom.errors import InvalidInputError

Kind = Literal["pd", "lgd", "ead", "fraud", "forecast"]
OutcomeType = Literal["event", "number"]
Parameter = Literal["lgd", "elbe", "lgd-in-default", "ccf"]

UNDECIDED: Final = "estimate"
"""What stands where a decision would, in releases of kinds that decide nothing: an estimate was given, no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KindContract:
    """What every model of a kind promises.

    Attributes:
        title: for people.
        units: that the output may have; empty where any will do.
        outcome: what the outcome column holds: `event` (0 or 1) or `number` (any finite number).
        decides: whether the contract has cut-offs. A kind that decides nothing must not have any.
        parameters: which regulatory parameters a model of the kind may estimate; empty where there is nothing to
            choose. The contract names one.
        columns: further columns that the samples must have, by their name in `[outcome]` of the contract.
        allowed_columns: further ones that they may have.
        optional_columns: further ones that a sample may lack although the contract names them, or hold with gaps; the
            tests that need them then say so.
        documented: whether the contract must define its outcome. Kinds that were there before `[outcome]` need not.
    """

    title: str
    units: tuple[str, ...]
    outcome: OutcomeType
    decides: bool
    parameters: tuple[Parameter, ...] = ()
    columns: tuple[str, ...] = ()
    allowed_columns: tuple[str, ...] = ()
    optional_columns: tuple[str, ...] = ()
    documented: bool = True


MOMENTS: Final = ("time", "outcome_time", "inputs_time")
"""Columns that tell when a row was observed, when its outcome came, and when its newest input became known."""

CONTRACTS: Final[Mapping[Kind, KindContract]] = {
    "pd": KindContract(
        title="probability of default",
        units=(),
        outcome="event",
        decides=True,
        optional_columns=(
            *("exposure", "year", "previous_grade", "grade", "champion"),
            *("period", "cohort", "stage", "booked_loss", "realised_loss"),
            *MOMENTS,
        ),
        documented=False,
    ),
    "lgd": KindContract(
        title="loss given default",
        units=("share of exposure",),
        outcome="number",
        decides=False,
        parameters=("lgd", "elbe", "lgd-in-default"),
        columns=("exposure",),
        allowed_columns=("downturn",),
        optional_columns=("months_in_default", *MOMENTS),
    ),
    "ead": KindContract(
        title="exposure at default",
        units=("credit conversion factor",),
        outcome="number",
        decides=False,
        parameters=("ccf",),
        columns=("limit", "drawn"),
        allowed_columns=("downturn",),
        optional_columns=MOMENTS,
    ),
    "fraud": KindContract(
        title="fraud",
        units=("score", "probability"),
        outcome="event",
        decides=True,
        columns=("amount", "time"),
        allowed_columns=("weight",),
    ),
    "forecast": KindContract(title="forecast", units=(), outcome="number", decides=False, columns=("origin",)),
}


class OutcomeDefinition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[outcome]` of `model.toml`: what the outcome column means. Numbers are decimal strings.

    Attributes:
        meaning: in words: which event, or which amount over which; costs, discounting, cures and open cases included.
        window: when it is observed, for example `until the workout ends, at most 36 months after default`.
        minimum, maximum: an outcome outside is an error of the data, and the battery refuses the sample. Left out
            where any number is possible: losses below 0 and above 1 are real.
        parameter: which regulatory parameter is estimated.
        exposure: column with the exposure at default, above 0 (LGD); with the exposure, for concentration (PD).
        limit, drawn: columns with the limit, and what of it was drawn at the reference date (EAD); drawn may be
            below 0, or above the limit.
        downturn: column with 1 for outcomes of the downturn period and 0 for others.
        amount: column with what a fraud costs when it is missed, 0 or more.
        time: column with when it happened (fraud) or was observed (PD, LGD, EAD: the date of the score or estimate), a
            number in any unit that rises.
        outcome_time: column with when the outcome came, in the unit of `time`; missing where none did: the default (PD,
            EAD), the end of the workout (LGD).
        inputs_time: column with when the newest input of the row became known, in the unit of `time` (PD, LGD, EAD).
        weight: column with how many transactions a row stands for, above 0, where frauds were drawn more often; left
            out: one each.
        origin: column with the number of the last period that was known when the forecast was made, a whole number.
        period: column with the period of life that the row is about, from 1 on: one row for each person and period (a
            lifetime PD).
        cohort: column with the number of the cohort, for example the year of origination (a lifetime PD).
        stage: column with the IFRS 9 stage at the reporting date before, 1 or 2 (PD).
        booked_loss: column with the expected credit loss that was booked at the reporting date before for the time that
            was observed since, an amount, 0 or more; on one row of each exposure, and 0 on its others (PD).
        realised_loss: column with the loss that came in that time, discounted to that date; below 0 for a gain (PD).
        months_in_default: column with the months since the default at the date of the estimate, 0 or more (ELBE and
            LGD in default).
        downturn_add_on: what is added to the model's output to give the downturn estimate; left out: nothing, the
            output is the downturn estimate itself.
        year: column with the year of the observation, a whole number (PD).
        previous_grade: column with the grade a year before, by the policy's scale from 1; missing where there was none.
        grade: column with the grade that the bank's own system gave, by the same scale.
        champion: column with the score of the model in use, rising with risk.
    """

    meaning: str
    window: str
    minimum: str | msgspec.UnsetType = msgspec.UNSET
    maximum: str | msgspec.UnsetType = msgspec.UNSET
    parameter: Parameter | msgspec.UnsetType = msgspec.UNSET
    exposure: str | msgspec.UnsetType = msgspec.UNSET
    limit: str | msgspec.UnsetType = msgspec.UNSET
    drawn: str | msgspec.UnsetType = msgspec.UNSET
    downturn: str | msgspec.UnsetType = msgspec.UNSET
    amount: str | msgspec.UnsetType = msgspec.UNSET
    time: str | msgspec.UnsetType = msgspec.UNSET
    weight: str | msgspec.UnsetType = msgspec.UNSET
    origin: str | msgspec.UnsetType = msgspec.UNSET
    period: str | msgspec.UnsetType = msgspec.UNSET
    cohort: str | msgspec.UnsetType = msgspec.UNSET
    stage: str | msgspec.UnsetType = msgspec.UNSET
    booked_loss: str | msgspec.UnsetType = msgspec.UNSET
    realised_loss: str | msgspec.UnsetType = msgspec.UNSET
    downturn_add_on: str | msgspec.UnsetType = msgspec.UNSET
    year: str | msgspec.UnsetType = msgspec.UNSET
    previous_grade: str | msgspec.UnsetType = msgspec.UNSET
    grade: str | msgspec.UnsetType = msgspec.UNSET
    champion: str | msgspec.UnsetType = msgspec.UNSET
    months_in_default: str | msgspec.UnsetType = msgspec.UNSET
    outcome_time: str | msgspec.UnsetType = msgspec.UNSET
    inputs_time: str | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        for name, text in (("meaning", self.meaning), ("window", self.window)):
            if not 0 < len(text.strip()) <= 1000:
                raise InvalidInputError(
                    f"outcome.{name} says in 1 to 1000 characters what the outcome is",
                    field=f"outcome.{name}", rule="documented",
                )  # fmt: skip
        if self.downturn_add_on is not msgspec.UNSET and self.downturn is msgspec.UNSET:
            raise InvalidInputError(
                "an add-on for the downturn needs the column that tells the downturn",
                field="outcome.downturn", rule="missing",
            )  # fmt: skip

    @property
    def columns(self) -> dict[str, str]:
        """Names of the further columns of the samples, by what they hold."""
        named = {name: getattr(self, name) for name in COLUMNS}
        return {name: column for name, column in named.items() if isinstance(column, str)}


COLUMNS: Final = (
    *("exposure", "limit", "drawn", "downturn", "year", "previous_grade", "grade", "champion"),
    *("amount", "time", "weight", "origin"),
    *("period", "cohort", "stage", "booked_loss", "realised_loss", "months_in_default"),
    *("outcome_time", "inputs_time"),
)


def check_outcome(kind: Kind, unit: str, outcome: OutcomeDefinition | msgspec.UnsetType) -> None:
    """Hold a contract's output and outcome against its kind.

    Raises:
        InvalidInputError: the outcome is not defined, or unit, parameter or columns are not those of the kind.
    """
    rules = CONTRACTS[kind]
    if rules.units and unit not in rules.units:
        raise InvalidInputError(
            f"the output of a model of kind `{kind}` has unit {_either(rules.units)}", field="output.unit", rule="kind"
        )
    if isinstance(outcome, msgspec.UnsetType):
        if rules.documented:
            raise InvalidInputError(
                f"a model of kind `{kind}` defines its outcome; add `[outcome]` with meaning and window",
                field="outcome", rule="missing",
            )  # fmt: skip
        return
    parameter = None if outcome.parameter is msgspec.UNSET else outcome.parameter
    if (parameter is None) != (not rules.parameters) or (parameter is not None and parameter not in rules.parameters):
        wanted = f"is {_either(rules.parameters)}" if rules.parameters else "is left out"
        raise InvalidInputError(
            f"for a model of kind `{kind}`, outcome.parameter {wanted}", field="outcome.parameter", rule="kind"
        )
    given = outcome.columns
    for name in rules.columns:
        if name not in given:
            raise InvalidInputError(
                f"a model of kind `{kind}` names the column `{name}` in [outcome]",
                field=f"outcome.{name}", rule="missing",
            )  # fmt: skip
    for name in given:
        if name not in rules.columns + rules.allowed_columns + rules.optional_columns:
            raise InvalidInputError(
                f"a model of kind `{kind}` has no use for outcome.{name}; leave it out",
                field=f"outcome.{name}", rule="kind",
            )  # fmt: skip
    if len(set(given.values())) != len(given):
        raise InvalidInputError("each column of [outcome] has one use", field="outcome", rule="unique")


def _either(words: tuple[str, ...]) -> str:
    return " or ".join(f"`{word}`" for word in words)
