"""Two commands at one room: the second waits a little, then says what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from strongroom.adapters.keys.keyring import KeyFile
from strongroom.errors import ConflictError
from strongroom.ledger.note import LogKey
from strongroom.sealing.keys import EcSigner
from strongroom.wiring import control
from strongroom.wiring.control import ControlPlane, now, wait_for_governance
from strongroom.wiring.founding import GOVERNANCE_SEED, Member, found, open_repository
from strongroom.wiring.settings import Layout, RoomSettings
from tests.journeys.bank import SOURCE

PASSPHRASE = b"correct horse battery"
HOLD = """
import sys
from pathlib import Path
from strongroom.wiring.control import ControlPlane
with ControlPlane.open(Path(sys.argv[1]), sys.argv[2].encode()):
    print("open", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lock") / "room"
    roles = {"cora": "custodian", "cyril": "custodian", "celia": "custodian", "omar": "operator"}
    signers = {name: EcSigner.from_scalar(7000 + number) for number, name in enumerate(roles)}
    members = [Member(person_id=n, roles=(r,), key_pem=signers[n].public.pem.decode()) for n, r in roles.items()]
    layout = Layout(folder)
    found(layout, RoomSettings(v=1, org="bank", room="credit", region="eu"), members, PASSPHRASE, now())
    repository = open_repository(layout, KeyFile.open(layout.keyring, PASSPHRASE))
    for role in ("root", "targets"):
        for name in ("cora", "cyril"):
            repository.sign(role, signers[name].public.key_id, signers[name].sign(repository.draft(role)))
        repository.publish(role, now())
    ControlPlane.open(folder, PASSPHRASE).close()
    return folder


@contextmanager
def held(room: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process has the room open until a line comes, or the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(room), PASSPHRASE.decode()],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "open\n"
        yield process
    finally:
        with suppress(BrokenPipeError):
            process.stdin.close()  # the end of its input lets it go as well
        process.wait(30)
        process.stdout.close()


def test_a_room_that_stays_open_elsewhere_says_what_to_do(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert control.ROOM_WAIT_S == 5.0
    monkeypatch.setattr(control, "ROOM_WAIT_S", 0.5)
    with held(room):
        began = time.monotonic()
        with pytest.raises(ConflictError, match="another command has the room open; try again") as refused:
            ControlPlane.open(room, PASSPHRASE)
        assert time.monotonic() - began >= 0.5
        assert refused.value.details["rule"] == "locked"
    ControlPlane.open(room, PASSPHRASE).close()


def test_a_room_that_is_let_go_in_time_is_opened(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    with held(room) as process:

        def sleep(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 3:
                assert process.stdin is not None
                process.stdin.write("\n")
                process.stdin.flush()
                process.wait(30)

        monkeypatch.setattr(control.time, "sleep", sleep)
        monkeypatch.setattr(control, "ROOM_WAIT_S", 60.0)
        ControlPlane.open(room, PASSPHRASE).close()
    assert len(waits) >= 3


def test_another_conflict_is_told_at_once(room: Path) -> None:
    layout = Layout(room)
    settings, keys = layout.read(), KeyFile.open(layout.keyring, PASSPHRASE)
    other = RoomSettings(v=1, org=settings.org, room="another", region=settings.region)
    assert LogKey(other.governance_origin, keys.get(GOVERNANCE_SEED)).name != settings.governance_origin
    began = time.monotonic()
    with pytest.raises(ConflictError, match="another key"):
        wait_for_governance(layout, other, keys, 20.0)
    assert time.monotonic() - began < 10


def test_the_command_line_says_so_too(room: Path, tmp_path: Path) -> None:
    secret = tmp_path / "pass"
    secret.write_bytes(PASSPHRASE)
    secret.chmod(0o600)
    with held(room):
        done = subprocess.run(
            [sys.executable, "-m", "strongroom", "people", "list", "--room", str(room),
             "--room-passphrase-file", str(secret), "--json"],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE)},
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 3, done.stderr
    said = json.loads(done.stdout)
    assert (said["error"], said["details"]) == ("conflict", {"rule": "locked"})
    assert "another command has the room open; try again" in said["message"]
