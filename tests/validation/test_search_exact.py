"""Searches and attacks against plain loops: other ways to decide, what knows a protected attribute, what is given away.

Light on purpose, since mutation testing runs it hundreds of times.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from strongroom.validation.results import NotEvaluable
from strongroom.validation.statistics import alternatives, discrimination, exposure, proxies
from strongroom.validation.statistics.alternatives import Alternative, Grouping, Muted, Search, mute, search
from strongroom.validation.statistics.proxies import Proxies, find_proxies

NAN = float("nan")


# other ways to decide


def asked(rows: Any) -> tuple[Muted, list[Any]]:
    seen: list[Any] = []

    def answer(given: Any) -> Any:
        seen.append(given.copy())
        return (given[:, 0] / 2).astype(np.float32)

    return mute(answer, np.array(rows, np.float32), most_rows=4), seen


def test_each_feature_is_held_at_its_lower_median_once() -> None:
    rows = [[n, 9 - n, 5.0, NAN] for n in range(10)]
    rows[3][1], rows[9][1] = NAN, float("inf")
    made, seen = asked(rows)
    assert made.places.tolist() == [0, 3, 6, 9]
    assert list(made.scores) == [0, 1]
    # of 0, 3, 6, 9 the lower median is 3; of 9 and 3, with a gap and an infinity between them, it is 3 as well
    assert seen[0][:, 0].tolist() == [3, 3, 3, 3]
    assert seen[1][:, 1].tolist() == [3, 3, 3, 3]
    assert seen[0][:, 2].tolist() == [5, 5, 5, 5]
    assert made.scores[0].tolist() == [1.5] * 4
    assert made.scores[1].tolist() == [0, 1.5, 3, 4.5]
    assert made.scores[0].dtype == np.float64


@pytest.mark.parametrize(
    ("most_rows", "most_answers", "places"),
    [(100, 1000, range(10)), (3, 1000, [0, 4, 9]), (100, 6, [0, 4, 9]), (100, 7, [0, 4, 9]), (100, 8, [0, 3, 6, 9]),
     (100, 1, [0])],
)  # fmt: skip
def test_rows_beyond_what_may_be_asked_are_left_out_evenly(most_rows: int, most_answers: int, places: Any) -> None:
    rows = np.arange(20, dtype=np.float32).reshape(10, 2)
    made = mute(lambda given: given[:, 0], rows, most_rows, most_answers)
    assert made.places.tolist() == list(places)
    assert (alternatives.MOST_ROWS, alternatives.MOST_ANSWERS) == (20_000, 250_000)
    bare = mute(lambda given: given[:, 0], np.empty((3, 0), np.float32), 100, 2)
    assert (bare.places.tolist(), dict(bare.scores)) == ([0, 2], {})


def ways_by_hand(p: Any, y: Any, muted: Muted, groups: list[Any], cut_off: float) -> list[list[Alternative]]:
    """All ways on both halves, one after the other, in plain loops."""
    p, y, groups = p[muted.places], y[muted.places], [(codes[muted.places], judged) for codes, judged in groups]
    order = np.random.default_rng(0).permutation(np.lexsort([*(codes for codes, _ in groups), y, p]))
    halves = [order[0::2], order[1::2]]
    price = (1 - cut_off) / cut_off
    scores: list[tuple[Any, float, Any]] = [(None, 0.0, p)]
    for feature, silent in muted.scores.items():
        scores += [(feature, 0.5, 0.5 * p + 0.5 * silent), (feature, 1.0, silent)]
    found = []
    for feature, blend, adjusted in scores:
        first = adjusted[halves[0]]
        cuts = set(np.quantile(first, np.arange(1, 20) / 20).tolist())
        own = cut_off if feature is None else float(np.quantile(first, np.mean(p < cut_off)))
        for cut in [own, *sorted(cuts - {own})]:
            pair = []
            for half in halves:
                favoured, outcome = adjusted[half] < cut, y[half]
                ratios = []
                for codes, judged in groups:
                    rates = [favoured[codes[half] == one].mean() for one in judged]
                    ratios.append(min(rates) / max(rates) if max(rates) else NAN)
                earned = sum(1.0 if good == 0 else -price for good in outcome[favoured])
                pair.append(
                    Alternative(
                        feature, blend, cut, float(favoured.mean()), min(ratios),
                        float(1 - roc_auc_score(1 - outcome, adjusted[half])), earned / len(half),
                    )
                )  # fmt: skip
            if not any(np.isnan(one.ratio) for one in pair):
                found.append(pair)
    return found


def sample() -> tuple[Any, Any, Muted, list[Any]]:
    random = np.random.default_rng(8)
    rows = 120
    p = np.round(random.beta(2, 4, rows), 2)
    y = (random.random(rows) < p).astype(int)
    sexes, ages = random.integers(0, 2, rows), random.integers(0, 4, rows)
    p = np.round(np.clip(p + 0.1 * (sexes == 1), 0, 1), 2)
    places = np.arange(0, rows - 1)
    noise = random.normal(0, 0.5, (2, rows - 1)) - [0.4 * sexes[places], np.zeros(rows - 1)]
    muted = Muted(
        places, {n: np.round(np.clip(p[places] + one, 0, 1), 2) for n, one in zip((0, 3), noise, strict=True)}
    )
    return p, y, muted, [(sexes, (0, 1)), (ages, (0, 2, 3))]


def close(one: Alternative, two: Alternative) -> bool:
    values = [[w.blend, w.cut_off, w.accepted, w.ratio, w.auc, w.profit] for w in (one, two)]
    return one.feature == two.feature and np.allclose(values[0], values[1], rtol=0, atol=1e-12)


def beaten(one: Alternative, by: Alternative) -> bool:
    mine, theirs = (one.ratio, one.auc, one.profit), (by.ratio, by.auc, by.profit)
    return all(b >= a for a, b in zip(mine, theirs, strict=True)) and mine != theirs


P, Y, MUTED, GROUPS = sample()
WAYS = ways_by_hand(P, Y, MUTED, GROUPS, 0.35)
GROUPINGS = [Grouping(codes, judged) for codes, judged in GROUPS]


def run(loss_of_auc: float, loss_of_profit: float) -> Search:
    found = search(P, Y, MUTED, GROUPINGS, 0.35, loss_of_auc=loss_of_auc, loss_of_profit=loss_of_profit)
    assert isinstance(found, Search)
    return found


def best_by_hand(loss_of_auc: float, loss_of_profit: float) -> Alternative:
    present = WAYS[0]
    allowed = [
        pair for pair in WAYS
        if present[0].auc - pair[0].auc <= loss_of_auc + 1e-12
        and present[0].profit - pair[0].profit <= loss_of_profit * abs(present[0].profit) + 1e-12
    ]  # fmt: skip
    best = max(allowed, key=lambda pair: (*(round(v, 9) for v in (pair[0].ratio, pair[0].profit, pair[0].auc)),))
    return best[1] if best[0].ratio > present[0].ratio + 1e-12 else present[1]


@pytest.mark.parametrize(("loss_of_auc", "loss_of_profit"), [(1.0, 100.0), (0.02, 0.3), (0.1, 0.1), (0.0, 0.0)])
def test_the_best_way_is_the_one_that_loops_find(loss_of_auc: float, loss_of_profit: float) -> None:
    found = run(loss_of_auc, loss_of_profit)
    present = WAYS[0]
    assert found.tried == len(WAYS) > 50
    assert found.price == pytest.approx(0.65 / 0.35)
    assert close(found.present, present[1])
    assert close(found.best, best_by_hand(loss_of_auc, loss_of_profit))
    frontier = [pair[1] for pair in WAYS if not any(beaten(pair[1], other[1]) for other in WAYS)]
    assert len(found.frontier) == len(frontier)
    assert [w.ratio for w in found.frontier] == sorted(w.ratio for w in found.frontier)
    for way in found.frontier:
        assert any(close(way, other) for other in frontier)


def test_limits_are_met_by_a_loss_of_exactly_so_much() -> None:
    present = WAYS[0][0]
    by_area = [(present.auc - pair[0].auc, 100.0) for pair in WAYS]
    by_profit = [(1.0, (present.profit - pair[0].profit) / abs(present.profit)) for pair in WAYS]
    for losses, step in ((by_area, (1e-9, 0.0)), (by_profit, (0.0, 1e-9))):
        turning = [
            loss for loss in losses if min(loss) > 0.001
            and best_by_hand(loss[0] + step[0], loss[1] + step[1]) != best_by_hand(loss[0] - step[0], loss[1] - step[1])
        ]  # fmt: skip
        assert turning
        for sign in (1, -1):
            given = [one + sign * least for one, least in zip(turning[0], step, strict=True)]
            assert close(run(*given).best, best_by_hand(*given))


def test_what_cannot_be_searched_says_why() -> None:
    kind: dict[str, Any] = {"loss_of_auc": 1.0, "loss_of_profit": 1.0}
    for groups, cut, words in (
        ([], 0.35, "no protected attribute"), (GROUPINGS, 0.0, "no probability"), (GROUPINGS, 1.0, "no probability"),
        (GROUPINGS, -0.1, "no probability"), (GROUPINGS, 1.1, "no probability"), (GROUPINGS, 0.0001, "on half"),
        ([Grouping(np.zeros(120, np.int64), (0, 1))], 0.35, "some group is empty"),
    ):  # fmt: skip
        found = search(P, Y, MUTED, groups, cut, **kind)
        assert isinstance(found, NotEvaluable)
        assert words in found.reason
    found = search(P, np.zeros(120), MUTED, GROUPINGS, 0.35, **kind)
    assert isinstance(found, NotEvaluable)
    # nobody but the members of judged groups counts for a ratio, and those of others count for all else
    lone = search(P, Y, MUTED, [Grouping(GROUPS[1][0], (2, 3))], 0.35, **kind)
    assert isinstance(lone, Search)
    assert lone.present.accepted == pytest.approx(WAYS[0][1].accepted, abs=0.1)


def test_ratios_count_judged_groups_only() -> None:
    codes = np.array([0, 0, 1, 1, 1, 1, 2])
    favoured = np.array([True, False, True, True, True, True, False])
    assert alternatives._lowest_ratio(favoured, Grouping(codes, (0, 1))) == 0.5
    assert alternatives._lowest_ratio(favoured, Grouping(codes, (1, 2))) == 0.0
    assert alternatives._lowest_ratio(favoured, Grouping(codes, (2,))) is None
    assert alternatives._lowest_ratio(favoured, Grouping(codes, (0, 3))) is None
    assert alternatives._lowest_ratio(np.zeros(7, bool), Grouping(codes, (0, 1))) is None


# what knows a protected attribute


def attribute(rows: int = 100) -> tuple[Any, Any]:
    random = np.random.default_rng(3)
    groups = random.choice([0, 4, 7, 9], rows, p=[0.35, 0.35, 0.2, 0.1])
    x = np.column_stack([
        random.normal(size=rows) + (groups == 4), random.integers(0, 3, rows) + 2 * (groups == 7), np.full(rows, NAN),
        random.normal(size=rows),
    ]).astype(np.float32)  # fmt: skip
    x[::9, 0] = NAN
    return x, groups


def area(member: Any, told: Any) -> float:
    return float(roc_auc_score(member, told))


def proxies_by_hand(x: Any, groups: Any, judged: tuple[int, ...], most: int) -> tuple[int, float, list[Any], Any]:
    kept = np.flatnonzero(np.isin(groups, judged))
    kept = kept[np.lexsort([*np.where(np.isnan(x[kept]), np.inf, x[kept]).T, groups[kept]])]
    if len(kept) > most:
        kept = kept[[int(n) for n in np.linspace(0, len(kept) - 1, most)]]
    x, y = x[kept], groups[kept]
    names = sorted(set(y.tolist()))
    random, fold = np.random.default_rng(0), np.zeros(len(y), int)
    for name in names:
        for turn, place in enumerate(random.permutation(np.flatnonzero(y == name))):
            fold[place] = turn % 3
    shuffle = np.random.default_rng(0)
    orders = [shuffle.permutation(int((fold == k).sum())) for k in range(3)]
    full = np.where(np.isnan(x).all(axis=0), 0, x)
    whole, without = np.zeros((len(y), len(names))), np.zeros((x.shape[1], len(y), len(names)))
    for k in range(3):
        trees = HistGradientBoostingClassifier(
            max_iter=30, max_leaf_nodes=15, learning_rate=0.15, min_samples_leaf=20, early_stopping=False,
            random_state=0,
        )  # fmt: skip
        with threadpool_limits(1):
            trees.fit(full[fold != k], y[fold != k])
            whole[fold == k] = trees.predict_proba(full[fold == k])
            for feature in range(x.shape[1]):
                mixed = full[fold == k].copy()
                mixed[:, feature] = mixed[orders[k], feature]
                without[feature, fold == k] = trees.predict_proba(mixed)
    areas = [area(y == name, whole[:, place]) for place, name in enumerate(names)]
    best = next(place for place, one in enumerate(areas) if one > max(areas) - 1e-12)
    member = y == names[best]
    carriers = []
    for feature in range(x.shape[1]):
        values = x[:, feature]
        there = values[np.isfinite(values)]
        cuts = sorted(set(np.quantile(there, [n / 16 for n in range(1, 16)]).tolist())) if len(there) else []
        bins = [-1 if np.isnan(v) else sum(c < v for c in cuts) for v in values]
        told = []
        for k, one in zip(fold, bins, strict=True):
            others = [member[i] for i in range(len(y)) if fold[i] != k and bins[i] == one]
            told.append((sum(others) + 0.5) / (len(others) + 1))
        carriers.append((feature, area(member, told), areas[best] - area(member, without[feature, :, best])))
    carriers.sort(key=lambda one: (-one[2], -one[1], one[0]))
    return names[best], areas[best], carriers, (member, whole[:, best])


@pytest.mark.parametrize(("judged", "most", "rows"), [((0, 4, 7), 8000, None), ((0, 4), 70, 70)])
def test_what_carries_an_attribute_is_what_loops_find(judged: tuple[int, ...], most: int, rows: int | None) -> None:
    x, groups = attribute()
    found = find_proxies(x, groups, judged, 0.9, most)
    assert isinstance(found, Proxies)
    group, best, carriers, told = proxies_by_hand(x, groups, judged, most)
    assert (found.group, found.rows) == (group, rows or int(np.isin(groups, judged).sum()))
    assert found.auc == pytest.approx(best, abs=1e-12)
    assert [(one.feature, one.alone, one.lost) for one in found.carriers] == [
        pytest.approx(one, abs=1e-12) for one in carriers
    ]
    again = discrimination.auc(*told)
    assert isinstance(again, discrimination.Auc)
    assert found.interval == again.interval(0.9)
    assert (proxies.MOST_ROWS, proxies.SEED) == (8000, 0)
    turned = find_proxies(x[::-1], groups[::-1], judged, 0.9, most)
    assert turned == found


def test_a_group_needs_fifteen_rows_and_a_feature_a_value() -> None:
    random = np.random.default_rng(5)
    x = random.normal(size=(45, 2)).astype(np.float32)
    for small, words in ((15, None), (14, "fewer than 15 rows")):
        groups = np.array([0] * small + [1] * (45 - small))
        found = find_proxies(x, groups, (0, 1))
        assert isinstance(found, NotEvaluable) == (words is not None)
        assert words is None or words in found.reason  # type: ignore[union-attr]
    groups = np.array([0] * 20 + [1] * 25)
    for judged in ((), (0,), (0, 5)):
        found = find_proxies(x, groups, judged)
        assert isinstance(found, NotEvaluable)
        assert "fewer than two groups" in found.reason
    found = find_proxies(np.full((45, 2), NAN, np.float32), groups, (0, 1))
    assert isinstance(found, NotEvaluable)
    assert "no feature" in found.reason


# what answers give away


def test_copies_are_those_of_the_named_trees() -> None:
    random = np.random.default_rng(7)
    rows = random.normal(size=(60, 2)).astype(np.float32)
    rows[::7, 1] = NAN
    scores = 1 / (1 + np.exp(-np.nan_to_num(rows).sum(axis=1)))
    found = exposure.copies(rows, scores, [0.3, 0.6], [20, 40, 41], np.random.default_rng(1))
    assert isinstance(found, tuple)
    assert [(one.answers, one.n) for one in found] == [(20, 20), (40, 20)]
    again = np.random.default_rng(1)
    order = again.permutation(60)
    held, given = order[:20], order[20:]
    seed = int(again.integers(2**31))
    least = float(np.nanmin(rows))
    clean = np.column_stack([np.where(np.isnan(rows), min(least, 0.0) - 1, rows), np.isnan(rows)])
    for one in found:
        made = GradientBoostingRegressor(
            n_estimators=100, max_depth=4, learning_rate=0.1, subsample=0.5, random_state=seed
        ).fit(clean[given[: one.answers]], scores[given[: one.answers]])
        guess, truth = made.predict(clean[held]), scores[held]
        assert one.r_squared == pytest.approx(1 - np.sum((truth - guess) ** 2) / np.sum((truth - truth.mean()) ** 2))
        sides = [(values >= 0.3).astype(int) + (values >= 0.6) for values in (guess, truth)]
        assert one.agreement == pytest.approx(np.mean(sides[0] == sides[1]))


def test_a_copy_needs_rows_to_be_held_against_and_scores_that_differ() -> None:
    rows, scores = np.zeros((30, 1), np.float32), np.linspace(0, 1, 30)
    for count, sizes, words in ((30, [20], None), (30, [21], "fewer rows"), (29, [5], "fewer rows"), (30, [], None)):
        if not sizes:
            continue
        found = exposure.copies(rows[:count], scores[:count], [0.5], sizes, np.random.default_rng(1))
        assert isinstance(found, NotEvaluable) == (words is not None)
        assert words is None or words in found.reason  # type: ignore[union-attr]
    broken = scores.copy()
    broken[3] = NAN
    for given, words in ((broken, "not finite"), (np.full(30, 0.2), "all scores are equal")):
        found = exposure.copies(rows, given, [0.5], [20], np.random.default_rng(1))
        assert isinstance(found, NotEvaluable)
        assert words in found.reason


def test_low_losses_tell_members() -> None:
    inside = np.array([1, 0, 1]), np.array([0.9, 0.2, 0.4])
    outside = np.array([1, 0, 0]), np.array([0.3, 0.5, 0.2])
    found = exposure.membership(inside, outside)
    assert isinstance(found, discrimination.Auc)
    losses = [[-np.log(0.9), -np.log(0.8), -np.log(0.4)], [-np.log(0.3), -np.log(0.5), -np.log(0.8)]]
    below = stats.mannwhitneyu(losses[1], losses[0]).statistic / 9
    assert found.auc == pytest.approx(below)
    # a chance of 0 for what came, or of 1 for what did not, is held at one in a billion: a tie, and no infinity
    edge = exposure.membership((np.array([1, 0]), np.array([0.0, 1.0])), (np.array([1]), np.array([1e-9])))
    assert isinstance(edge, discrimination.Auc)
    assert edge.auc == 0.5
    assert isinstance(exposure.membership(inside, (np.array([], int), np.array([]))), NotEvaluable)
