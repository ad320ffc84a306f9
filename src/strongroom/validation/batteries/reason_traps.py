"""Known traps of reason codes, each held against the model: where the reference lies, features of two groups that say
one thing, reasons closer together than noise, missing values, and reasons that stand for a protected attribute.

`docs/how-to/give-reason-codes.md` has the table of all traps with what controls them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from strongroom.registry.contract import ModelContract
from strongroom.validation.batteries.reason_ranking import Floats, Ranking, Rows, Words
from strongroom.validation.catalogue import Basis, answer
from strongroom.validation.results import Column, NotEvaluable, Table, TestResult, decimal
from strongroom.validation.statistics.proxies import Proxies

RANKED_ROWS: Final = 20_000
RANKED_FEATURES: Final = 100
SHOWN: Final = 10
FINEST: Final = 2.0**-20
"""Share of a row's largest weight: the served score, a float32 sum of float32 leaves, tells no smaller ones apart."""


def reference_test(
    ranking: Ranking, values: Floats, told: float, favoured: float | None, words: Words, basis: Basis, *, decided: bool
) -> TestResult:
    """Is the reference better than those who are compared with it? Else reasons tell why somebody is *not* worse.

    Args:
        values: contributions, shape [rows, features].
        told: the score that the reference has.
        favoured: share of the reference rows whose own decision is the favourable one; None where there are none.
        decided: whether the contract has a favourable decision, and another.
    """
    if not decided:
        missing = NotEvaluable("the contract has one decision only, so none is favourable")
        return answer("explanation.reference", missing, "", basis)
    worse = float((ranking.sign * values.sum(axis=1) > 0).mean())
    sentence = (
        f"The reference scores {told:.4g}, and {worse:.1%} of the {words.many} looked at score worse than it."
        + ("" if favoured is None else f" {favoured:.0%} of its rows would get the favourable decision.")
    )  # fmt: skip
    details: list[tuple[str, float | int | str]] = [("score of the reference", told)]
    if favoured is not None:
        details.append(("reference rows with the favourable decision", favoured))
    return answer("explanation.reference", worse, sentence, basis, details=details)


def margin_test(
    ranking: Ranking, weights: Floats, disturbed: Sequence[Floats], words: Words, basis: Basis
) -> tuple[TestResult, tuple[Table, ...]]:
    """How far the last reason that is told lies above the first that is not, held against noise.

    Args:
        weights: shape [rows, groups].
        disturbed: the same with noise on the rows, one for each draw.
    """
    rule = "explanation.margin"
    ranked = np.argsort(-weights, axis=1, kind="stable")
    told = np.minimum(np.count_nonzero(weights > 0, axis=1), ranking.wish.max_codes)
    if not told.any():
        return answer(rule, NotEvaluable("no row has a reason"), "", basis), ()

    def gaps(found: Floats) -> Floats:
        """From each place to the next, or to nothing where the next speaks for the row."""
        lined = np.take_along_axis(found, ranked, axis=1)
        after = np.concatenate([lined[:, 1:], np.zeros((len(lined), 1))], axis=1)
        far: Floats = lined - np.maximum(after, 0.0)
        return far

    plain = gaps(weights)
    moved = np.sqrt(np.mean([(gaps(one) - plain) ** 2 for one in disturbed], axis=0))
    moved = np.maximum(moved, FINEST * np.abs(weights).max(axis=1, keepdims=True))
    unsure = plain <= moved
    some = np.flatnonzero(told)
    last = told[some] - 1
    share = float(unsure[some, last].mean())
    first = float(unsure[some, 0].mean())
    sentence = (
        f"For {share:.1%} of the {words.many} with a reason, the last that is told and the first that is not lie "
        "closer together than noise moves them: which of the two is told is chance."
    )
    rows = []
    for place in range(int(told.max())):
        having = np.flatnonzero(told > place)
        rows.append(
            (
                f"{place + 1} and {place + 2}", str(len(having)), decimal(float(unsure[having, place].mean())),
                decimal(float(np.median(plain[having, place]))), decimal(float(np.median(moved[having, place]))),
            )
        )  # fmt: skip
    table = Table(
        section="explanation",
        title="How sure each place is",
        caption="From each reason that is told to the next group, or to nothing where the next speaks the other way. "
        "Unsure: the distance is no larger than the root mean square of its changes under noise.",
        columns=(
            Column(name="Between places", unit="text"), Column(name="Rows", unit="count"),
            Column(name="Unsure", unit="share"), Column(name="Median distance", unit="weight"),
            Column(name="Median noise", unit="weight"),
        ),
        rows=tuple(rows),
    )  # fmt: skip
    details = [("rows with a reason", len(some)), ("first reason unsure", first), ("draws", len(disturbed))]
    return answer(rule, share, sentence, basis, details=details), (table,)


def correlation_test(
    contract: ModelContract, ranking: Ranking, rows: Rows, sizes: Floats, basis: Basis
) -> tuple[TestResult, tuple[Table, ...]]:
    """Do two features that say one thing stand in two groups? Each then carries half of the reason, and ranks low.

    Args:
        rows: of the sample, shape [rows, features].
        sizes: mean size of each feature's contribution, shape [features]; features without any are left out.
    """
    rule = "explanation.correlation"
    names = [feature.name for feature in contract.input.features]
    group = ranking.groups(len(names))
    used = np.argsort(-sizes, kind="stable")[:RANKED_FEATURES]
    used = np.sort(used[sizes[used] > 0])
    if len(used) < 2 or len(np.unique(group[used])) < 2:
        return answer(rule, NotEvaluable("fewer than two groups hold a feature that the model uses"), "", basis), ()
    some = np.unique(np.linspace(0, len(rows) - 1, RANKED_ROWS).round().astype(np.int64))
    ranks = np.stack([_ranks(rows[some, place]) for place in used])
    spread = np.sqrt((ranks**2).sum(axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        # no BLAS, whose bits hang on threads; a column without spread goes with nothing
        together = np.einsum("ir,jr->ij", ranks, ranks) / np.outer(spread, spread)
    together = np.nan_to_num(together, nan=0.0)
    apart = np.triu(group[used][:, None] != group[used][None, :], 1)
    pairs = np.argwhere(apart)
    size = np.abs(together[pairs[:, 0], pairs[:, 1]])
    order = np.argsort(-size, kind="stable")[:SHOWN]
    rows_shown = []
    for n in order:
        a, b = (int(used[k]) for k in pairs[n])
        rows_shown.append((names[a], ranking.codes[group[a]], names[b], ranking.codes[group[b]], decimal(size[n])))
    first = rows_shown[0]
    sentence = (
        f"{first[0]} (code {first[1]}) and {first[2]} (code {first[3]}) go together most among features of two "
        f"groups: a rank correlation of {size[order[0]]:.2f} in size. Near 1, one group is right for both."
    )
    heads = ("Feature", "Code", "Other feature", "Its code")
    table = Table(
        section="explanation",
        title="Features that go together in two groups",
        caption="Rank correlation in size, of features with a contribution; a missing value counts as the median. A "
        "reason that is parted between two groups ranks lower in both than it is.",
        columns=(*(Column(name=name, unit="text") for name in heads), Column(name="Correlation", unit="share")),
        rows=tuple(rows_shown),
    )
    return answer(rule, float(size[order[0]]), sentence, basis), (table,)


def missing_test(
    contract: ModelContract, ranking: Ranking, rows: Rows, values: Floats, principal: Sequence[Sequence[int]],
    words: Words, basis: Basis,
) -> TestResult:  # fmt: skip
    """Is anybody told a value of a feature of which there is none? Found as the gateway finds it."""
    rule = "explanation.missing"
    wrong, codes = 0, set()
    holes = np.isnan(rows)
    for n in np.flatnonzero(holes.any(axis=1)).tolist():
        found = [
            ranking.codes[group]
            for group in principal[n]
            if not ranking.missing[group]
            and holes[n, (members := ranking.members(group))[int((ranking.sign * values[n, members]).argmax())]]
        ]
        wrong += bool(found)
        codes.update(found)
    share = wrong / len(rows)
    may = any(feature.missing == "nan" for feature in contract.input.features)
    sentence = (
        f"{share:.1%} of the {words.many} looked at are told a code whose weightiest feature is missing, and the code "
        f"has no `missing` beside it: {', '.join(sorted(codes)[:8])}."
        if wrong
        else "Nobody is told the value of a feature that is missing."
        if may
        else "The contract lets no value be missing."
    )
    return answer(rule, share, sentence, basis, details=[("with a missing value", int(holes.any(axis=1).sum()))])


def stand_in_tests(
    contract: ModelContract, ranking: Ranking, sizes: Floats, known: Mapping[str, Proxies | NotEvaluable], basis: Basis
) -> tuple[list[TestResult], tuple[Table, ...]]:
    """Does a reason group hold a feature that tells a protected attribute by itself?

    Args:
        sizes: mean size of each feature's contribution, shape [features]; features without any are left out.
        known: what the search for proxies found, by protected attribute.
        basis: of the protected sample.
    """
    rule = "explanation.proxies"
    names = [feature.name for feature in contract.input.features]
    group = ranking.groups(len(names))
    found, lines = [], []
    for attribute, proxies in known.items():
        if isinstance(proxies, NotEvaluable):
            found.append(answer(rule, proxies, "", basis, suffix=attribute))
            continue
        areas = {c.feature: c.best for c in proxies.carriers if sizes[c.feature] > 0}
        if not areas:
            found.append(answer(rule, NotEvaluable("the model uses no feature"), "", basis, suffix=attribute))
            continue
        strongest = max(sorted(areas), key=lambda feature: areas[feature])
        code = ranking.codes[group[strongest]]
        sentence = (
            f"Of the features behind the codes, {names[strongest]} tells this attribute best by itself: "
            f"{areas[strongest]:.1%} of the time (50% is chance). It stands behind code {code}; what stands for a "
            "protected attribute is no reason to be told."
        )
        details = [("feature", names[strongest]), ("code", code)]
        found.append(answer(rule, areas[strongest], sentence, basis, suffix=attribute, details=details))
        for place, told in enumerate(ranking.codes):
            members = [int(n) for n in ranking.members(place) if int(n) in areas]
            if members:
                top = max(members, key=lambda feature: areas[feature])
                lines.append((areas[top], (told, attribute, names[top], decimal(areas[top]))))
    if not lines:
        return found, ()
    table = Table(
        section="explanation",
        title="What the codes know of protected attributes",
        caption="For each code the feature behind it that tells the attribute best by itself, of the groups that are "
        "large enough.",
        columns=(
            *(Column(name=name, unit="text") for name in ("Code", "Attribute", "Feature")),
            Column(name="Alone", unit="AUC"),
        ),
        rows=tuple(line for _, line in sorted(lines, key=lambda pair: (-pair[0], pair[1]))),
    )
    return found, (table,)


def _ranks(column: npt.NDArray[np.float32]) -> Floats:
    """Ranks around their mean, ties halved, what is missing in the middle."""
    values = column.astype(np.float64)
    there = values[np.isfinite(values)]
    filled = np.where(np.isnan(values), np.median(there) if there.size else 0.0, values)
    ranks = rankdata(filled)
    found: Floats = ranks - ranks.mean()
    return found
