"""The key of the validation service is compromised: what it signed counts for nothing, and stops nobody's report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from strongroom.access.people import person_key
from strongroom.approval import actions
from strongroom.approval.dossiers import gather, replications_of
from strongroom.errors import EvidenceError, NotAuthenticatedError
from strongroom.office.acts import Act
from strongroom.registry.training import SCRIPT_FILE, Training
from strongroom.registry.versions import Paper
from strongroom.registry.versions import Version as Registered
from strongroom.sealing.dsse import sign_envelope
from strongroom.sealing.statements import REPLICATION, VALIDATION, make_statement
from strongroom.validation import results as documents
from strongroom.validation.reporting.blocks import Grid, Note
from strongroom.validation.reporting.chapters import draw_up
from strongroom.validation.reporting.dossier import Dossier
from strongroom.validation.workshop.replication import ReplicationPredicate
from strongroom.vocabulary import digest_of, micros
from strongroom.wiring import trying_policies
from strongroom.wiring.judging import validation_of
from tests.approval.control_room import VALIDATION_POLICY, ControlRoom
from tests.simulator import MONITORS, PROFILE, signer

OLD, NEW = "validation", "validation#2"


def ended(room: ControlRoom, reason: Any = "compromised") -> None:
    """The service has a second key; custodians end the first."""
    service = room.people.person("validation")
    kept = {key.id: key for key in (*service.keys, person_key(signer(NEW).public.spki, 0))}
    old = kept[signer(OLD).public.key_id]
    kept[old.id] = msgspec.structs.replace(old, until_us=old.until_us or micros(room.at) + 1, reason=reason)
    keys = tuple(kept[name] for name in sorted(kept))
    room.people = room.people.with_person(msgspec.structs.replace(service, keys=keys))
    room.custodians_publish(files={"people.json": room.people.encode()})


def results(version: Registered, figure: str) -> bytes:
    """What a battery of one test found."""
    test = documents.TestResult(
        id="auc", rule="discrimination.auc", title="Area under the ROC curve", section="discrimination",
        sentence="It ranks.", figure=figure, unit="ratio", better="higher", source="Hanley and McNeil 1982",
        sample="validation", sample_sha256=digest_of(b"sample"), n=9, role="gate", verdict="pass",
    )  # fmt: skip
    digest = digest_of(b"sample")
    return documents.BatteryResults(
        v=1, battery="pd", model=version.ref.name, manifest=version.ref.manifest, title="t", owner="o", kind="pd",
        tier=1, contract_sha256=digest, artifact_sha256=digest, policy_sha256=digest_of(VALIDATION_POLICY),
        policy_version="1", confidence="0.95",
        samples=(documents.SampleRef(role="validation", sha256=digest, rows=9, defaults=1),),
        tests=(test,), verdict="pass", reasons=(), grades=(), psi=(), air=(), tools={},
        numeric=documents.ProfileProof(
            profile=msgspec.convert(msgspec.to_builtins(PROFILE), documents.Profile), rows=9, sizes=(1,), comparisons=1,
            differ_alone=0, differ_padded=0, differ_layout=0, differ_session=0, note="",
        ),
    ).encode()  # fmt: skip


@pytest.fixture
def room(tmp_path: Path) -> ControlRoom:
    room = ControlRoom(tmp_path)
    room.found()
    return room


def validated(room: ControlRoom, number: int, key: str, figure: str, parent: Registered | None = None) -> Registered:
    """A version with a validation that a key of the service signed, and training done again."""
    made = room.submitted(number)
    with room.office.open(Act(room.who("ann"), "show", actions._model(made.ref), room.at)) as books:
        one = replace(books.versions.get(made.ref), sample=None)
    lineage = msgspec.structs.replace(one.contract.lineage, parent=None if parent is None else parent.ref.manifest)
    training = Training(script=SCRIPT_FILE)
    one = replace(one, contract=msgspec.structs.replace(one.contract, lineage=lineage, training=training))
    found = results(one, figure)
    room.tick()
    said = {
        "v": 1, "verdict": "pass", "warnings": (), "results": room.blobs.put(found), "report": digest_of(b"page"),
        "sample": digest_of(b"sample"), "samples": (), "contract_sha256": digest_of(b"c"),
        "artifact_sha256": digest_of(b"a"), "policy_sha256": digest_of(VALIDATION_POLICY), "policy_version": "1",
        "profile": PROFILE, "monitors": MONITORS, "tools": {}, "isolation": "none", "at_us": micros(room.at),
    }  # fmt: skip
    assert msgspec.convert(msgspec.to_builtins(said), documents.ValidationPredicate)
    envelope = sign_envelope(make_statement(one.ref, VALIDATION, said), signer(key))
    one = replace(one, evidence={**one.evidence, "validation": room.blobs.put(envelope)})
    return repeated(room, one, key)


def repeated(room: ControlRoom, one: Registered, key: str, outcome: Any = "same-bytes") -> Registered:
    room.tick()
    served = digest_of(b"served")
    more = {"replica": served, "reason": ""} if outcome == "same-bytes" else {"reason": "it raised"}
    said = ReplicationPredicate(v=1, outcome=outcome, artifact=served, at_us=micros(room.at), **more)  # type: ignore[arg-type]
    envelope = sign_envelope(make_statement(one.ref, REPLICATION, said), signer(key))
    return one.with_paper(Paper("replication", room.blobs.put(envelope)))


def dossier(room: ControlRoom, one: Registered, *versions: Registered) -> Dossier:
    return gather(one, room.means, room.at, policy=VALIDATION_POLICY, versions=(one, *versions))


def history(found: Dossier, key: str = "history") -> tuple[list[str], list[str]]:
    """Notes and titles of tables in a section of the report."""
    (section,) = (section for section in draw_up(found).sections if section.key == key)
    return (
        [block.text for block in section.blocks if isinstance(block, Note)],
        [block.title for block in section.blocks if isinstance(block, Grid)],
    )


def test_a_descendant_is_told_that_the_validation_before_counts_no_more(room: ControlRoom) -> None:
    start = room.at
    first = validated(room, 6, OLD, "0.9")
    before = dossier(room, validated(room, 8, OLD, "0.8", first), first)
    assert before.before is not None
    assert before.before.results is not None
    assert "What changed in the figures that decide" in history(before)[1]
    second = validated(room, 7, NEW, "0.7", first)
    ended(room)
    found = dossier(room, second, first)
    # its own statements are whole
    assert found.validation is not None
    assert found.results is not None
    assert found.results.tests[0].figure == "0.7"
    assert found.replication is not None
    # the ancestor's is named, and none of its figures is there
    assert found.before is not None
    assert found.before.results is None
    assert found.before.leaked == signer(OLD).public.key_id
    notes, titles = history(found)
    (told,) = (note for note in notes if "compromised" in note)
    assert first.ref.manifest[:16] in told
    assert signer(OLD).public.key_id[:12] in told
    assert "What changed in the figures that decide" not in titles
    # a report of a moment before it speaks of no validation
    earlier = gather(second, room.means, start, policy=VALIDATION_POLICY, versions=(second, first))
    assert earlier.before is not None
    assert earlier.before.leaked is None
    # the ancestor's own report has nothing to stand on
    with pytest.raises(NotAuthenticatedError, match="compromised"):
        dossier(room, first)


def test_a_rotated_key_counts_for_what_it_signed_and_a_leaked_one_fails_its_own_versions_alone(
    room: ControlRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = validated(room, 6, OLD, "0.9")
    second = validated(room, 7, NEW, "0.7", first)
    room.desk.books.versions._versions |= {first.ref: first, second.ref: second}  # past what may change of a version
    monkeypatch.setattr(trying_policies, "answering", lambda *_: [("champion", first.ref), ("challenger", second.ref)])
    ended(room, "rotated")
    room.tick()
    assert validation_of(desk_of(room, "val"), first).verdict == "pass"
    found = dossier(room, second, first)
    assert found.before is not None
    assert found.before.leaked is None
    assert found.before.results is not None
    assert [one.judged.before for one in trying_policies.try_policy(desk_of(room, "val"), None)] == ["pass", "pass"]
    ended(room)
    tried = trying_policies.try_policy(desk_of(room, "val"), None)
    assert [one.judged.before for one in tried] == ["unknown", "pass"]
    assert "compromised" in tried[0].judged.reasons[0]


def desk_of(room: ControlRoom, name: str) -> Any:
    """Somebody at this room, as far as reading needs them."""
    here = SimpleNamespace(
        clock=lambda: room.at, means=lambda: room.means, office=room.office, register=room.people,
        vault=SimpleNamespace(blobs=room.blobs), settings=SimpleNamespace(room="credit"),
    )  # fmt: skip
    return SimpleNamespace(person=name, room=here, ask=lambda verb, kind, on, body=b"": room.who(name))


def test_training_repeated_under_a_leaked_key_counts_no_more_and_is_repeated_anew(room: ControlRoom) -> None:
    one = validated(room, 6, OLD, "0.9")
    ended(room)
    one = replace(one, evidence={})  # so that only the repetition is asked about
    assert replications_of(one, room.means) == ()
    found = dossier(room, one)
    assert found.replication is None
    (told,) = (note for note in history(found, "development")[0] if "compromised" in note)
    assert f"`strongroom replicate {one.ref.name}@" in told
    anew = repeated(room, one, NEW, "failed")
    assert [said.outcome for said in replications_of(anew, room.means)] == ["failed"]
    again = dossier(room, anew)
    assert again.replication is not None
    assert not [note for note in history(again, "development")[0] if "compromised" in note]
    # a statement that never counted is no matter of a leak
    with pytest.raises(EvidenceError, match="does not hold that role"):
        replications_of(repeated(room, one, "val"), room.means)
