"""False alarms by group: a plain count agrees, the group that has them all is found, small groups stay untold."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from scipy import stats

from strongroom.registry.contract import CutOff
from strongroom.validation import results as documents
from strongroom.validation.batteries.equity import group_tests
from strongroom.validation.batteries.equity_alarms import alarm_tests
from strongroom.validation.batteries.protected_groups import WORDS, People, gather
from strongroom.validation.batteries.scored import Scored
from strongroom.validation.catalogue import Basis
from strongroom.validation.policy import ValidationPolicy
from strongroom.vocabulary import digest_of
from tests.validation.worked import POLICY, contract

LIMITS = ValidationPolicy.decode(POLICY.read_bytes()).fairness


def people(counts: dict[str, tuple[int, int]], unit: str = "score") -> People:
    """Groups with so many genuine transactions and so many alarms among them, and 30 frauds each."""
    plain = contract(("a",), "t", "t")
    about = msgspec.structs.replace(
        plain,
        protected=("sex",),
        cut_offs=(CutOff(decision="pass", below="0.5"), CutOff(decision="alarm")),
    )
    score, outcome, group = [], [], []
    for name, (n, alarms) in counts.items():
        score += [0.9] * alarms + [0.1] * (n - alarms) + [0.8] * 30
        outcome += [0] * n + [1] * 30
        group += [name] * (n + 30)
    rows = np.asarray(score, dtype=np.float32)
    sample = Scored(Basis("validation", digest_of(b"x"), len(rows)), rows[:, None], rows, np.asarray(outcome))
    found = gather(sample, {"sex": group}, about, LIMITS, 0.95)
    return replace(found, words=WORDS["fraud"], probable=unit == "probability")


def only(who: People) -> documents.TestResult:
    (found,) = alarm_tests(who)
    return found


def test_the_ratio_is_that_of_a_plain_count_and_the_p_value_that_of_fisher() -> None:
    found = only(people({"f": (1000, 30), "m": (3000, 45)}))
    assert float(found.figure or 0) == pytest.approx((30 / 1000) / (45 / 3000))
    p = stats.fisher_exact([[30, 970], [45, 2955]]).pvalue
    assert float(found.p_value or 0) == pytest.approx(p)
    assert found.details[0].value == "f"
    assert found.interval
    assert float(found.interval[0]) < 2 < float(found.interval[1])
    three = only(people({"f": (1000, 30), "m": (3000, 45), "x": (1000, 10)}))
    assert float(three.p_value or 0) == pytest.approx(3 * stats.fisher_exact([[30, 970], [55, 3945]]).pvalue)


def test_a_group_that_has_every_false_alarm_is_found_although_the_others_have_none() -> None:
    found = only(people({"f": (1000, 40), "m": (3000, 0)}))
    assert float(found.figure or 0) > 100
    assert (found.interval, found.details[0].value) == (None, "f")
    assert float(found.p_value or 1) < 1e-6


def test_no_false_alarm_and_groups_too_small_have_reasons() -> None:
    assert "none of the genuine" in (only(people({"f": (500, 0), "m": (500, 0)})).reason or "")
    assert "fewer than two groups" in (only(people({"f": (20, 5), "m": (3000, 0)})).reason or "")


def test_a_small_group_is_neither_told_nor_reckoned() -> None:
    found = only(people({"canary": (20, 9), "f": (1000, 31), "m": (3000, 45)}))
    assert "canary" not in msgspec.json.encode(found).decode()
    assert found.figure == str(round(float(found.figure or 0), 2)), "beside a veiled group: in hundredths"


def test_words_and_calibration_are_those_of_the_kind() -> None:
    who = people({"f": (1000, 30), "m": (3000, 45)})
    tests, _, tables = group_tests(who)
    by_rule = {test.rule: test for test in tests}
    assert "score and no probability" in (by_rule["fairness.calibration"].reason or "")
    assert "Flagged of genuine transactions" in {column.name for column in tables[0].columns}
    odds = by_rule["fairness.odds"]
    assert {detail.name for detail in odds.details} >= {"gap among frauds", "gap among genuine transactions"}
    likely = {t.rule: t for t in group_tests(people({"f": (1000, 30), "m": (3000, 45)}, "probability"))[0]}
    assert likely["fairness.calibration"].figure is not None
