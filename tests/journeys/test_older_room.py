"""An upgrade: a room whose policies were signed with an earlier version goes on; its custodians sign the new ones."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from strongroom.approval.trust_policy import ACCESS_PATH, ACCESS_SCHEMA_PATH
from strongroom.wiring import custody, founding
from tests.access.test_earlier_policies import texts
from tests.journeys.bank import Bank, each_key_derived_once


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    """A bank that founded its room with an earlier version."""
    policies, schema = texts()
    documents = {**founding.standard_documents(), ACCESS_PATH: policies, ACCESS_SCHEMA_PATH: schema}
    with each_key_derived_once(), pytest.MonkeyPatch.context() as patch:
        bank = Bank(tmp_path_factory.mktemp("older"))
        bank.hire()
        patch.setattr(founding, "standard_documents", lambda: documents)
        bank.found()
        patch.undo()
        assert custody.standard_documents is founding.standard_documents
        yield bank


def test_an_older_room_works_and_signs_new_policies(bank: Bank) -> None:
    hold = ("hold", "case-1", "--reason", "court order")
    assert bank.run("audrey", "fsck")["findings"] == 0
    assert bank.run("audrey", "log"), "the control plane opens it"
    said = bank.refused("audrey", *hold)
    assert said["error"] == "not-permitted"
    assert "strongroom policy propose" in said["message"]
    assert said["entry"], "a refusal like any other"
    # what the message says is what helps
    assert bank.refused("audrey", "policy", "propose")["error"] == "not-permitted"
    assert bank.run("cora", "policy", "propose")["changed"] == [ACCESS_PATH, ACCESS_SCHEMA_PATH]
    for custodian in ("cyril", "celia"):
        (signed,) = bank.run(custodian, "people", "sign", "--yes")
    assert any(f"~ {ACCESS_PATH}" in line for line in signed["signed"])
    assert bank.run("audrey", *hold)
    assert bank.refused("cora", "policy", "propose")["error"] == "conflict"
    own = bank.folder / "own-policies"
    own.mkdir()
    (own / "access.cedarschema").write_bytes(texts()[1])
    assert "policies do not fit" in bank.refused("cora", "policy", "propose", own)["message"], "no way back by mistake"
