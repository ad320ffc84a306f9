"""Door, shipped policies and books together: what the demo shows as refused, each with its place in the log."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from strongroom.access.authorisation import Authorisation
from strongroom.access.principals import Principal
from strongroom.adapters.database.desk import SqlBooks, open_desk
from strongroom.adapters.policies.cedar import CedarEngine
from strongroom.approval.cases import Case
from strongroom.approval.resources import describe
from strongroom.errors import NotPermittedError
from strongroom.office.acts import Act, Resource
from strongroom.office.door import Office
from strongroom.office.entries import Entry
from strongroom.vocabulary import Digest, ModelRef, PersonId
from tests.office.conftest import AT, counter, shard_log

POLICIES = files("strongroom") / "policies"
REF = ModelRef("pd-cards", Digest("1" * 64))


def someone(name: str, *roles: str) -> Principal:
    return Principal(PersonId(name), "Person", frozenset(roles))


@pytest.fixture
def house(tmp_path: Path):
    desk, log = open_desk(tmp_path / "room.db"), shard_log()
    engine = CedarEngine((POLICIES / "access.cedar").read_bytes(), (POLICIES / "access.cedarschema").read_bytes())
    office: Office[SqlBooks] = Office(Authorisation(engine), desk, log, lambda: AT, counter(), describe)
    with office.open(Act(someone("ann", "author"), "submit", Resource("Model", "pd-cards"), AT)) as books:
        case = Case.opened("c-1", REF, Digest("d" * 64), PersonId("ann"), Digest("4" * 64), 1)
        books.cases.put(case)
        for kind, by in (("scan", "scanner-1"), ("validation", "validation-1"), ("review", "val")):
            case = case.with_evidence(kind, Digest("5" * 64), PersonId(by), 2)
            books.cases.put(case)
    yield office, log
    desk.close()


CASE = Resource("Case", "c-1")
MODEL = Resource("Model", "pd-cards", {"manifest": REF.manifest})


@pytest.mark.parametrize("on", [CASE, MODEL], ids=["case", "model"])
@pytest.mark.parametrize(
    ("who", "rule"),
    [
        (someone("ann", "author", "approver"), "author-is-not-the-judge"),
        (someone("val", "validator", "approver"), "validator-does-not-approve"),
        (someone("aud", "auditor", "approver"), "auditors-change-nothing"),
        (someone("eve", "operator"), "no policy"),
    ],
)
def test_who_may_not_approve_is_told_why_and_recorded(house, who, rule, on):
    office, log = house
    with pytest.raises(NotPermittedError, match=rule) as raised, office.open(Act(who, "approve", on, AT)):
        pytest.fail("the books were handed out")
    entry = Entry.decode(log.entry(raised.value.entry).entry)
    assert (entry.who, entry.verb, entry.code) == (who.id, "approve", "not-permitted")
    assert rule in entry.reason
    assert office.fsck() == []


@pytest.mark.parametrize("on", [CASE, MODEL], ids=["case", "model"])
def test_an_independent_approver_gets_in(house, on):
    office, _ = house
    with office.open(Act(someone("pat", "approver"), "approve", on, AT)) as books:
        books.note(case="c-1")
    assert books.receipt.index == 1


def test_lying_about_the_author_does_not_help(house):
    office, _ = house
    lie = Resource("Case", "c-1", {"author": "someone-else", "validator": "someone-else"})
    with (
        pytest.raises(NotPermittedError, match="author-is-not-the-judge"),
        office.open(Act(someone("ann", "approver"), "approve", lie, AT)),
    ):
        pytest.fail("the books were handed out")


@pytest.mark.parametrize(
    "on",
    [
        Resource("Case", "c-9"),
        Resource("Model", "pd-cards"),
        Resource("Model", "pd-cards", {"manifest": "9" * 64}),
        Resource("Model", "pd-cards", {"manifest": "../x"}),
        Resource("Model", "../x", {"manifest": "9" * 64}),
    ],
)
def test_what_the_books_do_not_know_is_not_approved(house, on):
    office, _ = house
    with pytest.raises(NotPermittedError), office.open(Act(someone("pat", "approver"), "approve", on, AT)):
        pytest.fail("the books were handed out")


def test_a_change_of_the_books_changes_the_answer_at_once(house):
    """Remembered decisions are keyed on what the books say, so a new author is a new question."""
    office, _ = house
    pat = someone("pat", "approver")
    with office.open(Act(pat, "approve", CASE, AT)) as books:
        case = Case.opened("c-2", ModelRef("pd-cards", Digest("2" * 64)), Digest("d" * 64), pat.id, Digest("4" * 64), 1)
        books.cases.put(case)
    with pytest.raises(NotPermittedError), office.open(Act(pat, "approve", Resource("Case", "c-2"), AT)):
        pytest.fail("the books were handed out")
