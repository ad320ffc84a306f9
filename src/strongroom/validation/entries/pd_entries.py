"""The tests of a probability of default: does it rank, is it the right height, does it stay."""

from __future__ import annotations

from strongroom.validation.entries.entry import ECB, WP14, Entry

PD_ENTRIES = (
    Entry(
        rule="discrimination.auc",
        title="Area under the ROC curve",
        section="discrimination",
        unit="AUC",
        better="higher",
        formula="probability that a defaulter scores above a non-defaulter, ties a half; DeLong variance by "
        "midranks; "
        "normal interval cut at 0 and 1; with fewer than 50 rows in the rarer class a bootstrap-t interval on the "
        "logit scale, 2,000 seeded draws by class",
        source=f"{ECB}, Annex 3.1; DeLong et al. 1988; Sun and Xu 2014; Efron and Tibshirani 1993, section 12.5; the "
        "50 is a house rule from a study of coverage",
        edge_cases="one outcome class: not evaluable; fewer than two rows in a class, or perfect separation: no "
        "interval",
    ),
    Entry(
        rule="discrimination.auc-grades",
        title="Area under the ROC curve, on grades",
        section="discrimination",
        unit="AUC",
        better="higher",
        formula="the same with the grade of the policy's scale in place of the score, all rows of a grade tied; "
        "Somers' D = 2 AUC - 1; what grading loses against the AUC by row; p-value of a fall since development",
        source=f"{ECB}, Annex 3.1 and section 2.5.4.1; Somers 1962; the cut-off is house policy",
        edge_cases="as the AUC; one filled grade: 0.5, without an interval",
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
        formula="largest distance between the distributions of the scores of defaulters and others, and where it lies; "
        "critical D at 1 - the policy's confidence, and p-value, of the two-sample test",
        source="Kolmogorov 1933; Smirnov 1948; Simard and L'Ecuyer 2011",
        edge_cases="one outcome class: not evaluable; several maxima: the lowest score is named; ties make critical D "
        "and p-value larger than they are",
    ),
    Entry(
        rule="discrimination.auc-change",
        title="Loss of discrimination since development",
        section="discrimination",
        unit="AUC",
        better="lower",
        formula="AUC on the development sample less AUC on the validation sample; p = 1 - Phi(S), S = fall / "
        "standard error "
        "of the validation AUC, the development AUC taken as known; with fewer than 50 rows in the rarer class by the "
        "bootstrap of the AUC",
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
        edge_cases="one outcome class, equal predictions, or predictions that separate the classes or lie "
        "too near 0 and 1: not evaluable; "
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
        source="Siddiqi 2006 (0.10 and 0.25 are a convention); Yurdakul and Naranjo 2020",
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
)
