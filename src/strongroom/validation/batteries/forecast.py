"""The battery for forecasts: a back-test over rolling origins of one model, against naive forecasts and promises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import numpy.typing as npt
from scipy import stats

from strongroom.errors import InvalidInputError
from strongroom.registry.contract import ModelContract
from strongroom.registry.series import MEDIAN, SeriesContract, allowed_of
from strongroom.validation.batteries import every_kind
from strongroom.validation.batteries.scored import Scored
from strongroom.validation.catalogue import Basis, answer
from strongroom.validation.results import NotEvaluable, TestResult
from strongroom.validation.statistics import calibration, forecasting
from strongroom.validation.statistics.walking import naive

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Known:
    """The series as the samples tell it; NaN where no row tells a period.

    Attributes:
        first: number of the first period.
        values: shape [periods].
    """

    first: int
    values: Floats

    def upto(self, period: int) -> Floats:
        """What is known at the end of a period."""
        return self.values[: max(0, period - self.first + 1)]


@dataclass(frozen=True, slots=True)
class Backtest:
    """Forecasts from each origin of the validation sample, in order of origin and horizon.

    Attributes:
        basis: the sample.
        origin, horizon: shape [forecasts].
        actual: what came, shape [forecasts].
        levels: quantiles in thousandths, ascending.
        quantiles: forecasts, shape [forecasts, levels].
        plain, seasonal: naive forecasts from the same origin, NaN where the series does not reach back.
    """

    basis: Basis
    origin: Whole
    horizon: Whole
    actual: Floats
    levels: tuple[int, ...]
    quantiles: Floats
    plain: Floats
    seasonal: Floats

    @property
    def median(self) -> Floats:
        """Shape [forecasts]."""
        found: Floats = self.quantiles[:, self.levels.index(MEDIAN)]
        return found

    @property
    def promised(self) -> float:
        """Coverage of the interval from the lowest to the highest quantile."""
        return (self.levels[-1] - self.levels[0]) / 1000.0


def series_of(contract: ModelContract) -> SeriesContract:
    """`[series]` of a forecast's contract, which always has it."""
    if isinstance(contract.series, msgspec.UnsetType):
        raise InvalidInputError("a forecast says of what in `[series]`", field="series", rule="missing")
    return contract.series


def known_series(samples: Mapping[str, Scored], contract: ModelContract) -> Known:
    """The series from the outcomes of the samples: the outcome of a row is the value of period origin + horizon.

    Raises:
        InvalidInputError: two rows tell different values of one period.
    """
    told: dict[int, float] = {}
    for role, sample in samples.items():
        target = (sample.columns["origin"] + _feature(sample, contract, series_of(contract).horizon)).astype(np.int64)
        for period, value in zip(target.tolist(), sample.outcome.tolist(), strict=True):
            if told.setdefault(period, value) != value:
                raise InvalidInputError(
                    f"the {role} sample gives period {period} another value than a row before; one series has one",
                    field=contract.samples.outcome, rule="series",
                )  # fmt: skip
    first = min(told)
    values = np.full(max(told) - first + 1, np.nan)
    for period, value in told.items():
        values[period - first] = value
    return Known(first, values)


def backtest(sample: Scored, known: Known, contract: ModelContract) -> Backtest:
    """Arrange the validation sample by origin and horizon.

    Raises:
        InvalidInputError: an origin and horizon without one row for each quantile of the contract.
    """
    series = series_of(contract)
    origin = sample.columns["origin"].astype(np.int64)
    horizon, level = (_feature(sample, contract, name).astype(np.int64) for name in (series.horizon, series.quantile))
    levels = allowed_of(contract.input.features, series.quantile)
    order = np.lexsort((level, horizon, origin))
    shape = (-1, len(levels))
    if len(order) % len(levels):
        raise _incomplete()
    blocks = [column[order].reshape(shape) for column in (origin, horizon, level)]
    if not (
        (blocks[0] == blocks[0][:, :1]).all()
        and (blocks[1] == blocks[1][:, :1]).all()
        and (blocks[2] == np.array(levels)).all()
    ):
        raise _incomplete()
    at, ahead = blocks[0][:, 0], blocks[1][:, 0]
    guesses = [
        np.array(
            [
                naive(known.values, int(o) - known.first, int(o + h) - known.first, m)
                for o, h in zip(at, ahead, strict=True)
            ]
        )
        for m in (1, series.season)
    ]
    return Backtest(
        basis=Basis(sample.basis.role, sample.basis.sha256, len(at)),
        origin=at, horizon=ahead, actual=sample.outcome[order].reshape(shape)[:, 0], levels=levels,
        quantiles=sample.estimate[order].reshape(shape), plain=guesses[0], seasonal=guesses[1],
    )  # fmt: skip


def accuracy_tests(found: Backtest, known: Known, contract: ModelContract) -> list[TestResult]:
    """Errors of the median against the scale of the series, and against naive forecasts from the same origins."""
    basis, season = found.basis, series_of(contract).season
    rules = ("mase", "wape", "bias", "pinball", "skill", "dm-naive", "dm-seasonal")
    if not np.isfinite(found.quantiles).all():
        return [answer(f"accuracy.{rule}", NotEvaluable("a forecast is not finite"), "", basis) for rule in rules]
    before, y, f = known.upto(int(found.origin.min())), found.actual, found.median
    scaled = forecasting.scaled_error(y, f, before, season)
    root = forecasting.scaled_root_error(y, f, before, season)
    details: list[tuple[str, float | int | str]] = [("season", season), ("periods before", len(before))]
    if not isinstance(root, NotEvaluable):
        details.append(("RMSSE", root))
    told = None if isinstance(scaled, NotEvaluable) else scaled
    sentence = (
        f"The error of the median is {told or 0.0:.2f} times what the {'seasonal ' if season > 1 else ''}naive "
        "forecast had inside the series before the first origin."
    )
    tests = [answer("accuracy.mase", scaled, sentence, basis, details=details)]
    share, lean = forecasting.weighted_error(y, f), forecasting.bias(y, f)
    sentence = "" if isinstance(share, NotEvaluable) else f"Errors sum to {share:.1%} of the actual values."
    tests.append(answer("accuracy.wape", share, sentence, basis))
    sentence = (
        "" if isinstance(lean, NotEvaluable) else f"Forecasts lie {abs(lean):.1%} too {'high' if lean > 0 else 'low'}."
    )
    tests.append(answer("accuracy.bias", lean, sentence, basis))
    losses = [forecasting.pinball(y, found.quantiles[:, i], q / 1000.0) for i, q in enumerate(found.levels)]
    parts = [loss for loss in losses if not isinstance(loss, NotEvaluable)]
    named: list[tuple[str, float | int | str]] = [
        (f"quantile {q / 1000:g}", loss) for q, loss in zip(found.levels, parts, strict=True)
    ]
    sentence = f"Mean quantile loss over {len(parts)} quantiles."
    tests.append(answer("accuracy.pinball", float(np.mean(parts)), sentence, basis, details=named))
    tests.append(_skill(found))
    for rule, guess, words in (
        ("accuracy.dm-naive", found.plain, "the last value"),
        ("accuracy.dm-seasonal", found.seasonal, "the season before"),
    ):
        tests += [_against(found, rule, guess, words, h) for h in sorted(set(found.horizon.tolist()))]
    return tests


def coverage_tests(found: Backtest) -> list[TestResult]:
    """Do values fall into the intervals as often as promised, and are quantiles in order?"""
    basis = found.basis
    if not np.isfinite(found.quantiles).all():
        reason = NotEvaluable("a forecast is not finite")
        return [answer(f"coverage.{rule}", reason, "", basis) for rule in ("kupiec", "interval", "winkler", "crossing")]
    crossed = int((np.diff(found.quantiles, axis=1) < 0.0).any(axis=1).sum())
    sentence = (
        f"In {crossed:,} forecasts a higher quantile lies below a lower one." if crossed else "Quantiles are in order."
    )
    order = answer("coverage.crossing", crossed, sentence, basis)
    if len(found.levels) < 2:
        reason = NotEvaluable("the contract has the median alone, so there is no interval")
        return [*(answer(f"coverage.{rule}", reason, "", basis) for rule in ("kupiec", "interval", "winkler")), order]
    low, high = found.quantiles[:, 0], found.quantiles[:, -1]
    rows = []
    for h in sorted(set(found.horizon.tolist())):
        at = found.horizon == h
        out = int(at.sum()) - forecasting.inside(found.actual[at], low[at], high[at])
        test = forecasting.kupiec(int(at.sum()), out, 1.0 - found.promised)
        if not isinstance(test, NotEvaluable):
            rows.append((h, out, int(at.sum()), test))
    adjusted = calibration.holm([test.p_value for *_, test in rows])
    worst = min(range(len(rows)), key=lambda i: (adjusted[i], i))
    h, out, n, test = rows[worst]
    sentence = (
        f"At horizon {h}, {out} of {n} values lie outside an interval that promises {found.promised:.0%}; it is the "
        f"worst of {len(rows)} horizons."
    )
    tests = [
        answer(
            "coverage.kupiec", adjusted[worst], sentence, basis,
            details=[("horizon", h), ("likelihood ratio", test.statistic), ("unadjusted p", test.p_value)],
        )
    ]  # fmt: skip
    share = forecasting.inside(found.actual, low, high) / len(found.actual)
    sentence = f"{share:.1%} of all values lie in their interval; {found.promised:.0%} were promised."
    tests.append(answer("coverage.interval", share, sentence, basis, details=[("promised", found.promised)]))
    score = forecasting.winkler(found.actual, low, high, found.promised)
    sentence = "Mean width of the interval, with a penalty for each value outside."
    tests.append(answer("coverage.winkler", score, sentence, basis))
    return [*tests, order]


def implementation_tests(
    source: Floats, reference: Scored, validation: Scored, contract: ModelContract, tolerance: float
) -> list[TestResult]:
    """As for every kind, with the distance to the source model as a share of its mean size: units are any."""
    size = float(np.abs(source).mean()) if np.isfinite(source).all() and source.size else 0.0
    scale = np.float32(size) if size > 0.0 else np.float32(1.0)
    small = replace(reference, scores=(reference.scores / scale).astype(np.float32))
    return every_kind.implementation_tests(source / float(scale), small, validation, contract, tolerance)


def data_tests(development: Scored, found: Backtest, contract: ModelContract) -> list[TestResult]:
    """Was anything learnt that was not known at the first origin, and are there enough origins?"""
    start = int(found.origin.min())
    target = development.columns["origin"] + _feature(development, contract, series_of(contract).horizon)
    late = int((target > start).sum())
    sentence = (
        f"{late:,} development rows have an outcome after the first origin of the back-test: the model knew the future."
        if late
        else "Every outcome of the development sample was known at the first origin of the back-test."
    )
    origins = len(set(found.origin.tolist()))
    return [
        answer("data.look-ahead", late, sentence, found.basis),
        answer("data.origins", origins, f"The back-test has {origins:,} origins.", found.basis),
    ]


def _feature(sample: Scored, contract: ModelContract, name: str) -> Floats:
    place = [feature.name for feature in contract.input.features].index(name)
    values: Floats = sample.rows[:, place].astype(np.float64)
    allowed = allowed_of(contract.input.features, name)
    if not np.isin(values, allowed).all():
        raise InvalidInputError(
            f"column `{name}` of the {sample.basis.role} sample has a value that the contract does not allow",
            field=name, rule="allowed",
        )  # fmt: skip
    return values


def _skill(found: Backtest) -> TestResult:
    known = np.isfinite(found.plain) & np.isfinite(found.seasonal)
    if not known.any():
        reason = NotEvaluable("no forecast has a naive one from the same origin; the samples do not reach back so far")
        return answer("accuracy.skill", reason, "", found.basis)
    mine, plain, seasonal = (
        float(np.abs(found.actual - guess)[known].mean()) for guess in (found.median, found.plain, found.seasonal)
    )
    best = min(plain, seasonal)
    details = [("MAE", mine), ("MAE of the naive forecast", plain), ("MAE of the seasonal naive forecast", seasonal),
               ("forecasts compared", int(known.sum()))]  # fmt: skip
    if best == 0.0:
        return answer("accuracy.skill", NotEvaluable("a naive forecast has no error at all"), "", found.basis)
    name = "naive" if plain <= seasonal else "seasonal naive"
    sentence = (
        f"The error is {abs(1.0 - mine / best):.1%} {'below' if mine <= best else 'above'} that of the {name} forecast."
    )
    return answer("accuracy.skill", 1.0 - mine / best, sentence, found.basis, details=details)


def _against(found: Backtest, rule: str, guess: Floats, words: str, horizon: int) -> TestResult:
    at = (found.horizon == horizon) & np.isfinite(guess)
    basis, suffix = Basis(found.basis.role, found.basis.sha256, int(at.sum())), f"horizon {horizon}"
    if not at.any():
        reason = NotEvaluable("no forecast has a naive one from the same origin; the samples do not reach back so far")
        return answer(rule, reason, "", basis, suffix=suffix)
    if (np.diff(found.origin[at]) != 1).any():
        return answer(rule, NotEvaluable("the origins are not one period apart"), "", basis, suffix=suffix)
    test = forecasting.diebold_mariano(found.actual[at], found.median[at], guess[at], horizon, "absolute")
    if isinstance(test, NotEvaluable):
        return answer(rule, test, "", basis, suffix=suffix)
    p = float(stats.t.cdf(test.statistic, test.n - 1))
    sentence = f"A small p-value says that the median loses less than {words} does, by more than chance."
    return answer(
        rule, p, sentence, basis, suffix=suffix, details=[("statistic", test.statistic), ("two-sided p", test.p_value)]
    )


def _incomplete() -> InvalidInputError:
    return InvalidInputError(
        "each origin and horizon of the validation sample has one row for each quantile of the contract",
        field="quantile", rule="complete",
    )  # fmt: skip
