"""The catalogue of the robustness tests."""

from __future__ import annotations

from strongroom.validation.entries.entry import Entry

ROBUSTNESS_ENTRIES = (
    Entry(
        rule="robustness.noise",
        title="Decisions turned by noise",
        section="robustness",
        unit="share",
        better="lower",
        formula="rows whose decision turns when every number gets normal noise of the policy's share of its spread on "
        "the development sample (interquartile range / 1.349, else standard deviation), over all stressed rows; "
        "Jeffreys interval",
        source="house rule; flip rate",
        edge_cases="one decision only, or a score that is not finite: not evaluable; whole numbers are rounded, bounds "
        "of the contract are kept, categories stay",
    ),
    Entry(
        rule="robustness.near",
        title="Decisions turned by noise near a cut-off",
        section="robustness",
        unit="share",
        better="lower",
        formula="the same among rows whose score lies within the policy's distance of a cut-off",
        source="house rule; flip rate",
        edge_cases="fewer than 10 rows that near: not evaluable",
    ),
    Entry(
        rule="robustness.missing",
        title="Decisions turned by missing values",
        section="robustness",
        unit="share",
        better="lower",
        formula="rows whose decision turns when the policy's share of the values is taken away, of features that the "
        "contract lets be missing",
        source="house rule; flip rate",
        edge_cases="no such feature: 0, since the gateway refuses such rows",
    ),
    Entry(
        rule="robustness.range",
        title="Proven scores outside the output contract",
        section="robustness",
        unit="score",
        better="lower",
        formula="how far the proven range of the score over all rows that the contract allows goes beyond the output "
        "contract's bounds; 0 when it stays within",
        source="Devos, Meert, Davis 2021 (Veritas)",
        edge_cases="the model is no forest, or the prover is not installed: not evaluable; a search that ends early "
        "gives a wider range, never a narrower one",
    ),
    Entry(
        rule="robustness.monotone",
        title="Declared monotone features without proof",
        section="robustness",
        unit="count",
        better="lower",
        formula="features that the contract declares monotone for which, at some threshold of the forest and for some "
        "row that the contract allows, the score moves the other way, or the search ended before it was excluded",
        source="house rule; exact by thresholds, each bounded by Veritas (Devos, Meert, Davis 2021)",
        edge_cases="none declared: 0; declared but the model is no forest: not evaluable; sums of leaves as real "
        "numbers, so float32 rounding of the runtime is not seen",
    ),
    Entry(
        rule="robustness.change",
        title="Decisions that can be turned by changes",
        section="robustness",
        unit="share",
        better="lower",
        formula="share of applicants (fraud: transactions) at or above a cut-off for which it is not proven that no "
        "change of the contract's actionable features, within the budget for each, brings them below it; without a "
        "forest, the share that an attack turned",
        source="Devos, Meert, Davis 2021 (Veritas); without proof HopSkipJump (Chen, Jordan, Wainwright 2020)",
        edge_cases="no actionable feature, no cut-off, nobody above one: not evaluable; a missing value stays missing; "
        "an attack that finds nothing proves nothing",
    ),
    Entry(
        rule="robustness.extraction",
        title="Model copied from its answers",
        section="robustness",
        unit="R-squared",
        better="lower",
        formula="share of the scores' variance on rows held out that boosted trees explain after training on the "
        "policy's largest number of answers; a thief with such rows is assumed",
        source="Tramer et al. 2016",
        edge_cases="too few rows, equal scores: not evaluable; limits on callers and the alarm for extraction are the "
        "answer to a high figure, not another model",
    ),
    Entry(
        rule="robustness.membership",
        title="Development rows told from others",
        section="robustness",
        unit="AUC",
        better="lower",
        formula="AUC of the model's log loss as a sign that a row is of the validation and not of the development "
        "sample, DeLong interval; 0.5 is a guess",
        source="Yeom et al. 2018",
        edge_cases="samples of different periods differ for other reasons too; perfect separation: no interval",
    ),
)
