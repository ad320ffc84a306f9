"""Every test that a battery can give: what it computes, where it comes from, when it has no answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from strongroom.errors import InvalidInputError
from strongroom.validation.entry import ECB, WP14, Entry
from strongroom.validation.forecast_entries import FORECAST_ENTRIES
from strongroom.validation.fraud_entries import FRAUD_ENTRIES
from strongroom.validation.lifetime_entries import LIFETIME_ENTRIES
from strongroom.validation.loss_entries import LOSS_ENTRIES
from strongroom.validation.results import Detail, NotEvaluable, TestResult, decimal
from strongroom.validation.robustness_entries import ROBUSTNESS_ENTRIES
from strongroom.vocabulary import Digest

ENTRIES = (
    Entry(
        rule="discrimination.auc",
        title="Area under the ROC curve",
        section="discrimination",
        unit="AUC",
        better="higher",
        formula="probability that a defaulter scores above a non-defaulter, ties a half; DeLong variance by "
        "midranks; "
        "normal interval cut at 0 and 1",
        source=f"{ECB}, Annex 3.1; DeLong et al. 1988; Sun and Xu 2014",
        edge_cases="one outcome class: not evaluable; fewer than two rows in a class, or perfect separation: no "
        "interval",
    ),
    Entry(
        rule="discrimination.gini",
        title="Gini coefficient",
        section="discrimination",
        unit="Gini",
        better="higher",
        formula="2 AUC - 1, with the interval of the AUC carried over",
        source=f"{ECB}, Annex 3.1",
        edge_cases="as the AUC",
    ),
    Entry(
        rule="discrimination.ks",
        title="Kolmogorov-Smirnov distance",
        section="discrimination",
        unit="distance",
        better="higher",
        formula="largest distance between the distributions of the scores of defaulters and others, and where it lies",
        source="Kolmogorov 1933; Smirnov 1948",
        edge_cases="one outcome class: not evaluable; several maxima: the lowest score is named",
    ),
    Entry(
        rule="discrimination.auc-change",
        title="Loss of discrimination since development",
        section="discrimination",
        unit="AUC",
        better="lower",
        formula="AUC on the development sample less AUC on the validation sample; p = 1 - Phi(S), S = fall / "
        "standard error "
        "of the validation AUC, the development AUC taken as known",
        source=f"{ECB}, section 2.5.4.1; the cut-offs on the fall are house policy",
        edge_cases="one outcome class in either sample: not evaluable; no variance: no p-value",
    ),
    Entry(
        rule="discrimination.champion",
        title="Gain over the champion",
        section="discrimination",
        unit="AUC",
        better="higher",
        formula="AUC less the champion's on the same rows; DeLong's paired test, two-sided; normal interval",
        source="DeLong et al. 1988; Sun and Xu 2014",
        edge_cases="no column `champion`, one outcome class, fewer than two rows in a class, or two scores that rank "
        "alike: not evaluable",
    ),
    Entry(
        rule="calibration.jeffreys-portfolio",
        title="Jeffreys test, portfolio",
        section="calibration",
        unit="p-value",
        better="higher",
        formula="Beta distribution function at the mean PD with parameters defaults + 1/2 and others + 1/2; small "
        "when PDs were too low",
        source=f"{ECB}, section 2.5.3.1; the 5 %/1 % lights are house policy",
        edge_cases="no rows: not evaluable; no defaults: works",
    ),
    Entry(
        rule="calibration.jeffreys-grades",
        title="Jeffreys test, worst grade",
        section="calibration",
        unit="p-value",
        better="higher",
        formula="the same per grade of the rating scale; the smallest p after Holm's adjustment for the number of "
        "filled grades",
        source=f"{ECB}, section 2.5.3.1; Holm 1979 (the adjustment is house policy)",
        edge_cases="an empty grade is left out and shown as empty; all empty: not evaluable",
    ),
    Entry(
        rule="calibration.binomial",
        title="Binomial test, portfolio",
        section="calibration",
        unit="p-value",
        better="higher",
        formula="probability of at least as many defaults at the mean PD, defaults taken as independent",
        source=WP14,
        edge_cases="no rows: not evaluable; dependence between defaults makes it too strict",
    ),
    Entry(
        rule="calibration.hosmer-lemeshow",
        title="Hosmer-Lemeshow test",
        section="calibration",
        unit="p-value",
        better="higher",
        formula="sum over grades of (defaults - n PD)^2 / (n PD (1 - PD)), chi-square with as many degrees of "
        "freedom as filled grades, "
        "since the PDs were not fitted on this sample",
        source=f"Hosmer and Lemeshow 1980; {WP14}",
        edge_cases="a grade with PD 0 or 1, or expecting fewer defaults or non-defaults than the policy's minimum: "
        "not evaluable",
    ),
    Entry(
        rule="calibration.spiegelhalter",
        title="Spiegelhalter test",
        section="calibration",
        unit="p-value",
        better="higher",
        formula="z = sum (y - p)(1 - 2p) / root of sum (1 - 2p)^2 p (1 - p), two-sided",
        source="Spiegelhalter 1986",
        edge_cases="every p is 0, 0.5 or 1: not evaluable",
    ),
    Entry(
        rule="calibration.line",
        title="Calibration line",
        section="calibration",
        unit="p-value",
        better="higher",
        formula="logistic regression of the outcome on the logit of the PD by Newton's method; Wald test that "
        "intercept is 0 and slope is 1",
        source="Cox 1958; Van Calster et al. 2019",
        edge_cases="one outcome class, equal predictions, or predictions that separate the classes: not evaluable; "
        "p of 0 or 1 is clipped, and how many were is shown",
    ),
    Entry(
        rule="calibration.brier",
        title="Brier score",
        section="calibration",
        unit="score",
        better="lower",
        formula="mean squared distance of PD and outcome by row; over grades of one PD each: reliability - "
        "resolution + uncertainty, "
        "skill = 1 - score / uncertainty",
        source="Brier 1950; Murphy 1973",
        edge_cases="no rows: not evaluable; one outcome class: no skill",
    ),
    Entry(
        rule="calibration.inversions",
        title="Grade inversions",
        section="calibration",
        unit="count",
        better="lower",
        formula="neighbouring filled grades whose default rate falls although the PD rises",
        source="house rule; ECB guide to internal models (2024), on the monotony of grades",
        edge_cases="no rows: not evaluable; empty grades are skipped",
    ),
    Entry(
        rule="calibration.binomial-correlated",
        title="Binomial test with correlated defaults",
        section="calibration",
        unit="p-value",
        better="higher",
        formula="the binomial tail at p(x) = Phi((Phi^-1(PD) - root(rho) x) / root(1 - rho)), averaged over a standard "
        "normal x",
        source=f"{WP14}; Vasicek 2002",
        edge_cases="no asset correlation in the policy: not evaluable; correlation 0, or a mean PD of 0 or 1: the "
        "binomial test",
    ),
    Entry(
        rule="calibration.normal-years",
        title="Normal test over years",
        section="calibration",
        unit="p-value",
        better="higher",
        formula="z = sum over years of (default rate - mean PD) / root(T tau^2), tau^2 the variance of these gaps over "
        "the years; upper tail",
        source=WP14,
        edge_cases="no column `year`, a row without one, fewer than five years, or the same gap in every year: not "
        "evaluable",
    ),
    Entry(
        rule="calibration.scale-mapping",
        title="Grades that do not fit the PD",
        section="calibration",
        unit="share",
        better="lower",
        formula="share of obligors whose grade in the bank's system is not the one that the policy's scale gives to "
        "their PD; how far, and how the scale is filled",
        source="house rule; ECB guide to internal models (2024), on the assignment to grades",
        edge_cases="no column `grade`, or a grade that the scale does not have: not evaluable",
    ),
    Entry(
        rule="stability.psi-score",
        title="Population stability of the score",
        section="stability",
        unit="PSI",
        better="lower",
        formula="sum over quantile bins of the development scores of (actual - expected) ln(actual / expected); the "
        "95 % point of chance "
        "is chi2(B - 1) (1/n + 1/m)",
        source="Siddiqi 2006 (0.10 and 0.25 are a convention); Yurdakul and Naranjo 2020",
        edge_cases="empty bin: the policy's floor, stored with the result; one bin only: not evaluable",
    ),
    Entry(
        rule="stability.psi-features",
        title="Population stability of the features",
        section="stability",
        unit="PSI",
        better="lower",
        formula="the same for each feature, missing values as a bin of their own where there are any; the largest is "
        "judged",
        source="as for the score",
        edge_cases="a constant feature is left out; no feature with two bins: not evaluable",
    ),
    Entry(
        rule="stability.migration-upper",
        title="Migration to worse grades",
        section="stability",
        unit="MWB",
        better="lower",
        formula="matrix weighted bandwidth above the diagonal: distance moved over the largest that could be moved",
        source=f"{ECB}, section 2.5.5.1",
        edge_cases="no column `previous_grade`, a grade that the scale does not have, or nobody rated at both dates: "
        "not evaluable; rows without an earlier grade are left out; no migrations: 0",
    ),
    Entry(
        rule="stability.migration-lower",
        title="Migration to better grades",
        section="stability",
        unit="MWB",
        better="lower",
        formula="matrix weighted bandwidth below the diagonal",
        source=f"{ECB}, section 2.5.5.1",
        edge_cases="as for worse grades",
    ),
    Entry(
        rule="stability.migration-z",
        title="Migration that grows rarer with distance, worst cell",
        section="stability",
        unit="p-value",
        better="higher",
        formula="per cell beside the diagonal z = (p of the neighbour nearer the diagonal - p of the cell) / standard "
        "error, p = Phi(z); the smallest p after Holm's adjustment",
        source=f"{ECB}, section 2.5.5.2; Holm 1979 (the adjustment is house policy)",
        edge_cases="as for worse grades; a cell without variance is left out, all of them: not evaluable",
    ),
    Entry(
        rule="stability.concentration-number",
        title="Concentration of obligors in grades",
        section="stability",
        unit="p-value",
        better="higher",
        formula="S = root(K - 1)(CV - CV0) / root(CV^2 (0.5 + CV^2)) against the development sample, p = 1 - Phi(S); "
        "Herfindahl index 1 + ln((CV^2 + 1) / K) / ln K; K counts all grades of the scale",
        source=f"{ECB}, section 2.5.5.3",
        edge_cases="one grade, or evenly filled grades: not evaluable; a scale made of quantiles is evenly filled at "
        "development, so that any change looks like concentration: fixed edges say more",
    ),
    Entry(
        rule="stability.concentration-exposure",
        title="Concentration of exposure in grades",
        section="stability",
        unit="p-value",
        better="higher",
        formula="the same by exposure",
        source=f"{ECB}, section 2.5.5.3",
        edge_cases="as by number; no column `exposure` in development or validation sample, or an exposure below 0: "
        "not evaluable",
    ),
    Entry(
        rule="fairness.air",
        title="Adverse impact ratio",
        section="fairness",
        unit="ratio",
        better="higher",
        formula="share of favourable decisions of each group over that of the group with the highest share; the "
        "lowest ratio is judged; "
        "two-proportion z test, Fisher's exact test, Katz interval",
        source="29 CFR 1607.4(D), four-fifths rule (made for employment); Katz et al. 1978",
        edge_cases="groups below the policy's size are suppressed; fewer than two groups left, too many groups, no "
        "protected attribute, "
        "or no favourable decision: not evaluable",
    ),
    Entry(
        rule="fairness.odds",
        title="Equalised odds",
        section="fairness",
        unit="share",
        better="lower",
        formula="shares of defaulters, and of others, that are not given the favourable decision, by group; the "
        "larger of the two gaps between groups; Newcombe interval, Fisher's exact p times the number of pairs and "
        "rates",
        source="Hardt, Price and Srebro 2016; Newcombe 1998; the cut-off is house policy",
        edge_cases="groups with fewer defaulters or others than the policy's minimum are left out; fewer than two "
        "left: not evaluable",
    ),
    Entry(
        rule="fairness.calibration",
        title="Calibration by group",
        section="fairness",
        unit="p-value",
        better="higher",
        formula="Jeffreys test of each group's mean PD, doubled to look at both sides; the smallest p after Holm's "
        "adjustment for the number of groups; each group's calibration line beside it",
        source=f"{ECB}, section 2.5.3.1; Holm 1979; that it is two-sided is house policy: PDs too high harm the group",
        edge_cases="groups below the policy's size are left out; a group without a calibration line shows no slope",
    ),
    Entry(
        rule="fairness.smd",
        title="Standardised mean difference",
        section="fairness",
        unit="standard deviations",
        better="lower",
        formula="difference of mean PDs from the reference group over the root of the mean of both variances, "
        "without its sign; the largest is judged; beside it over the standard deviation of all rows of both groups, "
        "the other denominator in use",
        source="Cohen 1988; Hedges and Olkin 1985 for the interval; the cut-off is house policy",
        edge_cases="all scores of each group equal: not evaluable",
    ),
    Entry(
        rule="fairness.cdd",
        title="Conditional demographic disparity",
        section="fairness",
        unit="share",
        better="lower",
        formula="share of the group among the refused less its share among the accepted, within strata of the "
        "contract's `conditions` (quarters of each), weighted by rows; the largest is shown",
        source="Wachter, Mittelstadt and Russell 2021",
        edge_cases="no conditions, or a stratum that refuses or accepts no one: not evaluable",
    ),
    Entry(
        rule="fairness.common-odds",
        title="Common odds ratio",
        section="fairness",
        unit="ratio",
        better="higher",
        formula="Mantel-Haenszel odds ratio of the favourable decision within the same strata; the lowest is shown; "
        "Robins-Breslow-Greenland interval; Cochran-Mantel-Haenszel test without continuity correction",
        source="Mantel and Haenszel 1959; Robins, Breslow and Greenland 1986",
        edge_cases="strata with one group or one decision only are left out; none left, or no one of the group "
        "refused beside a favoured one of the reference: not evaluable; ratio 0: no interval",
    ),
    Entry(
        rule="fairness.intersections",
        title="Adverse impact where attributes cross",
        section="fairness",
        unit="ratio",
        better="higher",
        formula="adverse impact ratio over the cells of each pair of protected attributes; the lowest is judged; "
        "with one attribute only, over its groups",
        source="29 CFR 1607.4(D) for the ratio; Hundepool et al. 2012 for the suppression",
        edge_cases="cells below the policy's size are left out, and further ones told without counts until none can "
        "be reckoned from the sums that are told; fewer than two cells left: not evaluable",
    ),
    Entry(
        rule="fairness.proxies",
        title="Protected attribute predicted from the features",
        section="fairness",
        unit="AUC",
        better="lower",
        formula="histogram trees predict the group from the model's features on three folds; area under the curve "
        "of the group that is told best from all others; features by what shuffling them loses; at most 8,000 rows",
        source="Feldman et al. 2015; Breiman 2001; DeLong et al. 1988; the cut-off is house policy",
        edge_cases="groups below the policy's size are left out; fewer than 15 rows of a group in the rows looked "
        "at: not evaluable",
    ),
    Entry(
        rule="fairness.alternatives",
        title="Less discriminatory alternative",
        section="fairness",
        unit="ratio",
        better="lower",
        formula="rise of the lowest adverse impact ratio over all attributes by the best of: other cut-offs, and "
        "scores blended with the model's answer when one feature is held at its median; chosen on half of the rows "
        "within the policy's losses of AUC and profit, measured on the other half; never by group",
        source="12 CFR 1002, comment 6(a)-2; Gillis, Meursault and Ustun 2024; Elkan 2001; cut-off: house policy",
        edge_cases="no attribute to judge, one outcome class, or nobody favoured on half of the rows: not "
        "evaluable; the present way is best: 0",
    ),
    Entry(
        rule="explanation.additivity",
        title="Gap of the contributions",
        section="explanation",
        unit="probability",
        better="lower",
        formula="largest distance between the score that base and contributions add up to and the served score, on up "
        "to 500 applicants whose decision is not the favourable one",
        source="Shapley 1953 (efficiency); Lundberg and Lee 2017 (local accuracy)",
        edge_cases="no reason codes in the contract: no test of this section; no such applicant: not evaluable",
    ),
    Entry(
        rule="explanation.repeat",
        title="Same reasons again",
        section="explanation",
        unit="share",
        better="higher",
        formula="share of applicants whose ranked reasons are the same when rows and reference come in another order",
        source="house rule: the method is exact and has no seed, so anything below 1 is a defect",
        edge_cases="as the gap of the contributions",
    ),
    Entry(
        rule="explanation.background",
        title="Reasons against half of the reference",
        section="explanation",
        unit="Jaccard",
        better="higher",
        formula="mean over applicants and five draws of the Jaccard index of the principal reasons against all and "
        "against half of the reference rows",
        source="house rule; Regulation B, comment 9(b)(2), on the reference",
        edge_cases="path-dependent values, or fewer than four reference rows: not evaluable",
    ),
    Entry(
        rule="explanation.noise",
        title="Reasons under noise",
        section="explanation",
        unit="Jaccard",
        better="higher",
        formula="the same with normal noise of 1 % of its standard deviation on each measured feature; codes, counts "
        "and missing values stay",
        source="house rule; Alvarez-Melis and Jaakkola 2018",
        edge_cases="no measured feature: not evaluable",
    ),
    Entry(
        rule="explanation.faithfulness",
        title="Reasons that move the score",
        section="explanation",
        unit="share",
        better="higher",
        formula="share of applicants for whom setting the principal reasons to the reference (mean over up to eight "
        "rows) moves the served score further in their favour than setting as many other groups, drawn at random",
        source="Samek et al. 2017 (deletion); house rule",
        edge_cases="path-dependent values, or as many reasons as groups: not evaluable",
    ),
    Entry(
        rule="implementation.parity",
        title="Distance to the source model",
        section="implementation",
        unit="probability",
        better="lower",
        formula="largest absolute difference between the source model's predictions and the ONNX artifact's on the "
        "reference sample; "
        "share of rows beyond the policy's tolerance",
        source="house rule; SR 26-2 on implementation verification",
        edge_cases="numbers of rows differ, or a prediction is not finite: not evaluable",
    ),
    Entry(
        rule="implementation.flips",
        title="Decisions changed by conversion",
        section="implementation",
        unit="count",
        better="lower",
        formula="rows of the reference sample that the source model and the artifact put on two sides of a cut-off",
        source="house rule",
        edge_cases="as the distance to the source model; rows within the tolerance of a cut-off are counted beside it",
    ),
    Entry(
        rule="implementation.bounds",
        title="Answers outside the output contract",
        section="implementation",
        unit="count",
        better="lower",
        formula="rows of the validation sample whose answer is not finite or not within the contract's bounds",
        source="house rule; the gateway refuses such answers",
        edge_cases="none: a sample has rows",
    ),
    Entry(
        rule="data.contract",
        title="Rows outside the input contract",
        section="data",
        unit="share",
        better="lower",
        formula="share of the validation sample that the gateway would refuse: missing, out of range, not whole, not "
        "an allowed code",
        source="house rule",
        edge_cases="none: a sample has rows",
    ),
    Entry(
        rule="data.overlap",
        title="Validation rows known from development",
        section="data",
        unit="share",
        better="lower",
        formula="share of validation rows whose features and outcome, as float32, stand in the development sample too",
        source="house rule against leakage",
        edge_cases="models with few coarse features repeat rows by nature: advisory",
    ),
    Entry(
        rule="data.defaults",
        title="Defaults in the validation sample",
        section="data",
        unit="count",
        better="higher",
        formula="number of defaults: below the policy's minimum the other tests have no power to fail",
        source="house rule",
        edge_cases="none",
    ),
    *LOSS_ENTRIES,
    *FRAUD_ENTRIES,
    *ROBUSTNESS_ENTRIES,
    Entry(
        rule="data.lone-strength",
        title="Strongest single feature",
        section="data",
        unit="strength",
        better="lower",
        formula="largest over features of |2 AUC - 1| (events) or of the absolute Spearman correlation (numbers), "
        "rows with a value only: near 1 the target stands among the features",
        source="Spearman 1904; the cut-off is house policy",
        edge_cases="a feature without two values, or beside one outcome class, is left out; none left: not evaluable",
    ),
    Entry(
        rule="data.telling-gaps",
        title="Missingness that tells the outcome",
        section="data",
        unit="p-value",
        better="higher",
        formula="outcomes of rows with and without a value, Fisher's exact test (events) or Mann-Whitney (numbers); "
        "the smallest p after Holm's adjustment for all features with gaps",
        source="Fisher 1922; Mann and Whitney 1947; Holm 1979",
        edge_cases="no feature with gaps: not evaluable",
    ),
    Entry(
        rule="data.repeats",
        title="Repeated rows",
        section="data",
        unit="share",
        better="lower",
        formula="share of validation rows that stand in the sample before already, features and outcome alike",
        source="house policy",
        edge_cases="-0 and 0 are one value",
    ),
    Entry(
        rule="data.missing-change",
        title="Change of missingness",
        section="data",
        unit="share",
        better="lower",
        formula="largest change over features of the share of missing values from development to validation",
        source="house policy",
        edge_cases="no gaps anywhere: 0",
    ),
    Entry(
        rule="data.told-apart",
        title="Representativeness of the sample",
        section="data",
        unit="distance",
        better="lower",
        formula="largest Kolmogorov-Smirnov distance over features between development and validation rows",
        source="Kolmogorov 1933; Smirnov 1948",
        edge_cases="missing values are left out; no feature with values in both: not evaluable",
    ),
    Entry(
        rule="data.special-categories",
        title="Hints of special categories",
        section="data",
        unit="count",
        better="lower",
        formula="features whose name or purpose has a word of GDPR Art. 9(1) and whose legal basis names no ground "
        "of Art. 9(2)",
        source="Regulation (EU) 2016/679, Art. 9; the list of words is house policy",
        edge_cases="a hint for a reader, not a finding of law",
    ),
    Entry(
        rule="sensitivity.effects",
        title="Widest effect of a feature",
        section="sensitivity",
        unit="score",
        better="lower",
        formula="accumulated local effects over ten quantile bins on at most 2,000 rows: highest less lowest mean "
        "score along the feature",
        source="Apley and Zhu 2020, eq. 15 and 16",
        edge_cases="a feature with one value is left out; none left: not evaluable",
    ),
    Entry(
        rule="sensitivity.stress",
        title="Stress of all features",
        section="sensitivity",
        unit="score",
        better="lower",
        formula="mean score with every feature moved one standard deviation in the direction in which its effect "
        "rises, within the sample's extremes, less the mean score now",
        source="house policy",
        edge_cases="as the effects",
    ),
    Entry(
        rule="sensitivity.weak-spots",
        title="Weakest segment",
        section="sensitivity",
        unit="p-value",
        better="higher",
        formula="z = sum of outcome less score over the root of its variance in quarters of each feature and pairs "
        "of the eight strongest; the smallest two-sided p after Holm's adjustment for all segments",
        source="Holm 1979; the segments are house policy",
        edge_cases="segments below 100 rows, or below the policy's smallest group, are not looked at; none large "
        "enough: not evaluable",
    ),
    Entry(
        rule="sensitivity.benchmark",
        title="Gain over a simple scorecard",
        section="sensitivity",
        unit="AUC",
        better="higher",
        formula="AUC of the model less that of a logistic regression on weights of evidence of five bins a feature, "
        "fitted on the development sample; DeLong's paired p",
        source="DeLong et al. 1988; Siddiqi 2006",
        edge_cases="one outcome class, or a scorecard that does not settle: not evaluable",
    ),
    *FORECAST_ENTRIES,
    *LIFETIME_ENTRIES,
)

CATALOGUE = {entry.rule: entry for entry in ENTRIES}


def better_of(rule: str) -> Literal["higher", "lower"]:
    """Which way a test's figure is better.

    Raises:
        InvalidInputError: the catalogue has no such rule.
    """
    if rule not in CATALOGUE:
        raise InvalidInputError(f"the catalogue has no test `{rule}`", rule="catalogue")
    return CATALOGUE[rule].better


@dataclass(frozen=True, slots=True)
class Basis:
    """The sample that a figure stands on."""

    role: str
    sha256: Digest
    rows: int


def answer(
    rule: str,
    figure: float | int | NotEvaluable,
    sentence: str,
    basis: Basis,
    *,
    suffix: str = "",
    unit: str | None = None,
    interval: tuple[float, float] | NotEvaluable | None = None,
    p_value: float | None = None,
    details: Sequence[tuple[str, float | int | str]] = (),
) -> TestResult:
    """A test's result in the words of the catalogue, not yet judged.

    Args:
        rule: of the catalogue.
        figure: the figure, or why there is none.
        sentence: in plain language; replaced by the reason when there is no figure.
        basis: the sample.
        suffix: tells several answers to one rule apart.
        unit: of the figure, where the rule measures in the unit of the model's output; None for the catalogue's.
        interval, p_value, details: as `TestResult` says.

    Raises:
        InvalidInputError: the catalogue has no such rule.
    """
    entry = CATALOGUE.get(rule)
    if entry is None:
        raise InvalidInputError(f"the catalogue has no test `{rule}`", rule="catalogue")
    missing = figure if isinstance(figure, NotEvaluable) else None
    return TestResult(
        id=f"{rule}/{suffix}" if suffix else rule,
        rule=rule,
        title=f"{entry.title}: {suffix}" if suffix else entry.title,
        section=entry.section,
        sentence=f"Not evaluable: {missing.reason}." if missing else sentence,
        figure=None if isinstance(figure, NotEvaluable) else _text(figure),
        unit=entry.unit if unit is None else unit,
        better=entry.better,
        source=entry.source,
        sample=basis.role,
        sample_sha256=basis.sha256,
        n=basis.rows,
        interval=(decimal(interval[0]), decimal(interval[1])) if isinstance(interval, tuple) else None,
        p_value=None if p_value is None else decimal(p_value),
        reason=missing.reason if missing else None,
        details=tuple(Detail(name=name, value=v if isinstance(v, str) else _text(v)) for name, v in details),
    )


def reference_page() -> str:
    """The text of `docs/reference/validation-tests.md`."""
    lines = [
        "# Validation tests", "",
        "Every test that a battery can give. The page is made from `strongroom.validation.catalogue` (`python -m "
        "pytest tests/validation` "
        "compares them). Which of them block, warn or inform, and at which figure, says the signed validation policy "
        "(`src/strongroom/policies/validation.json`), per kind and tier. A test without an answer is `not-evaluable` "
        "with its reason, "
        "never a NaN; where it is a gate, the battery fails.", "",
    ]  # fmt: skip
    section = ""
    order = list(dict.fromkeys(entry.section for entry in ENTRIES))
    for entry in sorted(ENTRIES, key=lambda entry: order.index(entry.section)):
        if entry.section != section:
            section = entry.section
            lines += [f"## {section.capitalize()}", ""]
        lines += [
            f"### `{entry.rule}`: {entry.title}", "",
            f"- **Figure:** {entry.formula} (unit: {entry.unit}; {entry.better} is better)",
            f"- **Source:** {entry.source}",
            f"- **Edge cases:** {entry.edge_cases}", "",
        ]  # fmt: skip
    return "\n".join(lines)


def _text(value: float | int) -> str:
    return str(value) if isinstance(value, int) else decimal(value)
