"""The fairness part of the batteries, in the order that keeps protected attributes from the model.

The model is asked all that it will be asked before the protected sample is opened. From then on only figures are made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import sklearn

from strongroom.validation.batteries import traffic
from strongroom.validation.batteries.equity import group_tests
from strongroom.validation.batteries.equity_alarms import alarm_tests
from strongroom.validation.batteries.equity_crossings import crossed_alarms, crossed_residuals
from strongroom.validation.batteries.equity_numbers import number_tests
from strongroom.validation.batteries.equity_search import (
    alternative_tests,
    crossing_tests,
    known_proxies,
    proxy_tests,
)
from strongroom.validation.batteries.examination import Examination
from strongroom.validation.batteries.protected_groups import People, gather
from strongroom.validation.batteries.scored import Scored
from strongroom.validation.catalogue import Basis
from strongroom.validation.results import AirRow, Chart, NotEvaluable, Table, TestResult
from strongroom.validation.statistics.alternatives import mute
from strongroom.validation.statistics.proxies import Proxies


@dataclass(frozen=True, slots=True)
class Fair:
    """What was found.

    Attributes:
        tests: not yet judged.
        air: table of adverse impact ratios.
        tables, charts: of the report's section.
        tools: versions of what computed.
        known: what the features know of each protected attribute, or why that is not known.
        basis: the protected sample.
    """

    tests: tuple[TestResult, ...]
    air: tuple[AirRow, ...]
    tables: tuple[Table, ...]
    charts: tuple[Chart, ...]
    tools: Mapping[str, str]
    known: Mapping[str, Proxies | NotEvaluable]
    basis: Basis


def examine_estimates(
    job: Examination,
    reference: Scored,
    validation: Scored,
    usable: Callable[[Scored], npt.NDArray[np.bool_]] | None = None,
) -> Fair:
    """The fairness tests of a model that estimates a number and decides nothing.

    Args:
        job: the examination; the model is asked nothing here.
        reference, validation: samples.
        usable: which rows of a sample the tests are about; left out: all.

    Raises:
        InvalidInputError: the protected sample is not one, or has other rows than the sample it belongs to.
    """
    whole = job.protected_sample(reference, validation)
    groups = job.groups(whole)
    kept = np.ones(len(whole.rows), dtype=np.bool_) if usable is None else usable(whole)
    labels = {name: [label for label, good in zip(all_, kept, strict=True) if good] for name, all_ in groups.items()}
    people = gather(whole.at(kept), labels, job.contract, job.policy.fairness, job.level)
    tests, tables = number_tests(people, job.contract.output.unit)
    crossed, cells = crossed_residuals(people, job.contract.output.unit)
    found = known_proxies(people)
    known, carriers = proxy_tests(people, [feature.name for feature in job.contract.input.features], found)
    tools = {"scikit-learn": sklearn.__version__}
    return Fair((*tests, *crossed, *known), (), (*tables, *cells, *carriers), (), tools, found, people.basis)


def examine(job: Examination, reference: Scored, validation: Scored) -> Fair:
    """All fairness tests of a model with an event as outcome and a decision.

    Alternatives are searched for where the favourable decision is the one that is sought (kind `pd`). An alarm is no
    refusal, and what its threshold costs is asked elsewhere.

    Raises:
        InvalidInputError: the protected sample is not one, or has other rows than the sample it belongs to.
    """
    whole = job.protected_sample(reference, validation)
    limits, sought = job.policy.fairness, job.contract.kind == "pd"
    muted = mute(job.predict, whole.rows, limits.most_searched) if sought else None
    groups = job.groups(whole)

    def some(places: traffic.Places) -> People:
        kept = {name: [labels[i] for i in places] for name, labels in groups.items()}
        return gather(whole.at(places), kept, job.contract, limits, job.level)

    people = some(traffic.even(whole))
    classes = people if "weight" not in whole.columns else some(traffic.even_by_class(whole))
    names = [feature.name for feature in job.contract.input.features]
    tests, air, tables = group_tests(people, classes)
    crossed, crossings = crossing_tests(people)
    told = known_proxies(people)
    known, carriers = proxy_tests(people, names, told)
    found, more = [*tests, *crossed, *known], (*tables, *crossings, *carriers)
    charts: tuple[Chart, ...] = ()
    if muted is None:
        where, cells = crossed_alarms(classes)
        found, more = [*found, *alarm_tests(classes), *where], (*more, *cells)
    else:
        other, ways, charts = alternative_tests(people, muted, names)
        found, more = [*found, *other], (*more, *ways)
    return Fair(tuple(found), air, more, charts, {"scikit-learn": sklearn.__version__}, told, people.basis)
