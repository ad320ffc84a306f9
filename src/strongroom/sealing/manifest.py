"""Format 4: what belongs to one model version, byte for byte. Its digest is the version's identity.

The bytes are length-prefixed and have one form only, so that two file sets never share a digest:

    "strongroom/manifest/v1\\n"
    u32 number of files
    per file, paths ascending by their UTF-8 bytes:
        u8 length of the role, role; u16 length of the path, path (UTF-8, NFC);
        u64 size of the content in bytes; 32 bytes SHA-256 of the content

Integers are big-endian. `digest` is the SHA-256 of these bytes.
"""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from strongroom.errors import InvalidInputError, StrongroomError, TamperedError, TooLargeError
from strongroom.vocabulary import Digest, digest_of, parse_digest, parse_name

TAG = b"strongroom/manifest/v1\n"
FILES_LIMIT = 1000
PATH_LIMIT = 512
SEGMENT_LIMIT = 200
DEPTH_LIMIT = 8
SIZE_LIMIT = 2**40

_COUNT = struct.Struct(">I")
_TAIL = struct.Struct(">Q32s")


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file: what it is for, where it lies, and what it holds."""

    path: str
    role: str
    size_bytes: int
    sha256: Digest

    def __post_init__(self) -> None:
        check_path(self.path)
        parse_name(self.role, "role")
        parse_digest(self.sha256)
        if not 0 <= self.size_bytes <= SIZE_LIMIT:
            raise TooLargeError("a file in a manifest is at most 2**40 bytes", field=self.path, rule="size")


@dataclass(frozen=True)
class Manifest:
    """The files of one version, sorted by path. Anything else does not construct."""

    files: tuple[FileEntry, ...]

    def __post_init__(self) -> None:
        if not 0 < len(self.files) <= FILES_LIMIT:
            raise TooLargeError(f"a manifest names 1 to {FILES_LIMIT} files", field="files", rule="count")
        paths = [entry.path.encode() for entry in self.files]
        if any(a >= b for a, b in pairwise(paths)):
            raise InvalidInputError("the files of a manifest ascend by path, each once", field="files", rule="order")
        # Names that differ by case alone would be one file on the disks of some validators.
        folded = {_fold(entry.path) for entry in self.files}
        if len(folded) != len(self.files):
            raise InvalidInputError("two files differ by upper and lower case alone", field="files", rule="casefold")
        for entry in self.files:
            if any("/".join(parts) in folded for parts in _parents(_fold(entry.path))):
                raise InvalidInputError("a file has the name of another file's folder", field="files", rule="folder")

    def __iter__(self) -> Iterator[FileEntry]:
        return iter(self.files)

    def entry(self, path: str) -> FileEntry:
        """The entry of `path`.

        Raises:
            InvalidInputError: the manifest does not name it.
        """
        for entry in self.files:
            if entry.path == path:
                return entry
        raise InvalidInputError("the manifest names no such file", field="path", rule="manifest")

    def by_role(self, role: str) -> FileEntry:
        """The only entry of `role`.

        Raises:
            InvalidInputError: there is none, or more than one.
        """
        found = [entry for entry in self.files if entry.role == role]
        if len(found) != 1:
            raise InvalidInputError(f"the manifest has {len(found)} files of role `{role}`, not one", rule="role")
        return found[0]

    def encode(self) -> bytes:
        """The bytes whose SHA-256 is the version's identity."""
        parts = [TAG, _COUNT.pack(len(self.files))]
        for entry in self.files:
            role, path = entry.role.encode(), entry.path.encode()
            parts += [bytes([len(role)]), role, len(path).to_bytes(2, "big"), path]
            parts.append(_TAIL.pack(entry.size_bytes, bytes.fromhex(entry.sha256)))
        return b"".join(parts)

    @cached_property
    def digest(self) -> Digest:
        """SHA-256 over `encode()`."""
        return digest_of(self.encode())

    @classmethod
    def decode(cls, data: bytes, expected: Digest | None = None) -> Manifest:
        """Read stored bytes.

        Args:
            data: as `encode` wrote them.
            expected: the digest that a signed document names, checked first; None only where nothing is trusted yet.

        Raises:
            TamperedError: the digest differs, or the bytes are not a manifest.
        """
        if expected is not None and digest_of(data) != expected:
            raise TamperedError(f"the manifest is not the one called {expected[:12]}")
        try:
            manifest = cls(tuple(_read_entries(data)))
        except (StrongroomError, struct.error, UnicodeDecodeError) as error:
            raise TamperedError(f"the manifest does not parse: {error}") from error
        if manifest.encode() != data:
            raise TamperedError("the manifest has bytes that say nothing")
        return manifest


def build_manifest(files: Mapping[str, bytes], roles: Mapping[str, str]) -> Manifest:
    """The manifest of files that are in memory.

    Args:
        files: content by path.
        roles: role by path; every file needs one.

    Raises:
        InvalidInputError: a path breaks a rule, or `roles` and `files` do not name the same paths.
    """
    if files.keys() != roles.keys():
        raise InvalidInputError("every file of a package has a role, and every role a file", field="files", rule="role")
    return Manifest(
        tuple(
            FileEntry(path, roles[path], len(files[path]), digest_of(files[path]))
            for path in sorted(files, key=lambda path: path.encode("utf-8", "surrogatepass"))
        )
    )


def check_path(path: str) -> str:
    """A path that means the same file on every system, below the folder it is in.

    Raises:
        InvalidInputError: it is empty, absolute, too long or deep, not NFC, or has a segment `.` or `..`, a backslash,
            a colon, a control, format, private or unassigned character, a space other than the plain one, or a segment
            that starts or ends with a space or ends with a dot.
    """
    segments = path.split("/")
    # Categories C and Z: controls, formats, private, unassigned; separators, of which the plain space alone may stay.
    odd = any((unicodedata.category(c)[0] in "CZ" and c != " ") or c in "\\:" for c in path)
    if odd or not path or not unicodedata.is_normalized("NFC", path):
        raise InvalidInputError(
            "a path is NFC text without control characters, backslash or colon", field="path", rule="path-characters"
        )
    # An empty first segment is an absolute path, any other a doubled or final slash.
    if any(part in ("", ".", "..") or part != part.strip(" ") or part.endswith(".") for part in segments):
        raise InvalidInputError(
            "a path is relative, and no part of it is empty, `.`, `..`, or has outer spaces or a final dot",
            field="path",
            rule="path-segments",
        )
    too_long = len(path.encode()) > PATH_LIMIT or any(len(part.encode()) > SEGMENT_LIMIT for part in segments)
    if too_long or len(segments) > DEPTH_LIMIT:
        raise TooLargeError(
            f"a path has at most {PATH_LIMIT} bytes, {DEPTH_LIMIT} parts and {SEGMENT_LIMIT} bytes a part",
            field="path",
            rule="path-length",
        )
    return path


def _read_entries(data: bytes) -> Iterator[FileEntry]:
    if data[: len(TAG)] != TAG:
        raise TamperedError("it lacks the tag `strongroom/manifest/v1`")
    at = len(TAG)
    (count,) = _COUNT.unpack_from(data, at)
    at += _COUNT.size
    if count > FILES_LIMIT:
        raise TooLargeError(f"a manifest names at most {FILES_LIMIT} files", rule="count")
    for _ in range(count):
        role, at = _text(data, at, 1)
        path, at = _text(data, at, 2)
        size, digest = _TAIL.unpack_from(data, at)
        at += _TAIL.size
        yield FileEntry(path, role, size, Digest(digest.hex()))
    if at != len(data):
        raise TamperedError("bytes follow the last file")


def _text(data: bytes, at: int, width: int) -> tuple[str, int]:
    start = at + width
    end = start + int.from_bytes(data[at:start], "big")
    if end > len(data):
        raise TamperedError("it is cut short")
    return data[start:end].decode(), end


def _fold(path: str) -> str:
    return unicodedata.normalize("NFC", path.casefold())


def _parents(path: str) -> Iterator[list[str]]:
    parts = path.split("/")
    return (parts[:end] for end in range(1, len(parts)))
