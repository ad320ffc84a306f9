"""The catalogue's tests for IFRS 9: default over the whole life, stages, scenarios."""

from __future__ import annotations

from typing import Final

from strongroom.validation.entries.entry import Entry

LIFETIME_ENTRIES: Final = (
    Entry(
        rule="lifetime.cumulative",
        title="Lifetime default by cohort, worst horizon",
        section="lifetime",
        unit="p-value",
        better="higher",
        formula="for each cohort and horizon: Jeffreys' rule on the product-limit share of defaults so far against the "
        "model's, among as many whole lives as carry the same information (Greenwood's sum); smallest p after Holm's "
        "adjustment; small when the model was too low",
        source="Kaplan and Meier 1958; Greenwood 1926; Jeffreys' rule on cumulative shares is a house rule",
        edge_cases="no column with the period: not evaluable; a cohort with a period without anybody before its last "
        "is left out and counted; horizons hang together, so Holm's adjustment is careful",
    ),
    Entry(
        rule="lifetime.sicr",
        title="Defaults that were in stage 2 before",
        section="lifetime",
        unit="share",
        better="higher",
        formula="share of the defaults that were in stage 2 at the reporting date before; beside it the share of stage "
        "1 that defaulted from there, the share of stage 2 that defaulted, and the share of others who were in stage 2",
        source="IFRS 9 5.5.3; no authority gives a threshold",
        edge_cases="no column with the stage, or a stage other than 1 and 2: not evaluable; nobody defaulted: not "
        "evaluable",
    ),
    Entry(
        rule="lifetime.nonlinearity",
        title="Non-linearity of scenarios",
        section="lifetime",
        unit="ratio",
        better="lower",
        formula="mean PD in each of the policy's states by the one-factor model, weighted, over the PD in the mean "
        "state; where the policy names no scenarios, over every state by its chance (standard normal), in closed form",
        source="IFRS 9 5.5.17(a), B5.5.42; Vasicek 2002",
        edge_cases="no asset correlation in the policy, or a mean PD of 0 or 1: not evaluable",
    ),
    Entry(
        rule="lifetime.losses",
        title="Losses that came over expected losses that were booked",
        section="lifetime",
        unit="ratio",
        better="lower",
        formula="sum of the losses realised since the reporting date over the sum of the expected credit losses booked "
        "then for the same time, with Fieller's interval; p: one-sided paired t-test by stage and cohort, the smallest "
        "after Holm's adjustment, small where too little was booked",
        source="IFRS 9 5.5.17, IFRS 7 35G(c); Fieller 1954; no authority gives a threshold",
        edge_cases="no column with either amount, a gap in one, or nothing booked: not evaluable; a group without "
        "anything booked is shown without ratio and test; losses of one year hang together, which the test does not "
        "know: read it beside the scenarios",
    ),
)
