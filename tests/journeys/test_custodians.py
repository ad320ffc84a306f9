"""Custodians renew root and targets, and hand over: old and new quorum, one key a person, gateways follow."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from strongroom.adapters.keys.homes import Home
from strongroom.adapters.releases.release_fetchers import FolderFetcher
from strongroom.adapters.releases.time_floor import TimeFloor
from strongroom.adapters.releases.tuf_client import ReleaseClient
from strongroom.errors import NotPermittedError
from strongroom.serving.admission_ports import TrustedState
from strongroom.wiring import custody
from tests.journeys.bank import Bank, each_key_derived_once


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A room whose founding is signed; each test works on a copy."""
    with each_key_derived_once():
        bank = Bank(tmp_path_factory.mktemp("founded"))
        bank.hire()
        bank.found()
        yield bank.folder


@pytest.fixture
def bank(founded: Path, tmp_path: Path) -> Bank:
    shutil.copytree(founded, tmp_path, dirs_exist_ok=True)
    return Bank(tmp_path)


def follow(bank: Bank, at: datetime | None = None) -> TrustedState:
    """A gateway that was given the first root and sees the repository for the first time."""
    node = bank.folder / f"far-{len(list(bank.folder.iterdir()))}"
    node.mkdir()
    repository = bank.room / "repository"
    first = (repository / "metadata" / "1.root.json").read_bytes()
    client = ReleaseClient(FolderFetcher(repository), node / "metadata", first, TimeFloor(node / "time"))
    return client.refresh(at or datetime.now(UTC))


def root(bank: Bank) -> dict[str, Any]:
    said: dict[str, Any] = json.loads((bank.room / "repository" / "metadata" / "root.json").read_bytes())["signed"]
    return said


def sign(bank: Bank, person: str) -> dict[str, tuple[int, bool]]:
    return {one["role"]: (one["missing"], one["published"]) for one in bank.run(person, "people", "sign", "--yes")}


def key_of(bank: Bank, person: str) -> str:
    home = Home.open(bank.folder / "homes" / person, bank.secret(person).read_bytes())
    return str(home.public.key_id)


def test_root_and_targets_are_renewed_and_a_gateway_follows_from_the_first_root(bank: Bank) -> None:
    before = follow(bank)
    said = bank.run("cora", "people", "renew")
    assert said["custodians"] == ["celia", "cora", "cyril"]
    assert sign(bank, "cora") == {"root": (1, False), "targets": (1, False)}
    assert sign(bank, "cora") == {"root": (1, False), "targets": (1, False)}, "one custodian alone, however often"
    assert follow(bank).root_version == 1
    assert sign(bank, "celia") == {"root": (0, True), "targets": (0, True)}
    after = follow(bank)
    assert (before.root_version, after.root_version) == (1, 2)
    assert json.loads(after.targets)["signed"]["version"] == json.loads(before.targets)["signed"]["version"] + 1
    assert after.files == before.files


def test_custodians_change_with_both_quorums_and_the_removed_key_counts_no_more(bank: Bank) -> None:
    bank.run("cora", "people", "renew", "--custodian", "cora", "--custodian", "paul", "--custodian", "petra")
    assert sign(bank, "paul") == {"root": (2, False), "targets": (2, False)}
    read = bank.run("petra", "people", "sign", "--yes")
    assert [(one["missing"], one["published"]) for one in read] == [(2, False)] * 2, "the new quorum alone"
    lines = "\n".join(line for one in read for line in one["signed"])
    gone = sorted(["celia", "cyril"], key=lambda name: key_of(bank, name))
    assert "  - root: " + ", ".join(f"{name} {key_of(bank, name)[:12]}" for name in gone) in lines
    assert sign(bank, "celia") == {"root": (1, False), "targets": (1, False)}
    last = bank.run("cyril", "people", "sign", "--yes")
    assert all(one["published"] and one["entry"] for one in last), "who signs their own role away is on the record"
    assert set(root(bank)["roles"]["root"]["keyids"]) == {key_of(bank, name) for name in ("cora", "paul", "petra")}
    roles = {one["id"]: one["roles"] for one in bank.run(None, "people", "list")["people"]}
    assert (roles["paul"], roles["celia"]) == ("approver, custodian, halter", "")
    assert follow(bank).root_version == 2
    assert bank.refused("celia", "people", "renew")["error"] == "not-permitted"
    bank.run("cora", "people", "renew")
    said = bank.refused("celia", "people", "sign", "--yes")
    assert "has no say" in said["message"]
    sign(bank, "cora")
    assert sign(bank, "petra") == {"root": (0, True), "targets": (0, True)}
    assert follow(bank).root_version == 3


def test_a_newcomer_who_signs_last_is_on_the_record(bank: Bank) -> None:
    bank.run("cora", "people", "renew", "--custodian", "cora", "--custodian", "cyril", "--custodian", "paul")
    sign(bank, "cora")
    assert sign(bank, "celia") == {"root": (1, False), "targets": (1, False)}
    last = bank.run("paul", "people", "sign", "--yes")
    assert all(one["published"] and one["entry"] for one in last)


def test_a_second_key_of_one_custodian_does_not_make_a_quorum(bank: Bank) -> None:
    """cora rotates: her old key stands in the old root, her new one in the next."""
    home = bank.folder / "homes" / "cora-2"
    pem = bank.folder / "cora-2.pem"
    pem.write_text(bank.run("cora", "people", "new", home, "--person", "cora")["key_pem"])
    bank.run("cora", "people", "enter", "cora", "--key", pem)
    for person in ("cora", "celia"):
        sign(bank, person)
    bank.run("cora", "people", "end", "cora", "--reason", "rotated", "--key", key_of(bank, "cora")[:16])
    bank.run("celia", "people", "renew")
    second = {"STRONGROOM_HOME": str(home)}
    assert sign(bank, "cora") == {"root": (2, False), "targets": (2, False)}, "the old key is of the old root alone"
    done = bank.try_("cora", "people", "sign", "--yes", "--json", **second)
    assert all(one["missing"] == 1 and not one["published"] for one in json.loads(done.stdout))
    assert sign(bank, "cyril") == {"root": (0, True), "targets": (0, True)}
    keys = root(bank)["roles"]["root"]["keyids"]
    assert len(keys) == 3
    assert key_of(bank, "cora") not in keys


def test_fewer_than_three_and_strangers_are_refused(bank: Bank) -> None:
    two = ("--custodian", "cora", "--custodian", "cyril")
    assert bank.refused("cora", "people", "renew", *two)["error"] == "four-eyes"
    assert bank.refused("cora", "people", "renew", *two, "--custodian", "nobody")["error"] == "not-found"
    assert bank.refused("cora", "people", "renew", *two, "--custodian", "scanner")["error"] == "conflict"
    assert bank.refused("ann", "people", "renew")["error"] == "not-permitted"
    assert bank.run("celia", "people", "sign", "--yes") == [], "what was refused is not staged"


def test_the_timestamp_tells_what_expires_soon(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bank.run(None, "timestamp")["soon"] == []
    monkeypatch.setattr(custody, "now", lambda: datetime.now(UTC) + timedelta(days=160))
    (targets,) = bank.run(None, "timestamp")["soon"]
    assert targets["role"] == "targets"
    assert "people renew" in bank.try_(None, "timestamp").stdout


def test_a_publication_that_is_not_permitted_does_not_happen(bank: Bank) -> None:
    bank.run("cora", "people", "renew")
    with pytest.raises(NotPermittedError, match="has no say"):
        custody.sign_waiting(
            bank.room,
            bank.secret("room").read_bytes(),
            Home.open(bank.folder / "homes" / "ann", bank.secret("ann").read_bytes()),
        )
    assert root(bank)["version"] == 1
