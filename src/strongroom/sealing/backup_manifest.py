"""What a backup holds: every file with its digest, signed by the control plane, so that a changed one is seen."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from strongroom.encoding import canonical, parse_as
from strongroom.errors import InvalidInputError, TamperedError
from strongroom.sealing.dsse import open_envelope, sign_envelope
from strongroom.sealing.keys import PublicKey, Signer
from strongroom.vocabulary import KeyId, parse_digest

BACKUP_TYPE: Final = "application/vnd.strongroom.backup.v1+json"
BACKUP_LIMIT_BYTES: Final = 256 * 1024 * 1024
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@-]{0,200}")


class BackedFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file: path below the backup's `files/` with `/` between names, size, digest."""

    path: str
    size_bytes: int
    sha256: str

    def __post_init__(self) -> None:
        parse_digest(self.sha256)
        if not all(_NAME.fullmatch(name) for name in self.path.split("/")):
            raise InvalidInputError("a path in a backup is plain names with `/` between them", rule="path")
        if self.size_bytes < 0:
            raise InvalidInputError("a file in a backup has a size", rule="size")


class BackedLog(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far a log was: its folder below `ledger/`, origin, and durable size."""

    folder: str
    origin: str
    size: int


class BackupManifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Version 1 of the manifest of a backup (docs/spec/18-backup.md).

    Attributes:
        kind: of what.
        name: of the room or node.
        made_by, made_us: who and when.
        logs: how far each log was; what came later is not in the backup.
        key_backup: path of the encrypted backup of a node's key store.
        files: in order of their paths.
    """

    v: Literal[1] = 1
    kind: Literal["room", "node"]
    name: str
    made_by: str
    made_us: int
    logs: tuple[BackedLog, ...]
    files: tuple[BackedFile, ...]
    key_backup: str | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        paths = [file.path for file in self.files]
        if paths != sorted(set(paths)):
            raise InvalidInputError("the files of a backup are in order, each once", rule="order")


def sign_manifest(manifest: BackupManifest, signer: Signer) -> bytes:
    """In a DSSE envelope, by the control plane's service key."""
    return sign_envelope(canonical(manifest), signer, payload_type=BACKUP_TYPE)


def open_manifest(envelope: bytes, keys: Mapping[KeyId, PublicKey]) -> BackupManifest:
    """Verify and read a manifest.

    Raises:
        TamperedError: not signed by one of `keys`, or not a manifest of a backup.
    """
    opened = open_envelope(envelope, keys, payload_type=BACKUP_TYPE)
    try:
        return parse_as(opened.payload, BackupManifest, BACKUP_LIMIT_BYTES)
    except InvalidInputError as error:
        raise TamperedError(f"a signed document is not the manifest of a backup: {error.message}") from error
