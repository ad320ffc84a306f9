"""The drill of docs/how-to/back-up-and-restore.md: back up under load, lose all, restore, prove every receipt."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from strongroom.adapters.client import Client
from tests.journeys.bank import MODEL, Bank, applicants


@contextmanager
def load(bank: Bank, receipts: Path) -> Iterator[list[str]]:
    """A calling system that goes on asking and keeps every receipt; the ids of what it was told."""
    told: list[str] = []
    stop = threading.Event()

    # not by the command line: its test runner captures the output of the whole process
    url, token = f"http://127.0.0.1:{bank.port}", bank.secret("loan-desk").read_text()
    client = Client(url, token, model=MODEL, purpose="credit-decision", jurisdiction="TW")
    receipts.mkdir()

    def work() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            rows = applicants(5, f"load-{turn}")
            scored = client.score(rows, subjects=list(rows["subject"]), receipts=True)
            for decision_id, receipt in zip(scored["decision_id"], scored["receipt"], strict=True):
                (receipts / f"{decision_id}.json").write_text(receipt)
                told.append(decision_id)
            time.sleep(0.05)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield told
    finally:
        stop.set()
        thread.join(60)


def elsewhere(bank: Bank, folder: Path) -> Bank:
    """What a fire leaves of a bank: people's homes, passphrases in the safe, keys of backups. No room, no gateway."""
    folder.mkdir()
    for name in ("homes", "secrets"):
        shutil.copytree(bank.folder / name, folder / name)
    (folder / "work").mkdir()
    shutil.copytree(bank.node / "backup-keys", folder / "keys-of-backups")
    return Bank(folder)
