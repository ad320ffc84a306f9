"""A witness's own folder: its key, the logs it knows, and what it cosigned last."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

from strongroom.adapters.files.safe_files import replace_atomically
from strongroom.adapters.keys.keyring import KeyFile
from strongroom.errors import ConflictError, InvalidInputError, NotFoundError, TamperedError
from strongroom.ledger.checkpoint import Checkpoint
from strongroom.ledger.note import ED25519, CosignerKey, VerifierKey
from strongroom.vocabulary import digest_of

RING = "witness.keyring"
SEED = "witness-seed"


class FolderMemory:
    """The latest checkpoint of each log, one file a log, replaced atomically and synced before it returns.

    One process at a time owns the folder (a file lock), and one thread at a time changes it.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._mutex = threading.Lock()
        self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise ConflictError("another witness process owns this folder; two would cosign two histories") from error

    def close(self) -> None:
        """Give the folder up."""
        os.close(self._lock)

    def latest(self, origin: str) -> Checkpoint | None:
        """The checkpoint cosigned last.

        Raises:
            TamperedError: the file is not what a witness writes.
        """
        try:
            data = self._path(origin).read_bytes()
        except FileNotFoundError:
            return None
        try:
            seen = Checkpoint.parse(data)
        except InvalidInputError as error:
            raise TamperedError(
                "the witness's memory of a log cannot be read; do not delete it, call security"
            ) from error
        if seen.origin != origin:
            raise TamperedError("the witness's memory of a log is about another log")
        return seen

    def remember(self, checkpoint: Checkpoint, old_size: int) -> None:
        """Compare and set. Durable on return."""
        with self._mutex:
            latest = self.latest(checkpoint.origin)
            if (0 if latest is None else latest.size) != old_size:
                raise ConflictError("the log moved on meanwhile", size=0 if latest is None else latest.size)
            replace_atomically(self._path(checkpoint.origin), checkpoint.text(), 0o600)

    def _path(self, origin: str) -> Path:
        # an origin has slashes and any length; its digest is a safe and unique file name
        return self._folder / f"{digest_of(origin.encode())}.checkpoint"


class WitnessFolder:
    """`witness/`: `witness.keyring`, `logs` (verifier keys, one a line), `seen/`, `vkey` (for trust policies)."""

    def __init__(self, folder: Path, key: CosignerKey) -> None:
        self.folder = folder
        self.key = key

    @classmethod
    def create(cls, folder: Path, name: str, passphrase: bytes, profile: str = "default") -> WitnessFolder:
        """Make a witness with a new key.

        Raises:
            ConflictError: the folder has one already.
        """
        cls.demand_free(folder)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        keys = KeyFile.create(folder / RING, passphrase, profile=profile)  # type: ignore[arg-type]  # a wrong profile is refused there
        seed = os.urandom(32)
        keys.put(SEED, seed)
        key = CosignerKey(name, seed)
        replace_atomically(folder / "vkey", f"{key.verifier}\n".encode(), 0o644)
        replace_atomically(folder / "name", f"{name}\n".encode(), 0o644)
        replace_atomically(folder / "logs", b"", 0o644)
        return cls(folder, key)

    @classmethod
    def open(cls, folder: Path, passphrase: bytes) -> WitnessFolder:
        """Open a witness.

        Raises:
            NotFoundError: there is none.
            NotAuthenticatedError: wrong passphrase.
        """
        return cls(folder, CosignerKey(cls.look(folder), KeyFile.open(folder / RING, passphrase).get(SEED)))

    @staticmethod
    def demand_free(folder: Path) -> None:
        """Raises ConflictError where there is a witness already."""
        if (folder / RING).exists():
            raise ConflictError(f"`{folder.name}` holds a witness already")

    @staticmethod
    def look(folder: Path) -> str:
        """The witness's name, without the passphrase.

        Raises:
            NotFoundError: there is no witness.
        """
        try:
            return (folder / "name").read_text().strip()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFoundError(
                f"`{folder.name}` holds no witness; make one with `strongroom witness {folder} --create ...`"
            ) from error

    def add_log(self, vkey: str) -> None:
        """Know one more log."""
        add_log(self.folder, vkey)

    def logs(self) -> dict[str, VerifierKey]:
        """The known logs by origin.

        Raises:
            InvalidInputError: a line is not a verifier key of a log, or an origin stands twice.
        """
        return read_logs(self.folder)


def add_log(folder: Path, vkey: str) -> None:
    """Add a log's verifier key to a witness's list. The same key twice stays once.

    Raises:
        InvalidInputError: not a log's verifier key.
        ConflictError: the origin is known under another key.
    """
    key = VerifierKey.parse(vkey.strip())
    if key.kind != ED25519:
        raise InvalidInputError("a log's verifier key has type 0x01", rule="vkey")
    known = read_logs(folder)
    if key.name in known and known[key.name] != key:
        raise ConflictError(f"log `{key.name}` is known under another key; a new key needs a new origin")
    known[key.name] = key
    replace_atomically(folder / "logs", "".join(f"{line}\n" for line in known.values()).encode(), 0o644)


def read_logs(folder: Path) -> dict[str, VerifierKey]:
    """See `WitnessFolder.logs`."""
    try:
        lines = (folder / "logs").read_text().splitlines()
    except FileNotFoundError:
        return {}
    found: dict[str, VerifierKey] = {}
    for line in filter(None, (line.strip() for line in lines)):
        key = VerifierKey.parse(line)
        if key.kind != ED25519 or key.name in found:
            raise InvalidInputError("the witness's list of logs has a wrong or repeated key", rule="vkey")
        found[key.name] = key
    return found
