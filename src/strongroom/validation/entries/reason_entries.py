"""The tests of reason codes, for every kind whose contracts may tell them."""

from __future__ import annotations

from strongroom.validation.entries.entry import Entry

_AS_BEFORE = "no reason codes in the contract: no test of this section, and no rule of the policy asks for one; "
_NOBODY = "nobody to be told a reason: not evaluable"

REASON_ENTRIES = (
    Entry(
        rule="explanation.additivity",
        title="Gap of the contributions",
        section="explanation",
        unit="probability",
        better="lower",
        formula="largest distance between the score that base and contributions add up to and the served score, on up "
        "to 2,000 rows that the contract takes",
        source="Shapley 1953 (efficiency); Lundberg and Lee 2017 (local accuracy)",
        edge_cases=_AS_BEFORE + "no row that the contract takes: not evaluable",
        in_output_unit=("lgd", "ead", "fraud"),
    ),
    Entry(
        rule="explanation.repeat",
        title="Same reasons again",
        section="explanation",
        unit="share",
        better="higher",
        formula="share of rows whose ranked reasons are the same when rows, reference and groups come in another "
        "order; this and the tests below look at up to 500 rows whose decision is not the favourable one, or of a kind "
        "that decides nothing at any, and at none that a rule of the contract refuses before the model",
        source="house rule: the method is exact and has no seed, and equal weights rank by code, so anything below 1 "
        "is a defect",
        edge_cases=_NOBODY,
    ),
    Entry(
        rule="explanation.reference",
        title="Reference that is better",
        section="explanation",
        unit="share",
        better="higher",
        formula="share of the rows looked at whose score is worse than that of the reference (the base of the "
        "contributions)",
        source="Regulation B, comment 9(b)(2): applicants at or slightly above the cut-off, or all; the cut-off is "
        "house policy",
        edge_cases=_NOBODY + "; one decision for everybody: not evaluable; kinds that decide nothing have no better "
        "side and no answer",
    ),
    Entry(
        rule="explanation.background",
        title="Reasons against half of the reference",
        section="explanation",
        unit="Jaccard",
        better="higher",
        formula="mean over rows and five draws of the Jaccard index of the principal reasons against all and against "
        "half of the reference rows",
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
        rule="explanation.margin",
        title="Last reason that noise decides",
        section="explanation",
        unit="share",
        better="lower",
        formula="share of the rows with a reason for which the weight of the last reason told less that of the first "
        "group not told (or 0, where it speaks the other way) is no larger than the root mean square of its changes "
        "over the five draws of that noise, or than 2**-20 of the largest weight",
        source="house rule: a reason whose place would change within noise is no principal reason",
        edge_cases="equal weights: their distance is 0, which is within noise; no row has a reason: not evaluable",
    ),
    Entry(
        rule="explanation.correlation",
        title="Features that go together in two groups",
        section="explanation",
        unit="correlation",
        better="lower",
        formula="largest size of Spearman's rank correlation between two features with a contribution that stand in "
        "different reason groups, on up to 20,000 rows of the sample; the 100 weightiest features",
        source="Spearman 1904; Aas, Jullum and Loland 2021 on dependent features; the cut-off is house policy",
        edge_cases="missing values count as the median; a feature that never changes goes with none; fewer than two "
        "groups with a contribution: not evaluable",
    ),
    Entry(
        rule="explanation.missing",
        title="Missing values told as values",
        section="explanation",
        unit="share",
        better="lower",
        formula="share of the rows looked at that are told a code whose weightiest feature is missing there, where the "
        "group has no `missing` code",
        source="house rule; Regulation B, comment 9(b)(2): reasons are factors that were actually scored",
        edge_cases="nothing missing: 0; " + _NOBODY,
    ),
    Entry(
        rule="explanation.faithfulness",
        title="Reasons that move the score",
        section="explanation",
        unit="share",
        better="higher",
        formula="share of rows for which setting the principal reasons to the reference (mean over up to eight rows) "
        "moves the served score further to the favourable side than setting as many other groups, drawn at random",
        source="Samek et al. 2017 (deletion); house rule",
        edge_cases="path-dependent values, or as many reasons as groups: not evaluable",
    ),
    Entry(
        rule="explanation.proxies",
        title="Reasons that stand for a protected attribute",
        section="explanation",
        unit="AUC",
        better="lower",
        formula="for each protected attribute the largest area under the curve, over features with a contribution, of "
        "one feature alone (cross-validated in quantile bins) for the group that it tells best from all others",
        source="12 CFR 1002.6(b) and comment 9(b)(2); the search of `fairness.proxies`; the cut-off is house policy",
        edge_cases="as `fairness.proxies`; what several features tell only together is judged there",
    ),
)
