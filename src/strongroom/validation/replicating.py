"""The verb `replicate`: train a version again from its own code, sign what came of it, put it on its shelf."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from msgspec import structs

from strongroom.access.people import PeopleRegister
from strongroom.access.principals import Principal
from strongroom.errors import ConflictError
from strongroom.office.acts import Act, EntryRef, Resource
from strongroom.registry.actions import Vault, open_sample, open_version
from strongroom.registry.ports import Door, RegistryBooks
from strongroom.registry.samples import VALIDATION_FILE
from strongroom.registry.versions import Paper, Version
from strongroom.sealing.dsse import sign_envelope
from strongroom.sealing.keys import Signer
from strongroom.sealing.statements import REPLICATION, make_statement
from strongroom.validation.ports import Sandbox
from strongroom.validation.workshop.replication import ReplicationPredicate, replicate_training
from strongroom.vocabulary import Digest, ModelRef, micros


@dataclass(frozen=True, slots=True)
class Replicated:
    """Training done again, whatever came of it.

    Attributes:
        ref: of which version.
        statement: digest of the signed statement.
        predicate: what it says.
        entry: where the act stands in the governance log.
    """

    ref: ModelRef
    statement: Digest
    predicate: ReplicationPredicate
    entry: EntryRef


@dataclass(frozen=True, slots=True)
class Prepared:
    """A training that may be done again.

    Attributes:
        version: as the books have it.
        files: of the package, in the clear; in memory only.
        rows: the validator's sample, if there is one.
    """

    version: Version
    files: Mapping[str, bytes] = field(repr=False)
    rows: bytes | None = field(repr=False)


def prepare(
    door: Door[RegistryBooks], by: Principal, at: datetime, *, ref: ModelRef, people: PeopleRegister, vault: Vault
) -> Prepared:
    """Before minutes are spent on it: whether a version's script may be run, and what it is given. Nothing is kept.

    Args:
        by: who asks.
        people: the register in force.
        vault: where version and sample lie.

    Raises:
        ConflictError: the version was not scanned yet, or came to its end.
        TamperedError: version or sample are not what their people signed.
        NotFoundError, NotPermittedError, UnavailableError: as usual.
    """
    with door.prepare(Act(by, "replicate", Resource("Model", ref.name), at)) as books:
        version = books.versions.get(ref)
        _demand_ready(version)
        model, _ = open_version(version, people=people, vault=vault)
        rows = None if version.sample is None else open_sample(version, vault=vault)[VALIDATION_FILE]
    return Prepared(version, model.files, rows)


def work(prepared: Prepared, sandbox: Sandbox, at: datetime, data: bytes | None = None) -> ReplicationPredicate:
    """Run the script in the sandbox and compare.

    Args:
        prepared: what to work on.
        sandbox: where the script runs.
        at: now.
        data: the file that the model was trained on, where the package does not hold it. It is kept nowhere.

    Raises:
        InvalidInputError: `data` is not the file that the contract names.
        UnavailableError: this machine cannot isolate.
    """
    contract = prepared.version.contract
    return replicate_training(contract, prepared.files, prepared.rows, sandbox, micros(at), data=data)


def enter(
    door: Door[RegistryBooks],
    by: Principal,
    at: datetime,
    *,
    ref: ModelRef,
    predicate: ReplicationPredicate,
    vault: Vault,
    signer: Signer,
) -> Replicated:
    """Sign what came of it and put it on the version's shelf. The version stays where it is; the report shows it.

    What was trained again are the package's own bytes, which never change: the version may have gone on meanwhile.

    Args:
        by: who asked; the statement is signed by the service, whoever asked.
        at: now, after the work.
        predicate: what came of it.
        vault: receives the signed statement.
        signer: the validation service's key.

    Raises:
        ConflictError: the version came to its end meanwhile.
        NotFoundError, NotPermittedError, UnavailableError: as usual.
    """
    with door.open(Act(by, "replicate", Resource("Model", ref.name), at)) as books:
        version = books.versions.get(ref)
        _demand_ready(version)
        predicate = structs.replace(predicate, at_us=micros(at))
        statement = vault.blobs.put(sign_envelope(make_statement(ref, REPLICATION, predicate), signer))
        books.versions.save(version.with_paper(Paper("replication", statement)))
        books.note(manifest=ref.manifest, statement=statement, outcome=predicate.outcome)
    return Replicated(ref, statement, predicate, books.receipt)


def _demand_ready(version: Version) -> None:
    if version.state in ("submitted", "rejected", "retired"):
        raise ConflictError(
            f"version {version.ref} is {version.state}; a script is run after `strongroom scan`, and not after the end"
        )
