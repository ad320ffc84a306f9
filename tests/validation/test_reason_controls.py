"""Each known trap of reason codes as a model that falls into it, found by the battery and judged by the policy.

`test_explanation_traps` holds what cannot go wrong by construction; here is what an author can get wrong.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import numpy as np
import pytest

from strongroom.errors import InvalidInputError
from strongroom.registry.contract import CutOff
from strongroom.registry.explanation import Explanation
from strongroom.validation.batteries import reasons
from strongroom.validation.batteries.artifact import open_model
from strongroom.validation.batteries.reason_ranking import Ranking
from strongroom.validation.jobs.profile import demand_additive
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.results import evaluable
from strongroom.validation.statistics.proxies import find_proxies
from tests.validation import worked
from tests.validation.stumps import Stump, plain_rows, stated, stumps, told

AT_5 = lambda *worths: [(n, 5.0, worth) for n, worth in enumerate(worths)]  # noqa: E731  # a table in a line
GOOD = [[1.0, 1.0, 1.0]] * 4
CODES = {"A": ("a",), "B": ("b",), "C": ("c",)}
ROWS = plain_rows(200, 3)


def test_a_sound_model_passes_every_control() -> None:
    found = told(stated(CODES, GOOD, max_codes=2), stumps(AT_5(0.5, 0.2, 0.1), 3), ROWS)
    assert set(found.tests) == set(reasons.RULES) - {"explanation.proxies"}
    assert {test.verdict for test in found.tests.values()} == {"pass"}, found.tests


def test_reference_point_a_reference_that_is_worse_is_found() -> None:
    """Who is declined is told why he is worse than others, so these have to be better."""
    worst = told(stated(CODES, [[9.0, 9.0, 9.0]] * 4), stumps(AT_5(0.5, 0.2, 0.1), 3), ROWS)
    assert worst.figure("reference") == 0.0
    assert worst.verdict("reference") == "amber"
    assert "0% of its rows would get the favourable decision" in worst.tests["explanation.reference"].sentence
    everybody = msgspec.structs.replace(stated(CODES, GOOD), cut_offs=(CutOff(decision="look at"),))
    assert told(everybody, stumps(AT_5(0.5, 0.2, 0.1), 3), ROWS).verdict("reference") == "not-evaluable"
    low = told(stated(CODES, GOOD, adverse="low"), stumps(AT_5(0.1, 0.1, 0.1), 3), 10 - ROWS)
    assert low.verdict("reference") == "amber"


def test_reference_point_reasons_that_hang_on_which_rows_stand_in_it_are_found() -> None:
    # each row of the reference differs from everybody in one feature of six
    mixed = [[1.0 if n == place else 9.0 for n in range(6)] for place in range(6)] * 2
    codes = {name.upper(): (name,) for name in "abcdef"}
    rows = np.full((40, 6), 9.0, np.float32)
    model = stumps(AT_5(*(0.2 + 0.001 * n for n in range(6))), 6)
    assert told(stated(codes, mixed, max_codes=1), model, rows).verdict("background") == "amber"
    # too few rows to look: said, and warned of
    assert told(stated(codes, mixed[:1]), model, rows).verdict("background") == "not-evaluable"


def test_reference_point_rows_that_the_gateway_would_refuse_are_no_reference() -> None:
    model = stumps(AT_5(0.5, 0.2, 0.1), 3)
    contract = stated(CODES, [[1.0, 1.0, 1.0], [1.0, 11.0, 1.0]])
    predict, _, _ = open_model(contract, model)
    assert isinstance(contract.explanation, Explanation)
    with pytest.raises(InvalidInputError, match="row 2 of the explanation's reference breaks the input contract"):
        demand_additive(contract, contract.explanation, model, ROWS, predict(ROWS))


def test_correlation_two_features_that_say_one_thing_in_two_groups_are_found() -> None:
    rows = ROWS.copy()
    rows[:, 1] = np.clip(rows[:, 0] + np.random.default_rng(1).normal(0, 0.05, len(rows)), 0, 10)
    model = stumps(AT_5(0.3, 0.3, 0.4), 3)
    apart = told(stated(CODES, GOOD), model, rows)
    assert apart.figure("correlation") > 0.95
    assert apart.verdict("correlation") == "amber"
    assert "a (code A) and b (code B)" in apart.tests["explanation.correlation"].sentence
    together = told(stated({"A": ("a", "b"), "C": ("c",)}, GOOD), model, rows)
    assert together.verdict("correlation") == "pass"
    # what the model does not use is nobody's reason
    assert told(stated(CODES, GOOD), stumps(AT_5(0.6, 0.0, 0.4), 3), rows).verdict("correlation") == "pass"
    rows[::2, 1] = np.nan
    holed = stated(CODES, GOOD, {"b": {"missing": "nan"}})
    assert 0.2 < told(holed, model, rows).figure("correlation") < 0.95


def test_ordering_and_ties_equal_weights_are_seen_and_another_order_gives_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, rows = stumps(AT_5(0.5, 0.2, 0.2), 3), np.full((40, 3), 9.0, np.float32)
    tied = told(stated({"A": ("a",), "C": ("b",), "B": ("c",)}, GOOD, max_codes=2), model, rows)
    assert tied.figure("margin") == 1.0
    assert tied.verdict("margin") == "amber"
    assert tied.figure("repeat") == 1.0
    assert told(stated(CODES, GOOD, max_codes=1), model, rows).verdict("margin") == "pass"
    plain = Ranking.of

    def as_listed(wish: Explanation, names: list[str]) -> Ranking:
        made = plain(wish, names)
        listed = [group.code for group in wish.groups]
        places = {name: n for n, name in enumerate(names)}
        order = np.array([places[name] for group in wish.groups for name in group.features])
        return Ranking(wish, order, np.arange(len(listed)), tuple(listed), made.missing)

    monkeypatch.setattr(Ranking, "of", as_listed)
    by_list = told(stated({"A": ("a",), "C": ("b",), "B": ("c",)}, GOOD, max_codes=2), model, rows)
    assert by_list.verdict("repeat") == "amber"


def test_ordering_what_speaks_for_an_applicant_is_never_told_however_large() -> None:
    found = told(stated(CODES, GOOD, max_codes=2), stumps(AT_5(0.9, -0.4, 0.1), 3), np.full((40, 3), 9.0, np.float32))
    table = next(table for table in found.found.tables if table.title == "Groups behind the codes")
    shares = {row[0]: row[5] for row in table.rows}
    assert shares == {"A": "1.0", "B": "0.0", "C": "1.0"}


def test_scale_another_score_than_the_one_that_is_cut_fails_the_battery() -> None:
    contract, model = stated(CODES, GOOD), stumps(AT_5(0.5, 0.2, 0.1), 3)
    predict, _, _ = open_model(contract, model)
    calibrated = told(contract, model, ROWS, lambda rows: predict(rows) ** np.float32(0.9))
    assert calibrated.verdict("additivity") == "fail"


def test_noise_reasons_closer_together_than_noise_are_found() -> None:
    # a fine staircase, whose steps noise crosses, beside a stump of the same height as the staircase has in the middle
    stairs: list[Stump] = [(1, 4.9 + 0.002 * n, 0.002) for n in range(100)]
    rows = np.full((100, 3), 9.0, np.float32)
    rows[:, 1] = np.linspace(4.99, 5.01, 100)
    rows[:50, 1] += 4.0
    rows[50:, 1] -= 1e-3
    model = stumps([(0, 5.0, 0.5), *stairs, (2, 5.0, 0.1)], 3)
    close = told(stated(CODES, GOOD, max_codes=2), model, rows)
    assert 0.3 < close.figure("margin") < 0.7
    assert close.verdict("margin") == "amber"
    table = next(table for table in close.found.tables if table.title == "How sure each place is")
    assert [row[0] for row in table.rows] == ["1 and 2", "2 and 3"]
    assert float(table.rows[0][2] or "nan") == 0.0
    # counts have no noise, and then none decides
    counted = {name: {"type": "integer"} for name in "abc"}
    whole = told(stated(CODES, GOOD, counted, max_codes=2), stumps(AT_5(0.5, 0.2, 0.1), 3), np.rint(ROWS))
    assert whole.figure("margin") == 0.0
    assert whole.verdict("noise") == "not-evaluable"


def test_policy_rules_whom_a_rule_refuses_is_told_no_reason_of_the_model() -> None:
    rows = ROWS.copy()
    rows[:30, 1] = 11.0
    found = told(stated(CODES, GOOD), stumps(AT_5(0.5, 0.2, 0.1), 3), rows)
    details = {one.name: one.value for one in found.tests["explanation.additivity"].details}
    assert details["refused by a rule before the model"] == "30"
    assert details["rows added up"] == "170"
    alone = told(stated(CODES, GOOD), stumps(AT_5(0.5, 0.2, 0.1), 3), rows[:30])
    assert alone.verdict("additivity") == "not-evaluable"
    assert alone.verdict("margin") == "not-evaluable"


def test_missing_values_told_as_values_are_found() -> None:
    rows = ROWS.copy()
    rows[:50, 0] = np.nan
    may = {"a": {"missing": "nan"}}
    model = stumps(AT_5(0.6, 0.2, 0.1), 3)
    untold = told(stated(CODES, GOOD, may), model, rows)
    assert untold.figure("missing") == 0.25
    assert untold.verdict("missing") == "amber"
    assert "A." in untold.tests["explanation.missing"].sentence
    own = told(stated(CODES, GOOD, may, missing={"A": "MA"}), model, rows)
    assert own.verdict("missing") == "pass"
    assert "is told" in own.tests["explanation.missing"].sentence


def test_mapping_a_reason_that_stands_for_a_protected_attribute_is_found() -> None:
    random = np.random.default_rng(2)
    rows = plain_rows(600, 3)
    group = (rows[:, 1] + random.normal(0, 1.0, 600) > 5).astype(np.int64)
    known = evaluable(find_proxies(rows, group, [0, 1], most_rows=600))
    bad = told(stated(CODES, GOOD), stumps(AT_5(0.5, 0.2, 0.1), 3), rows, sex=known)
    assert bad.tests["explanation.proxies/sex"].verdict == "amber"
    assert "stands behind code B" in bad.tests["explanation.proxies/sex"].sentence
    assert next(t for t in bad.found.tables if t.title.endswith("protected attributes")).rows[0][:3] == (
        "B",
        "sex",
        "b",
    )
    # a feature that the model does not use is behind no reason that anybody is told
    unused = told(stated(CODES, GOOD), stumps(AT_5(0.5, 0.0, 0.1), 3), rows, sex=known)
    assert unused.tests["explanation.proxies/sex"].verdict == "pass"


def test_faithfulness_reasons_of_another_model_are_found() -> None:
    contract, model = stated(CODES, GOOD, max_codes=1), stumps(AT_5(0.1, 0.5, 0.1), 3)
    served, _, _ = open_model(contract, stumps(AT_5(0.7, 0.0, 0.1), 3))
    found = told(contract, model, np.full((60, 3), 9.0, np.float32), served)
    assert found.verdict("faithfulness") == "amber"
    assert found.verdict("additivity") == "fail"


def test_the_table_of_traps_names_tests_that_are_there_and_every_rule() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "give-reason-codes.md").read_text()
    table = page.partition("| trap |")[2].partition("\n\n")[0]
    written = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    named = re.findall(r"`(test_\w+)\*?`", table)
    assert len(named) > 9
    assert [name for name in named if f"def {name}" not in written] == []
    assert set(re.findall(r"`(explanation\.\w+)`", table)) == set(reasons.RULES)


def test_the_policy_asks_for_them_only_where_the_contract_tells_reasons() -> None:
    policy = ValidationPolicy.decode(worked.POLICY.read_bytes())
    tells = stated(CODES, GOOD)
    silent = msgspec.structs.replace(tells, explanation=msgspec.UNSET)
    whole = policy.battery("pd", 1)
    assert whole.asked_of(tells) == whole
    left = {rule.test for rule in whole.asked_of(silent).rules}
    assert {rule.test for rule in whole.rules} - left == set(reasons.RULES)
