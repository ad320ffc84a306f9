"""The registry's verbs, through the real door: what they store, what they record, what they refuse."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from strongroom.access.people import PeopleRegister, Person, person_key
from strongroom.errors import (
    ConflictError,
    FourEyesError,
    InvalidInputError,
    NotAuthenticatedError,
    NotFoundError,
    NotPermittedError,
    StrongroomError,
    TamperedError,
    UnavailableError,
    UnsafeArtifactError,
)
from strongroom.office.entries import Entry
from strongroom.registry.actions import history, open_sample, open_version, show, unseal, what_was_live, wrap_anew
from strongroom.registry.packages import read_package
from strongroom.registry.samples import sign_sample
from strongroom.registry.versions import PointerChange, Sample, Version, find, live_at
from strongroom.sealing.model_signature import sign_model, verify_model
from strongroom.vocabulary import Digest, ModelRef, PersonId, micros
from tests.registry.room import AT, LATER, SIGNERS, Room, package_files, principal, sample_files

MANIFEST = read_package(package_files()).manifest


def entries(room: Room) -> list[Entry]:
    return [Entry.decode(logged.entry) for logged in room.log.entries()]


def test_submit_seals_registers_and_records() -> None:
    room = Room()
    version = room.submit()
    assert version.ref == read_package(package_files()).ref
    assert (version.author, version.submitted_at, version.state) == ("ann", AT, "submitted")
    assert room.desk.books.versions.get(version.ref) == version
    (entry,) = entries(room)
    assert entry.verb == "submit"
    model, bundle = open_version(version, people=room.people, vault=room.vault)
    assert dict(model.files) == dict(package_files())
    verify_model(bundle, version.ref.name, model.manifest, SIGNERS["ann"].public)
    stored = b"".join(room.blobs._blobs.values())
    for content in package_files().values():
        assert content[:64] not in stored


@pytest.mark.parametrize(
    ("by", "changes", "error"),
    [
        ("vera", {}, NotPermittedError),
        ("zoe", {"bundle": sign_model("pd-small", MANIFEST, SIGNERS["ann"])}, NotPermittedError),
        ("ann", {"bundle": b"{}"}, TamperedError),
        ("ann", {"bundle": sign_model("pd-other", MANIFEST, SIGNERS["ann"])}, TamperedError),
        ("ann", {"name": "pd-other"}, InvalidInputError),
        ("ann", {"files": {**package_files(), "model.onnx": b"\x08changed"}}, TamperedError),
        ("ann", {"files": {**package_files(), "extra.parquet": b"PAR1....PAR1"}}, UnsafeArtifactError),
    ],
    ids=["role", "someone else's signature", "no bundle", "other name signed", "other name asked", "changed", "extra"],
)
def test_submit_refuses_and_stores_nothing(by: str, changes: dict[str, Any], error: type[StrongroomError]) -> None:
    room = Room()
    with pytest.raises(error) as caught:
        room.submit(by, **changes)
    assert room.desk.books.versions.models() == []
    assert room.blobs._blobs == {}
    assert caught.value.entry is not None
    (entry,) = entries(room)
    assert (entry.type, entry.verb) == ("refusal", "submit")


def test_a_version_enters_once_and_its_parent_must_be_there() -> None:
    room = Room()
    first = room.submit()
    with pytest.raises(ConflictError, match="already"):
        room.submit()
    other = package_files("pd-small", tier=3)
    bundle = sign_model("pd-small", read_package(other).manifest, SIGNERS["ann"])
    second = room.submit(files=other, bundle=bundle)
    assert second.ref != first.ref
    toml = other["model.toml"].decode().replace('parent = ""', "")
    orphan = {**other, "model.toml": toml.replace("[lineage]", f'[lineage]\nparent = "{"0" * 64}"').encode()}
    bundle = sign_model("pd-small", read_package(orphan).manifest, SIGNERS["ann"])
    with pytest.raises(ConflictError, match="to be the parent"):
        room.submit(files=orphan, bundle=bundle)
    child = {**other, "model.toml": toml.replace("[lineage]", f'[lineage]\nparent = "{first.ref.manifest}"').encode()}
    third = room.submit(files=child, bundle=sign_model("pd-small", read_package(child).manifest, SIGNERS["ann"]))
    assert third.parent == first.ref.manifest


def test_a_key_that_no_longer_counts_opens_nothing() -> None:
    room = Room()
    version = room.submit()
    ann = room.people.person("ann")
    bad = msgspec.structs.replace(ann.keys[0], until_us=micros(LATER), reason="compromised")
    fresh = person_key(SIGNERS["zoe"].public.spki[:-1] + SIGNERS["zoe"].public.spki[-1:], 0)
    assert fresh.id != bad.id
    only_ann: tuple[Person, ...] = (msgspec.structs.replace(ann, keys=(bad,)),)
    with pytest.raises(NotAuthenticatedError):
        open_version(version, people=PeopleRegister(2, only_ann), vault=room.vault)
    replaced: tuple[Person, ...] = (msgspec.structs.replace(ann, keys=(fresh,)),)
    with pytest.raises(TamperedError, match="not by a key of `ann`"):
        open_version(version, people=PeopleRegister(2, replaced), vault=room.vault)


def test_the_validator_registers_the_sample() -> None:
    room = Room()
    ref = room.submit().ref
    version = room.register_sample(ref)
    assert version.sample is not None
    assert version.sample.by == "vera"
    assert dict(open_sample(version, vault=room.vault)) == sample_files()
    assert room.desk.books.versions.get(ref) == version
    with pytest.raises(ConflictError, match="already"):
        room.register_sample(ref)


def signed(ref: ModelRef, **changes: Any) -> bytes:
    given: dict[str, Any] = {"person": PersonId("vera"), "rows": 200, "source": "held out", "at_us": 1}
    by = changes.pop("by", "vera")
    files = changes.pop("files", sample_files())
    return sign_sample(ref, files, SIGNERS[by], **{**given, **changes})


def test_samples_of_the_wrong_person_or_about_something_else_are_refused() -> None:
    room = Room()
    ref = room.submit().ref
    only = {"validation.parquet": sample_files()["validation.parquet"]}
    other = ModelRef(ref.name, Digest("0" * 64))
    cases: list[tuple[str, dict[str, Any], type[StrongroomError]]] = [
        ("ann", {}, NotPermittedError),
        ("vera", {"ref": other}, NotFoundError),
        ("vera", {"envelope": signed(other)}, TamperedError),
        ("vera", {"envelope": signed(ref, by="olga")}, TamperedError),
        ("vera", {"envelope": signed(ref, person=PersonId("olga"))}, NotPermittedError),
        ("vera", {"envelope": signed(ref, files=only)}, TamperedError),
        ("vera", {"files": only}, InvalidInputError),
        ("vera", {"files": {}}, InvalidInputError),
        ("vera", {"files": {**sample_files(), "x.pkl": b""}}, UnsafeArtifactError),
        ("vera", {"files": {**sample_files(), "validation.parquet": b"not parquet"}}, UnsafeArtifactError),
    ]
    for by, changes, error in cases:
        with pytest.raises(error):
            room.register_sample(changes.pop("ref", ref), by, **changes)
    assert room.desk.books.versions.get(ref).sample is None
    assert [entry.type for entry in entries(room)] == ["act"] + ["refusal"] * len(cases)


def test_an_author_who_is_also_validator_cannot_bring_the_sample() -> None:
    version = Room().submit()
    sample = Sample(PersonId("ann"), LATER, version.bundle, version.sealed)
    with pytest.raises(FourEyesError):
        version.with_sample(sample)
    with pytest.raises(ConflictError, match="before validation"):
        replace(version, state="validated").with_sample(replace(sample, by=PersonId("vera")))


def test_unseal_is_explicit_and_recorded() -> None:
    room = Room()
    ref = room.submit().ref
    with pytest.raises(NotPermittedError):
        unseal(room.door, principal("ann"), LATER, ref=ref, reason="curious", people=room.people, vault=room.vault)
    with pytest.raises(InvalidInputError, match="say why"):
        unseal(room.door, principal("vera"), LATER, ref=ref, reason=" ", people=room.people, vault=room.vault)
    model, bundle = unseal(
        room.door, principal("vera"), LATER, ref=ref, reason="second opinion", people=room.people, vault=room.vault
    )
    verify_model(bundle, ref.name, model.manifest, SIGNERS["ann"].public)
    last = entries(room)[-1]
    assert (last.verb, last.who) == ("unseal", "vera")
    assert b"second opinion" in list(room.log.entries())[-1].entry


def test_show_and_history() -> None:
    room = Room()
    version = room.submit()
    assert show(room.door, principal("olga"), LATER, ref=version.ref) == version
    with pytest.raises(NotFoundError):
        show(room.door, principal("olga"), LATER, ref=ModelRef("pd-small", Digest("0" * 64)))
    found = history(room.door, principal("olga"), LATER, name="pd-small")
    assert (list(found.versions), list(found.changes)) == ([version], [])
    with pytest.raises(NotFoundError, match="no version of a model `pd-large`"):
        history(room.door, principal("olga"), LATER, name="pd-large")
    with pytest.raises(NotFoundError, match="no version was live"):
        what_was_live(room.door, principal("olga"), LATER, name="pd-small", moment=AT)


def test_what_was_live_and_by_whose_decision() -> None:
    one, two = Digest("1" * 64), Digest("2" * 64)
    olga, hal = PersonId("olga"), PersonId("hal")
    changes = [
        PointerChange("m", 1, AT, olga, one),
        PointerChange("m", 2, AT + timedelta(hours=1), olga, one, two, 10),
        PointerChange("m", 3, AT + timedelta(hours=2), olga, two, reason="better"),
        PointerChange("m", 4, AT + timedelta(hours=3), hal, two, halted=True),
    ]
    for hours, sequence in ((0, 1), (0.5, 1), (1, 2), (1.999, 2), (2, 3), (3, 4), (99, 4)):
        assert live_at(list(reversed(changes)), AT + timedelta(hours=hours)).sequence == sequence
    with pytest.raises(NotFoundError):
        live_at(changes, AT - timedelta(microseconds=1))
    with pytest.raises(ConflictError):
        live_at([*changes, PointerChange("m", 4, AT, olga, one)], AT)
    with pytest.raises(ConflictError):
        live_at([*changes, PointerChange("m", 5, AT, olga, one)], AT)


def test_rotation_wraps_everything_anew() -> None:
    room = Room()
    ref = room.submit().ref
    room.register_sample(ref)
    before = room.desk.books.versions.get(ref)
    with pytest.raises(NotPermittedError):
        wrap_anew(room.door, principal("ann"), LATER, room="credit", vault=room.vault)
    room.ring.add(b"n" * 32)
    assert wrap_anew(room.door, principal("olga"), LATER, room="credit", vault=room.vault, keep=False) == 2
    after = room.desk.books.versions.get(ref)
    assert after.sealed.wrapped != before.sealed.wrapped
    assert (after.sealed.manifest, after.sealed.container) == (before.sealed.manifest, before.sealed.container)
    room.ring._keks = {room.ring.current_kek: b"n" * 32}
    assert dict(open_version(after, people=room.people, vault=room.vault)[0].files) == dict(package_files())
    assert dict(open_sample(after, vault=room.vault)) == sample_files()
    with pytest.raises(UnavailableError):
        open_version(before, people=room.people, vault=room.vault)


def test_states_follow_from_each_other() -> None:
    version = Room().submit()
    digest = Digest("3" * 64)
    with pytest.raises(ConflictError, match=r"is submitted.*; next is `strongroom scan`"):
        version.advanced("released")
    path: list[Any] = ["scanned", "validated", "reviewed", "approved", "released", "retired"]
    now: Version = version
    for state in path:
        now = now.advanced(state, scan=digest) if state == "scanned" else now.advanced(state)
    assert dict(now.evidence) == {"scan": digest}
    with pytest.raises(ConflictError):
        now.advanced("submitted")
    with pytest.raises(ConflictError):
        version.advanced("rejected").advanced("scanned")
    assert hash(now.ref) == hash(version.ref)


def test_find_by_the_start_of_the_digest() -> None:
    version = Room().submit()
    assert find([version], version.ref.manifest[:8]) == version
    for start in ("", version.ref.manifest[:7], "00000000" + "0" * 56):
        with pytest.raises(NotFoundError):
            find([version], start)
    with pytest.raises(ConflictError):
        find([version, version], version.ref.manifest[:10])
