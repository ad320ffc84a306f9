"""Where TUF metadata lies: the published folder, the drafts that wait for signatures, and keys in TUF's form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from securesystemslib.signer import Key, Signature, SSlibKey
from securesystemslib.signer import Signer as TufSigner
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp
from tuf.api.serialization import DeserializationError

from strongroom.adapters.files.safe_files import replace_atomically
from strongroom.errors import InvalidInputError, NotFoundError, TamperedError, UnavailableError
from strongroom.sealing.keys import SCHEME, PublicKey, Signer
from strongroom.vocabulary import Digest, digest_of, parse_name

S = TypeVar("S", Root, Snapshot, Targets, Timestamp)


class OnlineSigner(TufSigner):
    """Lends the control plane's signer to python-tuf."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def sign(self, payload: bytes) -> Signature:
        """Sign the bytes of a metadata file's signed part."""
        return Signature(self._signer.public.key_id, self._signer.sign(payload).hex())

    @property
    def public_key(self) -> Key:
        """The key in TUF's form."""
        return tuf_key(self._signer.public)

    @classmethod
    def from_priv_key_uri(
        cls,
        priv_key_uri: str,
        public_key: Key,  # noqa: ARG003 - the abstract method of securesystemslib has it
        secrets_handler: Any = None,  # noqa: ARG003 - the same
    ) -> TufSigner:
        """Never: the control plane's signer is given, not looked up by address."""
        raise InvalidInputError(f"signers are not opened by address `{priv_key_uri.partition(':')[0]}`")


def tuf_key(key: PublicKey) -> Key:
    """The TUF form of a key, named by format 7 rather than by TUF's own hash of its JSON."""
    return SSlibKey(key.key_id, "ecdsa", SCHEME, {"public": key.pem.decode()})


def public_key(key: Key) -> PublicKey:
    """The key behind TUF's form.

    Raises:
        TamperedError: it is not a P-256 key.
    """
    try:
        return PublicKey.from_pem(key.keyval["public"].encode())
    except (KeyError, InvalidInputError) as error:
        raise TamperedError(f"key {key.keyid[:12]} cannot be read") from error


def whole_second(at: datetime) -> datetime:
    """TUF writes dates without fractions."""
    return at.replace(microsecond=0)


def write(path: Path, data: bytes) -> None:
    """Write a file that others may read: whole or not at all, durable on return.

    Raises:
        UnavailableError: the disk did not take it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnavailableError(f"`{path.name}` could not be written: {error.strerror}") from error
    replace_atomically(path, data, 0o644)


@dataclass(frozen=True, slots=True)
class TufFiles:
    """Files of one release repository.

    Attributes:
        folder: published: `metadata/` and `targets/`, served as they are.
        staged: drafts by role, and under `content/` the targets that they name.
    """

    folder: Path
    staged: Path

    @property
    def metadata(self) -> Path:
        """Folder of the published metadata."""
        return self.folder / "metadata"

    def staged_path(self, role: str) -> Path:
        """File of a role's draft."""
        return self.staged / f"{parse_name(role, 'role')}.json"

    def target_path(self, path: str, digest: Digest) -> Path:
        """File of a published target: consistent snapshots put the digest before the name."""
        parent, _, name = path.rpartition("/")
        return self.folder / "targets" / parent / f"{digest}.{name}"

    def keep(self, content: bytes) -> None:
        """Keep a target's content until the metadata that names it is published."""
        path = self.staged / "content" / digest_of(content)
        if not path.exists():
            write(path, content)

    def newest(self, role: str) -> int:
        """Newest published version of a role's metadata; 0 for none."""
        found = [int(path.name.split(".", 1)[0]) for path in self.metadata.glob(f"*.{role}.json")]
        return max(found, default=0)

    def published_bytes(self, role: str) -> bytes | None:
        """The newest published metadata file of a role, or None."""
        version = self.newest(role)
        return (self.metadata / f"{version}.{role}.json").read_bytes() if version else None

    def published(self, kind: type[S], role: str) -> Metadata[S] | None:
        """The same, read. Raises TamperedError when the file is not metadata of this kind."""
        data = self.published_bytes(role)
        return _read(kind, role, data) if data is not None else None

    def waiting(self, kind: type[S], role: str) -> Metadata[S] | None:
        """A role's draft, or None."""
        path = self.staged_path(role)
        return _read(kind, role, path.read_bytes()) if path.exists() else None

    def draft(self, role: str) -> Metadata[Any]:
        """A role's draft, of whatever kind.

        Raises:
            NotFoundError: none waits.
        """
        found: Metadata[Any] | None = self.waiting(Root, role) if role == "root" else self.waiting(Targets, role)
        if found is None:
            raise NotFoundError(f"no draft of `{role}` waits for signatures")
        return found

    def waiting_roles(self) -> Sequence[str]:
        """Roles that have a draft, sorted."""
        return sorted(path.stem for path in self.staged.glob("*.json"))

    def stage(self, role: str, signed: Root | Targets) -> bytes:
        """Keep a draft without signatures; returns its signed part."""
        metadata: Metadata[Any] = Metadata(signed)
        write(self.staged_path(role), metadata.to_bytes())
        return metadata.signed_bytes

    def publish(self, role: str, metadata: Metadata[Any]) -> None:
        """Write a version's targets, then its metadata, under names that no reader knows yet."""
        if isinstance(metadata.signed, Targets):
            for path, entry in metadata.signed.targets.items():
                digest = Digest(entry.hashes["sha256"])
                destination = self.target_path(path, digest)
                if not destination.exists():
                    write(destination, (self.staged / "content" / digest).read_bytes())
        write(self.metadata / f"{metadata.signed.version}.{role}.json", metadata.to_bytes())


def _read(kind: type[S], role: str, data: bytes) -> Metadata[S]:
    try:
        metadata: Metadata[S] = Metadata.from_bytes(data)
    except DeserializationError as error:
        raise TamperedError(f"the metadata of `{role}` does not parse") from error
    if not isinstance(metadata.signed, kind):
        raise TamperedError(f"the metadata of `{role}` is not of type {kind.__name__.lower()}")
    return metadata
