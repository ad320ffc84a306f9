"""One person must not be four: by key, by role, by threshold, by statement."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from securesystemslib.signer import SSlibKey
from tuf.api.metadata import Metadata, Targets

from strongroom.access.people import Person, person_key
from strongroom.approval.release import Plan
from strongroom.approval.role_metadata import model_role
from strongroom.approval.signing import check_approval_papers, sign_approval
from strongroom.errors import EvidenceError, FourEyesError, NotPermittedError, TamperedError
from strongroom.sealing.dsse import sign_envelope
from strongroom.sealing.statements import APPROVAL, make_statement
from strongroom.vocabulary import KeyId, PersonId, digest_of, micros
from tests.attacks.release_room import approval, blind_release, edit_draft, founded, hostile_targets, other
from tests.simulator import MODEL, ROLES, START, Room, log_read, register, signer


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def person(name: str, *roles: str, keys: tuple[str, ...] = ()) -> Person:
    owned = tuple(person_key(signer(key).public.spki, 0) for key in (name, *keys))
    return Person(person_id=PersonId(name), kind="Person", keys=owned, roles=tuple(sorted(roles)))


def delegate(room: Room, *names: str, people: dict[str, Person] | None = None) -> None:
    room.people = register(people, version=2)
    keys = [signer(name).public for name in names]
    room.custodians_publish(files={"people.json": room.people.encode()}, models={MODEL: keys})


def test_control_whole_room_is_served(room: Room) -> None:
    blind_release(room, founded(room))
    assert len(room.admit()) == 1


def test_one_key_under_two_ids(room: Room) -> None:
    """`tuf.ngclient` accepts this; see the spike."""
    version = founded(room)
    twin = "ab" * 32

    def edit(targets: Targets) -> None:
        assert targets.delegations is not None
        assert targets.delegations.roles is not None
        key = targets.delegations.keys[signer("abel").public.key_id]
        targets.delegations.keys[twin] = SSlibKey(twin, key.keytype, key.scheme, dict(key.keyval))
        targets.delegations.roles[model_role(MODEL)].keyids = [signer("abel").public.key_id, twin]

    hostile_targets(room, edit)
    draft = room.repository.stage_release(room.document(version))
    for key_id in (signer("abel").public.key_id, KeyId(twin)):
        room.repository.sign(model_role(MODEL), key_id, signer("abel").sign(draft))
    room.repository.publish(model_role(MODEL), room.at)
    room.point(champion=version.ref.manifest)
    assert room.state().failures == {}, "TUF itself is satisfied"
    assert isinstance(room.reason(), FourEyesError)


def test_one_person_with_two_keys(room: Room) -> None:
    version = founded(room)
    delegate(room, "abel", "abel#2", people={"abel": person("abel", "approver", keys=("abel#2",))})
    blind_release(room, version, ["abel", "abel#2"])
    reason = room.reason()
    assert isinstance(reason, FourEyesError)
    assert "1 approver" in str(reason)


def test_two_persons_cannot_share_a_key_in_the_register() -> None:
    shared = Person(
        person_id=PersonId("bea"), kind="Person", keys=(person_key(signer("abel").public.spki, 0),), roles=("approver",)
    )
    with pytest.raises(Exception, match="stands twice"):
        register({"bea": shared})


@pytest.mark.parametrize("double", ["val", "ann"])
def test_validator_or_author_among_the_approvers(room: Room, double: str) -> None:
    version = founded(room)
    delegate(room, "abel", double, people={double: person(double, "approver", *ROLES[double][1])})
    blind_release(room, version, ["abel", double])
    reason = room.reason()
    assert isinstance(reason, FourEyesError)
    assert double in str(reason)


@pytest.mark.parametrize("double", ["val", "ann"])
def test_nor_may_they_sign_only_the_metadata(room: Room, double: str) -> None:
    version = founded(room)
    delegate(room, "abel", double, "bea", people={double: person(double, "approver", *ROLES[double][1])})
    blind_release(room, version, ["abel", "bea"], ["abel", double])
    assert isinstance(room.reason(), FourEyesError)


def test_the_validator_is_not_the_author(room: Room) -> None:
    room.found()
    room.people = register({"val": person("val", "author", "validator")}, version=2)
    room.custodians_publish(files={"people.json": room.people.encode()})
    version = room.version(1, author="val", validator="val")
    with pytest.raises(FourEyesError):
        room.review(version, "val")
    honest = room.version(1, author="ann")
    # the review of the same model, signed by `val`, beside a submission by `val`
    version.evidence["review"] = honest.evidence["review"]
    version.evidence["validation"] = honest.evidence["validation"]
    blind_release(room, version)
    assert isinstance(room.reason(), FourEyesError)


def test_the_persons_side_refuses_too(room: Room) -> None:
    version = founded(room)
    release = room.document(version)
    draft = room.repository.stage_release(release)
    checked = check_approval_papers(room.papers(version, release, draft), log_read(version), micros(room.at))
    for name in ("ann", "val"):
        with pytest.raises(FourEyesError):
            sign_approval(checked, signer(name), PersonId(name), micros(room.at))


def test_a_threshold_lowered_to_one(room: Room) -> None:
    version = founded(room)

    def edit(targets: Targets) -> None:
        assert targets.delegations is not None
        assert targets.delegations.roles is not None
        targets.delegations.roles[model_role(MODEL)].threshold = 1

    hostile_targets(room, edit)
    blind_release(room, version, ["abel"])
    assert room.state().failures == {}, "TUF itself is satisfied"
    reason = room.reason()
    assert isinstance(reason, FourEyesError)
    assert "threshold 1" in str(reason)


def test_one_signature_is_not_published(room: Room) -> None:
    version = founded(room)
    with pytest.raises(FourEyesError, match="lacks 1 more"):
        blind_release(room, version, ["abel"])


def test_two_metadata_signatures_but_one_approval(room: Room) -> None:
    version = founded(room)
    blind_release(room, version, ["abel"], ["abel", "bea"])
    assert isinstance(room.reason(), FourEyesError)


def test_signers_who_are_no_approvers_in_the_register(room: Room) -> None:
    version = founded(room)
    delegate(room, "abel", "oscar")
    blind_release(room, version, ["abel", "oscar"])
    assert isinstance(room.reason(), FourEyesError)


def test_a_stranger_among_the_delegated_keys(room: Room) -> None:
    version = founded(room)
    delegate(room, "abel", "stranger")
    blind_release(room, version, ["abel", "stranger"])
    assert isinstance(room.reason(), FourEyesError)


@pytest.mark.parametrize("reason", ["left", "compromised"])
def test_a_key_that_has_ended_signs_nothing_new(room: Room, reason: str) -> None:
    version = founded(room)
    blind_release(room, version)
    assert len(room.admit()) == 1
    ended = msgspec.structs.replace(person_key(signer("bea").public.spki, 0), until_us=micros(room.at), reason=reason)
    gone = Person(person_id=PersonId("bea"), kind="Person", keys=(ended,), roles=("approver",))
    room.people = register({"bea": gone}, version=2)
    room.custodians_publish(files={"people.json": room.people.encode()})
    assert isinstance(room.reason(), FourEyesError)


def test_leavers_metadata_is_signed_again_first_and_their_past_approval_stands(room: Room) -> None:
    version = founded(room)
    blind_release(room, version)
    before = room.repository.files.published_bytes(model_role(MODEL))
    assert before is not None
    metadata: Any = Metadata.from_bytes(before)
    metadata.signatures.clear()
    metadata.signed.unrecognized_fields["x-strongroom-drafts"] = [digest_of(metadata.signed_bytes)]
    metadata.signed.version += 1
    room.repository.files.staged_path(model_role(MODEL)).write_bytes(metadata.to_bytes())
    room.sign(model_role(MODEL), "abel", "cleo")
    room.repository.publish(model_role(MODEL), room.at)
    ended = msgspec.structs.replace(
        person_key(signer("bea").public.spki, 0), until_us=micros(room.at) + 1, reason="left"
    )
    gone = Person(person_id=PersonId("bea"), kind="Person", keys=(ended,), roles=("approver",))
    room.people = register({"bea": gone}, version=2)
    room.custodians_publish(
        files={"people.json": room.people.encode()}, models={MODEL: [signer(n).public for n in ("abel", "cleo")]}
    )
    assert len(room.admit()) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"manifest": other(digest_of(b"m"))},
        {"release": other(digest_of(b"r"))},
        {"evidence": ()},
        {"policies": {}},
        {"diagram": digest_of(b"another diagram")},
        {"case": "c-2"},
        {"plan": Plan(stages=("shadow",), max_canary_percent=0, fallback=None)},
        {"tuf_draft": digest_of(b"another draft")},
        {"person": PersonId("cleo")},
        {"at_us": micros(START) + 10**12},
        {"decision": "reject", "tuf_draft": None, "reason": "no"},
    ],
)
def test_an_approval_of_anything_else_does_not_count(room: Room, change: dict[str, Any]) -> None:
    version = founded(room)
    blind_release(room, version, decision=change)
    assert isinstance(room.reason(), EvidenceError)


def test_one_rejection_outweighs_two_approvals(room: Room) -> None:
    version = founded(room)
    release = blind_release(room, version, ["abel", "bea"])
    assert len(room.admit()) == 1
    said = approval(room, release, b"", "cleo", {"decision": "reject", "tuf_draft": None, "reason": "figures"})
    envelope = sign_envelope(make_statement(version.ref, APPROVAL, said), signer("cleo"))
    room.shelf.put_approval(version.ref, signer("cleo").public.key_id, envelope)
    assert "rejected" in str(room.reason())


def test_junk_among_the_approvals_neither_counts_nor_stops(room: Room) -> None:
    version = founded(room)
    blind_release(room, version)
    room.shelf.put_approval(version.ref, signer("cleo").public.key_id, b"{}")
    room.shelf.put_approval(version.ref, signer("stranger").public.key_id, b"junk")
    assert len(room.admit()) == 1


def test_a_pointer_by_somebody_who_is_no_operator(room: Room) -> None:
    version = founded(room)
    room.custodians_publish(operators=[signer("abel").public])
    blind_release(room, version, point=False)
    room.point(champion=version.ref.manifest, by="abel")
    with pytest.raises(EvidenceError, match="operator"):
        room.admit()


@pytest.mark.parametrize(
    ("champion", "challenger", "percent"), [(1, 2, 21), (None, 2, 5), (1, 1, 0), (1, None, 5), (3, None, 0), (1, 3, 5)]
)
def test_a_pointer_outside_the_plan(room: Room, champion: int | None, challenger: int | None, percent: int) -> None:
    first = founded(room)
    blind_release(room, first)
    second = room.version(2)
    blind_release(room, second)
    digests = {None: None, 1: first.ref.manifest, 2: second.ref.manifest, 3: room.version(3).ref.manifest}
    room.point(champion=digests[champion], challenger=digests[challenger], percent=percent)
    assert isinstance(room.reason(), NotPermittedError)


def test_custom_says_something_else_than_the_file(room: Room) -> None:
    version = founded(room)

    def edit(targets: Targets) -> None:
        [entry] = targets.targets.values()
        entry.unrecognized_fields["custom"]["plan"]["max_canary_percent"] = 99

    blind_release(room, version, edit=edit)
    assert isinstance(room.reason(), TamperedError)


def test_the_draft_that_drops_or_adds_versions_is_not_signed(room: Room) -> None:
    first = founded(room)
    blind_release(room, first)
    second = room.version(2)
    release = room.document(second)
    room.repository.stage_release(release)

    def drop(targets: Targets) -> None:
        for path in [path for path in targets.targets if first.ref.manifest in path]:
            del targets.targets[path]

    draft = edit_draft(room, model_role(MODEL), drop)
    with pytest.raises(TamperedError, match="drops"):
        check_approval_papers(room.papers(second, release, draft), log_read(second), micros(room.at))
