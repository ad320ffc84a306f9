"""On a node: reading decisions back from its logs, with the subjects' keys, and the models that gave them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from strongroom.adapters.keys.keyring import KeyFile
from strongroom.adapters.keystore.backup import Backups
from strongroom.adapters.keystore.direct import direct_keys, open_owned
from strongroom.adapters.keystore.keeper_client import (
    NodeStore,
    back_up_through_keeper,
    expire_through_keeper,
    keeper_keys,
)
from strongroom.adapters.keystore.subject_cache import CachedSubjectKeys
from strongroom.adapters.keystore.subject_keks import RingKeks
from strongroom.adapters.log.decision_reader import LedgerDecisions
from strongroom.adapters.log.shard_reader import FolderView, ShardReader
from strongroom.adapters.releases.release_mirror import ReleaseShelf
from strongroom.adapters.releases.trusted_state_files import read_state
from strongroom.adapters.runtimes.by_name import runtime_of
from strongroom.approval.evidence import Register, author_of
from strongroom.approval.release import Release
from strongroom.approval.trust_policy import PEOPLE_PATH
from strongroom.encoding import parse_as
from strongroom.errors import ErasedError, NotFoundError, UnavailableError
from strongroom.ledger.fsck import Finding, fsck
from strongroom.ledger.leaf import PLAIN, Leaf
from strongroom.ledger.ports import StoredRecord
from strongroom.monitoring.outcomes import Decided
from strongroom.monitoring.trials import Trial
from strongroom.sealing.manifest import Manifest
from strongroom.sealing.sealed import open_sealed
from strongroom.sealing.subjects import SubjectKey, subject_tag
from strongroom.serving.admitted import AdmittedModel
from strongroom.serving.replay import Decision, Replayed, read_decision, replay
from strongroom.serving.served import ServedModel, make_ready
from strongroom.vocabulary import Digest, ModelRef, digest_of
from strongroom.wiring.generations import every_log
from strongroom.wiring.node import INDEX_KEY, NodeLayout, now
from strongroom.wiring.node_settings import NodeSettings


@dataclass(slots=True)
class NodeRecords:
    """The records of one node. Works beside a running gateway (keys through its keeper) and without one.

    Attributes:
        layout, settings, ring: of the node.
        readers: one for each of its logs.
        keys: subject keys.
    """

    layout: NodeLayout
    settings: NodeSettings
    ring: KeyFile
    readers: tuple[ShardReader, ...]
    keys: CachedSubjectKeys
    _served: dict[Digest, ServedModel] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path, passphrase: bytes) -> NodeRecords:
        """Open a node for reading.

        Raises:
            NotFoundError: no node there.
            NotAuthenticatedError: wrong passphrase.
            UnavailableError: the key store has an owner that does not answer.
        """
        layout = NodeLayout(folder)
        settings = layout.read()
        ring = KeyFile.open(layout.keyring, passphrase)
        kek = RingKeks(ring)
        backups = Backups(layout.backups, layout.backup_keys)
        try:
            keys = direct_keys(open_owned(layout.keystore, backups, now, settings.region), kek)
        except UnavailableError:
            keys = keeper_keys(layout.keystore, kek)
        readers = tuple(ShardReader(one.folder, one.verifier(ring)) for one in every_log(layout, settings))
        return cls(layout, settings, ring, readers, keys)

    def close(self) -> None:
        """Let go."""
        for reader in self.readers:
            reader.close()
        self.keys.close()

    def __enter__(self) -> NodeRecords:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # decisions -------------------------------------------------------------------------------------------------------

    def decision(self, decision_id: str) -> Decision:
        """One decision, read back and held against its leaf.

        Raises:
            NotFoundError: no log of this node has it.
            ErasedError: the subject's key is destroyed.
            TamperedError: record and leaf do not fit.
        """
        return self.read(self._find(decision_id))

    def read(self, stored: StoredRecord) -> Decision:
        """A record of one of the logs, as `decision` reads it."""
        return read_decision(stored, self._key(stored))

    def receipt_parts(self, decision_id: str) -> tuple[StoredRecord, bytes, list[bytes]]:
        """A record, the published checkpoint with its cosignatures, and the leaf's inclusion proof in it."""
        for reader in self.readers:
            try:
                stored = reader.find(decision_id)
            except NotFoundError:
                continue
            note, path = reader.prove(stored.place)
            return stored, note, path
        raise NotFoundError(f"no log of this node has decision {decision_id}")

    def replay(self, decision_id: str, batch_rows: int = 1) -> Replayed:
        """Compute a decision again, from the model that its release names.

        Raises:
            TamperedError: a bit differs.
            ErasedError, NotFoundError: as `decision`.
        """
        decision = self.decision(decision_id)
        if decision.leaf.release is None:
            raise NotFoundError(f"decision {decision_id} reached no release: there is nothing to compute again")
        return replay(decision, self.served(decision.leaf.release), batch_rows)

    def decided(self, model: str, release: Digest | None = None) -> Iterator[Decided]:
        """See `monitoring.ports.DecisionReader`. Erased subjects are left out."""
        return LedgerDecisions(self.readers, self.keys).decided(model, release)

    def trials(self, model: str) -> Iterator[Trial]:
        """See `monitoring.ports.TrialReader`. Erased subjects are left out."""
        return LedgerDecisions(self.readers, self.keys).trials(model)

    def ids_of(self, tag: bytes) -> list[str]:
        """Ids of the records under one subject's key; empty when the key is gone."""
        try:
            key_id = self.keys.find(tag).key_id.hex()
        except ErasedError:
            return []
        leaves = (Leaf.decode(stored.leaf) for reader in self.readers for stored in reader)
        return [leaf.decision_id for leaf in leaves if leaf.key_id == key_id]

    # models ----------------------------------------------------------------------------------------------------------

    def releases(self) -> dict[Digest, Release]:
        """Every release that the mirror knows, by digest."""
        documents = read_state(self.layout.trusted_state).releases
        return {digest_of(data): parse_as(data, Release) for some in documents.values() for data in some.values()}

    def served(self, release_digest: Digest) -> ServedModel:
        """The model of a release, opened from the mirror whether or not a pointer names it today.

        Raises:
            NotFoundError: the mirror does not know this release.
            TamperedError: the files are not those that its author signed.
            NumericProfileError: this machine cannot give the same bits.
        """
        if release_digest in self._served:
            return self._served[release_digest]
        state = read_state(self.layout.trusted_state)
        release = self.releases().get(release_digest)
        if release is None:
            raise NotFoundError(f"this node's mirror does not hold release {release_digest[:12]}")
        ref = ModelRef(release.model, release.manifest)
        mirror = ReleaseShelf(self.layout.mirror)
        package = mirror.package(ref)
        register = Register.read(state.files.get(PEOPLE_PATH))
        bundle = next(mirror.evidence(item.sha256) for item in release.evidence if item.type == "submission")
        whole = open_sealed(
            package,
            ref,
            bundle=bundle,
            author=author_of(bundle, ref, Manifest.decode(package.manifest, ref.manifest), register),
            ring=self.ring,
            blobs=mirror.sealed_blobs,
            only=[release.artifact],
        )
        # the release's digest is what the record names, and the record's leaf is in a signed log: no pointer is needed
        model = AdmittedModel(ref, release, release_digest, digest_of(b""), whole.files[release.artifact], "replay")
        self._served[release_digest] = make_ready(model, runtime_of(release.numeric_profile))
        return self._served[release_digest]

    # upkeep ----------------------------------------------------------------------------------------------------------

    def tag(self, subject: str) -> bytes:
        """The keyed tag under which a subject's key is kept."""
        return subject_tag(self.ring.get(INDEX_KEY), self.settings.region, subject)

    def fsck(self) -> list[tuple[str, list[Finding]]]:
        """Check every byte of every log of this node."""
        logs = every_log(self.layout, self.settings)
        return [(one.origin, fsck(FolderView(one.folder), one.verifier(self.ring))) for one in logs]

    def _find(self, decision_id: str) -> StoredRecord:
        for reader in self.readers:
            try:
                return reader.find(decision_id)
            except NotFoundError:
                continue
        raise NotFoundError(f"no log of this node has decision {decision_id}")

    def _key(self, stored: StoredRecord) -> SubjectKey | None:
        leaf = Leaf.decode(stored.leaf)
        if leaf.key_id == PLAIN:
            return None
        try:
            return self.keys.by_key_id(bytes.fromhex(leaf.key_id))
        except ErasedError:
            return None


def node_store(folder: Path) -> NodeStore:
    """The key store of a node, as an erasure sees it."""
    layout = NodeLayout(folder)
    return NodeStore(layout.keystore, Backups(layout.backups, layout.backup_keys), layout.read().region, now)


def back_up(folder: Path, only_expire: bool = False) -> tuple[Path | None, list[str]]:
    """Back a node's key store up, and destroy backup keys whose time is up; through the keeper while one runs.

    Returns:
        The backup's path (None when only expiring), and the days whose keys were destroyed.
    """
    layout = NodeLayout(folder)
    backups = Backups(layout.backups, layout.backup_keys)
    try:
        owned = open_owned(layout.keystore, backups, now, layout.read().region)
    except UnavailableError:
        path = None if only_expire else back_up_through_keeper(layout.keystore)
        return path, expire_through_keeper(layout.keystore)
    try:
        path = None if only_expire else owned.back_up()
        return path, owned.expire()
    finally:
        owned.close()
