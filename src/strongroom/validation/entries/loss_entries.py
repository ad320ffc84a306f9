"""The catalogue's tests for estimates of losses and exposures (LGD, ELBE, LGD in default, CCF, EAD)."""

from __future__ import annotations

from typing import Final

from strongroom.validation.entries.entry import ECB, Entry

LI: Final = "Li, Bhariok, Keenan and Santilli 2009"

LOSS_ENTRIES: Final = (
    Entry(
        rule="discrimination.gauc",
        title="Generalised AUC",
        section="discrimination",
        unit="gAUC",
        better="higher",
        formula="(D + 1) / 2 with Somers' D of estimates given outcomes over a table of segments; asymptotic variance. "
        "With at most 20 different estimates each is a segment and outcomes are cut half-way between them; else 12 "
        "fixed segments with lower ends 0.05, 0.1, 0.2 ... 1. Pairs tied on the outcome do not count",
        source=f"{ECB}, Annex 3.2; Goktas and Isci 2011; the segments of grades are house policy",
        edge_cases="one segment of outcomes, equal estimates, fewer than two rows: not evaluable; perfect order: no "
        "interval",
    ),
    Entry(
        rule="discrimination.gauc-change",
        title="Loss of order since development",
        section="discrimination",
        unit="gAUC",
        better="lower",
        formula="generalised AUC on the development sample less that on the validation sample; p = 1 - Phi(S), S = "
        "fall / standard error of the validation figure, the development figure taken as known",
        source=f"{ECB}, section 2.6.3.1; the cut-offs on the fall are house policy",
        edge_cases="not evaluable where either figure is; no variance: no p-value",
    ),
    Entry(
        rule="discrimination.somers-d",
        title="Somers' D, row by row",
        section="discrimination",
        unit="D",
        better="higher",
        formula="(concordant - discordant pairs) / pairs whose outcomes differ, without segments",
        source="Somers 1962",
        edge_cases="equal outcomes, fewer than two rows: not evaluable; equal estimates: 0",
    ),
    Entry(
        rule="discrimination.r-squared",
        title="Explained variance",
        section="discrimination",
        unit="R2",
        better="higher",
        formula="1 - squared errors / squared distances from the mean outcome; below 0 when worse than that mean",
        source="house rule",
        edge_cases="equal outcomes: not evaluable",
    ),
    Entry(
        rule="calibration.t-test",
        title="t-test of realised against estimated",
        section="calibration",
        unit="p-value",
        better="higher",
        formula="T = root of n times mean(realised - estimated) / standard deviation, number weighted; LGD, LGD in "
        "default and CCF: 1 - t(n - 1) at T, small when estimates were too low; ELBE: two-sided",
        source=f"{ECB}, sections 2.6.2.1, 2.7.2.1, 2.8.2.1, 2.9.3.1 (with the mean); one side for LGD in default is a "
        "reading",
        edge_cases="fewer than two rows or equal differences: not evaluable; outcomes below 0 and above 1 are kept",
    ),
    Entry(
        rule="calibration.buckets",
        title="t-test by bucket, worst bucket",
        section="calibration",
        unit="p-value",
        better="higher",
        formula="the same in buckets of the estimate (grades where there are at most 20, else quantiles of the "
        "development estimates); the smallest p after Holm's adjustment for the number of buckets with a test",
        source=f"{ECB}, section 2.6.2.1 by grade; Holm 1979 (the adjustment is house policy)",
        edge_cases="a bucket without a test is left out and shown; none with a test: not evaluable",
    ),
    Entry(
        rule="calibration.time-in-default",
        title="t-test by time in default, worst age",
        section="calibration",
        unit="p-value",
        better="higher",
        formula="the t-test at each age of the default: the day itself, over 0 to 12, to 24, to 36, to 60 months, and "
        "over; ELBE two-sided, LGD in default one-sided; the smallest p after Holm's adjustment for the ages tested",
        source=f"{ECB}, sections 2.7.2.1 and 2.8.2.1 at the dates of reference; Holm 1979 (ages and adjustment are "
        "house policy)",
        edge_cases="another parameter than ELBE or LGD in default, no column of months, or a negative one: not "
        "evaluable; rows without months are left out and counted; an age without a test is left out and shown",
    ),
    Entry(
        rule="calibration.shortfall",
        title="Loss shortfall",
        section="calibration",
        unit="share",
        better="lower",
        formula="1 - estimated total / realised total, in amounts (exposure times LGD, or exposure at default)",
        source=LI,
        edge_cases="a realised total of 0 or below: not evaluable",
    ),
    Entry(
        rule="calibration.mad",
        title="Mean absolute deviation",
        section="calibration",
        unit="share",
        better="lower",
        formula="distance of realised and estimated, weighted by exposure; of exposures at default, in amounts over "
        "the realised total",
        source=LI,
        edge_cases="exposures of 0 in total: not evaluable",
    ),
    Entry(
        rule="calibration.downturn",
        title="Downturn estimate",
        section="calibration",
        unit="p-value",
        better="higher",
        formula="one-sided t-test of outcomes of the downturn period against the estimate plus the contract's add-on; "
        "small when the downturn estimate was too low",
        source=f"{ECB}, section 2.6.2.1 applied to the period of EBA/GL/2019/03 (house rule)",
        edge_cases="no downturn column in the contract, or fewer than two rows in the period: not evaluable",
    ),
    Entry(
        rule="calibration.ead-t-test",
        title="t-test of exposures at default",
        section="calibration",
        unit="p-value",
        better="higher",
        formula="the one-sided t-test on amounts: drawn + CCF times undrawn, realised against estimated, number "
        "weighted",
        source=f"{ECB}, section 2.9.3.2",
        edge_cases="as the t-test; drawn below 0 counts as 0, undrawn below 0 as 0",
    ),
    Entry(
        rule="data.estimate-bounds",
        title="Estimates outside 0 to 1",
        section="data",
        unit="share",
        better="lower",
        formula="share of validation rows whose estimate is below 0 or above 1",
        source="house rule; CRR Art. 181 and 182 on estimates",
        edge_cases="an estimate is not finite: not evaluable",
    ),
    Entry(
        rule="data.outcome-bounds",
        title="Outcomes outside 0 to 1",
        section="data",
        unit="share",
        better="lower",
        formula="share of validation rows whose outcome is below 0 or above 1; they are kept in every test",
        source="house rule",
        edge_cases="none: a sample has rows and finite outcomes",
    ),
    Entry(
        rule="data.observations",
        title="Outcomes in the validation sample",
        section="data",
        unit="count",
        better="higher",
        formula="number of rows that the tests of height stand on: below the policy's minimum they have no power to "
        "fail",
        source="house rule",
        edge_cases="none",
    ),
    Entry(
        rule="data.undrawn",
        title="Facilities without anything undrawn",
        section="data",
        unit="share",
        better="lower",
        formula="share of validation rows that are drawn to the limit or beyond; they have no conversion factor, count "
        "in amounts and not in tests of the factor",
        source="house rule; ECB guide to internal models (2024), on facilities near full use",
        edge_cases="none",
    ),
    Entry(
        rule="data.drawn-below-zero",
        title="Facilities with a credit balance",
        section="data",
        unit="share",
        better="lower",
        formula="share of validation rows whose drawn amount is below 0; it counts as 0",
        source="house rule",
        edge_cases="none",
    ),
)
