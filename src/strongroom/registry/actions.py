"""The registry's verbs: submit, register a sample, show, inventory, history, what was live, unseal, wrap keys anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from strongroom.access.people import PeopleRegister
from strongroom.access.principals import Principal
from strongroom.errors import ConflictError, InvalidInputError, NotFoundError, NotPermittedError, TamperedError
from strongroom.office.acts import Act, Resource
from strongroom.registry.packages import read_package
from strongroom.registry.ports import Door, RegistryBooks
from strongroom.registry.samples import PROTECTED_FILE, SampleStatement, sample_manifest
from strongroom.registry.versions import PointerChange, Sample, Version, live_at
from strongroom.sealing.dsse import open_envelope
from strongroom.sealing.keys import PublicKey
from strongroom.sealing.model_signature import key_hint, verify_model
from strongroom.sealing.packages import Sealed, SealedPackage
from strongroom.sealing.ports import Blobs, KeyRing
from strongroom.sealing.sealed import VerifiedModel, open_files, open_sealed, rewrap, seal_package
from strongroom.sealing.signers import keys_of
from strongroom.sealing.statements import SAMPLE, read_statement
from strongroom.vocabulary import Digest, ModelRef, digest_of, micros


@dataclass(frozen=True, slots=True)
class Vault:
    """Where sealed things lie: ciphertext, and the keys that open it."""

    ring: KeyRing
    blobs: Blobs


def submit(
    door: Door[RegistryBooks],
    by: Principal,
    at: datetime,
    *,
    name: str,
    files: Mapping[str, bytes],
    bundle: bytes,
    people: PeopleRegister,
    vault: Vault,
    data_key: bytes,
) -> Version:
    """Take a package in: check it, verify its author's signature, seal it, register it.

    The plaintext is in memory only; what is stored is ciphertext.

    Args:
        by: the author, authenticated.
        name: the model's name, as the author's request says it.
        files: content by path.
        bundle: the author's OpenSSF model signature over exactly these files.
        people: the register in force.
        vault: receives the ciphertext.
        data_key: 32 random bytes, for this package alone.

    Raises:
        UnsafeArtifactError, InvalidInputError, TooLargeError: the package breaks a rule.
        TamperedError: the signature does not cover exactly these files under this name.
        NotAuthenticatedError: no key of the author counts.
        NotPermittedError: the policies, or the signature is by someone else's key.
        ConflictError: this version is here already, or its parent is not.
    """
    with door.open(Act(by, "submit", Resource("Model", name), at)) as books:
        package = read_package(files)
        if package.contract.name != name:
            raise InvalidInputError(
                f"the package is of model `{package.contract.name}`, not `{name}`", field="name", rule="name"
            )
        key = _signing_key(bundle, keys_of(people, by.id, micros(at)).values(), by)
        verify_model(bundle, name, package.manifest, key)
        known = books.versions.of_model(name)
        parent = package.contract.lineage.parent
        if parent is not None and all(version.ref.manifest != parent for version in known):
            raise ConflictError(f"`{name}` has no version {parent[:12]} to be the parent; submit that first")
        if any(version.ref == package.ref for version in known):
            raise ConflictError(f"version {package.ref} is registered already")
        sealed = seal_package(package.files, package.manifest, ring=vault.ring, blobs=vault.blobs, data_key=data_key)
        version = Version(
            ref=package.ref,
            author=by.id,
            submitted_at=at,
            contract=package.contract,
            bundle=vault.blobs.put(bundle),
            sealed=sealed,
        )
        books.versions.add(version)
        books.note(
            manifest=package.ref.manifest,
            submission=version.bundle,
            container=sealed.container,
            key_id=key.key_id,
            kek_id=vault.ring.current_kek,
        )
    return version


def register_sample(
    door: Door[RegistryBooks],
    by: Principal,
    at: datetime,
    *,
    ref: ModelRef,
    files: Mapping[str, bytes],
    envelope: bytes,
    people: PeopleRegister,
    vault: Vault,
    data_key: bytes,
) -> Version:
    """Take in the validation sample that an independent validator chose and signed for one version.

    Args:
        by: the validator, authenticated.
        files: `validation.parquet`, and `protected.parquet` when the contract lists protected attributes.
        envelope: the validator's signed `sample` statement (`samples.sign_sample`).
        data_key: 32 random bytes, for this sample alone.

    Raises:
        FourEyesError: the validator is the author.
        TamperedError: the statement does not verify, or is about other files or another version.
        NotPermittedError: the policies, or the statement is in someone else's name.
        ConflictError: the version has a sample, or is past validation.
        UnsafeArtifactError, InvalidInputError: the files break a rule.
    """
    with door.open(Act(by, "register-sample", Resource("Model", ref.name), at)) as books:
        version = books.versions.get(ref)
        manifest = sample_manifest(files)
        if (PROTECTED_FILE in files) != bool(version.contract.protected):
            raise InvalidInputError(
                f"`{PROTECTED_FILE}` comes with the sample exactly when the contract lists protected attributes",
                field="files",
                rule="protected",
            )
        opened = open_envelope(envelope, keys_of(people, by.id, micros(at)))
        about, statement = read_statement(opened.payload, SAMPLE, SampleStatement)
        if about != ref or statement.manifest != manifest.digest:
            raise TamperedError("the sample statement is about another version or other files")
        if statement.person != by.id:
            raise NotPermittedError(f"the sample statement is in the name of someone other than `{by.id}`")
        # A refusal after this line leaves ciphertext that nothing names; `fsck` counts such blobs.
        sealed = seal_package(files, manifest, ring=vault.ring, blobs=vault.blobs, data_key=data_key)
        sample = Sample(by.id, at, vault.blobs.put(envelope), sealed)
        version = version.with_sample(sample)
        books.versions.save(version)
        books.note(manifest=ref.manifest, sample=manifest.digest, statement=sample.statement, rows=statement.rows)
    return version


def show(door: Door[RegistryBooks], by: Principal, at: datetime, *, ref: ModelRef) -> Version:
    """One version, with its state.

    Raises:
        NotFoundError: no such version.
        NotPermittedError: the policies.
    """
    with door.open(Act(by, "show", Resource("Model", ref.name), at)) as books:
        version = books.versions.get(ref)
        books.note(manifest=ref.manifest)
    return version


def inventory(door: Door[RegistryBooks], by: Principal, at: datetime, *, room: str) -> Sequence[Version]:
    """Every version of every model, by name and then by submission.

    Raises:
        NotPermittedError: the policies.
    """
    with door.open(Act(by, "show", Resource("Room", room), at)) as books:
        return [version for name in books.versions.models() for version in books.versions.of_model(name)]


@dataclass(frozen=True, slots=True)
class History:
    """All that the registry knows of one model: versions by submission, pointer changes by sequence."""

    versions: Sequence[Version]
    changes: Sequence[PointerChange]


def history(door: Door[RegistryBooks], by: Principal, at: datetime, *, name: str) -> History:
    """All versions of a model and everything that was ever live.

    Raises:
        NotFoundError: no version of such a model was ever submitted.
        NotPermittedError: the policies.
    """
    with door.open(Act(by, "history", Resource("Model", name), at)) as books:
        versions = books.versions.of_model(name)
        if not versions:
            raise NotFoundError(
                f"no version of a model `{name}` was submitted; `strongroom show` without a model lists what there is"
            )
        return History(versions, books.pointers.history(name))


def what_was_live(
    door: Door[RegistryBooks], by: Principal, at: datetime, *, name: str, moment: datetime
) -> PointerChange:
    """Which version was live at `moment`, and by whose decision.

    Raises:
        NotFoundError: none was.
        NotPermittedError: the policies.
    """
    with door.open(Act(by, "history", Resource("Model", name), at)) as books:
        books.note(moment_us=micros(moment))
        return live_at(books.pointers.history(name), moment)


def unseal(
    door: Door[RegistryBooks],
    by: Principal,
    at: datetime,
    *,
    ref: ModelRef,
    reason: str,
    people: PeopleRegister,
    vault: Vault,
) -> tuple[VerifiedModel, bytes]:
    """Open a version in the clear, on the record. The only way for plaintext to leave; the caller writes it.

    Args:
        reason: why, for the log.

    Returns:
        The verified files, and the author's signature, so that `model_signing verify` can repeat the check.

    Raises:
        TamperedError: anything differs from what the author signed.
        NotFoundError: no such version.
        NotPermittedError: the policies.
        InvalidInputError: no reason was given.
    """
    with door.open(Act(by, "unseal", Resource("Model", ref.name), at)) as books:
        if not 0 < len(reason.strip()) <= 1000:
            raise InvalidInputError("say why the model is unsealed", field="reason", rule="documented")
        version = books.versions.get(ref)
        books.note(manifest=ref.manifest, reason=reason)
        return open_version(version, people=people, vault=vault)


def open_version(version: Version, *, people: PeopleRegister, vault: Vault) -> tuple[VerifiedModel, bytes]:
    """A version's files and the author's signature over them. For verbs behind the door already (scan, validate).

    Raises:
        TamperedError: anything differs from what the author signed.
        NotAuthenticatedError: no key of the author's counted when they submitted.
        UnavailableError, NotFoundError: a blob or key is not here.
    """
    bundle = vault.blobs.get(version.bundle)
    keys = keys_of(people, version.author, micros(version.submitted_at))
    try:
        author = _signing_key(bundle, keys.values(), None)
    except NotPermittedError as error:
        raise TamperedError(f"the signature of version {version.ref} is not by a key of `{version.author}`") from error
    package = SealedPackage.load(version.sealed, vault.blobs)
    model = open_sealed(package, version.ref, bundle=bundle, author=author, ring=vault.ring, blobs=vault.blobs)
    return model, bundle


def open_sample(version: Version, *, vault: Vault) -> Mapping[str, bytes]:
    """The files of the registered validation sample, by path. For verbs behind the door.

    Raises:
        ConflictError: no sample is registered.
        TamperedError: the files are not those that the validator signed.
    """
    if version.sample is None:
        raise ConflictError(f"version {version.ref} has no validation sample; the validator registers one first")
    sealed = version.sample.sealed
    package = SealedPackage.load(sealed, vault.blobs)
    return open_files(package, sealed.manifest, ring=vault.ring, blobs=vault.blobs)


def wrap_anew(
    door: Door[RegistryBooks], by: Principal, at: datetime, *, room: str, vault: Vault, keep: bool = True
) -> int:
    """Wrap the data keys of all versions and samples under the ring's current KEK. No other digest changes.

    Args:
        room: the room's name.
        keep: leave older wrappings in place until gateways hold the new KEK.

    Returns:
        How many data keys were wrapped anew.

    Raises:
        NotPermittedError: the policies.
        TamperedError, UnavailableError: a data key does not unwrap; nothing was changed.
    """
    count = 0
    with door.open(Act(by, "rotate-key", Resource("Room", room), at)) as books:
        for name in books.versions.models():
            for version in books.versions.of_model(name):
                wrapped = _wrapped_anew(version.sealed, vault, keep)
                sample = None if version.sample is None else _wrapped_anew(version.sample.sealed, vault, keep)
                books.versions.save(version.rewrapped(wrapped, sample))
                count += 1 if sample is None else 2
        books.note(kek_id=vault.ring.current_kek, data_keys=count)
    return count


def _wrapped_anew(sealed: Sealed, vault: Vault, keep: bool) -> Digest:
    package = SealedPackage.load(sealed, vault.blobs)
    return vault.blobs.put(rewrap(package, sealed.manifest, ring=vault.ring, keep=keep))


def _signing_key(bundle: bytes, keys: Iterable[PublicKey], by: Principal | None) -> PublicKey:
    """The key among `keys` that the bundle names. The name is a hint; `verify_model` proves it.

    Raises:
        NotPermittedError: it names none of them.
        TamperedError: it is not a bundle.
    """
    hint = key_hint(bundle)
    for key in keys:
        if digest_of(key.pem) == hint:
            return key
    raise NotPermittedError(
        f"the model is not signed with a key of `{by.id}`" if by else "another key signed the model"
    )
