"""One changed byte, anywhere in what a gateway reads of a release: refused, or the same trusted values.

More than 2,000 positions over metadata and register (through the TUF client), metadata, evidence and approvals (through
admission alone, as if TUF had let them pass), and the sealed bundle. Positions that change nothing that is trusted are
listed where they are met, with the reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tuf.api.exceptions import DownloadHTTPError

from strongroom.adapters.releases.release_fetchers import ReleaseFetcher
from strongroom.adapters.releases.time_floor import TimeFloor
from strongroom.adapters.releases.tuf_client import ReleaseClient
from strongroom.approval.role_metadata import read_role
from strongroom.errors import RefusedError, StrongroomError, TamperedError
from strongroom.sealing.packages import SealedPackage, read_index
from strongroom.sealing.sealed import open_sealed
from strongroom.serving.admission import Refusal, admit
from strongroom.serving.admission_ports import TrustedState
from strongroom.serving.admitted import AdmittedModel
from strongroom.vocabulary import Digest, ModelRef, digest_of
from tests.memory.blobs import MemoryBlobs
from tests.simulator import MODEL, Room, signer


def changed(data: bytes, count: int) -> Iterator[bytes]:
    """`count` copies of `data`, each with one bit changed, spread evenly, all eight bits in turn."""
    for turn in range(count):
        position = turn * len(data) // count
        yield data[:position] + bytes([data[position] ^ (1 << (turn % 8))]) + data[position + 1 :]


class MemoryFetcher(ReleaseFetcher):
    """A repository in memory."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    def _stream(self, path: str) -> Iterator[bytes]:
        if path not in self._files:
            raise DownloadHTTPError("not here", 404)
        yield self._files[path]


@dataclass
class Mirror:
    """Evidence that returns whatever it is told to."""

    blobs: dict[Digest, bytes]
    envelopes: Sequence[bytes]
    files: SealedPackage

    def evidence(self, digest: Digest) -> bytes:
        return self.blobs[digest]

    def approvals(self, ref: ModelRef) -> Sequence[bytes]:
        del ref
        return self.envelopes

    def package(self, ref: ModelRef) -> SealedPackage:
        del ref
        return self.files


class NoHalts:
    """A node that has seen none."""

    def remembered(self, model: str) -> Sequence[bytes]:
        del model
        return []

    def remember(self, model: str, envelopes: Sequence[bytes]) -> None:
        assert not envelopes, model


@dataclass
class Whole:
    """A room that was served once, and what was served."""

    room: Room
    state: TrustedState
    model: AdmittedModel
    repository: dict[str, bytes]
    mirror: Mirror


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder: Path = tmp_path_factory.mktemp("room")
    room = Room.built(folder)
    state = room.state()
    [model] = room.admit(state)
    root = folder / "repository"
    repository = {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    mirror = Mirror(
        {item.sha256: room.mirror.evidence(item.sha256) for item in model.release.evidence},
        room.mirror.approvals(model.ref),
        room.mirror.package(model.ref),
    )
    return Whole(room, state, model, repository, mirror)


def judged(whole: Whole, state: TrustedState, mirror: Mirror) -> list[AdmittedModel]:
    """Admission, without decrypting again."""
    room, refusals = whole.room, list[Refusal]()
    found = admit(
        state,
        room.node,
        mirror,
        NoHalts(),
        room.ring,
        room.mirror.sealed_blobs,
        refusals.append,
        {whole.model.ref: whole.model.artifact},
    )
    assert found or refusals, "neither served nor refused"
    return found


def outcome(attempt: Callable[[], Any], same: Callable[[Any], bool]) -> str:
    """`refused` or `same`; anything else fails the test."""
    try:
        result = attempt()
    except (TamperedError, RefusedError):
        return "refused"
    assert same(result), "a changed byte changed what is trusted"
    return "same"


def trusted(state: TrustedState) -> tuple[Any, ...]:
    """What admission could take from a state."""
    roles = {model: read_role(data).signed for model, data in state.roles.items()}
    signed = read_role(state.targets).signed
    return (state.expires, state.root_version, signed, state.files, state.pointers, state.releases, roles, state.grants)


PUBLISHED = (".timestamp.json", ".targets.json", ".operations.json", "pd-cards.json", ".people.json", ".trust.json")


def test_metadata_and_register_through_the_client(whole: Whole, tmp_path: Path) -> None:
    snapshots = [path for path in whole.repository if path.endswith(".snapshot.json")]
    newest = max(snapshots, key=lambda path: int(path.split("/")[1].split(".")[0]))
    listed = [path for path in whole.repository if path.startswith(("metadata/", "targets/"))]
    paths = ["metadata/timestamp.json", newest, *(path for path in listed if path.endswith(PUBLISHED))]
    paths += [path for path in listed if path.startswith("targets/models/")]
    assert len(paths) >= 8
    floor = TimeFloor(tmp_path / "time")
    floor.raised_to(whole.room.at)
    seen: Counter[str] = Counter()
    for path in paths:
        for number, data in enumerate(changed(whole.repository[path], 60)):
            fetcher = MemoryFetcher({**whole.repository, path: data})
            folder = tmp_path / f"{paths.index(path)}-{number}"
            client = ReleaseClient(fetcher, folder, whole.room.bootstrap, floor)

            def attempt(client: ReleaseClient = client) -> TrustedState:
                state = client.refresh(whole.room.at)
                if state.failures:
                    raise state.failures[MODEL]
                return state

            found = outcome(attempt, lambda state: trusted(state) == trusted(whole.state))
            seen[found] += 1
            if found == "same":
                # The list: in the timestamp, which nothing lists, a hexadecimal letter of a signature changed its case.
                assert (path, data.lower()) == ("metadata/timestamp.json", whole.repository[path].lower())
    assert sum(seen.values()) == 60 * len(paths)
    assert seen["same"] <= 10


@pytest.mark.parametrize("part", ["role", "operations", "pointer", "release", "people"])
def test_metadata_that_tuf_let_pass(whole: Whole, part: str) -> None:
    state, seen, manifest = whole.state, Counter[str](), whole.model.ref.manifest
    rebuilt: dict[str, tuple[bytes, Callable[[bytes], TrustedState]]] = {
        "role": (state.roles[MODEL], lambda copy: replace(state, roles={MODEL: copy})),
        "operations": (state.operations or b"", lambda copy: replace(state, operations=copy)),
        "pointer": (state.pointers[MODEL], lambda copy: replace(state, pointers={MODEL: copy})),
        "release": (state.releases[MODEL][manifest], lambda copy: replace(state, releases={MODEL: {manifest: copy}})),
        "people": (state.files["people.json"], lambda copy: replace(state, files={**state.files, "people.json": copy})),
    }
    data, rebuild = rebuilt[part]
    for copy in changed(data, 120):

        def attempt(copy: bytes = copy) -> AdmittedModel:
            found = judged(whole, rebuild(copy), whole.mirror)
            if not found:
                raise RefusedError("refused for this model")
            return found[0]

        found = outcome(attempt, lambda model: model == whole.model)
        seen[found] += 1
        if found == "same" and part in ("role", "operations"):
            # The list: a letter of a signature's hexadecimal changed its case, or the signature of an operator who is
            # not needed; what is signed is the same.
            assert read_role(copy).signed == read_role(data).signed
    assert sum(seen.values()) == 120
    if part in ("pointer", "release"):
        assert seen == {"refused": 120}
    # `people`: a changed name, role or key of somebody who signed nothing here. TUF's digest refuses it (above).


def test_evidence_and_approvals(whole: Whole) -> None:
    seen: Counter[str] = Counter()

    def attempt_with(mirror: Mirror) -> Callable[[], AdmittedModel]:
        def attempt() -> AdmittedModel:
            found = judged(whole, whole.state, mirror)
            if not found:
                raise RefusedError("refused for this model")
            return found[0]

        return attempt

    for digest, data in whole.mirror.blobs.items():
        for copy in changed(data, 110):
            mirror = replace(whole.mirror, blobs={**whole.mirror.blobs, digest: copy})
            seen[outcome(attempt_with(mirror), lambda model: model == whole.model)] += 1
    for number, data in enumerate(whole.mirror.envelopes):
        for copy in changed(data, 110):
            envelopes = [*whole.mirror.envelopes[:number], copy, *whole.mirror.envelopes[number + 1 :]]
            mirror = replace(whole.mirror, envelopes=envelopes)
            seen[outcome(attempt_with(mirror), lambda model: model == whole.model)] += 1
    assert seen == {"refused": 660}


def test_the_sealed_bundle(whole: Whole) -> None:
    ref, package, seen = whole.model.ref, whole.mirror.files, Counter[str]()
    index = read_index(package.container, ref.manifest)
    [place] = [one for one in index.files if one.path == "model.onnx"]
    ciphertext = whole.room.mirror.sealed_blobs.get(place.sha256)
    bundle = whole.room.mirror.evidence(next(e.sha256 for e in whole.model.release.evidence if e.type == "submission"))

    def attempt_with(package: SealedPackage, bundle: bytes, stored: bytes) -> Callable[[], bytes]:
        class Lying(MemoryBlobs):
            def get(self, digest: Digest) -> bytes:
                return stored if digest == place.sha256 else super().get(digest)

        def attempt() -> bytes:
            found = open_sealed(
                package,
                ref,
                bundle=bundle,
                author=signer("ann").public,
                ring=whole.room.ring,
                blobs=Lying(),
                only=["model.onnx"],
            )
            return found.files["model.onnx"]

        return attempt

    for copy in changed(package.manifest, 120):
        seen[outcome(attempt_with(replace(package, manifest=copy), bundle, ciphertext), bool)] += 1
    for copy in changed(bundle, 120):
        seen[outcome(attempt_with(package, copy, ciphertext), bool)] += 1
    for copy in changed(ciphertext, 200):
        seen[outcome(attempt_with(package, bundle, copy), bool)] += 1
    assert seen == {"refused": 440}
    for what in ("container", "wrapped"):
        for copy in changed(getattr(package, what), 120):
            attempt = attempt_with(replace(package, **{what: copy}), bundle, ciphertext)
            try:
                result = outcome(attempt, lambda content: content == whole.model.artifact)
            except StrongroomError:
                result = "refused"  # a key-encryption key or blob of another name: not here
            seen[result] += 1
    # "same" are the lines of the container index about files that are not opened (the reference sample's place).
    assert sum(seen.values()) == 680
    assert seen["same"] <= 60
    assert digest_of(ciphertext) == place.sha256
