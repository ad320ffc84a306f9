"""CWE-22, path traversal: no name and no path that somebody gives leads out of the folder it belongs to.

Names in targets, in packages, in signed metadata, of blobs, of people, of models, of logs: with dots, backslashes,
escapes once and twice, path parameters after a semicolon, NUL, other spellings of a slash. Packages:
`test_hostile_packages.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tuf.api.exceptions import DownloadError

from strongroom.adapters.files.blob_files import BlobFiles
from strongroom.adapters.keys.homes import Home
from strongroom.adapters.log.witness_folder import FolderMemory
from strongroom.adapters.releases.halt_files import HaltFiles
from strongroom.adapters.releases.release_fetchers import BASE, FolderFetcher
from strongroom.adapters.releases.release_mirror import ReleaseShelf, approvals_folder, read_key_ids, version_path
from strongroom.approval.pointers import Pointer
from strongroom.encoding import canonical
from strongroom.errors import InvalidInputError, NotFoundError, RefusedError, StrongroomError, TamperedError
from strongroom.ledger.origin import Origin
from strongroom.sealing.manifest import check_path
from strongroom.validation.job_files import check_result
from strongroom.vocabulary import Digest, ModelRef, parse_digest, parse_name
from strongroom.web.routes import find

OUT = [
    "../secret",
    "..",
    "a/../../secret",
    "/etc/passwd",
    "//etc/passwd",
    "..\\secret",
    "a\\..\\..\\secret",
    "\\\\host\\share",
    "C:\\secret",
    "C:secret",
    "%2e%2e/secret",
    "%2e%2e%2fsecret",
    "..%2fsecret",
    "%252e%252e%252fsecret",
    "..%5csecret",
    "..;/secret",
    "a/..;x=1/secret",
    ";/../secret",
    "..\x00/secret",
    "secret\x00.json",
    "a//../../secret",
    "./secret",
    "\u2025/secret",
    "..\u2215secret",
    "\uff0e\uff0e/secret",
    "..\u29f8secret",
    "%c0%ae%c0%ae/secret",
    "~/secret",
    "~root/x",
    "..../secret",
    ". ./secret",
    ".. /secret",
    "secret ",
    "secret.",
    "a/./secret",
    "a/",
    "",
]
"""What stands outside is called `secret` and lies one folder up."""


def outside(tmp_path: Path) -> Path:
    """A folder to stay in, beside a file that nobody may reach."""
    (tmp_path / "secret").write_text("out of reach")
    inside = tmp_path / "inside"
    inside.mkdir()
    return inside


@pytest.mark.parametrize("path", OUT)
@pytest.mark.parametrize(
    "take",
    [
        lambda text: parse_name(text, "model name"),
        parse_digest,
        lambda text: ModelRef(text, Digest("ab" * 32)),
        lambda text: ModelRef("pd-cards", Digest(text)),
        lambda text: approvals_folder(Digest(text)),
        lambda text: version_path(Digest(text)),
        lambda text: read_key_ids(canonical([text])),
        lambda text: Origin.parse(f"bank.example/{text}/eu/n/0/1"),
        lambda text: Origin.parse(text),
        lambda text: check_result(text, b"{}"),
    ],
    ids=["name", "digest", "model", "version", "approvals", "place", "approval", "origin part", "origin", "result"],
)
def test_no_name_of_ours_is_a_path(take: Callable[[str], object], path: str) -> None:
    with pytest.raises(StrongroomError):
        take(path)


@pytest.mark.parametrize("path", OUT)
def test_no_target_leads_to_another_route(path: str) -> None:
    for target in (
        f"/v2/models/{path}/infer",
        f"/v2/models/pd-cards/{path}",
        f"/{path}",
        f"/v2/health/live/{path}",
        f"/v2/models/pd-cards/versions/{path}/infer",
    ):
        raw = target.encode("utf-8", "surrogateescape")
        for method in (b"GET", b"POST"):
            # `/v2/health/live/` and the like: no decoding, no dots, so nothing but the routes themselves is found
            with pytest.raises((NotFoundError, InvalidInputError)):
                find(method, raw)


@pytest.mark.parametrize("path", [one for one in OUT if one not in ("a/./secret",)])
def test_a_repository_is_read_below_its_folder_only(path: str, tmp_path: Path) -> None:
    fetcher = FolderFetcher(outside(tmp_path))
    for asked in (path, f"metadata/{path}", f"targets/{path}/x"):
        with pytest.raises(StrongroomError):
            fetcher.get(asked, 1000)
        with pytest.raises(DownloadError):
            fetcher.download_bytes(BASE + asked, 1000)


@pytest.mark.parametrize("path", OUT)
def test_blobs_halts_mirrors_and_homes_stay_in_their_folders(path: str, tmp_path: Path) -> None:
    inside = outside(tmp_path)
    blobs = BlobFiles(inside / "blobs")
    halts = HaltFiles(inside / "seen", inside / "halt")
    shelf = ReleaseShelf(inside / "mirror")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InvalidInputError):
        blobs.get(Digest(path))
    assert Digest(path) not in blobs
    for act in (
        lambda: halts.remember(path, [b"{}"]),
        lambda: halts.remembered(path),
        lambda: shelf.put_approval(ModelRef(path, Digest("ab" * 32)), "ab" * 32, b""),  # type: ignore[arg-type]
        lambda: Home.create(inside / "home", path, b"a long passphrase"),
    ):
        with pytest.raises(RefusedError):
            act()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("path", OUT)
def test_a_witness_remembers_every_log_in_a_file_of_its_own_name(path: str, tmp_path: Path) -> None:
    memory = FolderMemory(outside(tmp_path))
    assert memory.latest(path) is None
    place = memory._path(path)
    assert place.parent.resolve().is_relative_to((tmp_path / "inside").resolve())
    assert ".." not in place.name
    assert "/" not in place.name


def pointer(**changes: object) -> Pointer:
    return Pointer(
        **{
            "v": 1,
            "model": "pd-cards",
            "champion": None,
            "challenger": None,
            "canary_percent": 0,
            "sequence": 1,
            "previous": None,
            "by": "omar",
            "at_us": 1,
        }
        | changes
    )  # type: ignore[arg-type]


@pytest.mark.parametrize("path", OUT)
def test_a_signed_document_names_no_file(path: str) -> None:
    """Metadata that somebody signed is no reason to walk out either."""
    with pytest.raises(InvalidInputError):
        pointer(model=path)
    with pytest.raises(InvalidInputError):
        pointer(champion=Digest(path))


CLEAN = {
    "%2e%2e/secret",
    "%2e%2e%2fsecret",
    "..%2fsecret",
    "%252e%252e%252fsecret",
    "..%5csecret",
    "..;/secret",
    "a/..;x=1/secret",
    "\u2025/secret",
    "..\u2215secret",
    "..\u29f8secret",
    "%c0%ae%c0%ae/secret",
    "~/secret",
    "~root/x",
    "..../secret",
    "\uff0e\uff0e/secret",
    ";/../secret",
}
"""Odd names of files that are nevertheless plain on every system: nothing here decodes, expands or maps them."""


@pytest.mark.parametrize("path", OUT)
def test_a_path_in_a_package_is_plain_or_refused(path: str, tmp_path: Path) -> None:
    inside = outside(tmp_path)
    try:
        check_path(path)
    except RefusedError:
        return
    assert path in CLEAN
    assert (inside / path).resolve().is_relative_to(inside.resolve())


def test_a_link_in_a_folder_of_blobs_is_not_followed(tmp_path: Path) -> None:
    inside = outside(tmp_path)
    blobs = BlobFiles(inside / "blobs")
    digest = blobs.put(b"content")
    place = inside / "blobs" / digest[:2] / digest[2:]
    place.unlink()
    place.symlink_to(tmp_path / "secret")
    with pytest.raises(TamperedError):
        blobs.get(digest)
