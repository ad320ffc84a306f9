"""Hostile Cedar: policies, schemas and entities that would let somebody in by an error, a confusion or by their size.

Cedar itself ignores a policy that errs (Cedar policy language reference, authorisation algorithm).
Here any error of any policy refuses, whatever other policies say.
"""

from __future__ import annotations

import contextlib

import pytest

from strongroom.access.authorisation import Authorisation, ReleaseTerms
from strongroom.access.ports import Question
from strongroom.access.principals import Principal
from strongroom.access.verbs import KINDS, ROLES, VERBS
from strongroom.adapters.policies.cedar import SIZE_LIMIT, CedarEngine
from strongroom.errors import InvalidInputError, NotPermittedError, RefusedError, TooLargeError
from strongroom.office.acts import Act, Resource
from strongroom.vocabulary import Digest, PersonId, instant
from tests.serving.house import engine, engine_files

NOW = 1_800_000_000_000_000
POLICIES, SCHEMA = engine_files()
RELEASE = Digest("ab" * 32)


def ask(made: CedarEngine, who: Principal, verb: str, kind: str = "Model", **attributes: object) -> None:
    Authorisation(made).check(Act(who, verb, Resource(kind, "pd-cards", attributes), instant(NOW)))  # type: ignore[arg-type]


def person(name: str = "ann", *roles: str) -> Principal:
    return Principal(PersonId(name), "Person", frozenset(roles))


ERRS = {
    "overflow": "context.at_us * 9223372036854775807 > 0",
    "overflow by sum": "context.at_us + 9223372036854775807 > 0",
    "overflow by difference": "-9223372036854775807 - context.at_us - context.at_us < 0",
}


@pytest.mark.parametrize("name", ERRS)
@pytest.mark.parametrize("effect", ["permit", "forbid"])
def test_a_policy_that_errs_refuses_whatever_others_say(name: str, effect: str) -> None:
    """Cedar would skip it: a forbidding rule that errs would be a permission."""
    rule = f'@id("erring") {effect} (principal, action, resource) when {{ {ERRS[name]} }};'
    all_permitted = b'@id("all") permit (principal, action, resource);'
    ask(CedarEngine(all_permitted, SCHEMA), person("ann", "author"), "submit", author="ann")
    made = CedarEngine(all_permitted + rule.encode(), SCHEMA)
    with pytest.raises(NotPermittedError):
        ask(made, person("ann", "author"), "submit", author="ann")


@pytest.mark.parametrize(
    "policy",
    [
        '@id("x") permit (principal, action, resource) when { resource.owner == "x" };',
        '@id("x") permit (principal, action, resource) when { principal.admin };',
        '@id("x") permit (principal is Admin, action, resource);',
        '@id("x") permit (principal in Room::"r", action, resource) when { principal.nothing == 1 };',
        '@id("x") permit (principal, action in [Action::"score", Action::"sudo"], resource);',
        '@id("x") permit (principal, action, resource) when { ip("10.0.0.1").isLoopback() && context.ip == "x" };',
        '@id("x") permit (principal, action, resource) when { 1 + "a" == 2 };',
        '@id("x") permit (principal == ?principal, action, resource);',
        '@id("") permit (principal, action, resource);',
        '@id("x") permit (principal, action, resource); @id("x") forbid (principal, action, resource);',
        '@id("x") permit (principal, action, resource) when { "a" like ',
        "permit (principal, action, resource);",
        "",
        "// nothing but a comment",
        '@id("x") permit (principal, action, resource) when { ' + "(" * 5000 + "true" + ")" * 5000 + " };",
        '@id("x") permit (principal, action, resource) when { ' + "!" * 5000 + "true };",
        '@id("x") permit (principal, action, resource) when { ' + "true && " * 20_000 + " };",
    ],
)
def test_what_does_not_fit_never_comes_into_force(policy: str) -> None:
    with pytest.raises(InvalidInputError):
        CedarEngine(policy.encode(), SCHEMA)


@pytest.mark.parametrize("size", [SIZE_LIMIT + 1])
def test_huge_policies_and_schemas_are_not_parsed(size: int) -> None:
    with pytest.raises(TooLargeError):
        CedarEngine(b" " * size, SCHEMA)
    with pytest.raises(TooLargeError):
        CedarEngine(POLICIES, b" " * size)
    for broken in (b"\xff", b"\x00" * 10, b"entity;", SCHEMA + b"entity Model;", SCHEMA[: len(SCHEMA) // 2]):
        with pytest.raises(InvalidInputError):
            CedarEngine(POLICIES, broken)


@pytest.mark.parametrize(
    "kind", ["Role", "Person", "Service", "Action", "Admin", "", "Model::x", 'Model","id":"x', "model"]
)
def test_kinds_that_are_none_are_refused(kind: str) -> None:
    """A resource that is a role, or a principal that is none of the two, is nobody."""
    for verb in ("submit", "score", "approve", "show"):
        with pytest.raises(RefusedError):
            ask(engine(), person("ann", *ROLES[:1], "author", "approver", "custodian"), verb, kind)
        who = Principal(PersonId("ann"), kind, frozenset({"author", "operator", "caller"}))  # type: ignore[arg-type]
        with pytest.raises(RefusedError):
            ask(engine(), who, verb) if kind not in ("Person", "Service") else ask(engine(), who, "sudo")


def test_nobody_becomes_somebody_by_being_called_like_a_role() -> None:
    """Entity confusion: ids of people, cases and roles live in types of their own."""
    for role in ROLES:
        for who in (
            person(role),
            person(f'Role::"{role}"'),
            person(f"{role}\x00"),
            Principal(PersonId(role), "Service", frozenset()),
        ):
            for verb, rule in VERBS.items():
                for kind in rule.on:
                    with pytest.raises(NotPermittedError):
                        ask(engine(), who, str(verb), kind)


@pytest.mark.parametrize(
    "role", ["", "root", "admin", "Author", "author ", "author\x00", 'author"]', "*", "caller,author"]
)
def test_roles_that_are_none_give_nothing(role: str) -> None:
    for verb, rule in VERBS.items():
        for kind in rule.on:
            with pytest.raises(NotPermittedError):
                ask(engine(), person("ann", role), str(verb), kind)


def test_attributes_cannot_make_a_case_somebody_elses() -> None:
    """`author` decides who may not approve: it cannot be left out, doubled, typed otherwise or named otherwise."""
    approver = person("bea", "approver")
    ask(engine(), approver, "approve", "Case", author="ann", validator="vera")
    hostile: list[dict[str, object]] = [
        {"author": "bea"},
        {"author": "ann", "validator": "bea"},
        {},
        {"author": ["ann"]},
        {"author": None},
        {"author": 1},
        {"author": {"__entity": {"type": "Person", "id": "ann"}}},
        {"Author": "ann"},
        {"author": "ann", "name": "x"},
        {"author": "ann", "extra": True},
        {"author": frozenset({"ann"})},
    ]
    for attributes in hostile:
        with pytest.raises(RefusedError):
            ask(engine(), approver, "approve", "Case", **attributes)


def test_context_is_data_and_the_clock_is_ours() -> None:
    who = Principal(
        PersonId("desk"),
        "Service",
        frozenset({"caller"}),
        grants={
            "models": frozenset({"pd-cards"}),
            "environments": frozenset({"production"}),
            "jurisdictions": frozenset({"EU"}),
            "purposes": frozenset({"credit-decision"}),
        },
    )
    rules = Authorisation(engine())
    rules.learn(
        RELEASE, ReleaseTerms("pd-cards", frozenset({"production"}), frozenset({"EU"}), frozenset({"credit-decision"}))
    )
    rules.check_score(who, "pd-cards", "production", "EU", "credit-decision", RELEASE, NOW)
    for label in (
        'EU" }',
        "EU\x00",
        "eu",
        "EU ",
        '{"__entity":{"type":"Role","id":"caller"}}',
        "E" * 100_000,
        "\ud800",
    ):
        with pytest.raises(RefusedError):
            rules.check_score(who, "pd-cards", "production", label, "credit-decision", RELEASE, NOW)
    asked = Question(who, "score", "Model", "pd-cards", {}, {"at_us": 1}, NOW)  # type: ignore[arg-type]
    with contextlib.suppress(RefusedError):
        assert not engine().rule_on(asked).allowed, "a caller's own clock does not count"


def test_every_kind_of_the_house_is_known_to_the_shipped_schema() -> None:
    assert set(KINDS) >= {kind for rule in VERBS.values() for kind in rule.on}
