"""What lies inside compressed parts of a saved model, as a stream: nothing is loaded, and no more is unpacked than the
rules allow, whatever a header claims.

ZIP members (skops, NumPy, PyTorch), and the streams that joblib writes: zlib, gzip, bzip2, xz, lzma, lz4; Zstandard.
"""

from __future__ import annotations

import bz2
import io
import itertools
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from strongroom.validation.ports import MIB
from strongroom.validation.scans.scan import UNPACKING_RULES, UnpackingFacts, UnpackingRules

_ENTRY: Final = b"PK\x01\x02"
_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")


class BeyondLimitsError(Exception):
    """More comes out than the rules allow; the message says of what."""


class _Codec(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Zlib:
    """zlib's object in the form that those of bz2 and lzma have: what was not taken yet is kept inside."""

    def __init__(self, bits: int) -> None:
        self._machine = zlib.decompressobj(bits)

    @property
    def eof(self) -> bool:
        return self._machine.eof

    @property
    def unused_data(self) -> bytes:
        return self._machine.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._machine.decompress(self._machine.unconsumed_tail + data, max_length)


_HEAD: Final = 8
_SLICE: Final = 256 * 1024
_LZMA_MEMORY: Final = 256 * MIB
_CODECS: Final[tuple[tuple[tuple[bytes, ...], Callable[[], _Codec]], ...]] = (
    ((b"x\x01", b"x\x5e", b"x\x9c", b"x\xda"), lambda: _Zlib(15)),
    ((b"\x1f\x8b",), lambda: _Zlib(31)),
    ((b"BZh",), bz2.BZ2Decompressor),
    ((b"\xfd7zXZ\x00", b"]\x00\x00"), lambda: lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)),
)
_ARROW: Final = {b"\x04\x22\x4d\x18": "lz4", b"\x28\xb5\x2f\xfd": "zstd"}
_ERRORS: Final = (
    zlib.error, lzma.LZMAError, zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, RuntimeError,
)  # fmt: skip


class Unpacker:
    """Unpacks the parts of one package, under one budget.

    Args:
        rules: limits.
    """

    def __init__(self, rules: UnpackingRules = UNPACKING_RULES) -> None:
        self._rules = rules
        self._parts = self._bytes = 0
        self.unread: list[str] = []
        """Parts that could not be looked into to their end, and why."""

    @property
    def facts(self) -> UnpackingFacts:
        """What was done so far."""
        return UnpackingFacts(rules=self._rules, parts=self._parts, unpacked_bytes=self._bytes)

    def parts(self, data: bytes) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Every compressed part of a file, at every depth.

        Args:
            data: the file.

        Yields:
            Where the part lies, such as `member 3, zlib`, and its content in pieces. The pieces are to be taken before
            the next part is asked for.

        Raises:
            BeyondLimitsError: while pieces are taken, or between parts.
        """
        # an archive may stand behind other bytes: its directory is at the end
        head = data[:_HEAD]
        if _opened(head, iter(())) is None and zipfile.is_zipfile(io.BytesIO(data)):
            head = _ZIP[0]
        yield from self._within(head, iter((data,)), lambda: data, "", 0)

    def _within(
        self, head: bytes, source: Iterator[bytes], whole: Callable[[], bytes], where: str, depth: int
    ) -> Iterator[tuple[str, Iterator[bytes]]]:
        opened = _opened(head, source)
        if opened is None and not head.startswith(_ZIP):
            return
        if depth >= self._rules.depth:
            raise BeyondLimitsError(f"more than {self._rules.depth} compressed parts lie within each other")
        if opened is None:
            yield from self._members(whole(), where, depth)
        else:
            name, pieces = opened
            yield from self._deeper(f"{where}{name}", pieces, depth)

    def _members(self, data: bytes, where: str, depth: int) -> Iterator[tuple[str, Iterator[bytes]]]:
        if data.count(_ENTRY) > self._rules.members:  # before the directory is read into memory
            raise BeyondLimitsError(f"an archive has more than {self._rules.members} members")
        try:
            archive = zipfile.ZipFile(io.BytesIO(data))
        except _ERRORS:
            self.unread.append(f"{where}archive: its directory does not read")
            return
        with archive:
            for number, member in enumerate(archive.infolist()):
                yield from self._deeper(f"{where}member {number}", _read(archive, member), depth)

    def _deeper(self, where: str, pieces: Iterator[bytes], depth: int) -> Iterator[tuple[str, Iterator[bytes]]]:
        """A part, and the parts within it. Its bytes are seen once by whoever asks, and kept where they are packed."""
        self._parts += 1
        counted = self._counted(where, pieces)
        first = next(counted, b"")
        while len(first) < _HEAD and (more := next(counted, b"")):
            first += more
        packed = first.startswith(_ZIP) or _opened(first[:_HEAD], iter(())) is not None
        if not packed:
            yield where, itertools.chain((first,), counted)
            return
        kept = bytearray()

        def keep() -> Iterator[bytes]:
            for piece in itertools.chain((first,), counted):
                kept.extend(piece)
                if len(kept) > self._rules.archive_bytes:
                    raise BeyondLimitsError(
                        f"a packed part within a packed part has more than {self._rules.archive_bytes} bytes"
                    )
                yield piece

        yield where, keep()
        inner = bytes(kept)
        yield from self._within(inner[:_HEAD], iter((inner,)), lambda: inner, f"{where}, ", depth + 1)

    def _counted(self, where: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
        try:
            for piece in pieces:
                self._bytes += len(piece)
                if self._bytes > self._rules.unpacked_bytes:
                    raise BeyondLimitsError(f"more than {self._rules.unpacked_bytes} bytes come out of it")
                yield piece
        except _ERRORS as error:
            self.unread.append(f"{where}: {type(error).__name__}")


def _opened(head: bytes, source: Iterator[bytes]) -> tuple[str, Iterator[bytes]] | None:
    for starts, codec in _CODECS:
        if head.startswith(starts):
            return "compressed stream", _inflated(source, codec)
    for start, name in _ARROW.items():
        if head.startswith(start):
            return f"{name} stream", _by_arrow(source, name)
    return None


def _inflated(source: Iterator[bytes], codec: Callable[[], _Codec]) -> Iterator[bytes]:
    """Streams one after the other, as gzip allows. What stands behind them was looked at with the whole file."""
    machine: _Codec | None = codec()
    rest = b""
    for data in _slices(source):
        rest += data
        while rest or machine is not None:
            if machine is None:
                rest = rest.lstrip(b"\x00")  # padding
                if len(rest) < _HEAD:
                    break
                machine = _again(rest)
                if machine is None:
                    return
            piece = machine.decompress(rest, MIB)
            rest = b""
            if piece:
                yield piece
            if machine.eof:
                rest, machine = machine.unused_data, None
            elif not piece:
                break
    if machine is not None:
        raise EOFError


def _again(rest: bytes) -> _Codec | None:
    return next((codec() for starts, codec in _CODECS if rest.startswith(starts)), None)


def _slices(source: Iterator[bytes]) -> Iterator[bytes]:
    """Small pieces: a codec copies what it has not taken yet at every step."""
    for data in source:
        view = memoryview(data)
        for start in range(0, len(view), _SLICE):
            yield bytes(view[start : start + _SLICE])


def _by_arrow(source: Iterator[bytes], name: str) -> Iterator[bytes]:
    import pyarrow as pa

    stream: Any = pa.CompressedInputStream(pa.BufferReader(b"".join(source)), name)
    while piece := stream.read(MIB):
        yield bytes(piece)


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(member) as file:
        while piece := file.read(MIB):
            yield piece
