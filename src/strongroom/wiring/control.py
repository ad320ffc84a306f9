"""The control plane, plugged together on a room's folder: one object that holds what every verb needs."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from strongroom.access.authorisation import Authorisation
from strongroom.access.people import PeopleRegister
from strongroom.access.principals import Principal
from strongroom.access.requests import PersonRequest, SignedRequest, verify_request
from strongroom.adapters.blob_files import BlobFiles
from strongroom.adapters.cedar import CedarEngine
from strongroom.adapters.database import SqlBooks, SqlDesk, open_desk
from strongroom.adapters.governance import GovernanceKey, ShardGovernanceLog
from strongroom.adapters.keyring import KeyFile
from strongroom.adapters.release_mirror import ReleaseShelf
from strongroom.adapters.shard_files import FileShard
from strongroom.adapters.spiff import SpiffEngine
from strongroom.adapters.tuf_repository import TufRepository
from strongroom.approval import trust_policy as paths
from strongroom.approval.actions import Means
from strongroom.approval.resources import describe
from strongroom.errors import ConflictError, NotFoundError
from strongroom.ledger.note import LogKey
from strongroom.ledger.trust import read_trust
from strongroom.office.door import Office
from strongroom.registry.actions import Vault
from strongroom.vocabulary import digest_of, micros
from strongroom.wiring.founding import GOVERNANCE_SEED, PEPPER, RECORD_KEY, open_repository
from strongroom.wiring.settings import Layout, RoomSettings
from strongroom.wiring.witnessing import Cosigning

GOVERNANCE_SEGMENT_BYTES = 4 * 1024 * 1024
WITNESS_TIMEOUT_S = 2.0
"""A person waits for a command, and its act is done already: shorter than for gateways."""


def now() -> datetime:
    """Aware, UTC."""
    return datetime.now(UTC)


@dataclass(slots=True)
class ControlPlane:
    """An open room. One process at a time: the governance log's lock keeps others out.

    Attributes:
        layout, settings: where and who.
        keys: the control plane's key file, open.
        repository: control side of the release repository.
        desk: transactions over the database.
        shard: the governance log's writer.
        log: the governance log.
        office: the one door.
        vault: sealed things and the keys that open them.
        shelf: evidence and ciphertext of the release repository.
        engine: runs the process diagram.
        clock: time.
    """

    layout: Layout
    settings: RoomSettings
    keys: KeyFile
    repository: TufRepository
    desk: SqlDesk
    shard: FileShard
    log: ShardGovernanceLog
    office: Office[SqlBooks]
    vault: Vault
    shelf: ReleaseShelf
    engine: SpiffEngine
    clock: Callable[[], datetime]

    @classmethod
    def open(cls, folder: Path, passphrase: bytes, clock: Callable[[], datetime] = now) -> ControlPlane:
        """Open a room whose founding is complete, and reconcile outbox and log.

        Raises:
            NotFoundError: no room there.
            NotAuthenticatedError: wrong passphrase.
            ConflictError: another process has it open, or the custodians have not signed yet.
            TamperedError: the governance log is not what was written.
        """
        layout = Layout(folder)
        settings = layout.read()
        keys = KeyFile.open(layout.keyring, passphrase)
        repository = open_repository(layout, keys)
        policies = repository.target(paths.ACCESS_PATH)
        schema = repository.target(paths.ACCESS_SCHEMA_PATH)
        if policies is None or schema is None:
            raise ConflictError(
                "the room is not founded yet: two custodians sign root and targets with `strongroom people sign`"
            )
        policy = Authorisation(CedarEngine(policies, schema))
        shard = open_governance(layout, settings, keys)
        try:
            log = ShardGovernanceLog(
                shard, GovernanceKey(keys.get(RECORD_KEY)), os.urandom, policy=digest_of(policies + schema)
            )
            desk = open_desk(layout.database)
            office: Office[SqlBooks] = Office(policy, desk, log, clock, os.urandom, describe)
            office.reconcile()
        except BaseException:
            shard.close()
            raise
        vault = Vault(keys, BlobFiles(layout.blobs))
        shelf = ReleaseShelf(layout.repository)
        return cls(layout, settings, keys, repository, desk, shard, log, office, vault, shelf, SpiffEngine(), clock)

    def close(self) -> None:
        """Publish the governance log, have the room's witnesses cosign it if they can be reached, and let it go.

        Raises:
            TamperedError: a witness saw another history of the governance log.
            NotDurableError: publishing failed; what was done is in the log all the same.
        """
        try:
            self.shard.publish()
            Cosigning(self.shard, read_trust(self.layout.trust_policy.read_bytes()), WITNESS_TIMEOUT_S).ask()
        finally:
            self.shard.close()
            self.desk.close()

    def __enter__(self) -> ControlPlane:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def register(self) -> PeopleRegister:
        """The people register in force."""
        return PeopleRegister.decode(self.document(paths.PEOPLE_PATH))

    @property
    def pepper(self) -> bytes:
        """The key of API key digests."""
        return self.keys.get(PEPPER)

    def document(self, path: str) -> bytes:
        """A published target of the custodians or operators.

        Raises:
            NotFoundError: nothing is published under that path.
        """
        content = self.repository.target(path)
        if content is None:
            raise NotFoundError(f"`{path}` is not published in this room")
        return content

    def means(self) -> Means:
        """What the verbs of approval work with, as of now."""
        return Means(
            people=self.document(paths.PEOPLE_PATH),
            trust=self.document(paths.TRUST_PATH),
            publisher=self.repository,
            shelf=self.shelf,
            blobs=self.vault.blobs,
            engine=self.engine,
            governance=self.log,
        )

    def authenticate(self, signed: SignedRequest, body: bytes) -> tuple[Principal, PersonRequest]:
        """Who asks, by their signature.

        Raises:
            NotAuthenticatedError: see `access.requests.verify_request`.
        """
        return verify_request(
            signed, body, self.settings.governance_origin, self.register, self.desk.nonces, micros(self.clock())
        )


def open_governance(layout: Layout, settings: RoomSettings, keys: KeyFile) -> FileShard:
    """The governance log's writer; the first opening makes the log."""
    key = LogKey(settings.governance_origin, keys.get(GOVERNANCE_SEED))
    if not (layout.governance / "shard.json").exists():
        return FileShard.create(layout.governance, key.name, key, segment_bytes=GOVERNANCE_SEGMENT_BYTES)
    return FileShard.open(layout.governance, key, segment_bytes=GOVERNANCE_SEGMENT_BYTES)
