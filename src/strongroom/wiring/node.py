"""Where things lie in a gateway's folder, and how a new one is made."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from strongroom.access.signing_keys import MessageSigner, key_directory
from strongroom.adapters.files.safe_files import replace_atomically
from strongroom.adapters.keys.keyring import KeyFile
from strongroom.adapters.keystore.subject_keks import SUBJECT_KEK
from strongroom.adapters.log.shard_files import FileShard
from strongroom.errors import ConflictError, InvalidInputError, NotFoundError
from strongroom.ledger.note import LogKey, VerifierKey
from strongroom.ledger.trust import TrustPolicy, read_trust
from strongroom.wiring.node_settings import BATCH_SLOT, NodeSettings
from strongroom.wiring.room_keys import pepper_name

NODE_FILE = "node.toml"
INDEX_KEY = "subject-index"
ANSWER_KEY = "answer-signing"


def now() -> datetime:
    """Aware, UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class NodeLayout:
    """The folders of a node."""

    folder: Path

    @property
    def settings(self) -> Path:
        return self.folder / NODE_FILE

    @property
    def keyring(self) -> Path:
        return self.folder / "node.keyring"

    @property
    def mirror(self) -> Path:
        return self.folder / "mirror"

    @property
    def metadata(self) -> Path:
        return self.folder / "metadata"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def trusted_state(self) -> Path:
        return self.state / "trusted-state"

    @property
    def issuer_keys(self) -> Path:
        """Fetched keys of issuers, for the workers."""
        return self.state / "issuer-keys"

    def wanted_keys(self, slot: int) -> Path:
        """Issuers of whose tokens a worker did not know the key."""
        return self.state / f"wanted-keys-{slot}"

    @property
    def used_tokens(self) -> Path:
        """Tokens that count once and were used, shared by the workers."""
        return self.state / "used-tokens"

    @property
    def time_floor(self) -> Path:
        return self.state / "time-floor"

    @property
    def halts_seen(self) -> Path:
        return self.state / "halts"

    @property
    def halt(self) -> Path:
        """Where a person drops a signed halt."""
        return self.folder / "halt"

    @property
    def trust(self) -> Path:
        """Given out of band: root.json, log-policy; and openings/<slot>.json from the control plane."""
        return self.folder / "trust"

    @property
    def keystore(self) -> Path:
        return self.folder / "keystore"

    @property
    def backups(self) -> Path:
        return self.folder / "backups"

    @property
    def backup_keys(self) -> Path:
        return self.folder / "backup-keys"

    @property
    def lock(self) -> Path:
        return self.state / "gateway.lock"

    def fork(self, slot: int) -> Path:
        """Left when a witness refused this log's history; no worker serves the slot while it is there."""
        return self.state / f"fork-{slot}"

    def ledger(self, slot: int) -> Path:
        return self.folder / "ledger" / str(slot)

    def slots(self, settings: NodeSettings) -> list[int]:
        """The logs of this node: of its workers, and the one for files where it was made."""
        batch = [BATCH_SLOT] if (self.ledger(BATCH_SLOT) / "shard.json").exists() else []
        return [*range(settings.workers), *batch]

    def opening(self, slot: int) -> Path:
        return self.trust / "openings" / f"{slot}.json"

    @property
    def answer_keys(self) -> Path:
        """Public: a JWK Set with the key that this node signs its answers with, for callers to pin."""
        return self.trust / "answer-keys.json"

    @property
    def nonces(self) -> Path:
        """Of signed requests, shared by the workers; lost knowledge closes the door for a moment, and opens none."""
        return self.state / "nonces"

    def stuck(self, slot: int) -> Path:
        """What a worker that was ended for a stuck model leaves to its successor (`adapters.timed_runtime`)."""
        return self.state / f"stuck-{slot}"

    def metrics(self, slot: int) -> Path:
        return self.state / f"metrics-{slot}"

    def read(self) -> NodeSettings:
        """Read `node.toml`.

        Raises:
            NotFoundError: this is no node.
            InvalidInputError: the file is not understood.
        """
        try:
            data = self.settings.read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFoundError(f"`{self.folder}` is not a gateway's folder: it has no {NODE_FILE}") from error
        try:
            return msgspec.toml.decode(data, type=NodeSettings)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidInputError(f"{NODE_FILE} is not understood: {error}", field=NODE_FILE) from error

    def trust_policy(self) -> TrustPolicy:
        """The logs and witnesses that this node trusts."""
        return read_trust((self.trust / "log-policy").read_bytes())


def make_node(
    folder: Path,
    settings: NodeSettings,
    passphrase: bytes,
    *,
    root: bytes,
    log_policy: bytes,
    peppers: Mapping[int, bytes],
    keks: Iterable[bytes],
    profile: Literal["default", "fips"] = "default",
) -> list[VerifierKey]:
    """Make a gateway's folder: keys, empty logs, trust.

    Args:
        folder: new or empty.
        settings: of the node.
        passphrase: of its key file.
        root: TUF root metadata, given out of band.
        log_policy: trust policy with the governance log's key.
        peppers: of the API keys by number, shared with the control plane that issues them.
        keks: key-encryption keys of the models that it may open.
        profile: of the key file.

    Returns:
        The verifier keys of its logs; the control plane opens each before the node can answer.

    Raises:
        ConflictError: something is there already.
    """
    layout = NodeLayout(folder)
    if folder.exists() and any(folder.iterdir()):
        raise ConflictError(f"`{folder}` is not empty; a node is made in a new folder")
    read_trust(log_policy)
    for path in (folder, layout.mirror, layout.metadata, layout.state, layout.halt, layout.trust / "openings",
                 layout.keystore, layout.backups, layout.backup_keys, folder / "ledger"):  # fmt: skip
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace_atomically(layout.trust / "root.json", root, 0o644)
    replace_atomically(layout.trust / "log-policy", log_policy, 0o644)
    ring = KeyFile.create(layout.keyring, passphrase, profile)
    ring.new_secret(INDEX_KEY)
    ring.new_secret(SUBJECT_KEK)
    for number, pepper in peppers.items():
        ring.put(pepper_name(number), pepper)
    for kek in keks:
        ring.import_kek(kek)
    answer_signer(layout, ring)
    verifiers = [make_shard(layout, settings, ring, slot) for slot in range(settings.workers)]
    # last: what has no node.toml is no node yet
    replace_atomically(layout.settings, settings.encode(), 0o644)
    os.sync()
    return verifiers


def make_shard(layout: NodeLayout, settings: NodeSettings, ring: KeyFile, slot: int) -> VerifierKey:
    """Make one worker's empty log with a key of its own."""
    key = LogKey(settings.origin(slot), ring.new_secret(settings.log_key_name(slot)))
    FileShard.create(layout.ledger(slot), key.name, key, segment_bytes=settings.segment_bytes).close()
    return key.verifier


def answer_signer(layout: NodeLayout, ring: KeyFile) -> MessageSigner:
    """The key that answers are signed with. A node from before there was one gets it here, and its public half too.

    Raises:
        ConflictError: another worker is writing the key file just now; open it again.
    """
    if ANSWER_KEY not in ring.names:
        ring.new_signing_key(ANSWER_KEY)
    signer = MessageSigner.from_pkcs8(ring.get(ANSWER_KEY))
    directory = key_directory(signer.public)
    if not layout.answer_keys.exists() or layout.answer_keys.read_bytes() != directory:
        replace_atomically(layout.answer_keys, directory, 0o644)
    return signer
