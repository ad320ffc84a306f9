"""Evidence and sealed files beside the TUF metadata: how the control plane publishes them and a gateway mirrors them.

```
evidence/ab/cdef...                     envelopes by digest
evidence/approvals/<manifest>/index.json   key ids, as a list
evidence/approvals/<manifest>/<key id>.json
sealed/ab/cdef...                       manifests, container indices, wrapped keys and ciphertexts by digest
versions/<manifest>.json                which container and wrapped keys belong to a version
```
None of it is under TUF: files by digest are named by what is, approvals carry their own signatures, and the two index
files can only point at something that does not verify.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.adapters.files.blob_files import BlobFiles
from strongroom.adapters.files.safe_files import replace_atomically
from strongroom.approval.release import Release
from strongroom.encoding import canonical, parse, parse_as
from strongroom.errors import InvalidInputError, NotFoundError, TamperedError
from strongroom.sealing.packages import DOCUMENT_LIMIT, Sealed, SealedPackage, read_index, read_wrapped
from strongroom.sealing.ports import Blobs
from strongroom.serving.admission_ports import TrustedState
from strongroom.vocabulary import Digest, KeyId, ModelRef, digest_of, parse_digest

if TYPE_CHECKING:
    # a worker reads the mirror and fetches nothing: it does not load the TUF client
    from strongroom.adapters.releases.release_fetchers import ReleaseFetcher

EVIDENCE_LIMIT = 16 * 1024 * 1024
APPROVALS_LIMIT = 64


class ReleaseShelf:
    """`approval.ports.EvidenceShelf` and `serving.admission_ports.Evidence` over one folder in that layout.

    On the control plane the folder is the published repository, on a gateway its mirror.

    Args:
        folder: that holds `evidence/` and `sealed/`; made if needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.evidence_blobs = BlobFiles(folder / "evidence", mode=0o644)
        self.sealed_blobs = BlobFiles(folder / "sealed", mode=0o644)

    def put_evidence(self, data: bytes) -> Digest:
        """See `EvidenceShelf`."""
        return self.evidence_blobs.put(data)

    def evidence(self, digest: Digest) -> bytes:
        """See `EvidenceShelf`."""
        return self.evidence_blobs.get(digest)

    def put_approval(self, ref: ModelRef, key_id: KeyId, envelope: bytes) -> None:
        """See `EvidenceShelf`."""
        folder = self._folder / approvals_folder(ref.manifest)
        self._write(folder / f"{parse_digest(key_id)}.json", envelope)
        self._write(folder / "index.json", canonical(sorted({*self._index(ref), key_id})))

    def approvals_by_key(self, ref: ModelRef) -> Mapping[KeyId, bytes]:
        """Approval envelopes by the key id that they were filed under."""
        folder = self._folder / approvals_folder(ref.manifest)
        found: dict[KeyId, bytes] = {}
        for key_id in self._index(ref):
            path = folder / f"{key_id}.json"
            if path.is_file():
                found[key_id] = path.read_bytes()
        return found

    def approvals(self, ref: ModelRef) -> Sequence[bytes]:
        """See `Evidence`."""
        return list(self.approvals_by_key(ref).values())

    def put_version(self, sealed: Sealed) -> None:
        """Say which container and wrapped keys belong to a version; again after its keys were wrapped anew."""
        document = {"container": sealed.container, "wrapped": sealed.wrapped}
        self._write(self._folder / version_path(sealed.manifest), canonical(document))

    def publish_version(self, sealed: Sealed, blobs: Blobs, path: str) -> None:
        """See `EvidenceShelf`."""
        for digest in (sealed.manifest, sealed.container, sealed.wrapped):
            self.sealed_blobs.put(blobs.get(digest))
        for place in read_index(blobs.get(sealed.container), sealed.manifest).files:
            if place.path == path:
                self.sealed_blobs.put(blobs.get(place.sha256))
        self.put_version(sealed)

    def publish_wrapped(self, sealed: Sealed, blobs: Blobs) -> bool:
        """The keys of a version that is here, wrapped anew. Whether it is here."""
        if not (self._folder / version_path(sealed.manifest)).is_file():
            return False
        self.sealed_blobs.put(blobs.get(sealed.wrapped))
        self.put_version(sealed)
        return True

    def wrapped_under(self, manifest: Digest) -> frozenset[str]:
        """Ids of the KEKs that a version's data key is wrapped under here; empty where the version is not here.

        Raises:
            TamperedError, NotFoundError: what is here does not read.
        """
        try:
            document = (self._folder / version_path(manifest)).read_bytes()
        except FileNotFoundError:
            return frozenset()
        wrapped = self.sealed_blobs.get(read_version(document, manifest).wrapped)
        return frozenset(one.kek_id for one in read_wrapped(wrapped, manifest))

    def package(self, ref: ModelRef) -> SealedPackage:
        """See `Evidence`."""
        try:
            document = (self._folder / version_path(ref.manifest)).read_bytes()
        except FileNotFoundError as error:
            raise NotFoundError(f"version {ref} is not in this repository") from error
        return SealedPackage.load(read_version(document, ref.manifest), self.sealed_blobs)

    def _index(self, ref: ModelRef) -> list[KeyId]:
        path = self._folder / approvals_folder(ref.manifest) / "index.json"
        return read_key_ids(path.read_bytes()) if path.is_file() else []

    def _write(self, path: Path, data: bytes) -> None:
        # a mirror is filled again with every refresh: what is there already costs no write and no sync
        if path.is_file() and path.read_bytes() == data:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_atomically(path, data, 0o644)


def sync(state: TrustedState, fetcher: ReleaseFetcher, mirror: ReleaseShelf) -> dict[str, Exception]:
    """Copy what the approved versions need into the mirror: evidence, approvals, documents, and the model's ciphertext.

    Samples stay where they are: a gateway needs none. Files by digest are fetched once.

    Returns:
        Models that could not be completed, and why; admission will refuse them.
    """
    trouble: dict[str, Exception] = {}
    for model, documents in state.releases.items():
        for data in documents.values():
            try:
                _sync_version(parse_as(data, Release), fetcher, mirror)
            except Exception as error:  # one version's trouble does not stop the others
                trouble[model] = error
    return trouble


def _sync_version(release: Release, fetcher: ReleaseFetcher, mirror: ReleaseShelf) -> None:
    ref = ModelRef(release.model, release.manifest)
    fetch_blobs((item.sha256 for item in release.evidence), "evidence", fetcher, mirror.evidence_blobs, EVIDENCE_LIMIT)
    folder = approvals_folder(ref.manifest)
    for key_id in read_key_ids(fetcher.get(f"{folder}/index.json", DOCUMENT_LIMIT)):
        mirror.put_approval(ref, key_id, fetcher.get(f"{folder}/{key_id}.json", EVIDENCE_LIMIT))
    sealed = read_version(fetcher.get(version_path(ref.manifest), DOCUMENT_LIMIT), ref.manifest)
    documents = (sealed.manifest, sealed.container, sealed.wrapped)
    fetch_blobs(documents, "sealed", fetcher, mirror.sealed_blobs, DOCUMENT_LIMIT)
    index = read_index(mirror.sealed_blobs.get(sealed.container), ref.manifest)
    for place in index.files:
        if place.path == release.artifact:
            fetch_blobs([place.sha256], "sealed", fetcher, mirror.sealed_blobs, place.size_bytes)
    mirror.put_version(sealed)


def fetch_blobs(
    digests: Iterable[Digest], shelf: str, fetcher: ReleaseFetcher, blobs: BlobFiles, limit_bytes: int
) -> None:
    """Fetch what is missing, and keep only what has the digest it is called by.

    Raises:
        NotFoundError, UnavailableError: see `ReleaseFetcher.get`.
        TamperedError: other bytes came.
    """
    for digest in digests:
        if digest in blobs:
            continue
        data = fetcher.get(f"{shelf}/{parse_digest(digest)[:2]}/{digest[2:]}", limit_bytes)
        if digest_of(data) != digest:
            raise TamperedError(f"{shelf} {digest[:12]} came with other bytes than its name says")
        blobs.put(data)


def approvals_folder(manifest: Digest) -> str:
    """Where the approvals of a version lie."""
    return f"evidence/approvals/{parse_digest(manifest)}"


def version_path(manifest: Digest) -> str:
    """Where a version's container and wrapped keys are named."""
    return f"versions/{parse_digest(manifest)}.json"


def read_key_ids(data: bytes) -> list[KeyId]:
    """An index of approvals.

    Raises:
        TamperedError: it is not a short list of key ids.
    """
    try:
        found = parse_as(data, list[str], DOCUMENT_LIMIT)
        if len(found) > APPROVALS_LIMIT:
            raise TamperedError("an index of approvals lists too many keys")
        return [KeyId(parse_digest(item)) for item in found]
    except InvalidInputError as error:
        raise TamperedError("an index of approvals does not read") from error


def read_version(data: bytes, manifest: Digest) -> Sealed:
    """Which documents belong to a version.

    Raises:
        TamperedError: it does not read.
    """
    try:
        document = parse(data, DOCUMENT_LIMIT)
        return Sealed(manifest, parse_digest(document["container"]), parse_digest(document["wrapped"]))
    except (KeyError, TypeError, InvalidInputError) as error:
        raise TamperedError(f"the place of version {manifest[:12]} does not read") from error
