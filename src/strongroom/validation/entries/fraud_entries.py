"""The catalogue's tests for fraud: alarms, what they find and cost, and how long that lasts."""

from __future__ import annotations

from typing import Final

from strongroom.validation.entries.entry import Entry

FRAUD_ENTRIES: Final = (
    Entry(
        rule="discrimination.average-precision",
        title="Average precision (area under the precision-recall curve)",
        section="discrimination",
        unit="average precision",
        better="higher",
        formula="sum over thresholds of the gain in recall times the precision there, rows of one score together: a "
        "step function, no line between points; rows count by their weight; interval on the logit scale with the "
        "frauds as sample size",
        source="Davis and Goadrich 2006; Boyd, Eng and Page 2013",
        edge_cases="one outcome class: not evaluable; 0 or 1: no interval",
    ),
    Entry(
        rule="discrimination.precision-at-k",
        title="Precision among the alarms that people can look at",
        section="discrimination",
        unit="share",
        better="higher",
        formula="share of frauds among the rows with the highest scores, as many as the policy's share of all "
        "transactions; tied rows at the border count by their share",
        source="house rule",
        edge_cases="one outcome class, or no costs in the policy: not evaluable",
    ),
    Entry(
        rule="discrimination.value-at-k",
        title="Value found among the alarms that people can look at",
        section="discrimination",
        unit="share",
        better="higher",
        formula="share of the frauds' amount that is among the same alarms",
        source="house rule",
        edge_cases="as the precision; no fraud with an amount above 0: not evaluable",
    ),
    Entry(
        rule="cost.saving",
        title="Cost saved at the contract's threshold",
        section="cost",
        unit="share",
        better="higher",
        formula="1 less the cost of false alarms and missed amounts at the lowest cut-off over the cost of no alarm at "
        "all, or of an alarm on every row where that is less",
        source="Elkan 2001; Correa Bahnsen et al. 2013; the cost of a false alarm is the policy's",
        edge_cases="no cut-off, no costs in the policy, or nothing to lose: not evaluable",
    ),
    Entry(
        rule="cost.threshold",
        title="Extra cost against the threshold of least cost",
        section="cost",
        unit="share",
        better="lower",
        formula="cost at the contract's lowest cut-off less the cost at the threshold that was cheapest on the "
        "reference sample, both on the validation sample, over the cost without a model",
        source="house rule; the threshold is never chosen on the sample that judges it",
        edge_cases="as the saving; below 0 the contract's threshold was the better one",
    ),
    Entry(
        rule="stability.time",
        title="Share of frauds found over time",
        section="stability",
        unit="p-value",
        better="higher",
        formula="Cochran-Armitage trend test of the share of frauds found at the contract's lowest cut-off over "
        "windows of equal time",
        source="Cochran 1954; Armitage 1955",
        edge_cases="fewer than two windows with the policy's number of frauds, all found or none: not evaluable",
    ),
    Entry(
        rule="data.time-order",
        title="Development rows not older than the validation sample",
        section="data",
        unit="count",
        better="lower",
        formula="rows of the development sample at or after the first row of the validation sample: a model that "
        "learnt from them knew the future",
        source="house rule against time leaks",
        edge_cases="fraud: none, samples have rows, and each row its time; losses, exposures and PD: no column "
        "`time` in the contract or a sample, or a row without a time: not evaluable",
    ),
    Entry(
        rule="data.frauds",
        title="Frauds in the validation sample",
        section="data",
        unit="count",
        better="higher",
        formula="number of frauds: below the policy's minimum the other tests have no power to fail",
        source="house rule",
        edge_cases="none",
    ),
)
