"""The verbs of approval, through the real door, policies and process: the whole way, and what is refused on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from strongroom.approval import actions, standing
from strongroom.approval.cases import Case
from strongroom.approval.signing import (
    SignedApproval,
    check_approval_papers,
    sign_approval,
    sign_halt,
    sign_lift,
    sign_rejection,
)
from strongroom.errors import (
    ConflictError,
    EvidenceError,
    FourEyesError,
    HaltedError,
    InvalidInputError,
    NotFoundError,
    NotPermittedError,
    TamperedError,
)
from strongroom.sealing.dsse import open_envelope
from strongroom.vocabulary import PersonId, digest_of, micros
from tests.approval.control_room import ControlRoom
from tests.simulator import MODEL, POLICIES, Version, signer


@pytest.fixture
def room(tmp_path: Path) -> ControlRoom:
    room = ControlRoom(tmp_path)
    room.found()
    return room


def ready(room: ControlRoom, number: int = 1) -> Version:
    made = room.submitted(number)
    room.machines(made)
    room.reviewed(made)
    return made


def test_from_submission_to_the_gateway(room: ControlRoom) -> None:
    made = room.live(1)
    [model] = room.admit()
    assert model.artifact == made.files["model.onnx"]
    case = room.desk.books.cases.get("c-1")
    assert case.state == "released"
    assert [step.verb for step in case.history] == [
        "submit", "scan", "validate", "review", "approve", "approve", "release",
    ]  # fmt: skip
    assert case.approvers == ("abel", "bea")
    assert room.desk.books.versions.get(made.ref).state == "released"
    assert room.office.fsck() == []


def test_the_case_survives_a_restart_between_any_two_steps(room: ControlRoom) -> None:
    made = room.submitted(1)
    for step in (
        lambda: room.machines(made),
        lambda: room.reviewed(made),
        lambda: room.proposed(made),
        lambda: room.approved(made, "abel"),
        lambda: room.approved(made, "bea"),
        lambda: room.released(made),
    ):
        step()
        desk, log = room.desk, room.log
        room.__post_init__()
        assert (room.desk, room.log) == (desk, log)
    assert room.desk.books.cases.get("c-1").state == "released"


def test_steps_out_of_turn(room: ControlRoom) -> None:
    made = room.submitted(1)
    with pytest.raises(ConflictError):
        room.machines(made, ["validate"])
    room.machines(made)
    with pytest.raises(ConflictError):
        room.proposed(made)
    room.reviewed(made)
    with pytest.raises(ConflictError):
        room.reviewed(made)
    with pytest.raises(NotFoundError):
        room.signed(made, "abel")
    room.proposed(made)
    with pytest.raises(ConflictError):
        room.released(made)
    room.approved(made, "abel")
    with pytest.raises(ConflictError):
        room.released(made)
    with pytest.raises(ConflictError):
        room.proposed(made)


def test_the_author_neither_reviews_nor_approves(room: ControlRoom) -> None:
    made = room.submitted(1)
    room.machines(made)
    with pytest.raises(NotPermittedError):
        room.reviewed(made, "ann")
    room.reviewed(made)
    room.proposed(made)
    signed = room.signed(made, "abel")
    for name in ("ann", "val", "oscar"):
        with pytest.raises(NotPermittedError) as refusal:
            actions.approve(room.office, room.who(name), room.at, ref=made.ref, signed=signed, means=room.means)
        assert refusal.value.entry is not None, "the refusal is in the log"


def test_nobody_hands_in_another_persons_signature(room: ControlRoom) -> None:
    made = ready(room)
    room.proposed(made)
    signed = room.signed(made, "abel")
    with pytest.raises(NotPermittedError, match="signed by `abel`"):
        actions.approve(room.office, room.who("bea"), room.at, ref=made.ref, signed=signed, means=room.means)


def test_nobody_approves_twice(room: ControlRoom) -> None:
    made = ready(room)
    room.proposed(made)
    room.approved(made, "abel")
    with pytest.raises(FourEyesError):
        room.approved(made, "abel")


def test_signatures_must_belong_together(room: ControlRoom) -> None:
    made = ready(room)
    room.proposed(made)
    signed = room.signed(made, "abel")
    for broken, error in (
        (replace(signed, draft_signature=None), EvidenceError),
        (replace(signed, draft_signature=b"x"), TamperedError),
        (replace(signed, key_id=signer("bea").public.key_id), EvidenceError),
        (replace(signed, envelope=signed.envelope[:-1]), TamperedError),
    ):
        with pytest.raises(error):
            actions.approve(room.office, room.who("abel"), room.at, ref=made.ref, signed=broken, means=room.means)
    assert room.desk.books.cases.get("c-1").approvers == ()


def test_new_terms_drop_old_signatures(room: ControlRoom) -> None:
    made = ready(room)
    room.proposed(made)
    old = room.signed(made, "abel")
    room.proposed(made, min_gateway="0.1")
    with pytest.raises(ConflictError, match=r"other terms .* wait by now") as refused:
        actions.approve(room.office, room.who("abel"), room.at, ref=made.ref, signed=old, means=room.means)
    assert refused.value.entry is not None


def test_terms_wider_than_the_contract(room: ControlRoom) -> None:
    made = ready(room)
    with pytest.raises(InvalidInputError):
        room.proposed(made, jurisdictions=("US",))
    with pytest.raises(InvalidInputError):
        room.proposed(made, review_due=room.at)
    with pytest.raises(NotPermittedError, match="not an approved version"):
        room.proposed(made, fallback=digest_of(b"nothing"))


def test_a_sample_that_the_reviewer_did_not_register(room: ControlRoom) -> None:
    made = room.submitted(1, sample_by="vera")
    room.machines(made)
    with pytest.raises(EvidenceError, match="sample"):
        room.reviewed(made)


@pytest.mark.parametrize("when", ["submitted", "reviewed", "approving"])
def test_reject_with_reason(room: ControlRoom, when: str) -> None:
    made = room.submitted(1)
    if when != "submitted":
        room.machines(made)
        room.reviewed(made)
    if when == "approving":
        room.proposed(made)
        room.approved(made, "abel")
    with pytest.raises(InvalidInputError):
        actions.reject(room.office, room.who("bea"), room.at, ref=made.ref, reason=" ", means=room.means)
    case = actions.reject(room.office, room.who("bea"), room.at, ref=made.ref, reason="too old data", means=room.means)
    assert (case.state, case.history[-1].reason) == ("rejected", "too old data")
    assert room.desk.books.versions.get(made.ref).state == "rejected"
    with pytest.raises(ConflictError):
        room.released(made)
    assert room.repository.waiting() == {}


def test_rejecting_one_version_keeps_what_was_signed_for_another(room: ControlRoom) -> None:
    approved, other = ready(room, 1), room.submitted(2)
    room.proposed(approved)
    room.approved(approved, "abel", "bea")
    actions.reject(room.office, room.who("bea"), room.at, ref=other.ref, reason="too weak", means=room.means)
    assert room.released(approved).state == "released"


def test_terms_of_another_version_do_not_drop_an_approved_one(room: ControlRoom) -> None:
    approved, other = ready(room, 1), ready(room, 2)
    room.proposed(approved)
    room.approved(approved, "abel", "bea")
    with pytest.raises(ConflictError, match="release or reject it first"):
        room.proposed(other)
    room.released(approved)
    assert room.proposed(other).manifest == other.ref.manifest


def test_there_are_no_papers_for_what_is_decided(room: ControlRoom) -> None:
    made = room.live(1)
    other = ready(room, 2)
    room.proposed(other)
    with pytest.raises(ConflictError, match="does not wait for an approval; it went the whole way"):
        actions.papers(
            room.office, room.who("abel"), room.at, ref=made.ref, policies=POLICIES, published=None, means=room.means
        )


def test_a_rejection_is_not_taken_for_an_approval(room: ControlRoom) -> None:
    made = ready(room)
    room.proposed(made)
    sent = actions.papers(
        room.office, room.who("abel"), room.at, ref=made.ref, policies=POLICIES, published=None, means=room.means
    )
    checked = check_approval_papers(sent, room.log_read(), micros(room.at))
    signed = sign_rejection(checked, signer("abel"), PersonId("abel"), micros(room.at), "no")
    with pytest.raises(EvidenceError):
        actions.approve(room.office, room.who("abel"), room.at, ref=made.ref, signed=signed, means=room.means)


def test_a_signed_rejection_is_kept_with_the_case_and_must_be_ones_own(room: ControlRoom) -> None:
    made, reason = ready(room), "too old data"
    room.proposed(made)
    sent = actions.papers(
        room.office, room.who("bea"), room.at, ref=made.ref, policies=POLICIES, published=None, means=room.means
    )
    checked = check_approval_papers(sent, room.log_read(), micros(room.at))

    def send(who: str, signed: SignedApproval) -> Case:
        return actions.reject(
            room.office, room.who(who), room.at, ref=made.ref, reason=reason, means=room.means, signed=signed
        )

    own = sign_rejection(checked, signer("bea"), PersonId("bea"), micros(room.at), reason)
    with pytest.raises(NotPermittedError, match="signed by `bea`, not by `abel`"):
        send("abel", own)
    with pytest.raises(EvidenceError, match="another person"):
        send("bea", sign_rejection(checked, signer("bea"), PersonId("abel"), micros(room.at), reason))
    for wrong in (
        sign_rejection(checked, signer("bea"), PersonId("bea"), micros(room.at), "another reason"),
        sign_approval(checked, signer("bea"), PersonId("bea"), micros(room.at)),
    ):
        with pytest.raises(EvidenceError, match="a rejection says so"):
            send("bea", wrong)
    case = send("bea", own)
    kept = case.history[-1].evidence
    assert case.state == "rejected"
    assert kept is not None
    assert room.means.blobs.get(kept) == own.envelope


def test_papers_that_were_changed_are_not_signed(room: ControlRoom) -> None:
    made = ready(room)
    room.proposed(made)
    sent = actions.papers(
        room.office, room.who("abel"), room.at, ref=made.ref, policies=POLICIES, published=None, means=room.means
    )
    checked = check_approval_papers(sent, room.log_read(), micros(room.at))
    for word in ("ann", "val: fit", "canary up to 20 %", checked.digest, made.ref.manifest, "valid"):
        assert word in checked.summary()
    other = room.version(2)
    for broken in (
        replace(sent, release=sent.release.replace(b'"0.1.0"', b'"0.0.1"')),
        replace(sent, draft=sent.draft.replace(b'"version":1', b'"version":2')),
        replace(sent, manifest=other.manifest),
        replace(sent, evidence={**sent.evidence, "scan": other.evidence["scan"]}),
        replace(sent, evidence={k: v for k, v in sent.evidence.items() if k != "scan"}),
        replace(sent, policies={**sent.policies, "policy/trust.json": b"{}"}),
        replace(sent, policies={}),
        replace(sent, diagram=b"<other/>"),
        replace(sent, people=b"{}"),
        replace(sent, kept={}),
        replace(sent, kept=dict.fromkeys(sent.kept, other.manifest)),
    ):
        with pytest.raises((TamperedError, EvidenceError)):
            check_approval_papers(broken, room.log_read(), micros(room.at))


def test_second_version_canary_promotion_and_rollback(room: ControlRoom) -> None:
    first = room.live(1)
    second = room.submitted(2)
    room.machines(second)
    room.reviewed(second)
    room.proposed(second, fallback=first.ref.manifest)
    room.approved(second, "bea", "cleo")
    room.released(second)
    room.pointed(first.ref.manifest, second.ref.manifest, 10)
    assert [m.role for m in room.admit()] == ["champion", "challenger"]
    with pytest.raises(NotPermittedError):
        room.pointed(first.ref.manifest, second.ref.manifest, 21)
    room.pointed(second.ref.manifest)
    peppers = []
    for percent, pepper in ((0, 2), (5, 2), (10, 3), (0, 3), (10, 3), (20, 1)):
        room.pointed(second.ref.manifest, first.ref.manifest, percent, pepper)
        published = room.means.publisher.pointer(MODEL)
        assert published is not None
        peppers.append((published.pepper_number, [m.canary_pepper for m in room.admit() if m.role == "challenger"]))
    assert peppers == [(1, [1]), (2, [2]), (2, [2]), (1, [1]), (3, [3]), (3, [3])], (
        "a canary that goes on keeps its own"
    )
    room.pointed(second.ref.manifest)
    pointer, draft = standing.draft_rollback(PersonId("oscar"), room.at, model=MODEL, reason="drift", means=room.means)
    change = standing.point(
        room.office,
        room.who("oscar"),
        room.at,
        pointer=pointer,
        key_id=signer("oscar").public.key_id,
        signature=signer("oscar").sign(draft),
        means=room.means,
        verb="rollback",
    )
    assert change.champion == first.ref.manifest
    assert [m.ref for m in room.admit()] == [first.ref]
    history = room.desk.books.pointers.history(MODEL)
    assert [c.champion for c in history] == [
        first.ref.manifest,
        first.ref.manifest,
        *[second.ref.manifest] * 8,
        first.ref.manifest,
    ]
    with pytest.raises(ConflictError):
        standing.draft_rollback(PersonId("oscar"), room.at, model=MODEL, reason="again", means=room.means)


def test_a_rollback_elsewhere_is_no_rollback(room: ControlRoom) -> None:
    first = room.live(1)
    second = room.live(2, fallback=first.ref.manifest)
    third = room.live(3, fallback=second.ref.manifest)
    pointer, draft = standing.draft_pointer(
        PersonId("oscar"), room.at, model=MODEL, champion=first.ref.manifest, challenger=None, canary_percent=0,
        reason="far back", means=room.means,
    )  # fmt: skip
    with pytest.raises(NotPermittedError, match="nowhere else"):
        standing.point(
            room.office, room.who("oscar"), room.at, pointer=pointer, key_id=signer("oscar").public.key_id,
            signature=signer("oscar").sign(draft), means=room.means, verb="rollback",
        )  # fmt: skip
    assert [m.ref for m in room.admit() if m.role == "champion"] == [third.ref]


def test_pointers_need_the_operators_own_signature(room: ControlRoom) -> None:
    made = room.live(1)
    pointer, draft = standing.draft_pointer(
        PersonId("oscar"), room.at, model=MODEL, champion=made.ref.manifest, challenger=None, canary_percent=0,
        reason="again", means=room.means,
    )  # fmt: skip
    for who, key, signature, error in (
        ("oscar", "oscar", b"x", TamperedError),
        ("oscar", "abel", signer("abel").sign(draft), EvidenceError),
        ("abel", "oscar", signer("oscar").sign(draft), NotPermittedError),
    ):
        with pytest.raises(error):
            standing.point(
                room.office, room.who(who), room.at, pointer=pointer, key_id=signer(key).public.key_id,
                signature=signature, means=room.means,
            )  # fmt: skip
    with pytest.raises(ConflictError):
        standing.point(
            room.office, room.who("oscar"), room.at, pointer=msgspec.structs.replace(pointer, sequence=9),
            key_id=signer("oscar").public.key_id, signature=signer("oscar").sign(draft), means=room.means,
        )  # fmt: skip


def test_halt_and_two_lifts(room: ControlRoom) -> None:
    made = room.live(1)
    envelope = sign_halt(made.ref, signer("hal"), PersonId("hal"), micros(room.at), "odd figures")
    with pytest.raises(NotPermittedError):
        standing.halt(room.office, room.who("hope"), room.at, model=MODEL, envelope=envelope, means=room.means)
    name = standing.halt(room.office, room.who("hal"), room.at, model=MODEL, envelope=envelope, means=room.means)
    assert isinstance(room.reason(), HaltedError)
    assert room.desk.books.pointers.history(MODEL)[-1].halted
    payload = open_envelope(envelope, {signer("hal").public.key_id: signer("hal").public}).payload
    voices = {}
    for who in ("hal", "hope"):
        room.tick()
        voices[who] = sign_lift(made.ref, payload, signer(who), PersonId(who), micros(room.at), "explained")
    assert not standing.lift(
        room.office, room.who("hal"), room.at, model=MODEL, envelope=voices["hal"], means=room.means
    )
    assert isinstance(room.reason(), HaltedError)
    with pytest.raises(ConflictError):
        standing.lift(room.office, room.who("hal"), room.at, model=MODEL, envelope=voices["hal"], means=room.means)
    assert standing.lift(room.office, room.who("hope"), room.at, model=MODEL, envelope=voices["hope"], means=room.means)
    assert len(room.admit()) == 1
    last = room.desk.books.pointers.history(MODEL)[-1]
    assert (last.halted, last.champion) == (False, made.ref.manifest)
    stray = sign_lift(made.ref, b"no such halt", signer("hal"), PersonId("hal"), micros(room.at), "why not")
    with pytest.raises(NotFoundError):
        standing.lift(room.office, room.who("hal"), room.at, model=MODEL, envelope=stray, means=room.means)
    assert name == digest_of(payload)


def test_release_may_be_repeated_after_a_crash(room: ControlRoom) -> None:
    made = ready(room)
    room.proposed(made)
    room.approved(made, "abel", "bea")
    before = room.desk.books
    room.released(made)
    room.desk.books = before  # the database lost the act, the repository did not
    room.released(made)
    assert len(room.repository.releases(MODEL)) == 1
