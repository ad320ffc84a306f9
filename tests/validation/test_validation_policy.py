"""Silence means no: thresholds come from the policy, and what is missing fails."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tools.write_policy import written

from strongroom.encoding import canonical, parse
from strongroom.errors import EvidenceError, ExpiredError, InvalidInputError
from strongroom.validation.battery_rules import Battery, Rule, conclude, judge
from strongroom.validation.catalogue import CATALOGUE, Basis, answer
from strongroom.validation.kinds import KINDS
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.results import NotEvaluable
from strongroom.vocabulary import digest_of
from tests.validation.worked import POLICY

BASIS = Basis("validation", digest_of(b"x"), 10)
GATE = Rule(test="discrimination.auc", role="gate", amber="0.7", fail="0.6")
BATTERY = Battery(kind="pd", tier=1, rules=(GATE, Rule(test="calibration.inversions", role="advisory", amber="0")))


def auc(figure: float | NotEvaluable) -> Any:
    return judge(answer("discrimination.auc", figure, "", BASIS), GATE)


def inversions(figure: int) -> Any:
    return judge(answer("calibration.inversions", figure, "", BASIS), BATTERY.rules[1])


def test_the_shipped_policy_reads_and_names_only_tests_that_exist() -> None:
    policy = ValidationPolicy.decode(POLICY.read_bytes())
    assert policy.encode() == POLICY.read_bytes()
    assert {(b.kind, b.tier) for b in policy.batteries} == {(kind, tier) for kind in KINDS for tier in (1, 2, 3)}
    named = {rule.test for battery in policy.batteries for rule in battery.rules}
    assert named == set(CATALOGUE)


def test_the_shipped_policy_is_written_from_the_default_rules() -> None:
    assert written(POLICY.read_bytes()) == POLICY.read_bytes(), "run python -m tools.write_policy"


@pytest.mark.parametrize(
    ("figure", "verdict"),
    [(0.7, "pass"), (0.69, "amber"), (0.6, "amber"), (0.59, "fail"), (NotEvaluable("no rows"), "not-evaluable")],
)
def test_cut_offs_belong_to_the_better_side(figure: Any, verdict: str) -> None:
    assert auc(figure).verdict == verdict


def test_lower_is_better_where_the_catalogue_says_so() -> None:
    assert [inversions(k).verdict for k in (0, 1, 99)] == ["pass", "amber", "amber"]


def test_a_test_that_the_policy_does_not_name_is_information() -> None:
    found = judge(answer("discrimination.ks", 0.1, "", BASIS), None)
    assert (found.role, found.verdict) == ("information", "information")


def test_the_battery_concludes() -> None:
    assert conclude(BATTERY, [auc(0.8), inversions(0)]) == ("pass", ())
    assert conclude(BATTERY, [auc(0.8), inversions(1)])[0] == "amber"
    assert conclude(BATTERY, [auc(0.65), inversions(0)])[0] == "amber"
    assert conclude(BATTERY, [auc(0.5), inversions(0)])[0] == "fail"


def test_a_gate_without_an_answer_fails() -> None:
    assert conclude(BATTERY, [])[0] == "fail"
    assert conclude(BATTERY, [inversions(0)])[0] == "fail"
    verdict, reasons = conclude(BATTERY, [auc(NotEvaluable("one class")), inversions(0)])
    assert verdict == "fail"
    assert "one class" in reasons[0]


def test_an_advisory_without_an_answer_warns() -> None:
    assert conclude(BATTERY, [auc(0.8)])[0] == "amber"


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_better_figure_is_never_judged_worse(a: float, b: float) -> None:
    order = ["fail", "amber", "pass"]
    low, high = sorted((a, b))
    assert order.index(auc(low).verdict) <= order.index(auc(high).verdict)


def broken(path: list[Any], value: Any) -> bytes:
    document = parse(POLICY.read_bytes())
    inner = document
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return canonical(document)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["batteries"], []),
        (["batteries", 0, "rules"], []),
        (["batteries", 0, "rules", 0, "fail"], None),
        (["batteries", 0, "rules", 0, "amber"], None),
        (["batteries", 0, "rules", 0, "amber"], "nan"),
        (["batteries", 0, "rules", 0, "role"], "gaet"),
        (["batteries", 0, "rules", 1, "fail"], "0.1"),
        (["batteries", 0, "rules", 1, "test"], "discrimination.auc"),
        (["batteries", 1, "tier"], 1),
        (["confidence"], "1"),
        (["psi_floor"], "0"),
        (["psi_bins"], 1),
        (["effective_until_us"], 0),
        (["grades"], {"edges": None, "quantiles": None}),
        (["grades"], {"edges": ["0.2", "0.1"], "quantiles": None}),
        (["grades"], {"edges": [], "quantiles": None}),
        (["v"], 2),
        (["unknown"], 1),
    ],
)
def test_a_policy_that_would_judge_less_is_refused(path: list[Any], value: Any) -> None:
    with pytest.raises(InvalidInputError):
        ValidationPolicy.decode(broken(path, value))


def test_white_space_is_not_canonical() -> None:
    with pytest.raises(InvalidInputError):
        ValidationPolicy.decode(POLICY.read_bytes() + b"\n")


def test_a_policy_has_its_time_and_its_kinds() -> None:
    policy = ValidationPolicy.decode(POLICY.read_bytes())
    assert policy.in_force(policy.effective_from_us) is policy
    for at in (policy.effective_from_us - 1, policy.effective_until_us):
        with pytest.raises(ExpiredError):
            policy.in_force(at)
    with pytest.raises(EvidenceError):
        policy.battery("astrology", 1)


def test_only_advisories_make_no_battery() -> None:
    with pytest.raises(InvalidInputError):
        Battery(kind="pd", tier=1, rules=(Rule(test="a", role="advisory", amber="1"),))
    assert msgspec.structs.replace(BATTERY).rules
