"""Where things lie in a room, and what a room calls itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from strongroom.adapters.files.safe_files import replace_atomically
from strongroom.errors import ConflictError, InvalidInputError, NotFoundError
from strongroom.ledger.note import VerifierKey
from strongroom.ledger.origin import Origin
from strongroom.vocabulary import parse_name

ROOM_FILE = "room.toml"


class RoomSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`room.toml`.

    Attributes:
        org, room, region: the first parts of every log's origin.
        profile: of the key files, `default` or `fips`.
        witness_vkeys: witnesses whose cosignatures the trust policy demands: each a verifier key, and after a blank
            the address where it is asked, if it is asked by this room.
    """

    v: Literal[1]
    org: str
    room: str
    region: str
    profile: Literal["default", "fips"] = "default"
    witness_vkeys: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for what in ("org", "room", "region"):
            parse_name(getattr(self, what), what)
        if any('"' in url or "\\" in url or not url.isprintable() for _, url in self.witnesses if url):
            raise InvalidInputError("an address of a witness has a quote or control character", field="witness_vkeys")

    @property
    def witnesses(self) -> list[tuple[VerifierKey, str | None]]:
        """Verifier key and address of each witness. Raises InvalidInputError where an entry is neither."""
        found: list[tuple[VerifierKey, str | None]] = []
        for entry in self.witness_vkeys:
            vkey, *url = entry.split()
            if len(url) > 1:
                raise InvalidInputError("a witness is a verifier key and an address", field="witness_vkeys")
            found.append((VerifierKey.parse(vkey), url[0] if url else None))
        return found

    @property
    def governance_origin(self) -> str:
        """The origin of the governance log."""
        return self.origin("control", "governance")

    def origin(self, node: str, slot: str = "0", generation: int = 1) -> str:
        """The origin of a log of this room."""
        return str(Origin(self.org, self.room, self.region, node, slot, generation))

    def encode(self) -> bytes:
        """The file. Every value is a checked name, verifier key or address, so quoting is enough."""
        witnesses = ", ".join(f'"{vkey}"' for vkey in self.witness_vkeys)
        return (
            "# A Strongroom room. Its keys lie in control.keyring; its people's keys lie elsewhere.\n"
            f'v = 1\norg = "{self.org}"\nroom = "{self.room}"\nregion = "{self.region}"\n'
            f'profile = "{self.profile}"\nwitness_vkeys = [{witnesses}]\n'
        ).encode()


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders of a room."""

    folder: Path

    @property
    def settings(self) -> Path:
        return self.folder / ROOM_FILE

    @property
    def keyring(self) -> Path:
        return self.folder / "control.keyring"

    @property
    def database(self) -> Path:
        return self.folder / "room.db"

    @property
    def repository(self) -> Path:
        """What gateways read: TUF metadata, targets, evidence, sealed files."""
        return self.folder / "repository"

    @property
    def blobs(self) -> Path:
        """Everything sealed, released or not; only what is released is copied to the repository."""
        return self.folder / "blobs"

    @property
    def staged(self) -> Path:
        return self.folder / "staged"

    @property
    def claims(self) -> Path:
        """Who does which long work while others have the room; nothing that is backed up."""
        return self.folder / "claims"

    @property
    def governance(self) -> Path:
        return self.folder / "ledger" / "governance"

    @property
    def trust(self) -> Path:
        """Public: root.json, the trust policy, disclosed openings of shards."""
        return self.folder / "trust"

    @property
    def openings(self) -> Path:
        return self.trust / "openings"

    @property
    def trust_policy(self) -> Path:
        return self.trust / "log-policy"

    def read(self) -> RoomSettings:
        """Read `room.toml`.

        Raises:
            NotFoundError: this is no room.
            InvalidInputError: the file is not understood.
        """
        try:
            data = self.settings.read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFoundError(f"`{self.folder}` is not a room; make one with `strongroom init`") from error
        try:
            return msgspec.toml.decode(data, type=RoomSettings)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidInputError(f"room.toml is not understood: {error}", field="room.toml") from error

    def make(self, settings: RoomSettings) -> None:
        """Make the empty folders of a new room, mode 700.

        Raises:
            ConflictError: something is there already.
        """
        if self.folder.exists() and any(self.folder.iterdir()):
            raise ConflictError(f"`{self.folder}` is not empty; a room is made in a new folder")
        for folder in (self.folder, self.repository, self.staged, self.trust, self.openings, self.governance.parent):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_atomically(self.settings, settings.encode(), 0o644)
