"""Nobody gets a model past findings, tiers and dates by words: names taken, versions resubmitted, moves made later."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from strongroom.approval import actions, papers, standing
from strongroom.approval.dossiers import demand_ready
from strongroom.approval.papers import findings_of, sign_section, sign_step
from strongroom.approval.signing import ReviewPapers, sign_review
from strongroom.approval.statements import Finding
from strongroom.encoding import canonical
from strongroom.errors import EvidenceError, ExpiredError, FourEyesError, InvalidInputError
from strongroom.office.acts import Act
from strongroom.registry.versions import Paper
from strongroom.validation.findings import DAY_US, Accepted, Closed, FindingStep, Raised
from strongroom.validation.human_text import SectionText
from strongroom.vocabulary import PersonId, digest_of, micros
from tests.approval.control_room import VALIDATION_POLICY, ControlRoom
from tests.simulator import POLICIES, Version, register, signer


@pytest.fixture
def room(tmp_path: Path) -> ControlRoom:
    room = ControlRoom(tmp_path)
    room.found()
    return room


def version_in(room: ControlRoom, made: Version) -> Any:
    with room.office.open(Act(room.who("ann"), "show", papers._model(made.ref), room.at)) as books:
        return books.versions.get(made.ref)


def say(room: ControlRoom, made: Version, who: str, does: Any, name: str = "f-1", evidence: bytes | None = None) -> Any:
    room.tick()
    found = findings_of(version_in(room, made), room.blobs, room.means.register)
    previous = next((f.last.payload for f in found if f.name == name), None)
    step = FindingStep(v=1, finding=name, does=does, previous=previous, person=PersonId(who), at_us=micros(room.at))
    return papers.say_of_finding(
        room.office, room.who(who), room.at, ref=made.ref, envelope=sign_step(made.ref, step, signer(who)),
        evidence=evidence, means=room.means,
    )  # fmt: skip


def raised(room: ControlRoom, severity: Any = "high", text: str = "grade 7 is too low") -> Raised:
    due = micros(room.at) + 30 * DAY_US
    return Raised(severity=severity, text=text, owner=PersonId("ann"), due_us=due, remediation="recalibrate")


def closed() -> dict[str, Any]:
    return {"does": Closed(evidence=digest_of(b"rerun"), name="rerun", reason="holds now"), "evidence": b"rerun"}


def review_with(room: ControlRoom, made: Version, findings: Sequence[Finding]) -> None:
    about = ReviewPapers(
        made.ref, made.manifest, {k: v for k, v in made.evidence.items() if k != "review"}, made.results, made.sample,
        room.people.encode(), POLICIES["policy/trust.json"], 1,
    )  # fmt: skip
    made.evidence["review"] = sign_review(
        about, signer("val"), PersonId("val"), micros(room.at), opinion="fit", findings=findings
    )
    room.reviewed(made)


def ready(room: ControlRoom, number: int) -> Version:
    made = room.submitted(number)
    room.machines(made)
    room.reviewed(made)
    room.proposed(made)
    return made


@pytest.mark.parametrize(
    ("who", "severity"), [("abel", "low"), ("abel", "high"), ("val", "low")], ids=["friend", "friend-high", "milder"]
)
def test_a_name_that_somebody_took_does_not_hide_the_reviews_finding(
    room: ControlRoom, who: str, severity: str
) -> None:
    """A friend enters a trifle as `f-1` first; the validator's high finding is called `f-1`, too."""
    made = room.submitted(7)
    say(room, made, who, raised(room, severity, "a typing error in the title"))
    room.machines(made)
    review_with(room, made, [Finding(id="f-1", severity="high", text="leaks the outcome", status="accepted")])
    room.proposed(made)
    if severity == "high":
        say(room, made, "val", **closed())
    with pytest.raises(EvidenceError, match="the review's finding `f-1` is high"):
        room.approved(made, "abel")


def test_the_reviews_finding_entered_as_it_is_and_settled_lets_through(room: ControlRoom) -> None:
    made = room.submitted(7)
    room.machines(made)
    review_with(room, made, [Finding(id="f-1", severity="high", text="leaks the outcome", status="accepted")])
    room.proposed(made)
    say(room, made, "val", raised(room, "high"))
    say(room, made, "val", Accepted(until_us=micros(room.at) + DAY_US, reason="overlay"))
    assert room.approved(made, "abel", "bea").state == "approved"


def test_a_new_version_does_not_shed_the_findings_of_the_one_before(room: ControlRoom) -> None:
    first = ready(room, 7)
    say(room, first, "val", raised(room))
    second = room.submitted(8)
    room.machines(second)
    room.reviewed(second)
    room.proposed(second)
    with pytest.raises(EvidenceError, match=rf"`f-1` of version {first.ref.manifest[:12]} is high and open"):
        room.approved(second, "abel")
    say(room, first, "val", **closed())
    assert room.approved(second, "abel", "bea").state == "approved"


def test_a_rejected_versions_findings_stay_and_can_be_settled(room: ControlRoom) -> None:
    first = ready(room, 7)
    say(room, first, "val", raised(room))
    reject(room, first)
    second = ready(room, 8)
    with pytest.raises(EvidenceError, match=r"`f-1` of version"):
        room.approved(second, "abel")
    say(room, first, "val", **closed())
    assert room.approved(second, "abel", "bea").state == "approved"


def reject(room: ControlRoom, made: Version) -> None:
    room.tick()
    actions.reject(room.office, room.who("val"), room.at, ref=made.ref, reason="too weak", means=room.means)


def test_a_released_version_with_a_finding_is_not_moved_up(room: ControlRoom) -> None:
    """Published while the finding was accepted, pointed at after the acceptance ended."""
    made = ready(room, 7)
    say(room, made, "val", raised(room))
    say(room, made, "val", Accepted(until_us=micros(room.at) + DAY_US, reason="overlay"))
    room.approved(made, "abel", "bea")
    room.released(made)
    room.pointed(None, made.ref.manifest)
    room.at += timedelta(days=2)
    with pytest.raises(EvidenceError, match="`f-1` is high and acceptance expired"):
        room.pointed(made.ref.manifest)
    room.pointed(None, made.ref.manifest)  # a shadow answers nobody
    say(room, made, "val", **closed())
    room.pointed(made.ref.manifest)


def test_a_canary_with_a_finding_grows_no_further_and_may_shrink(room: ControlRoom) -> None:
    first = room.live(6)
    made = ready(room, 7)
    room.approved(made, "abel", "bea")
    room.released(made)
    room.pointed(first.ref.manifest, made.ref.manifest, 10)
    say(room, made, "val", raised(room))
    for champion, challenger, percent in (
        (first.ref.manifest, made.ref.manifest, 11),
        (made.ref.manifest, None, 0),
    ):
        with pytest.raises(EvidenceError, match="`f-1` is high and open"):
            room.pointed(champion, challenger, percent)
    room.pointed(first.ref.manifest, made.ref.manifest, 5)
    room.pointed(first.ref.manifest)


def test_going_back_is_never_held_up_by_a_finding(room: ControlRoom) -> None:
    first = room.live(6)
    second = room.live(7, fallback=first.ref.manifest)
    say(room, first, "val", raised(room))
    room.tick()
    pointer, draft = standing.draft_rollback(
        PersonId("oscar"), room.at, model=second.ref.name, reason="drift", means=room.means
    )
    change = standing.point(
        room.office, room.who("oscar"), room.at, pointer=pointer, key_id=signer("oscar").public.key_id,
        signature=signer("oscar").sign(draft), means=room.means, verb="rollback",
    )  # fmt: skip
    assert change.champion == first.ref.manifest


TABLE = {
    "materiality": [{"name": name, "means": name} for name in ("low", "high")],
    "complexity": [{"name": name, "means": name} for name in ("low", "high")],
    "tiers": [[3, 2], [2, 1]],
}


def rate(room: ControlRoom, made: Version, who: str, role: str, level: str) -> None:
    room.tick()
    said = SectionText(
        v=1, section="identity", role=role, text="rated", person=PersonId(who), at_us=micros(room.at),
        materiality=level, complexity=level,
    )  # fmt: skip
    envelope = sign_section(made.ref, said, signer(who))
    papers.write(room.office, room.who(who), room.at, ref=made.ref, envelope=envelope, means=room.means)


def weak(room: ControlRoom, made: Version) -> Any:
    version = version_in(room, made)
    return replace(version, contract=msgspec.structs.replace(version.contract, tier=3))


def test_authors_do_not_choose_their_own_tier(room: ControlRoom) -> None:
    room.validation_policy = canonical({**json.loads(VALIDATION_POLICY), "tiering": TABLE})
    made = room.submitted(7)
    with pytest.raises(EvidenceError, match="nobody but its author has rated"):
        demand_ready(weak(room, made), room.means, room.at, ())
    rate(room, made, "ann", "author", "low")
    with pytest.raises(EvidenceError, match=r"nobody but its author has rated.*--materiality low\|high"):
        demand_ready(weak(room, made), room.means, room.at, ())
    rate(room, made, "val", "validator", "high")
    rate(room, made, "ann", "author", "low")  # the last word, and it does not count
    with pytest.raises(EvidenceError, match="asks for tier 1"):
        demand_ready(weak(room, made), room.means, room.at, ())
    rate(room, made, "val", "validator", "low")
    demand_ready(weak(room, made), room.means, room.at, ())
    rate(room, made, "ann", "author", "high")  # stricter than the contract: it does
    with pytest.raises(EvidenceError, match="asks for tier 1"):
        demand_ready(weak(room, made), room.means, room.at, ())


def test_of_several_raters_the_strictest_holds(room: ControlRoom) -> None:
    room.validation_policy = canonical({**json.loads(VALIDATION_POLICY), "tiering": TABLE})
    made = room.submitted(7)
    rate(room, made, "val", "validator", "high")
    rate(room, made, "abel", "approver", "low")
    with pytest.raises(EvidenceError, match="asks for tier 1"):
        demand_ready(weak(room, made), room.means, room.at, ())


def test_a_level_that_the_policy_has_not_spoils_no_report(room: ControlRoom) -> None:
    room.validation_policy = canonical({**json.loads(VALIDATION_POLICY), "tiering": TABLE})
    made = room.submitted(7)
    with pytest.raises(InvalidInputError, match="has no materiality `hihg`; it has low, high"):
        rate(room, made, "val", "validator", "hihg")
    rate(room, made, "val", "validator", "low")
    other = [{"name": name, "means": name} for name in ("small", "large")]
    room.validation_policy = canonical(
        {**json.loads(VALIDATION_POLICY), "tiering": {**TABLE, "materiality": other, "complexity": other}}
    )
    with pytest.raises(EvidenceError, match="materiality low with complexity low asks for tier 1"):
        demand_ready(weak(room, made), room.means, room.at, ())


def test_authors_do_not_write_the_validators_words(room: ControlRoom) -> None:
    """Ann is a validator of other people's models, too."""
    person = room.people.person("ann")
    room.people = register({"ann": msgspec.structs.replace(person, roles=("author", "validator"))})
    policy = json.loads(VALIDATION_POLICY)
    for battery in policy["batteries"]:
        battery["sections"] = [{"section": "opinion", "by": "validator"}]
    room.validation_policy = canonical(policy)
    made = room.submitted(7)
    room.tick()
    said = SectionText(
        v=1, section="opinion", role="validator", text="fine", person=PersonId("ann"), at_us=micros(room.at)
    )
    envelope = sign_section(made.ref, said, signer("ann"))
    with pytest.raises(FourEyesError, match="as its author only"):
        papers.write(room.office, room.who("ann"), room.at, ref=made.ref, envelope=envelope, means=room.means)
    # words that stand in an older room count for nothing
    version = version_in(room, made).with_paper(Paper("section", room.blobs.put(envelope)))
    with pytest.raises(EvidenceError, match="lacks the words of someone in the role `validator`"):
        demand_ready(version, room.means, room.at, ())


@pytest.mark.parametrize("days", [-30, 30], ids=["past", "future"])
def test_a_policy_out_of_its_dates_lets_nothing_through(room: ControlRoom, days: int) -> None:
    made = ready(room, 7)
    room.approved(made, "abel")
    now, day = micros(room.at), DAY_US
    dates = (now - 60 * day, now - 30 * day) if days < 0 else (now + 30 * day, now + 60 * day)
    room.validation_policy = canonical(
        {**json.loads(VALIDATION_POLICY), "effective_from_us": dates[0], "effective_until_us": dates[1]}
    )
    with pytest.raises(ExpiredError, match="not in force"):
        room.approved(made, "bea")
    room.validation_policy = VALIDATION_POLICY
    room.approved(made, "bea")
    room.validation_policy = canonical(
        {**json.loads(VALIDATION_POLICY), "effective_from_us": dates[0], "effective_until_us": dates[1]}
    )
    with pytest.raises(ExpiredError, match="not in force"):
        room.released(made)
