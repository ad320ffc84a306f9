"""Long work leaves the room to others, and is entered only on the grounds that it was done on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from strongroom.adapters.sandbox.linux import LinuxSandbox
from strongroom.approval.trust_policy import PEOPLE_PATH, VALIDATION_PATH
from strongroom.errors import ConflictError, NotAuthenticatedError, SandboxError, StrongroomError
from strongroom.office.claims import LASTS
from strongroom.office.entries import Entry
from strongroom.validation import scanning, validating
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.workshop import replication
from strongroom.vocabulary import ModelRef, micros
from strongroom.wiring import control, judging, releasing, submitting
from strongroom.wiring.control import now
from tests.journeys.bank import SOURCE, each_key_derived_once
from tests.journeys.small_house import MODEL, PASSPHRASE, build, publish, sit, submit
from tests.registry.room import sample_files


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, ModelRef]]:
    """Tests leave the version as it was: submitted."""
    folder = tmp_path_factory.mktemp("long")
    with each_key_derived_once():
        yield folder, build(folder)


def scan(
    folder: Path, ref: ModelRef, before: Callable[[], object] = lambda: None, **more: Callable[[], datetime]
) -> None:
    desk = sit(folder, "omar", before, **more)
    with desk.room:
        submitting.scan(desk, ref)


def entries(folder: Path) -> list[Entry]:
    desk = sit(folder, "omar")
    with desk.room:
        return [Entry.decode(one.entry) for one in desk.room.log.entries()]


def last(folder: Path) -> tuple[str, str, str, str]:
    entry = entries(folder)[-1]
    return entry.who, entry.verb, entry.outcome, entry.code


def state(folder: Path, ref: ModelRef) -> str:
    desk = sit(folder, "omar")
    with desk.room:
        return judging.version_of(desk, ref).state


def test_others_have_the_room_and_whoever_is_killed_keeps_nobody_waiting(tmp_path: Path) -> None:
    with each_key_derived_once():
        ref = build(tmp_path)
        working = subprocess.Popen(
            [sys.executable, "-m", "tests.journeys.small_house", str(tmp_path), "omar", ref.name, ref.manifest],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{SOURCE}:{SOURCE.parent}"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert working.stdout is not None
        assert working.stdin is not None
        try:
            assert working.stdout.readline() == "working\n"
            desk = sit(tmp_path, "olga")
            with desk.room:
                releasing.grant(
                    desk, "loan-desk", models=[MODEL], environments=["production"], jurisdictions=["EU"],
                    purposes=["loan-origination"],
                )  # fmt: skip
                with pytest.raises(ConflictError, match="`omar` has been running `scan` on pd-small@") as refused:
                    submitting.scan(desk, ref)
            assert refused.value.details == {"rule": "claimed"}
            assert last(tmp_path) == ("olga", "scan", "refused", "conflict")
            halter = sit(tmp_path, "paul")
            with halter.room:
                releasing.halt(halter, ref, "scores look wrong")
            before = len(entries(tmp_path))
            working.send_signal(signal.SIGKILL)
            working.wait()
            assert len(entries(tmp_path)) == before, "whoever was killed leaves nothing"
            scan(tmp_path, ref)
            assert state(tmp_path, ref) == "scanned"
            assert [one.verb for one in entries(tmp_path)][before:] == ["scan", "scan"], "evidence, then its case"
            assert not list((tmp_path / "room" / "claims").iterdir())
            two_validators_at_once(tmp_path, ref)
        finally:
            working.kill()
            working.wait()
            working.stdin.close()
            working.stdout.close()


def two_validators_at_once(folder: Path, ref: ModelRef) -> None:
    desk = sit(folder, "vera")
    with desk.room:
        submitting.register_sample(desk, ref, sample_files(), "drawn by the validator")

    def meanwhile(*_: object, **__: object) -> None:
        other = sit(folder, "olga")
        with other.room, pytest.raises(ConflictError, match="`omar` has been running `validate`"):
            submitting.validate(other, ref)
        _fail()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(submitting.validating, "work", meanwhile)
        first = sit(folder, "omar")
        with first.room, pytest.raises(SandboxError):
            submitting.validate(first, ref)
    assert last(folder) == ("omar", "validate", "refused", "sandbox")
    assert [(one.who, one.code) for one in entries(folder) if one.verb == "validate"] == [
        ("olga", "conflict"), ("omar", "sandbox"),
    ]  # fmt: skip


def test_work_on_a_version_that_was_taken_out_meanwhile_comes_to_nothing(house: tuple[Path, ModelRef]) -> None:
    folder, _ = house
    ref = submit(folder, "pd-taken-out")

    def reject() -> None:
        desk = sit(folder, "paul")
        with desk.room:
            judging.reject(desk, ref, "the data are too old")

    with pytest.raises(ConflictError, match="was submitted when `scan` was taken up and is rejected by now") as refused:
        scan(folder, ref, reject)
    assert refused.value.entry is not None
    assert last(folder) == ("omar", "scan", "refused", "conflict")
    assert state(folder, ref) == "rejected"


def test_another_policy_meanwhile_refuses_and_says_what_to_do(house: tuple[Path, ModelRef]) -> None:
    folder, ref = house
    desk = sit(folder, "omar")
    with desk.room:
        policy = ValidationPolicy.decode(desk.room.document(VALIDATION_PATH))
    newer = msgspec.structs.replace(policy, version=f"{policy.version}-newer").encode()
    with pytest.raises(ConflictError, match="ask for `scan` again, and the policy in force judges it"):
        scan(folder, ref, lambda: publish(folder, {VALIDATION_PATH: newer}))
    assert last(folder) == ("omar", "scan", "refused", "conflict")
    assert state(folder, ref) == "submitted"


def test_a_person_whose_key_ended_meanwhile_enters_nothing(house: tuple[Path, ModelRef]) -> None:
    folder, ref = house
    desk = sit(folder, "omar")
    with desk.room:
        people = desk.room.register
    omar = people.person("omar")
    ended = tuple(msgspec.structs.replace(key, until_us=micros(now()), reason="left") for key in omar.keys)
    without = people.with_person(msgspec.structs.replace(omar, keys=ended))
    try:
        with pytest.raises(NotAuthenticatedError):
            scan(folder, ref, lambda: publish(folder, {PEOPLE_PATH: without.encode()}))
    finally:
        publish(folder, {PEOPLE_PATH: without.with_person(omar).encode()})
    assert state(folder, ref) == "submitted"


def test_whoever_runs_a_battery_again_is_told_how_far_it_is(
    house: tuple[Path, ModelRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, ref = house
    desk = replace(sit(folder, "omar"), sandbox=LinuxSandbox())
    told: list[str] = []

    def examine(*_: object, sandbox: LinuxSandbox, isa: str) -> object:
        assert isa
        assert sandbox._progress is not None
        sandbox._progress("fairness")
        return SimpleNamespace(results=b"came")

    monkeypatch.setattr(validating, "examine", examine)
    with desk.room:
        assert judging.run_again(desk, judging.version_of(desk, ref), {}, told.append) == b"came"
    assert told == ["fairness"]


def test_whoever_cancels_keeps_nobody_waiting(house: tuple[Path, ModelRef]) -> None:
    folder, ref = house
    before = len(entries(folder))

    def cancel() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan(folder, ref, cancel)
    assert len(entries(folder)) == before
    held: list[str] = []
    with pytest.raises(SandboxError):
        scan(folder, ref, lambda: held.append(state(folder, ref)) or _fail())
    assert held == ["submitted"], "at once, by the same person"


def _fail() -> None:
    raise SandboxError("died", reason="crash")


def test_what_goes_wrong_outside_is_on_the_record(
    house: tuple[Path, ModelRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, ref = house
    with pytest.raises(SandboxError) as failed:
        scan(folder, ref, _fail)
    assert failed.value.entry is not None
    assert last(folder) == ("omar", "scan", "refused", "sandbox")
    # where others keep the room for minutes, the failure is told all the same
    others = []

    def stay() -> None:
        others.append(sit(folder, "olga"))
        _fail()

    monkeypatch.setattr(control, "BACK_WAIT_S", 0.1)
    try:
        with pytest.raises(SandboxError) as told:
            scan(folder, ref, stay)
    finally:
        others[0].room.close()
    assert any("could not be recorded" in note for note in told.value.__notes__)


def test_a_claim_that_ended_can_be_taken_over_and_its_work_is_not_entered(house: tuple[Path, ModelRef]) -> None:
    folder, ref = house
    ahead = [timedelta(0)]

    def clock() -> datetime:
        return now() + ahead[0]

    def sleep() -> None:
        ahead[0] = LASTS

    with pytest.raises(ConflictError, match="when its claim ended, so nothing came of it; run it again"):
        scan(folder, ref, sleep, clock=clock)
    assert last(folder) == ("omar", "scan", "refused", "conflict")

    ahead[0] = timedelta(0)
    seen: list[StrongroomError] = []

    def overtaken() -> None:
        """Olga's clock has gone on, his has not: he stood still, and does not know."""
        desk = sit(folder, "olga", _fail, lambda: now() + LASTS)
        with desk.room, pytest.raises(SandboxError) as hers:
            submitting.scan(desk, ref)
        seen.append(hers.value)

    with pytest.raises(ConflictError, match="somebody else took over `scan`"):
        scan(folder, ref, overtaken)
    assert len(seen) == 1
    assert state(folder, ref) == "submitted"


def test_a_claim_outlasts_what_it_is_for() -> None:
    longest = max(
        scanning.LIMITS.wall_s,
        2 * validating.LIMITS.wall_s,
        2 * replication.LIMITS.wall_s,
    )
    assert longest + control.BACK_WAIT_S < LASTS.total_seconds()


def test_whoever_has_the_room_no_more_closes_it_in_peace(house: tuple[Path, ModelRef]) -> None:
    folder, _ = house
    desk = sit(folder, "omar")
    desk.room.close()
    sit(folder, "olga").room.close()
    desk.room.close()
    desk.room.take_back()
    assert desk.room.register.person("omar").person_id == "omar"
    desk.room.take_back()
    desk.room.close()
    assert PASSPHRASE not in repr(desk.room).encode()
