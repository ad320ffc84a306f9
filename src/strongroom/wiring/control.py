"""The control plane, plugged together on a room's folder: one object that holds what every verb needs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from strongroom.access.authorisation import Authorisation
from strongroom.access.people import PeopleRegister
from strongroom.access.principals import Principal
from strongroom.access.requests import PersonRequest, SignedRequest, Target, check_kept, verify_request
from strongroom.adapters.database.desk import SqlBooks, SqlDesk, open_desk
from strongroom.adapters.files.blob_files import BlobFiles
from strongroom.adapters.files.claim_files import ClaimFiles
from strongroom.adapters.keys.keyring import KeyFile
from strongroom.adapters.log.governance import GovernanceKey, ShardGovernanceLog
from strongroom.adapters.log.shard_files import LOCKED, FileShard
from strongroom.adapters.policies.cedar import CedarEngine
from strongroom.adapters.process.spiff import SpiffEngine
from strongroom.adapters.releases.release_mirror import ReleaseShelf
from strongroom.adapters.releases.tuf_repository import TufRepository
from strongroom.approval import trust_policy as paths
from strongroom.approval.actions import Means
from strongroom.approval.evidence import Register
from strongroom.approval.policy_signature import read_policy_signature
from strongroom.approval.resources import describe
from strongroom.errors import ConflictError, EvidenceError, NotFoundError
from strongroom.ledger.note import LogKey
from strongroom.ledger.trust import read_trust
from strongroom.office.door import Office
from strongroom.office.entries import REQUEST, Entry
from strongroom.registry.actions import Vault
from strongroom.registry.contract import ModelContract
from strongroom.validation.reporting.blocks import Block
from strongroom.validation.results import BatteryResults
from strongroom.vocabulary import Digest, PersonId, digest_of, micros
from strongroom.wiring.founding import GOVERNANCE_SEED, RECORD_KEY, open_repository
from strongroom.wiring.room_keys import peppers
from strongroom.wiring.settings import Layout, RoomSettings
from strongroom.wiring.witnessing import Cosigning

GOVERNANCE_SEGMENT_BYTES = 4 * 1024 * 1024
KEPT_BODY_BYTES = 64 * 1024
WITNESS_TIMEOUT_S = 2.0
"""A person waits for a command, and its act is done already: shorter than for gateways."""

ROOM_WAIT_S = 5.0
"""How long a command waits for another to let the room go; most take less than a second."""
ROOM_LOOK_S = 0.05
BACK_WAIT_S = 600.0
"""How long a command that did minutes of work outside waits until it has the room again to enter it."""


def now() -> datetime:
    """Aware, UTC."""
    return datetime.now(UTC)


@dataclass(slots=True)
class ControlPlane:
    """An open room. One process at a time: the governance log's lock keeps others out.

    What takes long is done `apart`: others have the room meanwhile, and nothing that was read before holds after it.

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
        claims: who does which long work.
        clock: time.
        held: whether this process has the room.
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
    claims: ClaimFiles
    clock: Callable[[], datetime]
    held: bool = True

    @classmethod
    def open(cls, folder: Path, passphrase: bytes, clock: Callable[[], datetime] = now) -> ControlPlane:
        """Open a room whose founding is complete, and reconcile outbox and log.

        Raises:
            NotFoundError: no room there.
            NotAuthenticatedError: wrong passphrase.
            ConflictError: another process still has it open after a few seconds, or the custodians have not signed yet.
            TamperedError: the governance log is not what was written.
        """
        layout = Layout(folder)
        settings = layout.read()
        return cls._plugged(layout, settings, KeyFile.open(layout.keyring, passphrase), clock, None)

    @classmethod
    def _plugged(
        cls, layout: Layout, settings: RoomSettings, keys: KeyFile, clock: Callable[[], datetime], wait_s: float | None
    ) -> ControlPlane:
        repository = open_repository(layout, keys)
        _policies(repository)  # before a log is made
        shard = wait_for_governance(layout, settings, keys, wait_s)
        try:
            # again: whoever had the room open may have published others
            policies, schema = _policies(repository)
            policy = Authorisation(CedarEngine(policies, schema, earlier=True))
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
        shelf, claims = ReleaseShelf(layout.repository), ClaimFiles(layout.claims)
        return cls(
            layout, settings, keys, repository, desk, shard, log, office, vault, shelf, SpiffEngine(), claims, clock
        )

    def close(self) -> None:
        """Publish the governance log, have the room's witnesses cosign it if they can be reached, and let it go.

        Closing a room that was let go already does nothing.

        Raises:
            TamperedError: a witness saw another history of the governance log.
            NotDurableError: publishing failed; what was done is in the log all the same.
        """
        if not self.held:
            return
        self.held = False
        try:
            self.shard.publish()
            Cosigning(self.shard, read_trust(self.layout.trust_policy.read_bytes()), WITNESS_TIMEOUT_S).ask()
        finally:
            self.shard.close()
            self.desk.close()

    def take_back(self) -> None:
        """After `close`: have the room again, as it is by now; others may keep it for `BACK_WAIT_S`.

        Raises:
            NotAuthenticatedError: its key file is under another passphrase by now.
            ConflictError, TamperedError: as `open`.
        """
        if self.held:
            return
        self.keys.reload()
        fresh = ControlPlane._plugged(self.layout, self.settings, self.keys, self.clock, BACK_WAIT_S)
        for name in self.__slots__:
            setattr(self, name, getattr(fresh, name))

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Let others have the room while the block runs, and take it back behind it; not when the block raises."""
        self.close()
        yield
        self.take_back()

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
        """The key of API key digests that are made now."""
        return peppers(self.keys)[self.pepper_number]

    @property
    def pepper_number(self) -> int:
        """Of that key, from 1."""
        return max(peppers(self.keys))

    def document(self, path: str) -> bytes:
        """A published target of the custodians or operators.

        Raises:
            NotFoundError: nothing is published under that path.
        """
        content = self.repository.target(path)
        if content is None:
            raise NotFoundError(f"`{path}` is not published in this room")
        return content

    def policy_published(self, digest: Digest) -> bytes:
        """A validation policy that this room published at any time: old ones stay readable.

        Raises:
            NotFoundError: it never did.
        """
        path = self.repository.files.target_path(paths.VALIDATION_PATH, digest)
        if not path.exists() or digest_of(content := path.read_bytes()) != digest:
            raise NotFoundError(f"the validation policy {digest[:12]} was never published in this room")
        return content

    def policy_signer(self, policy: bytes) -> PersonId | None:
        """Who of the risk function signed a validation policy of this room; None where the custodians alone did."""
        register = Register.read(self.document(paths.PEOPLE_PATH))
        name = Path(paths.VALIDATION_SIGNATURE_PATH)
        for file in sorted((self.layout.repository / "targets" / name.parent).glob(f"*.{name.name}")):
            try:
                return read_policy_signature(file.read_bytes(), policy, register)
            except EvidenceError:
                continue  # it is about another policy
        return None

    def means(self) -> Means:
        """What the verbs of approval work with, as of now."""
        return Means(
            people=self.document(paths.PEOPLE_PATH),
            trust=self.document(paths.TRUST_PATH),
            validation=self.document(paths.VALIDATION_PATH),
            validation_signature=self.repository.target(paths.VALIDATION_SIGNATURE_PATH),
            publisher=self.repository,
            shelf=self.shelf,
            blobs=self.vault.blobs,
            engine=self.engine,
            governance=self.log,
            capital=_capital,
        )

    def authenticate(self, signed: SignedRequest, body: bytes) -> tuple[Principal, PersonRequest]:
        """Who asks, by their signature. The request is kept, and every entry of what they do with it names it.

        Small bodies (parameters, statements) are kept as well, under the digest that the request names.

        Raises:
            NotAuthenticatedError: see `access.requests.verify_request`.
            UnavailableError: the request could not be kept; nobody acts without it.
        """
        who, request = verify_request(
            signed, body, self.settings.governance_origin, self.register, self.desk.nonces, micros(self.clock())
        )
        if len(body) <= KEPT_BODY_BYTES:
            self.vault.blobs.put(body)
        return replace(who, request=self.vault.blobs.put(signed.encode())), request

    def check_request(self, entry: Entry) -> PersonRequest | None:
        """The signed request behind an entry of the governance log; None where a service acted by itself.

        Raises:
            NotFoundError, TamperedError: it is gone, or is not this person's for this act.
        """
        digest = entry.facts.get(REQUEST)
        if digest is None:
            return None
        return check_kept(
            self.vault.blobs.get(Digest(digest)),
            self.settings.governance_origin,
            self.register,
            who=entry.who,
            verb=entry.verb,
            on=Target(kind=entry.on.kind, id=entry.on.id),
            at_us=entry.at_us,
        )


def _policies(repository: TufRepository) -> tuple[bytes, bytes]:
    policies = repository.target(paths.ACCESS_PATH)
    schema = repository.target(paths.ACCESS_SCHEMA_PATH)
    if policies is None or schema is None:
        raise ConflictError(
            "the room is not founded yet: two custodians sign root and targets with `strongroom people sign`"
        )
    return policies, schema


def wait_for_governance(
    layout: Layout, settings: RoomSettings, keys: KeyFile, wait_s: float | None = None
) -> FileShard:
    """The governance log's writer, as soon as no other process has it.

    Args:
        layout, settings, keys: of the room.
        wait_s: how long at most; ROOM_WAIT_S when None.

    Raises:
        ConflictError: another process did not let it go in time, or see `open_governance`.
    """
    deadline = time.monotonic() + (ROOM_WAIT_S if wait_s is None else wait_s)
    while True:
        try:
            return open_governance(layout, settings, keys)
        except ConflictError as error:
            if error.details.get("rule") != LOCKED:
                raise
            if time.monotonic() >= deadline:
                raise ConflictError(
                    "another command has the room open; try again when it is done, and if none of yours runs, ask who "
                    f"else works in `{layout.folder}`",
                    rule=LOCKED,
                ) from error
        time.sleep(ROOM_LOOK_S)


def open_governance(layout: Layout, settings: RoomSettings, keys: KeyFile) -> FileShard:
    """The governance log's writer; the first opening makes the log."""
    key = LogKey(settings.governance_origin, keys.get(GOVERNANCE_SEED))
    if not (layout.governance / "shard.json").exists():
        return FileShard.create(layout.governance, key.name, key, segment_bytes=GOVERNANCE_SEGMENT_BYTES)
    return FileShard.open(layout.governance, key, segment_bytes=GOVERNANCE_SEGMENT_BYTES)


def _capital(
    contract: ModelContract, results: BatteryResults | None, before: BatteryResults | None = None, /
) -> tuple[Block, ...]:
    """What results come to in capital; the formulas are loaded when somebody asks, which few commands do."""
    from strongroom.planning.impact import capital_impact

    return capital_impact(contract, results, before)
