"""What a room shares with its gateways is replaced: nobody is locked out, no model closes, steps can be repeated."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from strongroom.access.authentication import Authenticator
from strongroom.access.credentials import ApiKey, match_secret, new_api_key
from strongroom.access.grants import Bounds, CallingSystem, Grants, Secret
from strongroom.adapters.keys.keyring import KeyFile
from strongroom.adapters.releases.release_mirror import ReleaseShelf
from strongroom.adapters.releases.trusted_state_files import write_state
from strongroom.approval.pointers import Pointer
from strongroom.approval.trust_policy import GRANTS_PATH
from strongroom.encoding import canonical
from strongroom.errors import ConflictError, InvalidInputError, NotAuthenticatedError, UnavailableError
from strongroom.registry import actions as registry
from strongroom.registry.packages import read_package
from strongroom.registry.versions import Version
from strongroom.sealing.model_signature import sign_model
from strongroom.sealing.packages import SealedPackage, unwrap_data_key
from strongroom.serving.admission_ports import TrustedState
from strongroom.vocabulary import PersonId, micros
from strongroom.wiring.control import now
from strongroom.wiring.node import NodeLayout
from strongroom.wiring.nodes import close_node, create_node
from strongroom.wiring.releasing import change_grants, end_grant, rotate
from strongroom.wiring.room_keys import NEXT_KEK, PEPPER, next_pepper, peppers, shared_keks
from strongroom.wiring.rotating_shared import Rotation, rotate_model_kek, rotate_pepper, take_keys
from tests.compliance.house import PASSPHRASE, SIGNERS, House, make_house
from tests.registry.room import package_files
from tests.rotation.house import load, make_rotating
from tests.web.gateways import question
from tests.web.nodes import PEPPER as LIVE_PEPPER

BOUNDS = Bounds(models=(), environments=(), jurisdictions=(), purposes=())


@pytest.fixture
def house(tmp_path: Path, monkeypatch: Any) -> House:
    return make_house(tmp_path, monkeypatch, witnessed=False)


def room_keys(house: House) -> KeyFile:
    return KeyFile.open(house.folder / "control.keyring", PASSPHRASE)


def node_keys(house: House, node: Path | None = None) -> KeyFile:
    return KeyFile.open(NodeLayout(node or house.node).keyring, PASSPHRASE)


def let_in(house: House, system: str) -> ApiKey:
    """Like `grant add`, without a model that it may ask."""
    key = new_api_key(os.urandom)
    with house.at("omar") as desk:
        at_us = micros(desk.room.clock())
        secret = Secret.under(desk.room.pepper_number, key.digest(desk.room.pepper), at_us)
        made = CallingSystem(id=PersonId(system), roles=("caller",), bounds=BOUNDS, key_id=key.id, secrets=(secret,))
        change_grants(desk, "add-grant", system, lambda grants: grants.with_system(made), b"{}")
    return key


def published(house: House) -> Grants:
    with house.at("omar") as desk:
        return Grants.decode(desk.room.document(GRANTS_PATH))


def knows(house: House, key: ApiKey, after: timedelta = timedelta()) -> bool:
    """Whether the gateway would let this key in."""
    door = Authenticator(published(house), peppers(node_keys(house)))
    try:
        door.authenticate(f"Bearer {key}".encode(), micros(now() + after))
    except NotAuthenticatedError:
        return False
    return True


def step(house: House, rotate_it: Callable[..., Rotation], begin: bool = False) -> Rotation:
    with house.at("omar") as desk:
        return rotate_it(desk, begin)


def take(house: House, node: Path | None = None) -> Any:
    with house.at("omar") as desk:
        return take_keys(desk, node or house.node, PASSPHRASE)


# the pepper -----------------------------------------------------------------------------------------------------------


def test_a_pepper_is_replaced_step_by_step_and_nobody_is_locked_out(house: House) -> None:
    first = let_in(house, "loan-desk")
    assert published(house).systems[0].secrets[0].pepper is msgspec.UNSET, "documents from before keep their form"
    begun = step(house, rotate_pepper, begin=True)
    assert (begun.phase, begun.key, begun.gateways) == ("begun", 2, ("gw",))
    assert step(house, rotate_pepper) == begun, "nothing moves before the gateway has it"
    early = let_in(house, "early")
    assert published(house).under_pepper(1, 0) == ["early", "loan-desk"]
    assert take(house).added == ("pepper 2",)
    assert take(house).added == ()
    used = step(house, rotate_pepper)
    assert (used.phase, used.systems, used.canaries) == ("in-use", ("early", "loan-desk"), ())
    assert knows(house, first)
    late = let_in(house, "late")
    assert published(house).under_pepper(2, 0) == ["late"]
    with house.at("omar") as desk:
        second = rotate(desk, "loan-desk")
        at_once = rotate(desk, "early", timedelta())
    assert [knows(house, key) for key in (first, second, late, at_once, early)] == [True] * 4 + [False]
    assert step(house, rotate_pepper).systems == ("loan-desk",), "in its overlap the old key still counts"
    with house.at("omar") as desk:
        desk.room.clock = lambda: now() + timedelta(days=7, minutes=1)
        assert rotate_pepper(desk).phase == "done"
    assert list(peppers(room_keys(house))) == [2]
    assert list(peppers(node_keys(house))) == [1, 2]
    assert take(house).dropped == ("pepper 1",)
    assert list(peppers(node_keys(house))) == [2]
    assert [knows(house, key, timedelta(days=8)) for key in (second, late, first)] == [True, True, False]
    # the next one counts on, and never takes a number again
    assert step(house, rotate_pepper) == Rotation("pepper", "done", 2), "only a person begins another"
    assert step(house, rotate_pepper, begin=True).key == 3


def test_gateways_made_later_have_it_closed_ones_are_not_waited_for(house: House, tmp_path: Path) -> None:
    assert step(house, rotate_pepper, begin=True).gateways == ("gw",)
    settings = replace_node(house, "gw-2")
    with house.at("omar") as desk:
        create_node(desk, tmp_path / "gw-2", settings, PASSPHRASE)
    assert list(peppers(node_keys(house, tmp_path / "gw-2"))) == [1, 2]
    assert step(house, rotate_pepper).gateways == ("gw",)
    with house.at("omar") as desk:
        close_node(desk, house.node)
    assert step(house, rotate_pepper).phase == "done", "no secret and no canary was under the old one"


def replace_node(house: House, name: str) -> Any:
    return msgspec.structs.replace(house.layout.read(), node=name)


def test_a_gateway_keeps_an_old_pepper_while_the_grants_it_follows_need_it(house: House) -> None:
    key = let_in(house, "loan-desk")
    stale = published(house).encode()
    step(house, rotate_pepper, begin=True)
    take(house)
    with house.at("omar") as desk:
        end_grant(desk, "loan-desk")
    assert step(house, rotate_pepper).phase == "done"
    write_state(house.layout.trusted_state, state_with(grants=stale))
    assert take(house).kept == ("pepper 1",)
    assert match_secret(key, Grants.decode(stale).systems[0].secrets, peppers(node_keys(house)), micros(now()))
    canary = Pointer(
        v=1, model="pd", champion="ab" * 32, challenger="cd" * 32, canary_percent=5, sequence=1, previous=None,
        by=PersonId("omar"), at_us=1,
    )  # fmt: skip
    write_state(house.layout.trusted_state, state_with(pointers={"pd": canonical(canary)}))
    assert take(house).kept == ("pepper 1",)
    write_state(house.layout.trusted_state, state_with(grants=published(house).encode()))
    assert (take(house).dropped, list(peppers(node_keys(house)))) == (("pepper 1",), [2])


def state_with(**changes: Any) -> TrustedState:
    start = TrustedState(
        at=now(), expires=now() + timedelta(hours=1), root_version=1, targets=b"", files={}, operations=None,
        pointers={}, grants=None, halts={}, roles={}, releases={},
    )  # fmt: skip
    return replace(start, **changes)


def test_a_canary_keeps_its_pepper_until_it_ends(house: House, monkeypatch: Any) -> None:
    step(house, rotate_pepper, begin=True)
    take(house)
    canary = Pointer(
        v=1, model="pd-small", champion="ab" * 32, challenger="cd" * 32, canary_percent=5, sequence=1, previous=None,
        by=PersonId("omar"), at_us=1,
    )  # fmt: skip
    submit(house)
    with house.at("omar") as desk:
        monkeypatch.setattr(type(desk.room.repository), "pointer", lambda _self, _model: canary)
        found = rotate_pepper(desk)
        assert (found.phase, found.canaries) == ("in-use", ("pd-small",))
        assert list(peppers(desk.room.keys)) == [1, 2]
        monkeypatch.setattr(
            type(desk.room.repository), "pointer", lambda _self, _model: msgspec.structs.replace(canary, pepper=2)
        )
        assert rotate_pepper(desk).phase == "done"


def test_a_gateway_of_another_room_is_not_given_keys(house: House) -> None:
    ring = node_keys(house)
    ring.forget(PEPPER)
    ring.put(PEPPER, os.urandom(32))
    with pytest.raises(ConflictError, match="this room"):
        take(house)


@pytest.mark.parametrize("pepper", [1, 0, -1])
def test_the_first_pepper_is_spelled_in_one_way(pepper: int) -> None:
    with pytest.raises(InvalidInputError, match="absent"):
        Secret(digest="ab" * 32, from_us=0, pepper=pepper)
    with pytest.raises(InvalidInputError, match="pepper"):
        Pointer(
            v=1, model="m", champion=None, challenger="cd" * 32, canary_percent=5, sequence=1, previous=None,
            by=PersonId("omar"), at_us=1, pepper=pepper,
        )  # fmt: skip


def test_a_secret_under_an_unknown_pepper_is_nobodys() -> None:
    key = new_api_key(os.urandom)
    one, two = os.urandom(32), os.urandom(32)
    stored = [Secret.under(2, key.digest(two), 0), Secret.under(3, key.digest(one), 0)]
    assert match_secret(key, stored, {1: one, 2: two}, 1) is stored[0]
    assert match_secret(key, stored, {1: one}, 1) is None, "not even where the digest is one that is compared"
    assert match_secret(key, stored, {2: one}, 1) is None
    with pytest.raises(ValueError, match="without a pepper"):
        match_secret(key, stored, {}, 1)


# the KEK of sealed models ---------------------------------------------------------------------------------------------


def submit(house: House) -> Version:
    """A version, as if it were released too."""
    package = read_package(package_files())
    with house.at("ann") as desk:
        bundle = sign_model(package.ref.name, package.manifest, SIGNERS["ann"])
        version = registry.submit(
            desk.room.office, desk.ask("submit", "Model", package.ref.name, bundle), desk.room.clock(),
            name=package.ref.name, files=package_files(), bundle=bundle, people=desk.room.register,
            vault=desk.room.vault, data_key=os.urandom(32),
        )  # fmt: skip
        desk.room.shelf.publish_version(version.sealed, desk.room.vault.blobs, "model.onnx")
    return version


def opens(shelf: ReleaseShelf, version: Version, ring: KeyFile) -> bool:
    """Whether this key file opens the version as it lies on this shelf."""
    package: SealedPackage = shelf.package(version.ref)
    try:
        return len(unwrap_data_key(package.wrapped, version.ref.manifest, ring)) == 32
    except UnavailableError:
        return False


def mirror(house: House, version: Version) -> ReleaseShelf:
    """What the gateway's refresher does."""
    shelf = ReleaseShelf(house.layout.mirror)
    with house.at("omar") as desk, desk.room.desk.begin() as transaction:
        sealed = transaction.books.versions.get(version.ref).sealed
        shelf.publish_version(sealed, desk.room.vault.blobs, "model.onnx")
    write_state(house.layout.trusted_state, state_with(releases={version.ref.name: {version.ref.manifest: b""}}))
    return shelf


def test_the_kek_of_models_is_replaced_and_every_model_opens_at_every_moment(house: House) -> None:
    version = submit(house)
    shelf = mirror(house, version)
    (old,) = room_keys(house).keks
    begun = step(house, rotate_model_kek, begin=True)
    assert (begun.phase, begun.gateways) == ("begun", ("gw",))
    assert room_keys(house).current_kek == old, "nothing is sealed under it yet"
    assert take(house).added == (f"kek {str(begun.key)[:12]}",)
    done = step(house, rotate_model_kek)
    assert (done.phase, done.key, done.wrapped) == ("done", begun.key, 1)
    assert room_keys(house).keks == (begun.key,)
    assert opens(shelf, version, node_keys(house)), "the gateway still has the old copy and the old key"
    with house.at("omar") as desk:
        assert opens(desk.room.shelf, version, desk.room.keys), "published anew"
        assert opens(desk.room.shelf, version, node_keys(house))
        with desk.room.desk.begin() as transaction:
            now_sealed = transaction.books.versions.get(version.ref).sealed
    assert replace(now_sealed, wrapped=version.sealed.wrapped) == version.sealed, "no other digest changed"
    kept = take(house)
    assert (kept.dropped, kept.kept) == ((), (f"kek {old[:12]}",)), "its copy is still the old one"
    mirror(house, version)
    assert take(house).dropped == (f"kek {old[:12]}",)
    assert old not in node_keys(house).keks
    assert opens(shelf, version, node_keys(house))


def test_a_damaged_key_stops_the_rotation_and_nothing_is_destroyed(house: House) -> None:
    version = submit(house)
    step(house, rotate_model_kek, begin=True)
    take(house)
    with house.at("omar") as desk:
        desk.room.keys.drop_kek(keep_one_aside(desk.room.keys))
        before = set(desk.room.keys.keks) | {NEXT_KEK}
    with pytest.raises(UnavailableError):
        step(house, rotate_model_kek)
    assert before <= {*room_keys(house).keks, *room_keys(house).names} | {NEXT_KEK}
    assert not opens(ReleaseShelf(house.folder / "repository"), version, room_keys(house)), "positive control"


def keep_one_aside(keys: KeyFile) -> str:
    """The present KEK, after another was made the current one: as if it had been lost."""
    lost = keys.current_kek
    keys.new_kek()
    return lost


# interruptions --------------------------------------------------------------------------------------------------------


class CrashError(Exception):
    """The machine stopped."""


class Stops:
    """Each write of a key file is interrupted twice: before it, and on the repetition after it."""

    def __init__(self, monkeypatch: Any) -> None:
        self.count = 0
        save = KeyFile._save

        def stopping(ring: KeyFile, content: Any) -> None:
            self.count += 1
            if self.count % 2:
                raise CrashError
            save(ring, content)
            raise CrashError

        monkeypatch.setattr(KeyFile, "_save", stopping)

    def until_done(self, run: Callable[[], Any]) -> Any:
        for _ in range(20):
            try:
                return run()
            except CrashError:
                continue
        raise AssertionError("it never comes to an end")


def test_a_pepper_rotation_may_stop_at_every_write_of_a_key_file(house: House, monkeypatch: Any) -> None:
    key = let_in(house, "loan-desk")
    stops = Stops(monkeypatch)
    assert stops.until_done(lambda: step(house, rotate_pepper, begin=True)).phase == "begun"
    assert len(next_pepper(room_keys(house))) == 1
    stops.until_done(lambda: take(house))
    assert stops.until_done(lambda: step(house, rotate_pepper)).systems == ("loan-desk",)
    assert knows(house, key)
    with house.at("omar") as desk:
        fresh = rotate(desk, "loan-desk", timedelta())
    assert stops.until_done(lambda: step(house, rotate_pepper)).phase == "done"
    stops.until_done(lambda: take(house))
    assert stops.count >= 10, "five writes, each stopped twice"
    assert [*peppers(room_keys(house))] == [*peppers(node_keys(house))] == [2]
    assert not next_pepper(room_keys(house))
    assert [knows(house, one) for one in (fresh, key)] == [True, False]


def test_a_kek_rotation_may_stop_at_every_write_of_a_key_file(house: House, monkeypatch: Any) -> None:
    version = submit(house)
    (old,) = room_keys(house).keks
    stops = Stops(monkeypatch)
    stops.until_done(lambda: step(house, rotate_model_kek, begin=True))
    stops.until_done(lambda: take(house))
    assert stops.until_done(lambda: step(house, rotate_model_kek)).phase == "done"
    shelf = mirror(house, version)
    stops.until_done(lambda: take(house))
    assert stops.count >= 8
    (kek,) = room_keys(house).keks
    assert kek != old
    assert old not in node_keys(house).keks
    assert NEXT_KEK not in room_keys(house).names
    assert set(shared_keks(room_keys(house))) <= set(node_keys(house).keks)
    assert opens(shelf, version, node_keys(house))


@pytest.mark.parametrize("stop", ["wrap", "publish"])
def test_a_kek_rotation_may_stop_between_the_books_and_the_repository(
    house: House, monkeypatch: Any, stop: str
) -> None:
    version = submit(house)
    step(house, rotate_model_kek, begin=True)
    take(house)
    with monkeypatch.context() as patch:
        target = {"wrap": (registry, "_wrapped_anew"), "publish": (ReleaseShelf, "publish_wrapped")}[stop]

        def crash(*_: Any) -> None:
            raise CrashError

        patch.setattr(*target, crash)
        with pytest.raises(CrashError):
            step(house, rotate_model_kek)
    assert len(room_keys(house).keks) == 2, "nothing is destroyed before all is published"
    with house.at("omar") as desk:
        assert opens(desk.room.shelf, version, node_keys(house))
    assert step(house, rotate_model_kek).phase == "done"
    with house.at("omar") as desk:
        assert opens(desk.room.shelf, version, desk.room.keys)


# while a gateway answers ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_serving_gateway_takes_a_pepper_and_drops_one_without_a_refused_request(
    tmp_path: Path, monkeypatch: Any
) -> None:
    made = make_rotating(tmp_path, monkeypatch, workers=2)
    node, house = made.node, made.house
    for keys in (room_keys(house), node_keys(house)):
        keys.forget(PEPPER)
        keys.put(PEPPER, LIVE_PEPPER)
    step(house, rotate_pepper, begin=True)
    fresh = new_api_key(os.urandom, node.key.id)
    pepper = next_pepper(room_keys(house))[2]

    def grant(*secrets: Secret) -> None:
        """The simulated room's operator signs grants as the real one's `grant rotate` does."""
        room = node.room
        before = Grants.decode(room.repository.target(GRANTS_PATH) or b"")
        system = msgspec.structs.replace(before.systems[0], secrets=secrets)
        room.at = now().replace(microsecond=0)
        room.repository.stage_operations({GRANTS_PATH: before.with_system(system).encode()}, room.at)
        room.sign("operations", "oscar")
        room.repository.publish("operations", room.at)

    with node.serving():
        with load(node) as seen:
            node.wait_for(lambda: len(seen.answered) > 20, 20)
            with house.at("omar") as desk:
                assert take_keys(desk, node.folder, PASSPHRASE).added[0] == "pepper 2"
            old = Secret(digest=node.key.digest(LIVE_PEPPER), from_us=0)
            grant(old, Secret.under(2, fresh.digest(pepper), 0))

            def lets_in(key: ApiKey) -> bool:
                # more than once: two workers
                return all(replace(node, key=key).ask(question())[0] == 200 for _ in range(8))

            node.wait_for(lambda: lets_in(fresh), 20)
            assert lets_in(node.key)
            node.key = fresh
            grant(Secret.under(2, fresh.digest(pepper), 0))
            take(house)
            assert step(house, rotate_pepper).phase == "done"
            node.wait_for(lambda: take(house, node.folder).dropped == ("pepper 1",), 30)
            before = len(seen.answered)
            node.wait_for(lambda: len(seen.answered) > before + 30, 20)
        assert seen.failed == []
    assert list(peppers(KeyFile.open(made.layout.keyring, PASSPHRASE))) == [2]
