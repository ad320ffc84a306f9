"""What a model says under named shocks of its inputs: where the mean goes, and who crosses a line.

The shocks are those of the contract, in its units; values stay within its bounds, since beyond them nobody is answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from strongroom.registry.contract import InputContract, bound
from strongroom.registry.stress import moved
from strongroom.validation.results import NotEvaluable
from strongroom.validation.statistics.stress import within
from strongroom.validation.statistics.tables import Rows

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Step:
    """The model's answers at one severity.

    Attributes:
        severity: multiple of the shocks as they are named; 0 is the sample as it is.
        mean: answer.
        crossed: share of rows above a line that they were not above at 0, for each set of lines.
        fell: share of rows whose answer is below that at the severity before.
        held: share of the moved values that a bound of the contract held.
    """

    severity: float
    mean: float
    crossed: tuple[float, ...]
    fell: float
    held: float


def shocked(rows: Rows, contract: InputContract, shocks: Mapping[str, str], severity: float) -> tuple[Rows, float]:
    """Rows under the shocks of a scenario, and the share of moved values that a bound held.

    Missing values stay missing; whole numbers are rounded.

    Args:
        rows: shape [rows, features].
        contract: of the input.
        shocks: size by feature, as `[stress]` has it.
        severity: multiple of the sizes, not below 0.
    """
    made = rows.astype(np.float64)
    held, values = 0, 0
    for place, feature in enumerate(contract.features):
        if feature.name not in shocks:
            continue
        factor, summand = moved(shocks[feature.name], severity)
        column = made[:, place] * factor + summand
        if feature.type == "integer":
            column = np.rint(column)
        inside = within(column, bound(feature.minimum), bound(feature.maximum))
        # float32 rounds: what only that moved was not held
        held += int((inside.astype(np.float32) != column.astype(np.float32))[np.isfinite(column)].sum())
        values += int(np.isfinite(column).sum())
        made[:, place] = inside
    return made.astype(np.float32), held / values if values else 0.0


def steps(
    answers: Sequence[Floats], severities: Sequence[float], held: Sequence[float], lines: Sequence[Sequence[float]]
) -> tuple[Step, ...] | NotEvaluable:
    """What the answers at each severity say.

    Args:
        answers: at severity 0 first, then as `severities`; shape [rows] each.
        severities: ascending from 0.
        held: share of values held, as `severities`.
        lines: sets of ascending lines; an answer on a line is not above it.

    Returns:
        One step for each severity; not evaluable where an answer is not finite.
    """
    if not answers or not answers[0].size:
        return NotEvaluable("the sample is empty")
    if not all(np.isfinite(one).all() for one in answers):
        return NotEvaluable("the model gives no finite score for some rows")
    places = [[np.searchsorted(np.asarray(edges), one, side="left") for one in answers] for edges in lines]
    found = []
    for place, (severity, one) in enumerate(zip(severities, answers, strict=True)):
        crossed = tuple(float((classes[place] > classes[0]).mean()) for classes in places)
        fell = float((one < answers[max(place - 1, 0)]).mean())
        found.append(Step(severity, float(one.mean()), crossed, fell, held[place]))
    return tuple(found)


def falls(made: Sequence[Step]) -> int:
    """Steps at which the mean is lower than one severity before, by more than float32 rounds."""
    pairs = pairwise(made)
    return sum(later.mean < before.mean - 1e-6 * max(abs(before.mean), abs(later.mean)) for before, later in pairs)
