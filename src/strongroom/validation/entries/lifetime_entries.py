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
        "state",
        source="IFRS 9 5.5.17(a), B5.5.42; Vasicek 2002",
        edge_cases="no scenarios or asset correlation in the policy, or a mean PD of 0 or 1: not evaluable",
    ),
)
