"""Every byte of a receipt, of a disclosed opening and of a log folder: a change shows, or changes nothing trusted."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from strongroom import verify
from tests.vectors.make_verify import FOLDER
from tests.verify.offline import Offline, Serving, remembered_signatures, write

RECEIPTS, OPENINGS, LOGS = (
    json.loads((FOLDER / f"{name}.json").read_text()) for name in ("receipts", "openings", "logs")
)
GOOD_RECEIPT = RECEIPTS["cases"][0]["receipt"].encode()
GOOD_OPENING = OPENINGS["cases"][0]["disclosed"].encode()
GOOD_LOG: dict[str, str] = LOGS["cases"][0]["files"]

CHANGES = (0x01, 0x20, 0x80)
"""Bits to turn: the lowest, the one between upper and lower case, the one outside ASCII."""


def changed(data: bytes, at: int, bit: int) -> bytes:
    return data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]


def test_a_receipt(monkeypatch: pytest.MonkeyPatch) -> None:
    with remembered_signatures(monkeypatch):
        offline, serving = Offline(RECEIPTS), Serving(RECEIPTS)
        true = offline.receipt({"receipt": GOOD_RECEIPT.decode()})
        harmless = []
        for at in range(len(GOOD_RECEIPT)):
            for bit in CHANGES:
                text = changed(GOOD_RECEIPT, at, bit).decode("utf-8", "surrogateescape")
                outcomes = [_outcome(reader, text) for reader in (offline, serving)]
                assert outcomes[0] == outcomes[1], (at, bit)
                if outcomes[0] is not None:
                    assert outcomes[0] == true, (at, bit)
                    harmless.append((at, bit))
    assert len(GOOD_RECEIPT) >= 1500
    assert harmless == []


def _outcome(reader: Any, receipt: str) -> Any:
    if not receipt.isprintable() and any(0xDC80 <= ord(letter) < 0xDD00 for letter in receipt):
        # not UTF-8: only verify.py reads bytes from a file; nothing of ours is handed anything but text
        data = receipt.encode("utf-8", "surrogateescape")
        with pytest.raises(verify.TamperedError):
            verify.parse_canonical(data)
        return None
    try:
        return reader.receipt({"receipt": receipt})
    except reader.error:
        return None


def test_a_disclosed_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    with remembered_signatures(monkeypatch):
        policy = verify.read_policy(OPENINGS["policy"].encode())
        harmless = []
        for at in range(len(GOOD_OPENING)):
            for bit in CHANGES:
                try:
                    entry = verify.read_disclosed(changed(GOOD_OPENING, at, bit), policy)
                except verify.TamperedError:
                    continue
                harmless.append((at, bit, entry))
    assert len(GOOD_OPENING) >= 1200
    assert harmless == []


def test_a_log_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The tiles above the entries are for those who fetch proofs; `verify.py` computes the whole tree instead."""
    folder = write(tmp_path / "log", GOOD_LOG)
    positions, harmless = 0, set()
    with remembered_signatures(monkeypatch):
        offline = Offline(LOGS)
        true = verify.verify_log(folder, offline.keys, offline.policy)
        for name, text in GOOD_LOG.items():
            data = base64.b64decode(text)
            for at in range(len(data)):
                positions += 1
                (folder / name).write_bytes(changed(data, at, CHANGES[at % 3]))
                try:
                    found = verify.verify_log(folder, offline.keys, offline.policy)
                except verify.TamperedError:
                    continue
                assert (found.hashes, found.checkpoint.root) == (true.hashes, true.checkpoint.root)
                harmless.add(name)
            (folder / name).write_bytes(data)
    assert positions >= 2900
    assert harmless == {name for name in GOOD_LOG if name.startswith("tile/0/")}


def test_no_prefix_of_them_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    with remembered_signatures(monkeypatch):
        offline = Offline(RECEIPTS)
        for size in range(len(GOOD_RECEIPT)):
            with pytest.raises(verify.TamperedError):
                verify.verify_receipt(GOOD_RECEIPT[:size], offline.policy, offline.openings)
        for size in range(len(GOOD_OPENING)):
            with pytest.raises(verify.TamperedError):
                verify.read_disclosed(GOOD_OPENING[:size], offline.policy)
