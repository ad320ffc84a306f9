"""The passphrase of the key file is changed while the node answers; workers start again under the new one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from strongroom.adapters.keys.keyring import SCRYPT_RFC7914_INTERACTIVE, KeyFile
from strongroom.errors import NotAuthenticatedError
from strongroom.wiring.rotating import change_passphrase, rotate_subject_kek
from tests.rotation.house import load, make_rotating, workers_of
from tests.web.nodes import PASSPHRASE

NEW = b"another horse battery"


def test_an_open_key_file_sees_changes_until_the_passphrase_changes(tmp_path: Path) -> None:
    path = tmp_path / "node.keyring"
    writer = KeyFile.create(path, PASSPHRASE, kdf=SCRYPT_RFC7914_INTERACTIVE)
    reader = KeyFile.open(path, PASSPHRASE)
    assert not reader.reload()
    secret = writer.new_secret("fresh")
    assert reader.reload()
    assert reader.get("fresh") == secret
    writer.change_passphrase(NEW)
    with pytest.raises(NotAuthenticatedError, match="another passphrase"):
        reader.reload()
    assert reader.get("fresh") == secret, "what was known stays"
    with pytest.raises(NotAuthenticatedError):
        KeyFile.open(path, PASSPHRASE)


@pytest.mark.slow
def test_workers_start_again_under_the_new_passphrase(tmp_path: Path, monkeypatch: Any) -> None:
    made = make_rotating(tmp_path, monkeypatch, workers=2)
    node = made.node
    channel = [PASSPHRASE]
    with node.serving():
        supervisor = node.supervisor
        assert supervisor is not None
        supervisor.passphrase_again = lambda: channel[0]
        before = {one.pid for one in workers_of()}
        with load(node) as seen:
            node.wait_for(lambda: len(seen.answered) > 10, 20)
            with made.house.at("omar") as desk:
                change_passphrase(desk, node.folder, PASSPHRASE, NEW)
            channel[0] = NEW
            supervisor._stopping._loop.call_soon_threadsafe(supervisor.roll)  # type: ignore[attr-defined]
            node.wait_for(lambda: "every worker has started again" in node.told, 40)
            count = len(seen.answered)
            node.wait_for(lambda: len(seen.answered) > count + 10, 20)
        assert seen.failed == []
        assert not before & {one.pid for one in workers_of()}
        with made.house.at("omar") as desk:
            rotate_subject_kek(desk, node.folder, NEW)
