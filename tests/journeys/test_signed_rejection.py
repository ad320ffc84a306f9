"""An approver's no is signed over the same papers as a yes, and kept."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from strongroom.approval.evidence import Register
from strongroom.approval.statements import Approval
from strongroom.approval.trust_policy import PEOPLE_PATH
from strongroom.cli import judgement
from strongroom.office.entries import Entry
from strongroom.sealing.statements import APPROVAL
from strongroom.vocabulary import Digest, ModelRef
from strongroom.wiring.control import ControlPlane
from tests.journeys.bank import MODEL, Bank, each_key_derived_once


def test_an_approver_signs_the_rejection_of_what_is_proposed(tmp_path: Path) -> None:
    with each_key_derived_once():
        bank = Bank(tmp_path)
        bank.hire()
        bank.found()
        bank.delegate()
        manifest = bank.put_forward(bank.package("one", 5))
        _other_terms_while_somebody_reads(bank)
        bank.run("paul", "approve", MODEL, "--yes")
        said = bank.run("petra", "reject", MODEL, "--reason", "five trees are few")
        assert said["state"] == "rejected"
        with ControlPlane.open(bank.room, bank.secret("room").read_bytes()) as room:
            register = Register.read(room.document(PEOPLE_PATH))
            envelope = room.vault.blobs.get(Digest(said["evidence"]))
            decision, key = register.statement(envelope, ModelRef(MODEL, Digest(manifest)), APPROVAL, Approval)
            assert (decision.decision, decision.person, decision.reason) == (
                "reject",
                "petra",
                "five trees are few",
            )
            assert decision.tuf_draft is None
            last = Entry.decode(list(room.log.entries())[-1].entry)
            assert (last.verb, last.facts["evidence"], last.facts["key_id"]) == ("reject", said["evidence"], key)
            request = room.check_request(last)
            assert request is not None
            assert request.body_sha256 == said["evidence"], "the request is over the rejection"
        again = bank.run("ann", "submit", bank.package("two", 4))["manifest"]
        plain = bank.run("petra", "reject", f"{MODEL}@{again[:16]}", "--reason", "no papers yet")
        assert json.dumps(plain["evidence"]) == "null"


def _other_terms_while_somebody_reads(bank: Bank) -> None:
    """Nobody waits for an approver who reads; what was signed counts for the terms that were read, and no others."""

    def read(lines: Iterable[str], *_: object) -> None:
        assert any("valid " in line for line in lines)
        bank.run("omar", "propose", MODEL, "--days", 300)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judgement, "ask_to_sign", read)
        told = bank.refused("paul", "approve", MODEL)
    assert told["error"] == "conflict"
    assert "other terms of" in told["message"]
    assert told["entry"]
