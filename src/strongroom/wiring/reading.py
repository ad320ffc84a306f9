"""On a person's side: reading about a model, and unsealing it on the record."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from strongroom.adapters.files.safe_files import replace_atomically
from strongroom.adapters.packages.package_folder import write_folder
from strongroom.approval.dossiers import stored_bill
from strongroom.registry import actions as registry
from strongroom.registry.bill import bill_of_materials
from strongroom.registry.card import Figure, model_card
from strongroom.registry.kinds import CONTRACTS
from strongroom.registry.versions import PointerChange, Version
from strongroom.sealing.model_signature import key_hint
from strongroom.sealing.signers import keys_of
from strongroom.validation.results import BatteryResults
from strongroom.vocabulary import ModelRef, digest_of, micros
from strongroom.wiring.judging import validation_of, version_of
from strongroom.wiring.person import AtDesk


def show(desk: AtDesk, ref: ModelRef) -> Version:
    """One version with its state, on the record."""
    room = desk.room
    return registry.show(room.office, desk.ask("show", "Model", ref.name), room.clock(), ref=ref)


def inventory(desk: AtDesk) -> Sequence[Version]:
    """Every version of every model, on the record."""
    room = desk.room
    who = desk.ask("show", "Room", room.settings.room)
    return registry.inventory(room.office, who, room.clock(), room=room.settings.room)


def history(desk: AtDesk, name: str) -> registry.History:
    """All versions and pointer changes of a model, on the record."""
    room = desk.room
    return registry.history(room.office, desk.ask("history", "Model", name), room.clock(), name=name)


def what_was_live(desk: AtDesk, name: str, moment: datetime) -> PointerChange:
    """Which version answered at a moment, and by whose decision."""
    room, who = desk.room, desk.ask("history", "Model", name)
    return registry.what_was_live(room.office, who, room.clock(), name=name, moment=moment)


def card(desk: AtDesk, version: Version) -> str:
    """The model card of a version, with the figures of its signed validation where there is one."""
    with desk.room.desk.begin() as transaction:
        changes = transaction.books.pointers.history(version.ref.name)
    return model_card(version, changes, _figures(desk, version))


def bill(desk: AtDesk, version: Version) -> bytes:
    """The bill of materials as the scan stored it, held against the digest that the scan service signed.

    Of a version that was not scanned yet, or was before scans stored it: drawn up now, without licences.

    Raises:
        TamperedError, NotAuthenticatedError: the scan's statement does not hold, or the bill is not the one it names.
    """
    stored = stored_bill(version, desk.room.means())
    if stored is not None:
        return stored
    return bill_of_materials(version, CONTRACTS[version.contract.kind].outcome)


def _figures(desk: AtDesk, version: Version) -> list[Figure]:
    if "validation" not in version.evidence:
        return []
    found = BatteryResults.decode(desk.room.vault.blobs.get(validation_of(desk, version).results))
    return [
        Figure(
            name=test.title,
            value=test.figure,
            interval=" to ".join(test.interval) if test.interval else "",
            verdict=test.verdict,
        )
        for test in found.tests
        if test.figure is not None
    ]


def unseal(desk: AtDesk, ref: ModelRef, to: Path, reason: str) -> tuple[Path, Path]:
    """Write a version's plain files to a new folder, on the record.

    Returns:
        The author's OpenSSF model signature and public key, beside the folder.

    Raises:
        ConflictError: the folder is not empty.
        TamperedError, NotPermittedError: see `registry.actions.unseal`.
    """
    room, who = desk.room, desk.ask("unseal", "Model", ref.name, reason.encode())
    model, bundle = registry.unseal(
        room.office, who, room.clock(), ref=ref, reason=reason, people=room.register, vault=room.vault
    )
    write_folder(to, model.files)
    version = version_of(desk, ref)
    hint = key_hint(bundle)
    keys = keys_of(room.register, version.author, micros(version.submitted_at)).values()
    pem = next(key.pem for key in keys if digest_of(key.pem) == hint)
    signature, public = to.with_name(to.name + ".sig"), to.with_name(to.name + ".author.pem")
    replace_atomically(signature, bundle, 0o644)
    replace_atomically(public, pem, 0o644)
    return signature, public
