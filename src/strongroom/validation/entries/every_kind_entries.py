"""The tests that do not ask what the model estimates: explanation, implementation, data, sensitivity."""

from __future__ import annotations

from strongroom.validation.entries.entry import OUTPUT, Entry

EVERY_KIND_ENTRIES = (
    Entry(
        rule="implementation.parity",
        title="Distance to the source model",
        section="implementation",
        unit="relative",
        better="lower",
        formula="largest absolute difference between the source model's predictions and the ONNX artifact's on the "
        "reference sample; "
        "share of rows beyond the policy's tolerance",
        source="house rule; SR 26-2 on implementation verification",
        edge_cases="numbers of rows differ, or a prediction is not finite: not evaluable",
        in_output_unit=("pd", "lgd", "ead", "fraud"),
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
        title="Rows known from an earlier sample",
        section="data",
        unit="share",
        better="lower",
        formula="share of the rows of a later sample whose features and outcome, as float32, stand in an earlier one "
        "too; for development and reference, development and validation, reference and validation",
        source="house rule against leakage",
        edge_cases="models with few coarse features repeat rows by nature: advisory",
    ),
    Entry(
        rule="data.subjects",
        title="People known from an earlier sample",
        section="data",
        unit="share",
        better="lower",
        formula="share of the rows of a later sample that are about somebody whom an earlier one knows, by the column "
        "`samples.subject` of the contract, of those rows that name anybody; for the same three pairs",
        source="house rule against leakage; for information in the shipped policy, since the same people may well be "
        "judged again at another time",
        edge_cases="no column in the contract, none in a sample, or one that holds neither whole numbers nor texts: "
        "not evaluable; rows that name nobody are left out and counted",
    ),
    Entry(
        rule="data.drift",
        title="Drift of the reference sample",
        section="data",
        unit="PSI",
        better="lower",
        formula="largest population stability index of score and features from the development to the reference "
        "sample, and from the reference to the validation sample, in quantile bins of the earlier one, missing values "
        "a bin of their own, by weight where rows have one; from development to validation it is `stability.psi-score` "
        "and `stability.psi-features`",
        source="Siddiqi 2006; 0.25 is a convention of the trade",
        edge_cases="neither score nor feature has two bins: not evaluable",
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
    Entry(
        rule="data.time-leaks",
        title="Rows that knew what was not yet known",
        section="data",
        unit="count",
        better="lower",
        formula="PD, LGD and EAD, for each sample: rows whose outcome (`outcome_time`) came at or before the time of "
        "observation (`time`), or whose newest input (`inputs_time`) became known after it",
        source="Kaufman, Rosset, Perlich and Stitelman 2012; that none is allowed is house policy",
        edge_cases="columns that the contract does not name or a sample lacks, and a sample without a row to compare: "
        "not evaluable; rows without a time are left out and counted, among them defaults",
    ),
    Entry(
        rule="data.lone-strength",
        title="Strongest single feature",
        section="data",
        unit="strength",
        better="lower",
        formula="largest over features of |2 AUC - 1| (events) or of the absolute Spearman correlation (numbers), of "
        "rows with a value, or of all rows by the development sample's mean outcome of ten bins and of missing values, "
        "whichever is larger: near 1 the target stands among the features",
        source="Spearman 1904; Micci-Barreca 2001; the cut-off is house policy",
        edge_cases="a feature without two values and gaps, or beside one outcome class, is left out; none left: not "
        "evaluable",
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
        in_output_unit=("forecast",),
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
        in_output_unit=("forecast",),
    ),
    Entry(
        rule="sensitivity.scenarios",
        title="Stress scenario",
        section="sensitivity",
        unit=OUTPUT,
        better="lower",
        formula="for each scenario that the contract names: mean output with the features shocked by the contract's "
        "sizes, in their units or as shares of themselves, within its bounds, less the mean now, on at most 5,000 "
        "rows; shares of rows that get a higher decision and a worse grade or bucket; a table and a picture of all "
        "severities",
        source="BCBS, Stress testing principles (2018); EBA/GL/2018/04 (severity of scenarios); the sizes are the "
        "author's, names can be the policy's",
        edge_cases="no scenario in the contract, one that the policy asks for and the contract lacks, a score that is "
        "not finite: not evaluable; missing values stay missing, whole numbers are rounded",
        in_output_unit=("pd", "lgd", "ead", "fraud"),
    ),
    Entry(
        rule="sensitivity.scenario-order",
        title="Answers that fall as stress rises",
        section="sensitivity",
        unit="count",
        better="lower",
        formula="steps from one severity to the next, over all scenarios, at which the mean output falls by more than "
        "one part in a million; beside it the largest share of rows whose own output falls",
        source="house policy: a scenario is named because it is bad",
        edge_cases="no scenario that has an answer: not evaluable",
    ),
    Entry(
        rule="sensitivity.weak-spots",
        title="Weakest segment",
        section="sensitivity",
        unit="p-value",
        better="higher",
        formula="z = sum of outcome less score over the root of its variance in quarters of each feature and pairs "
        "of the eight strongest; the smallest two-sided p after Holm's adjustment for all segments; of fraud models, "
        "among frauds, whether each is found at the lowest cut-off against the share of all that is",
        source="Holm 1979; the segments are house policy",
        edge_cases="segments below 100 rows, or below the policy's smallest group, or below 30 frauds, are not looked "
        "at; none large enough: not evaluable",
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
    Entry(
        rule="sensitivity.simple-estimate",
        title="Gain over a simple estimate",
        section="sensitivity",
        unit="share",
        better="higher",
        formula="of losses and conversion factors: 1 - the model's mean squared error over that of a ridge regression "
        "on mean outcomes of five bins a feature, fitted on the development sample; paired t-test of squared errors, "
        "two-sided; the error of the development mean is shown beside",
        source="Hoerl and Kennard 1970; Micci-Barreca 2001; Diebold and Mariano 1995; the benchmark and its cut-off "
        "are house policy",
        edge_cases="no two development rows, an estimate that is not finite, or a simple estimate without error: not "
        "evaluable",
    ),
)
