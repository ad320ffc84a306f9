"""A log gets a new key while the node answers: no request is refused, nothing is lost, the room still verifies."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from strongroom import verify
from strongroom.adapters.keys.keyring import KeyFile
from strongroom.errors import NotFoundError, UnavailableError
from strongroom.wiring.generations import every_log, generations, make_successor
from strongroom.wiring.records import NodeRecords
from strongroom.wiring.rotating import rotate_logs
from strongroom.wiring.upkeep import export
from tests.rotation.house import Rotating, load, make_rotating, workers_of
from tests.web.gateways import question
from tests.web.nodes import PASSPHRASE


def room_verifies(made: Rotating, folder: Path) -> list[str]:
    """An auditor exports everything and judges it with the one-file verifier."""
    with made.house.at("omar") as desk:
        files, commands = export(desk, [made.node.folder, made.house.node])
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    lines: list[str] = []
    for command in commands:
        run = [sys.executable, verify.__file__, *command.split()[1:]]
        done = subprocess.run(run, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        lines += done.stdout.splitlines()
    return lines


@pytest.mark.slow
def test_the_logs_of_a_serving_node_are_rotated_without_a_refused_request(tmp_path: Path, monkeypatch: Any) -> None:
    made = make_rotating(tmp_path, monkeypatch, workers=2)
    node, layout = made.node, made.layout
    settings = layout.read()
    with node.serving():
        with load(node) as seen:
            node.wait_for(lambda: len(seen.answered) > 20, 20)
            with made.house.at("omar") as desk:
                rotated = rotate_logs(desk, node.folder, PASSPHRASE)
            before = len(seen.answered)
            node.wait_for(lambda: len(seen.answered) > before + 20, 20)
        assert seen.failed == []
        assert [one.origin for one in rotated] == [settings.origin(0, 2), settings.origin(1, 2)]
    # stopped: everything is published
    with NodeRecords.open(node.folder, PASSPHRASE) as records:
        assert [findings for _, findings in records.fsck()] == [[]] * 4
        sizes = [reader.size for reader in records.readers]
        decided = [answer["parameters"]["decision_id"] for answer in seen.answered]
        assert sum(sizes) == len(decided)
        assert sizes[1] + sizes[3] > 0, "nothing was written after the change"
        for decision_id in (decided[0], decided[-1]):
            records.replay(decision_id)
            records.receipt_parts(decision_id)
    lines = room_verifies(made, tmp_path / "export")
    assert sum("closed" in line for line in lines) == 2
    # the seed of a closed log is gone: nobody can sign for it
    ring = KeyFile.open(layout.keyring, PASSPHRASE)
    for old in (generations(layout, settings, slot)[0] for slot in range(2)):
        with pytest.raises(NotFoundError):
            old.key(ring)
    # and the node starts again on the new ones
    with node.serving():
        assert node.ask(question())[0] == 200


def test_a_worker_that_does_not_let_go_leaves_a_rotation_that_the_next_command_completes(
    tmp_path: Path, monkeypatch: Any
) -> None:
    made = make_rotating(tmp_path, monkeypatch)
    node, layout = made.node, made.layout
    with node.serving():
        assert node.ask(question())[0] == 200
        (worker,) = workers_of()
        worker.send_signal(signal.SIGSTOP)
        with made.house.at("omar") as desk, pytest.raises(UnavailableError, match="run this command again"):
            rotate_logs(desk, node.folder, PASSPHRASE, wait_s=0.1)
        # killed in the middle: its successor starts on the new log
        worker.kill()
        node.wait_for(lambda: [one for one in workers_of() if one.pid != worker.pid], 20)
        with made.house.at("omar") as desk:
            (rotated,) = rotate_logs(desk, node.folder, PASSPHRASE)
        assert rotated.origin == layout.read().origin(0, 2)
        node.wait_for(lambda: _answers(made), 20)
    assert [one.generation for one in every_log(layout, layout.read())] == [1, 2]
    lines = room_verifies(made, tmp_path / "export")
    assert any("1 entries, closed" in line for line in lines)


def _answers(made: Rotating) -> bool:
    try:
        return made.node.ask(question())[0] == 200
    except OSError:
        return False


def test_a_rotation_that_ended_before_the_opening_is_completed_once(tmp_path: Path, monkeypatch: Any) -> None:
    made = make_rotating(tmp_path, monkeypatch)
    layout, settings = made.layout, made.layout.read()
    ring = KeyFile.open(layout.keyring, PASSPHRASE)
    following, key = make_successor(generations(layout, settings, 0)[-1], settings, ring)
    assert [one.generation for one in every_log(layout, settings)] == [1], "not opened, so not written"
    room_verifies(made, tmp_path / "halfway")
    with made.house.at("omar") as desk:
        (rotated,) = rotate_logs(desk, made.node.folder, PASSPHRASE)
        assert (rotated.origin, rotated.key) == (following.origin, key)
        (again,) = rotate_logs(desk, made.node.folder, PASSPHRASE)
    assert again.origin == settings.origin(0, 3)
    lines = room_verifies(made, tmp_path / "export")
    assert sum("closed" in line for line in lines) == 2
