"""The tests of fairness between protected groups."""

from __future__ import annotations

from strongroom.validation.entries.entry import ECB, Entry

EQUITY_ENTRIES = (
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
        formula="shares of defaulters (frauds), and of others, that are not given the favourable decision, by group; "
        "the larger of the two gaps between groups; Newcombe interval, Fisher's exact p times the number of pairs and "
        "rates",
        source="Hardt, Price and Srebro 2016; Newcombe 1998; the cut-off is house policy",
        edge_cases="groups with fewer defaulters or others than the policy's minimum are left out; fewer than two "
        "left: not evaluable",
    ),
    Entry(
        rule="fairness.false-alarms",
        title="False alarms by group",
        section="fairness",
        unit="ratio",
        better="lower",
        formula="share of a group's genuine transactions that are not given the favourable decision, over that of all "
        "other groups together; the highest ratio is judged; Katz interval, Fisher's exact p times the number of "
        "groups where there are more than two; the same for the cells where two attributes cross, in hundredths",
        source="Hardt, Price and Srebro 2016; Corbett-Davies et al. 2017 (predictive equality); the cut-off is the "
        "inverse of four fifths, house policy",
        edge_cases="fewer than two groups with the policy's least number of genuine transactions, or no false alarm at "
        "all: not evaluable; none outside the group: half an alarm is added on either side, no interval; cells below "
        "the policy's size or its least number of genuine transactions are left out",
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
        edge_cases="groups below the policy's size are left out; a group without a calibration line shows no slope; a "
        "score that is no probability (fraud): not evaluable",
    ),
    Entry(
        rule="fairness.residual",
        title="Mean residual by group",
        section="fairness",
        unit="share",
        better="lower",
        formula="mean of realised less estimated of each group, less that of all other judged groups together; the "
        "largest without its sign is judged, in the unit of the output; Welch interval and test, Holm's adjustment "
        "where there are more than two groups; each group's own mean with Student's interval beside it; the same "
        "for the cells where two attributes cross",
        source="Calders et al. 2013 (balanced residuals); Student 1908; Welch 1947; Holm 1979; the cut-off is house "
        "policy",
        edge_cases="no protected attribute, or fewer than two groups of the policy's size: not evaluable; all "
        "residuals of a group equal, or an estimate that is not finite: not evaluable; credit conversion factors: "
        "only rows with anything undrawn; cells below the policy's size are left out, and further ones told in "
        "hundredths and without counts until none can be reckoned from the sums that are told",
        in_output_unit=("lgd", "ead"),
    ),
    Entry(
        rule="fairness.smd",
        title="Standardised mean difference",
        section="fairness",
        unit="standard deviations",
        better="lower",
        formula="difference of mean PDs (fraud: scores; LGD and EAD: estimates, from those of the largest group) from "
        "the reference group over the root of the mean of both "
        "variances, without its sign; the largest is judged; beside it over the standard deviation of all rows of both "
        "groups, the other denominator in use",
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
        edge_cases="strata that refuse no one or accept no one are left out and counted; none left, or no conditions: "
        "not evaluable",
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
)
