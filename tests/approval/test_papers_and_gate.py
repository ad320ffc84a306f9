"""Findings and words go through the door with their signatures; what the policy asks of both holds up approval."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from strongroom.approval import papers
from strongroom.approval.dossiers import demand_ready
from strongroom.approval.papers import findings_of, sections_of, sign_section, sign_step
from strongroom.approval.policy_signature import demand_policy_signature, read_policy_signature, sign_policy
from strongroom.encoding import canonical
from strongroom.errors import (
    EvidenceError,
    FourEyesError,
    InvalidInputError,
    NotPermittedError,
    StrongroomError,
    TamperedError,
)
from strongroom.office.acts import Act
from strongroom.validation.findings import Accepted, Closed, Finding, FindingStep, Raised
from strongroom.validation.human_text import SectionText
from strongroom.vocabulary import PersonId, digest_of, micros
from tests.approval.control_room import VALIDATION_POLICY, ControlRoom
from tests.simulator import Version, register, signer

DAY_US = 86_400_000_000


@pytest.fixture
def room(tmp_path: Path) -> ControlRoom:
    room = ControlRoom(tmp_path)
    room.found()
    return room


def version_in(room: ControlRoom, made: Version) -> Any:
    with room.office.open(Act(room.who("ann"), "show", papers._model(made.ref), room.at)) as books:
        return books.versions.get(made.ref)


def say(room: ControlRoom, made: Version, who: str, does: Any, key: str = "", evidence: bytes | None = None) -> Finding:
    room.tick()
    found = findings_of(version_in(room, made), room.blobs, room.means.register)
    previous = next((f.last.payload for f in found if f.name == "f-1"), None)
    step = FindingStep(v=1, finding="f-1", does=does, previous=previous, person=PersonId(who), at_us=micros(room.at))
    envelope = sign_step(made.ref, step, signer(key or who))
    return papers.say_of_finding(
        room.office, room.who(who), room.at, ref=made.ref, envelope=envelope, evidence=evidence, means=room.means
    )


def raised(room: ControlRoom, severity: Any = "high") -> Raised:
    due = micros(room.at) + 30 * DAY_US
    return Raised(severity=severity, text="too low", owner=PersonId("ann"), due_us=due, remediation="recalibrate")


def write(room: ControlRoom, made: Version, who: str, role: str, key: str = "", **changes: Any) -> Any:
    room.tick()
    values: dict[str, Any] = {"section": "intended-use", "text": "for cards", "at_us": micros(room.at), **changes}
    said = SectionText(v=1, role=role, person=PersonId(who), **values)
    envelope = sign_section(made.ref, said, signer(key or who))
    return papers.write(room.office, room.who(who), room.at, ref=made.ref, envelope=envelope, means=room.means)


def reviewed(room: ControlRoom) -> Version:
    made = room.submitted(7)
    room.machines(made)
    room.reviewed(made)
    room.proposed(made)
    return made


def test_an_open_high_finding_holds_up_approval_and_release(room: ControlRoom) -> None:
    made = reviewed(room)
    say(room, made, "val", raised(room))
    # the version is named: the name alone means the newest, which may be another
    named = f"{made.ref.name}@{made.ref.manifest[:12]}"
    with pytest.raises(
        EvidenceError, match=f"high and open; settle it with `strongroom findings accept {named} f-1 --days"
    ):
        room.approved(made, "abel")
    assert say(room, made, "val", Accepted(until_us=micros(room.at) + DAY_US, reason="x")).status(micros(room.at)) == (
        "accepted"
    )
    room.approved(made, "abel", "bea")
    start = room.at
    room.at = start.replace(day=start.day + 2)
    with pytest.raises(EvidenceError, match="acceptance expired"):
        room.released(made)
    say(room, made, "val", Closed(evidence=digest_of(b"rerun"), name="r", reason="x"), evidence=b"rerun")
    assert room.released(made).state == "released"
    assert room.blobs.get(digest_of(b"rerun")) == b"rerun"


def test_words_that_the_policy_demands_hold_up_approval(room: ControlRoom) -> None:
    policy = json.loads(VALIDATION_POLICY)
    for battery in policy["batteries"]:
        battery["sections"] = [{"section": "intended-use", "by": "author"}]
    room.validation_policy = canonical(policy)
    made = reviewed(room)
    with pytest.raises(EvidenceError, match="section 2 `Intended use` lacks the words of someone in the role `author`"):
        room.approved(made, "abel")
    write(room, made, "val", "validator")
    with pytest.raises(
        EvidenceError, match=r"strongroom write pd-cards@[0-9a-f]{12} --section intended-use --role author"
    ):
        room.approved(made, "abel")
    write(room, made, "ann", "author")
    assert room.approved(made, "abel", "bea").state == "approved"


def test_a_tier_weaker_than_the_model_was_rated_holds_up_approval(room: ControlRoom) -> None:
    level = [{"name": name, "means": name} for name in ("low", "high")]
    table = {"materiality": level, "complexity": level, "tiers": [[3, 2], [2, 1]]}
    room.validation_policy = canonical({**json.loads(VALIDATION_POLICY), "tiering": table})
    made = reviewed(room)
    write(room, made, "val", "validator", section="identity", materiality="high", complexity="high")
    room.approved(made, "abel")
    version = version_in(room, made)
    weaker = replace(version, contract=msgspec.structs.replace(version.contract, tier=2))
    with pytest.raises(EvidenceError, match="submit it with `tier = 1`"):
        demand_ready(weaker, room.means, room.at, ())


def test_signatures_of_others_and_of_the_wrong_role_count_for_nothing(room: ControlRoom) -> None:
    made = room.submitted(7)
    version = write(room, made, "ann", "author")
    (text,) = sections_of(version, room.blobs, room.means.register)
    assert (text.said.person, text.said.text, text.key) == ("ann", "for cards", signer("ann").public.key_id)
    for who, role, key, error in (
        ("ann", "validator", "", EvidenceError),  # not her role
        ("ann", "author", "val", EvidenceError),  # val's key, in her name
        ("val", "validator", "stranger", StrongroomError),
        ("hal", "author", "", StrongroomError),  # holds no role that writes
    ):
        with pytest.raises(error):
            write(room, made, who, role, key)
    with pytest.raises(EvidenceError, match="dated otherwise"):
        write(room, made, "ann", "author", at_us=micros(room.at) - DAY_US)
    other = room.submitted(8)
    room.tick()
    said = SectionText(v=1, section="method", role="author", text="t", person=PersonId("ann"), at_us=micros(room.at))
    with pytest.raises(EvidenceError, match="about"):
        papers.write(
            room.office, room.who("ann"), room.at, ref=made.ref,
            envelope=sign_section(other.ref, said, signer("ann")), means=room.means,
        )  # fmt: skip
    assert len(version_in(room, made).papers) == 1


def test_authors_and_strangers_settle_nothing(room: ControlRoom) -> None:
    made = room.submitted(7)
    with pytest.raises(NotPermittedError):
        say(room, made, "ann", raised(room))
    say(room, made, "val", raised(room))
    with pytest.raises(NotPermittedError):
        say(room, made, "oscar", Accepted(until_us=micros(room.at) + DAY_US, reason="x"))
    with pytest.raises(FourEyesError, match="a risk or validator may"):
        say(room, made, "abel", Accepted(until_us=micros(room.at) + DAY_US, reason="x"))
    for evidence in (None, b"another"):
        with pytest.raises(InvalidInputError, match="with the file that its statement names"):
            say(room, made, "val", Closed(evidence=digest_of(b"rerun"), name="r", reason="x"), evidence=evidence)
    with pytest.raises(EvidenceError, match="signed it"):
        say(room, made, "val", Accepted(until_us=micros(room.at) + DAY_US, reason="x"), key="bea")


def test_a_step_that_was_taken_off_the_shelf_shows(room: ControlRoom) -> None:
    made = room.submitted(7)
    say(room, made, "val", raised(room))
    say(room, made, "val", Accepted(until_us=micros(room.at) + DAY_US, reason="x"))
    version = version_in(room, made)
    with pytest.raises(TamperedError, match="does not follow"):
        findings_of(replace(version, papers=version.papers[1:]), room.blobs, room.means.register)


def test_a_room_with_a_risk_function_judges_by_policies_that_it_signed(room: ControlRoom) -> None:
    risky = register({"hal": _with_role("hal", "risk")})
    room.people = risky
    policy, reg = VALIDATION_POLICY, room.means.register
    with pytest.raises(EvidenceError, match="strongroom policy sign"):
        _ = room.means.judging
    good = sign_policy(policy, signer("hal"))
    assert read_policy_signature(good, policy, reg) == "hal"
    assert demand_policy_signature(policy, good, reg) == "hal"
    assert replace(room.means, validation_signature=good).judging == policy
    other = canonical({**json.loads(policy), "version": "other"})
    with pytest.raises(EvidenceError, match="another validation policy"):
        demand_policy_signature(other, good, reg)
    for key in ("val", "stranger"):
        with pytest.raises(EvidenceError):
            demand_policy_signature(policy, sign_policy(policy, signer(key)), reg)
    with pytest.raises(InvalidInputError):
        sign_policy(b"{}", signer("hal"))


def _with_role(name: str, role: str) -> Any:
    person = register().person(name)
    return type(person)(
        person_id=person.person_id, kind="Person", keys=person.keys, roles=tuple(sorted((*person.roles, role)))
    )
