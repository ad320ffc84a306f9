"""The verb `replicate`: train a version again from its own code, sign what came of it, put it on its shelf."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from strongroom.access.people import PeopleRegister
from strongroom.access.principals import Principal
from strongroom.errors import ConflictError
from strongroom.office.acts import Act, EntryRef, Resource
from strongroom.registry.actions import Vault, open_sample, open_version
from strongroom.registry.ports import Door, RegistryBooks
from strongroom.registry.samples import VALIDATION_FILE
from strongroom.registry.versions import Paper
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


def replicate(
    door: Door[RegistryBooks],
    by: Principal,
    at: datetime,
    *,
    ref: ModelRef,
    people: PeopleRegister,
    vault: Vault,
    sandbox: Sandbox,
    signer: Signer,
    data: bytes | None = None,
) -> Replicated:
    """Run a version's training script in the sandbox. The version stays where it is; the report shows the outcome.

    Args:
        by: who asks; the statement is signed by the service, whoever asked.
        people: the register in force.
        vault: where version and sample lie; receives the signed statement.
        sandbox: where the script runs.
        signer: the validation service's key.
        data: the file that the model was trained on, where the package does not hold it. It is kept nowhere.

    Raises:
        InvalidInputError: `data` is not the file that the contract names.
        ConflictError: the version was not scanned yet, or came to its end.
        TamperedError: version or sample are not what their people signed.
        NotFoundError, NotPermittedError, UnavailableError: as usual.
    """
    with door.open(Act(by, "replicate", Resource("Model", ref.name), at)) as books:
        version = books.versions.get(ref)
        if version.state in ("submitted", "rejected", "retired"):  # before minutes are spent on it
            raise ConflictError(
                f"version {ref} is {version.state}; a script is run after `strongroom scan`, and not after the end"
            )
        model, _ = open_version(version, people=people, vault=vault)
        rows = None if version.sample is None else open_sample(version, vault=vault)[VALIDATION_FILE]
        predicate = replicate_training(version.contract, model.files, rows, sandbox, micros(at), data=data)
        statement = vault.blobs.put(sign_envelope(make_statement(ref, REPLICATION, predicate), signer))
        books.versions.save(version.with_paper(Paper("replication", statement)))
        books.note(manifest=ref.manifest, statement=statement, outcome=predicate.outcome)
    return Replicated(ref, statement, predicate, books.receipt)
