"""On a person's side: a model's way in, up to its validation."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from strongroom.access.principals import Principal
from strongroom.adapters.packages.package_folder import read_folder
from strongroom.adapters.runtimes.cpu import isa_class
from strongroom.adapters.tables.parquet import parquet_rows
from strongroom.approval import actions as approval
from strongroom.approval import trust_policy as paths
from strongroom.encoding import canonical
from strongroom.office.acts import Act, EntryRef, Resource
from strongroom.registry import actions as registry
from strongroom.registry.packages import read_package
from strongroom.registry.samples import VALIDATION_FILE, sign_sample
from strongroom.registry.versions import Version
from strongroom.sealing.model_signature import sign_model
from strongroom.sealing.statements import SCAN, VALIDATION
from strongroom.validation import replicating, scanning, validating
from strongroom.validation.results import ValidationPredicate
from strongroom.validation.scans.scan import ScanPredicate
from strongroom.vocabulary import ModelRef, digest_of, micros
from strongroom.wiring.custody import stage_delegation
from strongroom.wiring.long_work import taken_up
from strongroom.wiring.person import AtDesk
from strongroom.wiring.resuming import catch_up, newest_entry, stated, without_case


def delegate(desk: AtDesk, model: str, approvers: Sequence[str]) -> EntryRef:
    """Prepare a model's delegation to its approvers, for custodians to sign.

    Raises:
        NotPermittedError, FourEyesError, NotFoundError: see `custody.stage_delegation`.
    """
    room = desk.room
    body = canonical({"approvers": list(approvers), "delegate": model})
    who, at = desk.ask("people", "People", "register", body), room.clock()
    with room.office.open(Act(who, "people", Resource("People", "register"), at)) as books:
        draft = stage_delegation(room, model, approvers, at)
        books.note(model=model, approvers=",".join(approvers), draft=digest_of(draft))
    return books.receipt


def submit(desk: AtDesk, folder: Path) -> Version:
    """Sign a package and hand it in. Repeated after an interruption, it opens the case that was not opened then.

    Raises:
        UnsafeArtifactError, InvalidInputError, TooLargeError: the package breaks a rule.
        ConflictError, NotPermittedError: see `registry.actions.submit`.
    """
    files = read_folder(folder)
    package = read_package(files)
    name = package.contract.name
    bundle = sign_model(name, package.manifest, desk.home)
    who = desk.ask("submit", "Model", name, bundle)
    room = desk.room
    begun = without_case(desk, who.id, package.ref)
    version = begun or registry.submit(
        room.office,
        who,
        room.clock(),
        name=name,
        files=files,
        bundle=bundle,
        people=room.register,
        vault=room.vault,
        data_key=os.urandom(32),
    )
    _open_case(desk, who, version.ref)
    return version


def _open_case(desk: AtDesk, who: Principal, ref: ModelRef) -> None:
    room = desk.room
    approval.open_case(
        room.office,
        who,
        room.clock(),
        case_id=f"{ref.name}-{ref.manifest[:12]}",
        ref=ref,
        diagram=room.document(paths.DIAGRAM_PATH),
        means=room.means(),
    )


def register_sample(desk: AtDesk, ref: ModelRef, files: Mapping[str, bytes], source: str) -> Version:
    """Sign the validation sample and hand it in.

    Args:
        ref: the version it is for.
        files: `validation.parquet`, and `protected.parquet` when the contract lists protected attributes.
        source: where the rows come from, in words.
    """
    room = desk.room
    at = room.clock()
    rows = parquet_rows(files[VALIDATION_FILE]) if VALIDATION_FILE in files else 0
    envelope = sign_sample(ref, files, desk.home, person=desk.person, rows=rows, source=source, at_us=micros(at))
    who = desk.ask("register-sample", "Model", ref.name, envelope)
    return registry.register_sample(
        room.office,
        who,
        at,
        ref=ref,
        files=files,
        envelope=envelope,
        people=room.register,
        vault=room.vault,
        data_key=os.urandom(32),
    )


def scan(desk: AtDesk, ref: ModelRef) -> scanning.Scanned:
    """Have the scan service look at a version. Repeated after an interruption, it hands back what was found then."""
    room, who = desk.room, desk.ask("scan", "Model", ref.name)
    done = catch_up(desk, ref).get("scan")
    if done is not None:
        found = stated(desk, done, "scan", SCAN, "scanner", ScanPredicate)
        return scanning.Scanned(ref, done.evidence["scan"], found, newest_entry(desk))
    with taken_up(desk, "scan", ref, who) as work:
        prepared = scanning.prepare(
            room.office, who, room.clock(), ref=ref, people=room.register, vault=room.vault, policy=room.means().judging
        )
        predicate = work.apart(lambda: scanning.work(prepared, desk.sandbox, room.clock()))
        scanned = scanning.enter(
            room.office,
            work.who,
            room.clock(),
            prepared=prepared,
            predicate=predicate,
            vault=room.vault,
            signer=room.keys.signer("scanner"),
            policy=room.means().judging,
        )
        approval.follow(room.office, work.who, room.clock(), ref=ref, kind="scan", means=room.means())
    return scanned


def validate(desk: AtDesk, ref: ModelRef, progress: Callable[[str], None] | None = None) -> validating.Validated:
    """Have the validation service run the battery. Repeated after an interruption, it hands back what was found.

    Args:
        progress: is given what the battery says of its progress, where the desk's sandbox is our own.
    """
    room, who = desk.room, desk.ask("validate", "Model", ref.name)
    done = catch_up(desk, ref).get("validate")
    if done is not None:
        found = stated(desk, done, "validation", VALIDATION, "validation-service", ValidationPredicate)
        return validating.Validated(ref, done.evidence["validation"], found, newest_entry(desk))
    with taken_up(desk, "validate", ref, who) as work:
        prepared = validating.prepare(
            room.office, who, room.clock(), ref=ref, people=room.register, vault=room.vault, policy=room.means().judging
        )
        worked = work.apart(lambda: validating.work(prepared, sandbox=desk.watched(progress), isa=isa_class()))
        validated = validating.enter(
            room.office,
            work.who,
            room.clock(),
            prepared=prepared,
            worked=worked,
            vault=room.vault,
            signer=room.keys.signer("validation-service"),
            policy=room.means().judging,
        )
        approval.follow(room.office, work.who, room.clock(), ref=ref, kind="validate", means=room.means())
    return validated


def replicate(desk: AtDesk, ref: ModelRef, data: bytes | None = None) -> replicating.Replicated:
    """Have the validation service train a version again from its own code, on `data` where the package has not got
    what it was trained on."""
    body = b"" if data is None else canonical({"data": digest_of(data)})
    room, who = desk.room, desk.ask("replicate", "Model", ref.name, body)
    with taken_up(desk, "replicate", ref, who) as work:
        prepared = replicating.prepare(room.office, who, room.clock(), ref=ref, people=room.register, vault=room.vault)
        predicate = work.apart(lambda: replicating.work(prepared, desk.sandbox, room.clock(), data))
        return replicating.enter(
            room.office,
            work.who,
            room.clock(),
            ref=ref,
            predicate=predicate,
            vault=room.vault,
            signer=room.keys.signer("validation-service"),
        )
