"""Seal a package, and open it again only if it is whole and its author's."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from strongroom.encoding import canonical
from strongroom.errors import InvalidInputError, NotFoundError, TamperedError
from strongroom.sealing.container import DATA_KEY_BYTES, SCHEME, open_file, seal_file
from strongroom.sealing.keys import PublicKey
from strongroom.sealing.manifest import FileEntry, Manifest
from strongroom.sealing.model_signature import verify_model
from strongroom.sealing.packages import (
    ContainerIndex,
    Sealed,
    SealedFile,
    SealedPackage,
    key_context,
    read_index,
    read_wrapped,
    unwrap_data_key,
    write_wrapped,
)
from strongroom.sealing.ports import Blobs, KeyRing
from strongroom.vocabulary import Digest, KeyId, ModelRef, digest_of


@dataclass(frozen=True, slots=True)
class VerifiedModel:
    """Plaintext that is byte for byte what its author signed. Made by `open_sealed` alone; it lives in memory only.

    Attributes:
        ref: name and manifest digest.
        manifest: every file of the version, opened or not.
        author_key: whose signature covers it.
        files: the opened files by path.
    """

    ref: ModelRef
    manifest: Manifest
    author_key: KeyId
    files: Mapping[str, bytes] = field(repr=False)

    def by_role(self, role: str) -> bytes:
        """The content of the only file of `role`.

        Raises:
            InvalidInputError: the version has not exactly one, or it was not opened.
        """
        entry = self.manifest.by_role(role)
        if entry.path not in self.files:
            raise InvalidInputError(f"the file of role `{role}` was not opened", field="role", rule="opened")
        return self.files[entry.path]


def seal_package(
    files: Mapping[str, bytes], manifest: Manifest, *, ring: KeyRing, blobs: Blobs, data_key: bytes
) -> Sealed:
    """Encrypt the files and store ciphertext and documents.

    Args:
        files: content by path, exactly what `manifest` names.
        manifest: of these files.
        ring: wraps the data key.
        blobs: receives ciphertext, manifest, index and wrapped keys; never plaintext.
        data_key: 32 random bytes, used for nothing else.

    Raises:
        TamperedError: a file is not the one that the manifest names.
        UnavailableError: storing failed; blobs without a reference may remain, they hold ciphertext.
    """
    if files.keys() != {entry.path for entry in manifest}:
        raise TamperedError("the files are not those that the manifest names")
    if len(data_key) != DATA_KEY_BYTES:
        raise InvalidInputError(f"a data key has {DATA_KEY_BYTES} bytes", field="data_key", rule="length")
    wrapped = ring.wrap(data_key, key_context(manifest.digest))
    listed = []
    for entry in manifest:
        check_content(entry, files[entry.path])
        ciphertext = seal_file(files[entry.path], data_key, manifest.digest, entry.path)
        listed.append(SealedFile(path=entry.path, sha256=blobs.put(ciphertext), size_bytes=len(ciphertext)))
    index = ContainerIndex(v=1, manifest=manifest.digest, scheme=SCHEME, files=tuple(listed))
    return Sealed(
        blobs.put(manifest.encode()),
        blobs.put(canonical(index)),
        blobs.put(write_wrapped(manifest.digest, wrapped)),
    )


def open_sealed(
    package: SealedPackage,
    ref: ModelRef,
    *,
    bundle: bytes,
    author: PublicKey,
    ring: KeyRing,
    blobs: Blobs,
    only: Collection[str] | None = None,
) -> VerifiedModel:
    """Verify and decrypt a model version.

    1. the manifest's digest is the one in `ref`;
    2. the author's model signature covers exactly the files of the manifest, under this name;
    3. the container index names exactly the files of the manifest;
    4. the data key unwraps for this manifest;
    5. each ciphertext has its digest and decrypts for this manifest and path;
    6. each plaintext has the size and digest of the manifest.

    Args:
        package: manifest, index and wrapped keys as stored.
        ref: what a trusted document says this is.
        bundle: the author's OpenSSF model signature.
        author: the author's public key, from the people register.
        ring: unwraps the data key.
        blobs: where the ciphertexts are.
        only: paths to decrypt; None for all.

    Raises:
        TamperedError: one of these fails, or a ciphertext is missing.
        InvalidInputError: `only` names a path that is not in the manifest.
        UnavailableError: the ring holds no KEK that the wrapped keys name, or the store does not answer.
    """
    # 1
    manifest = Manifest.decode(package.manifest, ref.manifest)
    # 2
    verify_model(bundle, ref.name, manifest, author)
    # 3 to 6
    files = open_files(package, ref.manifest, ring=ring, blobs=blobs, only=only)
    return VerifiedModel(ref, manifest, author.key_id, files)


def open_files(
    package: SealedPackage, expected: Digest, *, ring: KeyRing, blobs: Blobs, only: Collection[str] | None = None
) -> Mapping[str, bytes]:
    """Steps 3 to 6 of `open_sealed`, for files that a signed statement names by their manifest digest (samples).

    Args:
        expected: manifest digest from a document that the caller verified.

    Raises:
        As `open_sealed`.
    """
    manifest = Manifest.decode(package.manifest, expected)
    wanted = [entry for entry in manifest if only is None or entry.path in only]
    if only is not None and len(wanted) != len(set(only)):
        raise InvalidInputError(
            "the manifest does not name every file that was asked for", field="only", rule="manifest"
        )
    # 3
    index = read_index(package.container, expected)
    if [sealed.path for sealed in index.files] != [entry.path for entry in manifest]:
        raise TamperedError(f"the container of version {expected[:12]} does not hold the files of its manifest")
    places = {sealed.path: sealed for sealed in index.files}
    # 4
    data_key = unwrap_data_key(package.wrapped, expected, ring)
    files: dict[str, bytes] = {}
    for entry in wanted:
        # 5
        place = places[entry.path]
        try:
            ciphertext = blobs.get(place.sha256)
        except NotFoundError as error:
            # The documents are here and what they name is not: index changed or ciphertext removed, nobody can tell.
            raise TamperedError(f"a sealed file of version {expected[:12]} is not in the store") from error
        if len(ciphertext) != place.size_bytes or digest_of(ciphertext) != place.sha256:
            raise TamperedError(f"a sealed file of version {expected[:12]} is not the one that its container names")
        plaintext = open_file(ciphertext, data_key, expected, entry.path)
        # 6
        check_content(entry, plaintext)
        files[entry.path] = plaintext
    return MappingProxyType(files)


def rewrap(package: SealedPackage, manifest: Digest, *, ring: KeyRing, keep: bool) -> bytes:
    """The wrapped-keys document with the data key under the ring's current KEK.

    Args:
        keep: leave the wrappings under other KEKs in place (while gateways still hold the old one), or drop them.

    Raises:
        TamperedError, UnavailableError: the data key does not unwrap.
    """
    data_key = unwrap_data_key(package.wrapped, manifest, ring)
    others = read_wrapped(package.wrapped, manifest) if keep else ()
    fresh = ring.wrap(data_key, key_context(manifest))
    return write_wrapped(manifest, fresh, *(other for other in others if other.kek_id != fresh.kek_id))


def check_content(entry: FileEntry, content: bytes) -> None:
    """Raises TamperedError unless `content` has the size and digest of `entry`."""
    if len(content) != entry.size_bytes or digest_of(content) != entry.sha256:
        raise TamperedError("a file is not the one that its manifest names")
