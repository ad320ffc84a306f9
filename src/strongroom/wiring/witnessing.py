"""Asking the witnesses of a trust policy to cosign what a log has published. Never on the way of an answer."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final

from strongroom.adapters.log.shard_files import FileShard
from strongroom.adapters.log.shard_reader import FolderView
from strongroom.adapters.log.witness_client import TIMEOUT_S, WitnessClient
from strongroom.errors import StrongroomError, TamperedError
from strongroom.ledger.checkpoint import Checkpoint
from strongroom.ledger.note import Note
from strongroom.ledger.tiles import TileTree
from strongroom.ledger.tree import consistency_proof
from strongroom.ledger.trust import TrustPolicy

log = logging.getLogger(__name__)

EVERY_S: Final = 5.0
"""Between cosignatures of a growing log; with the time of one try it stays below ten seconds."""


class Cosigning:
    """One log and the witnesses that its trust policy gives an address for.

    `ask` is for one thread at a time; `start` gives it a thread of its own, so that a slow witness delays neither an
    answer nor a publication.

    Args:
        shard: the log's writer.
        policy: names the witnesses, their keys and addresses.
        timeout_s: for one try with one witness.

    Raises:
        InvalidInputError: an address is none.
    """

    def __init__(self, shard: FileShard, policy: TrustPolicy, timeout_s: float = TIMEOUT_S) -> None:
        self._shard = shard
        self._view = FolderView(shard.public_folder.parent)
        self._witnesses = [
            (policy.witnesses[name], WitnessClient(url, policy.witnesses[name], timeout_s=timeout_s))
            for name, url in policy.urls.items()
        ]
        self._silent: set[str] = set()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def ask(self) -> int:
        """Have the published checkpoint cosigned by every witness that has not done so yet.

        A witness that cannot be reached is logged when it falls silent and when it is back, and nothing waits for it.

        Returns:
            How many witnesses have cosigned the checkpoint that was published when this began.

        Raises:
            TamperedError: a witness saw another history of this log, or the published tiles are not the log's.
        """
        parsed = Note.parse(self._view.published("checkpoint") or b"")
        checkpoint = Checkpoint.parse(parsed.text)
        if checkpoint.size == 0:
            return 0
        have = parsed.cosigned_by([key for key, _ in self._witnesses])
        note, gained = parsed.encode(), 0
        for key, witness in self._witnesses:
            if key.name in have:
                continue
            try:
                note = witness.cosign(note, self._consistency)
            except TamperedError:
                raise
            except StrongroomError as error:
                if key.name not in self._silent:
                    log.warning("`%s` goes on without a cosignature: %s", self._shard.origin, error.message)
                self._silent.add(key.name)
                continue
            gained += 1
            if key.name in self._silent:
                self._silent.discard(key.name)
                log.warning("witness `%s` cosigns `%s` again", key.name, self._shard.origin)
        if gained:
            self._publish(note)
        return len(have) + gained

    def start(self, alarm: Callable[[TamperedError], None], every_s: float = EVERY_S) -> None:
        """Ask now and again until `stop`. `alarm` is called once, from that thread, and then nobody is asked more."""
        if not self._witnesses:
            return

        def work() -> None:
            while True:
                try:
                    self.ask()
                except TamperedError as error:
                    alarm(error)
                    return
                except Exception:
                    # a defect here must not end the asking unseen; answers do not depend on it
                    log.exception("asking the witnesses of `%s` failed", self._shard.origin)
                if self._stop.wait(every_s):
                    return

        self._thread = threading.Thread(target=work, name="cosign", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread of `start`; a try that has begun comes to its end or its time limit."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _consistency(self, old: int, new: int) -> Sequence[bytes]:
        return consistency_proof(TileTree(new, self._view.published), old, new)

    def _publish(self, note: bytes) -> None:
        try:
            self._shard.publish_cosigned(note)
        except TamperedError:
            raise
        except StrongroomError as error:
            log.warning("publishing cosignatures of `%s` is late: %s", self._shard.origin, error.message)
