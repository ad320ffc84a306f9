"""The sliced and remembering engine rules as Cedar does over the whole set, for any policies and questions."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from importlib.resources import files

import cedarpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.access.ports import Question, Ruling
from strongroom.access.principals import Principal
from strongroom.adapters.policies.cedar import CedarEngine
from strongroom.adapters.policies.cedar_slices import Slice
from strongroom.errors import RefusedError

POLICIES = files("strongroom") / "policies"
SHIPPED = (POLICIES / "access.cedar").read_text()
SCHEMA = (POLICIES / "access.cedarschema").read_bytes()

PRINCIPALS = (
    "principal", 'principal == Service::"sys-1"', 'principal == Person::"ann"', 'principal in Role::"caller"',
    'principal in Role::"operator"', "principal is Service", "principal is Person",
    'principal is Service in Role::"caller"', 'principal in Service::"sys-2"',
)  # fmt: skip
ACTIONS = (
    "action", 'action == Action::"score"', 'action in [Action::"score", Action::"metadata"]',
    'action == Action::"outcomes"', 'action in Action::"score"',
)  # fmt: skip
RESOURCES = ("resource is Model", 'resource == Model::"pd"', 'resource == Model::"lgd"', 'resource in Model::"pd"')
CONDITIONS = (
    "", 'when { principal.name == "sys-1" }', 'when { principal.models.contains(resource.name) }',
    'unless { principal in [Role::"caller", Role::"alerter"] }', 'when { principal == Service::"sys-2" }',
    'when { principal is Service }', 'when { principal.units.contains("cards") }',
    'when { context has purpose && context.purpose == "collections" }', 'when { resource.name == "lgd" }',
    'when { principal is Service && principal has proofs && principal.proofs.contains("api-key") }',
    'when { [principal].contains(Service::"sys-1") }', 'unless { {who: principal} == {who: Service::"sys-2"} }',
)  # fmt: skip


@lru_cache
def can_fit(rule: str) -> bool:
    """Whether the schema lets it in; it refuses what no question could ever fit."""
    return cedarpy.validate_policies(rule, SCHEMA.decode()).validation_passed


@st.composite
def policies(draw: Callable[..., str]) -> str:
    """Some rules of random effect, scope and conditions, beside one that always loads."""
    parts = st.tuples(
        st.sampled_from(("permit", "forbid")), st.sampled_from(PRINCIPALS), st.sampled_from(ACTIONS),
        st.sampled_from(RESOURCES), st.sampled_from(CONDITIONS),
    )  # fmt: skip
    rules = []
    for number, (effect, *scope, condition) in enumerate(draw(st.lists(parts, min_size=1, max_size=12))):  # type: ignore[misc]
        rule = f"{effect} ({', '.join(scope)}) {condition};"
        if can_fit(rule):
            rules.append(f'@id("r{number}") {rule}')
    return "\n".join([*rules, '@id("last") forbid (principal, action == Action::"halt", resource == Model::"none");'])


SUBSETS = st.frozensets(st.sampled_from(("pd", "lgd")), max_size=2)
QUESTIONS = st.builds(
    lambda kind, name, roles, units, models, proofs, verb, model, purpose: Question(
        Principal(
            name, kind, roles, units, {"models": models}, proofs=proofs if kind == "Service" else frozenset()
        ),
        verb, "Model", model,
        {name: frozenset({"x"}) for name in ("environments", "jurisdictions", "purposes")},
        {"environment": "x", "jurisdiction": "EU", "purpose": purpose, "release": "a" * 64} if verb == "score" else {},
        1,
    ),
    st.sampled_from(("Service", "Service", "Person")), st.sampled_from(("sys-1", "sys-2", "sys-3", "ann")),
    st.frozensets(st.sampled_from(("caller", "operator", "alerter")), max_size=2),
    st.frozensets(st.sampled_from(("cards",))), SUBSETS, st.frozensets(st.sampled_from(("api-key", "token"))),
    st.sampled_from(("score", "metadata", "outcomes")), st.sampled_from(("pd", "lgd", "ead")),
    st.sampled_from(("credit-decision", "collections")),
)  # fmt: skip


def ruled(ask: Callable[[], Ruling]) -> Ruling | str:
    """The ruling, or the refusal to rule."""
    try:
        return ask()
    except RefusedError as error:
        return f"{type(error).__name__}: {error.message}"


def over_the_whole(engine: CedarEngine, text: str, question: Question) -> Ruling | str:
    """What Cedar says with all policies at once, and nothing remembered."""
    whole = Slice(frozenset(), cedarpy.PolicySet.from_str(text), True)
    return ruled(lambda: engine._evaluate(question, (whole,)))


@settings(max_examples=40, deadline=None)
@given(policies(), st.lists(QUESTIONS, min_size=1, max_size=12))
def test_slices_and_memory_change_no_ruling(text: str, questions: list[Question]) -> None:
    engine = CedarEngine(text.encode(), SCHEMA)
    for question in [*questions, *questions]:
        assert ruled(lambda question=question: engine.rule_on(question)) == over_the_whole(engine, text, question)


@settings(max_examples=15, deadline=None)
@given(st.lists(QUESTIONS, min_size=1, max_size=12))
def test_the_shipped_policies_rule_the_same_in_slices(questions: list[Question]) -> None:
    engine = CedarEngine(SHIPPED.encode(), SCHEMA)
    for question in [*questions, *questions]:
        assert ruled(lambda question=question: engine.rule_on(question)) == over_the_whole(engine, SHIPPED, question)


def question_of(name: str, verb: str = "metadata", context: dict[str, str | int | bool] | None = None) -> Question:
    who = Principal(name, "Service", frozenset({"caller"}), grants={"models": frozenset({"pd"})})
    return Question(who, verb, "Model", "pd", {}, context or {}, 1)


def test_principals_that_no_policy_tells_apart_share_one_evaluation() -> None:
    engine = CedarEngine(SHIPPED.encode(), SCHEMA)
    assert engine.rule_on(question_of("sys-1")) is engine.rule_on(question_of("sys-2"))


@pytest.mark.parametrize("condition", [c for c in CONDITIONS if "sys-" in c])
def test_a_policy_that_looks_at_who_it_is_is_never_answered_for_somebody_else(condition: str) -> None:
    rule = f'@id("r") permit (principal is Service, action == Action::"metadata", resource is Model) {condition};'
    engine = CedarEngine(rule.encode(), SCHEMA)
    answers = {name: engine.rule_on(question_of(name)).allowed for name in ("sys-1", "sys-2", "sys-3")}
    assert len(set(answers.values())) == 2
    assert answers == {name: engine.rule_on(question_of(name)).allowed for name in answers}


def test_a_value_of_another_type_is_not_taken_for_an_equal_one() -> None:
    engine = CedarEngine(SHIPPED.encode(), SCHEMA)
    context: dict[str, str | int | bool] = {
        "environment": "x", "jurisdiction": "EU", "purpose": "p", "release": "a" * 64, "signed": True
    }  # fmt: skip
    attributes = {name: frozenset({"x"}) for name in ("environments", "jurisdictions", "purposes")}

    def ask(signed: bool | int) -> Ruling:
        found = question_of("sys-1", "score", context | {"signed": signed})
        return engine.rule_on(Question(found.who, "score", "Model", "pd", attributes, found.context, 1))

    ask(True)
    with pytest.raises(RefusedError):
        ask(1)


def test_a_question_that_meets_no_policy_is_still_held_against_the_schema() -> None:
    engine = CedarEngine(b'@id("r") permit (principal, action == Action::"halt", resource is Model);', SCHEMA)
    assert not engine.rule_on(question_of("sys-1")).allowed
    with pytest.raises(RefusedError):
        engine.rule_on(question_of("sys-1", context={"nothing-like-this": json.dumps({})}))
