"""The validation policy as data: jurisdictions add and tighten, tiers by a table, old results under a new policy."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.encoding import canonical
from strongroom.errors import InvalidInputError
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.tiering import Level, Tiering
from tests.validation.worked import POLICY

SHIPPED = POLICY.read_bytes()


def policy(**changes: Any) -> ValidationPolicy:
    return ValidationPolicy.decode(canonical({**json.loads(SHIPPED), **changes}))


def local(*rules: dict[str, Any], sections: Any = (), place: str = "EU") -> dict[str, Any]:
    return {"jurisdiction": place, "kind": "pd", "tier": 1, "rules": list(rules), "sections": list(sections)}


def rule(test: str, role: str, amber: str | None, fail: str | None) -> dict[str, Any]:
    return {"test": test, "role": role, "amber": amber, "fail": fail}


def test_a_jurisdiction_tightens_and_never_relaxes() -> None:
    more = policy(
        local=[
            local(
                rule("discrimination.auc", "gate", "0.75", "0.6"),  # one stricter, one laxer than shipped
                rule("fairness.air", "advisory", "0.95", None),
                rule("calibration.brier", "advisory", "0.2", None),
                sections=[{"section": "privacy", "by": "dpo"}],
            )
        ]
    )
    before = {one.test: one for one in more.battery("pd", 1, ["US"]).rules}
    after = {one.test: one for one in more.battery("pd", 1, ["US", "EU"]).rules}
    assert before == {one.test: one for one in policy().battery("pd", 1).rules}
    assert (after["discrimination.auc"].amber, after["discrimination.auc"].fail) == ("0.75", "0.65")
    assert (after["fairness.air"].role, after["fairness.air"].amber, after["fairness.air"].fail) == (
        "gate", "0.95", before["fairness.air"].fail,
    )  # fmt: skip
    assert (after["calibration.brier"].role, after["calibration.brier"].amber) == ("advisory", "0.2")
    demanded = more.battery("pd", 1, ["EU"]).demanded
    assert ("privacy", "dpo") in [(one.section, one.by) for one in demanded]
    assert ("privacy", "dpo") not in [(one.section, one.by) for one in more.battery("pd", 1, ["US"]).demanded]
    assert more.battery("pd", 2, ["EU"]) == policy().battery("pd", 2)


@pytest.mark.parametrize(
    ("place", "listed", "bound"),
    [
        ("US", "US-NY", True), ("EU", "DE", True), ("EU", "DE-BY", True), ("DE", "DE-BY", True), ("EU", "EU", True),
        ("US-NY", "US", False), ("DE", "EU", False), ("EU", "GB", False), ("EU", "US-NY", False), ("US", "DE", False),
    ],
)  # fmt: skip
def test_whoever_lists_the_smaller_place_does_not_escape_the_larger(place: str, listed: str, bound: bool) -> None:
    held = policy(local=[local(rule("discrimination.auc", "gate", "0.9", "0.85"), place=place)])
    (found,) = (one for one in held.battery("pd", 1, [listed]).rules if one.test == "discrimination.auc")
    assert (found.fail == "0.85") is bound


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_of_two_cut_offs_the_stricter_holds(one: float, two: float) -> None:
    made = policy(local=[local(rule("discrimination.ks", "gate", str(one), str(two)))])
    found = next(r for r in made.battery("pd", 1, ["EU"]).rules if r.test == "discrimination.ks")
    was = next(r for r in policy().battery("pd", 1).rules if r.test == "discrimination.ks")
    assert float(found.amber or 0) == max(one, float(was.amber or 0))
    assert float(found.fail or 0) == max(two, float(was.fail or 0))


@pytest.mark.parametrize(
    "changes",
    [
        {"local": [local()]},
        {"local": [local(rule("data.overlap", "advisory", "0.1", None))] * 2},
        {"local": [{**local(rule("data.overlap", "advisory", "0.1", None)), "tier": 9}]},
        {"local": [local(rule("data.overlap", "advisory", "0.1", None), place="nowhere at all")]},
        {"findings": {"block": ["low"], "accept": ["risk"], "max_accept_days": 10}},
        {"findings": {"block": ["high"], "accept": [], "max_accept_days": 10}},
        {"findings": {"block": ["high"], "accept": ["risk"], "max_accept_days": 0}},
    ],
)
def test_policies_that_make_no_sense_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        policy(**changes)


@pytest.mark.parametrize(
    "sections",
    [
        [{"section": "approvals"}],
        [{"section": "elsewhere"}],
        [{"section": "privacy", "by": "caller"}],
        [{"section": "privacy", "by": "dpo"}] * 2,
        [{"section": "privacy", "who": "dpo"}],
    ],
)
def test_sections_that_nobody_can_fill_are_refused(sections: list[dict[str, str]]) -> None:
    batteries = json.loads(SHIPPED)["batteries"]
    batteries[0]["sections"] = sections
    with pytest.raises(InvalidInputError):
        policy(batteries=batteries)


LOW, HIGH = ({"name": name, "means": name} for name in ("low", "high"))
TABLE = {"materiality": [LOW, HIGH], "complexity": [LOW, HIGH], "tiers": [[3, 2], [2, 1]]}


def test_the_tier_follows_from_the_table() -> None:
    found = policy(tiering=TABLE).tiering
    assert isinstance(found, Tiering)
    assert [found.tier(a, b) for a in ("low", "high") for b in ("low", "high")] == [3, 2, 2, 1]
    with pytest.raises(InvalidInputError, match="it has low, high"):
        found.tier("huge", "low")
    with pytest.raises(InvalidInputError, match="by its words"):
        found.materiality_of("100")
    floors = tuple(Level(name=str(n), means="m", exposure_from=str(10**n)) for n in (0, 3))
    priced = Tiering(materiality=floors, complexity=(Level(name="a", means="m"),), tiers=((3,), (2,)))
    assert [priced.materiality_of(text) for text in ("1", "999.99", "1000")] == ["0", "0", "3"]
    for wrong in ("0.5", "-1", "nan", "many", "1" * 41):
        with pytest.raises(InvalidInputError):
            priced.materiality_of(wrong)


@pytest.mark.parametrize(
    "tiers", [[[3, 2]], [[3, 2], [2, 4]], [[1, 2], [2, 3]], [[3, 2, 1], [2, 1, 1]], [[2, 1], [3, 1]]]
)
def test_tables_out_of_form_are_refused(tiers: list[list[int]]) -> None:
    with pytest.raises(InvalidInputError):
        policy(tiering={**TABLE, "tiers": tiers})
