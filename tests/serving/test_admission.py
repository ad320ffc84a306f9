"""Admission says yes to what is whole, and no, with the reason, to each condition that does not hold."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from strongroom.approval.release import Plan
from strongroom.encoding import canonical
from strongroom.errors import (
    EvidenceError,
    ExpiredError,
    FourEyesError,
    HaltedError,
    NotPermittedError,
    NumericProfileError,
    StrongroomError,
)
from strongroom.serving import admission
from strongroom.vocabulary import digest_of, micros
from tests.simulator import MODEL, POLICIES, START, TRUST, Room


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room.built(tmp_path)


def test_a_whole_release_is_opened(room: Room) -> None:
    [model] = room.admit()
    assert room.refused == []
    assert model.artifact == b"model 1 " * 200
    assert (model.role, model.canary_percent, model.ref.name) == ("champion", 0, MODEL)
    assert model.release_digest == digest_of(canonical(model.release))


def test_every_step_of_the_list_stands_in_the_code() -> None:
    listed = [int(n) for n in re.findall(r"^\s*(\d+)\. ", inspect.getdoc(admission.admit) or "", re.M)]
    marked = [int(n) for n in re.findall(r"^\s*# (\d+)$", inspect.getsource(admission.admit), re.M)]
    assert listed == marked == list(range(1, 16))


def test_champion_challenger_and_fallback_are_opened(room: Room) -> None:
    first = room.version(1).ref.manifest
    second = room.version(2)
    room.release(second, plan=Plan(stages=("shadow", "canary", "live"), max_canary_percent=20, fallback=first))
    room.point(champion=first, challenger=second.ref.manifest, percent=20)
    assert [(m.role, m.canary_percent) for m in room.admit()] == [("champion", 0), ("challenger", 20)]
    room.point(champion=second.ref.manifest)
    assert [(m.role, m.ref.manifest) for m in room.admit()] == [("champion", second.ref.manifest), ("fallback", first)]
    room.point(champion=first)
    assert [m.ref.manifest for m in room.admit()] == [first]


def test_an_opened_model_is_not_decrypted_again_but_judged_again(room: Room) -> None:
    [model] = room.admit()
    opened = {model.ref: model.artifact}
    state, refused = room.state(), room.refused
    room.ring = type(room.ring)(b"x" * 32)  # this node can unwrap nothing any more
    again = admission.admit(
        state, room.node, room.mirror, room.halts, room.ring, room.mirror.sealed_blobs, refused.append, opened
    )
    assert [m.artifact for m in again] == [model.artifact]
    assert room.admit() == []
    opened[model.ref] = model.artifact[:-1] + b"?"
    assert (
        admission.admit(
            state, room.node, room.mirror, room.halts, room.ring, room.mirror.sealed_blobs, refused.append, opened
        )
        == []
    )


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"not_before_us": micros(START) + 10**9}, NotPermittedError, "not answer yet"),
        ({"environments": ("test",)}, NotPermittedError, "environment `production`"),
        ({"jurisdictions": ("EU", "FR")}, NotPermittedError, "jurisdiction `FR`"),
        ({"jurisdictions": ()}, NotPermittedError, "jurisdiction"),
        ({"jurisdictions": ("DE",)}, NotPermittedError, "no jurisdiction that this node serves"),
        ({"min_gateway": "0.2.0"}, NotPermittedError, "needs gateway 0.2.0"),
        ({"min_gateway": "new"}, EvidenceError, "numbers with dots"),
        ({"purposes": ()}, EvidenceError, "purposes"),
        ({"plan": Plan(stages=("shadow",), max_canary_percent=0, fallback=None)}, NotPermittedError, "stage `live`"),
    ],
)
def test_a_release_that_does_not_fit_is_refused(
    tmp_path: Path, change: dict[str, Any], error: type[StrongroomError], words: str
) -> None:
    room = Room(tmp_path)
    room.found()
    version = room.version(1)
    room.release(version, **change)
    room.point(champion=version.ref.manifest)
    reason = room.reason()
    assert isinstance(reason, error)
    assert words in str(reason)


def test_a_release_whose_policies_are_not_all_named_is_refused(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.found()
    version = room.version(1)
    named = {path: digest_of(POLICIES[path]) for path in ("policy/trust.json", "policy/validation.json")}
    room.release(version, policies=named)
    room.point(champion=version.ref.manifest)
    assert isinstance(room.reason(), EvidenceError)


@pytest.mark.parametrize(
    "change",
    [
        {"runtime": "other"},
        {"version": "1.24.1"},
        {"provider": "CUDAExecutionProvider"},
        {"isa": "x86_64-avx512"},
    ],
)
def test_a_numeric_profile_that_this_machine_cannot_honour_is_refused(room: Room, change: dict[str, str]) -> None:
    machine = room.node.machine_of("onnxruntime")
    assert machine is not None
    here = replace(machine, **change)
    room.node = replace(room.node, machine_of={here.runtime: here}.get)
    assert isinstance(room.reason(), NumericProfileError)
    room.node = replace(room.node, machine_of={}.get)
    assert isinstance(room.reason(), NumericProfileError)
    # the runtime that the release names is asked for, and no other: another one's library may be large
    asked: list[str] = []
    room.node = replace(room.node, machine_of=lambda name: (asked.append(name), machine)[1])
    room.admit()
    assert set(asked) == {"onnxruntime"}


def test_a_release_ends_when_its_review_is_due(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.found()
    version = room.version(1)
    room.release(version, review_due_us=micros(START + timedelta(minutes=30)))
    room.point(champion=version.ref.manifest)
    assert len(room.admit()) == 1
    room.at = START + timedelta(minutes=31)
    assert isinstance(room.reason(), ExpiredError)


def test_one_refused_version_does_not_take_down_the_other(room: Room) -> None:
    first = room.version(1).ref.manifest
    second = room.version(2)
    room.release(second, min_gateway="9.0.0")
    room.point(champion=first, challenger=second.ref.manifest, percent=5)
    assert [m.role for m in room.admit()] == ["champion"]
    assert [r.manifest for r in room.refused] == [second.ref.manifest]


def test_without_its_champion_a_model_has_no_challenger(room: Room) -> None:
    first = room.version(1).ref.manifest
    second = room.version(2)
    room.release(second, min_gateway="9.0.0")
    room.point(champion=second.ref.manifest, challenger=first, percent=5)
    assert room.admit() == []


def test_halt_and_lift(room: Room) -> None:
    ref = room.version(1).ref
    halt = room.halt(ref)
    reason = room.reason()
    assert isinstance(reason, HaltedError)
    assert "hal" in str(reason)
    room.lift(ref, halt, "hal")
    assert isinstance(room.reason(), HaltedError), "one voice does not lift"
    room.lift(ref, halt, "hal")
    assert isinstance(room.reason(), HaltedError), "nor the same voice twice"
    room.lift(ref, halt, "hope")
    assert len(room.admit()) == 1
    room.halt(ref, "hope")
    assert isinstance(room.reason(), HaltedError), "old lifts do not lift a new halt"


def test_more_approvers_when_the_policy_says_so(room: Room) -> None:
    trust = canonical({**TRUST, "approvers": 3})
    room.custodians_publish(files={"policy/trust.json": trust})
    assert isinstance(room.reason(), FourEyesError)


def test_a_tier_that_the_policy_does_not_list_is_refused(room: Room) -> None:
    room.custodians_publish(files={"policy/trust.json": canonical({"v": 1, "tiers": {}})})
    assert isinstance(room.reason(), EvidenceError)


def test_a_policy_can_demand_more_but_not_less(room: Room) -> None:
    less: dict[str, Any] = {"v": 1, "tiers": {"1": [{"type": "submission", "role": "author"}]}, "approvers": 1}
    room.custodians_publish(files={"policy/trust.json": canonical(less)})
    assert len(room.admit()) == 1, "the floor holds, and this release has all of it"
    more = {**TRUST, "tiers": {"1": [*TRUST["tiers"]["1"], {"type": "bias", "role": "validator"}]}}  # type: ignore[index]
    room.custodians_publish(files={"policy/trust.json": canonical(more)})
    assert "bias" in str(room.reason())


@pytest.mark.parametrize("breakage", [lambda r: None, lambda r: b"not json", lambda r: canonical({"v": 1})])
def test_nothing_is_served_when_the_state_lacks_register_or_policy(
    room: Room, breakage: Callable[[Room], bytes | None]
) -> None:
    state = room.state()
    for path in ("people.json", "policy/trust.json", "policy/jurisdictions.json"):
        files = dict(state.files)
        data = breakage(room)
        if data is None:
            del files[path]
        else:
            files[path] = data
        with pytest.raises(StrongroomError):
            room.admit(replace(state, files=files))
