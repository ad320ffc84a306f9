"""The battery for estimates of losses and exposures: from scores and outcomes to results."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from strongroom.registry.contract import ModelContract
from strongroom.validation.batteries.scored import Scored
from strongroom.validation.catalogue import Basis, answer
from strongroom.validation.results import (
    BUCKETS_TITLE,
    MEANS_TITLE,
    Chart,
    Column,
    NotEvaluable,
    Series,
    Table,
    TestResult,
    decimal,
)
from strongroom.validation.statistics import losses, ordering
from strongroom.validation.statistics.bins import quantile_edges
from strongroom.validation.statistics.calibration import holm

Floats = npt.NDArray[np.float64]
BUCKETS = 7
HISTOGRAM_BINS = 30
NAMES = {"lgd": "LGD", "elbe": "ELBE", "lgd-in-default": "LGD in default", "ccf": "CCF"}


def order_tests(development: Scored, validation: Scored, level: float) -> list[TestResult]:
    """Generalised AUC and its change since development, Somers' D, explained variance."""
    basis = validation.basis
    now, then = (ordering.gauc(s.outcome, s.estimate) for s in (validation, development))
    found = []
    if isinstance(now, NotEvaluable):
        found.append(answer("discrimination.gauc", now, "", basis))
    else:
        sentence = (
            "Of two cases whose outcomes lie in different segments, the one with the higher estimate had the higher "
            f"outcome {now.value:.1%} of the time, ties counted half."
        )
        details = [("Somers' D by segment", now.somers_d), ("standard error", now.error)]
        found.append(
            answer("discrimination.gauc", now.value, sentence, basis, interval=now.interval(level), details=details)
        )
    if isinstance(now, NotEvaluable) or isinstance(then, NotEvaluable):
        missing = now if isinstance(now, NotEvaluable) else NotEvaluable(f"development: {_reason(then)}")
        found.append(answer("discrimination.gauc-change", missing, "", basis))
    else:
        change = ordering.gauc_change(then.value, now)
        found.append(
            answer(
                "discrimination.gauc-change",
                then.value - now.value,
                f"The generalised AUC was {then.value:.3f} on the development sample and is {now.value:.3f} on the "
                "validation sample.",
                basis,
                p_value=None if isinstance(change, NotEvaluable) else change.p_value,
                details=[("development gAUC", then.value)],
            )
        )
    by_row = ordering.somers_d(validation.outcome, validation.estimate)
    sentence = "Concordant less discordant pairs, over all pairs of rows whose outcomes differ."
    found.append(answer("discrimination.somers-d", by_row, sentence, basis))
    explained = losses.r_squared(validation.outcome, validation.estimate)
    sentence = "How much of the outcomes' variance the estimates explain; the mean outcome alone explains 0."
    return [*found, answer("discrimination.r-squared", explained, sentence, basis)]


def height_tests(
    development: Scored, validation: Scored, contract: ModelContract, level: float
) -> tuple[list[TestResult], tuple[Table, ...], tuple[Chart, ...]]:
    """Are the estimates as high as what came: on the whole, by bucket, in the downturn."""
    basis, came, told = validation.basis, validation.outcome, validation.estimate
    parameter = parameter_of(contract)
    name = NAMES[parameter]
    whole = losses.t_test(came, told, level)
    if isinstance(whole, NotEvaluable):
        found = [answer("calibration.t-test", whole, "", basis, suffix=parameter)]
    else:
        before = _learnt(development)
        then = "" if before is None else f"; in development {before:.3f} was realised"
        sentence = (
            f"Realised {name} is {float(came.mean()):.3f} on average, estimated {float(told.mean()):.3f}{then}. A "
            f"small p says that estimates were {'off' if parameter == 'elbe' else 'too low'} by more than chance."
        )
        details: list[tuple[str, float | int | str]] = [
            ("mean difference", whole.mean_difference), ("lower end", whole.interval[0]),
            ("upper end", whole.interval[1]), ("T", whole.statistic), ("degrees of freedom", whole.n - 1),
            *(() if before is None else (("realised mean in development", before),)),
        ]  # fmt: skip
        p = p_value_of(whole, parameter)
        found = [answer("calibration.t-test", p, sentence, basis, suffix=parameter, details=details)]
    parts = losses.buckets(came, told, bucket_edges(development.estimate), level)
    if isinstance(parts, NotEvaluable):
        found.append(answer("calibration.buckets", parts, "", basis))
        return [*found, _downturn(validation, contract)], (_means(development, validation, name),), ()
    tested = [(i, b.test) for i, b in enumerate(parts) if isinstance(b.test, losses.TTest)]
    if not tested:
        missing = NotEvaluable("no bucket has two rows that differ")
        found.append(answer("calibration.buckets", missing, "", basis))
    else:
        adjusted = holm([p_value_of(test, parameter) for _, test in tested])
        worst = min(range(len(adjusted)), key=lambda i: (adjusted[i], i))
        place, test = tested[worst]
        sentence = f"Of {len(tested)} buckets with a test, number {place + 1} is the worst."
        found.append(
            answer(
                "calibration.buckets", adjusted[worst], sentence, basis,
                details=[("bucket", place + 1), ("unadjusted p", p_value_of(test, parameter))],
            )
        )  # fmt: skip
    return (
        [*found, _downturn(validation, contract)],
        (_means(development, validation, name), _bucket_table(parts, parameter, name, level)),
        (_bucket_chart(parts, name, level, _learnt(development)), _histogram(came, told, name)),
    )


def amount_tests(realised: Floats, estimated: Floats, exposure: Floats, basis: Basis) -> list[TestResult]:
    """Loss shortfall and mean absolute deviation.

    Args:
        realised, estimated: shares of the exposure; or amounts, with an exposure of 1 for the shortfall's sake.
        exposure: amounts.
        basis: the sample.
    """
    short = losses.loss_shortfall(exposure, realised, estimated)
    sentence = ""
    if not isinstance(short, NotEvaluable):
        told, came = (math.fsum(exposure * side) for side in (estimated, realised))
        sentence = f"Estimates come to {told:,.0f} in total, realised amounts to {came:,.0f}."
    found = [answer("calibration.shortfall", short, sentence, basis)]
    away = losses.mean_absolute_deviation(exposure, realised, estimated)
    sentence = "How far estimate and outcome lie apart, weighted by exposure."
    return [*found, answer("calibration.mad", away, sentence, basis)]


def bounds_tests(validation: Scored) -> list[TestResult]:
    """Shares outside 0 to 1, and whether there are rows enough."""
    basis = validation.basis
    found = []
    for rule, values, who in (
        ("data.estimate-bounds", validation.estimate, "estimates"),
        ("data.outcome-bounds", validation.outcome, "outcomes, which are kept,"),
    ):
        out = losses.share_outside(values)
        if isinstance(out, NotEvaluable):
            found.append(answer(rule, out, "", basis))
            continue
        sentence = f"{out[0]:.2%} of the {who} lie below 0 and {out[1]:.2%} above 1."
        details = [("share below 0", out[0]), ("share above 1", out[1])]
        found.append(answer(rule, sum(out), sentence, basis, details=details))
    rows = int(validation.outcome.size)
    sentence = f"The tests of height stand on {rows:,} outcomes."
    return [*found, answer("data.observations", rows, sentence, basis)]


def bucket_edges(estimates: Floats) -> list[float]:
    """Inner edges of the buckets: every grade where there are few, else quantiles, of the development estimates."""
    finite = estimates[np.isfinite(estimates)]
    grades = np.unique(finite)
    if 0 < grades.size <= ordering.GRADES_LIMIT:
        return [float(edge) for edge in grades[:-1]]
    return [float(edge) for edge in quantile_edges(finite, BUCKETS)]


def means_table(
    title: str, samples: Sequence[tuple[str, Floats, Floats, Floats | None]], name: str, unit: str
) -> Table:
    """What came and what was estimated, on average, sample by sample.

    Args:
        title: of the table.
        samples: of each its role, realised and estimated values, shape [rows], and weights or None for none at all.
        name: what is estimated.
        unit: of it.
    """
    weighed = any(weight is not None for *_, weight in samples)
    heads = [("Sample", "text"), ("Rows", "count"), (f"Mean realised {name}", unit), (f"Mean estimated {name}", unit)]
    if weighed:
        heads += [("Realised by exposure", unit), ("Estimated by exposure", unit)]

    def mean(values: Floats, weight: Floats | None = None) -> str | None:
        there = values.size > 0 and bool(np.isfinite(values).all())
        return decimal(float(np.average(values, weights=weight))) if there else None

    rows = []
    for role, came, told, weight in samples:
        row = [role, str(came.size), mean(came), mean(told)]
        rows.append((*row, mean(came, weight), mean(told, weight)) if weighed else tuple(row))
    return Table(
        section="calibration",
        title=title,
        caption="The model learnt the height of its estimates from the development sample: where what came has moved "
        "away from there, the estimates were bound to miss it.",
        columns=tuple(Column(name=head, unit=of) for head, of in heads),
        rows=tuple(rows),
    )


def _learnt(development: Scored) -> float | None:
    """Mean outcome that the model learnt from; None without a row."""
    return float(development.outcome.mean()) if development.outcome.size else None


def _means(development: Scored, validation: Scored, name: str) -> Table:
    samples = [(s.basis.role, s.outcome, s.estimate, s.columns.get("exposure")) for s in (development, validation)]
    return means_table(MEANS_TITLE, samples, name, "share")


def _downturn(validation: Scored, contract: ModelContract) -> TestResult:
    rule, marks = "calibration.downturn", validation.columns.get("downturn")
    if marks is None:
        return answer(rule, NotEvaluable("the contract names no downturn column"), "", validation.basis)
    mine = marks == 1.0
    add_on = contract.downturn_add_on
    basis = Basis(validation.basis.role, validation.basis.sha256, int(mine.sum()))
    came, told = validation.outcome[mine], validation.estimate[mine] + add_on
    test = losses.t_test(came, told)
    if isinstance(test, NotEvaluable):
        return answer(rule, NotEvaluable(f"downturn period: {test.reason}"), "", basis)
    sentence = (
        f"In the downturn period {float(came.mean()):.3f} was realised on average, against a downturn estimate of "
        f"{float(told.mean()):.3f}."
    )
    details = [("mean difference", test.mean_difference), ("add-on", add_on), ("T", test.statistic)]
    return answer(rule, test.upper, sentence, basis, details=details)


def _bucket_table(parts: Sequence[losses.Bucket], parameter: str, name: str, level: float) -> Table:
    rows = []
    for number, part in enumerate(parts, 1):
        test = part.test if isinstance(part.test, losses.TTest) else None
        ends = (None, None) if test is None or part.estimated is None else test.interval
        rows.append(
            (
                str(number),
                None if part.upper is None else decimal(part.upper),
                decimal(part.n),
                None if part.estimated is None else decimal(part.estimated),
                None if part.realised is None else decimal(part.realised),
                *(None if end is None else decimal(end + (part.estimated or 0.0)) for end in ends),
                None if test is None else decimal(p_value_of(test, parameter)),
            )
        )
    heads = (
        ("Bucket", "text"), ("Estimate up to", "share"), ("Rows", "count"), (f"Mean estimated {name}", "share"),
        (f"Mean realised {name}", "share"), (f"{level:.0%} from", "share"), ("to", "share"), ("p-value", "p-value"),
    )  # fmt: skip
    return Table(
        section="calibration",
        title=BUCKETS_TITLE,
        caption="Edges are those of the development sample; intervals are of the realised mean; p not adjusted.",
        columns=tuple(Column(name=head, unit=unit) for head, unit in heads),
        rows=tuple(rows),
    )


def _bucket_chart(parts: Sequence[losses.Bucket], name: str, level: float, before: float | None) -> Chart:
    filled = [(i, b) for i, b in enumerate(parts, 1) if b.estimated is not None and b.realised is not None]
    came, low, high = [], [], []
    for number, part in filled:
        realised, estimated = part.realised or 0.0, part.estimated or 0.0
        ends = (realised, realised)
        if isinstance(part.test, losses.TTest):
            ends = (part.test.interval[0] + estimated, part.test.interval[1] + estimated)
        came.append((decimal(number), decimal(realised)))
        low.append(decimal(ends[0]))
        high.append(decimal(ends[1]))
    told = tuple((decimal(number), decimal(part.estimated or 0.0)) for number, part in filled)
    return Chart(
        section="calibration",
        title="Calibration by bucket",
        words=f"For each bucket the mean realised {name} with its {level:.0%} interval, and the mean estimate. The "
        "dashed line is what was realised in development on average, over all buckets.",
        x="bucket (1 has the lowest estimates)",
        y=name,
        percent="y",
        series=(
            Series(
                name=f"realised, {level:.0%} interval", form="points", style="rate", points=tuple(came),
                low=tuple(low), high=tuple(high),
            ),
            Series(name="estimated", form="points", style="pd", points=told),
            *(
                Series(
                    name="realised in development", form="line", style="chance",
                    points=tuple((decimal(x), decimal(shown)) for x in (1.0, float(len(parts)))),
                )
                for shown in (before,) if shown is not None
            ),
        ),
    )  # fmt: skip


def _histogram(came: Floats, told: Floats, name: str) -> Chart:
    low, high = (float(edge) for edge in (min(came.min(), told.min()), max(came.max(), told.max())))
    high = high if high > low else low + 1.0
    edges = np.linspace(low, high, HISTOGRAM_BINS + 1)
    middle = (edges[1:] + edges[:-1]) / 2.0

    def shares(values: Floats) -> tuple[tuple[str, str], ...]:
        counts = np.histogram(values, edges)[0] / values.size
        return tuple((decimal(x), decimal(y)) for x, y in zip(middle, counts, strict=True))

    return Chart(
        section="calibration",
        title="Realised and estimated",
        words=f"Share of the cases by {name}: what came, and what was estimated.",
        x=name,
        y="share of the cases",
        percent="xy",
        series=(
            Series(name="realised", form="bars", style="others", points=shares(came)),
            Series(name="estimated", form="bars", style="defaults", points=shares(told)),
        ),
    )


def parameter_of(contract: ModelContract) -> str:
    told = contract.outcome
    return str(getattr(told, "parameter", "lgd"))


def p_value_of(test: losses.TTest, parameter: str) -> float:
    return test.two_sided if parameter == "elbe" else test.upper


def _reason(found: object) -> str:
    return found.reason if isinstance(found, NotEvaluable) else ""
