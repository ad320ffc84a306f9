"""Commands on a model's way in: submit, sample, scan, validate, replicate, show, history, unseal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strongroom.cli.context import (
    HomeOption,
    HomePassphrase,
    ModelArgument,
    Reason,
    RoomOption,
    RoomPassphrase,
    at_desk,
    find_version,
    moment_of,
)
from strongroom.cli.extras import demand
from strongroom.cli.output import Json, command, console, demand_folder, save, table, tell
from strongroom.errors import InvalidInputError

if TYPE_CHECKING:
    from strongroom.registry.versions import Version


@command
def submit(
    folder: Annotated[Path, typer.Argument(help="Package folder.", show_default=False)],
    room: RoomOption,
    home: HomeOption,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """Sign a package with your key and hand it in; the room seals it at the door.

    Example: strongroom submit pd-cards-1 --room credit --home ~/ann
    """
    from strongroom.wiring import submitting

    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        version = submitting.submit(desk, folder)
    tell(
        as_json,
        {"model": version.ref.name, "manifest": version.ref.manifest, "state": version.state},
        [f"submitted {version.ref}", f"next: strongroom scan {version.ref}"],
    )


@command
def sample(
    model: ModelArgument,
    validation: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="Validation sample, Parquet.", show_default=False)
    ],
    source: Annotated[str, typer.Option(help="Where the rows come from.", show_default=False)],
    room: RoomOption,
    home: HomeOption,
    protected: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Protected attributes of the same rows, Parquet.")
    ] = None,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """Register and sign the validation sample, as an independent validator.

    Example: strongroom sample pd-cards --validation v.parquet --protected p.parquet --source "drawn 2026-11"
    """
    from strongroom.wiring import submitting

    files = {"validation.parquet": validation.read_bytes()}
    if protected is not None:
        files["protected.parquet"] = protected.read_bytes()
    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        version = submitting.register_sample(desk, find_version(desk.room, model).ref, files, source)
    digest = version.sample.sealed.manifest if version.sample else ""
    tell(as_json, {"model": version.ref.name, "sample": digest}, [f"sample {digest[:12]} registered for {version.ref}"])


@command
def scan(
    model: ModelArgument,
    room: RoomOption,
    home: HomeOption,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """Have the scan service look for unsafe content, in the sandbox.

    Example: strongroom scan pd-cards --room credit --home ~/ann
    """
    from strongroom.wiring import submitting

    demand("validation")
    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        scanned = submitting.scan(desk, find_version(desk.room, model).ref)
    tell(
        as_json,
        {"model": str(scanned.ref), "evidence": scanned.evidence, "entry": str(scanned.entry)},
        [f"scan of {scanned.ref} passed, evidence {scanned.evidence[:12]}"],
    )


@command
def validate(
    model: ModelArgument,
    room: RoomOption,
    home: HomeOption,
    report: Annotated[Path | None, typer.Option(help="Also write the report (HTML) here.")] = None,
    again: Annotated[
        bool,
        typer.Option(
            "--again", help="Only run it again and compare with the signed results; exit code 3 if they differ."
        ),
    ] = False,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """Run the battery of the model's kind on the registered sample, in the sandbox.

    Example: strongroom validate pd-cards --report report.html --room credit --home ~/vera
    """
    from strongroom.errors import EvidenceError
    from strongroom.vocabulary import parse_digest
    from strongroom.wiring import reporting, submitting

    demand_folder(report)
    demand("validation")
    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        ref = find_version(desk.room, model).ref
        if again:
            if report is not None:
                raise InvalidInputError(
                    "`--again` signs and writes nothing; ask for the report without it", field="report", rule="again"
                )
            with console.status("running the battery again in the sandbox ...") as status:
                signed, came = reporting.rerun(desk, ref, lambda line: status.update(f"{line} ..."))
            if signed != came:
                raise EvidenceError(
                    f"the battery gives other results for version {ref} than those signed; compare the tools and the "
                    "processor that the report names, then ask who holds the validation service's key",
                    signed=signed,
                    came=came,
                )
            tell(as_json, {"model": str(ref), "results": came, "same": True}, [f"{ref}: the same results, {came}"])
            return
        try:
            with console.status("running the battery in the sandbox ...") as status:
                validated = submitting.validate(desk, ref, lambda line: status.update(f"{line} ..."))
        except EvidenceError as error:
            if report is not None and "report" in error.details:
                save(report, desk.room.vault.blobs.get(parse_digest(str(error.details["report"]))))
            raise
        if report is not None:
            save(report, desk.room.vault.blobs.get(validated.predicate.report))
    tell(
        as_json,
        {
            "model": str(validated.ref),
            "verdict": validated.predicate.verdict,
            "warnings": list(validated.predicate.warnings),
            "evidence": validated.evidence,
            "entry": str(validated.entry),
        },
        [
            f"validation of {validated.ref}: {validated.predicate.verdict}, evidence {validated.evidence[:12]}",
            *(f"  warning: {warning}" for warning in validated.predicate.warnings),
        ],
    )


@command
def replicate(
    model: ModelArgument,
    room: RoomOption,
    home: HomeOption,
    data: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="What it was trained on, Parquet, if not in the package."),
    ] = None,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """Train a scanned version again from its own code, in the sandbox, and compare; the report shows the outcome.

    Example: strongroom replicate pd-cards --room credit --home ~/vera
    """
    from strongroom.validation.reporting.training_chapter import replication_words
    from strongroom.wiring import submitting

    demand("validation")
    with (
        at_desk(room, room_passphrase, home, passphrase_file) as desk,
        console.status("training again in the sandbox ..."),
    ):
        given = None if data is None else data.read_bytes()
        done = submitting.replicate(desk, find_version(desk.room, model).ref, given)
    tell(
        as_json,
        {
            "model": str(done.ref),
            "outcome": done.predicate.outcome,
            "reason": done.predicate.reason,
            "statement": done.statement,
            "entry": str(done.entry),
        },
        [f"training of {done.ref}: {replication_words(done.predicate)}", f"  statement {done.statement[:12]}"],
    )


def _line(version: Version) -> dict[str, Any]:
    return {
        "version": version.ref.manifest,
        "state": version.state,
        "author": version.author,
        "submitted": version.submitted_at.isoformat(timespec="seconds"),
        "parent": version.parent,
        "evidence": dict(version.evidence),
        "sample": version.sample.sealed.manifest if version.sample else None,
    }


@command
def show(
    room: RoomOption,
    home: HomeOption,
    model: Annotated[
        str | None, typer.Argument(help="Model, or model@digits of one version; all models when left out.")
    ] = None,
    card: Annotated[bool, typer.Option("--card", help="Print the model card (Markdown) instead.")] = False,
    bom: Annotated[bool, typer.Option("--bom", help="Print the bill of materials (CycloneDX 1.6) instead.")] = False,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """Show one version: state, people, digests, lineage; or its model card or bill of materials. Without a model, list
    them all.

    Example: strongroom show pd-cards@50fe21 --card --room credit --home ~/audrey
    """
    from strongroom.wiring import reading

    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        if model is None:
            _list_all(reading.inventory(desk), as_json)
            return
        version = reading.show(desk, find_version(desk.room, model).ref)
        text = reading.card(desk, version) if card else ""
        bill = reading.bill(desk, version) if bom else b""
    if bom:
        # byte for byte, JSON as it is: its digest is the one that the scan service signed
        sys.stdout.write(bill.decode())
        return
    if card:
        tell(as_json, {"card": text}, text.splitlines())
        return
    facts = {
        "model": version.ref.name,
        "title": version.contract.title,
        "tier": version.contract.tier,
        **_line(version),
    }
    facts["lineage"] = {"code_commit": version.contract.lineage.code_commit, **version.contract.lineage.data}
    if as_json:
        tell(True, facts)
        return
    rows = []
    for what, value in facts.items():
        inner = value.items() if isinstance(value, dict) else [("", value)]
        rows += [(f"{what} {name}".strip(), "none" if one is None else one) for name, one in inner]
    table(f"{version.ref}", ["what", "value"], rows)


def _list_all(versions: Sequence[Version], as_json: bool) -> None:
    if as_json:
        tell(True, [{"model": version.ref.name, **_line(version)} for version in versions])
        return
    rows = [(v.ref.name, v.ref.manifest[:12], v.state, v.author, v.contract.title) for v in versions]
    table(f"{len(rows)} version(s)", ["model", "version", "state", "author", "title"], rows)


@command
def history(
    model: ModelArgument,
    room: RoomOption,
    home: HomeOption,
    at: Annotated[str | None, typer.Option(help="Only: what was live at this time (ISO 8601).")] = None,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """All versions of a model and everything that was ever live; or what was live at a moment, and by whose decision.

    Example: strongroom history pd-cards --at 2026-11-21T12:00:00+00:00 --room credit --home ~/audrey
    """
    from strongroom.wiring import reading

    name = model.partition("@")[0]
    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        if at is not None:
            change = reading.what_was_live(desk, name, moment_of(at, "at"))
            facts = {"champion": change.champion, "by": change.by, "since": change.at.isoformat(timespec="seconds")}
            tell(as_json, facts, [f"live: {change.champion}, decided by {change.by} at {facts['since']}"])
            return
        known = reading.history(desk, name)
    versions = [_line(version) for version in known.versions]
    changes = [
        {
            "sequence": change.sequence,
            "at": change.at.isoformat(timespec="seconds"),
            "by": change.by,
            "champion": change.champion,
            "challenger": change.challenger,
        }
        for change in known.changes
    ]
    if as_json:
        tell(True, {"model": name, "versions": versions, "pointers": changes})
        return
    rows = [(line["version"][:12], line["state"], line["author"], line["submitted"]) for line in versions]
    table(f"versions of {name}", ["version", "state", "author", "submitted"], rows)
    moves = [(c["sequence"], c["at"], c["by"], str(c["champion"])[:12]) for c in changes]
    table(f"what was live of {name}", ["#", "since", "by", "champion"], moves)


@command
def unseal(
    model: ModelArgument,
    to: Annotated[Path, typer.Option(help="New folder to write the plain files to.", show_default=False)],
    reason: Reason,
    room: RoomOption,
    home: HomeOption,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """Write a model's plain files and its author's signature to a folder, on the record.

    The public tool then checks it: model_signing verify key TO --signature TO.sig --public_key author.pem

    Example: strongroom unseal pd-cards --to /tmp/pd-cards --reason "supervisor's request 17" --room credit
    """
    from strongroom.wiring import reading

    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        signature, key = reading.unseal(desk, find_version(desk.room, model).ref, to, reason)
    tell(
        as_json,
        {"folder": str(to), "signature": str(signature), "public_key": str(key)},
        [f"unsealed to {to}; signature {signature}; author's key {key}"],
    )
