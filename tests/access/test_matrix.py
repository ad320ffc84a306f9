"""Role x verb x resource: every cell of the hand-written table, and every cell that it leaves empty."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from strongroom.access.authorisation import Authorisation
from strongroom.access.people import MACHINE_ROLES
from strongroom.access.principals import Principal
from strongroom.access.verbs import KINDS, ROLES, VERBS, Verb
from strongroom.adapters.policies.cedar import CedarEngine
from strongroom.errors import NotPermittedError
from strongroom.office.acts import Act, Resource
from strongroom.vocabulary import PersonId

AT = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
ME = PersonId("someone")
LABELS = {"environment": "production", "jurisdiction": "EU", "purpose": "credit-decision"}
GRANT = {
    "models": frozenset({"granted"}),
    "environments": frozenset({"production"}),
    "jurisdictions": frozenset({"EU"}),
    "purposes": frozenset({"credit-decision"}),
}
RELEASED = {name: GRANT[name] for name in ("environments", "jurisdictions", "purposes")}


def read_table() -> list[tuple[str, str, frozenset[str]]]:
    rows = []
    for line in (Path(__file__).parent / "matrix.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            verb, resource, roles = (part.strip() for part in line.split("|"))
            rows.append((verb, resource, frozenset(roles.split())))
    return rows


TABLE = read_table()


def resource_of(text: str) -> Resource:
    kind, _, variant = text.partition(" ")
    attributes: dict[str, dict[str, str | frozenset[str]]] = {
        "": {},
        "own": {"author": ME},
        "other's": {"author": "another"},
        "judged": {"author": "another", "validator": ME},
        "granted": dict(RELEASED),
    }
    return Resource(kind, "granted" if variant == "granted" else "thing", attributes[variant])


def principal_of(role: str) -> Principal:
    machine = role in MACHINE_ROLES or role == "alerter"
    return Principal(ME, "Service" if machine else "Person", frozenset({role}), grants=GRANT)


@pytest.mark.parametrize(("verb", "resource", "allowed"), TABLE, ids=[f"{verb}-{on}" for verb, on, _ in TABLE])
def test_exactly_these_roles_may(engine: CedarEngine, verb: str, resource: str, allowed: frozenset[str]) -> None:
    authorisation = Authorisation(engine)
    found = set()
    for role in ROLES:
        try:
            authorisation.check(Act(principal_of(role), verb, resource_of(resource), AT, LABELS))
        except NotPermittedError:
            continue
        found.add(role)
    assert found == allowed


def test_every_verb_on_every_kind_is_in_the_table() -> None:
    listed = {(verb, resource.split()[0]) for verb, resource, _ in TABLE}
    assert listed == {(str(verb), kind) for verb, rule in VERBS.items() for kind in rule.on}


def test_every_verb_has_a_rule_and_every_role_and_kind_a_use() -> None:
    assert set(VERBS) == set(Verb)
    assert set().union(*(roles for _, _, roles in TABLE)) == set(ROLES)
    assert {kind for rule in VERBS.values() for kind in rule.on} == set(KINDS)


def test_no_role_at_all_may_nothing(engine: CedarEngine) -> None:
    authorisation = Authorisation(engine)
    nobody = Principal(ME, "Person", frozenset(), grants=GRANT)
    for verb, resource, _ in TABLE:
        with pytest.raises(NotPermittedError):
            authorisation.check(Act(nobody, verb, resource_of(resource), AT, LABELS))


def test_a_verb_on_the_wrong_kind_is_refused_before_the_policies(engine: CedarEngine) -> None:
    custodian = Principal(ME, "Person", frozenset({"custodian"}))
    with pytest.raises(NotPermittedError, match="only to Room"):
        Authorisation(engine).check(Act(custodian, "init", Resource("Model", "m"), AT))


@pytest.mark.parametrize("second", [role for role in ROLES if role not in MACHINE_ROLES])
def test_more_roles_never_let_an_author_judge_their_own(engine: CedarEngine, second: str) -> None:
    authorisation = Authorisation(engine)
    both = Principal(ME, "Person", frozenset({"author", "validator", "approver", second}))
    for verb in ("review", "approve", "register-sample"):
        with pytest.raises(NotPermittedError, match="author-is-not-the-judge"):
            authorisation.check(Act(both, verb, Resource("Case", "c", {"author": ME}), AT))


def test_auditors_change_nothing_whatever_else_they_are(engine: CedarEngine) -> None:
    both = Principal(ME, "Person", frozenset({"auditor", "operator", "dpo"}))
    for verb, resource in (("release", Resource("Model", "m")), ("erase", Resource("Subject", "s"))):
        with pytest.raises(NotPermittedError, match="auditors-change-nothing"):
            Authorisation(engine).check(Act(both, verb, resource, AT))
