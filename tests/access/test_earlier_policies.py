"""A room that signed its policies with an earlier version keeps working: what they do not know is nobody's to do."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.access.authorisation import Authorisation
from strongroom.access.principals import Principal
from strongroom.access.verbs import KINDS, ROLES, VERBS
from strongroom.adapters.policies.cedar import CedarEngine
from strongroom.errors import InvalidInputError, NotPermittedError
from strongroom.office.acts import Act, Resource
from strongroom.vocabulary import PersonId

EARLIER = Path(__file__).parent / "earlier"
"""As they shipped before retention, holds and repair (846b840)."""

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
SINCE = {
    ("finding", "Model"),
    ("hold", "Room"),
    ("lift-hold", "Room"),
    ("replicate", "Model"),
    ("repair", "Node"),
    ("repair", "Room"),
    ("retain", "Node"),
    ("write", "Model"),
}


def texts() -> tuple[bytes, bytes]:
    return (EARLIER / "access.cedar").read_bytes(), (EARLIER / "access.cedarschema").read_bytes()


ENGINE = CedarEngine(*texts(), earlier=True)


KNOWN = [role for role in ROLES if role != "risk"]
"""Roles that they have; whoever holds a newer one may nothing by it (see below)."""


def may(engine: CedarEngine, role: str, verb: str, kind: str, who: str = "Person") -> str:
    """Empty where it may, else the refusal."""
    principal = Principal(PersonId("ann"), who, frozenset({role}))  # type: ignore[arg-type]  # a kind
    try:
        Authorisation(engine).check(Act(principal, verb, Resource(kind, "x"), AT))
    except NotPermittedError as error:
        return error.message
    return ""


def test_new_policies_must_know_everything_and_those_in_force_need_not() -> None:
    with pytest.raises(InvalidInputError, match="has no action"):
        CedarEngine(*texts())
    assert {tuple(one.split(" on ")) for one in ENGINE.unknown} == SINCE
    assert not CedarEngine(*shipped(), earlier=True).unknown


def shipped() -> tuple[bytes, bytes]:
    folder = Path(__file__).parents[2] / "src" / "strongroom" / "policies"
    return (folder / "access.cedar").read_bytes(), (folder / "access.cedarschema").read_bytes()


@given(st.sampled_from(ROLES), st.sampled_from(sorted(SINCE)), st.sampled_from(["Person", "Service"]))
def test_what_they_do_not_know_nobody_may_and_the_refusal_names_the_way_out(
    role: str, act: tuple[str, str], who: str
) -> None:
    said = may(ENGINE, role, *act, who)
    assert "strongroom policy propose" in said
    assert "strongroom people sign" in said
    assert f"`{act[0]}` on {act[1]}" in said


def test_what_they_know_is_ruled_as_they_say() -> None:
    new = CedarEngine(*shipped())
    both = [(role, str(verb), kind) for role in KNOWN for verb, rule in VERBS.items() for kind in rule.on]
    ruled = [(may(ENGINE, *one) == "", may(new, *one) == "") for one in both if one[1:] not in SINCE]
    assert any(was for was, _ in ruled)
    # nothing that was permitted then has been taken away since, nor the other way round, but for the new acts
    assert [was for was, _ in ruled] == [now for _, now in ruled]
    assert may(ENGINE, "custodian", "people", "People") == "", "or they could never be replaced"


def test_a_role_that_they_do_not_know_is_none() -> None:
    policies, schema = texts()
    without = schema.replace(b'"dpo", ', b"")
    bare = b"\n\n".join(rule for rule in policies.split(b"\n\n") if b'Role::"dpo"' not in rule)
    with pytest.raises(InvalidInputError, match="misses a role"):
        CedarEngine(bare, schema.replace(b'"dpo", ', b"") + NEW_ACTS)
    engine = CedarEngine(bare, without, earlier=True)
    assert "no policy lets" in may(engine, "dpo", "erase", "Subject")
    assert may(engine, "custodian", "people", "People") == ""


NEW_ACTS = b"""
action "write", "finding" appliesTo { principal: [Person], resource: [Model], context: Request };
action "replicate" appliesTo { principal: [Person, Service], resource: [Model], context: Request };
action "repair" appliesTo { principal: [Person], resource: [Room, Node], context: Request };
action "retain" appliesTo { principal: [Person], resource: [Node], context: Request };
action "hold", "lift-hold" appliesTo { principal: [Person], resource: [Room], context: Request };
"""


def test_without_the_act_that_signs_policies_they_are_refused_all_the_same() -> None:
    policies, schema = texts()
    bare = b"\n\n".join(rule for rule in policies.split(b"\n\n") if b'Action::"people"' not in rule)
    none = b"\n".join(line for line in schema.splitlines() if b'action "people"' not in line)
    with pytest.raises(InvalidInputError, match="`people` on People"):
        CedarEngine(bare, none, earlier=True)
    assert set(KINDS) >= {"People"}


def test_a_schema_that_does_not_read_is_refused_all_the_same() -> None:
    with pytest.raises(InvalidInputError):
        CedarEngine(texts()[0], b"entity", earlier=True)
