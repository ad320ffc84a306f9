"""A policy that demands training done again: without it, or with another model for an outcome, nobody approves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from strongroom.approval import actions
from strongroom.approval.dossiers import demand_ready
from strongroom.encoding import canonical
from strongroom.errors import EvidenceError, InvalidInputError
from strongroom.office.acts import Act
from strongroom.registry.training import SCRIPT_FILE, Training
from strongroom.registry.versions import Paper
from strongroom.sealing.dsse import sign_envelope
from strongroom.sealing.statements import REPLICATION, make_statement
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.workshop.replication import Compared, ReplicationPredicate
from strongroom.vocabulary import digest_of, micros
from tests.approval.control_room import VALIDATION_POLICY, ControlRoom
from tests.simulator import Version, signer

SERVED, OTHER = digest_of(b"served"), digest_of(b"other")
ALIKE = Compared(rows=9, largest="1e-07", beyond=0, flips=0)
CAME: dict[str, dict[str, Any]] = {
    "same-bytes": {"replica": SERVED},
    "within-tolerance": {"replica": OTHER, "compared": ALIKE},
    "differs": {"replica": OTHER, "compared": msgspec.structs.replace(ALIKE, beyond=2)},
    "failed": {"reason": "it raised"},
    "not-evaluable": {"reason": "the package does not hold the data"},
}


def policy(demand: str | None, local: str | None = None, *, sections: bool = True) -> bytes:
    """The room's policy, in which tier 1 of every kind demands it, and the European Union perhaps more."""
    told = json.loads(VALIDATION_POLICY)
    del told["tiering"]
    for battery in told["batteries"]:
        if demand is not None and battery["tier"] == 1:
            battery["replication"] = demand
        battery.pop("sections", None)
        if sections:
            battery["sections"] = [{"section": "development"}]
    if local is not None:
        told["local"] = [{"jurisdiction": "EU", "kind": "pd", "tier": 1, "replication": local}]
    return ValidationPolicy.decode(canonical(told)).encode()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[ControlRoom, Version]:
    room = ControlRoom(Path(tmp_path_factory.mktemp("room")))
    room.found()
    return room, room.submitted(7)


@pytest.fixture
def made(found: tuple[ControlRoom, Version]) -> Any:
    """A room, and what tells it whether a version with such outcomes is ready."""
    room, version = found

    def ready(judging: bytes, *outcomes: str, tier: int = 1, code: bool = True) -> None:
        with room.office.open(Act(room.who("ann"), "show", actions._model(version.ref), room.at)) as books:
            one = books.versions.get(version.ref)
        for outcome in outcomes:
            room.tick()
            said = ReplicationPredicate(
                v=1, outcome=outcome, artifact=SERVED, at_us=micros(room.at), **{"reason": "", **CAME[outcome]}
            )  # fmt: skip
            envelope = sign_envelope(make_statement(version.ref, REPLICATION, said), signer("validation"))
            one = one.with_paper(Paper("replication", room.blobs.put(envelope)))
        training = Training(script=SCRIPT_FILE) if code else msgspec.UNSET
        contract = msgspec.structs.replace(one.contract, tier=tier, training=training)
        room.validation_policy = judging
        demand_ready(replace(one, contract=contract, sample=None), room.means, room.at, ())

    return ready


@pytest.mark.parametrize("sections", [True, False], ids=["drawn", "words"])
def test_what_was_demanded_and_not_done_blocks(made: Any, sections: bool) -> None:
    judging = policy("within-tolerance", sections=sections)
    with pytest.raises(
        EvidenceError, match=r"nobody has repeated it; `strongroom replicate pd-cards@[0-9a-f]{12}` does"
    ):
        made(judging)
    made(judging, tier=2)
    made(policy(None, sections=sections))
    with pytest.raises(EvidenceError, match="has no code for it; submit one made with `--training`"):
        made(judging, code=False)


@pytest.mark.parametrize(
    ("demand", "outcomes", "says"),
    [
        ("within-tolerance", ["same-bytes"], ""),
        ("within-tolerance", ["within-tolerance"], ""),
        ("within-tolerance", ["differs"], "another model came out"),
        ("within-tolerance", ["failed"], "it failed"),
        ("within-tolerance", ["not-evaluable"], "`strongroom replicate pd-cards@[0-9a-f]{12} --data ...` takes them"),
        ("same-bytes", ["same-bytes"], ""),
        ("same-bytes", ["within-tolerance"], "other bytes came out"),
        ("same-bytes", ["same-bytes", "differs"], "another model"),
        ("same-bytes", ["failed", "same-bytes"], ""),
    ],
)
def test_the_latest_outcome_is_held_against_the_policy(made: Any, demand: str, outcomes: list[str], says: str) -> None:
    if says:
        with pytest.raises(EvidenceError, match=says):
            made(policy(demand), *outcomes)
    else:
        made(policy(demand), *outcomes)


def test_a_place_may_ask_for_more_and_never_for_less(made: Any) -> None:
    with pytest.raises(EvidenceError, match="that gives its very bytes"):
        made(policy("within-tolerance", "same-bytes"), "within-tolerance")
    with pytest.raises(EvidenceError, match="that gives its very bytes"):
        made(policy("same-bytes", "within-tolerance"), "within-tolerance")
    with pytest.raises(EvidenceError, match="nobody has repeated it"):
        made(policy(None, "within-tolerance"))
    with pytest.raises(InvalidInputError):
        policy("differs")
