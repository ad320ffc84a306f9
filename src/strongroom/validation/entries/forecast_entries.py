"""The catalogue's tests for forecasts: errors, quantiles, naive competitors, what was known when."""

from __future__ import annotations

from typing import Final

from strongroom.validation.entries.entry import OUTPUT, Entry

_NONE: Final = "a forecast that is not finite: not evaluable"

FORECAST_ENTRIES: Final = (
    Entry(
        rule="accuracy.mase",
        title="Mean absolute scaled error",
        section="accuracy",
        unit="ratio",
        better="lower",
        formula="mean absolute error of the median over rolling origins, over the mean absolute error of the seasonal "
        "naive forecast inside the series known at the first origin; RMSSE beside it",
        source="Hyndman and Koehler 2006",
        edge_cases=f"{_NONE}; a known series no longer than a season, or without a move: not evaluable",
    ),
    Entry(
        rule="accuracy.wape",
        title="Weighted absolute percentage error",
        section="accuracy",
        unit="share",
        better="lower",
        formula="sum of absolute errors of the median over the sum of absolute values",
        source="Kolassa and Schuetz 2007",
        edge_cases=f"{_NONE}; every value 0: not evaluable",
    ),
    Entry(
        rule="accuracy.bias",
        title="Bias of the median",
        section="accuracy",
        unit="share",
        better="lower",
        formula="sum of forecast less value over the sum of absolute values; above 0 says too high",
        source="house rule",
        edge_cases="as the weighted error",
    ),
    Entry(
        rule="accuracy.pinball",
        title="Mean quantile loss",
        section="accuracy",
        unit=OUTPUT,
        better="lower",
        formula="mean over quantiles and forecasts of q (y - f) above the forecast and (1 - q)(f - y) below it, in the "
        "unit of the output",
        source="Koenker and Bassett 1978",
        edge_cases=_NONE,
        in_output_unit=("forecast",),
    ),
    Entry(
        rule="accuracy.skill",
        title="Gain on the better naive forecast",
        section="accuracy",
        unit="share",
        better="higher",
        formula="1 less the mean absolute error of the median over that of the naive or the seasonal naive forecast, "
        "whichever is less, from the same origins",
        source="house rule",
        edge_cases=f"{_NONE}; no naive forecast within the samples, or one without an error: not evaluable",
    ),
    Entry(
        rule="accuracy.dm-naive",
        title="Diebold-Mariano test against the naive forecast",
        section="accuracy",
        unit="p-value",
        better="lower",
        formula="for each horizon h: mean difference of absolute errors over its long-run standard deviation with the "
        "autocovariances up to h - 1, corrected for small samples, Student's t with n - 1; one-sided, small when the "
        "model loses less",
        source="Diebold and Mariano 1995; Harvey, Leybourne and Newbold 1997",
        edge_cases="origins not one period apart, too few of them, equal losses, or a variance that is not positive: "
        "not evaluable",
    ),
    Entry(
        rule="accuracy.dm-seasonal",
        title="Diebold-Mariano test against the seasonal naive forecast",
        section="accuracy",
        unit="p-value",
        better="lower",
        formula="the same against the latest known value of the same season",
        source="Diebold and Mariano 1995; Harvey, Leybourne and Newbold 1997",
        edge_cases="as for the naive forecast",
    ),
    Entry(
        rule="coverage.kupiec",
        title="Unconditional coverage, worst horizon",
        section="coverage",
        unit="p-value",
        better="higher",
        formula="likelihood ratio of the share of values outside the interval from the lowest to the highest quantile "
        "against what it promises, chi-square with 1 degree of freedom; smallest p over the horizons after Holm's "
        "adjustment",
        source="Kupiec 1995; Holm 1979",
        edge_cases="the median alone: not evaluable; no value outside, or all: works (0 log 0 is 0); values outside at "
        "overlapping horizons are not independent, so p is too small",
    ),
    Entry(
        rule="coverage.interval",
        title="Share of values in the widest interval",
        section="coverage",
        unit="share",
        better="higher",
        formula="share of values between the lowest and the highest quantile, ends included",
        source="house rule",
        edge_cases="the median alone: not evaluable",
    ),
    Entry(
        rule="coverage.winkler",
        title="Interval score",
        section="coverage",
        unit=OUTPUT,
        better="lower",
        formula="mean width of the interval, plus 2 / (1 - coverage) times the distance of values outside, in the unit "
        "of the output",
        source="Winkler 1972; Gneiting and Raftery 2007",
        edge_cases="the median alone, or ends that cross: not evaluable",
        in_output_unit=("forecast",),
    ),
    Entry(
        rule="coverage.crossing",
        title="Quantiles out of order",
        section="coverage",
        unit="count",
        better="lower",
        formula="forecasts (origin and horizon) in which a higher quantile lies below a lower one",
        source="house rule",
        edge_cases=_NONE,
    ),
    Entry(
        rule="data.look-ahead",
        title="Development outcomes after the first origin",
        section="data",
        unit="count",
        better="lower",
        formula="development rows whose outcome belongs to a period after the first origin of the back-test",
        source="Tashman 2000; house rule",
        edge_cases="none",
    ),
    Entry(
        rule="data.origins",
        title="Origins of the back-test",
        section="data",
        unit="count",
        better="higher",
        formula="number of different origins in the validation sample",
        source="house rule",
        edge_cases="none",
    ),
    Entry(
        rule="data.foresight",
        title="Feature that knows the future",
        section="data",
        unit="strength",
        better="lower",
        formula="largest absolute rank correlation, at one horizon, of a feature and the outcome, both less what a "
        "least-squares line gives from the last value, the value a season before the target, and the value a season "
        "before the origin",
        source="Yule 1907 (partial correlation); Spearman 1904; house rule against leaks of time",
        edge_cases="horizon and quantile are no candidates; fewer than 20 forecasts with those values at every "
        "horizon, or no feature with anything of its own: not evaluable; a leak spread over features is not seen",
    ),
    Entry(
        rule="sensitivity.weak-periods",
        title="Weakest horizon, season or stretch of time",
        section="sensitivity",
        unit="share",
        better="higher",
        formula="1 less the mean absolute error of the median over that of the better of two naive forecasts, by "
        "horizon, by place in the season and by third of the origins; the lowest is judged; sign test over targets "
        "with Holm's adjustment",
        source="Arbuthnott 1710 and Conover 1999 (sign test); Holm 1979; the segments are house policy",
        edge_cases="segments with fewer than 6 forecasts, or whose naive forecasts have no error, are left out; none "
        "left: not evaluable; neighbouring targets hang together, so p is too small",
    ),
)
