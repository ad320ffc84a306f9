"""What a worker admits again and again: made anew where it changed, and kept, with all it remembers, where not."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from strongroom.access.authentication import Authenticator
from strongroom.access.grants import Grants
from strongroom.adapters.keys.keyring import KeyFile
from strongroom.approval.trust_policy import GRANTS_PATH
from strongroom.errors import NotAuthenticatedError
from strongroom.serving.rules import Rules
from strongroom.vocabulary import micros
from strongroom.wiring.admitting import Admission
from strongroom.wiring.node import NodeLayout
from strongroom.wiring.refreshing import Refresher
from tests import simulator
from tests.web.nodes import PASSPHRASE, Node, make


class Looking:
    """A node whose repository is looked at and admitted by one and the same worker."""

    def __init__(self, node: Node) -> None:
        layout = NodeLayout(node.folder)
        settings = layout.read()
        self.node = node
        self.refresher = Refresher(layout, settings)
        self.admission = Admission(layout, settings, KeyFile.open(layout.keyring, PASSPHRASE))

    def look(self) -> Rules:
        self.refresher.refresh()
        return self.admission.admit()

    def grant(self, grants: Grants) -> None:
        room = self.node.room
        room.repository.stage_operations({GRANTS_PATH: grants.encode()}, room.at)
        room.sign("operations", "oscar")
        room.repository.publish("operations", room.at)


@pytest.fixture
def looking(tmp_path: Path) -> Looking:
    return Looking(make(tmp_path))


def test_nothing_new_leaves_all_that_is_remembered_of_callers_and_decisions(looking: Looking) -> None:
    first, second = looking.look(), looking.look()
    assert second.authenticator is first.authenticator
    assert second.authorisation is first.authorisation
    assert second.signing is first.signing
    assert second.limits is first.limits
    assert second.callers == 1


def test_a_new_release_is_judged_anew_and_callers_stay_known(looking: Looking) -> None:
    first = looking.look()
    room = looking.node.room
    room.live(room.version(2))
    second = looking.look()
    assert second.authorisation is not first.authorisation
    assert second.authenticator is first.authenticator


def test_a_denied_key_is_unknown_with_the_next_look_though_it_was_remembered(looking: Looking) -> None:
    first = looking.look()
    header = f"Bearer {looking.node.key}".encode()
    now_us = micros(looking.node.room.at) + 60_000_000
    assert first.authenticator.authenticate(header, now_us).id == "loan-desk"
    authenticator = first.authenticator
    assert isinstance(authenticator, Authenticator)
    (desk,) = authenticator._by_key.values()
    ended = msgspec.structs.replace(desk, key_id=None, secrets=())
    looking.grant(Grants(sequence=2, systems=(ended,)))
    second = looking.look()
    assert second.authenticator is not first.authenticator
    with pytest.raises(NotAuthenticatedError):
        second.authenticator.authenticate(header, now_us)
    assert simulator.MODEL in second.catalogue.models
