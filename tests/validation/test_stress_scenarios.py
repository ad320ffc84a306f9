"""Named stress: shocks by hand, who crosses a line, answers that fall as stress rises, silence and nonsense."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.adapters.packages.model_toml import write_contract
from strongroom.encoding import canonical, parse_as
from strongroom.errors import InvalidInputError
from strongroom.registry.contract import CutOff, Feature, InputContract, ModelContract
from strongroom.registry.kinds import OutcomeDefinition
from strongroom.registry.stress import StressScenario
from strongroom.registry.toml import read_contract
from strongroom.validation.batteries.scored import Scored
from strongroom.validation.batteries.stress_scenarios import scenario_tests
from strongroom.validation.battery_rules import judge
from strongroom.validation.catalogue import Basis, unit_of
from strongroom.validation.default_rules import RULES
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.reporting.report import render
from strongroom.validation.results import NotEvaluable
from strongroom.validation.results import TestResult as Result
from strongroom.validation.statistics.shocks import Step, falls, shocked, steps
from strongroom.validation.study_terms import DEFAULT_STRESS, StressTerms
from strongroom.vocabulary import digest_of
from tests.attacks.test_hostile_samples import OUTCOMES
from tests.attacks.test_hostile_samples import battery as small_battery
from tests.attacks.test_hostile_samples import contract as small_contract
from tests.validation.worked import POLICY, contract

POLICIES = ValidationPolicy.decode(POLICY.read_bytes())
SLUMP = StressScenario(
    means="incomes fall by a fifth, payments come two months late", shocks={"income": "-20%", "late": "2"}
)
CALM = StressScenario(means="a third of the slump", shocks={"late": "0.5"})


def feature(name: str, kind: Any, low: str, high: str) -> Feature:
    return Feature(
        name=name, type=kind, unit="EUR" if kind == "float" else "months", purpose="risk", legal_basis="contract",
        minimum=low, maximum=high, missing="nan",
    )  # fmt: skip


INPUT = InputContract(
    tensor="input", features=(feature("income", "float", "0", "100"), feature("late", "integer", "0", "6"))
)


def about(stress: Any = None, **changes: Any) -> ModelContract:
    changes = {"input": INPUT, "stress": msgspec.UNSET if stress is None else stress, **changes}
    return msgspec.structs.replace(contract(("income", "late"), "Cards", "cards"), **changes)


def risk(rows: Any) -> Any:
    """Falls with income and rises with months late; missing values count as the middle."""
    income, late = np.nan_to_num(rows[:, 0], nan=50.0), np.nan_to_num(rows[:, 1], nan=1.0)
    return (1.0 / (1.0 + np.exp(1.0 + 0.05 * income - 0.8 * late))).astype(np.float32)


def sample(rows: int = 400) -> Scored:
    random = np.random.default_rng(1)
    table = np.column_stack([random.uniform(5, 100, rows), random.integers(0, 5, rows)]).astype(np.float32)
    table[::10, 0] = np.nan
    basis = Basis("validation", digest_of(b"validation"), rows)
    return Scored(basis, table, risk(table), np.zeros(rows, np.int64))


def found(stress: Any, predict: Any = risk, policy: ValidationPolicy = POLICIES, **changes: Any) -> dict[str, Result]:
    made = scenario_tests(sample(), about(stress, **changes), policy, predict, (0.1, 0.4))
    return {test.id: test for test in made.tests}


def details(test: Result) -> dict[str, str]:
    return {detail.name: detail.value for detail in test.details}


def test_shocks_are_made_in_units_and_shares_and_held_by_bounds() -> None:
    rows = sample().rows
    made, held = shocked(rows, INPUT, SLUMP.shocks, 2.0)
    table = pd.DataFrame(rows, columns=["income", "late"]).astype(float)
    by_hand = pd.DataFrame({"income": table["income"] * 0.6, "late": (table["late"] + 4.0).clip(0, 6)})
    assert np.allclose(made, by_hand.to_numpy(np.float32), equal_nan=True)
    assert held == pytest.approx((table["late"] > 2).sum() / table.notna().to_numpy().sum())
    assert np.array_equal(np.isnan(made), np.isnan(rows))
    assert np.array_equal(shocked(rows, INPUT, SLUMP.shocks, 0.0)[0], rows, equal_nan=True)
    nobody = np.full((3, 2), np.nan, np.float32)
    assert shocked(nobody, INPUT, SLUMP.shocks, 1.0)[1] == 0.0
    # half a month late is no whole number, and nobody earns less than nothing
    assert set(shocked(rows, INPUT, {"late": "0.7"}, 1.0)[0][:, 1] - rows[:, 1]) == {1.0}
    assert shocked(rows, INPUT, {"income": "-80%"}, 2.0)[0][1, 0] == 0.0


def test_who_crosses_a_line_is_counted_by_hand() -> None:
    answers = [np.array([0.1, 0.2, 0.3]), np.array([0.15, 0.2, 0.5]), np.array([0.25, 0.1, 0.6])]
    made = steps(answers, (0.0, 1.0, 2.0), (0.0, 0.0, 0.5), [[0.2, 0.4], [0.12]])
    assert not isinstance(made, NotEvaluable)
    assert [step.crossed for step in made] == [(0, 0), (1 / 3, 1 / 3), (2 / 3, 1 / 3)]
    assert [step.fell for step in made] == [0, 0, 1 / 3]
    assert [step.mean for step in made] == pytest.approx([0.2, 0.85 / 3, 0.95 / 3])
    assert falls(made) == 0
    assert falls(made[::-1]) == 2
    assert isinstance(steps([np.array([np.nan])], (0.0,), (0.0,), []), NotEvaluable)
    assert isinstance(steps([np.empty(0)], (0.0,), (0.0,), []), NotEvaluable)
    up_and_down = steps([np.array([x]) for x in (0.1, 0.3, 0.2)], (0.0, 1.0, 2.0), (0.0, 0.0, 0.0), [])
    assert not isinstance(up_and_down, NotEvaluable)
    assert [step.fell for step in up_and_down] == [0, 0, 1], "below the severity before, not below the sample as it is"
    with pytest.raises(ValueError, match="argument"):
        steps([np.array([0.1])], (0.0, 1.0), (0.0, 0.0), [])
    for before, later, count in ((0.0, 0.0, 0), (100.0, 99.99995, 0), (1.0, 1.0 - 1.0005e-6, 1), (0.0, -1e-9, 1)):
        assert falls([Step(0.0, before, (), 0.0, 0.0), Step(1.0, later, (), 0.0, 0.0)]) == count
    same = [Step(s, 0.3 - s * 1e-9, (), 0.0, 0.0) for s in (0.0, 1.0)]
    assert falls(same) == 0, "float32 rounds by more"


def test_a_scenario_says_where_the_mean_goes_and_who_crosses() -> None:
    tests, data = found({"slump": SLUMP, "calm": CALM}), sample()
    assert set(tests) == {"sensitivity.scenarios/slump", "sensitivity.scenarios/calm", "sensitivity.scenario-order"}
    slump = tests["sensitivity.scenarios/slump"]
    then = risk(shocked(data.rows, INPUT, SLUMP.shocks, 1.0)[0]).astype(float)
    now = data.scores.astype(float)
    assert float(slump.figure or 0) == pytest.approx(then.mean() - now.mean())
    told = details(slump)
    decisions = [np.searchsorted([0.3, 0.5], part, side="right") for part in (now, then)]
    grades = [np.searchsorted([0.1, 0.4], part) for part in (now, then)]
    assert float(told["share with a higher decision"]) == pytest.approx((decisions[1] > decisions[0]).mean())
    assert float(told["share with a worse grade"]) == pytest.approx((grades[1] > grades[0]).mean())
    assert (told["income"], told["late"]) == ("-20%", "2 months")
    assert unit_of(slump.rule, about()) == "probability"
    assert slump.sentence.startswith("incomes fall by a fifth")
    assert float(tests["sensitivity.scenarios/calm"].figure or 0) < float(slump.figure or 0)
    assert tests["sensitivity.scenario-order"].figure == "0"
    made = scenario_tests(data, about({"slump": SLUMP}), POLICIES, risk, (0.1, 0.4))
    assert [row[1] for row in made.tables[0].rows] == ["0", "0.5", "1", "2"]
    assert [point[1] for point in made.charts[0].series[0].points] == [row[2] for row in made.tables[0].rows]


@pytest.mark.parametrize("cut", [0.25, 0.3])
def test_a_score_that_lands_on_a_cut_off_has_crossed_it(cut: float) -> None:
    cuts = (CutOff(decision="accept", below=str(cut)), CutOff(decision="decline"))
    late = {"late": StressScenario(means="late", shocks={"late": "1"})}
    on_it = found(late, lambda rows: np.where(rows[:, 1] >= 3, cut, 0.1).astype(np.float32), cut_offs=cuts)
    rows = sample().rows[:, 1]
    told = details(on_it["sensitivity.scenarios/late"])
    assert float(told["share with a higher decision"]) == pytest.approx((rows == 2).mean())
    # 0.7 as float32 is less than 0.7, and the gateway leaves it below the cut-off
    cuts = (CutOff(decision="accept", below="0.7"), CutOff(decision="decline"))
    below = found(late, lambda rows: np.where(rows[:, 1] >= 3, 0.7, 0.1).astype(np.float32), cut_offs=cuts)
    assert details(below["sensitivity.scenarios/late"])["share with a higher decision"] == "0.0"


def test_a_model_whose_answer_falls_as_stress_rises_is_found_and_judged_in_tier_1() -> None:
    def upside_down(rows: Any) -> Any:
        return (1.0 - risk(rows)).astype(np.float32)

    test = found({"slump": SLUMP, "calm": CALM}, upside_down)["sensitivity.scenario-order"]
    assert int(test.figure or 0) >= 4
    assert "`slump`" in test.sentence
    for kind in ("pd", "lgd", "ead", "fraud"):
        rules = [next(line for line in RULES[kind] if line[0] is not None and line[0].test == test.rule)]  # type: ignore[index]
        assert [judge(test, rule).verdict for rule in rules[0]] == ["amber", "information", "information"]


def test_silence_and_scores_that_are_no_numbers_are_told() -> None:
    silent = found(None)
    assert all("[stress]" in str(test.reason) for test in silent.values())
    asked = msgspec.structs.replace(POLICIES, stress=StressTerms(severities=("1", "3"), required=("war", "slump")))
    tests = found({"slump": SLUMP}, policy=asked)
    assert "the policy asks" in str(tests["sensitivity.scenarios/war"].reason)
    assert tests["sensitivity.scenarios/slump"].figure is not None
    assert "the policy asks" in str(found(None, policy=asked)["sensitivity.scenarios/war"].reason)
    broken = found({"slump": SLUMP}, lambda rows: np.full(len(rows), np.nan, np.float32))
    assert all(test.figure is None for test in broken.values())


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.floats(0.1, 50), st.floats(0.1, 5),
    st.lists(st.floats(0.1, 5), min_size=1, max_size=4, unique=True),
)  # fmt: skip
def test_a_monotone_model_never_falls_and_its_lines_are_crossed_ever_more(
    seed: int, share: float, months: float, severities: list[float]
) -> None:
    random = np.random.default_rng(seed)
    rows = np.column_stack([random.uniform(0, 100, 40), random.integers(0, 6, 40)]).astype(np.float32)
    levels = [0.0, *sorted(severities)]
    shocks = {"income": f"-{share:.6f}%", "late": f"{months:.6f}"}
    made = [shocked(rows, INPUT, shocks, level) for level in levels]
    for part, held in made:
        assert 0.0 <= held <= 1.0
        assert (part[:, 0] >= 0).all()
        assert (part[:, 1] <= 6).all()
        assert np.array_equal(part[:, 1], np.rint(part[:, 1]))
    answers = [risk(part).astype(np.float64) for part, _ in made]
    found = steps(answers, levels, [held for _, held in made], [[0.1, 0.3]])
    assert not isinstance(found, NotEvaluable)
    assert falls(found) == 0
    crossed = [step.crossed[0] for step in found]
    assert crossed == sorted(crossed)
    assert all(step.fell == 0.0 for step in found)


BAD: list[Any] = [
    {}, {f"s{i}": SLUMP for i in range(11)}, {"Slump": SLUMP}, {"a b": SLUMP},
    {"war": StressScenario(means="war", shocks={"nothing": "1"})},
]  # fmt: skip


@pytest.mark.parametrize("stress", BAD)
def test_a_contract_with_nonsense_is_refused(stress: Any) -> None:
    with pytest.raises(InvalidInputError, match="stress"):
        about(stress)


@pytest.mark.parametrize("size", ["0", "-0.0%", "nan", "1e5", "", "%", "2 %", "+-1", "9" * 20])
def test_a_size_that_is_none_is_refused(size: str) -> None:
    with pytest.raises(InvalidInputError, match="sizes other than 0"):
        StressScenario(means="slump", shocks={"income": size})


def test_a_scenario_says_what_it_means_and_shocks_something_that_has_a_size() -> None:
    for scenario in ({"means": " ", "shocks": {"income": "1"}}, {"means": "slump", "shocks": {}}):
        with pytest.raises(InvalidInputError, match="stress"):
            StressScenario(**scenario)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="control characters"):
        about({"slump": StressScenario(means="turn \u202e round", shocks={"income": "1"})})
    code = Feature(name="late", type="category", unit="code", purpose="p", legal_basis="l", allowed=(1, 2))
    with pytest.raises(InvalidInputError, match="codes have no size"):
        about({"slump": SLUMP}, input=InputContract(tensor="input", features=(INPUT.features[0], code)))


def test_scenarios_come_from_toml_and_a_contract_without_them_keeps_its_bytes() -> None:
    told = about({"slump": SLUMP})
    text = write_contract(told)
    assert "[stress.slump]" in text.decode()
    assert read_contract(text) == told
    assert b"stress" not in canonical(about())
    assert parse_as(canonical(told), ModelContract) == told


@pytest.mark.parametrize(
    "terms",
    [
        {"severities": ()}, {"severities": ("1", "0.5")}, {"severities": ("0", "1")}, {"severities": ("0.5", "2")},
        {"severities": ("1", "101")}, {"severities": ("1", "1")}, {"severities": ("1",), "required": ("a", "a")},
    ],
)  # fmt: skip
def test_a_policy_with_nonsense_is_refused(terms: Any) -> None:
    with pytest.raises(InvalidInputError):
        StressTerms(**terms)


def test_a_policy_says_how_hard_and_one_that_says_nothing_has_the_houses_severities() -> None:
    assert POLICIES.stress_terms == DEFAULT_STRESS
    assert DEFAULT_STRESS.levels == (0.5, 1.0, 2.0)
    hard = msgspec.structs.replace(POLICIES, stress=StressTerms(severities=("1", "4")))
    assert ValidationPolicy.decode(hard.encode()) == hard


@pytest.mark.parametrize("kind", ["pd", "lgd", "ead"])
def test_a_battery_puts_the_scenarios_to_the_model_looks_at_times_and_the_report_shows_both(kind: Any) -> None:
    plain = OutcomeDefinition(meaning="90 days past due", window="a year")
    outcome = msgspec.structs.replace(OUTCOMES.get(kind, plain), time="when", outcome_time="came")

    def dated(role: str, columns: Any) -> Any:
        when = 1000.0 * ("development", "reference", "validation").index(role) + np.arange(len(columns["y"]))
        return {**columns, "when": when, "came": when + np.arange(len(when)) - 3.0 * (role == "validation")}

    shock = {"bad-times": StressScenario(means="a rises by one", shocks={"a": "1"})}
    results = small_battery(small_contract(kind, stress=shock, outcome=outcome), dated)
    tests = {test.id: test for test in results.tests}
    assert tests["sensitivity.scenarios/bad-times"].figure is not None
    assert tests["sensitivity.scenario-order"].figure is not None
    assert tests["data.time-order"].figure == "0"
    assert (tests["data.time-leaks/validation"].figure, tests["data.time-leaks/validation"].verdict) == ("4", "amber")
    page = render(results.encode()).decode()
    for words in ("Stress scenarios", "<title>Stress: bad-times</title>", "Rows that knew what was not yet known"):
        assert words in page
