"""Rules of a plan on simulated series: they act on what is there, and not on noise."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from scipy import stats

from strongroom.adapters.log.decision_reader import LedgerDecisions
from strongroom.approval.automatic import AutomaticRule, Condition, read_rules
from strongroom.approval.pointers import Pointer, RuleUsed, check_rule
from strongroom.approval.release import Plan, Release
from strongroom.errors import InvalidInputError, NotPermittedError
from strongroom.monitoring.automatic import Fired, evaluate
from strongroom.monitoring.comparison import compare, facts
from strongroom.monitoring.comparison_page import render
from strongroom.monitoring.outcomes import Outcome
from strongroom.monitoring.shift import distance, rate, shift
from strongroom.monitoring.trials import Arm, Kind, Trial
from strongroom.vocabulary import Digest, PersonId
from tests.serving.house import House, release_of
from tests.serving.test_standby import FIRST, SECOND, version
from tests.web.gateways import gateway, question

ONE, TWO = Digest("1" * 64), Digest("2" * 64)
RELEASE = release_of()


def arm(release: Digest, scores: Any, kinds: Any = None, first: int = 0, beside: bool = False) -> Arm:
    kinds = ["shadow" if beside else "answered"] * len(scores) if kinds is None else kinds
    prefix = "b" if release == TWO else "a"
    return Arm(
        release,
        tuple(
            Trial(
                f"{prefix}{n}", f"a{n}" if beside else f"{prefix}{n}", first + n, release, release, kind,
                np.array([1.0, 2.0, 3.0, 4.0], np.float32), math.nan if kind == "failed" else float(score), "accept",
            )
            for n, (score, kind) in enumerate(zip(scores, kinds, strict=True))
        ),
    )  # fmt: skip


def rule(*when: Condition, then: str = "roll-back", rows: int = 200, windows: int = 3, min_s: int = 0) -> AutomaticRule:
    return AutomaticRule(name="r", when=when, then=then, window_rows=rows, windows=windows, min_s=min_s)  # type: ignore[arg-type]  # an action by name


def fires(one: AutomaticRule, mine: Arm, champion: Arm | None = None, latency: float | None = None) -> Fired | None:
    return evaluate([one], RELEASE, mine, champion, latency, 100.0)


def failing(share: float, rows: int, seed: int) -> Arm:
    bad = np.random.default_rng(seed).random(rows) < share
    return arm(TWO, np.full(rows, 0.3), ["failed" if one else "answered" for one in bad])


ERRORS = Condition(figure="error-rate", above="0.05")


def test_noise_around_the_limit_does_not_flap_and_a_broken_model_is_found() -> None:
    one = rule(ERRORS)
    # at the limit itself, looked at a hundred times over
    assert sum(fires(one, failing(0.05, 600, seed)) is not None for seed in range(100)) == 0
    assert sum(fires(one, failing(0.20, 600, seed)) is not None for seed in range(100)) >= 99


def test_one_bad_window_is_not_enough() -> None:
    calm, storm = failing(0.0, 200, 1).trials, failing(0.5, 200, 2).trials
    series = [one for part in (calm, storm, calm) for one in part]
    mine = Arm(TWO, tuple(msgspec_time(series)))
    assert fires(rule(ERRORS), mine) is None
    assert fires(rule(ERRORS, windows=1), Arm(TWO, mine.trials[:400])) is not None


def msgspec_time(series: list[Trial]) -> list[Trial]:
    from dataclasses import replace

    return [replace(one, time_us=n, decision_id=f"b{n}") for n, one in enumerate(series)]


def test_too_few_rows_too_early_or_nothing_known_is_no_ground_to_act() -> None:
    assert fires(rule(ERRORS), failing(0.5, 599, 1)) is None
    assert evaluate([rule(ERRORS, min_s=101)], RELEASE, failing(0.5, 600, 1), None, None, 100.0) is None
    slow = rule(Condition(figure="latency-p99-s", above="0.1"))
    assert fires(slow, failing(0.0, 600, 1)) is None
    assert fires(slow, failing(0.0, 600, 1), latency=0.25) is not None
    shifted = rule(Condition(figure="score-shift", above="0"))
    assert fires(shifted, failing(0.0, 600, 1), None) is None


def test_a_shift_counts_beyond_chance_only() -> None:
    one = rule(Condition(figure="score-shift", above="0.01"), windows=2)
    hits = {"same": 0, "moved": 0}
    for seed in range(40):
        random = np.random.default_rng(seed)
        champion = arm(ONE, random.beta(2, 8, 400))
        hits["same"] += fires(one, arm(TWO, random.beta(2, 8, 400)), champion) is not None
        hits["moved"] += fires(one, arm(TWO, np.clip(random.beta(2, 8, 400) + 0.08, 0, 1)), champion) is not None
    assert hits["same"] <= 1
    assert hits["moved"] >= 39


def test_a_promotion_asks_that_a_shift_is_below_its_limit_beyond_chance() -> None:
    one = rule(Condition(figure="score-shift", below="0.02"), Condition(figure="ks", below="0.5"), then="promote")
    random = np.random.default_rng(4)
    scores = random.beta(2, 8, 600)
    champion = arm(ONE, scores)
    assert fires(one, arm(TWO, scores + random.normal(0, 0.01, 600), beside=True), champion) is not None
    assert fires(one, arm(TWO, scores + 0.03, beside=True), champion) is None


def test_shadows_recorded_later_are_held_against_the_decisions_beside_them() -> None:
    one = rule(Condition(figure="ks", above="0.1"))
    scores = np.random.default_rng(5).beta(2, 8, 600)
    assert fires(one, arm(TWO, scores + 0.2, first=10**6, beside=True), arm(ONE, scores)) is not None
    assert fires(one, arm(TWO, scores, first=10**6, beside=True), arm(ONE, scores)) is None


def test_the_figures_are_those_of_the_textbook() -> None:
    random = np.random.default_rng(1)
    a, b = random.normal(0, 1, 300), random.normal(0.2, 1, 250)
    found = distance(a, b)
    assert found is not None
    assert math.isclose(found.distance, stats.ks_2samp(a, b).statistic)
    assert abs(stats.kstwobign.sf(found.by_chance * math.sqrt(300 * 250 / 550)) - 0.05) < 1e-3
    low, high = stats.binomtest(7, 60).proportion_ci(0.90, "wilson")
    assert np.allclose((rate(7, 60).low, rate(7, 60).high), (low, high))
    moved = shift(arm(ONE, a), arm(TWO, b))
    assert moved is not None
    assert math.isclose(moved.mean / moved.error, -stats.ttest_ind(a, b, equal_var=False).statistic)


def test_rules_are_read_from_toml() -> None:
    text = b"""
[[rule]]
name = "withdraw"
then = "roll-back"
window_rows = 500
windows = 3
min_s = 3600
[[rule.when]]
figure = "error-rate"
above = "0.02"
"""
    (read,) = read_rules(text)
    assert str(read).startswith("withdraw: roll-back if error-rate above 0.02 in each of the last 3 windows")
    for wrong in (b"", b"rule = 1", text.replace(b"0.02", b"-1"), text.replace(b"above", b"beyond"), b"\xff"):
        with pytest.raises(InvalidInputError):
            read_rules(wrong)


# --- what a machine may do


def with_rules(manifest: str, *rules: AutomaticRule, fallback: str | None = None) -> Release:
    plan = Plan(
        stages=("shadow", "canary", "live"), max_canary_percent=50,
        fallback=Digest(fallback) if fallback else None, rules=rules or msgspec.UNSET,
    )  # fmt: skip
    return msgspec.structs.replace(release_of(manifest=manifest), plan=plan)


def pointer(champion: str, challenger: str | None, used: AutomaticRule | None = None, percent: int = 0) -> Pointer:
    return Pointer(
        v=1, model="pd-cards", champion=Digest(champion), challenger=Digest(challenger) if challenger else None,
        canary_percent=percent, sequence=2, previous=None, by=PersonId("robot"), at_us=1,
        rule=RuleUsed(name=used.name, sha256=used.digest) if used else msgspec.UNSET,
    )  # fmt: skip


def test_a_machine_moves_by_an_approved_rule_and_only_so() -> None:
    promote, back = rule(ERRORS, then="promote"), rule(ERRORS)
    third = "ef" * 32
    now = pointer(FIRST, SECOND, percent=5)
    approved = {
        Digest(FIRST): with_rules(FIRST, back, fallback=third),
        Digest(SECOND): with_rules(SECOND, promote),
        Digest(third): with_rules(third),
    }
    check_rule(pointer(SECOND, None, promote), now, approved)
    check_rule(pointer(third, None, back), now, approved)
    stricter = msgspec.structs.replace(promote, window_rows=30)
    for wrong in (
        pointer(SECOND, None),
        pointer(SECOND, None, stricter),
        pointer(SECOND, None, back),
        pointer(FIRST, None, promote),
        pointer(FIRST, SECOND, promote, percent=50),
        pointer(third, SECOND, back),
    ):
        with pytest.raises(NotPermittedError):
            check_rule(wrong, now, approved)
    with pytest.raises(NotPermittedError):
        check_rule(pointer(SECOND, None, promote), None, approved)


# --- from the ledger to the page


def test_failures_and_answers_are_read_back_from_the_ledger() -> None:
    house = House(version(FIRST, fallback=SECOND, broken=True), version(SECOND, "fallback"))
    with gateway(house) as desk:
        for number in range(3):
            assert desk.ask(question(subject=f"s-{number}"))[0] == 200
    found = list(LedgerDecisions([house.shard.reader()], house.keys).trials("pd-cards"))  # type: ignore[attr-defined]  # a memory shard
    assert [(one.manifest, one.kind) for one in found] == [(FIRST, "failed"), (SECOND, "answered")] * 3
    refused = House(version(FIRST, broken=True))
    with gateway(refused) as desk:
        assert desk.ask(question())[0] == 503
    (one,) = LedgerDecisions([refused.shard.reader()], refused.keys).trials("pd-cards")  # type: ignore[attr-defined]  # as above
    assert (one.manifest, one.kind) == (FIRST, "failed")


def test_the_comparison_of_a_shadow_is_paired_and_its_page_has_no_script() -> None:
    random = np.random.default_rng(3)
    scores = random.beta(2, 8, 500)
    outcomes = {
        f"a{n}": Outcome(decision_id=f"{n:032x}", outcome=int(random.random() < score), observed_at_us=10**9)
        for n, score in enumerate(scores)
    }
    kinds: list[Kind] = ["failed" if n < 10 else "shadow" for n in range(500)]
    noisy = arm(TWO, np.clip(scores + random.normal(0, 0.1, 500), 0, 1), kinds, beside=True)
    other = msgspec.structs.replace(RELEASE, manifest=Digest("cd" * 32))
    found = compare((RELEASE, arm(ONE, scores)), (other, noisy), outcomes, {"ab" * 6: 0.02})
    said = facts(found)
    assert (said["pairs"], said["score_shift"]["paired"], said["auc_difference"]["paired"]) == (490, True, True)
    assert said["challenger"]["errors"]["events"] == 10
    assert said["swaps"] == [{"champion": "accept", "challenger": "accept", "rows": 490}]
    assert said["champion"]["latency_p99_s"] == 0.02
    # noise costs discrimination
    assert said["auc_difference"]["interval"][1] < 0.05
    page = render(said).decode()
    assert "<script" not in page
    assert "DeLong on the same rows" in page
    assert render(said).decode() == page


def test_a_comparison_without_rows_or_outcomes_says_so() -> None:
    found = facts(compare((RELEASE, arm(ONE, [0.5])), (RELEASE, arm(TWO, [])), {}, {}))
    assert found["score_shift"] is None
    assert "not_evaluable" in found["auc_difference"]
    assert "too few rows" in render(found).decode()


def test_the_page_of_a_comparison_says_first_what_a_change_would_mean() -> None:
    scores = np.linspace(0.1, 0.9, 300)
    lower = arm(TWO, scores - 0.05, beside=True)
    said = facts(compare((RELEASE, arm(ONE, scores)), (RELEASE, lower), {}, {}))
    page = render(said).decode()
    glance = page[: page.index('id="sides"')]
    assert "0 of 300" in glance
    assert "0.0500 lower on average (-0.05" in glance, "a shift downwards is no `-0.05 higher`"
    assert "not evaluable" in glance
    assert "<title>Distribution of the scores</title><desc>" in page
    assert page.count("<th scope=") == page.count("<th "), "every head says of what"
