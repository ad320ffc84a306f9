"""The governance log carries proof of who asked: every act's entry names the person's signed request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from strongroom.access.requests import PersonRequest, SignedRequest, Target, check_kept, new_request, sign_request
from strongroom.adapters.keys.homes import Home
from strongroom.cli.output import EXIT_CODES
from strongroom.encoding import canonical, parse_as
from strongroom.errors import NotFoundError, TamperedError
from strongroom.office.entries import Entry
from strongroom.vocabulary import Digest, micros
from strongroom.wiring.control import ControlPlane, now
from tests.journeys.bank import MODEL, Bank, each_key_derived_once


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    with each_key_derived_once():
        bank = Bank(tmp_path_factory.mktemp("requests"))
        bank.hire()
        bank.found()
        bank.delegate()
        bank.run("ann", "submit", bank.package("one", 5))
        words = ("--model", MODEL, "--jurisdiction", "TW", "--purpose", "credit-decision")
        bank.run("omar", "grant", "add", "loan-desk", *words)
        bank.refused("ann", "grant", "end", "loan-desk")
        yield bank


@pytest.fixture
def room(bank: Bank) -> Iterator[ControlPlane]:
    with ControlPlane.open(bank.room, bank.secret("room").read_bytes()) as room:
        yield room


def entries(room: ControlPlane) -> list[Entry]:
    return [Entry.decode(logged.entry) for logged in room.log.entries()]


def find(room: ControlPlane, verb: str, who: str) -> Entry:
    return [entry for entry in entries(room) if (entry.verb, entry.who) == (verb, who)][-1]


def check(room: ControlPlane, entry: Entry, kept: bytes) -> PersonRequest:
    on = Target(kind=entry.on.kind, id=entry.on.id)
    origin = room.settings.governance_origin
    return check_kept(kept, origin, room.register, who=entry.who, verb=entry.verb, on=on, at_us=entry.at_us)


def body(room: ControlPlane, request: PersonRequest | None) -> Any:
    assert request is not None
    return json.loads(room.vault.blobs.get(request.body_sha256))


def test_every_entry_of_a_person_names_a_request_that_verifies(room: ControlPlane) -> None:
    seen = entries(room)
    assert {entry.outcome for entry in seen} == {"done", "refused"}
    assert {"init", "people", "submit", "add-grant"} <= {entry.verb for entry in seen}
    for entry in seen:
        request = room.check_request(entry)
        assert request is not None, entry
        assert (request.verb, request.on.id) == (entry.verb, entry.on.id)


def test_parameters_are_what_was_signed(room: ControlPlane) -> None:
    made = body(room, room.check_request(find(room, "add-grant", "omar")))["add"]
    assert (made["id"], made["bounds"]["models"], made["bounds"]["jurisdictions"]) == ("loan-desk", [MODEL], ["TW"])
    assert body(room, room.check_request(find(room, "add-grant", "ann"))) == {"end": "loan-desk"}
    asked = body(room, room.check_request(entries(room)[1]))
    assert asked == {"approvers": ["paul", "petra"], "delegate": MODEL}


def test_a_changed_request_or_another_act_does_not_verify(bank: Bank, room: ControlPlane) -> None:
    entry = find(room, "add-grant", "omar")
    kept = room.vault.blobs.get(Digest(entry.facts["request"]))
    signed = parse_as(kept, SignedRequest)
    request = parse_as(signed.document, PersonRequest)
    assert check(room, entry, kept) == request
    other = msgspec.structs.replace(request, body_sha256=Digest("0" * 64))
    for changed in (
        msgspec.structs.replace(signed, document=canonical(other)),
        msgspec.structs.replace(signed, signature=signed.signature[:-1] + bytes([signed.signature[-1] ^ 1])),
        msgspec.structs.replace(signed, key_id=room.register.person("ann").keys[0].id),
    ):
        with pytest.raises(TamperedError):
            check(room, entry, changed.encode())
    for wrong in (b"", b"{}", kept + b" "):
        with pytest.raises(TamperedError, match="does not read"):
            check(room, entry, wrong)
    with pytest.raises(TamperedError, match="none of `ann`"):
        check(room, msgspec.structs.replace(entry, who="ann"), kept)
    for act in (
        msgspec.structs.replace(entry, verb="release"),
        msgspec.structs.replace(entry, on=msgspec.structs.replace(entry.on, id="other-desk")),
        msgspec.structs.replace(entry, at_us=entry.at_us - 3600 * 1_000_000),
    ):
        with pytest.raises(TamperedError, match="not for this act"):
            check(room, act, kept)
    late = msgspec.structs.replace(request, at_us=0)
    home = Home.open(bank.folder / "homes" / "omar", bank.secret("omar").read_bytes())
    with pytest.raises(TamperedError, match="did not count"):
        check(room, entry, sign_request(late, home.public.key_id, home).encode())


def test_a_request_is_no_part_of_who_somebody_is(bank: Bank, room: ControlPlane) -> None:
    """Decisions of the policies are remembered by principal; a new request must not make a new one."""
    home = Home.open(bank.folder / "homes" / "omar", bank.secret("omar").read_bytes())
    origin = room.settings.governance_origin
    asked = new_request(origin, "show", Target(kind="Model", id=MODEL), b"", micros(now()), lambda size: b"n" * size)
    who, _ = room.authenticate(sign_request(asked, home.public.key_id, home), b"")
    assert who.request is not None
    assert hash(who) == hash(replace(who, request=None))
    assert who == room.register.principal("omar")


def test_fsck_misses_a_request_that_is_gone(bank: Bank) -> None:
    def findings(code: int) -> str:
        return str(bank.run("audrey", "fsck", code=code))

    assert "signed requests" in findings(0)
    with ControlPlane.open(bank.room, bank.secret("room").read_bytes()) as room:
        digest = Digest(find(room, "submit", "ann").facts["request"])
        (file,) = [path for path in room.layout.blobs.rglob("*") if path.is_file() and digest.endswith(path.name)]
        kept = file.read_bytes()
        file.unlink()
        with pytest.raises(NotFoundError):
            room.vault.blobs.get(digest)
    try:
        assert digest[:12] in findings(EXIT_CODES["tampered"])
    finally:
        # the room is the other tests' too, in whatever order they come
        file.write_bytes(kept)
