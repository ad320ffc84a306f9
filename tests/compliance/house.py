"""A founded room, people at their desks, and a gateway's folder whose logs were opened in it. No gateway runs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from strongroom.adapters.keys.homes import Home
from strongroom.adapters.keys.keyring import PROFILES, SCRYPT_RFC7914_INTERACTIVE, KeyFile
from strongroom.adapters.log.shard_files import FileShard
from strongroom.adapters.sandbox.linux import LinuxSandbox
from strongroom.ledger.leaf import Leaf
from strongroom.ledger.note import CosignerKey, LogKey, Note
from strongroom.ledger.ports import Record
from strongroom.sealing.keys import EcSigner
from strongroom.vocabulary import PersonId
from strongroom.wiring.control import ControlPlane, now
from strongroom.wiring.founding import Member, found, open_repository
from strongroom.wiring.node import NodeLayout
from strongroom.wiring.node_settings import NodeSettings
from strongroom.wiring.nodes import create_node
from strongroom.wiring.person import AtDesk
from strongroom.wiring.settings import Layout, RoomSettings
from tests.ledger.samples import leaf_of, payload_of

PASSPHRASE = b"correct horse battery"
WITNESS = CosignerKey("witness.example/w1", b"w" * 32)
ROLES = {
    "cora": "custodian", "cyril": "custodian", "celia": "custodian", "omar": "operator", "dora": "dpo",
    "audrey": "auditor", "ann": "author",
}  # fmt: skip
SIGNERS = {name: EcSigner.from_scalar(7000 + number) for number, name in enumerate(ROLES)}
SEGMENT_BYTES = 16 * 1024


@dataclass
class House:
    """A room's folder and a gateway's."""

    folder: Path
    witnessed: bool
    node: Path

    @contextmanager
    def at(self, person: str) -> Any:
        """Somebody at their desk with the room open."""
        with ControlPlane.open(self.folder, PASSPHRASE) as room:
            yield AtDesk(Home(self.folder, PersonId(person), SIGNERS[person]), room, LinuxSandbox())

    @property
    def layout(self) -> NodeLayout:
        return NodeLayout(self.node)

    @contextmanager
    def writer(self, slot: int = 0) -> Any:
        settings = self.layout.read()
        ring = KeyFile.open(self.layout.keyring, PASSPHRASE)
        key = LogKey(settings.origin(slot), ring.get(settings.log_key_name(slot)))
        shard = FileShard.open(self.layout.ledger(slot), key, segment_bytes=SEGMENT_BYTES)
        try:
            yield shard
        finally:
            shard.close()

    def write(self, leaves: Sequence[Leaf], first: int = 0, slot: int = 0, cosign: bool = True) -> None:
        """Leaves with the payloads that `leaf_of` names, in batches of ten, published."""
        with self.writer(slot) as shard:
            made = [Record(leaf.encode(), payload_of(n, leaf.payload_size)) for n, leaf in enumerate(leaves, first)]
            for at in range(0, len(made), 10):
                shard.append(made[at : at + 10])
            shard.publish()
            if cosign:
                note = Note.parse((shard.public_folder / "checkpoint").read_bytes())
                shard.publish_cosigned(note.with_lines([WITNESS.sign(note.text, 1_790_000_000)]).encode())


def make_house(folder: Path, monkeypatch: Any, witnessed: bool = True, workers: int = 1) -> House:
    """Two custodians have signed; omar has made the gateway."""
    monkeypatch.setitem(PROFILES, "default", SCRYPT_RFC7914_INTERACTIVE)
    members = [Member(person_id=n, roles=(r,), key_pem=SIGNERS[n].public.pem.decode()) for n, r in ROLES.items()]
    vkeys = (str(WITNESS.verifier),) if witnessed else ()
    settings = RoomSettings(v=1, org="bank", room="credit", region="eu", witness_vkeys=vkeys)
    layout = Layout(folder / "room")
    found(layout, settings, members, PASSPHRASE, now())
    repository = open_repository(layout, KeyFile.open(layout.keyring, PASSPHRASE))
    for role in ("root", "targets"):
        for name in ("cora", "cyril"):
            repository.sign(role, SIGNERS[name].public.key_id, SIGNERS[name].sign(repository.draft(role)))
        repository.publish(role, now())
    house = House(folder / "room", witnessed, folder / "gw")
    node = NodeSettings(
        v=1, org="bank", room="credit", region="eu", node="gw", environment="production", jurisdictions=("EU",),
        repository=str(layout.repository), workers=workers, segment_bytes=SEGMENT_BYTES,
    )  # fmt: skip
    with house.at("omar") as desk:
        create_node(desk, house.node, node, PASSPHRASE)
    return house


def leaves(count: int, first: int = 0, **changes: Any) -> list[Leaf]:
    """Leaves like real ones, with fields of the test's choice."""
    return [msgspec.structs.replace(leaf_of(n, payload_of(n, 400)), **changes) for n in range(first, first + count)]
