"""The fairness part of every battery whose models decide, in the order that keeps protected attributes from the model.

The model is asked all that it will be asked before the protected sample is opened. From then on only figures are made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sklearn

from strongroom.validation.alternatives import mute
from strongroom.validation.equity import group_tests
from strongroom.validation.equity_search import alternative_tests, crossing_tests, proxy_tests
from strongroom.validation.examination import Examination
from strongroom.validation.protected_groups import gather
from strongroom.validation.results import AirRow, Chart, Table, TestResult
from strongroom.validation.scored import Scored


@dataclass(frozen=True, slots=True)
class Fair:
    """What was found.

    Attributes:
        tests: not yet judged.
        air: table of adverse impact ratios.
        tables, charts: of the report's section.
        tools: versions of what computed.
    """

    tests: tuple[TestResult, ...]
    air: tuple[AirRow, ...]
    tables: tuple[Table, ...]
    charts: tuple[Chart, ...]
    tools: Mapping[str, str]


def examine(job: Examination, reference: Scored, validation: Scored) -> Fair:
    """All fairness tests of a model with an event as outcome and a decision.

    Raises:
        InvalidInputError: the protected sample is not one, or has other rows than the sample it belongs to.
    """
    sample = job.protected_sample(reference, validation)
    muted = mute(job.predict, sample.rows, job.policy.fairness.most_searched)
    people = gather(sample, job.groups(sample), job.contract, job.policy.fairness, job.level)
    names = [feature.name for feature in job.contract.input.features]
    tests, air, tables = group_tests(people)
    crossed, crossings = crossing_tests(people)
    known, carriers = proxy_tests(people, names)
    other, ways, charts = alternative_tests(people, muted, names)
    return Fair(
        (*tests, *crossed, *known, *other), air, (*tables, *crossings, *carriers, *ways), charts,
        {"scikit-learn": sklearn.__version__},
    )  # fmt: skip
