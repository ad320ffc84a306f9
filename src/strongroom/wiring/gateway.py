"""The data plane, plugged together on a node's folder: a worker's side. The refresher's is `wiring.refreshing`."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from strongroom.access.signing_keys import MessageSigner
from strongroom.adapters.access.key_set_files import write_wanted
from strongroom.adapters.access.nonce_files import FileNonces
from strongroom.adapters.files.safe_files import replace_atomically
from strongroom.adapters.keys.keyring import KeyFile
from strongroom.adapters.keystore.keeper_client import keeper_keys
from strongroom.adapters.keystore.subject_cache import CachedSubjectKeys
from strongroom.adapters.keystore.subject_keks import RingKeks
from strongroom.adapters.log.shard_files import FileShard
from strongroom.adapters.runtimes.timed_runtime import Calls
from strongroom.errors import ConflictError, StrongroomError, TamperedError, UnavailableError
from strongroom.ledger.note import LogKey
from strongroom.monitoring.watch import DriftWatch
from strongroom.serving.batching import RETRY
from strongroom.serving.decision import Decider
from strongroom.serving.opening import check_opening
from strongroom.serving.shadow import ShadowRecords
from strongroom.wiring.admitting import Admission
from strongroom.wiring.generations import NodeLog, generations, successor
from strongroom.wiring.node import INDEX_KEY, NodeLayout, answer_signer
from strongroom.wiring.node_settings import NodeSettings
from strongroom.wiring.publishing import Publication
from strongroom.wiring.witnessing import Cosigning

log = logging.getLogger(__name__)

START_TIMEOUT_S = 1.0
"""How long the start waits for a witness that is silent."""


@dataclass(slots=True)
class WorkerParts:
    """What one worker holds open.

    Attributes:
        short: whether there was no space for the next segment of the log when it was last looked for.
    """

    layout: NodeLayout
    settings: NodeSettings
    slot: int
    written: NodeLog
    ring: KeyFile
    shard: FileShard
    keys: CachedSubjectKeys
    decider: Decider
    shadow_records: ShadowRecords
    drift: DriftWatch
    admission: Admission
    cosigning: Cosigning
    signer: MessageSigner
    nonces: FileNonces
    short: bool = False
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: tuple[threading.Thread, ...] = ()
    publication: Publication | None = None
    _publishing: threading.Lock = field(default_factory=threading.Lock)
    _alarm: Callable[[TamperedError], None] | None = None

    @classmethod
    def open(cls, folder: Path, slot: int, passphrase: bytes) -> WorkerParts:
        """Open the log of one slot; refuses unless the governance log has opened it.

        Raises:
            NotAuthenticatedError: wrong passphrase.
            UnavailableError: the shard's opening has not arrived in `trust/openings/`.
            TamperedError: the opening is of another shard, the log is not what was written, or a witness has refused
                its history earlier.
            ConflictError: another worker has this slot.
        """
        layout = NodeLayout(folder)
        settings = layout.read()
        ring = KeyFile.open(layout.keyring, passphrase)
        try:
            signer = answer_signer(layout, ring)
        except ConflictError:
            # an older node starts with several workers, and another one has just made the key
            ring = KeyFile.open(layout.keyring, passphrase)
            signer = answer_signer(layout, ring)
        written = generations(layout, settings, slot)[-1]
        key = written.key(ring)
        demand_opening(written, key)
        if written.fork.exists():
            raise TamperedError(
                f"a witness refused the history of `{key.name}` (state/{written.fork.name} has its words); "
                "call security, keep the folder as it is, and serve again under a new generation of logs "
                "(`strongroom node rotate-logs`)"
            )
        if written.restored.exists():
            raise ConflictError(
                f"`{key.name}` came back from a backup and is never written again; as an operator, run "
                "`strongroom node rotate-logs`, which closes it and opens the next generation"
            )
        shard = FileShard.open(written.folder, key, segment_bytes=settings.segment_bytes, depth="published")
        keys = keeper_keys(layout.keystore, RingKeks(ring))
        drift = DriftWatch()
        retain_us = settings.retention_days * 86_400 * 1_000_000
        decider = Decider(shard, keys, ring.get(INDEX_KEY), settings.region, os.urandom, retain_us, drift)
        shadow_records = ShadowRecords(shard, keys, os.urandom, retain_us)
        admission = Admission(layout, settings, ring)
        if settings.limits.model_ms:
            admission.calls = Calls(settings.limits.model_ms / 1000, layout.stuck(slot), time.monotonic, time.time)
        cosigning = Cosigning(shard, layout.trust_policy())
        nonces = FileNonces(layout.nonces, int(time.time()), settings.signature_window_s)
        parts = cls(
            layout,
            settings,
            slot,
            written,
            ring,
            shard,
            keys,
            decider,
            shadow_records,
            drift,
            admission,
            cosigning,
            signer,
            nonces,
        )
        parts.demand_no_fork()
        if settings.publication is not None:
            parts.publication = Publication(written.folder, shard.verifier, settings.publication)
        return parts

    def successor(self) -> NodeLog | None:
        """The next generation of this worker's log, once the governance log has opened it. One stat while not."""
        return successor(self.layout, self.settings, self.written)

    def open_successor(self, log: NodeLog) -> FileShard:
        """Ready for `change_over`; nothing is written to it yet.

        Raises:
            StrongroomError: it may not be written; the present log goes on.
        """
        self.ring.reload()
        key = log.key(self.ring)
        demand_opening(log, key)
        if log.fork.exists():
            raise TamperedError(f"a witness refused the history of `{key.name}`")
        return FileShard.open(log.folder, key, segment_bytes=self.settings.segment_bytes, depth="published")

    def change_over(self, shard: FileShard) -> None:
        """Records go to `shard` from now on. On the thread that commits: between two batches."""
        self.decider.write_to(shard)
        self.shadow_records.write_to(shard)

    def retire(self, written: NodeLog, shard: FileShard) -> None:
        """After `change_over`: publish and cosign the new log, finish the old one and let its lock go.

        What cannot be finished now, the command that closes the old log does: its records are durable already.
        """
        with self._publishing:
            old, self.shard = self.shard, shard
            cosigning, publication = self.cosigning, self.publication
            self.cosigning = Cosigning(shard, self.layout.trust_policy())
            if self.settings.publication is not None:
                self.publication = Publication(written.folder, shard.verifier, self.settings.publication)
            before, self.written = self.written, written
        if self._alarm is not None:
            forked = self._on_fork(written, self._alarm)
            self.cosigning.start(forked)
            if self.publication is not None:
                self.publication.start(forked)
        cosigning.stop()
        if publication is not None:
            publication.stop()
        try:
            old.publish()
            cosigning.ask()
            if publication is not None:
                publication.once()
        except TamperedError as error:
            _note_fork(before, error)
        except StrongroomError as error:
            log.warning("the end of the log `%s` is published later: %s", old.origin, error.message)
        finally:
            old.close()

    def demand_no_fork(self) -> None:
        """Before the first answer: a log set back to an older state shows here, if a witness can be reached at all.

        Raises:
            TamperedError: a witness saw another history of this log.
        """
        try:
            Cosigning(self.shard, self.layout.trust_policy(), START_TIMEOUT_S).ask()
        except TamperedError as error:
            _note_fork(self.written, error)
            self.keys.close()
            self.shard.close()
            raise

    def start_publishing(self, alarm: Callable[[TamperedError], None], every_s: float = 0.5) -> None:
        """Publish tiles, keep the next segment ready and have witnesses cosign, each on a thread of its own: a segment
        takes seconds and a witness may be silent, and neither may hold up what is published.

        Args:
            alarm: called from the last of these threads when a witness refuses this log's history.
            every_s: between publications.
        """

        self._alarm = alarm
        forked = self._on_fork(self.written, alarm)

        def again_and_again(step: Callable[[], None]) -> None:
            while not self._stop.wait(every_s):
                step()

        self._threads = tuple(
            threading.Thread(target=again_and_again, args=(step,), name=step.__name__, daemon=True)
            for step in (self.publish, self.prepare)
        )
        for thread in self._threads:
            thread.start()
        self.cosigning.start(forked)
        if self.publication is not None:
            self.publication.start(forked)

    def want_keys(self, issuers: frozenset[str]) -> None:
        """Leave word for the supervisor that tokens of these issuers name keys that are not known here."""
        try:
            write_wanted(self.layout.wanted_keys(self.slot), issuers)
        except StrongroomError as error:
            log.warning("%s", error.message)

    def publish(self) -> None:
        """Publish what is durable. A failure leaves the publication late and nothing else."""
        try:
            with self._publishing:
                self.shard.publish(_give_way)
        except StrongroomError as error:
            log.warning("publishing the log is late: %s", error.message)

    def prepare(self) -> None:
        """Keep the next segment of the log ready. Without space, answers go on until the present one is full."""
        try:
            self.shard.prepare(_give_way)
            self.short = False
        except StrongroomError as error:
            self.short = error.details.get("rule") == RETRY
            log.warning("the next segment of the log is late: %s", error.message)

    def close(self) -> None:
        """Publish and ask the witnesses once more, and let go."""
        self._stop.set()
        if self.admission.calls is not None:
            self.admission.calls.close()
        self.cosigning.stop()
        if self.publication is not None:
            self.publication.stop()
        for thread in self._threads[:1]:  # a publication under way comes to its end
            thread.join()
        self.publish()
        if not self.written.fork.exists():
            try:
                self.cosigning.ask()
                if self.publication is not None:
                    self.publication.once()
            except TamperedError as error:
                _note_fork(self.written, error)
        self.nonces.close()
        self.keys.close()
        self.shard.close()
        for thread in self._threads[1:]:  # ended with its shard, if it was making a segment
            thread.join()

    @staticmethod
    def _on_fork(written: NodeLog, alarm: Callable[[TamperedError], None]) -> Callable[[TamperedError], None]:
        def forked(error: TamperedError) -> None:
            _note_fork(written, error)
            alarm(error)

        return forked


def _note_fork(written: NodeLog, error: TamperedError) -> None:
    """Written down, so that a restart does not answer either."""
    log.critical("alarm: %s", error.message)
    replace_atomically(written.fork, f"{error.message}\n".encode(), 0o600)


def demand_opening(written: NodeLog, key: LogKey) -> None:
    """See `serving.opening.check_opening`.

    Raises:
        UnavailableError: no opening has arrived yet.
        TamperedError: it is not this shard's, or not in the trusted governance log.
    """
    try:
        disclosed = written.opening.read_bytes()
    except FileNotFoundError as error:
        raise UnavailableError(
            f"the log `{key.name}` has not been opened by the control plane; have it opened and put the disclosed "
            f"entry into trust/openings/{written.opening.name}"
        ) from error
    governance = [
        vkey for name, vkey in written.layout.trust_policy().logs.items() if name.split("/")[4:5] == ["governance"]
    ]
    if len(governance) != 1:
        raise TamperedError("the trust policy of this node names no single governance log")
    check_opening(disclosed, key.verifier, governance[0])


def _give_way() -> None:
    # a thread that computes is not interrupted by one that a batch waits for; one that sleeps is in nobody's way
    time.sleep(0.0005)
