"""Whoever holds the repository, its server or the control plane's keys: withhold and freeze, nothing more."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Root, Targets

from strongroom.adapters.releases.release_fetchers import FolderFetcher
from strongroom.adapters.releases.release_mirror import sync
from strongroom.adapters.releases.tuf_files import OnlineSigner
from strongroom.approval.role_metadata import model_role
from strongroom.approval.signing import sign_halt
from strongroom.encoding import canonical
from strongroom.errors import (
    EvidenceError,
    ExpiredError,
    FourEyesError,
    HaltedError,
    NotAuthenticatedError,
    NotFoundError,
    RefusedError,
    StrongroomError,
    TamperedError,
    UnavailableError,
)
from strongroom.sealing.container import seal_file
from strongroom.sealing.dsse import open_envelope, sign_envelope
from strongroom.sealing.packages import ContainerIndex, Sealed, SealedFile, read_index
from strongroom.vocabulary import PersonId, digest_of, micros
from tests.attacks.release_room import blind_release, founded, hostile_targets
from tests.simulator import CUSTODIANS, MODEL, MONITORS, NAMED_POLICIES, PROFILE, START, Room, signer


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room.built(tmp_path)


def metadata(room: Room) -> Path:
    return room.folder / "repository" / "metadata"


# rollback, freeze, clock ---------------------------------------------------------------------------------------------


def test_rollback_to_an_older_repository(room: Room) -> None:
    room.state()
    old = room.folder / "old"
    shutil.copytree(room.folder / "repository", old)
    room.release(room.version(2))
    assert len(room.state().releases[MODEL]) == 2
    with pytest.raises(TamperedError):
        room.client("node", old).refresh(room.at)


def test_a_fresh_client_takes_an_old_repository_only_until_its_timestamp_expires(room: Room) -> None:
    old = room.folder / "old"
    shutil.copytree(room.folder / "repository", old)
    room.release(room.version(2))
    assert len(room.client("fresh", old).refresh(room.at).releases[MODEL]) == 1
    with pytest.raises(ExpiredError):
        room.client("fresh-too", old).refresh(room.at + timedelta(hours=1, seconds=1))


def test_freeze(room: Room) -> None:
    room.state()
    with pytest.raises(ExpiredError):
        room.client().refresh(room.at + timedelta(hours=1))


def test_a_state_that_has_expired_since_is_refused(room: Room) -> None:
    state = room.state()
    with pytest.raises(ExpiredError):
        room.admit(replace(state, at=state.expires))


def test_renewal_keeps_the_repository_alive(room: Room) -> None:
    for hours in (1, 20, 24 * 4, 24 * 80):
        room.at = START + timedelta(hours=hours)
        room.repository.renew(room.at)
        assert room.state().expires > room.at


def test_a_clock_set_back_revives_nothing(room: Room) -> None:
    room.state()
    with pytest.raises(ExpiredError):
        room.client().refresh(room.at + timedelta(hours=2))
    with pytest.raises(ExpiredError):
        room.client().refresh(room.at)
    (room.folder / "node" / "time").write_text("yesterday")
    with pytest.raises(TamperedError):
        room.client()


def test_mix_and_match(room: Room) -> None:
    """Old role metadata under the new version's name, then an old snapshot under the new one's."""
    room.release(room.version(2))
    shutil.copy(metadata(room) / "1.model-pd-cards.json", metadata(room) / "2.model-pd-cards.json")
    failures = room.state("fresh").failures
    assert isinstance(failures[MODEL], TamperedError)
    newest = max(int(p.name.split(".")[0]) for p in metadata(room).glob("*.snapshot.json"))
    shutil.copy(metadata(room) / f"{newest - 1}.snapshot.json", metadata(room) / f"{newest}.snapshot.json")
    with pytest.raises(TamperedError):
        room.state("fresh-too")


@pytest.mark.parametrize("name", ["timestamp.json", "1.targets.json"])
def test_a_missing_file_is_unavailable(room: Room, name: str) -> None:
    (metadata(room) / name).unlink()
    with pytest.raises(UnavailableError):
        room.state("fresh")


def test_files_larger_than_their_metadata_says(room: Room) -> None:
    path = metadata(room) / "timestamp.json"
    path.write_bytes(path.read_bytes() + b" " * 20_000)
    with pytest.raises(TamperedError):
        room.state("fresh")


# root ----------------------------------------------------------------------------------------------------------------


def test_root_rotates_with_the_old_quorum(room: Room) -> None:
    room.state()
    fresh = ("custodian-c", "custodian-d", "custodian-e")
    room.repository.stage_root([signer(name).public for name in fresh], 2, room.at)
    room.repository.stage_targets(room.at)
    room.sign("root", "custodian-a", "custodian-b", "custodian-d", "custodian-e")
    room.sign("targets", "custodian-d", "custodian-e")
    room.repository.publish("root", room.at)
    state = room.state()
    assert state.root_version == 2
    assert len(room.admit(state)) == 1
    assert room.client("fresh").refresh(room.at).root_version == 2, "and from the first root, step by step"


def test_root_does_not_rotate_without_it(room: Room) -> None:
    fresh = ("custodian-c", "custodian-d", "custodian-e")
    room.repository.stage_root([signer(name).public for name in fresh], 2, room.at)
    room.repository.stage_targets(room.at)
    room.sign("root", *fresh)
    room.sign("targets", *fresh[1:])
    with pytest.raises(FourEyesError):
        room.repository.publish("root", room.at)
    waiting: Metadata[Root] = room.repository.files.draft("root")
    (metadata(room) / "2.root.json").write_bytes(waiting.to_bytes())
    with pytest.raises(TamperedError):
        room.state()


def test_the_custodians_who_leave_must_have_targets_signed_by_those_who_come(room: Room) -> None:
    fresh = ("custodian-d", "custodian-e")
    room.repository.stage_root([signer(name).public for name in fresh], 2, room.at)
    room.sign("root", "custodian-a", "custodian-b", *fresh)
    with pytest.raises(FourEyesError, match="targets"):
        room.repository.publish("root", room.at)


def test_another_bootstrap_root_trusts_nothing_of_this_room(room: Room, tmp_path: Path) -> None:
    other = Room(tmp_path / "other")
    other.repository.stage_root([signer(f"thief-{n}").public for n in range(3)], 2, room.at)
    other.sign("root", "thief-0", "thief-1")
    other.repository.publish("root", room.at)
    room.bootstrap = (tmp_path / "other" / "repository" / "metadata" / "1.root.json").read_bytes()
    with pytest.raises(TamperedError):
        room.state("fresh")


@pytest.mark.parametrize(("names", "threshold"), [(CUSTODIANS, 1), (CUSTODIANS[:1] * 3, 2), (CUSTODIANS[:1], 2)])
def test_the_ceremony_needs_two_custodians(room: Room, names: tuple[str, ...], threshold: int) -> None:
    with pytest.raises(FourEyesError):
        room.repository.stage_root([signer(name).public for name in names], threshold, room.at)


def test_signatures_on_drafts_are_checked_when_they_come(room: Room) -> None:
    room.repository.stage_targets(room.at)
    draft = room.repository.draft("targets")
    with pytest.raises(RefusedError):
        room.repository.sign("targets", signer("ann").public.key_id, signer("ann").sign(draft))
    with pytest.raises(TamperedError):
        room.repository.sign("targets", signer("custodian-a").public.key_id, signer("custodian-b").sign(draft))
    with pytest.raises(FourEyesError):
        room.repository.publish("targets", room.at)


# delegations ---------------------------------------------------------------------------------------------------------


def edit_roles(change: Callable[[dict[str, DelegatedRole]], None]) -> Callable[[Targets], None]:
    def edit(targets: Targets) -> None:
        assert targets.delegations is not None
        assert targets.delegations.roles is not None
        change(targets.delegations.roles)

    return edit


@pytest.mark.parametrize(
    "change",
    [
        lambda roles: setattr(roles["model-pd-cards"], "paths", ["models/*/*"]),
        lambda roles: setattr(roles["model-pd-cards"], "paths", ["models/pd-cards/*", "people.json"]),
        lambda roles: setattr(roles["model-pd-cards"], "terminating", False),
        lambda roles: roles.update(
            {"extra": DelegatedRole("extra", roles["halts"].keyids, 1, True, paths=["models/*/*"])}
        ),
        lambda roles: roles.update(
            {"extra": DelegatedRole("extra", roles["halts"].keyids, 1, True, paths=["models/pd-cards/0*.json"])}
        ),
        lambda roles: setattr(roles["operations"], "paths", ["pointers/*", "access/grants.json", "models/pd-cards/*"]),
    ],
)
def test_a_delegation_of_another_form(room: Room, change: Callable[[Any], None]) -> None:
    hostile_targets(room, edit_roles(change))
    # where the operators' role was touched, the repository as a whole is refused
    with contextlib.suppress(TamperedError):
        assert isinstance(room.reason(), (TamperedError, NotFoundError))


def test_a_role_that_hands_its_rights_on(tmp_path: Path) -> None:
    room = Room(tmp_path)
    version = founded(room)
    blind_release(room, version, edit=lambda targets: setattr(targets, "delegations", Delegations({}, {})))
    assert isinstance(room.reason(), TamperedError)


def test_hashed_bins_are_refused(room: Room) -> None:
    def change(roles: Any) -> None:
        roles["extra"] = DelegatedRole("extra", roles["halts"].keyids, 1, True, path_hash_prefixes=["00"])

    hostile_targets(room, edit_roles(change))
    with pytest.raises(TamperedError):
        room.state()


# register, evidence, files -----------------------------------------------------------------------------------------


def test_a_swapped_people_register(room: Room) -> None:
    """The file is replaced on the server; then signed by the control plane's own key alone."""
    thief = room.people.encode().replace(b'"oscar"', b'"osca2"')
    [path] = (room.folder / "repository" / "targets").glob("*.people.json")
    path.write_bytes(thief)
    with pytest.raises(TamperedError):
        room.state("fresh")
    room.repository.stage_targets(room.at, files={"people.json": thief})
    draft = room.repository.files.draft("targets")
    draft.sign(OnlineSigner(signer("online")), append=True)
    room.repository.files.publish("targets", draft)
    room.repository._renew(room.at, {"targets"})
    with pytest.raises(TamperedError):
        room.state("fresh-too")


def test_a_missing_attestation(tmp_path: Path) -> None:
    for kind in ("submission", "scan", "validation", "review"):
        room = Room(tmp_path / kind)
        version = founded(room)
        del version.evidence[kind]
        blind_release(room, version)
        reason = room.reason()
        assert isinstance(reason, EvidenceError)
        assert kind in str(reason)


def test_evidence_that_is_listed_but_not_there(room: Room) -> None:
    state = room.state()
    shutil.rmtree(room.folder / "node" / "mirror" / "evidence")
    (room.folder / "node" / "mirror" / "evidence").mkdir()
    assert isinstance(room.reason(state), (EvidenceError, FourEyesError))


def test_evidence_of_a_type_that_nobody_asked_for(tmp_path: Path) -> None:
    room = Room(tmp_path)
    version = founded(room)
    version.evidence["horoscope"] = version.evidence["scan"]
    blind_release(room, version)
    assert isinstance(room.reason(), EvidenceError)


@pytest.mark.parametrize("kind", ["scan", "validation", "review", "submission"])
def test_evidence_about_another_version(tmp_path: Path, kind: str) -> None:
    room = Room(tmp_path)
    version = founded(room)
    version.evidence[kind] = room.version(2).evidence[kind]
    blind_release(room, version)
    assert isinstance(room.reason(), (EvidenceError, TamperedError))


@pytest.mark.parametrize("kind", ["scan", "validation", "review"])
@pytest.mark.parametrize("name", ["ann", "online", "scanner", "abel"])
def test_evidence_by_somebody_else(tmp_path: Path, kind: str, name: str) -> None:
    if kind == name[: len(kind)]:
        return
    room = Room(tmp_path)
    version = founded(room)
    keys = {signer(n).public.key_id: signer(n).public for n in ("scanner", "validation", "val")}
    payload = open_envelope(version.evidence[kind], keys).payload
    version.evidence[kind] = sign_envelope(payload, signer(name))
    blind_release(room, version)
    assert isinstance(room.reason(), (EvidenceError, NotAuthenticatedError))


@pytest.mark.parametrize("verdict", ["fail", "amber", "", "PASS"])
def test_a_validation_that_did_not_pass(tmp_path: Path, verdict: str) -> None:
    room = Room(tmp_path)
    version = founded(room)
    version.evidence["validation"] = room.validation(
        version.ref, version.files, version.results, version.sample, verdict=verdict
    )
    blind_release(room, version)
    reason = room.reason()
    assert isinstance(reason, EvidenceError)
    assert "verdict" in str(reason)


@pytest.mark.parametrize("field", ["sample", "results"])
def test_a_validation_on_another_sample_than_the_validators(tmp_path: Path, field: str) -> None:
    room = Room(tmp_path)
    version = founded(room)
    version.evidence["validation"] = room.validation(
        version.ref, version.files, version.results, version.sample, **{field: digest_of(b"chosen by the author")}
    )
    blind_release(room, version)
    assert "another validation, sample or result" in str(room.reason())


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"artifact": "reference.parquet"}, "model file"),
        ({"policies": {path: digest_of(path.encode()) for path in NAMED_POLICIES}}, "validation policy"),
        ({"numeric_profile": msgspec.structs.replace(PROFILE, mode="by-row")}, "numeric profile"),
        ({"monitors": msgspec.structs.replace(MONITORS, psi_alert="9.9")}, "monitors"),
    ],
)
def test_a_release_of_something_else_than_was_validated(tmp_path: Path, change: dict[str, Any], what: str) -> None:
    room = Room(tmp_path)
    version = founded(room)
    blind_release(room, version, document=change)
    reason = room.reason()
    assert isinstance(reason, EvidenceError)
    assert what in str(reason)


def test_a_changed_byte_in_the_sealed_model(room: Room) -> None:
    state = room.state()
    sealed = room.folder / "node" / "mirror" / "sealed"
    largest = max((path for path in sealed.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.write_bytes(data)
    assert isinstance(room.reason(state), TamperedError)


def test_a_swapped_model_under_a_new_container(room: Room) -> None:
    """Whoever holds the KEK and the files can seal another model; it is not what was approved."""
    state = room.state()
    ref = room.version(1).ref
    package = room.mirror.package(ref)
    index = read_index(package.container, ref.manifest)
    data_key = hashlib.sha256(ref.manifest.encode()).digest()
    other = seal_file(b"model 6 " * 200, data_key, ref.manifest, "model.onnx")
    files = [
        SealedFile(path=f.path, sha256=room.mirror.sealed_blobs.put(other), size_bytes=len(other))
        if f.path == "model.onnx"
        else f
        for f in index.files
    ]
    swapped = canonical(ContainerIndex(v=1, manifest=ref.manifest, scheme=index.scheme, files=tuple(files)))
    room.mirror.put_version(
        Sealed(ref.manifest, room.mirror.sealed_blobs.put(swapped), room.mirror.sealed_blobs.put(package.wrapped))
    )
    assert isinstance(room.reason(state), TamperedError)


def test_a_lying_server_cannot_fill_the_mirror(room: Room) -> None:
    evidence = room.folder / "repository" / "evidence"
    for path in [p for p in evidence.rglob("*") if p.is_file() and "approvals" not in p.parts]:
        path.write_bytes(b"something else")
    state = room.client("fresh").refresh(room.at)
    trouble = sync(state, FolderFetcher(room.folder / "repository"), room.mirror)
    assert isinstance(trouble[MODEL], TamperedError)
    assert isinstance(room.reason(state), StrongroomError)


# halts ----------------------------------------------------------------------------------------------------


def test_a_dropped_halt_is_remembered(room: Room) -> None:
    ref = room.version(1).ref
    room.halt(ref)
    assert isinstance(room.reason(), HaltedError)
    room.repository.publish_halts(MODEL, [], room.at)
    assert isinstance(room.reason(), HaltedError)
    room.halts = type(room.halts)(room.folder / "node" / "seen", room.folder / "node" / "halt")
    assert isinstance(room.reason(), HaltedError), "also after a restart"


def test_a_halt_file_on_the_nodes_disk_works_at_once(room: Room) -> None:
    state = room.state()
    envelope = sign_halt(room.version(1).ref, signer("hope"), PersonId("hope"), micros(room.at), "stop now")
    dropped = room.folder / "node" / "halt" / "stop.json"
    dropped.write_bytes(envelope)
    assert isinstance(room.reason(state), HaltedError)
    dropped.unlink()
    assert isinstance(room.reason(state), HaltedError), "taking the file away does not lift it"


@pytest.mark.parametrize("name", ["ann", "oscar", "online"])
def test_only_halters_halt_and_lift(room: Room, name: str) -> None:
    ref = room.version(1).ref
    room.halt(ref, name)
    assert len(room.admit()) == 1, "not a halter's word"
    halt = room.halt(ref)
    room.lift(ref, halt, "hope")
    room.lift(ref, halt, name)
    assert isinstance(room.reason(), HaltedError)


@pytest.mark.parametrize("data", [b"junk", b"{}"])
def test_junk_in_the_halt_folder_stops_the_model(room: Room, data: bytes) -> None:
    state = room.state()
    (room.folder / "node" / "halt" / "stop.json").write_bytes(data)
    assert isinstance(room.reason(state), HaltedError)


def test_a_halt_list_of_another_model_or_form(room: Room) -> None:
    state = room.state()
    for data in (
        b"[]",
        b"{",
        b'{"envelopes":[],"model":"other","v":1}',
        b'{"envelopes":["x"],"model":"pd-cards","v":1}',
    ):
        assert isinstance(room.reason(replace(state, halts={MODEL: data})), TamperedError)


def test_control_plane_keys_alone_release_nothing(room: Room) -> None:
    """Root on the control plane: its key signs a model role's metadata. TUF refuses, and so do we."""
    room.state()
    release = room.document(room.version(2))
    room.repository.stage_release(release)
    draft = room.repository.files.draft(model_role(MODEL))
    draft.sign(OnlineSigner(signer("online")))
    room.repository.files.publish(model_role(MODEL), draft)
    room.repository._renew(room.at, {model_role(MODEL)})
    assert isinstance(room.reason(), TamperedError)
